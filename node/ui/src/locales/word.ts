/** The word for a value of a known list, or the value itself when the page does not know it yet. */
export function word(words: Record<string, string>, value: string | number | null | undefined): string {
  if (value === null || value === undefined) return '';
  const key = String(value);
  return words[key] ?? key;
}
