//! Reads what is held again and compares it with its hashes: everything each week, what is due
//! tomorrow each evening. What is damaged is taken back before anything shows it as ready, and
//! fetched again from whoever has it.
//!
//! It reads in small batches with pauses, past the system's memory of the file, gives way to
//! classes, and goes on after a restart where it was.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use yingxue_sync_core::id::{BlobId, DocId};

use super::lesson;
use crate::accounts::Admin;
use crate::app::{App, now_ms};
use crate::problem::{ApiError, Problem};
use crate::store::lost;
use crate::timetable::day;

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
/// Bytes read between two pauses: a tenth of a second of the slowest disk that is sold.
const BATCH_BYTES: u64 = 8 << 20;
/// Pause after a batch, so that a disk of 100 MB/s is left to others two thirds of the time.
const BATCH_PAUSE: Duration = Duration::from_millis(160);
/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Lessons that begin so soon are read again before…
const SOON_MS: i64 = 36 * HOUR_MS;
/// …if what is known of them is older than this: an evening is enough, each evening is needed.
const SOON_AGE_MS: i64 = 12 * HOUR_MS;
/// Lessons of the day that comes are read once more before it begins: rot of the night would be
/// shown as ready on the morning's slip.
const TODAY_MS: i64 = 12 * HOUR_MS;
/// A reading of the evening is that old before school begins, one of the small hours is not.
const TODAY_AGE_MS: i64 = 8 * HOUR_MS;
/// Damages that are shown.
const DAMAGES_SHOWN: u32 = 100;
/// Niceness of the thread that reads: below everything that serves a class.
const NICENESS: i32 = 15;

/// The way to the thread that reads.
#[derive(Default)]
pub struct Scrub {
    is_running: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

/// How far reading again is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ScrubState {
    /// True if something is being read.
    pub running: bool,
    /// Of what is held, compared with its hashes since this round began.
    pub checked_bytes: u64,
    /// That is held.
    pub total_bytes: u64,
    /// When everything had been read last; unix milliseconds.
    pub last_finished_at: Option<i64>,
    /// What was found, newest first.
    pub damaged: Vec<Damage>,
}

/// A damage that was found.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Damage {
    /// A lesson that needs the blob.
    pub lesson_id: Option<String>,
    /// Its title.
    pub title: String,
    /// Pieces that were wrong or gone.
    pub pieces: u32,
    /// Unix milliseconds.
    pub found_at: i64,
    /// When all of it was here again; unix milliseconds.
    pub mended_at: Option<i64>,
}

/// Shows how far reading again is.
#[utoipa::path(get, path = "/night/scrub", tag = "night", responses(
    (status = 200, body = ScrubState), (status = 401, body = Problem),
    (status = 403, body = Problem),
))]
pub async fn show(State(app): State<App>, _: Admin) -> Result<Json<ScrubState>, ApiError> {
    let running = app.scrub.is_running.load(Ordering::Relaxed);
    let week_ms = i64::from(app.config.night.scrub_days) * DAY_MS;
    let now = now_ms();
    Ok(Json(app.db.read(move |db| state(db, running, now - week_ms, now)).await?))
}

/// Reads everything again, from now on.
#[utoipa::path(post, path = "/night/scrub", tag = "night", responses(
    (status = 202), (status = 401, body = Problem), (status = 403, body = Problem),
))]
pub async fn begin(State(app): State<App>, _: Admin) -> Result<StatusCode, ApiError> {
    const ASK: &str = "update night_state set scrub_asked_at_ms = ?1";
    let now = now_ms();
    app.db.write(move |tx| tx.prepare_cached(ASK)?.execute([now]).map(drop)).await?;
    if let Some(thread) = &*app.scrub.thread.lock().expect("never held over a panic") {
        thread.unpark();
    }
    Ok(StatusCode::ACCEPTED)
}

fn state(db: &Connection, running: bool, since_ms: i64, now: i64) -> rusqlite::Result<ScrubState> {
    const BYTES: &str = "select coalesce(sum(iif(c.checked_at_ms >= max(?1, \
         iif(s.scrub_asked_at_ms <= ?2, s.scrub_asked_at_ms, 0)), b.verified_bytes, 0)), 0), \
         coalesce(sum(b.verified_bytes), 0) \
         from night_state s, blobs b left join blob_checks c on c.blob = b.blob";
    const DAMAGED: &str = "select (select lesson from lesson_tracks t where t.blob = d.blob limit 1), \
         coalesce((select title from lessons where lesson = (select lesson from lesson_tracks t \
         where t.blob = d.blob limit 1)), ''), pieces, found_at_ms, mended_at_ms \
         from damage d order by id desc limit ?1";
    const FINISHED: &str = "select scrub_finished_at_ms from night_state";
    let (checked_bytes, total_bytes) = db
        .prepare_cached(BYTES)?
        .query_row([since_ms, now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let finished: i64 = db.prepare_cached(FINISHED)?.query_row([], |row| row.get(0))?;
    let damaged = db
        .prepare_cached(DAMAGED)?
        .query_map([DAMAGES_SHOWN], |row| {
            Ok(Damage {
                lesson_id: row.get::<_, Option<[u8; 16]>>(0)?.map(|id| DocId(id).to_string()),
                title: row.get(1)?,
                pieces: row.get(2)?,
                found_at: row.get(3)?,
                mended_at: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let last_finished_at = (finished > 0).then_some(finished);
    Ok(ScrubState { running, checked_bytes, total_bytes, last_finished_at, damaged })
}

/// Starts the thread that reads what is due, for as long as the hub runs.
///
/// # Errors
/// If the thread cannot be made.
pub fn start(app: App) -> std::io::Result<()> {
    let work = move || {
        // It may fail where a machine forbids it; then the pauses have to do.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        *app.scrub.thread.lock().expect("never held over a panic") = Some(thread::current());
        while !app.shutdown.is_on() {
            if let Err(error) = round(&app) {
                tracing::warn!(%error, "what is kept could not be read again");
            }
            app.scrub.is_running.store(false, Ordering::Relaxed);
            thread::park_timeout(LOOK_EVERY);
        }
    };
    thread::Builder::new().name("scrub".to_owned()).spawn(work).map(drop)
}

/// Reads everything that is due, until a class begins.
fn round(app: &App) -> Result<(), ApiError> {
    while !app.shutdown.is_on() && batch(app, now_ms(), Instant::now())? {
        thread::sleep(BATCH_PAUSE);
    }
    Ok(())
}

/// Reads one batch of what is due first, unless a class is on; says whether it did. Not for async
/// threads.
///
/// # Errors
/// If the database fails.
pub fn batch(app: &App, now: i64, clock: Instant) -> Result<bool, ApiError> {
    if app.playing.is_on(clock) {
        return Ok(false);
    }
    let week_ms = i64::from(app.config.night.scrub_days) * DAY_MS;
    let Some((blob, from_piece)) = app.db.read_blocking(|db| due(db, now, week_ms))? else {
        app.db.write_blocking(move |tx| finish(tx, now))?;
        return Ok(false);
    };
    app.scrub.is_running.store(true, Ordering::Relaxed);
    read_on(app, blob, from_piece, now)?;
    Ok(true)
}

/// Reads one batch of a blob from a piece on, takes back what is wrong, and tells of it; gives
/// where to go on. Not for async threads.
///
/// # Errors
/// If the database fails, or the machine is short of memory or open files.
pub(super) fn read_on(
    app: &App,
    blob: BlobId,
    from_piece: u32,
    now: i64,
) -> Result<Option<u32>, ApiError> {
    let read = lost::read_some(&app.db, app.sync.files(), blob, from_piece, BATCH_BYTES)?;
    let (next, found) = (read.next_piece, read.found);
    let is_sure = found.unsure == 0;
    if is_sure {
        app.db.write_blocking(move |tx| note(tx, &blob, from_piece, next, now))?;
    }
    let news = app.sync.news();
    if found.damaged > 0 {
        news.tracks().forget(&blob);
    }
    found.notices.into_iter().for_each(|notice| news.tell(notice));
    if !is_sure {
        return Err(ApiError::internal("the machine is short of memory or open files"));
    }
    Ok(next)
}

/// Chooses what to read: lessons that begin soon, then what was read longest ago.
fn due(db: &Connection, now: i64, week_ms: i64) -> rusqlite::Result<Option<(BlobId, u32)>> {
    const OLDEST: &str = "select b.blob, coalesce(c.next_piece, 0) from blobs b \
         left join blob_checks c on c.blob = b.blob, night_state s \
         where b.held_pieces > 0 and (coalesce(c.checked_at_ms, 0) < ?1 \
         or (c.checked_at_ms < s.scrub_asked_at_ms and s.scrub_asked_at_ms <= ?2) \
         or c.checked_at_ms > ?2 or c.next_piece > 0) \
         order by coalesce(c.next_piece, 0) = 0, coalesce(c.checked_at_ms, 0) limit 1";
    const AGE: &str = "select coalesce(c.next_piece, 0) from blobs b \
         left join blob_checks c on c.blob = b.blob where b.blob = ?1 and b.held_pieces > 0 \
         and (coalesce(c.checked_at_ms, 0) < ?2 or c.checked_at_ms > ?3)";
    let mut lessons: BTreeSet<DocId> = BTreeSet::new();
    for soon in day::remote_between(db, now - 3 * HOUR_MS, now.saturating_add(SOON_MS))? {
        let Some(id) = soon.lesson.filter(|id| lessons.insert(*id)) else { continue };
        let is_today = soon.starts_at_ms < now.saturating_add(TODAY_MS);
        let age_ms = if is_today { TODAY_AGE_MS } else { SOON_AGE_MS };
        for track in lesson::load(db, &id)?.iter().flat_map(|held| &held.tracks) {
            let key = params![track.blob.as_bytes(), now - age_ms, now];
            let next = db.prepare_cached(AGE)?.query_row(key, |row| row.get(0)).optional()?;
            if let Some(next) = next {
                return Ok(Some((track.blob, next)));
            }
        }
    }
    // A check of the future was noted by a clock that was wrong, and what is asked for later than
    // now was asked for by one.
    db.prepare_cached(OLDEST)?
        .query_row(params![now - week_ms, now], |row| Ok((BlobId(row.get(0)?), row.get(1)?)))
        .optional()
}

/// Notes how far a reading is. A whole one is as old as its first batch: what was read before a
/// class may have rotted during it.
fn note(
    db: &Connection,
    blob: &BlobId,
    from_piece: u32,
    next: Option<u32>,
    now: i64,
) -> rusqlite::Result<()> {
    const GO_ON: &str = "insert into blob_checks (blob, checked_at_ms, next_piece, begun_at_ms) \
         values (?1, 0, ?2, ?3) on conflict (blob) do update set next_piece = ?2, \
         begun_at_ms = iif(?4, ?3, begun_at_ms)";
    const DONE: &str = "insert into blob_checks (blob, checked_at_ms) values (?1, ?2) \
         on conflict (blob) do update set next_piece = 0, \
         checked_at_ms = iif(?3, ?2, max(begun_at_ms, iif(checked_at_ms <= ?2, checked_at_ms, 0)))";
    let is_first = from_piece == 0;
    match next {
        Some(piece) => {
            db.prepare_cached(GO_ON)?.execute(params![blob.as_bytes(), piece, now, is_first])?
        }
        None => db.prepare_cached(DONE)?.execute(params![blob.as_bytes(), now, is_first])?,
    };
    Ok(())
}

fn finish(db: &Connection, now: i64) -> rusqlite::Result<()> {
    // Once a round; a hub that holds nothing has nothing to say.
    const FINISH: &str = "update night_state set scrub_finished_at_ms = ?1 \
         where exists (select 1 from blobs where held_pieces > 0) \
         and (scrub_finished_at_ms not between ?1 - ?2 and ?1 \
         or scrub_finished_at_ms <= scrub_asked_at_ms and scrub_asked_at_ms <= ?1)";
    db.prepare_cached(FINISH)?.execute(params![now, DAY_MS]).map(drop)
}
