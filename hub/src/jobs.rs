//! Work that outlives a restart: enqueued in the transaction that causes it, done one at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::db::Db;
use crate::events::{EventBus, HubEvent};
use crate::problem::{ApiError, Problem};

pub mod runner;

pub use runner::{ClaimedJob, JobError};

const COLUMNS: &str =
    "id, kind, hex(lesson_id), title, state, error_code, error_detail, created_at";
pub(crate) const SELECT_OPEN: &str =
    "select {columns} from jobs where state <> 'done' order by id desc limit ?1";
pub(crate) const SELECT_RECENT: &str =
    "select {columns} from jobs where state = 'done' order by id desc limit ?1";
pub(crate) const SELECT_ONE: &str = "select {columns} from jobs where id = ?1";
pub(crate) const INSERT: &str = "insert into jobs \
    (kind, lesson_id, title, payload, state, created_at) \
    values (?1, unhex(?2), ?3, ?4, 'queued', ?5)";
pub(crate) const CANCEL: &str =
    "update jobs set state = 'cancelled' where id = ?1 and state in ('queued', 'running')";
pub(crate) const RETRY: &str = "update jobs set state = 'queued', attempts = 0, \
    error_code = null, error_detail = null where id = ?1 and state in ('failed', 'cancelled')";

/// Jobs that are not done and are remembered; a school makes a few a day.
const OPEN_MAX: usize = 1_000;
/// Jobs that are done and shown.
const RECENT_MAX: usize = 50;
/// Between two reports of progress; faster is not seen.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// A job as screens show it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// What it does; `import` is the only kind yet.
    pub kind: String,
    /// Which lesson it makes.
    pub lesson_id: String,
    /// Title of the lesson when the job was made.
    pub title: String,
    /// How far it is.
    pub state: JobState,
    /// What it does now, if it runs.
    pub stage: Option<Stage>,
    /// 0 to 100 of the whole job.
    pub percent: u8,
    /// About how long it will take still.
    pub seconds_left: Option<u64>,
    /// Why it has failed; of one that is queued, what it waits for (`waiting_for_alliance`).
    pub error: Option<JobFailure>,
    /// Unix milliseconds.
    pub created_at: i64,
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
    /// Makes the track `video-360`.
    Video,
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

/// What an import needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportJob {
    /// The upload; its file is [`crate::uploads::path`].
    pub upload_id: String,
    /// The file's name, as the client said.
    pub filename: String,
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

/// Adds an import in the transaction that causes it; afterwards call [`Jobs::committed`].
pub fn enqueue(
    tx: &Transaction<'_>,
    lesson_id: &str,
    title: &str,
    import: &ImportJob,
) -> Result<Job, ApiError> {
    let payload = serde_json::to_string(import).map_err(ApiError::internal)?;
    let row = params!["import", lesson_id, title, payload, now_ms()];
    tx.prepare_cached(INSERT)?.execute(row)?;
    find(tx, tx.last_insert_rowid())?.ok_or_else(|| ApiError::internal("a new job is not there"))
}

impl Jobs {
    /// Loads what is not done; what a stop has interrupted waits again.
    pub fn load(db: &Db, events: &EventBus, attempts_max: u32) -> Result<Self, ApiError> {
        db.write_blocking(move |tx| runner::requeue_interrupted(tx, attempts_max))?;
        let rows = db.read_blocking(|c| select(c, SELECT_OPEN, OPEN_MAX))?;
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

    /// Gives the flag behind [`Observer::is_cancelled`], for threads and children.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(cancel)).routes(routes!(retry))
}

/// A page of jobs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobList {
    /// Those not done, then the newest that are, newest first.
    pub items: Vec<Job>,
}

/// Lists jobs: those not done, then the newest that are.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses(
    (status = 200, body = JobList), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn list(State(app): State<App>, _: Teacher) -> Result<Json<JobList>, ApiError> {
    let mut items = app.jobs.open();
    items.extend(app.db.read(|c| select(c, SELECT_RECENT, RECENT_MAX)).await?);
    Ok(Json(JobList { items }))
}

/// Cancels a job that waits or runs.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs", params(("id" = i64, Path)), responses(
    (status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
))]
async fn cancel(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let words = "Only a job that waits or runs can be cancelled.";
    let job = change_state(&app, id, CANCEL, words).await?;
    app.jobs.stop(id);
    app.jobs.set(job);
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a job that failed or was cancelled into the queue again.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = i64, Path)),
    responses((status = 200, body = Job), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn retry(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<Json<Job>, ApiError> {
    let words = "Only a job that has failed or was cancelled can be tried again.";
    let job = change_state(&app, id, RETRY, words).await?;
    app.jobs.committed(job.clone());
    Ok(Json(job))
}

async fn change_state(
    app: &App,
    id: i64,
    sql: &'static str,
    refusal: &'static str,
) -> Result<Job, ApiError> {
    app.db
        .write(move |tx| {
            let is_changed = tx.prepare_cached(sql)?.execute([id])? == 1;
            let job = find(tx, id)?.ok_or_else(ApiError::not_found)?;
            if is_changed { Ok(job) } else { Err(ApiError::conflict(refusal)) }
        })
        .await
}

pub(crate) fn with_columns(sql: &str) -> String {
    sql.replace("{columns}", COLUMNS)
}

fn select(connection: &Connection, sql: &str, limit: usize) -> Result<Vec<Job>, ApiError> {
    let limit = i64::try_from(limit).expect("a small number");
    let mut statement = connection.prepare_cached(&with_columns(sql))?;
    Ok(statement.query_map([limit], job_of_row)?.collect::<Result<_, _>>()?)
}

pub(crate) fn find(connection: &Connection, id: i64) -> Result<Option<Job>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_ONE))?;
    Ok(statement.query_row([id], job_of_row).optional()?)
}

fn job_of_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    let state = match row.get_ref(4)?.as_str()? {
        "queued" => JobState::Queued,
        "running" => JobState::Running,
        "done" => JobState::Done,
        "failed" => JobState::Failed,
        _ => JobState::Cancelled,
    };
    let failure = (row.get::<_, Option<String>>(5)?, row.get::<_, Option<String>>(6)?);
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        lesson_id: row.get::<_, String>(2)?.to_ascii_lowercase(),
        title: row.get(3)?,
        state,
        stage: None,
        percent: if state == JobState::Done { 100 } else { 0 },
        seconds_left: None,
        error: failure.0.map(|code| JobFailure { code, detail: failure.1.unwrap_or_default() }),
        created_at: row.get(7)?,
    })
}

#[cfg(test)]
mod tests;
