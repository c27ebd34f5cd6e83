//! Two hubs that meet again say little: next to nothing if nothing changed, else what did.

use yingxue_scenarios::reconnect::Apart;

/// DESIGN §6.
const UNCHANGED_BYTES_MAX: u64 = 2_048;
const RECONNECT_BYTES_MAX: u64 = 65_536;
const ROUND_TRIPS_MAX: f64 = 2.0;

#[test]
fn the_cost_of_meeting_again_is_that_of_what_has_changed() {
    let mut few = Apart::new(8, 100);
    let mut many = Apart::new(8, 1_000);
    let unchanged = many.reconnect(0);
    assert!(unchanged.bytes <= UNCHANGED_BYTES_MAX, "{unchanged:?}");
    assert!(unchanged.round_trips <= ROUND_TRIPS_MAX, "{unchanged:?}");
    let (few, many) = (few.reconnect(50), many.reconnect(50));
    assert!(many.bytes <= RECONNECT_BYTES_MAX, "{many:?}");
    assert!(many.round_trips <= ROUND_TRIPS_MAX, "{many:?}");
    let more = many.bytes.abs_diff(few.bytes);
    assert!(more * 20 < few.bytes, "it does not depend on what is held: {few:?}, {many:?}");
}

/// As `bench night` measures it; some minutes.
#[test]
#[ignore = "takes minutes; cargo test --release -p yingxue-scenarios --test reconnect -- --ignored"]
fn a_hundred_thousand_documents_of_which_fifty_changed() {
    let mut apart = Apart::new(37, 100_000);
    let (unchanged, changed) = (apart.reconnect(0), apart.reconnect(50));
    println!("unchanged: {unchanged:?}, 50 changed: {changed:?}");
    assert!(unchanged.bytes <= UNCHANGED_BYTES_MAX && unchanged.round_trips <= ROUND_TRIPS_MAX);
    assert!(changed.bytes <= RECONNECT_BYTES_MAX && changed.round_trips <= ROUND_TRIPS_MAX);
}
