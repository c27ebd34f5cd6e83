import type { Alarm } from './alarms';
import type { CourierImport, Drive, Export, Target } from './courier';
import type { Night, NightSummary, NightWarning, PlanLine, Scrub } from './night';
import type { components } from './schema';
import type {
  Conflict,
  Entry,
  Follow,
  Import,
  Offer,
  Period,
  SchoolClass,
  TermName,
  TimetableDay,
} from './timetable';
import type { Whole } from './types';

type Said = components['schemas'];

/** Compiles only while what the hub says can be read as what the screens use. */
type Fits<Ours, Theirs extends Ours> = Theirs;
/** As the screens use it, with the unions that a schema calls by another name left out. */
type But<T, Left extends keyof T> = Omit<T, Left>;

/** The shapes that are written by hand beside the generated ones, held against them. */
export type Agreement = [
  Fits<Period, Whole<Said['Period']>>,
  Fits<SchoolClass, Whole<Said['Class']>>,
  Fits<TermName, Whole<Said['TermName']>>,
  Fits<Follow, Whole<Said['Follow']>>,
  Fits<Conflict, Whole<Said['Conflict']>>,
  Fits<But<Entry, 'readiness'>, Whole<Said['Entry']>>,
  Fits<But<TimetableDay, 'entries'>, Whole<Said['DayShown']>>,
  Fits<Offer, Whole<Said['Offer']>>,
  Fits<But<Import, 'columns'>, Whole<Said['Import']>>,
  Fits<NightSummary, Whole<Said['NightSummary']>>,
  Fits<NightWarning, Whole<Said['NightWarning']>>,
  Fits<PlanLine, Whole<Said['NightStep']>>,
  Fits<But<Night, 'entries' | 'warnings' | 'plan'>, Whole<Said['NightView']>>,
  Fits<Scrub, Whole<Said['ScrubState']>>,
  Fits<Alarm, Whole<Said['Alarm']>>,
  Fits<Target, Whole<Said['CourierTarget']>>,
  Fits<Drive, Whole<Said['Drive']>>,
  Fits<Export, Whole<Said['CourierExport']>>,
  Fits<CourierImport, Whole<Said['CourierImport']>>,
];
