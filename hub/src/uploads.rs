//! Files on their way in: tus 1.0.0 (core, creation, termination).
//!
//! Bytes go to `<data>/uploads/<id>`, are flushed to the disk, and only then does the table's
//! offset move: what was acknowledged survives a power cut. The last byte makes a lesson's id and
//! its import in the same transaction; of several files that are one lesson, the last byte of the
//! last of them. Names from the client are words to show, never paths.

use std::path::PathBuf;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::Teacher;
use crate::app::{App, hex, is_hex, random};
use crate::problem::{ApiError, Problem};

pub(crate) mod group;
mod keep;
mod metadata;
mod receive;
pub(crate) mod table;
mod turns;

#[cfg(test)]
pub(crate) use metadata::decode_base64;

pub use group::Group;
pub use keep::{discard_files, keep_house, reconcile};
pub use turns::Uploads;

use table::Row;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const YINGXUE_IMPORT: HeaderName = HeaderName::from_static("yingxue-import");
const YINGXUE_LESSON: HeaderName = HeaderName::from_static("yingxue-lesson");
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const OFFSET_TYPE: &str = "application/offset+octet-stream";

/// An upload as screens show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Upload {
    /// 32 hex characters.
    pub id: String,
    /// The file's name, as the client said, at most 200 characters.
    pub filename: String,
    /// Bytes that have arrived and are durable.
    pub offset: u64,
    /// Bytes in all.
    pub length: u64,
    /// The lesson that it has become.
    pub lesson_id: Option<String>,
    /// The import that it has become, if a courier brought it.
    pub import_id: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// The lesson that it is a part of, if that is made of several files.
    pub group: Option<Group>,
}

/// Uploads that have not become a lesson.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UploadList {
    /// Newest first; the files of one lesson in their order, if they were begun together.
    pub items: Vec<Upload>,
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create, options))
        .routes(routes!(show, offset, append, remove))
}

/// Gives the file of an upload.
pub fn path(app: &App, upload_id: &str) -> PathBuf {
    folder(app).join(upload_id)
}

fn folder(app: &App) -> PathBuf {
    app.data_dir.join("uploads")
}

/// Lists the unfinished uploads of this user.
#[utoipa::path(get, path = "/uploads", tag = "uploads", responses(
    (status = 200, body = UploadList),
    (status = 401, body = Problem),
    (status = 403, body = Problem),
))]
async fn list(State(app): State<App>, teacher: Teacher) -> Result<Json<UploadList>, ApiError> {
    let user_id = teacher.user().id.clone();
    let rows = app.db.read(move |c| table::unfinished_of(c, &user_id)).await?;
    Ok(Json(UploadList { items: rows.into_iter().map(|row| row.upload).collect() }))
}

/// Says what this server can do.
#[utoipa::path(options, path = "/uploads", tag = "uploads",
    responses((status = 204, description = "Tus-Version, Tus-Extension, Tus-Max-Size")))]
async fn options(State(app): State<App>) -> (StatusCode, HeaderMap) {
    let headers = HeaderMap::from_iter([
        (TUS_RESUMABLE, VERSION),
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, HeaderValue::from_static("creation,termination")),
        (TUS_MAX_SIZE, app.config.uploads.upload_bytes_max.into()),
    ]);
    (StatusCode::NO_CONTENT, headers)
}

/// Begins an upload; its space is reserved. What becomes a lesson is decided by the content, not
/// by the name: a video, a sound, a presentation (PPTX, PPT, ODP), a PDF, a picture, or a zip of
/// pictures. Uploads with the same `group` become one lesson once all of them have arrived:
/// pictures in the order of their places, a sound beside a document or pictures, subtitles beside
/// any of them with a sound.
#[utoipa::path(post, path = "/uploads", tag = "uploads",
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = u64, Header, description = "bytes in all"),
        ("Upload-Metadata" = Option<String>, Header,
            description = "filename, title, subject, grade, teacher, kind (lesson or courier), and \
                of a lesson of several files group (32 hex digits), group_files (2 to 100), \
                group_place (from 0), each with base64 UTF-8; what is said of the lesson counts \
                at place 0"),
    ),
    responses(
        (status = 201, description = "Location, Upload-Offset"),
        (status = 412, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem),
    ))]
async fn create(
    State(app): State<App>,
    teacher: Teacher,
    headers: HeaderMap,
) -> Result<(StatusCode, HeaderMap), ApiError> {
    check_version(&headers)?;
    let bytes_max = app.config.uploads.upload_bytes_max;
    let length = number(&headers, &UPLOAD_LENGTH, &format!("1 to {bytes_max} bytes"))?;
    if length > bytes_max {
        return Err(ApiError::upload_too_large(bytes_max));
    }
    if length == 0 {
        let allowed = format!("1 to {bytes_max} bytes; this file is empty");
        return Err(ApiError::invalid_input("upload-length", allowed));
    }
    let metadata = metadata::parse(headers.get(&UPLOAD_METADATA))?;
    let id = hex(&random::<16>());
    let row = Row::new(&id, &teacher.user().id, length, metadata);
    let unfinished_max = app.config.uploads.unfinished_max;
    let insert =
        move |tx: &rusqlite::Transaction<'_>| table::insert(tx, &row, unfinished_max, bytes_max);
    receive::make_file(&app, &id, length).await?;
    let file = path(&app, &id);
    if let Err(error) = app.db.write(insert).await {
        keep::remove_file(&file);
        return Err(error);
    }
    let location = HeaderValue::try_from(format!("/api/v1/uploads/{id}"));
    let mut answer = offset_headers(0, Some(length));
    answer.insert(header::LOCATION, location.expect("an id is hex"));
    Ok((StatusCode::CREATED, answer))
}

/// Shows an upload.
#[utoipa::path(get, path = "/uploads/{id}", tag = "uploads", params(("id" = String, Path)),
    responses((status = 200, body = Upload), (status = 404, body = Problem)))]
async fn show(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
) -> Result<Json<Upload>, ApiError> {
    Ok(Json(own(&app, &teacher, &id).await?.upload))
}

/// Says where an upload goes on. A transfer that still hangs is ended first.
#[utoipa::path(head, path = "/uploads/{id}", tag = "uploads", params(("id" = String, Path)),
    responses((status = 200, description = "Upload-Offset, Upload-Length"), (status = 404)))]
async fn offset(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
) -> Result<HeaderMap, ApiError> {
    own(&app, &teacher, &id).await?;
    let _turn = app.uploads.take(&id).await?;
    let upload = own(&app, &teacher, &id).await?.upload;
    let mut headers = offset_headers(upload.offset, Some(upload.length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add_outcome(&mut headers, &upload);
    Ok(headers)
}

/// Appends bytes; the last one makes the lesson, or of several files that of the last.
#[utoipa::path(patch, path = "/uploads/{id}", tag = "uploads",
    params(("id" = String, Path), ("Upload-Offset" = u64, Header)),
    request_body(content_type = "application/offset+octet-stream", content = Vec<u8>),
    responses(
        (status = 204, description = "Upload-Offset; Yingxue-Lesson or Yingxue-Import when \
            complete"),
        (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 507, body = Problem),
    ))]
async fn append(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, HeaderMap), ApiError> {
    check_version(&headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind != Some(OFFSET_TYPE) {
        return Err(ApiError::unsupported_media(OFFSET_TYPE));
    }
    let offset = number(&headers, &UPLOAD_OFFSET, "a number of bytes")?;
    own(&app, &teacher, &id).await?;
    let turn = app.uploads.take(&id).await?;
    let row = own(&app, &teacher, &id).await?;
    if row.upload.offset != offset {
        return Err(ApiError::upload_offset_mismatch(row.upload.offset));
    }
    if !row.upload.is_complete() {
        let author = teacher.user().pseudonym.clone();
        receive::receive(&app, row, author, body, turn).await?;
    }
    let upload = own(&app, &teacher, &id).await?.upload;
    let mut answer = offset_headers(upload.offset, None);
    add_outcome(&mut answer, &upload);
    Ok((StatusCode::NO_CONTENT, answer))
}

/// Ends an upload and removes its bytes. A lesson that it has become stays.
#[utoipa::path(delete, path = "/uploads/{id}", tag = "uploads", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn remove(
    State(app): State<App>,
    teacher: Teacher,
    Path(id): Path<String>,
) -> Result<(StatusCode, HeaderMap), ApiError> {
    own(&app, &teacher, &id).await?;
    let _turn = app.uploads.take(&id).await?;
    if own(&app, &teacher, &id).await?.upload.is_complete() {
        return Err(ApiError::conflict("This upload is complete; delete the lesson instead."));
    }
    let file = path(&app, &id);
    app.db.write(move |tx| table::delete(tx, &id)).await?;
    keep::remove_file(&file);
    Ok((StatusCode::NO_CONTENT, HeaderMap::from_iter([(TUS_RESUMABLE, VERSION)])))
}

/// Finds an upload of this user; those of others do not exist for them.
async fn own(app: &App, teacher: &Teacher, id: &str) -> Result<Row, ApiError> {
    if !is_hex(id, 16) {
        return Err(ApiError::not_found());
    }
    let wanted = id.to_owned();
    let row = app.db.read(move |c| table::find(c, &wanted)).await?;
    row.filter(|row| row.user_id == teacher.user().id).ok_or_else(ApiError::not_found)
}

fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.get(&TUS_RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let mut error = ApiError::invalid_input("tus-resumable", "1.0.0");
    error.status = StatusCode::PRECONDITION_FAILED;
    Err(error)
}

fn number(headers: &HeaderMap, name: &HeaderName, allowed: &str) -> Result<u64, ApiError> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let digits = text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number.ok_or_else(|| ApiError::invalid_input(name.as_str(), allowed))
}

fn offset_headers(offset: u64, length: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(TUS_RESUMABLE, VERSION)]);
    headers.insert(UPLOAD_OFFSET, offset.into());
    length.map(|length| headers.insert(UPLOAD_LENGTH, length.into()));
    headers
}

/// SQLite's integers are signed; files of 2⁶³ bytes do not exist.
fn as_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Upload {
    /// Says whether it has become something.
    fn is_complete(&self) -> bool {
        self.lesson_id.is_some() || self.import_id.is_some()
    }
}

fn add_outcome(headers: &mut HeaderMap, upload: &Upload) {
    upload.import_id.map(|id| headers.insert(YINGXUE_IMPORT, id.into()));
    let lesson_id = upload.lesson_id.as_deref();
    let value = lesson_id.map(|id| HeaderValue::try_from(id).expect("a lesson's id is hex"));
    value.map(|value| headers.insert(YINGXUE_LESSON, value));
}

#[cfg(test)]
mod tests;
