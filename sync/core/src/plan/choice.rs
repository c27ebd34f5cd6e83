//! The order: as many floors in time as the links carry, then the steps that are worth most.
//!
//! On one link the floors are Moore's and Hodgson's rule, which is exact: in order of deadline,
//! and whenever one would be late, the longest so far is put off. Which of the better steps fit
//! is a knapsack with deadlines, solved by worth up to a rounding of 2 % (Lawler).

use std::collections::BTreeSet;

use super::cells::Cell;
use super::flow::{self, Capacity, links};
use super::{Claim, ITEMS_MAX, Item, LINKS_MAX, MissingBlob, Night, Urgency};
use crate::id::BlobId;

/// Rounding of worth, as a part of the best that is known, over all items.
const WORTH_ROUNDING: f64 = 0.02;
/// Most worths that are told apart; bounds memory to 20 KB an item.
const WORTHS_MAX: f64 = 20_000.0;

/// One step of one item, as the plan orders it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// Place in [`Night::items`].
    pub item: usize,
    pub step: usize,
    /// Missing, of blobs that no earlier part has.
    pub bytes: u64,
    /// Which links may carry it, one bit each; of the blob that the fewest have.
    pub links: u64,
    /// `u64::MAX` if there is none.
    pub deadline_ms: u64,
    pub weight: u32,
    pub urgency: Urgency,
}

impl Part {
    /// Gives the blobs of the step.
    pub fn blobs<'n>(&self, night: &'n Night) -> &'n [MissingBlob] {
        &night.items[self.item].steps[self.step].blobs
    }

    fn key(&self) -> (u64, std::cmp::Reverse<u32>, usize, usize) {
        (self.deadline_ms, std::cmp::Reverse(self.weight), self.item, self.step)
    }
}

/// Lists the steps of all items, item by item; a blob counts where it is first needed.
pub(super) fn parts(night: &Night) -> Vec<Part> {
    let mut items: Vec<(usize, &Item)> = night.items.iter().enumerate().take(ITEMS_MAX).collect();
    items.sort_by_key(|(place, item)| (item.claim, item.deadline_wall_ms, *place));
    let mut parts = Vec::new();
    let mut counted = BTreeSet::new();
    // What a floor needs is no burden of another item's better step, and so on down.
    for urgency in Urgency::ALL {
        for (place, item) in &items {
            let of_urgency = item
                .steps
                .iter()
                .enumerate()
                .filter(|(step, _)| self::urgency(item, *step) == urgency);
            for (step, of_step) in of_urgency {
                parts.push(part(night, *place, item, step, &of_step.blobs, &mut counted));
            }
        }
    }
    parts.sort_by_key(|part| (part.item, part.step));
    parts
}

fn urgency(item: &Item, step: usize) -> Urgency {
    match (item.claim, step) {
        (Claim::Urgent, 0) => Urgency::Now,
        (Claim::Due, 0) => Urgency::Floor,
        (Claim::Urgent | Claim::Due, _) => Urgency::Upgrade,
        (Claim::Pinned, _) => Urgency::Pin,
        (Claim::Rest, _) => Urgency::Rest,
    }
}

fn part(
    night: &Night,
    place: usize,
    item: &Item,
    step: usize,
    blobs: &[MissingBlob],
    counted: &mut BTreeSet<BlobId>,
) -> Part {
    let is_new = |missing: &&MissingBlob| counted.insert(missing.blob);
    let bytes = blobs.iter().filter(is_new).map(|missing| missing.missing_bytes).sum();
    let masks = blobs.iter().map(|missing| mask(night, missing));
    Part {
        item: place,
        step,
        bytes,
        links: masks.min_by_key(|mask| mask.count_ones()).unwrap_or(u64::MAX),
        deadline_ms: item.deadline_wall_ms.unwrap_or(u64::MAX),
        weight: item.weight.max(1),
        urgency: urgency(item, step),
    }
}

fn mask(night: &Night, missing: &MissingBlob) -> u64 {
    let holds = |(_, link): &(usize, &super::Link)| missing.holders.contains(&link.hub);
    links(night).enumerate().filter(holds).fold(0, |mask, (place, _)| mask | 1 << place)
}

/// Gives the places of the parts in the order in which they are to be fetched.
pub(super) fn order(
    night: &Night,
    cells: &[Cell],
    expected: &Capacity,
    parts: &[Part],
) -> Vec<usize> {
    let of = |urgency| -> Vec<usize> {
        let mut places: Vec<usize> =
            (0..parts.len()).filter(|place| parts[*place].urgency == urgency).collect();
        places.sort_by_key(|place| parts[*place].key());
        places
    };
    let mut order = of(Urgency::Now);
    let (kept, late) = floors(night, cells, expected, parts, &order, of(Urgency::Floor));
    order.extend(kept.iter().chain(&late));
    let before: u64 = order.iter().map(|place| parts[*place].bytes).sum();
    let supply = expected.supply(night, cells);
    let (chosen, others) = upgrades(cells, &supply, before, parts, &of(Urgency::Upgrade));
    order.extend(chosen.iter().chain(&others));
    // Pins and the rest keep the order in which the hub gave them.
    for urgency in [Urgency::Pin, Urgency::Rest] {
        order.extend((0..parts.len()).filter(|place| parts[*place].urgency == urgency));
    }
    order
}

/// Parts the floors into those that are in time and those that are late, each by deadline.
fn floors(
    night: &Night,
    cells: &[Cell],
    expected: &Capacity,
    parts: &[Part],
    before: &[usize],
    floors: Vec<usize>,
) -> (Vec<usize>, Vec<usize>) {
    let first_late = |kept: &[usize]| -> Option<usize> {
        let ordered: Vec<&Part> = before.iter().chain(kept).map(|place| &parts[*place]).collect();
        let flow = flow::run(night, cells, expected, &ordered);
        let of_floors = &flow.done_ms[before.len()..];
        kept.iter().zip(of_floors).position(|(place, done)| is_late(&parts[*place], *done))
    };
    let (mut kept, mut late): (Vec<usize>, Vec<usize>) =
        floors.into_iter().partition(|place| parts[*place].links != 0 || parts[*place].bytes == 0);
    while let Some(place) = first_late(&kept) {
        let longest = (0..=place).max_by_key(|i| parts[kept[*i]].bytes).unwrap_or(place);
        late.push(kept.remove(longest));
    }
    // Where links hold different things the longest need not be the one in the way.
    late.sort_by_key(|place| parts[*place].bytes);
    late.retain(|candidate| {
        if parts[*candidate].links == 0 {
            return true;
        }
        let mut tried = kept.clone();
        tried.push(*candidate);
        tried.sort_by_key(|place| parts[*place].key());
        let fits = first_late(&tried).is_none();
        if fits {
            kept = tried;
        }
        !fits
    });
    late.sort_by_key(|place| parts[*place].key());
    (kept, late)
}

fn is_late(part: &Part, done_ms: Option<u64>) -> bool {
    done_ms.is_none_or(|done| done > part.deadline_ms) && part.bytes > 0
}

/// The better steps of one item: what the first, the first two, … of them take and are worth.
struct Choices {
    places: Vec<usize>,
    bytes: Vec<f64>,
    worth: Vec<f64>,
    limit: f64,
}

/// Parts the better steps into those that are worth most and fit, and the others.
fn upgrades(
    cells: &[Cell],
    supply: &[f64],
    before: u64,
    parts: &[Part],
    upgrades: &[usize],
) -> (Vec<usize>, Vec<usize>) {
    let mut items: Vec<Choices> = Vec::new();
    let mut last = None;
    for place in upgrades {
        let part = &parts[*place];
        if last != Some(part.item) {
            let limit = supply_until(cells, supply, part.deadline_ms) - before as f64;
            items.push(Choices { places: vec![], bytes: vec![], worth: vec![], limit });
        }
        last = Some(part.item);
        let item = items.last_mut().expect("just pushed");
        let (bytes, worth) = (item.bytes.last().unwrap_or(&0.0), item.worth.last().unwrap_or(&0.0));
        let (bytes, worth) = (bytes + part.bytes as f64, worth + f64::from(part.weight));
        item.places.push(*place);
        item.bytes.push(bytes);
        item.worth.push(worth);
    }
    let taken = knapsack(&items);
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for (item, taken) in items.iter().zip(taken) {
        chosen.extend(&item.places[..taken]);
        others.extend(&item.places[taken..]);
    }
    (chosen, others)
}

/// Gives what all links carry until a moment.
fn supply_until(cells: &[Cell], supply: &[f64], at_ms: u64) -> f64 {
    let whole = cells.partition_point(|cell| cell.to_ms <= at_ms);
    let before = if whole == 0 { 0.0 } else { supply[whole - 1] };
    match cells.get(whole) {
        Some(cell) if at_ms > cell.from_ms => {
            let share = (at_ms - cell.from_ms) as f64 / (cell.to_ms - cell.from_ms) as f64;
            before + share * (supply[whole] - before)
        }
        _ => before,
    }
}

/// Says how many steps to take of each item, so that all of them are in time in this order.
fn knapsack(items: &[Choices]) -> Vec<usize> {
    let all: f64 = items.iter().filter_map(|item| item.worth.last()).sum();
    let unit =
        (greedy(items) * WORTH_ROUNDING / items.len().max(1) as f64).min(1.0).max(all / WORTHS_MAX);
    if !(unit > 0.0 && unit.is_finite()) {
        return vec![0; items.len()];
    }
    let rounded = |worth: f64| (worth / unit) as usize;
    let top: usize =
        items.iter().filter_map(|item| item.worth.last()).map(|worth| rounded(*worth)).sum();
    // least[w]: the fewest bytes that have at least worth w among the items so far.
    let mut least = vec![f64::INFINITY; top + 1];
    least[0] = 0.0;
    let mut taken: Vec<Vec<u8>> = Vec::with_capacity(items.len());
    for item in items {
        let mut of_item = vec![0; top + 1];
        let steps = item.bytes.iter().zip(&item.worth).enumerate().take(u8::MAX as usize);
        let steps: Vec<(u8, f64, usize)> =
            steps.map(|(i, (bytes, worth))| (i as u8 + 1, *bytes, rounded(*worth))).collect();
        for at in (0..=top).rev() {
            for (count, bytes, worth) in &steps {
                let Some(from) = at.checked_sub(*worth) else { continue };
                let total = least[from] + bytes;
                if *worth > 0 && total <= item.limit && total < least[at] {
                    (least[at], of_item[at]) = (total, *count);
                }
            }
        }
        taken.push(of_item);
    }
    let mut at = (0..=top).rev().find(|at| least[*at].is_finite()).unwrap_or(0);
    let mut counts = vec![0; items.len()];
    for (place, item) in items.iter().enumerate().rev() {
        counts[place] = usize::from(taken[place][at]);
        if counts[place] > 0 {
            at -= rounded(item.worth[counts[place] - 1]);
        }
    }
    counts
}

/// Gives a worth that can be had: the most worth a byte first.
fn greedy(items: &[Choices]) -> f64 {
    let single = |item: &Choices| {
        let fitting = item.bytes.iter().zip(&item.worth).filter(|(bytes, _)| **bytes <= item.limit);
        fitting.map(|(_, worth)| *worth).fold(0.0, f64::max)
    };
    let best = items.iter().map(single).fold(0.0, f64::max);
    let (mut used, mut in_turn) = (0.0, 0.0);
    for item in items {
        if let (Some(bytes), Some(worth)) = (item.bytes.first(), item.worth.first())
            && used + bytes <= item.limit
        {
            used += bytes;
            in_turn += worth;
        }
    }
    best.max(in_turn)
}

const _: () = assert!(LINKS_MAX <= u64::BITS as usize, "a set of links is one word");
