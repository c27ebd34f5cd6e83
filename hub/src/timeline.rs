//! What the player's bar shows of a lesson: slides, thumbnails, chapters, loudness, and which
//! times of which quality are not here.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_codec::track::{TrackInfo, TrackKind};
use yingxue_sync_core::id::DocId;

use crate::accounts::{Anyone, Role};
use crate::app::App;
use crate::catalog::outline::{self, Chapter};
use crate::catalog::query;
use crate::catalog::readiness::TierName;
use crate::lessons::parse;
use crate::media::open_tracks::OpenTrack;
use crate::media::{open_lesson, tracks_of};
use crate::problem::{ApiError, Problem};
use crate::timetable;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(timeline))
}

/// A lesson along its time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Timeline {
    /// Of the whole lesson.
    pub duration_ms: i64,
    /// The slides; number `n` is at `/media/{id}/slides/{n}.avif` and `.jpg`.
    pub slides: Vec<Slide>,
    /// Pixels of the slides.
    pub slides_size: Option<Size>,
    /// Small stills at even distances; number `n` is at `/media/{id}/thumbs/{n}.avif` and `.jpg`.
    pub thumbs: Option<Thumbs>,
    /// Named parts, in order of time.
    pub chapters: Vec<Chapter>,
    /// How loud each second is, 0 (silence) to 255; null if that is not known.
    pub peaks: Option<Vec<u8>>,
    /// The captions; number `n` is at `/media/{id}/captions-{n}.vtt`.
    pub captions: Vec<Captions>,
    /// For each tier that the lesson has, what of it is not here.
    pub missing: Missing,
}

/// One slide.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Slide {
    /// When it appears.
    pub at_ms: u64,
    /// True if its picture is here.
    pub is_here: bool,
}

/// A picture's size in pixels.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Size {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}

/// The stills for the seek bar.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Thumbs {
    /// Between two of them.
    pub every_ms: u64,
    /// How many there are.
    pub count: usize,
}

/// One track of captions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Captions {
    /// 1 to 4.
    pub n: u8,
    /// A BCP 47 tag, if it is known.
    pub language: Option<String>,
    /// True if all of it is here.
    pub is_here: bool,
}

/// Times from and to, in milliseconds, in order; null for a tier that the lesson has not.
#[derive(Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Missing {
    /// Sound and slides.
    pub t0: Option<Vec<[u64; 2]>>,
    /// Sound, slides and the small picture.
    pub t1: Option<Vec<[u64; 2]>>,
    /// Sound, slides and the larger picture.
    pub t2: Option<Vec<[u64; 2]>>,
    /// As it came in.
    pub source: Option<Vec<[u64; 2]>>,
}

/// Shows a lesson along its time.
#[utoipa::path(get, path = "/lessons/{id}/timeline", tag = "lessons",
    params(("id" = String, Path)),
    responses((status = 200, body = Timeline), (status = 404, body = Problem)))]
async fn timeline(
    State(app): State<App>,
    anyone: Anyone,
    Path(id): Path<String>,
) -> Result<Json<Timeline>, ApiError> {
    let lesson: DocId = parse(&id)?;
    let is_pupil = anyone.user().role == Role::Pupil;
    let today = timetable::today(&app);
    let read = app.db.read(move |db| -> rusqlite::Result<_> {
        let is_kept = timetable::names(db, &lesson, today)?;
        let row = query::row(db, &lesson)?.filter(|row| is_kept || !row.is_deleted);
        Ok((row, outline::find(db, &lesson)?, tracks_of(db, &lesson)?))
    });
    let (row, outline, named) = read.await?;
    let row = row.filter(|row| row.is_published || !is_pupil);
    let duration_ms = row.ok_or_else(ApiError::not_found)?.duration_ms();
    let opened = open_lesson(&app, lesson).await?;
    let find = |kind| opened.iter().find(|(of_track, _)| *of_track == kind).map(|(_, t)| t);
    let slides = find(TrackKind::Slides).and_then(|track| track.info.as_ref());
    let kinds: Vec<TrackKind> = named.iter().filter_map(|(kind, _)| kind.parse().ok()).collect();
    Ok(Json(Timeline {
        duration_ms,
        slides: find(TrackKind::Slides).map(|track| self::slides(track)).unwrap_or_default(),
        slides_size: slides
            .and_then(|info| Some(Size { width: info.width?, height: info.height? })),
        thumbs: find(TrackKind::Thumbs).and_then(|track| thumbs(track.info.as_ref()?)),
        chapters: outline.chapters,
        peaks: outline.peaks,
        captions: kinds.iter().filter_map(|kind| captions(*kind, find(*kind))).collect(),
        missing: missing(&kinds, &opened, u64::try_from(duration_ms).unwrap_or(0)),
    }))
}

fn slides(track: &OpenTrack) -> Vec<Slide> {
    let Some(info) = &track.info else { return Vec::new() };
    let (init, segments) = info.ranges();
    let has_init = track.holds(&init);
    let mut ticks = 0;
    let slide = |(segment, range): (yingxue_codec::track::SegmentInfo, Range<u64>)| {
        let at_ms = milliseconds(ticks, info);
        ticks += u64::from(segment.duration_ticks);
        Slide { at_ms, is_here: has_init && track.holds(&range) }
    };
    segments.map(slide).collect()
}

fn thumbs(info: &TrackInfo) -> Option<Thumbs> {
    let first = info.segments.first()?;
    let every_ms = milliseconds(first.duration_ticks.into(), info);
    Some(Thumbs { every_ms, count: info.segments.len() })
}

fn captions(kind: TrackKind, track: Option<&Arc<OpenTrack>>) -> Option<Captions> {
    let TrackKind::Captions(n) = kind else { return None };
    let language = track.and_then(|track| track.info.as_ref()?.language.clone());
    Some(Captions { n, language, is_here: track.is_some_and(|track| track.is_complete()) })
}

fn missing(
    kinds: &[TrackKind],
    opened: &[(TrackKind, Arc<OpenTrack>)],
    duration_ms: u64,
) -> Missing {
    let of_tier = |tier: TierName, essential: &[TrackKind]| {
        let is_offered = essential.iter().any(|kind| kinds.contains(kind));
        let needed = tier.needs().iter().filter(|kind| kinds.contains(kind));
        let gaps = needed.flat_map(|kind| {
            let track = opened.iter().find(|(of_track, _)| of_track == kind);
            track.map_or_else(|| vec![[0, duration_ms]], |(_, track)| gaps(track, duration_ms))
        });
        is_offered.then(|| joined(gaps.collect()))
    };
    Missing {
        t0: of_tier(TierName::T0, &[TrackKind::Audio, TrackKind::Slides]),
        t1: of_tier(TierName::T1, &[TrackKind::Video360]),
        t2: of_tier(TierName::T2, &[TrackKind::Video480]),
        source: of_tier(TierName::Source, &[TrackKind::Source]),
    }
}

/// Lists the times of a track that are not here, in order.
fn gaps(track: &OpenTrack, duration_ms: u64) -> Vec<[u64; 2]> {
    if track.is_complete() {
        return Vec::new();
    }
    let Some(info) = &track.info else { return vec![[0, duration_ms]] };
    let (init, segments) = info.ranges();
    if !track.holds(&init) {
        return vec![[0, duration_ms]];
    }
    let (mut ticks, mut gaps) = (0, Vec::new());
    for (segment, range) in segments {
        let from_ms = milliseconds(ticks, info);
        ticks += u64::from(segment.duration_ticks);
        if !track.holds(&range) {
            gaps.push([from_ms, milliseconds(ticks, info)]);
        }
    }
    gaps
}

/// Joins times that overlap or touch.
fn joined(mut times: Vec<[u64; 2]>) -> Vec<[u64; 2]> {
    times.sort_unstable();
    let mut joined: Vec<[u64; 2]> = Vec::new();
    for [from, to] in times {
        match joined.last_mut() {
            Some(last) if from <= last[1] => last[1] = last[1].max(to),
            _ => joined.push([from, to]),
        }
    }
    joined
}

fn milliseconds(ticks: u64, info: &TrackInfo) -> u64 {
    ticks.saturating_mul(1000) / u64::from(info.timescale.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_touch_are_one() {
        let times = vec![[8, 12], [0, 4], [4, 8], [20, 24], [22, 23], [30, 34]];
        assert_eq!(joined(times), [[0, 12], [20, 24], [30, 34]]);
        assert_eq!(joined(Vec::new()), Vec::<[u64; 2]>::new());
    }
}
