//! The rows of uploads.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::id::HubId;

use super::group::{self, Group};
use super::metadata::Metadata;
use super::{Upload, as_i64};
use crate::app::now_ms;
use crate::catalog;
use crate::courier;
use crate::jobs::{self, ImportJob, Job, JobKind, OtherFile};
use crate::problem::ApiError;

const COLUMNS: &str = "lower(hex(id)), lower(hex(user_id)), filename, title, subject, grade, \
    teacher, length, offset_bytes, \
    iif(lesson_id is null, null, lower(hex(lesson_id))), created_at, \
    iif(group_id is null, null, lower(hex(group_id))), group_files, group_place, \
    is_courier, courier_import";
pub(crate) const SELECT_ONE: &str = "select {columns} from uploads where id = unhex(?1)";
pub(crate) const SELECT_UNFINISHED_OF: &str = "select {columns} from uploads \
    where user_id = unhex(?1) and lesson_id is null and courier_import is null \
    order by created_at desc, group_place, id";
pub(crate) const SELECT_UNFINISHED: &str = "select {columns} from uploads \
    where lesson_id is null and courier_import is null";
pub(crate) const SELECT_GROUP: &str = "select {columns} from uploads \
    where user_id = unhex(?1) and group_id = unhex(?2) order by group_place";
pub(crate) const SELECT_STALE: &str = "select {columns} from uploads where touched_at < ?1 \
    and not exists (select 1 from jobs where jobs.lesson_id = uploads.lesson_id \
        and jobs.state in ('queued', 'running')) \
    and not exists (select 1 from courier_jobs where courier_jobs.upload_id = uploads.id \
        and courier_jobs.state in ('queued', 'running')) \
    and not exists (select 1 from uploads other where other.user_id = uploads.user_id \
        and other.group_id = uploads.group_id and other.touched_at >= ?1)";
/// The files of one lesson count as one.
pub(crate) const COUNT_UNFINISHED: &str = "select count(distinct coalesce(group_id, id)) \
    from uploads where user_id = unhex(?1) and lesson_id is null and courier_import is null \
    and (?2 is null or group_id is null or group_id <> unhex(?2))";
pub(crate) const INSERT: &str = "insert into uploads (id, user_id, filename, title, subject, \
    grade, teacher, length, created_at, touched_at, group_id, group_files, group_place, \
    is_courier) \
    values (unhex(?1), unhex(?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, unhex(?10), ?11, ?12, ?13)";
pub(crate) const ADVANCE: &str =
    "update uploads set offset_bytes = ?2, touched_at = ?3 where id = unhex(?1)";
pub(crate) const ARRIVE: &str = "update uploads set offset_bytes = length, \
    touched_at = ?2 where id = unhex(?1) and lesson_id is null";
pub(crate) const BECOME: &str =
    "update uploads set lesson_id = unhex(?2) where id = unhex(?1) and lesson_id is null";
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
            group: metadata.group,
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

/// Adds an upload, if its user and its group may have one more.
pub(super) fn insert(
    tx: &Transaction<'_>,
    row: &Row,
    unfinished_max: u32,
    lesson_bytes_max: u64,
) -> Result<(), ApiError> {
    let group = row.upload.group.as_ref();
    group.map_or(Ok(()), |group| group::check(tx, row, group, lesson_bytes_max))?;
    let mut count = tx.prepare_cached(COUNT_UNFINISHED)?;
    let own = group.map(|group| &group.id);
    let unfinished: u32 = count.query_row(params![row.user_id, own], |r| r.get(0))?;
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
        own,
        group.map(|group| group.files),
        group.map(|group| group.place),
        row.is_courier,
    ])?;
    Ok(())
}

/// Moves the offset; the bytes before it are durable.
pub(super) fn advance(tx: &Transaction<'_>, id: &str, offset: u64) -> Result<(), ApiError> {
    tx.prepare_cached(ADVANCE)?.execute(params![id, as_i64(offset), now_ms()])?;
    Ok(())
}

/// Completes an upload. The last file of a lesson makes its id and its import, in the same
/// transaction; one before it only waits for the others.
pub(super) fn complete(
    tx: &Transaction<'_>,
    row: &Row,
    author: &str,
    hub: &HubId,
) -> Result<Option<Job>, ApiError> {
    if tx.prepare_cached(ARRIVE)?.execute(params![row.upload.id, now_ms()])? == 0 {
        return Err(ApiError::conflict("This upload is complete or deleted already."));
    }
    let Some(files) = whole_lesson(tx, row)? else { return Ok(None) };
    let lesson_id = catalog::new_document(tx, &catalog::collection(), hub)?.to_string();
    for file in &files {
        tx.prepare_cached(BECOME)?.execute(params![file.upload.id, lesson_id])?;
    }
    jobs::enqueue(tx, JobKind::Import, &lesson_id, &import_of(files, author)).map(Some)
}

/// Gives the files of the lesson in their order, if all of them have arrived.
fn whole_lesson(tx: &Transaction<'_>, row: &Row) -> Result<Option<Vec<Row>>, ApiError> {
    let Some(group) = &row.upload.group else { return Ok(Some(vec![row.clone()])) };
    let files = files_of(tx, &row.user_id, &group.id)?;
    let has_arrived = |file: &Row| file.upload.offset == file.upload.length;
    let is_whole = files.len() == group.files as usize && files.iter().all(has_arrived);
    Ok(is_whole.then_some(files))
}

fn import_of(files: Vec<Row>, author: &str) -> ImportJob {
    let mut files = files.into_iter();
    let first = files.next().expect("a lesson has at least one file");
    let other = |file: Row| OtherFile { upload_id: file.upload.id, filename: file.upload.filename };
    ImportJob {
        upload_id: first.upload.id,
        filename: first.upload.filename,
        others: files.map(other).collect(),
        title: first.title,
        subject: first.subject,
        grade: first.grade,
        teacher: first.teacher,
        author: author.to_owned(),
    }
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

/// Reads the files of a lesson that are there, in their order.
pub(super) fn files_of(
    connection: &Connection,
    user_id: &str,
    group_id: &str,
) -> Result<Vec<Row>, ApiError> {
    let mut statement = connection.prepare_cached(&with_columns(SELECT_GROUP))?;
    Ok(statement.query_map([user_id, group_id], row_of)?.collect::<Result<_, _>>()?)
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
    let group = row.get::<_, Option<String>>(11)?;
    let group = group
        .map(|id| Ok::<_, rusqlite::Error>(Group { id, files: row.get(12)?, place: row.get(13)? }));
    let upload = Upload {
        id: row.get(0)?,
        filename: row.get(2)?,
        length: row.get::<_, i64>(7)?.unsigned_abs(),
        offset: row.get::<_, i64>(8)?.unsigned_abs(),
        lesson_id: row.get(9)?,
        created_at: row.get(10)?,
        group: group.transpose()?,
        import_id: row.get(15)?,
    };
    Ok(Row {
        upload,
        user_id: row.get(1)?,
        title: row.get(3)?,
        subject: row.get(4)?,
        grade: row.get(5)?,
        teacher: row.get(6)?,
        is_courier: row.get(14)?,
    })
}
