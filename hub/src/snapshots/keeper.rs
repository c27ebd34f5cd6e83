//! When a copy is taken: each night, and when much was written; never beside a class.

use std::sync::Mutex;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Note, Snapshot, SnapshotError};
use crate::accounts::Admin;
use crate::app::{App, now_ms};
use crate::db::damage::{self, Care};
use crate::problem::{ApiError, Problem};
use crate::repair::report::{self, Report};

const HOUR_MS: i64 = 3_600_000;
/// A copy is taken in a night if the last one is as old as a school day and an evening…
const NIGHT_AGE_MS: i64 = 20 * HOUR_MS;
/// …and at any hour without a class if it is older than that: a hub that is off at night.
const AGE_MS_MAX: i64 = 30 * HOUR_MS;
/// After so much was written a copy is taken before the night…
const ENTRIES_MAX: i64 = 2_000;
/// …but not more often.
const BUSY_AGE_MS: i64 = 2 * HOUR_MS;
/// A copy this old misses two nights: something is wrong.
const LATE_MS: i64 = 48 * HOUR_MS;
/// The hours of the night, in which nobody waits for a page.
const NIGHT_HOURS: std::ops::Range<i64> = 1..5;
/// How often it is looked whether a copy is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After one that failed: what was in the way is most often still there.
const AGAIN_AFTER: Duration = Duration::from_secs(1_800);
/// Niceness of the thread: below everything that serves a class.
const NICENESS: i32 = 15;

/// The way to the thread that takes copies.
#[derive(Default)]
pub struct Keeper {
    thread: Mutex<Option<Thread>>,
    state: Mutex<KeeperState>,
}

#[derive(Default)]
struct KeeperState {
    is_asked: bool,
    is_running: bool,
    failed: Option<Failed>,
}

/// Copies of the database, and what was repaired.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Snapshots {
    /// Verified copies, newest first.
    pub items: Vec<CopyShown>,
    /// True if the newest is older than two nights, or there is none.
    pub is_late: bool,
    /// True if one is being made, or is asked for and waits for a class to end.
    pub is_running: bool,
    /// Why the last try failed; none if it did not.
    pub failed: Option<Failed>,
    /// What the last repair did; none if there was none.
    pub last_repair: Option<Report>,
    /// Blobs whose files are still to be read again after it.
    pub blobs_unread: u64,
    /// Entries that wait for those before them after it.
    pub entries_waiting: u64,
}

/// A verified copy of the database, as screens show it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CopyShown {
    /// Name of its file, as `yingxue restore --from` takes it.
    pub name: String,
    /// Unix milliseconds when it was begun.
    pub taken_at: i64,
    /// Of the file.
    pub bytes: u64,
    /// Entries of journals that came since: after going back to it they are read out of the
    /// database that was moved aside, or come from the other schools.
    pub entries_since: i64,
}

/// Why no copy was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Failed {
    /// What is in the way.
    pub code: FailedCode,
    /// For the log and the telephone.
    pub detail: String,
    /// Unix milliseconds.
    pub at: i64,
}

/// What is in the way of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedCode {
    /// The disk is full, or would be fuller than allowed.
    NoRoom,
    /// What was copied is damaged: the disk fails, or the database is damaged.
    NotGood,
    /// The disk, or SQLite, in other words.
    Disk,
}

impl Failed {
    fn of(error: &SnapshotError) -> Self {
        let code = match error {
            SnapshotError::NoRoom { .. } | SnapshotError::Full => FailedCode::NoRoom,
            SnapshotError::NotGood(_) => FailedCode::NotGood,
            SnapshotError::Interrupted | SnapshotError::Database(_) | SnapshotError::Io(_) => {
                FailedCode::Disk
            }
        };
        Self { code, detail: error.to_string(), at: now_ms() }
    }
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(ask))
}

/// Shows the copies of the database, and what was repaired.
#[utoipa::path(get, path = "/snapshots", tag = "snapshots", responses(
    (status = 200, body = Snapshots), (status = 401, body = Problem),
    (status = 403, body = Problem),
))]
async fn show(State(app): State<App>, _: Admin) -> Result<Json<Snapshots>, ApiError> {
    const LEFT: &str = "select (select count(*) from blobs_unread), \
         (select count(*) from envelopes_waiting)";
    let (blobs_unread, entries_waiting, entries) = app
        .db
        .read(|db| -> rusqlite::Result<_> {
            let (unread, waiting) = db.query_row(LEFT, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((unread, waiting, super::newest_entry(db)?))
        })
        .await?;
    let data_dir = app.data_dir.clone();
    let read = move || (super::list(&data_dir, now_ms()), report::newest(&data_dir));
    let (found, last_repair) =
        tokio::task::spawn_blocking(read).await.map_err(ApiError::internal)?;
    let items: Vec<CopyShown> = found.iter().map(|snapshot| shown(snapshot, entries)).collect();
    let state = app.snapshots.state.lock().expect("never held over a panic");
    Ok(Json(Snapshots {
        is_late: is_late(items.first().map(|copy| copy.taken_at), now_ms()),
        is_running: state.is_asked || state.is_running,
        failed: state.failed.clone(),
        items,
        last_repair,
        blobs_unread,
        entries_waiting,
    }))
}

fn shown(snapshot: &Snapshot, entries: i64) -> CopyShown {
    let name = snapshot.path.file_name().unwrap_or_default();
    CopyShown {
        name: name.to_string_lossy().into_owned(),
        taken_at: snapshot.note.taken_at_ms,
        bytes: snapshot.note.bytes,
        entries_since: (entries - snapshot.note.entries).max(0),
    }
}

/// Says whether two nights have gone by without a copy.
fn is_late(newest_ms: Option<i64>, now_ms: i64) -> bool {
    newest_ms.is_none_or(|at| !(-HOUR_MS..LATE_MS).contains(&(now_ms - at)))
}

/// Takes a copy of the database as soon as no class is on.
#[utoipa::path(post, path = "/snapshots", tag = "snapshots", responses(
    (status = 202), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn ask(State(app): State<App>, _: Admin) -> StatusCode {
    app.snapshots.state.lock().expect("never held over a panic").is_asked = true;
    if let Some(thread) = &*app.snapshots.thread.lock().expect("never held over a panic") {
        thread.unpark();
    }
    StatusCode::ACCEPTED
}

/// Starts the thread that takes copies, for as long as the hub runs.
///
/// # Errors
/// If the thread cannot be made.
pub fn start(app: App) -> std::io::Result<()> {
    let work = move || {
        // It may fail where a machine forbids it; then the pauses have to do.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        *app.snapshots.thread.lock().expect("never held over a panic") = Some(thread::current());
        let mut failed_at: Option<Instant> = None;
        while !app.shutdown.is_on() {
            let may_try = failed_at.is_none_or(|at| at.elapsed() >= AGAIN_AFTER);
            match round(&app, may_try) {
                Ok(_) => failed_at = failed_at.filter(|_| !may_try),
                Err(error) => {
                    tracing::warn!(%error, "no copy of the database was taken");
                    failed_at = Some(Instant::now());
                    note_end(&app, Some(Failed::of(&error)));
                }
            }
            thread::park_timeout(LOOK_EVERY);
        }
    };
    thread::Builder::new().name("snapshots".to_owned()).spawn(work).map(drop)
}

fn note_end(app: &App, failed: Option<Failed>) {
    let mut state = app.snapshots.state.lock().expect("never held over a panic");
    state.failed = failed;
    state.is_asked = false;
}

fn note_running(app: &App, is_running: bool) {
    app.snapshots.state.lock().expect("never held over a panic").is_running = is_running;
}

/// Takes a copy if one is due and no class is on. Not for async threads.
///
/// # Errors
/// If one was due and none was taken.
pub fn round(app: &App, may_try: bool) -> Result<Option<Snapshot>, SnapshotError> {
    let is_asked = app.snapshots.state.lock().expect("never held over a panic").is_asked;
    let now = now_ms();
    let newest = super::list(&app.data_dir, now).into_iter().next().map(|snapshot| snapshot.note);
    let entries = app.db.read_blocking(super::newest_entry)?;
    let offset_min = app.config.timetable.utc_offset_min;
    let is_due = is_due(newest.as_ref(), now, entries, offset_min) && may_try;
    let must_stop = || app.shutdown.is_on() || app.playing.is_on(Instant::now());
    if !(is_asked || is_due) || must_stop() {
        return Ok(None);
    }
    let free_bytes_min = app.config.uploads.disk_reserve_bytes;
    note_running(app, true);
    let taken = super::take(app.db.path(), &app.data_dir, free_bytes_min, now, &must_stop);
    note_running(app, false);
    match taken {
        Err(SnapshotError::Interrupted) => Ok(None),
        Err(error) => {
            if matches!(error, SnapshotError::NotGood(_)) {
                look_at_the_original(app);
            }
            Err(error)
        }
        Ok(snapshot) => {
            tracing::info!(bytes = snapshot.note.bytes, "a copy of the database was verified");
            note_end(app, None);
            Ok(Some(snapshot))
        }
    }
}

/// A copy that is not good comes from a disk that fails, or from a database that is damaged.
fn look_at_the_original(app: &App) {
    let found = app.db.read_blocking(|db: &Connection| damage::find(db, Care::Whole));
    match found {
        Ok(Some(fault)) => app.db.report_damage(fault),
        Ok(None) => {}
        // What is damage has been noted.
        Err(error) => tracing::warn!(%error, "the database cannot be checked"),
    }
}

/// Says whether a copy is due. If the newest is one of the future, a clock is or was wrong: the
/// next one is the newest then, whatever its date.
pub(super) fn is_due(
    newest: Option<&Note>,
    now_ms: i64,
    entries: i64,
    utc_offset_min: i32,
) -> bool {
    let Some(newest) = newest else { return true };
    let age_ms = now_ms - newest.taken_at_ms;
    let hour = (now_ms + i64::from(utc_offset_min) * 60_000).div_euclid(HOUR_MS).rem_euclid(24);
    let is_night = NIGHT_HOURS.contains(&hour);
    !(-HOUR_MS..AGE_MS_MAX).contains(&age_ms)
        || (age_ms >= NIGHT_AGE_MS && is_night)
        || (age_ms >= BUSY_AGE_MS && entries - newest.entries >= ENTRIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_late_after_two_nights_or_if_a_clock_was_wrong() {
        let now = 20_000 * 24 * HOUR_MS;
        let ago = |hours: i64| is_late(Some(now - hours * HOUR_MS), now);
        assert!(is_late(None, now) && ago(48) && ago(-2));
        assert!(!ago(47) && !ago(0));
    }

    #[test]
    fn a_copy_is_due_each_night_or_when_much_was_written() {
        let noon = 20_000 * 24 * HOUR_MS + 4 * HOUR_MS; // 12:00 in China
        let of = |hours: i64| Note {
            taken_at_ms: noon - hours * HOUR_MS,
            bytes: 1,
            blake3: String::new(),
            version: 1,
            entries: 10,
            number: 1,
        };
        let at_noon = |hours, entries| is_due(Some(&of(hours)), noon, entries, 480);
        assert!(is_due(None, noon, 0, 480));
        assert!(!at_noon(21, 10) && at_noon(30, 10));
        assert!(is_due(Some(&of(6)), noon + 14 * HOUR_MS, 10, 480), "at two in the night");
        assert!(!is_due(Some(&of(5)), noon + 14 * HOUR_MS, 10, 480));
        assert!(!at_noon(1, 9_999) && !at_noon(3, 2_009) && at_noon(3, 2_010));
        assert!(at_noon(-5, 10), "a clock was wrong");
    }
}
