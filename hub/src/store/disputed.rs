//! Rows of envelopes that do not count, and journals that are judged anew.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::event::{EnvelopeRecord, StoreValue};
use yingxue_sync_core::id::{CollectionId, DocId, Hash, HubId};
use yingxue_sync_core::journal::ASIDE_MAX;

use crate::catalog::projection::{self, Projected};

/// Reads journals from a place on, what was set aside, and all of their documents' envelopes.
pub(super) fn read(
    db: &Connection,
    collection: &CollectionId,
    tails: &[(HubId, u64)],
) -> rusqlite::Result<StoreValue> {
    const OF_TAIL: &str = "select distinct doc from envelopes \
         where collection = ?1 and author = ?2 and seq >= ?3";
    const OF_ASIDE: &str = "select distinct doc from envelopes_aside where collection = ?1";
    const OF_DOC: &str = "select bytes from envelopes where collection = ?1 and doc = ?2 \
         order by rowid";
    const ASIDE: &str = "select bytes from envelopes_aside where collection = ?1 \
         order by author, seq";
    let mut docs: BTreeSet<[u8; 16]> = BTreeSet::new();
    for (author, from_seq) in tails {
        let mut of_tail = db.prepare_cached(OF_TAIL)?;
        let key = params![collection.0, author.as_bytes(), from_seq];
        for doc in of_tail.query_map(key, |row| row.get(0))? {
            docs.insert(doc?);
        }
    }
    for doc in db.prepare_cached(OF_ASIDE)?.query_map([&collection.0], |row| row.get(0))? {
        docs.insert(doc?);
    }
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for doc in docs {
        let mut of_doc = db.prepare_cached(OF_DOC)?;
        for bytes in of_doc.query_map(params![collection.0, doc], |row| row.get(0))? {
            kept.push(bytes?);
        }
    }
    let mut aside = db.prepare_cached(ASIDE)?;
    let aside = aside.query_map([&collection.0], |row| row.get(0))?;
    Ok(StoreValue::Disputed { kept, aside: aside.collect::<rusqlite::Result<_>>()? })
}

/// Lists the envelopes of a collection.
pub(super) fn list(
    db: &Connection,
    collection: &CollectionId,
    is_verified: bool,
) -> rusqlite::Result<StoreValue> {
    const LIST: &str = "select author, seq, hash from envelopes where collection = ?1 \
         order by author, seq";
    const LIST_BYTES: &str = "select author, seq, hash, bytes from envelopes \
         where collection = ?1 order by author, seq";
    let mut statement = db.prepare_cached(if is_verified { LIST_BYTES } else { LIST })?;
    let mut rows = statement.query([&collection.0])?;
    let mut places = Vec::new();
    while let Some(row) = rows.next()? {
        let hash = Hash(row.get(2)?);
        if !is_verified || *blake3::hash(row.get_ref(3)?.as_blob()?).as_bytes() == hash.0 {
            places.push((HubId(row.get(0)?), row.get(1)?, hash));
        }
    }
    Ok(StoreValue::Places(places))
}

/// Reads single envelopes; those that are not there are left out.
pub(super) fn read_places(
    db: &Connection,
    collection: &CollectionId,
    places: &[(HubId, u64)],
) -> rusqlite::Result<StoreValue> {
    const READ: &str = "select bytes from envelopes \
         where collection = ?1 and author = ?2 and seq = ?3";
    let mut statement = db.prepare_cached(READ)?;
    let mut found = Vec::with_capacity(places.len());
    for (author, seq) in places {
        let key = params![collection.0, author.as_bytes(), seq];
        found.extend(statement.query_row(key, |row| row.get::<_, Vec<u8>>(0)).optional()?);
    }
    Ok(StoreValue::Envelopes(found))
}

/// Keeps envelopes that do not count, as many of an author as there is room for.
pub(crate) fn set_aside(
    tx: &Transaction<'_>,
    envelopes: &[EnvelopeRecord],
) -> rusqlite::Result<()> {
    const KEEP: &str = "insert or ignore into envelopes_aside \
         (collection, author, seq, hash, doc, bytes) select ?1, ?2, ?3, ?4, ?5, ?6 \
         where (select count(*) from envelopes_aside where collection = ?1 and author = ?2) < ?7";
    for envelope in envelopes {
        tx.prepare_cached(KEEP)?.execute(params![
            envelope.collection.0,
            envelope.author.as_bytes(),
            envelope.seq,
            envelope.hash.as_bytes(),
            envelope.doc.as_bytes(),
            envelope.bytes,
            ASIDE_MAX,
        ])?;
    }
    Ok(())
}

/// Cuts journals and takes over what was set aside; gives the documents to be made again, and
/// what is gone.
pub(super) fn rejudge(
    tx: &Transaction<'_>,
    collection: &CollectionId,
    cuts: &[(HubId, u64)],
    accepted: &[EnvelopeRecord],
    fingerprint: &[u8; 16],
) -> rusqlite::Result<(Vec<DocId>, Vec<Projected>)> {
    const TAKE_BACK: &str = "delete from envelopes_aside \
         where collection = ?1 and author = ?2 and seq = ?3 and hash = ?4";
    let (mut unmade, mut gone) = (BTreeSet::new(), Vec::new());
    for (author, keep_seq) in cuts {
        unmade.extend(cut(tx, collection, author, *keep_seq)?);
    }
    for doc in &unmade {
        gone.push(unmake(tx, collection, doc)?);
    }
    for envelope in accepted {
        let (author, hash) = (envelope.author.as_bytes(), envelope.hash.as_bytes());
        tx.prepare_cached(TAKE_BACK)?.execute(params![collection.0, author, envelope.seq, hash])?;
        unmade.insert(envelope.doc);
    }
    super::journals::append(tx, accepted, fingerprint)?;
    super::journals::put_fingerprint(tx, collection, fingerprint)?;
    Ok((unmade.into_iter().collect(), gone))
}

/// Fills holes of journals; a row that is there keeps its place in the order of arrival.
pub(super) fn mend(
    tx: &Transaction<'_>,
    collection: &CollectionId,
    envelopes: &[EnvelopeRecord],
    fingerprint: &[u8; 16],
) -> rusqlite::Result<()> {
    const PUT: &str = "insert into envelopes (collection, author, seq, hash, doc, bytes) \
         values (?1, ?2, ?3, ?4, ?5, ?6) on conflict (collection, author, seq) \
         do update set hash = ?4, doc = ?5, bytes = ?6, is_applied = 0";
    for envelope in envelopes {
        tx.prepare_cached(PUT)?.execute(params![
            collection.0,
            envelope.author.as_bytes(),
            envelope.seq,
            envelope.hash.as_bytes(),
            envelope.doc.as_bytes(),
            envelope.bytes,
        ])?;
    }
    super::journals::put_fingerprint(tx, collection, fingerprint)
}

fn cut(
    tx: &Transaction<'_>,
    collection: &CollectionId,
    author: &HubId,
    keep_seq: u64,
) -> rusqlite::Result<Vec<DocId>> {
    const DOCS: &str = "select distinct doc from envelopes \
         where collection = ?1 and author = ?2 and seq > ?3";
    const KEEP: &str = "insert or ignore into envelopes_aside \
         (collection, author, seq, hash, doc, bytes) \
         select collection, author, seq, hash, doc, bytes from envelopes \
         where collection = ?1 and author = ?2 and seq > ?3 order by seq \
         limit max(0, ?4 - (select count(*) from envelopes_aside \
         where collection = ?1 and author = ?2))";
    const DROP: &str = "delete from envelopes where collection = ?1 and author = ?2 and seq > ?3";
    const HEAD: &str = "update journal_heads set seq = ?3 where collection = ?1 and author = ?2";
    const NO_HEAD: &str = "delete from journal_heads where collection = ?1 and author = ?2 \
         and seq = 0";
    let key = params![collection.0, author.as_bytes(), keep_seq];
    let mut docs = tx.prepare_cached(DOCS)?;
    let docs: Vec<DocId> =
        docs.query_map(key, |row| row.get(0).map(DocId))?.collect::<rusqlite::Result<_>>()?;
    let keep = params![collection.0, author.as_bytes(), keep_seq, ASIDE_MAX];
    tx.prepare_cached(KEEP)?.execute(keep)?;
    tx.prepare_cached(DROP)?.execute(key)?;
    tx.prepare_cached(HEAD)?.execute(key)?;
    tx.prepare_cached(NO_HEAD)?.execute(params![collection.0, author.as_bytes()])?;
    Ok(docs)
}

/// Forgets a saved document: all of its envelopes are to be applied anew. If none is left, its
/// rows go too.
fn unmake(
    tx: &Transaction<'_>,
    collection: &CollectionId,
    doc: &DocId,
) -> rusqlite::Result<Projected> {
    const FORGET: &str = "delete from docs where collection = ?1 and doc = ?2";
    const AGAIN: &str = "update envelopes set is_applied = 0 where collection = ?1 and doc = ?2";
    let key = params![collection.0, doc.as_bytes()];
    tx.prepare_cached(FORGET)?.execute(key)?;
    if tx.prepare_cached(AGAIN)?.execute(key)? == 0 {
        return projection::forget(tx, collection, doc);
    }
    Ok(Projected::Nothing)
}

/// Keeps an epoch that contradicts the one in its place; a few are proof enough.
pub(super) fn set_epoch_aside(tx: &Transaction<'_>, n: u64, bytes: &[u8]) -> rusqlite::Result<()> {
    const KEEP: &str = "insert or ignore into epochs_aside (n, hash, bytes) select ?1, ?2, ?3 \
         where (select count(*) from epochs_aside) < ?4";
    const EPOCHS_ASIDE_MAX: usize = 16;
    let hash = blake3::hash(bytes);
    tx.prepare_cached(KEEP)?.execute(params![n, hash.as_bytes(), bytes, EPOCHS_ASIDE_MAX])?;
    Ok(())
}
