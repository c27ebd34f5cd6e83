//! A lesson as one MP4 to keep: the source as it is, or picture and sound put together on the
//! way out. Nothing is written to disk, and a download that was cut goes on by range.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use yingxue_codec::mux::{BEGINNING_BYTES_MAX, Input, Layout};
use yingxue_codec::track::{INIT_BYTES_MAX, TrackKind};
use yingxue_sync_core::id::DocId;

use super::open_tracks::OpenTrack;
use super::resource::{self, Resource, attachment};
use super::{ASK_AGAIN, check_file, open_lesson, playlists, read, read_pieces, serve_track};
use crate::app::App;
use crate::catalog::query;
use crate::catalog::readiness::TierName;
use crate::problem::ApiError;

/// A file that is put together while it is sent.
struct Joined {
    app: App,
    layout: Layout,
    tracks: Vec<Arc<OpenTrack>>,
}

/// Answers with the file of a tier, once all of it is here.
pub(super) async fn serve(
    app: &App,
    lesson: DocId,
    tier: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let tier = playlists::named(tier.unwrap_or("source"))?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await?;
    let row = row.filter(|row| !row.is_deleted).ok_or_else(ApiError::not_found)?;
    let tracks = tracks_of_tier(app, lesson, tier).await?;
    let name = format!("{}.mp4", row.title);
    match tracks.as_slice() {
        [] => Err(not_here()),
        [source] if tier == TierName::Source => {
            serve_track(app, source, headers, Some(&name)).await
        }
        _ => join(app, tracks, tier, headers, &name).await,
    }
}

/// Gives the tier's tracks, the picture first; an error if something of them is not here.
async fn tracks_of_tier(
    app: &App,
    lesson: DocId,
    tier: TierName,
) -> Result<Vec<Arc<OpenTrack>>, ApiError> {
    let listed = app.db.read(move |db| super::tracks_of(db, &lesson)).await?;
    let kinds: Vec<TrackKind> =
        tier.needs().iter().copied().filter(|kind| is_in_file(tier, *kind)).collect();
    let is_needed = |name: &str| kinds.iter().any(|kind| kind.as_str() == name);
    let needed = listed.iter().filter(|(name, _)| is_needed(name)).count();
    let has = |kind: TrackKind| listed.iter().any(|(name, _)| name == kind.as_str());
    if essential(tier).is_some_and(|kind| !has(kind)) {
        return Err(not_here());
    }
    let mut opened = open_lesson(app, lesson).await?;
    opened.retain(|(kind, track)| kinds.contains(kind) && track.is_complete());
    if opened.len() < needed {
        return Err(not_here());
    }
    // The picture's segments set the order of the file.
    opened.sort_by_key(|(kind, _)| *kind == TrackKind::Audio);
    Ok(opened.into_iter().map(|(_, track)| track).collect())
}

/// Gives the track without which a lesson has not the tier.
fn essential(tier: TierName) -> Option<TrackKind> {
    match tier {
        TierName::Source => Some(TrackKind::Source),
        TierName::T2 => Some(TrackKind::Video480),
        TierName::T1 => Some(TrackKind::Video360),
        TierName::T0 => None,
    }
}

/// A moving picture stands for the slides that are found in it.
fn is_in_file(tier: TierName, kind: TrackKind) -> bool {
    tier == TierName::T0 || kind != TrackKind::Slides
}

fn not_here() -> ApiError {
    ApiError {
        detail: "Not all of this quality is here yet; try again later.".to_owned(),
        ..ApiError::not_found()
    }
}

async fn join(
    app: &App,
    tracks: Vec<Arc<OpenTrack>>,
    tier: TierName,
    headers: &HeaderMap,
    name: &str,
) -> Result<Response, ApiError> {
    let layout = plan(app, &tracks).await?;
    let names: Vec<String> = tracks.iter().map(|track| track.blob.to_string()).collect();
    let resource = Resource {
        etag: resource::etag(&format!("{}-{}", tier.as_str(), names.join("-"))),
        total_bytes: layout.total_bytes(),
        media_type: "video/mp4",
        cache: ASK_AGAIN,
    };
    let (status, range) = match resource.asked(headers) {
        Ok(asked) => asked,
        Err(answer) => return Ok(*answer),
    };
    let joined = Arc::new(Joined { app: app.clone(), layout, tracks });
    let mut response = joined.body(range.clone()).into_response();
    resource.describe(&mut response, status, &range);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment(name));
    Ok(response)
}

async fn plan(app: &App, tracks: &[Arc<OpenTrack>]) -> Result<Layout, ApiError> {
    let mut inits = Vec::new();
    for track in tracks {
        let info = track.info.as_ref().ok_or_else(ApiError::not_found)?;
        let init = 0..u64::from(info.init_bytes);
        inits.push((info, read(app, track, init, INIT_BYTES_MAX.into()).await?));
    }
    let inputs: Vec<Input> =
        inits.iter().map(|(info, init)| Input { info, init: init.as_ref() }).collect();
    Layout::new(&inputs).map_err(|error| {
        tracing::warn!(%error, "tracks of another form cannot be put into one file");
        ApiError::not_found()
    })
}

impl Joined {
    fn body(self: Arc<Self>, range: Range<u64>) -> Body {
        Body::from_stream(futures::stream::unfold((self, range), |(joined, mut rest)| async move {
            if rest.is_empty() {
                return None;
            }
            let chunk = joined.chunk(&rest).await;
            match &chunk {
                Ok(bytes) if !bytes.is_empty() => rest.start += bytes.len() as u64,
                _ => rest.start = rest.end,
            }
            Some((chunk, (joined, rest)))
        }))
    }

    /// Reads the first bytes of a range, at most a piece.
    async fn chunk(&self, rest: &Range<u64>) -> std::io::Result<Bytes> {
        let head = self.layout.head();
        if let Some(head) = usize::try_from(rest.start).ok().and_then(|start| head.get(start..))
            && !head.is_empty()
        {
            let bytes =
                head.len().min(usize::try_from(rest.end - rest.start).unwrap_or(usize::MAX));
            return Ok(Bytes::copy_from_slice(&head[..bytes]));
        }
        let part = self.layout.part_at(rest.start);
        let part = part.ok_or_else(|| std::io::Error::other("past the end of the file"))?;
        let track = &self.tracks[part.input];
        let at = rest.start - part.start;
        let end = part.bytes().min(at + (rest.end - rest.start));
        let beginning = part.bytes().min(BEGINNING_BYTES_MAX as u64);
        let from = if at < beginning { 0 } else { at };
        let source = part.source.start;
        let piece_end = track.piece_at(source + from).end - source;
        let to = piece_end.max(beginning).min(part.bytes());
        let mut bytes = self.read(track, source + from..source + to).await?;
        if at < beginning {
            let mut numbered = bytes.to_vec();
            part.renumber(&mut numbered).map_err(std::io::Error::other)?;
            bytes = Bytes::from(numbered);
        }
        Ok(bytes.slice((at - from) as usize..(end.min(to) - from) as usize))
    }

    async fn read(&self, track: &Arc<OpenTrack>, range: Range<u64>) -> std::io::Result<Bytes> {
        let read = read_pieces(&self.app, track, range).await;
        if read.is_err() {
            check_file(&self.app, track.blob).await;
        }
        read.map_err(std::io::Error::other)
    }
}
