//! Captions as a browser takes them. A file may come from another hub, so only what captions
//! need of WebVTT (W3C) gets through: cues with their times, place and plain marks.

use std::fmt::Write as _;

use axum::http::HeaderMap;
use axum::response::Response;
use yingxue_codec::track::TrackKind;
use yingxue_sync_core::id::DocId;

use super::resource::{self, Resource};
use super::{kept_for, open_kind, read};
use crate::app::App;
use crate::problem::ApiError;

/// The largest file of captions: a line a second for ten hours, in three bytes a character.
const BYTES_MAX: u64 = 8 << 20;
/// Longest line of a cue, in characters; a screen shows 40.
const LINE_CHARS_MAX: usize = 500;
/// Most lines of a cue.
const LINES_MAX: usize = 10;
/// The marks that stay: bold, italic, underlined, ruby for pinyin.
const MARKS: [&str; 10] = ["b", "/b", "i", "/i", "u", "/u", "ruby", "/ruby", "rt", "/rt"];

/// Answers with one track of captions, once all of it is here.
pub(super) async fn serve(
    app: &App,
    lesson: DocId,
    kind: &str,
    of: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let kind: TrackKind = kind.parse().map_err(|_| ApiError::not_found())?;
    if !matches!(kind, TrackKind::Captions(_)) {
        return Err(ApiError::not_found());
    }
    let track = open_kind(app, lesson, kind).await?;
    let bytes = read(app, &track, 0..track.total_bytes, BYTES_MAX).await?;
    let text = clean(&String::from_utf8_lossy(&bytes));
    let version = track.blob.to_string();
    let resource = Resource {
        etag: resource::etag(&version),
        total_bytes: text.len() as u64,
        media_type: "text/vtt; charset=utf-8",
        cache: kept_for(of, &version),
    };
    Ok(resource.whole(headers, text.into()))
}

/// Writes a file of the cues alone.
fn clean(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::from("WEBVTT\n\n");
    for block in text.split("\n\n") {
        let mut lines = block.lines().skip_while(|line| !line.contains("-->"));
        let Some(timing) = lines.next().and_then(timing) else { continue };
        let said: Vec<String> =
            lines.take(LINES_MAX).map(plain).filter(|line| !line.is_empty()).collect();
        if !said.is_empty() {
            let _ = write!(out, "{timing}\n{}\n\n", said.join("\n"));
        }
    }
    out
}

/// Reads a line of times; settings that are no plain words are left out.
fn timing(line: &str) -> Option<String> {
    let (start, rest) = line.split_once("-->")?;
    let mut rest = rest.split_whitespace();
    let (start, end) = (milliseconds(start.trim())?, milliseconds(rest.next()?)?);
    if end <= start {
        return None;
    }
    let mut out = format!("{} --> {}", shown(start), shown(end));
    for setting in rest.filter(|setting| is_setting(setting)).take(5) {
        let _ = write!(out, " {setting}");
    }
    Some(out)
}

fn is_setting(setting: &str) -> bool {
    let names = ["align", "line", "position", "size", "vertical"];
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"%.,-".contains(&b);
    setting
        .split_once(':')
        .is_some_and(|(name, value)| names.contains(&name) && value.bytes().all(is_plain))
}

fn milliseconds(time: &str) -> Option<u64> {
    let (whole, thousandths) = time.split_once('.')?;
    let parts: Vec<&str> = whole.split(':').collect();
    let is_number =
        |part: &&str| (2..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_time = (2..=3).contains(&parts.len()) && parts.iter().all(is_number);
    if !is_time || thousandths.len() != 3 || !thousandths.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds =
        parts.iter().try_fold(0u64, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?));
    Some(seconds? * 1000 + thousandths.parse::<u64>().ok()?)
}

fn shown(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Gives a line with no marks but plain ones, and no control characters.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('<') {
        out += before;
        let Some((mark, after)) = after.split_once('>') else {
            rest = "";
            break;
        };
        if MARKS.contains(&mark) {
            let _ = write!(out, "<{mark}>");
        }
        rest = after;
    }
    out += rest;
    let is_kept = |c: &char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}');
    out.replace("-->", "→").chars().filter(is_kept).take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_stay_and_everything_else_goes() {
        let text = "\u{feff}WEBVTT - title\r\nX: y\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n\
            NOTE a --> b\r\n\r\nfirst\r\n00:01.000 --> 00:00:02.500 line:90% onload:x(1)\r\n\
            <v 老师>光合<b>作用</b><img src=x>\u{7}\r\n<ruby>萤<rt>yíng</rt></ruby> a <c\r\n\r\n\
            00:00:05.000 --> 00:00:04.000\nbackwards\n\n1:00:00.000 --> 2:00:00.000\nno\n\n\
            100:00:00.000 --> 100:00:01.000\nlong";
        assert_eq!(
            clean(text),
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.500 line:90%\n光合<b>作用</b>\n\
             <ruby>萤<rt>yíng</rt></ruby> a \n\n100:00:00.000 --> 100:00:01.000\nlong\n\n"
        );
        assert_eq!(clean(""), "WEBVTT\n\n");
    }

    #[test]
    fn a_cleaned_file_stays_as_it_is() {
        let once = clean("WEBVTT\n\n00:00.000 --> 00:01.000\na --> b\n<c>x</c> & 1 < 2");
        assert_eq!(clean(&once), once);
    }
}
