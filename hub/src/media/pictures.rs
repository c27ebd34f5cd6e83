//! Slides and thumbnails as pictures: the AV1 sample of a segment in an AVIF file, or decoded
//! and written as JPEG for a browser without AVIF.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::Semaphore;
use yingxue_codec::track::{INIT_BYTES_MAX, TrackKind};
use yingxue_sync_core::id::{BlobId, DocId};

use super::kept::Kept;
use super::resource::{self, Resource};
use super::{kept_for, open_kind, read};
use crate::app::App;
use crate::problem::ApiError;

/// The largest still that is taken; a slide has 40 KiB, a photograph at full size a megabyte.
const STILL_BYTES_MAX: u64 = 4 << 20;
/// What is kept of pictures that were decoded: the slides of some lessons.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Pictures decoded at once; each takes some 20 ms and 6 MB at 1920×1080.
const DECODERS_MAX: usize = 2;

/// Pictures that were decoded.
pub(super) struct Pictures {
    kept: Kept<(BlobId, usize)>,
    decoders: Arc<Semaphore>,
}

impl Default for Pictures {
    fn default() -> Self {
        let decoders = Arc::new(Semaphore::new(DECODERS_MAX));
        Self { kept: Kept::new(KEPT_BYTES_MAX), decoders }
    }
}

/// How a picture is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Avif,
    Jpeg,
}

/// A still's track, and what it consists of.
struct Still {
    blob: BlobId,
    n: usize,
    init: Bytes,
    segment: Bytes,
}

/// Answers with a picture such as `7.avif`, if it is here; beside its name stands the blob that is
/// meant.
pub(super) async fn serve(
    app: &App,
    lesson: DocId,
    kind: TrackKind,
    (file, of): (&str, Option<&str>),
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (n, format) = match file.split_once('.') {
        Some((n, "avif")) => (n, Format::Avif),
        Some((n, "jpg")) => (n, Format::Jpeg),
        _ => return Err(ApiError::not_found()),
    };
    let n: usize = n.parse().map_err(|_| ApiError::not_found())?;
    let track = open_kind(app, lesson, kind).await?;
    let info = track.info.as_ref().ok_or_else(ApiError::not_found)?;
    let (init, mut segments) = info.ranges();
    let (_, range) = segments.nth(n).ok_or_else(ApiError::not_found)?;
    let still = Still {
        blob: track.blob,
        n,
        init: read(app, &track, init, INIT_BYTES_MAX.into()).await?,
        segment: read(app, &track, range, STILL_BYTES_MAX).await?,
    };
    let (bytes, media_type) = match format {
        Format::Avif => (still.avif()?, "image/avif"),
        Format::Jpeg => (jpeg(app, still).await?, "image/jpeg"),
    };
    let resource = Resource {
        etag: resource::etag(&format!("{}-{file}", track.blob)),
        total_bytes: bytes.len() as u64,
        media_type,
        cache: kept_for(of, &track.blob.to_string()),
    };
    Ok(resource.whole(headers, bytes))
}

async fn jpeg(app: &App, still: Still) -> Result<Bytes, ApiError> {
    let pictures = &app.serving.pictures;
    let key = (still.blob, still.n);
    if let Some(bytes) = pictures.kept.get(&key) {
        return Ok(bytes);
    }
    let permit = Arc::clone(&pictures.decoders).acquire_owned().await;
    let permit = permit.map_err(ApiError::internal)?;
    let decoding = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        still.jpeg()
    });
    let bytes = decoding.await.map_err(ApiError::internal)??;
    pictures.kept.put(key, bytes.clone());
    Ok(bytes)
}

impl Still {
    fn avif(&self) -> Result<Bytes, ApiError> {
        let avif = yingxue_codec::slide::avif(&self.init, &self.segment);
        avif.map(Bytes::from).map_err(|error| self.unusable(&error))
    }

    fn jpeg(&self) -> Result<Bytes, ApiError> {
        let jpeg = yingxue_codec::slide::jpeg(&self.segment);
        jpeg.map(Bytes::from).map_err(|error| self.unusable(&error))
    }

    /// Its maker's mistake: the bytes are what they were when they were hashed.
    fn unusable(&self, error: &dyn std::fmt::Display) -> ApiError {
        tracing::warn!(blob = %self.blob, still = self.n, %error, "a still cannot be shown");
        ApiError::not_found()
    }
}
