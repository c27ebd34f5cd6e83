import { beforeAll, describe, expect, it } from 'vitest';
import type { Change, Slot, Term } from '$lib/api/timetable';
import { overwriteGetLocale } from '$lib/paraglide/runtime';
import { changeOf, changeWords, draftOf, slotsOn } from './change';
import { emptySlot, usualPeriods } from './model';

const base: Term = {
  id: 't',
  name: '2026年秋季学期',
  first_day: '2026-09-01',
  last_day: '2027-01-15',
  periods: usualPeriods(),
  classes: [{ id: 'c1', name: '四(2)班', grade: '4', pupils: 45, room: '201' }],
  cycle_weeks: 2,
  slots: [],
  exceptions: [],
  follows: [],
};
const slot = (id: string, weekday: number, period: number, weeks: number[]): Slot => ({
  ...emptySlot(base, 'c1', weekday, period),
  id,
  weeks,
  subject: 'math',
});
const term: Term = {
  ...base,
  slots: [slot('b', 1, 2, []), slot('a', 1, 1, [1]), slot('c', 1, 3, [2]), slot('d', 2, 1, [])],
};

const changes: Change[] = [
  { kind: 'holiday', until: '2026-10-07', class_ids: [], holds_cycle: true },
  { kind: 'exam', until: null, class_ids: ['c1'], holds_cycle: false },
  { kind: 'makeup', follows_date: '2026-10-08', weekday: null, week: null },
  { kind: 'makeup', follows_date: null, weekday: 5, week: 2 },
  { kind: 'swap', slot_id: 'a', with_slot_id: 'b', to_period: null, with_date: null },
  { kind: 'swap', slot_id: 'a', with_slot_id: 'b', to_period: null, with_date: '2026-11-26' },
  { kind: 'swap', slot_id: 'a', with_slot_id: null, to_period: 4, with_date: null },
  { kind: 'cancel', slot_id: 'a' },
];

describe('the form of an exception', () => {
  it('gives back what it was given, and no field of another kind', () => {
    for (const change of changes) expect(changeOf(draftOf(change, term), 2)).toEqual(change);
  });

  it('says no week of a cycle that has but one', () => {
    const change = changeOf({ ...draftOf(null, term), kind: 'makeup' }, 1);
    expect(change).toEqual({ kind: 'makeup', follows_date: null, weekday: 1, week: null });
  });

  it('keeps the lesson of a replacement apart from its day', () => {
    const { id: _, weekday: __, weeks: ___, ...lesson } = slot('x', 3, 2, [1]);
    const change: Change = { kind: 'replace', slot_id: 'a', slot: lesson };
    expect(changeOf(draftOf(change, term), 2)).toEqual(change);
  });
});

it('offers only the lessons of that date, in their order, odd or even', () => {
  // The term's first week is odd; 7 September is a Monday in the second.
  expect(slotsOn(term, '2026-09-07').map((one) => one.id)).toEqual(['b', 'c']);
  expect(slotsOn(term, '2026-09-14').map((one) => one.id)).toEqual(['a', 'b']);
  expect(slotsOn(term, '2026-09-13')).toEqual([]);
});

describe('the words of an exception', () => {
  beforeAll(() => overwriteGetLocale(() => 'zh'));
  const say = (change: Change) =>
    changeWords({ id: 'e', date: '2026-09-14', note: '', ...change }, term, 'zh');

  it('name both lessons of a swap', () => {
    const swap = { kind: 'swap', slot_id: 'a', with_slot_id: 'b', to_period: null } as const;
    expect(say({ ...swap, with_date: '2026-11-26' })).toContain('11月26日');
    const words = say(swap);
    expect(words).toContain('第 1 节 四(2)班 数学');
    expect(words).toContain('第 2 节');
  });

  it('say whom a holiday is for and until when', () => {
    expect(say(changes[0] as Change)).toContain('全部班级');
    expect(say(changes[0] as Change)).toContain('10月7日');
    expect(say(changes[1] as Change)).toBe('四(2)班');
  });

  it('do not fail on a lesson that was removed since', () => {
    expect(say({ kind: 'cancel', slot_id: 'gone' })).toContain('不在了');
  });
});
