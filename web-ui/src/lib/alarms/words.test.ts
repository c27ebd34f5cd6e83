import { expect, it } from 'vitest';
import type { Alarm, AlarmKind } from '$lib/api/alarms';
import { KINDS, WHAT, alarmWords, sortedAlarms } from './words';

const alarm = (id: number, at: number, is_seen: boolean): Alarm => ({
  id,
  at,
  kind: 'fork',
  school: null,
  text_code: 'journal_forked',
  params: {},
  is_seen,
});

it('puts what nobody has seen first, then the newest', () => {
  const all = [alarm(1, 3, true), alarm(2, 1, false), alarm(3, 2, false)];
  expect(sortedAlarms(all).map((one) => one.id)).toEqual([3, 2, 1]);
});

it('says what it is, what happened and what to do, each once', () => {
  for (const kind of Object.keys(KINDS) as AlarmKind[]) {
    for (const text_code of Object.keys(WHAT)) {
      const said = alarmWords({ kind, text_code, params: { entries: 3 }, school: '青石小学' });
      expect(new Set([said.title, said.what, said.next]).size, kind + text_code).toBe(3);
    }
  }
});

it('names the school, or this one', () => {
  const one = { kind: 'fork', text_code: 'journal_forked', params: {} } as const;
  expect(alarmWords({ ...one, school: '青石小学' }).what).toContain('青石小学');
  expect(alarmWords({ ...one, school: null }).what).toContain('本校');
});

it('names both schools that contradict each other, and takes no side', () => {
  for (const text_code of ['witnessed_otherwise', 'witnessed_missing']) {
    const params = { witness: '河口小学', entries: 3 };
    const said = alarmWords({ kind: 'witness', text_code, params, school: '青石小学' });
    expect(said.what).toContain('青石小学和河口小学的说法不一致');
    expect(said.what + said.next).not.toContain('改');
  }
});

it('does not hide what it does not know', () => {
  const params = { text: 'Something new.' };
  const said = alarmWords({ kind: 'new' as AlarmKind, text_code: 'x', params, school: null });
  expect(said.what).toBe('Something new.');
  expect(said.next).not.toBe('');
});

it('says what a repair did, and how old logins are', () => {
  const params = { entries: 7, waiting: 2, snapshot: 1_000, files: 30, accounts_whole: false };
  const one = { kind: 'damage', text_code: 'repaired', school: null } as const;
  const said = alarmWords({ ...one, params }).what;
  for (const word of ['7', '2', '30', '1970', '账号和密码是']) expect(said).toContain(word);
  const whole = alarmWords({ ...one, params: { ...params, accounts_whole: true } }).what;
  expect(whole).toContain('账号没有丢');
});
