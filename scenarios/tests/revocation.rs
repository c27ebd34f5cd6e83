//! A hub is taken out, and some hear of it late: those who stay agree, in whatever order.

use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::alliance::doc_of;
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{HubIndex, World};
use yingxue_scenarios::{check, seed};
use yingxue_sync_core::event::Command;

const SETTLE_MS_MAX: u64 = 900_000;

fn settle(world: &mut World, hubs: &[HubIndex]) {
    world.must_reach("those who stay agree", SETTLE_MS_MAX, |it| check::converged(it, hubs));
    check::same_where_converged(world, hubs);
    check::all_acknowledged_everywhere(world, hubs);
    check::no_alarms(world);
}

fn revoke(world: &mut World, hub: HubIndex) {
    let id = world.hubs[hub].id;
    let answer = world.ask(0, |request| Command::Revoke { request, hub: id });
    assert_eq!(answer, Answer::Done);
}

/// Lead, two members, and one that will be taken out; the last two are cut off from the others.
fn two_and_two(seed: u64) -> World {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN; 3]);
    world.write(3, 1);
    world.write(0, 1);
    settle(&mut world, &hubs);
    part(&mut world, false);
    world.run_for(60_000);
    world
}

fn part(world: &mut World, is_up: bool) {
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.set_path(a, b, is_up);
    }
}

/// Lets the neighbour take what the one has written that will be taken out.
fn meet(world: &mut World) {
    world.run_for(1_000);
    let is_same = |it: &World| check::converged(it, &[2, 3]);
    world.must_reach("the neighbour has it", SETTLE_MS_MAX, is_same);
}

fn words_of(world: &World, of: HubIndex, at: HubIndex, doc: u8) -> usize {
    let prefix = format!("note:{of}-");
    world.document(at, doc_of(doc)).keys().filter(|key| key.starts_with(&prefix)).count()
}

#[test]
fn who_took_more_before_it_heard_of_a_revocation_gives_it_up() {
    let mut world = two_and_two(1);
    let before = words_of(&world, 3, 0, 1);
    world.write(3, 1);
    world.write(3, 2);
    meet(&mut world);
    assert!(words_of(&world, 3, 2, 1) > before && words_of(&world, 3, 2, 2) > 0);
    revoke(&mut world, 3);
    part(&mut world, true);
    settle(&mut world, &[0, 1, 2]);
    for hub in [0, 1, 2] {
        assert_eq!(words_of(&world, 3, hub, 1), before, "hub {hub}");
        assert_eq!(words_of(&world, 3, hub, 2), 0, "a document that only it wrote, hub {hub}");
    }
    let aside = world.hubs[2].store.durable().aside.len();
    assert_eq!(aside, 2, "what does not count is kept as evidence");
    world.write(2, 1);
    settle(&mut world, &[0, 1, 2]);
}

#[test]
fn what_a_member_built_upon_counts_for_everybody() {
    let mut world = two_and_two(2);
    world.write(3, 1);
    world.write(3, 2);
    meet(&mut world);
    let built_upon = words_of(&world, 3, 2, 1);
    world.write(2, 1);
    world.run_for(5_000);
    // Past what is built upon, and known to the neighbour.
    world.write(3, 2);
    meet(&mut world);
    let unbuilt = words_of(&world, 3, 2, 2);
    revoke(&mut world, 3);
    part(&mut world, true);
    settle(&mut world, &[0, 1, 2]);
    for hub in [0, 1, 2] {
        assert_eq!(words_of(&world, 3, hub, 1), built_upon, "hub {hub}");
        assert!(words_of(&world, 3, hub, 2) < unbuilt, "hub {hub}");
    }
}

#[test]
fn a_crash_anywhere_while_judging_anew_is_got_over() {
    for cut_after_ms in 0..40 {
        let mut world = two_and_two(3);
        world.write(3, 1);
        world.write(3, 2);
        meet(&mut world);
        revoke(&mut world, 3);
        part(&mut world, true);
        let knows = |it: &World| it.hubs[2].store.given().epochs.len() == 5;
        world.must_reach("the epoch", SETTLE_MS_MAX, knows);
        world.run_for(cut_after_ms * 4);
        let action = yingxue_scenarios::world::Action::CutPower { hub: 2, for_ms: 1_000 };
        world.act(action);
        world.run_for(2_000);
        settle(&mut world, &[0, 1, 2]);
        assert_eq!(words_of(&world, 3, 2, 2), 0);
    }
}

/// Everybody writes in the same documents while links come and go, and one is taken out.
fn any_order(seed: u64) {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN; 4]);
    for round in 0..6 {
        for _ in 0..4 {
            let (a, b) = (world.rng.index(5), world.rng.index(5));
            let is_up = world.rng.chance(50);
            if a != b {
                world.set_path(a, b, is_up);
            }
        }
        for _ in 0..5 {
            let (hub, doc) = (world.rng.index(5), world.rng.between(1, 3) as u8);
            world.write(hub, doc);
            let pause_ms = world.rng.below(3_000);
            world.run_for(pause_ms);
        }
        if round == 3 {
            revoke(&mut world, 4);
        }
        let pause_ms = world.rng.below(60_000);
        world.run_for(pause_ms);
    }
    for &a in &hubs {
        (0..a).for_each(|b| world.set_path(a, b, true));
    }
    settle(&mut world, &hubs[..4]);
}

#[test]
fn in_any_order_of_delivery_those_who_stay_agree() {
    seed::for_each("revocation::in_any_order", 100, any_order);
}
