import { describe, expect, it } from 'vitest';
import type { Repair, Snapshots } from '$lib/api/snapshots';
import { copiesKind, failedWords, repairWords } from './words';

const repair: Repair = {
  at_ms: 1, why: 'pages', folder: '20261123-062000', snapshot_at_ms: 1_700_000_000_000,
  entries_of_snapshot: 10, entries_salvaged: 4, entries_waiting: 2, entries_aside: 0,
  epochs_salvaged: 0, tables_whole: 30, tables_partly: [], rows_salvaged: 50, rows_refused: 0,
  are_accounts_whole: true, manifests_salvaged: 0, blobs_unread: 7, files_unknown: 0,
};
const all: Snapshots = {
  items: [], is_late: false, is_running: false, failed: null, last_repair: repair,
  blobs_unread: 0, entries_waiting: 0,
};

describe('copies of the database', () => {
  it('are bad when late, and a warning when the last try failed', () => {
    const failed = { code: 'no_room', detail: 'full', at: 1 } as const;
    expect(copiesKind(all)).toBe('ok');
    expect(copiesKind({ ...all, failed })).toBe('warn');
    expect(copiesKind({ ...all, failed, is_late: true })).toBe('bad');
    const words = (['no_room', 'not_good', 'disk'] as const).map((code) =>
      failedWords({ ...failed, code }),
    );
    expect(new Set(words).size).toBe(3);
  });
});

describe('a repair', () => {
  it('says what was saved, and nothing of what did not happen', () => {
    const said = repairWords(repair, all, 'zh').join('\n');
    expect(said).toContain('damaged/20261123-062000');
    expect(said).toContain('6');
    expect(said).toContain('账号没有丢');
    expect(said).not.toContain('undefined');
    expect(repairWords(repair, all, 'zh')).toHaveLength(5);
  });

  it('says what is still to be done, and that accounts are old or gone', () => {
    const left = { ...all, blobs_unread: 3, entries_waiting: 2 };
    const worse = {
      ...repair, are_accounts_whole: false, entries_aside: 1, files_unknown: 5,
      tables_partly: ['pins'],
    };
    expect(repairWords(worse, left, 'zh')).toHaveLength(9);
    const nothing = { ...worse, snapshot_at_ms: null };
    expect(repairWords(nothing, left, 'zh').join()).toContain('账号可能缺失');
  });
});
