import { expect, it } from 'vitest';
import { languageWords, linesAt, recallCaption, rememberCaption, type Caption } from './captions';

function memory(kept: Record<string, string> = {}) {
  return {
    getItem: (key: string) => kept[key] ?? null,
    setItem: (key: string, value: string) => void (kept[key] = value),
  };
}
const caption = (n: number, language: string | null, is_here = true): Caption =>
  ({ n, language, is_here });

it('shows none until somebody chose', () => {
  expect(recallCaption(memory(), [caption(1, 'zh')])).toBeNull();
});

it('remembers the language for other lessons, if they have it here', () => {
  const store = memory();
  rememberCaption(store, caption(1, 'en'));
  expect(recallCaption(store, [caption(1, 'zh'), caption(2, 'en')])).toBe(2);
  expect(recallCaption(store, [caption(1, 'zh'), caption(2, 'en', false)])).toBeNull();
  rememberCaption(store, null);
  expect(recallCaption(store, [caption(2, 'en')])).toBeNull();
});

it('remembers a number where no language is said', () => {
  const store = memory();
  rememberCaption(store, caption(2, null));
  expect(recallCaption(store, [caption(1, null), caption(2, null)])).toBe(2);
});

it('names languages in the reader’s own', () => {
  expect(languageWords('zh', 'zh-CN')).toBe('中文');
  expect(languageWords('en', 'en')).toBe('English');
  expect(languageWords('not a language', 'en')).toBe('not a language');
});

it('says what is said at a time, without tags', () => {
  const cues = [
    { startTime: 0, endTime: 2, text: '<v 老师>水 &amp; 光' },
    { startTime: 1, endTime: 3, text: 'a &lt; b<00:00:01.500>' },
    { startTime: 2, endTime: 3, text: ' ' },
  ];
  expect(linesAt(cues, 0.5)).toEqual(['水 & 光']);
  expect(linesAt(cues, 1)).toEqual(['水 & 光', 'a < b']);
  expect(linesAt(cues, 2)).toEqual(['a < b']);
  expect(linesAt(cues, 3)).toEqual([]);
});
