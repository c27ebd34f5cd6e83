import type { Import, Layout } from '$lib/api/timetable';
import { m } from '$lib/paraglide/messages';

/** What a column of a school's own file can hold, in either layout. */
export const COLUMN_ROLES: Record<string, () => string> = {
  weekday: m.field_weekday,
  period: m.field_period,
  start: m.period_start,
  end: m.period_end,
  weeks: m.field_weeks,
  class: m.field_class,
  subject: m.field_subject,
  lead: m.field_lead,
  tutor: m.field_tutor,
  room: m.field_room,
  mode: m.field_mode,
  lessons: m.column_lessons,
  grade: m.field_grade,
  pupils: m.field_pupils,
};

/** In a grid the days stand side by side. */
export const DAY_ROLES = [
  'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday',
] as const;

/** A column that counts for nothing. */
const IGNORED = 'ignored';

export type Roles = Record<number, string>;

/** Without these there is no lesson to place; a class may be named for the whole file, or by it. */
export function missingRoles(roles: Roles, layout: Layout, hasClass: boolean): string[] {
  const taken = new Set(Object.values(roles));
  const isByClass = taken.has('lessons');
  const hasDay = isByClass ? taken.has('weekday') : DAY_ROLES.some((role) => taken.has(role));
  const lacks = [
    layout === 'list' && !taken.has('weekday') ? 'weekday' : '',
    layout !== 'list' && !hasDay ? 'weekday' : '',
    layout === 'rows' || taken.has('period') || taken.has('start') ? '' : 'period',
    layout === 'list' && !taken.has('subject') ? 'subject' : '',
    isByClass || taken.has('class') || hasClass ? '' : 'class',
  ];
  return lacks.filter(Boolean);
}

/** What the hub guessed, to begin with. */
export function guessedRoles(read: Import): Roles {
  const role = (guess: string | null) => (guess === null || guess === IGNORED ? '' : guess);
  return Object.fromEntries(read.columns.map((one) => [one.index, role(one.guess)]));
}

/** A role belongs to one column: chosen again, it is taken from the other. Only lessons may stand
 * in many columns: one for each class, or for each period of a day. */
export function withRole(roles: Roles, index: number, role: string, layout: Layout): Roles {
  const isDay = DAY_ROLES.some((day) => day === role);
  const isMany = role === '' || role === 'lessons' || (layout === 'rows' && isDay);
  const others = Object.entries(roles).map(([key, value]) =>
    value === role && !isMany ? [key, ''] : [key, value],
  );
  return { ...Object.fromEntries(others), [index]: role } as Roles;
}

/** As the hub is told. */
export function columnsOf(roles: Roles): Record<string, string> {
  return Object.fromEntries(Object.entries(roles).map(([key, role]) => [key, role || IGNORED]));
}
