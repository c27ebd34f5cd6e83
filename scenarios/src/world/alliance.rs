//! What people do: found an alliance, join it, write, bring lessons.

use std::collections::BTreeMap;
use std::sync::Arc;

use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{Command, DocEdit, DocValue, Input, RequestId};
use yingxue_sync_core::id::{BlobId, CollectionId, DocId};
use yingxue_sync_core::membership::LESSONS;

use super::ledger::{Answer, Written};
use super::{HubIndex, World};
use crate::disk::Disk;
use crate::link::Access;
use crate::store::BLOB_KEY_PREFIX;

/// How long founding, inviting or joining may take; a join is a few round trips and a few fsyncs.
const JOIN_MS_MAX: u64 = 120_000;
/// How long an invitation is valid unless a scenario says otherwise: a day.
const INVITATION_MS: u64 = 24 * 3_600_000;
/// Root keys of a document that everybody overwrites: conflicts on purpose.
const SHARED_KEYS: [&str; 3] = ["title", "subject", "grade"];

/// Gives the collection of all documents in these worlds.
pub fn lessons() -> CollectionId {
    CollectionId(LESSONS.into())
}

/// Gives the identifier of a document by a small number.
pub fn doc_of(doc: u8) -> DocId {
    DocId([doc; 16])
}

impl World {
    /// Makes an alliance: a lead with one access, and `members` with the accesses given.
    pub fn add_alliance(&mut self, lead: Access, members: &[Access]) -> Vec<HubIndex> {
        let lead = self.add_hub(lead);
        self.found(lead, "萤雪");
        let mut hubs = vec![lead];
        for access in members {
            let hub = self.add_hub(*access);
            self.join(lead, hub);
            hubs.push(hub);
        }
        hubs
    }

    /// Founds an alliance and waits for it.
    pub fn found(&mut self, hub: HubIndex, name: &str) {
        let (name, root_secret) = (name.to_owned(), self.rng.array());
        let school = format!("school {hub}");
        let command = |request| Command::Found { request, name, school, root_secret };
        assert_eq!(self.ask(hub, command), Answer::Done);
    }

    /// Makes an invitation and waits for its text.
    pub fn invite(&mut self, lead: HubIndex, valid_ms: u64) -> String {
        let secret = self.rng.array();
        let expires_wall_ms = self.wall_ms() + valid_ms;
        let command = |request| Command::Invite { request, secret, expires_wall_ms };
        match self.ask(lead, command) {
            Answer::Invited(text) => text,
            other => panic!("hub {lead} makes no invitation: {other:?}"),
        }
    }

    /// Lets a hub join with the text of an invitation, and waits for the answer.
    pub fn try_join(&mut self, hub: HubIndex, invitation: &str) -> Answer {
        let (invitation, school) = (invitation.to_owned(), format!("school {hub}"));
        self.ask(hub, |request| Command::Join { request, invitation, school })
    }

    /// Lets a hub join, by a fresh invitation.
    pub fn join(&mut self, lead: HubIndex, hub: HubIndex) {
        let invitation = self.invite(lead, INVITATION_MS);
        assert_eq!(self.try_join(hub, &invitation), Answer::Done);
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Panics
    /// If there is none within two minutes.
    pub fn ask(&mut self, hub: HubIndex, command: impl FnOnce(RequestId) -> Command) -> Answer {
        let request = self.command(hub, command).expect("the hub's power is on");
        let is_answered = |world: &Self| world.ledger.answer(request).is_some();
        self.must_reach("an answer to a command", JOIN_MS_MAX, is_answered);
        self.ledger.answer(request).cloned().expect("just looked at")
    }

    /// Lets a hub's people write one to three things of their own, and sometimes overwrite a
    /// shared one; none if its power is off.
    pub fn write(&mut self, hub: HubIndex, doc: u8) -> Option<RequestId> {
        let count = self.rng.between(1, 3);
        let serial = self.ledger.written.len();
        let keys: Vec<String> = (0..count).map(|i| format!("note:{hub}-{serial}-{i}")).collect();
        let value = format!("{:x}", self.rng.bits());
        let mut edits: Vec<DocEdit> = keys.iter().map(|key| put(key, text(&value))).collect();
        if self.rng.chance(40) {
            let key = SHARED_KEYS[self.rng.index(SHARED_KEYS.len())];
            edits.push(put(key, DocValue::Int(serial as i64)));
        }
        if self.rng.chance(10) {
            let key = SHARED_KEYS[self.rng.index(SHARED_KEYS.len())];
            edits.push(DocEdit::Delete { path: vec![key.to_owned()] });
        }
        self.edit(hub, doc_of(doc), edits, keys, value)
    }

    fn edit(
        &mut self,
        hub: HubIndex,
        doc: DocId,
        edits: Vec<DocEdit>,
        keys: Vec<String>,
        value: String,
    ) -> Option<RequestId> {
        if !self.hubs[hub].is_on() {
            return None;
        }
        let seq_before = self.hubs[hub].store.given().head_seq(&lessons(), self.hubs[hub].id);
        let request = self.ledger.next_request();
        self.ledger.written.push(Written { hub, request, doc, keys, value, seq_before });
        let (collection, author) = (lessons(), format!("teacher {hub}"));
        let command = Command::EditDoc { request, collection, doc, author, edits };
        self.tell(hub, Input::Command(command));
        Some(request)
    }

    /// Puts a blob of random pieces on a hub's disk and names it in a document.
    pub fn add_blob(&mut self, hub: HubIndex, piece_bytes: &[u32], priority: u32) -> BlobId {
        let blob = self.plant_blob(hub, piece_bytes);
        self.name_blobs(hub, doc_of(u8::MAX), &[(blob, priority)]);
        blob
    }

    /// Publishes a lesson: blobs of random pieces on a hub's disk, named by one document with
    /// their places as priorities.
    pub fn publish(&mut self, hub: HubIndex, doc: DocId, tracks: &[Vec<u32>]) -> Vec<BlobId> {
        let blobs: Vec<BlobId> = tracks.iter().map(|track| self.plant_blob(hub, track)).collect();
        let named: Vec<(BlobId, u32)> = blobs.iter().copied().zip(0..).collect();
        self.name_blobs(hub, doc, &named);
        blobs
    }

    /// Takes a blob off every disk, as hubs do with what they need no more.
    pub fn evict(&mut self, blob: &BlobId) {
        let pooled = self.pool.range((*blob, 0)..=(*blob, u32::MAX)).map(|(key, _)| *key);
        let pooled: Vec<_> = pooled.collect();
        pooled.iter().for_each(|key| drop(self.pool.remove(key)));
        self.hubs.iter_mut().for_each(|hub| hub.store.evict(blob));
    }

    /// Flips a bit of one piece, drawn by the seed, that a hub holds.
    /// Reads a blob on a hub's disk again: pieces that rotted are gone then.
    pub fn reread(&mut self, hub: HubIndex, blob: &BlobId) {
        self.hubs[hub].store.reread(blob, &self.pool);
    }

    pub(super) fn rot_something(&mut self, hub: HubIndex) {
        let held = |(blob, file): (&BlobId, &crate::disk::BlobFile)| {
            file.pieces.keys().map(|piece| (*blob, *piece)).collect::<Vec<_>>()
        };
        let held: Vec<_> = self.hubs[hub].store.durable().blobs.iter().flat_map(held).collect();
        if !held.is_empty() {
            let (blob, piece) = held[self.rng.index(held.len())];
            self.hubs[hub].store.rot(blob, piece, &mut self.rng);
        }
    }

    fn plant_blob(&mut self, hub: HubIndex, piece_bytes: &[u32]) -> BlobId {
        let total: u32 = piece_bytes.iter().sum();
        let content = self.rng.bytes(total as usize);
        let info = self.rng.bytes(16);
        let manifest = Manifest::of(piece_bytes, &content, info).expect("lengths add up");
        let blob = manifest.blob_id();
        let mut rest = content.as_slice();
        let mut pieces: Vec<Arc<[u8]>> = Vec::new();
        for bytes in piece_bytes {
            let (piece, tail) = rest.split_at(*bytes as usize);
            self.pool.insert((blob, pieces.len() as u32), piece.into());
            pieces.push(self.pool[&(blob, pieces.len() as u32)].clone());
            rest = tail;
        }
        self.hubs[hub].store.plant(&manifest, &pieces);
        self.ledger.blobs.push((hub, blob));
        self.tell(hub, Input::Command(Command::BlobAdded(blob)));
        blob
    }

    fn name_blobs(&mut self, hub: HubIndex, doc: DocId, blobs: &[(BlobId, u32)]) {
        let name = |(blob, priority): &(BlobId, u32)| {
            put(&format!("{BLOB_KEY_PREFIX}{blob}"), DocValue::Int(i64::from(*priority)))
        };
        let edits = blobs.iter().map(name).collect();
        self.edit(hub, doc, edits, Vec::new(), String::new());
    }

    /// Gives what a hub's projection says of a document: its root keys.
    pub fn document(&self, hub: HubIndex, doc: DocId) -> BTreeMap<String, DocValue> {
        keys_of(self.hubs[hub].store.durable(), doc)
    }
}

/// Gives the root keys of a document on a disk.
pub(super) fn keys_of(disk: &Disk, doc: DocId) -> BTreeMap<String, DocValue> {
    let stored = disk.docs.get(&(lessons(), doc));
    match stored.and_then(|doc| doc.value.as_deref()) {
        Some(DocValue::Map(entries)) => entries.clone(),
        _ => BTreeMap::new(),
    }
}

fn put(key: &str, value: DocValue) -> DocEdit {
    DocEdit::Put { path: vec![key.to_owned()], value }
}

fn text(value: &str) -> DocValue {
    DocValue::Str(value.to_owned())
}
