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

type Words = Record<string, () => string>;

const SUBJECT_WORDS: Words = {
  chinese: m.subject_chinese,
  math: m.subject_math,
  english: m.subject_english,
  physics: m.subject_physics,
  chemistry: m.subject_chemistry,
  biology: m.subject_biology,
  history: m.subject_history,
  geography: m.subject_geography,
  politics: m.subject_politics,
  science: m.subject_science,
  music: m.subject_music,
  art: m.subject_art,
  pe: m.subject_pe,
  labour: m.subject_labour,
  it: m.subject_it,
  other: m.subject_other,
};

const SUBJECT_GLYPHS: Words = {
  chinese: m.glyph_chinese,
  math: m.glyph_math,
  english: m.glyph_english,
  physics: m.glyph_physics,
  chemistry: m.glyph_chemistry,
  biology: m.glyph_biology,
  history: m.glyph_history,
  geography: m.glyph_geography,
  politics: m.glyph_politics,
  science: m.glyph_science,
  music: m.glyph_music,
  art: m.glyph_art,
  pe: m.glyph_pe,
  labour: m.glyph_labour,
  it: m.glyph_it,
  other: m.glyph_other,
};

const GRADE_WORDS: Words = {
  k: m.grade_k,
  1: m.grade_1,
  2: m.grade_2,
  3: m.grade_3,
  4: m.grade_4,
  5: m.grade_5,
  6: m.grade_6,
  7: m.grade_7,
  8: m.grade_8,
  9: m.grade_9,
  10: m.grade_10,
  11: m.grade_11,
  12: m.grade_12,
};

export function subjectWords(subject: string): string {
  return SUBJECT_WORDS[subject]?.() ?? subject;
}

export function gradeWords(grade: string): string {
  return GRADE_WORDS[grade]?.() ?? grade;
}

/** The one character that stands for a subject where there is no picture yet. */
export function subjectGlyph(subject: string): string {
  return (SUBJECT_GLYPHS[subject] ?? m.glyph_other)();
}
