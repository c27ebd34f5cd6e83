//! Symbols of a reconciliation, which may be no set's: the first byte says how many items are ours,
//! then come those, then the symbols.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::riblt::{Item, SYMBOLS_MAX, Symbol, difference, symbols};

const ITEM_BYTES: usize = 16;
const SYMBOL_BYTES: usize = 28;

fn symbol(bytes: &[u8; SYMBOL_BYTES]) -> Option<Symbol> {
    let (sum, rest) = bytes.split_first_chunk::<ITEM_BYTES>()?;
    let (check, count) = rest.split_first_chunk::<8>()?;
    Some(Symbol {
        sum: u128::from_le_bytes(*sum),
        check: u64::from_le_bytes(*check),
        count: i32::from_le_bytes(count.try_into().ok()?),
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((count, rest)) = bytes.split_first() else { return };
    let own_bytes = (usize::from(*count) * ITEM_BYTES).min(rest.len());
    let (own, rest) = rest.split_at(own_bytes);
    let (own, _) = own.as_chunks::<ITEM_BYTES>();
    let own: Vec<Item> = own.iter().map(|item| u128::from_le_bytes(*item)).collect();
    let (theirs, _) = rest.as_chunks::<SYMBOL_BYTES>();
    let theirs: Vec<Symbol> = theirs.iter().take(SYMBOLS_MAX).filter_map(symbol).collect();
    if let Some(found) = difference(&theirs, own.iter().copied()) {
        assert!(found.theirs.len() + found.ours.len() <= theirs.len());
    }
    // Of real sets that differ in little, all is found.
    let (few, rest) = own.split_at(own.len().min(4));
    let of_theirs = symbols(rest.iter().copied(), 0, 64);
    if let Some(found) = difference(&of_theirs, own.iter().copied()) {
        assert!(found.theirs.is_empty() && found.ours.len() <= few.len());
    }
});
