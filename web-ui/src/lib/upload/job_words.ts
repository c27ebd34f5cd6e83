import { Problem, problemWords } from '$lib/api/problem';
import { m } from '$lib/paraglide/messages';

/** Why a job can fail or wait, beside what any call can answer. */
export const JOB_WORDS: Record<string, () => string> = {
  not_media: m.problem_not_media,
  truncated: m.problem_truncated,
  no_streams: m.problem_no_streams,
  too_many_streams: m.problem_too_many_streams,
  unknown_codec: m.problem_unknown_codec,
  no_libreoffice: m.problem_no_libreoffice,
  no_poppler: m.problem_no_poppler,
  too_many_pages: m.problem_too_many_pages,
  no_pages: m.problem_no_pages,
  encrypted: m.problem_encrypted,
  unsupported_document: m.problem_unsupported_document,
  broken_zip: m.problem_broken_zip,
  zip_too_large: m.problem_zip_too_large,
  broken_pdf: m.problem_broken_pdf,
  broken_page: m.problem_broken_page,
  libreoffice_failed: m.problem_libreoffice_failed,
  page_times: m.problem_page_times,
  mixed_files: m.problem_mixed_files,
  nothing_decoded: m.problem_nothing_decoded,
  too_long: m.problem_too_long,
  too_large: m.problem_too_large,
  unreadable: m.problem_unreadable,
  ffmpeg_failed: m.problem_ffmpeg_failed,
  ffmpeg_stopped: m.problem_ffmpeg_stopped,
  no_ffmpeg: m.problem_no_ffmpeg,
  too_many_segments: m.problem_too_many_segments,
  encoder_failed: m.problem_encoder_failed,
  no_sound: m.problem_no_sound,
  no_svt_av1: m.problem_no_svt_av1,
  ffmpeg_missing: m.problem_ffmpeg_missing,
  not_made: m.problem_not_made,
  disk_failed: m.problem_disk_failed,
  waiting_for_alliance: m.problem_waiting_for_alliance,
  many_recordings: m.problem_many_recordings,
  film_and_pages: m.problem_film_and_pages,
  only_subtitles: m.problem_only_subtitles,
  subtitles_without_sound: m.problem_subtitles_without_sound,
  too_many_subtitles: m.problem_too_many_subtitles,
  subtitles_too_large: m.problem_subtitles_too_large,
  too_many_files: m.problem_too_many_files,
  upload_gone: m.problem_upload_gone,
  cancelled: m.problem_cancelled,
  interrupted: m.problem_interrupted,
};

/** Says in the reader's language why a job failed or waits, and what to do next. */
export function jobWords(error: { code: string; detail: string }): string {
  return JOB_WORDS[error.code]?.() ?? problemWords(new Problem(error.code, 422, error.detail));
}
