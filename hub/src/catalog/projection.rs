//! From documents to rows. Whatever another hub wrote, this does not fail because of it:
//! a bad field gets its default, a document that is no lesson and no thread leaves no rows.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};
use yingxue_sync_core::doc;
use yingxue_sync_core::event::DocValue;
use yingxue_sync_core::id::{BlobId, CollectionId, DocId};

use super::{bounds, outline, readiness};
use crate::db::Db;
use crate::store::evicted;
use crate::{night, offers, timetable};

/// Raised whenever the same documents become other rows: a hub that finds rows of another version
/// makes them again. 1: tracks of every tier, chapters and loudness.
/// 2: timetables and plans of lessons. 3: the schools of tracks; sizes and times within bounds.
const VERSION: i64 = 3;

/// The rows that a document became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projected {
    /// A lesson, by its id.
    Lesson(DocId),
    /// The thread of this lesson.
    Thread(DocId),
    /// A timetable or a plan of lessons.
    Timetable,
    /// None: the document is of another kind.
    Nothing,
}

/// A document, as far as it is a map.
pub(crate) type Fields = BTreeMap<String, DocValue>;

/// Replaces the rows of one saved document. Call it in the transaction that saves it.
///
/// # Errors
/// Only if the database fails.
pub fn project(
    db: &Connection,
    collection: &CollectionId,
    doc: &DocId,
    snapshot: &[u8],
) -> rusqlite::Result<Projected> {
    if ![super::COLLECTION, timetable::COLLECTION].contains(&collection.0.as_str()) {
        return Ok(Projected::Nothing);
    }
    let fields = match doc::read(snapshot) {
        Ok(DocValue::Map(fields)) => fields,
        Ok(_) => return Ok(Projected::Nothing),
        Err(error) => {
            tracing::warn!(doc = %doc, %error, "a document cannot be read; it is not shown");
            return Ok(Projected::Nothing);
        }
    };
    match (collection.0.as_str(), string(&fields, "kind")) {
        (super::COLLECTION, "lesson") => project_lesson(db, doc, &fields),
        (super::COLLECTION, "thread") => project_thread(db, doc, &fields),
        (timetable::COLLECTION, "term") => timetable::document::project(db, doc, &fields),
        (timetable::COLLECTION, "offer") => offers::document::project(db, doc, &fields),
        (timetable::COLLECTION, "readiness") => night::map::project(db, doc, &fields),
        _ => Ok(Projected::Nothing),
    }
}

/// Removes the rows of a document of which no envelope counts any more; says what it was.
///
/// # Errors
/// Only if the database fails.
pub fn forget(
    db: &Connection,
    collection: &CollectionId,
    doc: &DocId,
) -> rusqlite::Result<Projected> {
    if collection.0 != super::COLLECTION {
        return Ok(Projected::Nothing);
    }
    for sql in [
        "delete from lesson_tracks where lesson = ?1",
        "delete from lesson_posters where lesson = ?1",
        "delete from lesson_outlines where lesson = ?1",
        "delete from lessons where lesson = ?1 and is_published = 1",
    ] {
        db.prepare_cached(sql)?.execute([doc.as_bytes()])?;
    }
    // A thread is found by its lesson only: those whose thread is gone.
    let mut lessons = db.prepare_cached("select distinct lesson from comments")?;
    let lessons = lessons.query_map([], |row| row.get(0).map(DocId))?;
    for lesson in lessons.collect::<rusqlite::Result<Vec<_>>>()? {
        if super::thread_of(&lesson) == *doc {
            remove_others(db, &lesson, &BTreeSet::new())?;
            return Ok(Projected::Thread(lesson));
        }
    }
    Ok(Projected::Lesson(*doc))
}

/// Makes every row again if an older hub has made them. Call it before anything reads them.
///
/// # Errors
/// If the database fails.
pub fn renew(db: &Db) -> rusqlite::Result<()> {
    const KEEP: &str = "update projection set version = ?1";
    let found: i64 = db
        .read_blocking(|db| db.query_row("select version from projection", [], |row| row.get(0)))?;
    if found == VERSION {
        return Ok(());
    }
    tracing::info!(from = found, to = VERSION, "the library is read again from its documents");
    db.write_blocking(|tx| {
        rebuild(tx)?;
        tx.execute(KEEP, [VERSION]).map(drop)
    })
}

/// Drops every row that comes from documents and makes them again from the saved documents.
///
/// `blob_refs` only ever grows: a blob that a document has named once is never taken for rubbish,
/// or whoever writes to the document could make another school delete its lesson.
///
/// # Errors
/// If the database fails; call it in a transaction, so that nothing is lost then.
pub fn rebuild(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "delete from comments; delete from lesson_tracks; delete from lesson_posters; \
         delete from lesson_outlines; delete from lessons where is_published = 1; \
         delete from timetable_terms; delete from offers; delete from hub_readiness;",
    )?;
    let mut saved = db.prepare("select collection, doc, snapshot from docs")?;
    let mut rows = saved.query([])?;
    while let Some(row) = rows.next()? {
        let collection = CollectionId(row.get(0)?);
        project(db, &collection, &DocId(row.get(1)?), row.get_ref(2)?.as_blob()?)?;
    }
    Ok(())
}

fn project_lesson(db: &Connection, lesson: &DocId, doc: &Fields) -> rusqlite::Result<Projected> {
    const UPSERT: &str = "insert into lessons (lesson, is_published, is_deleted, title, subject, \
         grade, teacher, school, school_hub, filename, duration_ms, created_at_ms, has_poster) \
         values (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
         on conflict (lesson) do update set is_published = 1, is_deleted = ?2, title = ?3, \
         subject = ?4, grade = ?5, teacher = ?6, school = ?7, school_hub = ?8, filename = ?9, \
         duration_ms = ?10, created_at_ms = ?11, has_poster = ?12";
    // What the document says of its school, another hub may have written.
    let Some(school_hub) = first_author(db, super::COLLECTION, lesson)? else {
        tracing::warn!(lesson = %lesson, "a lesson has no author; it is not shown");
        return Ok(Projected::Nothing);
    };
    let filename = line(doc, "filename", bounds::FILENAME_CHARS_MAX);
    let title = Some(line(doc, "title", bounds::TITLE_CHARS_MAX));
    let title = title.filter(|title| !title.is_empty()).unwrap_or_else(|| lesson.short());
    let is_deleted = doc.get("deleted") == Some(&DocValue::Bool(true));
    let created_at_ms = int(doc, "created_at", bounds::TIME_MS_MAX).unwrap_or(0);
    // Newest lessons come first: a time that is not yet would come before all that follow.
    let created_at_ms = created_at_ms.min(arrival_ms(db)?);
    let poster = poster(doc);
    db.prepare_cached(UPSERT)?.execute(params![
        lesson.as_bytes(),
        is_deleted,
        title,
        one_of(doc, "subject", &bounds::SUBJECTS, "other"),
        one_of(doc, "grade", &bounds::GRADES, ""),
        line(doc, "teacher", bounds::TEACHER_CHARS_MAX),
        line(doc, "school", bounds::SCHOOL_CHARS_MAX),
        school_hub,
        filename,
        int(doc, "duration_ms", bounds::DURATION_MS_MAX).unwrap_or(0),
        created_at_ms,
        poster.is_some(),
    ])?;
    project_poster(db, lesson, poster)?;
    outline::project(db, lesson, doc)?;
    project_tracks(db, lesson, doc, &Whole { school_hub, created_at_ms, is_deleted })?;
    Ok(Projected::Lesson(*lesson))
}

/// What a lesson's tracks have of it.
struct Whole {
    school_hub: [u8; 32],
    created_at_ms: i64,
    is_deleted: bool,
}

/// Gives the time now, or the latest that was ever seen here: a hub whose clock has stopped must
/// not take every lesson for one of the future.
pub(crate) fn arrival_ms(db: &Connection) -> rusqlite::Result<i64> {
    const NOW: &str =
        "select max(seen_at_ms, cast(unixepoch('subsec') * 1000 as integer)) from night_state";
    db.prepare_cached(NOW)?.query_row([], |row| row.get(0))
}

/// Gives the hub whose envelope for a document arrived here first.
pub(crate) fn first_author(
    db: &Connection,
    collection: &str,
    doc: &DocId,
) -> rusqlite::Result<Option<[u8; 32]>> {
    const FIRST: &str = "select author from envelopes where collection = ?1 and doc = ?2 \
         order by rowid limit 1";
    db.prepare_cached(FIRST)?
        .query_row(params![collection, doc.as_bytes()], |row| row.get(0))
        .optional()
}

fn poster(doc: &Fields) -> Option<&[u8]> {
    match doc.get("poster") {
        Some(DocValue::Bytes(jpeg))
            if jpeg.len() <= bounds::POSTER_BYTES_MAX && jpeg.starts_with(&[0xff, 0xd8]) =>
        {
            Some(jpeg)
        }
        _ => None,
    }
}

fn project_poster(db: &Connection, lesson: &DocId, jpeg: Option<&[u8]>) -> rusqlite::Result<()> {
    match jpeg {
        Some(jpeg) => db
            .prepare_cached("insert or replace into lesson_posters (lesson, jpeg) values (?1, ?2)")?
            .execute(params![lesson.as_bytes(), jpeg])?,
        None => db
            .prepare_cached("delete from lesson_posters where lesson = ?1")?
            .execute([lesson.as_bytes()])?,
    };
    Ok(())
}

fn project_tracks(
    db: &Connection,
    lesson: &DocId,
    doc: &Fields,
    whole: &Whole,
) -> rusqlite::Result<()> {
    db.prepare_cached("delete from lesson_tracks where lesson = ?1")?
        .execute([lesson.as_bytes()])?;
    let Some(DocValue::Map(tracks)) = doc.get("tracks") else { return Ok(()) };
    let mut named: Vec<(&str, &Fields)> = tracks
        .iter()
        .filter_map(|(kind, track)| match track {
            DocValue::Map(track) if is_kind(kind) => Some((kind.as_str(), track)),
            _ => None,
        })
        .collect();
    // Kinds that nobody knows must not push out those that a class needs.
    named.sort_by_key(|(kind, _)| readiness::class_of(kind));
    for (kind, track) in named.into_iter().take(bounds::TRACKS_MAX) {
        project_track(db, lesson, kind, track, whole)?;
    }
    Ok(())
}

fn project_track(
    db: &Connection,
    lesson: &DocId,
    kind: &str,
    track: &Fields,
    whole: &Whole,
) -> rusqlite::Result<()> {
    const TRACK: &str = "insert into lesson_tracks (lesson, kind, blob, codecs, width, height, \
         bytes, created_at_ms, class, is_wanted, school_hub) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    const REF: &str =
        "insert or ignore into blob_refs (blob, collection, lesson) values (?1, ?2, ?3)";
    let Some(blob) = bytes::<32>(track, "blob") else { return Ok(()) };
    let is_here = is_complete(db, &BlobId(blob))?;
    let is_wanted = !whole.is_deleted && !is_here && !evicted::is_evicted(db, &BlobId(blob))?;
    db.prepare_cached(TRACK)?.execute(params![
        lesson.as_bytes(),
        kind,
        blob,
        line(track, "codecs", bounds::CODECS_CHARS_MAX),
        int(track, "width", bounds::PIXELS_MAX),
        int(track, "height", bounds::PIXELS_MAX),
        int(track, "bytes", bounds::TRACK_BYTES_MAX).unwrap_or(0),
        whole.created_at_ms,
        readiness::class_of(kind),
        is_wanted,
        whole.school_hub,
    ])?;
    db.prepare_cached(REF)?.execute(params![blob, super::COLLECTION, lesson.as_bytes()])?;
    Ok(())
}

fn is_complete(db: &Connection, blob: &BlobId) -> rusqlite::Result<bool> {
    let found = db
        .prepare_cached("select is_complete from blobs where blob = ?1")?
        .query_row([blob.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

fn is_kind(kind: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&kind.len()) && kind.bytes().all(is_allowed)
}

fn project_thread(db: &Connection, thread: &DocId, doc: &Fields) -> rusqlite::Result<Projected> {
    let lesson = bytes::<16>(doc, "lesson").map(DocId);
    let Some(lesson) = lesson.filter(|lesson| super::thread_of(lesson) == *thread) else {
        tracing::warn!(thread = %thread, "a thread names another lesson; it is not shown");
        return Ok(Projected::Nothing);
    };
    let comments = doc.iter().filter_map(|(key, value)| match value {
        DocValue::Map(comment) => Some((key.strip_prefix("c:")?.parse::<DocId>().ok()?, comment)),
        _ => None,
    });
    let mut shown = BTreeSet::new();
    for (op, comment) in comments.take(bounds::COMMENTS_MAX) {
        // `op` may come twice, in upper and in lower case.
        if !shown.contains(&op) && project_comment(db, &lesson, &op, comment)? {
            shown.insert(op);
        }
    }
    remove_others(db, &lesson, &shown)?;
    Ok(Projected::Thread(lesson))
}

/// Removes the comments of a lesson that its thread does not hold any more.
fn remove_others(db: &Connection, lesson: &DocId, shown: &BTreeSet<DocId>) -> rusqlite::Result<()> {
    let mut ops = db.prepare_cached("select op from comments where lesson = ?1")?;
    let ops = ops.query_map([lesson.as_bytes()], |row| row.get(0).map(DocId))?;
    let mut remove = db.prepare_cached("delete from comments where lesson = ?1 and op = ?2")?;
    for op in ops.collect::<rusqlite::Result<Vec<_>>>()? {
        if !shown.contains(&op) {
            remove.execute([lesson.as_bytes(), op.as_bytes()])?;
        }
    }
    Ok(())
}

/// Writes a comment's row if it is another one than before; says whether there is one.
fn project_comment(
    db: &Connection,
    lesson: &DocId,
    op: &DocId,
    comment: &Fields,
) -> rusqlite::Result<bool> {
    // A thread has hundreds of comments, and one of them has changed.
    const UPSERT: &str = "insert into comments (lesson, op, author, name, school, \
         school_hub, text, at_ms, written_at_ms, is_deleted) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         on conflict (lesson, op) do update set author = ?3, name = ?4, school = ?5, \
         school_hub = ?6, text = ?7, at_ms = ?8, written_at_ms = ?9, is_deleted = ?10 \
         where (author, name, school, school_hub, text, at_ms, written_at_ms, is_deleted) \
         is not (?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let said = string(comment, "text");
    let said = bounds::paragraph(said, bounds::COMMENT_CHARS_MAX);
    let Some(school_hub) = bytes::<32>(comment, "school_hub").filter(|_| !said.is_empty()) else {
        return Ok(false);
    };
    db.prepare_cached(UPSERT)?.execute(params![
        lesson.as_bytes(),
        op.as_bytes(),
        line(comment, "author", 64),
        line(comment, "name", bounds::TEACHER_CHARS_MAX),
        line(comment, "school", bounds::SCHOOL_CHARS_MAX),
        school_hub,
        said,
        int(comment, "at_ms", bounds::DURATION_MS_MAX),
        int(comment, "written_at", bounds::TIME_MS_MAX).unwrap_or(0),
        comment.get("deleted") == Some(&DocValue::Bool(true)),
    ])?;
    Ok(true)
}

/// Gives a text of a document, or an empty one.
pub(crate) fn string<'a>(fields: &'a Fields, key: &str) -> &'a str {
    match fields.get(key) {
        Some(DocValue::Str(text)) => text,
        _ => "",
    }
}

/// Gives a text of a document as a line of at most `chars_max` characters.
pub(crate) fn line(fields: &Fields, key: &str, chars_max: usize) -> String {
    bounds::line(string(fields, key), chars_max)
}

/// Gives a text of a document if it is allowed, else `default`.
pub(crate) fn one_of<'a>(
    fields: &Fields,
    key: &str,
    allowed: &[&'a str],
    default: &'a str,
) -> &'a str {
    let value = string(fields, key);
    allowed.iter().find(|known| **known == value).copied().unwrap_or(default)
}

/// Gives a number of a document, cut to 0 to `max`.
pub(crate) fn int(fields: &Fields, key: &str, max: i64) -> Option<i64> {
    match fields.get(key) {
        Some(DocValue::Int(n)) => Some((*n).clamp(0, max)),
        _ => None,
    }
}

fn bytes<const N: usize>(fields: &Fields, key: &str) -> Option<[u8; N]> {
    match fields.get(key) {
        Some(DocValue::Bytes(bytes)) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
