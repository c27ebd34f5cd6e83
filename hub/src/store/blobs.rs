//! Rows of blobs: manifest and bitmap.

use rusqlite::{Connection, OptionalExtension, params};
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::event::StoredBlob;
use yingxue_sync_core::id::{BlobId, CollectionId};

/// Blobs that are removed at one start, so that it stays quick; three of each cancelled import.
const UNNAMED_MAX: usize = 256;

/// Reads what is known of a blob; all empty if nothing is.
pub fn load(db: &Connection, blob: &BlobId) -> rusqlite::Result<StoredBlob> {
    const BLOB: &str = "select manifest, bitmap from blobs where blob = ?1";
    const REFS: &str = "select distinct collection from blob_refs where blob = ?1";
    let found = db
        .prepare_cached(BLOB)?
        .query_row([blob.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (manifest, bitmap) = match found {
        Some((manifest, bitmap)) => (Some(manifest), bitmap),
        None => (None, Vec::new()),
    };
    let mut refs = db.prepare_cached(REFS)?;
    let refs = refs.query_map([blob.as_bytes()], |row| row.get(0).map(CollectionId))?;
    Ok(StoredBlob { manifest, bitmap, collections: refs.collect::<Result<_, _>>()? })
}

/// Says whether a piece is verified and durable.
pub fn is_held(db: &Connection, blob: &BlobId, piece: u32) -> rusqlite::Result<bool> {
    const BYTE: &str = "select substr(bitmap, ?2, 1) from blobs where blob = ?1";
    let byte: Option<Vec<u8>> = db
        .prepare_cached(BYTE)?
        .query_row(params![blob.as_bytes(), piece / 8 + 1], |row| row.get(0))
        .optional()?;
    let bits = byte.and_then(|byte| byte.first().copied()).unwrap_or(0);
    Ok(bits & (1 << (piece % 8)) != 0)
}

/// Keeps a manifest; a blob that is known already stays as it is.
pub(crate) fn reserve(
    db: &Connection,
    blob: &BlobId,
    encoded: &[u8],
    manifest: &Manifest,
) -> rusqlite::Result<()> {
    const INSERT: &str = "insert or ignore into blobs (blob, pieces, held_pieces, verified_bytes, \
         total_bytes, is_complete, bitmap, manifest) values (?1, ?2, 0, 0, ?3, 0, ?4, ?5)";
    let total_bytes = i64::try_from(manifest.total_bytes()).unwrap_or(i64::MAX);
    db.prepare_cached(INSERT)?.execute(params![
        blob.as_bytes(),
        manifest.pieces.len(),
        total_bytes,
        Bitmap::new(manifest.pieces.len()).as_bytes(),
        encoded,
    ])?;
    Ok(())
}

/// Keeps a blob that was made here and whose file is whole and durable.
pub fn insert_complete(
    db: &Connection,
    blob: &BlobId,
    manifest: &Manifest,
) -> rusqlite::Result<()> {
    let all: Vec<u32> = (0..).take(manifest.pieces.len()).collect();
    reserve(db, blob, &manifest.encode(), manifest)?;
    mark(db, blob, &all, manifest).map(|_| ())
}

/// Finds whole blobs that no document names: what an import has left that was cancelled at its
/// end. None while a document is still to be saved or to come or a lesson to be made, which may
/// name them; never what was found again after a repair.
pub(super) fn unnamed(db: &Connection) -> rusqlite::Result<Vec<BlobId>> {
    const UNNAMED: &str = "select blob from blobs where is_complete = 1 \
         and not exists (select 1 from blob_refs where blob_refs.blob = blobs.blob) \
         and not exists (select 1 from blobs_found where blobs_found.blob = blobs.blob) \
         and not exists (select 1 from store_identity where is_in_doubt = 1) \
         and not exists (select 1 from envelopes where is_applied = 0) \
         and not exists (select 1 from jobs where state in ('queued', 'running')) limit ?1";
    let mut statement = db.prepare_cached(UNNAMED)?;
    statement.query_map([UNNAMED_MAX], |row| row.get(0).map(BlobId))?.collect()
}

/// Forgets blobs whose files are gone.
pub(super) fn forget(db: &Connection, blobs: &[BlobId]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("delete from blobs where blob = ?1")?;
    blobs.iter().try_for_each(|blob| statement.execute([blob.as_bytes()]).map(drop))
}

/// Adds pieces to the bitmap; says whether the blob is whole now.
pub(crate) fn mark(
    db: &Connection,
    blob: &BlobId,
    pieces: &[u32],
    manifest: &Manifest,
) -> rusqlite::Result<bool> {
    const HELD: &str = "select bitmap, verified_bytes from blobs where blob = ?1";
    const UPDATE: &str = "update blobs set bitmap = ?2, held_pieces = ?3, verified_bytes = ?4, \
         is_complete = ?5 where blob = ?1";
    let (bitmap, mut verified_bytes): (Vec<u8>, i64) = db
        .prepare_cached(HELD)?
        .query_row([blob.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut held = Bitmap::from_bytes(&bitmap, manifest.pieces.len());
    for &piece in pieces {
        if !held.has(piece) {
            held.insert(piece);
            verified_bytes += manifest.pieces.get(piece as usize).map_or(0, |p| i64::from(p.bytes));
        }
    }
    let is_complete = held.is_full();
    db.prepare_cached(UPDATE)?.execute(params![
        blob.as_bytes(),
        held.as_bytes(),
        held.count(),
        verified_bytes,
        is_complete,
    ])?;
    if is_complete {
        db.prepare_cached("update lesson_tracks set is_wanted = 0 where blob = ?1")?
            .execute([blob.as_bytes()])?;
    }
    Ok(is_complete)
}
