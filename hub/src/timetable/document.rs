//! Terms as documents: edits to write, and what is read back. Each entry is one value, a JSON
//! text, because a school's hub alone writes to its term, and a lesson of the timetable is changed
//! as a whole. A term has its first author's changes in the order in which that hub made them.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::DocId;

use super::calendar::is_of_the_day;
use super::check;
use super::term::{Class, Exception, Follow, Period, Slot, Term};
use crate::catalog::bounds::GRADES;
use crate::catalog::projection::{Fields, Projected, first_author, string};

/// Longest entry that is read: a replaced lesson with every field at its bound has 1 KiB.
const ENTRY_BYTES_MAX: usize = 4 << 10;
/// Longest list of periods that is read: twenty of 120 bytes each.
const PERIODS_BYTES_MAX: usize = 8 << 10;

/// The parts of a term that have entries under ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// [`Term::classes`].
    Classes,
    /// [`Term::slots`].
    Slots,
    /// [`Term::exceptions`].
    Exceptions,
    /// [`Term::follows`].
    Follows,
}

impl Part {
    /// Gives the key of the document that holds the entries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Slots => "slots",
            Self::Exceptions => "exceptions",
            Self::Follows => "follows",
        }
    }
}

/// Gives the edits that say everything of a term but its entries.
pub fn head_edits(term: &Term) -> Vec<DocEdit> {
    vec![
        put("kind", text("term")),
        put("name", text(&term.name)),
        put("first_day", text(&term.first_day.to_string())),
        put("last_day", text(&term.last_day.to_string())),
        put("cycle_weeks", DocValue::Int(i64::from(term.cycle_weeks))),
        put("periods", json(&term.periods)),
        put("deleted", DocValue::Bool(false)),
    ]
}

/// Gives the edits that replace what an import replaces: periods, classes and lessons.
pub fn cycle_edits(term: &Term) -> Vec<DocEdit> {
    let classes = term.classes.iter().map(|class| (class.id.clone(), json(class))).collect();
    let slots = term.slots.iter().map(|slot| (slot.id.clone(), json(slot))).collect();
    vec![
        put(Part::Classes.as_str(), DocValue::Map(classes)),
        put(Part::Slots.as_str(), DocValue::Map(slots)),
    ]
}

/// Gives the edit that writes one entry.
pub fn entry_edit<T: Serialize>(part: Part, id: &str, entry: &T) -> DocEdit {
    let path = vec![part.as_str().to_owned(), id.to_owned()];
    DocEdit::Put { path, value: json(entry) }
}

/// Gives the edit that takes one entry out.
pub fn removal_edit(part: Part, id: &str) -> DocEdit {
    DocEdit::Delete { path: vec![part.as_str().to_owned(), id.to_owned()] }
}

/// Gives the edit that takes a whole term out of use, or brings it back.
pub fn deleted_edit(is_deleted: bool) -> DocEdit {
    put("deleted", DocValue::Bool(is_deleted))
}

/// Replaces the row of a term by what its document says.
///
/// # Errors
/// Only if the database fails.
pub fn project(db: &Connection, doc: &DocId, fields: &Fields) -> rusqlite::Result<Projected> {
    const UPSERT: &str = "insert or replace into timetable_terms (term, school_hub, name, \
         first_day, last_day, is_deleted, body) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let author = first_author(db, super::COLLECTION, doc)?;
    let (Some(school_hub), Some(term)) = (author, read(doc, fields)) else {
        tracing::warn!(doc = %doc, "a timetable has no author or no dates; it is not shown");
        return Ok(Projected::Nothing);
    };
    db.prepare_cached(UPSERT)?.execute(params![
        doc.as_bytes(),
        school_hub,
        term.name,
        term.first_day.to_string(),
        term.last_day.to_string(),
        fields.get("deleted") == Some(&DocValue::Bool(true)),
        to_json(&term),
    ])?;
    Ok(Projected::Timetable)
}

/// Reads a term; entries that pass no check are left out. None if it has no dates.
fn read(doc: &DocId, fields: &Fields) -> Option<Term> {
    let mut term = Term {
        id: doc.to_string(),
        name: string(fields, "name").to_owned(),
        first_day: string(fields, "first_day").parse().ok()?,
        last_day: string(fields, "last_day").parse().ok()?,
        cycle_weeks: match fields.get("cycle_weeks") {
            Some(DocValue::Int(weeks)) => u8::try_from(*weeks).ok()?,
            _ => 1,
        },
        periods: read_periods(fields),
        classes: Vec::new(),
        slots: Vec::new(),
        exceptions: Vec::new(),
        follows: Vec::new(),
    };
    if check::head(&term).is_err_and(|invalid| invalid.field.starts_with("periods")) {
        term.periods.clear();
    }
    if check::head(&term).is_err_and(|invalid| invalid.field == "name") {
        term.name = doc.short();
    }
    check::head(&term).ok()?;
    read_classes(&mut term, fields);
    read_slots(&mut term, fields);
    read_exceptions(&mut term, fields);
    read_follows(&mut term, fields);
    Some(term)
}

fn read_periods(fields: &Fields) -> Vec<Period> {
    let json = string(fields, "periods");
    let is_short = json.len() <= PERIODS_BYTES_MAX;
    is_short.then(|| serde_json::from_str(json).ok()).flatten().unwrap_or_default()
}

fn read_classes(term: &mut Term, fields: &Fields) {
    let classes = entries::<Class>(fields, Part::Classes, |class| &class.id);
    let mut classes: Vec<_> = classes.filter(|class| check::class(class).is_ok()).collect();
    classes.truncate(check::CLASSES_MAX);
    term.classes = classes;
    sort(term);
}

fn read_slots(term: &mut Term, fields: &Fields) {
    let slots = entries::<Slot>(fields, Part::Slots, |slot| &slot.id);
    let mut slots: Vec<_> = slots.filter(|slot| check::slot(term, slot).is_ok()).collect();
    slots.truncate(check::SLOTS_MAX);
    term.slots = slots;
    sort(term);
}

fn read_exceptions(term: &mut Term, fields: &Fields) {
    let exceptions = entries::<Exception>(fields, Part::Exceptions, |exception| &exception.id);
    let mut exceptions: Vec<_> = exceptions.take(check::EXCEPTIONS_MAX).collect();
    exceptions.sort_by(in_order);
    for exception in exceptions {
        if check::exception(term, &exception).is_ok() {
            term.exceptions.push(exception);
        }
    }
}

fn read_follows(term: &mut Term, fields: &Fields) {
    for follow in entries::<Follow>(fields, Part::Follows, |follow| &follow.id) {
        if term.follows.len() < check::FOLLOWS_MAX && check::follow(term, &follow).is_ok() {
            term.follows.push(follow);
        }
    }
}

/// Brings entries into the order in which people and the calendar want them.
pub fn sort(term: &mut Term) {
    let grade = |class: &Class| GRADES.iter().position(|grade| *grade == class.grade);
    term.classes.sort_by(|a, b| (grade(a), &a.name, &a.id).cmp(&(grade(b), &b.name, &b.id)));
    let places: BTreeMap<String, usize> =
        term.classes.iter().enumerate().map(|(i, class)| (class.id.clone(), i)).collect();
    term.slots.sort_by(|a, b| {
        let key = |slot: &Slot| {
            (slot.weekday, slot.lesson.period, places.get(&slot.lesson.class_id).copied())
        };
        key(a).cmp(&key(b)).then_with(|| (&a.weeks, &a.id).cmp(&(&b.weeks, &b.id)))
    });
    term.exceptions.sort_by(in_order);
}

/// What is about a whole day comes first, because it says which lessons the day has.
fn in_order(a: &Exception, b: &Exception) -> std::cmp::Ordering {
    let key = |e: &Exception| (!is_of_the_day(&e.change), e.date, e.written_at);
    key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
}

/// Reads the entries of a part that are what they should be, by id.
fn entries<'a, T: DeserializeOwned + 'a>(
    fields: &'a Fields,
    part: Part,
    id: impl Fn(&T) -> &str + 'a,
) -> impl Iterator<Item = T> + 'a {
    let entries = match fields.get(part.as_str()) {
        Some(DocValue::Map(entries)) => Some(entries),
        _ => None,
    };
    entries.into_iter().flatten().filter_map(move |(key, value)| match value {
        DocValue::Str(json) if json.len() <= ENTRY_BYTES_MAX => {
            serde_json::from_str::<T>(json).ok().filter(|entry| id(entry) == key)
        }
        _ => None,
    })
}

fn put(key: &str, value: DocValue) -> DocEdit {
    DocEdit::Put { path: vec![key.to_owned()], value }
}

fn text(value: &str) -> DocValue {
    DocValue::Str(value.to_owned())
}

fn json<T: Serialize>(value: &T) -> DocValue {
    DocValue::Str(to_json(value))
}

/// Writes what has only texts, numbers and dates.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts, numbers and dates are plain JSON")
}

#[cfg(test)]
mod tests;
