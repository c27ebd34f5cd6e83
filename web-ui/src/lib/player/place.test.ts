import { expect, it } from 'vitest';
import { PLACES_MAX, keepPlace, placeOf } from './place';

function memory(kept: Record<string, string> = {}) {
  return {
    getItem: (key: string) => kept[key] ?? null,
    setItem: (key: string, value: string) => void (kept[key] = value),
  };
}

it('goes on where a lesson was left, but not at its very ends', () => {
  const store = memory();
  keepPlace(store, 'a', 61_000.4, 1);
  expect(placeOf(store, 'a', 120_000)).toBe(61_000);
  keepPlace(store, 'a', 118_000, 2);
  expect(placeOf(store, 'a', 120_000)).toBe(0);
  keepPlace(store, 'a', 2_000, 3);
  expect(placeOf(store, 'a', 120_000)).toBe(0);
});

it('forgets the longest unseen beyond its bound', () => {
  const store = memory();
  for (let at = 0; at <= PLACES_MAX; at += 1) keepPlace(store, `l${at}`, 50_000, at);
  expect(placeOf(store, 'l0', 100_000)).toBe(0);
  expect(placeOf(store, 'l1', 100_000)).toBe(50_000);
});

it('survives rubbish', () => {
  expect(placeOf(memory({ 'yingxue.places': '{{' }), 'a', 100_000)).toBe(0);
});
