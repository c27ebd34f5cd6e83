//! Finished tracks become blobs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use yingxue_codec::import::FinishedTrack;
use yingxue_sync_core::blob::{Manifest, PieceInfo};
use yingxue_sync_core::id::{BlobId, Hash};
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

use super::{internal, sentence};
use crate::app::App;
use crate::catalog::NewTrack;
use crate::jobs::JobError;
use crate::problem::ApiError;
use crate::store::blobs;

/// A finished track as a blob that lies in its place.
struct MadeBlob {
    blob: BlobId,
    manifest: Manifest,
    track: NewTrack,
}

/// Puts a track among the blobs, durably: the file first, then the row that names it. The same
/// track of two lessons is one blob.
pub(super) async fn store(
    app: &App,
    track: &FinishedTrack,
    work_dir: &Path,
) -> Result<NewTrack, JobError> {
    let (track, work_dir) = (track.clone(), work_dir.to_owned());
    let files = app.sync.files().clone();
    let made = tokio::task::spawn_blocking(move || make_blob(&files, &track, &work_dir));
    let MadeBlob { blob, manifest, track } = made.await.map_err(internal)??;
    let kept = app.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest));
    kept.await.map_err(ApiError::from)?;
    Ok(track)
}

fn make_blob(
    files: &BlobFiles,
    track: &FinishedTrack,
    work_dir: &Path,
) -> Result<MadeBlob, JobError> {
    let manifest = describe(track).map_err(disk_error)?;
    // What another hub would refuse must not be published.
    let manifest = Manifest::decode(&manifest.encode()).map_err(internal)?;
    let blob = manifest.blob_id();
    adopt(files, blob, &track.path, work_dir)?;
    let info = &track.info;
    let track = NewTrack {
        kind: info.kind.to_string(),
        blob,
        bytes: manifest.total_bytes(),
        codecs: info.codecs.clone(),
        width: info.width,
        height: info.height,
    };
    Ok(MadeBlob { blob, manifest, track })
}

fn describe(track: &FinishedTrack) -> io::Result<Manifest> {
    let mut file = File::open(&track.path)?;
    let mut piece = Vec::new();
    let mut pieces = Vec::new();
    for bytes in track.info.pieces() {
        piece.resize(bytes as usize, 0);
        file.read_exact(&mut piece)?;
        pieces.push(PieceInfo { bytes, hash: Hash(*blake3::hash(&piece).as_bytes()) });
    }
    Ok(Manifest { pieces, info: track.info.encode() })
}

/// Adopts a second name of the file, so that the codec still finds its own after a kill.
fn adopt(files: &BlobFiles, blob: BlobId, path: &Path, work_dir: &Path) -> Result<(), JobError> {
    let second_name = work_dir.join(format!("{}.blob", blob.short()));
    let adopted = match fs::hard_link(path, &second_name) {
        Ok(()) => files.adopt(blob, &second_name),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            files.adopt(blob, &second_name)
        }
        // Not every file system has second names.
        Err(_) => files.adopt(blob, path),
    };
    adopted.map_err(|error| match error {
        BlobFileError::NoSpace { .. } => ApiError::disk_full(None).into(),
        error => JobError::new("disk_failed", sentence(&error)),
    })
}

fn disk_error(error: io::Error) -> JobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ApiError::disk_full(None).into()
        }
        _ => JobError::new("disk_failed", sentence(&error)),
    }
}
