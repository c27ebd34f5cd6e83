import { expect, it } from 'vitest';
import { gapAt, middleOf } from './gaps';

it('finds the gap one is in, or the next one if it is near', () => {
  const gaps = [[40, 44], [20, 24], [24, 28]] as const;
  expect(gapAt(gaps, 11)).toBeNull();
  expect(gapAt(gaps, 13)).toEqual([20, 24]);
  expect(gapAt(gaps, 23.9)).toEqual([20, 24]);
  expect(gapAt(gaps, 24)).toEqual([24, 28]);
  expect(gapAt(gaps, 28)).toBeNull();
  expect(gapAt([], 0)).toBeNull();
  expect(middleOf([20, 24])).toBe(22_000);
});
