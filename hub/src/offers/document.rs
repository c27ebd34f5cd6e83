//! Plans of lessons as documents. Only the school that made a plan changes it; each of its fields
//! is one value, the lessons together one JSON text, because their order is what matters.

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::{DocId, HubId};

use crate::catalog::bounds::{self, GRADES, SUBJECTS};
use crate::catalog::projection::{Fields, Projected, first_author, line, one_of, string};
use crate::timetable::COLLECTION;

/// Most lessons of one plan: one a school day.
pub const ITEMS_MAX: usize = 300;
/// All lessons of a plan as JSON, below what one value of a document may have: 300 with titles of
/// 100 Chinese characters.
pub const ITEMS_BYTES_MAX: usize = 120 << 10;
/// Longest name of a textbook, such as 人教版五年级上册.
pub const TEXTBOOK_CHARS_MAX: usize = 60;
/// Longest key of a lesson in a plan; 16 random bytes in hex.
pub const KEY_CHARS_MAX: usize = 32;

/// A plan of lessons that a school offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its document.
    pub id: DocId,
    /// Whose it is.
    pub school_hub: HubId,
    /// True if the school does not offer it any more; who follows it, follows it on.
    pub is_withdrawn: bool,
    /// As shown.
    pub title: String,
    /// One of the catalogue's.
    pub subject: String,
    /// One of the catalogue's, or empty.
    pub grade: String,
    /// Which book it goes through, or empty.
    pub textbook: String,
    /// Name of the school.
    pub school: String,
    /// Its lessons, in order.
    pub items: Vec<Item>,
}

/// One lesson of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Names it within the plan, 1 to 32 letters, digits and hyphens.
    pub key: String,
    /// The lesson, once it is made; 32 hex characters.
    #[serde(default)]
    pub lesson_id: Option<String>,
    /// As shown until the lesson is there.
    pub title: String,
    /// On which day it is taught, if that matters; else it is taught when its turn comes.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<Date>,
    /// True if the school has taken it out; it keeps its place, so that whoever follows the plan
    /// does not suddenly have another lesson.
    #[serde(default)]
    pub is_withdrawn: bool,
}

/// Gives the edits that write a plan.
pub fn edits(plan: &Plan) -> Vec<DocEdit> {
    let put = |key: &str, value| DocEdit::Put { path: vec![key.to_owned()], value };
    let text = |value: &str| DocValue::Str(value.to_owned());
    vec![
        put("kind", text("offer")),
        put("title", text(&plan.title)),
        put("subject", text(&plan.subject)),
        put("grade", text(&plan.grade)),
        put("textbook", text(&plan.textbook)),
        put("school", text(&plan.school)),
        put("withdrawn", DocValue::Bool(plan.is_withdrawn)),
        put("items", DocValue::Str(to_json(&plan.items))),
    ]
}

/// Replaces the row of a plan by what its document says, as far as that keeps to the bounds.
///
/// # Errors
/// Only if the database fails.
pub fn project(db: &Connection, doc: &DocId, fields: &Fields) -> rusqlite::Result<Projected> {
    const UPSERT: &str = "insert or replace into offers (offer, school_hub, is_withdrawn, title, \
         subject, grade, textbook, school, items) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let Some(school_hub) = first_author(db, COLLECTION, doc)? else {
        tracing::warn!(doc = %doc, "a plan of lessons has no author; it is not shown");
        return Ok(Projected::Nothing);
    };
    let title = Some(line(fields, "title", bounds::TITLE_CHARS_MAX));
    db.prepare_cached(UPSERT)?.execute(params![
        doc.as_bytes(),
        school_hub,
        fields.get("withdrawn") == Some(&DocValue::Bool(true)),
        title.filter(|title| !title.is_empty()).unwrap_or_else(|| doc.short()),
        one_of(fields, "subject", &SUBJECTS, "other"),
        one_of(fields, "grade", &GRADES, ""),
        line(fields, "textbook", TEXTBOOK_CHARS_MAX),
        line(fields, "school", bounds::SCHOOL_CHARS_MAX),
        to_json(&read_items(string(fields, "items"))),
    ])?;
    Ok(Projected::Timetable)
}

/// Reads lessons; one that is wrong, or whose key was there, does not cost the others.
fn read_items(json: &str) -> Vec<Item> {
    if json.len() > ITEMS_BYTES_MAX {
        return Vec::new();
    }
    let all: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let mut items: Vec<Item> = Vec::new();
    for value in all {
        let Ok(item) = serde_json::from_value::<Item>(value) else { continue };
        let is_new = !items.iter().any(|known| known.key == item.key);
        if is_new && is_item(&item) && items.len() < ITEMS_MAX {
            items.push(item);
        }
    }
    items
}

/// Says whether a lesson of a plan keeps to the bounds.
pub fn is_item(item: &Item) -> bool {
    is_key(&item.key)
        && item.lesson_id.as_ref().is_none_or(|id| id.parse::<DocId>().is_ok())
        && bounds::is_line(&item.title, bounds::TITLE_CHARS_MAX)
}

/// Says whether a text can name a lesson within a plan.
pub fn is_key(key: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(is_plain)
}

/// Says whether the lessons of a plan fit the value that holds them.
pub fn is_short(items: &[Item]) -> bool {
    to_json(items).len() <= ITEMS_BYTES_MAX
}

fn to_json(items: &[Item]) -> String {
    serde_json::to_string(items).expect("texts and dates are plain JSON")
}

const COLUMNS: &str =
    "offer, school_hub, is_withdrawn, title, subject, grade, textbook, school, items";

/// Reads one plan.
///
/// # Errors
/// If the database fails.
pub fn find(db: &Connection, offer: &DocId) -> rusqlite::Result<Option<Plan>> {
    let sql = format!("select {COLUMNS} from offers where offer = ?1");
    db.prepare_cached(&sql)?.query_row([offer.as_bytes()], read_row).optional()
}

/// Reads at most `limit` plans, by school and title; those that were withdrawn only for their own
/// school.
///
/// # Errors
/// If the database fails.
pub fn all(db: &Connection, own: &HubId, limit: usize) -> rusqlite::Result<Vec<Plan>> {
    let sql = format!(
        "select {COLUMNS} from offers where is_withdrawn = 0 or school_hub = ?1 \
         order by school, title, offer limit ?2"
    );
    db.prepare_cached(&sql)?.query_map(params![own.as_bytes(), limit], read_row)?.collect()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Plan> {
    Ok(Plan {
        id: DocId(row.get(0)?),
        school_hub: HubId(row.get(1)?),
        is_withdrawn: row.get(2)?,
        title: row.get(3)?,
        subject: row.get(4)?,
        grade: row.get(5)?,
        textbook: row.get(6)?,
        school: row.get(7)?,
        // The projection has written it.
        items: serde_json::from_str(row.get_ref(8)?.as_str()?).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
