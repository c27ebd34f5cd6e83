//! Files for browsers: one a school, put together from its segments while it is sent.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use yingxue_sync_core::courier::SignedManifest;
use yingxue_sync_core::id::HubId;
use yingxue_sync_io::courier::{FOLDER, Stick, yxc_head};

use super::table;
use crate::app::{App, now_ms};
use crate::media::resource::{Resource, attachment, etag};
use crate::problem::ApiError;

/// Bytes read at a time while a file is sent.
const CHUNK_BYTES: usize = 1 << 20;
/// How long files are kept once they are made: until a school's week is over.
pub(super) const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Gives where the parcel for a hub is kept until it is downloaded.
pub(super) fn folder_of(app: &App, job: i64, hub: &HubId) -> PathBuf {
    folder_of_job(app, job).join(hub.short())
}

fn folder_of_job(app: &App, job: i64) -> PathBuf {
    folder_of_all(app).join(job.to_string())
}

fn folder_of_all(app: &App) -> PathBuf {
    app.data_dir.join("courier")
}

/// Removes what is not to be downloaded any more: files of more than a week ago, those that a newer
/// export for the same school replaces, and what no export names. Call it while none runs.
pub(super) async fn sweep(app: &App) {
    let oldest_ms = now_ms().saturating_sub(KEPT_MS);
    let kept = match app.db.write(move |tx| table::forget_files(tx, oldest_ms)).await {
        Ok(kept) => kept,
        Err(error) => return tracing::warn!(%error, "old files of exports cannot be forgotten"),
    };
    let kept: BTreeSet<PathBuf> = kept.iter().map(|(job, hub)| folder_of(app, *job, hub)).collect();
    let all = folder_of_all(app);
    let removed = tokio::task::spawn_blocking(move || remove_others(&all, &kept)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "old files of exports could not be removed");
    }
}

fn remove_others(all: &Path, kept: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    let is_number = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.parse::<i64>().is_ok())
    };
    if !all.is_dir() {
        return Ok(());
    }
    for job in std::fs::read_dir(all)? {
        let job = job?.path();
        if !is_number(&job) {
            continue;
        }
        if !kept.iter().any(|folder| folder.starts_with(&job)) {
            std::fs::remove_dir_all(&job)?;
            continue;
        }
        for hub in std::fs::read_dir(&job)? {
            let hub = hub?.path();
            if !kept.contains(&hub) {
                std::fs::remove_dir_all(&hub)?;
            }
        }
    }
    Ok(())
}

/// Removes what an export made for browsers.
pub(super) async fn discard(app: &App, job: i64) {
    let folder = folder_of_job(app, job);
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    if let Ok(Err(error)) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "files of an export could not be removed");
    }
}

/// Names the file for a hub after its school; what file systems do not take is left out.
pub(super) fn name_for(app: &App, hub: &HubId) -> String {
    let membership = app.sync.membership();
    let members = membership.iter().flat_map(|membership| &membership.hubs);
    let school = members.filter(|member| member.hub == *hub).map(|member| member.school.as_str());
    let is_kept = |c: &char| c.is_alphanumeric() || *c == '-';
    let school: String = school.flat_map(str::chars).filter(is_kept).take(40).collect();
    // Two schools may have one name.
    format!("{school}-{}.yxc", hub.short()).trim_start_matches('-').to_owned()
}

/// Gives where a file is downloaded.
pub(super) fn url_of(job: i64, name: &str) -> String {
    let escaped: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("/api/v1/courier/exports/{job}/files/{escaped}")
}

/// A `.yxc` file that does not exist as one: a head, and segments in files of their own.
struct Joined {
    head: Bytes,
    segments: Vec<(PathBuf, u64)>,
}

/// Answers with the file for a hub, or a part of it.
pub(super) async fn serve(
    app: &App,
    job: i64,
    hub: &HubId,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let folder = folder_of(app, job, hub);
    let opened = tokio::task::spawn_blocking(move || open(&folder)).await;
    let (signed, joined) = opened.map_err(ApiError::internal)??;
    let version = blake3::hash(&signed.bytes).to_hex();
    let resource = Resource {
        etag: etag(version.get(..32).unwrap_or(&version)),
        total_bytes: joined.total_bytes(),
        media_type: "application/octet-stream",
        cache: HeaderValue::from_static("private, no-cache"),
    };
    let (status, range) = match resource.asked(headers) {
        Ok(asked) => asked,
        Err(answer) => return Ok(*answer),
    };
    let mut response = body(Arc::new(joined), range.clone()).into_response();
    resource.describe(&mut response, status, &range);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment(name));
    Ok(response)
}

fn open(folder: &Path) -> Result<(SignedManifest, Joined), ApiError> {
    let stick = Stick::open(folder).map_err(|_| ApiError::not_found())?;
    let parcels = stick.parcels().map_err(|_| ApiError::not_found())?;
    let (id, parcel) = parcels.into_iter().next().ok_or_else(ApiError::not_found)?;
    let signed = parcel.map_err(|_| ApiError::not_found())?.signed;
    let outbox = folder.join(FOLDER).join("outbox").join(id.folder());
    let segments = signed.manifest.segments.iter().enumerate();
    let segments = segments.map(|(n, s)| (outbox.join(format!("{n:04}.seg")), s.bytes)).collect();
    let head = Bytes::from(yxc_head(&signed));
    Ok((signed, Joined { head, segments }))
}

fn body(joined: Arc<Joined>, range: Range<u64>) -> Body {
    let parts = futures::stream::unfold((joined, range), |(joined, mut rest)| async move {
        if rest.is_empty() {
            return None;
        }
        let (reader, asked) = (Arc::clone(&joined), rest.clone());
        let read = tokio::task::spawn_blocking(move || reader.read(&asked)).await;
        let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        match &read {
            Ok(bytes) if !bytes.is_empty() => rest.start += bytes.len() as u64,
            _ => rest.start = rest.end,
        }
        Some((read, (joined, rest)))
    });
    // A connection may ask once more after the end, which an unfolding stream answers by a panic.
    Body::from_stream(parts.fuse())
}

impl Joined {
    fn total_bytes(&self) -> u64 {
        self.head.len() as u64 + self.segments.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Reads the first bytes of a range, at most [`CHUNK_BYTES`].
    fn read(&self, range: &Range<u64>) -> std::io::Result<Bytes> {
        let wanted = (range.end - range.start).min(CHUNK_BYTES as u64);
        let head = self.head.len() as u64;
        if range.start < head {
            let end = head.min(range.start + wanted);
            return Ok(self.head.slice(range.start as usize..end as usize));
        }
        let mut at = range.start - head;
        for (path, bytes) in &self.segments {
            if at < *bytes {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(at))?;
                let mut part = vec![0; wanted.min(bytes - at) as usize];
                file.read_exact(&mut part)?;
                return Ok(Bytes::from(part));
            }
            at -= bytes;
        }
        Err(std::io::Error::other("past the end of the file"))
    }
}
