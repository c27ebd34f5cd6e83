//! What this hub wants of lessons that nobody has asked for: every track that is not whole here,
//! of every lesson that is not deleted; what a class cannot do without comes first
//! (`TrackKind::ALL`), newest lessons first. The plan of the night puts before it what people
//! need (`night::tonight`).

use rusqlite::Connection;
use yingxue_sync_core::id::{BlobId, HubId};

/// Wants given to the node at once. When some are done the next ones move up, so that a catalogue
/// of 10,000 lessons costs no more than this.
pub const WANTS_MAX: usize = 512;

/// A track that is not whole here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// Its blob.
    pub blob: BlobId,
    /// What is missing of it.
    pub missing_bytes: u64,
    /// The school's hub that has made it.
    pub school_hub: HubId,
    /// True if it is an original.
    pub is_original: bool,
}

/// Lists what to fetch when nothing else is to be done; a blob that two lessons name is there
/// once.
///
/// # Errors
/// If the database fails.
pub fn unclaimed(db: &Connection, count_max: usize) -> rusqlite::Result<Vec<Unclaimed>> {
    const WANTED: &str = "select t.blob, \
         max(0, coalesce(b.total_bytes, t.bytes) - coalesce(b.verified_bytes, 0)), l.school_hub, \
         t.kind = 'source' \
         from lesson_tracks t join lessons l on l.lesson = t.lesson \
         left join blobs b on b.blob = t.blob \
         where t.is_wanted = 1 order by t.class, t.created_at_ms desc limit ?1";
    let mut statement = db.prepare_cached(WANTED)?;
    let rows = statement.query_map([count_max.min(WANTS_MAX)], |row| {
        Ok(Unclaimed {
            blob: BlobId(row.get(0)?),
            missing_bytes: row.get(1)?,
            school_hub: HubId(row.get(2)?),
            is_original: row.get(3)?,
        })
    })?;
    let mut seen = std::collections::BTreeSet::new();
    let mut unclaimed = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    unclaimed.retain(|row| seen.insert(row.blob));
    Ok(unclaimed)
}
