//! Files of lessons after a repair: none of their pieces counts until it was read again.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};
use yingxue_sync_core::blob::{Manifest, id_of};
use yingxue_sync_core::id::BlobId;

use super::report::Report;
use super::tree::Row;
use crate::store::blobs;

/// Folder of files of lessons in the data directory.
const BLOBS_FOLDER: &str = "blobs";
/// Folder of uploads in the data directory.
const UPLOADS_FOLDER: &str = "uploads";

/// Keeps a row of `blobs` whose manifest is what its id says and whose file is there. What it
/// says of pieces is not believed.
pub(super) fn keep_manifest(
    tx: &Transaction<'_>,
    data_dir: &Path,
    row: &Row,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let [Value::Blob(blob), .., Value::Blob(_), Value::Blob(bytes)] = &row.columns[..] else {
        return Ok(());
    };
    let Ok(blob) = <[u8; 32]>::try_from(blob.as_slice()).map(BlobId) else { return Ok(()) };
    if id_of(bytes) != blob || !file_of(data_dir, &blob).exists() {
        return Ok(());
    }
    let Ok(manifest) = Manifest::decode(bytes) else { return Ok(()) };
    blobs::reserve(tx, &blob, bytes, &manifest)?;
    // One that is known already changes nothing.
    report.manifests_salvaged += tx.changes();
    Ok(())
}

/// Takes back every piece; what has a file is read again once the hub runs.
pub(super) fn distrust(
    tx: &Transaction<'_>,
    data_dir: &Path,
    report: &mut Report,
) -> rusqlite::Result<()> {
    tx.execute_batch(
        "update blobs set bitmap = zeroblob(length(bitmap)), held_pieces = 0, \
         verified_bytes = 0, is_complete = 0; \
         delete from blob_checks; delete from blobs_unread; \
         update lesson_tracks set is_wanted = 1 where exists (select 1 from lessons \
         where lessons.lesson = lesson_tracks.lesson and is_deleted = 0) \
         and not exists (select 1 from blobs_evicted e where e.blob = lesson_tracks.blob);",
    )?;
    let mut known = tx.prepare("select 1 from blobs where blob = ?1")?;
    let mut unread = tx.prepare("insert or ignore into blobs_unread (blob) values (?1)")?;
    for blob in files(&data_dir.join(BLOBS_FOLDER)) {
        if known.exists([blob.as_bytes()])? {
            unread.execute([blob.as_bytes()])?;
            report.blobs_unread += 1;
        } else {
            report.files_unknown += 1;
        }
    }
    Ok(())
}

fn file_of(data_dir: &Path, blob: &BlobId) -> std::path::PathBuf {
    let hex = blob.to_string();
    data_dir.join(BLOBS_FOLDER).join(&hex[..2]).join(format!("{hex}.mp4"))
}

/// Lists the blobs that have a file.
fn files(folder: &Path) -> Vec<BlobId> {
    let inside = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let files = inside(folder).flat_map(|part| inside(&part.path()).collect::<Vec<_>>());
    files.filter_map(|file| file.path().file_stem()?.to_str()?.parse().ok()).collect()
}

/// Moves uploads that the new database does not know beside the damaged one: the hub would take
/// them for rubbish.
pub(super) fn move_unknown_uploads(
    data_dir: &Path,
    database: &Path,
    damaged: &Path,
) -> io::Result<()> {
    let known = || -> rusqlite::Result<Vec<String>> {
        let db = Connection::open(database)?;
        db.prepare("select lower(hex(id)) from uploads")?.query_map([], |row| row.get(0))?.collect()
    };
    let Ok(known) = known() else { return Ok(()) };
    let Ok(entries) = fs::read_dir(data_dir.join(UPLOADS_FOLDER)) else { return Ok(()) };
    let target = damaged.join(UPLOADS_FOLDER);
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !known.iter().any(|id| name.to_str() == Some(id)) {
            fs::create_dir_all(&target)?;
            fs::rename(entry.path(), target.join(name))?;
        }
    }
    Ok(())
}
