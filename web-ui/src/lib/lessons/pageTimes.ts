/** Gives each page its time: those that were set, and the others evenly over the rest. */
export function allStarts(set: readonly number[], pages: number, total_ms: number): number[] {
  const starts = [...set].slice(0, pages);
  const last = starts[starts.length - 1] ?? 0;
  const rest = pages - starts.length;
  for (let n = 1; n <= rest; n++) {
    starts.push(Math.round(last + ((total_ms - last) * n) / (rest + 1)));
  }
  return starts;
}

/** Whether a page may appear then: after the one before it, with room for those that follow. */
export function mayAppear(
  set: readonly number[],
  at_ms: number,
  pages: number,
  total_ms: number,
): boolean {
  const follow = pages - set.length;
  return follow > 0 && at_ms > (set[set.length - 1] ?? 0) && at_ms < total_ms - follow;
}
