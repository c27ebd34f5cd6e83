import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { PageClock } from './pages';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('stands until it is asked to turn pages, and then goes with the time', () => {
  const clock = new PageClock(60, () => {});
  vi.advanceTimersByTime(5_000);
  expect(clock.currentTime).toBe(0);
  void clock.play();
  vi.advanceTimersByTime(5_000);
  expect(clock.currentTime).toBeCloseTo(5);
  clock.pause();
  vi.advanceTimersByTime(5_000);
  expect(clock.currentTime).toBeCloseTo(5);
});

it('goes at the chosen speed and stands at the end', () => {
  const clock = new PageClock(10, () => {});
  clock.playbackRate = 2;
  void clock.play();
  vi.advanceTimersByTime(4_000);
  expect(clock.currentTime).toBeCloseTo(8);
  vi.advanceTimersByTime(4_000);
  expect(clock.currentTime).toBe(10);
  expect(clock.paused).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

it('tells of each move, and stays within the lesson', () => {
  const moved = vi.fn();
  const clock = new PageClock(10, moved);
  clock.currentTime = 99;
  expect(clock.currentTime).toBe(10);
  clock.currentTime = -1;
  expect(clock.currentTime).toBe(0);
  expect(moved).toHaveBeenCalledTimes(2);
});
