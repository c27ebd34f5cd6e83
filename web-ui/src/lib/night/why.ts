import { m } from '$lib/paraglide/messages';

const WHY: Record<string, () => string> = {
  floor_first: m.why_floor_first,
  upgrade: m.why_upgrade,
  pinned: m.why_pinned,
  rest: m.why_rest,
  no_holder: m.why_no_holder,
  no_link: m.why_no_link,
  too_slow: m.why_too_slow,
  window: m.why_window,
  budget: m.why_budget,
  disk_full: m.why_disk_full,
};

/** Why the plan puts a lesson where it is, or leaves it out. */
export function whyWords(why: string): string {
  return WHY[why]?.() ?? why;
}
