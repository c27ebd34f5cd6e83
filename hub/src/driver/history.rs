//! Whom this hub has met: rows for the contacts screen.

use rusqlite::{Connection, Transaction, params};
use yingxue_sync_core::id::HubId;

/// Entries that are kept; a month of a link that falls every hour.
const ENTRIES_KEPT: i64 = 1_000;
/// Entries that a screen shows.
const ENTRIES_SHOWN: i64 = 100;

/// One meeting or parting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// With whom.
    pub hub: HubId,
    /// True for a meeting.
    pub is_met: bool,
    /// While the contact lasted; 0 at a meeting.
    pub received_bytes: u64,
    /// While the contact lasted; 0 at a meeting.
    pub sent_bytes: u64,
    /// Of a parting, for people.
    pub reason: Option<String>,
}

impl Entry {
    pub(super) fn met(hub: HubId) -> Self {
        let at_ms = super::run::wall_ms() as i64;
        Self { at_ms, hub, is_met: true, received_bytes: 0, sent_bytes: 0, reason: None }
    }

    pub(super) fn left(hub: HubId, reason: String, received_bytes: u64, sent_bytes: u64) -> Self {
        let reason = Some(reason);
        Self { is_met: false, received_bytes, sent_bytes, reason, ..Self::met(hub) }
    }
}

/// Adds an entry and forgets the oldest.
pub fn add(tx: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    const ADD: &str = "insert into link_history \
         (at_ms, hub, event, received_bytes, sent_bytes, reason) values (?1, ?2, ?3, ?4, ?5, ?6)";
    const FORGET: &str = "delete from link_history where id <= \
         (select max(id) from link_history) - ?1";
    tx.prepare_cached(ADD)?.execute(params![
        entry.at_ms,
        entry.hub.as_bytes(),
        if entry.is_met { "met" } else { "left" },
        entry.received_bytes,
        entry.sent_bytes,
        entry.reason,
    ])?;
    tx.prepare_cached(FORGET)?.execute([ENTRIES_KEPT])?;
    Ok(())
}

/// Lists the newest entries, newest first.
pub fn newest(db: &Connection) -> rusqlite::Result<Vec<Entry>> {
    const NEWEST: &str = "select at_ms, hub, event = 'met', received_bytes, sent_bytes, reason \
         from link_history order by id desc limit ?1";
    db.prepare_cached(NEWEST)?
        .query_map([ENTRIES_SHOWN], |row| {
            Ok(Entry {
                at_ms: row.get(0)?,
                hub: HubId(row.get(1)?),
                is_met: row.get(2)?,
                received_bytes: row.get(3)?,
                sent_bytes: row.get(4)?,
                reason: row.get(5)?,
            })
        })?
        .collect()
}

/// Says when each hub was met or parted from last, in milliseconds since 1970.
pub fn last_seen(db: &Connection) -> rusqlite::Result<Vec<(HubId, i64)>> {
    db.prepare_cached("select hub, max(at_ms) from link_history group by hub")?
        .query_map([], |row| Ok((HubId(row.get(0)?), row.get(1)?)))?
        .collect()
}
