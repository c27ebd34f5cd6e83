//! What takes room on this disk and what it is used for, from rows.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use rusqlite::{Connection, OptionalExtension};
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::retention::{Shelved, ShelvedTrack};
use crate::catalog::{self, projection};
use crate::night::map;
use crate::playing::Played;
use crate::timetable::{self, day};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A lesson that has begun is needed until it ends; none is longer than this.
const CLASS_MS_MAX: i64 = 3 * HOUR_MS;
/// The timetable is read a week at a time: no week has more lessons than one look gives.
const WEEK_MS: i64 = 7 * DAY_MS;
/// Weeks back in which it is looked when something was taught: a term and the holiday before.
const WEEKS_BACK: i64 = 30;
/// Weeks ahead in which something that is going to be taught is let go last.
const WEEKS_AHEAD: i64 = 8;

/// What decides about what is on the disk, apart from the database.
#[derive(Debug, Clone)]
pub struct Around {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Minutes that the school's clocks are ahead of UTC.
    pub utc_offset_min: i32,
    /// This hub.
    pub hub: HubId,
    /// The other members.
    pub members: Vec<HubId>,
    /// What is being played.
    pub played: Vec<Played>,
    /// Days ahead for which the timetable counts.
    pub days_ahead: u32,
}

impl Around {
    /// Gives the end of the coming days, milliseconds since 1970.
    pub fn until_ms(&self) -> i64 {
        self.now_ms.saturating_add(i64::from(self.days_ahead) * DAY_MS)
    }
}

/// Lists the lessons of which something takes room here. What is still being made, or is to be
/// read after a repair, is not among them.
///
/// # Errors
/// If the database fails.
pub fn load(db: &Connection, around: &Around) -> rusqlite::Result<Vec<Shelved>> {
    const HELD: &str = "select b.blob, b.total_bytes, t.lesson, t.kind from blobs b \
         left join lesson_tracks t on t.blob = b.blob \
         where not exists (select 1 from blobs_unread u where u.blob = b.blob)";
    let mut lessons: BTreeMap<DocId, Shelved> = BTreeMap::new();
    let known = Known::load(db, around)?;
    let mut statement = db.prepare_cached(HELD)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (blob, bytes) = (BlobId(row.get(0)?), row.get(1)?);
        let named: Option<[u8; 16]> = row.get(2)?;
        let kind = row.get::<_, Option<String>>(3)?.and_then(|kind| kind.parse().ok());
        let named_by = match named {
            Some(lesson) => vec![DocId(lesson)],
            None => once_named_by(db, &blob)?,
        };
        for lesson in named_by {
            let shelved = match lessons.entry(lesson) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(new) => new.insert(shelved(db, around, &known, lesson)?),
            };
            shelved.tracks.push(ShelvedTrack { kind, blob, bytes });
        }
    }
    Ok(lessons.into_values().collect())
}

/// Lists the lessons whose documents named a blob once and do not any more.
fn once_named_by(db: &Connection, blob: &BlobId) -> rusqlite::Result<Vec<DocId>> {
    const REFS: &str = "select lesson from blob_refs where blob = ?1";
    let mut refs = db.prepare_cached(REFS)?;
    refs.query_map([blob.as_bytes()], |row| row.get(0).map(DocId))?.collect()
}

/// What is known of lessons in general.
struct Known {
    next: BTreeMap<DocId, i64>,
    last: BTreeMap<DocId, i64>,
    pinned: BTreeSet<DocId>,
    played: BTreeSet<DocId>,
    elsewhere: BTreeSet<DocId>,
}

impl Known {
    fn load(db: &Connection, around: &Around) -> rusqlite::Result<Self> {
        let (next, mut last) = taught(db, around.now_ms)?;
        for (lesson, at_ms) in played_at(db)? {
            let known = last.entry(lesson).or_insert(at_ms);
            *known = at_ms.max(*known);
        }
        let mut pinned = db.prepare_cached("select lesson from pins")?;
        let pinned = pinned.query_map([], |row| row.get(0).map(DocId))?;
        let pinned = pinned.collect::<rusqlite::Result<_>>()?;
        let is_member = |(hub, _): &(HubId, _)| around.members.contains(hub);
        let told = map::holders(db)?.into_iter();
        let elsewhere = told.filter(|(_, hubs)| hubs.iter().any(is_member));
        let elsewhere = elsewhere.map(|(lesson, _)| lesson).collect();
        Ok(Self { next, last, pinned, played: being_played(db, &around.played)?, elsewhere })
    }
}

/// Gives when the timetable has each lesson next, and when it had it last.
fn taught(
    db: &Connection,
    now_ms: i64,
) -> rusqlite::Result<(BTreeMap<DocId, i64>, BTreeMap<DocId, i64>)> {
    let (mut next, mut last) = (BTreeMap::new(), BTreeMap::new());
    for week in -WEEKS_BACK..WEEKS_AHEAD {
        let from_ms = now_ms.saturating_add(week * WEEK_MS);
        for it in day::remote_between(db, from_ms, from_ms.saturating_add(WEEK_MS))? {
            let Some(lesson) = it.lesson else { continue };
            if it.starts_at_ms > now_ms.saturating_sub(CLASS_MS_MAX) {
                next.entry(lesson).or_insert(it.starts_at_ms);
            } else {
                last.insert(lesson, it.starts_at_ms);
            }
        }
    }
    Ok((next, last))
}

fn played_at(db: &Connection) -> rusqlite::Result<Vec<(DocId, i64)>> {
    let mut rows = db.prepare_cached("select lesson, played_at_ms from lessons_played")?;
    rows.query_map([], |row| Ok((DocId(row.get(0)?), row.get(1)?)))?.collect()
}

/// Lists the lessons that are being played.
///
/// # Errors
/// If the database fails.
pub fn being_played(db: &Connection, played: &[Played]) -> rusqlite::Result<BTreeSet<DocId>> {
    const LESSONS: &str = "select lesson from lesson_tracks where blob = ?1";
    let mut lessons = BTreeSet::new();
    for what in played {
        match what {
            Played::Lesson(lesson) => drop(lessons.insert(*lesson)),
            Played::Blob(blob) => {
                let mut found = db.prepare_cached(LESSONS)?;
                for lesson in found.query_map([blob.as_bytes()], |row| row.get(0).map(DocId))? {
                    lessons.insert(lesson?);
                }
            }
        }
    }
    Ok(lessons)
}

fn shelved(
    db: &Connection,
    around: &Around,
    known: &Known,
    lesson: DocId,
) -> rusqlite::Result<Shelved> {
    const LESSON: &str = "select is_published, is_deleted, school_hub, created_at_ms \
         from lessons where lesson = ?1";
    let row = db.prepare_cached(LESSON)?.query_row([lesson.as_bytes()], |row| {
        Ok((row.get(0)?, row.get(1)?, HubId(row.get(2)?), row.get(3)?))
    });
    let row: Option<(bool, bool, HubId, i64)> = row.optional()?;
    let first_author = || projection::first_author(db, catalog::COLLECTION, &lesson);
    let (maker, is_deleted, created_at_ms) = match row {
        Some((true, is_deleted, school_hub, at_ms)) => (Some(school_hub), is_deleted, at_ms),
        // It is made here.
        Some((false, ..)) => (Some(around.hub), false, 0),
        None => (first_author()?.map(HubId), true, 0),
    };
    let mut next_taught_ms = known.next.get(&lesson).copied();
    if is_deleted && next_taught_ms.is_none() {
        // What the timetable has is shown here to the end of the term.
        let today = day::date_at(around.now_ms, around.utc_offset_min);
        let is_named = timetable::names(db, &lesson, today)?;
        next_taught_ms = is_named.then_some(around.now_ms);
    }
    let is_member = maker.is_some_and(|maker| around.members.contains(&maker));
    Ok(Shelved {
        lesson,
        // Of one that nobody is known to have made, nobody else has a copy either.
        is_own: maker.is_none_or(|maker| maker == around.hub),
        is_only_here: !is_member && !known.elsewhere.contains(&lesson),
        is_pinned: known.pinned.contains(&lesson),
        is_played: known.played.contains(&lesson),
        is_deleted,
        next_taught_ms,
        last_used_ms: known.last.get(&lesson).copied(),
        created_at_ms,
        tracks: Vec::new(),
    })
}
