import type { LessonDetail, TrackKind } from '$lib/api/types';

type Media = Pick<LessonDetail, 'id' | 'tracks'>;

/**
 * The address of a part of a lesson, such as a picture or captions. It names the blob that is
 * meant: what is made anew under the same number is never taken for what this browser has kept.
 */
export function partOf(lesson: Media, kind: TrackKind, file: string): string {
  const track = lesson.tracks.find((one) => one.kind === kind);
  return `/media/${lesson.id}/${file}${track ? `?of=${track.blob_id}` : ''}`;
}

/** A picture's address, without the ending. */
export function pictureOf(lesson: Media, kind: 'slides' | 'thumbs', number: number): string {
  return partOf(lesson, kind, `${kind}/${number}`);
}

/** Puts an ending to it. */
export function ended(picture: string, ending: 'avif' | 'jpg'): string {
  const [path, of] = picture.split('?');
  return `${path}.${ending}${of ? `?${of}` : ''}`;
}
