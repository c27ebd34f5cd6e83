//! Taking an import back: what it has replaced is kept for a month.

use axum::Json;
use axum::extract::{Path, State};
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::DocEdit;
use yingxue_sync_core::id::DocId;

use super::conflicts::Conflict;
use super::term::Term;
use super::{document, terms};
use crate::accounts::Admin;
use crate::app::{App, now_ms, random};
use crate::problem::{ApiError, Problem};

/// How long an import can be undone.
const UNDOS_KEPT_MS: i64 = 30 * 24 * 3_600_000;
/// Undos kept at once, of at most 2 MiB each.
const UNDOS_MAX: usize = 32;
/// The route of this part of the slice.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(undo))
}

/// Something that can be taken back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Undo {
    /// Undoes it.
    pub undo_id: String,
    /// Of which term, as it is called now; empty if it is there no more.
    pub term_name: String,
    /// The file that was imported.
    pub title: String,
    /// True if this is an undo itself: taking it back imports the file again.
    pub is_undo: bool,
    /// Who did it.
    pub by_name: String,
    /// Unix milliseconds.
    pub made_at: i64,
    /// Until when it can be taken back; unix milliseconds.
    pub until: i64,
}

/// What can be taken back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UndoList {
    /// The newest first.
    pub items: Vec<Undo>,
}

/// What was done, for people.
pub(super) struct Done {
    pub title: String,
    pub by_name: String,
    pub is_undo: bool,
}

/// Lists what can be taken back.
#[utoipa::path(get, path = "/timetable/undos", tag = "timetable", responses(
    (status = 200, body = UndoList), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
async fn list(State(app): State<App>, _admin: Admin) -> Result<Json<UndoList>, ApiError> {
    const LIST: &str = "select u.undo, coalesce(t.name, ''), u.title, u.is_undo, u.by_name, \
         u.made_at_ms from timetable_undos u \
         left join timetable_terms t on t.term = u.term and t.is_deleted = 0 \
         where u.made_at_ms > ?1 order by u.made_at_ms desc, u.rowid desc";
    let items = app.db.read(|db| -> rusqlite::Result<Vec<Undo>> {
        db.prepare_cached(LIST)?
            .query_map([now_ms() - UNDOS_KEPT_MS], |row| {
                let made_at: i64 = row.get(5)?;
                Ok(Undo {
                    undo_id: DocId(row.get(0)?).to_string(),
                    term_name: row.get(1)?,
                    title: row.get(2)?,
                    is_undo: row.get(3)?,
                    by_name: row.get(4)?,
                    made_at,
                    until: made_at + UNDOS_KEPT_MS,
                })
            })?
            .collect()
    });
    Ok(Json(UndoList { items: items.await? }))
}

/// A term after an import or its undo.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ImportApplied {
    /// As it is now; none if it is there no more.
    pub term: Option<Term>,
    /// What is twice at one time; told, not refused.
    pub conflicts: Vec<Conflict>,
    /// Undoes this, for 30 days.
    pub undo_id: String,
}

/// Restores what an import has replaced: days, periods, classes and lessons of its term. What was
/// noted for single days since stays.
#[utoipa::path(post, path = "/timetable/undo/{id}", tag = "timetable",
    params(("id" = String, Path)), responses((status = 200, body = ImportApplied),
        (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn undo(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<Json<ImportApplied>, ApiError> {
    const FIND: &str = "select term, before, title, is_undo from timetable_undos \
         where undo = ?1 and made_at_ms > ?2";
    let undo: DocId = id.parse().map_err(|_| ApiError::not_found())?;
    let _turn = app.timetable.take().await;
    let found = app.db.read(move |db| -> rusqlite::Result<_> {
        let since = now_ms() - UNDOS_KEPT_MS;
        let read = |row: &rusqlite::Row<'_>| {
            let before: Option<String> = row.get(1)?;
            let (title, is_undo): (String, bool) = (row.get(2)?, row.get(3)?);
            Ok((DocId(row.get(0)?), before, title, is_undo))
        };
        db.prepare_cached(FIND)?.query_row(params![undo.as_bytes(), since], read).optional()
    });
    let (term, before, title, is_undo) = found.await?.ok_or_else(ApiError::not_found)?;
    let term = term.to_string();
    let before: Option<Term> =
        before.map(|json| serde_json::from_str(&json)).transpose().map_err(ApiError::internal)?;
    // A term that is there no more comes back as it was, unless another one has its days now.
    let now = match terms::own(&app, &term).await {
        Ok(now) => Some(now),
        Err(error) if error.code == "not_found" => None,
        Err(error) => return Err(error),
    };
    if let (Some(before), None) = (&before, &now) {
        terms::alone(&app, before).await?;
    }
    let by_name = admin.user().name.clone();
    let done = Done { title, by_name, is_undo: !is_undo };
    let undo_id = remember(&app, &term, now, done).await?;
    let edits = match &before {
        Some(before) => written(before),
        None => vec![document::deleted_edit(true)],
    };
    terms::save(&app, admin.user(), &term, edits).await?;
    forget(&app, undo).await?;
    let (term, conflicts) = match before {
        Some(_) => {
            let (term, conflicts) = terms::found(&app, &term).await?;
            (Some(term), conflicts)
        }
        None => (None, Vec::new()),
    };
    Ok(Json(ImportApplied { term, conflicts, undo_id }))
}

/// Keeps what a term is before it is replaced; gives the name of the undo.
pub(super) async fn remember(
    app: &App,
    term: &str,
    before: Option<Term>,
    done: Done,
) -> Result<String, ApiError> {
    const OLD: &str = "delete from timetable_undos where made_at_ms <= ?1 or undo in \
         (select undo from timetable_undos order by made_at_ms desc limit -1 offset ?2)";
    const KEEP: &str = "insert into timetable_undos \
         (undo, term, before, made_at_ms, title, by_name, is_undo) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let term: DocId = term.parse().map_err(|_| ApiError::not_found())?;
    let (undo, now) = (random::<16>(), now_ms());
    let before = before.map(|before| document::to_json(&before));
    let kept = app.db.write(move |tx| -> rusqlite::Result<()> {
        tx.prepare_cached(OLD)?.execute(params![now - UNDOS_KEPT_MS, UNDOS_MAX - 1])?;
        let Done { title, by_name, is_undo } = done;
        let row = params![undo, term.as_bytes(), before, now, title, by_name, is_undo];
        tx.prepare_cached(KEEP)?.execute(row).map(drop)
    });
    kept.await?;
    Ok(DocId(undo).to_string())
}

/// Forgets what has been taken back: doing it twice would do nothing.
async fn forget(app: &App, undo: DocId) -> Result<(), ApiError> {
    const FORGET: &str = "delete from timetable_undos where undo = ?1";
    let gone = app.db.write(move |tx| tx.prepare_cached(FORGET)?.execute([undo.as_bytes()]));
    Ok(gone.await.map(drop)?)
}

/// Gives the edits that write a term's days, periods, classes and lessons.
pub(super) fn written(term: &Term) -> Vec<DocEdit> {
    let mut edits = document::head_edits(term);
    edits.extend(document::cycle_edits(term));
    edits
}
