import { describe, expect, it } from 'vitest';
import { chapterAt, indexAt, isMissingAt, onBar, thumbAt, turnFrom, wave } from './timeline';

const slides = [0, 10_000, 20_000, 50_000].map((at_ms) => ({ at_ms }));

describe('the slide of a time', () => {
  it.each([
    [0, 0],
    [9_999, 0],
    [10_000, 1],
    [49_999, 2],
    [50_000, 3],
    [9_000_000, 3],
    [-5, 0],
  ])('at %d ms is %d', (ms, number) => expect(indexAt(slides, ms)).toBe(number));

  it('is none without slides', () => expect(indexAt([], 5)).toBe(-1));

  it('is the first even before it appears', () => {
    expect(indexAt([{ at_ms: 3_000 }, { at_ms: 6_000 }], 0)).toBe(0);
  });

  it('has neighbours, but not beyond the ends', () => {
    expect(turnFrom(slides, 25_000, 1)).toBe(50_000);
    expect(turnFrom(slides, 25_000, -1)).toBe(10_000);
    expect(turnFrom(slides, 5_000, -1)).toBeNull();
    expect(turnFrom(slides, 55_000, 1)).toBeNull();
  });
});

it('names the chapter that has begun, and none before the first', () => {
  const chapters = [{ at_ms: 5_000, title: '导入' }, { at_ms: 9_000, title: '练习' }];
  expect(chapterAt(chapters, 4_999)).toBeNull();
  expect(chapterAt(chapters, 5_000)).toBe('导入');
  expect(chapterAt(chapters, 60_000)).toBe('练习');
});

describe('what is not here', () => {
  it('is asked by time, its end not included', () => {
    expect(isMissingAt([[1_000, 2_000]], 1_000)).toBe(true);
    expect(isMissingAt([[1_000, 2_000]], 2_000)).toBe(false);
    expect(isMissingAt([], 0)).toBe(false);
  });

  it('is laid on the bar within the lesson', () => {
    expect(onBar([[25_000, 50_000], [90_000, 200_000], [-10, -5], [70_000, 70_000]], 100_000))
      .toEqual([{ left: 25, width: 25 }, { left: 90, width: 10 }]);
    expect(onBar([[0, 5]], 0)).toEqual([]);
  });

  it('is bounded, however many pieces there are', () => {
    const many = Array.from({ length: 5_000 }, (_, n): [number, number] => [n * 2, n * 2 + 1]);
    expect(onBar(many, 10_000).length).toBeLessThanOrEqual(300);
  });
});

it('finds the thumbnail of a time', () => {
  const thumbs = { every_ms: 10_000, count: 6 };
  expect([0, 9_999, 10_000, 59_000, 90_000].map((ms) => thumbAt(thumbs, ms))).toEqual([
    0, 0, 1, 5, 5,
  ]);
  expect(thumbAt(null, 0)).toBeNull();
  expect(thumbAt({ every_ms: 10_000, count: 0 }, 0)).toBeNull();
});

describe('the waveform', () => {
  it('draws a step for each second', () => {
    expect(wave([0, 255])).toEqual({ path: 'M0 100V100h1V0h1V100Z', columns: 2 });
  });
  it('keeps the loudest second of each column of a long lesson', () => {
    const peaks = Array.from({ length: 36_000 }, (_, second) => (second === 17_999 ? 255 : 0));
    const { path, columns } = wave(peaks);
    expect(columns).toBe(400);
    expect(path.match(/V0h1/g)).toHaveLength(1);
  });
  it('is nothing without peaks', () => expect(wave([]).path).toBe(''));
});
