//! Two hubs converge after any order of cuts.

use yingxue_scenarios::fault::{self, Weather};
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::World;
use yingxue_scenarios::{check, seed};

/// From the last outage to the same on both: redialling waits at most minutes.
const SETTLE_MS_MAX: u64 = 600_000;

fn two_hubs(seed: u64) -> World {
    let mut world = World::new(seed);
    let (rate, delay_ms) = (world.rng.between(8_000, 1_000_000), world.rng.between(1, 300));
    world.describe_path(0, 1, rate, delay_ms);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    world
}

fn settle(world: &mut World) {
    world.must_reach("both hubs have the same", SETTLE_MS_MAX, |it| check::converged(it, &[0, 1]));
    check::same_where_converged(world, &[0, 1]);
    check::all_acknowledged_everywhere(world, &[0, 1]);
    check::refused_nowhere(world);
    check::no_alarms(world);
}

fn any_order_of_cuts(seed: u64) {
    let mut world = two_hubs(seed);
    let weather =
        Weather { span_ms: 180_000, writes: 16, docs: 2, link_cuts: 10, ..Weather::default() };
    fault::weather_and_heal(&mut world, &[0, 1], &weather);
    settle(&mut world);
    assert_eq!(world.ledger.acknowledged().count(), 16, "a healthy hub takes every edit");
}

#[test]
fn two_hubs_converge_after_any_order_of_cuts() {
    seed::for_each("convergence::two_hubs_converge", 200, any_order_of_cuts);
}

#[test]
fn what_two_schools_write_apart_in_one_document_is_in_both_afterwards() {
    let mut world = two_hubs(1);
    world.write(0, 1);
    settle(&mut world);
    world.set_path(0, 1, false);
    for hub in [0, 1, 0, 1] {
        world.write(hub, 1);
        world.run_for(30_000);
    }
    assert!(!check::converged(&world, &[0, 1]), "the link is down");
    assert_eq!(world.ledger.acknowledged().count(), 5, "a hub without its uplink takes edits");
    world.set_path(0, 1, true);
    settle(&mut world);
    let notes = world.document(1, yingxue_scenarios::world::alliance::doc_of(1));
    let authors = [0, 1].map(|hub| {
        let prefix = format!("note:{hub}-");
        notes.keys().filter(|key| key.starts_with(&prefix)).count()
    });
    assert!(authors[0] >= 3 && authors[1] >= 2, "both schools' notes: {notes:?}");
}

#[test]
fn equal_seeds_give_equal_runs() {
    let run = || {
        let mut world = two_hubs(3);
        world.add_blob(0, &[10_000, 20_000], 0);
        world.write(1, 1);
        world.run_for(60_000);
        let disk = world.hubs[1].store.durable().journals.clone();
        (disk, world.hubs[0].sent_bytes.clone(), world.rng.bits())
    };
    assert_eq!(run(), run());
}
