//! What teachers do with jobs: look, cancel, try again, let one go on in spite of a class.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::table::{self, CANCEL, GO_ON, RETRY, SELECT_RECENT};
use super::{Job, JobState};
use crate::accounts::Teacher;
use crate::app::App;
use crate::problem::{ApiError, Problem};

/// Jobs that are done and shown.
const RECENT_MAX: usize = 50;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(go_on))
}

/// A page of jobs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobList {
    /// Those not done, then the newest that are, newest first.
    pub items: Vec<Job>,
}

/// Lists jobs: those not done, then the newest that are.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses(
    (status = 200, body = JobList), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn list(State(app): State<App>, _: Teacher) -> Result<Json<JobList>, ApiError> {
    let mut items = app.jobs.open();
    items.extend(app.db.read(|c| table::select(c, SELECT_RECENT, RECENT_MAX)).await?);
    Ok(Json(JobList { items }))
}

/// Cancels a job that waits or runs.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs", params(("id" = i64, Path)), responses(
    (status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
))]
async fn cancel(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    cancel_one(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cancel_one(app: &App, id: i64) -> Result<(), ApiError> {
    let words = "Only a job that waits or runs can be cancelled.";
    let job = change_state(app, id, CANCEL, words).await?;
    app.jobs.stop(id);
    app.jobs.set(job);
    Ok(())
}

/// Cancels what is still being made of a lesson.
///
/// # Errors
/// If the database fails.
pub async fn cancel_of_lesson(app: &App, lesson_id: &str) -> Result<(), ApiError> {
    let is_busy = |job: &Job| matches!(job.state, JobState::Queued | JobState::Running);
    for job in app.jobs.open() {
        if job.lesson_id == lesson_id && is_busy(&job) {
            match cancel_one(app, job.id).await {
                // It has just ended by itself.
                Err(error) if error.status == StatusCode::CONFLICT => {}
                done => done?,
            }
        }
    }
    Ok(())
}

/// Puts a job that failed or was cancelled into the queue again.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = i64, Path)),
    responses((status = 200, body = Job), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn retry(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<Json<Job>, ApiError> {
    let words = "Only a job that has failed or was cancelled can be tried again.";
    let job = change_state(&app, id, RETRY, words).await?;
    app.jobs.committed(job.clone());
    Ok(Json(job))
}

/// Lets a job go on though a class is on.
#[utoipa::path(post, path = "/jobs/{id}/go_on", tag = "jobs", params(("id" = i64, Path)),
    responses((status = 200, body = Job), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn go_on(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<Json<Job>, ApiError> {
    let words = "Only a job that waits or runs can go on.";
    let job = change_state(&app, id, GO_ON, words).await?;
    // What runs keeps its stage and its percentage, which the table does not have.
    Ok(Json(app.jobs.let_go_on(id).unwrap_or(job)))
}

async fn change_state(
    app: &App,
    id: i64,
    sql: &'static str,
    refusal: &'static str,
) -> Result<Job, ApiError> {
    app.db
        .write(move |tx| {
            let is_changed = tx.prepare_cached(sql)?.execute([id])? == 1;
            let job = table::find(tx, id)?.ok_or_else(ApiError::not_found)?;
            if is_changed { Ok(job) } else { Err(ApiError::conflict(refusal)) }
        })
        .await
}
