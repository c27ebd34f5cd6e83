//! Makes a lesson of an uploaded file: encodes it, turns the tracks into blobs, publishes it.
//!
//! A hub that is killed goes on where it was: the codec keeps what is finished in the work
//! folder, blobs are made again from the same bytes and are the same, and the document is the one
//! whose id was made when the upload ended.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use yingxue_codec::import::{
    self, EncoderChoice, FinishedTrack, ImportError, ImportRequest, Imported, Progress, Tiers,
};
use yingxue_codec::{Ffmpeg, Limits};
use yingxue_sync_core::blob::{Manifest, PieceInfo};
use yingxue_sync_core::id::{BlobId, DocId, Hash};
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

use crate::alliance::refused;
use crate::app::App;
use crate::catalog::query::{self, LessonRow};
use crate::catalog::{self, NewLesson, NewTrack, bounds, collection};
use crate::jobs::runner::{ClaimedJob, JobError, WAITING_FOR_ALLIANCE};
use crate::jobs::{JobState, Observer, Stage};
use crate::problem::ApiError;
use crate::store::blobs;
use crate::uploads;

/// A finished track as a blob that lies in its place.
struct MadeBlob {
    blob: BlobId,
    manifest: Manifest,
    track: NewTrack,
}

/// Does one import. Called again with the same job after a stop.
///
/// # Errors
/// With the code and the sentence that the teacher sees.
pub async fn run(app: &App, job: &ClaimedJob) -> Result<(), JobError> {
    let lesson: DocId = job.lesson_id.parse().map_err(internal)?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await.map_err(ApiError::from)?;
    let row = row.ok_or_else(|| internal("the lesson of an import is not there"))?;
    let work_dir = work_root(app).join(job.id.to_string());
    sweep(app).await;
    let outcome = if row.is_published { Ok(()) } else { make(app, job, &row, &work_dir).await };
    if !may_go_on(app, &outcome) {
        remove_folder(work_dir).await;
    }
    outcome
}

async fn make(
    app: &App,
    job: &ClaimedJob,
    row: &LessonRow,
    work_dir: &Path,
) -> Result<(), JobError> {
    let imported = encode(app, job, work_dir).await?;
    if app.sync.membership().is_none() {
        return Err(JobError::waiting_for_alliance());
    }
    job.observer.report(Stage::Store, 100, None);
    let made = store(app, &imported.tracks, work_dir).await?;
    if job.observer.is_cancelled() {
        return Err(JobError::new("cancelled", "The import was cancelled."));
    }
    publish(app, job, row, &imported, made).await
}

/// What is finished is worth keeping if the same import may go on soon.
fn may_go_on(app: &App, outcome: &Result<(), JobError>) -> bool {
    const KEPT: [&str; 4] = ["disk_full", "disk_failed", WAITING_FOR_ALLIANCE, "internal"];
    outcome.as_ref().is_err_and(|e| app.shutdown.is_on() || KEPT.contains(&e.code.as_str()))
}

async fn encode(app: &App, job: &ClaimedJob, work_dir: &Path) -> Result<Imported, JobError> {
    let ffmpeg = app.ffmpeg.clone().ok_or_else(|| {
        JobError::new("no_ffmpeg", "ffmpeg is not installed on the hub; install it, then retry.")
    })?;
    let source = uploads::path(app, &job.import.upload_id);
    let work_dir = work_dir.to_owned();
    let (observer, reserve_bytes) = (job.observer.clone(), app.config.uploads.disk_reserve_bytes);
    let watch = Watch { observer, folder: app.data_dir.clone(), reserve_bytes };
    tokio::task::spawn_blocking(move || {
        let encoded = encode_blocking(&ffmpeg, &source, &work_dir, &watch);
        encoded.map_err(|error| {
            let is_full = error.code() == "disk_full" || watch.is_disk_full();
            if is_full {
                remove_unfinished(&work_dir);
                return ApiError::disk_full(None).into();
            }
            JobError::new(error.code(), sentence(&error))
        })
    })
    .await
    .map_err(internal)?
}

fn encode_blocking(
    ffmpeg: &Ffmpeg,
    source: &Path,
    work_dir: &Path,
    watch: &Watch,
) -> Result<Imported, ImportError> {
    fs::create_dir_all(work_dir)?;
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limits = Limits::default();
    let (encoder, tiers) = (EncoderChoice::Rav1e, Tiers::FIRST);
    let request = ImportRequest { ffmpeg, source, work_dir, workers, limits, encoder, tiers };
    import::import(&request, watch)
}

/// Passes the codec's progress on, and ends it before the disk is so full that the hub's
/// database has no room to say so.
struct Watch {
    observer: Observer,
    folder: PathBuf,
    reserve_bytes: u64,
}

impl Watch {
    fn is_disk_full(&self) -> bool {
        rustix::fs::statvfs(&self.folder)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < self.reserve_bytes)
    }
}

impl import::Observer for Watch {
    fn progress(&self, progress: Progress) {
        let stage = match progress.stage {
            import::Stage::Probe => Stage::Probe,
            import::Stage::Source => Stage::Source,
            import::Stage::Audio => Stage::Audio,
            import::Stage::Video | import::Stage::Video480 => Stage::Video,
        };
        self.observer.report(stage, progress.percent, progress.seconds_left);
    }

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled() || self.is_disk_full()
    }
}

/// Puts the tracks among the blobs, durably: files first, then the rows that name them.
async fn store(
    app: &App,
    tracks: &[FinishedTrack],
    work_dir: &Path,
) -> Result<Vec<NewTrack>, JobError> {
    let (tracks, work_dir) = (tracks.to_vec(), work_dir.to_owned());
    let files = app.sync.files().clone();
    let made = tokio::task::spawn_blocking(move || {
        let made = tracks.iter().map(|track| make_blob(&files, track, &work_dir));
        made.collect::<Result<Vec<MadeBlob>, JobError>>()
    });
    let made = made.await.map_err(internal)??;
    let kept = app.db.write(move |tx| -> rusqlite::Result<Vec<NewTrack>> {
        for MadeBlob { blob, manifest, .. } in &made {
            blobs::insert_complete(tx, blob, manifest)?;
        }
        Ok(made.into_iter().map(|made| made.track).collect())
    });
    Ok(kept.await.map_err(ApiError::from)?)
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

async fn publish(
    app: &App,
    job: &ClaimedJob,
    row: &LessonRow,
    imported: &Imported,
    tracks: Vec<NewTrack>,
) -> Result<(), JobError> {
    let poster = imported.poster_jpeg.clone();
    let poster = poster.filter(|jpeg| jpeg.len() <= bounds::POSTER_BYTES_MAX);
    let lesson = NewLesson {
        title: job.import.title.clone(),
        subject: job.import.subject.clone(),
        grade: job.import.grade.clone(),
        teacher: job.import.teacher.clone(),
        school: app.school_name()?,
        school_hub: app.sync.hub_id(),
        filename: job.import.filename.clone(),
        created_at_ms: row.created_at_ms,
    };
    let edits = catalog::lesson_edits(&lesson, imported.duration_ms, poster, &tracks);
    let author = job.import.author.clone();
    app.sync.edit_doc(collection(), row.lesson, author, edits).await.map_err(refused)?;
    for track in &tracks {
        app.sync.blob_added(track.blob).await;
    }
    Ok(())
}

fn work_root(app: &App) -> PathBuf {
    app.data_dir.join("work")
}

/// Removes the work folders of jobs that are over.
async fn sweep(app: &App) {
    let mut open = app.jobs.open();
    open.retain(|job| job.state != JobState::Cancelled);
    let open: Vec<String> = open.iter().map(|job| job.id.to_string()).collect();
    let Ok(mut folders) = tokio::fs::read_dir(work_root(app)).await else { return };
    while let Ok(Some(folder)) = folders.next_entry().await {
        if !open.iter().any(|id| folder.file_name().to_str() == Some(id)) {
            remove_folder(folder.path()).await;
        }
    }
}

/// Removes what was being written; finished tracks stay for the next try.
fn remove_unfinished(work_dir: &Path) {
    let Ok(entries) = fs::read_dir(work_dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "part")
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, "an unfinished track cannot be removed");
        }
    }
}

async fn remove_folder(folder: PathBuf) {
    match tokio::fs::remove_dir_all(&folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a work folder cannot be removed");
        }
        _ => {}
    }
}

fn disk_error(error: io::Error) -> JobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ApiError::disk_full(None).into()
        }
        _ => JobError::new("disk_failed", sentence(&error)),
    }
}

fn internal(cause: impl std::fmt::Display) -> JobError {
    ApiError::internal(cause).into()
}

/// Errors of libraries begin in lower case and have no full stop.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    let mut sentence: String = first.into_iter().flatten().chain(chars).collect();
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests;
