//! Timetables from files: CSES, spreadsheets, csv. A file is read once; somebody looks at what
//! was understood, says what columns hold, and applies it as one step that can be undone.

use axum::Json;
use axum::body::Body as RequestBody;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::DocId;

use super::term::Period;
use super::terms::{self, NewTerm};
use super::undo::{Done, ImportApplied, remember, written};
use super::{check, document};
use crate::accounts::Admin;
use crate::app::{App, now_ms, random};
use crate::catalog::bounds::{FILENAME_CHARS_MAX, line};
use crate::problem::{ApiError, Body, Problem};
use draft::{Draft, DraftClass, DraftSlot, Misfit, put_into};
use layout::{Found, Layout, Mapping};
use problem::ImportProblem;
use spreadsheet::{SpreadsheetError, SpreadsheetKind};
use table::Table;
use words::Field;

mod by_class;
pub mod cses;
pub mod draft;
mod grid;
pub mod layout;
mod list;
pub mod problem;
pub mod spreadsheet;
pub mod table;
pub mod text;
pub mod words;

/// Largest file; a school's whole timetable has 1 MiB with its pictures.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// How long a file that was not applied is kept: a working day.
const IMPORTS_KEPT_MS: i64 = 24 * 3_600_000;
/// Files kept at once; each has at most 20,000 cells.
const IMPORTS_MAX: usize = 8;
/// Samples of a column; enough to see what it holds.
const SAMPLES: usize = 3;

/// The routes of this part of the slice.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(look)).routes(routes!(apply))
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// CSES, version 1 or 2.
    Cses,
    /// Office Open XML.
    Xlsx,
    /// The format of before 2007.
    Xls,
    /// Open Document.
    Ods,
    /// A text with a row a line.
    Csv,
}

/// What was read of a file, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    kind: FileKind,
    table: Table,
    /// Of CSES, the file itself.
    text: String,
}

/// A file and how it is understood.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Import {
    /// 32 hex characters; the file is kept for a day.
    pub import_id: String,
    /// What it is.
    pub kind: FileKind,
    /// As it was sent.
    pub filename: String,
    /// How it is laid out; none of CSES, and none if nothing was recognised.
    pub layout: Option<Layout>,
    /// The row with the headers, from 1.
    pub header_row: Option<u32>,
    /// Its columns.
    pub columns: Vec<ImportColumn>,
    /// What it would become.
    pub preview: ImportPreview,
}

/// A column of a file.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ImportColumn {
    /// From 1.
    pub index: u32,
    /// What stands in the row with the headers.
    pub header: String,
    /// What it holds, as far as that is known.
    pub guess: Option<Field>,
    /// Some of its texts.
    pub samples: Vec<String>,
}

/// What a file would become.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ImportPreview {
    /// Name of the term, if the file says one.
    pub name: Option<String>,
    /// Weeks until it repeats.
    pub cycle_weeks: u8,
    /// Periods, with the usual times where the file has none.
    pub periods: Vec<Period>,
    /// True if the times are the file's own.
    pub has_times: bool,
    /// Classes; those of the term that are not here keep their lessons.
    pub classes: Vec<DraftClass>,
    /// Lessons.
    pub slots: Vec<DraftSlot>,
    /// What could not be read, at most 100.
    pub problems: Vec<ImportProblem>,
    /// How many there are, those too that are not among them.
    pub problems_total: usize,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// As it is called, for people.
    filename: Option<String>,
}

/// Takes a file with a timetable: CSES YAML, xlsx, xls, ods or csv; its bytes say which.
#[utoipa::path(post, path = "/timetable/imports", tag = "timetable", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = Import), (status = 403, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem)))]
async fn upload(
    State(app): State<App>,
    _admin: Admin,
    query: Result<Query<UploadQuery>, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Import>), ApiError> {
    let filename = query?.0.filename.unwrap_or_default();
    let filename = line(&filename, FILENAME_CHARS_MAX);
    let bytes = body(request.into_body()).await?;
    let content = read(bytes).await?;
    let (id, kept) = (random::<16>(), content.clone());
    let name = filename.clone();
    let saved = app.db.write(move |tx| keep(tx, &id, &name, &kept));
    saved.await?;
    let id = DocId(id).to_string();
    Ok((StatusCode::CREATED, Json(understood(id, filename, &content, &Mapping::default())?)))
}

async fn body(body: RequestBody) -> Result<Vec<u8>, ApiError> {
    use http_body_util::{BodyExt as _, LengthLimitError, Limited};
    match Limited::new(body, FILE_BYTES_MAX).collect().await {
        Ok(bytes) => Ok(bytes.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::body_too_large(FILE_BYTES_MAX))
        }
        Err(_) => Err(ApiError::invalid_input("body", "a file that arrives whole; send it again")),
    }
}

/// Reads what a file holds, in the process that suits it.
async fn read(bytes: Vec<u8>) -> Result<Content, ApiError> {
    let refused = |detail: String| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "timetable_unreadable", detail)
    };
    if bytes.is_empty() {
        return Err(refused("The file is empty.".to_owned()));
    }
    if let Some(found) = spreadsheet::kind_of(&bytes) {
        let kind = match found {
            SpreadsheetKind::Xlsx => FileKind::Xlsx,
            SpreadsheetKind::Xls => FileKind::Xls,
            SpreadsheetKind::Ods => FileKind::Ods,
        };
        let table = spreadsheet::read(bytes).await.map_err(|error| match error {
            SpreadsheetError::Start(_) => ApiError::internal(error),
            SpreadsheetError::Unreadable => refused(format!("Not read: {error}.")),
        })?;
        return Ok(Content { kind, table, text: String::new() });
    }
    if bytes.contains(&0) && !bytes.starts_with(&[0xff, 0xfe]) && !bytes.starts_with(&[0xfe, 0xff])
    {
        let detail = "This is no timetable: allowed are CSES YAML, xlsx, xls, ods and csv.";
        return Err(refused(detail.to_owned()));
    }
    let parse = tokio::task::spawn_blocking(move || {
        let text = text::decode(&bytes);
        if !cses::is_cses(&text) {
            return Ok(Content {
                kind: FileKind::Csv,
                table: text::table(&text),
                text: String::new(),
            });
        }
        // Read once to say at once what is wrong with it.
        cses::read(&text, None)?;
        Ok(Content { kind: FileKind::Cses, table: Table::default(), text })
    });
    let parsed: Result<Content, cses::CsesError> = parse.await.map_err(ApiError::internal)?;
    parsed.map_err(|error| refused(format!("Not read: {error}.")))
}

/// Understands a file anew, as somebody says what it holds. What was said before counts no more.
#[utoipa::path(post, path = "/timetable/imports/{id}", tag = "timetable",
    params(("id" = String, Path)), request_body = Mapping, responses(
        (status = 200, body = Import), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn look(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<String>,
    Body(mapping): Body<Mapping>,
) -> Result<Json<Import>, ApiError> {
    let (filename, content) = kept(&app, &id).await?;
    Ok(Json(understood(id, filename, &content, &mapping)?))
}

fn understood(
    import_id: String,
    filename: String,
    content: &Content,
    mapping: &Mapping,
) -> Result<Import, ApiError> {
    let (draft, found) = drafted(content, mapping)?;
    let header = found.as_ref().and_then(|found| content.table.rows.get(found.header));
    Ok(Import {
        import_id,
        kind: content.kind,
        filename,
        layout: found.as_ref().map(|found| found.layout),
        header_row: header.map(|row| row.number),
        columns: columns(&content.table, found.as_ref()),
        preview: ImportPreview {
            periods: draft.periods(),
            has_times: draft.has_times(),
            name: draft.name,
            cycle_weeks: draft.cycle_weeks,
            classes: draft.classes,
            slots: draft.slots,
            problems: draft.problems.shown,
            problems_total: draft.problems.count,
        },
    })
}

fn drafted(content: &Content, mapping: &Mapping) -> Result<(Draft, Option<Found>), ApiError> {
    if let Some(weeks) = mapping.cycle_weeks
        && !(1..=check::CYCLE_WEEKS_MAX).contains(&weeks)
    {
        let allowed = format!("1 to {}", check::CYCLE_WEEKS_MAX);
        return Err(ApiError::invalid_input("cycle_weeks", allowed));
    }
    if let Some(name) = &mapping.class_name
        && !crate::catalog::bounds::is_line(name, check::WORD_CHARS_MAX)
    {
        let allowed = format!("1 to {} characters", check::WORD_CHARS_MAX);
        return Err(ApiError::invalid_input("class_name", allowed));
    }
    if content.kind == FileKind::Cses {
        let class = mapping.class_name.as_deref().map(str::trim);
        let draft = cses::read(&content.text, class).map_err(ApiError::internal)?;
        return Ok((draft, None));
    }
    let found = layout::find(&content.table, mapping);
    let draft = layout::read(&content.table, found.as_ref(), mapping);
    Ok((draft, found))
}

fn columns(table: &Table, found: Option<&Found>) -> Vec<ImportColumn> {
    let header = found.map_or(0, |found| found.header);
    let Some(first) = table.rows.get(header) else { return Vec::new() };
    let rows = found.map_or(1, Found::rows);
    let below = table.rows.get(header + rows..).unwrap_or_default();
    let width = below.iter().chain([first]).map(|row| row.cells.len()).max().unwrap_or(0);
    (0..width)
        .map(|column| {
            let mut samples: Vec<String> = Vec::new();
            for row in below {
                let text = row.cell(column);
                if samples.len() < SAMPLES && !text.is_empty() && !samples.iter().any(|s| s == text)
                {
                    samples.push(text.to_owned());
                }
            }
            ImportColumn {
                index: u32::try_from(column + 1).unwrap_or(u32::MAX),
                header: match found {
                    Some(found) => found.header_of(table, column),
                    None => first.cell(column).to_owned(),
                },
                guess: found.and_then(|found| found.fields.get(column).copied().flatten()),
                samples,
            }
        })
        .collect()
}

/// What to apply a file to, and how it is understood.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportToApply {
    /// How it is understood; guessed if it is not said.
    #[serde(default)]
    mapping: Mapping,
    /// A term, in which the classes of the file get the file's lessons.
    #[serde(default)]
    term_id: Option<String>,
    /// A term to be made, if `term_id` is not said.
    #[serde(default)]
    term: Option<ImportTerm>,
}

/// A term that an import makes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportTerm {
    /// 1 to 60 characters.
    name: String,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    first_day: Date,
    /// The last day, at most a year later.
    #[schema(value_type = String, format = Date)]
    last_day: Date,
}

/// Applies a file: one step, which can be undone.
#[utoipa::path(post, path = "/timetable/imports/{id}/apply", tag = "timetable",
    params(("id" = String, Path)), request_body = ImportToApply, responses(
        (status = 200, body = ImportApplied), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn apply(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
    Body(asked): Body<ImportToApply>,
) -> Result<Json<ImportApplied>, ApiError> {
    let (title, content) = kept(&app, &id).await?;
    let (draft, _) = drafted(&content, &asked.mapping)?;
    if draft.slots.is_empty() {
        let allowed = "columns that give at least one lesson; look at the problems of the preview";
        return Err(ApiError::invalid_input("mapping", allowed));
    }
    let _turn = app.timetable.take().await;
    let (before, begun) = match (asked.term_id, asked.term) {
        (Some(id), None) => {
            let term = terms::own(&app, &id).await?;
            (Some(term.clone()), term)
        }
        (None, Some(ImportTerm { name, first_day, last_day })) => {
            let new = NewTerm {
                name,
                first_day,
                last_day,
                cycle_weeks: None,
                periods: None,
                copy_from: None,
            };
            (None, new.term(super::new_document(&app).await?, None))
        }
        _ => return Err(ApiError::invalid_input("term_id", "a term's id, or term instead")),
    };
    let term = put_into(&begun, &draft).map_err(|misfit| refused(&misfit))?;
    check::whole(&term)?;
    if before.is_none() {
        terms::alone(&app, &term).await?;
    }
    let by_name = admin.user().name.clone();
    let done = Done { title, by_name, is_undo: false };
    let undo_id = remember(&app, &term.id, before, done).await?;
    terms::save(&app, admin.user(), &term.id, written(&term)).await?;
    let (term, conflicts) = terms::found(&app, &term.id).await?;
    Ok(Json(ImportApplied { term: Some(term), conflicts, undo_id }))
}

/// Says why a file does not fit, and what it would have to be.
fn refused(misfit: &Misfit) -> ApiError {
    let (code, found, allowed) = match misfit {
        Misfit::Cycle { file, term } => ("import_other_cycle", file.to_string(), term.to_string()),
        Misfit::Times { file, term } => ("import_other_times", file.clone(), term.clone()),
        Misfit::NoTime { lessons } => ("import_no_time", lessons.clone(), String::new()),
    };
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, misfit.to_string())
        .with_params(serde_json::json!({ "found": found, "allowed": allowed }))
}

fn keep(tx: &Connection, id: &[u8; 16], filename: &str, content: &Content) -> rusqlite::Result<()> {
    const OLD: &str = "delete from timetable_imports where made_at_ms <= ?1 or import in \
         (select import from timetable_imports order by made_at_ms desc limit -1 offset ?2)";
    const KEEP: &str = "insert into timetable_imports (import, filename, content, made_at_ms) \
         values (?1, ?2, ?3, ?4)";
    let now = now_ms();
    tx.prepare_cached(OLD)?.execute(params![now - IMPORTS_KEPT_MS, IMPORTS_MAX - 1])?;
    tx.prepare_cached(KEEP)?.execute(params![id, filename, document::to_json(content), now])?;
    Ok(())
}

async fn kept(app: &App, id: &str) -> Result<(String, Content), ApiError> {
    const FIND: &str =
        "select filename, content from timetable_imports where import = ?1 and made_at_ms > ?2";
    let id: DocId = id.parse().map_err(|_| ApiError::not_found())?;
    let found = app.db.read(move |db| -> rusqlite::Result<Option<(String, String)>> {
        let key = params![id.as_bytes(), now_ms() - IMPORTS_KEPT_MS];
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        db.prepare_cached(FIND)?.query_row(key, read).optional()
    });
    let (filename, content) = found.await?.ok_or_else(ApiError::not_found)?;
    Ok((filename, serde_json::from_str(&content).map_err(ApiError::internal)?))
}

#[cfg(test)]
mod tests;
