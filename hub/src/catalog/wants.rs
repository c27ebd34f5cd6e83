//! What this hub wants of lessons that nobody has asked for: every track that is not whole here,
//! of every lesson that is not deleted and was not let go. Schools take turns, so that none keeps
//! the others from coming, however much it publishes. Of each school comes first what a class
//! cannot do without (`TrackKind::ALL`), newest lessons first. The plan of the night puts before it
//! what people need (`night::tonight`).

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
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
    /// Its place in the order of fetching.
    class: i64,
}

/// Lists what to fetch when nothing else is to be done; a blob that two lessons name is there
/// once.
///
/// # Errors
/// If the database fails.
pub fn unclaimed(db: &Connection, count_max: usize) -> rusqlite::Result<Vec<Unclaimed>> {
    let count_max = count_max.min(WANTS_MAX);
    let schools = schools(db)?;
    // Most of the time all have enough for their share.
    let mut share = count_max.div_ceil(schools.len().max(1));
    let mut lists = of_schools(db, &schools, share)?;
    if lists.iter().map(Vec::len).sum::<usize>() < count_max && share < count_max {
        share = count_max;
        lists = of_schools(db, &schools, share)?;
    }
    let mut seen = BTreeSet::new();
    let mut unclaimed = Vec::new();
    for turn in 0..share {
        let mut of_turn: Vec<&Unclaimed> = lists.iter().filter_map(|list| list.get(turn)).collect();
        of_turn.sort_by_key(|it| it.class);
        unclaimed.extend(of_turn.into_iter().filter(|it| seen.insert(it.blob)).cloned());
    }
    unclaimed.truncate(count_max);
    Ok(unclaimed)
}

/// Lists the schools of which something is wanted: a step in the index each.
fn schools(db: &Connection) -> rusqlite::Result<Vec<HubId>> {
    const NEXT: &str = "select school_hub from lesson_tracks \
         where is_wanted = 1 and school_hub > ?1 order by school_hub limit 1";
    let mut next = db.prepare_cached(NEXT)?;
    let mut schools: Vec<HubId> = Vec::new();
    loop {
        let last = schools.last().map_or(&[][..], |hub| hub.as_bytes());
        match next.query_row([last], |row| row.get(0).map(HubId)).optional()? {
            Some(school) => schools.push(school),
            None => return Ok(schools),
        }
    }
}

fn of_schools(
    db: &Connection,
    schools: &[HubId],
    count: usize,
) -> rusqlite::Result<Vec<Vec<Unclaimed>>> {
    const WANTED: &str = "select t.blob, \
         max(0, coalesce(b.total_bytes, t.bytes) - coalesce(b.verified_bytes, 0)), t.school_hub, \
         t.kind = 'source', t.class from lesson_tracks t left join blobs b on b.blob = t.blob \
         where t.is_wanted = 1 and t.school_hub = ?1 \
         order by t.class, t.created_at_ms desc limit ?2";
    let mut statement = db.prepare_cached(WANTED)?;
    let mut of_school = |school: &HubId| -> rusqlite::Result<Vec<Unclaimed>> {
        let rows = statement.query_map(params![school.as_bytes(), count], |row| {
            Ok(Unclaimed {
                blob: BlobId(row.get(0)?),
                missing_bytes: row.get(1)?,
                school_hub: HubId(row.get(2)?),
                is_original: row.get(3)?,
                class: row.get(4)?,
            })
        })?;
        rows.collect()
    };
    schools.iter().map(&mut of_school).collect()
}
