//! The timetable: what this school teaches when, and what fills each lesson.
//!
//! Truth is one document a term in the collection `timetables`; rows are projections. Days are
//! worked out from a term each time they are asked for. Reading a day or a week needs no login:
//! whoever stands in front of a panel may know what is next.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::civil::Date;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::Refusal;
use yingxue_sync_core::id::{CollectionId, DocId, HubId};
use yingxue_sync_core::membership::TIMETABLES;

use crate::accounts::Anyone;
use crate::app::{App, now_ms};
use crate::catalog::{self, query};
use crate::db::Db;
use crate::night::overview::{self, Moment};
use crate::night::tonight::Tonight;
use crate::problem::{ApiError, Problem};
use calendar::{DayKind, monday_of};
use conflicts::Conflict;
use day::{Day, DayEntry};
use following::{Notice, Planned};
use own::{MayChange, Rights};
use readiness::EntryReadiness;
use term::{Mode, Period, Term};

pub mod calendar;
pub mod check;
pub mod conflicts;
pub mod day;
pub mod document;
pub mod entries;
pub mod following;
pub mod import;
pub mod own;
pub mod readiness;
pub mod term;
pub mod terms;
pub mod undo;

pub use readiness::entry_readiness;

/// The collection that holds timetables and plans of lessons; every member reads and writes it.
pub const COLLECTION: &str = TIMETABLES;
/// Minutes that clocks anywhere are ahead of UTC.
const OFFSETS_MIN: std::ops::RangeInclusive<i32> = -720..=840;

/// Gives [`COLLECTION`] as an identifier.
pub fn collection() -> CollectionId {
    CollectionId(COLLECTION.to_owned())
}

/// Makes the identifier of a new term or plan, which only this school may write to.
pub(crate) async fn new_document(app: &App) -> Result<DocId, ApiError> {
    let hub = app.sync.hub_id();
    Ok(app.db.read(move |db| catalog::new_document(db, &collection(), &hub)).await?)
}

/// Keeps edits one after another, so that each is checked against what the one before has left.
#[derive(Debug, Default)]
pub struct Turn(tokio::sync::Mutex<()>);

impl Turn {
    /// Waits for the edits before.
    pub async fn take(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.lock().await
    }
}

/// Keeps what makes a term this school's own, for whoever has a connection. Called at start.
///
/// # Errors
/// If the offset is none that clocks have, or the database fails.
pub async fn settle(db: &Db, hub: &HubId, utc_offset_min: i32) -> anyhow::Result<()> {
    const SETTLE: &str =
        "insert or replace into timetable_hub (id, hub, utc_offset_min) values (1, ?1, ?2)";
    anyhow::ensure!(
        OFFSETS_MIN.contains(&utc_offset_min),
        "timetable.utc_offset_min is {utc_offset_min}; allowed is -720 to 840, China has 480"
    );
    let row = (*hub.as_bytes(), utc_offset_min);
    db.write(move |tx| tx.execute(SETTLE, row)).await?;
    Ok(())
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(show_day))
        .routes(routes!(show_week))
        .merge(terms::routes())
        .merge(entries::routes())
        .merge(import::routes())
        .merge(undo::routes())
}

/// A term's name and days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TermName {
    /// 32 hex characters.
    pub id: String,
    /// As shown.
    pub name: String,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    pub first_day: Date,
    /// The last day.
    #[schema(value_type = String, format = Date)]
    pub last_day: Date,
}

/// The timetable as its makers see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Timetable {
    /// The term that was asked for; else that of today, or the next one, or the last one.
    pub term: Option<Term>,
    /// What is twice at one time in it.
    pub conflicts: Vec<Conflict>,
    /// Every term of this school, by its first day.
    pub terms: Vec<TermName>,
    /// Today at this school.
    #[schema(value_type = String, format = Date)]
    pub today: Date,
    /// What of the term the one who asks may change.
    pub may_change: MayChange,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TermQuery {
    /// The term to show.
    term: Option<String>,
}

/// Shows a term's timetable.
#[utoipa::path(get, path = "/timetable", tag = "timetable", params(TermQuery), responses(
    (status = 200, body = Timetable), (status = 401, body = Problem),
    (status = 404, body = Problem)))]
async fn show(
    State(app): State<App>,
    anyone: Anyone,
    query: Result<Query<TermQuery>, QueryRejection>,
) -> Result<Json<Timetable>, ApiError> {
    let Query(query) = query?;
    let (hub, today) = (app.sync.hub_id(), today(&app));
    let terms = app.db.read(move |db| terms::all(db, &hub)).await?;
    let chosen = match query.term.filter(|id| !id.is_empty()) {
        Some(id) => Some(terms.iter().find(|term| term.id == id).ok_or_else(ApiError::not_found)?),
        None => terms.iter().find(|term| today <= term.last_day).or(terms.last()),
    };
    let Some(id) = chosen.map(|term| term.id.clone()) else {
        let (conflicts, may_change) = (Vec::new(), MayChange::default());
        return Ok(Json(Timetable { term: None, conflicts, terms, today, may_change }));
    };
    let (term, conflicts) = terms::found(&app, &id).await?;
    let may_change = Rights::of(&app, anyone.user()).await?.in_term(&term);
    Ok(Json(Timetable { term: Some(term), conflicts, terms, today, may_change }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DayQuery {
    /// `YYYY-MM-DD`; today at this school if it is not said.
    #[param(value_type = Option<String>)]
    date: Option<String>,
    /// True if somebody opens the page of a day: then its lessons are read off the disk, and no
    /// light is green before that is done (`is_checking`). A week does not ask for it.
    #[serde(default)]
    check: bool,
}

impl DayQuery {
    fn date(self, app: &App) -> Result<Date, ApiError> {
        match self.date.filter(|date| !date.is_empty()) {
            None => Ok(today(app)),
            Some(date) => {
                let is_plain = date.len() == 10;
                let date =
                    date.parse::<Date>().ok().filter(|date| is_plain && check::is_date(*date));
                let allowed = "a day from 2000-01-01 to 2100-12-31, as in 2026-09-01";
                date.ok_or_else(|| ApiError::invalid_input("date", allowed))
            }
        }
    }
}

/// A day as screens show it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DayShown {
    /// Which day.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// 1 is Monday.
    pub weekday: u8,
    /// Number of its week in the term, from 1.
    pub week: Option<u32>,
    /// The week of the cycle whose lessons it has.
    pub cycle_week: Option<u8>,
    /// What it is.
    pub kind: DayKind,
    /// True if any class has a lesson.
    pub is_school_day: bool,
    /// What people have noted for it.
    pub note: String,
    /// Its lessons, by period and class.
    pub entries: Vec<Entry>,
}

/// Seven days, from Monday.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WeekShown {
    /// In order.
    pub days: Vec<DayShown>,
}

/// A lesson of a day as screens show it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// The lesson of the cycle, or the exception that adds it.
    pub slot_id: String,
    /// When.
    pub period: Period,
    /// Unix milliseconds.
    pub starts_at: i64,
    /// Unix milliseconds.
    pub ends_at: i64,
    /// Who learns.
    pub class: EntryClass,
    /// Where, or empty.
    pub room: String,
    /// A subject as lessons have it, or a text of this school.
    pub subject: String,
    /// 主讲, or empty.
    pub lead: String,
    /// 辅导, or empty.
    pub tutor: String,
    /// How it is taught.
    pub mode: Mode,
    /// What fills it, as far as the library has it.
    pub lesson: Option<EntryLesson>,
    /// Its place in the plan of lessons that the class follows.
    pub planned: Option<Planned>,
    /// What people should know of what fills it.
    pub notice: Option<Notice>,
    /// Whether it can be taught; none for a lesson of the own teacher alone.
    pub readiness: Option<EntryReadiness>,
    /// True if the cycle has something else at that time.
    pub is_exception: bool,
}

/// A class in an [`Entry`].
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EntryClass {
    /// As in the timetable.
    pub id: String,
    /// As in the timetable.
    pub name: String,
    /// As lessons have it, or empty.
    pub grade: String,
    /// How many.
    pub pupils: u32,
}

/// A lesson in an [`Entry`].
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EntryLesson {
    /// 32 hex characters.
    pub id: String,
    /// Its title, or that of its place in the plan.
    pub title: String,
    /// Which school has made it, or empty if that is not known here.
    pub school: String,
}

/// Shows what this school teaches on a day. Needs no login.
#[utoipa::path(get, path = "/timetable/day", tag = "timetable", params(DayQuery), responses(
    (status = 200, body = DayShown), (status = 422, body = Problem)))]
async fn show_day(
    State(app): State<App>,
    query: Result<Query<DayQuery>, QueryRejection>,
) -> Result<Json<DayShown>, ApiError> {
    let query = query?.0;
    let is_opened = query.check;
    let date = query.date(&app)?;
    let at = Moment::now(&app);
    if is_opened {
        overview::read_now(&app, Some(date), &at).await?;
    }
    let readings = app.fresh.readings();
    let mut shown = app.db.read(move |db| shown(db, &at.tonight, day::of(db, date)?)).await?;
    readings.mark(&mut shown.entries);
    Ok(Json(shown))
}

/// Shows what this school teaches in the week of a day. Needs no login.
#[utoipa::path(get, path = "/timetable/week", tag = "timetable", params(DayQuery), responses(
    (status = 200, body = WeekShown), (status = 422, body = Problem)))]
async fn show_week(
    State(app): State<App>,
    query: Result<Query<DayQuery>, QueryRejection>,
) -> Result<Json<WeekShown>, ApiError> {
    use jiff::ToSpan as _;
    let monday = monday_of(query?.0.date(&app)?);
    let tonight = app.sync.news().policy().tonight();
    let readings = app.fresh.readings();
    let days = app.db.read(move |db| -> rusqlite::Result<Vec<DayShown>> {
        let days = day::days(db, monday, monday + 6.days())?;
        days.into_iter().map(|day| shown(db, &tonight, day)).collect()
    });
    let mut days = days.await?;
    days.iter_mut().for_each(|day| readings.mark(&mut day.entries));
    Ok(Json(WeekShown { days }))
}

/// Gives a day as screens show it.
///
/// # Errors
/// If the database fails.
pub fn shown(db: &Connection, tonight: &Tonight, day: Day) -> rusqlite::Result<DayShown> {
    Ok(DayShown {
        date: day.date,
        weekday: day.weekday,
        week: day.week,
        cycle_week: day.cycle_week,
        kind: day.kind,
        is_school_day: day.is_school_day(),
        note: day.note,
        entries: day
            .entries
            .into_iter()
            .map(|entry| shown_entry(db, tonight, entry))
            .collect::<rusqlite::Result<_>>()?,
    })
}

/// Gives a lesson of a day as screens show it.
///
/// # Errors
/// If the database fails.
pub fn shown_entry(db: &Connection, tonight: &Tonight, entry: DayEntry) -> rusqlite::Result<Entry> {
    let readiness = entry_readiness(db, &entry, tonight)?;
    let lesson = entry.lesson.map(|id| shown_lesson(db, &id, &entry)).transpose()?;
    Ok(Entry {
        slot_id: entry.slot_id,
        period: entry.period,
        starts_at: entry.starts_at_ms,
        ends_at: entry.ends_at_ms,
        class: EntryClass {
            id: entry.class.id,
            name: entry.class.name,
            grade: entry.class.grade,
            pupils: entry.class.pupils,
        },
        room: entry.room,
        subject: entry.subject,
        lead: entry.lead,
        tutor: entry.tutor,
        mode: entry.mode,
        lesson,
        planned: entry.planned,
        notice: entry.notice,
        readiness,
        is_exception: entry.is_exception,
    })
}

fn shown_lesson(db: &Connection, id: &DocId, entry: &DayEntry) -> rusqlite::Result<EntryLesson> {
    let planned = entry.planned.as_ref();
    let (title, school) = match query::row(db, id)? {
        Some(row) => (row.title, row.school),
        None => planned.map(|p| (p.title.clone(), p.school.clone())).unwrap_or_default(),
    };
    Ok(EntryLesson { id: id.to_string(), title, school })
}

/// Says whether this school's timetable names a lesson in a term that is not over, itself or by a
/// plan that a class follows: then it is shown here even if its school has deleted it.
///
/// # Errors
/// If the database fails.
pub fn names(db: &Connection, lesson: &DocId, today: Date) -> rusqlite::Result<bool> {
    const NAMES: &str = "select exists (select 1 from timetable_terms t \
         join timetable_hub h on h.hub = t.school_hub \
         where t.is_deleted = 0 and t.last_day >= ?2 and (instr(t.body, ?1) > 0 \
         or exists (select 1 from offers o where instr(o.items, ?1) > 0 \
         and instr(t.body, lower(hex(o.offer))) > 0)))";
    let key = (lesson.to_string(), today.to_string());
    db.prepare_cached(NAMES)?.query_row(key, |row| row.get(0))
}

/// Gives today at this school.
pub fn today(app: &App) -> Date {
    day::date_at(now_ms(), app.config.timetable.utc_offset_min)
}

/// Says why the alliance did not take a change of a timetable or a plan.
fn refused(refusal: Refusal) -> ApiError {
    crate::alliance::refused(refusal)
}
