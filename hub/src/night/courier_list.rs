//! What a stick should carry for which school: what that school says it lacks and is here.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::civil::Date;
use rusqlite::Connection;
use serde::Serialize;
use yingxue_sync_core::id::{DocId, HubId};

use super::lesson::{self, HeldLesson};
use super::map::{self, ToldLesson};
use super::overview::{NightQuery, default_date, parse_date};
use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::catalog::readiness::ReadinessState;
use crate::problem::{ApiError, Problem};

/// What a stick should carry for one school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CourierFor {
    /// Its name.
    pub school: String,
    /// 64 hex characters.
    pub hub_id: String,
    /// What it lacks, as it said at `written_at`; of the most lessons a byte first.
    pub lessons: Vec<CourierLesson>,
    /// Of the floor of all of them.
    pub bytes: u64,
    /// By that school's clock; unix milliseconds.
    pub written_at: i64,
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
#[utoipa::path(get, path = "/night/courier_list", tag = "night", params(NightQuery), responses(
    (status = 200, body = Vec<CourierFor>), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, body = Problem),
))]
pub async fn show(
    State(app): State<App>,
    _: Teacher,
    query: Result<Query<NightQuery>, QueryRejection>,
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

/// Gives the lists for a day, the largest need first.
///
/// # Errors
/// If the database fails.
pub fn lists(
    db: &Connection,
    date: Date,
    own: &HubId,
    schools: &BTreeMap<HubId, String>,
) -> rusqlite::Result<Vec<CourierFor>> {
    let mut lists = Vec::new();
    for (hub, day) in map::told_days(db, Some(date))? {
        let Some(school) = schools.get(&hub).filter(|_| hub != *own) else { continue };
        let lessons = lacking(db, &day.lessons)?;
        if !lessons.is_empty() {
            lists.push(CourierFor {
                school: school.clone(),
                hub_id: hub.to_string(),
                bytes: lessons.iter().map(|lesson| lesson.floor_bytes).sum(),
                lessons,
                written_at: day.written_at_ms,
            });
        }
    }
    lists.sort_by_key(|list| std::cmp::Reverse(list.lessons.len()));
    Ok(lists)
}

fn lacking(db: &Connection, told: &[ToldLesson]) -> rusqlite::Result<Vec<CourierLesson>> {
    let mut slots: BTreeMap<DocId, u32> = BTreeMap::new();
    for lesson in told.iter().filter(|lesson| lesson.state == ReadinessState::NotReady) {
        if let Some(id) = lesson.lesson_id.as_ref().and_then(|id| id.parse().ok()) {
            *slots.entry(id).or_default() += 1;
        }
    }
    let mut lessons = Vec::new();
    for (id, slots) in slots {
        let Some(held) = lesson::load(db, &id)?.filter(|held| held.best_held().is_some()) else {
            continue;
        };
        lessons.push(CourierLesson {
            floor_bytes: held.floor().map_or(0, |floor| bytes(&held, |held| held.needed(floor))),
            bytes: bytes(&held, |held| held.tracks.iter()),
            id: id.to_string(),
            title: held.title.clone(),
            school: held.school.clone(),
            slots,
        });
    }
    // The most lessons taught a byte, without a division.
    lessons.sort_by(|a, b| {
        let worth =
            |x: &CourierLesson, y: &CourierLesson| u64::from(x.slots) * y.floor_bytes.max(1);
        worth(b, a).cmp(&worth(a, b)).then_with(|| a.id.cmp(&b.id))
    });
    Ok(lessons)
}

fn bytes<'h, T: Iterator<Item = &'h lesson::HeldTrack>>(
    held: &'h HeldLesson,
    tracks: impl Fn(&'h HeldLesson) -> T,
) -> u64 {
    tracks(held).filter(|track| track.is_complete).map(|track| track.total_bytes).sum()
}
