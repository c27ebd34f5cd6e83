//! Makes a lesson of uploaded files, a video, a sound, a presentation or pictures: encodes them,
//! turns the tracks into blobs, publishes it as soon as it can be taught, and adds each later track
//! when that is finished.
//!
//! A hub that is killed goes on where it was: the codec keeps what is finished in the work
//! folder, blobs are made again from the same bytes and are the same, and the document is the one
//! whose id was made when the upload ended.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinHandle;
use yingxue_codec::import::{self, FinishedTrack, Imported, Progress, Rates};
use yingxue_codec::track::TrackKind;
use yingxue_sync_core::id::DocId;

use crate::app::App;
use crate::catalog::query;
use crate::jobs::runner::{ClaimedJob, GIVES_WAY, JobError, WAITING_FOR_ALLIANCE};
use crate::jobs::{self, JobKind, JobNote, Stage};
use crate::problem::ApiError;

mod blobs;
mod encoding;
mod publication;
mod rates;
mod work_folder;

pub use publication::add_tracks;
pub use work_folder::remove_work;
pub(crate) use work_folder::{PartFolder, kept};

use publication::Publication;

/// A picture of more lines than this has a `video-480`.
const LINES_OF_VIDEO_360: u32 = 360;

/// What a job has made of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// All that will be made of it.
    Everything,
    /// What the lesson can be taught with; `video-480` is to follow.
    FirstTiers,
}

/// Does one import. Called again with the same job after a stop.
///
/// # Errors
/// With the code and the sentence that the teacher sees.
pub async fn run(app: &App, job: &ClaimedJob) -> Result<Made, JobError> {
    let lesson: DocId = job.lesson_id.parse().map_err(internal)?;
    let row = app.db.read(move |db| query::row(db, &lesson)).await.map_err(ApiError::from)?;
    row.ok_or_else(|| internal("the lesson of an import is not there"))?;
    work_folder::sweep(app).await;
    let outcome = make(app, job, lesson).await;
    if outcome.is_err() && !may_go_on(app, lesson, &outcome).await {
        remove_work(app, job.id).await;
    }
    outcome
}

async fn make(app: &App, job: &ClaimedJob, lesson: DocId) -> Result<Made, JobError> {
    let work_dir = work_folder::path(app, job.id);
    let (finished, mut early) = mpsc::unbounded_channel();
    let mut encoding = encode(app, job, &work_dir, finished)?;
    let mut publication = Publication::new(app, job, lesson, &work_dir);
    let imported = loop {
        tokio::select! {
            Some(track) = early.recv() => publication.take(track).await,
            imported = &mut encoding => break imported.map_err(internal)??,
        }
    };
    if app.sync.membership().is_none() {
        return Err(JobError::waiting_for_alliance());
    }
    job.observer.report(Stage::Store, 100, None);
    publication.finish(&imported).await?;
    if job.kind == JobKind::Import {
        let notes = imported.notes.iter();
        let notes: Vec<JobNote> =
            notes.map(|n| JobNote { code: n.code.to_owned(), text: n.text.clone() }).collect();
        let id = job.id;
        app.db.write(move |tx| jobs::keep_notes(tx, id, &notes)).await?;
    }
    let has_more = app.config.media.video_480 && job.kind == JobKind::Import;
    match has_more && imported.tracks.iter().any(is_larger_than_360) {
        true => Ok(Made::FirstTiers),
        false => Ok(Made::Everything),
    }
}

fn is_larger_than_360(track: &FinishedTrack) -> bool {
    let is_moving = track.info.kind == TrackKind::Source && track.info.frame_rate.is_some();
    is_moving && track.info.height.is_some_and(|lines| lines > LINES_OF_VIDEO_360)
}

/// What is finished is worth keeping if the same import may go on soon, or if somebody cancelled
/// the rest of a lesson that is taught already and may want it after all.
async fn may_go_on(app: &App, lesson: DocId, outcome: &Result<Made, JobError>) -> bool {
    const KEPT: [&str; 8] = [
        "disk_full",
        "disk_failed",
        "ffmpeg_stopped",
        "no_ffmpeg",
        "no_svt_av1",
        WAITING_FOR_ALLIANCE,
        GIVES_WAY,
        "internal",
    ];
    let Err(error) = outcome else { return false };
    if app.shutdown.is_on() || KEPT.contains(&error.code.as_str()) {
        return true;
    }
    let row = app.db.read(move |db| query::row(db, &lesson)).await.ok().flatten();
    error.code == "cancelled" && row.is_some_and(|row| row.is_published && !row.is_deleted)
}

/// Starts to encode on a thread of its own, which sends each track when it is finished.
fn encode(
    app: &App,
    job: &ClaimedJob,
    work_dir: &Path,
    finished: UnboundedSender<FinishedTrack>,
) -> Result<JoinHandle<Result<Imported, JobError>>, JobError> {
    let ffmpeg = app.ffmpeg.clone().ok_or_else(|| {
        JobError::new("no_ffmpeg", "ffmpeg is not installed on the hub; install it, then retry.")
    })?;
    let work_dir = work_dir.to_owned();
    let watch = Watch::new(app, job, finished);
    Ok(tokio::task::spawn_blocking(move || {
        encoding::encode(&ffmpeg, &work_dir, &watch).map_err(|failure| {
            let is_full = failure.code() == "disk_full" || watch.is_disk_full();
            if is_full {
                work_folder::remove_unfinished(&work_dir);
                return ApiError::disk_full(None).into();
            }
            match watch.gives_way.load(Ordering::Relaxed) {
                true => JobError::gives_way(),
                false => failure.into_job_error(&watch.job.import),
            }
        })
    }))
}

/// Passes on what the codec says and asks. Ends it before the disk is so full that the hub's
/// database has no room to say so, and when something more urgent waits.
struct Watch {
    app: App,
    job: ClaimedJob,
    finished: UnboundedSender<FinishedTrack>,
    gives_way: AtomicBool,
    /// There was too little room at least once, which is why the import ends.
    is_full: AtomicBool,
}

impl Watch {
    fn new(app: &App, job: &ClaimedJob, finished: UnboundedSender<FinishedTrack>) -> Self {
        let (gives_way, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { app: app.clone(), job: job.clone(), finished, gives_way, is_full }
    }

    fn is_disk_full(&self) -> bool {
        let reserve_bytes = self.app.config.uploads.disk_reserve_bytes;
        let is_full = rustix::fs::statvfs(&self.app.data_dir)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < reserve_bytes);
        self.is_full.fetch_or(is_full, Ordering::Relaxed) || is_full
    }

    fn has_to_give_way(&self) -> bool {
        if self.job.kind == JobKind::Import480 && self.app.jobs.is_import_waiting() {
            self.gives_way.store(true, Ordering::Relaxed);
        }
        self.gives_way.load(Ordering::Relaxed)
    }
}

impl import::Observer for Watch {
    fn progress(&self, progress: Progress) {
        let stage = match progress.stage {
            import::Stage::Probe => Stage::Probe,
            import::Stage::Source => Stage::Source,
            import::Stage::Audio => Stage::Audio,
            import::Stage::Slides | import::Stage::Pages | import::Stage::Video => Stage::Video,
            import::Stage::Video480 => Stage::Video480,
        };
        self.job.observer.report(stage, progress.percent, progress.seconds_left);
    }

    fn is_cancelled(&self) -> bool {
        self.job.observer.is_cancelled() || self.is_disk_full() || self.has_to_give_way()
    }

    fn is_paused(&self) -> bool {
        self.job.observer.is_paused()
    }

    fn rates(&self) -> Rates {
        rates::known(&self.app.data_dir).unwrap_or_default()
    }

    fn rates_measured(&self, measured: Rates) {
        rates::keep(&self.app.data_dir, measured);
    }

    fn track_finished(&self, track: &FinishedTrack) {
        // Nobody listens any more if the hub is stopping.
        drop(self.finished.send(track.clone()));
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
