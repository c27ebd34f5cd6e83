import type { ImportProblem } from '$lib/api/timetable';
import { m } from '$lib/paraglide/messages';

type Words = (inputs: { value: string }) => string;

const WORDS: Record<string, Words> = {
  too_many_classes: m.import_too_many_classes,
  too_many_lessons: m.import_too_many_lessons,
  text_cut: m.import_text_cut,
  incomplete: m.import_incomplete,
  twice: m.import_twice,
  bad_weekday: m.import_bad_weekday,
  bad_period: m.import_bad_period,
  bad_weeks: m.import_bad_weeks,
  times_differ: m.import_times_differ,
  class_missing: m.import_class_missing,
  bad_mode: m.import_bad_mode,
  file_cut: m.import_file_cut,
  no_header: m.import_no_header,
  times_overlap: m.import_times_overlap,
  no_such_day: m.import_no_such_day,
  bad_time: m.import_bad_time,
  unknown_subject: m.import_unknown_subject,
};

/** What could not be understood in a file, and what is allowed there. */
export function importProblemWords({ code, what, value }: ImportProblem): string {
  return WORDS[code]?.({ value: value ?? '' }) ?? what;
}
