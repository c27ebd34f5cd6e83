//! A backup is put back, or a disk is cloned: nothing forks where that can be helped, and where it
//! cannot, both sides keep the evidence.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::alliance::lessons;
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{Action, HubIndex, World};
use yingxue_sync_core::event::{Alarm, Command, Event, Refusal};

/// Longer than a hub in doubt waits for those that do not answer.
const SETTLE_MS_MAX: u64 = 900_000;

fn settle(world: &mut World, hubs: &[HubIndex]) {
    world.must_reach("all agree", SETTLE_MS_MAX, |it| check::converged(it, hubs));
    check::same_where_converged(world, hubs);
    check::all_acknowledged_everywhere(world, hubs);
}

fn is_in_doubt(world: &World, hub: HubIndex) -> bool {
    world.hubs[hub].node().is_some_and(|node| node.is_in_doubt())
}

fn answer_to_write(world: &mut World, hub: HubIndex) -> Answer {
    let request = world.write(hub, 1).expect("its power is on");
    world.must_reach("an answer", 10_000, |it| it.ledger.answer(request).is_some());
    world.ledger.answer(request).cloned().expect("just looked at")
}

fn alarms(world: &World, hub: HubIndex) -> Vec<Alarm> {
    let events = world.hubs[hub].events.iter();
    let alarm = |event: &Event| match event {
        Event::Alarm(alarm) => Some(alarm.clone()),
        _ => None,
    };
    events.filter_map(|(_, event)| alarm(event)).collect()
}

/// Three hubs; the last has a backup that lacks what it wrote last, and is cut off.
fn backed_up(seed: u64) -> World {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    world.write(2, 1);
    settle(&mut world, &hubs);
    world.act(Action::BackUp { hub: 2 });
    for doc in 1..=5 {
        world.write(2, doc);
    }
    world.run_for(1_000);
    settle(&mut world, &hubs);
    cut_off(&mut world, false);
    world
}

fn cut_off(world: &mut World, is_up: bool) {
    (0..2).for_each(|other| world.set_path(2, other, is_up));
    world.run_for(40_000);
}

#[test]
fn a_hub_that_was_restored_writes_only_after_others_gave_back_what_it_wrote() {
    let mut world = backed_up(1);
    world.act(Action::Restore { hub: 2, is_noticed: true });
    assert_eq!(answer_to_write(&mut world, 2), Answer::Refused(Refusal::InDoubt));
    assert_eq!(alarms(&world, 2), [Alarm::Restored]);
    cut_off(&mut world, true);
    world.must_reach("the doubt ends", 120_000, |world| !is_in_doubt(world, 2));
    settle(&mut world, &[0, 1, 2]);
    assert_eq!(answer_to_write(&mut world, 2), Answer::Done);
    settle(&mut world, &[0, 1, 2]);
    check::journals_unforked(&world);
    check::no_alarms(&world);
}

#[test]
fn one_hub_that_answers_is_enough_after_a_while() {
    let mut world = backed_up(2);
    world.act(Action::Restore { hub: 2, is_noticed: true });
    world.set_path(2, 0, true);
    world.run_for(60_000);
    assert!(is_in_doubt(&world, 2), "another hub may hold more");
    world.act(Action::CutPower { hub: 2, for_ms: 1_000 });
    world.run_for(60_000);
    assert!(is_in_doubt(&world, 2), "doubt outlasts a restart");
    world.must_reach("the doubt ends", SETTLE_MS_MAX, |world| !is_in_doubt(world, 2));
    assert_eq!(answer_to_write(&mut world, 2), Answer::Done);
    cut_off(&mut world, true);
    settle(&mut world, &[0, 1, 2]);
    check::no_alarms(&world);
}

#[test]
fn the_keeper_can_end_the_doubt_when_nobody_answers() {
    let mut world = backed_up(3);
    world.act(Action::Restore { hub: 2, is_noticed: true });
    world.run_for(SETTLE_MS_MAX);
    assert!(is_in_doubt(&world, 2));
    assert_eq!(world.ask(2, |request| Command::EndDoubt { request }), Answer::Done);
    assert_eq!(answer_to_write(&mut world, 2), Answer::Done);
}

#[test]
fn a_hub_alone_in_its_alliance_has_nobody_to_ask() {
    let mut world = World::new(4);
    world.add_alliance(Access::LAN, &[]);
    world.act(Action::BackUp { hub: 0 });
    world.act(Action::Restore { hub: 0, is_noticed: true });
    world.run_for(1_000);
    assert!(!is_in_doubt(&world, 0));
    assert_eq!(answer_to_write(&mut world, 0), Answer::Done);
}

#[test]
fn a_restored_registrar_signs_no_second_epoch_with_one_number() {
    let mut world = World::new(5);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN]);
    world.act(Action::BackUp { hub: 0 });
    let third = world.add_hub(Access::LAN);
    world.join(0, third);
    settle(&mut world, &[0, 1, third]);
    (1..3).for_each(|other| world.set_path(0, other, false));
    world.act(Action::Restore { hub: 0, is_noticed: true });
    let id = world.hubs[hubs[1]].id;
    let revoke = |request| Command::Revoke { request, hub: id };
    assert_eq!(world.ask(0, revoke), Answer::Refused(Refusal::InDoubt));
    (1..3).for_each(|other| world.set_path(0, other, true));
    world.must_reach("the doubt ends", SETTLE_MS_MAX, |world| !is_in_doubt(world, 0));
    settle(&mut world, &[0, 1, third]);
    assert_eq!(world.ask(0, revoke), Answer::Done);
    settle(&mut world, &[0, third]);
    check::no_alarms(&world);
}

#[test]
fn a_restored_disk_that_nobody_noticed_is_noticed_at_the_first_contact() {
    let mut world = backed_up(6);
    world.act(Action::Restore { hub: 2, is_noticed: false });
    cut_off(&mut world, true);
    settle(&mut world, &[0, 1, 2]);
    assert!(matches!(alarms(&world, 2)[..], [Alarm::OwnEntriesMissing { .. }, ..]));
    assert_eq!(answer_to_write(&mut world, 2), Answer::Done);
    settle(&mut world, &[0, 1, 2]);
    check::journals_unforked(&world);
}

#[test]
fn a_member_that_claims_more_than_there_is_stops_nobody_for_long() {
    let mut world = World::new(7);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN]);
    world.write(0, 1);
    world.write(1, 1);
    world.run_for(1_000);
    settle(&mut world, &hubs);
    // The other hub makes up an entry of ours: its store says that it holds one more.
    let id = world.hubs[0].id;
    world.cut_power(1, yingxue_scenarios::store::Landed::All);
    world.hubs[1].store.meddle(|disk| {
        let journal = disk.journals.get_mut(&(lessons(), id)).expect("it has ours");
        let mut invented = (**journal.values().next_back().unwrap()).clone();
        invented.seq += 1;
        journal.insert(invented.seq, invented.into());
        disk.fingerprints.insert(lessons(), [1; 16]);
    });
    world.power_on(1);
    world.run_for(30_000);
    assert_eq!(answer_to_write(&mut world, 0), Answer::Refused(Refusal::InDoubt));
    world.run_for(120_000);
    assert_eq!(answer_to_write(&mut world, 0), Answer::Done);
    let hub = world.hubs[1].id;
    assert!(alarms(&world, 0).contains(&Alarm::OwnEntriesNotGiven { hub }));
}

#[test]
fn two_disks_that_take_turns_with_one_key_are_told_from_one_that_was_restored() {
    let mut world = backed_up(8);
    let is_cloned = |world: &World| {
        let hub = world.hubs[2].id;
        [0, 1].iter().any(|at| alarms(world, *at).contains(&Alarm::Cloned { hub }))
    };
    world.act(Action::Restore { hub: 2, is_noticed: true });
    cut_off(&mut world, true);
    world.must_reach("the doubt ends", SETTLE_MS_MAX, |world| !is_in_doubt(world, 2));
    settle(&mut world, &[0, 1, 2]);
    assert!(!is_cloned(&world), "it is another store now, and stays that");
    cut_off(&mut world, false);
    world.act(Action::Restore { hub: 2, is_noticed: false });
    cut_off(&mut world, true);
    world.must_reach("the first one is back", SETTLE_MS_MAX, is_cloned);
}

#[test]
fn a_hub_that_joins_again_with_an_empty_disk_does_not_write_a_second_history() {
    let mut world = World::new(9);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN]);
    world.write(1, 1);
    world.run_for(1_000);
    settle(&mut world, &hubs);
    let id = world.hubs[1].id;
    let revoke = |request| Command::Revoke { request, hub: id };
    assert_eq!(world.ask(0, revoke), Answer::Done);
    world.hubs[1].backup = Some(yingxue_scenarios::disk::Disk::default());
    world.act(Action::Restore { hub: 1, is_noticed: false });
    world.join(0, 1);
    assert_eq!(alarms(&world, 1), [Alarm::Restored], "others hold what it wrote");
    world.must_reach("the doubt ends", SETTLE_MS_MAX, |world| !is_in_doubt(world, 1));
    assert_eq!(answer_to_write(&mut world, 1), Answer::Done);
    world.run_for(1_000);
    settle(&mut world, &hubs);
    check::journals_unforked(&world);
}
