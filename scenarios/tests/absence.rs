//! A hub that is away for a term, and clocks that jump in the night.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::{Action, HubIndex, Scrutiny, World};

const SETTLE_MS_MAX: u64 = 600_000;
const DAY_MS: u64 = 86_400_000;
const TERM_DAYS: u64 = 140;
const TEN_YEARS_MS: i64 = 3_650 * DAY_MS as i64;

fn settle(world: &mut World, hubs: &[HubIndex]) {
    let alike =
        |world: &World| check::converged(world, hubs) && check::all_blobs_whole(world, hubs);
    world.must_reach("all have all", SETTLE_MS_MAX, alike);
    check::all_acknowledged_everywhere(world, hubs);
    check::pieces_right(world, hubs);
}

#[test]
fn a_hub_that_was_away_for_a_term_has_everything_minutes_after_it_is_back() {
    // A term has too many moments to look at each.
    let mut world = World::with_scrutiny(1, Scrutiny::OnDemand);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    settle(&mut world, &hubs);
    world.set_line(2, false);
    for day in 0..TERM_DAYS {
        // It goes on writing for itself; the others write and bring lessons.
        for hub in &hubs {
            world.write(*hub, 1 + (day % 30) as u8);
        }
        if day % 10 == 0 {
            world.add_blob(0, &[20_000, 20_000], 0);
        }
        world.run_for(DAY_MS);
    }
    assert!(!check::converged(&world, &hubs), "it was not away");
    settle(&mut world, &[0, 1]);
    world.set_line(2, true);
    settle(&mut world, &hubs);
    check::no_alarms(&world);
}

#[test]
fn clocks_that_jump_ten_years_in_the_night_stop_nothing() {
    let mut world = World::new(2);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    world.describe_path(0, 1, 100_000, 50);
    world.describe_path(0, 2, 100_000, 50);
    for _ in 0..4 {
        world.add_blob(0, &[500_000; 10], 0);
    }
    // Forth, back, right again, while lessons arrive and people write.
    let skews = [TEN_YEARS_MS, -TEN_YEARS_MS, 0, -TEN_YEARS_MS, TEN_YEARS_MS, 0];
    for (round, skew_ms) in (0..).zip(skews) {
        let hub = hubs[round % hubs.len()];
        world.plan(10_000 * round as u64, Action::SkewClock { hub, skew_ms });
        world.plan(10_000 * round as u64 + 3_000, Action::Write { hub, doc: 1 });
    }
    world.run_for(15_000);
    assert!(!check::all_blobs_whole(&world, &hubs), "the night was over before a clock jumped");
    settle(&mut world, &hubs);
    check::no_alarms(&world);
}
