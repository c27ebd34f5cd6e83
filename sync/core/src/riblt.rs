//! Rateless set reconciliation: finds the difference of two sets from a stream of coded symbols
//! whose number depends on the difference alone, not on the sets.
//!
//! Source: Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation" (SIGCOMM 2024): each item
//! is a part of symbol 0, and of later ones ever more rarely, at places drawn from its own hash.
//! Small enough to be here: the crates that exist are not kept up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An item of a set: 16 bytes of a hash, the same for the same envelope everywhere.
pub type Item = u128;

/// Most symbols of one stream: finds about 3,000 differences; more is a journal that is missing,
/// which vectors find.
pub const SYMBOLS_MAX: usize = 4_096;

/// The sum of some items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Symbol {
    /// The items, added bit by bit.
    pub sum: Item,
    /// Their checksums, added bit by bit.
    pub check: u64,
    /// How many; negative in a difference where the other side has more.
    pub count: i32,
}

/// What two sets differ in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Items that only the sender of the symbols has.
    pub theirs: Vec<Item>,
    /// Items that only we have.
    pub ours: Vec<Item>,
}

/// Gives the symbols `from..upto` of a set.
pub fn symbols(items: impl IntoIterator<Item = Item>, from: usize, upto: usize) -> Vec<Symbol> {
    let mut symbols = vec![Symbol::default(); upto.saturating_sub(from)];
    for item in items {
        let check = check_of(item);
        let places = Places::of(check).take_while(|place| *place < upto);
        for place in places.skip_while(|place| *place < from) {
            symbols[place - from].add(item, check, 1);
        }
    }
    symbols
}

/// Finds what two sets differ in, from all symbols of the other and our items; none if the symbols
/// are too few, or are no symbols of a set.
pub fn difference(theirs: &[Symbol], ours: impl IntoIterator<Item = Item>) -> Option<Difference> {
    let mut left = theirs.to_vec();
    for (symbol, ours) in left.iter_mut().zip(symbols(ours, 0, theirs.len())) {
        symbol.sum ^= ours.sum;
        symbol.check ^= ours.check;
        symbol.count = symbol.count.wrapping_sub(ours.count);
    }
    let mut found: BTreeMap<Item, i32> = BTreeMap::new();
    let mut pure: Vec<usize> = (0..left.len()).filter(|place| left[*place].is_pure()).collect();
    while let Some(place) = pure.pop() {
        let symbol = left[place];
        if !symbol.is_pure() {
            continue;
        }
        // Each item is found once; who sends symbols that say otherwise sends no set's.
        if found.insert(symbol.sum, symbol.count).is_some() || found.len() > left.len() {
            return None;
        }
        for place in Places::of(symbol.check).take_while(|place| *place < theirs.len()) {
            left[place].add(symbol.sum, symbol.check, -symbol.count);
            if left[place].is_pure() {
                pure.push(place);
            }
        }
    }
    if left.iter().any(|symbol| *symbol != Symbol::default()) {
        return None;
    }
    let (theirs, ours): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, count)| *count > 0);
    let items = |side: Vec<(Item, i32)>| side.into_iter().map(|(item, _)| item).collect();
    Some(Difference { theirs: items(theirs), ours: items(ours) })
}

impl Symbol {
    fn add(&mut self, item: Item, check: u64, count: i32) {
        self.sum ^= item;
        self.check ^= check;
        self.count = self.count.wrapping_add(count);
    }

    fn is_pure(&self) -> bool {
        matches!(self.count, 1 | -1) && check_of(self.sum) == self.check
    }
}

fn check_of(item: Item) -> u64 {
    // Items are parts of hashes already, but not of our choice: mixed, so that nobody can make
    // items that hide one another without trying 2^64 of them.
    let keyed = blake3::derive_key("yingxue reconciliation 1", &item.to_le_bytes());
    let mut low = [0; 8];
    low.copy_from_slice(&keyed[..8]);
    u64::from_le_bytes(low)
}

/// The places of an item in the stream: 0, and then gaps that grow with the place, so that symbol
/// `i` has an item with a chance of 1 / (1 + i / 2).
struct Places {
    next: Option<u64>,
    state: u64,
}

impl Places {
    fn of(check: u64) -> Self {
        Self { next: Some(0), state: check }
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let place = self.next?;
        self.state = splitmix(self.state);
        // Whole numbers alone, so that every computer draws the same places. With r uniform in
        // (0, 1], the next place is (place + 1.5) / sqrt(r) - 1.5, rounded up.
        let root = (self.state >> 32).max(1).isqrt().max(1);
        let scaled = u128::from(2 * place + 3) << 16;
        let next = scaled.div_ceil(2 * u128::from(root)).saturating_sub(1);
        self.next = u64::try_from(next).ok().map(|next| next.max(place + 1));
        self.next = self.next.filter(|next| *next < SYMBOLS_MAX as u64);
        Some(place as usize)
    }
}

fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn item(n: u64) -> Item {
        u128::from(splitmix(n)) << 64 | u128::from(splitmix(n ^ 0xffff))
    }

    /// Gives how many symbols it takes to find the difference.
    fn needed(ours: &BTreeSet<Item>, theirs: &BTreeSet<Item>) -> usize {
        let mut count = 1;
        loop {
            let symbols = symbols(theirs.iter().copied(), 0, count);
            if let Some(found) = difference(&symbols, ours.iter().copied()) {
                let theirs: BTreeSet<_> = theirs.difference(ours).copied().collect();
                assert_eq!(found.theirs.into_iter().collect::<BTreeSet<_>>(), theirs);
                return count;
            }
            count += 1;
        }
    }

    #[test]
    fn the_number_of_symbols_depends_on_the_difference_alone() {
        let all: BTreeSet<Item> = (0..5_000).map(item).collect();
        assert_eq!(needed(&all, &all), 1);
        for lacking in [1, 10, 100] {
            let ours: BTreeSet<Item> = all.iter().skip(lacking).copied().collect();
            let needed = needed(&ours, &all);
            assert!(needed <= 3 * lacking + 8, "{needed} symbols for {lacking}");
        }
    }

    #[test]
    fn a_stream_in_parts_is_the_stream() {
        let items: Vec<Item> = (0..100).map(item).collect();
        let whole = symbols(items.iter().copied(), 0, 64);
        let parts = [(0, 10), (10, 64)].map(|(from, upto)| symbols(items.clone(), from, upto));
        assert_eq!(whole, parts.concat());
    }

    proptest! {
        #[test]
        fn whatever_two_sets_differ_in_is_found(
            ours: BTreeSet<u64>, theirs: BTreeSet<u64>, common in 0_u64..500,
        ) {
            let common: Vec<Item> = (0..common).map(|n| item(!n)).collect();
            let set = |own: &BTreeSet<u64>| -> BTreeSet<Item> {
                own.iter().map(|n| item(*n)).chain(common.iter().copied()).collect()
            };
            let (a, b) = (set(&ours), set(&theirs));
            let symbols = symbols(b.iter().copied(), 0, 4_096);
            let found = difference(&symbols, a.iter().copied()).expect("they are enough");
            prop_assert_eq!(found.theirs, b.difference(&a).copied().collect::<Vec<_>>());
            prop_assert_eq!(found.ours, a.difference(&b).copied().collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_symbols_never_panic_and_never_take_long(
            symbols: Vec<(u128, u64, i32)>, ours: Vec<u128>, honest in 0_usize..64,
        ) {
            let mut all = super::symbols(ours.iter().copied().map(|n| n ^ 1), 0, honest);
            let lies = symbols.into_iter().map(|(sum, check, count)| Symbol { sum, check, count });
            all.extend(lies);
            if let Some(found) = difference(&all, ours) {
                prop_assert!(found.theirs.len() + found.ours.len() <= all.len());
            }
        }
    }
}
