import type { Stretch, Timeline } from '$lib/api/types';

/** Things that begin at a time, in order of time. */
type Placed = readonly { at_ms: number }[];

/** The last that has begun by `ms`; before the first, the first; -1 if there is none. */
export function indexAt(placed: Placed, ms: number): number {
  let [low, high] = [0, placed.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((placed[middle]?.at_ms ?? Infinity) <= ms) low = middle;
    else high = middle - 1;
  }
  return high;
}

/** The last chapter that has begun by `ms`: before the first one there is no title. */
export function chapterAt(chapters: Timeline['chapters'], ms: number): string | null {
  const chapter = chapters[indexAt(chapters, ms)];
  return chapter && chapter.at_ms <= ms ? chapter.title : null;
}

/** Where the neighbour of the slide at `ms` begins; null beyond the first and the last. */
export function turnFrom(slides: Placed, ms: number, by: 1 | -1): number | null {
  return slides[indexAt(slides, ms) + by]?.at_ms ?? null;
}

export function isMissingAt(stretches: readonly Stretch[], ms: number): boolean {
  return stretches.some(([from, to]) => from <= ms && ms < to);
}

/** More marks than this on the bar cannot be told apart; a track has pieces of about 4 s. */
const STRETCHES_MAX = 300;

/** As much of the stretches as lies within the lesson, in percent of its length. */
export function onBar(
  stretches: readonly Stretch[],
  duration_ms: number,
): { left: number; width: number }[] {
  if (duration_ms <= 0) return [];
  const inside = (ms: number) => Math.min(Math.max(ms, 0), duration_ms);
  return stretches
    .map(([from, to]) => [inside(from), inside(to)] as const)
    .filter(([from, to]) => to > from)
    .slice(0, STRETCHES_MAX)
    .map(([from, to]) => ({
      left: (from / duration_ms) * 100,
      width: ((to - from) / duration_ms) * 100,
    }));
}

/** The number of the thumbnail that shows `ms`. */
export function thumbAt(thumbs: Timeline['thumbs'], ms: number): number | null {
  if (!thumbs || thumbs.count === 0 || thumbs.every_ms <= 0) return null;
  return Math.min(Math.max(0, Math.floor(ms / thumbs.every_ms)), thumbs.count - 1);
}

/** Columns of a waveform: finer than a phone's bar, coarse enough to be drawn at once. */
const COLUMNS_MAX = 400;

/** An SVG path of how loud the lesson is, 100 high and `columns` wide. */
export function wave(peaks: readonly number[]): { path: string; columns: number } {
  const columns = Math.min(peaks.length, COLUMNS_MAX);
  const heights = Array.from({ length: columns }, (_, column) => {
    const from = Math.floor((column * peaks.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * peaks.length) / columns));
    return Math.max(...peaks.slice(from, to)) / 2.55;
  });
  const steps = heights.map((height) => `V${Math.round(100 - height)}h1`).join('');
  return { path: columns > 0 ? `M0 100${steps}V100Z` : '', columns };
}
