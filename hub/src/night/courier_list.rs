//! What a stick should carry for which school: what that school says it lacks and is here. A school
//! without a line tells of no day; its receipts come by stick, and say what it lacks.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::civil::Date;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use yingxue_sync_core::courier::Receipt;
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::lesson::{self, HeldLesson, Stage};
use super::map::{self, ToldDay};
use super::needed;
use super::overview::{default_date, parse_date};
use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::catalog::readiness::ReadinessState;
use crate::courier::receipts;
use crate::courier::worth::{When, Worth};
use crate::problem::{ApiError, Problem};

/// Most lessons of one school's list; a stick of 64 GB carries some hundred.
const LESSONS_MAX: usize = 200;

/// What is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct CarryQuery {
    /// `YYYY-MM-DD`; as in `/night`.
    pub date: Option<String>,
}

/// What a stick should carry for one school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CourierFor {
    /// Its name.
    pub school: String,
    /// 64 hex characters.
    pub hub_id: String,
    /// What it lacks, as it said at `written_at`, at most 200; what is needed soonest first, then
    /// what makes the most lessons teachable a byte.
    pub lessons: Vec<CourierLesson>,
    /// Of the floor of all of them.
    pub bytes: u64,
    /// True if it told how its lessons of `date` stand; false if that is from its receipt, which
    /// came by stick, and its timetable as it is known here.
    pub is_told: bool,
    /// By that school's clock; unix milliseconds.
    pub written_at: i64,
    /// The day that it is about.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// Remote lessons of that day; 0 if its timetable is not known here.
    pub total: u32,
    /// Those of them that it can teach, as good as wished or not, as far as is known.
    pub teachable: u32,
}

/// A lesson to carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CourierLesson {
    /// 32 hex characters.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The school that has made it.
    pub school: String,
    /// Of its floor: what makes it teachable.
    pub floor_bytes: u64,
    /// Of everything that is here of its tiers.
    pub bytes: u64,
    /// How many lessons of that school's day need it.
    pub slots: u32,
}

/// Lists what a stick should carry for which school.
#[utoipa::path(get, path = "/night/courier_list", tag = "night", params(CarryQuery), responses(
    (status = 200, body = Vec<CourierFor>), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, body = Problem),
))]
pub async fn show(
    State(app): State<App>,
    _: Teacher,
    query: Result<Query<CarryQuery>, QueryRejection>,
) -> Result<Json<Vec<CourierFor>>, ApiError> {
    let Query(query) = query?;
    let date = query.date.as_deref().map(parse_date).transpose()?;
    let offset = app.sync.news().policy().utc_offset_min;
    let own = app.sync.hub_id();
    let members = app.sync.membership().map_or_else(Vec::new, |m| m.hubs.clone());
    let schools: BTreeMap<HubId, String> =
        members.into_iter().map(|member| (member.hub, member.school)).collect();
    let lists = app.db.read(move |db| -> rusqlite::Result<Vec<CourierFor>> {
        let date = match date {
            Some(date) => date,
            None => default_date(db, now_ms(), offset)?,
        };
        lists(db, date, &own, &schools)
    });
    Ok(Json(lists.await?))
}

/// Gives the lists for a day, the largest need first. What a school told counts more than its
/// receipts: those do not say of which day they are.
///
/// # Errors
/// If the database fails.
pub fn lists(
    db: &Connection,
    date: Date,
    own: &HubId,
    schools: &BTreeMap<HubId, String>,
) -> rusqlite::Result<Vec<CourierFor>> {
    let told = map::told_days(db, None)?;
    let mut lists = Vec::new();
    for (hub, school) in schools.iter().filter(|(hub, _)| *hub != own) {
        let told = told.iter().filter(|(of, _)| of == hub).map(|(_, day)| day);
        let receipt = receipts::of(db, hub)?;
        let said = match (told.clone().find(|day| day.date == date), &receipt) {
            (Some(day), _) => Some(Said::told(day)),
            (None, Some(receipt)) => {
                let told_at = told.map(|day| day.written_at_ms).max();
                let is_newest = told_at.is_none_or(|at| at < written_at_ms(receipt));
                let said = is_newest.then(|| Said::by_receipt(db, hub, receipt, date));
                said.transpose()?
            }
            (None, None) => None,
        };
        let Some(said) = said else { continue };
        let lessons = lacking(db, receipt.as_ref(), &said)?;
        if !lessons.is_empty() {
            lists.push(CourierFor {
                school: school.clone(),
                hub_id: hub.to_string(),
                bytes: lessons.iter().map(|lesson| lesson.floor_bytes).sum(),
                lessons,
                is_told: said.is_told,
                written_at: said.written_at_ms,
                date,
                total: said.total,
                teachable: said.teachable,
            });
        }
    }
    lists.sort_by_key(|list| std::cmp::Reverse(list.lessons.len()));
    Ok(lists)
}

/// What a school said of what it lacks.
struct Said {
    is_told: bool,
    written_at_ms: i64,
    total: u32,
    teachable: u32,
    /// How soon each lesson is needed, and for how many lessons of the day.
    lessons: BTreeMap<DocId, (When, u32)>,
}

impl Said {
    fn told(day: &ToldDay) -> Self {
        let mut lessons = BTreeMap::new();
        for lesson in day.lessons.iter().filter(|it| it.state == ReadinessState::NotReady) {
            if let Some(id) = lesson.lesson_id.as_ref().and_then(|id| id.parse().ok()) {
                lessons.entry(id).or_insert((When::Day(day.date), 0)).1 += 1;
            }
        }
        Self {
            is_told: true,
            written_at_ms: day.written_at_ms,
            total: day.counts.iter().fold(0, |sum, count| sum.saturating_add(*count)),
            teachable: day.counts[0].saturating_add(day.counts[1]),
            lessons,
        }
    }

    /// Gives what a receipt says, and for which lessons of the coming days that is, if the
    /// school's timetable is known here.
    fn by_receipt(
        db: &Connection,
        hub: &HubId,
        receipt: &Receipt,
        date: Date,
    ) -> rusqlite::Result<Self> {
        let asked = receipts::lacking(db, receipt)?;
        let mut said = Self {
            is_told: false,
            written_at_ms: written_at_ms(receipt),
            total: 0,
            teachable: 0,
            lessons: asked.into_iter().map(|(id, when)| (id, (when, 0))).collect(),
        };
        for day in needed::timetabled(db, hub, date)? {
            let is_the_day = day.date == date;
            for lesson in needed::remote(&day) {
                said.total += u32::from(is_the_day);
                let Some(id) = lesson else { continue };
                let (when, slots) = said.lessons.entry(id).or_insert((When::Unknown, 0));
                *when = (*when).min(When::Day(day.date));
                *slots += u32::from(is_the_day);
            }
        }
        for (id, (_, slots)) in said.lessons.iter().filter(|(_, (_, slots))| *slots > 0) {
            let held = lesson::load(db, id)?.filter(|held| held.floor().is_some());
            let Some(held) = held else { continue };
            if receipts::says_to_hold(db, receipt, i64::MIN, id, &floor(&held))? {
                said.teachable += slots;
            }
        }
        Ok(said)
    }
}

fn written_at_ms(receipt: &Receipt) -> i64 {
    i64::try_from(receipt.written_at_wall_ms).unwrap_or(i64::MAX)
}

/// Lists what a hub said that it lacks and has not said since, by a receipt on a stick, to hold.
fn lacking(
    db: &Connection,
    receipt: Option<&Receipt>,
    said: &Said,
) -> rusqlite::Result<Vec<CourierLesson>> {
    // What a receipt says was said in it.
    let after_ms = if said.is_told { said.written_at_ms } else { i64::MIN };
    let mut lessons: Vec<(Worth, CourierLesson)> = Vec::new();
    for (id, (when, slots)) in &said.lessons {
        let held = lesson::load(db, id)?;
        let held = held.filter(|held| held.best_held().is_some() && held.stage != Stage::Deleted);
        let Some(held) = held else { continue };
        let is_held = match receipt {
            Some(receipt) => receipts::says_to_hold(db, receipt, after_ms, id, &floor(&held))?,
            None => false,
        };
        if is_held {
            continue;
        }
        let floor_bytes = held.floor().map_or(0, |floor| bytes(&held, |held| held.needed(floor)));
        let worth = Worth { when: *when, lessons: (*slots).max(1), bytes: floor_bytes };
        let lesson = CourierLesson {
            floor_bytes,
            bytes: bytes(&held, |held| held.tracks.iter()),
            id: id.to_string(),
            title: held.title.clone(),
            school: held.school.clone(),
            slots: *slots,
        };
        lessons.push((worth, lesson));
    }
    // Those of one worth in the order of their ids.
    lessons.sort_by(|(a, _), (b, _)| a.order(b));
    Ok(lessons.into_iter().take(LESSONS_MAX).map(|(_, lesson)| lesson).collect())
}

fn floor(held: &HeldLesson) -> Vec<BlobId> {
    let floor = held.floor().into_iter().flat_map(|floor| held.needed(floor));
    floor.map(|track| track.blob).collect()
}

fn bytes<'h, T: Iterator<Item = &'h lesson::HeldTrack>>(
    held: &'h HeldLesson,
    tracks: impl Fn(&'h HeldLesson) -> T,
) -> u64 {
    tracks(held).filter(|track| track.is_complete).map(|track| track.total_bytes).sum()
}
