//! Uploads a file by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), as a teacher's
//! browser does; goes on after a cut, and after the command itself was ended and given again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::SendBody;
use ureq::http::{HeaderMap, Method};

use super::client::{ClientError, HubClient};
use super::shown;

/// Bytes of one request; a browser's size, so that progress is shown every few seconds on Wi-Fi.
const REQUEST_BYTES: u64 = 8 << 20;
/// How long a hub may be away before the upload gives up: a restart takes seconds.
const AWAY_MAX: Duration = Duration::from_secs(120);
/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What a teacher says of a lesson.
pub(crate) struct Lesson<'a> {
    /// The video.
    pub(crate) file: &'a Path,
    /// 1 to 200 characters or so; the hub checks.
    pub(crate) title: &'a str,
    /// One of the hub's subjects.
    pub(crate) subject: &'a str,
    /// `k`, or 1 to 12.
    pub(crate) grade: &'a str,
    /// Who teaches.
    pub(crate) teacher: &'a str,
}

/// Uploads and gives the lesson's id; `progress` hears bytes sent and bytes in all.
pub(crate) fn upload(
    hub: &HubClient,
    lesson: &Lesson<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String> {
    let mut file =
        File::open(lesson.file).with_context(|| format!("open {}", shown(lesson.file)))?;
    let metadata = file.metadata().context("read the size of the file")?;
    anyhow::ensure!(metadata.is_file(), "{} is not a file", shown(lesson.file));
    let length = metadata.len();
    let changed_ms = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let path = match unfinished(hub, lesson, length, changed_ms)? {
        Some(path) => path,
        None => create(hub, lesson, length)?,
    };
    let mut offset = offset_of(hub, &path)?;
    let mut last_success = Instant::now();
    loop {
        progress(offset, length);
        file.seek(SeekFrom::Start(offset)).context("read the file")?;
        match send(hub, &path, &mut file, offset, length) {
            Ok((known, lesson_id)) if known >= length => {
                progress(length, length);
                return lesson_id.map_or_else(|| lesson_of(hub, &path), Ok);
            }
            Ok((known, _)) if known > offset => {
                offset = known;
                last_success = Instant::now();
            }
            Ok(_) => bail!("the hub took no bytes of the upload"),
            Err(error) => {
                wait_if_worth_it(error, last_success)?;
                if let Ok(known) = offset_of(hub, &path) {
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

/// Finds the upload of this very file that was cut off: name, size, and unchanged since.
fn unfinished(
    hub: &HubClient,
    lesson: &Lesson<'_>,
    length: u64,
    changed_ms: u128,
) -> Result<Option<String>> {
    let uploads = hub.get("/uploads")?;
    let is_same = |upload: &&Value| {
        upload["filename"].as_str() == Some(&*file_name(lesson.file))
            && upload["length"].as_u64() == Some(length)
            && upload["lesson_id"].is_null()
            && upload["created_at"].as_u64().is_some_and(|at| u128::from(at) > changed_ms)
    };
    let found = uploads["items"].as_array().into_iter().flatten().find(is_same);
    Ok(found.and_then(|upload| Some(format!("/uploads/{}", upload["id"].as_str()?))))
}

fn create(hub: &HubClient, lesson: &Lesson<'_>, length: u64) -> Result<String> {
    let name = file_name(lesson.file);
    let fields = [
        ("filename", name.as_str()),
        ("title", lesson.title),
        ("subject", lesson.subject),
        ("grade", lesson.grade),
        ("teacher", lesson.teacher),
    ];
    let said = fields.iter().filter(|(_, value)| !value.is_empty());
    let encoded: Vec<_> =
        said.map(|(key, value)| format!("{key} {}", base64(value.as_bytes()))).collect();
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("upload-length", length.to_string()),
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

/// Asks for the lesson, if the answer that named it was lost.
fn lesson_of(hub: &HubClient, path: &str) -> Result<String> {
    match hub.get(path)?["lesson_id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => bail!("the hub has the whole file but made no lesson of it"),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
    fn metadata_is_encoded_as_the_rfc_shows() {
        let shown =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        shown.iter().for_each(|(plain, encoded)| assert_eq!(base64(plain.as_bytes()), *encoded));
        assert_eq!(base64("萤".as_bytes()), "6JCk");
    }
}
