/** A stretch of a lesson: from, to (not included), in milliseconds. */
export type Stretch = [from_ms: number, to_ms: number];

/** What the hub says of a lesson in time: `GET /api/v1/lessons/{id}/timeline`. */
export interface Timeline {
  duration_ms: number;
  slides: { at_ms: number; is_here: boolean }[];
  slides_size: { width: number; height: number } | null;
  thumbs: { every_ms: number; count: number } | null;
  chapters: { at_ms: number; title: string }[];
  /** How loud each second is, 0 to 255. */
  peaks: number[] | null;
  captions: { n: number; language: string | null; is_here: boolean }[];
  /** What of each tier is not on this hub. */
  missing: Partial<Record<'source' | 't2' | 't1' | 't0', Stretch[]>>;
}
