import type { Alarm, AlarmKind } from '$lib/api/alarms';
import { m } from '$lib/paraglide/messages';
import { moment } from '$lib/words/format';
import { language } from '$lib/words/language.svelte';

type Named = Record<
  | 'school' | 'count' | 'lost' | 'kept' | 'witness'
  | 'snapshot' | 'waiting' | 'accounts' | 'files' | 'unknown',
  string
>;
type Words = (inputs: Named) => string;

/** What happened, one sentence for each code of the hub. */
export const WHAT: Record<string, Words> = {
  journal_forked: m.alarm_journal_forked,
  trespassed: m.alarm_trespassed,
  witnessed_otherwise: m.alarm_witnessed_otherwise,
  witnessed_missing: m.alarm_tail_removed,
  membership_forked: m.alarm_membership_forked,
  restored: m.alarm_restored_what,
  own_entries_missing: m.alarm_own_entries_missing,
  own_entries_not_given: m.alarm_own_entries_not_given,
  cloned: m.alarm_cloned,
  wrong_pieces: m.alarm_wrong_piece_what,
  journal_damaged: m.alarm_journal_damaged,
  change_skipped: m.alarm_change_skipped,
  document_damaged: m.alarm_document_damaged,
  repaired: m.alarm_repaired,
  repaired_from_nothing: m.alarm_repaired_from_nothing,
  log_gone: m.alarm_log_gone,
  stranded: m.alarm_stranded,
  disk_unreadable: m.alarm_disk_unreadable,
};

/** For each kind: its name, and what to do. */
export const KINDS: Record<AlarmKind, { title: () => string; next: () => string }> = {
  fork: { title: m.alarm_fork, next: m.alarm_fork_next },
  equivocation: { title: m.alarm_equivocation, next: m.alarm_equivocation_next },
  restored: { title: m.alarm_restored, next: m.alarm_restored_next },
  wrong_piece: { title: m.alarm_wrong_piece, next: m.alarm_wrong_piece_next },
  damage: { title: m.alarm_damage, next: m.alarm_damage_next },
  trespass: { title: m.alarm_trespass, next: m.alarm_trespass_next },
  witness: { title: m.alarm_witness, next: m.alarm_witness_next },
};

export interface AlarmWords {
  title: string;
  what: string;
  next: string;
}

type Said = Pick<Alarm, 'kind' | 'text_code' | 'params' | 'school'>;

/** An alarm as sentences; one that is newer than this page in the hub's own words. */
export function alarmWords({ kind, text_code, params, school }: Said): AlarmWords {
  const words = KINDS[kind] ?? { title: m.alarm_other, next: m.alarm_other_next };
  const what = WHAT[text_code]?.(named(params, school)) ?? String(params.text ?? text_code);
  return { title: words.title(), what, next: words.next() };
}

function named(params: Alarm['params'], school: string | null): Named {
  const word = (key: string) => String(params[key] ?? '');
  const taken = typeof params.snapshot === 'number' ? params.snapshot : null;
  const snapshot = taken === null ? '' : moment(taken, language.current, Date.now());
  const old = taken === null ? m.alarm_accounts_gone() : m.alarm_accounts_old({ snapshot });
  return {
    school: school ?? m.our_school(),
    count: word('entries'),
    lost: word('lost'),
    kept: word('kept'),
    witness: word('witness'),
    snapshot,
    waiting: word('waiting'),
    accounts: params.accounts_whole === true ? m.alarm_accounts_whole() : old,
    files: word('files'),
    unknown: word('unknown'),
  };
}

/** What nobody has seen yet comes first, then the newest. */
export function sortedAlarms(all: readonly Alarm[]): Alarm[] {
  return [...all].sort(
    (one, other) => Number(one.is_seen) - Number(other.is_seen) || other.at - one.at,
  );
}
