import type { Room, RoomUse } from '$lib/api/room';
import { m } from '$lib/paraglide/messages';
import { bytes } from '$lib/words/format';

/** How the room is, as bad as somebody has to see to it. */
export function roomKind({ state }: Room): 'ok' | 'warn' | 'bad' {
  return ({ enough: 'ok', making: 'warn', full: 'bad' } as const)[state];
}

/** Whether there is room, and what to do if there is none. */
export function roomWords(room: Room): string[] {
  const said = m.room_free({ free: bytes(room.free_bytes), reserve: bytes(room.reserve_bytes) });
  const kept = room.uses.find((use) => use.use === 'pinned');
  switch (room.state) {
    case 'enough':
      return [said, room.is_rest_waiting ? m.room_rest_waits() : ''].filter(Boolean);
    case 'making':
      return [said, m.room_making({ size: bytes(room.evictable_bytes) })];
    case 'full':
      return [said, m.room_full(), kept ? m.room_full_pinned({ size: bytes(kept.bytes) }) : '']
        .concat(m.room_full_next())
        .filter(Boolean);
  }
}

const USES: Record<RoomUse['use'], () => string> = {
  own: m.room_use_own,
  timetabled: m.room_use_timetabled,
  pinned: m.room_use_pinned,
  played: m.room_use_played,
  deleted: m.room_use_deleted,
  only_here: m.room_use_only_here,
  rest: m.room_use_rest,
};

/** What lessons are on the disk for. */
export function useWords({ use }: RoomUse): string {
  return USES[use]();
}
