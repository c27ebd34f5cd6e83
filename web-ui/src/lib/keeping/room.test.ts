import { describe, expect, it } from 'vitest';
import type { Room, RoomUse } from '$lib/api/room';
import { roomKind, roomWords, useWords } from './room';

const GIB = 1024 ** 3;
const room: Room = {
  state: 'enough',
  is_rest_waiting: false,
  free_bytes: 9 * GIB,
  reserve_bytes: 2 * GIB,
  lessons_bytes: 5 * GIB,
  evictable_bytes: 3 * GIB,
  uses: [],
  evicted: [],
};
const pinned: RoomUse = { use: 'pinned', lessons: 4, bytes: 7 * GIB };

describe('room on the disk', () => {
  it('is enough, being made, or wants somebody to do something', () => {
    const states = ['enough', 'making', 'full'] as const;
    expect(states.map((state) => roomKind({ ...room, state }))).toEqual(['ok', 'warn', 'bad']);
    expect(roomWords(room)).toHaveLength(1);
    expect(roomWords({ ...room, is_rest_waiting: true })).toHaveLength(2);
    expect(roomWords({ ...room, state: 'making' }).join()).toContain('不用操作');
    const full = roomWords({ ...room, state: 'full' }).join();
    expect(full).toContain('磁盘');
    expect(full).not.toContain('一直保留');
    expect(roomWords({ ...room, state: 'full', uses: [pinned] }).join()).toContain('一直保留');
  });

  it('has words for everything that lessons are kept for', () => {
    const uses = [
      'own', 'timetabled', 'pinned', 'played', 'deleted', 'only_here', 'rest',
    ] as const;
    const words = uses.map((use) => useWords({ ...pinned, use }));
    expect(new Set(words).size).toBe(uses.length);
  });
});
