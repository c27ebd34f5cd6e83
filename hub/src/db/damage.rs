//! Damage of the database: how it is noticed while the hub runs, and how it is looked for.

use std::any::Any;
use std::cell::RefCell;

use rusqlite::{Connection, Error, ErrorCode, ffi};
use yingxue_sync_core::blob;
use yingxue_sync_core::id::BlobId;
use yingxue_sync_core::membership::SignedEpoch;

thread_local! {
    /// What was noticed on this thread since the last [`take`].
    static NOTICED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Says whether an error of SQLite means that the file is damaged or cannot be read.
pub fn is_damage(error: &Error) -> bool {
    match error.sqlite_error() {
        Some(error) => {
            matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ]
                    .contains(&error.extended_code)
        }
        None => false,
    }
}

/// Takes note of an error before it becomes another type; where one does, this is called.
pub fn note(error: &Error) {
    if is_damage(error) {
        NOTICED.with_borrow_mut(|noticed| *noticed = Some(error.to_string()));
    }
}

/// Takes note of the error of a closure, if it is SQLite's own.
pub(super) fn look<T, E: 'static>(result: &Result<T, E>) {
    if let Err(error) = result
        && let Some(error) = (error as &dyn Any).downcast_ref::<Error>()
    {
        note(error);
    }
}

/// Gives what was noticed on this thread, once.
pub(super) fn take() -> Option<String> {
    NOTICED.with_borrow_mut(Option::take)
}

/// How well a database is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Every page, and that what is signed or hashed is what it was.
    Quick,
    /// Also that indexes and tables say the same, and that rows name rows that are there.
    Whole,
}

/// Looks for damage; gives the first in words. An error is a database that cannot be read.
///
/// # Errors
/// If SQLite fails.
pub fn find(db: &Connection, care: Care) -> rusqlite::Result<Option<String>> {
    let pragma = match care {
        Care::Quick => "pragma quick_check(1)",
        Care::Whole => "pragma integrity_check(1)",
    };
    let said: String = db.query_row(pragma, [], |row| row.get(0))?;
    if said != "ok" {
        return Ok(Some(
            said.lines().find(|line| !line.starts_with("***")).unwrap_or(&said).to_owned(),
        ));
    }
    if care == Care::Whole
        && let Some(table) = orphan(db)?
    {
        return Ok(Some(format!("a row of {table} names one that is not there")));
    }
    find_changed(db)
}

/// Says whether the columns that say what is held of a blob agree.
fn is_consistent(row: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
    let held =
        row.get_ref(2)?.as_blob()?.iter().map(|byte| i64::from(byte.count_ones())).sum::<i64>();
    let [noted, pieces, is_complete, verified, total]: [i64; 5] =
        [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?];
    let is_whole = held == pieces;
    Ok(held == noted && is_complete == i64::from(is_whole) && is_whole == (verified == total))
}

fn orphan(db: &Connection) -> rusqlite::Result<Option<String>> {
    let mut check = db.prepare("pragma foreign_key_check")?;
    let mut rows = check.query([])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

/// Compares what has a hash with it: SQLite would not notice a byte that is another one.
fn find_changed(db: &Connection) -> rusqlite::Result<Option<String>> {
    const ENVELOPES: &str = "select hash, bytes from envelopes";
    const MANIFESTS: &str = "select blob, manifest, bitmap, held_pieces, pieces, is_complete, \
         verified_bytes, total_bytes from blobs";
    const EPOCHS: &str = "select bytes from epochs";
    let is_there =
        "select count(*) from sqlite_schema where name in ('envelopes', 'blobs', 'epochs')";
    if db.query_row(is_there, [], |row| row.get::<_, i64>(0))? < 3 {
        return Ok(None);
    }
    let mut envelopes = db.prepare(ENVELOPES)?;
    let mut rows = envelopes.query([])?;
    while let Some(row) = rows.next()? {
        if blake3::hash(row.get_ref(1)?.as_blob()?).as_bytes()[..] != *row.get_ref(0)?.as_blob()? {
            return Ok(Some("an entry of a journal is not what it was".to_owned()));
        }
    }
    let mut manifests = db.prepare(MANIFESTS)?;
    let mut rows = manifests.query([])?;
    while let Some(row) = rows.next()? {
        if blob::id_of(row.get_ref(1)?.as_blob()?) != BlobId(row.get(0)?) {
            return Ok(Some("the list of a lesson's pieces is not what it was".to_owned()));
        }
        if !is_consistent(row)? {
            return Ok(Some("what is noted of a lesson's pieces contradicts itself".to_owned()));
        }
    }
    let mut epochs = db.prepare(EPOCHS)?;
    let mut rows = epochs.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(error) = SignedEpoch::decode(row.get_ref(0)?.as_blob()?) {
            return Ok(Some(format!("the list of members: {error}")));
        }
    }
    Ok(None)
}
