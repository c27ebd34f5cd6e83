//! What came of an export or an import, for people.

use serde::{Deserialize, Serialize};
use yingxue_sync_io::courier::StickError;

use crate::jobs::JobError;

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
    /// One English sentence.
    pub why: String,
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
}

impl Report {
    pub(super) fn refuse(&mut self, file: impl Into<String>, why: impl std::fmt::Display) {
        if self.refused.len() < LISTED_MAX {
            self.refused.push(RefusedFile { file: file.into(), why: why.to_string() });
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

/// Says why a job ended, for people; what is on the stick then is whole.
pub(super) fn job_error(error: &StickError) -> JobError {
    let code = match error {
        StickError::NoFolder(_) => "stick_missing",
        StickError::NoCourier(_) => "stick_empty",
        StickError::ReadOnly => "stick_read_only",
        StickError::Full => "stick_full",
        StickError::Cancelled => "cancelled",
        StickError::Io(_) => "stick_gone",
        _ => "courier_damaged",
    };
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
    JobError::new(code, words)
}
