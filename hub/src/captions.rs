//! Subtitle files that are added to a lesson which is there already, and captions that are taken
//! away from it.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_codec::import::FinishedTrack;
use yingxue_codec::subtitles::{SUBTITLE_BYTES_MAX, Subtitles};
use yingxue_codec::track::{CAPTIONS_MAX, TrackKind};
use yingxue_sync_core::id::DocId;

use crate::accounts::Teacher;
use crate::app::App;
use crate::catalog::query::{self, LessonDetail};
use crate::catalog::{self, bounds};
use crate::import_job::{self, PartFolder};
use crate::lessons;
use crate::problem::{ApiError, Problem};

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(remove))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AddQuery {
    /// The file's name; it may say the language, as `lesson.en.srt` does.
    filename: Option<String>,
    /// The language as a BCP 47 tag, if somebody knows it better.
    language: Option<String>,
}

/// Adds the subtitles of a file (SRT, WebVTT or ASS, at most 4 MiB) to a lesson of this school.
#[utoipa::path(post, path = "/lessons/{id}/captions", tag = "lessons",
    params(("id" = String, Path), AddQuery),
    request_body(content_type = "application/octet-stream", content = Vec<u8>),
    responses((status = 201, body = LessonDetail), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem)))]
async fn add(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
    Query(query): Query<AddQuery>,
    body: Body,
) -> Result<(StatusCode, Json<LessonDetail>), ApiError> {
    let lesson = lessons::parse(&id)?;
    lessons::own_lesson(&app, lesson, false).await?;
    let bytes = receive(body).await?;
    // Two files at once must not take the same number.
    let _turn = app.uploads.take(&format!("captions of {lesson}")).await?;
    let (n, duration_ms) = place(&app, lesson).await?;
    let folder = PartFolder::make(&app)?;
    let path = folder.path().to_owned();
    let make = move || make(&bytes, &query, n, duration_ms, &path);
    let track = tokio::task::spawn_blocking(make).await.map_err(ApiError::internal)??;
    let author = teacher.user().pseudonym.clone();
    import_job::add_tracks(&app, lesson, author, &[track], folder.path()).await?;
    Ok((StatusCode::CREATED, lessons::show(&app, lesson, teacher.user()).await?))
}

/// Takes a track of captions away from a lesson of this school.
#[utoipa::path(delete, path = "/lessons/{id}/captions/{kind}", tag = "lessons",
    params(("id" = String, Path), ("kind" = String, Path, description = "captions-1 to -4")),
    responses((status = 200, body = LessonDetail), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn remove(
    State(app): State<App>,
    teacher: Teacher,
    Path((id, kind)): Path<(String, String)>,
) -> Result<Json<LessonDetail>, ApiError> {
    let lesson = lessons::parse(&id)?;
    lessons::own_lesson(&app, lesson, false).await?;
    let kind: TrackKind = kind.parse().map_err(|_| ApiError::not_found())?;
    let tracks = app.db.read(move |db| query::track_blobs(db, &lesson)).await?;
    let is_there = tracks.iter().any(|(name, _)| name == kind.as_str());
    if !matches!(kind, TrackKind::Captions(_)) || !is_there {
        return Err(ApiError::not_found());
    }
    lessons::edit(&app, lesson, teacher.user(), vec![catalog::track_gone_edit(kind)]).await?;
    lessons::show(&app, lesson, teacher.user()).await
}

async fn receive(body: Body) -> Result<Bytes, ApiError> {
    let bytes_max = usize::try_from(SUBTITLE_BYTES_MAX).unwrap_or(usize::MAX);
    // Whoever cuts the connection hears no answer.
    to_bytes(body, bytes_max).await.map_err(|_| ApiError::upload_too_large(SUBTITLE_BYTES_MAX))
}

/// Finds the first number that no captions of the lesson have, and how long the lesson is.
async fn place(app: &App, lesson: DocId) -> Result<(u8, u64), ApiError> {
    let read = move |db: &rusqlite::Connection| -> rusqlite::Result<_> {
        let row = query::row(db, &lesson)?;
        Ok((query::track_blobs(db, &lesson)?, row.map_or(0, |row| row.duration_ms())))
    };
    let (tracks, duration_ms) = app.db.read(read).await?;
    let is_free = |n: &u8| !tracks.iter().any(|(kind, _)| kind == TrackKind::Captions(*n).as_str());
    let words = format!("A lesson has at most {CAPTIONS_MAX} captions; delete one first.");
    let n = (1..=CAPTIONS_MAX).find(is_free).ok_or_else(|| ApiError::conflict(words))?;
    Ok((n, duration_ms.unsigned_abs()))
}

fn make(
    bytes: &[u8],
    query: &AddQuery,
    n: u8,
    duration_ms: u64,
    folder: &std::path::Path,
) -> Result<FinishedTrack, ApiError> {
    let name =
        bounds::line(query.filename.as_deref().unwrap_or_default(), bounds::FILENAME_CHARS_MAX);
    let refused =
        |words: &str| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "no_subtitles", words);
    let mut subtitles =
        Subtitles::read(bytes, &name).map_err(|error| refused(&error.to_string()))?;
    if let Some(language) = &query.language {
        subtitles.set_language(language);
    }
    let track = subtitles.make_track(n, duration_ms, folder).map_err(ApiError::internal)?;
    track.ok_or_else(|| refused("all of the subtitles are after the lesson's end"))
}

#[cfg(test)]
mod tests;
