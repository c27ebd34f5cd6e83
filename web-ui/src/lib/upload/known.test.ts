import { describe, expect, it } from 'vitest';
import type { UploadState } from '$lib/api/types';
import { freshGroup, knownOf, lessonsOf } from './known';

const file = (name: string, size = 5) => ({ name, size });
const upload = (filename: string, group: UploadState['group'] = null): UploadState => ({
  id: filename, filename, offset: 1, length: 5, lesson_id: null, import_id: null,
  created_at: 1, group,
});
const part = (name: string, place: number) => upload(name, { id: 'g', files: 3, place });
const fresh = () => 'new';

describe('an upload that was cut off', () => {
  it('goes on for the same file alone', () => {
    const known = knownOf([file('a')], [part('a', 0), upload('a')], fresh);
    expect(known).toEqual({ group: null, files: [file('a')], uploads: [upload('a')] });
    expect(knownOf([file('a', 6)], [upload('a')], fresh).uploads).toEqual([undefined]);
  });

  it('goes on for the same files, in the order that they had', () => {
    const files = [file('a'), file('b'), file('c')];
    const known = knownOf(files, [upload('a'), part('c', 0), part('a', 2)], fresh);
    expect(known.group).toBe('g');
    expect(known.files.map((one) => one.name)).toEqual(['c', 'b', 'a']);
    expect(known.uploads.map((one) => one?.filename)).toEqual(['c', undefined, 'a']);
  });

  it('is another lesson if one file is another', () => {
    for (const files of [[file('a'), file('b')], [file('a'), file('b'), file('x')]]) {
      const known = knownOf(files, [part('a', 0), part('c', 1)], fresh);
      expect([known.group, known.uploads.every((one) => !one)]).toEqual(['new', true]);
    }
  });

  it('is shown as one lesson', () => {
    const lessons = lessonsOf([part('b', 1), upload('x'), part('a', 0)]);
    expect(lessons.map((one) => one.uploads.map((of) => of.id))).toEqual([['a', 'b'], ['x']]);
    expect(lessons[0]?.files).toBe(3);
  });

  it('gets a number that the hub takes', () => {
    expect(freshGroup()).toMatch(/^[0-9a-f]{32}$/);
  });
});
