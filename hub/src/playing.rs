//! Whether a class is on: lessons are being played from this hub. Encoding then leaves the
//! processor to the panels and tablets that fetch segments.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::{BlobId, DocId};

use crate::accounts::Anyone;
use crate::app::App;
use crate::catalog::query;
use crate::lessons::parse;
use crate::problem::{ApiError, Problem};

/// A player fetches a segment every 4 s until it holds the end, and says every 20 s that it plays:
/// a minute without either is a player that was closed, or a teacher who explains a picture for a
/// while.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Lessons and tracks that are remembered as being played; more than a school has classes.
const PLAYED_MAX: usize = 256;

/// When lessons were last played from this hub.
#[derive(Debug, Default)]
pub struct Playing {
    last: Mutex<Option<Instant>>,
    played: Mutex<BTreeMap<Played, Instant>>,
}

/// What somebody plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Played {
    /// A lesson: its playlists, slides or H.264.
    Lesson(DocId),
    /// A track.
    Blob(BlobId),
}

impl Playing {
    /// Notes that somebody plays a lesson.
    pub fn note(&self, now: Instant) {
        *self.last.lock().expect("never held over a panic") = Some(now);
    }

    /// Notes what somebody plays.
    pub fn note_played(&self, what: Played, now: Instant) {
        let mut played = self.played.lock().expect("never held over a panic");
        if played.len() >= PLAYED_MAX && !played.contains_key(&what) {
            played.retain(|_, at| now.saturating_duration_since(*at) < SILENCE_MAX);
        }
        if played.len() < PLAYED_MAX || played.contains_key(&what) {
            played.insert(what, now);
        }
    }

    /// Lists what is being played.
    pub fn played(&self, now: Instant) -> Vec<Played> {
        let played = self.played.lock().expect("never held over a panic");
        let is_on =
            |(_, at): &(&Played, &Instant)| now.saturating_duration_since(**at) < SILENCE_MAX;
        played.iter().filter(is_on).map(|(what, _)| *what).collect()
    }

    /// Says whether a class is on.
    pub fn is_on(&self, now: Instant) -> bool {
        let last = *self.last.lock().expect("never held over a panic");
        last.is_some_and(|last| now.saturating_duration_since(last) < SILENCE_MAX)
    }
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(say))
}

/// Takes a player's word that it plays a lesson. One that holds the rest of it, or a browser that
/// has kept its slides, asks for nothing else.
#[utoipa::path(post, path = "/lessons/{id}/playing", tag = "lessons",
    params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn say(
    State(app): State<App>,
    _: Anyone,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let lesson: DocId = parse(&id)?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await?;
    row.ok_or_else(ApiError::not_found)?;
    app.playing.note(Instant::now());
    app.playing.note_played(Played::Lesson(lesson), Instant::now());
    Ok(StatusCode::NO_CONTENT)
}

/// Notes answered requests that only a player makes; for the routes of media.
pub async fn notice(State(app): State<App>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_play = is_play(request.uri().path(), query);
    let what = played(request.uri().path()).filter(|_| is_play);
    let response = next.run(request).await;
    // A part that is not here yet is played all the same: somebody who may see it waits for it.
    let may_play = response.status() != StatusCode::UNAUTHORIZED;
    if let Some(what) = what.filter(|_| may_play) {
        app.playing.note_played(what, Instant::now());
    }
    if is_play && response.status().is_success() {
        app.playing.note(Instant::now());
    }
    response
}

fn played(path: &str) -> Option<Played> {
    let mut parts = path.strip_prefix("/media/")?.split('/');
    match (parts.next()?, parts.next()?) {
        ("blob", blob) => blob.parse().ok().map(Played::Blob),
        (lesson, _) => lesson.parse().ok().map(Played::Lesson),
    }
}

/// Says whether a request is for a part of a lesson that is being played. Posters and thumbnails
/// are also seen in the library, and a download is no class.
fn is_play(path: &str, query: &str) -> bool {
    let Some(what) = path.strip_prefix("/media/") else { return false };
    let mut parts = what.split('/');
    match (parts.next(), parts.next()) {
        (Some("blob"), Some(_)) => !query.split('&').any(|pair| pair.starts_with("download=")),
        (Some(_), Some("slides" | "h264")) => parts.next().is_some(),
        (Some(_), Some(file)) => file.ends_with(".m3u8"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_on_for_a_minute_after_the_last_segment() {
        let (playing, begin) = (Playing::default(), Instant::now());
        let at = |s| begin + Duration::from_secs(s);
        assert!(!playing.is_on(begin));
        playing.note(at(100));
        assert!(playing.is_on(at(100)) && playing.is_on(at(159)));
        assert!(!playing.is_on(at(160)));
        playing.note(at(161));
        assert!(playing.is_on(at(220)) && !playing.is_on(at(221)));
    }

    #[test]
    fn what_is_played_is_known_for_a_minute_and_there_is_a_bound() {
        let (playing, begin) = (Playing::default(), Instant::now());
        let lesson = format!("/media/{}/audio.m3u8", DocId([1; 16]));
        let blob = format!("/media/blob/{}", BlobId([2; 32]));
        let what = [played(&blob).unwrap(), played(&lesson).unwrap()];
        assert_eq!(what, [Played::Blob(BlobId([2; 32])), Played::Lesson(DocId([1; 16]))]);
        assert_eq!(played("/media/x/y"), None);
        what.into_iter().for_each(|what| playing.note_played(what, begin));
        assert_eq!(playing.played(begin + Duration::from_secs(59)).len(), 2);
        assert_eq!(playing.played(begin + Duration::from_secs(61)), []);
        for n in 0..1_000u16 {
            let id = std::array::from_fn(|i| n.to_le_bytes()[i % 2]);
            playing.note_played(Played::Blob(BlobId(id)), begin);
        }
        assert_eq!(playing.played(begin).len(), PLAYED_MAX);
    }

    #[test]
    fn only_what_a_player_fetches_is_a_class() {
        let played = ["blob/00ff", "aa/master.m3u8", "aa/slides/0.avif", "aa/h264/3.m4s"];
        let other =
            ["aa/poster.jpg", "aa/thumbs/4.jpg", "aa/download.mp4", "aa/captions-1.vtt", ""];
        for what in played {
            assert!(is_play(&format!("/media/{what}"), "tier=t1"), "{what}");
        }
        for what in other {
            assert!(!is_play(&format!("/media/{what}"), ""), "{what}");
        }
        assert!(!is_play("/media/blob/00ff", "a=b&download=x.mp4"));
        assert!(!is_play("/api/v1/lessons", ""));
    }
}
