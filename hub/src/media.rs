//! Serves lessons to players: HLS playlists and byte ranges of tracks, from what is verified.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use yingxue_codec::playlist;
use yingxue_codec::track::{TrackInfo, TrackKind};
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::id::{BlobId, DocId};

use crate::accounts::Anyone;
use crate::app::App;
use crate::problem::ApiError;
use crate::store::{blobs, lost};
use byte_range::Asked;
use open_tracks::{OpenTrack, READ_BYTES_MAX};

mod byte_range;
pub mod open_tracks;

/// A blob never changes under its name.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, immutable, max-age=31536000");
/// A playlist changes while its lesson arrives.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");
const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");

/// The routes of this slice; they are outside the API and its description.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/media/blob/{blob}", axum::routing::get(serve_blob))
        .route("/media/{lesson}/{file}", axum::routing::get(serve_lesson_file))
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
    let etag = HeaderValue::from_str(&format!("\"{blob}\"")).expect("hex is a header value");
    if is_named(&headers, header::IF_NONE_MATCH, &etag) {
        let headers = [(header::ETAG, etag), (header::CACHE_CONTROL, FOR_EVER)];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let (status, range) = match asked(&headers, &etag, track.total_bytes) {
        Asked::Whole => (StatusCode::OK, 0..track.total_bytes),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Unsatisfiable => return Ok(unsatisfiable(track.total_bytes)),
    };
    if !track.holds(&range) {
        return Err(ApiError::not_found());
    }
    if !track.reaches(range.end)? {
        check_file(&app, blob).await;
        return Err(ApiError::not_found());
    }
    let mut response = body(&app, &track, range.clone()).await?.into_response();
    *response.status_mut() = status;
    describe(response.headers_mut(), &track, &range, status, etag);
    if let Some(name) = query.download {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment(&name));
    }
    Ok(response)
}

/// Finds a blob among those that are open, or opens it.
async fn open(app: &App, blob: BlobId) -> Result<Arc<OpenTrack>, ApiError> {
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
        Ok(file.map(|file| OpenTrack::new(blob, file, &manifest, &known.bitmap)))
    });
    let Some(track) = opened.await? else {
        check_file(app, blob).await;
        return Err(ApiError::not_found());
    };
    let track = Arc::new(track);
    tracks.insert(Arc::clone(&track), begun);
    Ok(track)
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

fn asked(headers: &HeaderMap, etag: &HeaderValue, total_bytes: u64) -> Asked {
    let is_other = headers.get(header::IF_RANGE).is_some_and(|named| named != etag);
    match headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
        Some(value) if !is_other => byte_range::parse(value, total_bytes),
        _ => Asked::Whole,
    }
}

fn is_named(headers: &HeaderMap, name: header::HeaderName, etag: &HeaderValue) -> bool {
    let Some(named) = headers.get(name).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let tags = named.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
    tags.into_iter().any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}

fn unsatisfiable(total_bytes: u64) -> Response {
    let whole = HeaderValue::from_str(&format!("bytes */{total_bytes}"));
    let headers = [(header::CONTENT_RANGE, whole.expect("digits are a header value"))];
    (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response()
}

fn describe(
    headers: &mut HeaderMap,
    track: &OpenTrack,
    range: &Range<u64>,
    status: StatusCode,
    etag: HeaderValue,
) {
    let is_sound = track.info.as_ref().is_some_and(|info| info.kind == TrackKind::Audio);
    let media_type = if is_sound { "audio/mp4" } else { "video/mp4" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    headers.insert(header::ETAG, etag);
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{}", range.start, range.end - 1, track.total_bytes);
        let part = HeaderValue::from_str(&part).expect("digits are a header value");
        headers.insert(header::CONTENT_RANGE, part);
    }
}

/// A segment is one buffer; anything longer is read as the network takes it.
async fn body(app: &App, track: &Arc<OpenTrack>, range: Range<u64>) -> Result<Body, ApiError> {
    let is_short = range.end - range.start <= READ_BYTES_MAX as u64;
    if is_short {
        let bytes = app.sync.news().tracks().read(track, range).await?;
        return Ok(Body::from(bytes));
    }
    let start = (app.clone(), Arc::clone(track), range);
    let chunks = stream::unfold(start, |(app, track, mut rest)| async move {
        if rest.is_empty() {
            return None;
        }
        let end = rest.end.min(rest.start + READ_BYTES_MAX as u64);
        let chunk = app.sync.news().tracks().read(&track, rest.start..end).await;
        if chunk.is_err() {
            check_file(&app, track.blob).await;
        }
        rest.start = if chunk.is_ok() { end } else { rest.end };
        Some((chunk, (app, track, rest)))
    });
    Ok(Body::from_stream(chunks))
}

/// Names a download (RFC 6266); what a file name cannot have is left out.
fn attachment(name: &str) -> HeaderValue {
    let is_kept = |c: &char| !c.is_control() && !"/\\:*?\"<>|".contains(*c);
    let name: String = name.chars().filter(is_kept).take(100).collect();
    let ascii: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let encoded: String = name.bytes().map(percent).collect();
    let value = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}");
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

async fn serve_lesson_file(
    State(app): State<App>,
    _: Anyone,
    Path((lesson, file)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let lesson: DocId = lesson.parse().map_err(|_| ApiError::not_found())?;
    let file = file.as_str();
    if file == "poster.jpg" {
        return serve_poster(&app, lesson).await;
    }
    let name = file.strip_suffix(".m3u8").ok_or_else(ApiError::not_found)?;
    let text = match name {
        "master" => master(&app, lesson).await?,
        name => media_playlist(&app, lesson, name).await?,
    };
    let headers = [(header::CONTENT_TYPE, PLAYLIST), (header::CACHE_CONTROL, ASK_AGAIN)];
    Ok((headers, text).into_response())
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

/// Writes the master playlist with the tracks that can begin to play.
async fn master(app: &App, lesson: DocId) -> Result<String, ApiError> {
    let mut open_tracks = Vec::new();
    for (_, blob) in app.db.read(move |db| tracks_of(db, &lesson)).await? {
        match open(app, blob).await {
            Ok(track) => open_tracks.push(track),
            Err(error) if error.status == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    let playable: Vec<&TrackInfo> =
        open_tracks.iter().filter_map(|track| playable(track)).collect();
    if playable.is_empty() {
        return Err(ApiError::not_found());
    }
    let tracks: Vec<_> = playable
        .into_iter()
        .map(|info| playlist::MasterTrack { info, uri: format!("{}.m3u8", info.kind) })
        .collect();
    Ok(playlist::master(&tracks))
}

/// Gives the description of a track whose beginning is here.
fn playable(track: &OpenTrack) -> Option<&TrackInfo> {
    let info = track.info.as_ref()?;
    let (init, mut segments) = info.ranges();
    (track.holds(&init) && segments.any(|(_, range)| track.holds(&range))).then_some(info)
}

async fn media_playlist(app: &App, lesson: DocId, kind: &str) -> Result<String, ApiError> {
    let tracks = app.db.read(move |db| tracks_of(db, &lesson)).await?;
    let found = tracks.into_iter().find(|(of_track, _)| of_track == kind);
    let (_, blob) = found.ok_or_else(ApiError::not_found)?;
    let track = open(app, blob).await?;
    let info = track.info.as_ref().ok_or_else(ApiError::not_found)?;
    Ok(playlist::media(info, &format!("/media/blob/{blob}"), |range| track.holds(&range)))
}

fn tracks_of(db: &Connection, lesson: &DocId) -> rusqlite::Result<Vec<(String, BlobId)>> {
    const TRACKS: &str = "select kind, blob from lesson_tracks where lesson = ?1 order by class";
    db.prepare_cached(TRACKS)?
        .query_map([lesson.as_bytes()], |row| Ok((row.get(0)?, BlobId(row.get(1)?))))?
        .collect()
}

#[cfg(test)]
mod tests;
