//! The registrar's office: handed over by the root key, stolen, and what an older alliance lacks.

use ed25519_dalek::SigningKey;
use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{HubIndex, World};
use yingxue_sync_core::event::{Alarm, Command, Event, Refusal};
use yingxue_sync_core::id::{CollectionId, HubId};
use yingxue_sync_core::membership::{Epoch, LESSONS, Member, SignedEpoch, TIMETABLES};

const SETTLE_MS_MAX: u64 = 600_000;
const ROOT: [u8; 32] = [9; 32];

fn settle(world: &mut World, hubs: &[HubIndex]) {
    world.run_for(1_000);
    world.must_reach("all agree", SETTLE_MS_MAX, |it| check::converged(it, hubs));
    check::same_where_converged(world, hubs);
    check::all_acknowledged_everywhere(world, hubs);
}

fn alliance(seed: u64, members: usize) -> World {
    let mut world = World::new(seed);
    world.add_hub(Access::LAN);
    let found = |request| Command::Found {
        request,
        name: "萤雪".to_owned(),
        school: "中心校".to_owned(),
        root_secret: ROOT,
    };
    assert_eq!(world.ask(0, found), Answer::Done);
    for _ in 0..members {
        let hub = world.add_hub(Access::LAN);
        world.join(0, hub);
    }
    world
}

fn take_over(world: &mut World, hub: HubIndex, root_secret: [u8; 32]) -> Answer {
    world.ask(hub, |request| Command::TakeOver { request, root_secret })
}

fn registrar(world: &World, hub: HubIndex) -> HubId {
    world.hubs[hub].node().and_then(|node| node.membership()).expect("a member").registrar
}

fn revoke(world: &mut World, by: HubIndex, hub: HubIndex) -> Answer {
    let id = world.hubs[hub].id;
    world.ask(by, |request| Command::Revoke { request, hub: id })
}

fn alarms(world: &World, hub: HubIndex) -> Vec<Alarm> {
    let events = world.hubs[hub].events.iter();
    let alarm = |event: &Event| match event {
        Event::Alarm(alarm) => Some(alarm.clone()),
        _ => None,
    };
    events.filter_map(|(_, event)| alarm(event)).collect()
}

#[test]
fn the_root_key_makes_another_hub_the_registrar() {
    let mut world = alliance(1, 2);
    settle(&mut world, &[0, 1, 2]);
    assert_eq!(take_over(&mut world, 1, [8; 32]), Answer::Refused(Refusal::NotRootKey));
    assert_eq!(take_over(&mut world, 1, ROOT), Answer::Done);
    settle(&mut world, &[0, 1, 2]);
    for hub in [0, 1, 2] {
        assert_eq!(registrar(&world, hub), world.hubs[1].id);
    }
    assert_eq!(revoke(&mut world, 0, 2), Answer::Refused(Refusal::NotRegistrar));
    let late = world.add_hub(Access::LAN);
    world.join(1, late);
    settle(&mut world, &[0, 1, 2, late]);
    assert_eq!(revoke(&mut world, 1, 0), Answer::Done, "even the one before it");
    settle(&mut world, &[1, 2, late]);
    assert_eq!(take_over(&mut world, 2, ROOT), Answer::Done, "and once more");
    settle(&mut world, &[1, 2, late]);
    check::no_alarms(&world);
}

#[test]
fn what_the_registrar_before_signs_after_the_hand_over_gives_way() {
    let mut world = alliance(2, 4);
    world.write(2, 1);
    world.write(3, 1);
    settle(&mut world, &[0, 1, 2, 3, 4]);
    // The lead's hub and one member are away from the others.
    let across = [(0, 1), (0, 2), (0, 4), (3, 1), (3, 2), (3, 4)];
    across.into_iter().for_each(|(a, b)| world.set_path(a, b, false));
    world.run_for(60_000);
    assert_eq!(take_over(&mut world, 1, ROOT), Answer::Done);
    assert_eq!(revoke(&mut world, 0, 4), Answer::Done);
    let late = world.add_hub(Access::LAN);
    world.join(0, late);
    let epochs = |world: &World, hub: usize| world.hubs[hub].store.durable().epochs.len();
    assert!(epochs(&world, 0) > epochs(&world, 1), "more and later epochs win nothing");
    across.into_iter().for_each(|(a, b)| world.set_path(a, b, true));
    settle(&mut world, &[0, 1, 2, 3, 4]);
    assert_eq!(registrar(&world, 0), world.hubs[1].id);
    let members = world.hubs[3].node().and_then(|node| node.membership()).expect("a member").hubs;
    assert_eq!(members.len(), 5, "the one taken out is in, and the one let in is out");
    world.write(4, 1);
    world.write(0, 1);
    settle(&mut world, &[0, 1, 2, 3, 4]);
    check::no_alarms(&world);
}

#[test]
fn a_registrar_whose_key_was_copied_is_noticed_and_the_root_key_mends_it() {
    let mut world = alliance(3, 2);
    world.write(1, 1);
    settle(&mut world, &[0, 1, 2]);
    // A thief signs another epoch with the registrar's key, and gives it to one member.
    let signed = world.hubs[2].store.durable().epochs.last().cloned().expect("epochs");
    let newest = SignedEpoch::decode(&signed).expect("it was stored");
    let mut draft = Epoch { n: newest.epoch.n + 1, prev_hash: newest.hash, ..newest.epoch };
    draft.name = "贼".to_owned();
    let forged = draft.sign(&SigningKey::from_bytes(&world.hubs[0].secret));
    world.cut_power(2, Landed::All);
    world.hubs[2].store.meddle(|disk| disk.epochs.push(forged.bytes.clone().into()));
    for other in [0, 1] {
        world.set_path(2, other, false);
    }
    world.power_on(2);
    let late = world.add_hub(Access::LAN);
    world.join(0, late);
    settle(&mut world, &[0, 1, late]);
    for other in [0, 1] {
        world.set_path(2, other, true);
    }
    let has_both = |world: &World, hub: HubIndex| {
        !world.hubs[hub].store.durable().epochs_aside.is_empty()
            && alarms(world, hub).iter().any(|it| matches!(it, Alarm::MembershipForked { .. }))
    };
    let all_know = |world: &World| has_both(world, 2) && (has_both(world, 0) || has_both(world, 1));
    world.must_reach("evidence on both sides", SETTLE_MS_MAX, all_know);
    // It outlasts a restart: nothing is signed on top of one of two histories.
    let knows = usize::from(!has_both(&world, 0));
    world.cut_power(knows, Landed::All);
    world.power_on(knows);
    if knows == 0 {
        assert_eq!(revoke(&mut world, 0, 1), Answer::Refused(Refusal::NotRegistrar));
    }
    assert_eq!(take_over(&mut world, 1, ROOT), Answer::Done);
    settle(&mut world, &[0, 1, 2, late]);
    assert_eq!(registrar(&world, 2), world.hubs[1].id);
}

/// Makes a hub's disk one of an alliance that was founded before there were timetables.
fn founded_long_ago(world: &mut World) -> HubIndex {
    let hub = world.add_hub(Access::LAN);
    let lead = Member {
        hub: world.hubs[hub].id,
        x25519: [0; 32],
        school: "中心校".to_owned(),
        is_lead: true,
        addresses: vec![],
    };
    let mut first = Epoch::first(&SigningKey::from_bytes(&ROOT), "萤雪", lead);
    first.collections.retain(|rule| rule.id.0 == LESSONS);
    let signed = first.sign(&SigningKey::from_bytes(&world.hubs[hub].secret));
    world.cut_power(hub, Landed::All);
    world.hubs[hub].store.meddle(|disk| disk.epochs.push(signed.bytes.clone().into()));
    world.power_on(hub);
    hub
}

#[test]
fn an_alliance_without_timetables_gets_them_from_its_registrar() {
    let mut world = World::new(4);
    let lead = founded_long_ago(&mut world);
    let timetables = CollectionId(TIMETABLES.to_owned());
    let rules = |world: &World, hub: HubIndex| {
        let epochs = &world.hubs[hub].store.durable().epochs;
        let newest = SignedEpoch::decode(epochs.last().expect("a member")).expect("it was stored");
        newest.epoch.collections.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>()
    };
    world.must_reach("the epoch", 10_000, |it| rules(it, lead).contains(&timetables));
    let member = world.add_hub(Access::LAN);
    world.join(lead, member);
    let edits = vec![yingxue_sync_core::event::DocEdit::Put {
        path: vec!["kind".to_owned()],
        value: yingxue_sync_core::event::DocValue::Str("term".to_owned()),
    }];
    let collection = timetables.clone();
    let edit = |request| Command::EditDoc {
        request,
        collection,
        doc: yingxue_sync_core::id::DocId([3; 16]),
        author: "t1".to_owned(),
        edits,
    };
    assert_eq!(world.ask(member, edit), Answer::Done);
    let id = world.hubs[member].id;
    let has_it = |it: &World| it.hubs[lead].store.durable().head_seq(&timetables, id) == 1;
    world.must_reach("the lead has the member's timetable", 60_000, has_it);
    settle(&mut world, &[lead, member]);
    let epochs = world.hubs[lead].store.durable().epochs.len();
    world.cut_power(lead, Landed::All);
    world.power_on(lead);
    world.run_for(60_000);
    assert_eq!(world.hubs[lead].store.durable().epochs.len(), epochs, "once is enough");
}
