import type { Day } from '$lib/api/timetable';

const DAY_MS = 86_400_000;
const TAGS: Record<string, string> = { zh: 'zh-CN', en: 'en-GB' };

/** A day is a name, not a moment: it is counted in UTC, so that no clock change moves it. */
const at = (day: Day): number => Date.parse(`${day}T00:00:00Z`);
const named = (ms: number): Day => new Date(ms).toISOString().slice(0, 10);

export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(at(text)) && named(at(text)) === text;
}

export function addDays(day: Day, count: number): Day {
  return named(at(day) + count * DAY_MS);
}

/** 1 is Monday, 7 is Sunday. */
export function weekdayOf(day: Day): number {
  return new Date(at(day)).getUTCDay() || 7;
}

export function mondayOf(day: Day): Day {
  return addDays(day, 1 - weekdayOf(day));
}

/** The day of this browser's clock. */
export function dayOf(now: Date): Day {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** The week of the cycle (from 1) that a day lies in; the term's first week is the first. */
export function weekOf(day: Day, first_day: Day, cycle_weeks: number): number {
  const weeks = Math.round((at(mondayOf(day)) - at(mondayOf(first_day))) / (7 * DAY_MS));
  return (((weeks % cycle_weeks) + cycle_weeks) % cycle_weeks) + 1;
}

function format(day: Day, language: string, parts: Intl.DateTimeFormatOptions): string {
  const all = { ...parts, timeZone: 'UTC' };
  return new Intl.DateTimeFormat(TAGS[language] ?? language, all).format(at(day));
}

/** `周一`, `Mon`. */
export function weekdayWords(weekday: number, language: string): string {
  // The first of June 2026 is a Monday.
  return format(addDays('2026-06-01', weekday - 1), language, { weekday: 'short' });
}

/** `11月23日周一`, `Mon, 23 Nov`. */
export function dayWords(day: Day, language: string): string {
  return format(day, language, { month: 'short', day: 'numeric', weekday: 'short' });
}

/** `11月23日`, `23 Nov`. */
export function dateWords(day: Day, language: string): string {
  return format(day, language, { month: 'short', day: 'numeric' });
}
