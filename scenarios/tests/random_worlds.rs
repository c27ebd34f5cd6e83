//! Random worlds: hubs, links, edits, blobs, cuts, crashes, full disks, wrong clocks, by seed.

use yingxue_scenarios::fault::{self, Weather};
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::{Action, HubIndex, World};
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
        restores: 2,
    };
    // In some worlds the lead takes a member out, and the others hear of it sooner or later.
    if world.rng.chance(30) {
        let hub = hubs[world.rng.between(1, members) as usize];
        let in_ms = world.rng.below(weather.span_ms);
        world.plan(in_ms, Action::Revoke { by: 0, hub });
    }
    fault::weather_and_heal(&mut world, &hubs, &weather);
    world.run_for(1_000);
    let membership = world.hubs[0].node().and_then(|node| node.membership());
    let revoked = membership.expect("the lead is a member").revoked;
    let stay = |hub: &HubIndex| !revoked.contains(&world.hubs[*hub].id);
    let hubs: Vec<HubIndex> = hubs.iter().copied().filter(stay).collect();
    // What only the one taken out had ever held does not come any more.
    let has_blobs = |it: &World| !revoked.is_empty() || check::all_blobs_whole(it, &hubs);
    let has_all = |it: &World| check::converged(it, &hubs) && has_blobs(it);
    world.must_reach("all hubs have the same", SETTLE_MS_MAX, has_all);
    check::same_where_converged(&world, &hubs);
    check::own_acknowledged_kept(&world);
    check::all_acknowledged_everywhere(&world, &hubs);
    check::refused_nowhere(&world);
    if revoked.is_empty() {
        check::pieces_right(&world, &hubs);
    }
    check::journals_unforked(&world);
    check::no_alarms(&world);
}

#[test]
fn in_random_worlds_nothing_acknowledged_is_lost_and_all_hubs_agree() {
    seed::for_each("random_worlds::in_random_worlds", SEEDS, random_world);
}
