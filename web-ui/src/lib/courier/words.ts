import type { CourierImport } from '$lib/api/courier';
import { m } from '$lib/paraglide/messages';

/** What came in, in words; nothing new is no mistake. */
export function importWords({ accepted }: Pick<CourierImport, 'accepted'>): string {
  const { lessons, blobs, envelopes } = accepted;
  if (lessons > 0) return m.import_lessons({ count: lessons });
  if (blobs > 0) return m.import_parts();
  return envelopes > 0 ? m.import_notes({ count: envelopes }) : m.import_nothing();
}

const WHY: Record<string, () => string> = {
  not_for_us: m.refused_not_for_us,
  other_alliance: m.refused_other_alliance,
  damaged: m.refused_damaged,
  truncated: m.refused_truncated,
  bad_signature: m.refused_bad_signature,
  older_epoch: m.refused_older_epoch,
  unknown_sender: m.refused_unknown_sender,
  not_courier: m.refused_not_courier,
  too_large: m.refused_too_large,
  unreadable: m.refused_unreadable,
};

/** Why a file was not taken, and what to do; a reason newer than this page in the hub's words. */
export function refusedWords({ code, why }: { code?: string; why: string }): string {
  return WHY[code ?? '']?.() ?? why;
}
