//! What is wrong with the database, looked for before it is opened for work.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use yingxue_sync_core::id::{Hash, HubId};

use super::pages::Pages;
use super::{Places, RepairError, write_durably};
use crate::app::now_ms;
use crate::db::damage::{self, Care};

/// A file that a running hub leaves when it has noticed damage; it holds the reason.
pub const WANTED_FILE: &str = "repair-wanted";
/// A file that says how the hub ended: `running`, or what the database looked like at the end.
const STATE_FILE: &str = "hub.state";
/// Databases that are looked through at each start: half a second. Larger ones are if the hub
/// was not stopped as it should be, or if a file is another one than it left.
const ALWAYS_BYTES_MAX: u64 = 128 << 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing is wrong, or there is no database yet.
    Good,
    /// The log of a hub that was running is gone: what was written last may be.
    LogGone,
    /// It is damaged; in words.
    Damaged(String),
}

/// Looks at the database and its log. Neither is changed.
///
/// # Errors
/// If the hub has lost its key, or the disk fails.
pub fn look(places: &Places) -> Result<Found, RepairError> {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let (database, wal) = (places.database(), places.wal());
    if bytes(&database) == 0 {
        return without_database(places, bytes(&wal));
    }
    if let Ok(why) = fs::read_to_string(places.at(WANTED_FILE)) {
        return Ok(Found::Damaged(why));
    }
    let left = State::read(places);
    let is_log_gone = match &left {
        State::Running => !wal.exists(),
        State::Stopped(left) => wal_is_missed(left, &shape(places)),
        State::Unknown => false,
    };
    let is_as_left = matches!(&left, State::Stopped(left) if *left == shape(places));
    if is_as_left && bytes(&database) > ALWAYS_BYTES_MAX {
        return Ok(Found::Good);
    }
    if Pages::open(&database, &wal)?.commits_lost() > 0 {
        return Ok(Found::Damaged("the database's log is damaged in the middle".to_owned()));
    }
    match look_through(&database) {
        Ok(Some(fault)) => Ok(Found::Damaged(fault)),
        Ok(None) if is_log_gone => Ok(Found::LogGone),
        Err(error) if damage::is_damage(&error) => Ok(Found::Damaged(error.to_string())),
        // What is in the way otherwise is said in words when the database is opened.
        Ok(None) | Err(_) => Ok(Found::Good),
    }
}

fn without_database(places: &Places, wal_bytes: u64) -> Result<Found, RepairError> {
    let had_one = wal_bytes > 0 || !crate::snapshots::list(&places.0, now_ms()).is_empty();
    match (places.key().exists(), had_one) {
        (true, _) => Ok(Found::Damaged("the database is missing or empty".to_owned())),
        (false, true) => Err(RepairError::NoKey { key: places.key().display().to_string() }),
        (false, false) => Ok(Found::Good),
    }
}

fn look_through(database: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(database, flags)?;
    // The log is evidence: it may hold what SQLite does not see.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    damage::find(&db, Care::Quick)
}

/// Length and time of the last change of the database and its log.
fn shape(places: &Places) -> String {
    let of = |path: &Path| {
        let Ok(file) = fs::metadata(path) else { return "0 0".to_owned() };
        let changed = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        format!("{} {}", file.len(), changed.unwrap_or_default().as_nanos())
    };
    format!("{} {}", of(&places.database()), of(&places.wal()))
}

/// Says whether the log went away without having been folded into the database.
fn wal_is_missed(left: &str, now: &str) -> bool {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (left, now) = (words(left), words(now));
    left.len() == 4 && left[2] != "0" && left[..2] == now[..2] && now[2] == "0"
}

enum State {
    Running,
    Stopped(String),
    Unknown,
}

impl State {
    fn read(places: &Places) -> Self {
        match fs::read_to_string(places.at(STATE_FILE)) {
            Ok(text) if text == "running" => Self::Running,
            Ok(text) => Self::Stopped(text),
            Err(_) => Self::Unknown,
        }
    }
}

/// Notes that a hub runs on this database.
///
/// # Errors
/// If the disk fails.
pub fn note_running(data_dir: &Path) -> io::Result<()> {
    write_durably(&data_dir.join(STATE_FILE), b"running")
}

/// Notes that the hub has stopped as it should, and how it leaves the database.
///
/// # Errors
/// If the disk fails.
pub fn note_stopped(data_dir: &Path) -> io::Result<()> {
    let shape = shape(&Places::of(data_dir));
    write_durably(&data_dir.join(STATE_FILE), shape.as_bytes())
}

/// Has the next start repair the database.
///
/// # Errors
/// If the disk fails.
pub fn want(data_dir: &Path, why: &str) -> io::Result<()> {
    write_durably(&data_dir.join(WANTED_FILE), why.as_bytes())
}

/// Reads which hub this is; nothing if its key does not read.
pub(super) fn own_hub(key: &Path) -> Option<HubId> {
    let secret: Hash = fs::read_to_string(key).ok()?.trim().parse().ok()?;
    Some(yingxue_sync_core::hub_of(&secret.0))
}
