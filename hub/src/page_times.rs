//! When each page of a lesson of pages and sound appears, set by a teacher who listens to it.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_codec::document;
use yingxue_codec::import::{FinishedTrack, ImportError};
use yingxue_codec::track::TrackKind;
use yingxue_sync_core::id::DocId;

use crate::accounts::Teacher;
use crate::app::App;
use crate::catalog::query::{self, LessonDetail};
use crate::import_job::{self, PartFolder};
use crate::lessons;
use crate::media::open_lesson;
use crate::problem::{ApiError, Body, Problem};

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set))
}

/// New times for every page.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageTimes {
    /// When each page appears, in milliseconds: one a page, the first 0, each later than the one
    /// before it, the last before the lesson's end.
    starts_ms: Vec<u64>,
}

/// Sets when each page of a lesson of this school appears; the lesson is made of pages and sound.
#[utoipa::path(put, path = "/lessons/{id}/page_times", tag = "lessons",
    params(("id" = String, Path)), request_body = PageTimes,
    responses((status = 200, body = LessonDetail), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
async fn set(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
    Body(times): Body<PageTimes>,
) -> Result<Json<LessonDetail>, ApiError> {
    let lesson = lessons::parse(&id)?;
    lessons::own_lesson(&app, lesson, false).await?;
    let _turn = app.uploads.take(&format!("pages of {lesson}")).await?;
    let slides = slides(&app, lesson).await?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await?;
    let total_ms = row.map_or(0, |row| row.duration_ms()).unsigned_abs();
    let folder = PartFolder::make(&app)?;
    let path = folder.path().to_owned();
    let make = move || document::retime(&slides, &times.starts_ms, total_ms, &path);
    let made = tokio::task::spawn_blocking(make).await.map_err(ApiError::internal)?;
    let made = made.map_err(refused)?;
    let author = teacher.user().pseudonym.clone();
    import_job::add_tracks(&app, lesson, author, &made, folder.path()).await?;
    lessons::show(&app, lesson, teacher.user()).await
}

/// Finds the pages of a lesson that has pages and sound, and nothing that moves.
async fn slides(app: &App, lesson: DocId) -> Result<FinishedTrack, ApiError> {
    const MOVING: [TrackKind; 3] = [TrackKind::Video360, TrackKind::Video480, TrackKind::Source];
    let tracks = open_lesson(app, lesson).await?;
    let has = |kind: TrackKind| tracks.iter().any(|(of_track, _)| *of_track == kind);
    let slides = tracks.iter().find(|(kind, track)| {
        *kind == TrackKind::Slides && track.is_complete() && has(TrackKind::Audio)
    });
    let words = "Only pages with a sound have times; a video has its own.";
    match slides {
        Some((_, track)) if !MOVING.into_iter().any(has) => {
            let info = track.info.clone().ok_or_else(ApiError::not_found)?;
            Ok(FinishedTrack { path: app.sync.files().path(track.blob), info })
        }
        _ => Err(ApiError::conflict(words)),
    }
}

fn refused(error: ImportError) -> ApiError {
    match error.code() {
        "page_times" => ApiError::invalid_input(
            "starts_ms",
            "one time a page, from 0 on, each later than the one before, the last before the end",
        ),
        "disk_full" => ApiError::disk_full(None),
        _ => ApiError::internal(error),
    }
}
