import { expect, it } from 'vitest';
import {
  MARKED_LESSONS_MAX,
  MARKS_MAX,
  NOTE_CHARS_MAX,
  keepMarks,
  marksOf,
  withMark,
  withNote,
  type Mark,
} from './marks';

function memory(kept: Record<string, string> = {}) {
  return {
    getItem: (key: string) => kept[key] ?? null,
    setItem: (key: string, value: string) => void (kept[key] = value),
  };
}
const marked = (...times: number[]) => times.reduce(withMark, [] as Mark[]);

it('keeps marks in order of time, each place once', () => {
  expect(marked(9_000.4, 3_000, 9_500).map((mark) => mark.at_ms)).toEqual([3_000, 9_000]);
});

it('takes no more than its bound', () => {
  const full = marked(...Array.from({ length: MARKS_MAX + 5 }, (_, n) => n * 2_000));
  expect(full).toHaveLength(MARKS_MAX);
});

it('cuts a note by characters, not in the middle of one', () => {
  const [mark] = withNote(marked(5_000), 5_000, `  ${'𠮷'.repeat(NOTE_CHARS_MAX + 9)}`);
  expect(Array.from(mark?.note ?? '')).toHaveLength(NOTE_CHARS_MAX);
});

it('forgets the longest unused lessons, and those without marks', () => {
  const store = memory();
  for (let at = 0; at <= MARKED_LESSONS_MAX; at += 1) keepMarks(store, `l${at}`, marked(1_000), at);
  expect(marksOf(store, 'l0')).toEqual([]);
  expect(marksOf(store, 'l1')).toHaveLength(1);
  keepMarks(store, 'l1', [], 999);
  expect(store.getItem('yingxue.marks')).not.toContain('"l1"');
});

it('survives rubbish, and a browser that keeps nothing', () => {
  const rubbish = (text: string) => memory({ 'yingxue.marks': text });
  expect(marksOf(rubbish('{{'), 'a')).toEqual([]);
  expect(marksOf(rubbish('{"a":{"marks":[7,null,{"at_ms":"x"}]}}'), 'a')).toEqual([]);
  const refusing = {
    getItem: () => null,
    setItem: () => {
      throw new Error('refused');
    },
  };
  expect(keepMarks(refusing, 'a', marked(1), 0)).toBe(false);
});
