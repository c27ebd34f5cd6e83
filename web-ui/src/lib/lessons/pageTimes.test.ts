import { describe, expect, it } from 'vitest';
import { allStarts, mayAppear } from './pageTimes';

describe('the times of pages', () => {
  it('are those that were set, and even over the rest', () => {
    expect(allStarts([0, 4_000], 4, 10_000)).toEqual([0, 4_000, 6_000, 8_000]);
    expect(allStarts([0, 1, 2], 3, 10)).toEqual([0, 1, 2]);
  });

  it('always grow and end before the lesson', () => {
    expect(mayAppear([0], 0, 3, 10_000)).toBe(false);
    expect(mayAppear([0], 5_000, 3, 10_000)).toBe(true);
    expect(mayAppear([0, 5_000], 5_000, 3, 10_000)).toBe(false);
    expect(mayAppear([0], 9_999, 3, 10_000)).toBe(false);
    expect(mayAppear([0, 1, 2], 5_000, 3, 10_000)).toBe(false);
  });
});
