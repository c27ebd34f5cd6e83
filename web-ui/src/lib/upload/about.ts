import type { About } from './uploader.svelte';

const KEY = 'yingxue.about';
/** As long as the hub takes it. */
const TITLE_CHARS_MAX = 120;

type Store = Pick<Storage, 'getItem' | 'setItem'>;

/** What was said about the last upload, so that nobody is asked twice; titles are new. */
export function recallAbout(store: Store, name: string): About {
  const fresh = { title: '', subject: 'math', grade: '4', teacher: name };
  try {
    const kept = JSON.parse(store.getItem(KEY) ?? '{}') as Partial<About>;
    return { ...fresh, ...kept, title: '' };
  } catch {
    return fresh;
  }
}

export function rememberAbout(store: Store, { subject, grade, teacher }: About): void {
  try {
    store.setItem(KEY, JSON.stringify({ subject, grade, teacher }));
  } catch {
    // Then it is asked again next time.
  }
}

/** A first title from the file's name. */
export function titleOf(filename: string): string {
  const bare = filename.replace(/\.[A-Za-z0-9]{1,5}$/, '').replace(/[_]+/g, ' ').trim();
  return Array.from(bare).slice(0, TITLE_CHARS_MAX).join('');
}
