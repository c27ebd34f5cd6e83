/** Remembers in this browser where each lesson was left. */

type Store = Pick<Storage, 'getItem' | 'setItem'>;
type Places = Record<string, { ms: number; at: number }>;

const KEY = 'yingxue.places';
/** About a term of one teacher's lessons; the longest unseen is forgotten first. */
export const PLACES_MAX = 200;
/** Nearer to an end than this, a lesson starts from its beginning. */
const EDGE_MS = 5_000;

/** The place to go on from, or 0. */
export function placeOf(store: Store, lesson: string, duration_ms: number): number {
  const ms = read(store)[lesson]?.ms ?? 0;
  return ms > EDGE_MS && ms < duration_ms - EDGE_MS ? ms : 0;
}

export function keepPlace(store: Store, lesson: string, ms: number, now: number): void {
  const places = { ...read(store), [lesson]: { ms: Math.round(ms), at: now } };
  const newest = Object.entries(places).sort(([, a], [, b]) => b.at - a.at);
  try {
    store.setItem(KEY, JSON.stringify(Object.fromEntries(newest.slice(0, PLACES_MAX))));
  } catch {
    // A browser that keeps nothing only forgets the place.
  }
}

function read(store: Store): Places {
  try {
    const kept: unknown = JSON.parse(store.getItem(KEY) ?? '{}');
    return typeof kept === 'object' && kept !== null ? (kept as Places) : {};
  } catch {
    return {};
  }
}
