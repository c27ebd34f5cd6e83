//! Uploads a file by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), as a teacher's
//! browser does; goes on after a cut, and after the command itself was ended and given again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::SendBody;
use ureq::http::{HeaderMap, Method};

use super::client::{ClientError, HubClient};
use super::shown;
use crate::app::{hex, random};

/// Bytes of one request; a browser's size, so that progress is shown every few seconds on Wi-Fi.
const REQUEST_BYTES: u64 = 8 << 20;
/// How long a hub may be away before the upload gives up: a restart takes seconds.
const AWAY_MAX: Duration = Duration::from_secs(120);
/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What a teacher says of a lesson.
pub(crate) struct Lesson<'a> {
    /// Its files, in their order; at least one.
    pub(crate) files: &'a [PathBuf],
    /// 1 to 200 characters or so; the hub checks.
    pub(crate) title: &'a str,
    /// One of the hub's subjects.
    pub(crate) subject: &'a str,
    /// `k`, or 1 to 12.
    pub(crate) grade: &'a str,
    /// Who teaches.
    pub(crate) teacher: &'a str,
}

/// A file as it is before it is sent.
struct Part<'a> {
    path: &'a Path,
    name: String,
    length: u64,
    changed_ms: u128,
}

/// Uploads all files and gives the lesson's id; `progress` hears bytes sent and bytes in all.
pub(crate) fn upload(
    hub: &HubClient,
    lesson: &Lesson<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String> {
    let parts: Vec<Part> =
        lesson.files.iter().map(|path| Part::look(path)).collect::<Result<_>>()?;
    let uploads = hub.get("/uploads")?;
    let known = Known::find(&parts, uploads["items"].as_array().map_or(&[], Vec::as_slice));
    let all: u64 = parts.iter().map(|part| part.length).sum();
    let (mut before, mut last) = (0, None);
    for (place, part) in parts.iter().enumerate() {
        let path = match known.paths.get(place).cloned().flatten() {
            Some(path) => path,
            None => create(hub, lesson, part, known.group.as_deref().map(|id| (id, place)))?,
        };
        last = send_file(hub, &path, part, &mut |sent| progress(before + sent, all))?.or(last);
        before += part.length;
    }
    last.context("the hub has every file but made no lesson of them")
}

impl<'a> Part<'a> {
    fn look(path: &'a Path) -> Result<Self> {
        let metadata = path.metadata().with_context(|| format!("open {}", shown(path)))?;
        anyhow::ensure!(metadata.is_file(), "{} is not a file", shown(path));
        let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
        let changed_ms = changed.map_or(0, |changed| changed.as_millis());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path, name, length: metadata.len(), changed_ms })
    }

    /// Whether an upload is of this very file: name, size, and unchanged since.
    fn is(&self, upload: &Value) -> bool {
        upload["filename"].as_str() == Some(&*self.name)
            && upload["length"].as_u64() == Some(self.length)
            && upload["lesson_id"].is_null()
            && upload["created_at"].as_u64().is_some_and(|at| u128::from(at) > self.changed_ms)
    }
}

/// What the hub has of these files from a command that was cut off.
struct Known {
    /// Holds several files together.
    group: Option<String>,
    /// Where each file goes on, if it was begun.
    paths: Vec<Option<String>>,
}

impl Known {
    fn find(parts: &[Part], uploads: &[Value]) -> Self {
        let path = |upload: &Value| Some(format!("/uploads/{}", upload["id"].as_str()?));
        if let [part] = parts {
            let is_same = |upload: &&Value| upload["group"].is_null() && part.is(upload);
            return Self { group: None, paths: vec![uploads.iter().find(is_same).and_then(path)] };
        }
        let of_group = |id: &str| -> Vec<&Value> {
            uploads.iter().filter(|one| one["group"]["id"].as_str() == Some(id)).collect()
        };
        let is_here = |upload: &Value| {
            let place = upload["group"]["place"].as_u64().and_then(|n| usize::try_from(n).ok());
            let part = place.and_then(|place| parts.get(place));
            upload["group"]["files"].as_u64() == Some(parts.len() as u64)
                && part.is_some_and(|part| part.is(upload))
        };
        let mut ids = uploads.iter().filter_map(|one| one["group"]["id"].as_str());
        let same = ids.find(|id| of_group(id).into_iter().all(is_here));
        let Some(id) = same else {
            return Self { group: Some(hex(&random::<16>())), paths: Vec::new() };
        };
        let of_place = |place: usize| {
            let is_there = |one: &&&Value| one["group"]["place"].as_u64() == Some(place as u64);
            of_group(id).iter().find(is_there).and_then(|upload| path(upload))
        };
        Self { group: Some(id.to_owned()), paths: (0..parts.len()).map(of_place).collect() }
    }
}

/// Sends one file to its end; gives the lesson, if it was the last.
fn send_file(
    hub: &HubClient,
    path: &str,
    part: &Part<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<String>> {
    let mut file = File::open(part.path).with_context(|| format!("open {}", shown(part.path)))?;
    let mut offset = offset_of(hub, path)?;
    let mut last_success = Instant::now();
    loop {
        progress(offset);
        file.seek(SeekFrom::Start(offset)).context("read the file")?;
        match send(hub, path, &mut file, offset, part.length) {
            Ok((known, lesson_id)) if known >= part.length => {
                progress(part.length);
                return lesson_id.map_or_else(|| lesson_of(hub, path), |id| Ok(Some(id)));
            }
            Ok((known, _)) if known > offset => {
                offset = known;
                last_success = Instant::now();
            }
            Ok(_) => bail!("the hub took no bytes of the upload"),
            Err(error) => {
                wait_if_worth_it(error, last_success)?;
                if let Ok(known) = offset_of(hub, path) {
                    offset = known;
                }
            }
        }
    }
}

/// Sends one request's bytes; gives the offset that the hub has acknowledged.
fn send(
    hub: &HubClient,
    path: &str,
    file: &mut File,
    offset: u64,
    length: u64,
) -> Result<(u64, Option<String>), ClientError> {
    let bytes = REQUEST_BYTES.min(length - offset);
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("content-type", "application/offset+octet-stream".to_owned()),
        ("content-length", bytes.to_string()),
        ("upload-offset", offset.to_string()),
    ];
    let mut part = file.take(bytes);
    let body = SendBody::from_reader(&mut part);
    let (answer, _) = hub.api(Method::PATCH, path, &headers, body)?;
    let lesson = answer.get("yingxue-lesson").and_then(|id| id.to_str().ok()).map(Into::into);
    Ok((number(&answer, "upload-offset").unwrap_or(offset), lesson))
}

/// Passes on what another try would not change.
fn wait_if_worth_it(error: ClientError, last_success: Instant) -> Result<()> {
    let is_worth_it = match &error {
        ClientError::Cut { .. } => true,
        ClientError::Refused { code, status, .. } => {
            code == "upload_offset_mismatch" || *status == 503
        }
        _ => false,
    };
    if !is_worth_it || last_success.elapsed() > AWAY_MAX {
        return Err(error.into());
    }
    std::thread::sleep(RETRY_DELAY);
    Ok(())
}

fn create(
    hub: &HubClient,
    lesson: &Lesson<'_>,
    part: &Part<'_>,
    group: Option<(&str, usize)>,
) -> Result<String> {
    let (id, place) = group.map_or(("", String::new()), |(id, place)| (id, place.to_string()));
    let files = group.map_or_else(String::new, |_| lesson.files.len().to_string());
    let fields = [
        ("filename", part.name.as_str()),
        ("title", lesson.title),
        ("subject", lesson.subject),
        ("grade", lesson.grade),
        ("teacher", lesson.teacher),
        ("group", id),
        ("group_files", &files),
        ("group_place", &place),
    ];
    let said = fields.iter().filter(|(_, value)| !value.is_empty());
    let encoded: Vec<_> =
        said.map(|(key, value)| format!("{key} {}", base64(value.as_bytes()))).collect();
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("upload-length", part.length.to_string()),
        ("upload-metadata", encoded.join(",")),
    ];
    let (answer, _) = hub.api(Method::POST, "/uploads", &headers, SendBody::none())?;
    let location = answer.get("location").and_then(|location| location.to_str().ok());
    let id = location.and_then(|location| location.rsplit_once("/uploads/"));
    Ok(format!("/uploads/{}", id.context("the hub said no place for the upload")?.1))
}

fn offset_of(hub: &HubClient, path: &str) -> Result<u64> {
    let headers = [("tus-resumable", "1.0.0".to_owned())];
    let (answer, _) = hub.api(Method::HEAD, path, &headers, SendBody::none())?;
    number(&answer, "upload-offset").context("the hub did not say how much it has")
}

/// Asks for the lesson, if the answer that named it was lost; none while other files are missing.
fn lesson_of(hub: &HubClient, path: &str) -> Result<Option<String>> {
    Ok(hub.get(path)?["lesson_id"].as_str().map(ToOwned::to_owned))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Encodes as RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let index = (bits >> (18 - 6 * i)) as usize & 63;
            text.push(if i <= three.len() { ALPHABET[index].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_cut_off_goes_on_with_the_same_files_in_the_same_order() {
        let part = |name: &str| Part {
            path: Path::new("x"),
            name: name.to_owned(),
            length: 5,
            changed_ms: 1,
        };
        let group = |name: &str, place: u64| {
            let group = serde_json::json!({"id": "g", "files": 2, "place": place});
            serde_json::json!({"id": name, "filename": name, "length": 5, "lesson_id": null,
                "created_at": 2, "group": group})
        };
        let uploads = [group("b", 1)];
        let known = Known::find(&[part("a"), part("b")], &uploads);
        assert_eq!(known.group.as_deref(), Some("g"));
        assert_eq!(known.paths, [None, Some("/uploads/b".to_owned())]);
        for other in [[part("b"), part("a")], [part("a"), part("c")]] {
            let known = Known::find(&other, &uploads);
            assert!(known.group.is_some_and(|id| id.len() == 32) && known.paths.is_empty());
        }
        let alone = Known::find(&[part("b")], &uploads);
        assert_eq!((alone.group, alone.paths), (None, vec![None]), "a part of another lesson");
    }

    #[test]
    fn metadata_is_encoded_as_the_rfc_shows() {
        let shown =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        shown.iter().for_each(|(plain, encoded)| assert_eq!(base64(plain.as_bytes()), *encoded));
        assert_eq!(base64("萤".as_bytes()), "6JCk");
    }
}
