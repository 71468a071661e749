// What the node is sent when one of two values is kept.

const REFERENCES = ['category', 'assignee', 'group', 'location', 'requester'];

/** The value as a ticket's PATCH takes it, and as the page shows it until the answer comes. */
export function kept(field: string, value: unknown, label: string): { sent: unknown; shown: unknown } {
  if (value === undefined || value === null || value === '') return { sent: null, shown: null };
  // Values to settle come as texts; the node takes a priority as a number.
  if (field === 'priority') return { sent: Number(value), shown: Number(value) };
  if (REFERENCES.includes(field)) return { sent: value, shown: { id: String(value), label } };
  return { sent: value, shown: value };
}

const WORDS: Record<string, 'impacts' | 'urgencies' | 'priorities' | 'statuses' | 'kinds'> = {
  impact: 'impacts', urgency: 'urgencies', priority: 'priorities', status: 'statuses', kind: 'kinds',
};

/** The list of the page's own words for the values of a field, if it has one. */
export function wordsOf(field: string): (typeof WORDS)[string] | undefined {
  return WORDS[field];
}
