//! What the seek bar shows of a lesson: its chapters, and how loud each second is. Both are of
//! the whole lesson, are small, and travel in its document.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::DocId;

use super::bounds::{self, CHAPTER_CHARS_MAX, CHAPTERS_BYTES_MAX, CHAPTERS_MAX, PEAKS_MAX};

/// Where a part of a lesson begins, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Chapter {
    /// Milliseconds from the beginning of the lesson.
    pub at_ms: i64,
    /// 1 to 120 characters.
    pub title: String,
}

/// Chapters and loudness of a lesson.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// In order of time, at most [`CHAPTERS_MAX`].
    pub chapters: Vec<Chapter>,
    /// One for each second, 0 (silence) to 255, on a scale like decibels; at most [`PEAKS_MAX`].
    pub peaks: Option<Vec<u8>>,
}

impl Outline {
    /// Joins what a file said, within the bounds that other hubs keep to.
    pub fn new(chapters: impl IntoIterator<Item = Chapter>, mut peaks: Vec<u8>) -> Self {
        peaks.truncate(PEAKS_MAX);
        let mut chapters = within_bounds(chapters);
        while to_json(&chapters).len() > CHAPTERS_BYTES_MAX {
            chapters.pop();
        }
        Self { chapters, peaks: (!peaks.is_empty()).then_some(peaks) }
    }

    /// Gives the edits that say it in a lesson's document.
    pub fn edits(&self) -> Vec<DocEdit> {
        let put = |key: &str, value| DocEdit::Put { path: vec![key.to_owned()], value };
        let mut edits = Vec::new();
        if !self.chapters.is_empty() {
            edits.push(put("chapters", DocValue::Str(to_json(&self.chapters))));
        }
        edits.extend(self.peaks.clone().map(|peaks| put("peaks", DocValue::Bytes(peaks))));
        edits
    }
}

/// Reads the outline of a lesson; one without has an empty one.
///
/// # Errors
/// Only if the database fails.
pub fn find(db: &Connection, lesson: &DocId) -> rusqlite::Result<Outline> {
    const OUTLINE: &str = "select chapters, peaks from lesson_outlines where lesson = ?1";
    let found = db.prepare_cached(OUTLINE)?.query_row([lesson.as_bytes()], |row| {
        // The projection has written it.
        let chapters = serde_json::from_str(row.get_ref(0)?.as_str()?).unwrap_or_default();
        Ok(Outline { chapters, peaks: row.get(1)? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Replaces a lesson's row by what its document says, as far as that keeps to the bounds.
pub(super) fn project(
    db: &Connection,
    lesson: &DocId,
    doc: &BTreeMap<String, DocValue>,
) -> rusqlite::Result<()> {
    const UPSERT: &str =
        "insert or replace into lesson_outlines (lesson, chapters, peaks) values (?1, ?2, ?3)";
    let chapters = match doc.get("chapters") {
        Some(DocValue::Str(json)) if json.len() <= CHAPTERS_BYTES_MAX => from_json(json),
        _ => Vec::new(),
    };
    let peaks = match doc.get("peaks") {
        Some(DocValue::Bytes(peaks)) if (1..=PEAKS_MAX).contains(&peaks.len()) => Some(peaks),
        _ => None,
    };
    if chapters.is_empty() && peaks.is_none() {
        db.prepare_cached("delete from lesson_outlines where lesson = ?1")?
            .execute([lesson.as_bytes()])?;
        return Ok(());
    }
    let row = params![lesson.as_bytes(), to_json(&chapters), peaks];
    db.prepare_cached(UPSERT)?.execute(row)?;
    Ok(())
}

/// Reads the chapters of a document; one that is wrong does not cost the others.
fn from_json(json: &str) -> Vec<Chapter> {
    let all: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    within_bounds(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()))
}

fn to_json(chapters: &[Chapter]) -> String {
    serde_json::to_string(chapters).expect("numbers and texts are plain JSON")
}

fn within_bounds(chapters: impl IntoIterator<Item = Chapter>) -> Vec<Chapter> {
    let named = chapters.into_iter().map(|chapter| Chapter {
        at_ms: chapter.at_ms.clamp(0, bounds::DURATION_MS_MAX),
        title: bounds::line(&chapter.title, CHAPTER_CHARS_MAX),
    });
    let mut kept: Vec<_> =
        named.filter(|chapter| !chapter.title.is_empty()).take(CHAPTERS_MAX).collect();
    kept.sort_by_key(|chapter| chapter.at_ms);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter(at_ms: i64, title: &str) -> Chapter {
        Chapter { at_ms, title: title.to_owned() }
    }

    #[test]
    fn chapters_of_a_file_are_cut_to_what_other_hubs_take() {
        let many = (0..300).map(|n| chapter(300 - n, &"章".repeat(200)));
        let outline = Outline::new(many, vec![7; PEAKS_MAX + 1]);
        assert!((1..=CHAPTERS_MAX).contains(&outline.chapters.len()));
        assert!(outline.chapters.is_sorted_by_key(|chapter| chapter.at_ms));
        assert!(outline.chapters.iter().all(|c| c.title.chars().count() == CHAPTER_CHARS_MAX));
        let json = to_json(&outline.chapters);
        assert!(json.len() <= CHAPTERS_BYTES_MAX);
        assert_eq!(from_json(&json), outline.chapters);
        assert_eq!(outline.peaks.unwrap().len(), PEAKS_MAX);
        assert_eq!(Outline::new([], Vec::new()), Outline::default());
    }

    #[test]
    fn a_chapter_that_is_wrong_does_not_cost_the_others() {
        let json = r#"[{"at_ms": "x", "title": "a"}, 7, {"at_ms": 5, "title": " 二\n ", "of": 1},
            {"at_ms": -4, "title": "一"}, {"at_ms": 6, "title": "\u202e"}]"#;
        assert_eq!(from_json(json), [chapter(0, "一"), chapter(5, "二")]);
        assert_eq!(from_json(&"[".repeat(9_000)), []);
        assert_eq!(from_json("{}"), []);
    }
}
