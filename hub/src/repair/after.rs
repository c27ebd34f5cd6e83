//! What is left to do once a repaired hub runs: files of lessons are read again, those that are
//! due soon first, and envelopes that waited for others are judged when those have come.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::courier::{Carried, CarryError};
use yingxue_sync_core::id::{BlobId, CollectionId, HubId};
use yingxue_sync_core::wire::pack_batches;
use yingxue_sync_io::blob_files::BlobFiles;

use super::stranded;
use crate::app::{App, now_ms};
use crate::db::Db;
use crate::night::lesson;
use crate::problem::ApiError;
use crate::store::{Notice, blobs, found, lost};
use crate::timetable::day;

/// Lessons that begin so soon are read first: today's and tomorrow's.
const SOON_MS: i64 = 36 * 3_600_000;
/// Between two tries to judge what waits; what it waits for comes from others. What is stranded
/// is written once more before people have written much after it.
const JUDGE_EVERY: Duration = Duration::from_secs(5);
/// After a database that could not be read.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Envelopes of one journal that are judged at once.
const JUDGED_AT_ONCE: usize = 1_000;

/// Starts what is left to do, if anything is.
///
/// # Errors
/// If the database fails or the thread cannot be made.
pub fn start(app: App) -> anyhow::Result<()> {
    let left = |sql: &'static str| {
        app.db.read_blocking(move |db| db.query_row(sql, [], |row| row.get::<_, bool>(0)))
    };
    let has_unread = left("select exists (select 1 from blobs_unread)")?;
    let has_waiting = left("select exists (select 1 from envelopes_waiting)")?;
    if has_waiting {
        tokio::spawn(judge_waiting(app.clone()));
    }
    if has_unread {
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            while !app.shutdown.is_on() {
                match read_next(&app) {
                    Ok(Some(blob)) => runtime.block_on(app.sync.blob_added(blob)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(%error, "files of lessons could not be read again");
                        thread::sleep(AGAIN_AFTER);
                    }
                }
            }
            tracing::info!("the files of lessons were read again after the repair");
        };
        thread::Builder::new().name("repair".to_owned()).spawn(work)?;
    }
    Ok(())
}

/// Lists blobs that are not to be fetched, because their files may have them.
///
/// # Errors
/// If the database fails.
pub fn unread(db: &Connection) -> rusqlite::Result<BTreeSet<BlobId>> {
    let mut all = db.prepare_cached("select blob from blobs_unread")?;
    all.query_map([], |row| row.get(0).map(BlobId))?.collect()
}

/// Reads the next file again; gives its blob, or nothing at the end. Not for async threads.
///
/// # Errors
/// If the database fails.
pub fn read_next(app: &App) -> Result<Option<BlobId>, ApiError> {
    let Some(blob) = app.db.read_blocking(next)? else { return Ok(None) };
    let notices = read_again(&app.db, app.sync.files(), blob)?;
    let news = app.sync.news();
    notices.into_iter().for_each(|notice| news.tell(notice));
    news.want();
    Ok(Some(blob))
}

fn next(db: &Connection) -> rusqlite::Result<Option<BlobId>> {
    const IS_UNREAD: &str = "select 1 from blobs_unread where blob = ?1";
    const ANY: &str = "select u.blob from blobs_unread u left join lesson_tracks t \
         on t.blob = u.blob order by coalesce(t.class, 99), t.created_at_ms desc limit 1";
    let now = now_ms();
    for soon in day::remote_between(db, now - SOON_MS / 12, now.saturating_add(SOON_MS))? {
        let Some(id) = soon.lesson else { continue };
        for track in lesson::load(db, &id)?.iter().flat_map(|held| &held.tracks) {
            if db.prepare_cached(IS_UNREAD)?.exists([track.blob.as_bytes()])? {
                return Ok(Some(track.blob));
            }
        }
    }
    db.prepare_cached(ANY)?.query_row([], |row| row.get(0).map(BlobId)).optional()
}

/// Reads a file, and marks the pieces that are what the manifest says; says what follows.
pub(super) fn read_again(
    db: &Db,
    files: &BlobFiles,
    blob: BlobId,
) -> Result<Vec<Notice>, ApiError> {
    const DONE: &str = "delete from blobs_unread where blob = ?1";
    const FOUND: &str = "insert or ignore into blobs_found (blob) values (?1)";
    let known = db.read_blocking(|db| blobs::load(db, &blob))?;
    let manifest = known.manifest.and_then(|bytes| Manifest::decode(&bytes).ok());
    let Some(manifest) = manifest else {
        db.write_blocking(move |tx| tx.execute(DONE, [blob.as_bytes()]))?;
        return Ok(Vec::new());
    };
    let found::Pieces { held, has_unreadable } = found::pieces(files, blob, &manifest);
    let renewed =
        if has_unreadable { lost::renew(db, files, blob, &manifest)? } else { Vec::new() };
    db.write_blocking(move |tx| -> rusqlite::Result<Vec<Notice>> {
        let is_complete = !held.is_empty() && blobs::mark(tx, &blob, &held, &manifest)?;
        tx.execute(DONE, [blob.as_bytes()])?;
        if is_complete {
            tx.execute(FOUND, [blob.as_bytes()])?;
        }
        Ok([renewed, notices(tx, blob, is_complete)?].concat())
    })
    .map_err(ApiError::from)
}

fn notices(db: &Connection, blob: BlobId, is_complete: bool) -> rusqlite::Result<Vec<Notice>> {
    const LESSONS: &str = "select distinct lesson from lesson_tracks where blob = ?1";
    let mut notices = vec![Notice::Pieces { blob, is_complete }];
    let mut lessons = db.prepare_cached(LESSONS)?;
    let lessons = lessons.query_map([blob.as_bytes()], |row| {
        row.get(0).map(yingxue_sync_core::id::DocId).map(Notice::Lesson)
    })?;
    for lesson in lessons {
        notices.push(lesson?);
    }
    Ok(notices)
}

/// Has the node judge what waits, until nothing does.
async fn judge_waiting(app: App) {
    let mut every = tokio::time::interval(JUDGE_EVERY);
    loop {
        every.tick().await;
        match judge_once(&app).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%error, "what waits cannot be judged"),
        }
    }
}

/// A journal of which something waits.
type Journal = (CollectionId, [u8; 32]);

/// Judges what can be judged; says whether anything is left.
async fn judge_once(app: &App) -> Result<bool, ApiError> {
    stranded::settle(app).await?;
    for journal in app.db.read(due).await? {
        let key = journal.clone();
        let found = app.db.read(move |db| of_journal(db, &key)).await?;
        for batch in pack_batches(&found) {
            let collection = journal.0.clone();
            let outcome = app.sync.carry(Carried::Envelopes { collection, batch }).await;
            if let Some(CarryError::Wrong(reason)) = outcome.refused {
                tracing::warn!(reason, "an entry out of the damaged database does not count");
                let key = journal.clone();
                let own = app.sync.hub_id();
                app.db.write(move |tx| forget(tx, &key, &own)).await?;
                break;
            }
        }
    }
    let own = app.sync.hub_id();
    app.db.write(move |tx| forget_known(tx, &own)).await.map_err(ApiError::from)
}

/// Lists journals of which the next entry waits.
fn due(db: &Connection) -> rusqlite::Result<Vec<Journal>> {
    const DUE: &str = "select distinct w.collection, w.author from envelopes_waiting w \
         left join journal_heads h on h.collection = w.collection and h.author = w.author \
         where w.seq <= coalesce(h.seq, 0) + 1";
    let mut due = db.prepare_cached(DUE)?;
    due.query_map([], |row| Ok((CollectionId(row.get(0)?), row.get(1)?)))?.collect()
}

fn of_journal(db: &Connection, journal: &Journal) -> rusqlite::Result<Vec<Vec<u8>>> {
    const WAITING: &str = "select w.bytes from envelopes_waiting w \
         left join journal_heads h on h.collection = w.collection and h.author = w.author \
         where w.collection = ?1 and w.author = ?2 and w.seq > coalesce(h.seq, 0) \
         order by w.seq limit ?3";
    let key = params![journal.0.0, journal.1, JUDGED_AT_ONCE];
    db.prepare_cached(WAITING)?.query_map(key, |row| row.get(0))?.collect()
}

fn forget(db: &Connection, journal: &Journal, own: &HubId) -> rusqlite::Result<usize> {
    const FORGET: &str = "delete from envelopes_waiting where collection = ?1 and author = ?2 \
         and author <> ?3";
    db.execute(FORGET, params![journal.0.0, journal.1, own.as_bytes()])
}

/// Forgets what has its place in a journal now, or has another one there; says whether any is
/// left. Of this hub's own entries those stay that have no place: they are stranded.
fn forget_known(db: &rusqlite::Transaction<'_>, own: &HubId) -> rusqlite::Result<bool> {
    const KNOWN: &str = "delete from envelopes_waiting where seq <= coalesce((select seq \
         from journal_heads h where h.collection = envelopes_waiting.collection \
         and h.author = envelopes_waiting.author), 0) and (author <> ?1 or exists \
         (select 1 from envelopes e where e.collection = envelopes_waiting.collection \
         and e.author = ?1 and e.seq = envelopes_waiting.seq \
         and e.hash = envelopes_waiting.hash))";
    db.execute(KNOWN, [own.as_bytes()])?;
    db.query_row("select exists (select 1 from envelopes_waiting)", [], |row| row.get(0))
}
