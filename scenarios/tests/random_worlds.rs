//! Random worlds: hubs, links, edits, blobs, cuts, crashes, full disks, wrong clocks, by seed.

use yingxue_scenarios::fault::{self, Weather};
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::World;
use yingxue_scenarios::{check, seed};

/// Seeds that every run of the tests takes.
const SEEDS: u64 = 200;
/// From the last outage to the same everywhere, over the weakest links.
const SETTLE_MS_MAX: u64 = 1_200_000;

fn random_world(seed: u64) {
    let mut world = World::new(seed);
    let members = world.rng.between(4, 7);
    let accesses: Vec<Access> = (0..members).map(|_| Access::rural(&mut world.rng)).collect();
    let hubs = world.add_alliance(Access::LEAD, &accesses);
    // Some are behind a router that nobody can call through; the lead can always be called.
    for hub in hubs.iter().skip(1) {
        world.hubs[*hub].is_reachable = world.rng.chance(60);
    }
    let weather = Weather {
        span_ms: 240_000,
        writes: 30,
        docs: 3,
        blobs: 4,
        link_cuts: 12,
        power_cuts: 6,
        clock_jumps: 3,
        full_disks: 2,
    };
    fault::weather_and_heal(&mut world, &hubs, &weather);
    let has_all = |it: &World| check::converged(it, &hubs) && check::all_blobs_whole(it, &hubs);
    world.must_reach("all hubs have the same", SETTLE_MS_MAX, has_all);
    check::same_where_converged(&world, &hubs);
    check::own_acknowledged_kept(&world);
    check::all_acknowledged_everywhere(&world, &hubs);
    check::refused_nowhere(&world);
    check::pieces_right(&world, &hubs);
    check::journals_unforked(&world);
    check::no_alarms(&world);
}

#[test]
fn in_random_worlds_nothing_acknowledged_is_lost_and_all_hubs_agree() {
    seed::for_each("random_worlds::in_random_worlds", SEEDS, random_world);
}
