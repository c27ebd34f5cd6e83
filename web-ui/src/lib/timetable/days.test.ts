import { describe, expect, it } from 'vitest';
import { addDays, dayOf, dayWords, isDay, mondayOf, weekOf, weekdayOf } from './days';

describe('days', () => {
  it('are counted over the end of a month and of a leap February', () => {
    expect(addDays('2026-11-30', 1)).toBe('2026-12-01');
    expect(addDays('2028-02-28', 1)).toBe('2028-02-29');
    expect(addDays('2027-01-01', -1)).toBe('2026-12-31');
  });

  it('begin their week on Monday', () => {
    expect(weekdayOf('2026-11-23')).toBe(1);
    expect(weekdayOf('2026-11-29')).toBe(7);
    expect(mondayOf('2026-11-29')).toBe('2026-11-23');
    expect(mondayOf('2026-11-23')).toBe('2026-11-23');
  });

  it('are refused when no calendar has them', () => {
    expect(isDay('2026-11-23')).toBe(true);
    for (const wrong of ['2026-02-30', '2026-13-01', '23.11.2026', '', '2026-1-1']) {
      expect(isDay(wrong), wrong).toBe(false);
    }
  });

  it('are named in both languages', () => {
    expect(dayWords('2026-11-23', 'zh')).toBe('11月23日周一');
    expect(dayWords('2026-11-23', 'en')).toBe('Mon 23 Nov');
  });

  it('are those of the clock on the wall', () => {
    expect(dayOf(new Date(2026, 10, 3, 7, 5))).toBe('2026-11-03');
  });
});

describe('weeks of a cycle', () => {
  it('alternate from the first week of the term, whatever day it begins on', () => {
    // A term that begins on a Wednesday: its first week is the first of the cycle.
    expect(weekOf('2026-09-02', '2026-09-02', 2)).toBe(1);
    expect(weekOf('2026-09-06', '2026-09-02', 2)).toBe(1);
    expect(weekOf('2026-09-07', '2026-09-02', 2)).toBe(2);
    expect(weekOf('2026-09-14', '2026-09-02', 2)).toBe(1);
  });

  it('go on before the term and in longer cycles', () => {
    expect(weekOf('2026-08-24', '2026-09-02', 3)).toBe(3);
    expect(weekOf('2026-09-21', '2026-09-02', 3)).toBe(1);
  });
});
