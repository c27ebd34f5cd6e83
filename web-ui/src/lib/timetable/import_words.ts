import type { ImportProblem, ImportProblemCode } from '$lib/api/timetable';
import { m } from '$lib/paraglide/messages';

type Words = (inputs: { value: string }) => string;

export const IMPORT_WORDS: Record<ImportProblemCode, Words> = {
  too_many_classes: m.import_too_many_classes,
  too_many_lessons: m.import_too_many_lessons,
  text_cut: m.import_text_cut,
  incomplete: m.import_incomplete,
  twice: m.import_twice,
  no_time: m.import_no_time,
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
  no_label: m.import_no_label,
  in_break: m.import_in_break,
  no_lesson: m.import_no_lesson,
  words_left: m.import_words_left,
  column_twice: m.import_column_twice,
  cell_error: m.import_cell_error,
  sheet_unread: m.import_sheet_unread,
};

/** Where it stands in the file: 表名 第 3 行 第 4 列; empty for the whole file. */
export function placeWords({ sheet, row, column }: ImportProblem): string {
  const at = [
    sheet,
    row === null ? '' : m.row_no({ no: row }),
    column === null ? '' : m.column_no({ no: column }),
  ];
  return at.filter(Boolean).join(' ');
}

/** What could not be understood in a file, and what is allowed there. */
export function importProblemWords({ code, value }: ImportProblem): string {
  return IMPORT_WORDS[code]({ value });
}
