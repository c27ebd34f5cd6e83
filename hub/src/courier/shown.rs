//! Exports and imports as screens and the command line see them.

use serde::Serialize;
use yingxue_sync_core::id::HubId;

use super::files;
use super::report::{CarriedLesson, ExportedFile, ReceiptLeft, RefusedFile};
use super::table::Row;
use crate::app::App;
use crate::jobs::{JobFailure, JobState};

/// A school that a stick may be for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierTarget {
    /// 64 hex characters.
    pub hub_id: String,
    /// Its name.
    pub school: String,
    /// Unix milliseconds by its own clock; none if it never said what it holds.
    pub last_receipt_at: Option<i64>,
    /// Lessons of which it lacks something that is here.
    pub missing_lessons: u64,
    /// About how many bytes that is.
    pub bytes: u64,
}

/// The schools that a stick may be for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierTargets {
    /// In the order of the alliance.
    pub items: Vec<CourierTarget>,
}

/// A hub that an export is for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ExportTarget {
    /// 64 hex characters.
    pub hub_id: String,
    /// Its name; empty if it is no member any more.
    pub school: String,
}

/// An export.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierExport {
    /// Its number.
    pub id: i64,
    /// How far it is.
    pub state: JobState,
    /// For whom.
    pub to: Vec<ExportTarget>,
    /// Where; none if it is downloaded.
    pub folder: Option<String>,
    /// Bytes written of what is planned.
    pub done_bytes: u64,
    /// Bytes planned.
    pub total_bytes: u64,
    /// Lessons on the stick.
    pub lessons: Vec<CarriedLesson>,
    /// Files to download, once it is done; none once they are kept no more.
    pub files: Vec<ExportedFile>,
    /// Until when they are kept, unless a newer export for the same school replaces them; unix
    /// milliseconds. None if there are none.
    pub files_until: Option<i64>,
    /// Qualities of lessons for which there was no room.
    pub left_out: u64,
    /// Entries of documents: comments and the like.
    pub envelopes: u64,
    /// Bytes of lessons.
    pub payload_bytes: u64,
    /// Bytes that they take on the stick.
    pub stick_bytes: u64,
    /// What this hub could not read on the stick.
    pub refused: Vec<RefusedFile>,
    /// What else is worth knowing, English sentences.
    pub notes: Vec<String>,
    /// Why it failed.
    pub error: Option<JobFailure>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub finished_at: Option<i64>,
}

/// What an import brought.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Accepted {
    /// Entries of documents that are new here.
    pub envelopes: u64,
    /// Tracks of lessons that are whole now and were not before.
    pub blobs: u64,
    /// Lessons that more of is here now.
    pub lessons: u64,
    /// New bytes of lessons.
    pub bytes: u64,
}

/// An import.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierImport {
    /// Its number.
    pub id: i64,
    /// How far it is.
    pub state: JobState,
    /// From where; none if it came through a browser.
    pub folder: Option<String>,
    /// Bytes read of what is for this school.
    pub done_bytes: u64,
    /// Bytes for this school.
    pub total_bytes: u64,
    /// What is new here.
    pub accepted: Accepted,
    /// The lessons that more of is here now.
    pub lessons: Vec<CarriedLesson>,
    /// What was not taken, and why; nothing else has changed by it.
    pub refused: Vec<RefusedFile>,
    /// What became of this school's receipt.
    pub receipt: Option<ReceiptLeft>,
    /// Schools that have joined by their answers to invitations; write to the stick for them now.
    pub admitted: Vec<String>,
    /// The name of the alliance that this school has joined by it.
    pub joined: Option<String>,
    /// What else is worth knowing, English sentences.
    pub notes: Vec<String>,
    /// Why it failed.
    pub error: Option<JobFailure>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub finished_at: Option<i64>,
}

/// Exports.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierExports {
    /// Newest first, at most 50.
    pub items: Vec<CourierExport>,
}

/// Imports.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierImports {
    /// Newest first, at most 50.
    pub items: Vec<CourierImport>,
}

/// Gives an export as it is now.
pub(super) fn shown_export(app: &App, row: Row) -> CourierExport {
    let (done_bytes, total_bytes) = app.courier.progress(&row);
    let membership = app.sync.membership();
    let school = |hub: &HubId| {
        let members = membership.iter().flat_map(|membership| &membership.hubs);
        let school = members.filter(|member| member.hub == *hub).map(|m| m.school.clone()).next();
        ExportTarget { hub_id: hub.to_string(), school: school.unwrap_or_default() }
    };
    let has_files = !row.report.files.is_empty();
    let files_until = row.finished_at.filter(|_| has_files);
    CourierExport {
        id: row.id,
        state: row.state,
        to: row.targets.iter().map(school).collect(),
        folder: row.folder,
        done_bytes,
        total_bytes,
        lessons: row.report.lessons,
        files: row.report.files,
        files_until: files_until.map(|at| at.saturating_add(files::KEPT_MS)),
        left_out: row.report.left_out,
        envelopes: row.report.envelopes,
        payload_bytes: row.report.payload_bytes,
        stick_bytes: row.report.stick_bytes,
        refused: row.report.refused,
        notes: row.report.notes,
        error: row.error,
        created_at: row.created_at,
        finished_at: row.finished_at,
    }
}

/// Gives an import as it is now.
pub(super) fn shown_import(app: &App, row: Row) -> CourierImport {
    let (done_bytes, total_bytes) = app.courier.progress(&row);
    CourierImport {
        id: row.id,
        state: row.state,
        folder: row.folder,
        done_bytes,
        total_bytes,
        accepted: Accepted {
            envelopes: row.report.envelopes,
            blobs: row.report.blobs,
            lessons: row.report.lessons.len() as u64,
            bytes: row.report.payload_bytes,
        },
        lessons: row.report.lessons,
        refused: row.report.refused,
        receipt: row.report.receipt,
        admitted: row.report.admitted,
        joined: row.report.joined,
        notes: row.report.notes,
        error: row.error,
        created_at: row.created_at,
        finished_at: row.finished_at,
    }
}
