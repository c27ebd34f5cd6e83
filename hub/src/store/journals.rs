//! Rows of epochs, invitations, envelopes and saved documents.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::event::{
    EnvelopeRecord, InvitationRecord, JournalHead, Restored, StoreOp, StoreValue,
};
use yingxue_sync_core::id::{CollectionId, DocId, Hash, HubId};
use yingxue_sync_core::journal::SignedEnvelope;

use super::{Notice, disputed, witness};
use crate::catalog::projection::{self, Projected};

/// Reads what the node has to know at start: rows per journal, not per envelope.
pub(crate) fn restore(db: &Connection) -> rusqlite::Result<Restored> {
    const HEADS: &str = "select h.collection, h.author, h.seq, e.hash, e.bytes \
         from journal_heads h join envelopes e using (collection, author, seq)";
    Ok(Restored {
        epochs: rows(db, "select bytes from epochs order by n", |row| row.get(0))?,
        heads: rows(db, HEADS, head_of_row)?,
        fingerprints: rows(
            db,
            "select collection, fingerprint from collection_fingerprints",
            |row| Ok((CollectionId(row.get(0)?), row.get(1)?)),
        )?,
        unapplied: rows(
            db,
            "select distinct collection, doc from envelopes where is_applied = 0",
            |row| Ok((CollectionId(row.get(0)?), DocId(row.get(1)?))),
        )?,
        aside: rows(db, "select distinct collection, doc from envelopes_aside", |row| {
            Ok((CollectionId(row.get(0)?), DocId(row.get(1)?)))
        })?,
        has_epochs_aside: db.query_row("select exists (select 1 from epochs_aside)", [], bit)?,
        statements: witness::farthest(db)?,
        store_id: db
            .query_row("select store_id from store_identity", [], |row| row.get(0))
            .optional()?
            .unwrap_or_default(),
        is_in_doubt: db
            .query_row("select is_in_doubt from store_identity", [], bit)
            .optional()?
            .unwrap_or(false),
        invitations: rows(
            db,
            "select secret_hash, expires_wall_ms, used_by from invitations",
            |row| {
                Ok(InvitationRecord {
                    secret_hash: Hash(row.get(0)?),
                    expires_wall_ms: row.get(1)?,
                    used_by: row.get::<_, Option<[u8; 32]>>(2)?.map(HubId),
                })
            },
        )?,
    })
}

fn bit(row: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
    row.get(0)
}

fn head_of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<JournalHead> {
    let newest = SignedEnvelope::decode(row.get_ref(4)?.as_blob()?);
    let newest = newest.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, error.into())
    })?;
    Ok(JournalHead {
        collection: CollectionId(row.get(0)?),
        author: HubId(row.get(1)?),
        seq: row.get(2)?,
        hash: Hash(row.get(3)?),
        epoch: newest.envelope.epoch,
    })
}

/// Carries out a read of journals or documents.
pub(super) fn read(db: &Connection, op: &StoreOp) -> rusqlite::Result<StoreValue> {
    match op {
        StoreOp::ReadEnvelopes { collection, author, from_seq, bytes_max } => {
            read_envelopes(db, collection, author, *from_seq, *bytes_max)
        }
        StoreOp::ReadDisputed { collection, tails } => disputed::read(db, collection, tails),
        StoreOp::ListEnvelopes { collection, is_verified } => {
            disputed::list(db, collection, *is_verified)
        }
        StoreOp::ReadPlaces { collection, places } => disputed::read_places(db, collection, places),
        StoreOp::LoadDoc { collection, doc } => load_doc(db, collection, doc),
        _ => unreachable!("the store sends only reads of journals and documents here"),
    }
}

/// What a write gives back, and what is told when it is durable.
pub(super) type Written = (StoreValue, Vec<Notice>);

/// Carries out a write of journals or documents.
pub(super) fn write(tx: &Transaction<'_>, op: StoreOp) -> rusqlite::Result<Written> {
    match op {
        StoreOp::Rejudge { collection, cuts, accepted, fingerprint } => {
            let (docs, gone) = disputed::rejudge(tx, &collection, &cuts, &accepted, &fingerprint)?;
            Ok((StoreValue::Docs(docs), gone.into_iter().filter_map(notice_of).collect()))
        }
        op => put(tx, op).map(|notice| (StoreValue::Done, notice.into_iter().collect())),
    }
}

fn put(tx: &Transaction<'_>, op: StoreOp) -> rusqlite::Result<Option<Notice>> {
    match op {
        StoreOp::SetAside { envelopes } => disputed::set_aside(tx, &envelopes).map(|()| None),
        StoreOp::SetEpochAside { n, bytes } => {
            disputed::set_epoch_aside(tx, n, &bytes).map(|()| None)
        }
        StoreOp::Mend { collection, envelopes, fingerprint } => {
            disputed::mend(tx, &collection, &envelopes, &fingerprint).map(|()| None)
        }
        StoreOp::PutStatements { statements } => witness::put(tx, &statements).map(|()| None),
        StoreOp::KeepContradicted { collection, author, witness: of, seq, slot } => {
            witness::keep(tx, (&collection, &author, &of), seq, slot).map(|()| None)
        }
        StoreOp::PutDoubt { is_in_doubt } => {
            tx.execute("update store_identity set is_in_doubt = ?1", [is_in_doubt]).map(|_| None)
        }
        StoreOp::PutEpoch { n, bytes, used_invitation } => {
            put_epoch(tx, n, &bytes)?;
            if let Some((secret_hash, hub)) = used_invitation {
                tx.prepare_cached("update invitations set used_by = ?2 where secret_hash = ?1")?
                    .execute([secret_hash.as_bytes(), hub.as_bytes()])?;
            }
            Ok(None)
        }
        StoreOp::PutInvitation(invitation) => put_invitation(tx, &invitation).map(|()| None),
        StoreOp::AppendEnvelopes { envelopes, fingerprint } => {
            append(tx, &envelopes, &fingerprint).map(|()| None)
        }
        StoreOp::SaveDoc { collection, doc, snapshot, applied } => {
            save_doc(tx, &collection, &doc, &snapshot, &applied)
        }
        _ => unreachable!("the store sends only writes of journals and documents here"),
    }
}

fn rows<T>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare_cached(sql)?.query_map([], read)?.collect()
}

fn read_envelopes(
    db: &Connection,
    collection: &CollectionId,
    author: &HubId,
    from_seq: u64,
    bytes_max: usize,
) -> rusqlite::Result<StoreValue> {
    const JOURNAL: &str = "select bytes from envelopes \
         where collection = ?1 and author = ?2 and seq >= ?3 order by seq";
    let mut statement = db.prepare_cached(JOURNAL)?;
    let mut found = statement.query(params![collection.0, author.as_bytes(), from_seq])?;
    let (mut envelopes, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max || envelopes.is_empty() {
        let Some(row) = found.next()? else { break };
        let envelope: Vec<u8> = row.get(0)?;
        bytes += envelope.len();
        envelopes.push(envelope);
    }
    Ok(StoreValue::Envelopes(envelopes))
}

fn load_doc(
    db: &Connection,
    collection: &CollectionId,
    doc: &DocId,
) -> rusqlite::Result<StoreValue> {
    const SAVED: &str = "select snapshot from docs where collection = ?1 and doc = ?2";
    const PENDING: &str = "select bytes from envelopes \
         where collection = ?1 and doc = ?2 and is_applied = 0 order by rowid";
    let key = params![collection.0, doc.as_bytes()];
    let snapshot = db.prepare_cached(SAVED)?.query_row(key, |row| row.get(0)).optional()?;
    let pending =
        db.prepare_cached(PENDING)?.query_map(key, |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(StoreValue::Doc { snapshot, pending })
}

/// Keeps an epoch. What follows an epoch that is replaced belongs to another chain. A join that was
/// cut short begins anew with epoch 0, maybe in another alliance.
pub(crate) fn put_epoch(tx: &Transaction<'_>, n: u64, bytes: &[u8]) -> rusqlite::Result<()> {
    const FORGET: &str = "delete from epochs where n >= ?1 \
         and (?1 = 0 or (select bytes from epochs where n = ?1) <> ?2)";
    tx.prepare_cached(FORGET)?.execute(params![n, bytes])?;
    tx.prepare_cached("insert or ignore into epochs (n, bytes) values (?1, ?2)")?
        .execute(params![n, bytes])?;
    Ok(())
}

fn put_invitation(tx: &Transaction<'_>, invitation: &InvitationRecord) -> rusqlite::Result<()> {
    const PUT: &str = "insert or replace into invitations \
         (secret_hash, expires_wall_ms, used_by) values (?1, ?2, ?3)";
    let used_by = invitation.used_by.as_ref().map(HubId::as_bytes);
    tx.prepare_cached(PUT)?.execute(params![
        invitation.secret_hash.as_bytes(),
        invitation.expires_wall_ms,
        used_by
    ])?;
    Ok(())
}

/// Appends envelopes to their journals, which the caller has judged.
pub(crate) fn append(
    tx: &Transaction<'_>,
    envelopes: &[EnvelopeRecord],
    fingerprint: &[u8; 16],
) -> rusqlite::Result<()> {
    const INSERT: &str = "insert or ignore into envelopes \
         (collection, author, seq, hash, doc, bytes) values (?1, ?2, ?3, ?4, ?5, ?6)";
    for envelope in envelopes {
        tx.prepare_cached(INSERT)?.execute(params![
            envelope.collection.0,
            envelope.author.as_bytes(),
            envelope.seq,
            envelope.hash.as_bytes(),
            envelope.doc.as_bytes(),
            envelope.bytes,
        ])?;
        advance_head(tx, envelope)?;
    }
    if let Some(first) = envelopes.first() {
        put_fingerprint(tx, &first.collection, fingerprint)?;
    }
    Ok(())
}

pub(super) fn put_fingerprint(
    tx: &Transaction<'_>,
    collection: &CollectionId,
    fingerprint: &[u8; 16],
) -> rusqlite::Result<()> {
    const PUT: &str = "insert into collection_fingerprints (collection, fingerprint) \
         values (?1, ?2) on conflict (collection) do update set fingerprint = ?2";
    tx.prepare_cached(PUT)?.execute(params![collection.0, fingerprint]).map(drop)
}

fn advance_head(tx: &Transaction<'_>, envelope: &EnvelopeRecord) -> rusqlite::Result<()> {
    const ADVANCE: &str = "insert into journal_heads (collection, author, seq) values (?1, ?2, ?3) \
         on conflict (collection, author) do update set seq = ?3 where seq < ?3";
    let author = envelope.author.as_bytes();
    tx.prepare_cached(ADVANCE)?.execute(params![envelope.collection.0, author, envelope.seq])?;
    Ok(())
}

fn save_doc(
    tx: &Transaction<'_>,
    collection: &CollectionId,
    doc: &DocId,
    snapshot: &[u8],
    applied: &[(HubId, u64)],
) -> rusqlite::Result<Option<Notice>> {
    const SAVE: &str = "insert into docs (collection, doc, snapshot) values (?1, ?2, ?3) \
         on conflict (collection, doc) do update set snapshot = ?3";
    const APPLIED: &str = "update envelopes set is_applied = 1 \
         where collection = ?1 and author = ?2 and seq = ?3";
    tx.prepare_cached(SAVE)?.execute(params![collection.0, doc.as_bytes(), snapshot])?;
    for (author, seq) in applied {
        tx.prepare_cached(APPLIED)?.execute(params![collection.0, author.as_bytes(), seq])?;
    }
    projection::project(tx, collection, doc, snapshot).map(notice_of)
}

fn notice_of(projected: Projected) -> Option<Notice> {
    match projected {
        Projected::Lesson(lesson) => Some(Notice::Lesson(lesson)),
        Projected::Thread(lesson) => Some(Notice::Thread(lesson)),
        Projected::Timetable => Some(Notice::Timetable),
        Projected::Nothing => None,
    }
}
