//! Pieces that a blob's file has although no row says so: after a repair, or of a database that
//! was lost. Each is compared with its hash before it counts.

use std::thread;
use std::time::Duration;

use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::id::BlobId;
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

/// Bytes read between two pauses, and the pause: half of a disk of 100 MB/s is left to classes,
/// which may wait for just these files.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_PAUSE: Duration = Duration::from_millis(80);

/// Reads a file through; gives the pieces that are right. Not for async threads.
///
/// # Errors
/// If the disk fails; a file that is short or gone has fewer pieces.
pub fn pieces(
    files: &BlobFiles,
    blob: BlobId,
    manifest: &Manifest,
) -> Result<Vec<u32>, BlobFileError> {
    let mut held = Vec::new();
    let (mut offset, mut batch_bytes) = (0, 0);
    for (number, piece) in (0..).zip(&manifest.pieces) {
        match files.read_at(blob, offset, piece.bytes as usize) {
            Ok(bytes) if manifest.verifies(number, &bytes) => held.push(number),
            Ok(_) => {}
            Err(BlobFileError::Missing(_) | BlobFileError::OutOfRange { .. }) => break,
            Err(error) => return Err(error),
        }
        offset += u64::from(piece.bytes);
        batch_bytes += u64::from(piece.bytes);
        if batch_bytes >= BATCH_BYTES {
            batch_bytes = 0;
            files.forget_cached(blob);
            thread::sleep(BATCH_PAUSE);
        }
    }
    Ok(held)
}
