import type { Job } from '$lib/api/types';
import { m } from '$lib/paraglide/messages';

/** What an import can say of what it kept of a file and what it left out. */
export const NOTE_WORDS: Record<string, () => string> = {
  pages_kept: m.kept_pages_kept,
  sound_attached: m.kept_sound_attached,
  presentation_flattened: m.kept_presentation_flattened,
  others_left_out: m.kept_others_left_out,
  captions_kept: m.kept_captions_kept,
  captions_too_many: m.kept_captions_too_many,
  captions_unreadable: m.kept_captions_unreadable,
  picture_subtitles_left_out: m.kept_picture_subtitles_left_out,
  one_picture_of_many: m.kept_one_picture_of_many,
  one_sound_of_many: m.kept_one_sound_of_many,
  mixed_down: m.kept_mixed_down,
  deinterlaced: m.kept_deinterlaced,
  turned: m.kept_turned,
  cover_left_out: m.kept_cover_left_out,
};

/** Says it in the reader's language, each thing once. */
export function noteWords(notes: Job['notes']): string[] {
  return [...new Set(notes.map((note) => NOTE_WORDS[note.code]?.() ?? note.text))];
}
