//! Room on the disk: it is kept for what will be taught. What nobody has asked for is fetched only
//! into room that is left over, and when that is used up, lessons that were taught longest ago
//! are let go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use rusqlite::Connection;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::{DocId, HubId};

use crate::accounts::Admin;
use crate::app::{App, now_ms};
use crate::db::Db;
use crate::driver::SyncHandle;
use crate::night::policy::Policy;
use crate::problem::{ApiError, Problem};
use crate::store::evicted::Evict;

pub mod retention;
pub mod shelf;

use retention::{Evictable, Shelved, Use};
use shelf::Around;

/// Lessons that were let go and are shown: a screen or two.
const EVICTED_SHOWN: u32 = 50;
/// Pause after something was let go: file systems take some seconds to say that it is free.
const FREED_PAUSE: Duration = Duration::from_secs(15);
/// Pause after nothing could be let go: it is looked through a term's timetable for it.
const NOTHING_PAUSE: Duration = Duration::from_secs(600);

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The room on this hub's disk.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RoomView {
    /// Whether somebody has to do something.
    pub state: RoomState,
    /// True if lessons that nobody has asked for wait until there is more.
    pub is_rest_waiting: bool,
    /// That lessons may still take.
    pub free_bytes: u64,
    /// Of that, kept for what will be taught.
    pub reserve_bytes: u64,
    /// That lessons take now.
    pub lessons_bytes: u64,
    /// That would become free if all went that may go.
    pub evictable_bytes: u64,
    /// What lessons are on the disk for; uses that no lesson has are left out.
    pub uses: Vec<RoomUse>,
    /// What was let go lately, the newest first.
    pub evicted: Vec<EvictedLesson>,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomState {
    /// For everything that somebody needs or wants.
    Enough,
    /// It is made just now, of what may be let go.
    Making,
    /// There is none for all that is wanted, and nothing may be let go.
    Full,
}

/// What a use of lessons takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RoomUse {
    /// Which.
    #[serde(rename = "use")]
    pub used_for: Use,
    /// Lessons that are on the disk for it.
    pub lessons: u64,
    /// That they take.
    pub bytes: u64,
}

/// A lesson of which something was let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EvictedLesson {
    /// 32 hex characters.
    pub lesson_id: String,
    /// Its title; empty if it is not known any more.
    pub title: String,
    /// True if it can be had again: its school has not taken it back.
    pub can_come_again: bool,
    /// That went.
    pub bytes: u64,
    /// Unix milliseconds.
    pub evicted_at: i64,
}

/// Shows what takes the room on the disk.
#[utoipa::path(get, path = "/room", tag = "room", responses(
    (status = 200, body = RoomView), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn show(State(app): State<App>, _: Admin) -> Result<Json<RoomView>, ApiError> {
    let policy = app.sync.news().policy();
    let around = around(policy, app.sync.hub_id(), crate::night::other_members(&app));
    let (until_ms, space) = (around.until_ms(), policy.tonight().space.clone());
    let free_bytes = app.sync.files().available_bytes().unwrap_or(0);
    let (lessons, evicted) = app
        .db
        .read(move |db| -> rusqlite::Result<_> { Ok((shelf::load(db, &around)?, evicted(db)?)) })
        .await?;
    let evictable: u64 = retention::evictable(&lessons, until_ms).iter().map(|it| it.bytes).sum();
    Ok(Json(RoomView {
        state: match (space.bytes_to_free, evictable) {
            (0, _) => RoomState::Enough,
            (_, 1..) => RoomState::Making,
            _ => RoomState::Full,
        },
        is_rest_waiting: !space.without_room.is_empty(),
        free_bytes,
        reserve_bytes: space.disk.reserve_bytes.max(policy.storage.reserve_bytes),
        lessons_bytes: lessons.iter().flat_map(|it| &it.tracks).map(|track| track.bytes).sum(),
        evictable_bytes: evictable,
        uses: uses(&lessons, until_ms),
        evicted,
    }))
}

fn uses(lessons: &[Shelved], until_ms: i64) -> Vec<RoomUse> {
    let mut uses: BTreeMap<Use, RoomUse> = BTreeMap::new();
    for lesson in lessons {
        let used_for = lesson.used_for(until_ms);
        let sum = uses.entry(used_for).or_insert(RoomUse { used_for, lessons: 0, bytes: 0 });
        sum.lessons += 1;
        sum.bytes += lesson.tracks.iter().map(|track| track.bytes).sum::<u64>();
    }
    uses.into_values().collect()
}

fn evicted(db: &Connection) -> rusqlite::Result<Vec<EvictedLesson>> {
    const EVICTED: &str = "select e.lesson, coalesce(l.title, ''), \
         coalesce(l.is_deleted, 1) = 0, sum(e.bytes), max(e.evicted_at_ms) \
         from blobs_evicted e left join lessons l on l.lesson = e.lesson \
         group by e.lesson order by max(e.evicted_at_ms) desc, e.lesson limit ?1";
    db.prepare_cached(EVICTED)?
        .query_map([EVICTED_SHOWN], |row| {
            Ok(EvictedLesson {
                lesson_id: DocId(row.get(0)?).to_string(),
                title: row.get(1)?,
                can_come_again: row.get(2)?,
                bytes: row.get(3)?,
                evicted_at: row.get(4)?,
            })
        })?
        .collect()
}

/// Gives what decides about what is on the disk now.
pub fn around(policy: &Policy, hub: HubId, members: Vec<HubId>) -> Around {
    Around {
        now_ms: now_ms(),
        utc_offset_min: policy.utc_offset_min,
        hub,
        members,
        played: policy.played(),
        days_ahead: policy.config.days_ahead,
    }
}

/// Lets go of what may go, until `bytes` are free; says whether anything went.
///
/// # Errors
/// If the database fails.
pub async fn free(
    db: &Db,
    sync: &SyncHandle,
    around: Around,
    bytes: u64,
) -> Result<bool, ApiError> {
    let (until_ms, at_ms) = (around.until_ms(), around.now_ms);
    let lessons = db.read(move |db| shelf::load(db, &around)).await?;
    let chosen = retention::choose(&lessons, until_ms, bytes);
    if chosen.is_empty() {
        return Ok(false);
    }
    let evict = |it: &Evictable| Evict { blob: it.blob, lesson: it.lesson, at_ms };
    let evicted = sync.evict(chosen.iter().map(evict).collect()).await;
    let evicted = evicted.map_err(ApiError::internal)?;
    let freed_bytes: u64 =
        chosen.iter().filter(|it| evicted.contains(&it.blob)).map(|it| it.bytes).sum();
    tracing::info!(blobs = evicted.len(), freed_bytes, "lessons were let go to make room");
    Ok(!evicted.is_empty())
}

/// When it is looked again what may go.
#[derive(Debug, Default)]
pub struct Freeing {
    next: Option<Instant>,
    has_freed: bool,
}

impl Freeing {
    /// Says whether room is to be made now.
    pub fn is_due(&self, bytes_to_free: u64) -> bool {
        bytes_to_free > 0 && self.next.is_none_or(|next| next <= Instant::now())
    }

    /// Says whether room is lacking, and nothing could be let go when it was looked for last.
    pub fn is_in_vain(&self, bytes_to_free: u64) -> bool {
        bytes_to_free > 0 && self.next.is_some() && !self.has_freed
    }

    /// Notes whether something went.
    pub fn note(&mut self, has_freed: Result<bool, ApiError>) {
        self.has_freed = matches!(has_freed, Ok(true));
        let pause = match has_freed {
            Ok(true) => FREED_PAUSE,
            Ok(false) => NOTHING_PAUSE,
            Err(error) => {
                tracing::error!(%error, "no room can be made on the disk");
                NOTHING_PAUSE
            }
        };
        self.next = Some(Instant::now() + pause);
    }
}

/// Notes that lessons are being played.
///
/// # Errors
/// If the database fails.
pub fn note_played(
    tx: &rusqlite::Transaction<'_>,
    played: &[crate::playing::Played],
    now_ms: i64,
) -> rusqlite::Result<()> {
    const NOTE: &str = "insert into lessons_played (lesson, played_at_ms) \
         select ?1, ?2 where exists (select 1 from lessons where lesson = ?1) \
         on conflict (lesson) do update set played_at_ms = excluded.played_at_ms";
    for lesson in shelf::being_played(tx, played)? {
        tx.prepare_cached(NOTE)?.execute(rusqlite::params![lesson.as_bytes(), now_ms])?;
    }
    Ok(())
}
