/** What chosen files are, by their names, and whether they make one lesson. The hub looks at the
 * content and decides; this is only to ask before anything is sent. */

export type Kind = 'video' | 'sound' | 'document' | 'picture' | 'subtitles';
export type Trouble =
  | 'many_recordings'
  | 'film_and_pages'
  | 'mixed_files'
  | 'only_subtitles'
  | 'subtitles_without_sound'
  | 'too_many_subtitles'
  | 'too_many_files';
type Named = Pick<File, 'name' | 'type'>;

/** As many as the hub takes for one lesson. */
export const FILES_MAX = 100;
const SUBTITLES_MAX = 4;

const ENDINGS: Record<Exclude<Kind, 'video'>, string> = {
  sound: 'mp3 m4a wav aac flac ogg oga opus wma amr 3ga aif aiff caf ac3',
  document: 'pptx ppt pptm odp pdf zip pps ppsx',
  picture: 'jpg jpeg png webp gif bmp tif tiff heic heif avif',
  subtitles: 'srt vtt ass ssa',
};

/** Whatever is nothing else may be a video: recorders invent endings. */
export function kindOf(file: Named): Kind {
  const ending = file.name.toLowerCase().split('.').pop() ?? '';
  for (const [kind, endings] of Object.entries(ENDINGS)) {
    if (endings.split(' ').includes(ending)) return kind as Kind;
  }
  if (file.type.startsWith('image/')) return 'picture';
  return file.type.startsWith('audio/') ? 'sound' : 'video';
}

/** Why files do not make one lesson; null if they do. */
export function troubleOf(kinds: readonly Kind[]): Trouble | null {
  const count = (kind: Kind) => kinds.filter((one) => one === kind).length;
  const [videos, sounds, documents] = [count('video'), count('sound'), count('document')];
  const [pictures, subtitles] = [count('picture'), count('subtitles')];
  const hasPages = documents + pictures > 0;
  if (kinds.length > FILES_MAX) return 'too_many_files';
  if (subtitles > SUBTITLES_MAX) return 'too_many_subtitles';
  if (hasPages && videos > 0) return 'film_and_pages';
  if (videos + sounds > 1) return 'many_recordings';
  if (documents > 1 || (documents > 0 && pictures > 0)) return 'mixed_files';
  if (hasPages) return sounds === 0 && subtitles > 0 ? 'subtitles_without_sound' : null;
  return videos + sounds === 0 ? 'only_subtitles' : null;
}

/** Files as a lesson has them: what is shown or heard first, pages by number (2 before 10). */
export function inOrder<T extends Named>(files: readonly T[]): T[] {
  const names = new Intl.Collator('zh-Hans', { numeric: true });
  const rank: Kind[] = ['video', 'document', 'picture', 'sound', 'subtitles'];
  const of = (file: T) => rank.indexOf(kindOf(file));
  return [...files].sort((a, b) => of(a) - of(b) || names.compare(a.name, b.name));
}

/** A lesson for each recording and document, with the subtitles of its name; one for pictures. */
export function apart<T extends Named>(files: readonly T[]): T[][] {
  const of = (...kinds: Kind[]) => files.filter((file) => kinds.includes(kindOf(file)));
  const lessons = of('video', 'sound', 'document').map((file) => [file]);
  const pictures = of('picture');
  if (pictures.length > 0) lessons.push(pictures);
  const stem = (file: T) => file.name.replace(/(\.[^.]+)?\.[^.]*$/, '');
  for (const subtitles of of('subtitles')) {
    const owner = lessons.find(
      ([first]) => first && ['video', 'sound'].includes(kindOf(first)) && begins(subtitles, first),
    );
    owner?.push(subtitles);
  }
  return lessons;

  function begins(subtitles: T, owner: T): boolean {
    return owner.name.startsWith(stem(subtitles)) || stem(owner) === stem(subtitles);
  }
}

/** Moves one to another place. */
export function moved<T>(list: readonly T[], from: number, to: number): T[] {
  const rest = list.filter((_, index) => index !== from);
  const one = list[from];
  if (one === undefined || to < 0 || to > rest.length) return [...list];
  return [...rest.slice(0, to), one, ...rest.slice(to)];
}
