//! The rows of exports and imports, and of what is known of sticks.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::courier::{PARCELS_TAKEN_MAX, ParcelId};
use yingxue_sync_core::id::{BlobId, DocId, Hash, HubId};

use super::contents::Contents;
use super::report::Report;
use crate::app::now_ms;
use crate::jobs::{JobFailure, JobState};
use crate::problem::ApiError;

/// Segments and parcels that are remembered: some hundred gigabytes, a few terms.
const REMEMBERED_MAX: usize = 10_000;
/// Times that a job is begun again after the hub stopped in the middle of it.
const ATTEMPTS_MAX: u32 = 5;

const COLUMNS: &str = "id, kind, state, folder, \
    iif(upload_id is null, null, lower(hex(upload_id))), targets, bytes_max, parcel, done_bytes, \
    total_bytes, report, error_code, error_detail, created_at, finished_at, lessons";
pub(crate) const SELECT_ONE: &str = "select {columns} from courier_jobs where id = ?1";
pub(crate) const SELECT_RECENT: &str =
    "select {columns} from courier_jobs where kind = ?1 order by id desc limit ?2";
pub(crate) const INSERT: &str = "insert into courier_jobs \
    (kind, state, folder, upload_id, targets, bytes_max, parcel, created_at, lessons) \
    values (?1, 'queued', ?2, unhex(?3), ?4, ?5, ?6, ?7, ?8)";
pub(crate) const COUNT_OPEN: &str =
    "select count(*) from courier_jobs where state in ('queued', 'running')";
pub(crate) const CLAIM: &str = "update courier_jobs set state = 'running', \
    attempts = attempts + 1 where id = (select id from courier_jobs where state = 'queued' \
    order by id limit 1) returning id";
pub(crate) const FINISH: &str = "update courier_jobs set state = ?2, done_bytes = ?3, \
    total_bytes = ?4, report = ?5, error_code = ?6, error_detail = ?7, finished_at = ?8 \
    where id = ?1 and state in ('queued', 'running')";
pub(crate) const RELEASE: &str = "update courier_jobs set state = 'queued', \
    attempts = attempts - 1 where id = ?1 and state = 'running'";
pub(crate) const GIVE_UP: &str = "update courier_jobs set state = 'failed', \
    error_code = 'interrupted', error_detail = ?2, finished_at = ?3 \
    where state = 'running' and attempts >= ?1";
pub(crate) const REQUEUE: &str = "update courier_jobs set state = 'queued' where state = 'running'";
pub(crate) const REMEMBER_SEGMENT: &str = "insert or replace into courier_segments \
    (parcel, hash, contents, at_ms) values (?1, ?2, ?3, ?4)";
pub(crate) const FORGET_SEGMENTS: &str = "delete from courier_segments where at_ms < (select \
    at_ms from courier_segments order by at_ms desc limit 1 offset ?1)";
pub(crate) const SELECT_SEGMENT: &str =
    "select contents from courier_segments where parcel = ?1 and hash = ?2";
pub(crate) const IS_OWN_PARCEL: &str =
    "select exists (select 1 from courier_jobs where kind = 'export' and parcel = ?1)";
pub(crate) const REMEMBER_TAKEN: &str =
    "insert or replace into courier_taken (hash, blobs, at_ms) values (?1, ?2, ?3)";
pub(crate) const FORGET_TAKEN: &str = "delete from courier_taken where at_ms < (select at_ms \
    from courier_taken order by at_ms desc limit 1 offset ?1)";
pub(crate) const SELECT_TAKEN: &str = "select blobs from courier_taken where hash = ?1";
pub(crate) const IS_WHOLE: &str =
    "select exists (select 1 from blobs where blob = ?1 and is_complete = 1)";
pub(crate) const REMEMBER_PARCEL: &str =
    "insert or replace into courier_parcels (author, parcel, at_ms) values (?1, ?2, ?3)";
pub(crate) const FORGET_PARCELS: &str = "delete from courier_parcels where at_ms < (select at_ms \
    from courier_parcels order by at_ms desc limit 1 offset ?1)";
pub(crate) const SELECT_WITH_FILES: &str = "select {columns} from courier_jobs \
    where kind = 'export' and folder is null and (state in ('queued', 'running') \
    or state = 'done' and json_array_length(report, '$.files') > 0) order by id desc";
pub(crate) const KEEP_REPORT: &str = "update courier_jobs set report = ?2 where id = ?1";
pub(crate) const SELECT_PARCELS: &str =
    "select author, parcel from courier_parcels order by at_ms desc limit ?1";

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Export,
    Import,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
        }
    }
}

/// One export or import.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub id: i64,
    pub kind: Kind,
    pub state: JobState,
    pub folder: Option<String>,
    pub upload_id: Option<String>,
    pub targets: Vec<HubId>,
    pub bytes_max: Option<u64>,
    pub parcel: ParcelId,
    pub done_bytes: u64,
    pub total_bytes: u64,
    pub report: Report,
    pub error: Option<JobFailure>,
    pub created_at: i64,
    pub finished_at: Option<i64>,
    /// Of an export: the only lessons that it carries; none for whatever is lacking.
    pub lessons: Vec<DocId>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub kind: Kind,
    pub folder: Option<String>,
    pub upload_id: Option<String>,
    pub targets: Vec<HubId>,
    pub bytes_max: Option<u64>,
    pub parcel: ParcelId,
    pub lessons: Vec<DocId>,
}

/// Enqueues a job; `open_max` may wait and run.
pub(crate) fn insert(tx: &Transaction<'_>, job: &NewJob, open_max: u32) -> Result<i64, ApiError> {
    let open: u32 = tx.prepare_cached(COUNT_OPEN)?.query_row([], |row| row.get(0))?;
    if open >= open_max {
        let words = format!("{open_max} sticks wait already; cancel one, or wait.");
        return Err(ApiError::conflict(words));
    }
    let targets: Vec<u8> = job.targets.iter().flat_map(|hub| *hub.as_bytes()).collect();
    let lessons: Vec<u8> = job.lessons.iter().flat_map(|lesson| *lesson.as_bytes()).collect();
    tx.prepare_cached(INSERT)?.execute(params![
        job.kind.as_str(),
        job.folder,
        job.upload_id,
        targets,
        job.bytes_max,
        job.parcel.0,
        now_ms(),
        lessons,
    ])?;
    Ok(tx.last_insert_rowid())
}

/// Enqueues the import of an upload that is complete.
pub(crate) fn insert_upload(tx: &Transaction<'_>, upload_id: &str) -> Result<i64, ApiError> {
    let upload_id = Some(upload_id.to_owned());
    let (kind, targets, parcel) = (Kind::Import, Vec::new(), ParcelId(0));
    let lessons = Vec::new();
    let job = NewJob { kind, folder: None, upload_id, targets, bytes_max: None, parcel, lessons };
    insert(tx, &job, u32::MAX)
}

pub(crate) fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Row>> {
    db.prepare_cached(&with_columns(SELECT_ONE))?.query_row([id], row_of).optional()
}

pub(crate) fn recent(db: &Connection, kind: Kind, max: usize) -> rusqlite::Result<Vec<Row>> {
    let mut statement = db.prepare_cached(&with_columns(SELECT_RECENT))?;
    statement.query_map(params![kind.as_str(), max], row_of)?.collect()
}

pub(super) fn requeue_interrupted(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let words = format!("The hub stopped {ATTEMPTS_MAX} times in the middle of it.");
    tx.prepare_cached(GIVE_UP)?.execute(params![ATTEMPTS_MAX, words, now_ms()])?;
    tx.prepare_cached(REQUEUE)?.execute([])?;
    Ok(())
}

pub(super) fn claim(tx: &Transaction<'_>) -> rusqlite::Result<Option<Row>> {
    let id: Option<i64> = tx.prepare_cached(CLAIM)?.query_row([], |row| row.get(0)).optional()?;
    id.map_or(Ok(None), |id| find(tx, id))
}

/// Keeps how a job ended; says whether it was still open.
pub(super) fn finish(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<bool> {
    let state = match row.state {
        JobState::Done => "done",
        JobState::Cancelled => "cancelled",
        _ => "failed",
    };
    let report = serde_json::to_string(&row.report).unwrap_or_else(|_| "{}".to_owned());
    let changed = tx.prepare_cached(FINISH)?.execute(params![
        row.id,
        state,
        row.done_bytes,
        row.total_bytes,
        report,
        row.error.as_ref().map(|error| &error.code),
        row.error.as_ref().map(|error| &error.detail),
        now_ms(),
    ])?;
    Ok(changed == 1)
}

pub(super) fn release(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(RELEASE)?.execute([id]).map(drop)
}

/// Forgets files for browsers that were made before a moment, and those that a newer export for the
/// same school replaces. Gives those that are kept: which export, and for which hub.
pub(super) fn forget_files(
    tx: &Transaction<'_>,
    oldest_ms: i64,
) -> rusqlite::Result<BTreeSet<(i64, HubId)>> {
    let rows: Vec<Row> = tx
        .prepare_cached(&with_columns(SELECT_WITH_FILES))?
        .query_map([], row_of)?
        .collect::<rusqlite::Result<_>>()?;
    let (mut kept, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    for mut row in rows {
        if row.state != JobState::Done {
            kept.extend(row.targets.iter().map(|hub| (row.id, *hub)));
            continue;
        }
        let is_old = row.finished_at.is_some_and(|at| at < oldest_ms);
        let before = row.report.files.len();
        row.report.files.retain(|file| {
            let Ok(hub) = file.hub_id.parse::<HubId>() else { return false };
            let is_kept = replaced.insert(hub) && !is_old;
            is_kept && kept.insert((row.id, hub))
        });
        if row.report.files.len() < before {
            let report = serde_json::to_string(&row.report).unwrap_or_else(|_| "{}".to_owned());
            tx.prepare_cached(KEEP_REPORT)?.execute(params![row.id, report])?;
        }
    }
    Ok(kept)
}

/// Remembers what a segment contains that this hub wrote.
pub(super) fn remember_segment(
    tx: &Transaction<'_>,
    parcel: ParcelId,
    hash: &Hash,
    contents: &Contents,
) -> rusqlite::Result<()> {
    let segment = params![parcel.0, hash.as_bytes(), contents.encode(), now_ms()];
    tx.prepare_cached(REMEMBER_SEGMENT)?.execute(segment)?;
    tx.prepare_cached(FORGET_SEGMENTS)?.execute([REMEMBERED_MAX]).map(drop)
}

/// Gives what a segment contains that this hub wrote; none if it is forgotten.
pub(super) fn contents_of(
    db: &Connection,
    parcel: ParcelId,
    hash: &Hash,
) -> rusqlite::Result<Option<Contents>> {
    let found = db
        .prepare_cached(SELECT_SEGMENT)?
        .query_row(params![parcel.0, hash.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(found.map(|bytes| Contents::decode(&bytes)))
}

/// Says whether this hub wrote a parcel.
pub(super) fn is_own_parcel(db: &Connection, parcel: ParcelId) -> rusqlite::Result<bool> {
    db.prepare_cached(IS_OWN_PARCEL)?.query_row([parcel.0], |row| row.get(0))
}

/// Remembers that all of a segment was taken, and which blobs are in it.
pub(super) fn remember_taken(
    tx: &Transaction<'_>,
    hash: &Hash,
    blobs: &[BlobId],
) -> rusqlite::Result<()> {
    let blobs: Vec<u8> = blobs.iter().flat_map(|blob| *blob.as_bytes()).collect();
    tx.prepare_cached(REMEMBER_TAKEN)?.execute(params![hash.as_bytes(), blobs, now_ms()])?;
    tx.prepare_cached(FORGET_TAKEN)?.execute([REMEMBERED_MAX]).map(drop)
}

/// Says whether a segment was taken and all of its blobs are whole here still.
pub(super) fn is_taken(db: &Connection, hash: &Hash) -> rusqlite::Result<bool> {
    let blobs: Option<Vec<u8>> = db
        .prepare_cached(SELECT_TAKEN)?
        .query_row([hash.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(blobs) = blobs else { return Ok(false) };
    let mut blobs = blobs.chunks_exact(32).map(|blob| blob.try_into().expect("chunks of 32"));
    blobs.try_fold(true, |are_whole, blob| Ok(are_whole && is_whole(db, &BlobId(blob))?))
}

/// Says whether a blob is whole here.
pub(super) fn is_whole(db: &Connection, blob: &BlobId) -> rusqlite::Result<bool> {
    db.prepare_cached(IS_WHOLE)?.query_row([blob.as_bytes()], |row| row.get(0))
}

pub(super) fn remember_parcel(
    tx: &Transaction<'_>,
    author: &HubId,
    parcel: ParcelId,
) -> rusqlite::Result<()> {
    let parcel = params![author.as_bytes(), parcel.0, now_ms()];
    tx.prepare_cached(REMEMBER_PARCEL)?.execute(parcel)?;
    // A receipt names no more.
    tx.prepare_cached(FORGET_PARCELS)?.execute([PARCELS_TAKEN_MAX]).map(drop)
}

pub(super) fn parcels(db: &Connection, max: usize) -> rusqlite::Result<Vec<(HubId, ParcelId)>> {
    let mut statement = db.prepare_cached(SELECT_PARCELS)?;
    statement.query_map([max], |row| Ok((HubId(row.get(0)?), ParcelId(row.get(1)?))))?.collect()
}

pub(crate) fn with_columns(sql: &str) -> String {
    sql.replace("{columns}", COLUMNS)
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let state = match row.get_ref(2)?.as_str()? {
        "queued" => JobState::Queued,
        "running" => JobState::Running,
        "done" => JobState::Done,
        "cancelled" => JobState::Cancelled,
        _ => JobState::Failed,
    };
    let code: Option<String> = row.get(11)?;
    let detail: Option<String> = row.get(12)?;
    let detail = detail.unwrap_or_default();
    let targets = row.get_ref(5)?.as_blob()?.chunks_exact(32);
    let lessons = row.get_ref(15)?.as_blob()?.chunks_exact(16);
    Ok(Row {
        id: row.get(0)?,
        kind: if row.get_ref(1)?.as_str()? == "export" { Kind::Export } else { Kind::Import },
        state,
        folder: row.get(3)?,
        upload_id: row.get(4)?,
        targets: targets.map(|key| HubId(key.try_into().expect("chunks of 32"))).collect(),
        bytes_max: row.get(6)?,
        parcel: ParcelId(row.get(7)?),
        done_bytes: row.get(8)?,
        total_bytes: row.get(9)?,
        report: serde_json::from_str(row.get_ref(10)?.as_str()?).unwrap_or_default(),
        error: code.map(|code| JobFailure { code, detail }),
        created_at: row.get(13)?,
        finished_at: row.get(14)?,
        lessons: lessons.map(|id| DocId(id.try_into().expect("chunks of 16"))).collect(),
    })
}
