//! The catalogue: the documents of the collection `lessons`, as edits, and as rows to query.
//!
//! A lesson is one document whose id is the lesson's. Its comments are a second document, the
//! thread, so that the player's page and the discussion grow apart. Each comment is one root key
//! of the thread: schools that comment apart never touch the same key.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::{BlobId, CollectionId, DocId, HubId};

use crate::app::random;

pub mod answers;
pub mod bounds;
pub mod outline;
pub mod projection;
pub mod query;
pub mod readiness;
pub mod wants;

/// The collection that holds lessons and threads; every member reads it, and writes its own
/// lessons and any thread.
pub const COLLECTION: &str = "lessons";

/// Gives [`COLLECTION`] as an identifier.
pub fn collection() -> CollectionId {
    CollectionId(COLLECTION.to_owned())
}

/// Makes the identifier of a new document that only this hub may write to, one that is not taken.
///
/// # Errors
/// If the database fails.
pub fn new_document(
    db: &Connection,
    collection: &CollectionId,
    hub: &HubId,
) -> rusqlite::Result<DocId> {
    // A lesson has its identifier before it has a document.
    const IS_TAKEN: &str = "select exists (select 1 from docs where collection = ?1 and doc = ?2) \
         or exists (select 1 from envelopes where collection = ?1 and doc = ?2) \
         or exists (select 1 from lessons where lesson = ?2) \
         or exists (select 1 from uploads where lesson_id = ?2)";
    let mut is_taken = db.prepare_cached(IS_TAKEN)?;
    loop {
        let id = DocId::owned(hub, random());
        if !is_taken.query_row(params![collection.0, id.as_bytes()], |row| row.get(0))? {
            return Ok(id);
        }
    }
}

/// Gives the document that holds a lesson's comments; nobody owns it.
pub fn thread_of(lesson: &DocId) -> DocId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"yingxue thread").update(lesson.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    DocId(id).unowned()
}

/// What a lesson's document says of it, apart from its tracks.
#[derive(Debug, Clone)]
pub struct NewLesson {
    /// See [`bounds`].
    pub title: String,
    /// See [`bounds`].
    pub subject: String,
    /// See [`bounds`].
    pub grade: String,
    /// Who teaches, as shown.
    pub teacher: String,
    /// Name of this school.
    pub school: String,
    /// This hub.
    pub school_hub: HubId,
    /// As it was uploaded.
    pub filename: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
}

/// One finished track of a lesson, as its document names it.
#[derive(Debug, Clone)]
pub struct NewTrack {
    /// As [`readiness::TrackKind`] names it.
    pub kind: String,
    /// Where its bytes are.
    pub blob: BlobId,
    /// Of the whole track.
    pub bytes: u64,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels, if it has a picture.
    pub width: Option<u32>,
    /// Pixels, if it has a picture.
    pub height: Option<u32>,
}

/// Gives the edits that make a lesson's document; the same ones again change nothing to see.
pub fn lesson_edits(
    lesson: &NewLesson,
    duration_ms: u64,
    poster: Option<Vec<u8>>,
    tracks: &[NewTrack],
) -> Vec<DocEdit> {
    let mut edits = vec![
        put("kind", text("lesson")),
        put("title", text(&lesson.title)),
        put("subject", text(&lesson.subject)),
        put("grade", text(&lesson.grade)),
        put("teacher", text(&lesson.teacher)),
        put("school", text(&lesson.school)),
        put("school_hub", DocValue::Bytes(lesson.school_hub.as_bytes().to_vec())),
        put("filename", text(&lesson.filename)),
        duration_edit(duration_ms),
        put("created_at", DocValue::Int(lesson.created_at_ms)),
        put("deleted", DocValue::Bool(false)),
    ];
    edits.extend(poster.map(poster_edit));
    edits.extend(tracks.iter().map(track_edit));
    edits
}

/// Gives the edit that adds a track to a lesson that is published already.
pub fn track_edit(track: &NewTrack) -> DocEdit {
    let path = vec!["tracks".to_owned(), track.kind.clone()];
    DocEdit::Put { path, value: track_value(track) }
}

/// Gives the edit that takes a track away from a lesson.
pub fn track_gone_edit(kind: readiness::TrackKind) -> DocEdit {
    DocEdit::Delete { path: vec!["tracks".to_owned(), kind.to_string()] }
}

/// Gives the edit that says how long a lesson is.
pub fn duration_edit(duration_ms: u64) -> DocEdit {
    put("duration_ms", int(duration_ms))
}

/// Gives the edit that gives a lesson its picture, a JPEG within [`bounds::POSTER_BYTES_MAX`].
pub fn poster_edit(jpeg: Vec<u8>) -> DocEdit {
    put("poster", DocValue::Bytes(jpeg))
}

/// Gives the edit that replaces one text of a lesson.
pub fn text_edit(key: &str, value: &str) -> DocEdit {
    put(key, text(value))
}

/// Gives the edit that marks a lesson deleted, or not.
pub fn deleted_edit(is_deleted: bool) -> DocEdit {
    put("deleted", DocValue::Bool(is_deleted))
}

/// A comment as its thread holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComment {
    /// Made by the client.
    pub op: [u8; 16],
    /// Pseudonym of who writes.
    pub author: String,
    /// Name as shown to other schools.
    pub name: String,
    /// Name of this school.
    pub school: String,
    /// This hub.
    pub school_hub: HubId,
    /// See [`bounds::COMMENT_CHARS_MAX`].
    pub text: String,
    /// Place in the lesson.
    pub at_ms: Option<i64>,
    /// Milliseconds since 1970.
    pub written_at_ms: i64,
}

/// Gives the edits that add a comment to the thread of `lesson`, made if it is not there.
pub fn comment_edits(lesson: &DocId, comment: &NewComment) -> Vec<DocEdit> {
    let mut fields = BTreeMap::from([
        ("author".to_owned(), text(&comment.author)),
        ("name".to_owned(), text(&comment.name)),
        ("school".to_owned(), text(&comment.school)),
        ("school_hub".to_owned(), DocValue::Bytes(comment.school_hub.as_bytes().to_vec())),
        ("text".to_owned(), text(&comment.text)),
        ("written_at".to_owned(), DocValue::Int(comment.written_at_ms)),
        ("deleted".to_owned(), DocValue::Bool(false)),
    ]);
    if let Some(at_ms) = comment.at_ms {
        fields.insert("at_ms".to_owned(), DocValue::Int(at_ms));
    }
    vec![
        put("kind", text("thread")),
        put("lesson", DocValue::Bytes(lesson.as_bytes().to_vec())),
        put(&comment_key(&comment.op), DocValue::Map(fields)),
    ]
}

/// Gives the edit that marks a comment deleted.
pub fn comment_deleted_edit(op: &[u8; 16]) -> DocEdit {
    let path = vec![comment_key(op), "deleted".to_owned()];
    DocEdit::Put { path, value: DocValue::Bool(true) }
}

fn comment_key(op: &[u8; 16]) -> String {
    format!("c:{}", DocId(*op))
}

fn track_value(track: &NewTrack) -> DocValue {
    let mut fields = BTreeMap::from([
        ("blob".to_owned(), DocValue::Bytes(track.blob.as_bytes().to_vec())),
        ("bytes".to_owned(), int(track.bytes)),
        ("codecs".to_owned(), text(&track.codecs)),
    ]);
    let sizes = [("width", track.width), ("height", track.height)];
    for (key, pixels) in sizes {
        fields.extend(pixels.map(|pixels| (key.to_owned(), int(u64::from(pixels)))));
    }
    DocValue::Map(fields)
}

fn put(key: &str, value: DocValue) -> DocEdit {
    DocEdit::Put { path: vec![key.to_owned()], value }
}

fn text(value: &str) -> DocValue {
    DocValue::Str(value.to_owned())
}

fn int(value: u64) -> DocValue {
    DocValue::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
