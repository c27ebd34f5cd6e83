import type { Alarm, AlarmKind } from '$lib/api/alarms';
import { m } from '$lib/paraglide/messages';

type Words = (inputs: { school: string }) => string;

/** For each kind: what it is, what happened, what to do. */
const WORDS: Record<AlarmKind, { title: () => string; what: Words; next: Words }> = {
  fork: { title: m.alarm_fork, what: m.alarm_fork_what, next: m.alarm_fork_next },
  equivocation: {
    title: m.alarm_equivocation,
    what: m.alarm_equivocation_what,
    next: m.alarm_equivocation_next,
  },
  restored: { title: m.alarm_restored, what: m.alarm_restored_what, next: m.alarm_restored_next },
  wrong_piece: {
    title: m.alarm_wrong_piece,
    what: m.alarm_wrong_piece_what,
    next: m.alarm_wrong_piece_next,
  },
  damage: { title: m.alarm_damage, what: m.alarm_damage_what, next: m.alarm_damage_next },
};

export interface AlarmWords {
  title: string;
  what: string;
  next: string;
}

/** An alarm as sentences; a kind that is newer than this page is at least named. */
export function alarmWords({ kind, school }: Pick<Alarm, 'kind' | 'school'>): AlarmWords {
  const words = WORDS[kind];
  const named = { school: school ?? m.this_school() };
  if (!words) return { title: m.alarm_other(), what: kind, next: m.alarm_other_next() };
  return { title: words.title(), what: words.what(named), next: words.next(named) };
}

/** What nobody has seen yet comes first, then the newest. */
export function sortedAlarms(all: readonly Alarm[]): Alarm[] {
  return [...all].sort(
    (one, other) => Number(one.is_seen) - Number(other.is_seen) || other.at - one.at,
  );
}
