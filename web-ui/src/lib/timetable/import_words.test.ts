import { beforeAll, expect, it } from 'vitest';
import type { Conflict, ImportProblem, Term } from '$lib/api/timetable';
import { overwriteGetLocale } from '$lib/paraglide/runtime';
import { IMPORT_WORDS, importProblemWords, placeWords } from './import_words';
import { conflictWords } from './words';

const problem = (some: Partial<ImportProblem>): ImportProblem => ({
  sheet: '', row: null, column: null, code: 'no_time', what: 'English', value: '', ...some,
});

beforeAll(() => overwriteGetLocale(() => 'zh'));

it('names what is left out, and never in English', () => {
  for (const code of Object.keys(IMPORT_WORDS) as ImportProblem['code'][]) {
    const words = importProblemWords(problem({ code, value: '四(2)班' }));
    expect(words, code).toMatch(/\p{Script=Han}/u);
    expect(words, code).not.toContain('English');
  }
  const lost = importProblemWords(problem({ value: '四(2)班 周二13 晚自习' }));
  expect(lost).toContain('四(2)班 周二13 晚自习');
  expect(lost).toContain('学期与节次');
});

it('says where it stands, as far as that is known', () => {
  expect(placeWords(problem({ sheet: '五年级', row: 3, column: 4 }))).toBe('五年级 第 3 行 第 4 列');
  expect(placeWords(problem({ row: 3 }))).toBe('第 3 行');
  expect(placeWords(problem({}))).toBe('');
});

it('names the lesson that an exchange and another change both want', () => {
  const term = {
    cycle_weeks: 1,
    periods: [{ no: 1, start: '08:30', end: '09:10', name: '' }],
    slots: [{ id: 'm', subject: 'math' }],
  } as unknown as Term;
  const conflict: Conflict = {
    kind: 'change', name: '四(2)班', date: '2026-11-30', weekday: 1, period: 1, weeks: [1],
    slot_ids: ['m', 'a'],
  };
  const words = conflictWords(conflict, term, 'zh');
  expect(words).toContain('11月30日周一 第 1 节：四(2)班 数学');
  expect(words).toContain('课表变动');
});
