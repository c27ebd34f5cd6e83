/** A segment that is not on this hub, from and to in seconds. */
export type Gap = readonly [from_s: number, to_s: number];

/** A gap nearer than this is told of before it is reached. */
const NEAR_S = 8;

/** The gap that a place lies in, or else the nearest one that is close ahead. */
export function gapAt(gaps: readonly Gap[], at_s: number): Gap | null {
  let nearest: Gap | null = null;
  for (const gap of gaps) {
    const isClose = gap[0] - NEAR_S < at_s && at_s < gap[1];
    if (isClose && (nearest === null || gap[0] < nearest[0])) nearest = gap;
  }
  return nearest;
}

/** Its middle, in milliseconds: borders are rounded differently by whoever tells of them. */
export function middleOf([from_s, to_s]: Gap): number {
  return Math.round((from_s + to_s) * 500);
}
