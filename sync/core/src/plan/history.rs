//! What a link carried at this hour: mean and spread, and how past days differed from them.

use std::collections::VecDeque;

/// Hours of a week.
pub const HOURS: usize = 168;
/// Days whose ratios are kept: four weeks, so that each weekday is there four times.
pub const DAYS_KEPT: usize = 28;
/// Weight of a new hour once many are known: half of what counts is of the last five weeks.
const NEW_SHARE_MIN: f64 = 1.0 / 8.0;
/// An hour that was seen so often counts as much as what is known of the same hour of other days.
const SHRINK_WEIGHT: f64 = 1.0;
/// Least hours with something to fetch from which a day's ratio can be told.
const DAY_HOURS_MIN: u32 = 2;
/// A day is at most so much better than expected; beyond it, the expectation was wrong.
const RATIO_MAX: f64 = 4.0;
/// What a link is believed to carry before anything was seen: 0.5 Mbit/s, the slowest tenth of
/// the links of a province (DOMAIN §2.5), half of the time.
pub const UNKNOWN_BYTES_PER_S: f64 = 32_000.0;
/// Spread of an unknown link, as a part of its mean.
const UNKNOWN_SPREAD: f64 = 0.75;
/// Least spread of an hour, as a part of its mean: the next one always differs.
const SPREAD_MIN: f64 = 0.1;

/// Mean and spread of what an hour carried.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HourStats {
    /// Times that the hour was seen, up to 8.
    pub seen: f64,
    /// Bytes a second.
    pub mean: f64,
    /// Mean square of the distance from the mean.
    pub variance: f64,
}

impl HourStats {
    fn add(&mut self, bytes_per_s: f64) {
        self.seen = (self.seen + 1.0).min(1.0 / NEW_SHARE_MIN);
        let share = 1.0 / self.seen;
        let distance = bytes_per_s - self.mean;
        self.mean += share * distance;
        self.variance = (1.0 - share) * (self.variance + share * distance * distance);
    }
}

/// What was seen of a link in an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeenHour {
    /// Part of the time in which there was a contact, 0 to 1.
    pub up_share: f64,
    /// What it carried while there was a contact and something was asked of it.
    pub busy_bytes_per_s: Option<f64>,
    /// True if something was wanted over this link, in contact or not.
    pub is_wanted: bool,
}

/// What is believed of an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean.
    pub bytes_per_s: f64,
    /// Standard deviation.
    pub spread: f64,
}

/// What one link carried.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkHistory {
    hours: Vec<HourStats>,
    up: HourStats,
    ratios: VecDeque<f64>,
    today: Today,
}

/// The day that is not over yet.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Today {
    /// Hours in which something was wanted.
    pub hours: u32,
    /// What they carried, in bytes a second.
    pub carried: f64,
    /// What had been expected of them.
    pub expected: f64,
}

impl LinkHistory {
    /// Puts together what was kept: hours by number, the rate in contact, ratios oldest first.
    pub fn restore(
        hours: impl IntoIterator<Item = (u16, HourStats)>,
        up: HourStats,
        ratios: impl IntoIterator<Item = f64>,
        today: Today,
    ) -> Self {
        let mut history = Self { up, today, ..Self::default() };
        for (hour, stats) in hours {
            *history.hour_mut(hour) = stats;
        }
        ratios.into_iter().for_each(|ratio| history.push_ratio(ratio));
        history
    }

    /// Says whether anything was ever seen of the link.
    pub fn is_known(&self) -> bool {
        self.hours.iter().any(|hour| hour.seen > 0.0)
    }

    /// Gives what is kept of an hour of the week.
    pub fn hour(&self, hour: u16) -> HourStats {
        self.hours.get(usize::from(hour)).copied().unwrap_or_default()
    }

    /// Gives what it carries while there is a contact.
    pub fn up(&self) -> HourStats {
        self.up
    }

    /// Gives how past days differed from what was expected, oldest first.
    pub fn ratios(&self) -> impl Iterator<Item = f64> + '_ {
        self.ratios.iter().copied()
    }

    /// Gives the day that is not over yet.
    pub fn today(&self) -> Today {
        self.today
    }

    /// Takes note of an hour of the week (see [`hour_of_week`](super::hour_of_week)).
    pub fn observe(&mut self, hour: u16, seen: SeenHour) {
        let up_share = if seen.up_share.is_finite() { seen.up_share.clamp(0.0, 1.0) } else { 0.0 };
        let expected = self.expected(hour).bytes_per_s;
        let busy = seen.busy_bytes_per_s.filter(|rate| rate.is_finite() && *rate >= 0.0);
        if let Some(rate) = busy {
            self.up.add(rate);
        }
        // An hour without a download says how long there was a contact, no more.
        let usual = if self.up.seen > 0.0 { self.up.mean } else { UNKNOWN_BYTES_PER_S };
        let carried = up_share * busy.unwrap_or(usual);
        if seen.is_wanted {
            self.today.hours += 1;
            self.today.carried += carried;
            self.today.expected += expected;
        }
        self.hour_mut(hour).add(carried);
    }

    /// Ends a day: how it differed from what was expected is kept and given, if it can be told.
    pub fn end_day(&mut self) -> Option<f64> {
        let today = std::mem::take(&mut self.today);
        if today.hours < DAY_HOURS_MIN || today.expected <= 0.0 {
            return None;
        }
        self.push_ratio(today.carried / today.expected);
        self.ratios.back().copied()
    }

    /// Says what an hour of the week will carry; an hour that was seen seldom borrows from the
    /// same hour of other days, and that from all hours.
    pub fn expected(&self, hour: u16) -> Estimate {
        let all = pool(self.hours.iter());
        let of_day =
            self.hours.iter().enumerate().filter(|(i, _)| i % 24 == usize::from(hour) % 24);
        let of_day = pool(of_day.map(|(_, stats)| stats));
        let unknown = HourStats {
            seen: SHRINK_WEIGHT,
            mean: UNKNOWN_BYTES_PER_S * 0.5,
            variance: (UNKNOWN_BYTES_PER_S * 0.5 * UNKNOWN_SPREAD).powi(2),
        };
        let all = blend(all, if all.seen > 0.0 { all } else { unknown });
        let stats = blend(self.hour(hour), blend(of_day, all));
        let spread = stats.variance.sqrt().max(stats.mean * SPREAD_MIN);
        Estimate { bytes_per_s: stats.mean, spread }
    }

    fn push_ratio(&mut self, ratio: f64) {
        if !ratio.is_finite() {
            return;
        }
        self.ratios.push_back(ratio.clamp(0.0, RATIO_MAX));
        while self.ratios.len() > DAYS_KEPT {
            self.ratios.pop_front();
        }
    }

    fn hour_mut(&mut self, hour: u16) -> &mut HourStats {
        self.hours.resize(HOURS, HourStats::default());
        &mut self.hours[usize::from(hour) % HOURS]
    }
}

/// Joins hours into one, each by how often it was seen.
fn pool<'a>(hours: impl Iterator<Item = &'a HourStats>) -> HourStats {
    let (mut seen, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for hour in hours {
        seen += hour.seen;
        sum += hour.seen * hour.mean;
        squares += hour.seen * (hour.variance + hour.mean * hour.mean);
    }
    if seen == 0.0 {
        return HourStats::default();
    }
    let mean = sum / seen;
    HourStats { seen, mean, variance: (squares / seen - mean * mean).max(0.0) }
}

/// Moves what was seen towards what is known in general.
fn blend(own: HourStats, general: HourStats) -> HourStats {
    let total = own.seen + SHRINK_WEIGHT;
    let mix = |own_value: f64, general_value: f64| {
        (own.seen * own_value + SHRINK_WEIGHT * general_value) / total
    };
    HourStats {
        seen: total,
        mean: mix(own.mean, general.mean),
        variance: mix(own.variance, general.variance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(up_share: f64, busy: Option<f64>) -> SeenHour {
        SeenHour { up_share, busy_bytes_per_s: busy, is_wanted: busy.is_some() }
    }

    #[test]
    fn an_unknown_link_is_believed_to_be_slow_and_unsure() {
        let estimate = LinkHistory::default().expected(3);
        assert_eq!(estimate.bytes_per_s, UNKNOWN_BYTES_PER_S / 2.0);
        assert!(estimate.spread > estimate.bytes_per_s / 2.0);
    }

    #[test]
    fn what_it_carries_at_night_is_not_expected_at_noon() {
        let mut history = LinkHistory::default();
        for _week in 0..4 {
            for day in 0..7u16 {
                history.observe(day * 24 + 2, seen(1.0, Some(400_000.0)));
                history.observe(day * 24 + 12, seen(1.0, Some(20_000.0)));
                history.end_day();
            }
        }
        let (night, noon) = (history.expected(2), history.expected(12));
        assert!(night.bytes_per_s > 330_000.0, "{night:?}");
        assert!(noon.bytes_per_s < 90_000.0, "{noon:?}");
        assert_eq!(history.ratios().count(), 28);
    }

    #[test]
    fn an_idle_night_does_not_look_like_a_slow_one_and_a_dead_one_does() {
        let mut history = LinkHistory::default();
        (0..6).for_each(|_| history.observe(2, seen(1.0, Some(100_000.0))));
        (0..3).for_each(|_| history.observe(2, seen(1.0, None)));
        assert!((history.expected(2).bytes_per_s - 100_000.0).abs() < 15_000.0);
        (0..6).for_each(|_| history.observe(2, seen(0.0, None)));
        assert!(history.expected(2).bytes_per_s < 60_000.0);
    }

    #[test]
    fn nonsense_that_was_kept_does_no_harm() {
        let mut history = LinkHistory::restore(
            [(9_999, HourStats { seen: 1.0, mean: 5.0, variance: 0.0 })],
            HourStats::default(),
            [f64::NAN, f64::INFINITY, -3.0, 99.0],
            Today::default(),
        );
        assert_eq!(history.ratios().collect::<Vec<_>>(), [0.0, RATIO_MAX]);
        history.observe(
            3,
            SeenHour { up_share: f64::NAN, busy_bytes_per_s: Some(f64::NAN), is_wanted: true },
        );
    }
}
