//! Whether a class is on: lessons are being played from this hub. Encoding then leaves the
//! processor to the panels and tablets that fetch segments.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;

/// A player fetches a segment every 4 s, or what it holds in advance at once: a minute without one
/// is a player that was closed, or a teacher who explains a picture for a while.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// When a lesson was last played from this hub.
#[derive(Debug, Default)]
pub struct Playing {
    last: Mutex<Option<Instant>>,
}

impl Playing {
    /// Notes that somebody plays a lesson.
    pub fn note(&self, now: Instant) {
        *self.last.lock().expect("never held over a panic") = Some(now);
    }

    /// Says whether a class is on.
    pub fn is_on(&self, now: Instant) -> bool {
        let last = *self.last.lock().expect("never held over a panic");
        last.is_some_and(|last| now.saturating_duration_since(last) < SILENCE_MAX)
    }
}

/// Notes answered requests that only a player makes; for the routes of media.
pub async fn notice(State(app): State<App>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_play = is_play(request.uri().path(), query);
    let response = next.run(request).await;
    if is_play && response.status().is_success() {
        app.playing.note(Instant::now());
    }
    response
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
