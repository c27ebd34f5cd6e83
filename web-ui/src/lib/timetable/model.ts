import type {
  Entry,
  Exception,
  Period,
  SchoolClass,
  Slot,
  SlotLesson,
  Term,
  TimeOfDay,
  TimetableDay,
} from '$lib/api/timetable';

/** The lessons of one period. */
export interface PeriodRow {
  period: Period;
  starts_at: number;
  ends_at: number;
  entries: Entry[];
}

/** Lessons by period, in the order of the day; classes in the order of the list. */
export function byPeriod(entries: readonly Entry[]): PeriodRow[] {
  const rows = new Map<number, PeriodRow>();
  for (const entry of entries) {
    const row = rows.get(entry.period.no) ?? {
      period: entry.period,
      starts_at: entry.starts_at,
      ends_at: entry.ends_at,
      entries: [],
    };
    row.entries.push(entry);
    rows.set(entry.period.no, row);
  }
  return [...rows.values()].sort(
    (one, other) => one.starts_at - other.starts_at || one.period.no - other.period.no,
  );
}

export function minutesOf(time: TimeOfDay): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

export type When = 'past' | 'now' | 'next' | 'later';

/** The teacher looks five minutes before the bell: then the next lesson is the present one. */
const EARLY_MS = 5 * 60_000;

/** Where each row, in the order of the day, stands at a moment. */
export function placeInDay(rows: readonly PeriodRow[], now_ms: number): When[] {
  const begun = (row: PeriodRow) => row.starts_at - EARLY_MS <= now_ms;
  const current = rows.reduce(
    (found, row, index) => (begun(row) && now_ms < row.ends_at ? index : found),
    -1,
  );
  const next = rows.findIndex((row) => !begun(row));
  return rows.map((row, index) => {
    if (index === current) return 'now';
    if (begun(row)) return 'past';
    return index === next ? 'next' : 'later';
  });
}

/** The lessons of a class, or of all, on a day and in a period. */
export function cell(day: TimetableDay, period: number, class_id: string): Entry[] {
  return day.entries.filter(
    (one) => one.period.no === period && (class_id === '' || one.class.id === class_id),
  );
}

/** A lesson apart from its day. */
export function lessonOf(slot: Slot): SlotLesson {
  const { period, class_id, room, subject, lead, tutor, mode, source } = slot;
  return { period, class_id, room, subject, lead, tutor, mode, source };
}

/** A new lesson as like its neighbours as can be known. */
export function emptySlot(term: Term, class_id: string, weekday: number, period: number): Slot {
  const chosen = term.classes.find((one) => one.id === class_id) ?? term.classes[0];
  return {
    id: newId(),
    weekday,
    period,
    weeks: [],
    class_id: chosen?.id ?? '',
    room: chosen?.room ?? '',
    subject: 'chinese',
    lead: '',
    tutor: '',
    mode: 'local',
    source: { kind: 'none' },
  };
}

export function emptyClass(): SchoolClass {
  return { id: newId(), name: '', grade: '4', pupils: 40, room: '' };
}

/** An id that nobody else makes: 16 random bytes. Works without HTTPS, as classroom panels need. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The usual day of a village school, to begin with (DOMAIN §3.4). */
export function usualPeriods(): Period[] {
  const times: [TimeOfDay, TimeOfDay][] = [
    ['08:30', '09:10'],
    ['09:20', '10:00'],
    ['10:30', '11:10'],
    ['11:20', '12:00'],
    ['14:30', '15:10'],
    ['15:20', '16:00'],
  ];
  return times.map(([start, end], index) => ({ no: index + 1, start, end, name: '' }));
}

/** Why times of periods cannot be: the first period that ends before it starts, or overlaps. */
export function wrongPeriod(periods: readonly Period[]): number | null {
  const sorted = [...periods].sort((one, other) => minutesOf(one.start) - minutesOf(other.start));
  let free_from = 0;
  for (const period of sorted) {
    const start = minutesOf(period.start);
    if (start >= minutesOf(period.end) || start < free_from) return period.no;
    free_from = minutesOf(period.end);
  }
  return null;
}

/** Exceptions from a day on, the soonest first; what is over comes last. */
export function sortedExceptions(all: readonly Exception[], today: string): Exception[] {
  const isOver = (one: Exception) => (one.date < today ? 1 : 0);
  return [...all].sort(
    (one, other) => isOver(one) - isOver(other) || one.date.localeCompare(other.date),
  );
}
