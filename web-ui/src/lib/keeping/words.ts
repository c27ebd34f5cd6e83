import type { Repair, Snapshots } from '$lib/api/snapshots';
import { m } from '$lib/paraglide/messages';
import { moment } from '$lib/words/format';

/** How the copies are, as bad as somebody has to see to it. */
export function copiesKind({ is_late, failed }: Snapshots): 'ok' | 'warn' | 'bad' {
  if (is_late) return 'bad';
  return failed ? 'warn' : 'ok';
}

/** Why no copy was made, and what to do. */
export function failedWords({ code }: NonNullable<Snapshots['failed']>): string {
  return { no_room: m.copy_no_room, not_good: m.copy_not_good, disk: m.copy_disk }[code]();
}

/** What a repair has lost, moved or has still to do: a sentence each. */
export function repairWords(repair: Repair, left: Snapshots, language: string): string[] {
  const now = Date.now();
  const at = repair.snapshot_at_ms ?? null;
  const snapshot = at === null ? '' : moment(at, language, now);
  const partly = repair.tables_partly.length;
  return [
    at === null ? m.repair_from_nothing() : m.repair_from({ snapshot }),
    m.repair_entries({ count: repair.entries_salvaged + repair.entries_waiting }),
    left.entries_waiting > 0 ? m.repair_waiting({ count: left.entries_waiting }) : '',
    repair.entries_aside > 0 ? m.repair_aside({ count: repair.entries_aside }) : '',
    accounts(repair, snapshot),
    partly > 0 ? m.repair_partly({ count: partly }) : '',
    left.blobs_unread > 0
      ? m.repair_unread({ count: left.blobs_unread })
      : m.repair_read({ count: repair.blobs_unread }),
    repair.files_unknown > 0 ? m.repair_unknown({ count: repair.files_unknown }) : '',
    m.repair_kept({ folder: `damaged/${repair.folder}` }),
  ].filter(Boolean);
}

function accounts(repair: Repair, snapshot: string): string {
  if (repair.are_accounts_whole) return m.alarm_accounts_whole();
  return snapshot ? m.alarm_accounts_old({ snapshot }) : m.alarm_accounts_gone();
}
