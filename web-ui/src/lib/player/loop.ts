/** A stretch that is played again and again, in seconds; B is set after A. */
export interface Loop {
  a: number | null;
  b: number | null;
}

export const NO_LOOP: Loop = { a: null, b: null };

/** A shorter loop is a slip of the hand, and a stutter. */
export const LOOP_S_MIN = 1;

/** Sets an end; the two always stand in order, and never nearer than `LOOP_S_MIN`. */
export function setEnd(loop: Loop, end: 'a' | 'b', at: number): Loop {
  const other = end === 'a' ? loop.b : loop.a;
  if (other === null) return { ...NO_LOOP, [end]: at };
  const [a, b] = [Math.min(at, other), Math.max(at, other)];
  return b - a < LOOP_S_MIN ? { ...NO_LOOP, [end]: at } : { a, b };
}

/**
 * Where to go on after playing moved the lesson from `before` to `now`: back to A when that crossed
 * B, else null. Who seeks beyond B is outside, and goes on from there.
 */
export function loopBack({ a, b }: Loop, before: number, now: number): number | null {
  if (a === null || b === null) return null;
  return before >= a && before < b && now >= b ? a : null;
}
