//! Takes back what the rows say is held and the files do not have: a lesson is never shown as
//! ready because of a file that was removed, cut, has rotted or cannot be read. It is wanted again
//! then.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rustix::io::Errno;
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

use super::Notice;
use crate::alarms;
use crate::app::now_ms;
use crate::db::Db;

/// Files that are looked at before the hub starts: some 10 ms. More are looked at meanwhile.
const AT_ONCE_MAX: usize = 2_000;
/// Rows read at a time, so that no query keeps the database's log from being folded.
const ROWS_AT_ONCE: usize = 256;

/// Looks at the file of every blob of which something is held: before this returns if they are
/// few, else on a thread of its own. Not for async threads.
///
/// # Errors
/// If the database fails, or the thread cannot be made.
pub fn check_all(
    db: Db,
    files: Arc<BlobFiles>,
    notify: impl Fn(Notice) + Send + 'static,
) -> Result<(), String> {
    const COUNT: &str = "select count(*) from (select 1 from blobs limit ?1)";
    let count: usize = db
        .read_blocking(|db| db.query_row(COUNT, [AT_ONCE_MAX + 1], |row| row.get(0)))
        .map_err(|error: rusqlite::Error| error.to_string())?;
    if count <= AT_ONCE_MAX {
        return check_each(&db, &files, &notify).map_err(|error| error.to_string());
    }
    let check = move || {
        if let Err(error) = check_each(&db, &files, &notify) {
            tracing::error!(%error, "the files of lessons could not be checked");
        }
    };
    let made = std::thread::Builder::new().name("file-check".to_owned()).spawn(check);
    made.map(drop).map_err(|error| error.to_string())
}

fn check_each(db: &Db, files: &BlobFiles, notify: &impl Fn(Notice)) -> rusqlite::Result<()> {
    const ROWS: &str = "select rowid, blob, total_bytes from blobs \
         where rowid > ?1 and held_pieces > 0 order by rowid limit ?2";
    let mut last = i64::MIN;
    loop {
        let rows: Vec<(i64, BlobId, u64)> = db.read_blocking(|db| {
            let mut statement = db.prepare_cached(ROWS)?;
            let rows = statement.query_map(params![last, ROWS_AT_ONCE], |row| {
                Ok((row.get(0)?, BlobId(row.get(1)?), row.get(2)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })?;
        let Some((rowid, ..)) = rows.last() else { return Ok(()) };
        last = *rowid;
        for (_, blob, total_bytes) in rows {
            if is_short(files, blob, total_bytes) {
                take_back(db, files, blob)?.into_iter().for_each(notify);
            }
        }
    }
}

/// Looks at one blob's file, and takes back the pieces that it does not have; reads it if the disk
/// does not even say how long it is. Not for async threads.
///
/// # Errors
/// If the database fails.
pub fn check(db: &Db, files: &BlobFiles, blob: BlobId) -> rusqlite::Result<Vec<Notice>> {
    const BYTES: &str = "select total_bytes from blobs where blob = ?1 and held_pieces > 0";
    let total_bytes = db.read_blocking(|db| {
        db.prepare_cached(BYTES)?.query_row([blob.as_bytes()], |row| row.get(0)).optional()
    })?;
    match (total_bytes, files.len(blob)) {
        (None, _) => Ok(Vec::new()),
        (Some(_), Err(_)) => read_through(db, files, blob).map(|found| found.notices),
        (Some(total_bytes), Ok(bytes)) if bytes.is_none_or(|bytes| bytes < total_bytes) => {
            take_back(db, files, blob)
        }
        (Some(_), Ok(_)) => Ok(Vec::new()),
    }
}

/// What reading a blob's file through has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Pieces in all; 0 if its manifest is not known.
    pub pieces: u32,
    /// Pieces that were said to be here and are wrong, gone or cannot be read; taken back now.
    pub damaged: u32,
    /// Pieces that nothing is known of, because this machine is short of memory or open files; they
    /// are as they were.
    pub unsure: u32,
    /// Pieces that are here now.
    pub held: u32,
    /// What follows; to be told.
    pub notices: Vec<Notice>,
}

/// What reading a part of a blob's file has found.
#[derive(Debug, Default)]
pub struct FoundSome {
    /// Of the pieces that were read; `held` and `pieces` are of the whole blob.
    pub found: Found,
    /// Where to go on; none at the end.
    pub next_piece: Option<u32>,
}

/// Reads every piece that is said to be here, and takes back those whose bytes are wrong or do not
/// come off the disk. Not for async threads.
///
/// # Errors
/// If the database fails.
pub fn read_through(db: &Db, files: &BlobFiles, blob: BlobId) -> rusqlite::Result<Found> {
    read_some(db, files, blob, 0, u64::MAX).map(|read| read.found)
}

/// Like [`read_through`], from a piece on, until about `bytes_max` are read.
///
/// # Errors
/// If the database fails.
pub fn read_some(
    db: &Db,
    files: &BlobFiles,
    blob: BlobId,
    from_piece: u32,
    bytes_max: u64,
) -> rusqlite::Result<FoundSome> {
    let known = db.read_blocking(|db| super::blobs::load(db, &blob))?;
    let Some(manifest) = known.manifest.and_then(|bytes| Manifest::decode(&bytes).ok()) else {
        return Ok(FoundSome::default());
    };
    let held = Bitmap::from_bytes(&known.bitmap, manifest.pieces.len());
    let (mut lost, mut is_unreadable, mut next_piece) = (BTreeSet::new(), false, None);
    let (mut offset, mut read_bytes, mut unsure) = (0, 0, 0);
    // What the system remembers of the file says nothing about the disk.
    files.forget_cached(blob);
    for (number, piece) in (0..).zip(&manifest.pieces) {
        if number >= from_piece && held.has(number) {
            if read_bytes >= bytes_max {
                next_piece = Some(number);
                break;
            }
            read_bytes += u64::from(piece.bytes);
            match files.read_twice(blob, offset, piece.bytes as usize) {
                Ok(bytes) if manifest.verifies(number, &bytes) => {}
                Err(BlobFileError::Io(error)) if is_of_machine(&error) => unsure += 1,
                read => {
                    is_unreadable |= read.is_err_and(|error| is_of_disk(&error));
                    lost.insert(number);
                }
            }
        }
        offset += u64::from(piece.bytes);
    }
    let pieces = manifest.pieces.len() as u32;
    let damaged = lost.len() as u32;
    let held = held.count() - damaged;
    let mut found = Found { pieces, damaged, unsure, held, notices: Vec::new() };
    if damaged > 0 {
        tracing::warn!(%blob, damaged, "parts of a lesson are damaged on this disk");
        let is_lost = move |number: u32, _: u64| lost.contains(&number);
        found.notices = db.write_blocking(move |tx| unmark(tx, &blob, is_lost))?;
    }
    if is_unreadable {
        found.notices.extend(renew(db, files, blob, &manifest)?);
        let left = db.read_blocking(|db| super::blobs::load(db, &blob))?.bitmap;
        found.held = Bitmap::from_bytes(&left, manifest.pieces.len()).count();
    }
    Ok(FoundSome { found, next_piece })
}

/// Says whether it is the disk that fails, and not the machine, or a file that is not there.
pub(super) fn is_of_disk(error: &BlobFileError) -> bool {
    matches!(error, BlobFileError::Io(error) if !is_of_machine(error))
}

/// Says whether a later try is as good as the first: it says nothing of what the disk holds.
fn is_of_machine(error: &std::io::Error) -> bool {
    let short_of = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| short_of.contains(&code))
}

/// Puts what can be read of a blob's file into a fresh one, so that what is fetched again does not
/// meet the same sectors, and takes back the rest; raises the alarm. Call it when what was found
/// is taken back.
///
/// A disk that takes no fresh file fails as a whole. What it holds is read again at the next
/// start, before any of it is fetched.
///
/// # Errors
/// If the database fails.
pub(crate) fn renew(
    db: &Db,
    files: &BlobFiles,
    blob: BlobId,
    manifest: &Manifest,
) -> rusqlite::Result<Vec<Notice>> {
    const UNREAD: &str = "insert or ignore into blobs_unread (blob) select blob from blobs \
         where blob = ?1";
    let parts = manifest.pieces.iter().scan(0, |end, piece| {
        let offset = *end;
        *end += u64::from(piece.bytes);
        Some((offset, piece.bytes as usize))
    });
    let renewed = files.renew(blob, &parts.collect::<Vec<_>>());
    let is_refused = renewed.as_ref().is_err_and(is_of_disk);
    if let Err(error) = &renewed {
        tracing::warn!(%blob, %error, "a file that cannot be read stays where it is");
    }
    let unread: BTreeSet<usize> = renewed.unwrap_or_default().into_iter().collect();
    db.write_blocking(move |tx| {
        let mut notices = unmark(tx, &blob, |number, _| unread.contains(&(number as usize)))?;
        if is_refused {
            tx.execute(UNREAD, [blob.as_bytes()])?;
        }
        alarms::keep_unreadable(tx, now_ms())?;
        notices.push(Notice::Alarm);
        Ok(notices)
    })
}

/// A disk that cannot say how long a file is has not lost it.
fn is_short(files: &BlobFiles, blob: BlobId, total_bytes: u64) -> bool {
    files.len(blob).is_ok_and(|bytes| bytes.is_none_or(|bytes| bytes < total_bytes))
}

fn take_back(db: &Db, files: &BlobFiles, blob: BlobId) -> rusqlite::Result<Vec<Notice>> {
    let files = files.clone();
    db.write_blocking(move |tx| {
        // Here, because until now the file may have been made and filled again.
        let Ok(bytes) = files.len(blob) else { return Ok(Vec::new()) };
        let bytes = bytes.unwrap_or(0);
        let notices = unmark(tx, &blob, |_, end| end > bytes)?;
        if !notices.is_empty() {
            tracing::warn!(%blob, bytes, "a lesson's file is missing or cut; fetching it again");
        }
        Ok(notices)
    })
}

/// Clears pieces, by number and by their end in the file; says what follows. Nothing does if
/// none of them was held.
fn unmark(
    tx: &Transaction<'_>,
    blob: &BlobId,
    is_lost: impl Fn(u32, u64) -> bool,
) -> rusqlite::Result<Vec<Notice>> {
    const HELD: &str = "select bitmap, manifest from blobs where blob = ?1";
    const UPDATE: &str = "update blobs set bitmap = ?2, held_pieces = ?3, verified_bytes = ?4, \
         is_complete = 0 where blob = ?1";
    const DAMAGE: &str = "insert into damage (blob, pieces, found_at_ms) \
         values (?1, ?2, cast(unixepoch('subsec') * 1000 as integer))";
    let row = tx
        .prepare_cached(HELD)?
        .query_row([blob.as_bytes()], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((bitmap, manifest)) = row else { return Ok(Vec::new()) };
    let Ok(manifest) = Manifest::decode(&manifest) else { return Ok(Vec::new()) };
    let before = Bitmap::from_bytes(&bitmap, manifest.pieces.len());
    let mut left = Bitmap::new(manifest.pieces.len());
    let mut end = 0;
    for (number, piece) in (0..).zip(&manifest.pieces) {
        end += u64::from(piece.bytes);
        if before.has(number) && !is_lost(number, end) {
            left.insert(number);
        }
    }
    if left.count() == before.count() {
        return Ok(Vec::new());
    }
    let bytes = i64::try_from(manifest.held_bytes(&left)).unwrap_or(i64::MAX);
    let row = params![blob.as_bytes(), left.as_bytes(), left.count(), bytes];
    tx.prepare_cached(UPDATE)?.execute(row)?;
    let lost = before.count() - left.count();
    tx.prepare_cached(DAMAGE)?.execute(params![blob.as_bytes(), lost])?;
    want_again(tx, blob)
}

fn want_again(db: &Connection, blob: &BlobId) -> rusqlite::Result<Vec<Notice>> {
    const WANT: &str = "update lesson_tracks set is_wanted = 1 where blob = ?1 and exists \
         (select 1 from lessons where lessons.lesson = lesson_tracks.lesson and is_deleted = 0)";
    const LESSONS: &str = "select distinct lesson from lesson_tracks where blob = ?1";
    db.prepare_cached(WANT)?.execute([blob.as_bytes()])?;
    let mut notices = vec![Notice::Pieces { blob: *blob, is_complete: false }];
    let mut lessons = db.prepare_cached(LESSONS)?;
    for lesson in lessons.query_map([blob.as_bytes()], |row| row.get(0).map(DocId))? {
        notices.push(Notice::Lesson(lesson?));
    }
    Ok(notices)
}

#[cfg(test)]
mod tests;
