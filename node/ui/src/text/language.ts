import type { Lang } from './format';

/** The first language: what was kept, else the first of the browser's that we speak. */
export function firstLanguage(kept: string | null, browser: readonly string[]): Lang {
  for (const wish of [kept ?? '', ...browser]) {
    const short = wish.slice(0, 2).toLowerCase();
    if (short === 'en' || short === 'fr') return short;
  }
  return 'en';
}
