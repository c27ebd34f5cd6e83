import { expect, it } from 'vitest';
import type { CourierFor } from '$lib/api/night';
import { carried, raised } from './carry';

const list = (school: string, lessons: Record<string, number>): CourierFor => ({
  school,
  hub_id: school,
  bytes: 0,
  is_told: true,
  written_at: 0,
  date: '2026-11-24',
  total: 6,
  teachable: 3,
  lessons: Object.entries(lessons).map(([id, bytes]) => ({
    id, title: id, school: 'lead', floor_bytes: 1, bytes, slots: 1,
  })),
});

it('writes a lesson that two schools lack once', () => {
  const lists = [list('one', { a: 5, b: 7 }), list('two', { b: 7, c: 11 })];
  expect(carried(lists, [])).toEqual({ to: ['one', 'two'], lessons: ['a', 'b', 'c'], bytes: 23 });
  expect(carried([], [])).toEqual({ to: [], lessons: [], bytes: 0 });
});

it('leaves out what nobody wants, and schools for which nothing is left', () => {
  const lists = [list('one', { a: 5, b: 7 }), list('two', { b: 7 })];
  expect(carried(lists, ['b'])).toEqual({ to: ['one'], lessons: ['a'], bytes: 5 });
});

it('says what a school can teach with what is chosen for it, and no more than it has', () => {
  const one = list('one', { a: 5, b: 7 });
  expect(raised(one, [])).toEqual({ from: 3, to: 5 });
  expect(raised(one, ['a'])).toEqual({ from: 3, to: 4 });
  const twice = { ...one, lessons: one.lessons.map((lesson) => ({ ...lesson, slots: 4 })) };
  expect(raised(twice, [])).toEqual({ from: 3, to: 6 });
});
