import { expect, it } from 'vitest';
import { ALARM_KINDS, type Alarm } from '$lib/api/alarms';
import { alarmWords, sortedAlarms } from './words';

const alarm = (id: string, at: number, is_seen: boolean): Alarm => ({
  id,
  at,
  kind: 'fork',
  school: null,
  text_code: 'fork',
  params: {},
  is_seen,
});

it('puts what nobody has seen first, then the newest', () => {
  const all = [alarm('a', 3, true), alarm('b', 1, false), alarm('c', 2, false)];
  expect(sortedAlarms(all).map((one) => one.id)).toEqual(['c', 'b', 'a']);
});

it('says for every kind what it is, what happened and what to do', () => {
  for (const kind of ALARM_KINDS) {
    const { title, what, next } = alarmWords({ kind, school: '青石小学' });
    expect(new Set([title, what, next]).size, kind).toBe(3);
  }
});

it('does not hide a kind that it does not know', () => {
  const words = alarmWords({ kind: 'brand_new' as Alarm['kind'], school: null });
  expect(words.what).toBe('brand_new');
  expect(words.next).not.toBe('');
});
