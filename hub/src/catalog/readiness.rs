//! Whether a lesson can be taught here and now: its tracks, and the tiers that they make.

use serde::Serialize;

use super::query::{Status, Track};

/// What a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum TrackKind {
    /// Sound.
    #[serde(rename = "audio")]
    Audio,
    /// Pictures of 360 lines.
    #[serde(rename = "video-360")]
    Video360,
    /// Pictures and sound as they were uploaded.
    #[serde(rename = "source")]
    Source,
}

impl TrackKind {
    /// Finds the kind that documents and URLs name so.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Audio, Self::Video360, Self::Source].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Gives the name in documents and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video360 => "video-360",
            Self::Source => "source",
        }
    }
}

/// A quality of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierName {
    /// The track `source`.
    Source,
    /// The tracks `audio` and `video-360`.
    T1,
    /// The track `audio`.
    Audio,
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
    /// `ready`: all of it is here; `ready_at`: `tier` is here.
    pub state: ReadinessState,
    /// The best tier that is wholly here.
    pub tier: Option<TierName>,
    /// Why it is not ready.
    pub reason: Option<NotReady>,
}

/// See [`Readiness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessState {
    /// Every track is here.
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
}

/// Gives the tiers that a lesson with these tracks has, the best first. A lesson without sound,
/// or without a picture, has tiers without it.
pub(super) fn tiers(tracks: &[Track]) -> Vec<Tier> {
    use TrackKind::{Audio, Source, Video360};
    let needs: [(TierName, &[TrackKind], TrackKind); 3] = [
        (TierName::Source, &[Source], Source),
        (TierName::T1, &[Audio, Video360], Video360),
        (TierName::Audio, &[Audio], Audio),
    ];
    let has = |kind| tracks.iter().any(|track| track.kind == kind);
    let offered = needs.into_iter().filter(|(_, _, essential)| has(*essential));
    offered
        .map(|(name, kinds, _)| {
            let mut needed = tracks.iter().filter(|track| kinds.contains(&track.kind));
            Tier {
                name,
                is_complete: needed.clone().all(|track| track.is_complete),
                is_playable: needed.all(|track| track.verified_pieces > 1),
            }
        })
        .collect()
}

/// Says whether a lesson with these tracks can be taught.
pub(super) fn readiness(tracks: &[Track], status: Status) -> Readiness {
    let tier = tiers(tracks).into_iter().find(|tier| tier.is_complete).map(|tier| tier.name);
    let not_ready =
        |reason| Readiness { state: ReadinessState::NotReady, tier: None, reason: Some(reason) };
    match (status, tier) {
        (Status::Importing, _) => not_ready(NotReady::Importing),
        (Status::Failed, _) => not_ready(NotReady::ImportFailed),
        (Status::Ready, tier) => Readiness { state: ReadinessState::Ready, tier, reason: None },
        (_, None) => not_ready(NotReady::NotArrived),
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

    fn at(audio: i64, video: i64, source: i64, status: Status) -> Readiness {
        let tracks = [
            track(TrackKind::Audio, audio),
            track(TrackKind::Video360, video),
            track(TrackKind::Source, source),
        ];
        readiness(&tracks, status)
    }

    #[test]
    fn a_lesson_is_ready_at_the_best_tier_that_is_wholly_here() {
        let ready_at = |tier| (ReadinessState::ReadyAt, Some(tier));
        let seen = |r: Readiness| (r.state, r.tier);
        assert_eq!(seen(at(3, 2, 2, Status::Receiving)), ready_at(TierName::Audio));
        assert_eq!(seen(at(3, 3, 2, Status::Receiving)), ready_at(TierName::T1));
        assert_eq!(seen(at(2, 3, 3, Status::Receiving)), ready_at(TierName::Source));
        assert_eq!(at(2, 3, 2, Status::Receiving).reason, Some(NotReady::NotArrived));
        assert_eq!(
            seen(at(3, 3, 3, Status::Ready)),
            (ReadinessState::Ready, Some(TierName::Source))
        );
    }

    #[test]
    fn a_tier_can_be_tried_once_the_beginning_of_its_tracks_is_here() {
        let tiers = tiers(&[track(TrackKind::Audio, 3), track(TrackKind::Video360, 1)]);
        let shown: Vec<_> = tiers.iter().map(|t| (t.name, t.is_playable, t.is_complete)).collect();
        assert_eq!(shown, [(TierName::T1, false, false), (TierName::Audio, true, true)]);
    }
}
