import type { CourierFor } from '$lib/api/night';

/** What an export for these schools takes: a lesson that two of them lack is written once. */
export function carried(lists: readonly CourierFor[]): { lessons: string[]; bytes: number } {
  const bytesOf = new Map(
    lists.flatMap((list) => list.lessons.map((one) => [one.id, one.bytes] as const)),
  );
  const bytes = [...bytesOf.values()].reduce((sum, one) => sum + one, 0);
  return { lessons: [...bytesOf.keys()], bytes };
}
