//! Which store this is: notices that a backup was put back, or that the disk was copied.
//!
//! The database and the file `store.id` beside it carry the same mark, a number that grows with
//! each start, and how much this hub has written. A database that is older than the file, that
//! lies in another file than it did, or on another computer, was restored or copied: then others
//! are asked what this hub wrote before it writes again. An image of a whole disk that is put
//! back on the same computer is not noticed here, but when another hub is met.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use yingxue_sync_core::id::HubId;

use crate::db::Db;

/// Name of the file in the data directory.
const FILE: &str = "store.id";

/// What the database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    store_id: [u8; 16],
    starts: u64,
    place: String,
}

/// What the file says: the store, its starts, and entries that this hub wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    store_id: [u8; 16],
    starts: u64,
    own_entries: u64,
}

/// Compares the marks, renews them, and says whether the database was restored or copied. Call it
/// once at start, before the store is read. Not for async threads.
///
/// # Errors
/// If the database fails or the file cannot be written.
pub fn check(db: &Db, data_dir: &Path, hub: HubId) -> Result<bool, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let place = place_of(&data_dir.join("hub.sqlite"));
    let row = db.read_blocking(read_row).map_err(|e| said(&e))?;
    let own_entries = db.read_blocking(|db| own_entries(db, &hub)).map_err(|e| said(&e))?;
    let mark = read_mark(data_dir).map_err(|e| said(&e))?;
    let why = why_doubtful(row.as_ref(), mark, &place, own_entries);
    if let Some(why) = why {
        tracing::warn!(why, "the database was restored or copied");
    }
    let mut store_id = row.as_ref().map_or([0; 16], |row| row.store_id);
    if row.is_none() || why.is_some() {
        getrandom::fill(&mut store_id).map_err(|e| said(&e))?;
    }
    let starts = row.map_or(0, |row| row.starts).max(mark.map_or(0, |mark| mark.starts)) + 1;
    db.write_blocking(move |tx| put_row(tx, &store_id, starts, &place, why.is_some()))
        .map_err(|e: rusqlite::Error| said(&e))?;
    write_mark(data_dir, Mark { store_id, starts, own_entries }).map_err(|e| said(&e))?;
    Ok(why.is_some())
}

/// Notes in the file how much this hub has written. Not for async threads.
///
/// # Errors
/// If the database fails or the file cannot be written.
pub fn note(db: &Db, data_dir: &Path, hub: HubId) -> Result<(), String> {
    let read = |db: &Connection| Ok((read_row(db)?, own_entries(db, &hub)?));
    let (row, own_entries) = db.read_blocking(read).map_err(|e: rusqlite::Error| e.to_string())?;
    let Some(Row { store_id, starts, .. }) = row else { return Ok(()) };
    let mark = Mark { store_id, starts, own_entries };
    let written = read_mark(data_dir).map_err(|e| e.to_string())?;
    if written == Some(mark) {
        return Ok(());
    }
    write_mark(data_dir, mark).map_err(|e| e.to_string())
}

fn why_doubtful(
    row: Option<&Row>,
    mark: Option<Mark>,
    place: &str,
    own_entries: u64,
) -> Option<&'static str> {
    match (row, mark) {
        (None, None) => None,
        (None, Some(_)) => Some("the database knows nothing of the file beside it"),
        // The power went at the first start, between the two.
        (Some(row), None) if row.starts <= 1 && own_entries == 0 => None,
        (Some(_), None) => Some("the file beside the database is missing"),
        (Some(row), Some(mark)) if row.store_id != mark.store_id => {
            Some("the file beside the database belongs to another one")
        }
        (Some(row), Some(mark)) if row.starts < mark.starts || own_entries < mark.own_entries => {
            Some("the database is older than the file beside it")
        }
        (Some(row), Some(_)) if row.place != place => Some("the database is a copy"),
        (Some(_), Some(_)) => None,
    }
}

fn read_row(db: &Connection) -> rusqlite::Result<Option<Row>> {
    let sql = "select store_id, starts, place from store_identity";
    db.query_row(sql, [], |row| {
        Ok(Row { store_id: row.get(0)?, starts: row.get(1)?, place: row.get(2)? })
    })
    .optional()
}

fn own_entries(db: &Connection, hub: &HubId) -> rusqlite::Result<u64> {
    let sql = "select coalesce(sum(seq), 0) from journal_heads where author = ?1";
    db.query_row(sql, [hub.as_bytes()], |row| row.get(0))
}

fn put_row(
    db: &Connection,
    store_id: &[u8; 16],
    starts: u64,
    place: &str,
    is_doubtful: bool,
) -> rusqlite::Result<()> {
    const PUT: &str = "insert into store_identity (id, store_id, starts, place, is_in_doubt) \
         values (1, ?1, ?2, ?3, ?4) on conflict (id) do update set store_id = ?1, starts = ?2, \
         place = ?3, is_in_doubt = max(is_in_doubt, ?4)";
    db.execute(PUT, params![store_id, starts, place, is_doubtful]).map(drop)
}

/// Says where a file lies: on which computer, and which file it is. A copy is made at another time.
fn place_of(path: &Path) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let made = fs::metadata(path).and_then(|meta| meta.created());
    let since = made.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let text = format!("{} {}", machine.trim(), since.unwrap_or_default().as_nanos());
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

fn read_mark(data_dir: &Path) -> io::Result<Option<Mark>> {
    let text = match fs::read_to_string(data_dir.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut words = text.split_whitespace();
    let mark = (|| {
        let store_id = words.next()?.parse::<yingxue_sync_core::id::DocId>().ok()?.0;
        let starts = words.next()?.parse().ok()?;
        Some(Mark { store_id, starts, own_entries: words.next()?.parse().ok()? })
    })();
    // A file that cannot be read is no proof of anything: it fits to no database.
    Ok(Some(mark.unwrap_or(Mark { store_id: [0; 16], starts: 0, own_entries: 0 })))
}

fn write_mark(data_dir: &Path, mark: Mark) -> io::Result<()> {
    let (path, half_made) = (data_dir.join(FILE), data_dir.join("store.id.new"));
    let mut file = File::create(&half_made)?;
    let store_id = yingxue_sync_core::id::DocId(mark.store_id);
    writeln!(file, "{store_id} {} {}", mark.starts, mark.own_entries)?;
    file.sync_all()?;
    fs::rename(&half_made, &path)?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: HubId = HubId([1; 32]);

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn start(&self) -> bool {
            let db = self.open();
            check(&db, self.0.path(), HUB).unwrap()
        }

        fn open(&self) -> Db {
            Db::open(&self.0.path().join("hub.sqlite")).unwrap()
        }

        fn store_id(&self) -> Vec<u8> {
            let sql = "select store_id from store_identity";
            self.open().read_blocking(|db| db.query_row(sql, [], |row| row.get(0))).unwrap()
        }

        fn write(&self, entries: u64) {
            let db = self.open();
            let sql = "insert or replace into journal_heads values ('lessons', ?1, ?2)";
            db.write_blocking(move |tx| tx.execute(sql, params![HUB.as_bytes(), entries])).unwrap();
            note(&db, self.0.path(), HUB).unwrap();
        }

        /// Makes a folder with a copy of the database and the file as it is beside it now.
        fn restored_from(&self, backup: &Path) -> Self {
            let folder = Self::new();
            fs::copy(backup, folder.0.path().join("hub.sqlite")).unwrap();
            fs::copy(self.0.path().join(FILE), folder.0.path().join(FILE)).unwrap();
            folder
        }
    }

    #[test]
    fn a_hub_that_is_only_started_again_is_in_no_doubt() {
        let folder = Folder::new();
        for entries in 0..3 {
            assert!(!folder.start());
            folder.write(entries);
        }
    }

    #[test]
    fn a_backup_that_is_put_back_is_noticed_and_becomes_another_store() {
        let folder = Folder::new();
        folder.start();
        let before = folder.store_id();
        let backup = folder.0.path().join("backup");
        let db = Connection::open(folder.0.path().join("hub.sqlite")).unwrap();
        db.execute("vacuum into ?1", [backup.display().to_string()]).unwrap();
        folder.write(2);
        let folder = folder.restored_from(&backup);
        assert!(folder.start());
        assert_ne!(folder.store_id(), before);
        assert!(!folder.start(), "it is said once; the database keeps that it is in doubt");
        let sql = "select is_in_doubt from store_identity";
        assert_eq!(folder.open().read_blocking(|db| db.query_row(sql, [], |r| r.get(0))), Ok(1));
    }

    #[test]
    fn a_backup_written_into_the_same_file_is_noticed_by_its_age() {
        let folder = Folder::new();
        folder.start();
        let row = folder.open().read_blocking(read_row).unwrap().unwrap();
        let mark = Mark { store_id: row.store_id, starts: 1, own_entries: 7 };
        assert!(why_doubtful(Some(&row), Some(mark), &row.place, 7).is_none());
        assert!(why_doubtful(Some(&row), Some(mark), &row.place, 6).is_some());
        let later = Mark { starts: 2, ..mark };
        assert!(why_doubtful(Some(&row), Some(later), &row.place, 7).is_some());
    }

    #[test]
    fn a_lost_or_foreign_file_and_another_computer_are_noticed() {
        let folder = Folder::new();
        folder.start();
        let row = folder.open().read_blocking(read_row).unwrap().unwrap();
        let mark = Mark { store_id: row.store_id, starts: 1, own_entries: 0 };
        assert!(why_doubtful(Some(&row), None, &row.place, 1).is_some());
        assert!(why_doubtful(None, Some(mark), &row.place, 0).is_some());
        let foreign = Mark { store_id: [9; 16], ..mark };
        assert!(why_doubtful(Some(&row), Some(foreign), &row.place, 0).is_some());
        assert!(why_doubtful(Some(&row), Some(mark), "elsewhere", 0).is_some());
    }
}
