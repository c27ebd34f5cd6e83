import { expect, it } from 'vitest';
import type { LessonDetail } from '$lib/api/types';
import { ended, partOf, pictureOf } from './parts';

const lessonOf = (blob_id: string) =>
  ({ id: 'l', tracks: [{ kind: 'captions-1', blob_id }, { kind: 'thumbs', blob_id }] }) as
    LessonDetail;

it('names another address for what was made anew', () => {
  const [old, now] = ['aa', 'bb'].map((blob) => partOf(lessonOf(blob), 'captions-1', 'c.vtt'));
  expect([old, now]).toEqual(['/media/l/c.vtt?of=aa', '/media/l/c.vtt?of=bb']);
});

it('writes the ending of a picture before the name of its blob', () => {
  const lesson = lessonOf('aa');
  expect(ended(pictureOf(lesson, 'thumbs', 7), 'avif')).toBe('/media/l/thumbs/7.avif?of=aa');
  expect(ended(pictureOf(lesson, 'slides', 7), 'jpg')).toBe('/media/l/slides/7.jpg');
});
