import type { Timeline } from '$lib/api/types';

export type Caption = Timeline['captions'][number];
type Store = Pick<Storage, 'getItem' | 'setItem'>;

const KEY = 'yingxue.captions';

/** What to remember of a choice: a language is meant for every lesson, a number only for one. */
function nameOf(caption: Caption): string {
  return caption.language ?? `#${caption.n}`;
}

/** The captions to show: those in the language that was chosen last, if they are here. */
export function recallCaption(store: Store, captions: readonly Caption[]): number | null {
  const wanted = read(store);
  const found = captions.find((one) => one.is_here && nameOf(one) === wanted);
  return found?.n ?? null;
}

/** Remembers the choice; null is none. */
export function rememberCaption(store: Store, caption: Caption | null): void {
  try {
    store.setItem(KEY, caption ? nameOf(caption) : '');
  } catch {
    // Then it is chosen again next time.
  }
}

/** The name of a language in the reader's own; the code where the browser knows no name. */
export function languageWords(code: string, reader: string): string {
  try {
    return new Intl.DisplayNames([reader], { type: 'language' }).of(code) ?? code;
  } catch {
    return code; // an old browser, or not a language
  }
}

interface Cue {
  startTime: number;
  endTime: number;
  text: string;
}

/** What is said at a time, without WebVTT's tags; line by line. */
export function linesAt(cues: Iterable<Cue>, at_s: number): string[] {
  const said: string[] = [];
  for (const cue of cues) {
    if (cue.startTime <= at_s && at_s < cue.endTime) said.push(plain(cue.text));
  }
  return said.filter(Boolean);
}

const ENTITIES: Record<string, string> = {
  '&amp;': '&', '&lt;': '<', '&gt;': '>', '&nbsp;': ' ', '&lrm;': '', '&rlm;': '',
};

function plain(text: string): string {
  const bare = text.replace(/<[^>]*>/g, '');
  return bare.replace(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity).trim();
}

function read(store: Store): string | null {
  try {
    return store.getItem(KEY);
  } catch {
    return null;
  }
}
