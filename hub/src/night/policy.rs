//! What may be fetched now: the window, classes, budgets, and what people have asked for.

use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};
use serde::Serialize;
use yingxue_sync_core::plan::Window;

use super::tonight::Tonight;
use crate::config::{ByDay, NightConfig, StorageConfig};
use crate::playing::Played;

const MINUTE_MS: i64 = 60_000;
/// Longest pause: whoever has forgotten it finds the lessons there the day after.
pub const PAUSE_MS_MAX: i64 = 24 * 60 * MINUTE_MS;
/// How long "now" lasts: a night.
pub const HURRY_MS: i64 = 8 * 60 * MINUTE_MS;
/// What is assumed of the time outside the window where classes come first: they take half.
const IDLE_SHARE: f64 = 0.5;

/// Where the night's rules and its newest plan are kept between requests.
pub struct Policy {
    /// As configured.
    pub config: NightConfig,
    /// As configured, of the disk.
    pub storage: StorageConfig,
    /// Minutes that the school's clocks are ahead of UTC.
    pub utc_offset_min: i32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    is_class_on: bool,
    played: Vec<Played>,
    is_clock_doubtful: bool,
    is_clock_said_right: bool,
    is_full: bool,
    tonight: Arc<Tonight>,
}

/// What people asked of the night.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Nothing is fetched before, milliseconds since 1970; 0 for no pause.
    pub paused_until_ms: i64,
    /// Windows and classes do not matter before; 0 for never.
    pub hurry_until_ms: i64,
}

/// What of the plan may be fetched now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// Everything.
    Open,
    /// What is needed before the window opens; it is closed.
    Window,
    /// What is needed before the window opens; a class is on.
    Class,
    /// Nothing: somebody has paused it.
    Paused,
    /// Nothing: the budget of the day is spent.
    Budget,
}

impl Policy {
    /// Starts with no plan, and with a disk as by default.
    pub fn new(config: NightConfig, utc_offset_min: i32) -> Self {
        let storage = StorageConfig::default();
        Self { config, storage, utc_offset_min, inner: Mutex::default() }
    }

    /// With a disk as configured.
    #[must_use]
    pub fn with_storage(self, storage: StorageConfig) -> Self {
        Self { storage, ..self }
    }

    /// Keeps the newest plan.
    pub fn set_tonight(&self, tonight: Arc<Tonight>) {
        self.inner.lock().expect("never held over a panic").tonight = tonight;
    }

    /// Gives the newest plan.
    pub fn tonight(&self) -> Arc<Tonight> {
        Arc::clone(&self.inner.lock().expect("never held over a panic").tonight)
    }

    /// Notes whether the disk has no room for what is wanted, and nothing may be let go; says
    /// whether that has changed.
    pub fn set_full(&self, is_full: bool) -> bool {
        let mut inner = self.inner.lock().expect("never held over a panic");
        std::mem::replace(&mut inner.is_full, is_full) != is_full
    }

    /// Says whether the disk has no room for what is wanted, and nothing may be let go.
    pub fn is_full(&self) -> bool {
        self.inner.lock().expect("never held over a panic").is_full
    }

    /// Notes whether a class is on; says whether that has changed.
    pub fn set_class(&self, is_on: bool) -> bool {
        let mut inner = self.inner.lock().expect("never held over a panic");
        std::mem::replace(&mut inner.is_class_on, is_on) != is_on
    }

    /// Says whether a class is on.
    pub fn is_class_on(&self) -> bool {
        self.inner.lock().expect("never held over a panic").is_class_on
    }

    /// Notes what is being played; says whether that has changed.
    pub fn set_played(&self, played: Vec<Played>) -> bool {
        let mut inner = self.inner.lock().expect("never held over a panic");
        let is_changed = inner.played != played;
        inner.played = played;
        is_changed
    }

    /// Lists what is being played: somebody waits for what is missing of it.
    pub fn played(&self) -> Vec<Played> {
        self.inner.lock().expect("never held over a panic").played.clone()
    }

    /// Notes whether the clock is doubtful; says whether that has changed.
    pub fn set_clock_doubt(&self, is_doubtful: bool) -> bool {
        let mut inner = self.inner.lock().expect("never held over a panic");
        std::mem::replace(&mut inner.is_clock_doubtful, is_doubtful) != is_doubtful
    }

    /// Says whether the clock is doubtful. Then no window closes: it may be any time; and budgets
    /// are counted by the time that the hub runs.
    pub fn is_clock_doubtful(&self) -> bool {
        self.inner.lock().expect("never held over a panic").is_clock_doubtful
    }

    /// Notes that somebody has said that the clock is right.
    pub fn say_clock_right(&self) {
        let mut inner = self.inner.lock().expect("never held over a panic");
        (inner.is_clock_said_right, inner.is_clock_doubtful) = (true, false);
    }

    /// Says, once, whether somebody has said that the clock is right.
    pub fn take_clock_said_right(&self) -> bool {
        let mut inner = self.inner.lock().expect("never held over a panic");
        std::mem::take(&mut inner.is_clock_said_right)
    }

    /// Gives the window as the plan is to believe it.
    pub fn window(&self, now_ms: i64, asked: &Asked) -> Window {
        let outside_share = match self.config.by_day {
            _ if self.is_clock_doubtful() || asked.is_hurry(now_ms) => 1.0,
            ByDay::Always => 1.0,
            ByDay::Idle => IDLE_SHARE,
            ByDay::Never => 0.0,
        };
        let paused_until = if asked.is_paused(now_ms) { asked.paused_until_ms } else { 0 };
        Window {
            from_min: u32::from(self.config.window_from.minutes()),
            to_min: u32::from(self.config.window_to.minutes()),
            outside_share,
            closed_until_wall_ms: u64::try_from(paused_until).unwrap_or(0),
        }
    }

    /// Says whether the window is open.
    pub fn is_window_open(&self, now_ms: i64) -> bool {
        self.window(now_ms, &Asked::default()).is_inside(self.local_minute(now_ms))
    }

    /// Gives the unix milliseconds at which the window opens next; now, if it is open.
    pub fn opens_at_ms(&self, now_ms: i64) -> i64 {
        if self.is_window_open(now_ms) {
            return now_ms;
        }
        let from = i64::from(self.config.window_from.minutes());
        let minutes = (from - i64::from(self.local_minute(now_ms))).rem_euclid(24 * 60);
        now_ms + minutes * MINUTE_MS
    }

    /// Says what may be fetched now; `is_budget_left` says whether the day's bytes are not spent.
    pub fn allowance(&self, now_ms: i64, asked: &Asked, is_budget_left: bool) -> Allowance {
        let is_open = asked.is_hurry(now_ms) || self.is_clock_doubtful();
        if asked.is_paused(now_ms) {
            Allowance::Paused
        } else if !is_budget_left {
            Allowance::Budget
        } else if is_open || self.is_window_open(now_ms) {
            Allowance::Open
        } else {
            match self.config.by_day {
                ByDay::Always => Allowance::Open,
                ByDay::Idle if !self.is_class_on() => Allowance::Open,
                ByDay::Idle => Allowance::Class,
                ByDay::Never => Allowance::Window,
            }
        }
    }

    fn local_minute(&self, now_ms: i64) -> u32 {
        let minute = now_ms.div_euclid(MINUTE_MS) + i64::from(self.utc_offset_min);
        u32::try_from(minute.rem_euclid(24 * 60)).unwrap_or(0)
    }
}

impl Asked {
    /// Reads what people asked.
    ///
    /// # Errors
    /// If the database fails.
    pub fn load(db: &Connection) -> rusqlite::Result<Self> {
        const LOAD: &str = "select paused_until_ms, hurry_until_ms from night_state";
        db.prepare_cached(LOAD)?.query_row([], |row| {
            Ok(Self { paused_until_ms: row.get(0)?, hurry_until_ms: row.get(1)? })
        })
    }

    /// Keeps what people ask.
    ///
    /// # Errors
    /// If the database fails.
    pub fn store(&self, db: &Connection) -> rusqlite::Result<()> {
        const STORE: &str = "update night_state set paused_until_ms = ?1, hurry_until_ms = ?2";
        db.prepare_cached(STORE)?
            .execute(params![self.paused_until_ms, self.hurry_until_ms])
            .map(drop)
    }

    /// Says whether there is a pause. One that is further ahead than pauses can be was begun by
    /// another clock, and does not count.
    pub fn is_paused(&self, now_ms: i64) -> bool {
        (1..=PAUSE_MS_MAX).contains(&(self.paused_until_ms.saturating_sub(now_ms)))
    }

    /// Says whether somebody wants everything now.
    pub fn is_hurry(&self, now_ms: i64) -> bool {
        (1..=HURRY_MS).contains(&(self.hurry_until_ms.saturating_sub(now_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timetable::term::ClockTime;

    /// 2026-11-23 00:00 in China.
    const MIDNIGHT: i64 = 1_795_363_200_000;

    fn at(hour: i64) -> i64 {
        MIDNIGHT + hour * 60 * MINUTE_MS
    }

    fn policy(by_day: ByDay) -> Policy {
        Policy::new(NightConfig { by_day, ..NightConfig::default() }, 480)
    }

    #[test]
    fn outside_the_window_it_depends_on_classes_and_on_what_the_school_has_chosen() {
        let allowed = |by_day, hour, is_class_on| {
            let policy = policy(by_day);
            policy.set_class(is_class_on);
            policy.allowance(at(hour), &Asked::default(), true)
        };
        assert_eq!(allowed(ByDay::Idle, 23, true), Allowance::Open);
        assert_eq!(allowed(ByDay::Idle, 10, false), Allowance::Open);
        assert_eq!(allowed(ByDay::Idle, 10, true), Allowance::Class);
        assert_eq!(allowed(ByDay::Never, 10, false), Allowance::Window);
        assert_eq!(allowed(ByDay::Never, 5, false), Allowance::Open);
        assert_eq!(allowed(ByDay::Always, 10, true), Allowance::Open);
    }

    #[test]
    fn a_pause_and_a_budget_hold_and_hurry_opens_the_window() {
        let policy = policy(ByDay::Never);
        let now = at(10);
        let paused = Asked { paused_until_ms: now + 1, hurry_until_ms: now + 1 };
        assert_eq!(policy.allowance(now, &paused, true), Allowance::Paused);
        assert_eq!(policy.allowance(now + 1, &paused, true), Allowance::Window);
        let hurry = Asked { paused_until_ms: 0, hurry_until_ms: now + HURRY_MS };
        assert_eq!(policy.allowance(now, &hurry, true), Allowance::Open);
        assert_eq!(policy.allowance(now, &hurry, false), Allowance::Budget);
    }

    #[test]
    fn a_clock_that_jumps_neither_pauses_for_years_nor_closes_the_window() {
        let policy = policy(ByDay::Never);
        let paused = Asked { paused_until_ms: at(10) + PAUSE_MS_MAX, hurry_until_ms: 0 };
        let ten_years = 3_650 * 24 * 60 * MINUTE_MS;
        assert_eq!(policy.allowance(at(10) - ten_years, &paused, true), Allowance::Window);
        assert!(policy.set_clock_doubt(true) && !policy.set_clock_doubt(true));
        assert_eq!(policy.allowance(at(10) - ten_years, &paused, true), Allowance::Open);
        assert_eq!(policy.allowance(at(10), &Asked::default(), false), Allowance::Budget);
    }

    #[test]
    fn the_window_opens_next_at_its_time() {
        let policy = policy(ByDay::Never);
        assert_eq!(policy.opens_at_ms(at(10)), at(22));
        assert_eq!(policy.opens_at_ms(at(23)), at(23));
        let config = NightConfig { window_from: ClockTime::of_hour(0), ..NightConfig::default() };
        assert_eq!(Policy::new(config, 480).opens_at_ms(at(10)), at(24));
    }
}
