//! Whether a contact that presses less waits for one that presses more.
//!
//! Contacts share an uplink, and nobody tells a hub what that carries. Waiting helps only where
//! the uplink is what holds the others up, and not their own links. So it is tried: for a few
//! seconds the others wait, for a few they do not, and what served the pressing ones better
//! holds for a minute.

use crate::id::Time;

/// How long the others wait at first: mostly what presses is gone by then.
const FIRST_MS: u64 = 15_000;
/// How long each way is tried: many round trips of a satellite, and twice what is under way.
const TRY_MS: u64 = 4_000;
/// How long what was better holds before it is tried again: trying costs a sixteenth of it.
const HOLD_MS: u64 = 60_000;
/// A silence after which everything may be different.
const FORGET_MS: u64 = 10_000;
/// Waiting is worth it from so much on, in percent of what flows without.
const WORTH_PERCENT: u64 = 115;

/// The turns of those that press less.
#[derive(Debug, Default)]
pub struct Turns {
    trial: Option<Trial>,
    held_bytes_per_s: Option<u64>,
    shared_bytes_per_s: Option<u64>,
}

#[derive(Debug)]
struct Trial {
    is_held: bool,
    since: Time,
    until: Time,
    asked_at: Time,
    sent_bytes: u64,
}

impl Turns {
    /// Takes note of bytes sent to contacts that press most.
    pub fn sent(&mut self, bytes: u64) {
        if let Some(trial) = &mut self.trial {
            trial.sent_bytes += bytes;
        }
    }

    /// Says whether those that press less wait now; asked only while both kinds are there.
    pub fn is_held(&mut self, now: Time) -> bool {
        let is_old = |trial: &Trial| now.since_ms(trial.asked_at) > FORGET_MS;
        if self.trial.as_ref().is_none_or(is_old) {
            *self = Self { trial: Some(Trial::begin(now, true, FIRST_MS)), ..Self::default() };
        }
        let Some(trial) = &mut self.trial else { return false };
        trial.asked_at = now;
        if now < trial.until {
            return trial.is_held;
        }
        let rate = trial.sent_bytes * 1_000 / now.since_ms(trial.since).max(1);
        let was_held = trial.is_held;
        *(if was_held { &mut self.held_bytes_per_s } else { &mut self.shared_bytes_per_s }) =
            Some(rate);
        let next = self.next(now, was_held);
        self.trial.insert(next).is_held
    }

    fn next(&mut self, now: Time, was_held: bool) -> Trial {
        let (Some(held), Some(shared)) = (self.held_bytes_per_s, self.shared_bytes_per_s) else {
            return Trial::begin(now, !was_held, TRY_MS);
        };
        // Each way is measured anew before the next comparison.
        let is_better_held = held * 100 > shared * WORTH_PERCENT;
        if is_better_held == was_held {
            *(if was_held { &mut self.shared_bytes_per_s } else { &mut self.held_bytes_per_s }) =
                None;
        } else if was_held {
            self.held_bytes_per_s = None;
        } else {
            self.shared_bytes_per_s = None;
        }
        Trial::begin(now, is_better_held, HOLD_MS)
    }
}

impl Trial {
    fn begin(now: Time, is_held: bool, for_ms: u64) -> Self {
        let until = now.after_ms(for_ms);
        Self { is_held, since: now, until, asked_at: now, sent_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays ten minutes; gives the seconds in which the others waited.
    fn held_s(pressing_bytes_per_s: impl Fn(bool) -> u64) -> u64 {
        let mut turns = Turns::default();
        let seconds = (0..600).map(|second| {
            let is_held = turns.is_held(Time(second * 1_000));
            turns.sent(pressing_bytes_per_s(is_held));
            u64::from(is_held)
        });
        seconds.sum()
    }

    #[test]
    fn others_wait_where_that_helps_and_only_there() {
        let crowded = held_s(|is_held| if is_held { 1_000_000 } else { 500_000 });
        assert!(crowded > 540, "{crowded}");
        let slow_by_itself = held_s(|_| 10_000);
        assert!(slow_by_itself < 60, "{slow_by_itself}");
        let stuck = held_s(|_| 0);
        assert!(stuck < 60, "nobody waits for one that is stuck: {stuck}");
    }
}
