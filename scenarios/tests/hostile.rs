//! Members that are let in and mean harm, or whose software is broken: they want without end,
//! ask for everything at once, do not read, write without end. Who stays honest is not held up.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::hub::{Mind, address_of};
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{HubIndex, World};
use yingxue_sync_core::blob::serve::{REQUESTS_MAX, WANTS_MAX};
use yingxue_sync_core::event::{Alarm, Command, DocEdit, DocValue, Event, Input, Refusal};
use yingxue_sync_core::id::{BlobId, CollectionId, ContactId, DocId, HubId};
use yingxue_sync_core::membership::LESSONS;
use yingxue_sync_core::outbox::WINDOW_BYTES_MAX;
use yingxue_sync_core::wire::{Hello, Message, Reassembly, VECTOR_ENTRIES_MAX};

const SETTLE_MS_MAX: u64 = 600_000;
/// Of the puppet's wishes, so many more than are allowed.
const TOO_MANY: usize = 10;
const PIECES: usize = 40;
const PIECE_BYTES: u32 = 1 << 20;

/// A lead, an honest member, and a member whose software somebody else has written: it has the
/// right key, and is moved by hand.
fn with_a_puppet(seed: u64) -> (World, HubIndex, BlobId) {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    for hub in &hubs {
        world.write(*hub, 1);
    }
    let blob = world.add_blob(0, &[PIECE_BYTES; PIECES], 0);
    let named = |world: &World| check::converged(world, &hubs);
    world.must_reach("all know the blob", SETTLE_MS_MAX, named);
    world.cut_power(2, Landed::Some);
    world.hubs[2].mind = Mind::Puppet(Vec::new());
    world.hubs[2].is_reachable = false;
    // Until the others have noticed that it went.
    world.run_for(120_000);
    (world, 2, blob)
}

/// Dials with a member's key; gives the contact and what the lead said first on it, if it did.
fn knock(world: &mut World, puppet: HubIndex) -> (ContactId, Option<Hello>) {
    let before = world.hubs[puppet].open_contacts();
    world.dial(puppet, world.hubs[0].id, &[address_of(0)]);
    world.run_for(1_000);
    let open = world.hubs[puppet].open_contacts();
    let contact = *open.iter().find(|contact| !before.contains(contact)).expect("it has the key");
    (contact, heard_hello(world, puppet, contact))
}

/// Dials and greets as a member does. The greeting names the newest epoch: whoever names another
/// one is not ready for anything else.
fn greet(world: &mut World, puppet: HubIndex) -> ContactId {
    let (contact, heard) = knock(world, puppet);
    let hello = Message::Hello(Hello {
        addresses: vec![],
        witnessed: 0,
        store_id: [7; 16],
        collections: vec![(lessons(), [0; 16])],
        ..heard.expect("the lead greets a member")
    });
    say(world, puppet, contact, &hello);
    world.run_for(1_000);
    contact
}

fn heard_hello(world: &World, puppet: HubIndex, contact: ContactId) -> Option<Hello> {
    let mut reassembly = Reassembly::default();
    let frame = |input: &Input| match input {
        Input::Received { contact: from, frame } if *from == contact => Some(frame.clone()),
        _ => None,
    };
    let frames = world.hubs[puppet].heard().iter().filter_map(frame);
    let mut messages = frames.filter_map(|frame| reassembly.push(&frame).expect("it is honest"));
    messages.find_map(|message| match message {
        Message::Hello(hello) => Some(hello),
        _ => None,
    })
}

fn say(world: &mut World, puppet: HubIndex, contact: ContactId, message: &Message) {
    for frame in message.frames() {
        world.send(puppet, contact, frame);
    }
}

fn lessons() -> CollectionId {
    CollectionId(LESSONS.into())
}

fn want(blob: BlobId) -> Message {
    Message::Want { blob, collection: lessons(), has_manifest: false, rank: 0 }
}

fn is_closed(world: &World, puppet: HubIndex, contact: ContactId) -> bool {
    !world.hubs[puppet].open_contacts().contains(&contact)
}

fn must_be_closed(world: &mut World, puppet: HubIndex, contact: ContactId) {
    let closed = |world: &World| is_closed(world, puppet, contact);
    world.must_reach("the puppet is shown the door", SETTLE_MS_MAX, closed);
}

fn honest_go_on(world: &mut World) {
    world.write(0, 1);
    world.write(1, 1);
    let alike =
        |world: &World| check::converged(world, &[0, 1]) && check::all_blobs_whole(world, &[0, 1]);
    world.must_reach("the honest ones have the same", SETTLE_MS_MAX, alike);
    check::all_acknowledged_everywhere(world, &[0, 1]);
    check::pieces_right(world, &[0, 1]);
}

#[test]
fn who_wants_without_end_is_shown_the_door() {
    let (mut world, puppet, _) = with_a_puppet(1);
    let contact = greet(&mut world, puppet);
    for n in 0..(WANTS_MAX + TOO_MANY) as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_le_bytes());
        say(&mut world, puppet, contact, &want(BlobId(id)));
    }
    must_be_closed(&mut world, puppet, contact);
    honest_go_on(&mut world);
}

#[test]
fn who_asks_for_too_many_pieces_at_a_time_is_shown_the_door() {
    let (mut world, puppet, blob) = with_a_puppet(2);
    let contact = greet(&mut world, puppet);
    say(&mut world, puppet, contact, &want(blob));
    world.run_for(1_000);
    for n in 0..REQUESTS_MAX + TOO_MANY + PIECES {
        let piece = (n % PIECES) as u32;
        let request = Message::Request { blob, piece, offset: 0, is_urgent: true };
        say(&mut world, puppet, contact, &request);
    }
    must_be_closed(&mut world, puppet, contact);
    honest_go_on(&mut world);
}

#[test]
fn to_who_gives_no_credit_no_more_than_the_first_bytes_are_sent() {
    let (mut world, puppet, blob) = with_a_puppet(3);
    let contact = greet(&mut world, puppet);
    say(&mut world, puppet, contact, &want(blob));
    world.run_for(1_000);
    for piece in 0..PIECES as u32 {
        let request = Message::Request { blob, piece, offset: 0, is_urgent: true };
        say(&mut world, puppet, contact, &request);
    }
    // It says that it lives, and takes nothing.
    let before = world.hubs[0].sent_bytes[&puppet];
    for number in 0..20 {
        say(&mut world, puppet, contact, &Message::Ping(number));
        world.run_for(20_000);
    }
    let sent = world.hubs[0].sent_bytes[&puppet] - before;
    assert!(sent <= WINDOW_BYTES_MAX, "{sent} B were sent to one who reads nothing");
    check::queues_bounded(&world);
    honest_go_on(&mut world);
}

#[test]
fn who_names_more_authors_than_an_alliance_can_have_is_not_believed() {
    let (mut world, puppet, _) = with_a_puppet(4);
    let contact = greet(&mut world, puppet);
    let author = |n: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(n as u64).to_le_bytes());
        (HubId(id), u64::MAX)
    };
    let entries = (0..=VECTOR_ENTRIES_MAX).map(author).collect();
    let vector = Message::Vector { collection: lessons(), entries, is_asking: true };
    say(&mut world, puppet, contact, &vector);
    must_be_closed(&mut world, puppet, contact);
    honest_go_on(&mut world);
}

#[test]
fn who_asks_for_four_billion_symbols_and_names_entries_that_nobody_has_costs_nothing() {
    let (mut world, puppet, _) = with_a_puppet(5);
    let contact = greet(&mut world, puppet);
    say(&mut world, puppet, contact, &Message::Credit { granted_bytes: u64::MAX });
    let before = world.hubs[0].sent_bytes[&puppet];
    for round in 0..20 {
        if is_closed(&world, puppet, contact) {
            break;
        }
        let ask = Message::AskSymbols { collection: lessons(), from: round, count: u32::MAX };
        say(&mut world, puppet, contact, &ask);
        let items = (0..500).map(|n| u128::from(round) << 64 | n).collect();
        say(&mut world, puppet, contact, &Message::AskEnvelopes { collection: lessons(), items });
        world.run_for(1_000);
    }
    let sent = world.hubs[0].sent_bytes[&puppet] - before;
    assert!(sent <= WINDOW_BYTES_MAX, "{sent} B were sent for nothing");
    honest_go_on(&mut world);
}

/// Says that the lead has written so many entries more than it has.
fn claim_more(world: &mut World, puppet: HubIndex, contact: ContactId, more: u64) {
    let lead = world.hubs[0].id;
    let entries = vec![(lead, 1_000_000 + more)];
    let claim = Message::Vector { collection: lessons(), entries, is_asking: false };
    say(world, puppet, contact, &claim);
    world.run_for(1_000);
}

fn own_entries_alarms(world: &World) -> usize {
    use Alarm::{OwnEntriesMissing, OwnEntriesNotGiven};
    let is_one = |event: &Event| {
        matches!(event, Event::Alarm(OwnEntriesMissing { .. } | OwnEntriesNotGiven { .. }))
    };
    world.hubs[0].events.iter().filter(|(_, event)| is_one(event)).count()
}

/// Each minute it says that it holds yet more of what the lead wrote, and gives none of it.
#[test]
fn who_claims_more_of_our_own_journal_each_minute_stops_us_for_two_minutes_a_day() {
    let (mut world, puppet, _) = with_a_puppet(8);
    let mut contact = greet(&mut world, puppet);
    let mut refused_at = Vec::new();
    // Each minute at first and at the end of the day, then each half hour.
    let is_busy = |minute: &u64| minute % (24 * 60) < 15 || *minute > 24 * 60 - 5;
    let minutes = (0..25 * 60).filter(|minute| is_busy(minute) || minute % 30 == 0);
    for pair in minutes.collect::<Vec<u64>>().windows(2) {
        let (minute, next) = (pair[0], pair[1]);
        if is_closed(&world, puppet, contact) {
            contact = greet(&mut world, puppet);
        }
        claim_more(&mut world, puppet, contact, minute);
        let request = world.write(0, 1).expect("its power is on");
        world.run_for((next - minute) * 60_000 - 1_000);
        match world.ledger.answer(request) {
            Some(Answer::Done) => {}
            Some(Answer::Refused(Refusal::InDoubt)) => refused_at.push(minute),
            other => panic!("minute {minute}: {other:?}"),
        }
    }
    let (first_day, second_day): (Vec<u64>, Vec<u64>) =
        refused_at.into_iter().partition(|minute| *minute < 24 * 60);
    assert!((1..=3).contains(&first_day.len()), "refused on the first day: {first_day:?}");
    assert!((1..=3).contains(&second_day.len()), "refused on the second day: {second_day:?}");
    assert_eq!(own_entries_alarms(&world), 4, "two a day");
    honest_go_on(&mut world);
}

#[test]
fn who_has_the_same_manifest_sent_in_a_circle_gets_it_once_in_a_while() {
    let (mut world, puppet, _) = with_a_puppet(9);
    // Many small pieces: the manifest weighs 80 kB.
    let blob = world.add_blob(0, &[64; 2_000], 0);
    world.run_for(60_000);
    let contact = greet(&mut world, puppet);
    say(&mut world, puppet, contact, &Message::Credit { granted_bytes: u64::MAX });
    let before = world.hubs[0].sent_bytes[&puppet];
    for _ in 0..600 {
        say(&mut world, puppet, contact, &want(blob));
        world.run_for(50);
        say(&mut world, puppet, contact, &Message::Unwant { blob });
        say(&mut world, puppet, contact, &want(blob));
        world.run_for(50);
    }
    let sent = world.hubs[0].sent_bytes[&puppet] - before;
    assert!(sent > 80_000, "nothing was asked for");
    assert!(sent < 8 * 90_000, "{sent} B in a minute");
    honest_go_on(&mut world);
}

#[test]
fn who_has_journals_listed_again_and_again_is_shown_the_door() {
    let (mut world, puppet, _) = with_a_puppet(10);
    let contact = greet(&mut world, puppet);
    let mut asked = 0_u32;
    while !is_closed(&world, puppet, contact) && asked < 200 {
        let items = vec![u128::from(asked)];
        say(&mut world, puppet, contact, &Message::AskEnvelopes { collection: lessons(), items });
        world.run_for(1_000);
        asked += 1;
    }
    assert!((20..100).contains(&asked), "closed after {asked} questions");
    honest_go_on(&mut world);
}

/// A member's people, or a program in their name, write a document each, thousands of them.
#[test]
fn a_member_that_writes_without_end_holds_nobody_else_up() {
    let mut world = World::new(6);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    // The line of the flood is slow, so that it lasts.
    world.describe_path(0, 2, 50_000, 50);
    world.set_path(1, 2, false);
    let mut rng = yingxue_scenarios::rng::Rng::new(6);
    for _ in 0..3_000 {
        let (doc, text) = (DocId(rng.array()), rng.bytes(300));
        let path = vec!["note:flood".to_owned()];
        let edits = vec![DocEdit::Put { path, value: DocValue::Bytes(text) }];
        world.command(2, |request| Command::EditDoc {
            request,
            collection: lessons(),
            doc,
            author: "flood".into(),
            edits,
        });
        world.run_for(20);
    }
    world.run_for(5_000);
    let behind = !check::converged(&world, &hubs);
    assert!(behind, "the flood was over before anything was tried");
    let written = world.write(1, 1).expect("it has power");
    let is_at_lead = |world: &World| {
        let written = world.ledger.written_by(written);
        written.is_some_and(|written| check::holds_written(world, 0, written))
    };
    world.must_reach("another school's words arrive meanwhile", 5_000, is_at_lead);
    world.set_path(1, 2, true);
    world.must_reach("all have all", SETTLE_MS_MAX, |world| check::converged(world, &hubs));
    check::no_alarms(&world);
}

/// It knows all addresses, and an invitation is about: it is a stranger like others.
#[test]
fn a_puppet_that_was_taken_out_learns_nothing_more() {
    let (mut world, puppet, blob) = with_a_puppet(7);
    let contact = greet(&mut world, puppet);
    let id = world.hubs[puppet].id;
    let answer = world.ask(0, |request| Command::Revoke { request, hub: id });
    assert_eq!(answer, Answer::Done);
    must_be_closed(&mut world, puppet, contact);
    let before = world.hubs[0].sent_bytes[&puppet];
    for _ in 0..5 {
        let (contact, heard) = knock(&mut world, puppet);
        assert_eq!(heard, None, "it is not even greeted");
        say(&mut world, puppet, contact, &want(blob));
        must_be_closed(&mut world, puppet, contact);
    }
    assert_eq!(world.hubs[0].sent_bytes[&puppet], before, "not one byte more");
    honest_go_on(&mut world);
}
