//! Changing a term: its days, its classes, its lessons, its exceptions, one entry at a time.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::DocEdit;
use yingxue_sync_core::id::{DocId, HubId};

use super::check::{self, Invalid};
use super::conflicts::{Conflict, conflicts};
use super::document::{self, Part};
use super::term::{Change, Class, Exception, Follow, Period, Slot, Term};
use super::{TermName, collection, refused};
use crate::accounts::{Admin, User};
use crate::app::{App, now_ms, random};
use crate::problem::{ApiError, Body, Problem};

/// Most terms of a school: twenty years.
const TERMS_MAX: usize = 40;

/// The routes that change a term.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change, remove))
        .routes(routes!(put_class, remove_class))
        .routes(routes!(put_slot, remove_slot))
        .routes(routes!(put_exception, remove_exception))
        .routes(routes!(put_follow, remove_follow))
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
    let term = asked.term(copied);
    check::head(&term)?;
    alone(&app, &term).await?;
    let mut edits = document::head_edits(&term);
    edits.extend(document::cycle_edits(&term));
    save(&app, admin.user(), &term.id, edits).await?;
    Ok((StatusCode::CREATED, answer(&app, &term.id).await?))
}

impl NewTerm {
    /// Gives the term, with a new id.
    pub fn term(self, copied: Option<Term>) -> Term {
        let (periods, classes, slots, cycle_weeks) = match copied {
            Some(copied) => (copied.periods, copied.classes, copied.slots, copied.cycle_weeks),
            None => (Vec::new(), Vec::new(), Vec::new(), 1),
        };
        Term {
            id: DocId(random()).to_string(),
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

/// Writes a class; its `id` is that of the path.
#[utoipa::path(put, path = "/timetable/terms/{id}/classes/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)), request_body = Class,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_class(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TermChanged>, ApiError> {
    let class: Class = strict(body, &entry)?;
    edit(&app, admin.user(), &id, |term| {
        check::class(&class)?;
        let others = term.classes.iter().filter(|other| other.id != class.id);
        room_for(others.clone().count(), check::CLASSES_MAX, "classes")?;
        if others.into_iter().any(|other| other.name == class.name) {
            return Err(ApiError::invalid_input("name", "a name that no other class has"));
        }
        Ok(vec![document::entry_edit(Part::Classes, &class.id, &class)])
    })
    .await
}

/// Removes a class that has no lessons.
#[utoipa::path(delete, path = "/timetable/terms/{id}/classes/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)),
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn remove_class(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
) -> Result<Json<TermChanged>, ApiError> {
    edit(&app, admin.user(), &id, |term| {
        term.class(&entry).ok_or_else(ApiError::not_found)?;
        let lessons = term.slots.iter().filter(|slot| slot.lesson.class_id == entry).count();
        let follows = term.follows.iter().filter(|follow| follow.class_id == entry).count();
        if lessons + follows > 0 {
            let detail = format!(
                "The class has {lessons} lessons in the timetable and follows {follows} plans; \
                 remove those first."
            );
            return Err(ApiError::conflict(detail));
        }
        Ok(vec![document::removal_edit(Part::Classes, &entry)])
    })
    .await
}

/// Writes a lesson of the cycle; its `id` is that of the path.
#[utoipa::path(put, path = "/timetable/terms/{id}/slots/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)), request_body = Slot,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_slot(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TermChanged>, ApiError> {
    let slot: Slot = strict(body, &entry)?;
    edit(&app, admin.user(), &id, |term| {
        check::slot(term, &slot)?;
        let others = term.slots.iter().filter(|other| other.id != slot.id);
        room_for(others.count(), check::SLOTS_MAX, "slots")?;
        Ok(vec![document::entry_edit(Part::Slots, &slot.id, &slot)])
    })
    .await
}

/// Removes a lesson of the cycle, and what was otherwise of it on some day.
#[utoipa::path(delete, path = "/timetable/terms/{id}/slots/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)),
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn remove_slot(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
) -> Result<Json<TermChanged>, ApiError> {
    edit(&app, admin.user(), &id, |term| {
        term.slot(&entry).ok_or_else(ApiError::not_found)?;
        let named = term.exceptions.iter().filter(|exception| match &exception.change {
            Change::Swap { slot_id, with_slot_id, .. } => {
                *slot_id == entry || with_slot_id.as_ref() == Some(&entry)
            }
            Change::Replace { slot_id, .. } | Change::Cancel { slot_id } => *slot_id == entry,
            _ => false,
        });
        let mut edits = vec![document::removal_edit(Part::Slots, &entry)];
        edits.extend(named.map(|one| document::removal_edit(Part::Exceptions, &one.id)));
        Ok(edits)
    })
    .await
}

/// Writes an exception; its `id` is that of the path.
#[utoipa::path(put, path = "/timetable/terms/{id}/exceptions/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)), request_body = Exception,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_exception(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TermChanged>, ApiError> {
    let mut exception: Exception = strict(body, &entry)?;
    edit(&app, admin.user(), &id, |term| {
        let known = term.exceptions.iter().find(|other| other.id == entry);
        exception.written_at = known.map_or_else(now_ms, |known| known.written_at);
        check::exception(term, &exception)?;
        let others = term.exceptions.iter().filter(|other| other.id != entry);
        room_for(others.count(), check::EXCEPTIONS_MAX, "exceptions")?;
        Ok(vec![document::entry_edit(Part::Exceptions, &entry, &exception)])
    })
    .await
}

/// Removes an exception.
#[utoipa::path(delete, path = "/timetable/terms/{id}/exceptions/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)),
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn remove_exception(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
) -> Result<Json<TermChanged>, ApiError> {
    edit(&app, admin.user(), &id, |term| {
        let is_there = term.exceptions.iter().any(|exception| exception.id == entry);
        let edit = document::removal_edit(Part::Exceptions, &entry);
        if is_there { Ok(vec![edit]) } else { Err(ApiError::not_found()) }
    })
    .await
}

/// Writes which plan of lessons a class follows; its `id` is that of the path.
#[utoipa::path(put, path = "/timetable/terms/{id}/follows/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)), request_body = Follow,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_follow(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TermChanged>, ApiError> {
    let follow: Follow = strict(body, &entry)?;
    let offer = follow.offer_id.parse::<DocId>();
    let known = match offer {
        Ok(offer) => app.db.read(move |db| crate::offers::document::find(db, &offer)).await?,
        Err(_) => None,
    };
    edit(&app, admin.user(), &id, |term| {
        check::follow(term, &follow)?;
        let others = term.follows.iter().filter(|other| other.id != entry);
        room_for(others.clone().count(), check::FOLLOWS_MAX, "follows")?;
        // A plan that was withdrawn is followed on, but nobody begins with it.
        let is_same = others.into_iter().chain(term.follows.iter().find(|f| f.id == entry));
        let is_kept = is_same.into_iter().any(|other| other.offer_id == follow.offer_id);
        if !is_kept && known.is_none_or(|plan| plan.is_withdrawn) {
            let allowed = "a plan of lessons that is offered";
            return Err(ApiError::invalid_input("offer_id", allowed));
        }
        Ok(vec![document::entry_edit(Part::Follows, &entry, &follow)])
    })
    .await
}

/// Removes the choice of a plan of lessons.
#[utoipa::path(delete, path = "/timetable/terms/{id}/follows/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)),
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn remove_follow(
    State(app): State<App>,
    admin: Admin,
    Path((id, entry)): Path<(String, String)>,
) -> Result<Json<TermChanged>, ApiError> {
    edit(&app, admin.user(), &id, |term| {
        let is_there = term.follows.iter().any(|follow| follow.id == entry);
        let edit = document::removal_edit(Part::Follows, &entry);
        if is_there { Ok(vec![edit]) } else { Err(ApiError::not_found()) }
    })
    .await
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_input(&invalid.field, invalid.allowed)
    }
}

fn room_for(others: usize, max: usize, field: &str) -> Result<(), ApiError> {
    let is_room = others < max;
    if is_room { Ok(()) } else { Err(ApiError::invalid_input(field, format!("at most {max}"))) }
}

/// Reads an entry whose shape has parts, which serde cannot do strictly; an unknown field is
/// refused by name.
fn strict<T: Serialize + DeserializeOwned>(mut body: Value, id: &str) -> Result<T, ApiError> {
    let refused = |reason: String| ApiError::invalid_input("body", reason);
    let asked = body.as_object_mut().ok_or_else(|| refused("a JSON object".to_owned()))?;
    asked.insert("id".to_owned(), Value::from(id));
    let names: Vec<String> = asked.keys().cloned().collect();
    let entry: T = serde_json::from_value(body).map_err(|error| refused(error.to_string()))?;
    let known = serde_json::to_value(&entry).map_err(ApiError::internal)?;
    match names.into_iter().find(|name| known.get(name).is_none()) {
        Some(name) => Err(ApiError::invalid_input(&name, "no such field")),
        None => Ok(entry),
    }
}

/// Makes one change of a term, checked against what the change before it has left.
async fn edit(
    app: &App,
    user: &User,
    id: &str,
    change: impl FnOnce(&Term) -> Result<Vec<DocEdit>, ApiError>,
) -> Result<Json<TermChanged>, ApiError> {
    let _turn = app.timetable.take().await;
    let term = own(app, id).await?;
    let edits = change(&term)?;
    save(app, user, id, edits).await?;
    answer(app, id).await
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

async fn answer(app: &App, id: &str) -> Result<Json<TermChanged>, ApiError> {
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
