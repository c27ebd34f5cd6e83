import { describe, expect, it } from 'vitest';
import en from '../../../messages/en.json';
import zh from '../../../messages/zh.json';
import { PROBLEM_WORDS, Problem, problemWords } from '$lib/api/problem';
import { JOB_WORDS, jobWords } from '$lib/upload/job_words';
import { NOTE_WORDS, noteWords } from '$lib/upload/note_words';
import { GRADES, SUBJECTS, gradeWords, subjectWords } from './subjects';

const chinese: Record<string, string> = zh;
const english: Record<string, string> = en;
const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

describe('both languages', () => {
  it('have the same keys', () => {
    expect(Object.keys(english).sort()).toEqual(Object.keys(chinese).sort());
  });

  it('leave nothing empty and fill the same holes', () => {
    for (const [key, text] of Object.entries(chinese)) {
      expect(text, key).not.toBe('');
      expect(english[key], key).not.toBe('');
      expect(holes(english[key] ?? ''), key).toEqual(holes(text));
    }
  });

  it('name every problem, subject and grade', () => {
    const keys = [
      ...SUBJECTS.flatMap((subject) => [`subject_${subject}`, `glyph_${subject}`]),
      ...GRADES.map((grade) => `grade_${grade}`),
    ];
    for (const key of keys) expect(chinese[key], key).toBeTypeOf('string');
    for (const subject of SUBJECTS) expect(subjectWords(subject)).not.toBe(subject);
    for (const grade of GRADES) expect(gradeWords(grade)).not.toBe(grade);
    for (const [code, words] of Object.entries({ ...PROBLEM_WORDS, ...JOB_WORDS })) {
      const said = words({ field: '', allowed: '', found: '', seconds: '' });
      expect([chinese, english].map((all) => all[`problem_${code}`]?.replace(/\{\w+\}/g, '')), code)
        .toContain(said);
    }
  });

  it('name everything that an import keeps or leaves out', () => {
    for (const [code, words] of Object.entries(NOTE_WORDS)) {
      expect([chinese, english].map((all) => all[`kept_${code}`]), code).toContain(words());
    }
    const twice = { code: 'captions_kept', text: 'x' };
    expect(noteWords([twice, twice, { code: 'new', text: 'y' }])).toEqual([
      NOTE_WORDS.captions_kept?.(),
      'y',
    ]);
  });

  it('use no ASCII punctuation between Chinese characters', () => {
    const wrong = Object.entries(chinese).filter(([, text]) => /\p{Script=Han}[,;:?]/u.test(text));
    expect(wrong).toEqual([]);
  });
});

describe('the words of a problem', () => {
  it('name the field and what is allowed', () => {
    const problem = new Problem('invalid_input', 422, '', { field: 'title', allowed: '1–200' });
    expect(problemWords(problem)).toContain('课题');
    expect(problemWords(problem)).toContain('1–200');
  });

  it('say what a job that is made but not published waits for', () => {
    const words = jobWords({ code: 'waiting_for_alliance', detail: 'x' });
    expect([chinese, english].map((all) => all.problem_waiting_for_alliance)).toContain(words);
  });

  it('fall back to the detail for a code that is new', () => {
    expect(problemWords(new Problem('brand_new', 422, 'Do this.'))).toBe('Do this.');
    expect(problemWords(new Error('internal text'))).toBe(chinese.problem_internal);
  });
});
