import type { StepWhy } from '$lib/api/night';
import { m } from '$lib/paraglide/messages';

/** Why the plan puts a lesson where it is, or leaves it out. */
export const WHY: Record<StepWhy, () => string> = {
  urgent: m.why_urgent,
  floor_first: m.why_floor_first,
  upgrade: m.why_upgrade,
  pinned: m.why_pinned,
  rest: m.why_rest,
  window: m.why_window,
  no_link: m.why_no_link,
  no_holder: m.why_no_holder,
  budget: m.why_budget,
  too_slow: m.why_too_slow,
  paused: m.why_paused,
};
