//! Whether a lesson of the timetable can be taught from this disk, and if not, why and what next.
//!
//! A pure function of the timetable's entry and of pieces that are verified on this disk. What
//! the plan believes is shown beside it and never makes a light green.

use serde::Serialize;
use yingxue_sync_core::plan::Why;

use super::lesson::{HeldLesson, HeldTrack, Stage};
use crate::catalog::readiness::{ReadinessState, TierName};

/// From so likely on, in percent, nobody has to do anything but wait.
const SURE_ENOUGH_PERCENT: u8 = 80;

/// Whether an entry of the timetable can be taught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EntryReadiness {
    /// `ready`: the preferred tier is here, or the best that the lesson has below it; `ready_at`:
    /// `tier` is here.
    pub state: ReadinessState,
    /// The best tier that is wholly here.
    pub tier: Option<TierName>,
    /// The tier that is wanted.
    pub preferred_tier: TierName,
    /// Why it is not `ready`.
    pub reason: Option<Reason>,
    /// What somebody should do.
    pub next_step: NextStep,
    /// When what is missing is expected.
    pub forecast: Option<EntryForecast>,
    /// Of what the preferred tier needs, verified on this disk.
    pub verified_bytes: u64,
    /// Of what the preferred tier needs.
    pub total_bytes: u64,
    /// When all that makes the light was compared with its hashes last; unix milliseconds.
    pub checked_at: Option<i64>,
    /// True if it is being read off the disk just now, for somebody who looks: no light is shown
    /// as green before that is done.
    pub is_checking: bool,
}

impl EntryReadiness {
    /// Turns the light off: the disk does not give the bytes that make it.
    pub(super) fn fail(&mut self) {
        self.state = ReadinessState::NotReady;
        self.tier = None;
        self.reason = Some(Reason::DiskFails);
        self.next_step = NextStep::CheckDisk;
    }
}

/// Why an entry is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A part of it has not arrived.
    NotArrived,
    /// This school's hub makes its tracks.
    Importing,
    /// Its tracks could not be made.
    ImportFailed,
    /// Nobody has said which lesson.
    NoLesson,
    /// A part of it was damaged on this disk, and is fetched again.
    Damaged,
    /// Its school has taken it back.
    Deleted,
    /// This disk has no room for it.
    DiskFull,
    /// No hub that has it is in contact.
    NoContact,
    /// This disk does not give what it holds of it.
    DiskFails,
}

/// What somebody should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// Nothing: it is ready.
    None,
    /// Nothing: it will be here.
    Wait,
    /// Choose a lesson in the timetable.
    ChooseLesson,
    /// Have it brought on a stick.
    Courier,
    /// Make room on the disk.
    MakeRoom,
    /// See why this hub reaches no other.
    Reconnect,
    /// Ask the school that has made it.
    AskLead,
    /// See what is wrong with the disk, or put another one in.
    CheckDisk,
}

/// When something is expected to be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EntryForecast {
    /// Unix milliseconds; none if not within the week.
    pub complete_at: Option<i64>,
    /// How likely it is in time, 0 to 100; from what this link carried on past days.
    pub probability_percent: u8,
    /// Of which tier.
    pub tier: TierName,
    /// What the time depends on.
    #[serde(skip)]
    pub why: Why,
}

impl EntryForecast {
    /// Says whether it is likely enough that nobody has to do anything.
    pub fn is_likely(&self) -> bool {
        self.probability_percent >= SURE_ENOUGH_PERCENT
    }
}

/// Gives a probability in percent; only what is here is certain.
pub fn percent(probability: f64) -> u8 {
    let percent = (probability * 100.0).round().clamp(0.0, 100.0) as u8;
    if probability < 1.0 { percent.min(99) } else { percent }
}

/// What else is known when a light is lit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    /// The plan's forecast of what is missing.
    pub forecast: Option<EntryForecast>,
    /// True if the disk has no room for a track of it.
    pub is_stalled: bool,
    /// True if this hub is in contact with any other.
    pub has_contact: bool,
}

/// Says whether an entry can be taught.
pub fn of(lesson: Option<&HeldLesson>, preferred: TierName, around: &Around) -> EntryReadiness {
    let Some(lesson) = lesson else {
        return not_ready(preferred, Reason::NoLesson, NextStep::ChooseLesson);
    };
    match lesson.stage {
        Stage::Deleted => return not_ready(preferred, Reason::Deleted, NextStep::AskLead),
        Stage::Importing => return not_ready(preferred, Reason::Importing, NextStep::Wait),
        Stage::Failed => return not_ready(preferred, Reason::ImportFailed, NextStep::ChooseLesson),
        Stage::Published => {}
    }
    let Some(target) = lesson.target(preferred) else {
        return not_ready(preferred, Reason::NotArrived, NextStep::AskLead);
    };
    let tier = lesson.best_held();
    let state = match tier {
        Some(held) if rank(held) <= rank(target) => ReadinessState::Ready,
        Some(_) => ReadinessState::ReadyAt,
        None => ReadinessState::NotReady,
    };
    let is_ready = state == ReadinessState::Ready;
    let shown = if is_ready { tier.unwrap_or(target) } else { target };
    let missing = |tier| lesson.needed(tier).filter(|track| !track.is_complete);
    let wanted = if state == ReadinessState::NotReady { lesson.floor() } else { None };
    let reason = reason(missing(wanted.unwrap_or(target)), around);
    let sum = |of: fn(&HeldTrack) -> u64| lesson.needed(shown).map(of).sum();
    EntryReadiness {
        state,
        tier,
        preferred_tier: preferred,
        reason: (!is_ready).then_some(reason),
        next_step: next_step(state, reason, around),
        forecast: around.forecast.filter(|_| !is_ready),
        verified_bytes: sum(|track| track.verified_bytes),
        total_bytes: sum(|track| track.total_bytes),
        checked_at: lesson.lit_tier(preferred).and_then(|tier| checked_at(lesson, tier)),
        is_checking: false,
    }
}

fn not_ready(preferred: TierName, reason: Reason, next_step: NextStep) -> EntryReadiness {
    EntryReadiness {
        state: ReadinessState::NotReady,
        tier: None,
        preferred_tier: preferred,
        reason: Some(reason),
        next_step,
        forecast: None,
        verified_bytes: 0,
        total_bytes: 0,
        checked_at: None,
        is_checking: false,
    }
}

/// Gives a tier's place, the best first.
pub(super) fn rank(tier: TierName) -> usize {
    TierName::ALL.iter().position(|known| *known == tier).unwrap_or(TierName::ALL.len())
}

fn reason<'a>(mut missing: impl Iterator<Item = &'a HeldTrack>, around: &Around) -> Reason {
    if missing.any(|track| track.is_damaged) {
        Reason::Damaged
    } else if around.is_stalled {
        Reason::DiskFull
    } else if !around.has_contact {
        Reason::NoContact
    } else {
        Reason::NotArrived
    }
}

fn next_step(state: ReadinessState, reason: Reason, around: &Around) -> NextStep {
    let forecast = around.forecast;
    let is_likely = forecast.is_some_and(|forecast| forecast.is_likely());
    match (state, reason) {
        (ReadinessState::Ready, _) => NextStep::None,
        (_, Reason::DiskFull) => NextStep::MakeRoom,
        (_, Reason::NoContact) if !is_likely => NextStep::Reconnect,
        _ if forecast.is_some_and(|forecast| forecast.why == Why::NoHolder) => NextStep::AskLead,
        // A class can be taught as it is; nobody has to walk for a better picture.
        (ReadinessState::ReadyAt, _) => NextStep::Wait,
        _ if is_likely => NextStep::Wait,
        _ => NextStep::Courier,
    }
}

fn checked_at(lesson: &HeldLesson, tier: TierName) -> Option<i64> {
    lesson.needed(tier).map(|track| track.checked_at_ms).min().flatten()
}

#[cfg(test)]
mod tests {
    use TierName::{Source, T0, T1, T2};
    use yingxue_sync_core::id::{BlobId, DocId, HubId};

    use super::*;
    use crate::catalog::readiness::TrackKind::{self, Audio, Slides, Video360, Video480};

    fn track(kind: TrackKind, held: u64) -> HeldTrack {
        HeldTrack {
            kind: Some(kind),
            blob: BlobId([1; 32]),
            total_bytes: 3,
            verified_bytes: held,
            is_complete: held == 3,
            checked_at_ms: Some(5),
            is_damaged: false,
        }
    }

    fn lesson(held: [u64; 4]) -> HeldLesson {
        let kinds = [Audio, Slides, Video360, Video480];
        HeldLesson {
            lesson: DocId([1; 16]),
            title: String::new(),
            school: String::new(),
            school_hub: HubId([1; 32]),
            stage: Stage::Published,
            tracks: kinds.into_iter().zip(held).map(|(kind, held)| track(kind, held)).collect(),
        }
    }

    const AROUND: Around = Around { forecast: None, is_stalled: false, has_contact: true };

    fn light(held: [u64; 4], preferred: TierName) -> (ReadinessState, Option<TierName>) {
        let light = of(Some(&lesson(held)), preferred, &AROUND);
        (light.state, light.tier)
    }

    #[test]
    fn the_light_is_green_only_for_the_preferred_tier_or_the_best_below_that_there_is() {
        use ReadinessState::{NotReady, Ready, ReadyAt};
        assert_eq!(light([3, 3, 3, 3], T2), (Ready, Some(T2)));
        assert_eq!(light([3, 3, 3, 2], T2), (ReadyAt, Some(T1)));
        assert_eq!(light([3, 3, 2, 2], T2), (ReadyAt, Some(T0)));
        assert_eq!(light([3, 3, 2, 2], T0), (Ready, Some(T0)));
        assert_eq!(light([3, 2, 3, 3], T0), (NotReady, None));
        assert_eq!(light([3, 3, 2, 3], T1), (Ready, Some(T2)));
        assert_eq!(light([3, 3, 3, 0], Source), (ReadyAt, Some(T1)));
        let mut no_480 = lesson([3, 3, 3, 3]);
        no_480.tracks.pop();
        assert_eq!(of(Some(&no_480), T2, &AROUND).state, Ready);
        let only_source = HeldLesson { tracks: vec![track(TrackKind::Source, 3)], ..no_480 };
        assert_eq!(of(Some(&only_source), T1, &AROUND).tier, Some(Source));
    }

    #[test]
    fn what_is_not_a_lesson_here_is_never_green_whatever_pieces_there_are() {
        let mut whole = lesson([3, 3, 3, 3]);
        assert_eq!(of(None, T1, &AROUND).next_step, NextStep::ChooseLesson);
        for stage in [Stage::Deleted, Stage::Importing, Stage::Failed] {
            whole.stage = stage;
            assert_eq!(of(Some(&whole), T1, &AROUND).state, ReadinessState::NotReady);
        }
        (whole.stage, whole.tracks) = (Stage::Published, vec![]);
        assert_eq!(of(Some(&whole), T1, &AROUND).state, ReadinessState::NotReady);
    }

    #[test]
    fn each_reason_has_its_next_step() {
        let forecast = |probability_percent, why| {
            Some(EntryForecast { complete_at: None, probability_percent, tier: T0, why })
        };
        let step = |held, around: Around| {
            let light = of(Some(&lesson(held)), T1, &around);
            (light.reason, light.next_step)
        };
        let none = [0, 3, 3, 3];
        let likely = Around { forecast: forecast(90, Why::Next), ..AROUND };
        let unlikely = Around { forecast: forecast(20, Why::TooMuch), ..AROUND };
        let nobody = Around { forecast: forecast(0, Why::NoHolder), ..AROUND };
        assert_eq!(step(none, likely), (Some(Reason::NotArrived), NextStep::Wait));
        assert_eq!(step(none, unlikely), (Some(Reason::NotArrived), NextStep::Courier));
        assert_eq!(step(none, nobody), (Some(Reason::NotArrived), NextStep::AskLead));
        let full = Around { is_stalled: true, ..likely };
        assert_eq!(step(none, full), (Some(Reason::DiskFull), NextStep::MakeRoom));
        let cut_off = Around { has_contact: false, ..unlikely };
        assert_eq!(step(none, cut_off), (Some(Reason::NoContact), NextStep::Reconnect));
        assert_eq!(step([3, 3, 0, 3], unlikely).1, NextStep::None, "T2 is better than T1");
        assert_eq!(step([3, 3, 0, 0], unlikely), (Some(Reason::NotArrived), NextStep::Wait));
        let mut damaged = lesson(none);
        damaged.tracks[0].is_damaged = true;
        assert_eq!(of(Some(&damaged), T1, &likely).reason, Some(Reason::Damaged));
    }

    #[test]
    fn the_light_is_as_old_as_the_oldest_check_of_what_makes_it() {
        let mut whole = lesson([3, 3, 3, 0]);
        whole.tracks[1].checked_at_ms = Some(4);
        whole.tracks[3].checked_at_ms = Some(1);
        assert_eq!(of(Some(&whole), T1, &AROUND).checked_at, Some(4));
        whole.tracks[0].checked_at_ms = None;
        assert_eq!(of(Some(&whole), T1, &AROUND).checked_at, None);
    }
}
