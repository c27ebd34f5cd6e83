//! Puts a damaged database right before the hub starts: moves it aside, begins again from the
//! newest verified copy, takes over whatever still reads of the damaged file, and says what was
//! done. What other hubs hold they give back, before this one writes (`node/doubt.rs`).
//!
//! Every step may be cut short by the power: `repair/job.json` says how far it is, and the next
//! start goes on. Nothing of the damaged files is changed or removed here.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

use crate::app::now_ms;
use crate::db::damage::{self, Care};
use crate::db::{self, OpenError};
use crate::snapshots::{self, Snapshot, sync_folder};
use pages::Pages;
use report::Report;

pub mod after;
mod blobs;
pub mod check;
mod journals;
mod pages;
pub mod report;
mod rewrite;
mod rows;
pub mod stranded;
mod tree;

/// Repairs within an hour; a disk that fails each time is not to be written to for ever.
const REPAIRS_AN_HOUR_MAX: usize = 5;
const HOUR_MS: i64 = 3_600_000;
/// Beside the copy, or the damaged file if that is longer: its log, and what waits to be judged.
const ROOM_BYTES: u64 = 64 << 20;
/// Rows taken over out of a log that was cut; it is folded when it has a thousand pages.
const TOPPED_UP_MAX: usize = 100_000;
/// Folder of damaged databases in the data directory.
pub const DAMAGED_FOLDER: &str = "damaged";

/// Why a hub with a damaged database does not start.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It would not help.
    #[error(
        "the database was repaired {REPAIRS_AN_HOUR_MAX} times within an hour and is damaged \
         again ({0}); the disk or the memory fails: put the data directory on another one"
    )]
    TooOften(String),
    /// The disk is full.
    #[error(
        "the database is damaged, and to repair it {needed_bytes} bytes have to be free, \
         {free_bytes} are; make room, then start the hub again"
    )]
    NoRoom {
        /// Bytes of the copy and of what is taken over.
        needed_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// A hub without its key is no member any more.
    #[error(
        "{key} is missing: without it this is another hub. Put back a backup of it; or move \
         the whole data directory away, begin as a new hub, and ask the lead school for an \
         invitation. Lessons and comments then come from the others; logins are made anew"
    )]
    NoKey {
        /// Where it has to be.
        key: String,
    },
    /// The disk fails.
    #[error("the database is damaged and cannot be repaired: {0}")]
    Io(#[from] io::Error),
    /// SQLite fails.
    #[error("the database is damaged and cannot be repaired: {0}")]
    Database(#[from] rusqlite::Error),
    /// The new database cannot be made, or the old one is not to be touched.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was made is not good either.
    #[error("the database is damaged, and what was made of it is too: {0}")]
    NotGood(String),
}

/// Where things are in a data directory.
#[derive(Debug, Clone)]
pub struct Places(PathBuf);

impl Places {
    /// Of a data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.to_owned())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn database(&self) -> PathBuf {
        self.at("hub.sqlite")
    }

    fn wal(&self) -> PathBuf {
        self.at("hub.sqlite-wal")
    }

    fn key(&self) -> PathBuf {
        self.at("hub.key")
    }

    fn work(&self) -> PathBuf {
        self.at("repair")
    }

    fn job(&self) -> PathBuf {
        self.work().join("job.json")
    }

    fn damaged(&self, folder: &str) -> PathBuf {
        self.at(DAMAGED_FOLDER).join(folder)
    }
}

/// A repair that was begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    at_ms: i64,
    why: String,
    folder: String,
    /// The only copy that is wanted, by the name of its file; else the newest that is good.
    from: Option<String>,
    /// Once true, a database in its place is the new one.
    is_moved: bool,
}

/// Looks at the database, and repairs it if that is needed; says what was done. Call it once,
/// with the data directory locked, before anything opens the database. Not for async threads.
///
/// # Errors
/// If the hub cannot start; what is there stays.
pub fn before_start(data_dir: &Path) -> Result<Option<Report>, RepairError> {
    let places = Places::of(data_dir);
    if let Some(job) = read_job(&places)? {
        tracing::warn!("going on with the repair of the database");
        return carry_on(&places, job).map(Some);
    }
    match check::look(&places)? {
        check::Found::Good => top_up(&places).map(|()| None),
        check::Found::LogGone => {
            tracing::warn!("the database's log is gone; others are asked what this hub wrote");
            distrust(&places)?;
            Ok(None)
        }
        check::Found::Damaged(why) => begin(&places, why, None).map(Some),
    }
}

/// Begins again from a copy whatever the database is like: it cannot be opened, or the keeper
/// says so and names the copy. Then rows that stay at home are as old as that.
///
/// # Errors
/// As [`before_start`].
pub fn restore(data_dir: &Path, why: &str, from: Option<String>) -> Result<Report, RepairError> {
    if let Some(name) = &from {
        // Before anything is moved: a copy may have rotted since it was verified.
        let copy =
            snapshots::list(data_dir, now_ms()).into_iter().find(|it| it.path.ends_with(name));
        let verified =
            copy.map_or_else(|| Err(io::Error::other("it is not there")), |it| it.verify());
        verified.map_err(|error| io::Error::other(format!("the copy {name}: {error}")))?;
    }
    begin(&Places::of(data_dir), why.to_owned(), from)
}

fn begin(places: &Places, why: String, from: Option<String>) -> Result<Report, RepairError> {
    let now = now_ms();
    let lately = report::all(&places.0).into_iter();
    let lately = lately.filter(|done| (0..HOUR_MS).contains(&(now - done.at_ms))).count();
    if lately >= REPAIRS_AN_HOUR_MAX {
        return Err(RepairError::TooOften(why));
    }
    if !places.key().exists() {
        return Err(RepairError::NoKey { key: places.key().display().to_string() });
    }
    tracing::error!(why, "the database is damaged; it is repaired now");
    let folder = folder_name(&places.0, now);
    let job = Job { at_ms: now, why, folder, from, is_moved: false };
    fs::create_dir_all(places.work())?;
    write_job(places, &job)?;
    carry_on(places, job)
}

/// Names the folder by date and time (UTC), so that people find it.
fn folder_name(data_dir: &Path, now_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let name = at.strftime("%Y%m%d-%H%M%S").to_string();
    let taken = |name: &String| data_dir.join(DAMAGED_FOLDER).join(name).exists();
    let mut names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    names.find(|name| !taken(name)).unwrap_or(name)
}

fn carry_on(places: &Places, mut job: Job) -> Result<Report, RepairError> {
    let damaged = places.damaged(&job.folder);
    if !job.is_moved {
        move_aside(places, &damaged)?;
        job.is_moved = true;
        write_job(places, &job)?;
    }
    if !places.database().exists() {
        let report = build(places, &job, &damaged)?;
        report::write(&damaged, &report)?;
        fs::rename(places.work().join("hub.sqlite"), places.database())?;
        sync_folder(&places.0)?;
    }
    drop(fs::remove_file(places.at(check::WANTED_FILE)));
    fs::remove_dir_all(places.work())?;
    sync_folder(&places.0)?;
    let report = report::read(&damaged)?;
    tracing::warn!("{report}");
    Ok(report)
}

fn move_aside(places: &Places, damaged: &Path) -> io::Result<()> {
    fs::create_dir_all(damaged)?;
    sync_folder(&places.0)?;
    for from in [places.wal(), places.database()] {
        let name = from.file_name().unwrap_or_default();
        match fs::rename(&from, damaged.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Readers' marks in the log, which only running programs use.
    drop(fs::remove_file(places.at("hub.sqlite-shm")));
    sync_folder(damaged)?;
    sync_folder(&places.0)
}

/// Takes over envelopes out of a log that was cut: a change that this hub has said is durable,
/// and of which the end is missing.
fn top_up(places: &Places) -> Result<(), RepairError> {
    let pages = Pages::open(&places.database(), &places.wal())?;
    let left = pages.passed_over();
    let rows = left.flat_map(|(number, bytes)| tree::rows_of_leaf(&pages, number, &bytes));
    let rows: Vec<tree::Row> = rows.filter(journals::is_envelope).take(TOPPED_UP_MAX).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut db = db::open_alone(&places.database())?;
    let tx = db.transaction()?;
    for row in &rows {
        journals::keep_envelope(&tx, row)?;
    }
    let (membership, mut report) =
        (journals::Epochs::default().join(&tx, None, &mut Report::default())?, Report::default());
    journals::join(&tx, membership.as_ref(), &mut report)?;
    tx.commit()?;
    let (entries, waiting) = (report.entries_salvaged, report.entries_waiting);
    if entries > 0 || waiting > 0 {
        tracing::warn!(entries, waiting, "the database's log was cut; entries were read out of it");
    }
    Ok(())
}

/// Makes the new database, durably, in the folder of work. If something in the damaged file
/// keeps it from being made, it is made without what is in there.
fn build(places: &Places, job: &Job, damaged: &Path) -> Result<Report, RepairError> {
    make_room(places, job)?;
    let made = build_with(places, job, damaged, true);
    let report = match made {
        // Without room nothing is given up: the next start, with room, takes it over.
        Err(RepairError::Database(error)) if db::is_disk_full(&error) => return Err(error.into()),
        Err(error @ (RepairError::Database(_) | RepairError::NotGood(_))) => {
            tracing::error!(%error, "nothing can be taken over of the damaged database");
            build_with(places, job, damaged, false)?
        }
        made => made?,
    };
    File::open(places.work().join("hub.sqlite"))?.sync_all()?;
    sync_folder(&places.work())?;
    Ok(report)
}

fn build_with(
    places: &Places,
    job: &Job,
    damaged: &Path,
    is_salvaged: bool,
) -> Result<Report, RepairError> {
    let (mut db, snapshot) = open_base(places, job.from.as_deref())?;
    db.execute_batch(
        "pragma journal_mode = delete; pragma synchronous = off; pragma foreign_keys = off",
    )?;
    let mut report = Report {
        at_ms: job.at_ms,
        why: job.why.clone(),
        folder: job.folder.clone(),
        snapshot_at_ms: snapshot.map(|snapshot| snapshot.note.taken_at_ms),
        entries_of_snapshot: count(&db, "select count(*) from envelopes")?,
        ..Report::default()
    };
    let tx = db.transaction()?;
    if is_salvaged {
        salvage(&tx, places, damaged, job.from.is_none(), &mut report)?;
    }
    blobs::distrust(&tx, &places.0, &mut report)?;
    put_doubt(&tx)?;
    report.keep(&tx)?;
    tx.commit()?;
    if let Some(fault) = damage::find(&db, Care::Whole)? {
        return Err(RepairError::NotGood(fault));
    }
    db.close().map_err(|(_, error)| error)?;
    blobs::move_unknown_uploads(&places.0, &places.work().join("hub.sqlite"), damaged)?;
    Ok(report)
}

/// Takes over what still reads of the damaged database.
fn salvage(
    tx: &Transaction<'_>,
    places: &Places,
    damaged: &Path,
    are_rows_wanted: bool,
    report: &mut Report,
) -> Result<(), RepairError> {
    let pages = Pages::open(&damaged.join("hub.sqlite"), &damaged.join("hub.sqlite-wal"))?;
    if are_rows_wanted {
        rows::salvage(tx, &pages, report)?;
    }
    let mut epochs = journals::Epochs::default();
    for (number, bytes) in pages.copies() {
        for row in tree::rows_of_leaf(&pages, number, &bytes) {
            if !epochs.take(&row) && !journals::keep_envelope(tx, &row)? {
                blobs::keep_manifest(tx, &places.0, &row, report)?;
            }
        }
    }
    let own = check::own_hub(&places.key());
    let membership = epochs.join(tx, own.as_ref(), report)?;
    journals::join(tx, membership.as_ref(), report)?;
    Ok(())
}

/// Opens what the new database begins with: the newest copy that is what it was, or an empty one.
fn open_base(
    places: &Places,
    from: Option<&str>,
) -> Result<(Connection, Option<Snapshot>), RepairError> {
    let path = places.work().join("hub.sqlite");
    let is_wanted = |it: &Snapshot| from.is_none_or(|name| it.path.ends_with(name));
    for snapshot in snapshots::list(&places.0, now_ms()).into_iter().filter(is_wanted) {
        clear_work(places)?;
        let copied = snapshot.verify().and_then(|()| fs::copy(&snapshot.path, &path).map(drop));
        match copied {
            Ok(()) => match db::open_alone(&path) {
                Ok(db) => return Ok((db, Some(snapshot))),
                Err(error) => tracing::error!(%error, "a copy of the database cannot be used"),
            },
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error.into()),
            Err(error) => tracing::error!(%error, "a copy of the database cannot be used"),
        }
    }
    if let Some(name) = from {
        return Err(io::Error::other(format!("the copy {name} cannot be used")).into());
    }
    clear_work(places)?;
    Ok((db::open_alone(&path)?, None))
}

fn clear_work(places: &Places) -> io::Result<()> {
    for entry in fs::read_dir(places.work())? {
        let path = entry?.path();
        if path != places.job() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Sees to it that the copy fits; damaged databases from before go for it, the oldest first.
fn make_room(places: &Places, job: &Job) -> Result<(), RepairError> {
    let newest = snapshots::list(&places.0, now_ms()).into_iter().next();
    let damaged = places.damaged(&job.folder).join("hub.sqlite");
    let damaged_bytes = fs::metadata(damaged).map_or(0, |file| file.len());
    let copy_bytes = newest.map_or(0, |snapshot| snapshot.note.bytes);
    let needed_bytes = copy_bytes.max(damaged_bytes) + ROOM_BYTES;
    let mut older: Vec<PathBuf> = fs::read_dir(places.at(DAMAGED_FOLDER))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| *path != places.damaged(&job.folder))
        .collect();
    older.sort();
    let mut older = older.into_iter();
    loop {
        let disk = rustix::fs::statvfs(&places.0).map_err(io::Error::from)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes >= needed_bytes {
            return Ok(());
        }
        let Some(oldest) = older.next() else {
            return Err(RepairError::NoRoom { needed_bytes, free_bytes });
        };
        tracing::warn!(folder = %oldest.display(), "removed: the disk is full");
        fs::remove_dir_all(oldest)?;
    }
}

/// Has the hub ask others what it wrote before it writes itself; one in no alliance wrote nothing.
fn put_doubt(db: &Connection) -> rusqlite::Result<()> {
    const PUT: &str = "insert into store_identity (id, store_id, starts, place, is_in_doubt) \
         select 1, randomblob(16), 0, '', 1 where exists (select 1 from epochs) \
         on conflict (id) do update set place = '', is_in_doubt = 1";
    db.execute(PUT, []).map(drop)
}

/// Keeps a database whose log is gone, which may lack what was written last.
fn distrust(places: &Places) -> Result<(), RepairError> {
    let mut db = db::open_alone(&places.database())?;
    let tx = db.transaction()?;
    put_doubt(&tx)?;
    report::keep_log_gone(&tx)?;
    tx.commit()?;
    db.close().map_err(|(_, error)| error)?;
    // What is there now is what counts: a start that is begun again says it once.
    Ok(check::note_stopped(&places.0)?)
}

fn count(db: &Connection, sql: &str) -> rusqlite::Result<u64> {
    db.query_row(sql, [], |row| row.get(0))
}

fn read_job(places: &Places) -> io::Result<Option<Job>> {
    match fs::read(places.job()) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_job(places: &Places, job: &Job) -> io::Result<()> {
    write_durably(&places.job(), &serde_json::to_vec(job).map_err(io::Error::from)?)?;
    sync_folder(&places.0)
}

/// Replaces a file in one step.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let half_made = path.with_extension("part");
    let mut file = File::create(&half_made)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(half_made, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests;
