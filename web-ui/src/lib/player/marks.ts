/** Places in lessons that one marked for oneself; they stay in this browser. */
export interface Mark {
  at_ms: number;
  note: string;
}

type Store = Pick<Storage, 'getItem' | 'setItem'>;
type Kept = Record<string, { marks: Mark[]; at: number }>;

const KEY = 'yingxue.marks';
/** More could not be told apart on the bar, nor found in a list. */
export const MARKS_MAX = 50;
/** About a term of one teacher's lessons; the longest unused are forgotten first. */
export const MARKED_LESSONS_MAX = 200;
/** A line of the list on a phone. */
export const NOTE_CHARS_MAX = 80;
/** Two marks nearer than this are the same place. */
const SAME_MS = 1_000;

export function marksOf(store: Store, lesson: string): Mark[] {
  const marks = read(store)[lesson]?.marks;
  return Array.isArray(marks) ? marks.filter(isMark).slice(0, MARKS_MAX) : [];
}

/** Keeps what is left of the marks after a change; false if this browser keeps nothing. */
export function keepMarks(store: Store, lesson: string, marks: Mark[], now: number): boolean {
  const all = read(store);
  delete all[lesson];
  const others = Object.entries(all).sort(([, a], [, b]) => b.at - a.at);
  const own: [string, Kept[string]][] = marks.length > 0 ? [[lesson, { marks, at: now }]] : [];
  try {
    const kept = Object.fromEntries([...own, ...others].slice(0, MARKED_LESSONS_MAX));
    store.setItem(KEY, JSON.stringify(kept));
    return true;
  } catch {
    return false;
  }
}

/** The marks with one more, in order of time; the same if that place is marked, or all are used. */
export function withMark(marks: Mark[], at_ms: number): Mark[] {
  const isMarked = marks.some((mark) => Math.abs(mark.at_ms - at_ms) < SAME_MS);
  if (isMarked || marks.length >= MARKS_MAX) return marks;
  const mark = { at_ms: Math.round(at_ms), note: '' };
  return [...marks, mark].sort((a, b) => a.at_ms - b.at_ms);
}

export function withNote(marks: Mark[], at_ms: number, note: string): Mark[] {
  const short = Array.from(note.trim()).slice(0, NOTE_CHARS_MAX).join('');
  return marks.map((mark) => (mark.at_ms === at_ms ? { ...mark, note: short } : mark));
}

function isMark(mark: unknown): mark is Mark {
  const { at_ms, note } = (mark ?? {}) as Partial<Mark>;
  return typeof at_ms === 'number' && Number.isFinite(at_ms) && typeof note === 'string';
}

function read(store: Store): Kept {
  try {
    const kept: unknown = JSON.parse(store.getItem(KEY) ?? '{}');
    return typeof kept === 'object' && kept !== null ? (kept as Kept) : {};
  } catch {
    return {};
  }
}
