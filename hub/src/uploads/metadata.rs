//! `Upload-Metadata`: what the client says of a file. Words to show, never paths.

use axum::http::HeaderValue;

use super::group::{FILES_MAX, Group};
use crate::app::is_hex;
use crate::catalog::bounds::{self, GRADES, SUBJECTS, TEACHER_CHARS_MAX, TITLE_CHARS_MAX};
use crate::problem::ApiError;

/// Longest file name that is kept; the rest is cut off.
const FILENAME_CHARS_MAX: usize = 200;
/// Longest header: eight fields of 300 characters, four bytes each, in base64, with reserve.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// What the client says of a file, within bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub filename: String,
    pub title: String,
    pub subject: String,
    pub grade: String,
    pub teacher: String,
    /// True if it is what a courier brought, and no lesson.
    pub is_courier: bool,
    pub group: Option<Group>,
}

/// Reads the header; what is missing gets a default, what is wrong is refused.
pub(super) fn parse(header: Option<&HeaderValue>) -> Result<Metadata, ApiError> {
    let bytes = header.map_or(&b""[..], HeaderValue::as_bytes);
    let malformed = || {
        ApiError::invalid_input("upload-metadata", "a list 'key base64,key base64' of UTF-8 words")
    };
    if bytes.len() > HEADER_BYTES_MAX {
        return Err(malformed());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let mut values = [const { String::new() }; 9];
    let names = [
        "filename",
        "title",
        "subject",
        "grade",
        "teacher",
        "kind",
        "group",
        "group_files",
        "group_place",
    ];
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = decode_base64(encoded.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
        let value = value.ok_or_else(malformed)?;
        if let Some(place) = names.iter().position(|known| *known == name) {
            values[place] = value;
        }
    }
    check(values)
}

fn check(values: [String; 9]) -> Result<Metadata, ApiError> {
    let [filename, title, subject, grade, teacher, kind, group @ ..] = values;
    let group = group_of(group)?;
    let filename = Some(bounds::line(&filename, FILENAME_CHARS_MAX)).filter(|n| !n.is_empty());
    let filename = filename.unwrap_or_else(|| "lesson".to_owned());
    let title = if title.trim().is_empty() { title_of(&filename) } else { title };
    if !bounds::is_line(&title, TITLE_CHARS_MAX) {
        let allowed = format!("1 to {TITLE_CHARS_MAX} characters, no line breaks");
        return Err(ApiError::invalid_input("title", allowed));
    }
    let subject = if subject.is_empty() { "other".to_owned() } else { subject };
    let grade = if grade.is_empty() { "1".to_owned() } else { grade };
    if !SUBJECTS.contains(&subject.as_str()) {
        return Err(ApiError::invalid_input("subject", SUBJECTS.join(", ")));
    }
    if !GRADES.contains(&grade.as_str()) {
        return Err(ApiError::invalid_input("grade", "k, or 1 to 12"));
    }
    if !teacher.trim().is_empty() && !bounds::is_line(&teacher, TEACHER_CHARS_MAX) {
        let allowed = format!("at most {TEACHER_CHARS_MAX} characters, no line breaks");
        return Err(ApiError::invalid_input("teacher", allowed));
    }
    let is_courier = match kind.as_str() {
        "" | "lesson" => false,
        "courier" => true,
        _ => return Err(ApiError::invalid_input("kind", "lesson, or courier")),
    };
    let (title, teacher) = (title.trim().to_owned(), teacher.trim().to_owned());
    if is_courier && group.is_some() {
        return Err(ApiError::invalid_input("group", "none for what a courier has brought"));
    }
    Ok(Metadata { filename, title, subject, grade, teacher, is_courier, group })
}

/// The group that a file belongs to; a group of one is none.
fn group_of([id, files, place]: [String; 3]) -> Result<Option<Group>, ApiError> {
    if id.is_empty() && files.is_empty() && place.is_empty() {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<u32>().ok();
    let id = id.to_ascii_lowercase();
    if !is_hex(&id, 16) {
        return Err(ApiError::invalid_input("group", "32 hex digits"));
    }
    let files = number(&files).filter(|files| (1..=FILES_MAX).contains(files));
    let allowed = format!("1 to {FILES_MAX} files");
    let files = files.ok_or_else(|| ApiError::invalid_input("group_files", allowed))?;
    let place = number(&place).filter(|place| *place < files);
    let allowed = format!("0 to {}", files - 1);
    let place = place.ok_or_else(|| ApiError::invalid_input("group_place", allowed))?;
    Ok((files > 1).then_some(Group { id, files, place }))
}

/// Takes the title from the file's name: its last part, without the extension.
fn title_of(filename: &str) -> String {
    let last = filename.rsplit(['/', '\\']).next().unwrap_or(filename);
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let title = bounds::line(stem, TITLE_CHARS_MAX);
    if title.is_empty() { "lesson".to_owned() } else { title }
}

/// Decodes standard base64 (RFC 4648 §4), with or without padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | value_of(*digit)?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn value_of(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::encode_base64;

    fn parse_pairs(pairs: &[(&str, &str)]) -> Result<Metadata, ApiError> {
        let encoded: Vec<_> =
            pairs.iter().map(|(k, v)| format!("{k} {}", encode_base64(v.as_bytes()))).collect();
        parse(Some(&HeaderValue::try_from(encoded.join(",")).unwrap()))
    }

    #[test]
    fn base64_decodes_the_examples_of_rfc_4648() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(decode_base64(encoded).unwrap(), plain.as_bytes());
            assert_eq!(encode_base64(plain.as_bytes()), encoded);
        }
        assert!(decode_base64("Zg=x").is_none());
        assert!(decode_base64("Z").is_none());
        assert!(decode_base64("Zg===").is_none());
    }

    #[test]
    fn hostile_names_stay_words_within_bounds() {
        let long = "课".repeat(300) + ".mp4";
        let metadata = parse_pairs(&[("filename", &long)]).unwrap();
        assert_eq!(metadata.filename.chars().count(), 200);
        assert_eq!(metadata.title.chars().count(), 120);
        let metadata = parse_pairs(&[("filename", "../../etc/🧮分数\u{0}\n.mp4")]).unwrap();
        assert_eq!(metadata.filename, "../../etc/🧮分数.mp4");
        assert_eq!(metadata.title, "🧮分数");
        assert_eq!(parse(None).unwrap().title, "lesson");
        assert_eq!(parse_pairs(&[("filename", "/.mp4")]).unwrap().title, "lesson");
    }

    #[test]
    fn what_is_outside_its_bounds_is_refused_by_name() {
        let long = "x".repeat(121);
        for (field, value) in [
            ("title", &long[..]),
            ("subject", "alchemy"),
            ("grade", "13"),
            ("teacher", &long[..31]),
            ("kind", "potion"),
            ("group", "../../x"),
        ] {
            assert_eq!(parse_pairs(&[(field, value)]).unwrap_err().params["field"], field);
        }
        let id = "0123456789ABCDEF0123456789abcdef";
        for (files, place, field) in
            [("0", "0", "group_files"), ("101", "0", "group_files"), ("2", "2", "group_place")]
        {
            let pairs = [("group", id), ("group_files", files), ("group_place", place)];
            assert_eq!(parse_pairs(&pairs).unwrap_err().params["field"], field);
        }
        let pairs = [("group", id), ("group_files", "2"), ("group_place", "1")];
        let group = parse_pairs(&pairs).unwrap().group.unwrap();
        assert_eq!((group.id, group.files, group.place), (id.to_ascii_lowercase(), 2, 1));
        let error = parse(Some(&HeaderValue::from_static("title ???"))).unwrap_err();
        assert_eq!(error.params["field"], "upload-metadata");
    }
}
