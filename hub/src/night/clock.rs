//! Whether the wall clock can be believed. It is only shown and compared with deadlines; nothing
//! is accepted or refused by it, and where it is doubtful no window closes.

use rusqlite::{Connection, Transaction};
use yingxue_sync_core::event::ContactView;

const DAY_MS: i64 = 24 * 3_600_000;
/// How often the time is kept; a hub that starts knows that it is later.
const KEEP_EVERY_MS: i64 = 10 * 60_000;
/// Before this program was written: a machine whose clock has no battery.
const WRITTEN_MS: i64 = 1_790_000_000_000;

/// What the clock did while the hub ran.
#[derive(Debug, Default)]
pub struct Clock {
    last_ms: Option<i64>,
    jumped_ms: i64,
}

impl Clock {
    /// Says whether the wall clock is doubtful: it jumped by more than a day, stands before a time
    /// that it has shown, or more than half of the hubs in contact say another day.
    ///
    /// `elapsed_ms` has gone by since the last look, by a clock that does not jump.
    pub fn look(
        &mut self,
        now_ms: i64,
        elapsed_ms: u64,
        seen_at_ms: i64,
        contacts: &[ContactView],
    ) -> bool {
        let elapsed_ms = i64::try_from(elapsed_ms).unwrap_or(i64::MAX);
        if let Some(last_ms) = self.last_ms.replace(now_ms) {
            // Small ones add up to nothing: that is how a clock is set right.
            let jump_ms = now_ms.saturating_sub(last_ms).saturating_sub(elapsed_ms);
            if jump_ms.saturating_abs() > DAY_MS {
                self.jumped_ms = self.jumped_ms.saturating_add(jump_ms);
            }
        }
        let told: Vec<i64> = contacts.iter().filter_map(|contact| contact.clock_ahead_ms).collect();
        let differing = told.iter().filter(|ahead| ahead.saturating_abs() > DAY_MS).count();
        if !told.is_empty() {
            // The others know better than what this clock did before.
            if differing * 2 <= told.len() {
                self.jumped_ms = 0;
            }
            return differing * 2 > told.len();
        }
        self.jumped_ms.saturating_abs() > DAY_MS
            || now_ms < seen_at_ms.saturating_sub(DAY_MS)
            || now_ms < WRITTEN_MS
    }
}

/// Reads the time that was kept last.
///
/// # Errors
/// If the database fails.
pub fn seen_at(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("select seen_at_ms from night_state")?.query_row([], |row| row.get(0))
}

/// Says whether the time is to be kept again.
pub fn is_due(now_ms: i64, seen_at_ms: i64) -> bool {
    now_ms.saturating_sub(seen_at_ms).saturating_abs() >= KEEP_EVERY_MS
}

/// Keeps the time.
///
/// # Errors
/// If the database fails.
pub fn keep(tx: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("update night_state set seen_at_ms = ?1")?.execute([now_ms]).map(drop)
}

#[cfg(test)]
mod tests {
    use yingxue_sync_core::id::{ContactId, HubId};

    use super::*;

    const NOW: i64 = 1_795_363_200_000;
    const MINUTE: u64 = 60_000;

    fn contact(clock_ahead_ms: Option<i64>) -> ContactView {
        ContactView {
            contact: ContactId(1),
            hub: HubId([1; 32]),
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

    #[test]
    fn a_jump_is_doubted_until_it_is_undone_and_a_correction_of_hours_is_not() {
        let mut clock = Clock::default();
        assert!(!clock.look(NOW, 0, 0, &[]));
        assert!(!clock.look(NOW + DAY_MS / 2, MINUTE, 0, &[]));
        let ten_years = 3_650 * DAY_MS;
        assert!(clock.look(NOW + ten_years, MINUTE, 0, &[]));
        assert!(clock.look(NOW + ten_years + 60_000, MINUTE, 0, &[]));
        assert!(!clock.look(NOW + 120_000, MINUTE, 0, &[]));
    }

    #[test]
    fn a_hub_that_starts_before_a_time_that_it_has_seen_doubts() {
        assert!(Clock::default().look(NOW, 0, NOW + 2 * DAY_MS, &[]));
        assert!(!Clock::default().look(NOW, 0, NOW - 400 * DAY_MS, &[]));
        assert!(Clock::default().look(0, 0, 0, &[]));
    }

    #[test]
    fn the_majority_of_those_in_contact_decides() {
        let (right, wrong) = (contact(Some(3_000)), contact(Some(-2 * DAY_MS)));
        let all = |contacts: &[ContactView]| Clock::default().look(NOW, 0, 0, contacts);
        assert!(all(std::slice::from_ref(&wrong)));
        assert!(!all(&[wrong.clone(), right.clone()]));
        assert!(all(&[wrong.clone(), wrong.clone(), right.clone()]));
        assert!(!all(&[contact(None)]));
        let mut jumped = Clock::default();
        jumped.look(NOW, 0, 0, &[]);
        assert!(!jumped.look(NOW + 9 * DAY_MS, MINUTE, 0, &[right]), "it was set right");
    }
}
