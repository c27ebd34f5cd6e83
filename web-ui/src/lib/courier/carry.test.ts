import { expect, it } from 'vitest';
import type { CourierFor } from '$lib/api/night';
import { carried } from './carry';

const list = (school: string, lessons: Record<string, number>): CourierFor => ({
  school,
  hub_id: school,
  bytes: 0,
  written_at: 0,
  lessons: Object.entries(lessons).map(([id, bytes]) => ({
    id, title: id, school: 'lead', floor_bytes: 1, bytes, slots: 1,
  })),
});

it('writes a lesson that two schools lack once', () => {
  const lists = [list('one', { a: 5, b: 7 }), list('two', { b: 7, c: 11 })];
  expect(carried(lists)).toEqual({ lessons: ['a', 'b', 'c'], bytes: 23 });
  expect(carried([])).toEqual({ lessons: [], bytes: 0 });
});
