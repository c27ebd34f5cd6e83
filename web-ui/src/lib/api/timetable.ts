import { get, query, send, sendFile } from './client';
import type { components } from './schema';
import type { TierName } from './types';

/** `YYYY-MM-DD` in the school's own time. */
export type Day = string;
/** `HH:MM` in the school's own time. */
export type TimeOfDay = string;

export interface Period {
  no: number;
  start: TimeOfDay;
  end: TimeOfDay;
  name: string;
}

export interface SchoolClass {
  id: string;
  name: string;
  grade: string;
  pupils: number;
  room: string;
}

/** `local` is the school's own teacher alone; the others need something of another school. */
export const MODES = ['local', 'live', 'recorded', 'embedded', 'observe'] as const;
export type Mode = (typeof MODES)[number];

export type LessonSource =
  | { kind: 'lesson'; lesson_id: string }
  | { kind: 'offer'; offer_id: string }
  | { kind: 'none' };

/** What is taught, apart from the day. */
export interface SlotLesson {
  period: number;
  class_id: string;
  room: string;
  /** A subject as lessons have it, or a word of this school such as 班会. */
  subject: string;
  lead: string;
  tutor: string;
  mode: Mode;
  source: LessonSource;
}

/** A lesson of the cycle. */
export interface Slot extends SlotLesson {
  id: string;
  /** 1 is Monday. */
  weekday: number;
  /** Weeks of the cycle, from 1; empty is every week. */
  weeks: number[];
}

/** Days without lessons; no class named is every class. */
interface Pause {
  until: Day | null;
  class_ids: string[];
  holds_cycle: boolean;
}

/** What is otherwise on one date. */
export type Change =
  | ({ kind: 'holiday' } & Pause)
  | ({ kind: 'exam' } & Pause)
  | { kind: 'makeup'; follows_date: Day | null; weekday: number | null; week: number | null }
  | {
      kind: 'swap';
      slot_id: string;
      with_slot_id: string | null;
      to_period: number | null;
      /** The day of the other lesson, if it is another day. */
      with_date?: Day | null;
    }
  | { kind: 'replace'; slot_id: string; slot: SlotLesson }
  | { kind: 'cancel'; slot_id: string }
  | { kind: 'add'; slot: SlotLesson };

export type ExceptionKind = Change['kind'];

export type Exception = {
  id: string;
  date: Day;
  note: string;
  written_at?: number;
  written_by?: string;
} & Change;

/** From a date on, a class takes a subject as a lead teacher plans it. */
export interface Follow {
  id: string;
  class_id: string;
  subject: string;
  offer_id: string;
  from: Day;
  mode: Mode;
}

export interface Term {
  id: string;
  name: string;
  first_day: Day;
  last_day: Day;
  periods: Period[];
  classes: SchoolClass[];
  cycle_weeks: number;
  slots: Slot[];
  exceptions: Exception[];
  follows: Follow[];
}

export type TermFields = Pick<
  Term,
  'name' | 'first_day' | 'last_day' | 'periods' | 'cycle_weeks'
>;

export interface TermName {
  id: string;
  name: string;
  first_day: Day;
  last_day: Day;
}

/** Two lessons at one time that should not be; told, not refused. */
export interface Conflict {
  kind: components['schemas']['ConflictKind'];
  name: string;
  /** The day, if only an exception makes it. */
  date: Day | null;
  weekday: number;
  period: number;
  weeks: number[];
  slot_ids: string[];
}

export interface Changed {
  term: Term;
  conflicts: Conflict[];
}

export type Reason =
  | 'not_arrived'
  | 'importing'
  | 'import_failed'
  | 'no_lesson'
  | 'damaged'
  | 'deleted'
  | 'disk_full'
  | 'no_contact'
  | 'disk_fails';

export type NextStep =
  | 'none'
  | 'wait'
  | 'choose_lesson'
  | 'courier'
  | 'make_room'
  | 'reconnect'
  | 'ask_lead'
  | 'check_disk';

export interface Forecast {
  complete_at: number | null;
  /** How sure that is, 0 to 1. */
  probability_percent: number;
  tier: TierName;
}

/** Whether a timetabled lesson can be taught, and what to do if not. */
export interface EntryReadiness {
  state: 'ready' | 'ready_at' | 'not_ready';
  tier: TierName | null;
  preferred_tier: TierName;
  reason: Reason | null;
  next_step: NextStep;
  forecast: Forecast | null;
  verified_bytes: number;
  total_bytes: number;
  checked_at: number | null;
  /** It is being read off the disk just now: nothing is green before that is done. */
  is_checking: boolean;
}

/** A lesson's place in the plan that the class follows. */
export interface Planned {
  offer_id: string;
  offer_title: string;
  title: string;
  no: number;
  total: number;
  school: string;
}

export type PlanNotice =
  | 'lesson_deleted'
  | 'offer_withdrawn'
  | 'item_withdrawn'
  | 'offer_missing'
  | 'plan_ended';

/** One lesson of one class on one day. */
export interface Entry {
  slot_id: string;
  period: Period;
  starts_at: number;
  ends_at: number;
  class: Omit<SchoolClass, 'room'>;
  room: string;
  subject: string;
  lead: string;
  tutor: string;
  mode: Mode;
  lesson: { id: string; title: string; school: string } | null;
  planned: Planned | null;
  notice: PlanNotice | null;
  /** Nothing for a lesson of the own teacher alone. */
  readiness: EntryReadiness | null;
  is_exception: boolean;
}

export interface TimetableDay {
  date: Day;
  weekday: number;
  week: number | null;
  cycle_week: number | null;
  kind: 'school' | 'free' | 'holiday' | 'exam' | 'makeup' | 'outside_term';
  /** True if any class has a lesson. */
  is_school_day: boolean;
  note: string;
  entries: Entry[];
}

export interface OfferItem {
  key: string;
  title: string;
  lesson_id: string | null;
  date: Day | null;
  /** Taken out; classes that follow the plan keep its place. */
  is_withdrawn?: boolean;
}

/** A lead teacher's plan of lessons. */
export interface Offer {
  id: string;
  title: string;
  subject: string;
  grade: string;
  textbook: string;
  school: string;
  items: OfferItem[];
  is_own_school: boolean;
  /** Not offered any more; who follows it goes on to the end of the term. */
  is_withdrawn: boolean;
}

export type OfferFields = Pick<Offer, 'title' | 'subject' | 'grade' | 'textbook' | 'items'>;

export type Layout = 'list' | 'grid' | 'rows';

export interface ImportColumn {
  /** From 1, as spreadsheets count. */
  index: number;
  header: string;
  guess: string | null;
  samples: string[];
}

export type ImportProblemCode = components['schemas']['ImportProblemCode'];

export interface ImportProblem {
  sheet: string;
  row: number | null;
  column: number | null;
  code: ImportProblemCode;
  what: string;
  value: string;
}

export interface Import {
  import_id: string;
  kind: 'cses' | 'xlsx' | 'xls' | 'ods' | 'csv';
  filename: string;
  /** None for CSES, which says itself what it holds. */
  layout: Layout | null;
  header_row: number | null;
  columns: ImportColumn[];
  preview: {
    name: string | null;
    cycle_weeks: number;
    periods: Period[];
    has_times: boolean;
    classes: { name: string; grade: string; pupils: number }[];
    slots: DraftSlot[];
    /** The first of them. */
    problems: ImportProblem[];
    problems_total: number;
  };
}

/** A lesson as a file has it; its class is named, not yet known. */
export interface DraftSlot {
  class: string;
  weekday: number;
  period: number;
  weeks: number[];
  subject: string;
  lead: string;
  tutor: string;
  room: string;
  mode: Mode;
}

/** How a file is to be read; all of it is said each time. */
export interface ImportChoice {
  layout?: Layout;
  header_row?: number;
  columns?: Record<string, string>;
  class_name?: string;
  cycle_weeks?: number;
}

/** Where it goes: a new term, or in place of the cycle of one that is there. */
export type ImportTarget =
  | { term_id: string }
  | { term: { name: string; first_day: Day; last_day: Day } };

/** What the one who asks may change: everything, or the own lessons and what they wrote of them. */
export type MayChange = components['schemas']['MayChange'];
export type Undoable = components['schemas']['Undo'];

interface TimetableNow {
  term: Term | null;
  terms: TermName[];
  conflicts: Conflict[];
  today: Day;
  may_change: MayChange;
}

const id = encodeURIComponent;
type Part = 'slots' | 'exceptions' | 'classes' | 'follows';

/** The calls of the hub's timetable. */
export const timetable = {
  now: () =>
    get<TimetableNow>('/timetable'),
  /** With `check` its lessons are read off the disk, for somebody who opens the page. */
  day: (date?: Day, check?: true) =>
    get<TimetableDay>(`/timetable/day${query({ date, check })}`),
  week: (date: Day) => get<{ days: TimetableDay[] }>(`/timetable/week${query({ date })}`),
  addTerm: (body: TermFields) => send<Changed>('POST', '/timetable/terms', body),
  changeTerm: (term: string, body: Partial<TermFields>) =>
    send<Changed>('PATCH', `/timetable/terms/${id(term)}`, body),
  /** Makes or replaces one entry of a part of the term. */
  put: (term: string, part: Part, entry: { id: string }) =>
    send<Changed>('PUT', `/timetable/terms/${id(term)}/${part}/${id(entry.id)}`, entry),
  drop: (term: string, part: Part, entry: string) =>
    send<Changed>('DELETE', `/timetable/terms/${id(term)}/${part}/${id(entry)}`),
  undos: () => get<{ items: Undoable[] }>('/timetable/undos'),
  undo: (undo_id: string) =>
    send<{ term: Term | null }>('POST', `/timetable/undo/${id(undo_id)}`),

  readFile: (file: File) =>
    sendFile<Import>(`/timetable/imports${query({ filename: file.name })}`, file),
  match: (import_id: string, body: ImportChoice) =>
    send<Import>('POST', `/timetable/imports/${id(import_id)}`, body),
  apply: (import_id: string, body: { mapping: ImportChoice } & ImportTarget) =>
    send<Changed & { undo_id: string }>(
      'POST',
      `/timetable/imports/${id(import_id)}/apply`,
      body,
    ),

  offers: () => get<{ items: Offer[] }>('/offers'),
  addOffer: (body: OfferFields) => send<Offer>('POST', '/offers', body),
  changeOffer: (offer: string, body: Partial<OfferFields & { is_withdrawn: boolean }>) =>
    send<Offer>('PATCH', `/offers/${id(offer)}`, body),
  withdrawOffer: (offer: string) => send<void>('DELETE', `/offers/${id(offer)}`),
};
