//! Changing what a term holds, one entry at a time: classes, lessons, exceptions, plans followed.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::DocEdit;
use yingxue_sync_core::id::DocId;

use super::check;
use super::document::{self, Part};
use super::own::Rights;
use super::term::{Change, Class, Exception, Follow, Slot, Term};
use super::terms::{TermChanged, answer, own, save};
use super::today;
use crate::accounts::{Admin, Teacher, User};
use crate::app::{App, now_ms};
use crate::problem::{ApiError, Body, Problem};

/// The routes that change entries.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(put_class, remove_class))
        .routes(routes!(put_slot, remove_slot))
        .routes(routes!(put_exception, remove_exception))
        .routes(routes!(put_follow, remove_follow))
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

/// Writes a lesson of the cycle; its `id` is that of the path. A teacher may change mode and source
/// of a lesson that names them as lead or tutor.
#[utoipa::path(put, path = "/timetable/terms/{id}/slots/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)), request_body = Slot,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_slot(
    State(app): State<App>,
    teacher: Teacher,
    Path((id, entry)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TermChanged>, ApiError> {
    let slot: Slot = strict(body, &entry)?;
    let rights = Rights::of(&app, teacher.user()).await?;
    edit(&app, teacher.user(), &id, |term| {
        rights.slot(term, &slot)?;
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

/// Writes an exception; its `id` is that of the path. A teacher may cancel, replace and swap a
/// lesson that names them as lead or tutor, from today on, and swap it within its class.
#[utoipa::path(put, path = "/timetable/terms/{id}/exceptions/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)), request_body = Exception,
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_exception(
    State(app): State<App>,
    teacher: Teacher,
    Path((id, entry)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TermChanged>, ApiError> {
    let mut exception: Exception = strict(body, &entry)?;
    let (rights, today) = (Rights::of(&app, teacher.user()).await?, today(&app));
    edit(&app, teacher.user(), &id, |term| {
        rights.exception(term, &exception, today)?;
        exception.written_by.clone_from(&teacher.user().pseudonym);
        let known = term.exceptions.iter().find(|other| other.id == entry);
        exception.written_at = known.map_or_else(now_ms, |known| known.written_at);
        check::exception(term, &exception)?;
        let others = term.exceptions.iter().filter(|other| other.id != entry);
        room_for(others.count(), check::EXCEPTIONS_MAX, "exceptions")?;
        Ok(vec![document::entry_edit(Part::Exceptions, &entry, &exception)])
    })
    .await
}

/// Removes an exception; a teacher one that they have written, from today on.
#[utoipa::path(delete, path = "/timetable/terms/{id}/exceptions/{entry}", tag = "timetable",
    params(("id" = String, Path), ("entry" = String, Path)),
    responses((status = 200, body = TermChanged), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn remove_exception(
    State(app): State<App>,
    teacher: Teacher,
    Path((id, entry)): Path<(String, String)>,
) -> Result<Json<TermChanged>, ApiError> {
    let (rights, today) = (Rights::of(&app, teacher.user()).await?, today(&app));
    edit(&app, teacher.user(), &id, |term| {
        let known = term.exceptions.iter().find(|exception| exception.id == entry);
        rights.removal(known.ok_or_else(ApiError::not_found)?, today)?;
        Ok(vec![document::removal_edit(Part::Exceptions, &entry)])
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
