//! The rows of uploads.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::Upload;
use super::metadata::Metadata;
use crate::app::{hex, now_ms, random};
use crate::courier;
use crate::jobs::{self, ImportJob, Job, JobKind};
use crate::problem::ApiError;

const COLUMNS: &str = "lower(hex(id)), lower(hex(user_id)), filename, title, subject, grade, \
    teacher, length, offset_bytes, \
    iif(lesson_id is null, null, lower(hex(lesson_id))), created_at, is_courier, courier_import";
pub(crate) const SELECT_ONE: &str = "select {columns} from uploads where id = unhex(?1)";
pub(crate) const SELECT_UNFINISHED_OF: &str = "select {columns} from uploads \
    where user_id = unhex(?1) and lesson_id is null and courier_import is null \
    order by created_at desc, id";
pub(crate) const SELECT_UNFINISHED: &str = "select {columns} from uploads \
    where lesson_id is null and courier_import is null";
pub(crate) const SELECT_STALE: &str = "select {columns} from uploads where touched_at < ?1 \
    and not exists (select 1 from jobs where jobs.lesson_id = uploads.lesson_id \
        and jobs.state in ('queued', 'running')) \
    and not exists (select 1 from courier_jobs where courier_jobs.upload_id = uploads.id \
        and courier_jobs.state in ('queued', 'running'))";
pub(crate) const COUNT_UNFINISHED: &str =
    "select count(*) from uploads \
    where user_id = unhex(?1) and lesson_id is null and courier_import is null";
pub(crate) const INSERT: &str = "insert into uploads (id, user_id, filename, title, subject, \
    grade, teacher, length, created_at, touched_at, is_courier) \
    values (unhex(?1), unhex(?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)";
pub(crate) const ADVANCE: &str =
    "update uploads set offset_bytes = ?2, touched_at = ?3 where id = unhex(?1)";
pub(crate) const COMPLETE: &str = "update uploads set offset_bytes = length, \
    lesson_id = unhex(?2), touched_at = ?3 where id = unhex(?1) and lesson_id is null";
pub(crate) const COMPLETE_COURIER: &str = "update uploads set offset_bytes = length, \
    courier_import = ?2, touched_at = ?3 where id = unhex(?1) and courier_import is null";
pub(crate) const DELETE: &str = "delete from uploads where id = unhex(?1)";
pub(crate) const SELECT_IDS: &str = "select lower(hex(id)) from uploads";

/// An upload with what its import needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub upload: Upload,
    pub user_id: String,
    pub title: String,
    pub subject: String,
    pub grade: String,
    pub teacher: String,
    pub is_courier: bool,
}

impl Row {
    pub(super) fn new(id: &str, user_id: &str, length: u64, metadata: Metadata) -> Self {
        let upload = Upload {
            id: id.to_owned(),
            filename: metadata.filename,
            offset: 0,
            length,
            lesson_id: None,
            import_id: None,
            created_at: now_ms(),
        };
        Self {
            upload,
            user_id: user_id.to_owned(),
            title: metadata.title,
            subject: metadata.subject,
            grade: metadata.grade,
            teacher: metadata.teacher,
            is_courier: metadata.is_courier,
        }
    }
}

pub(super) fn insert(tx: &Transaction<'_>, row: &Row, unfinished_max: u32) -> Result<(), ApiError> {
    let mut count = tx.prepare_cached(COUNT_UNFINISHED)?;
    let unfinished: u32 = count.query_row([&row.user_id], |r| r.get(0))?;
    if unfinished >= unfinished_max {
        let words = format!("You have {unfinished_max} unfinished uploads; finish or delete some.");
        return Err(ApiError::conflict(words));
    }
    let upload = &row.upload;
    tx.prepare_cached(INSERT)?.execute(params![
        upload.id,
        row.user_id,
        upload.filename,
        row.title,
        row.subject,
        row.grade,
        row.teacher,
        as_i64(upload.length),
        upload.created_at,
        row.is_courier,
    ])?;
    Ok(())
}

/// Moves the offset; the bytes before it are durable.
pub(super) fn advance(tx: &Transaction<'_>, id: &str, offset: u64) -> Result<(), ApiError> {
    tx.prepare_cached(ADVANCE)?.execute(params![id, as_i64(offset), now_ms()])?;
    Ok(())
}

/// Completes an upload: lesson id, import and offset in one transaction.
pub(super) fn complete(tx: &Transaction<'_>, row: &Row, author: &str) -> Result<Job, ApiError> {
    let lesson_id = hex(&random::<16>());
    let changed =
        tx.prepare_cached(COMPLETE)?.execute(params![row.upload.id, lesson_id, now_ms()])?;
    if changed == 0 {
        return Err(ApiError::conflict("This upload is complete or deleted already."));
    }
    let import = ImportJob {
        upload_id: row.upload.id.clone(),
        filename: row.upload.filename.clone(),
        title: row.title.clone(),
        subject: row.subject.clone(),
        grade: row.grade.clone(),
        teacher: row.teacher.clone(),
        author: author.to_owned(),
    };
    jobs::enqueue(tx, JobKind::Import, &lesson_id, &import)
}

/// Completes the upload of what a courier brought: its import and offset in one transaction.
pub(super) fn complete_courier(tx: &Transaction<'_>, row: &Row) -> Result<(), ApiError> {
    let import_id = courier::table::insert_upload(tx, &row.upload.id)?;
    let completed = params![row.upload.id, import_id, now_ms()];
    if tx.prepare_cached(COMPLETE_COURIER)?.execute(completed)? == 0 {
        return Err(ApiError::conflict("This upload is complete or deleted already."));
    }
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, id: &str) -> Result<(), ApiError> {
    tx.prepare_cached(DELETE)?.execute([id])?;
    Ok(())
}

pub(super) fn find(connection: &Connection, id: &str) -> Result<Option<Row>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_ONE))?;
    Ok(statement.query_row([id], row_of).optional()?)
}

pub(super) fn unfinished_of(connection: &Connection, user_id: &str) -> Result<Vec<Row>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_UNFINISHED_OF))?;
    Ok(statement.query_map([user_id], row_of)?.collect::<Result<_, _>>()?)
}

pub(super) fn unfinished(connection: &Connection) -> Result<Vec<Row>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_UNFINISHED))?;
    Ok(statement.query_map([], row_of)?.collect::<Result<_, _>>()?)
}

/// Finds uploads without bytes since `before`, whose lesson is not being made.
pub(super) fn stale(connection: &Connection, before: i64) -> Result<Vec<Row>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_STALE))?;
    Ok(statement.query_map([before], row_of)?.collect::<Result<_, _>>()?)
}

pub(super) fn ids(connection: &Connection) -> Result<Vec<String>, ApiError> {
    let mut statement = connection.prepare_cached(SELECT_IDS)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

pub(crate) fn with_columns(sql: &str) -> String {
    sql.replace("{columns}", COLUMNS)
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let upload = Upload {
        id: row.get(0)?,
        filename: row.get(2)?,
        length: row.get::<_, i64>(7)?.unsigned_abs(),
        offset: row.get::<_, i64>(8)?.unsigned_abs(),
        lesson_id: row.get(9)?,
        created_at: row.get(10)?,
        import_id: row.get(12)?,
    };
    Ok(Row {
        upload,
        user_id: row.get(1)?,
        title: row.get(3)?,
        subject: row.get(4)?,
        grade: row.get(5)?,
        teacher: row.get(6)?,
        is_courier: row.get(11)?,
    })
}

/// SQLite's integers are signed; files of 2⁶³ bytes do not exist.
fn as_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
