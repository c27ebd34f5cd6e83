import { m } from '$lib/paraglide/messages';

/** Every code that the hub can answer; each has words in both languages. */
export const PROBLEM_CODES = [
  'invalid_input',
  'not_logged_in',
  'not_allowed',
  'wrong_login',
  'too_many_tries',
  'not_found',
  'already_set_up',
  'wrong_setup_code',
  'not_set_up',
  'login_taken',
  'origin_mismatch',
  'body_too_large',
  'disk_full',
  'upload_offset_mismatch',
  'upload_too_large',
  'unsupported_media',
  'already_member',
  'no_alliance',
  'not_registrar',
  'invitation_malformed',
  'invitation_unknown',
  'invitation_used',
  'invitation_expired',
  'lead_unreachable',
  'last_admin',
  'in_doubt',
  'wrong_root_key',
  'conflict',
  'internal',
] as const;

/** Why a job can fail or wait, beside the codes above. */
export const JOB_CODES = [
  'not_media',
  'truncated',
  'no_streams',
  'too_many_streams',
  'unknown_codec',
  'no_libreoffice',
  'no_poppler',
  'too_many_pages',
  'no_pages',
  'encrypted',
  'unsupported_document',
  'broken_zip',
  'zip_too_large',
  'broken_pdf',
  'broken_page',
  'libreoffice_failed',
  'page_times',
  'mixed_files',
  'nothing_decoded',
  'too_long',
  'too_large',
  'unreadable',
  'ffmpeg_failed',
  'no_ffmpeg',
  'too_many_segments',
  'encoder_failed',
  'no_sound',
  'no_svt_av1',
  'ffmpeg_missing',
  'not_made',
  'disk_failed',
  'waiting_for_alliance',
] as const;

/** An answer of the hub that is not a success (RFC 9457), or `unreachable` when none came. */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly detail: string,
    readonly params: Record<string, unknown> = {},
  ) {
    super(detail || code);
    this.name = 'Problem';
  }

  /** Is it worth sending the same request again later? */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }

  /** Reads the body of an answer; anything but problem JSON becomes `internal`. */
  static async from(answer: Response): Promise<Problem> {
    const body: unknown = await answer.json().catch(() => null);
    return Problem.fromBody(answer.status, body);
  }

  /** Builds a problem from an already parsed body. */
  static fromBody(status: number, body: unknown): Problem {
    const isObject = typeof body === 'object' && body !== null;
    const fields = (isObject ? body : {}) as Record<string, unknown>;
    const code = typeof fields.code === 'string' ? fields.code : 'internal';
    const detail = typeof fields.detail === 'string' ? fields.detail : '';
    const params = typeof fields.params === 'object' && fields.params !== null ? fields.params : {};
    return new Problem(code, status, detail, params as Record<string, unknown>);
  }
}

type Words = (inputs: { field: string; allowed: string; seconds: string }) => string;

/** Says in the reader's language what went wrong and what to do next. */
export function problemWords(problem: unknown): string {
  if (!(problem instanceof Problem)) return m.problem_internal();
  const words = (m as unknown as Record<string, Words | undefined>)[`problem_${problem.code}`];
  if (!words) return problem.detail || m.problem_internal();
  const { field, allowed, retry_after_s } = problem.params;
  const text = words({
    field: fieldWords(field),
    allowed: allowed === undefined ? '' : String(allowed),
    seconds: String(retry_after_s ?? ''),
  });
  // Only these two are answered with reasons that differ from case to case.
  const isVague = problem.code === 'unsupported_media' || problem.code === 'conflict';
  return isVague && problem.detail ? `${text} (${problem.detail})` : text;
}

function fieldWords(field: unknown): string {
  if (typeof field !== 'string') return '';
  const words = (m as unknown as Record<string, (() => string) | undefined>)[`field_${field}`];
  return words ? words() : field;
}
