//! The alliance's map: what each hub says of its own lessons, and how old that is.
//!
//! A hub is believed about itself alone: its document is the one whose id comes from its key,
//! that it wrote first, and that nobody else has written to.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::{DocId, HubId};
use yingxue_sync_core::plan::history::HOURS;

use super::links;
use crate::accounts::Anyone;
use crate::app::App;
use crate::catalog::projection::{Fields, Projected};
use crate::catalog::readiness::{ReadinessState, TierName};
use crate::driver::history;
use crate::problem::{ApiError, Problem};
use crate::timetable;

/// Days that one document holds at most; yesterday's is dropped when tomorrow's comes.
pub const DAYS_MAX: usize = 3;
/// Lessons of a day that are believed: three times the most that a school has.
const LESSONS_MAX: usize = 200;
/// Longest text of a day's lessons; 200 of them take 16 KiB.
const LESSONS_BYTES_MAX: usize = 24 << 10;

/// What a hub says of one lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToldLesson {
    /// 32 hex characters; none if nobody has said which lesson.
    pub lesson_id: Option<String>,
    /// Its light.
    pub state: ReadinessState,
    /// The best tier that is there.
    pub tier: Option<TierName>,
}

/// What a hub says of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldDay {
    /// Which day.
    pub date: Date,
    /// Of the remote lessons, by light: ready, ready at another tier, not ready.
    pub counts: [u32; 3],
    /// Each lesson.
    pub lessons: Vec<ToldLesson>,
    /// By that hub's clock, unix milliseconds.
    pub written_at_ms: i64,
}

/// Gives the document in which a hub tells of a month; a new one each month keeps it small.
pub fn document_of(hub: &HubId, month: &str) -> DocId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"yingxue readiness").update(hub.as_bytes()).update(month.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    DocId(id)
}

/// Gives the edits that tell of days and forget the others.
pub fn edits(month: &str, days: &[ToldDay], forgotten: &[Date]) -> Vec<DocEdit> {
    let put = |path: Vec<String>, value| DocEdit::Put { path, value };
    let mut edits = vec![
        put(vec!["kind".to_owned()], DocValue::Str("readiness".to_owned())),
        put(vec!["month".to_owned()], DocValue::Str(month.to_owned())),
    ];
    for date in forgotten {
        edits.push(DocEdit::Delete { path: vec!["days".to_owned(), date.to_string()] });
    }
    for day in days {
        let lessons = serde_json::to_string(&day.lessons).expect("lessons are plain JSON");
        let [ready, ready_at, not_ready] = day.counts.map(|n| DocValue::Int(i64::from(n)));
        let fields = BTreeMap::from([
            ("ready".to_owned(), ready),
            ("ready_at".to_owned(), ready_at),
            ("not_ready".to_owned(), not_ready),
            ("written_at".to_owned(), DocValue::Int(day.written_at_ms)),
            ("lessons".to_owned(), DocValue::Str(lessons)),
        ]);
        edits.push(put(vec!["days".to_owned(), day.date.to_string()], DocValue::Map(fields)));
    }
    edits
}

/// Replaces the rows of one hub's document. Call it in the transaction that saves it.
///
/// # Errors
/// If the database fails.
pub fn project(db: &Connection, doc: &DocId, fields: &Fields) -> rusqlite::Result<Projected> {
    const AUTHORS: &str =
        "select distinct author from envelopes where collection = ?1 and doc = ?2 limit 2";
    const KEEP: &str = "insert into hub_readiness (hub, date, ready, ready_at, not_ready, lessons, \
         written_at_ms) values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (hub, date) do update set \
         ready = ?3, ready_at = ?4, not_ready = ?5, lessons = ?6, written_at_ms = ?7";
    let authors: Vec<[u8; 32]> = db
        .prepare_cached(AUTHORS)?
        .query_map(params![timetable::COLLECTION, doc.as_bytes()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let [hub] = authors[..] else { return Ok(Projected::Nothing) };
    let month = match fields.get("month") {
        Some(DocValue::Str(month)) if document_of(&HubId(hub), month) == *doc => month,
        _ => return Ok(Projected::Nothing),
    };
    db.prepare_cached("delete from hub_readiness where hub = ?1 and substr(date, 1, 7) = ?2")?
        .execute(params![hub, month])?;
    let Some(DocValue::Map(days)) = fields.get("days") else { return Ok(Projected::Timetable) };
    let days = days.iter().filter_map(|(date, day)| told(date, day));
    let days = days.filter(|day| day.date.to_string().starts_with(month.as_str()));
    for day in days.take(DAYS_MAX) {
        let lessons = serde_json::to_string(&day.lessons).expect("lessons are plain JSON");
        let [ready, ready_at, not_ready] = day.counts;
        let date = day.date.to_string();
        db.prepare_cached(KEEP)?.execute(params![
            hub,
            date,
            ready,
            ready_at,
            not_ready,
            lessons,
            day.written_at_ms
        ])?;
    }
    Ok(Projected::Timetable)
}

fn told(date: &str, day: &DocValue) -> Option<ToldDay> {
    let DocValue::Map(fields) = day else { return None };
    let count = |key| match fields.get(key) {
        Some(DocValue::Int(n)) => u32::try_from(*n).ok().filter(|n| *n as usize <= LESSONS_MAX),
        _ => None,
    };
    let lessons = match fields.get("lessons") {
        Some(DocValue::Str(text)) if text.len() <= LESSONS_BYTES_MAX => text,
        _ => return None,
    };
    let mut lessons: Vec<ToldLesson> = serde_json::from_str(lessons).ok()?;
    lessons.truncate(LESSONS_MAX);
    let written_at_ms = match fields.get("written_at") {
        Some(DocValue::Int(at)) => *at,
        _ => 0,
    };
    let counts = [count("ready")?, count("ready_at")?, count("not_ready")?];
    Some(ToldDay { date: date.parse().ok()?, counts, lessons, written_at_ms })
}

/// Gives which hubs say that they have a lesson, and at which tier.
///
/// # Errors
/// If the database fails.
pub fn holders(db: &Connection) -> rusqlite::Result<BTreeMap<DocId, Vec<(HubId, TierName)>>> {
    let mut holders: BTreeMap<DocId, Vec<(HubId, TierName)>> = BTreeMap::new();
    for (hub, day) in told_days(db, None)? {
        for lesson in day.lessons {
            let id = lesson.lesson_id.and_then(|id| id.parse().ok());
            if let (Some(id), Some(tier)) = (id, lesson.tier) {
                holders.entry(id).or_default().push((hub, tier));
            }
        }
    }
    Ok(holders)
}

/// Reads what hubs say of a day, or of all days that they tell of.
///
/// # Errors
/// If the database fails.
pub fn told_days(db: &Connection, date: Option<Date>) -> rusqlite::Result<Vec<(HubId, ToldDay)>> {
    const TOLD: &str = "select hub, date, ready, ready_at, not_ready, lessons, written_at_ms \
         from hub_readiness where ?1 is null or date = ?1 order by hub, date desc";
    let rows = db.prepare_cached(TOLD)?.query_map([date.map(|d| d.to_string())], |row| {
        let lessons = serde_json::from_str(row.get_ref(5)?.as_str()?).unwrap_or_default();
        let date = row.get_ref(1)?.as_str()?.parse().ok();
        let counts = [row.get(2)?, row.get(3)?, row.get(4)?];
        let hub = HubId(row.get(0)?);
        let written_at_ms = row.get(6)?;
        Ok(date.map(|date| (hub, ToldDay { date, counts, lessons, written_at_ms })))
    })?
    .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// One school on the map.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MapSchool {
    /// 64 hex characters.
    pub hub_id: String,
    /// Its name.
    pub school: String,
    /// True for the lead school.
    pub is_lead: bool,
    /// The days that it tells of, newest first; none if it has told nothing.
    pub days: Vec<MapDay>,
    /// When it was in contact last; unix milliseconds.
    pub last_seen_at: Option<i64>,
    /// The way to it.
    pub link: MapLink,
}

/// What a school tells of a day.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MapDay {
    /// Which day.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// At the preferred tier.
    pub ready: u32,
    /// At another tier.
    pub ready_at: u32,
    /// At none.
    pub not_ready: u32,
    /// By that school's clock; unix milliseconds.
    pub written_at: i64,
    /// Each lesson.
    pub lessons: Vec<ToldLesson>,
}

/// The way to a school.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MapLink {
    /// True if there is a contact.
    pub is_up: bool,
    /// Bytes a second that arrive from it, over the last seconds.
    pub receive_bytes_per_s: u64,
    /// Bytes a second that leave for it, over the last seconds.
    pub send_bytes_per_s: u64,
    /// What an hour of the week carries from it, on average; none if nothing was seen.
    pub usual_bytes_per_s: Option<u64>,
    /// Smallest round trip seen.
    pub rtt_ms: Option<u64>,
}

/// Shows what each school of the alliance tells of its lessons.
#[utoipa::path(get, path = "/night/map", tag = "night", responses(
    (status = 200, body = Vec<MapSchool>), (status = 401, body = Problem),
))]
pub async fn show(
    State(app): State<App>,
    _: Anyone,
) -> Result<Json<Vec<MapSchool>>, ApiError> {
    let members = app.sync.membership().map_or_else(Vec::new, |m| m.hubs.clone());
    let view = app.sync.contacts().await;
    let hubs: Vec<HubId> = members.iter().map(|member| member.hub).collect();
    let (told, seen, usual) = app
        .db
        .read(move |db| -> rusqlite::Result<_> {
            let seen: BTreeMap<HubId, i64> = history::last_seen(db)?.into_iter().collect();
            let usual = hubs.iter().map(|hub| usual(db, hub)).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((told_days(db, None)?, seen, usual))
        })
        .await?;
    let mut by_hub: BTreeMap<HubId, Vec<MapDay>> = BTreeMap::new();
    for (hub, day) in told {
        by_hub.entry(hub).or_default().push(day.into());
    }
    let schools = members.iter().zip(usual).map(|(member, usual_bytes_per_s)| {
        let contact = view.contacts.iter().find(|contact| contact.hub == member.hub);
        MapSchool {
            hub_id: member.hub.to_string(),
            school: member.school.clone(),
            is_lead: member.is_lead,
            days: by_hub.remove(&member.hub).unwrap_or_default(),
            last_seen_at: seen.get(&member.hub).copied(),
            link: MapLink {
                is_up: contact.is_some(),
                receive_bytes_per_s: contact.map_or(0, |c| c.receive_bytes_per_s),
                send_bytes_per_s: contact.map_or(0, |c| c.send_bytes_per_s),
                usual_bytes_per_s,
                rtt_ms: contact.and_then(|c| c.rtt_ms),
            },
        }
    });
    Ok(Json(schools.collect()))
}

impl From<ToldDay> for MapDay {
    fn from(day: ToldDay) -> Self {
        let [ready, ready_at, not_ready] = day.counts;
        let ToldDay { date, lessons, written_at_ms: written_at, .. } = day;
        Self { date, ready, ready_at, not_ready, written_at, lessons }
    }
}

fn usual(db: &Connection, hub: &HubId) -> rusqlite::Result<Option<u64>> {
    let history = links::load(db, hub)?;
    if !history.is_known() {
        return Ok(None);
    }
    let sum: f64 = (0..HOURS as u16).map(|hour| history.expected(hour).bytes_per_s).sum();
    Ok(Some((sum / HOURS as f64) as u64))
}
