//! What flows when: parts in their order over links that each carry so much in each hour.

use super::cells::Cell;
use super::choice::Part;
use super::{LINKS_MAX, Link, Night};

/// Less than this of a part is rounding, in bytes.
const ROUNDING_BYTES: f64 = 0.5;

/// What links carry in each cell, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Capacity {
    /// By cell, then by link.
    pub links: Vec<Vec<f64>>,
    /// By cell: what all links together carry.
    pub line: Vec<f64>,
}

impl Capacity {
    /// Gives what is expected of each hour.
    pub fn expected(night: &Night, cells: &[Cell]) -> Self {
        let link =
            |cell: &Cell, link: &Link| link.history.expected(cell.hour).bytes_per_s * cell.open_s();
        let line = |cell: &Cell| {
            let line = night.line.as_ref().filter(|line| line.is_known());
            line.map_or(f64::INFINITY, |line| line.expected(cell.hour).bytes_per_s * cell.open_s())
        };
        Self {
            links: cells.iter().map(|c| links(night).map(|l| link(c, l)).collect()).collect(),
            line: cells.iter().map(line).collect(),
        }
    }

    /// Gives what all links carry from the first cell to the end of each, within the budget.
    pub fn supply(&self, night: &Night, cells: &[Cell]) -> Vec<f64> {
        let mut purse = Purse::new(night);
        let mut total = 0.0;
        let cell = |(cell, (links, line)): (&Cell, (&Vec<f64>, &f64))| {
            purse.open(night, cell.day);
            let carried: f64 =
                links.iter().enumerate().map(|(link, bytes)| bytes.min(purse.links[link])).sum();
            let carried = carried.min(*line).min(purse.all);
            purse.all -= carried;
            total += carried;
            total
        };
        cells.iter().zip(self.links.iter().zip(&self.line)).map(cell).collect()
    }
}

/// Gives the links that the plan looks at.
pub(super) fn links(night: &Night) -> impl Iterator<Item = &Link> {
    night.links.iter().take(LINKS_MAX)
}

/// What may still be spent on a day.
struct Purse {
    day: Option<i64>,
    is_today: bool,
    all: f64,
    links: Vec<f64>,
}

impl Purse {
    fn new(night: &Night) -> Self {
        let links = vec![f64::INFINITY; links(night).count()];
        Self { day: None, is_today: true, all: f64::INFINITY, links }
    }

    fn open(&mut self, night: &Night, day: i64) {
        if self.day == Some(day) {
            return;
        }
        self.is_today = self.day.is_none();
        self.day = Some(day);
        let limit = |bytes: Option<u64>| bytes.map_or(f64::INFINITY, |bytes| bytes as f64);
        let (all, link) = (night.budget.day_bytes, night.budget.link_day_bytes);
        let today = night.budget.left_today_bytes;
        self.all = limit(if self.is_today { today.or(all) } else { all });
        for (left, it) in self.links.iter_mut().zip(links(night)) {
            *left = limit(if self.is_today { it.left_today_bytes.or(link) } else { link });
        }
    }
}

/// When each part is whole, and how much of it came over which link.
pub(super) struct Flow {
    /// Milliseconds since 1970, by part.
    pub done_ms: Vec<Option<u64>>,
    /// The link that carries most of each part.
    pub from: Vec<Option<usize>>,
}

/// Lets parts flow in their order: what a link carries goes to the first part that it can serve.
pub(super) fn run(night: &Night, cells: &[Cell], capacity: &Capacity, parts: &[&Part]) -> Flow {
    let links_by_use = links_by_use(night, parts);
    let mut left: Vec<f64> = parts.iter().map(|part| part.bytes as f64).collect();
    let mut carried = vec![Vec::<f64>::new(); parts.len()];
    let is_here = |left: &f64| *left < ROUNDING_BYTES;
    let mut done_ms: Vec<Option<u64>> =
        left.iter().map(|left| is_here(left).then_some(night.now_wall_ms)).collect();
    let mut purse = Purse::new(night);
    let mut first = 0;
    for (i, cell) in cells.iter().enumerate() {
        purse.open(night, cell.day);
        let mut room = Room::new(&capacity.links[i], capacity.line[i], &mut purse);
        while first < parts.len() && done_ms[first].is_some() {
            first += 1;
        }
        for place in first..parts.len() {
            if done_ms[place].is_some() {
                continue;
            }
            if room.is_used_up() {
                break;
            }
            let sources =
                links_by_use.iter().filter(|link| parts[place].links & (1 << **link) != 0);
            let share = room.take(&mut left[place], sources, &mut carried[place]);
            if is_here(&left[place]) {
                done_ms[place] = Some(cell.at(share));
            }
        }
    }
    Flow { done_ms, from: carried.iter().map(|by_link| most(by_link)).collect() }
}

/// Orders the links: one that few parts can use goes first, so that others are left for the rest.
fn links_by_use(night: &Night, parts: &[&Part]) -> Vec<usize> {
    let count = links(night).count();
    let uses = |link: &usize| parts.iter().filter(|part| part.links & (1 << *link) != 0).count();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(uses);
    order
}

fn most(by_link: &[f64]) -> Option<usize> {
    let carried = by_link.iter().enumerate().filter(|(_, bytes)| **bytes > 0.0);
    carried.max_by(|a, b| a.1.total_cmp(b.1)).map(|(link, _)| link)
}

/// What is left of one cell.
struct Room<'a> {
    links: Vec<f64>,
    given: &'a [f64],
    line: f64,
    line_given: f64,
    purse: &'a mut Purse,
}

impl<'a> Room<'a> {
    fn new(given: &'a [f64], line: f64, purse: &'a mut Purse) -> Self {
        Self { links: given.to_vec(), given, line, line_given: line, purse }
    }

    fn is_used_up(&self) -> bool {
        let bound = self.line.min(self.purse.all);
        bound < ROUNDING_BYTES || self.links.iter().all(|link| *link < ROUNDING_BYTES)
    }

    /// Takes what a part needs; gives the share of the cell after which the last of it is here.
    fn take<'l>(
        &mut self,
        left: &mut f64,
        sources: impl Iterator<Item = &'l usize>,
        carried: &mut Vec<f64>,
    ) -> f64 {
        let mut share: f64 = 0.0;
        for &link in sources {
            let bound = self.links[link].min(self.purse.links[link]);
            let bytes = bound.min(self.line).min(self.purse.all).min(*left);
            if bytes <= 0.0 {
                continue;
            }
            *left -= bytes;
            self.links[link] -= bytes;
            self.line -= bytes;
            self.purse.all -= bytes;
            self.purse.links[link] -= bytes;
            carried.resize(self.given.len(), 0.0);
            carried[link] += bytes;
            share = share.max(1.0 - self.links[link] / self.given[link]);
        }
        if self.line_given.is_finite() && self.line_given > 0.0 {
            share = share.max(1.0 - self.line / self.line_given);
        }
        share
    }
}
