//! Several files that become one lesson: pictures, sound beside pages, subtitles beside a video.
//!
//! Each is an upload of its own, resumable by itself; a number that the client chooses holds them
//! together. The lesson is made when the last of them has arrived.

use rusqlite::Transaction;
use serde::Serialize;

use super::as_i64;
use super::table::{self, Row};
use crate::problem::ApiError;

/// The most files of one lesson: photographs of a term's worth of blackboards; a lesson has about
/// 30 pages, and each file costs a request or two.
pub(super) const FILES_MAX: u32 = 100;

/// Which of a lesson's files an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = UploadGroup)]
pub struct Group {
    /// 32 hex characters, chosen by the client.
    pub id: String,
    /// How many files the lesson has, 2 to 100.
    pub files: u32,
    /// Its place among them, from 0.
    pub place: u32,
}

/// Refuses a file that its group cannot have.
pub(super) fn check(
    tx: &Transaction<'_>,
    row: &Row,
    group: &Group,
    lesson_bytes_max: u64,
) -> Result<(), ApiError> {
    let files = table::files_of(tx, &row.user_id, &group.id)?;
    if files.iter().any(|file| file.upload.lesson_id.is_some()) {
        return Err(ApiError::conflict("These files have become a lesson already."));
    }
    let of = |file: &Row| file.upload.group.clone();
    if let Some(other) = files.iter().filter_map(of).find(|other| other.files != group.files) {
        return Err(ApiError::invalid_input("group_files", other.files.to_string()));
    }
    if files.iter().filter_map(of).any(|other| other.place == group.place) {
        let words = "Another file has this place in the lesson; go on with it, or delete it.";
        return Err(ApiError::conflict(words));
    }
    let bytes = files.iter().map(|file| as_i64(file.upload.length)).sum::<i64>();
    if bytes.saturating_add(as_i64(row.upload.length)) > as_i64(lesson_bytes_max) {
        return Err(ApiError::upload_too_large(lesson_bytes_max));
    }
    Ok(())
}
