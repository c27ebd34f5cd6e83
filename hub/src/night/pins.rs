//! What people want to have here whatever the timetable says: a lesson that is pinned is fetched
//! after what the timetable needs and before the rest, an urgent one before everything.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};
use yingxue_sync_core::id::DocId;

use super::{changed, lesson};
use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::lessons::parse;
use crate::problem::{ApiError, Body, Problem};
use crate::store::evicted;

/// Pins that are listed: more than a page shows.
const PINS_SHOWN: u32 = 500;

/// A lesson that somebody wants to have here.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LessonPin {
    /// True: before everything else.
    pub is_urgent: bool,
}

/// A lesson that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PinnedLesson {
    /// 32 hex characters.
    pub lesson_id: String,
    /// Its title; empty if it is not known any more.
    pub title: String,
    /// True: before everything else.
    pub is_urgent: bool,
    /// Unix milliseconds.
    pub pinned_at: i64,
}

/// The lessons that are pinned.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PinList {
    /// The newest first.
    pub items: Vec<PinnedLesson>,
}

/// Lists what is pinned.
#[utoipa::path(get, path = "/night/pins", tag = "night", responses(
    (status = 200, body = PinList), (status = 401, body = Problem), (status = 403, body = Problem),
))]
pub async fn list(State(app): State<App>, _: Teacher) -> Result<Json<PinList>, ApiError> {
    Ok(Json(PinList { items: app.db.read(all).await? }))
}

/// Wants a lesson, or wants it before everything else.
#[utoipa::path(put, path = "/night/pins/{lesson_id}", tag = "night", request_body = LessonPin,
    params(("lesson_id" = String, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub async fn pin(
    State(app): State<App>,
    _: Teacher,
    Path(lesson): Path<String>,
    Body(pin): Body<LessonPin>,
) -> Result<StatusCode, ApiError> {
    set(&app, parse(&lesson)?, Some((pin.is_urgent, now_ms()))).await
}

/// Does not want a lesson more than others any more.
#[utoipa::path(delete, path = "/night/pins/{lesson_id}", tag = "night",
    params(("lesson_id" = String, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub async fn unpin(
    State(app): State<App>,
    _: Teacher,
    Path(lesson): Path<String>,
) -> Result<StatusCode, ApiError> {
    set(&app, parse(&lesson)?, None).await
}

async fn set(
    app: &App,
    lesson: DocId,
    pinned: Option<(bool, i64)>,
) -> Result<StatusCode, ApiError> {
    let is_known = app
        .db
        .write(move |tx| -> rusqlite::Result<bool> {
            let is_known = lesson::load(tx, &lesson)?.is_some();
            if is_known {
                keep(tx, &lesson, pinned)?;
            }
            Ok(is_known)
        })
        .await?;
    if !is_known {
        return Err(ApiError::not_found());
    }
    changed(app);
    Ok(StatusCode::NO_CONTENT)
}

fn all(db: &Connection) -> rusqlite::Result<Vec<PinnedLesson>> {
    const ALL: &str = "select p.lesson, coalesce(l.title, ''), p.is_urgent, p.pinned_at_ms \
         from pins p left join lessons l on l.lesson = p.lesson \
         order by p.pinned_at_ms desc, p.lesson limit ?1";
    db.prepare_cached(ALL)?
        .query_map([PINS_SHOWN], |row| {
            Ok(PinnedLesson {
                lesson_id: DocId(row.get(0)?).to_string(),
                title: row.get(1)?,
                is_urgent: row.get(2)?,
                pinned_at: row.get(3)?,
            })
        })?
        .collect()
}

/// Keeps or takes back what somebody wants to have.
fn keep(db: &Transaction<'_>, lesson: &DocId, pinned: Option<(bool, i64)>) -> rusqlite::Result<()> {
    const PIN: &str =
        "insert or replace into pins (lesson, is_urgent, pinned_at_ms) values (?1, ?2, ?3)";
    match pinned {
        Some((is_urgent, at_ms)) => {
            // All of it, also what was let go.
            evicted::want_again(db, lesson)?;
            db.prepare_cached(PIN)?.execute(params![lesson.as_bytes(), is_urgent, at_ms])?
        }
        None => {
            db.prepare_cached("delete from pins where lesson = ?1")?.execute([lesson.as_bytes()])?
        }
    };
    Ok(())
}
