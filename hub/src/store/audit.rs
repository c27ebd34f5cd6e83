//! Reads every journal of a hub's database and holds it against what witnesses have signed.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use yingxue_sync_core::audit::{Audit, Auditor, Depth, Heard, Problem, membership_of};
use yingxue_sync_core::id::{CollectionId, HubId};
use yingxue_sync_core::membership::{EpochError, Membership};
use yingxue_sync_core::witness::SignedStatement;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database is damaged, or is none.
    #[error("the database cannot be read: {0}; restore a backup")]
    Database(#[from] rusqlite::Error),
    /// The membership is not what the registrar signed.
    #[error("the membership in the database is wrong: {0}")]
    Membership(#[from] EpochError),
}

/// What was read.
pub struct Journals {
    /// The members, as the newest list says.
    pub membership: Membership,
    /// This hub, and how far its clock is ahead of UTC in minutes.
    pub own: Option<(HubId, i32)>,
    /// Each journal, by collection and author.
    pub audits: Vec<(CollectionId, HubId, Audit)>,
    /// Statements whose signature is wrong.
    pub wrong_statements: u64,
    /// Signatures of statements that were checked.
    pub statements: u64,
    /// Entries kept as evidence: they contradict a journal. By collection and author.
    pub contradictions: Vec<(CollectionId, HubId, u64)>,
}

/// Reads the database at a path; the hub may run meanwhile. None if it belongs to no alliance.
///
/// # Errors
/// If it cannot be read, or its membership is wrong.
pub fn read(path: &Path, depth: Depth) -> Result<Option<Journals>, AuditError> {
    const EPOCHS: &str = "select bytes from epochs order by n";
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // One view of the database, whatever the hub writes meanwhile.
    let db = db.unchecked_transaction()?;
    let mut epochs = db.prepare(EPOCHS)?;
    let epochs = epochs.query_map([], |row| row.get(0))?.collect::<Result<Vec<Vec<u8>>, _>>()?;
    if epochs.is_empty() {
        return Ok(None);
    }
    let membership = membership_of(&epochs)?;
    let own = own(&db)?;
    let mut journals = Journals {
        own,
        audits: Vec::new(),
        wrong_statements: 0,
        statements: 0,
        contradictions: contradictions(&db, &membership)?,
        membership,
    };
    let mut statements = statements(&db, depth, &mut journals)?;
    for (collection, author, head_seq) in heads(&db)? {
        let of = statements.remove(&(collection.clone(), author)).unwrap_or_default();
        let auditor = Auditor {
            membership: &journals.membership,
            collection: &collection,
            author,
            statements: &of,
            depth,
            is_own: own.is_some_and(|(own, _)| own == author),
        };
        let audit = journal(&db, &auditor, head_seq)?;
        journals.audits.push((collection, author, audit));
    }
    Ok(Some(journals))
}

fn own(db: &Connection) -> rusqlite::Result<Option<(HubId, i32)>> {
    const OWN: &str = "select hub, utc_offset_min from timetable_hub";
    db.query_row(OWN, [], |row| Ok((HubId(row.get(0)?), row.get(1)?))).optional()
}

fn heads(db: &Connection) -> rusqlite::Result<Vec<(CollectionId, HubId, u64)>> {
    const HEADS: &str =
        "select collection, author, seq from journal_heads order by collection, author";
    let read =
        |row: &rusqlite::Row<'_>| Ok((CollectionId(row.get(0)?), HubId(row.get(1)?), row.get(2)?));
    db.prepare(HEADS)?.query_map([], read)?.collect()
}

/// Lists entries of members that contradict a journal; those of hubs that were taken out are kept
/// for another reason.
fn contradictions(
    db: &Connection,
    membership: &Membership,
) -> rusqlite::Result<Vec<(CollectionId, HubId, u64)>> {
    const ASIDE: &str = "select collection, author, count(*) from envelopes_aside \
         group by collection, author";
    let read =
        |row: &rusqlite::Row<'_>| Ok((CollectionId(row.get(0)?), HubId(row.get(1)?), row.get(2)?));
    let mut found = db.prepare(ASIDE)?;
    let found = found.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let is_member = |(_, author, _): &(CollectionId, HubId, u64)| {
        membership.newest().epoch.member(author).is_some()
    };
    Ok(found.into_iter().filter(is_member).collect())
}

type Statements = BTreeMap<(CollectionId, HubId), Vec<Heard>>;

/// Reads statements and checks their signatures: each witness's farthest and what is
/// contradicted, and of each day one more; or all of them.
fn statements(
    db: &Connection,
    depth: Depth,
    journals: &mut Journals,
) -> rusqlite::Result<Statements> {
    const ALL: &str = "select collection, author, bytes, received_at_ms from witness_statements";
    const ENOUGH: &str = "select collection, author, bytes, received_at_ms \
         from witness_statements s where slot < 1 \
         or seq = (select max(seq) from witness_statements where collection = s.collection \
         and author = s.author and witness = s.witness) \
         or witness = (select min(witness) from witness_statements \
         where collection = s.collection and author = s.author and slot = s.slot)";
    let mut statement = db.prepare(if depth == Depth::Every { ALL } else { ENOUGH })?;
    let mut rows = statement.query([])?;
    let mut of_journals = Statements::new();
    while let Some(row) = rows.next()? {
        let key = (CollectionId(row.get(0)?), HubId(row.get(1)?));
        journals.statements += 1;
        match SignedStatement::decode(row.get_ref(2)?.as_blob()?) {
            Ok(signed)
                if (&signed.statement.collection, signed.statement.author) == (&key.0, key.1) =>
            {
                let received_at_wall_ms = row.get::<_, i64>(3)?.unsigned_abs();
                let heard = Heard { signed, received_at_wall_ms };
                of_journals.entry(key).or_default().push(heard);
            }
            _ => journals.wrong_statements += 1,
        }
    }
    Ok(of_journals)
}

fn journal(db: &Connection, auditor: &Auditor<'_>, head_seq: u64) -> rusqlite::Result<Audit> {
    const ENTRIES: &str =
        "select seq, bytes from envelopes where collection = ?1 and author = ?2 order by seq";
    let mut statement = db.prepare_cached(ENTRIES)?;
    let key = params![auditor.collection.0, auditor.author.as_bytes()];
    let rows = statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut failed = None;
    let entries = rows.map_while(|row| row.map_err(|error| failed = Some(error)).ok());
    let mut audit = auditor.read(entries);
    if let Some(error) = failed {
        return Err(error);
    }
    if audit.last_seq < head_seq {
        let missing = Problem::Missing { from: audit.last_seq + 1, to: head_seq };
        audit.problems.push(missing);
        audit.problem_count += 1;
    }
    Ok(audit)
}

#[cfg(test)]
pub(crate) mod tests;
