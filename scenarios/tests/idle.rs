//! Hubs with nothing to say to one another say little: a metered 4G line pays for each byte.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::World;

/// One side asks for a sign of life each five minutes, in 3 bytes, and the other answers in 10:
/// 12 times an hour; the first pauses are shorter.
const IDLE_BYTES_PER_HOUR_MAX: u64 = 150;

#[test]
fn idle_contacts_stay_and_cost_next_to_nothing() {
    let mut world = World::new(5);
    let hubs = world.add_alliance(Access::LEAD, &[Access::LAN]);
    world.must_reach("both are alike", 60_000, |world| check::converged(world, &hubs));
    world.run_for(600_000);
    let sent_by = |world: &World, hub: usize| world.hubs[hub].sent_bytes.values().sum::<u64>();
    let sent = |world: &World| sent_by(world, 0) + sent_by(world, 1);
    let (before, contacts) = (sent(&world), world.hubs[0].open_contacts());
    world.run_for(3_600_000);
    let idle_bytes = sent(&world) - before;
    assert!(idle_bytes > 0, "nobody looked whether the other is there");
    assert!(idle_bytes <= IDLE_BYTES_PER_HOUR_MAX, "{idle_bytes} B in an idle hour");
    assert_eq!(world.hubs[0].open_contacts(), contacts);
    world.write(hubs[1], 1);
    world.must_reach("it is still of use", 2_000, |world| check::converged(world, &hubs));
}
