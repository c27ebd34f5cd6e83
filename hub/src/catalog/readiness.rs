//! Whether a lesson can be taught here and now: its tracks, and the tiers that they make.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
pub use yingxue_codec::track::TrackKind;
use yingxue_codec::track::TrackKind::{Audio, Slides, Source, Video360, Video480};

use super::query::{Status, Track};

/// The names of [`TrackKind`] in the API's description.
pub struct TrackName;

impl PartialSchema for TrackName {
    fn schema() -> RefOr<Schema> {
        let names = TrackKind::ALL.map(TrackKind::as_str);
        let words = "What a track holds, in the order in which tracks are fetched.";
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        schema.description(Some(words)).into()
    }
}

impl utoipa::ToSchema for TrackName {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("TrackKind")
    }
}

/// Gives a track's place in the order of fetching, 0 first; kinds of a newer hub come last.
pub(super) fn class_of(kind: &str) -> usize {
    let known = TrackKind::ALL.into_iter().position(|known| known.as_str() == kind);
    known.unwrap_or(TrackKind::ALL.len())
}

/// A quality of a lesson.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TierName {
    /// The track `source`.
    Source,
    /// The tracks `audio`, `slides` and `video-480`.
    T2,
    /// The tracks `audio`, `slides` and `video-360`.
    T1,
    /// The tracks `audio` and `slides`: the floor that is guaranteed.
    T0,
}

impl TierName {
    /// Every tier, the best first.
    pub const ALL: [Self; 4] = [Self::Source, Self::T2, Self::T1, Self::T0];

    /// Gives the name in the API and in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::T2 => "t2",
            Self::T1 => "t1",
            Self::T0 => "t0",
        }
    }

    /// Finds the tier that URLs name so.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }

    /// Gives the tracks that the tier needs, of those that a lesson has.
    pub fn needs(self) -> &'static [TrackKind] {
        match self {
            Self::Source => &[Source],
            Self::T2 => &[Audio, Slides, Video480],
            Self::T1 => &[Audio, Slides, Video360],
            Self::T0 => &[Audio, Slides],
        }
    }

    /// Says whether a lesson with these tracks has the tier.
    fn is_offered(self, tracks: &[Track]) -> bool {
        self.is_offered_by(|kind| tracks.iter().any(|track| track.kind == kind))
    }

    /// Says whether a lesson has the tier, by which tracks it has.
    pub fn is_offered_by(self, has: impl Fn(TrackKind) -> bool) -> bool {
        match self {
            Self::Source => has(Source),
            Self::T2 => has(Video480),
            Self::T1 => has(Video360),
            Self::T0 => has(Audio) || has(Slides),
        }
    }
}

/// Says whether some tier needs the track. Captions and thumbnails are fetched early and decide
/// nothing: what is missing of them is shown as missing.
pub fn is_needed(kind: TrackKind) -> bool {
    TierName::ALL.iter().any(|tier| tier.needs().contains(&kind))
}

/// One quality of a lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Tier {
    /// Which.
    pub name: TierName,
    /// True if all of it is here.
    pub is_complete: bool,
    /// True if something of each of its tracks is here.
    pub is_playable: bool,
}

/// Whether a lesson can be taught: from verified pieces on this disk, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// `ready`: all that tiers need is here, but for the original; `ready_at`: `tier` is here.
    pub state: ReadinessState,
    /// The best tier that is wholly here.
    pub tier: Option<TierName>,
    /// Why it is not ready.
    pub reason: Option<NotReady>,
}

/// See [`Readiness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessState {
    /// Every track that some tier needs is here; the original, where there is more, need not be.
    Ready,
    /// One tier is here.
    ReadyAt,
    /// No tier is here.
    NotReady,
}

/// Why a lesson cannot be taught here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotReady {
    /// This school's hub makes its tracks.
    Importing,
    /// Its tracks could not be made.
    ImportFailed,
    /// No tier has arrived.
    NotArrived,
    /// Nor will one before there is more room on this disk.
    DiskFull,
}

/// Gives the tiers that a lesson with these tracks has, the best first. A lesson without sound,
/// without slides or without a picture has tiers without it.
pub(super) fn tiers(tracks: &[Track]) -> Vec<Tier> {
    let offered = TierName::ALL.into_iter().filter(|tier| tier.is_offered(tracks));
    offered
        .map(|name| {
            let mut needed = tracks.iter().filter(|track| name.needs().contains(&track.kind));
            Tier {
                name,
                is_complete: needed.clone().all(|track| track.is_complete),
                is_playable: needed.all(|track| track.verified_pieces > 1),
            }
        })
        .collect()
}

/// Says whether everything that tiers need is here, but for an original beside it: a hub with a
/// small disk does not fetch those of other schools.
pub(super) fn is_whole_but_original(tracks: &[Track]) -> bool {
    let is_other = |track: &&Track| is_needed(track.kind) && track.kind != TrackKind::Source;
    let mut others = tracks.iter().filter(is_other).peekable();
    others.peek().is_some() && others.all(|track| track.is_complete)
}

/// Says whether a lesson with these tracks can be taught; for some the disk has no room.
pub(super) fn readiness(
    tracks: &[Track],
    status: Status,
    has_no_room: impl Fn(&Track) -> bool,
) -> Readiness {
    let tiers = tiers(tracks);
    let tier = tiers.iter().find(|tier| tier.is_complete).map(|tier| tier.name);
    let is_of_floor =
        |track: &&Track| tiers.last().is_some_and(|floor| floor.name.needs().contains(&track.kind));
    let mut lacking = tracks.iter().filter(|track| !track.is_complete).filter(is_of_floor);
    let not_ready =
        |reason| Readiness { state: ReadinessState::NotReady, tier: None, reason: Some(reason) };
    match (status, tier) {
        (Status::Importing, _) => not_ready(NotReady::Importing),
        (Status::Failed, _) => not_ready(NotReady::ImportFailed),
        (_, None) if lacking.any(has_no_room) => not_ready(NotReady::DiskFull),
        (_, None) => not_ready(NotReady::NotArrived),
        (status, tier) if status == Status::Ready || is_whole_but_original(tracks) => {
            Readiness { state: ReadinessState::Ready, tier, reason: None }
        }
        (_, tier) => Readiness { state: ReadinessState::ReadyAt, tier, reason: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(kind: TrackKind, held: i64) -> Track {
        Track {
            kind,
            blob_id: String::new(),
            codecs: String::new(),
            width: None,
            height: None,
            total_bytes: 3,
            verified_bytes: held,
            pieces: 3,
            verified_pieces: held,
            is_complete: held == 3,
            url: String::new(),
        }
    }

    fn at(held: [i64; 5], status: Status) -> (ReadinessState, Option<TierName>) {
        let kinds = [Audio, Slides, Video360, Video480, Source];
        let mut tracks: Vec<Track> =
            kinds.into_iter().zip(held).map(|(kind, held)| track(kind, held)).collect();
        // Nothing of them is here, and nobody asks.
        tracks.extend([track(TrackKind::Thumbs, 0), track(TrackKind::Captions(1), 0)]);
        let readiness = readiness(&tracks, status, |_| false);
        (readiness.state, readiness.tier)
    }

    #[test]
    fn a_lesson_is_ready_at_the_best_tier_that_is_wholly_here() {
        use ReadinessState::{NotReady, Ready, ReadyAt};
        let received = |held| at(held, Status::Receiving);
        assert_eq!(received([3, 2, 2, 2, 2]), (NotReady, None));
        assert_eq!(received([2, 3, 3, 3, 2]), (NotReady, None));
        assert_eq!(received([3, 3, 2, 2, 2]), (ReadyAt, Some(TierName::T0)));
        assert_eq!(received([3, 3, 3, 2, 2]), (ReadyAt, Some(TierName::T1)));
        assert_eq!(received([3, 3, 2, 3, 2]), (ReadyAt, Some(TierName::T2)));
        assert_eq!(received([3, 3, 3, 3, 2]), (Ready, Some(TierName::T2)), "but for the original");
        assert_eq!(received([2, 2, 2, 2, 3]), (ReadyAt, Some(TierName::Source)));
        assert_eq!(at([3; 5], Status::Ready), (Ready, Some(TierName::Source)));
        assert_eq!(at([3; 5], Status::Importing), (NotReady, None));
    }

    #[test]
    fn a_lesson_whose_floor_has_no_room_says_so() {
        let tracks = [track(Audio, 3), track(Slides, 1), track(Video360, 0)];
        let without_room =
            |kind| readiness(&tracks, Status::Receiving, move |track| track.kind == kind).reason;
        assert_eq!(without_room(Slides), Some(NotReady::DiskFull));
        assert_eq!(without_room(Audio), Some(NotReady::NotArrived), "it is here");
        assert_eq!(without_room(Video360), Some(NotReady::NotArrived), "not of the floor");
    }

    #[test]
    fn a_lesson_without_a_track_that_a_tier_needs_is_never_ready() {
        let whole = [track(TrackKind::Thumbs, 3), track(TrackKind::Captions(2), 3)];
        for tracks in [&whole[..], &[]] {
            assert_eq!(tiers(tracks), []);
            for status in [Status::Ready, Status::Receiving, Status::Waiting] {
                let readiness = readiness(tracks, status, |_| true);
                assert_eq!(readiness.state, ReadinessState::NotReady);
                assert_eq!(readiness.reason, Some(NotReady::NotArrived));
            }
        }
    }

    #[test]
    fn a_tier_needs_those_of_its_tracks_that_the_lesson_has() {
        let shown = |tracks: &[Track]| -> Vec<_> {
            tiers(tracks).iter().map(|t| (t.name, t.is_playable, t.is_complete)).collect()
        };
        let tracks = [track(Audio, 3), track(Video360, 1)];
        assert_eq!(shown(&tracks), [(TierName::T1, false, false), (TierName::T0, true, true)]);
        assert_eq!(shown(&[track(Slides, 2)]), [(TierName::T0, true, false)]);
        assert_eq!(shown(&[track(Audio, 3)]), [(TierName::T0, true, true)]);
        let mute = [track(Video480, 3), track(Source, 0)];
        assert_eq!(shown(&mute), [(TierName::Source, false, false), (TierName::T2, true, true)]);
    }

    #[test]
    fn tracks_are_fetched_in_the_order_in_which_a_class_needs_them() {
        let classes = TrackKind::ALL.map(|kind| class_of(kind.as_str()));
        assert!(classes.is_sorted());
        assert!(class_of("holograms") > class_of("source"));
    }
}
