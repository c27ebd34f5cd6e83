import { m } from '$lib/paraglide/messages';

const WHY: Record<string, () => string> = {
  next: m.why_next,
  in_turn: m.why_in_turn,
  window: m.why_window,
  no_contact: m.why_no_contact,
  no_holder: m.why_no_holder,
  budget: m.why_budget,
  too_much: m.why_too_much,
  paused: m.why_paused,
};

/** Why the plan puts a lesson where it is, or leaves it out. */
export function whyWords(why: string): string {
  return WHY[why]?.() ?? why;
}
