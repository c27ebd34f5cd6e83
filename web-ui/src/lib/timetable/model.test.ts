import { describe, expect, it } from 'vitest';
import type { Entry, Period } from '$lib/api/timetable';
import { byPeriod, newId, placeInDay, sortedExceptions, usualPeriods, wrongPeriod } from './model';

const [first, second, third] = usualPeriods() as [Period, Period, Period];
const at = (time: string) => new Date(`2026-11-23T${time}:00`).getTime();
const entry = (period: Period, name: string) =>
  ({
    slot_id: name,
    period,
    starts_at: at(period.start),
    ends_at: at(period.end),
    class: { id: name, name },
  }) as unknown as Entry;

describe('the day by periods', () => {
  it('is in the order of the clock, whatever the order of the answer', () => {
    const rows = byPeriod([entry(third, 'a'), entry(first, 'b'), entry(first, 'c')]);
    expect(rows.map((row) => row.period.no)).toEqual([1, 3]);
    expect(rows[0]?.entries.map((one) => one.slot_id)).toEqual(['b', 'c']);
  });

  it('knows the period of now, and of five minutes before it', () => {
    const rows = byPeriod([entry(first, 'a'), entry(second, 'b'), entry(third, 'c')]);
    expect(placeInDay(rows, at('07:00'))).toEqual(['next', 'later', 'later']);
    expect(placeInDay(rows, at('08:24'))).toEqual(['next', 'later', 'later']);
    expect(placeInDay(rows, at('08:25'))).toEqual(['now', 'next', 'later']);
    expect(placeInDay(rows, at('09:09'))).toEqual(['now', 'next', 'later']);
    expect(placeInDay(rows, at('09:12'))).toEqual(['past', 'next', 'later']);
    expect(placeInDay(rows, at('09:15'))).toEqual(['past', 'now', 'next']);
    expect(placeInDay(rows, at('18:00'))).toEqual(['past', 'past', 'past']);
  });

  it('gives the next lesson the place of one that is about to end', () => {
    const close = { ...second, start: '09:12' };
    const rows = byPeriod([entry(first, 'a'), entry(close, 'b')]);
    expect(placeInDay(rows, at('09:08'))).toEqual(['past', 'now']);
  });
});

describe('times of periods', () => {
  it('may be usual', () => expect(wrongPeriod(usualPeriods())).toBeNull());
  it('may not overlap', () => {
    expect(wrongPeriod([first, { ...second, start: '09:00' }])).toBe(2);
  });
  it('may not end before they start', () => {
    expect(wrongPeriod([{ ...first, end: '08:30' }])).toBe(1);
  });
});

it('makes ids that differ', () => {
  const ids = new Set(Array.from({ length: 100 }, newId));
  expect(ids.size).toBe(100);
  for (const one of ids) expect(one).toMatch(/^[0-9a-f]{32}$/);
});

it('puts the exceptions that are over after those to come', () => {
  const cancel = { note: '', kind: 'cancel' as const, slot_id: 'x' };
  const on = (date: string) => ({ id: date, date, ...cancel });
  const sorted = sortedExceptions(
    ['2026-10-01', '2026-12-01', '2026-11-24'].map(on),
    '2026-11-23',
  );
  expect(sorted.map((one) => one.date)).toEqual(['2026-11-24', '2026-12-01', '2026-10-01']);
});
