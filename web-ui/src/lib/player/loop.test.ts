import { expect, it } from 'vitest';
import { NO_LOOP, loopBack, setEnd } from './loop';

it('goes back to A whenever playing reaches B', () => {
  const loop = setEnd(setEnd(NO_LOOP, 'a', 10), 'b', 20);
  expect(loop).toEqual({ a: 10, b: 20 });
  expect(loopBack(loop, 19.8, 20.05)).toBe(10);
  expect(loopBack(loop, 15, 15.25)).toBeNull();
});

it('lets go of who has left it', () => {
  const loop = { a: 10, b: 20 };
  expect(loopBack(loop, 25, 25.25)).toBeNull();
  expect(loopBack(loop, 5, 5.25)).toBeNull();
  expect(loopBack({ a: 10, b: null }, 19, 30)).toBeNull();
});

it('puts the ends in order, and takes no loop that is a stutter', () => {
  expect(setEnd({ a: 30, b: null }, 'b', 12)).toEqual({ a: 12, b: 30 });
  expect(setEnd({ a: 30, b: null }, 'b', 30.4)).toEqual({ a: null, b: 30.4 });
  expect(setEnd({ a: 10, b: 20 }, 'a', 14)).toEqual({ a: 14, b: 20 });
  expect(setEnd({ a: 10, b: 20 }, 'a', 28)).toEqual({ a: 20, b: 28 });
});
