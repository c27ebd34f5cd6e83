//! One function a property. Safety holds at every moment; liveness is waited for.

use std::collections::{BTreeMap, BTreeSet};

use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{Alarm, DocValue, EnvelopeRecord, Event, Input};
use yingxue_sync_core::id::{BlobId, HubId};
use yingxue_sync_core::outbox::QUEUED_BYTES_MAX;
use yingxue_sync_core::wire::{Message, Reassembly};

use crate::disk::Disk;
use crate::world::alliance::lessons;
use crate::world::hub::SimHub;
use crate::world::ledger::Written;
use crate::world::{HubIndex, World};

/// Safety: nobody hears of an envelope before it is durable with its author.
pub fn announced_when_durable(world: &World, hub: HubIndex, envelopes: &[EnvelopeRecord]) {
    for envelope in envelopes.iter().filter(|it| it.author != world.hubs[hub].id) {
        let author = world.hubs.iter().find(|it| it.id == envelope.author);
        let author = author.unwrap_or_else(|| panic!("an envelope of nobody at hub {hub}"));
        let key = (envelope.collection.clone(), envelope.author);
        let journal = author.store.durable().journals.get(&key);
        let held = journal.and_then(|journal| journal.get(&envelope.seq));
        // Before its disk was replaced, it was durable there.
        if author.lost.contains(&envelope.hash) {
            continue;
        }
        assert_eq!(
            held.map(|held| held.hash),
            Some(envelope.hash),
            "hub {hub} has entry {} of {}, whose own disk does not",
            envelope.seq,
            envelope.author.short(),
        );
    }
}

/// Safety: what an event says is durable already.
pub fn event_is_durable(world: &World, hub: HubIndex, event: &Event) {
    let disk = world.hubs[hub].store.durable();
    match event {
        Event::BlobComplete { blob } => {
            let held = verified_bytes(disk, blob);
            assert!(is_whole(disk, blob), "false green: hub {hub}, {blob:?}, {held:?} B");
        }
        Event::BlobProgress { blob, verified_bytes: claimed, .. } => {
            let held = verified_bytes(disk, blob).unwrap_or(0);
            assert!(held >= *claimed, "hub {hub} claims {claimed} B of {blob:?}, holds {held} B");
        }
        Event::Done { request } => {
            if let Some(written) = world.ledger.written_by(*request) {
                edit_is_durable(world, hub, written);
            }
        }
        _ => {}
    }
}

fn edit_is_durable(world: &World, hub: HubIndex, written: &Written) {
    assert_eq!(hub, written.hub, "a hub answers another's command");
    let head = world.hubs[hub].store.durable().head_seq(&lessons(), world.hubs[hub].id);
    assert!(head > written.seq_before, "hub {hub} acknowledges {written:?} at entry {head}");
}

/// Says whether every piece of a blob is on a disk with the hash that its manifest says.
pub fn is_whole(disk: &Disk, blob: &BlobId) -> bool {
    let Some(file) = disk.blobs.get(blob) else {
        return false;
    };
    let manifest = Manifest::decode(&file.manifest).expect("only manifests are stored");
    verified_bytes(disk, blob) == Some(manifest.total_bytes())
}

/// Counts the bytes of a blob whose hashes are right on a disk.
pub fn verified_bytes(disk: &Disk, blob: &BlobId) -> Option<u64> {
    let file = disk.blobs.get(blob)?;
    let manifest = Manifest::decode(&file.manifest).expect("only manifests are stored");
    let right = file.pieces.iter().filter(|(n, bytes)| manifest.verifies(**n, bytes));
    Some(right.map(|(_, bytes)| bytes.len() as u64).sum())
}

/// Liveness: these hubs hold the same journals, fingerprints and documents, all applied.
pub fn converged(world: &World, hubs: &[HubIndex]) -> bool {
    let disks: Vec<&Disk> = hubs.iter().map(|hub| world.hubs[*hub].store.durable()).collect();
    let Some((first, others)) = disks.split_first() else {
        return true;
    };
    disks.iter().all(|disk| disk.docs.values().all(|doc| doc.pending.is_empty()))
        && others.iter().all(|disk| disk.fingerprints == first.fingerprints)
        && others.iter().all(|disk| heads(disk) == heads(first))
        && others.iter().all(|disk| disk.epochs == first.epochs)
}

/// Safety: hubs that say they have the same do have the same, hash for hash and word for word.
pub fn same_where_converged(world: &World, hubs: &[HubIndex]) {
    for pair in hubs.windows(2) {
        let [a, b] = [world.hubs[pair[0]].store.durable(), world.hubs[pair[1]].store.durable()];
        assert_eq!(a.journals, b.journals, "journals of hubs {pair:?}");
        let docs_a: BTreeMap<_, _> = a.docs.iter().map(|(key, doc)| (key, &doc.value)).collect();
        let docs_b: BTreeMap<_, _> = b.docs.iter().map(|(key, doc)| (key, &doc.value)).collect();
        assert_eq!(docs_a, docs_b, "documents of hubs {pair:?}");
    }
}

/// Says in a line a hub what it holds, for people who look why something does not hold.
pub fn summary(world: &World) -> String {
    let line = |(hub, it): (HubIndex, &SimHub)| {
        let disk = it.store.durable();
        let entries: Vec<u64> = heads(disk).iter().map(|(_, seq)| *seq).collect();
        let unapplied = disk.docs.values().filter(|doc| !doc.pending.is_empty()).count();
        let lacking = |blob: &BlobId| !disk.blobs.get(blob).is_some_and(|file| file.is_whole());
        let named: BTreeSet<&BlobId> = disk.docs.values().flat_map(|d| d.blobs.keys()).collect();
        format!(
            "hub {hub} {} on: {}, contacts: {}, epochs: {}, journals: {entries:?}, \
             documents behind: {unapplied}, blobs lacking: {:?}\n",
            it.id.short(),
            it.is_on(),
            it.open_contacts().len(),
            disk.epochs.len(),
            named.into_iter().filter(|blob| lacking(blob)).collect::<Vec<_>>(),
        )
    };
    world.hubs.iter().enumerate().map(line).collect()
}

fn heads(disk: &Disk) -> Vec<(HubId, u64)> {
    let newest = |journal: &BTreeMap<u64, _>| journal.keys().next_back().copied().unwrap_or(0);
    disk.journals.iter().map(|((_, author), journal)| (*author, newest(journal))).collect()
}

/// Safety: no two hubs have different entries at one place of a journal.
pub fn journals_unforked(world: &World) {
    let mut seen: BTreeMap<(HubId, u64), _> = BTreeMap::new();
    for hub in &world.hubs {
        for journal in hub.store.given().journals.values() {
            for envelope in journal.values() {
                let before = seen.insert((envelope.author, envelope.seq), envelope.hash);
                assert!(before.is_none_or(|hash| hash == envelope.hash), "a fork: {envelope:?}");
            }
        }
    }
}

/// Safety: each hub has what it acknowledged itself, once it has nothing left to apply.
pub fn own_acknowledged_kept(world: &World) {
    for written in world.ledger.acknowledged() {
        let disk = world.hubs[written.hub].store.durable();
        if disk.docs.values().all(|doc| doc.pending.is_empty()) {
            has_written(world, written.hub, written);
        }
    }
}

/// Liveness, after [`converged`]: these hubs have all that any of them acknowledged.
pub fn all_acknowledged_everywhere(world: &World, hubs: &[HubIndex]) {
    for written in world.ledger.acknowledged().filter(|written| hubs.contains(&written.hub)) {
        for hub in hubs {
            has_written(world, *hub, written);
        }
    }
}

/// Says whether a hub's document has what was written.
pub fn holds_written(world: &World, hub: HubIndex, written: &Written) -> bool {
    let document = world.document(hub, written.doc);
    let value = DocValue::Str(written.value.clone());
    written.keys.iter().all(|key| document.get(key) == Some(&value))
}

fn has_written(world: &World, hub: HubIndex, written: &Written) {
    let document = world.document(hub, written.doc);
    for key in &written.keys {
        let is_there = document.get(key) == Some(&DocValue::Str(written.value.clone()));
        assert!(is_there, "hub {hub} lost {key}, acknowledged by hub {}", written.hub);
    }
}

/// Safety: what was refused is nowhere.
pub fn refused_nowhere(world: &World) {
    for written in world.ledger.refused() {
        for hub in 0..world.hubs.len() {
            let document = world.document(hub, written.doc);
            let is_there = written.keys.iter().any(|key| document.contains_key(key));
            assert!(!is_there, "hub {hub} has what was refused: {written:?}");
        }
    }
}

/// Liveness: these hubs hold every blob that their documents name, hash for hash.
pub fn all_blobs_whole(world: &World, hubs: &[HubIndex]) -> bool {
    hubs.iter().all(|hub| {
        let disk = world.hubs[*hub].store.durable();
        let named: BTreeSet<&BlobId> = disk.docs.values().flat_map(|d| d.blobs.keys()).collect();
        let has_all = |blob: &&BlobId| disk.blobs.get(blob).is_some_and(|file| file.is_whole());
        named.iter().all(has_all)
    })
}

/// Safety, after [`all_blobs_whole`]: every piece has the hash that its manifest says.
pub fn pieces_right(world: &World, hubs: &[HubIndex]) {
    for hub in hubs {
        let disk = world.hubs[*hub].store.durable();
        for blob in disk.blobs.keys() {
            assert!(is_whole(disk, blob), "hub {hub} holds wrong pieces of {blob:?}");
        }
    }
}

/// Safety: nobody's queues grow without bound.
pub fn queues_bounded(world: &World) {
    for (hub, it) in world.hubs.iter().enumerate() {
        let now = world.hub_time(hub);
        for contact in it.node().into_iter().flat_map(|node| node.contacts(now)) {
            let queued = contact.queued_bytes;
            assert!(queued <= QUEUED_BYTES_MAX as u64, "{queued} B queued for one contact");
        }
    }
}

/// Safety: nothing happened that a person has to look at.
pub fn no_alarms(world: &World) {
    for (hub, it) in world.hubs.iter().enumerate() {
        let is_alarm = |event: &Event| match event {
            // That a scenario has put an old disk in the place of a new one is told.
            Event::Alarm(Alarm::Restored | Alarm::OwnEntriesMissing { .. }) => it.backup.is_none(),
            Event::Alarm(_) => true,
            _ => false,
        };
        let alarm = it.events.iter().find(|(_, event)| is_alarm(event));
        assert!(alarm.is_none(), "hub {hub}: {alarm:?}");
    }
}

/// Safety: a puppet was told nothing but greetings, refusals and signs of life.
pub fn stranger_learnt_nothing(world: &World, puppet: HubIndex) {
    let mut messages: BTreeMap<_, Reassembly> = BTreeMap::new();
    for input in world.hubs[puppet].heard() {
        let Input::Received { contact, frame } = input else {
            continue;
        };
        let message = messages.entry(*contact).or_default().push(frame);
        match message.expect("hubs send whole messages") {
            Some(
                Message::JoinRefused(_)
                | Message::Credit { .. }
                | Message::Ping(_)
                | Message::Pong { .. },
            ) => {}
            other => panic!("a stranger was told {other:?}"),
        }
    }
}
