import { describe, expect, it } from 'vitest';
import { apart, inOrder, kindOf, moved, troubleOf, type Kind } from './mixture';

const file = (name: string, type = '') => ({ name, type });
const names = (files: { name: string }[]) => files.map((one) => one.name);

describe('the files of a lesson', () => {
  it('are known by their endings, and else may be a video', () => {
    const kinds = ['课.MP4', 'a.m4a', 'b.pptx', 'c.JPG', 'd.srt', 'e', 'f.vro', 'g.3ga'];
    const expected: Kind[] = [
      'video', 'sound', 'document', 'picture', 'subtitles', 'video', 'video',
      'sound',
    ];
    expect(kinds.map((name) => kindOf(file(name)))).toEqual(expected);
    expect(kindOf(file('照片', 'image/jpeg'))).toBe('picture');
  });

  it('make one lesson, or are refused by what is wrong', () => {
    const cases: [Kind[], string | null][] = [
      [['video'], null],
      [['video', 'subtitles', 'subtitles'], null],
      [['picture', 'picture', 'sound', 'subtitles'], null],
      [['document', 'sound'], null],
      [['video', 'video'], 'many_recordings'],
      [['picture', 'sound', 'sound'], 'many_recordings'],
      [['video', 'picture'], 'film_and_pages'],
      [['document', 'document'], 'mixed_files'],
      [['document', 'picture'], 'mixed_files'],
      [['subtitles'], 'only_subtitles'],
      [['picture', 'subtitles'], 'subtitles_without_sound'],
      [['video', ...Array<Kind>(5).fill('subtitles')], 'too_many_subtitles'],
      [Array<Kind>(101).fill('picture'), 'too_many_files'],
    ];
    for (const [kinds, trouble] of cases) expect(troubleOf(kinds), kinds.join()).toBe(trouble);
  });

  it('are put in order by number, sound after the pages', () => {
    const files = ['声音.m4a', '板书10.jpg', '板书2.jpg'].map((name) => file(name));
    expect(names(inOrder(files))).toEqual(['板书2.jpg', '板书10.jpg', '声音.m4a']);
  });

  it('are taken apart into lessons, each with its own subtitles', () => {
    const all = ['一.mp4', '二.mp4', '二.zh.srt', '三.pdf', '1.jpg', '2.jpg'];
    const lessons = apart(all.map((name) => file(name))).map(names);
    expect(lessons).toEqual([['一.mp4'], ['二.mp4', '二.zh.srt'], ['三.pdf'], ['1.jpg', '2.jpg']]);
  });

  it('move one place and never out of the list', () => {
    expect(moved(['a', 'b', 'c'], 2, 0)).toEqual(['c', 'a', 'b']);
    expect(moved(['a', 'b'], 1, 2)).toEqual(['a', 'b']);
    expect(moved(['a', 'b'], 0, -1)).toEqual(['a', 'b']);
  });
});
