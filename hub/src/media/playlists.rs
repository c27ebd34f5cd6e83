//! HLS playlists of what is here.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use yingxue_codec::playlist::{self, MasterTrack};
use yingxue_codec::track::{TrackInfo, TrackKind};
use yingxue_sync_core::id::DocId;

use super::open_tracks::OpenTrack;
use super::{ASK_AGAIN, open_kind, open_lesson};
use crate::app::App;
use crate::catalog::readiness::TierName;
use crate::problem::ApiError;

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");

/// Answers with a playlist.
pub(super) fn answer(text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, PLAYLIST), (header::CACHE_CONTROL, ASK_AGAIN)];
    (headers, text).into_response()
}

/// Answers with the master playlist of the tracks that can begin to play: of one tier, or of all.
pub(super) async fn master(
    app: &App,
    lesson: DocId,
    tier: Option<&str>,
) -> Result<Response, ApiError> {
    let tier = tier.map(named).transpose()?;
    let opened = open_lesson(app, lesson).await?;
    let of_tier = |kind: TrackKind| match tier {
        Some(tier) => tier.needs().contains(&kind),
        None => true,
    };
    let tracks: Vec<MasterTrack> = opened
        .iter()
        .filter(|(kind, _)| of_tier(*kind))
        .filter_map(|(_, track)| playable(track))
        .map(|info| MasterTrack { info, uri: format!("{}.m3u8", info.kind) })
        .collect();
    let text = playlist::master(&tracks).ok_or_else(ApiError::not_found)?;
    Ok(answer(text))
}

/// Reads a tier's name.
pub(super) fn named(name: &str) -> Result<TierName, ApiError> {
    let allowed = TierName::ALL.map(TierName::as_str).join(", ");
    TierName::of(name).ok_or_else(|| ApiError::invalid_input("tier", allowed))
}

/// Gives the description of a track whose beginning is here; captions count when all of them is.
fn playable(track: &OpenTrack) -> Option<&TrackInfo> {
    let info = track.info.as_ref()?;
    let (init, mut segments) = info.ranges();
    let is_here = match info.kind {
        TrackKind::Captions(_) => track.is_complete(),
        _ => track.holds(&init) && segments.any(|(_, range)| track.holds(&range)),
    };
    is_here.then_some(info)
}

/// Answers with one track's playlist.
pub(super) async fn media(app: &App, lesson: DocId, kind: &str) -> Result<Response, ApiError> {
    let kind: TrackKind = kind.parse().map_err(|_| ApiError::not_found())?;
    let track: Arc<OpenTrack> = open_kind(app, lesson, kind).await?;
    let info = track.info.as_ref().ok_or_else(ApiError::not_found)?;
    if let TrackKind::Captions(_) = kind {
        let is_here = track.is_complete();
        return Ok(answer(playlist::captions(
            info,
            &format!("{kind}.vtt?of={}", track.blob),
            is_here,
        )));
    }
    let uri = format!("/media/blob/{}", track.blob);
    Ok(answer(playlist::media(info, &uri, |range| track.holds(&range))))
}
