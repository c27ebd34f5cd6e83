//! A member writes into a document that belongs to another school: it changes nothing anywhere,
//! everybody is told, and what it writes after that goes on.

// clippy.toml allows it in test functions only; these are what the stories are told with.
#![allow(clippy::unwrap_used)]

use ed25519_dalek::SigningKey;
use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{HubIndex, World};
use yingxue_sync_core::courier::{Carried, batch_of};
use yingxue_sync_core::doc::{self, Doc};
use yingxue_sync_core::event::{
    Alarm, Command, DocEdit, DocValue, EnvelopeRecord, Event, Refusal, StoreOp, StoreValue,
};
use yingxue_sync_core::id::{CollectionId, DocId, Hash};
use yingxue_sync_core::journal::{Envelope, Journals, SignedEnvelope};
use yingxue_sync_core::membership::TIMETABLES;

const SETTLE_MS_MAX: u64 = 600_000;
const OWNER: HubIndex = 1;
const MEMBER: HubIndex = 2;

fn timetables() -> CollectionId {
    CollectionId(TIMETABLES.into())
}

fn put(key: &str, value: &str) -> Vec<DocEdit> {
    vec![DocEdit::Put { path: vec![key.into()], value: DocValue::Str(value.into()) }]
}

fn write(world: &mut World, hub: HubIndex, doc: DocId, edits: Vec<DocEdit>) -> Answer {
    let (collection, author) = (timetables(), "office".to_owned());
    world.ask(hub, |request| Command::EditDoc { request, collection, doc, author, edits })
}

fn value_of(world: &World, hub: HubIndex, doc: DocId) -> Option<DocValue> {
    let stored = world.hubs[hub].store.durable().docs.get(&(timetables(), doc))?;
    stored.value.as_deref().cloned()
}

fn settle(world: &mut World, hubs: &[HubIndex]) {
    world.must_reach("all agree", SETTLE_MS_MAX, |it| check::converged(it, hubs));
    check::same_where_converged(world, hubs);
}

/// Signs what an honest node refuses to: a change of any document by this hub.
fn forge(world: &World, hub: HubIndex, doc: DocId, edits: &[DocEdit]) -> SignedEnvelope {
    let it = &world.hubs[hub];
    let stored = it.store.durable().docs.get(&(timetables(), doc));
    let mut document = Doc::load(stored.and_then(|doc| doc.snapshot.as_deref())).unwrap();
    let change = document.edit(doc::actor_of(&it.id, &[5; 16]), 0, edits).unwrap().unwrap();
    let journal = it.store.durable().journals.get(&(timetables(), it.id));
    let newest = journal.and_then(|journal| journal.values().next_back());
    let envelope = Envelope {
        alliance: it.node().unwrap().membership().unwrap().alliance,
        author: it.id,
        seq: newest.map_or(1, |entry| entry.seq + 1),
        prev_hash: newest.map_or(Hash([0; 32]), |entry| entry.hash),
        epoch: it.node().unwrap().membership().unwrap().epoch,
        collection: timetables(),
        doc,
        written_at_wall_ms: 0,
        person: "mallory".into(),
        nonces: vec![[5; 16]],
        payload: Envelope::pack(std::slice::from_ref(&change)),
    };
    envelope.sign(vec![change], &SigningKey::from_bytes(&it.secret))
}

/// Puts an entry into a hub's own journal, as a program does that is not ours.
fn plant(world: &mut World, hub: HubIndex, signed: &SignedEnvelope) {
    world.cut_power(hub, Landed::All);
    world.hubs[hub].store.meddle(|disk| {
        let sum = disk.fingerprints.get(&timetables()).copied().unwrap_or_default();
        let mut journals = Journals::restore(&[], &[(timetables(), sum)]);
        journals.push(signed);
        let fingerprint = journals.fingerprint(&timetables());
        let envelopes = vec![std::sync::Arc::new(signed.record())];
        let write = yingxue_scenarios::disk::Write::Envelopes { envelopes, fingerprint };
        disk.apply(&write).expect("the next entry of its journal");
    });
    world.power_on(hub);
}

fn trespasses(world: &World, hub: HubIndex) -> usize {
    let member = world.hubs[MEMBER].id;
    let is_it = |event: &Event| match event {
        Event::Alarm(Alarm::Trespassed { author, .. }) => *author == member,
        _ => false,
    };
    world.hubs[hub].events.iter().filter(|(_, event)| is_it(event)).count()
}

fn term_of_the_owner(seed: u64) -> (World, DocId) {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    let term = DocId::owned(&world.hubs[OWNER].id, [1, 2, 3, 4]);
    assert_eq!(write(&mut world, OWNER, term, put("name", "秋季学期")), Answer::Done);
    world.run_for(1_000);
    settle(&mut world, &hubs);
    (world, term)
}

#[test]
fn a_member_that_writes_into_anothers_term_changes_nothing_and_everybody_is_told() {
    let (mut world, term) = term_of_the_owner(1);
    let refused = write(&mut world, MEMBER, term, put("name", "假期"));
    assert!(matches!(refused, Answer::Refused(Refusal::NotAllowed(_))), "{refused:?}");

    let forged = forge(&world, MEMBER, term, &put("name", "假期"));
    plant(&mut world, MEMBER, &forged);
    world.run_for(1_000);
    // What comes after it in the same journal is not stopped by it.
    let own = DocId::owned(&world.hubs[MEMBER].id, [0; 4]);
    assert_eq!(write(&mut world, MEMBER, own, put("name", "二小")), Answer::Done);
    assert_eq!(write(&mut world, OWNER, term, put("last_day", "2027-01-20")), Answer::Done);
    world.run_for(1_000);
    settle(&mut world, &[0, 1, 2]);
    for hub in [0, 1, 2] {
        let Some(DocValue::Map(fields)) = value_of(&world, hub, term) else { panic!("no term") };
        assert_eq!(fields["name"], DocValue::Str("秋季学期".into()), "hub {hub}");
        assert_eq!(fields["last_day"], DocValue::Str("2027-01-20".into()), "hub {hub}");
        assert!(value_of(&world, hub, own).is_some(), "hub {hub} has what came after it");
        let journals = &world.hubs[hub].store.durable().journals;
        let entry = &journals[&(timetables(), world.hubs[MEMBER].id)][&forged.envelope.seq];
        assert_eq!((entry.hash, entry.doc), (forged.hash, DocId::NOBODYS), "kept as evidence");
    }
    assert_eq!([0, 1].map(|hub| trespasses(&world, hub)), [1, 1]);
}

#[test]
fn a_trespass_is_judged_alike_from_a_contact_from_a_stick_and_in_repair() {
    let (mut world, term) = term_of_the_owner(2);
    (0..2).for_each(|other| world.set_path(MEMBER, other, false));
    world.run_for(40_000);
    let forged = forge(&world, MEMBER, term, &put("name", "假期"));
    plant(&mut world, MEMBER, &forged);
    // The owner hears of it from a stick.
    let batch = batch_of(std::slice::from_ref(&forged.bytes));
    let carried = Carried::Envelopes { collection: timetables(), batch };
    world.command(OWNER, |request| Command::Carry { request, carried });
    world.run_for(1_000);
    settle(&mut world, &[0, 1]);
    // The lead loses it from the midst of its journals, and gets it back by reconciliation.
    let own = DocId::owned(&world.hubs[MEMBER].id, [0; 4]);
    (0..2).for_each(|other| world.set_path(MEMBER, other, true));
    assert_eq!(write(&mut world, MEMBER, own, put("name", "二小")), Answer::Done);
    world.run_for(30_000);
    settle(&mut world, &[0, 1, 2]);
    let before = world.hubs[0].store.durable().journals.clone();
    let key = (timetables(), world.hubs[MEMBER].id);
    world.cut_power(0, Landed::All);
    world.hubs[0].store.meddle(|disk| {
        let gone: Option<std::sync::Arc<EnvelopeRecord>> =
            disk.journals.get_mut(&key).and_then(|journal| journal.remove(&forged.envelope.seq));
        let mut journals = Journals::default();
        let left = disk.journals.iter().filter(|((c, _), _)| *c == timetables());
        let left = left.flat_map(|(_, journal)| journal.values());
        for entry in left {
            journals.push(&SignedEnvelope::decode(&entry.bytes).unwrap());
        }
        disk.fingerprints.insert(timetables(), journals.fingerprint(&timetables()));
        assert!(gone.is_some());
    });
    world.power_on(0);
    world.must_reach("it is mended", SETTLE_MS_MAX, |it| {
        it.hubs[0].store.durable().journals == before
    });
    world.run_for(5_000);
    settle(&mut world, &[0, 1, 2]);
    for hub in [0, 1, 2] {
        let Some(DocValue::Map(fields)) = value_of(&world, hub, term) else { panic!("no term") };
        assert_eq!(fields["name"], DocValue::Str("秋季学期".into()), "hub {hub}");
        // Nor is it among what a page is made of.
        let op = StoreOp::LoadDoc { collection: timetables(), doc: term };
        let loaded = world.hubs[hub].store.given().read(&op);
        let Some(Ok(StoreValue::Doc { pending, .. })) = loaded else { panic!("{loaded:?}") };
        assert!(pending.is_empty());
    }
    assert!(trespasses(&world, OWNER) == 1 && trespasses(&world, 0) >= 1);
}

#[test]
fn a_document_that_nobody_owns_is_open_to_all_as_before() {
    let (mut world, _) = term_of_the_owner(3);
    let open = DocId([7; 16]);
    assert_eq!(write(&mut world, OWNER, open, put("a", "1")), Answer::Done);
    assert_eq!(write(&mut world, MEMBER, open, put("b", "2")), Answer::Done);
    world.run_for(1_000);
    settle(&mut world, &[0, 1, 2]);
    let Some(DocValue::Map(fields)) = value_of(&world, 0, open) else { panic!("no document") };
    assert_eq!(fields.len(), 2);
    check::no_alarms(&world);
}
