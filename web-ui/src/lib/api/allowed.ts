import { m } from '$lib/paraglide/messages';
import { getLocale } from '$lib/paraglide/runtime';

/** What the hub says is allowed in a timetable, for programs; here for people. */
export const ALLOWED: Record<string, () => string> = {
  'a day from 2000-01-01 to 2100-12-31': m.allowed_date_range,
  'a time after its start': m.allowed_after_start,
  'numbers that rise with time, and times that do not overlap': m.allowed_times_rise,
  '1 (Monday) to 7 (Sunday)': m.allowed_weekday,
  'the number of one of the periods': m.allowed_a_period,
  'the id of one of the classes': m.allowed_a_class,
  'ids of the classes': m.allowed_classes,
  'live, recorded, embedded, observe': m.allowed_remote_mode,
  'a day from which the class follows no other plan in this subject': m.allowed_one_plan,
  'another lesson of that day, or to_period instead': m.allowed_other_or_period,
  'another lesson than slot_id': m.allowed_other_lesson,
  'another day than date, or nothing': m.allowed_other_date,
  'a lesson of with_date': m.allowed_lesson_of_other_date,
  'a lesson of the cycle that date has and with_date has not': m.allowed_first_swapped,
  'a lesson of the cycle that with_date has and date has not': m.allowed_second_swapped,
  'a day from date on': m.allowed_from_date_on,
  'days that no other holiday or examination has': m.allowed_no_other_pause,
  'days that make up for no other day': m.allowed_no_makeup,
  'the day whose lessons are taught, or weekday instead': m.allowed_day_or_weekday,
  'another day than date': m.allowed_not_this_day,
  'a day that makes up for no other day yet': m.allowed_one_makeup,
  'a day that does not itself make up for one': m.allowed_no_chain,
  'a day that no other day makes up for; change that one first': m.allowed_no_makeup_of_it,
  'a day that is no holiday and no examination': m.allowed_no_free_day,
  'the id of a lesson that is taught on that day': m.allowed_taught_then,
  'a lesson that is not replaced or cancelled on that day already': m.allowed_changed_once,
  'a name that no other class has': m.allowed_class_name,
  'a time within the next 24 hours': m.allowed_next_24_hours,
  'columns that give at least one lesson; look at the problems of the preview':
    m.allowed_some_lesson,
  'what it was but for mode and source; ask the academic office for the rest': m.allowed_own_change,
  'nothing, if with_date is said': m.allowed_no_with_date,
  'nothing, if follows_date is said': m.allowed_no_follows_date,
  'a plan of lessons that is offered': m.allowed_offered_plan,
};

type Parts = (found: string[]) => string;

/** What it says with numbers, days and names in it. */
const PATTERNS: readonly (readonly [RegExp, Parts])[] = [
  [/^(\d+) to (\d+) characters/, (part) =>
    m.allowed_chars({ from: part[1] ?? '', to: part[2] ?? '' })],
  [/^at most (\d+)( characters)?$/, (part) => m.allowed_most({ count: part[1] ?? '' })],
  [/^(\d+) to (\d+)$/, (part) => m.allowed_range({ from: part[1] ?? '', to: part[2] ?? '' })],
  [/^(\d+) to (\d+) of (a-z.*)$/, (part) =>
    m.allowed_letters({ from: part[1] ?? '', to: part[2] ?? '', letters: part[3] ?? '' })],
  [/^a day of the term, (\S+) to (\S+)$/, (part) =>
    m.allowed_term_day({ from: part[1] ?? '', to: part[2] ?? '' })],
  [/^first_day to (\d+) days after it$/, (part) => m.allowed_term_length({ count: part[1] ?? '' })],
  [/^weeks of the cycle, 1 to (\d+)/, (part) => m.allowed_cycle_week({ count: part[1] ?? '' })],
  [/^what .+ fits; change or remove that first$/, () => m.allowed_in_use()],
  [/^days that no other term has; (.+) is from (\S+) to (\S+)$/, (part) =>
    m.allowed_other_term({ name: part[1] ?? '', from: part[2] ?? '', to: part[3] ?? '' })],
  [/^(\d{4}-\d\d-\d\d) or a later day/, (part) => m.allowed_today_on({ day: part[1] ?? '' })],
];

/**
 * What is allowed in a field, in the reader's language; empty if only English words say it and the
 * page is in another language.
 */
export function allowedWords(said: unknown): string {
  if (typeof said !== 'string') return '';
  const known = ALLOWED[said];
  if (known) return known();
  for (const [pattern, words] of PATTERNS) {
    const found = pattern.exec(said);
    if (found) return words(found);
  }
  return getLocale() === 'en' || !/[A-Za-z]{2}/.test(said) ? said : '';
}
