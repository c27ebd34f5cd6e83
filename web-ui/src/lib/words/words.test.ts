import { describe, expect, it } from 'vitest';
import en from '../../../messages/en.json';
import zh from '../../../messages/zh.json';
import { JOB_CODES, PROBLEM_CODES, Problem, problemWords } from '$lib/api/problem';
import { GRADES, SUBJECTS } from './subjects';

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
      ...[...PROBLEM_CODES, ...JOB_CODES, 'unreachable'].map((code) => `problem_${code}`),
      ...SUBJECTS.flatMap((subject) => [`subject_${subject}`, `glyph_${subject}`]),
      ...GRADES.map((grade) => `grade_${grade}`),
    ];
    for (const key of keys) expect(chinese[key], key).toBeTypeOf('string');
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
    const words = problemWords(new Problem('waiting_for_alliance', 422, 'x'));
    expect([chinese, english].map((all) => all.problem_waiting_for_alliance)).toContain(words);
  });

  it('fall back to the detail for a code that is new', () => {
    expect(problemWords(new Problem('brand_new', 422, 'Do this.'))).toBe('Do this.');
    expect(problemWords(new Error('internal text'))).toBe(chinese.problem_internal);
  });
});
