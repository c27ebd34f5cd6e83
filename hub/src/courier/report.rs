//! What came of an export or an import, for people.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use yingxue_sync_core::courier::{CarryError, CourierError};
use yingxue_sync_core::event::Refusal;
use yingxue_sync_io::courier::StickError;

use crate::jobs::JobError;
use crate::problem::ApiError;

/// Things refused, lessons and notes that are kept of one job; more are counted nowhere else.
const LISTED_MAX: usize = 200;

/// A lesson that was carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CarriedLesson {
    /// 32 hex characters.
    pub lesson_id: String,
    /// Its title.
    pub title: String,
}

/// A file that was not taken, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefusedFile {
    /// Its name below `yingxue-courier/`.
    pub file: String,
    /// Why; the web UI has words for each.
    #[serde(default)]
    #[schema(required = true)]
    pub code: RefusedCode,
    /// One English sentence.
    pub why: String,
}

/// Why a file was not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedCode {
    /// Only the hub that it is for can open it.
    NotForUs,
    /// It is of another alliance.
    OtherAlliance,
    /// It is not what was written.
    Damaged,
    /// It was not written to its end.
    Truncated,
    /// Its signature is wrong.
    BadSignature,
    /// A program of another version wrote it.
    OtherVersion,
    /// A hub wrote it that does not belong to the alliance.
    UnknownSender,
    /// What comes before it is not here yet.
    Gap,
    /// The list of members that it was written under is not here yet.
    UnknownEpoch,
    /// Nothing here names it yet.
    NotNamed,
    /// It answers an invitation that is not known.
    InvitationUnknown,
    /// It answers an invitation that was used.
    InvitationUsed,
    /// It answers an invitation that has run out.
    InvitationExpired,
    /// It answers an invitation, and this hub admits nobody.
    NotRegistrar,
    /// This hub belongs to no alliance yet.
    NoAlliance,
    /// This hub could not keep it.
    NotStored,
    /// It cannot be read; also what an older version of this program has noted.
    #[default]
    #[serde(other)]
    Unreadable,
}

/// Why something was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    code: RefusedCode,
    words: String,
}

impl Why {
    pub(super) fn new(code: RefusedCode, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }
}

impl From<StickError> for Why {
    fn from(error: StickError) -> Self {
        let code = match &error {
            StickError::NotForUs => RefusedCode::NotForUs,
            StickError::Wrong(CourierError::Signature) => RefusedCode::BadSignature,
            StickError::Wrong(CourierError::Version { .. }) => RefusedCode::OtherVersion,
            StickError::Length { found, expected } if found < expected => RefusedCode::Truncated,
            StickError::Wrong(CourierError::Malformed(_))
            | StickError::Length { .. }
            | StickError::Hash
            | StickError::Frames(_) => RefusedCode::Damaged,
            _ => RefusedCode::Unreadable,
        };
        let words = match error {
            StickError::Io(reason) => format!(
                "this place of the stick cannot be read ({reason}); have it written again, best \
                 to another stick"
            ),
            other => other.to_string(),
        };
        Self::new(code, words)
    }
}

impl From<CarryError> for Why {
    fn from(error: CarryError) -> Self {
        let code = match &error {
            CarryError::Wrong(_) => RefusedCode::Damaged,
            CarryError::Gap => RefusedCode::Gap,
            CarryError::UnknownEpoch => RefusedCode::UnknownEpoch,
            CarryError::NotNamed => RefusedCode::NotNamed,
            CarryError::NotAdmitted(Refusal::InvitationUnknown) => RefusedCode::InvitationUnknown,
            CarryError::NotAdmitted(Refusal::InvitationUsed) => RefusedCode::InvitationUsed,
            CarryError::NotAdmitted(Refusal::InvitationExpired) => RefusedCode::InvitationExpired,
            CarryError::NotAdmitted(_) => RefusedCode::NotRegistrar,
            CarryError::NoAlliance => RefusedCode::NoAlliance,
            CarryError::Busy | CarryError::Store(_) => RefusedCode::NotStored,
        };
        Self::new(code, error.to_string())
    }
}

/// A file to be downloaded and put on a stick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExportedFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Where it is; answers ranges.
    pub url: String,
    /// For which hub.
    pub hub_id: String,
}

/// What became of this hub's receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptLeft {
    /// It is on the stick.
    Written,
    /// The stick is read-only or full: it goes with the next one.
    Kept,
    /// It came in a file through a browser: it goes with the next export.
    WithNextExport,
}

/// What came of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Of an export, those on the stick; of an import, those that more of is here now.
    pub lessons: Vec<CarriedLesson>,
    /// Of an export for a browser.
    pub files: Vec<ExportedFile>,
    /// Entries of journals, exported or new here.
    pub envelopes: u64,
    /// Blobs exported, or whole here now and not before.
    pub blobs: u64,
    /// Bytes of pieces: exported, or new here.
    pub payload_bytes: u64,
    /// Of an export: bytes that the stick holds for it.
    pub stick_bytes: u64,
    /// Of an export: lessons or qualities of lessons for which there was no room.
    pub left_out: u64,
    /// What was not taken.
    pub refused: Vec<RefusedFile>,
    /// What else is worth knowing, English sentences.
    pub notes: Vec<String>,
    /// What became of the receipt.
    pub receipt: Option<ReceiptLeft>,
    /// Of an import: schools that have joined by their answers to invitations.
    pub admitted: Vec<String>,
    /// Of an import: the name of the alliance that this school has joined by it.
    pub joined: Option<String>,
}

impl Report {
    pub(super) fn refuse(&mut self, file: impl Into<String>, why: impl Into<Why>) {
        if self.refused.len() < LISTED_MAX {
            let Why { code, words } = why.into();
            self.refused.push(RefusedFile { file: file.into(), code, why: words });
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.notes.len() < LISTED_MAX && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn add_lesson(&mut self, lesson_id: String, title: &str) {
        let is_there = self.lessons.iter().any(|lesson| lesson.lesson_id == lesson_id);
        if !is_there && self.lessons.len() < LISTED_MAX {
            self.lessons.push(CarriedLesson { lesson_id, title: title.to_owned() });
        }
    }
}

/// Says the same to whoever has asked for it in a request.
pub(super) fn stick_problem(error: &StickError) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, code_of(error), job_error(error).detail)
}

const fn code_of(error: &StickError) -> &'static str {
    match error {
        StickError::NoFolder(_) => "stick_missing",
        StickError::NoCourier(_) => "stick_empty",
        StickError::ReadOnly => "stick_read_only",
        StickError::Full => "stick_full",
        StickError::Cancelled => "cancelled",
        StickError::Io(_) => "stick_gone",
        _ => "courier_damaged",
    }
}

/// Says why a job ended, for people; what is on the stick then is whole.
pub(super) fn job_error(error: &StickError) -> JobError {
    let words = match error {
        StickError::Io(reason) => format!(
            "The stick cannot be used ({reason}); plug it in and begin again: it goes on where \
             it was."
        ),
        other => {
            let words = other.to_string();
            let mut letters = words.chars();
            let first = letters.next().map(char::to_uppercase);
            first.into_iter().flatten().chain(letters).chain(['.']).collect()
        }
    };
    JobError::new(code_of(error), words)
}
