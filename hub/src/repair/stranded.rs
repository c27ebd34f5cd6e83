//! Entries of this hub that follow one which is lost, and which no other school has either: their
//! chain is broken for good, so nobody can take them. Once the others have given all that they
//! hold, what those entries wrote is kept beside the damaged files in readable form, written once
//! more as new entries as far as that can be done, and said.

use std::collections::BTreeMap;
use std::fs;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use yingxue_sync_core::event::{DocEdit, DocValue, Refusal};
use yingxue_sync_core::id::{CollectionId, DocId, HubId};
use yingxue_sync_core::journal::SignedEnvelope;

use super::rewrite::{Places, Said};
use super::{DAMAGED_FOLDER, report, write_durably};
use crate::app::{App, now_ms};
use crate::events::HubEvent;
use crate::problem::ApiError;

/// Beginning of the names of files beside the damaged ones.
const FILES: &str = "stranded";
/// Entries that are kept at once: more than a school writes in a year.
const ENTRIES_MAX: u32 = 20_000;

/// What became of stranded entries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Entries before them that are lost.
    pub lost: u64,
    /// Written once more, wholly.
    pub rewritten: u64,
    /// Those of which something could only be kept beside the damaged files.
    pub kept: u64,
}

/// An entry that is stranded, and what it wrote.
struct Stranded {
    rowid: i64,
    signed: SignedEnvelope,
    said: Said,
}

/// Settles what is stranded, if anything is and others have given what they hold; says what was
/// done.
///
/// # Errors
/// If the database fails, or the disk; what is not settled then is settled later.
pub async fn settle(app: &App) -> Result<Option<Settled>, ApiError> {
    if app.sync.is_in_doubt() || app.sync.membership().is_none() {
        return Ok(None);
    }
    let own = app.sync.hub_id();
    let (stranded, lost) = app.db.read(move |db| find(db, &own)).await?;
    if stranded.is_empty() {
        return Ok(None);
    }
    keep_readable(app, &stranded).await?;
    let mut settled = Settled { lost, ..Settled::default() };
    for one in stranded {
        match write_once_more(app, &one).await {
            Some(true) => settled.rewritten += 1,
            Some(false) => settled.kept += 1,
            None => break,
        }
        let forget = "delete from envelopes_waiting where rowid = ?1";
        app.db.write(move |tx| tx.execute(forget, [one.rowid])).await?;
    }
    if settled.rewritten + settled.kept == 0 {
        return Ok(None);
    }
    app.db.write(move |tx| keep_alarm(tx, &settled)).await?;
    app.events.publish(HubEvent::Alarm {});
    tracing::warn!(?settled, "entries that follow a lost one were written once more");
    Ok(Some(settled))
}

/// Reads what waits of this hub's own journals, and counts what is missing before it.
fn find(db: &Connection, own: &HubId) -> rusqlite::Result<(Vec<Stranded>, u64)> {
    const WAITING: &str = "select w.rowid, w.bytes from envelopes_waiting w where w.author = ?1 \
         and not exists (select 1 from envelopes e where e.collection = w.collection \
         and e.author = w.author and e.seq = w.seq and e.hash = w.hash) \
         order by w.collection, w.seq limit ?2";
    const HEAD: &str = "select seq from journal_heads where collection = ?1 and author = ?2";
    let mut documents: BTreeMap<(CollectionId, DocId), Places> = BTreeMap::new();
    let mut next: BTreeMap<CollectionId, u64> = BTreeMap::new();
    let (mut found, mut lost) = (Vec::new(), 0);
    let mut waiting = db.prepare_cached(WAITING)?;
    let mut rows = waiting.query(params![own.as_bytes(), ENTRIES_MAX])?;
    while let Some(row) = rows.next()? {
        let (rowid, bytes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let Ok(signed) = SignedEnvelope::decode(&bytes) else { continue };
        let it = &signed.envelope;
        let expected = match next.get(&it.collection) {
            Some(seq) => *seq,
            None => {
                let key = params![it.collection.0, own.as_bytes()];
                let head = db.prepare_cached(HEAD)?.query_row(key, |row| row.get::<_, u64>(0));
                head.optional()?.unwrap_or(0) + 1
            }
        };
        lost += it.seq.saturating_sub(expected);
        next.insert(it.collection.clone(), it.seq + 1);
        let key = (it.collection.clone(), it.doc);
        let places = match documents.remove(&key) {
            Some(places) => places,
            None => Places::of(saved(db, &key)?.as_deref()),
        };
        let places = documents.entry(key).or_insert(places);
        let said = places.read(&signed.changes);
        found.push(Stranded { rowid, signed, said });
    }
    Ok((found, lost))
}

fn saved(
    db: &Connection,
    (collection, doc): &(CollectionId, DocId),
) -> rusqlite::Result<Option<Vec<u8>>> {
    const SAVED: &str = "select snapshot from docs where collection = ?1 and doc = ?2";
    let key = params![collection.0, doc.as_bytes()];
    db.prepare_cached(SAVED)?.query_row(key, |row| row.get(0)).optional()
}

/// Says whether all of an entry was written once more; none if it may be later.
async fn write_once_more(app: &App, one: &Stranded) -> Option<bool> {
    let it = &one.signed.envelope;
    let is_placed = one.said.unplaced == 0;
    if one.said.edits.is_empty() {
        return Some(is_placed);
    }
    let edits = one.said.edits.clone();
    let done = app.sync.edit_doc(it.collection.clone(), it.doc, it.person.clone(), edits).await;
    match done {
        Ok(()) => Some(is_placed),
        Err(refusal @ (Refusal::NotAllowed(_) | Refusal::OutOfBounds { .. })) => {
            tracing::warn!(%refusal, doc = %it.doc, "an entry cannot be written once more");
            Some(false)
        }
        Err(refusal) => {
            tracing::warn!(%refusal, doc = %it.doc, "an entry is written once more later");
            None
        }
    }
}

/// Keeps all of it where people can read it, durably, before anything is done.
async fn keep_readable(app: &App, stranded: &[Stranded]) -> Result<(), ApiError> {
    let told: Vec<Value> = stranded.iter().map(readable).collect();
    let data_dir = app.data_dir.clone();
    let work = move || -> std::io::Result<()> {
        let folder = report::newest(&data_dir).map_or_else(String::new, |report| report.folder);
        let folder = data_dir.join(DAMAGED_FOLDER).join(folder);
        fs::create_dir_all(&folder)?;
        let bytes = serde_json::to_vec_pretty(&told)?;
        // What is kept already is not kept twice.
        let hash = blake3::hash(&bytes).to_hex();
        write_durably(&folder.join(format!("{FILES}-{}.json", &hash[..8])), &bytes)
    };
    let kept = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    kept.map_err(ApiError::internal)
}

fn readable(one: &Stranded) -> Value {
    let it = &one.signed.envelope;
    let edits = one.said.edits.iter().map(|edit| match edit {
        DocEdit::Put { path, value } => json!({ "put": path, "value": plain(value) }),
        DocEdit::Delete { path } => json!({ "delete": path }),
    });
    json!({
        "collection": it.collection.0,
        "document": it.doc.to_string(),
        "place": it.seq,
        "written_at": it.written_at_wall_ms,
        "person": it.person,
        "wrote": edits.collect::<Vec<_>>(),
        "parts_without_a_place": one.said.unplaced,
    })
}

fn plain(value: &DocValue) -> Value {
    match value {
        DocValue::Null => Value::Null,
        DocValue::Bool(is) => (*is).into(),
        DocValue::Int(n) => (*n).into(),
        DocValue::Str(text) => text.as_str().into(),
        DocValue::Bytes(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
        DocValue::Map(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
        }
        DocValue::List(items) => items.iter().map(plain).collect(),
    }
}

fn keep_alarm(db: &Connection, settled: &Settled) -> rusqlite::Result<()> {
    let Settled { lost, rewritten, kept } = settled;
    let text = format!(
        "{lost} entries of this hub are lost, and no other school has them. {rewritten} that came \
         after them were written once more; of {kept} something could only be kept, readable, in \
         a file {FILES}-….json below {DAMAGED_FOLDER}"
    );
    let named = json!({ "text": text, "lost": lost, "entries": rewritten, "kept": kept });
    report::keep_alarm(db, now_ms(), "stranded", &named.to_string())
}
