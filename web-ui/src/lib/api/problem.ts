import { m } from '$lib/paraglide/messages';
import { allowedWords } from './allowed';

type Words = (inputs: {
  field: string;
  allowed: string;
  found: string;
  seconds: string;
}) => string;

/**
 * Every code that the hub can answer, with its words. Named one by one: what is looked up by a
 * built name would bring the words of every screen into the first view.
 */
export const PROBLEM_WORDS: Record<string, Words> = {
  unreachable: m.problem_unreachable,
  invalid_input: m.problem_invalid_input,
  not_logged_in: m.problem_not_logged_in,
  not_allowed: m.problem_not_allowed,
  wrong_login: m.problem_wrong_login,
  too_many_tries: m.problem_too_many_tries,
  not_found: m.problem_not_found,
  already_set_up: m.problem_already_set_up,
  wrong_setup_code: m.problem_wrong_setup_code,
  not_set_up: m.problem_not_set_up,
  login_taken: m.problem_login_taken,
  origin_mismatch: m.problem_origin_mismatch,
  body_too_large: m.problem_body_too_large,
  disk_full: m.problem_disk_full,
  upload_offset_mismatch: m.problem_upload_offset_mismatch,
  upload_too_large: m.problem_upload_too_large,
  unsupported_media: m.problem_unsupported_media,
  already_member: m.problem_already_member,
  no_alliance: m.problem_no_alliance,
  not_registrar: m.problem_not_registrar,
  invitation_malformed: m.problem_invitation_malformed,
  invitation_unknown: m.problem_invitation_unknown,
  invitation_used: m.problem_invitation_used,
  invitation_expired: m.problem_invitation_expired,
  lead_unreachable: m.problem_lead_unreachable,
  last_admin: m.problem_last_admin,
  in_doubt: m.problem_in_doubt,
  wrong_root_key: m.problem_wrong_root_key,
  conflict: m.problem_conflict,
  no_subtitles: m.problem_no_subtitles,
  timetable_unreadable: m.problem_timetable_unreadable,
  import_other_cycle: m.problem_import_other_cycle,
  import_other_times: m.problem_import_other_times,
  import_no_time: m.problem_import_no_time,
  internal: m.problem_internal,
};

const FIELD_WORDS: Record<string, () => string> = {
  code: m.field_code,
  school: m.field_school,
  your_name: m.field_your_name,
  name: m.field_name,
  login: m.field_login,
  password: m.field_password,
  role: m.field_role,
  title: m.field_title,
  subject: m.field_subject,
  grade: m.field_grade,
  teacher: m.field_teacher,
  invitation: m.field_invitation,
  alliance: m.field_alliance,
  text: m.field_text,
  valid_hours: m.field_valid_hours,
  class_name: m.field_class_name,
  period: m.field_period,
  periods: m.field_period,
  no: m.field_period,
  to_period: m.field_period,
  end: m.field_period,
  weekday: m.field_weekday,
  week: m.field_weeks,
  weeks: m.field_weeks,
  mode: m.field_mode,
  lead: m.field_lead,
  tutor: m.field_tutor,
  room: m.field_room,
  class_id: m.field_class,
  class_ids: m.field_class,
  slot_id: m.field_lesson,
  with_slot_id: m.field_other_lesson,
  date: m.field_date,
  with_date: m.field_with_date,
  follows_date: m.field_follows_date,
  from: m.field_from,
  pupils: m.field_pupils,
  first_day: m.field_first_day,
  last_day: m.field_last_day,
  cycle_weeks: m.field_cycle_weeks,
  note: m.field_note,
  offer_id: m.field_plan,
  textbook: m.field_textbook,
  mapping: m.field_columns,
  classes: m.field_class,
};

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

/** Says in the reader's language what went wrong and what to do next. */
export function problemWords(problem: unknown): string {
  if (!(problem instanceof Problem)) return m.problem_internal();
  const words = PROBLEM_WORDS[problem.code];
  if (!words) return problem.detail || m.problem_internal();
  const { field, allowed, found, retry_after_s } = problem.params;
  const said = problem.code === 'invalid_input' ? allowedWords(allowed) : String(allowed ?? '');
  if (problem.code === 'invalid_input' && !said) {
    return m.problem_invalid_field({ field: fieldWords(field) });
  }
  const text = words({
    field: fieldWords(field),
    allowed: said,
    found: String(found ?? ''),
    seconds: String(retry_after_s ?? ''),
  });
  // Only these two are answered with reasons that differ from case to case.
  const isVague = problem.code === 'unsupported_media' || problem.code === 'conflict';
  return isVague && problem.detail ? `${text} (${problem.detail})` : text;
}

function fieldWords(field: unknown): string {
  if (typeof field !== 'string') return m.field_other();
  // `periods.no`, `slot.room`, `items.3.title`: the innermost is what was typed.
  return (FIELD_WORDS[field.split('.').at(-1) ?? ''] ?? m.field_other)();
}
