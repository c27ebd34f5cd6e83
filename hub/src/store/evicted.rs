//! Blobs that were let go to make room: rows first, durably, then those who show or serve them are
//! told, then the file is removed. Whatever ends in between, nothing is said to be here that is
//! not, and the next start removes the file.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::event::StoreError;
use yingxue_sync_core::id::{BlobId, DocId};

use super::{Notice, Store, failed, file_error};

/// Blobs that are remembered as let go: more than a disk has; the oldest are forgotten.
const REMEMBERED_MAX: u32 = 100_000;
/// Files that are removed at a time at a start.
const SWEPT_AT_ONCE: usize = 256;

/// A blob to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evict {
    /// Which.
    pub blob: BlobId,
    /// A lesson that names it.
    pub lesson: DocId,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

impl Store {
    /// Lets go of blobs; gives those that went. One whose lesson somebody has pinned meanwhile
    /// stays. `notify` is called when it is durable and before files are removed.
    ///
    /// # Errors
    /// If the database fails; nothing has gone then.
    pub fn evict(
        &mut self,
        chosen: Vec<Evict>,
        notify: &mut impl FnMut(Notice),
    ) -> Result<Vec<BlobId>, StoreError> {
        let evicted = self.db.write_blocking(move |tx| -> rusqlite::Result<Vec<_>> {
            let mut evicted = Vec::new();
            for one in chosen {
                if let Some(lessons) = take_out(tx, &one)? {
                    evicted.push((one.blob, lessons));
                }
            }
            Ok(evicted)
        });
        let evicted = evicted.map_err(failed)?;
        for (blob, lessons) in &evicted {
            self.manifests.remove(blob);
            notify(Notice::Pieces { blob: *blob, is_complete: false });
            lessons.iter().for_each(|lesson| notify(Notice::Lesson(*lesson)));
        }
        let blobs: Vec<BlobId> = evicted.into_iter().map(|(blob, _)| blob).collect();
        // What cannot be removed now is at the next start.
        if let Err(error) = self.remove_files(&blobs) {
            tracing::warn!(%error, "the file of a lesson that was let go cannot be removed");
        }
        Ok(blobs)
    }

    /// Removes the files of blobs that were let go and are there still; gives how many. Before the
    /// node is made, which may want them again.
    ///
    /// # Errors
    /// If the database or a file fails; what is left goes the next time.
    pub fn remove_evicted(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            let left = self.db.read_blocking(with_file).map_err(failed)?;
            if left.is_empty() {
                return Ok(count);
            }
            self.remove_files(&left)?;
            count += left.len();
        }
    }

    fn remove_files(&self, blobs: &[BlobId]) -> Result<(), StoreError> {
        for blob in blobs {
            self.files.remove(*blob).map_err(file_error)?;
        }
        let blobs = blobs.to_vec();
        self.db.write_blocking(move |tx| note_removed(tx, &blobs)).map_err(failed)
    }
}

/// Takes a blob's rows out; gives the lessons that it was a part of, or none if it stays.
fn take_out(tx: &Transaction<'_>, one: &Evict) -> rusqlite::Result<Option<Vec<DocId>>> {
    const IS_PINNED: &str = "select exists (select 1 from lesson_tracks t \
         join pins p on p.lesson = t.lesson where t.blob = ?1)";
    const GONE: &str = "delete from blobs where blob = ?1 returning verified_bytes";
    const KEEP: &str = "insert or replace into blobs_evicted \
         (blob, lesson, bytes, evicted_at_ms, has_file) values (?1, ?2, ?3, ?4, 1)";
    const UNWANT: &str = "update lesson_tracks set is_wanted = 0 where blob = ?1";
    const LESSONS: &str = "select distinct lesson from lesson_tracks where blob = ?1";
    const FORGET: &str = "delete from blobs_evicted where blob in (select blob from blobs_evicted \
         where has_file = 0 order by evicted_at_ms desc limit -1 offset ?1)";
    let blob = one.blob.as_bytes();
    if tx.prepare_cached(IS_PINNED)?.query_row([blob], |row| row.get(0))? {
        return Ok(None);
    }
    let bytes: Option<i64> =
        tx.prepare_cached(GONE)?.query_row([blob], |row| row.get(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(None) };
    tx.prepare_cached(KEEP)?.execute(params![blob, one.lesson.as_bytes(), bytes, one.at_ms])?;
    tx.prepare_cached(UNWANT)?.execute([blob])?;
    tx.prepare_cached(FORGET)?.execute([REMEMBERED_MAX])?;
    let mut lessons = tx.prepare_cached(LESSONS)?;
    let lessons = lessons.query_map([blob], |row| row.get(0).map(DocId))?;
    lessons.collect::<rusqlite::Result<_>>().map(Some)
}

/// Lists blobs whose files are to be removed. One that has come again since needs its file.
fn with_file(db: &Connection) -> rusqlite::Result<Vec<BlobId>> {
    const WITH_FILE: &str = "select blob from blobs_evicted e where has_file = 1 \
         and not exists (select 1 from blobs b where b.blob = e.blob) limit ?1";
    let mut statement = db.prepare_cached(WITH_FILE)?;
    statement.query_map([SWEPT_AT_ONCE], |row| row.get(0).map(BlobId))?.collect()
}

fn note_removed(tx: &Transaction<'_>, blobs: &[BlobId]) -> rusqlite::Result<()> {
    const REMOVED: &str = "update blobs_evicted set has_file = 0 where blob = ?1";
    let mut removed = tx.prepare_cached(REMOVED)?;
    blobs.iter().try_for_each(|blob| removed.execute([blob.as_bytes()]).map(drop))
}

/// Says whether a blob was let go, and nobody has asked for it since.
///
/// # Errors
/// If the database fails.
pub fn is_evicted(db: &Connection, blob: &BlobId) -> rusqlite::Result<bool> {
    const IS_EVICTED: &str = "select exists (select 1 from blobs_evicted where blob = ?1)";
    db.prepare_cached(IS_EVICTED)?.query_row([blob.as_bytes()], |row| row.get(0))
}

/// Wants a lesson again that was let go: somebody asks for it.
///
/// # Errors
/// If the database fails; call it in a transaction.
pub fn want_again(tx: &Transaction<'_>, lesson: &DocId) -> rusqlite::Result<()> {
    const WANT: &str = "update lesson_tracks set is_wanted = 1 where lesson = ?1 \
         and blob in (select blob from blobs_evicted) and exists \
         (select 1 from lessons where lessons.lesson = ?1 and is_deleted = 0)";
    // A file that is still to be removed is remembered for that.
    const FORGET: &str = "delete from blobs_evicted where has_file = 0 \
         and blob in (select blob from lesson_tracks where lesson = ?1)";
    tx.prepare_cached(WANT)?.execute([lesson.as_bytes()])?;
    tx.prepare_cached(FORGET)?.execute([lesson.as_bytes()]).map(drop)
}

#[cfg(test)]
mod tests;
