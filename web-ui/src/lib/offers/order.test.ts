import { expect, it } from 'vitest';
import type { OfferItem } from '$lib/api/timetable';
import { moved, withItem, without } from './order';

const item = (key: string, title = key): OfferItem => ({ key, title, lesson_id: null, date: null });
const items = ['a', 'b', 'c'].map((key) => item(key));
const keys = (all: OfferItem[]) => all.map((one) => one.key).join('');

it('moves one item by one place, and nothing beyond the ends', () => {
  expect(keys(moved(items, 1, -1))).toBe('bac');
  expect(keys(moved(items, 1, 1))).toBe('acb');
  expect(keys(moved(items, 0, -1))).toBe('abc');
  expect(keys(moved(items, 2, 1))).toBe('abc');
  expect(keys(items)).toBe('abc');
});

it('replaces in place, adds at the end, takes out', () => {
  expect(withItem(items, item('b', 'x'))[1]?.title).toBe('x');
  expect(keys(withItem(items, item('d')))).toBe('abcd');
  expect(keys(without(items, 'b'))).toBe('ac');
});
