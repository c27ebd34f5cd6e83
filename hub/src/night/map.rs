//! The alliance's map: what each hub says of its own lessons, and how old that is.
//!
//! A hub is believed about itself alone: its document is the one whose id comes from its key, so
//! that nobody else can write to it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::ToSpan as _;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use yingxue_sync_core::event::{ContactView, DocEdit, DocValue, MemberView};
use yingxue_sync_core::id::{DocId, HubId};
use yingxue_sync_core::plan::history::HOURS;

use super::overview::{self, Moment, NightQuery, default_date, parse_date};
use super::{links, reports};
use crate::accounts::Anyone;
use crate::app::{App, now_ms};
use crate::catalog::projection::{self, Fields, Projected};
use crate::catalog::readiness::{ReadinessState, TierName};
use crate::contacts::HubReach;
use crate::driver::history;
use crate::problem::{ApiError, Problem};
use crate::timetable::{self, day};

/// Days that one document holds at most; yesterday's is dropped when tomorrow's comes.
pub const DAYS_MAX: usize = 3;
/// Lessons of a day that are believed: three times the most that a school has.
const LESSONS_MAX: usize = 200;
/// Days that are believed and shown: a hub that was silent for a month is shown with its last day,
/// and none plans more than a week ahead.
const DAYS_BACK: i32 = 31;
const DAYS_AHEAD: i32 = 7;
/// Days of one hub that are kept: of this month's document and of the last one's.
const ROWS_MAX: usize = 2 * DAYS_MAX;
/// Longest text of a day's lessons; 200 of them take 16 KiB.
const LESSONS_BYTES_MAX: usize = 24 << 10;
/// Length of a month's name, `YYYY-MM`.
const MONTH_BYTES: usize = 7;

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
    hasher.update(b"yingxue readiness").update(month.as_bytes());
    let mut nonce = [0; 4];
    nonce.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    DocId::owned(hub, nonce)
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
        // Shorter ones would be of many months.
        Some(DocValue::Str(month))
            if month.len() == MONTH_BYTES && document_of(&HubId(hub), month) == *doc =>
        {
            month
        }
        _ => return Ok(Projected::Nothing),
    };
    let (first, last) = believed(db)?;
    forget(db, &hub, first)?;
    db.prepare_cached("delete from hub_readiness where hub = ?1 and substr(date, 1, 7) = ?2")?
        .execute(params![hub, month])?;
    let Some(DocValue::Map(days)) = fields.get("days") else { return Ok(Projected::Timetable) };
    let days = days.iter().filter_map(|(date, day)| told(date, day));
    let days = days.filter(|day| day.date.to_string().starts_with(month.as_str()));
    let days = days.filter(|day| (first..=last).contains(&day.date));
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
    forget(db, &hub, first)?;
    Ok(Projected::Timetable)
}

/// Gives the first and the last day that are believed.
fn believed(db: &Connection) -> rusqlite::Result<(Date, Date)> {
    // Which day it is where a hub stands decides about its morning, and not about a month.
    let today = day::date_at(projection::arrival_ms(db)?, 0);
    Ok((today.saturating_sub(DAYS_BACK.days()), today.saturating_add(DAYS_AHEAD.days())))
}

/// Drops what is too old of all hubs, and what is too much of one.
fn forget(db: &Connection, hub: &[u8; 32], first: Date) -> rusqlite::Result<()> {
    const OLD: &str = "delete from hub_readiness where date < ?1";
    const MORE: &str = "delete from hub_readiness where hub = ?1 and date not in \
         (select date from hub_readiness where hub = ?1 order by date desc limit ?2)";
    db.prepare_cached(OLD)?.execute([first.to_string()])?;
    db.prepare_cached(MORE)?.execute(params![hub, ROWS_MAX]).map(drop)
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
    let rows = db
        .prepare_cached(TOLD)?
        .query_map([date.map(|d| d.to_string())], |row| {
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

/// The schools of the alliance.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AllianceMap {
    /// In the order of the membership.
    pub items: Vec<MapSchool>,
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
    /// True for this school: then the numbers are of now, whatever it has told the others.
    pub is_own: bool,
    /// The day that the numbers are about; none if it has told nothing.
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<Date>,
    /// Lessons of the day at the preferred tier.
    pub ready: u32,
    /// At another tier.
    pub ready_at: u32,
    /// At none.
    pub not_ready: u32,
    /// When it told this, by that school's clock; unix milliseconds.
    pub written_at: Option<i64>,
    /// When it was in contact last; unix milliseconds.
    pub last_seen_at: Option<i64>,
    /// The way to it; none to this school itself.
    pub link: Option<MapLink>,
    /// Each lesson of the day.
    pub lessons: Vec<MapLesson>,
}

/// A lesson of a school's day.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MapLesson {
    /// As that school tells it.
    #[serde(flatten)]
    pub told: ToldLesson,
    /// Its title, if it is known here.
    pub title: Option<String>,
}

/// The way to a school.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MapLink {
    /// How it is reached.
    pub state: HubReach,
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
#[utoipa::path(get, path = "/night/map", tag = "night", params(NightQuery), responses(
    (status = 200, body = AllianceMap), (status = 401, body = Problem),
    (status = 422, body = Problem),
))]
pub async fn show(
    State(app): State<App>,
    _: Anyone,
    query: Result<Query<NightQuery>, QueryRejection>,
) -> Result<Json<AllianceMap>, ApiError> {
    let Query(query) = query?;
    let date = query.date.as_deref().map(parse_date).transpose()?;
    let members = app.sync.membership().map_or_else(Vec::new, |m| m.hubs.clone());
    let view = app.sync.contacts().await;
    let (own, is_online) = (app.sync.hub_id(), app.sync.is_online());
    let offset = app.sync.news().policy().utc_offset_min;
    let date = match date {
        Some(date) => date,
        None => app.db.read(move |db| default_date(db, now_ms(), offset)).await?,
    };
    let live = live(&app, date).await?;
    let items = app.db.read(move |db| -> rusqlite::Result<Vec<MapSchool>> {
        let seen: BTreeMap<HubId, i64> = history::last_seen(db)?.into_iter().collect();
        let told = told_days(db, None)?;
        let school = |member: &MemberView| {
            let contact = view.contacts.iter().find(|contact| contact.hub == member.hub);
            let usual = usual(db, &member.hub)?;
            let link = (member.hub != own).then(|| link(contact, is_online, usual));
            let day =
                if member.hub == own { Some(&live) } else { of_day(&told, &member.hub, date) };
            let seen_at = seen.get(&member.hub).copied();
            let shown = school(db, member, day, seen_at, link)?;
            Ok(MapSchool { is_own: member.hub == own, ..shown })
        };
        members.iter().map(school).collect()
    });
    Ok(Json(AllianceMap { items: items.await? }))
}

/// Reads how this hub's own lessons of a day stand now.
async fn live(app: &App, date: Date) -> Result<ToldDay, ApiError> {
    let (app, at) = (app.clone(), Moment::now(app));
    let look = move || -> Result<ToldDay, ApiError> {
        Ok(reports::told(date, &overview::light(&app, date, &at.tonight)?, at.now_ms))
    };
    tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?
}

/// Gives what a hub tells of a day, or of the newest day that it tells of.
fn of_day<'t>(told: &'t [(HubId, ToldDay)], hub: &HubId, date: Date) -> Option<&'t ToldDay> {
    let of_hub = told.iter().filter(|(of, _)| of == hub).map(|(_, day)| day);
    of_hub.max_by_key(|day| (day.date == date, day.date))
}

fn school(
    db: &Connection,
    member: &MemberView,
    day: Option<&ToldDay>,
    last_seen_at: Option<i64>,
    link: Option<MapLink>,
) -> rusqlite::Result<MapSchool> {
    const TITLE: &str = "select title from lessons where lesson = ?1 and is_deleted = 0";
    let mut lessons = Vec::new();
    for told in day.iter().flat_map(|day| &day.lessons) {
        let id = told.lesson_id.as_ref().and_then(|id| id.parse::<DocId>().ok());
        let title = match id {
            Some(id) => {
                db.prepare_cached(TITLE)?.query_row([id.as_bytes()], |row| row.get(0)).optional()?
            }
            None => None,
        };
        lessons.push(MapLesson { told: told.clone(), title });
    }
    let [ready, ready_at, not_ready] = day.map_or([0; 3], |day| day.counts);
    Ok(MapSchool {
        hub_id: member.hub.to_string(),
        school: member.school.clone(),
        is_lead: member.is_lead,
        is_own: false,
        date: day.map(|day| day.date),
        ready,
        ready_at,
        not_ready,
        written_at: day.map(|day| day.written_at_ms),
        last_seen_at,
        link,
        lessons,
    })
}

fn link(contact: Option<&ContactView>, is_online: bool, usual: Option<u64>) -> MapLink {
    MapLink {
        state: match (contact, is_online) {
            (Some(_), _) => HubReach::Connected,
            (None, true) => HubReach::Trying,
            (None, false) => HubReach::Offline,
        },
        receive_bytes_per_s: contact.map_or(0, |contact| contact.receive_bytes_per_s),
        send_bytes_per_s: contact.map_or(0, |contact| contact.send_bytes_per_s),
        usual_bytes_per_s: usual,
        rtt_ms: contact.and_then(|contact| contact.rtt_ms),
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

#[cfg(test)]
mod tests {
    use yingxue_sync_core::doc::{self, Doc};

    use super::*;
    use crate::db::MIGRATIONS;

    const HUB: [u8; 32] = [2; 32];

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| db.execute_batch(migration.sql).unwrap());
        db
    }

    /// Projects a hub's document of a month that tells of days.
    fn tell(db: &Connection, month: &str, dates: &[Date]) -> Projected {
        let id = document_of(&HubId(HUB), month);
        let sql = "insert or ignore into envelopes (collection, author, seq, hash, doc, bytes) \
             values (?1, ?2, (select count(*) + 1 from envelopes), x'', ?3, x'')";
        db.execute(sql, params![timetable::COLLECTION, HUB, id.as_bytes()]).unwrap();
        let told = |date: &Date| ToldDay {
            date: *date,
            counts: [1, 0, 0],
            lessons: Vec::new(),
            written_at_ms: 1,
        };
        let days: Vec<ToldDay> = dates.iter().map(told).collect();
        let mut document = Doc::load(None).unwrap();
        document.edit([1; 16], 0, &edits(month, &days, &[])).unwrap();
        let DocValue::Map(fields) = doc::read(&document.save()).unwrap() else {
            panic!("a map");
        };
        project(db, &id, &fields).unwrap()
    }

    fn kept(db: &Connection) -> Vec<Date> {
        let mut days = told_days(db, None).unwrap();
        days.sort_by_key(|(_, day)| day.date);
        days.into_iter().map(|(_, day)| day.date).collect()
    }

    fn at(db: &Connection, date: Date) {
        let at_ms = day::instant(date, 0, 0);
        db.execute("update night_state set seen_at_ms = ?1", [at_ms]).unwrap();
    }

    #[test]
    fn days_near_today_are_kept_and_what_has_become_old_goes() {
        let db = database();
        // Later than any clock on which this runs.
        let today = jiff::civil::date(2090, 5, 20);
        at(&db, today);
        let day = |n: i32| today.saturating_add(n.days());
        tell(&db, "2090-05", &[day(0), day(1), day(8)]);
        tell(&db, "2090-04", &[day(-31), day(-32)]);
        tell(&db, "2091-01", &[jiff::civil::date(2091, 1, 1)]);
        assert_eq!(kept(&db), [day(-31), day(0), day(1)]);
        at(&db, day(1));
        tell(&db, "2090-05", &[day(1), day(2)]);
        assert_eq!(kept(&db), [day(1), day(2)], "yesterday's first is older than a month");
    }

    #[test]
    fn a_hub_has_few_rows_whatever_months_it_writes() {
        let db = database();
        let today = jiff::civil::date(2090, 3, 2);
        at(&db, today);
        let day = |n: i32| today.saturating_add(n.days());
        tell(&db, "2090-03", &[day(0), day(1), day(2)]);
        tell(&db, "2090-02", &[day(-3), day(-4), day(-5)]);
        tell(&db, "2090-01", &[day(-30), day(-31)]);
        assert_eq!(kept(&db), [day(-5), day(-4), day(-3), day(0), day(1), day(2)]);
        for month in ["", "2", "2090", "2090-0"] {
            assert_eq!(tell(&db, month, &[day(3)]), Projected::Nothing, "{month:?}");
        }
    }
}
