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
    OpenApiRouter::new().routes(routes!(undo))
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
    const FIND: &str =
        "select term, before from timetable_undos where undo = ?1 and made_at_ms > ?2";
    let undo: DocId = id.parse().map_err(|_| ApiError::not_found())?;
    let _turn = app.timetable.take().await;
    let found = app.db.read(move |db| -> rusqlite::Result<_> {
        let since = now_ms() - UNDOS_KEPT_MS;
        let read =
            |row: &rusqlite::Row<'_>| Ok((DocId(row.get(0)?), row.get::<_, Option<String>>(1)?));
        db.prepare_cached(FIND)?.query_row(params![undo.as_bytes(), since], read).optional()
    });
    let (term, before) = found.await?.ok_or_else(ApiError::not_found)?;
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
    let undo_id = remember(&app, &term, now).await?;
    let edits = match &before {
        Some(before) => written(before),
        None => vec![document::deleted_edit(true)],
    };
    terms::save(&app, admin.user(), &term, edits).await?;
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
) -> Result<String, ApiError> {
    const OLD: &str = "delete from timetable_undos where made_at_ms <= ?1 or undo in \
         (select undo from timetable_undos order by made_at_ms desc limit -1 offset ?2)";
    const KEEP: &str =
        "insert into timetable_undos (undo, term, before, made_at_ms) values (?1, ?2, ?3, ?4)";
    let term: DocId = term.parse().map_err(|_| ApiError::not_found())?;
    let (undo, now) = (random::<16>(), now_ms());
    let before = before.map(|before| document::to_json(&before));
    let kept = app.db.write(move |tx| -> rusqlite::Result<()> {
        tx.prepare_cached(OLD)?.execute(params![now - UNDOS_KEPT_MS, UNDOS_MAX - 1])?;
        tx.prepare_cached(KEEP)?.execute(params![undo, term.as_bytes(), before, now])?;
        Ok(())
    });
    kept.await?;
    Ok(DocId(undo).to_string())
}

/// Gives the edits that write a term's days, periods, classes and lessons.
pub(super) fn written(term: &Term) -> Vec<DocEdit> {
    let mut edits = document::head_edits(term);
    edits.extend(document::cycle_edits(term));
    edits
}
