//! The library: lists lessons, shows one, changes those of the own school.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::DocEdit;
use yingxue_sync_core::id::DocId;

use crate::accounts::{Anyone, Role, Teacher, User};
use crate::alliance::refused;
use crate::app::App;
use crate::catalog::bounds::{self, GRADES, SUBJECTS};
use crate::catalog::query::{self, Lesson, LessonDetail, Question, Status};
use crate::catalog::{self, collection};
use crate::problem::{ApiError, Body, Problem};
use crate::{jobs, timetable};

/// Lessons of a page if nothing is said; a panel shows about as many.
const LIMIT_DEFAULT: u32 = 25;
/// Most lessons of a page.
const LIMIT_MAX: u32 = 100;
/// Longest search; a title.
const WORDS_CHARS_MAX: usize = 100;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(detail, change, remove))
        .routes(routes!(restore))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// 1 to 100, 25 if not said.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// Words that title, teacher, school or file name contain.
    q: Option<String>,
    /// One subject.
    subject: Option<String>,
}

/// A page of lessons.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LessonList {
    /// Newest first.
    pub items: Vec<Lesson>,
    /// To be given as `after`, if there are more.
    pub next: Option<String>,
    /// Lessons on all pages.
    pub total: i64,
}

/// Lists lessons, newest first.
#[utoipa::path(get, path = "/lessons", tag = "lessons", params(ListQuery), responses(
    (status = 200, body = LessonList), (status = 401, body = Problem),
    (status = 422, body = Problem),
))]
async fn list(
    State(app): State<App>,
    anyone: Anyone,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let asked = question(query, anyone.user().role == Role::Pupil)?;
    let json = match app.sync.news().answers().get(&asked) {
        Ok(json) => json,
        Err(moment) => {
            let json = answer(&app, &asked).await?;
            app.sync.news().answers().put(asked, json.clone(), moment);
            json
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

fn question(query: ListQuery, is_pupil: bool) -> Result<Question, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid_input("limit", format!("1 to {LIMIT_MAX}")));
    }
    let subject = query.subject.filter(|subject| !subject.is_empty());
    if let Some(subject) = &subject {
        one_of("subject", subject, &SUBJECTS)?;
    }
    let words = query.q.unwrap_or_default().trim().to_lowercase();
    if words.chars().count() > WORDS_CHARS_MAX {
        return Err(ApiError::invalid_input("q", format!("at most {WORDS_CHARS_MAX} characters")));
    }
    let after = match query.after.filter(|after| !after.is_empty()) {
        Some(after) => Some(cursor(&after).ok_or_else(|| {
            ApiError::invalid_input("after", "the value of next of the page before")
        })?),
        None => None,
    };
    Ok(Question { limit, after, words, subject, is_pupil })
}

fn cursor(text: &str) -> Option<(i64, [u8; 16])> {
    let (at_ms, id) = text.split_once('-')?;
    Some((at_ms.parse().ok()?, id.parse::<DocId>().ok()?.0))
}

async fn answer(app: &App, asked: &Question) -> Result<Bytes, ApiError> {
    let (hub, question) = (app.sync.hub_id(), asked.clone());
    let tonight = app.sync.news().policy().tonight();
    let page = move |db: &_| query::page(db, &question, &hub, &tonight.stalled);
    let mut page = app.db.read(page).await?;
    for lesson in &mut page.lessons {
        lesson.set_job(app.jobs.of_lesson(&lesson.id), !asked.is_pupil);
    }
    let next = page.next.map(|(at_ms, id)| format!("{at_ms}-{}", DocId(id)));
    let list = LessonList { items: page.lessons, next, total: page.total };
    serde_json::to_vec(&list).map(Bytes::from).map_err(ApiError::internal)
}

/// Shows one lesson.
#[utoipa::path(get, path = "/lessons/{id}", tag = "lessons", params(("id" = String, Path)),
    responses((status = 200, body = LessonDetail), (status = 404, body = Problem)))]
async fn detail(
    State(app): State<App>,
    anyone: Anyone,
    Path(id): Path<String>,
) -> Result<Json<LessonDetail>, ApiError> {
    show(&app, parse(&id)?, anyone.user()).await
}

/// What may be changed of a lesson; what is not there stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LessonChange {
    /// 1 to 120 characters.
    title: Option<String>,
    /// One of the contract's subjects.
    subject: Option<String>,
    /// `k` or `1` to `12`.
    grade: Option<String>,
    /// At most 30 characters.
    teacher: Option<String>,
}

/// Changes what is said of a lesson of this school.
#[utoipa::path(patch, path = "/lessons/{id}", tag = "lessons", params(("id" = String, Path)),
    request_body = LessonChange, responses((status = 200, body = LessonDetail),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
async fn change(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
    Body(change): Body<LessonChange>,
) -> Result<Json<LessonDetail>, ApiError> {
    let lesson = parse(&id)?;
    own_lesson(&app, lesson, false).await?;
    let edits = change.edits()?;
    edit(&app, lesson, teacher.user(), edits).await?;
    show(&app, lesson, teacher.user()).await
}

/// Deletes a lesson of this school; it can be restored.
#[utoipa::path(delete, path = "/lessons/{id}", tag = "lessons", params(("id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn remove(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let lesson = parse(&id)?;
    if discard_failed(&app, lesson).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    own_lesson(&app, lesson, false).await?;
    edit(&app, lesson, teacher.user(), vec![catalog::deleted_edit(true)]).await?;
    // More tiers of it may be in the making.
    jobs::cancel_of_lesson(&app, &lesson.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restores a lesson of this school that was deleted.
#[utoipa::path(post, path = "/lessons/{id}/restore", tag = "lessons",
    params(("id" = String, Path)), responses((status = 200, body = LessonDetail),
        (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn restore(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
) -> Result<Json<LessonDetail>, ApiError> {
    let lesson = parse(&id)?;
    own_lesson(&app, lesson, true).await?;
    edit(&app, lesson, teacher.user(), vec![catalog::deleted_edit(false)]).await?;
    show(&app, lesson, teacher.user()).await
}

impl LessonChange {
    fn edits(self) -> Result<Vec<DocEdit>, ApiError> {
        if let Some(title) = &self.title
            && !bounds::is_line(title, bounds::TITLE_CHARS_MAX)
        {
            let allowed = format!("1 to {} characters", bounds::TITLE_CHARS_MAX);
            return Err(ApiError::invalid_input("title", allowed));
        }
        if let Some(teacher) = &self.teacher
            && !(teacher.trim().is_empty() || bounds::is_line(teacher, bounds::TEACHER_CHARS_MAX))
        {
            let allowed = format!("at most {} characters", bounds::TEACHER_CHARS_MAX);
            return Err(ApiError::invalid_input("teacher", allowed));
        }
        self.subject.as_ref().map_or(Ok(()), |value| one_of("subject", value, &SUBJECTS))?;
        self.grade.as_ref().map_or(Ok(()), |value| one_of("grade", value, &GRADES))?;
        let fields = [
            ("title", self.title),
            ("subject", self.subject),
            ("grade", self.grade),
            ("teacher", self.teacher),
        ];
        let changed = fields.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(changed.map(|(key, value)| catalog::text_edit(key, value.trim())).collect())
    }
}

fn one_of(field: &str, value: &str, allowed: &[&str]) -> Result<(), ApiError> {
    let is_known = allowed.contains(&value);
    if is_known { Ok(()) } else { Err(ApiError::invalid_input(field, allowed.join(", "))) }
}

/// Reads the id in a path.
pub(crate) fn parse(id: &str) -> Result<DocId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found())
}

/// Answers with a lesson as it is now.
pub(crate) async fn show(
    app: &App,
    lesson: DocId,
    user: &User,
) -> Result<Json<LessonDetail>, ApiError> {
    let hub = app.sync.hub_id();
    let today = timetable::today(app);
    let tonight = app.sync.news().policy().tonight();
    let found = app.db.read(move |db| {
        // What the timetable has is taught from this disk to the end of the term.
        let is_kept = timetable::names(db, &lesson, today)?;
        query::detail(db, &lesson, &hub, is_kept, &tonight.stalled)
    });
    let found: rusqlite::Result<Option<LessonDetail>> = found.await;
    let found = found?;
    let is_pupil = user.role == Role::Pupil;
    let is_shown = |found: &LessonDetail| !is_pupil || found.lesson.status != Status::Importing;
    let mut detail = found.filter(is_shown).ok_or_else(ApiError::not_found)?;
    let job = app.jobs.of_lesson(&detail.lesson.id);
    detail.lesson.set_job(job, !is_pupil);
    Ok(Json(detail))
}

/// Finds a lesson that people of this school may change now.
pub(crate) async fn own_lesson(app: &App, lesson: DocId, is_deleted: bool) -> Result<(), ApiError> {
    let row = app.db.read(move |db| query::row(db, &lesson)).await?;
    let row = row.filter(|row| is_deleted || !row.is_deleted).ok_or_else(ApiError::not_found)?;
    if !row.is_own(&app.sync.hub_id()) {
        return Err(ApiError::not_allowed());
    }
    if !row.is_published {
        return Err(ApiError::conflict(
            "This lesson is still being made; change it when it is done, or cancel its import.",
        ));
    }
    Ok(())
}

/// Takes a lesson whose import has failed out of the library; retrying the import brings it back.
async fn discard_failed(app: &App, lesson: DocId) -> Result<bool, ApiError> {
    const DISCARD: &str = "update lessons set is_deleted = 1 where lesson = ?1 \
         and is_published = 0 and is_deleted = 0 and not exists \
         (select 1 from jobs where lesson_id = ?1 and state in ('queued', 'running'))";
    let discarded = app.db.write(move |tx| -> rusqlite::Result<usize> {
        tx.prepare_cached(DISCARD)?.execute([lesson.as_bytes()])
    });
    let is_discarded = discarded.await? > 0;
    if is_discarded {
        app.sync.news().lesson_changed(&lesson);
    }
    Ok(is_discarded)
}

/// Changes a lesson's document in the name of somebody.
pub(crate) async fn edit(
    app: &App,
    lesson: DocId,
    user: &User,
    edits: Vec<DocEdit>,
) -> Result<(), ApiError> {
    if edits.is_empty() {
        return Ok(());
    }
    let author = user.pseudonym.clone();
    app.sync.edit_doc(collection(), lesson, author, edits).await.map_err(refused)
}

#[cfg(test)]
mod tests;
