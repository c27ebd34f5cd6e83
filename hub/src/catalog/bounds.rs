//! What the texts of a lesson and a comment may be, for people and for documents from outside.

/// Longest title: two lines on a panel.
pub const TITLE_CHARS_MAX: usize = 120;
/// Longest name of a teacher, as for accounts.
pub const TEACHER_CHARS_MAX: usize = 30;
/// Longest name of a school.
pub const SCHOOL_CHARS_MAX: usize = 60;
/// Longest file name; file systems have 255 bytes.
pub const FILENAME_CHARS_MAX: usize = 255;
/// Longest comment: a page of paper.
pub const COMMENT_CHARS_MAX: usize = 2_000;
/// Longest codec string: `av01.0.00M.08` and the like.
pub const CODECS_CHARS_MAX: usize = 64;
/// Largest picture of a lesson in its document; a JPEG of 320×180 has about 10 KiB.
pub const POSTER_BYTES_MAX: usize = 16 << 10;
/// Most tracks of one lesson that are kept; ten are known (DESIGN §8), and come first.
pub const TRACKS_MAX: usize = 16;
/// Largest track, eight times the largest file that a school takes: sums over all lessons that a
/// hub can have stay far below what SQLite adds up.
pub const TRACK_BYTES_MAX: i64 = 64 << 30;
/// Most chapters of one lesson: one a minute for a long one.
pub const CHAPTERS_MAX: usize = 100;
/// Longest title of a chapter, as of a lesson.
pub const CHAPTER_CHARS_MAX: usize = 120;
/// All chapters of a lesson as JSON: 100 of 50 Chinese characters.
pub const CHAPTERS_BYTES_MAX: usize = 16 << 10;
/// Most seconds of a lesson whose loudness is kept: 10 h.
pub const PEAKS_MAX: usize = 36_000;
/// Most comments of one lesson that are shown; a document has at most about 5,000 changes.
pub const COMMENTS_MAX: usize = 5_000;
/// Longest lesson: a school day.
pub const DURATION_MS_MAX: i64 = 24 * 3_600_000;
/// Latest time that is believed, the year 2100: a wrong clock must not break a sort.
pub const TIME_MS_MAX: i64 = 4_102_444_800_000;
/// Largest picture side, pixels: 8K.
pub const PIXELS_MAX: i64 = 8_192;

/// The subjects that a lesson may have.
pub const SUBJECTS: [&str; 16] = [
    "chinese",
    "math",
    "english",
    "physics",
    "chemistry",
    "biology",
    "history",
    "geography",
    "politics",
    "science",
    "music",
    "art",
    "pe",
    "labour",
    "it",
    "other",
];

/// The grades that a lesson may have: kindergarten, then the years of school.
pub const GRADES: [&str; 13] = ["k", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

/// Says whether a text has 1 to `chars_max` characters, none of them a control character.
pub fn is_line(text: &str, chars_max: usize) -> bool {
    let text = text.trim();
    !text.is_empty() && text.chars().count() <= chars_max && text.chars().all(is_plain)
}

/// Says whether a character is neither a control character nor one that turns the direction of
/// what follows it (Unicode Annex 9, §2), which makes a name look like another.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts a text from outside to a line of at most `chars_max` characters.
pub fn line(text: &str, chars_max: usize) -> String {
    let is_kept = |c: &char| is_plain(*c);
    text.chars().filter(is_kept).take(chars_max).collect::<String>().trim().to_owned()
}

/// Cuts a text from outside to at most `chars_max` characters; its lines stay lines.
pub fn paragraph(text: &str, chars_max: usize) -> String {
    let is_kept = |c: &char| *c == '\n' || is_plain(*c);
    text.chars().filter(is_kept).take(chars_max).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_turn_the_line_round() {
        assert_eq!(line("\u{202e}gpj.\n课\u{2067}.mp4 ", 20), "gpj.课.mp4");
        assert!(!is_line("a\u{202e}b", 20) && is_line("光合作用 🔥", 20));
        assert_eq!(paragraph("a\nb\u{202d}c", 20), "a\nbc");
    }
}
