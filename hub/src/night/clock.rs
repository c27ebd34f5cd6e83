//! Whether the wall clock can be believed. It is only shown and compared with deadlines; nothing
//! is accepted or refused by it, and where it is doubtful no window closes.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::{Connection, Transaction, params};
use yingxue_sync_core::event::ContactView;
use yingxue_sync_core::id::HubId;

use crate::accounts::Admin;
use crate::app::{App, now_ms};
use crate::problem::{ApiError, Problem};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How often the time is kept; a hub that starts knows that it is later.
pub const KEEP_EVERY_MS: i64 = 10 * 60_000;
/// A doubtful clock that has run on for so long without a jump is believed: whoever set it has had
/// a day to set it again.
const STEADY_MS: i64 = DAY_MS;
/// A hub alone says nothing: its clock may be the one that is wrong.
const WITNESSES_MIN: usize = 2;
/// Before this program was written: a machine whose clock has no battery.
pub const WRITTEN_MS: i64 = 1_790_000_000_000;

/// What the clock did while the hub ran.
#[derive(Debug, Default)]
pub struct Clock {
    last_ms: Option<i64>,
    jumped_ms: i64,
    steady_ms: i64,
    is_said_right: bool,
    is_doubtful: bool,
}

/// What is kept of the clock over restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// The newest time that was believed; milliseconds since 1970.
    pub seen_at_ms: i64,
    /// How long the hub has run since the doubt began; 0 if there is none.
    pub steady_ms: i64,
    /// The time when that was noted; milliseconds since 1970.
    pub steady_at_ms: i64,
}

impl Clock {
    /// Says whether the wall clock is doubtful: it is from before this program; or at least two
    /// hubs in contact, and more than say the same as this one, agree on another day; or it jumped
    /// by more than a day or stands before a time that it has shown, and neither another hub has
    /// said the same since nor has it run on steadily for a day.
    ///
    /// `elapsed_ms` has gone by since the last look, by a clock that does not jump.
    pub fn look(
        &mut self,
        now_ms: i64,
        elapsed_ms: u64,
        kept: &Kept,
        contacts: &[ContactView],
    ) -> bool {
        self.run_on(now_ms, i64::try_from(elapsed_ms).unwrap_or(i64::MAX), kept);
        let has_jumped = self.jumped_ms.saturating_abs() > DAY_MS;
        let is_odd = has_jumped || now_ms < kept.seen_at_ms.saturating_sub(DAY_MS);
        if !is_odd {
            self.steady_ms = 0;
        }
        let (agreeing, differing) = witnesses(contacts);
        let is_settled = self.is_said_right
            || self.steady_ms >= STEADY_MS
            || (agreeing > 0 && agreeing >= differing);
        if is_settled {
            self.jumped_ms = 0;
        }
        let is_contradicted =
            differing >= WITNESSES_MIN && differing > agreeing && !self.is_said_right;
        self.is_doubtful = now_ms < WRITTEN_MS || is_contradicted || (is_odd && !is_settled);
        self.is_doubtful
    }

    fn run_on(&mut self, now_ms: i64, elapsed_ms: i64, kept: &Kept) {
        let Some(last_ms) = self.last_ms.replace(now_ms) else {
            // One that went back while the machine was off is not steady.
            self.steady_ms = if now_ms >= kept.steady_at_ms { kept.steady_ms } else { 0 };
            return;
        };
        let jump_ms = now_ms.saturating_sub(last_ms).saturating_sub(elapsed_ms);
        let is_steady = jump_ms.saturating_abs() <= HOUR_MS;
        self.steady_ms = if is_steady { self.steady_ms.saturating_add(elapsed_ms) } else { 0 };
        // Small ones add up to nothing, and one out of an impossible time is none: that is how a
        // clock is set right.
        if jump_ms.saturating_abs() > DAY_MS && last_ms >= WRITTEN_MS {
            self.jumped_ms = self.jumped_ms.saturating_add(jump_ms);
            self.is_said_right = false;
        }
    }

    /// Believes the clock as it is now until it jumps: a person has looked at it.
    pub fn believe(&mut self) {
        self.is_said_right = true;
    }

    /// Gives what is to be kept after a look, if anything is.
    pub fn to_keep(&self, now_ms: i64, kept: &Kept) -> Option<Kept> {
        let is_old =
            |one: i64, other: i64| one.saturating_sub(other).saturating_abs() >= KEEP_EVERY_MS;
        if self.is_doubtful {
            let steady = Kept { steady_ms: self.steady_ms, steady_at_ms: now_ms, ..*kept };
            return is_old(self.steady_ms, kept.steady_ms).then_some(steady);
        }
        let is_due = is_old(now_ms, kept.seen_at_ms) || kept.steady_ms > 0;
        is_due.then_some(Kept { seen_at_ms: now_ms, ..Kept::default() })
    }
}

/// Gives how many other hubs say the same day as this one, and how many agree on another.
fn witnesses(contacts: &[ContactView]) -> (usize, usize) {
    let told: BTreeMap<HubId, i64> =
        contacts.iter().filter_map(|it| Some((it.hub, it.clock_ahead_ms?))).collect();
    let (agreeing, mut differing): (Vec<i64>, Vec<i64>) =
        told.into_values().partition(|ahead| ahead.saturating_abs() <= DAY_MS);
    differing.sort_unstable();
    let of_one_day = |(place, first): (usize, &i64)| {
        differing[place..].partition_point(|ahead| ahead.saturating_sub(*first) <= DAY_MS)
    };
    (agreeing.len(), differing.iter().enumerate().map(of_one_day).max().unwrap_or(0))
}

impl Kept {
    /// Reads what was kept last.
    ///
    /// # Errors
    /// If the database fails.
    pub fn load(db: &Connection) -> rusqlite::Result<Self> {
        const LOAD: &str = "select seen_at_ms, steady_ms, steady_at_ms from night_state";
        db.prepare_cached(LOAD)?.query_row([], |row| {
            Ok(Self { seen_at_ms: row.get(0)?, steady_ms: row.get(1)?, steady_at_ms: row.get(2)? })
        })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn store(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        const STORE: &str =
            "update night_state set seen_at_ms = ?1, steady_ms = ?2, steady_at_ms = ?3";
        let row = params![self.seen_at_ms, self.steady_ms, self.steady_at_ms];
        tx.prepare_cached(STORE)?.execute(row).map(drop)
    }
}

/// Says that the date and time of this hub are right: somebody has looked at them.
#[utoipa::path(post, path = "/night/clock/right", tag = "night", responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 409, body = Problem),
))]
pub async fn say_right(State(app): State<App>, _: Admin) -> Result<StatusCode, ApiError> {
    let seen_at_ms = now_ms();
    if seen_at_ms < WRITTEN_MS {
        return Err(ApiError::conflict("This time is over; set the machine's clock first."));
    }
    app.db.write(move |tx| Kept { seen_at_ms, ..Kept::default() }.store(tx)).await?;
    app.sync.news().policy().say_clock_right();
    super::changed(&app);
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use yingxue_sync_core::id::ContactId;

    use super::*;

    const NOW: i64 = 1_795_363_200_000;
    const MINUTE: u64 = 60_000;
    const TEN_YEARS_MS: i64 = 3_650 * DAY_MS;

    fn contact(n: u8, clock_ahead_ms: Option<i64>) -> ContactView {
        ContactView {
            contact: ContactId(u64::from(n)),
            hub: HubId([n; 32]),
            address: String::new(),
            age_ms: 0,
            received_bytes: 0,
            sent_bytes: 0,
            receive_bytes_per_s: 0,
            send_bytes_per_s: 0,
            rtt_ms: None,
            waiting_envelopes: 0,
            queued_bytes: 0,
            asked_bytes: 0,
            clock_ahead_ms,
        }
    }

    fn seen(seen_at_ms: i64) -> Kept {
        Kept { seen_at_ms, ..Kept::default() }
    }

    /// A hub and what it keeps, looked at every ten minutes while it runs.
    #[derive(Default)]
    struct Machine {
        clock: Clock,
        kept: Kept,
        now_ms: i64,
    }

    impl Machine {
        /// Runs for some hours; gives how many of them it was in doubt.
        fn run(&mut self, hours: u64) -> u64 {
            let mut doubtful = 0;
            for _ in 0..hours * 6 {
                self.now_ms += 10 * MINUTE as i64;
                doubtful += u64::from(self.look(10 * MINUTE));
            }
            doubtful / 6
        }

        fn look(&mut self, elapsed_ms: u64) -> bool {
            let is_doubtful = self.clock.look(self.now_ms, elapsed_ms, &self.kept, &[]);
            self.kept = self.clock.to_keep(self.now_ms, &self.kept).unwrap_or(self.kept);
            is_doubtful
        }

        fn start_again(&mut self, now_ms: i64) -> bool {
            (self.clock, self.now_ms) = (Clock::default(), now_ms);
            self.look(0)
        }
    }

    #[test]
    fn a_jump_is_doubted_until_it_is_undone_and_a_correction_of_hours_is_not() {
        let mut clock = Clock::default();
        let mut look = |now_ms, elapsed_ms| clock.look(now_ms, elapsed_ms, &seen(0), &[]);
        assert!(!look(NOW, 0));
        assert!(!look(NOW + DAY_MS / 2, MINUTE));
        assert!(look(NOW + TEN_YEARS_MS, MINUTE));
        assert!(look(NOW + TEN_YEARS_MS + 60_000, MINUTE));
        assert!(!look(NOW + 120_000, MINUTE));
    }

    #[test]
    fn a_hub_that_starts_before_a_time_that_it_has_seen_doubts() {
        let look = |now, kept| Clock::default().look(now, 0, &kept, &[]);
        assert!(look(NOW, seen(NOW + 2 * DAY_MS)));
        assert!(!look(NOW, seen(NOW - 400 * DAY_MS)));
        assert!(look(0, seen(0)));
        let mut clock = Clock::default();
        assert!(clock.look(60_000, 0, &seen(0), &[contact(1, Some(0))]), "both have no battery");
        assert!(!clock.look(NOW, MINUTE, &seen(0), &[]), "it was set right");
    }

    #[test]
    fn a_school_without_contacts_believes_its_clock_again_after_a_day_of_running() {
        let mut hub = Machine::default();
        assert!(!hub.start_again(NOW + TEN_YEARS_MS), "nothing says that it is ahead");
        assert!(hub.start_again(NOW), "it was set right while the hub was off");
        assert_eq!(hub.run(9), 9);
        // The hub is off at night. What was not kept of the last minutes counts again.
        assert!(hub.start_again(NOW + DAY_MS));
        assert_eq!(hub.run(9), 9);
        hub.start_again(NOW + 2 * DAY_MS);
        assert_eq!(hub.run(9), 5);
        assert!(!hub.start_again(NOW + 3 * DAY_MS));
        assert_eq!(hub.kept, seen(NOW + 3 * DAY_MS));
    }

    #[test]
    fn a_clock_that_goes_back_at_each_start_or_jumps_is_not_steady() {
        let mut hub = Machine::default();
        hub.start_again(NOW + TEN_YEARS_MS);
        for _ in 0..5 {
            assert!(hub.start_again(NOW));
            assert_eq!(hub.run(9), 9, "one without a battery");
        }
        hub.start_again(NOW + DAY_MS);
        assert_eq!(hub.run(9), 9);
        hub.now_ms += 2 * HOUR_MS;
        assert_eq!(hub.run(24), 24);
        assert_eq!(hub.run(1), 0);
    }

    #[test]
    fn one_other_hub_confirms_a_clock_and_it_takes_two_that_agree_to_doubt_it() {
        let (right, wrong) = (Some(3_000), Some(-2 * DAY_MS));
        let all = |told: &[Option<i64>]| {
            let contacts: Vec<_> = (1..).zip(told).map(|(n, ahead)| contact(n, *ahead)).collect();
            Clock::default().look(NOW, 0, &seen(0), &contacts)
        };
        assert!(!all(&[wrong]) && !all(&[wrong, right]) && !all(&[None]));
        assert!(all(&[wrong, wrong]) && all(&[wrong, wrong, right]));
        assert!(!all(&[wrong, wrong, right, right]));
        assert!(!all(&[wrong, Some(90 * DAY_MS)]), "they do not agree");
        assert!(all(&[wrong, Some(90 * DAY_MS), Some(90 * DAY_MS + HOUR_MS)]));
        let one_hub_twice = [contact(1, wrong), contact(1, wrong)];
        assert!(!Clock::default().look(NOW, 0, &seen(0), &one_hub_twice));
        for (other, is_doubtful) in [(right, false), (wrong, true)] {
            let mut jumped = Clock::default();
            jumped.look(NOW, 0, &seen(0), &[]);
            let contacts = [contact(1, other)];
            assert_eq!(jumped.look(NOW + 9 * DAY_MS, MINUTE, &seen(0), &contacts), is_doubtful);
        }
        let own = Clock::default().look(NOW, 0, &seen(NOW + 2 * DAY_MS), &[contact(1, wrong)]);
        assert!(own, "it went back, and nobody says that this is right");
    }

    #[test]
    fn whoever_looks_after_the_hub_is_believed_until_the_clock_jumps() {
        let contacts = [contact(1, Some(9 * DAY_MS)), contact(2, Some(9 * DAY_MS))];
        let mut clock = Clock::default();
        assert!(clock.look(NOW, 0, &seen(0), &contacts));
        clock.believe();
        assert!(!clock.look(NOW + 60_000, MINUTE, &seen(0), &contacts));
        assert!(clock.look(NOW + 3 * DAY_MS, MINUTE, &seen(0), &contacts));
    }
}
