import type { Import } from '$lib/api/timetable';
import { m } from '$lib/paraglide/messages';

/** What a column of a school's own file can hold. */
export const COLUMN_ROLES: Record<string, () => string> = {
  weekday: m.field_weekday,
  period: m.field_period,
  class: m.field_class,
  subject: m.field_subject,
  teacher: m.field_teacher,
  lead: m.field_lead,
  tutor: m.field_tutor,
  room: m.field_room,
  weeks: m.field_weeks,
  mode: m.field_mode,
  start: m.period_start,
  end: m.period_end,
  grade: m.field_grade,
  pupils: m.field_pupils,
};

/** Without these there is no lesson to place. */
const NEEDED = ['weekday', 'period', 'class', 'subject'];

/** The roles that a list needs and nobody has yet. */
export function missingRoles(roles: Record<number, string>): string[] {
  const taken = new Set(Object.values(roles));
  return NEEDED.filter((role) => !taken.has(role));
}

/** What the hub guessed, to begin with. */
export function guessedRoles(read: Import): Record<number, string> {
  return Object.fromEntries(read.columns.map((one) => [one.index, one.guess ?? '']));
}

/** A role belongs to one column: choosing it again takes it from the other. */
export function withRole(roles: Record<number, string>, index: number, role: string) {
  const others = Object.entries(roles).map(([key, value]) =>
    value === role && role !== '' ? [key, ''] : [key, value],
  );
  return { ...Object.fromEntries(others), [index]: role } as Record<number, string>;
}
