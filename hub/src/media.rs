//! Serves lessons to players: HLS playlists, byte ranges of tracks, slides and captions, whole
//! files to keep, and H.264 for old panels; all of it from what is verified.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use yingxue_codec::track::TrackKind;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::id::{BlobId, DocId};

use crate::accounts::Anyone;
use crate::app::App;
use crate::problem::ApiError;
use crate::store::{blobs, lost};
use open_tracks::{OpenTrack, READ_BYTES_MAX};

mod byte_range;
mod captions;
pub mod check;
mod download;
pub mod kept;
pub mod old_panels;
pub mod open_tracks;
mod pictures;
mod playlists;
pub(crate) mod resource;

use resource::{Resource, attachment};

/// A blob never changes under its name, nor does a part of a finished track.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, immutable, max-age=31536000");
/// A playlist changes while its lesson arrives; and what is named by its number in a lesson may be
/// of another track tomorrow.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What serving keeps between requests.
#[derive(Default)]
pub struct Serving {
    /// Slides and thumbnails for browsers without AVIF.
    pictures: pictures::Pictures,
    /// H.264 for browsers without AV1.
    old_panels: old_panels::OldPanels,
    /// Lessons whose files are being read through.
    checks: check::Checks,
}

/// The routes of this slice; they are outside the API and its description.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/media/blob/{blob}", get(serve_blob))
        .route("/media/{lesson}/{file}", get(serve_lesson_file))
        .route("/media/{lesson}/{folder}/{file}", get(serve_part))
}

#[derive(Debug, Deserialize)]
struct BlobQuery {
    download: Option<String>,
}

async fn serve_blob(
    State(app): State<App>,
    _: Anyone,
    Path(blob): Path<String>,
    Query(query): Query<BlobQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let blob: BlobId = blob.parse().map_err(|_| ApiError::not_found())?;
    let track = open(&app, blob).await?;
    serve_track(&app, &track, &headers, query.download.as_deref()).await
}

/// Answers with a track's file, or the part of it that is asked for.
async fn serve_track(
    app: &App,
    track: &Arc<OpenTrack>,
    headers: &HeaderMap,
    download: Option<&str>,
) -> Result<Response, ApiError> {
    let kind = track.info.as_ref().map(|info| info.kind);
    let resource = Resource {
        etag: resource::etag(&track.blob.to_string()),
        total_bytes: track.total_bytes,
        media_type: match kind {
            Some(TrackKind::Audio) => "audio/mp4",
            Some(TrackKind::Captions(_)) => "text/plain; charset=utf-8",
            _ => "video/mp4",
        },
        cache: FOR_EVER,
    };
    let (status, range) = match resource.asked(headers) {
        Ok(asked) => asked,
        Err(answer) => return Ok(*answer),
    };
    if !track.holds(&range) {
        return Err(ApiError::not_found());
    }
    if !track.reaches(range.end) {
        check_file(app, track.blob).await;
        return Err(ApiError::not_found());
    }
    let mut response = body(app, track, range.clone()).await?.into_response();
    resource.describe(&mut response, status, &range);
    if let Some(name) = download {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment(name));
    }
    Ok(response)
}

/// Finds a blob among those that are open, or opens it.
pub(crate) async fn open(app: &App, blob: BlobId) -> Result<Arc<OpenTrack>, ApiError> {
    let tracks = app.sync.news().tracks();
    if let Some(track) = tracks.get(&blob) {
        return Ok(track);
    }
    let begun = tracks.generation();
    let files = Arc::clone(app.sync.files());
    let opened = app.db.read(move |db| -> Result<Option<OpenTrack>, ApiError> {
        let known = blobs::load(db, &blob)?;
        let manifest = known.manifest.ok_or_else(ApiError::not_found)?;
        let manifest = Manifest::decode(&manifest).map_err(ApiError::internal)?;
        let file = files.open_file(blob).ok();
        Ok(file.map(|file| OpenTrack::new(blob, file, manifest, &known.bitmap)))
    });
    let Some(track) = opened.await? else {
        check_file(app, blob).await;
        return Err(ApiError::not_found());
    };
    let track = Arc::new(track);
    tracks.insert(Arc::clone(&track), begun);
    Ok(track)
}

/// Opens a lesson's tracks, in the order in which they are fetched; those of which nothing is
/// known yet are left out.
pub(crate) async fn open_lesson(
    app: &App,
    lesson: DocId,
) -> Result<Vec<(TrackKind, Arc<OpenTrack>)>, ApiError> {
    let mut opened = Vec::new();
    for (kind, blob) in app.db.read(move |db| tracks_of(db, &lesson)).await? {
        let Ok(kind) = kind.parse::<TrackKind>() else { continue };
        match open(app, blob).await {
            // Its maker says what it is, and the lesson's document too.
            Ok(track) if track.info.as_ref().is_some_and(|info| info.kind == kind) => {
                opened.push((kind, track));
            }
            Ok(_) => {}
            Err(error) if error.status == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// Opens one track of a lesson.
async fn open_kind(app: &App, lesson: DocId, kind: TrackKind) -> Result<Arc<OpenTrack>, ApiError> {
    let tracks = app.db.read(move |db| tracks_of(db, &lesson)).await?;
    let found = tracks.into_iter().find(|(of_track, _)| of_track == kind.as_str());
    let (_, blob) = found.ok_or_else(ApiError::not_found)?;
    let track = open(app, blob).await?;
    let is_meant = track.info.as_ref().is_some_and(|info| info.kind == kind);
    if is_meant { Ok(track) } else { Err(ApiError::not_found()) }
}

/// Reads a range of a track that is held, of at most `bytes_max`.
async fn read(
    app: &App,
    track: &Arc<OpenTrack>,
    range: std::ops::Range<u64>,
    bytes_max: u64,
) -> Result<bytes::Bytes, ApiError> {
    if !track.holds(&range) || range.end - range.start > bytes_max {
        return Err(ApiError::not_found());
    }
    if !track.reaches(range.end) {
        check_file(app, track.blob).await;
        return Err(ApiError::not_found());
    }
    if range.end - range.start <= READ_BYTES_MAX as u64 {
        return read_right(app, track, range).await;
    }
    read_pieces(app, track, range).await
}

/// Reads a range that need not be whole pieces, and compares the pieces that it lies in.
async fn read_pieces(
    app: &App,
    track: &Arc<OpenTrack>,
    range: std::ops::Range<u64>,
) -> Result<bytes::Bytes, ApiError> {
    let mut bytes = bytes::BytesMut::new();
    let mut at = range.start;
    while at < range.end {
        let piece = track.piece_at(at);
        let (start, end) = (piece.start, piece.end.min(range.end));
        let read = read_right(app, track, piece).await?;
        bytes.extend_from_slice(&read[(at - start) as usize..(end - start) as usize]);
        at = end;
    }
    Ok(bytes.freeze())
}

/// Reads a range of at most [`READ_BYTES_MAX`]. A piece of it that has rotted or cannot be read is
/// taken back, durably, before anybody is told: no light stays green over what a class has tripped
/// on.
async fn read_right(
    app: &App,
    track: &Arc<OpenTrack>,
    range: std::ops::Range<u64>,
) -> Result<bytes::Bytes, ApiError> {
    match app.sync.news().tracks().read(track, range.clone()).await {
        Ok(bytes) if track.wrong_piece(&range, &bytes).is_none() => Ok(bytes),
        _ => read_again(app, track, range).await,
    }
}

/// Reads a range once more, from the file that is in its place now; takes back what is wrong.
async fn read_again(
    app: &App,
    track: &Arc<OpenTrack>,
    range: std::ops::Range<u64>,
) -> Result<bytes::Bytes, ApiError> {
    let (first, start) = (track.piece_number(range.start), track.piece_at(range.start).start);
    let (db, files, blob) = (app.db.clone(), Arc::clone(app.sync.files()), track.blob);
    let news = Arc::clone(app.sync.news());
    news.tracks().forget(&blob);
    let looked = tokio::task::spawn_blocking(move || -> rusqlite::Result<Option<Vec<u8>>> {
        let found = lost::read_some(&db, &files, blob, first, range.end - start)?.found;
        found.notices.into_iter().for_each(|notice| news.tell(notice));
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let is_right = found.damaged == 0;
        Ok(is_right.then(|| files.read_at(blob, range.start, len).ok()).flatten())
    });
    let bytes = looked.await.map_err(ApiError::internal)??;
    bytes.map(Into::into).ok_or_else(ApiError::not_found)
}

/// Takes back what a file does not have any more, so that nothing says that it is here.
async fn check_file(app: &App, blob: BlobId) {
    let (db, files) = (app.db.clone(), Arc::clone(app.sync.files()));
    let news = Arc::clone(app.sync.news());
    news.tracks().forget(&blob);
    let checked = tokio::task::spawn_blocking(move || {
        lost::check(&db, &files, blob)
            .map(|notices| notices.into_iter().for_each(|notice| news.tell(notice)))
    });
    if let Ok(Err(error)) = checked.await {
        tracing::error!(%error, "the file of a lesson could not be checked");
    }
}

/// A segment is one buffer; anything longer is read as the network takes it.
async fn body(
    app: &App,
    track: &Arc<OpenTrack>,
    range: std::ops::Range<u64>,
) -> Result<Body, ApiError> {
    let is_short = range.end - range.start <= READ_BYTES_MAX as u64;
    if is_short {
        return read_right(app, track, range).await.map(Body::from);
    }
    let start = (app.clone(), Arc::clone(track), range);
    let chunks = futures::stream::unfold(start, |(app, track, mut rest)| async move {
        if rest.is_empty() {
            return None;
        }
        let end = rest.end.min(track.piece_at(rest.start).end);
        let chunk = read_right(&app, &track, rest.start..end).await;
        if chunk.is_err() {
            check_file(&app, track.blob).await;
        }
        rest.start = if chunk.is_ok() { end } else { rest.end };
        Some((chunk.map_err(std::io::Error::other), (app, track, rest)))
    });
    Ok(Body::from_stream(chunks))
}

#[derive(Debug, Deserialize)]
struct LessonQuery {
    tier: Option<String>,
    of: Option<String>,
}

/// What an address says of a part beside its number in the lesson.
#[derive(Debug, Deserialize)]
struct PartQuery {
    /// The version that is meant: a blob's name.
    of: Option<String>,
}

/// Says how long a part may be kept: for ever only under an address that names the version it is
/// of, for captions and thumbnails are made anew under the same number.
fn kept_for(of: Option<&str>, version: &str) -> HeaderValue {
    if of == Some(version) { FOR_EVER } else { ASK_AGAIN }
}

async fn serve_lesson_file(
    State(app): State<App>,
    _: Anyone,
    Path((lesson, file)): Path<(String, String)>,
    Query(query): Query<LessonQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let lesson: DocId = lesson.parse().map_err(|_| ApiError::not_found())?;
    let tier = query.tier.as_deref();
    match (file.as_str(), file.rsplit_once('.')) {
        ("poster.jpg", _) => serve_poster(&app, lesson).await,
        ("download.mp4", _) => download::serve(&app, lesson, tier, &headers).await,
        ("h264.m3u8", _) => old_panels::playlist(&app, lesson).await,
        ("master.m3u8", _) => playlists::master(&app, lesson, tier).await,
        (_, Some((kind, "m3u8"))) => playlists::media(&app, lesson, kind).await,
        (_, Some((kind, "vtt"))) => {
            captions::serve(&app, lesson, kind, query.of.as_deref(), &headers).await
        }
        _ => Err(ApiError::not_found()),
    }
}

async fn serve_part(
    State(app): State<App>,
    _: Anyone,
    Path((lesson, folder, file)): Path<(String, String, String)>,
    Query(query): Query<PartQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let lesson: DocId = lesson.parse().map_err(|_| ApiError::not_found())?;
    let of = query.of.as_deref();
    let kind = match folder.as_str() {
        "slides" => TrackKind::Slides,
        "thumbs" => TrackKind::Thumbs,
        "h264" => return old_panels::segment(&app, lesson, &file, of).await,
        _ => return Err(ApiError::not_found()),
    };
    pictures::serve(&app, lesson, kind, (&file, of), &headers).await
}

async fn serve_poster(app: &App, lesson: DocId) -> Result<Response, ApiError> {
    const POSTER: &str = "select jpeg from lesson_posters where lesson = ?1";
    let jpeg = app.db.read(move |db| -> rusqlite::Result<Option<Vec<u8>>> {
        db.prepare_cached(POSTER)?.query_row([lesson.as_bytes()], |row| row.get(0)).optional()
    });
    let jpeg = jpeg.await?.ok_or_else(ApiError::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600")),
    ];
    Ok((headers, jpeg).into_response())
}

/// Lists a lesson's tracks by name, in the order in which they are fetched.
pub(crate) fn tracks_of(
    db: &Connection,
    lesson: &DocId,
) -> rusqlite::Result<Vec<(String, BlobId)>> {
    const TRACKS: &str = "select kind, blob from lesson_tracks where lesson = ?1 order by class";
    db.prepare_cached(TRACKS)?
        .query_map([lesson.as_bytes()], |row| Ok((row.get(0)?, BlobId(row.get(1)?))))?
        .collect()
}

#[cfg(test)]
mod tests;
