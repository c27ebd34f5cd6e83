//! Witnesses: who rewrites or shortens its own journal after it was countersigned is caught by
//! every honest hub that has a statement of it, also one that never had what was rewritten.

// clippy.toml allows it in test functions only; these are what the stories are told with.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::alliance::{doc_of, lessons};
use yingxue_scenarios::world::{Action, HubIndex, World};
use yingxue_sync_core::doc::{self, Doc};
use yingxue_sync_core::event::{Alarm, DocEdit, DocValue, Event};
use yingxue_sync_core::id::Hash;
use yingxue_sync_core::journal::{Envelope, Journals, SignedEnvelope};
use yingxue_sync_core::witness::SLOT_CONTRADICTED;

const SETTLE_MS_MAX: u64 = 600_000;
/// Journals are looked at once a minute.
const SIGNED_MS: u64 = 130_000;
const DAY_MS: u64 = 86_400_000;
const LEAD: HubIndex = 0;
const VILLAGE: HubIndex = 1;
const CHEAT: HubIndex = 2;

fn settle(world: &mut World, hubs: &[HubIndex]) {
    world.must_reach("all agree", SETTLE_MS_MAX, |it| check::converged(it, hubs));
    check::same_where_converged(world, hubs);
}

/// How far a hub has a statement of `witness` about the cheat's journal.
fn stated(world: &World, hub: HubIndex, witness: HubIndex) -> u64 {
    let (author, witness) = (world.hubs[CHEAT].id, world.hubs[witness].id);
    let statements = world.hubs[hub].store.durable().statements.values();
    let of = statements.filter(|it| it.statement.author == author);
    let of =
        of.filter(|it| it.statement.witness == witness && it.statement.collection == lessons());
    of.map(|it| it.statement.seq).max().unwrap_or(0)
}

fn alarms(world: &World, hub: HubIndex) -> Vec<Alarm> {
    let alarm = |event: &Event| match event {
        Event::Alarm(alarm) => Some(alarm.clone()),
        _ => None,
    };
    world.hubs[hub].events.iter().filter_map(|(_, event)| alarm(event)).collect()
}

/// Three hubs; the cheat has written `count` entries, and all have them.
fn three(seed: u64, count: usize) -> World {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    for _ in 0..count {
        world.write(CHEAT, 1);
        world.run_for(100);
    }
    world.run_for(1_000);
    settle(&mut world, &hubs);
    world
}

/// The village hears that the lead has countersigned the cheat's newest entries, and loses the
/// link before it gets them.
fn only_the_word(seed: u64) -> (World, u64) {
    let mut world = three(seed, 3);
    world.run_for(SIGNED_MS);
    world.set_path(VILLAGE, CHEAT, false);
    world.set_path(VILLAGE, LEAD, false);
    // Longer than until a journal is countersigned again.
    world.run_for(3_700_000);
    for _ in 0..5 {
        world.write(CHEAT, 1);
        world.run_for(100);
    }
    world.run_for(SIGNED_MS);
    let seq = stated(&world, LEAD, LEAD);
    assert_eq!(seq, world.hubs[LEAD].store.durable().head_seq(&lessons(), world.hubs[CHEAT].id));
    // So slow that what is said first arrives alone.
    world.describe_path(VILLAGE, LEAD, 200, 500);
    world.set_path(VILLAGE, LEAD, true);
    let is_told = |it: &World| stated(it, VILLAGE, LEAD) == seq;
    world.must_reach("the village is told", SETTLE_MS_MAX, is_told);
    // What is on its way is lost with the contact.
    world.cut_power(VILLAGE, Landed::None);
    world.set_path(VILLAGE, LEAD, false);
    world.power_on(VILLAGE);
    world.run_for(40_000);
    let held = world.hubs[VILLAGE].store.durable().head_seq(&lessons(), world.hubs[CHEAT].id);
    assert!(held < seq, "it holds {held} of {seq} entries");
    // Nobody else who has them is left.
    world.cut_power(LEAD, Landed::All);
    (world, seq)
}

/// Puts the cheat's journal back to an entry, and signs other ones after it, `count` in all.
fn rewrite(world: &mut World, keep: u64, count: u64) {
    world.may_fork = true;
    let secret = world.hubs[CHEAT].secret;
    let id = world.hubs[CHEAT].id;
    world.cut_power(CHEAT, Landed::All);
    world.hubs[CHEAT].store.meddle(|disk| {
        let journal = disk.journals.get_mut(&(lessons(), id)).expect("it has written");
        let model = journal.values().next().expect("at least one").clone();
        drop(journal.split_off(&(keep + 1)));
        let mut entry = SignedEnvelope::decode(&journal[&keep].bytes).unwrap();
        let model = SignedEnvelope::decode(&model.bytes).unwrap().envelope;
        for seq in keep + 1..=count {
            let edit =
                DocEdit::Put { path: vec!["grade".into()], value: DocValue::Int(seq as i64) };
            let mut document = Doc::load(None).unwrap();
            let change =
                document.edit(doc::actor_of(&id, &[seq as u8; 16]), 0, &[edit]).unwrap().unwrap();
            let envelope = Envelope {
                seq,
                prev_hash: entry.hash,
                doc: doc_of(9),
                nonces: vec![[seq as u8; 16]],
                payload: Envelope::pack(std::slice::from_ref(&change)),
                ..model.clone()
            };
            entry = envelope.sign(vec![change], &SigningKey::from_bytes(&secret));
            journal.insert(seq, Arc::new(entry.record()));
        }
        let mut journals = Journals::default();
        let of = disk.journals.iter().filter(|((c, _), _)| *c == lessons());
        for entry in of.flat_map(|(_, journal)| journal.values()) {
            journals.push(&SignedEnvelope::decode(&entry.bytes).unwrap());
        }
        disk.fingerprints.insert(lessons(), journals.fingerprint(&lessons()));
    });
    let lost = world.hubs[VILLAGE].store.durable().journals.clone();
    let hashes = lost.values().flat_map(|journal| journal.values()).map(|it| it.hash);
    world.hubs[CHEAT].lost.extend(hashes.collect::<Vec<Hash>>());
    world.power_on(CHEAT);
}

#[test]
fn statements_reach_all_that_are_in_contact_and_agree_with_honest_journals() {
    let mut world = three(1, 4);
    world.run_for(SIGNED_MS);
    let head = world.hubs[LEAD].store.durable().head_seq(&lessons(), world.hubs[CHEAT].id);
    for (hub, witness) in [(LEAD, LEAD), (LEAD, VILLAGE), (VILLAGE, LEAD), (CHEAT, LEAD)] {
        assert_eq!(stated(&world, hub, witness), head, "hub {hub}, witness {witness}");
    }
    // A day of writing costs each hub one statement an hour and journal, not one an entry.
    let kept = |world: &World| world.hubs[VILLAGE].store.durable().statements.len();
    let before = kept(&world);
    for _ in 0..100 {
        world.write(CHEAT, 1);
        world.run_for(60_000);
    }
    settle(&mut world, &[0, 1, 2]);
    assert_eq!(kept(&world), before, "the farthest of each witness takes the place of another");
    check::no_alarms(&world);
}

#[test]
fn a_rewritten_journal_is_caught_by_a_hub_that_never_had_what_was_rewritten() {
    let (mut world, seq) = only_the_word(2);
    let held = world.hubs[VILLAGE].store.durable().head_seq(&lessons(), world.hubs[CHEAT].id);
    rewrite(&mut world, held, seq + 2);
    world.set_path(VILLAGE, CHEAT, true);
    world.run_for(SIGNED_MS);
    let (author, witness) = (world.hubs[CHEAT].id, world.hubs[LEAD].id);
    let caught = Alarm::WitnessedOtherwise { author, collection: lessons(), seq, witness };
    assert_eq!(alarms(&world, VILLAGE), std::slice::from_ref(&caught));
    let key = (lessons(), author, witness, SLOT_CONTRADICTED);
    assert!(world.hubs[VILLAGE].store.durable().statements.contains_key(&key), "kept");
    // It is told once, also over a restart; and the lead, which has the entries, sees the fork.
    world.act(Action::CutPower { hub: VILLAGE, for_ms: 1_000 });
    world.power_on(LEAD);
    world.set_path(VILLAGE, LEAD, true);
    world.run_for(SETTLE_MS_MAX);
    assert_eq!(alarms(&world, VILLAGE).iter().filter(|it| **it == caught).count(), 1);
    let is_fork =
        |it: &Alarm| matches!(it, Alarm::JournalForked { author: of, .. } if *of == author);
    assert!(alarms(&world, LEAD).iter().any(is_fork), "{:?}", alarms(&world, LEAD));
}

#[test]
fn a_journal_that_was_cut_short_is_told_after_a_day_and_not_before() {
    let (mut world, seq) = only_the_word(3);
    let held = world.hubs[VILLAGE].store.durable().head_seq(&lessons(), world.hubs[CHEAT].id);
    rewrite(&mut world, held, held);
    world.set_path(VILLAGE, CHEAT, true);
    world.run_for(DAY_MS / 2);
    assert_eq!(alarms(&world, VILLAGE), []);
    world.run_for(DAY_MS / 2 + 1_900_000);
    let (author, witness) = (world.hubs[CHEAT].id, world.hubs[LEAD].id);
    let entries = seq - held;
    let told = Alarm::WitnessedMissing { author, collection: lessons(), entries, witness };
    assert_eq!(alarms(&world, VILLAGE), [told]);
}

#[test]
fn a_backup_that_is_put_back_gets_its_entries_back_and_alarms_nobody_about_witnesses() {
    let mut world = three(4, 3);
    world.act(Action::BackUp { hub: CHEAT });
    for _ in 0..4 {
        world.write(CHEAT, 1);
    }
    world.run_for(SIGNED_MS);
    settle(&mut world, &[0, 1, 2]);
    world.act(Action::Restore { hub: CHEAT, is_noticed: true });
    world.run_for(2 * DAY_MS);
    settle(&mut world, &[0, 1, 2]);
    world.write(CHEAT, 1);
    world.run_for(3_800_000);
    settle(&mut world, &[0, 1, 2]);
    let head = world.hubs[LEAD].store.durable().head_seq(&lessons(), world.hubs[CHEAT].id);
    assert_eq!((stated(&world, VILLAGE, LEAD), stated(&world, CHEAT, LEAD)), (head, head));
    check::no_alarms(&world);
}
