//! Whether a lesson of the timetable can be taught here, as far as this disk says.

use rusqlite::Connection;
use serde::Serialize;
use yingxue_sync_core::id::HubId;

use super::day::DayEntry;
use crate::catalog::query::{self, Status};
use crate::catalog::readiness::{NotReady, ReadinessState, TierName};

/// Whether a lesson of the timetable can be taught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EntryReadiness {
    /// `ready`: at the preferred quality, or all there is; `ready_at`: `tier` is here.
    pub state: ReadinessState,
    /// The best quality that is wholly here.
    pub tier: Option<TierName>,
    /// The quality that is wanted.
    pub preferred_tier: TierName,
    /// Why it is not ready.
    pub reason: Option<Reason>,
    /// What somebody should do.
    pub next_step: NextStep,
    /// When it will be complete.
    pub forecast: Option<Forecast>,
    /// Verified on this disk, of all tracks.
    pub verified_bytes: i64,
    /// Of all tracks.
    pub total_bytes: i64,
    /// When its bytes were last read again; unix milliseconds.
    pub checked_at: Option<i64>,
}

/// Why a lesson of the timetable is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing that suffices has arrived.
    NotArrived,
    /// This school's hub makes it.
    Importing,
    /// It could not be made.
    ImportFailed,
    /// Nobody has said which lesson it is.
    NoLesson,
    /// Bytes of it were lost here.
    Damaged,
    /// Its school has deleted it.
    Deleted,
    /// There is no room for it.
    DiskFull,
    /// No hub that has it can be reached.
    NoContact,
}

/// What somebody should do about a lesson that is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// Nothing.
    None,
    /// It comes by itself.
    Wait,
    /// Say which lesson it is.
    ChooseLesson,
    /// Fetch it with a stick.
    Courier,
    /// Free some of the disk.
    MakeRoom,
    /// See to the link.
    Reconnect,
    /// Ask the school that offers it.
    AskLead,
}

/// When a lesson will be complete.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Forecast {
    /// Unix milliseconds; none if it is not foreseen.
    pub complete_at: Option<i64>,
    /// How sure that is, in hundredths, 0 to 100.
    pub probability_percent: u8,
    /// Of which quality.
    pub tier: TierName,
}

impl Eq for Forecast {}

/// Says whether a lesson of a day can be taught; none for a lesson of the own teacher alone.
///
/// # Errors
/// If the database fails.
pub fn entry_readiness(
    db: &Connection,
    hub: &HubId,
    entry: &DayEntry,
) -> rusqlite::Result<Option<EntryReadiness>> {
    if !entry.mode.is_remote() {
        return Ok(None);
    }
    let not_ready = |reason, next_step| EntryReadiness {
        state: ReadinessState::NotReady,
        tier: None,
        preferred_tier: entry.preferred,
        reason: Some(reason),
        next_step,
        forecast: None,
        verified_bytes: 0,
        total_bytes: 0,
        checked_at: None,
    };
    let Some(lesson) = entry.lesson else {
        let is_planned = entry.planned.is_some();
        let step = if is_planned { NextStep::AskLead } else { NextStep::ChooseLesson };
        return Ok(Some(not_ready(Reason::NoLesson, step)));
    };
    let Some(detail) = query::detail(db, &lesson, hub, true)? else {
        return Ok(Some(not_ready(Reason::NotArrived, NextStep::Wait)));
    };
    let known = detail.lesson.readiness;
    let (state, reason, next_step) = match (known.reason, known.tier) {
        (Some(NotReady::Importing), _) => {
            (ReadinessState::NotReady, Some(Reason::Importing), NextStep::Wait)
        }
        (Some(NotReady::ImportFailed), _) => {
            (ReadinessState::NotReady, Some(Reason::ImportFailed), NextStep::AskLead)
        }
        (Some(NotReady::NotArrived), _) | (None, None) => {
            (ReadinessState::NotReady, Some(Reason::NotArrived), NextStep::Wait)
        }
        (None, Some(tier)) => {
            let is_enough =
                detail.lesson.status == Status::Ready || rank(tier) <= rank(entry.preferred);
            let state = if is_enough { ReadinessState::Ready } else { ReadinessState::ReadyAt };
            (state, None, NextStep::None)
        }
    };
    let is_deleted = entry.notice == Some(super::Notice::LessonDeleted);
    let is_gone = is_deleted && state == ReadinessState::NotReady;
    Ok(Some(EntryReadiness {
        state,
        tier: known.tier,
        preferred_tier: entry.preferred,
        reason: if is_gone { Some(Reason::Deleted) } else { reason },
        next_step: if is_gone { NextStep::AskLead } else { next_step },
        forecast: None,
        verified_bytes: detail.lesson.verified_bytes,
        total_bytes: detail.lesson.total_bytes,
        checked_at: None,
    }))
}

/// Gives a quality's place, the best one 0.
fn rank(tier: TierName) -> usize {
    TierName::ALL.iter().position(|known| *known == tier).unwrap_or(TierName::ALL.len())
}
