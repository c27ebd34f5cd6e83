//! The loop that does the jobs: claims the oldest of the most urgent kind, runs it, keeps what came
//! of it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};

use super::table::{self, find};
use super::{ImportJob, Job, JobFailure, JobKind, JobState, Observer};
use crate::app::App;
use crate::import_job::{self, Made};
use crate::problem::ApiError;
use crate::uploads;

pub(crate) const CLAIM: &str = "update jobs set state = 'running', attempts = attempts + 1, \
    error_code = null, error_detail = null where id = (select id from jobs \
    where state = 'queued' and (?1 or error_code is null) \
    order by kind = 'import-480', id limit 1) returning id, payload";
pub(crate) const FINISH: &str = "update jobs set state = ?2, error_code = ?3, error_detail = ?4 \
    where id = ?1 and state = 'running'";
pub(crate) const RELEASE: &str = "update jobs set state = 'queued', attempts = attempts - 1 \
    where id = ?1 and state = 'running'";
pub(crate) const WAIT: &str = "update jobs set state = 'queued', attempts = attempts - 1, \
    error_code = ?2, error_detail = ?3 where id = ?1 and state = 'running'";
pub(crate) const SELECT_RUNNING: &str = "select id from jobs where state = 'running'";
pub(crate) const GETS_ON: &str =
    "update jobs set attempts = 0, kept = ?2 where id = ?1 and kept <> ?2";
pub(crate) const GIVE_UP: &str = "update jobs set state = 'failed', \
    error_code = 'interrupted', error_detail = ?2 where state = 'running' and attempts >= ?1";
pub(crate) const REQUEUE: &str = "update jobs set state = 'queued' where state = 'running'";

/// Code of a job that has done what it can and goes on once this hub is in an alliance.
pub const WAITING_FOR_ALLIANCE: &str = "waiting_for_alliance";

/// Code of a job that goes on once more urgent ones are done.
pub const GIVES_WAY: &str = "gives_way";

/// Until an outcome that could not be kept is tried again; somebody has to delete files first.
const KEEP_DELAY: Duration = Duration::from_secs(5);

/// A job that is being done.
#[derive(Clone)]
pub struct ClaimedJob {
    /// Its number.
    pub id: i64,
    /// What it makes.
    pub kind: JobKind,
    /// Which lesson it makes: 32 hex characters.
    pub lesson_id: String,
    /// What it needs.
    pub import: ImportJob,
    /// Takes the progress, says whether it is still wanted.
    pub observer: Observer,
}

/// Why a job could not be done; shown to the teacher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct JobError {
    /// Stable; the web UI translates it.
    pub code: String,
    /// One English sentence: what was wrong, what is allowed.
    pub detail: String,
}

impl JobError {
    /// Makes an error.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }

    /// Says that the job goes on once this hub is in an alliance.
    pub fn waiting_for_alliance() -> Self {
        let words = "The lesson is encoded; it is published when this school is in an alliance.";
        Self::new(WAITING_FOR_ALLIANCE, words)
    }

    /// Says that the job goes on once what is more urgent is done.
    pub fn gives_way() -> Self {
        Self::new(GIVES_WAY, "A lesson that cannot be taught yet comes first; this goes on later.")
    }

    fn gave_way(&self) -> bool {
        self.code == GIVES_WAY
    }

    fn is_waiting(&self) -> bool {
        self.code == WAITING_FOR_ALLIANCE
    }
}

impl From<ApiError> for JobError {
    fn from(error: ApiError) -> Self {
        Self::new(error.code, error.detail)
    }
}

/// After a stop: what ran waits again, unless it was begun too often and nothing came of it.
pub(super) fn requeue_interrupted(
    tx: &Transaction<'_>,
    data_dir: &Path,
    attempts_max: u32,
) -> Result<(), ApiError> {
    let mut running = tx.prepare_cached(SELECT_RUNNING)?;
    let running = running.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    for id in running {
        tx.prepare_cached(GETS_ON)?.execute([id, import_job::kept(data_dir, id)])?;
    }
    let words = format!(
        "The hub stopped {attempts_max} times while it made this lesson, and nothing came \
         of it; look why the hub stops, then try again."
    );
    tx.prepare_cached(GIVE_UP)?.execute(params![attempts_max, words])?;
    tx.prepare_cached(REQUEUE)?.execute([])?;
    Ok(())
}

/// Does jobs, one at a time, until the hub stops.
pub async fn run(app: App) {
    let mut shutdown = app.shutdown.clone();
    let mut membership = app.sync.watch_membership();
    loop {
        match claim(&app).await {
            Ok(Some(job)) => {
                do_one(&app, job).await;
                if shutdown.is_on() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "no job can be begun now"),
        }
        // The hour is for a queue that could not be read; otherwise every job wakes this loop.
        let hour = tokio::time::sleep(Duration::from_secs(3_600));
        tokio::select! {
            () = app.jobs.wake.notified() => {}
            // Without a driver the hub is stopping, which is heard below.
            Ok(()) = membership.changed() => {}
            () = hour => {}
            () = shutdown.wait() => return,
        }
    }
}

async fn claim(app: &App) -> Result<Option<ClaimedJob>, ApiError> {
    let is_member = app.sync.membership().is_some();
    let claimed = app
        .db
        .write(move |tx| -> Result<Option<(Job, String)>, ApiError> {
            let row = tx
                .prepare_cached(CLAIM)?
                .query_row([is_member], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((id, payload)) = row else { return Ok(None) };
            Ok(find(tx, id)?.map(|job| (job, payload)))
        })
        .await?;
    let Some((job, payload)) = claimed else { return Ok(None) };
    let import = serde_json::from_str(&payload).map_err(ApiError::internal)?;
    let (id, kind, lesson_id) = (job.id, job.kind, job.lesson_id.clone());
    app.jobs.set(job);
    Ok(Some(ClaimedJob { id, kind, lesson_id, import, observer: Observer::new(app, id) }))
}

async fn do_one(app: &App, job: ClaimedJob) {
    tracing::info!(job = job.id, lesson = job.lesson_id, "import begins");
    let (runner, claimed) = (app.clone(), job.clone());
    // A task of its own, so that a panic ends the job and not the loop.
    let outcome = tokio::spawn(async move { import_job::run(&runner, &claimed).await }).await;
    let outcome = outcome.unwrap_or_else(|error| {
        tracing::error!(job = job.id, %error, "an import panicked");
        Err(JobError::new("internal", "Something went wrong inside the hub; its log says what."))
    });
    keep_at_last(app, &job, outcome).await;
    app.jobs.forget_stop_flag(job.id);
}

/// Keeps an outcome; if that fails (a full disk) shows it, and tries until there is room. If the
/// hub stops before, the job runs again.
async fn keep_at_last(app: &App, job: &ClaimedJob, outcome: Result<Made, JobError>) {
    let mut shutdown = app.shutdown.clone();
    let Err(error) = keep_outcome(app, job, outcome.clone()).await else { return };
    tracing::warn!(%error, job = job.id, "a job's outcome cannot be kept yet");
    if let (Err(error), Some(shown)) = (&outcome, app.jobs.of_lesson(&job.lesson_id)) {
        let (code, detail) = (error.code.clone(), error.detail.clone());
        let error = Some(JobFailure { code, detail });
        app.jobs.set(Job { state: JobState::Failed, stage: None, error, ..shown });
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(KEEP_DELAY) => {}
            () = shutdown.wait() => return,
        }
        if keep_outcome(app, job, outcome.clone()).await.is_ok() {
            return;
        }
    }
}

async fn keep_outcome(
    app: &App,
    job: &ClaimedJob,
    outcome: Result<Made, JobError>,
) -> Result<(), ApiError> {
    match &outcome {
        Ok(_) => tracing::info!(job = job.id, lesson = job.lesson_id, "import is done"),
        Err(_) if app.shutdown.is_on() => tracing::info!(job = job.id, "import goes on later"),
        Err(error) if error.gave_way() => tracing::info!(job = job.id, "import gives way"),
        Err(error) if error.is_waiting() => tracing::info!(job = job.id, "import waits"),
        Err(error) => tracing::info!(job = job.id, %error, "import has failed"),
    }
    let (kept_job, is_stopping) = (job.clone(), app.shutdown.is_on());
    let kept = app.db.write(move |tx| write_outcome(tx, &kept_job, outcome, is_stopping)).await?;
    let Some((kept, next)) = kept else { return Ok(()) };
    let is_done = kept.state == JobState::Done;
    app.jobs.set(kept);
    if is_done {
        import_job::remove_work(app, job.id).await;
    }
    match next {
        Some(next) => app.jobs.committed(next),
        None if is_done => {
            uploads::discard_files(app, job.import.files().map(|(id, _)| id)).await;
        }
        None => {}
    }
    Ok(())
}

/// Keeps an outcome, and enqueues what follows from it; gives the job as it is now, and the next.
fn write_outcome(
    tx: &Transaction<'_>,
    job: &ClaimedJob,
    outcome: Result<Made, JobError>,
    is_stopping: bool,
) -> Result<Option<(Job, Option<Job>)>, ApiError> {
    let id = job.id;
    let mut next = None;
    match outcome {
        Err(error) if is_stopping || error.gave_way() => {
            tx.prepare_cached(RELEASE)?.execute([id])?;
        }
        Ok(made) => {
            let done = params![id, "done", None::<String>, None::<String>];
            // Nothing follows from a job that was cancelled in its last moment.
            let is_kept = tx.prepare_cached(FINISH)?.execute(done)? == 1;
            if is_kept && made == Made::FirstTiers {
                let kind = JobKind::Import480;
                next = Some(table::enqueue(tx, kind, &job.lesson_id, &job.import)?);
            }
        }
        Err(error) if error.is_waiting() => {
            tx.prepare_cached(WAIT)?.execute(params![id, error.code, error.detail])?;
        }
        Err(error) => {
            let failed = params![id, "failed", error.code, error.detail];
            tx.prepare_cached(FINISH)?.execute(failed)?;
        }
    }
    Ok(find(tx, id)?.map(|kept| (kept, next)))
}
