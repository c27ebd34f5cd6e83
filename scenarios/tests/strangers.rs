//! A stranger and a revoked hub get nothing, whatever they send.

use yingxue_scenarios::link::Access;
use yingxue_scenarios::rng::Rng;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::hub::{Tamper, address_of, fuzzed};
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{HubIndex, World};
use yingxue_scenarios::{check, seed};
use yingxue_sync_core::event::{Command, Input};
use yingxue_sync_core::id::{CollectionId, ContactId, Hash};
use yingxue_sync_core::membership::LESSONS;
use yingxue_sync_core::wire::{Hello, Message, PROTOCOL_VERSION};

const SETTLE_MS_MAX: u64 = 600_000;
const DAY_MS: u64 = 86_400_000;

/// Two members with documents and a blob, and a stranger who knows all their addresses.
fn alliance_and_stranger(seed: u64) -> (World, HubIndex) {
    let mut world = World::new(seed);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    world.write(0, 1);
    world.add_blob(0, &[30_000, 500], 0);
    settle(&mut world, &[0, 1]);
    let stranger = world.add_puppet();
    (world, stranger)
}

fn settle(world: &mut World, hubs: &[HubIndex]) {
    let has_all = |it: &World| check::converged(it, hubs) && check::all_blobs_whole(it, hubs);
    world.must_reach("the members have the same", SETTLE_MS_MAX, has_all);
    check::same_where_converged(world, hubs);
    check::all_acknowledged_everywhere(world, hubs);
}

fn dial(world: &mut World, from: HubIndex, to: HubIndex) -> Option<ContactId> {
    let before = world.hubs[from].open_contacts();
    world.dial(from, world.hubs[to].id, &[address_of(to)]);
    world.run_for(1_000);
    world.hubs[from].open_contacts().into_iter().find(|contact| !before.contains(contact))
}

#[test]
fn a_hub_that_invited_nobody_lets_no_stranger_past_the_handshake() {
    let (mut world, stranger) = alliance_and_stranger(1);
    assert_eq!(dial(&mut world, stranger, 1), None);
    assert!(matches!(world.hubs[stranger].heard(), [Input::DialFailed { .. }]));
}

/// What a stranger may say who knows everything but a key and a secret.
fn questions(world: &World) -> Vec<Message> {
    let view = world.hubs[0].node().and_then(|node| node.membership()).expect("it is founded");
    let collection = CollectionId(LESSONS.into());
    let blob = world.ledger.blobs[0].1;
    vec![
        Message::Hello(Hello {
            version: PROTOCOL_VERSION,
            alliance: view.alliance,
            epoch: view.epoch,
            epoch_hash: Hash([0; 32]),
            addresses: vec![],
            witnessed: 0,
            store_id: [0; 16],
            collections: vec![(collection.clone(), [0; 16])],
        }),
        Message::Credit { granted_bytes: u64::MAX },
        Message::Epochs(vec![]),
        Message::Vector { collection: collection.clone(), entries: vec![], is_asking: true },
        Message::Want { blob, collection, has_manifest: false, rank: 0 },
        Message::Request { blob, piece: 0, offset: 0, is_urgent: true },
    ]
}

#[test]
fn a_stranger_let_in_by_an_open_invitation_learns_nothing() {
    let (mut world, stranger) = alliance_and_stranger(2);
    world.invite(0, DAY_MS);
    let questions = questions(&world);
    for first in 0..questions.len() {
        let contact = dial(&mut world, stranger, 0).expect("an invitation is open");
        for question in &questions[first..] {
            for frame in question.frames() {
                world.send(stranger, contact, frame);
            }
            world.run_for(200);
        }
        let is_closed = |world: &World| !world.hubs[stranger].open_contacts().contains(&contact);
        world.must_reach("the stranger is shown the door", 120_000, is_closed);
    }
    check::stranger_learnt_nothing(&world, stranger);
    world.write(1, 1);
    settle(&mut world, &[0, 1]);
}

#[test]
fn a_stranger_who_says_nothing_is_not_kept() {
    let (mut world, stranger) = alliance_and_stranger(3);
    world.invite(0, DAY_MS);
    let contact = dial(&mut world, stranger, 0).expect("an invitation is open");
    let is_closed = |world: &World| !world.hubs[stranger].open_contacts().contains(&contact);
    world.must_reach("the silent stranger is shown the door", 180_000, is_closed);
}

/// A stranger replays what members said to each other, as it was and mutated.
fn replays_and_garbage(seed: u64) {
    let (mut world, stranger) = alliance_and_stranger(seed);
    world.invite(0, DAY_MS);
    let captured: Vec<Vec<u8>> =
        [0, 1].iter().flat_map(|hub| world.hubs[*hub].sent_frames.clone()).collect();
    let mut rng = Rng::new(seed);
    let mut contact = None;
    for i in 0..40 {
        let open = world.hubs[stranger].open_contacts();
        if contact.is_none_or(|contact| !open.contains(&contact)) {
            contact = dial(&mut world, stranger, 0);
        }
        let Some(contact) = contact else { continue };
        let mut frame = captured[rng.index(captured.len())].clone();
        if i % 4 != 0 {
            frame = fuzzed(frame, &mut rng);
        }
        world.send(stranger, contact, frame);
        world.run_for(20);
    }
    check::stranger_learnt_nothing(&world, stranger);
    world.write(0, 1);
    world.write(1, 1);
    settle(&mut world, &[0, 1]);
    check::no_alarms(&world);
}

#[test]
fn replayed_and_mutated_frames_get_a_stranger_nothing_and_the_hub_stays_up() {
    seed::for_each("strangers::replayed_and_mutated", 60, replays_and_garbage);
}

/// A member goes mad: one frame in ten that it sends is garbage.
fn a_mad_member(seed: u64) {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    world.hubs[2].tamper = Tamper::Fuzz(10);
    for round in 0..6 {
        for hub in &hubs {
            world.write(*hub, 1);
        }
        world.add_blob(round % 3, &[20_000, 3_000], 0);
        world.run_for(5_000);
    }
    // The two sane ones have all that either of them wrote; of the mad one's, they agree.
    world.must_reach("the sane ones agree", SETTLE_MS_MAX, |it| check::converged(it, &[0, 1]));
    check::same_where_converged(&world, &[0, 1]);
    check::all_acknowledged_everywhere(&world, &[0, 1]);
    // It is mended and started again, and what it had said is forgotten.
    world.cut_power(2, Landed::Some);
    world.hubs[2].tamper = Tamper::No;
    world.power_on(2);
    settle(&mut world, &hubs);
    check::pieces_right(&world, &hubs);
}

#[test]
fn a_member_that_sends_garbage_harms_nobody_and_is_welcome_when_it_is_well_again() {
    seed::for_each("strangers::a_member_that_sends_garbage", 60, a_mad_member);
}

#[test]
fn a_hub_of_another_alliance_on_the_same_lan_gets_nothing() {
    let (mut world, _) = alliance_and_stranger(4);
    let other = world.add_hub(Access::LAN);
    world.found(other, "另一个联盟");
    world.invite(0, DAY_MS);
    world.introduce(0, other);
    world.introduce(1, other);
    world.run_for(600_000);
    let disk = world.hubs[other].store.given();
    assert!(disk.journals.is_empty() && disk.blobs.is_empty() && disk.epochs.len() == 1);
    settle(&mut world, &[0, 1]);
}

fn revoke(world: &mut World, hub: HubIndex) {
    let id = world.hubs[hub].id;
    let answer = world.ask(0, |request| Command::Revoke { request, hub: id });
    assert_eq!(answer, Answer::Done);
}

fn knows_revoked(world: &World, hub: HubIndex, revoked: HubIndex) -> bool {
    let view = world.hubs[hub].node().and_then(|node| node.membership());
    view.is_some_and(|view| view.revoked.contains(&world.hubs[revoked].id))
}

fn three_hubs(seed: u64) -> World {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    for hub in &hubs {
        world.write(*hub, 1);
    }
    settle(&mut world, &hubs);
    world
}

#[test]
fn a_revoked_hub_is_cut_off_and_gets_nothing_more() {
    let mut world = three_hubs(5);
    revoke(&mut world, 2);
    let all_know = |world: &World| knows_revoked(world, 0, 2) && knows_revoked(world, 1, 2);
    world.must_reach("both members know", 60_000, all_know);
    world.run_for(60_000);
    assert_eq!(world.hubs[2].open_contacts(), []);
    let sent = |world: &World| [0, 1].map(|hub: usize| world.hubs[hub].sent_bytes[&2]);
    let before = sent(&world);
    for hub in [0, 1, 2] {
        world.write(hub, 1);
    }
    world.add_blob(0, &[5_000], 0);
    world.run_for(900_000);
    assert_eq!(sent(&world), before, "not one byte more");
    settle(&mut world, &[0, 1]);
    let key_of =
        |hub: usize| world.ledger.written.iter().rfind(|w| w.hub == hub && !w.keys.is_empty());
    let (ours, theirs) = (key_of(1).unwrap(), key_of(2).unwrap());
    assert!(!world.document(2, ours.doc).contains_key(&ours.keys[0]), "it got our words");
    for hub in [0, 1] {
        let document = world.document(hub, theirs.doc);
        assert!(!document.contains_key(&theirs.keys[0]), "its words after that do not count");
    }
}

#[test]
fn what_a_hub_wrote_unseen_before_it_was_revoked_does_not_count() {
    let mut world = three_hubs(6);
    for other in [0, 1] {
        world.set_path(2, other, false);
    }
    world.run_for(60_000);
    world.write(2, 1);
    world.run_for(60_000);
    revoke(&mut world, 2);
    world.write(2, 1);
    for other in [0, 1] {
        world.set_path(2, other, true);
    }
    world.run_for(900_000);
    settle(&mut world, &[0, 1]);
    let notes = world.document(0, yingxue_scenarios::world::alliance::doc_of(1));
    let serials = notes.keys().filter(|key| key.starts_with("note:2-"));
    let first = world.ledger.written.iter().find(|w| w.hub == 2).expect("it wrote at the start");
    let expected: Vec<&String> = first.keys.iter().collect();
    assert_eq!(serials.collect::<Vec<_>>(), expected, "only what the registrar had seen");
    check::no_alarms(&world);
}
