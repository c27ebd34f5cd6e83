//! Reads a lesson's files through: whether every piece that is said to be here still hashes to
//! what its maker signed. What does not is taken back, and fetched again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::{BlobId, DocId};

use crate::accounts::{Anyone, Teacher};
use crate::app::App;
use crate::catalog::query;
use crate::jobs::{self, JobNote};
use crate::lessons::parse;
use crate::night::fresh;
use crate::problem::{ApiError, Problem};
use crate::store::lost;

/// Somebody who stands before a class waits no longer; a lesson of 60 MB takes a second.
const BEGIN_WAIT: Duration = Duration::from_secs(10);

/// Lessons that are being read through; one at a time each, so that nobody keeps the disk busy.
#[derive(Default)]
pub struct Checks {
    running: Arc<Mutex<BTreeSet<DocId>>>,
}

/// A lesson that is being read through, for as long as it lives.
struct Running {
    lesson: DocId,
    all: Arc<Mutex<BTreeSet<DocId>>>,
}

impl Checks {
    fn begin(&self, lesson: DocId) -> Option<Running> {
        let mut running = self.running.lock().expect("never held over a panic");
        let all = Arc::clone(&self.running);
        running.insert(lesson).then_some(Running { lesson, all })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().expect("never held over a panic").remove(&self.lesson);
    }
}

/// What was found in a lesson's files.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LessonCheck {
    /// Its tracks, in the order in which they are fetched.
    pub tracks: Vec<TrackCheck>,
    /// True if nothing is missing and nothing was damaged.
    pub is_whole: bool,
    /// What was kept of the teacher's files and what was left out, if the lesson was made here.
    pub notes: Vec<JobNote>,
}

/// What was found in one track's file.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrackCheck {
    /// Which.
    pub kind: String,
    /// In all; 0 while that is not known.
    pub pieces: u32,
    /// Pieces whose bytes were wrong or gone; they are fetched again.
    pub damaged: u32,
    /// Pieces that are not here now, the damaged ones among them.
    pub missing: u32,
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(check)).routes(routes!(begin))
}

/// What is known of a lesson that is about to be taught.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Begun {
    /// True if what it is played from was read off the disk just now; false if the disk is slow
    /// and that goes on.
    pub is_checked: bool,
}

/// Reads what a lesson is played from off the disk, before it is taught. What is damaged is not
/// shown as ready after it, and is fetched again. Answers within 10 s.
#[utoipa::path(post, path = "/lessons/{id}/begin", tag = "lessons", params(("id" = String, Path)),
    responses((status = 200, body = Begun), (status = 401, body = Problem),
        (status = 404, body = Problem)))]
async fn begin(
    State(app): State<App>,
    _: Anyone,
    Path(id): Path<String>,
) -> Result<Json<Begun>, ApiError> {
    let lesson = parse(&id)?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await?;
    row.ok_or_else(ApiError::not_found)?;
    Ok(Json(Begun { is_checked: fresh::before_playing(&app, lesson, BEGIN_WAIT).await }))
}

/// Reads a lesson's files through; what is damaged is fetched again.
#[utoipa::path(post, path = "/lessons/{id}/check", tag = "lessons", params(("id" = String, Path)),
    responses((status = 200, body = LessonCheck), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn check(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<String>,
) -> Result<Json<LessonCheck>, ApiError> {
    let lesson = parse(&id)?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await?;
    row.filter(|row| !row.is_deleted).ok_or_else(ApiError::not_found)?;
    let running = app.serving.checks.begin(lesson);
    let running = running
        .ok_or_else(|| ApiError::conflict("This lesson is being checked already; wait for it."))?;
    let notes = app.db.read(move |db| jobs::notes_of_lesson(db, &lesson.to_string())).await?;
    let named = app.db.read(move |db| super::tracks_of(db, &lesson)).await?;
    let (worker, task) = (app.clone(), move |app: App| {
        let _running = running;
        named.into_iter().map(|(kind, blob)| check_track(&app, kind, blob)).collect()
    });
    let tracks = tokio::task::spawn_blocking(move || task(worker)).await;
    let tracks: Result<Vec<TrackCheck>, ApiError> = tracks.map_err(ApiError::internal)?;
    let tracks = tracks?;
    let is_good = |track: &TrackCheck| track.pieces > 0 && track.missing + track.damaged == 0;
    Ok(Json(LessonCheck { is_whole: tracks.iter().all(is_good), tracks, notes }))
}

fn check_track(app: &App, kind: String, blob: BlobId) -> Result<TrackCheck, ApiError> {
    let found = lost::read_through(&app.db, app.sync.files(), blob)?;
    let news = app.sync.news();
    if found.damaged > 0 {
        news.tracks().forget(&blob);
    }
    found.notices.into_iter().for_each(|notice| news.tell(notice));
    Ok(TrackCheck {
        kind,
        pieces: found.pieces,
        damaged: found.damaged,
        missing: found.pieces - found.held,
    })
}
