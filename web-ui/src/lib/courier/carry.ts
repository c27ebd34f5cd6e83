import type { CourierFor } from '$lib/api/night';

/** What is carried to some schools: which lessons, and how much they are together. */
export interface Load {
  to: string[];
  lessons: string[];
  bytes: number;
}

/** What an export takes, without what was left out: a lesson that two schools lack once. */
export function carried(lists: readonly CourierFor[], left: readonly string[]): Load {
  const wanted = (list: CourierFor) => list.lessons.filter((one) => !left.includes(one.id));
  const bytesOf = new Map(
    lists.flatMap((list) => wanted(list).map((one) => [one.id, one.bytes] as const)),
  );
  return {
    to: lists.filter((list) => wanted(list).length > 0).map((list) => list.hub_id),
    lessons: [...bytesOf.keys()],
    bytes: [...bytesOf.values()].reduce((sum, one) => sum + one, 0),
  };
}

/** How many lessons of the day a school can teach now, and with what is chosen for it. */
export function raised(list: CourierFor, left: readonly string[]): { from: number; to: number } {
  const chosen = list.lessons.filter((one) => !left.includes(one.id));
  const slots = chosen.reduce((sum, one) => sum + one.slots, 0);
  return { from: list.teachable, to: Math.min(list.total, list.teachable + slots) };
}
