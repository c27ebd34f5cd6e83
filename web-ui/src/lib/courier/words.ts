import type { CourierImport } from '$lib/api/courier';
import { Problem, problemWords } from '$lib/api/problem';
import type { components } from '$lib/api/schema';
import { m } from '$lib/paraglide/messages';

/** What came in, in words; nothing new is no mistake. */
export function importWords({ accepted }: Pick<CourierImport, 'accepted'>): string {
  const { lessons, blobs, envelopes } = accepted;
  if (lessons > 0) return m.import_lessons({ count: lessons });
  if (blobs > 0) return m.import_parts();
  return envelopes > 0 ? m.import_notes({ count: envelopes }) : m.import_nothing();
}

type RefusedCode = components['schemas']['RefusedCode'];

const WHY: Record<RefusedCode, () => string> = {
  not_for_us: m.refused_not_for_us,
  other_alliance: m.refused_other_alliance,
  damaged: m.refused_damaged,
  truncated: m.refused_truncated,
  bad_signature: m.refused_bad_signature,
  other_version: m.refused_other_version,
  unknown_sender: m.refused_unknown_sender,
  gap: m.refused_gap,
  unknown_epoch: m.refused_unknown_epoch,
  not_named: m.refused_not_named,
  invitation_unknown: m.problem_invitation_unknown,
  invitation_used: m.problem_invitation_used,
  invitation_expired: m.problem_invitation_expired,
  not_registrar: m.problem_not_registrar,
  no_alliance: m.problem_no_alliance,
  not_stored: m.refused_not_stored,
  unreadable: m.refused_unreadable,
};

/** Why a file was not taken, and what to do. */
export function refusedWords({ code }: { code: RefusedCode }): string {
  return WHY[code]();
}

const FAILURES: Record<string, () => string> = {
  stick_missing: m.stick_missing,
  stick_empty: m.stick_empty,
  stick_read_only: m.drive_locked,
  stick_full: m.stick_full,
  stick_gone: m.stick_gone,
  courier_damaged: m.refused_damaged,
  not_admitted_yet: m.stick_not_admitted_yet,
  not_admitted: m.stick_not_admitted,
  not_a_member: m.courier_not_a_member,
  cancelled: m.courier_cancelled,
};

/** Why an export or import ended early, and what to do. */
export function courierFailure(error: { code: string; detail: string }): string {
  return FAILURES[error.code]?.() ?? problemWords(new Problem(error.code, 422, error.detail));
}

/** What became of the receipt, and what to do with the stick. */
export function receiptWords(receipt: NonNullable<CourierImport['receipt']>): string {
  return {
    written: m.import_receipt,
    kept: m.receipt_kept,
    with_next_export: m.receipt_with_next_export,
  }[receipt]();
}
