import { m } from '$lib/paraglide/messages';

/** The subjects a lesson can have, in the order of a school's timetable. */
export const SUBJECTS = [
  'chinese',
  'math',
  'english',
  'physics',
  'chemistry',
  'biology',
  'history',
  'geography',
  'politics',
  'science',
  'music',
  'art',
  'pe',
  'labour',
  'it',
  'other',
] as const;

/** Kindergarten, primary 1–6, junior 7–9, senior 10–12. */
export const GRADES = ['k', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12'] as const;

const words = m as unknown as Record<string, (() => string) | undefined>;

export function subjectWords(subject: string): string {
  return words[`subject_${subject}`]?.() ?? subject;
}

export function gradeWords(grade: string): string {
  return words[`grade_${grade}`]?.() ?? grade;
}

/** The one character that stands for a subject where there is no picture yet. */
export function subjectGlyph(subject: string): string {
  return words[`glyph_${subject}`]?.() ?? words.glyph_other?.() ?? '·';
}
