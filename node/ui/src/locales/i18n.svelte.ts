/** The language of the page: chosen by the reader, else the browser's, and changed without a reload. */
import { speak } from '../api/client';
import type { Lang } from '../text/format';
import { firstLanguage } from '../text/language';
import { en } from './en';
import { fr } from './fr';

export type Words = typeof en;

const CATALOGUES: Record<Lang, Words> = { en, fr };
const KEPT_UNDER = 'archipel.language';

function kept(): string | null {
  try {
    return localStorage.getItem(KEPT_UNDER);
  } catch {
    // A browser may forbid the storage in a frame; the choice then lasts as long as the page.
    return null;
  }
}

class I18n {
  lang = $state<Lang>('en');

  constructor() {
    this.#take(firstLanguage(kept(), navigator.languages));
  }

  get t(): Words {
    return CATALOGUES[this.lang];
  }

  get other(): Lang {
    return this.lang === 'en' ? 'fr' : 'en';
  }

  choose(lang: Lang): void {
    this.#take(lang);
    try {
      localStorage.setItem(KEPT_UNDER, lang);
    } catch {
      // See `kept`.
    }
  }

  #take(lang: Lang): void {
    this.lang = lang;
    document.documentElement.lang = lang;
    speak(lang);
  }
}

export const i18n = new I18n();
export { word } from './word';
