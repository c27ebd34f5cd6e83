import type { UploadState } from '$lib/api/types';

type Sized = Pick<File, 'name' | 'size'>;

/** What the hub has of some files from an upload that was cut off. */
export interface Known<T> {
  /** Holds the files of one lesson together; null for one file alone. */
  group: string | null;
  /** The files in the order that they were begun in. */
  files: T[];
  /** Where each goes on, by its place. */
  uploads: (UploadState | undefined)[];
}

/** An upload that has not become a lesson, of one file or of several. */
export interface Unfinished {
  key: string;
  uploads: UploadState[];
  /** How many files the lesson has. */
  files: number;
}

const isOf = (upload: UploadState, file: Sized) =>
  upload.filename === file.name && upload.length === file.size;

/**
 * Finds the upload of the very same files; their order then was the teacher's, so it is kept.
 * `fresh` makes the number of a new group.
 */
export function knownOf<T extends Sized>(
  files: readonly T[],
  unfinished: readonly UploadState[],
  fresh: () => string,
): Known<T> {
  const [only] = files;
  if (files.length === 1 && only) {
    const known = unfinished.find((one) => !one.group && isOf(one, only));
    return { group: null, files: [only], uploads: [known] };
  }
  for (const { key, uploads } of lessonsOf(unfinished)) {
    const found = uploads[0]?.group?.files === files.length && placed(files, uploads);
    if (found) return { group: key, ...found };
  }
  return { group: fresh(), files: [...files], uploads: files.map(() => undefined) };
}

/** Puts each file at the place that its upload has, the others into the gaps. */
function placed<T extends Sized>(files: readonly T[], uploads: readonly UploadState[]) {
  const rest = [...files];
  const places: (T | undefined)[] = files.map(() => undefined);
  const known: (UploadState | undefined)[] = files.map(() => undefined);
  for (const upload of uploads) {
    const index = rest.findIndex((file) => isOf(upload, file));
    const [file] = index < 0 ? [] : rest.splice(index, 1);
    const place = upload.group?.place ?? 0;
    if (!file) return null;
    places[place] = file;
    known[place] = upload;
  }
  const whole = places.map((file) => file ?? rest.shift()).filter((file) => file !== undefined);
  return { files: whole, uploads: known };
}

/** Puts the uploads of one lesson together, in their order. */
export function lessonsOf(uploads: readonly UploadState[]): Unfinished[] {
  const lessons = new Map<string, Unfinished>();
  for (const upload of uploads) {
    const key = upload.group?.id ?? upload.id;
    const lesson = lessons.get(key) ?? { key, uploads: [], files: upload.group?.files ?? 1 };
    lesson.uploads.push(upload);
    lesson.uploads.sort((a, b) => (a.group?.place ?? 0) - (b.group?.place ?? 0));
    lessons.set(key, lesson);
  }
  return [...lessons.values()];
}

/** 32 hex digits; works on plain HTTP, where `randomUUID` does not. */
export function freshGroup(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
