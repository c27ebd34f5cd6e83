//! Which blobs this hub wants: every track that is not whole here, of every lesson that is not
//! deleted; what a class cannot do without comes first (`TrackKind::ALL`), newest lessons first.

use rusqlite::Connection;
use yingxue_sync_core::event::Want;
use yingxue_sync_core::id::BlobId;

/// Wants given to the node at once. When some are done the next ones move up, so that a catalogue
/// of 10,000 lessons costs no more than this.
pub const WANTS_MAX: usize = 512;

/// Lists what to fetch, in order of priority; a blob that two lessons name is there once.
pub fn wants(db: &Connection) -> rusqlite::Result<Vec<Want>> {
    const WANTED: &str = "select blob from lesson_tracks where is_wanted = 1 \
         order by class, created_at_ms desc limit ?1";
    let mut statement = db.prepare_cached(WANTED)?;
    let blobs = statement.query_map([WANTS_MAX], |row| row.get(0).map(BlobId))?;
    let mut seen = std::collections::BTreeSet::new();
    let mut wants = Vec::new();
    for blob in blobs {
        let blob = blob?;
        if seen.insert(blob) {
            let priority = u32::try_from(wants.len()).unwrap_or(u32::MAX);
            let collection = super::collection();
            wants.push(Want { blob, collection, priority, deadline_wall_ms: None });
        }
    }
    Ok(wants)
}
