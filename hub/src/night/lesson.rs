//! What this disk holds of a lesson, as far as the night needs it.

use rusqlite::{Connection, OptionalExtension};
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use crate::catalog::readiness::{TierName, TrackKind};

/// A lesson on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLesson {
    /// Which.
    pub lesson: DocId,
    /// Its title.
    pub title: String,
    /// Name of the school that has made it.
    pub school: String,
    /// That school's hub; zeros while it is not published.
    pub school_hub: HubId,
    /// How far it is.
    pub stage: Stage,
    /// Its tracks, in the order in which they are fetched.
    pub tracks: Vec<HeldTrack>,
}

/// How far a lesson is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// This school's hub makes its tracks.
    Importing,
    /// They could not be made.
    Failed,
    /// The alliance has it.
    Published,
    /// Its school has taken it back.
    Deleted,
}

/// A track on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTrack {
    /// What it holds; none if a newer hub has made it.
    pub kind: Option<TrackKind>,
    /// Its blob.
    pub blob: BlobId,
    /// In all.
    pub total_bytes: u64,
    /// Verified and durable.
    pub verified_bytes: u64,
    /// True if every piece is.
    pub is_complete: bool,
    /// When all of it was compared with its hashes last, milliseconds since 1970.
    pub checked_at_ms: Option<i64>,
    /// True if a part of it was found damaged and is not mended yet.
    pub is_damaged: bool,
}

/// Reads a lesson; none if nothing is known of it.
///
/// # Errors
/// If the database fails.
pub fn load(db: &Connection, lesson: &DocId) -> rusqlite::Result<Option<HeldLesson>> {
    const HEAD: &str = "select title, school, school_hub, is_published, is_deleted, \
         (select state from jobs where lesson_id = lesson and kind = 'import' \
         order by id desc limit 1) = 'failed' from lessons where lesson = ?1";
    let head = db.prepare_cached(HEAD)?.query_row([lesson.as_bytes()], |row| {
        let has_failed = row.get::<_, Option<bool>>(5)?.unwrap_or(false);
        let stage = match (row.get(4)?, row.get(3)?, has_failed) {
            (true, _, _) => Stage::Deleted,
            (false, true, _) => Stage::Published,
            (false, false, true) => Stage::Failed,
            (false, false, false) => Stage::Importing,
        };
        Ok(HeldLesson {
            lesson: *lesson,
            title: row.get(0)?,
            school: row.get(1)?,
            school_hub: HubId(row.get(2)?),
            stage,
            tracks: Vec::new(),
        })
    });
    let Some(head) = head.optional()? else { return Ok(None) };
    Ok(Some(HeldLesson { tracks: tracks(db, lesson)?, ..head }))
}

fn tracks(db: &Connection, lesson: &DocId) -> rusqlite::Result<Vec<HeldTrack>> {
    const TRACKS: &str = "select t.kind, t.blob, coalesce(b.total_bytes, t.bytes), \
         coalesce(b.verified_bytes, 0), coalesce(b.is_complete, 0), c.checked_at_ms, \
         exists (select 1 from damage d where d.blob = t.blob and d.mended_at_ms is null) \
         from lesson_tracks t left join blobs b on b.blob = t.blob \
         left join blob_checks c on c.blob = t.blob \
         where t.lesson = ?1 order by t.class, t.kind";
    db.prepare_cached(TRACKS)?
        .query_map([lesson.as_bytes()], |row| {
            Ok(HeldTrack {
                kind: row.get_ref(0)?.as_str()?.parse().ok(),
                blob: BlobId(row.get(1)?),
                total_bytes: row.get(2)?,
                verified_bytes: row.get(3)?,
                is_complete: row.get(4)?,
                checked_at_ms: row.get::<_, Option<i64>>(5)?.filter(|at| *at > 0),
                is_damaged: row.get(6)?,
            })
        })?
        .collect()
}

impl HeldLesson {
    /// Says whether the lesson has a tier.
    pub fn offers(&self, tier: TierName) -> bool {
        tier.is_offered_by(|kind| self.tracks.iter().any(|track| track.kind == Some(kind)))
    }

    /// Gives the tracks that a tier needs, of those that the lesson has.
    pub fn needed(&self, tier: TierName) -> impl Iterator<Item = &HeldTrack> {
        let is_needed =
            move |track: &&HeldTrack| track.kind.is_some_and(|kind| tier.needs().contains(&kind));
        self.tracks.iter().filter(is_needed)
    }

    /// Says whether the lesson has a tier, and all of it is on this disk.
    pub fn holds(&self, tier: TierName) -> bool {
        self.offers(tier) && self.needed(tier).all(|track| track.is_complete)
    }

    /// Gives the best tier that is on this disk.
    pub fn best_held(&self) -> Option<TierName> {
        TierName::ALL.into_iter().find(|tier| self.holds(*tier))
    }

    /// Gives the tier without which the lesson is of no use: the least that it has.
    pub fn floor(&self) -> Option<TierName> {
        TierName::ALL.into_iter().rev().find(|tier| self.offers(*tier))
    }

    /// Gives the tier that makes the light: the one to have here, or else the best that is here.
    pub fn lit_tier(&self, preferred: TierName) -> Option<TierName> {
        let target = self.target(preferred).filter(|target| self.holds(*target));
        target.or_else(|| self.best_held())
    }

    /// Gives the tier to have here: the preferred one, or the nearest that the lesson has.
    pub fn target(&self, preferred: TierName) -> Option<TierName> {
        let below = TierName::ALL.into_iter().skip_while(|tier| *tier != preferred);
        below.into_iter().find(|tier| self.offers(*tier)).or_else(|| self.floor())
    }
}
