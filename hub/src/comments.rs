//! What teachers say to one another about a lesson. Pupils read.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::{DocId, HubId};

use crate::accounts::{Anyone, Teacher, User};
use crate::alliance::refused;
use crate::app::{App, now_ms};
use crate::catalog::bounds::{self, COMMENT_CHARS_MAX, DURATION_MS_MAX};
use crate::catalog::{self, NewComment, collection, query, thread_of};
use crate::driver::history;
use crate::lessons;
use crate::problem::{ApiError, Body, Problem};

const COLUMNS: &str =
    "op, author, name, school, school_hub, text, at_ms, written_at_ms, is_deleted";

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Comment {
    /// The `op_id` with which it was made.
    pub id: String,
    /// School of who wrote it.
    pub school: String,
    /// Who wrote it.
    pub author: String,
    /// What was written.
    pub text: String,
    /// Place in the lesson.
    pub at_ms: Option<i64>,
    /// Unix milliseconds, by the clock of the hub where it was written.
    pub written_at: i64,
    /// True if the caller wrote it.
    pub is_own: bool,
    /// Hubs of the alliance that are not known to have it; 0 if that is not known.
    pub waiting_hubs: u32,
}

/// The comments of a lesson.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CommentList {
    /// Oldest first.
    pub items: Vec<Comment>,
}

/// A comment to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentToAdd {
    /// Made by the client, 32 hex characters; the same one again is the same comment.
    op_id: String,
    /// 1 to 2,000 characters.
    text: String,
    /// Place in the lesson.
    at_ms: Option<i64>,
}

/// Lists the comments of a lesson, oldest first.
#[utoipa::path(get, path = "/lessons/{id}/comments", tag = "comments",
    params(("id" = String, Path)), responses((status = 200, body = CommentList),
        (status = 404, body = Problem)))]
async fn list(
    State(app): State<App>,
    anyone: Anyone,
    Path(id): Path<String>,
) -> Result<Json<CommentList>, ApiError> {
    let lesson = lessons::parse(&id)?;
    let rows = app.db.read(move |db| -> Result<Vec<CommentRow>, ApiError> {
        query::row(db, &lesson)?.ok_or_else(ApiError::not_found)?;
        Ok(of_lesson(db, &lesson)?)
    });
    let rows = rows.await?;
    let caller = Caller::new(&app, anyone.user());
    let others = Others::known(&app).await?;
    let items = rows.into_iter().map(|row| row.shown(&caller, &others)).collect();
    Ok(Json(CommentList { items }))
}

/// Adds a comment; with an `op_id` that is there already nothing is added.
#[utoipa::path(post, path = "/lessons/{id}/comments", tag = "comments",
    params(("id" = String, Path)), request_body = CommentToAdd,
    responses((status = 201, body = Comment), (status = 200, body = Comment),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn add(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
    Body(asked): Body<CommentToAdd>,
) -> Result<(StatusCode, Json<Comment>), ApiError> {
    let lesson = lessons::parse(&id)?;
    let user = teacher.user();
    let caller = Caller::new(&app, user);
    let comment = asked.checked(&app, user)?;
    let op = DocId(comment.op);
    let known = app.db.read(move |db| -> Result<Option<CommentRow>, ApiError> {
        let row = query::row(db, &lesson)?.filter(|row| !row.is_deleted);
        if !row.ok_or_else(ApiError::not_found)?.is_published {
            return Err(ApiError::conflict("This lesson is still being made; comment on it then."));
        }
        Ok(one(db, &lesson, &op)?)
    });
    if let Some(known) = known.await? {
        if !known.is_own(&caller) {
            return Err(ApiError::conflict("Another comment has this op_id; make a new one."));
        }
        return Ok((StatusCode::OK, Json(known.shown(&caller, &Others::known(&app).await?))));
    }
    let edits = catalog::comment_edits(&lesson, &comment);
    let author = user.pseudonym.clone();
    app.sync.edit_doc(collection(), thread_of(&lesson), author, edits).await.map_err(refused)?;
    let row = CommentRow::of(comment);
    Ok((StatusCode::CREATED, Json(row.shown(&caller, &Others::known(&app).await?))))
}

/// Deletes a comment of one's own.
#[utoipa::path(delete, path = "/lessons/{id}/comments/{comment_id}", tag = "comments",
    params(("id" = String, Path), ("comment_id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn remove(
    State(app): State<App>,
    teacher: Teacher,
    Path((id, comment)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (lesson, op) = (lessons::parse(&id)?, lessons::parse(&comment)?);
    let row = app.db.read(move |db| one(db, &lesson, &op)).await?;
    let row = row.ok_or_else(ApiError::not_found)?;
    if !row.is_own(&Caller::new(&app, teacher.user())) {
        return Err(ApiError::not_allowed());
    }
    if !row.is_deleted {
        let edits = vec![catalog::comment_deleted_edit(&op.0)];
        let author = teacher.user().pseudonym.clone();
        let edited = app.sync.edit_doc(collection(), thread_of(&lesson), author, edits);
        edited.await.map_err(refused)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

impl CommentToAdd {
    fn checked(self, app: &App, user: &User) -> Result<NewComment, ApiError> {
        let op: DocId = self
            .op_id
            .parse()
            .map_err(|_| ApiError::invalid_input("op_id", "32 hexadecimal characters"))?;
        let chars = self.text.trim().chars().count();
        let text = bounds::paragraph(&self.text, COMMENT_CHARS_MAX);
        if !(1..=COMMENT_CHARS_MAX).contains(&chars) || text.is_empty() {
            let allowed = format!("1 to {COMMENT_CHARS_MAX} characters");
            return Err(ApiError::invalid_input("text", allowed));
        }
        if self.at_ms.is_some_and(|at_ms| !(0..=DURATION_MS_MAX).contains(&at_ms)) {
            let allowed = format!("0 to {DURATION_MS_MAX}, or null");
            return Err(ApiError::invalid_input("at_ms", allowed));
        }
        Ok(NewComment {
            op: op.0,
            author: user.pseudonym.clone(),
            name: user.name.clone(),
            school: app.school_name()?,
            school_hub: app.sync.hub_id(),
            text,
            at_ms: self.at_ms,
            written_at_ms: now_ms(),
        })
    }
}

/// Who asks, as comments name people.
struct Caller {
    pseudonym: String,
    hub: HubId,
}

impl Caller {
    fn new(app: &App, user: &User) -> Self {
        Self { pseudonym: user.pseudonym.clone(), hub: app.sync.hub_id() }
    }
}

#[derive(Debug, Clone)]
struct CommentRow {
    op: DocId,
    author: String,
    name: String,
    school: String,
    school_hub: HubId,
    text: String,
    at_ms: Option<i64>,
    written_at_ms: i64,
    is_deleted: bool,
}

impl CommentRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            op: DocId(row.get(0)?),
            author: row.get(1)?,
            name: row.get(2)?,
            school: row.get(3)?,
            school_hub: HubId(row.get(4)?),
            text: row.get(5)?,
            at_ms: row.get(6)?,
            written_at_ms: row.get(7)?,
            is_deleted: row.get(8)?,
        })
    }

    fn of(comment: NewComment) -> Self {
        Self {
            op: DocId(comment.op),
            author: comment.author,
            name: comment.name,
            school: comment.school,
            school_hub: comment.school_hub,
            text: comment.text,
            at_ms: comment.at_ms,
            written_at_ms: comment.written_at_ms,
            is_deleted: false,
        }
    }

    fn is_own(&self, caller: &Caller) -> bool {
        self.school_hub == caller.hub && self.author == caller.pseudonym
    }

    fn shown(self, caller: &Caller, others: &Others) -> Comment {
        Comment {
            waiting_hubs: others.waiting_for(&self, caller),
            is_own: self.is_own(caller),
            id: self.op.to_string(),
            school: self.school,
            author: self.name,
            text: self.text,
            at_ms: self.at_ms,
            written_at: self.written_at_ms,
        }
    }
}

fn of_lesson(db: &Connection, lesson: &DocId) -> rusqlite::Result<Vec<CommentRow>> {
    let sql = format!(
        "select {COLUMNS} from comments where lesson = ?1 and is_deleted = 0 \
         order by written_at_ms, op"
    );
    db.prepare_cached(&sql)?.query_map([lesson.as_bytes()], CommentRow::read)?.collect()
}

fn one(db: &Connection, lesson: &DocId, op: &DocId) -> rusqlite::Result<Option<CommentRow>> {
    let sql = format!("select {COLUMNS} from comments where lesson = ?1 and op = ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let key = (lesson.as_bytes(), op.as_bytes());
    statement.query_row(key, CommentRow::read).optional()
}

/// What is known of the other hubs, to say which may not have a comment yet.
struct Others {
    behind: u32,
    parted_at_ms: Vec<Option<i64>>,
}

impl Others {
    /// Asks the node and the history of links.
    async fn known(app: &App) -> Result<Self, ApiError> {
        let contacts = app.sync.contacts().await.contacts;
        let last_seen = app.db.read(history::last_seen).await?;
        let members = app.sync.membership().map_or_else(Vec::new, |m| m.hubs.clone());
        let mut others = Self { behind: 0, parted_at_ms: Vec::new() };
        for member in members.iter().filter(|member| member.hub != app.sync.hub_id()) {
            let mut met = contacts.iter().filter(|contact| contact.hub == member.hub).peekable();
            if met.peek().is_none() {
                let seen = last_seen.iter().find(|(hub, _)| *hub == member.hub);
                others.parted_at_ms.push(seen.map(|(_, at_ms)| *at_ms));
            } else if met.all(|contact| contact.waiting_envelopes > 0) {
                others.behind += 1;
            }
        }
        Ok(others)
    }

    /// Counts those that were gone when the comment was written, and those that are behind.
    fn waiting_for(&self, row: &CommentRow, caller: &Caller) -> u32 {
        if row.school_hub != caller.hub {
            return 0;
        }
        let is_gone = |parted: &&Option<i64>| parted.is_none_or(|at_ms| at_ms < row.written_at_ms);
        let gone = self.parted_at_ms.iter().filter(is_gone).count();
        self.behind + u32::try_from(gone).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
