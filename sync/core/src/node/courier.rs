//! Couriers: what a stick brought goes through the same checks as what a contact sends.
//!
//! Nothing is believed because of who carried it. Epochs and envelopes take the queues of
//! contacts, under a number that no contact has; pieces are checked against the manifest whose
//! hash is the blob's id, and a blob is only taken if a document that we may read names it.

use std::collections::{BTreeMap, VecDeque};

use super::epochs::EPOCH_CHANGES_MAX;
use super::writing::{Trouble, WriteJob};
use super::{Node, Waiting};
use crate::blob::{Bitmap, Manifest, id_of};
use crate::courier::{Carried, CarryError, CollectionView, Outcome, View};
use crate::event::{Event, RequestId, StoreError, StoreOp, StoreValue};
use crate::id::{BlobId, CollectionId, ContactId, Time};

mod joining;

/// Manifests kept while their pieces come; a driver brings one blob after another.
const MANIFESTS_MAX: usize = 4;
/// Things carried that wait at a time; a driver waits for each answer, so few do.
const WAITING_MAX: usize = 64;
/// Bytes of envelopes that wait for an epoch; what there is no room for comes from the stick again.
const PARKED_BYTES_MAX: usize = 8 << 20;
/// Batches that wait for an epoch: a stick's, of a term.
const PARKED_MAX: usize = 256;
/// Contacts that stand for couriers are numbered down from here; a driver counts up from 0.
const CONTACT_OF_COURIER: u64 = u64::MAX;

/// What couriers have brought and is not judged yet.
#[derive(Default)]
pub(super) struct Couriers {
    next: u64,
    batches: BTreeMap<ContactId, Batch>,
    answers: BTreeMap<ContactId, RequestId>,
    epochs: VecDeque<EpochsCarried>,
    blobs: VecDeque<BlobCarried>,
    manifests: VecDeque<(BlobId, Manifest, Bitmap)>,
    /// Envelopes that wait for a membership that is not here yet, in the order they came.
    parked: VecDeque<Parked>,
}

/// Envelopes of one collection that wait for an epoch, or follow some that do.
struct Parked {
    collection: CollectionId,
    envelopes: Vec<Vec<u8>>,
}

/// Envelopes on their way into journals.
struct Batch {
    request: RequestId,
    accepted: u32,
    trouble: Option<CarryError>,
}

/// Epochs on their way into the membership.
struct EpochsCarried {
    request: RequestId,
    contact: ContactId,
    before: u64,
    last: u64,
    trouble: Option<CarryError>,
}

/// A manifest that waits until the documents before it are brought up to date.
struct BlobCarried {
    request: RequestId,
    blob: BlobId,
    manifest: Manifest,
}

/// What the store was asked for a courier.
pub(super) enum CourierStep {
    /// What is known of a blob.
    Load { request: RequestId, blob: BlobId, manifest: Box<Manifest> },
    /// Its space.
    Reserve { request: RequestId, blob: BlobId, manifest: Box<Manifest> },
    /// Pieces of it.
    Write { request: RequestId, blob: BlobId, pieces: Vec<u32>, refused: Option<CarryError> },
}

impl Node {
    /// Gives what decides what a parcel carries; none without an alliance.
    pub fn courier_view(&self) -> Option<View> {
        let membership = self.membership.as_ref()?;
        let epoch = &membership.newest().epoch;
        let readers = |id: &CollectionId| {
            let hubs = epoch.hubs.iter().map(|member| member.hub);
            hubs.filter(|hub| epoch.may_read(hub, id)).collect()
        };
        let collections = epoch.collections.iter().map(|rule| &rule.id);
        let ours = collections.filter(|id| epoch.may_read(&self.hub, id));
        let view = |id: &CollectionId| CollectionView {
            id: id.clone(),
            vector: self.journals.vector(id),
            readers: readers(id),
        };
        Some(View {
            alliance: epoch.alliance,
            epoch: epoch.n,
            epochs: membership.bytes_from(0),
            members: epoch.hubs.iter().map(|member| (member.hub, member.x25519)).collect(),
            collections: ours.map(view).collect(),
        })
    }

    /// Takes something that a courier brought; [`Event::Carried`] answers.
    pub(super) fn carry(&mut self, now: Time, request: RequestId, carried: Carried) {
        let couriers = &self.couriers;
        let waiting = couriers.batches.len() + couriers.answers.len() + couriers.blobs.len();
        if self.membership.is_none() {
            return self.carry_refused(request, CarryError::NoAlliance);
        }
        if waiting + self.couriers.epochs.len() >= WAITING_MAX {
            return self.carry_refused(request, CarryError::Busy);
        }
        match carried {
            Carried::Answer(bytes) => self.carry_answer(now, request, &bytes),
            Carried::Epochs(epochs) => self.carry_epochs(request, epochs),
            Carried::Envelopes { collection, batch } => {
                let contact = self.next_courier();
                let entry = Batch { request, accepted: 0, trouble: None };
                self.couriers.batches.insert(contact, entry);
                self.handle_envelopes(now, contact, collection, &batch);
            }
            Carried::Blob { blob, manifest } => self.carry_blob(request, blob, &manifest),
            Carried::Pieces { blob, pieces } => self.carry_pieces(request, blob, pieces),
        }
    }

    fn next_courier(&mut self) -> ContactId {
        self.couriers.next += 1;
        ContactId(CONTACT_OF_COURIER - self.couriers.next)
    }

    fn carried(&mut self, request: RequestId, outcome: Outcome) {
        self.emit(Event::Carried { request, outcome });
    }

    fn carry_refused(&mut self, request: RequestId, error: CarryError) {
        self.carried(request, Outcome { refused: Some(error), ..Outcome::default() });
    }

    fn carry_epochs(&mut self, request: RequestId, epochs: Vec<Vec<u8>>) {
        let Some(membership) = &self.membership else { return };
        let before = membership.newest().epoch.n;
        if self.is_frozen || epochs.len() + self.epoch_changes.len() > EPOCH_CHANGES_MAX {
            return self.carry_refused(request, CarryError::Busy);
        }
        let decoded = epochs.iter().map(|bytes| crate::membership::SignedEpoch::decode(bytes));
        let last = match decoded.collect::<Result<Vec<_>, _>>() {
            Ok(decoded) => decoded.iter().map(|signed| signed.epoch.n).max().unwrap_or(0),
            Err(error) => return self.carry_refused(request, CarryError::Wrong(error.to_string())),
        };
        let contact = self.next_courier();
        self.couriers.epochs.push_back(EpochsCarried {
            request,
            contact,
            before,
            last,
            trouble: None,
        });
        self.handle_epochs(contact, epochs);
    }

    fn carry_blob(&mut self, request: RequestId, blob: BlobId, bytes: &[u8]) {
        let wrong = |what: &str| CarryError::Wrong(what.to_owned());
        if id_of(bytes) != blob {
            return self.carry_refused(request, wrong("a manifest that is not the blob's"));
        }
        match Manifest::decode(bytes) {
            Ok(manifest) => self.couriers.blobs.push_back(BlobCarried { request, blob, manifest }),
            Err(error) => self.carry_refused(request, CarryError::Wrong(error.to_string())),
        }
    }

    fn carry_pieces(&mut self, request: RequestId, blob: BlobId, pieces: Vec<(u32, Vec<u8>)>) {
        let known = self.couriers.manifests.iter().find(|(id, ..)| *id == blob);
        let Some((_, manifest, held)) = known else {
            let error = CarryError::Wrong("pieces of a blob whose manifest did not come".into());
            return self.carry_refused(request, error);
        };
        let count = pieces.len();
        let mut right = pieces;
        right.retain(|(piece, bytes)| held.has(*piece) || manifest.verifies(*piece, bytes));
        let refused = (right.len() < count)
            .then(|| CarryError::Wrong("a piece that is not the blob's".into()));
        right.retain(|(piece, _)| !held.has(*piece));
        let is_whole = held.is_full();
        if right.is_empty() {
            return self.carried(request, Outcome { is_whole, refused, ..Outcome::default() });
        }
        let numbers = right.iter().map(|(piece, _)| *piece).collect();
        let step = CourierStep::Write { request, blob, pieces: numbers, refused };
        self.store(StoreOp::WritePieces { blob, pieces: right }, Waiting::Courier(step));
    }

    /// Answers what has come to its end, and begins what waited for documents.
    pub(super) fn advance_couriers(&mut self) {
        if !self.has_epoch_changes() {
            while let Some(epochs) = self.couriers.epochs.pop_front() {
                self.epochs_carried(epochs);
            }
        }
        // Which blobs are named is known once the documents have what was carried before.
        while self.docs.is_empty()
            && self.writes.is_empty()
            && !self.is_writing
            && let Some(BlobCarried { request, blob, manifest }) = self.couriers.blobs.pop_front()
        {
            let step = CourierStep::Load { request, blob, manifest: Box::new(manifest) };
            self.store(StoreOp::LoadBlob { blob }, Waiting::Courier(step));
        }
    }

    fn epochs_carried(&mut self, epochs: EpochsCarried) {
        let newest = self.membership.as_ref().map_or(0, |m| m.newest().epoch.n);
        let gap = (epochs.last > newest).then_some(CarryError::Gap);
        let accepted = u32::try_from(newest.saturating_sub(epochs.before)).unwrap_or(u32::MAX);
        let refused = epochs.trouble.or(gap);
        self.carried(epochs.request, Outcome { accepted, refused, ..Outcome::default() });
    }

    /// Keeps what a courier brought of an epoch that is not here yet, and what follows it, until
    /// there is another epoch. Not over a restart: then it comes from the stick again.
    fn park(
        &mut self,
        contact: ContactId,
        collection: &CollectionId,
        envelopes: &[Vec<u8>],
        trouble: &Trouble,
    ) {
        let parked = &mut self.couriers.parked;
        let follows = || parked.iter().any(|it| it.collection == *collection);
        let is_to_wait = match trouble {
            Trouble::UnknownEpoch => true,
            Trouble::Gap => follows(),
            Trouble::Fork(..) | Trouble::Wrong(_) => false,
        };
        let of = |it: &Parked| it.envelopes.iter().map(Vec::len).sum::<usize>();
        let bytes: usize = parked.iter().map(of).sum();
        let envelopes = envelopes.to_vec();
        let waiting = Parked { collection: collection.clone(), envelopes };
        let has_room = parked.len() < PARKED_MAX && bytes + of(&waiting) <= PARKED_BYTES_MAX;
        if is_courier(contact) && is_to_wait && has_room {
            parked.push_back(waiting);
        }
    }

    /// Judges anew what waited for an epoch.
    pub(super) fn unpark(&mut self) {
        for Parked { collection, envelopes } in std::mem::take(&mut self.couriers.parked) {
            let contact = self.next_courier();
            self.writes.push_back(WriteJob::Batch { contact, collection, envelopes });
        }
    }

    /// Takes note of what was judged of a courier's batch, and what is left of it with what was
    /// wrong; its answer follows when it is durable.
    pub(super) fn courier_judged(
        &mut self,
        contact: ContactId,
        collection: &CollectionId,
        accepted: usize,
        trouble: Option<(&Trouble, &[Vec<u8>])>,
    ) {
        if let Some((trouble, rest)) = trouble {
            self.park(contact, collection, rest, trouble);
        }
        let Some(batch) = self.couriers.batches.get_mut(&contact) else { return };
        batch.accepted = u32::try_from(accepted).unwrap_or(u32::MAX);
        batch.trouble = trouble.map(|(trouble, _)| match trouble {
            Trouble::Gap => CarryError::Gap,
            Trouble::UnknownEpoch => CarryError::UnknownEpoch,
            Trouble::Fork(..) => {
                CarryError::Wrong("two different entries at one place of a journal".into())
            }
            Trouble::Wrong(reason) => CarryError::Wrong(reason.clone()),
        });
    }

    /// Answers a courier's batch: what was accepted of it is durable.
    pub(super) fn courier_stored(&mut self, contact: ContactId, result: Result<(), &StoreError>) {
        let Some(batch) = self.couriers.batches.remove(&contact) else { return };
        let outcome = match result {
            Ok(()) => {
                Outcome { accepted: batch.accepted, refused: batch.trouble, ..Outcome::default() }
            }
            Err(error) => {
                Outcome { refused: Some(CarryError::Store(error.clone())), ..Outcome::default() }
            }
        };
        self.carried(batch.request, outcome);
    }

    /// Takes note that a contact would be closed for what it sent; a courier's is no contact.
    pub(super) fn courier_broke_rules(&mut self, contact: ContactId, reason: &str) {
        let wrong = CarryError::Wrong(reason.to_owned());
        let epochs = self.couriers.epochs.iter_mut().find(|epochs| epochs.contact == contact);
        if let Some(epochs) = epochs {
            epochs.trouble.get_or_insert(wrong);
        } else if let Some(batch) = self.couriers.batches.get_mut(&contact) {
            batch.trouble.get_or_insert(wrong);
            if batch.accepted == 0 {
                self.courier_stored(contact, Ok(()));
            }
        }
    }

    pub(super) fn courier_step_stored(
        &mut self,
        now: Time,
        step: CourierStep,
        result: Result<StoreValue, StoreError>,
    ) {
        match (step, result) {
            (
                CourierStep::Load { request, .. }
                | CourierStep::Reserve { request, .. }
                | CourierStep::Write { request, .. },
                Err(error),
            ) => self.carry_refused(request, CarryError::Store(error)),
            (CourierStep::Load { request, blob, manifest }, Ok(StoreValue::Blob(stored))) => {
                self.carried_blob_loaded(request, blob, manifest, &stored);
            }
            (CourierStep::Load { request, .. }, Ok(_)) => {
                let error = StoreError::Failed("an answer of another kind".into());
                self.carry_refused(request, CarryError::Store(error));
            }
            (CourierStep::Reserve { request, blob, manifest }, Ok(value)) => {
                let actions = self.serving.appeared(blob);
                self.carry_out_serve(now, actions);
                let held = match &value {
                    StoreValue::Blob(found) => &found.bitmap[..],
                    _ => &[],
                };
                let held = Bitmap::from_bytes(held, manifest.pieces.len());
                self.keep_carried(request, blob, *manifest, held);
            }
            (CourierStep::Write { request, blob, pieces, refused }, Ok(_)) => {
                self.carried_pieces_written(now, request, blob, &pieces, refused);
            }
        }
    }

    fn carried_blob_loaded(
        &mut self,
        request: RequestId,
        blob: BlobId,
        manifest: Box<Manifest>,
        stored: &crate::event::StoredBlob,
    ) {
        let epoch = self.membership.as_ref().map(|m| &m.newest().epoch);
        let may_read = |id: &CollectionId| epoch.is_some_and(|epoch| epoch.may_read(&self.hub, id));
        if !stored.collections.iter().any(may_read) {
            return self.carry_refused(request, CarryError::NotNamed);
        }
        let held = Bitmap::from_bytes(&stored.bitmap, manifest.pieces.len());
        if held.is_full() {
            let outcome = Outcome { is_whole: true, ..Outcome::default() };
            return self.carried(request, outcome);
        }
        if stored.manifest.is_some() {
            return self.keep_carried(request, blob, *manifest, held);
        }
        let op = StoreOp::ReserveBlob { blob, manifest: manifest.encode() };
        self.store(op, Waiting::Courier(CourierStep::Reserve { request, blob, manifest }));
    }

    fn keep_carried(&mut self, request: RequestId, blob: BlobId, manifest: Manifest, held: Bitmap) {
        let outcome = Outcome { held: held.as_bytes().to_vec(), ..Outcome::default() };
        self.couriers.manifests.retain(|(id, ..)| *id != blob);
        if self.couriers.manifests.len() >= MANIFESTS_MAX {
            self.couriers.manifests.pop_front();
        }
        self.couriers.manifests.push_back((blob, manifest, held));
        self.carried(request, outcome);
    }

    fn carried_pieces_written(
        &mut self,
        now: Time,
        request: RequestId,
        blob: BlobId,
        pieces: &[u32],
        refused: Option<CarryError>,
    ) {
        let known = self.couriers.manifests.iter_mut().find(|(id, ..)| *id == blob);
        let is_whole = known.is_some_and(|(_, _, held)| {
            pieces.iter().for_each(|piece| held.insert(*piece));
            held.is_full()
        });
        pieces.iter().for_each(|piece| self.piece_appeared(blob, *piece));
        let actions = self.fetches.carried(now, blob, pieces, is_whole);
        self.carry_out_fetch(now, actions);
        let accepted = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        self.carried(request, Outcome { accepted, is_whole, refused, held: Vec::new() });
    }
}

/// Says whether a number stands for a courier; a driver's numbers never come so far.
const fn is_courier(contact: ContactId) -> bool {
    contact.0 > CONTACT_OF_COURIER / 2
}

#[cfg(test)]
mod tests;
