import type { Day, ImportTarget } from '$lib/api/timetable';
import { addDays, dayOf } from './days';

/** A school's usual term: 20 weeks, the last of them to its Sunday. */
export const TERM_DAYS = 139;

/** Where an imported timetable goes; a term that is named is replaced, else one is made. */
export interface Target {
  term_id: string;
  name: string;
  first_day: Day;
  last_day: Day;
}

export function newTarget(): Target {
  const today = dayOf(new Date());
  return { term_id: '', name: '', first_day: today, last_day: addDays(today, TERM_DAYS) };
}

/** As the hub is told. */
export function targetOf({ term_id, ...term }: Target): ImportTarget {
  return term_id ? { term_id } : { term };
}
