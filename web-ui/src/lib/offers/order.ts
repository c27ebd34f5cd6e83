import type { OfferItem } from '$lib/api/timetable';

/** The items with one of them a place up (-1) or down (1); unchanged at the ends. */
export function moved(items: readonly OfferItem[], index: number, by: -1 | 1): OfferItem[] {
  const next = [...items];
  const [from, to] = [next[index], next[index + by]];
  if (!from || !to) return next;
  next[index] = to;
  next[index + by] = from;
  return next;
}

export function without(items: readonly OfferItem[], key: string): OfferItem[] {
  return items.filter((one) => one.key !== key);
}

/** The items with one replaced in its place, or added at the end. */
export function withItem(items: readonly OfferItem[], item: OfferItem): OfferItem[] {
  if (!items.some((one) => one.key === item.key)) return [...items, item];
  return items.map((one) => (one.key === item.key ? item : one));
}
