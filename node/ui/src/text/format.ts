/** Times, numbers and plurals as people write them. Pure functions: the language and the present are arguments. */

export type Lang = 'en' | 'fr';

// British English, because it writes the day before the month and 24 hours, as the sites do.
const LOCALE: Record<Lang, string> = { en: 'en-GB', fr: 'fr-FR' };

const made = new Map<string, Intl.DateTimeFormat>();
function dates(lang: Lang, key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = `${lang} ${key}`;
  let format = made.get(name);
  if (!format) made.set(name, (format = new Intl.DateTimeFormat(LOCALE[lang], options)));
  return format;
}

function parsed(iso: string): Date | undefined {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** Within half a day the clock alone is clear, also across midnight. */
const HALF_A_DAY_MS = 12 * 3_600_000;
const near = (a: Date, b: Date) => a.toDateString() === b.toDateString() || Math.abs(a.getTime() - b.getTime()) < HALF_A_DAY_MS;

/** "14:02" today, "19 Nov, 14:02" this year, with the year otherwise. A text that is no time is given back as it is. */
export function moment(lang: Lang, iso: string, now: Date): string {
  const date = parsed(iso);
  if (!date) return iso;
  const clock = dates(lang, 'clock', { hour: '2-digit', minute: '2-digit' }).format(date);
  if (near(date, now)) return clock;
  const year = date.getFullYear() === now.getFullYear() ? undefined : ('numeric' as const);
  const day = dates(lang, `day${year ?? ''}`, { day: 'numeric', month: 'short', year }).format(date);
  return `${day}, ${clock}`;
}

/** The day and the time in full, for titles and details. */
export function fully(lang: Lang, iso: string): string {
  const date = parsed(iso);
  return date ? dates(lang, 'full', { dateStyle: 'long', timeStyle: 'medium' }).format(date) : iso;
}

export function clockWithSeconds(lang: Lang, iso: string): string {
  const date = parsed(iso);
  return date ? dates(lang, 'seconds', { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(date) : iso;
}

/** A short age for narrow columns: "now", "5 min", "3 h", then the day. */
export function age(lang: Lang, iso: string, now: Date): string {
  const date = parsed(iso);
  if (!date) return iso;
  const minutes = Math.floor((now.getTime() - date.getTime()) / 60_000);
  if (minutes < 1) return lang === 'fr' ? 'à l’instant' : 'just now';
  if (minutes < 60) return `${minutes}\u00a0min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}\u00a0h`;
  const year = date.getFullYear() === now.getFullYear() ? undefined : ('numeric' as const);
  return dates(lang, `short${year ?? ''}`, { day: 'numeric', month: 'short', year }).format(date);
}

export function number(lang: Lang, n: number): string {
  return new Intl.NumberFormat(LOCALE[lang]).format(n);
}

/** The form of a word for a count, as the language has it: zero is plural in English and singular in French. */
export function plural(lang: Lang, n: number, one: string, other: string): string {
  return new Intl.PluralRules(LOCALE[lang]).select(n) === 'one' ? one : other;
}

/** "Paris, Dakar and Montréal". */
export function list(lang: Lang, words: string[]): string {
  return new Intl.ListFormat(LOCALE[lang], { type: 'conjunction' }).format(words);
}

/** One or two letters for a round picture of a person. */
export function initials(name: string): string {
  const words = name.trim().split(/[\s.\-_]+/u).filter((word) => /\p{L}|\p{N}/u.test(word));
  const first = words[0] ?? '?';
  const last = words.length > 1 ? words[words.length - 1]! : '';
  return ([...first][0]! + ([...last][0] ?? '')).toLocaleUpperCase();
}

/** One of `count` places, always the same for the same text. */
export function bucket(text: string, count: number): number {
  let sum = 0;
  for (const sign of text) sum = (sum * 31 + sign.codePointAt(0)!) >>> 0;
  return sum % count;
}

/** The first eight signs of a fingerprint, in two groups, to compare by eye. */
export function fingerprint(hex: string): string {
  return `${hex.slice(0, 4)} ${hex.slice(4, 8)}`.trim();
}
