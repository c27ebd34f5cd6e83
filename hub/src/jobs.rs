//! Work that outlives a restart: enqueued in the transaction that causes it, done one at a time.
//! What a lesson can be taught with comes before what only makes it look better.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::app::App;
use crate::db::Db;
use crate::events::{EventBus, HubEvent};
use crate::problem::ApiError;

mod routes;
pub mod runner;
pub(crate) mod table;

pub use routes::{cancel_of_lesson, routes};
pub use runner::{ClaimedJob, JobError};
pub use table::{enqueue, keep_notes, notes_of_lesson};

/// Jobs that are not done and are remembered; a school makes a few a day.
const OPEN_MAX: usize = 1_000;
/// Between two reports of progress; faster is not seen.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// A job as screens show it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// What it makes.
    pub kind: JobKind,
    /// Which lesson it makes.
    pub lesson_id: String,
    /// Title of the lesson when the job was made.
    pub title: String,
    /// How far it is.
    pub state: JobState,
    /// What it does now, if it runs.
    pub stage: Option<Stage>,
    /// Why it stands still though it runs.
    pub paused: Option<Pause>,
    /// 0 to 100 of the whole job.
    pub percent: u8,
    /// About how long it will take still.
    pub seconds_left: Option<u64>,
    /// Why it has failed; of one that is queued, what it waits for (`waiting_for_alliance`).
    pub error: Option<JobFailure>,
    /// What was kept of the files and what was left out, of one that is done.
    pub notes: Vec<JobNote>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// True if the lesson was in the library, with what was finished of it, when the job began,
    /// ended or was cancelled. A cancelled job then leaves a lesson that can be taught.
    pub is_lesson_there: bool,
    /// True if somebody wants it done in spite of a class.
    #[serde(skip)]
    pub goes_on: bool,
}

/// What a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum JobKind {
    /// What a lesson can be taught with.
    #[serde(rename = "import")]
    Import,
    /// The track `video-480` of a lesson that is published. Gives way to every `import`.
    #[serde(rename = "import-480")]
    Import480,
}

/// Why a job stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// A class is on: lessons are being played from this hub.
    Class,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// Being done.
    Running,
    /// Done.
    Done,
    /// Given up; can be tried again.
    Failed,
    /// Somebody did not want it; can be tried again.
    Cancelled,
}

/// What an import does now, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looks what the file is.
    Probe,
    /// Makes the track `source`.
    Source,
    /// Makes the track `audio`.
    Audio,
    /// Makes the track `video-360`, and finds the slides in its pictures.
    Video,
    /// Makes the track `video-480`.
    #[serde(rename = "video_480")]
    Video480,
    /// Puts the tracks into the catalogue.
    Store,
}

/// Why a job has failed, or what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct JobFailure {
    /// Stable; the web UI translates it.
    pub code: String,
    /// One English sentence.
    pub detail: String,
}

/// One thing that was kept or left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobNote {
    /// Stable; the web UI translates it.
    pub code: String,
    /// One English sentence without a full stop, with its numbers.
    pub text: String,
}

/// What an import needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportJob {
    /// The first upload; its file is [`crate::uploads::path`].
    pub upload_id: String,
    /// The first file's name, as the client said.
    pub filename: String,
    /// The other files of the lesson, in their order.
    #[serde(default)]
    pub others: Vec<OtherFile>,
    /// Title; never empty.
    pub title: String,
    /// One of the contract's subjects.
    pub subject: String,
    /// `k` or `1` to `12`.
    pub grade: String,
    /// Name of the teacher who is seen in it.
    pub teacher: String,
    /// Pseudonym of who uploaded it.
    pub author: String,
}

/// A file of a lesson after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherFile {
    /// Its upload.
    pub upload_id: String,
    /// Its name, as the client said.
    pub filename: String,
}

impl ImportJob {
    /// Gives each file's upload and name, in their order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.others.iter().map(|file| (&*file.upload_id, &*file.filename));
        std::iter::once((&*self.upload_id, &*self.filename)).chain(others)
    }
}

/// The jobs that are not done, in memory, and the way to wake the runner.
pub struct Jobs {
    open: RwLock<BTreeMap<i64, Job>>,
    stops: Mutex<BTreeMap<i64, Arc<AtomicBool>>>,
    pub(crate) wake: Notify,
    events: EventBus,
}

/// Keeps a job's progress, and says whether it is still wanted.
#[derive(Clone)]
pub struct Observer {
    app: App,
    id: i64,
    stop: Arc<AtomicBool>,
    reported: Arc<Mutex<Option<Instant>>>,
}

impl Jobs {
    /// Loads what is not done; what a stop has interrupted waits again.
    pub fn load(
        db: &Db,
        data_dir: &Path,
        events: &EventBus,
        attempts_max: u32,
    ) -> Result<Self, ApiError> {
        let dir = data_dir.to_owned();
        db.write_blocking(move |tx| runner::requeue_interrupted(tx, &dir, attempts_max))?;
        let rows = db.read_blocking(|c| table::select(c, table::SELECT_OPEN, OPEN_MAX))?;
        let open = RwLock::new(rows.into_iter().map(|job| (job.id, job)).collect());
        let stops = Mutex::default();
        Ok(Self { open, stops, wake: Notify::new(), events: events.clone() })
    }

    /// Takes up a job whose transaction is durable.
    pub fn committed(&self, job: Job) {
        self.set(job);
        self.wake.notify_one();
    }

    /// Finds the newest job of a lesson that is not done, without a query.
    pub fn of_lesson(&self, lesson_id: &str) -> Option<Job> {
        let open = self.open.read().expect("never held over a panic");
        open.values().rev().find(|job| job.lesson_id == lesson_id).cloned()
    }

    /// Gives the jobs that are not done, newest first.
    pub fn open(&self) -> Vec<Job> {
        self.open.read().expect("never held over a panic").values().rev().cloned().collect()
    }

    /// Says whether a lesson waits for what it can be taught with.
    pub(crate) fn is_import_waiting(&self) -> bool {
        let open = self.open.read().expect("never held over a panic");
        // One with an error waits for an alliance, not for its turn.
        let waits = |job: &Job| job.state == JobState::Queued && job.error.is_none();
        open.values().any(|job| job.kind == JobKind::Import && waits(job))
    }

    /// Keeps a job's new state and tells browsers.
    pub(crate) fn set(&self, job: Job) {
        let mut open = self.open.write().expect("never held over a panic");
        match job.state {
            JobState::Done => drop(open.remove(&job.id)),
            _ => drop(open.insert(job.id, job.clone())),
        }
        drop(open);
        self.events.publish(HubEvent::Lesson { lesson_id: job.lesson_id.clone() });
        self.events.publish(HubEvent::Job(Box::new(job)));
    }

    /// Gives the flag that stops a job that runs.
    pub(crate) fn stop_flag(&self, id: i64) -> Arc<AtomicBool> {
        let mut stops = self.stops.lock().expect("never held over a panic");
        Arc::clone(stops.entry(id).or_default())
    }

    pub(crate) fn forget_stop_flag(&self, id: i64) {
        self.stops.lock().expect("never held over a panic").remove(&id);
    }

    /// Asks what runs to stop, because the hub does.
    pub fn stop_all(&self) {
        let stops = self.stops.lock().expect("never held over a panic");
        stops.values().for_each(|flag| flag.store(true, Ordering::Relaxed));
    }

    /// Lets a job run in spite of a class; tells browsers.
    fn let_go_on(&self, id: i64) -> Option<Job> {
        self.change(id, |job| {
            job.goes_on = true;
            job.paused = None;
        })
    }

    /// Changes a job in memory, its progress stays; tells browsers.
    fn change(&self, id: i64, change: impl FnOnce(&mut Job)) -> Option<Job> {
        let mut open = self.open.write().expect("never held over a panic");
        let job = open.get_mut(&id)?;
        change(job);
        let job = job.clone();
        drop(open);
        self.events.publish(HubEvent::Job(Box::new(job.clone())));
        Some(job)
    }

    fn stop(&self, id: i64) {
        let stops = self.stops.lock().expect("never held over a panic");
        if let Some(flag) = stops.get(&id) {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer {
    pub(crate) fn new(app: &App, id: i64) -> Self {
        let stop = app.jobs.stop_flag(id);
        Self { app: app.clone(), id, stop, reported: Arc::default() }
    }

    /// Keeps the progress; tells browsers at most twice a second, and at each new stage.
    pub fn report(&self, stage: Stage, percent: u8, seconds_left: Option<u64>) {
        let job = {
            let mut open = self.app.jobs.open.write().expect("never held over a panic");
            let Some(job) = open.get_mut(&self.id) else { return };
            let is_new_stage = job.stage != Some(stage);
            job.stage = Some(stage);
            job.percent = percent.min(100);
            job.seconds_left = seconds_left;
            let mut reported = self.reported.lock().expect("never held over a panic");
            if !is_new_stage && reported.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
                return;
            }
            *reported = Some(Instant::now());
            job.clone()
        };
        self.app.events.publish(HubEvent::Job(Box::new(job)));
    }

    /// Says whether the job was cancelled, or the hub stops.
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.app.shutdown.is_on()
    }

    /// Says whether the job has to stand still because a class is on; tells browsers when that
    /// changes.
    pub fn is_paused(&self) -> bool {
        let is_class =
            self.app.config.media.pause_while_playing && self.app.playing.is_on(Instant::now());
        let open = self.app.jobs.open.read().expect("never held over a panic");
        let Some(job) = open.get(&self.id) else { return false };
        let paused = (is_class && !job.goes_on).then_some(Pause::Class);
        let is_news = job.paused != paused;
        drop(open);
        if is_news {
            self.app.jobs.change(self.id, |job| job.paused = paused);
        }
        paused.is_some()
    }
}

#[cfg(test)]
mod tests;
