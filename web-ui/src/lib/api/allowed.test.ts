import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { overwriteGetLocale } from '$lib/paraglide/runtime';
import { ALLOWED, allowedWords } from './allowed';
import { Problem, problemWords } from './problem';

const hub = (file: string) => readFileSync(`../hub/src/${file}`, 'utf8');
/** Where sentences over several lines of source go on. */
const joined = (source: string) => source.replace(/\\\n\s*/g, '');

beforeAll(() => overwriteGetLocale(() => 'zh'));
afterAll(() => overwriteGetLocale(() => 'zh'));

describe('what is allowed', () => {
  it('is said in Chinese for everything that a timetable refuses', () => {
    const source = joined(hub('timetable/check.rs').split('fn id(')[0] ?? '');
    const ensured = source.match(/ensure\([^;]*?\)[;\n?]|allowed = "[^"]*"/g)?.join('\n') ?? '';
    const sentences = [...ensured.matchAll(/"([^"]*)"/g)]
      .map((found) => found[1] ?? '')
      .filter((text) => /\w \w/.test(text) && !text.includes('{'));
    expect(sentences.length).toBeGreaterThan(20);
    const internal = 'an id that no lesson of the timetable has';
    for (const one of sentences.filter((one) => one !== internal)) {
      expect(allowedWords(one), one).toMatch(/\p{Script=Han}/u);
    }
  });

  it('knows no sentence that the hub does not say', () => {
    const files = ['check', 'entries', 'own', 'import'].map((name) => `timetable/${name}.rs`);
    const source = [...files, 'night/policy.rs', 'night/pins.rs', 'night.rs'].map(hub).map(joined);
    for (const sentence of Object.keys(ALLOWED)) {
      expect(source.some((text) => text.includes(sentence)), sentence).toBe(true);
    }
  });

  it('has its numbers and days', () => {
    expect(allowedWords('1 to 60 characters, no line breaks')).toBe('1–60 个字');
    expect(allowedWords('a day of the term, 2026-09-01 to 2027-01-20')).toContain('2027-01-20');
    expect(allowedWords("2 to 32 of a-z, 0-9, '.', '_', '-'")).toContain('a-z');
    expect(allowedWords('1–200')).toBe('1–200');
  });

  it('is never English in Chinese, nor a name of the program', () => {
    const refused = (field: string, allowed: string) =>
      problemWords(new Problem('invalid_input', 422, '', { field, allowed }));
    expect(refused('follows_date', 'another day than date')).toBe(
      '“按哪一天的课上”填写有误。允许：另一天，不能是当天',
    );
    expect(refused('group_place', 'something new')).toBe('“有一项”填写有误，请检查。');
    expect(refused('slot.room', '1 to 20 characters')).toBe('“教室”填写有误。允许：1–20 个字');
    overwriteGetLocale(() => 'en');
    expect(refused('group_place', 'something new')).toContain('something new');
    overwriteGetLocale(() => 'zh');
  });
});
