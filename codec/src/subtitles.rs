//! Subtitle files as teachers have them: SubRip, WebVTT and ASS, in UTF-8, UTF-16 or GB 18030.
//!
//! They become the same `captions` tracks as the subtitle streams inside a video. Times, texts and
//! numbers of cues are bounded; what is no cue is passed over.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use encoding_rs::{Encoding, GB18030, UTF_8};

use crate::import::{
    FinishedTrack, ImportError, Imported, Note, Observer, WorkDir, write_captions,
};
use crate::probe::language;
use crate::track::{CAPTIONS_MAX, TrackKind};
use crate::webvtt::{self, Cues, HEADER};

mod ass;

/// The largest file, in bytes: 10 h of speech are below 1 MiB, ASS with its styles some more.
pub const SUBTITLE_BYTES_MAX: u64 = 4 << 20;
/// What is looked at of a file to tell whether it holds subtitles, in bytes: the styles of an ASS
/// file lie before its first line.
const HEAD_BYTES: u64 = 64 << 10;
/// A text is in a script if one in so many of its letters is.
const SCRIPT_SHARE: usize = 5;

/// Why a file gives no captions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubtitleError {
    /// It is far larger than any subtitles.
    #[error("the file has more than {SUBTITLE_BYTES_MAX} bytes; subtitles of 10 h are below 1 MiB")]
    TooLarge,
    /// Not one cue is in it.
    #[error("there is no subtitle in the file; allowed: SRT, WebVTT and ASS")]
    NoCues,
}

impl SubtitleError {
    /// A stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "subtitles_too_large",
            Self::NoCues => "no_subtitles",
        }
    }
}

/// The cues of one file, in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtitles {
    cues: Cues,
    language: Option<String>,
}

impl Subtitles {
    /// Reads a file's bytes; its `name` may say the language (`lesson.en.srt`), else the letters
    /// do.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self, SubtitleError> {
        if bytes.len() as u64 > SUBTITLE_BYTES_MAX {
            return Err(SubtitleError::TooLarge);
        }
        let text = decode(bytes);
        let cues = if is_ass(&text) { ass::read(&text) } else { read_lines(&text) };
        if cues.cues.is_empty() {
            return Err(SubtitleError::NoCues);
        }
        let language = language_of_name(name).or_else(|| language_of_text(&cues));
        Ok(Self { cues, language })
    }

    /// Reads a file.
    pub fn open(path: &Path, name: &str) -> io::Result<Result<Self, SubtitleError>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(SUBTITLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(Self::read(&bytes, name))
    }

    /// The language as a BCP 47 tag, if it is known.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// Sets the language, which somebody knows better; what is no tag is passed over.
    pub fn set_language(&mut self, container: &str) {
        self.language = language::tag(container).or_else(|| self.language.take());
    }

    /// How many cues there are.
    pub fn count(&self) -> usize {
        self.cues.cues.len()
    }

    /// All of them as one WebVTT file.
    pub fn to_webvtt(&self) -> String {
        std::iter::once(HEADER.to_owned()).chain(self.cues.cues.iter().map(webvtt::write)).collect()
    }

    /// Writes the track `captions-n` into `folder`, for a lesson of `duration_ms`; `None` if
    /// nothing is said before its end.
    pub fn make_track(
        &self,
        n: u8,
        duration_ms: u64,
        folder: &Path,
    ) -> Result<Option<FinishedTrack>, ImportError> {
        let work = WorkDir::unbound(folder)?;
        let cues: Vec<_> =
            self.cues.cues.iter().filter(|cue| cue.start_ms < duration_ms).cloned().collect();
        if cues.is_empty() {
            return Ok(None);
        }
        let kind = TrackKind::Captions(n.clamp(1, CAPTIONS_MAX));
        write_captions(&work, kind, &cues, self.language.clone(), duration_ms).map(Some)
    }
}

/// Whether a file holds subtitles, by its content.
pub fn is_subtitles(path: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut bytes)?;
    // Films have zeros; only UTF-16, which says so in its first bytes, has them as well.
    if Encoding::for_bom(&bytes).is_none() && bytes.contains(&0) {
        return Ok(false);
    }
    let text = decode(&bytes);
    Ok(is_ass(&text) || text.lines().any(|line| webvtt::timing(line).is_some()))
}

/// Adds the subtitles of files to a finished import, after those that were in the recording.
pub fn add(
    imported: &mut Imported,
    files: &[Subtitles],
    folder: &Path,
    observer: &dyn Observer,
) -> Result<(), ImportError> {
    let is_captions = |track: &&FinishedTrack| matches!(track.info.kind, TrackKind::Captions(_));
    let mut taken = imported.tracks.iter().filter(is_captions).count() as u8;
    for subtitles in files {
        if taken == CAPTIONS_MAX {
            let text =
                format!("a lesson has at most {CAPTIONS_MAX} captions; the others are left out");
            imported.notes.push(Note::new("captions_too_many", text));
            break;
        }
        match subtitles.make_track(taken + 1, imported.duration_ms, folder)? {
            Some(track) => {
                taken += 1;
                observer.track_finished(&track);
                imported.tracks.push(track);
            }
            None => imported.notes.push(Note::new(
                "captions_unreadable",
                "a subtitle file is left out: all of it is after the lesson's end",
            )),
        }
    }
    let place =
        |track: &FinishedTrack| TrackKind::ALL.iter().position(|kind| *kind == track.info.kind);
    imported.tracks.sort_by_key(place);
    Ok(())
}

/// By its mark, else as UTF-8 if it is that, else as GB 18030, which old programs in China write.
fn decode(bytes: &[u8]) -> String {
    let encoding = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        // A character may be cut in two at the end of what was read.
        None if std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_some()) => GB18030,
        None => UTF_8,
    };
    encoding.decode(bytes).0.into_owned()
}

fn is_ass(text: &str) -> bool {
    text.lines().take(100).any(|line| line.trim().eq_ignore_ascii_case("[script info]"))
}

/// SubRip and WebVTT. What programs for films write into braces is no text.
fn read_lines(text: &str) -> Cues {
    webvtt::read(&without_overrides(text))
}

/// Drops `{\an8}` and the like, which ASS has and SubRip files keep from it.
fn without_overrides(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{\\") {
        let end = after.find(['}', '\n']);
        out.push_str(before);
        rest = match end {
            Some(at) if after[at..].starts_with('}') => &after[at + 1..],
            Some(at) => &after[at..],
            None => "",
        };
    }
    out.push_str(rest);
    out
}

/// The language that a file's name says: `lesson.zh-Hans.srt`, `lesson_eng.ass`, `课.chs.srt`.
fn language_of_name(name: &str) -> Option<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let word = stem.rsplit(['.', '_', ' ', '[', ']', '(', ')']).find(|word| !word.is_empty())?;
    // A name of one word is a title.
    if word.len() == stem.len() {
        return None;
    }
    match word.to_lowercase().as_str() {
        "chs" | "sc" | "gb" | "简体" | "中文" | "简中" => Some("zh-Hans".into()),
        "cht" | "tc" | "big5" | "繁体" | "繁體" => Some("zh-Hant".into()),
        word => language::known(word),
    }
}

/// Chinese, Tibetan, Uyghur, Korean or Japanese by their letters.
fn language_of_text(cues: &Cues) -> Option<String> {
    type IsOf = fn(char) -> bool;
    let letters =
        || cues.cues.iter().flat_map(|cue| cue.text.chars()).filter(|c| c.is_alphabetic());
    let all = letters().count();
    let has =
        |is_of: IsOf| letters().filter(|c| is_of(*c)).count().saturating_mul(SCRIPT_SHARE) > all;
    let scripts: [(&str, IsOf); 5] = [
        ("bo", |c| matches!(c, '\u{0f00}'..='\u{0fff}')),
        ("ug", |c| matches!(c, '\u{0600}'..='\u{06ff}')),
        ("ko", |c| matches!(c, '\u{ac00}'..='\u{d7af}')),
        ("ja", |c| matches!(c, '\u{3040}'..='\u{30ff}')),
        ("zh", |c| matches!(c, '\u{4e00}'..='\u{9fff}')),
    ];
    scripts.into_iter().find(|(_, is_of)| has(*is_of)).map(|(tag, _)| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRT: &str = "1\r\n00:00:01,000 --> 00:00:02,000\r\n{\\an8}光合作用\r\n\r\n2\r\n\
                       00:00:03,000 --> 00:00:04,000\r\n叶绿体\r\n";

    fn texts(bytes: &[u8]) -> Vec<String> {
        let read = Subtitles::read(bytes, "课.srt").unwrap();
        read.cues.cues.into_iter().map(|cue| cue.text).collect()
    }

    #[test]
    fn the_encodings_of_subtitle_files_are_told_apart() {
        let expected = ["光合作用", "叶绿体"];
        assert_eq!(texts(SRT.as_bytes()), expected);
        assert_eq!(texts(&GB18030.encode(SRT).0), expected);
        let words = |to: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff).chain(SRT.encode_utf16()).flat_map(to).collect()
        };
        assert_eq!(texts(&words(u16::to_le_bytes)), expected);
        assert_eq!(texts(&words(u16::to_be_bytes)), expected);
    }

    #[test]
    fn a_language_comes_from_the_name_or_from_the_letters() {
        let language = |name: &str, text: &str| {
            let text = format!("00:01.000 --> 00:02.000\n{text}\n");
            Subtitles::read(text.as_bytes(), name).unwrap().language
        };
        let cases = [
            ("课.en.srt", "光", Some("en")),
            ("课.chs.srt", "x", Some("zh-Hans")),
            ("lesson_eng.ass", "x", Some("en")),
            ("lesson.final.srt", "光合作用 CO2", Some("zh")),
            ("en.srt", "hello there", None),
            ("课.srt", "གངས་རི", Some("bo")),
            ("课.srt", "日本のひらがな", Some("ja")),
        ];
        for (name, text, expected) in cases {
            assert_eq!(language(name, text).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_holds_no_subtitles_is_refused() {
        let read = |bytes: &[u8]| Subtitles::read(bytes, "x.srt").unwrap_err().code();
        assert_eq!(read(b"a plan of the lesson --> first week"), "no_subtitles");
        assert_eq!(read(b""), "no_subtitles");
        let large = vec![b'a'; SUBTITLE_BYTES_MAX as usize + 1];
        assert_eq!(read(&large), "subtitles_too_large");
    }

    #[test]
    fn subtitles_are_known_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mp4");
        let is = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            is_subtitles(&path).unwrap()
        };
        assert!(is(SRT.as_bytes()) && is(&GB18030.encode(SRT).0));
        assert!(is(b"WEBVTT\n\n00:01.000 --> 00:02.000\nx\n") && is(b"[Script Info]\n"));
        assert!(!is(b"a --> b") && !is(b"") && !is(b"\0\0\0 ftyp 00:01.000 --> 00:02.000\n"));
    }

    #[test]
    fn overrides_go_and_unclosed_ones_end_with_their_line() {
        assert_eq!(without_overrides("{\\b1}a{\\b0}b {c}\n{\\x\nd{\\"), "ab {c}\n\nd");
    }
}
