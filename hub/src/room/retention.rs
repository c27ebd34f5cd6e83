//! What is kept on this disk, what may be fetched into the room that is left, and what is let go
//! when that is not enough. Pure functions over plain data.
//!
//! Nothing is let go because it is old: only when room is needed, and then no more than that.
//! What this school has made is kept for ever, because this hub may be the only one that has it;
//! so is what the timetable needs in the coming days, what is pinned or being played, and what no
//! other hub is known to have.

use std::collections::BTreeMap;

use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_core::plan::Urgency;

use crate::catalog::readiness::TrackKind;

/// Longest track that room is made for: the longest file that a school takes.
const TRACK_BYTES_MAX: u64 = 8 << 30;
/// Most that a lesson's floor may claim of the reserve, whatever its document says: ten times what
/// sound and slides of three hours have.
const FLOOR_BYTES_MAX: u64 = 256 << 20;

/// A lesson of which something is on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// Which.
    pub lesson: DocId,
    /// True if this school has made it.
    pub is_own: bool,
    /// True if no other hub is known to have it.
    pub is_only_here: bool,
    /// True if somebody has pinned it.
    pub is_pinned: bool,
    /// True if it is being played.
    pub is_played: bool,
    /// True if its school has taken it back, or nothing names it any more.
    pub is_deleted: bool,
    /// When the timetable has it next, or has it now; milliseconds since 1970.
    pub next_taught_ms: Option<i64>,
    /// When it was taught or played last.
    pub last_used_ms: Option<i64>,
    /// When it was made.
    pub created_at_ms: i64,
    /// Those of its tracks that take room here.
    pub tracks: Vec<ShelvedTrack>,
}

/// A track that takes room on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelvedTrack {
    /// What it holds; none if a newer hub has made it.
    pub kind: Option<TrackKind>,
    /// Its blob.
    pub blob: BlobId,
    /// That its file takes.
    pub bytes: u64,
}

/// Why a lesson is on this disk, the first that holds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// This school has made it.
    Own,
    /// The timetable needs it in the coming days.
    Timetabled,
    /// Somebody has pinned it.
    Pinned,
    /// It is being played.
    Played,
    /// Its school has taken it back.
    Deleted,
    /// No other hub is known to have it.
    OnlyHere,
    /// There was room.
    Rest,
}

impl Use {
    /// Every use.
    pub const ALL: [Self; 7] = [
        Self::Own,
        Self::Timetabled,
        Self::Pinned,
        Self::Played,
        Self::Deleted,
        Self::OnlyHere,
        Self::Rest,
    ];

    /// Says whether it is kept, however little room there is.
    pub fn is_kept(self) -> bool {
        !matches!(self, Self::Deleted | Self::Rest)
    }
}

impl Shelved {
    /// Says why the lesson is on this disk; the timetable counts until `until_ms`.
    pub fn used_for(&self, until_ms: i64) -> Use {
        if self.is_own {
            Use::Own
        } else if self.next_taught_ms.is_some_and(|at| at < until_ms) {
            Use::Timetabled
        } else if self.is_pinned {
            Use::Pinned
        } else if self.is_played {
            Use::Played
        } else if self.is_deleted {
            Use::Deleted
        } else if self.is_only_here {
            Use::OnlyHere
        } else {
            Use::Rest
        }
    }

    fn place(&self, track: &ShelvedTrack, until_ms: i64) -> Option<Place> {
        let size = coarseness(track.kind);
        let is_floor = size == FLOOR;
        let (group, size, at_ms) = match (self.used_for(until_ms), self.next_taught_ms) {
            (Use::Deleted, _) => (Group::Deleted, size, self.created_at_ms),
            // What is taught the latest can be fetched again the most easily.
            (Use::Rest, Some(at)) => (Group::Later, size, at.saturating_neg()),
            (Use::Rest, None) => match self.last_used_ms {
                Some(at) if is_floor => (Group::TaughtFloor, size, at),
                Some(at) => (Group::Taught, size, at),
                None => (Group::NeverUsed, size, self.created_at_ms),
            },
            _ => return None,
        };
        Some(Place { group, size, at_ms })
    }
}

/// What can be let go, and where it is in the order of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    group: Group,
    size: u8,
    at_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Deleted,
    Taught,
    NeverUsed,
    TaughtFloor,
    Later,
}

/// Place of sound, slides and whatever goes with them: the last of a lesson.
const FLOOR: u8 = 4;

/// Gives a track's place in its lesson, the one that takes most for the least use first.
fn coarseness(kind: Option<TrackKind>) -> u8 {
    match kind {
        Some(TrackKind::Source) => 0,
        // Nobody here can play it.
        None => 1,
        Some(TrackKind::Video480) => 2,
        Some(TrackKind::Video360) => 3,
        Some(_) => FLOOR,
    }
}

/// A blob that can be let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evictable {
    /// Which.
    pub blob: BlobId,
    /// A lesson that names it.
    pub lesson: DocId,
    /// That its file takes.
    pub bytes: u64,
}

/// Lists what can be let go, in the order in which it is. A blob that several lessons name goes
/// when the last of them would, and stays if one of them is kept.
pub fn evictable(lessons: &[Shelved], until_ms: i64) -> Vec<Evictable> {
    let mut places: BTreeMap<BlobId, Option<(Place, Evictable)>> = BTreeMap::new();
    for lesson in lessons {
        for track in &lesson.tracks {
            let (blob, bytes) = (track.blob, track.bytes);
            let place = lesson.place(track, until_ms);
            let place = place.map(|at| (at, Evictable { blob, lesson: lesson.lesson, bytes }));
            let known = places.entry(blob).or_insert(place);
            *known = match (*known, place) {
                (Some(one), Some(other)) if other.0 > one.0 => Some(other),
                (Some(one), Some(_)) => Some(one),
                _ => None,
            };
        }
    }
    let takes_room = |(_, it): &(Place, Evictable)| it.bytes > 0;
    let in_order = places.into_values().flatten().filter(takes_room);
    let mut in_order: Vec<(Place, Evictable)> = in_order.collect();
    in_order.sort_by_key(|(place, it)| (*place, it.lesson, it.blob));
    in_order.into_iter().map(|(_, it)| it).collect()
}

/// Chooses what to let go so that `bytes` become free; all that can be, if that is less.
pub fn choose(lessons: &[Shelved], until_ms: i64, bytes: u64) -> Vec<Evictable> {
    let mut left_bytes = bytes;
    let mut chosen = evictable(lessons, until_ms);
    chosen.retain(|it| {
        let is_needed = left_bytes > 0;
        left_bytes = left_bytes.saturating_sub(it.bytes);
        is_needed
    });
    chosen
}

/// The disk, and what is kept free on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disk {
    /// That lessons may still take.
    pub available_bytes: u64,
    /// Kept free for what will be taught.
    pub reserve_bytes: u64,
    /// Freed beyond what is needed, when something is.
    pub freed_bytes: u64,
    /// That stay free when an original is fetched that nobody has asked for.
    pub originals_free_bytes_min: u64,
}

impl Disk {
    /// Gives the bytes to let go: none while the reserve is whole and nothing that somebody needs
    /// (`wanted_bytes`) waits for room.
    pub fn bytes_to_free(&self, wanted_bytes: u64) -> u64 {
        let needed_bytes = self.reserve_bytes.saturating_add(wanted_bytes);
        match needed_bytes.saturating_sub(self.available_bytes) {
            0 => 0,
            missing => missing.saturating_add(self.freed_bytes),
        }
    }
}

/// Gives the bytes to keep free: what the coming lessons lack of their floors, one number each,
/// and a margin.
pub fn reserve_bytes(floors: impl IntoIterator<Item = u64>, margin_bytes: u64) -> u64 {
    let floors = floors.into_iter().map(|bytes| bytes.min(FLOOR_BYTES_MAX));
    floors.fold(margin_bytes, u64::saturating_add)
}

/// Something to fetch, as far as it needs room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// How much it presses.
    pub urgency: Urgency,
    /// That its file would take more than it does.
    pub bytes: u64,
    /// True if it is an original.
    pub is_original: bool,
}

/// What fits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fitting {
    /// Of each, whether it may be fetched.
    pub may_come: Vec<bool>,
    /// What those lack, fitting or not, that somebody needs or wants and that leave the reserve.
    pub wanted_bytes: u64,
}

/// Says what may be fetched, of wants in their order. What somebody needs now, and floors, may
/// take what is kept for them, and are stopped by nothing but the disk; the others leave that,
/// and originals that nobody has asked for leave more.
pub fn fitting(wants: &[Fetch], disk: &Disk) -> Fitting {
    let mut left_bytes = disk.available_bytes;
    let mut fitting = Fitting::default();
    for want in wants {
        let kept_bytes = match want.urgency {
            // They are counted in the reserve.
            Urgency::Now | Urgency::Floor => {
                fitting.may_come.push(true);
                continue;
            }
            Urgency::Rest if want.is_original => {
                disk.reserve_bytes.max(disk.originals_free_bytes_min)
            }
            Urgency::Upgrade | Urgency::Pin | Urgency::Rest => disk.reserve_bytes,
        };
        // What has its room already costs none.
        let may_come = want.bytes == 0 || left_bytes.saturating_sub(kept_bytes) >= want.bytes;
        if may_come {
            left_bytes = left_bytes.saturating_sub(want.bytes);
        }
        if want.urgency != Urgency::Rest {
            let bytes = want.bytes.min(TRACK_BYTES_MAX);
            fitting.wanted_bytes = fitting.wanted_bytes.saturating_add(bytes);
        }
        fitting.may_come.push(may_come);
    }
    fitting
}

#[cfg(test)]
mod tests;
