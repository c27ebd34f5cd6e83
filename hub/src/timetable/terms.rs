//! Terms: made, changed as a whole, taken out of use, read.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::DocEdit;
use yingxue_sync_core::id::{DocId, HubId};

use super::check::{self, Invalid};
use super::conflicts::{Conflict, conflicts};
use super::document;
use super::term::{Period, Term};
use super::{TermName, collection, new_document, refused};
use crate::accounts::{Admin, User};
use crate::app::App;
use crate::problem::{ApiError, Body, Problem};

/// Most terms of a school: twenty years.
const TERMS_MAX: usize = 40;

/// The routes that change a term.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(change, remove))
}

/// A term after a change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TermChanged {
    /// As it is now.
    pub term: Term,
    /// What is twice at one time; told, not refused.
    pub conflicts: Vec<Conflict>,
}

/// A term to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTerm {
    /// 1 to 60 characters.
    pub name: String,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    pub first_day: Date,
    /// The last day, at most a year later.
    #[schema(value_type = String, format = Date)]
    pub last_day: Date,
    /// 1 to 8; 1 if it is not said, or what the copied term has.
    #[serde(default)]
    pub cycle_weeks: Option<u8>,
    /// What the copied term has if it is not said.
    #[serde(default)]
    pub periods: Option<Vec<Period>>,
    /// A term whose periods, classes and lessons this one begins with.
    #[serde(default)]
    pub copy_from: Option<String>,
}

/// What may be changed of a term; what is not there stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermChange {
    name: Option<String>,
    #[schema(value_type = Option<String>, format = Date)]
    first_day: Option<Date>,
    #[schema(value_type = Option<String>, format = Date)]
    last_day: Option<Date>,
    cycle_weeks: Option<u8>,
    periods: Option<Vec<Period>>,
}

/// Makes a term.
#[utoipa::path(post, path = "/timetable/terms", tag = "timetable", request_body = NewTerm,
    responses((status = 201, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn create(
    State(app): State<App>,
    admin: Admin,
    Body(asked): Body<NewTerm>,
) -> Result<(StatusCode, Json<TermChanged>), ApiError> {
    let _turn = app.timetable.take().await;
    let copied = match &asked.copy_from {
        Some(id) => {
            let allowed = "the id of a term of this school";
            let found = own(&app, id).await;
            Some(found.map_err(|_| ApiError::invalid_input("copy_from", allowed))?)
        }
        None => None,
    };
    let term = asked.term(new_document(&app).await?, copied);
    check::head(&term)?;
    alone(&app, &term).await?;
    let mut edits = document::head_edits(&term);
    edits.extend(document::cycle_edits(&term));
    save(&app, admin.user(), &term.id, edits).await?;
    Ok((StatusCode::CREATED, answer(&app, &term.id).await?))
}

impl NewTerm {
    /// Gives the term, with its id.
    pub fn term(self, id: DocId, copied: Option<Term>) -> Term {
        let (periods, classes, slots, cycle_weeks) = match copied {
            Some(copied) => (copied.periods, copied.classes, copied.slots, copied.cycle_weeks),
            None => (Vec::new(), Vec::new(), Vec::new(), 1),
        };
        Term {
            id: id.to_string(),
            name: self.name.trim().to_owned(),
            first_day: self.first_day,
            last_day: self.last_day,
            cycle_weeks: self.cycle_weeks.unwrap_or(cycle_weeks),
            periods: self.periods.unwrap_or(periods),
            classes,
            slots,
            exceptions: Vec::new(),
            follows: Vec::new(),
        }
    }
}

/// Checks that no other term of the school has a day of this one.
pub(super) async fn alone(app: &App, term: &Term) -> Result<(), ApiError> {
    let hub = app.sync.hub_id();
    let mut others = app.db.read(move |db| all(db, &hub)).await?;
    others.retain(|other| other.id != term.id);
    if others.len() >= TERMS_MAX {
        let detail = format!("This school has {TERMS_MAX} terms; delete one that is over first.");
        return Err(ApiError::conflict(detail));
    }
    let overlaps =
        |other: &TermName| other.first_day <= term.last_day && term.first_day <= other.last_day;
    match others.into_iter().find(overlaps) {
        None => Ok(()),
        Some(other) => {
            let (name, first, last) = (other.name, other.first_day, other.last_day);
            let allowed = format!("days that no other term has; {name} is from {first} to {last}");
            Err(ApiError::invalid_input("first_day", allowed))
        }
    }
}

/// Changes a term's name, days, periods or cycle.
#[utoipa::path(patch, path = "/timetable/terms/{id}", tag = "timetable",
    params(("id" = String, Path)), request_body = TermChange,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn change(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
    Body(change): Body<TermChange>,
) -> Result<Json<TermChanged>, ApiError> {
    let _turn = app.timetable.take().await;
    let mut term = own(&app, &id).await?;
    let TermChange { name, first_day, last_day, cycle_weeks, periods } = change;
    term.name = name.map_or(term.name, |name| name.trim().to_owned());
    term.first_day = first_day.unwrap_or(term.first_day);
    term.last_day = last_day.unwrap_or(term.last_day);
    term.cycle_weeks = cycle_weeks.unwrap_or(term.cycle_weeks);
    term.periods = periods.unwrap_or(term.periods);
    check::head(&term)?;
    check::entries(&term)?;
    alone(&app, &term).await?;
    save(&app, admin.user(), &id, document::head_edits(&term)).await?;
    answer(&app, &id).await
}

/// Takes a term out of use.
#[utoipa::path(delete, path = "/timetable/terms/{id}", tag = "timetable",
    params(("id" = String, Path)), responses((status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn remove(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let _turn = app.timetable.take().await;
    own(&app, &id).await?;
    save(&app, admin.user(), &id, vec![document::deleted_edit(true)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_input(&invalid.field, invalid.allowed)
    }
}

/// Writes edits of a term's document.
pub(super) async fn save(
    app: &App,
    user: &User,
    id: &str,
    edits: Vec<DocEdit>,
) -> Result<(), ApiError> {
    let doc: DocId = id.parse().map_err(|_| ApiError::not_found())?;
    let author = user.pseudonym.clone();
    app.sync.edit_doc(collection(), doc, author, edits).await.map_err(refused)
}

pub(super) async fn answer(app: &App, id: &str) -> Result<Json<TermChanged>, ApiError> {
    let (term, conflicts) = found(app, id).await?;
    Ok(Json(TermChanged { term, conflicts }))
}

/// Reads a term of this school and what is twice at one time in it.
pub(super) async fn found(app: &App, id: &str) -> Result<(Term, Vec<Conflict>), ApiError> {
    let term = own(app, id).await?;
    let conflicts = conflicts(&term);
    Ok((term, conflicts))
}

/// Reads a term of this school.
pub(super) async fn own(app: &App, id: &str) -> Result<Term, ApiError> {
    let doc: DocId = id.parse().map_err(|_| ApiError::not_found())?;
    let hub = app.sync.hub_id();
    let term = app.db.read(move |db| one(db, &hub, &doc)).await?;
    term.ok_or_else(ApiError::not_found)
}

/// Reads one term of a school.
///
/// # Errors
/// If the database fails.
pub fn one(db: &Connection, hub: &HubId, term: &DocId) -> rusqlite::Result<Option<Term>> {
    const ONE: &str = "select body from timetable_terms \
         where term = ?1 and school_hub = ?2 and is_deleted = 0";
    let body = db.prepare_cached(ONE)?.query_row(
        params![term.as_bytes(), hub.as_bytes()],
        // The projection has written it.
        |row| Ok(serde_json::from_str(row.get_ref(0)?.as_str()?).ok()),
    );
    Ok(body.optional()?.flatten())
}

/// Lists the terms of a school, by their first day.
///
/// # Errors
/// If the database fails.
pub fn all(db: &Connection, hub: &HubId) -> rusqlite::Result<Vec<TermName>> {
    const ALL: &str = "select term, name, first_day, last_day from timetable_terms \
         where school_hub = ?1 and is_deleted = 0 order by first_day, term";
    let mut statement = db.prepare_cached(ALL)?;
    let rows = statement.query_map([hub.as_bytes()], |row| {
        let date = |column| -> rusqlite::Result<Option<Date>> {
            Ok(row.get_ref(column)?.as_str()?.parse().ok())
        };
        let id = DocId(row.get(0)?).to_string();
        let days = date(2)?.zip(date(3)?);
        let name: String = row.get(1)?;
        Ok(days.map(|(first_day, last_day)| TermName { id, name, first_day, last_day }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

#[cfg(test)]
pub(crate) mod tests;
