//! The time ahead, cut at full hours: what a window leaves open of each.

use super::choice::Part;
use super::{HORIZON_HOURS_MAX, Night};

const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MIN: u32 = 1_440;
/// What a plan without any deadline looks at: two nights.
const HORIZON_HOURS_MIN: u64 = 48;
/// A clock that stands after the year 9999 is wrong; nothing is added to it.
const WALL_MS_MAX: u64 = 253_402_300_799_000;
/// 1970-01-01 was a Thursday: days since Monday.
const FIRST_WEEKDAY: i64 = 3;

/// When things may be fetched, in the hub's local time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Minutes after midnight at which it opens.
    pub from_min: u32,
    /// Minutes after midnight at which it closes; before `from_min`, on the next day. The same as
    /// `from_min` means that it is always open.
    pub to_min: u32,
    /// What of the time outside is used as well, 0 to 1.
    pub outside_share: f64,
    /// Nothing is fetched before, milliseconds since 1970; 0 for no such time.
    pub closed_until_wall_ms: u64,
}

impl Window {
    /// Always open.
    pub const ALWAYS: Self =
        Self { from_min: 0, to_min: 0, outside_share: 1.0, closed_until_wall_ms: 0 };

    /// Says whether a minute after local midnight is inside.
    pub fn is_inside(&self, minute: u32) -> bool {
        let minute = minute % DAY_MIN;
        if self.from_min == self.to_min {
            true
        } else if self.from_min < self.to_min {
            (self.from_min..self.to_min).contains(&minute)
        } else {
            minute >= self.from_min || minute < self.to_min
        }
    }
}

/// Gives the hour of the week in local time, 0 to 167, from Monday 00:00 on.
pub fn hour_of_week(wall_ms: u64, utc_offset_min: i32) -> u16 {
    let hour = local_min(wall_ms, utc_offset_min).div_euclid(60);
    (hour + FIRST_WEEKDAY * 24).rem_euclid(168) as u16
}

/// Gives the local day, counted from 1970-01-01.
pub fn local_day(wall_ms: u64, utc_offset_min: i32) -> i64 {
    local_min(wall_ms, utc_offset_min).div_euclid(i64::from(DAY_MIN))
}

fn local_min(wall_ms: u64, utc_offset_min: i32) -> i64 {
    // A clock of the year 300,000 is as good as any wrong one.
    (wall_ms / MINUTE_MS).min(1 << 40) as i64 + i64::from(utc_offset_min)
}

/// A part of one hour, in which as much may be used from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub from_ms: u64,
    pub to_ms: u64,
    /// See [`hour_of_week`].
    pub hour: u16,
    /// See [`local_day`].
    pub day: i64,
    /// How much of it may be used, 0 to 1.
    pub open: f64,
}

impl Cell {
    /// Gives the seconds that may be used.
    pub fn open_s(&self) -> f64 {
        (self.to_ms - self.from_ms) as f64 / 1000.0 * self.open
    }

    /// Gives the moment at which a share of what it carries is through.
    pub fn at(&self, share: f64) -> u64 {
        let ms = (self.to_ms - self.from_ms) as f64 * share.clamp(0.0, 1.0);
        self.from_ms + ms.ceil() as u64
    }
}

/// Cuts the time from now until the last deadline.
pub(super) fn cells(night: &Night, parts: &[Part]) -> Vec<Cell> {
    let now = night.now_wall_ms.min(WALL_MS_MAX);
    let longest = now + HORIZON_HOURS_MAX * HOUR_MS;
    let shortest = now + HORIZON_HOURS_MIN * HOUR_MS;
    let deadlines = parts.iter().map(|part| part.deadline_ms).filter(|at| *at < longest);
    let until = deadlines.max().unwrap_or(0).max(shortest);
    let mut cells = Vec::new();
    let mut from_ms = now;
    while from_ms < until {
        // Offsets that are no full hours move the hour's border.
        let local_ms = local_min(from_ms, night.utc_offset_min).rem_euclid(60) as u64 * MINUTE_MS
            + from_ms % MINUTE_MS;
        let to_ms = (from_ms + HOUR_MS - local_ms).min(until);
        let (open, to_ms) = open_share(night, from_ms, to_ms);
        cells.push(Cell {
            from_ms,
            to_ms,
            hour: hour_of_week(from_ms, night.utc_offset_min),
            day: local_day(from_ms, night.utc_offset_min),
            open,
        });
        from_ms = to_ms;
    }
    cells
}

/// Gives how much may be used from a moment on, and until when that stays so, at most `to_ms`: in
/// a cell bytes flow evenly, or something would be promised for a time at which nothing flows.
fn open_share(night: &Night, from_ms: u64, to_ms: u64) -> (f64, u64) {
    let (share, opens_ms) = (share_at(night, from_ms), night.window.closed_until_wall_ms);
    let mut at_ms = from_ms;
    loop {
        let minute_ms = at_ms - at_ms % MINUTE_MS + MINUTE_MS;
        at_ms = if at_ms < opens_ms { minute_ms.min(opens_ms) } else { minute_ms };
        if at_ms >= to_ms {
            return (share, to_ms);
        }
        if share_at(night, at_ms) != share {
            return (share, at_ms);
        }
    }
}

fn share_at(night: &Night, at_ms: u64) -> f64 {
    let window = &night.window;
    let minute = local_min(at_ms, night.utc_offset_min).rem_euclid(i64::from(DAY_MIN)) as u32;
    match (at_ms < window.closed_until_wall_ms, window.is_inside(minute)) {
        (true, _) => 0.0,
        (false, true) => 1.0,
        (false, false) => window.outside_share.clamp(0.0, 1.0),
    }
}
