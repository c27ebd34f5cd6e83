//! What screens and the command line ask of couriers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::courier::ParcelId;
use yingxue_sync_core::id::{DocId, HubId};

use super::drives::{self, Drives};
use super::shown::{
    CourierExport, CourierExports, CourierImport, CourierImports, CourierTarget, CourierTargets,
    shown_export, shown_import,
};
use super::table::{self, Kind, NewJob, Row};
use super::{files, joining, needs, receipts};
use crate::accounts::Teacher;
use crate::app::{App, random};
use crate::events::HubEvent;
use crate::jobs::JobState;
use crate::problem::{ApiError, Body, Problem};

/// Exports and imports that may wait and run.
const OPEN_MAX: u32 = 16;
/// Exports and imports that are listed.
const RECENT_MAX: usize = 50;
/// Schools that one export may be for.
const TARGETS_MAX: usize = 256;
/// Lessons that one export may be limited to: a week of what 36 schools lack of the same lead.
const LESSONS_MAX: usize = 1_000;
/// Files that one export for browsers makes; each is as long as a stick may be.
const FILES_MAX: usize = 16;
/// Least bytes of an export: a receipt, epochs and comments.
const BYTES_MAX_MIN: u64 = 8 << 20;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(targets))
        .routes(routes!(list_drives))
        .routes(routes!(exports, export))
        .routes(routes!(show_export, cancel_export))
        .routes(routes!(download))
        .routes(routes!(joining::show, joining::answer))
        .routes(routes!(imports, import))
        .routes(routes!(show_import, cancel_import))
}

/// An export to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportToMake {
    /// Hubs that it is for, 1 to 256.
    to: Vec<String>,
    /// At most so many bytes, 8 MiB at least; none for as much as fits.
    #[serde(default)]
    bytes_max: Option<u64>,
    /// A stick's folder on the hub; none to download it with a browser (at most 16 schools).
    #[serde(default)]
    folder: Option<String>,
    /// Lessons to carry, at most 1,000, such as those of `/night/courier_list`; none for whatever
    /// the schools lack. Entries of documents are carried in any case.
    #[serde(default)]
    lessons: Vec<String>,
}

/// An import to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportToMake {
    /// A stick's folder on the hub, or a `.yxc` file.
    folder: String,
}

/// Lists the schools that a stick may be for, with what each is known to lack.
#[utoipa::path(get, path = "/courier/targets", tag = "courier", responses(
    (status = 200, body = CourierTargets), (status = 404, body = Problem),
))]
async fn targets(State(app): State<App>, _: Teacher) -> Result<Json<CourierTargets>, ApiError> {
    let view = app.sync.courier_view().await.ok_or_else(ApiError::no_alliance)?;
    let membership = app.sync.membership().ok_or_else(ApiError::no_alliance)?;
    let me = app.sync.hub_id();
    let found = app.db.read(move |db| -> rusqlite::Result<_> {
        let others = membership.hubs.iter().filter(|member| member.hub != me);
        let target = |member: &yingxue_sync_core::event::MemberView| {
            let receipt = receipts::of(db, &member.hub)?;
            let lack = needs::lack(db, &view, (member.hub, receipt.as_ref()))?;
            let written_at = receipt.map(|receipt| receipt.written_at_wall_ms);
            Ok(CourierTarget {
                hub_id: member.hub.to_string(),
                school: member.school.clone(),
                last_receipt_at: written_at.map(|at| i64::try_from(at).unwrap_or(i64::MAX)),
                missing_lessons: lack.lessons,
                bytes: lack.bytes,
            })
        };
        others.map(target).collect::<rusqlite::Result<Vec<_>>>()
    });
    Ok(Json(CourierTargets { items: found.await? }))
}

/// Lists sticks and disks that are plugged into the hub.
#[utoipa::path(get, path = "/courier/drives", tag = "courier", responses(
    (status = 200, body = Drives), (status = 403, body = Problem),
))]
async fn list_drives(_: Teacher) -> Result<Json<Drives>, ApiError> {
    // A stick that hangs must not hold up others.
    let items = tokio::task::spawn_blocking(drives::list).await.map_err(ApiError::internal)?;
    Ok(Json(Drives { items }))
}

/// Lists exports.
#[utoipa::path(get, path = "/courier/exports", tag = "courier", responses(
    (status = 200, body = CourierExports), (status = 403, body = Problem),
))]
async fn exports(State(app): State<App>, _: Teacher) -> Result<Json<CourierExports>, ApiError> {
    let rows = app.db.read(|db| table::recent(db, Kind::Export, RECENT_MAX)).await?;
    let items = rows.into_iter().map(|row| shown_export(&app, row)).collect();
    Ok(Json(CourierExports { items }))
}

/// Begins an export; it goes on after a restart of the hub.
#[utoipa::path(post, path = "/courier/exports", tag = "courier", request_body = ExportToMake,
    responses((status = 202, body = CourierExport), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn export(
    State(app): State<App>,
    teacher: Teacher,
    Body(asked): Body<ExportToMake>,
) -> Result<(StatusCode, Json<CourierExport>), ApiError> {
    let targets = targets_of(&app, &asked)?;
    let lessons = lessons_of(&asked)?;
    if asked.bytes_max.is_some_and(|bytes| bytes < BYTES_MAX_MIN) {
        let allowed = format!("{BYTES_MAX_MIN} bytes at least");
        return Err(ApiError::invalid_input("bytes_max", allowed));
    }
    let folder = match asked.folder {
        Some(folder) => Some(checked_folder(&app, &teacher, folder).await?),
        None => None,
    };
    let bytes_max = asked.bytes_max.map(|bytes| bytes.min(i64::MAX as u64));
    let parcel = ParcelId(u32::from_le_bytes(random()));
    let (kind, upload_id) = (Kind::Export, None);
    let job = NewJob { kind, folder, upload_id, targets, bytes_max, parcel, lessons };
    let row = enqueue(&app, job).await?;
    Ok((StatusCode::ACCEPTED, Json(shown_export(&app, row))))
}

fn targets_of(app: &App, asked: &ExportToMake) -> Result<Vec<HubId>, ApiError> {
    let membership = app.sync.membership().ok_or_else(ApiError::no_alliance)?;
    let targets_max = if asked.folder.is_some() { TARGETS_MAX } else { FILES_MAX };
    if asked.to.is_empty() || asked.to.len() > targets_max {
        return Err(ApiError::invalid_input("to", format!("1 to {targets_max} schools")));
    }
    let mut targets = Vec::new();
    for hub in &asked.to {
        let hub: HubId = hub
            .parse()
            .map_err(|_| ApiError::invalid_input("to", "hub ids of 64 hexadecimal characters"))?;
        let is_member = membership.hubs.iter().any(|member| member.hub == hub);
        if !is_member || hub == app.sync.hub_id() {
            return Err(ApiError::invalid_input("to", "other schools of the alliance"));
        }
        if !targets.contains(&hub) {
            targets.push(hub);
        }
    }
    Ok(targets)
}

fn lessons_of(asked: &ExportToMake) -> Result<Vec<DocId>, ApiError> {
    let allowed = || format!("at most {LESSONS_MAX} ids of lessons, 32 hexadecimal characters");
    let refused = || ApiError::invalid_input("lessons", allowed());
    if asked.lessons.len() > LESSONS_MAX {
        return Err(refused());
    }
    asked.lessons.iter().map(|id| id.parse().map_err(|_| refused())).collect()
}

async fn checked_folder(app: &App, teacher: &Teacher, folder: String) -> Result<String, ApiError> {
    let (app, user) = (app.clone(), teacher.user().clone());
    tokio::task::spawn_blocking(move || drives::check(&app, &user, &folder))
        .await
        .map_err(ApiError::internal)?
}

/// Shows an export.
#[utoipa::path(get, path = "/courier/exports/{id}", tag = "courier", params(("id" = i64, Path)),
    responses((status = 200, body = CourierExport), (status = 404, body = Problem)))]
async fn show_export(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<Json<CourierExport>, ApiError> {
    let row = find(&app, id, Kind::Export).await?;
    Ok(Json(shown_export(&app, row)))
}

/// Cancels an export; what is on the stick stays and is whole. Of one that is done, the files for
/// browsers are removed.
#[utoipa::path(delete, path = "/courier/exports/{id}", tag = "courier",
    params(("id" = i64, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn cancel_export(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let row = find(&app, id, Kind::Export).await?;
    let is_over = !matches!(row.state, JobState::Queued | JobState::Running);
    if is_over && row.folder.is_none() {
        files::discard(&app, id).await;
    }
    cancel(&app, row).await
}

/// Sends a file of an export, or a part of it.
#[utoipa::path(get, path = "/courier/exports/{id}/files/{name}", tag = "courier",
    params(("id" = i64, Path), ("name" = String, Path)),
    responses((status = 200, description = "the file; 206 of a range"),
        (status = 404, body = Problem)))]
async fn download(
    State(app): State<App>,
    _: Teacher,
    Path((id, name)): Path<(i64, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let row = find(&app, id, Kind::Export).await?;
    let file = row.report.files.iter().find(|file| file.name == name);
    let file = file.filter(|_| row.state == JobState::Done).ok_or_else(ApiError::not_found)?;
    let hub: HubId = file.hub_id.parse().map_err(|_| ApiError::not_found())?;
    files::serve(&app, id, &hub, &name, &headers).await
}

/// Lists imports.
#[utoipa::path(get, path = "/courier/imports", tag = "courier", responses(
    (status = 200, body = CourierImports), (status = 403, body = Problem),
))]
async fn imports(State(app): State<App>, _: Teacher) -> Result<Json<CourierImports>, ApiError> {
    let rows = app.db.read(|db| table::recent(db, Kind::Import, RECENT_MAX)).await?;
    let items = rows.into_iter().map(|row| shown_import(&app, row)).collect();
    Ok(Json(CourierImports { items }))
}

/// Begins an import; it goes on after a restart of the hub. A `.yxc` file comes as an upload with
/// the metadata `kind courier` instead.
#[utoipa::path(post, path = "/courier/imports", tag = "courier", request_body = ImportToMake,
    responses((status = 202, body = CourierImport), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn import(
    State(app): State<App>,
    teacher: Teacher,
    Body(asked): Body<ImportToMake>,
) -> Result<(StatusCode, Json<CourierImport>), ApiError> {
    if app.sync.membership().is_none() && !joining::is_waiting(&app).await? {
        return Err(ApiError::no_alliance());
    }
    let folder = Some(checked_folder(&app, &teacher, asked.folder).await?);
    let (targets, parcel) = (Vec::new(), ParcelId(0));
    let kind = Kind::Import;
    let lessons = Vec::new();
    let job = NewJob { kind, folder, upload_id: None, targets, bytes_max: None, parcel, lessons };
    let row = enqueue(&app, job).await?;
    Ok((StatusCode::ACCEPTED, Json(shown_import(&app, row))))
}

/// Shows an import.
#[utoipa::path(get, path = "/courier/imports/{id}", tag = "courier", params(("id" = i64, Path)),
    responses((status = 200, body = CourierImport), (status = 404, body = Problem)))]
async fn show_import(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<Json<CourierImport>, ApiError> {
    let row = find(&app, id, Kind::Import).await?;
    Ok(Json(shown_import(&app, row)))
}

/// Cancels an import; what was taken stays.
#[utoipa::path(delete, path = "/courier/imports/{id}", tag = "courier",
    params(("id" = i64, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn cancel_import(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let row = find(&app, id, Kind::Import).await?;
    cancel(&app, row).await
}

async fn enqueue(app: &App, job: NewJob) -> Result<Row, ApiError> {
    let row = app
        .db
        .write(move |tx| -> Result<Row, ApiError> {
            let id = table::insert(tx, &job, OPEN_MAX)?;
            table::find(tx, id)?.ok_or_else(ApiError::not_found)
        })
        .await?;
    app.courier.wake();
    app.events.publish(HubEvent::Courier {});
    Ok(row)
}

async fn find(app: &App, id: i64, kind: Kind) -> Result<Row, ApiError> {
    let row = app.db.read(move |db| table::find(db, id)).await?;
    row.filter(|row| row.kind == kind).ok_or_else(ApiError::not_found)
}

async fn cancel(app: &App, row: Row) -> Result<StatusCode, ApiError> {
    match row.state {
        JobState::Running => app.courier.cancel(row.id),
        JobState::Queued => {
            let cancelled = Row { state: JobState::Cancelled, ..row };
            app.db.write(move |tx| table::finish(tx, &cancelled)).await?;
            app.events.publish(HubEvent::Courier {});
        }
        _ => {}
    }
    Ok(StatusCode::NO_CONTENT)
}
