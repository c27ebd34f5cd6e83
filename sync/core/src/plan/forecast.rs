//! When each step will be here, and how sure that is: the plan is played over the past days.
//!
//! Each day of the history is a way in which tonight may go: every hour as expected, times how
//! that day differed as a whole, more or less the usual noise of the hours. The probability is
//! the part of those in which the step is in time. So it is what was seen, not a curve that was
//! fitted: "on 19 of the last 20 days this would have arrived".

use super::cells::Cell;
use super::choice::Part;
use super::flow::{self, Capacity, links};
use super::history::{DAYS_KEPT, LinkHistory};
use super::{Forecast, Link, Night, Why};

/// Days that are assumed while fewer were seen: from a night without a link to a good one.
const ASSUMED_RATIOS: [f64; 8] = [0.0, 0.4, 0.6, 0.8, 0.95, 1.05, 1.2, 1.4];
/// Noise of the hours: means of the lower, middle and upper third of a normal distribution.
const NOISES: [f64; 3] = [-1.09, 0.0, 1.09];
/// Counted as half in time and half late, so that nothing is ever said to be certain.
const DOUBT: f64 = 1.0;
/// How long a hub that cannot be reached now is taken to stay away: what its link carries at this
/// hour on other days says nothing of the next minutes.
const AWAY_MS: u64 = 3_600_000;

/// Plays the plan over past days.
pub(super) fn forecasts(
    night: &Night,
    cells: &[Cell],
    expected: &Capacity,
    parts: &[&Part],
) -> Vec<Forecast> {
    let spread = Spread::of(night, cells);
    let days = days(night);
    let plays: Vec<flow::Flow> = (0..days)
        .flat_map(|day| NOISES.map(|noise| (day, noise)))
        .map(|(day, noise)| {
            let capacity = play(night, cells, expected, &spread, day, noise);
            flow::run(night, cells, &capacity, parts)
        })
        .collect();
    let usual = flow::run(night, cells, expected, parts);
    let horizon_ms = cells.last().map_or(night.now_wall_ms, |cell| cell.to_ms);
    let forecast = |(place, part): (usize, &&Part)| {
        let mut times: Vec<u64> =
            plays.iter().map(|flow| flow.done_ms[place].unwrap_or(u64::MAX)).collect();
        times.sort_unstable();
        let by_ms = part.deadline_ms.min(horizon_ms);
        let in_time = times.partition_point(|at| *at <= by_ms) as f64 / NOISES.len() as f64;
        let median = times.get(times.len() / 2).copied().filter(|at| *at < u64::MAX);
        let is_here = part.bytes == 0;
        Forecast {
            item: night.items[part.item].id,
            step: part.step,
            urgency: part.urgency,
            complete_at_wall_ms: if is_here { Some(night.now_wall_ms) } else { median },
            probability: if is_here { 1.0 } else { probability(part, in_time, days) },
            why: why(night, part, place, parts, usual.done_ms[place], by_ms),
            from: usual.from[place].map(|link| night.links[link].hub),
        }
    };
    parts.iter().enumerate().map(forecast).collect()
}

fn probability(part: &Part, in_time: f64, days: usize) -> f64 {
    if part.links == 0 {
        return 0.0;
    }
    (in_time + DOUBT / 2.0) / (days as f64 + DOUBT)
}

/// Gives how many ways there are in which the night may go.
fn days(night: &Night) -> usize {
    let seen = links(night).map(|link| link.history.ratios().count()).max().unwrap_or(0);
    seen.clamp(ASSUMED_RATIOS.len(), DAYS_KEPT)
}

/// Gives how a link differed from what was expected, a number of days ago.
fn ratio(history: &LinkHistory, days_ago: usize) -> f64 {
    let seen = history.ratios().count();
    match seen.checked_sub(days_ago + 1) {
        Some(place) => history.ratios().nth(place).unwrap_or(1.0),
        // Spread over the list, so that a short history borrows good and bad days alike.
        None => ASSUMED_RATIOS[(days_ago * 5) % ASSUMED_RATIOS.len()],
    }
}

/// How much the hours up to each cell may differ together, in bytes: noise of hours that do not
/// know of one another adds up slowly.
struct Spread {
    links: Vec<Vec<f64>>,
    line: Vec<f64>,
}

impl Spread {
    fn of(night: &Night, cells: &[Cell]) -> Self {
        let line = night.line.as_ref().filter(|line| line.is_known());
        let grown = |history: &LinkHistory| -> Vec<f64> {
            let (day_share, mut squares, mut last) = (day_share(history), 0.0, 0.0);
            let step = |cell: &Cell| {
                let spread = history.expected(cell.hour).spread * cell.open_s();
                squares += spread * spread * (1.0 - day_share);
                let now = f64::sqrt(squares);
                now - std::mem::replace(&mut last, now)
            };
            cells.iter().map(step).collect()
        };
        Self {
            links: links(night).map(|link: &Link| grown(&link.history)).collect(),
            line: line.map_or_else(Vec::new, grown),
        }
    }
}

/// Gives the part of the hours' spread that whole days share, 0 to 1: it is in the ratios.
fn day_share(history: &LinkHistory) -> f64 {
    let count = history.ratios().count() as f64;
    if count < 3.0 {
        return 0.5;
    }
    let mean = history.ratios().sum::<f64>() / count;
    let of_days = history.ratios().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / count;
    let hours = (0..24).map(|hour| history.expected(hour)).filter(|hour| hour.bytes_per_s > 0.0);
    let squares: Vec<f64> = hours.map(|hour| (hour.spread / hour.bytes_per_s).powi(2)).collect();
    let of_hours = squares.iter().sum::<f64>() / squares.len().max(1) as f64;
    if of_hours > 0.0 { (of_days / of_hours).clamp(0.0, 1.0) } else { 0.5 }
}

fn play(
    night: &Night,
    cells: &[Cell],
    expected: &Capacity,
    spread: &Spread,
    day: usize,
    noise: f64,
) -> Capacity {
    let ratios: Vec<f64> = links(night).map(|link| ratio(&link.history, day)).collect();
    let line_ratio = night.line.as_ref().map_or(1.0, |line| ratio(line, day));
    let mut capacity = expected.clone();
    for (i, cell) in cells.iter().enumerate() {
        for (place, (link, bytes)) in links(night).zip(&mut capacity.links[i]).enumerate() {
            let carried = (*bytes * ratios[place] + noise * spread.links[place][i]).max(0.0);
            *bytes = if link.is_up { carried } else { carried * share_back(night, cell) };
        }
        if let Some(line) = spread.line.get(i) {
            capacity.line[i] = (capacity.line[i] * line_ratio + noise * line).max(0.0);
        }
    }
    capacity
}

/// Gives the part of a cell in which a hub that is away now is taken to be back.
fn share_back(night: &Night, cell: &Cell) -> f64 {
    let back_ms = night.now_wall_ms.saturating_add(AWAY_MS).clamp(cell.from_ms, cell.to_ms);
    (cell.to_ms - back_ms) as f64 / (cell.to_ms - cell.from_ms) as f64
}

fn why(
    night: &Night,
    part: &Part,
    place: usize,
    parts: &[&Part],
    done_ms: Option<u64>,
    by_ms: u64,
) -> Why {
    let is_up = |(place, link): (usize, &Link)| part.links & (1 << place) != 0 && link.is_up;
    let has_contact = links(night).enumerate().any(is_up);
    let has_limit = night.budget.left_today_bytes.or(night.budget.day_bytes).is_some()
        || night.budget.link_day_bytes.is_some();
    let is_in_time = done_ms.is_some_and(|done| done <= by_ms);
    if part.bytes == 0 {
        Why::Here
    } else if part.links == 0 {
        Why::NoHolder
    } else if !is_in_time {
        if has_limit { Why::Budget } else { Why::TooMuch }
    } else if !is_open_now(night) {
        Why::Window
    } else if !has_contact {
        Why::NoContact
    } else if parts[..place].iter().any(|before| before.bytes > 0 && before.links != 0) {
        Why::InTurn
    } else {
        Why::Next
    }
}

fn is_open_now(night: &Night) -> bool {
    let now = night.now_wall_ms;
    let minute = (now / 60_000).min(1 << 40) as i64 + i64::from(night.utc_offset_min);
    let minute = minute.rem_euclid(1_440) as u32;
    now >= night.window.closed_until_wall_ms
        && (night.window.is_inside(minute) || night.window.outside_share > 0.0)
}
