//! Rows of what hubs have countersigned.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::id::{CollectionId, HubId};
use yingxue_sync_core::witness::{
    DAYS_MAX, SLOT_CONTRADICTED, SLOT_FARTHEST, StatementHeld, StatementRecord,
};

/// Keeps statements: the farthest in each slot, and as many days as a school year has.
pub(super) fn put(tx: &Transaction<'_>, statements: &[StatementRecord]) -> rusqlite::Result<()> {
    const PUT: &str = "insert into witness_statements \
         (collection, author, witness, slot, seq, hash, number, received_at_ms, bytes) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         on conflict (collection, author, witness, slot) do update set seq = ?5, hash = ?6, \
         number = ?7, received_at_ms = ?8, bytes = ?9 where seq < ?5";
    const FORGET: &str = "delete from witness_statements where collection = ?1 and author = ?2 \
         and witness = ?3 and slot > ?4 and slot not in (select slot from witness_statements \
         where collection = ?1 and author = ?2 and witness = ?3 and slot > ?4 \
         order by number desc limit ?5)";
    for StatementRecord { statement: it, slot, received_at_wall_ms, bytes } in statements {
        let (author, witness) = (it.author.as_bytes(), it.witness.as_bytes());
        let received_at_ms = i64::try_from(*received_at_wall_ms).unwrap_or(i64::MAX);
        tx.prepare_cached(PUT)?.execute(params![
            it.collection.0,
            author,
            witness,
            slot,
            it.seq,
            it.hash.as_bytes(),
            it.number,
            received_at_ms,
            bytes
        ])?;
        if *slot > SLOT_FARTHEST {
            let of = params![it.collection.0, author, witness, SLOT_FARTHEST, DAYS_MAX];
            tx.prepare_cached(FORGET)?.execute(of)?;
        }
    }
    Ok(())
}

/// Keeps the statement at a place once more in another slot.
pub(super) fn keep(
    tx: &Transaction<'_>,
    of: (&CollectionId, &HubId, &HubId),
    seq: u64,
    slot: i64,
) -> rusqlite::Result<()> {
    const FIND: &str = "select slot from witness_statements where collection = ?1 and author = ?2 \
         and witness = ?3 and seq = ?4 order by slot limit 1";
    const COPY: &str = "insert or ignore into witness_statements \
         (collection, author, witness, slot, seq, hash, number, received_at_ms, bytes) \
         select collection, author, witness, ?5, seq, hash, number, received_at_ms, bytes \
         from witness_statements where collection = ?1 and author = ?2 and witness = ?3 \
         and slot = ?4";
    let (collection, author, witness) = (&of.0.0, of.1.as_bytes(), of.2.as_bytes());
    let found: Option<i64> = tx
        .prepare_cached(FIND)?
        .query_row(params![collection, author, witness, seq], |row| row.get(0))
        .optional()?;
    if let Some(found) = found {
        tx.prepare_cached(COPY)?.execute(params![collection, author, witness, found, slot])?;
    }
    Ok(())
}

/// Reads the farthest statement of each witness about each journal, and those contradicted.
pub(super) fn farthest(db: &Connection) -> rusqlite::Result<Vec<StatementHeld>> {
    const FARTHEST: &str = "select bytes, received_at_ms, slot, max(seq) \
         from witness_statements group by collection, author, witness, slot = ?1 order by slot";
    let mut statement = db.prepare_cached(FARTHEST)?;
    let rows = statement.query_map([SLOT_CONTRADICTED], |row| {
        Ok(StatementHeld {
            bytes: row.get(0)?,
            received_at_wall_ms: u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
            is_contradicted: row.get::<_, i64>(2)? == SLOT_CONTRADICTED,
        })
    })?;
    rows.collect()
}
