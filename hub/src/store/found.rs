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

/// What a file has of a blob.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The pieces that are right.
    pub held: Vec<u32>,
    /// True if the disk did not give some of the others.
    pub has_unreadable: bool,
}

/// Reads a file through; one that is short or gone has fewer pieces. Not for async threads.
pub fn pieces(files: &BlobFiles, blob: BlobId, manifest: &Manifest) -> Pieces {
    let mut found = Pieces::default();
    let (mut offset, mut batch_bytes) = (0, 0);
    for (number, piece) in (0..).zip(&manifest.pieces) {
        match files.read_twice(blob, offset, piece.bytes as usize) {
            Ok(bytes) if manifest.verifies(number, &bytes) => found.held.push(number),
            Ok(_) => {}
            Err(BlobFileError::Missing(_) | BlobFileError::OutOfRange { .. }) => break,
            Err(_) => found.has_unreadable = true,
        }
        offset += u64::from(piece.bytes);
        batch_bytes += u64::from(piece.bytes);
        if batch_bytes >= BATCH_BYTES {
            batch_bytes = 0;
            files.forget_cached(blob);
            thread::sleep(BATCH_PAUSE);
        }
    }
    found
}
