import {
  getLocale,
  isLocale,
  localStorageKey,
  overwriteGetLocale,
  setLocale,
} from '$lib/paraglide/runtime';

export type Language = 'zh' | 'en';

let current = $state<Language>('zh');

/** The language of the page as state: every message read in a template follows it at once. */
export const language = {
  get current(): Language {
    return current;
  },

  /** Takes the language kept in this browser, else the hub's own. */
  start(hubDefault: string): void {
    const kept = read();
    if (kept) current = kept;
    else if (isLocale(hubDefault)) current = hubDefault;
    overwriteGetLocale(() => current);
    mark();
  },

  async choose(next: Language): Promise<void> {
    current = next;
    await setLocale(next, { reload: false });
    overwriteGetLocale(() => current);
    mark();
  },
};

function read(): Language | null {
  try {
    if (localStorage.getItem(localStorageKey) === null) return null;
  } catch {
    return null; // storage refused by the browser: the hub's language serves
  }
  return getLocale();
}

function mark(): void {
  document.documentElement.lang = current === 'zh' ? 'zh-Hans' : 'en';
}
