//! Copies of the database that a hub with a damaged one begins again from: taken beside the
//! writer, verified before they count, a few of them kept.
//!
//! A copy has the pages of the database in their places, so that a damaged database's tables are
//! found by it (`repair::rows`).

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use crate::db::damage::{self, Care};
use crate::db::{self, MIGRATIONS};
use crate::night::clock;

pub mod keeper;

/// Folder in the data directory.
pub const FOLDER: &str = "snapshots";
/// Copies that are kept: last night's, the one before, and one from before the damage began.
const KEPT_MAX: usize = 3;
/// Bytes of all copies together, save that the newest always stays: a third of the smallest disk
/// that hubs have (32 GB).
const KEPT_BYTES_MAX: u64 = 10 << 30;
/// Pages copied between two pauses: 1 MiB.
const PAGES_AT_ONCE: i32 = 256;
/// Pause between them: 1 GB takes half a minute, and a disk of 100 MB/s is left to classes for
/// two thirds of the time.
const PAUSE: Duration = Duration::from_millis(30);
/// A copy without a number that is dated so far ahead of now was taken by a clock that was wrong.
const AHEAD_MS: i64 = 24 * 3_600_000;
/// Longest description of a copy; it has some 200 bytes.
const NOTE_BYTES_MAX: u64 = 4_096;
/// Bytes read at a time to hash a file.
const HASHED_AT_ONCE: usize = 1 << 20;

/// What is written beside a copy once it is verified; without it a file is no copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Note {
    /// Unix milliseconds when it was begun.
    pub taken_at_ms: i64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hex characters.
    pub blake3: String,
    /// Migrations that its schema has.
    pub version: usize,
    /// Place of the newest entry of the journals, in order of arrival.
    pub entries: i64,
    /// One more than that of the copy before: clocks go wrong. 0 in copies of earlier versions.
    #[serde(default)]
    pub number: u64,
}

/// A verified copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The database file.
    pub path: PathBuf,
    /// What is known of it.
    pub note: Note,
}

/// Why no copy was taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk would be fuller than allowed.
    #[error("the copy needs {needed_bytes} bytes beside what is kept free, {free_bytes} are free")]
    NoRoom {
        /// Bytes of the copy, and what has to stay free.
        needed_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// The disk became full while the copy was made. Nothing is left of it, and older ones stay.
    #[error("the disk became full while the copy was made; older copies stay; make room")]
    Full,
    /// A class began, or the hub stops; it is taken later.
    #[error("a class needs the disk more; the copy is taken later")]
    Interrupted,
    /// The copy is not what it should be; older ones stay.
    #[error("the copy is not good: {0}")]
    NotGood(String),
    /// SQLite fails.
    #[error("the database cannot be copied: {0}")]
    Database(#[from] rusqlite::Error),
    /// The disk fails.
    #[error("the copy cannot be kept: {0}")]
    Io(#[from] io::Error),
}

/// Lists the verified copies of a data directory, newest first: by their numbers, and those that
/// have none by their dates, save that one of the future comes last.
pub fn list(data_dir: &Path, now_ms: i64) -> Vec<Snapshot> {
    let mut found: Vec<Snapshot> =
        files(data_dir).into_iter().filter_map(|path| read(&path)).collect();
    found.sort_by_key(|Snapshot { note, .. }| {
        (note.is_ahead(now_ms), Reverse(note.number), Reverse(note.taken_at_ms))
    });
    found
}

fn files(data_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data_dir.join(FOLDER)) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Reads what is known of a copy; nothing if it was not verified or is not as long as it was.
fn read(path: &Path) -> Option<Snapshot> {
    if path.extension()? != "sqlite" {
        return None;
    }
    let note = read_note(path)?;
    let is_whole = fs::metadata(path).ok()?.len() == note.bytes;
    is_whole.then(|| Snapshot { path: path.to_owned(), note })
}

fn read_note(path: &Path) -> Option<Note> {
    let mut text = String::new();
    File::open(note_path(path)).ok()?.take(NOTE_BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn note_path(path: &Path) -> PathBuf {
    path.with_extension("json")
}

impl Note {
    /// Says whether nothing but a date tells how old it is, and that is not true.
    fn is_ahead(&self, now_ms: i64) -> bool {
        self.number == 0 && self.taken_at_ms > now_ms.saturating_add(AHEAD_MS)
    }
}

impl Snapshot {
    /// Reads the file again and compares it with its hash.
    ///
    /// # Errors
    /// If it cannot be read or has changed.
    pub fn verify(&self) -> io::Result<()> {
        if hash_of(&self.path)? == self.note.blake3 {
            return Ok(());
        }
        Err(io::Error::other("the copy has changed since it was verified"))
    }
}

/// Takes a copy, verifies it, and removes older ones beyond the bounds. `must_stop` is asked
/// between parts. Not for async threads.
///
/// # Errors
/// If no copy was taken; then the older ones are as they were.
pub fn take(
    database: &Path,
    data_dir: &Path,
    free_bytes_min: u64,
    now_ms: i64,
    must_stop: &dyn Fn() -> bool,
) -> Result<Snapshot, SnapshotError> {
    let folder = data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    sync_folder(data_dir)?;
    clear_unfinished(&folder)?;
    check_room(database, &folder, free_bytes_min)?;
    let numbers = files(data_dir).into_iter().filter_map(|path| Some(read_note(&path)?.number));
    let number = numbers.max().unwrap_or(0) + 1;
    let path = folder.join(format!("hub-{number}-{now_ms}.sqlite"));
    let part = path.with_extension("part");
    let taken = copy(database, &part, must_stop).and_then(|()| keep(&part, &path, now_ms, number));
    if taken.is_err() {
        // Best effort: the error that is returned is the one that matters.
        let [journal, note] = ["part-journal", "json-part"].map(|end| path.with_extension(end));
        for left in [&part, &journal, &path, &note] {
            drop(fs::remove_file(left));
        }
    }
    let snapshot = taken.map_err(said_as_full)?;
    forget_older(data_dir, now_ms)?;
    Ok(snapshot)
}

/// Removes what a power cut has left of a copy, and copies without a description.
fn clear_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_part = path.extension().is_some_and(|e| e == "part" || e == "part-journal");
        let is_undescribed =
            path.extension().is_some_and(|e| e == "sqlite") && !note_path(&path).exists();
        if is_part || is_undescribed {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn check_room(database: &Path, folder: &Path, free_bytes_min: u64) -> Result<(), SnapshotError> {
    let wal = format!("{}-wal", database.display());
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let needed_bytes = bytes(database) + bytes(Path::new(&wal)) + free_bytes_min;
    let disk = rustix::fs::statvfs(folder).map_err(io::Error::from)?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free_bytes < needed_bytes {
        return Err(SnapshotError::NoRoom { needed_bytes, free_bytes });
    }
    Ok(())
}

/// A disk that others filled meanwhile is one without room, and no damage.
fn said_as_full(error: SnapshotError) -> SnapshotError {
    match error {
        SnapshotError::Database(error) if db::is_disk_full(&error) => SnapshotError::Full,
        SnapshotError::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
            SnapshotError::Full
        }
        other => other,
    }
}

fn copy(database: &Path, part: &Path, must_stop: &dyn Fn() -> bool) -> Result<(), SnapshotError> {
    let from = db::open_reader(database)?;
    // One moment of the database; writers go on beside it.
    from.execute_batch("begin; select count(*) from sqlite_schema")?;
    let mut to = Connection::open(part)?;
    // What is half written when the power goes is removed by the next one.
    to.execute_batch("pragma synchronous = off")?;
    {
        let backup = Backup::new(&from, &mut to)?;
        loop {
            match backup.step(PAGES_AT_ONCE)? {
                StepResult::Done => break,
                _ if must_stop() => return Err(SnapshotError::Interrupted),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }
    to.close().map_err(|(_, error)| error)?;
    File::open(part)?.sync_all()?;
    Ok(())
}

/// Verifies a copy, and gives it its name and its description.
fn keep(part: &Path, path: &Path, now_ms: i64, number: u64) -> Result<Snapshot, SnapshotError> {
    let (version, entries) = check(part)?;
    let bytes = fs::metadata(part)?.len();
    let blake3 = hash_of(part)?;
    let note = Note { taken_at_ms: now_ms, bytes, blake3, version, entries, number };
    fs::rename(part, path)?;
    let half_made = path.with_extension("json-part");
    let mut file = File::create(&half_made)?;
    file.write_all(&serde_json::to_vec(&note).map_err(io::Error::from)?)?;
    file.sync_all()?;
    fs::rename(half_made, note_path(path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(Snapshot { path: path.to_owned(), note })
}

/// Checks a copy by itself; gives its version and its newest entry.
fn check(part: &Path) -> Result<(usize, i64), SnapshotError> {
    let not_good = |error: rusqlite::Error| SnapshotError::NotGood(error.to_string());
    let db = open_immutable(part).map_err(not_good)?;
    if let Some(fault) = damage::find(&db, Care::Whole).map_err(not_good)? {
        return Err(SnapshotError::NotGood(fault));
    }
    let version: usize =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(not_good)?;
    if version != MIGRATIONS.len() {
        return Err(SnapshotError::NotGood(format!("it has version {version}")));
    }
    Ok((version, newest_entry(&db).map_err(not_good)?))
}

/// Gives the place of the newest entry of the journals, in order of arrival.
///
/// # Errors
/// If SQLite fails.
pub fn newest_entry(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("select coalesce(max(rowid), 0) from envelopes", [], |row| row.get(0))
}

/// Opens a file that nobody writes to: no log is made beside it.
fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let escaped = path.display().to_string().replace('%', "%25").replace('?', "%3f");
    let uri = format!("file:{}?immutable=1", escaped.replace('#', "%23"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

/// Removes copies beyond the bounds, the oldest first, and those that a wrong clock has dated; the
/// newest stays.
fn forget_older(data_dir: &Path, now_ms: i64) -> io::Result<()> {
    let is_now_possible = now_ms >= clock::WRITTEN_MS;
    let mut bytes = 0;
    for (place, snapshot) in list(data_dir, now_ms).into_iter().enumerate() {
        bytes += snapshot.note.bytes;
        let is_too_much = place >= KEPT_MAX || bytes > KEPT_BYTES_MAX;
        if place > 0 && (is_too_much || is_now_possible && snapshot.note.is_ahead(now_ms)) {
            // The description first: what is left of it then is no copy.
            fs::remove_file(note_path(&snapshot.path))?;
            fs::remove_file(&snapshot.path)?;
        }
    }
    Ok(())
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASHED_AT_ONCE];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            bytes => drop(hasher.update(&buffer[..bytes])),
        }
    }
    // Classes keep their part of the memory; a system that cannot forget remembers, no more.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    Ok(hasher.finalize().to_hex().to_string())
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
