//! The rows of jobs.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{ImportJob, Job, JobFailure, JobKind, JobNote, JobState};
use crate::app::now_ms;
use crate::problem::ApiError;

/// A file has some of them; one with a hundred streams says the same of most.
const NOTES_MAX: usize = 30;
const COLUMNS: &str = "id, kind, hex(lesson_id), title, state, error_code, error_detail, \
    created_at, goes_on, exists (select 1 from lessons where lessons.lesson = jobs.lesson_id \
    and is_published = 1 and is_deleted = 0), notes";
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
pub(crate) const KEEP_NOTES: &str = "update jobs set notes = ?2 where id = ?1";
pub(crate) const SELECT_NOTES: &str = "select notes from jobs \
    where lesson_id = unhex(?1) and kind = 'import' order by id desc limit 1";
pub(crate) const GO_ON: &str =
    "update jobs set goes_on = 1 where id = ?1 and state in ('queued', 'running')";

impl JobKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Import480 => "import-480",
        }
    }
}

/// Adds a job in the transaction that causes it; afterwards call [`super::Jobs::committed`].
pub fn enqueue(
    tx: &Transaction<'_>,
    kind: JobKind,
    lesson_id: &str,
    import: &ImportJob,
) -> Result<Job, ApiError> {
    let payload = serde_json::to_string(import).map_err(ApiError::internal)?;
    let row = params![kind.as_str(), lesson_id, import.title, payload, now_ms()];
    tx.prepare_cached(INSERT)?.execute(row)?;
    find(tx, tx.last_insert_rowid())?.ok_or_else(|| ApiError::internal("a new job is not there"))
}

/// Keeps what was kept of a job's files and what was left out.
pub fn keep_notes(tx: &Transaction<'_>, id: i64, notes: &[JobNote]) -> Result<(), ApiError> {
    let notes = &notes[..notes.len().min(NOTES_MAX)];
    let json = serde_json::to_string(notes).map_err(ApiError::internal)?;
    tx.prepare_cached(KEEP_NOTES)?.execute(params![id, json])?;
    Ok(())
}

/// Gives what was kept and left out of the files of a lesson that was made here.
pub fn notes_of_lesson(connection: &Connection, lesson_id: &str) -> rusqlite::Result<Vec<JobNote>> {
    let mut statement = connection.prepare_cached(SELECT_NOTES)?;
    let json: Option<String> = statement.query_row([lesson_id], |row| row.get(0)).optional()?;
    Ok(json.map(|json| notes(&json)).unwrap_or_default())
}

fn notes(json: &str) -> Vec<JobNote> {
    serde_json::from_str(json).unwrap_or_default()
}

pub(crate) fn with_columns(sql: &str) -> String {
    sql.replace("{columns}", COLUMNS)
}

pub(super) fn select(
    connection: &Connection,
    sql: &str,
    limit: usize,
) -> Result<Vec<Job>, ApiError> {
    let limit = i64::try_from(limit).expect("a small number");
    let mut statement = connection.prepare_cached(&with_columns(sql))?;
    Ok(statement.query_map([limit], job_of_row)?.collect::<Result<_, _>>()?)
}

pub(crate) fn find(connection: &Connection, id: i64) -> Result<Option<Job>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_ONE))?;
    Ok(statement.query_row([id], job_of_row).optional()?)
}

fn job_of_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    let kind = match row.get_ref(1)?.as_str()? {
        "import-480" => JobKind::Import480,
        _ => JobKind::Import,
    };
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
        kind,
        lesson_id: row.get::<_, String>(2)?.to_ascii_lowercase(),
        title: row.get(3)?,
        state,
        stage: None,
        paused: None,
        percent: if state == JobState::Done { 100 } else { 0 },
        seconds_left: None,
        error: failure.0.map(|code| JobFailure { code, detail: failure.1.unwrap_or_default() }),
        created_at: row.get(7)?,
        goes_on: row.get(8)?,
        is_lesson_there: row.get(9)?,
        notes: notes(row.get_ref(10)?.as_str()?),
    })
}
