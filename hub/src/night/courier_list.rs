//! What a stick should carry for which school: what that school says it lacks and is here.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::civil::Date;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::lesson::{self, HeldLesson};
use super::map::{self, ToldDay};
use super::overview::{default_date, parse_date};
use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::catalog::readiness::ReadinessState;
use crate::courier::receipts;
use crate::problem::{ApiError, Problem};

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
    /// What it lacks, as it said at `written_at`; of the most lessons a byte first.
    pub lessons: Vec<CourierLesson>,
    /// Of the floor of all of them.
    pub bytes: u64,
    /// By that school's clock; unix milliseconds.
    pub written_at: i64,
    /// The day that it is about.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// Remote lessons of that day.
    pub total: u32,
    /// Those of them that the school said it can teach, as good as wished or not.
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
        let lessons = lacking(db, &hub, &day)?;
        if !lessons.is_empty() {
            lists.push(CourierFor {
                school: school.clone(),
                hub_id: hub.to_string(),
                bytes: lessons.iter().map(|lesson| lesson.floor_bytes).sum(),
                lessons,
                written_at: day.written_at_ms,
                date: day.date,
                total: day.counts.iter().fold(0, |sum, count| sum.saturating_add(*count)),
                teachable: day.counts[0].saturating_add(day.counts[1]),
            });
        }
    }
    lists.sort_by_key(|list| std::cmp::Reverse(list.lessons.len()));
    Ok(lists)
}

/// Lists what a hub told that it lacks and has not said since, by a receipt on a stick, to hold.
fn lacking(db: &Connection, hub: &HubId, day: &ToldDay) -> rusqlite::Result<Vec<CourierLesson>> {
    let mut slots: BTreeMap<DocId, u32> = BTreeMap::new();
    for lesson in day.lessons.iter().filter(|lesson| lesson.state == ReadinessState::NotReady) {
        if let Some(id) = lesson.lesson_id.as_ref().and_then(|id| id.parse().ok()) {
            *slots.entry(id).or_default() += 1;
        }
    }
    let mut lessons = Vec::new();
    for (id, slots) in slots {
        let Some(held) = lesson::load(db, &id)?.filter(|held| held.best_held().is_some()) else {
            continue;
        };
        let floor = held.floor().into_iter().flat_map(|floor| held.needed(floor));
        let floor: Vec<BlobId> = floor.map(|track| track.blob).collect();
        if receipts::says_to_hold(db, hub, day.written_at_ms, &id, &floor)? {
            continue;
        }
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
