//! Plans of lessons: what a school offers to teach, in order. Receivers choose which of their
//! classes follow one; the plan itself knows nothing of them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::{DocId, HubId};

use crate::accounts::{Anyone, Teacher, User};
use crate::alliance::refused;
use crate::app::App;
use crate::catalog::bounds::{self, GRADES, SUBJECTS};
use crate::problem::{ApiError, Body, Problem};
use crate::timetable::{self, check, collection};
use document::{ITEMS_MAX, Item, Plan, TEXTBOOK_CHARS_MAX};

pub mod document;

/// Most plans that are listed; a large alliance has 50 teachers with a few each.
const OFFERS_LISTED_MAX: usize = 500;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(change, withdraw))
}

/// A plan of lessons as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Offer {
    /// 32 hex characters.
    pub id: String,
    /// As shown.
    pub title: String,
    /// One of the contract's subjects.
    pub subject: String,
    /// `k`, `1` to `12`, or empty.
    pub grade: String,
    /// Which book it goes through, or empty.
    pub textbook: String,
    /// Name of the school that offers it.
    pub school: String,
    /// True if that is this school.
    pub is_own_school: bool,
    /// True if it is not offered any more; shown to its own school.
    pub is_withdrawn: bool,
    /// Its lessons, in order.
    pub items: Vec<Item>,
}

/// The plans of lessons of the alliance.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OfferList {
    /// By school and title, at most 500.
    pub items: Vec<Offer>,
}

/// A plan to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOffer {
    /// 1 to 120 characters.
    title: String,
    /// One of the contract's subjects.
    subject: String,
    /// `k`, `1` to `12`, or empty.
    #[serde(default)]
    grade: String,
    /// At most 60 characters.
    #[serde(default)]
    textbook: String,
    /// At most 300.
    #[serde(default)]
    items: Vec<NewItem>,
}

/// A lesson of a plan to be made; one with the `key` of a lesson that is there is that lesson.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewItem {
    /// 1 to 32 of the characters a to z, 0 to 9 and -; the hub makes one if it is not said.
    key: Option<String>,
    /// The lesson, once it is made.
    #[serde(default)]
    lesson_id: Option<String>,
    /// 1 to 120 characters.
    title: String,
    /// On which day it is taught, if that matters.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    date: Option<Date>,
}

/// What may be changed of a plan; what is not there stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferChange {
    title: Option<String>,
    subject: Option<String>,
    grade: Option<String>,
    textbook: Option<String>,
    /// All of them, in order. One that is left out keeps its place and is marked as withdrawn,
    /// so that nobody who follows the plan has another lesson than the day before.
    items: Option<Vec<NewItem>>,
    /// False offers it again.
    is_withdrawn: Option<bool>,
}

/// Lists the plans of lessons of every school.
#[utoipa::path(get, path = "/offers", tag = "offers", responses(
    (status = 200, body = OfferList), (status = 401, body = Problem)))]
async fn list(State(app): State<App>, _anyone: Anyone) -> Result<Json<OfferList>, ApiError> {
    let hub = app.sync.hub_id();
    let plans = app.db.read(move |db| document::all(db, &hub, OFFERS_LISTED_MAX)).await?;
    Ok(Json(OfferList { items: plans.into_iter().map(|plan| shown(plan, &hub)).collect() }))
}

/// Makes a plan of this school.
#[utoipa::path(post, path = "/offers", tag = "offers", request_body = NewOffer, responses(
    (status = 201, body = Offer), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn create(
    State(app): State<App>,
    teacher: Teacher,
    Body(asked): Body<NewOffer>,
) -> Result<(StatusCode, Json<Offer>), ApiError> {
    let _turn = app.timetable.take().await;
    let plan = Plan {
        id: timetable::new_document(&app).await?,
        school_hub: app.sync.hub_id(),
        is_withdrawn: false,
        title: asked.title.trim().to_owned(),
        subject: asked.subject,
        grade: asked.grade,
        textbook: asked.textbook.trim().to_owned(),
        school: app.school_name()?,
        items: items(asked.items, &[])?,
    };
    Ok((StatusCode::CREATED, save(&app, teacher.user(), plan).await?))
}

/// Changes a plan of this school.
#[utoipa::path(patch, path = "/offers/{id}", tag = "offers", params(("id" = String, Path)),
    request_body = OfferChange, responses((status = 200, body = Offer),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
async fn change(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
    Body(change): Body<OfferChange>,
) -> Result<Json<Offer>, ApiError> {
    let _turn = app.timetable.take().await;
    let mut plan = own(&app, &id).await?;
    plan.title = change.title.map_or(plan.title, |title| title.trim().to_owned());
    plan.subject = change.subject.unwrap_or(plan.subject);
    plan.grade = change.grade.unwrap_or(plan.grade);
    plan.textbook = change.textbook.map_or(plan.textbook, |text| text.trim().to_owned());
    plan.is_withdrawn = change.is_withdrawn.unwrap_or(plan.is_withdrawn);
    if let Some(asked) = change.items {
        plan.items = items(asked, &plan.items)?;
    }
    save(&app, teacher.user(), plan).await
}

/// Withdraws a plan of this school. Who follows it follows it on, and is told.
#[utoipa::path(delete, path = "/offers/{id}", tag = "offers", params(("id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn withdraw(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let _turn = app.timetable.take().await;
    let mut plan = own(&app, &id).await?;
    plan.is_withdrawn = true;
    save(&app, teacher.user(), plan).await.map(|_| StatusCode::NO_CONTENT)
}

async fn own(app: &App, id: &str) -> Result<Plan, ApiError> {
    let id: DocId = id.parse().map_err(|_| ApiError::not_found())?;
    let plan = app.db.read(move |db| document::find(db, &id)).await?;
    let plan = plan.ok_or_else(ApiError::not_found)?;
    let is_own = plan.school_hub == app.sync.hub_id();
    if is_own { Ok(plan) } else { Err(ApiError::not_allowed()) }
}

async fn save(app: &App, user: &User, plan: Plan) -> Result<Json<Offer>, ApiError> {
    check(&plan)?;
    let (author, edits) = (user.pseudonym.clone(), document::edits(&plan));
    app.sync.edit_doc(collection(), plan.id, author, edits).await.map_err(refused)?;
    Ok(Json(shown(plan, &app.sync.hub_id())))
}

fn check(plan: &Plan) -> Result<(), ApiError> {
    let chars = |max: usize| format!("1 to {max} characters");
    if !bounds::is_line(&plan.title, bounds::TITLE_CHARS_MAX) {
        return Err(ApiError::invalid_input("title", chars(bounds::TITLE_CHARS_MAX)));
    }
    if !SUBJECTS.contains(&plan.subject.as_str()) {
        return Err(ApiError::invalid_input("subject", SUBJECTS.join(", ")));
    }
    if !plan.grade.is_empty() && !GRADES.contains(&plan.grade.as_str()) {
        return Err(ApiError::invalid_input("grade", format!("empty, {}", GRADES.join(", "))));
    }
    let is_book = bounds::is_line(&plan.textbook, TEXTBOOK_CHARS_MAX);
    if !plan.textbook.is_empty() && !is_book {
        return Err(ApiError::invalid_input("textbook", chars(TEXTBOOK_CHARS_MAX)));
    }
    Ok(())
}

/// Gives the lessons of a plan after a change: those that were asked for, and in their places
/// those that were there and are left out.
fn items(asked: Vec<NewItem>, before: &[Item]) -> Result<Vec<Item>, ApiError> {
    let mut items: Vec<Item> = Vec::with_capacity(asked.len());
    for (i, new) in asked.into_iter().enumerate() {
        let item = new.item(i)?;
        if items.iter().any(|known| known.key == item.key) {
            let field = format!("items.{i}.key");
            return Err(ApiError::invalid_input(&field, "a key that no other item has"));
        }
        items.push(item);
    }
    for (i, old) in before.iter().enumerate() {
        if items.iter().all(|item| item.key != old.key) {
            // After the one that was before it.
            let previous = i.checked_sub(1).map(|i| &before[i].key);
            let place = items.iter().position(|item| Some(&item.key) == previous);
            let withdrawn = Item { is_withdrawn: true, ..old.clone() };
            items.insert(place.map_or(0, |place| place + 1), withdrawn);
        }
    }
    let is_short = items.len() <= ITEMS_MAX && document::is_short(&items);
    let allowed = format!("at most {ITEMS_MAX}, with titles of 100 characters");
    if is_short { Ok(items) } else { Err(ApiError::invalid_input("items", allowed)) }
}

impl NewItem {
    fn item(self, place: usize) -> Result<Item, ApiError> {
        let item = Item {
            key: self.key.unwrap_or_else(|| crate::app::hex(&crate::app::random::<8>())),
            lesson_id: self.lesson_id,
            title: self.title.trim().to_owned(),
            date: self.date,
            is_withdrawn: false,
        };
        let refused = |field: &str, allowed: &str| {
            Err(ApiError::invalid_input(&format!("items.{place}.{field}"), allowed))
        };
        if !document::is_key(&item.key) {
            return refused("key", "1 to 32 of the characters a to z, 0 to 9 and -");
        }
        if item.lesson_id.as_ref().is_some_and(|id| id.parse::<DocId>().is_err()) {
            return refused("lesson_id", "32 hexadecimal characters, or null");
        }
        if item.date.is_some_and(|date| !check::is_date(date)) {
            return refused("date", "a day from 2000-01-01 to 2100-12-31, or null");
        }
        if !document::is_item(&item) {
            return refused("title", "1 to 120 characters");
        }
        Ok(item)
    }
}

fn shown(plan: Plan, hub: &HubId) -> Offer {
    Offer {
        id: plan.id.to_string(),
        is_own_school: plan.school_hub == *hub,
        title: plan.title,
        subject: plan.subject,
        grade: plan.grade,
        textbook: plan.textbook,
        school: plan.school,
        is_withdrawn: plan.is_withdrawn,
        items: plan.items,
    }
}

#[cfg(test)]
mod tests;
