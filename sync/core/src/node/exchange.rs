//! Exchange of journals with a contact: hello, vectors, batches, acknowledgements (DESIGN §6).

use std::collections::BTreeMap;

use super::contact::{Contact, State};
use super::repair::Questions;
use super::{Node, Waiting};
use crate::event::{Alarm, Event, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, ContactId, Hash, HubId, Time};
use crate::journal::Journals;
use crate::membership::are_addresses;
use crate::outbox::REFILL_BYTES;
use crate::wire::{
    BATCH_BYTES, Class, Hello, Message, PROTOCOL_VERSION, VECTOR_ENTRIES_MAX, pack_batches,
};

/// Batches that may be under way without an acknowledgement: two round trips' worth at 64 KiB.
const UNACKNOWLEDGED_MAX: u32 = 8;

/// Stores of one hub that are remembered: two that take turns, and two that were restored.
const STORES_MAX: usize = 4;

/// How far one collection is exchanged with one contact.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// What the other side has or was sent; none until its vector is here.
    known: Option<BTreeMap<HubId, u64>>,
    /// What the other side has said to hold durably.
    acknowledged: BTreeMap<HubId, u64>,
    is_vector_sent: bool,
    /// What the other side's hello said, if it differs from ours.
    fingerprint: Option<[u8; 16]>,
    pub is_reconciled: bool,
    /// What it asks about envelopes.
    pub questions: Questions,
    is_reading: bool,
    unacknowledged: u32,
}

/// A journal being read for a contact.
pub(super) struct Reading {
    contact: ContactId,
    collection: CollectionId,
    author: HubId,
    from_seq: u64,
}

impl Exchange {
    /// Gives how far the other side has said to hold a journal, once it has said anything.
    pub fn shows(&self, author: &HubId) -> Option<u64> {
        self.known.as_ref()?;
        Some(self.acknowledged.get(author).copied().unwrap_or(0))
    }

    /// Takes note that the other side holds a journal up to an entry.
    pub fn holds(&mut self, author: HubId, seq: u64) {
        let known = self.known.get_or_insert_default().entry(author).or_default();
        *known = (*known).max(seq);
        let acknowledged = self.acknowledged.entry(author).or_default();
        *acknowledged = (*acknowledged).max(seq);
    }
}

impl Node {
    /// Makes the greeting of a member for another one.
    pub(super) fn hello(&self, to: &HubId) -> Option<Hello> {
        let newest = self.membership.as_ref()?.newest();
        let readable = newest.epoch.collections.iter();
        let readable = readable.filter(|rule| newest.epoch.may_read(&self.hub, &rule.id));
        Some(Hello {
            version: PROTOCOL_VERSION,
            alliance: newest.epoch.alliance,
            epoch: newest.epoch.n,
            epoch_hash: newest.hash,
            addresses: self.addresses.clone(),
            store_id: self.store_id,
            witnessed: self.witnessed.newest_of(to),
            collections: readable
                .map(|rule| (rule.id.clone(), self.journals.fingerprint(&rule.id)))
                .collect(),
        })
    }

    pub(super) fn handle_hello(&mut self, now: Time, id: ContactId, hello: &Hello) {
        let Some(membership) = &self.membership else { return };
        let newest = membership.newest();
        if hello.version != PROTOCOL_VERSION {
            return self.close(now, id, "speaks another version; update both hubs");
        }
        if hello.alliance != newest.epoch.alliance {
            return self.close(now, id, "belongs to another alliance");
        }
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        contact.epoch = hello.epoch;
        let differs = |ours: Hash| ours != hello.epoch_hash;
        if membership.hash_of(hello.epoch).is_some_and(differs) {
            // Each shows its own; then one gives way, or both know that a key was stolen.
            let ours = Message::Epochs(membership.bytes_for(hello.epoch, &hello.epoch_hash));
            contact.outbox.push(&ours);
            if hello.epoch == newest.epoch.n {
                return;
            }
            contact.epoch = newest.epoch.n;
        }
        contact.state = State::Ready;
        let (hub, address) = (contact.hub, contact.address.clone());
        self.note_store(hub, hello.store_id);
        if are_addresses(&hello.addresses) {
            self.next_dial_known.set(None);
            let dial = self.dials.entry(hub).or_default();
            dial.claimed.clone_from(&hello.addresses);
            self.member_moved(now, hub, hello.addresses.clone());
        }
        self.pass_epochs_on();
        self.witness_up(id, hello.witnessed);
        self.begin_exchange(now, id, hub, hello);
        self.serving.contact_up(id, hub);
        let actions = self.fetches.contact_up(id, hub);
        self.carry_out_fetch(now, actions);
        self.emit(Event::ContactUp { contact: id, hub, address });
    }

    /// Takes note of which store answers with a hub's key: two that take turns are a clone.
    fn note_store(&mut self, hub: HubId, store_id: [u8; 16]) {
        let stores = &mut self.dials.entry(hub).or_default().stores;
        let is_newest = stores.first() == Some(&store_id);
        let is_clone = !is_newest && stores.contains(&store_id);
        stores.retain(|known| *known != store_id);
        stores.insert(0, store_id);
        stores.truncate(STORES_MAX);
        if is_clone {
            self.alarm(Alarm::Cloned { hub });
        }
    }

    fn begin_exchange(&mut self, now: Time, id: ContactId, hub: HubId, hello: &Hello) {
        let Some(membership) = &self.membership else { return };
        let epoch = &membership.newest().epoch;
        let shared: Vec<CollectionId> = epoch
            .collections
            .iter()
            .map(|rule| rule.id.clone())
            .filter(|c| epoch.may_read(&hub, c) && epoch.may_read(&self.hub, c))
            .collect();
        for collection in shared {
            let ours = self.journals.fingerprint(&collection);
            let theirs = hello.collections.iter().find(|(c, _)| *c == collection);
            let is_same = theirs.is_some_and(|(_, theirs)| *theirs == ours);
            if is_same {
                let vector = self.journals.vector(&collection);
                let exchange = self.exchange(id, &collection);
                exchange.known = Some(BTreeMap::new());
                vector.into_iter().for_each(|(author, seq)| exchange.holds(author, seq));
                self.own_seq_elsewhere(now, hub, &collection, 0);
            } else {
                self.exchange(id, &collection).fingerprint = theirs.map(|(_, theirs)| *theirs);
                self.send_vector(id, &collection, true);
            }
        }
    }

    /// Gives the exchange with a contact, to be changed.
    fn exchange(&mut self, id: ContactId, collection: &CollectionId) -> &mut Exchange {
        let contact = self.contacts.get_mut(&id).expect("callers have looked the contact up");
        contact.may_lack_envelopes = true;
        contact.exchanges.entry(collection.clone()).or_default()
    }

    pub(super) fn send_vector(
        &mut self,
        id: ContactId,
        collection: &CollectionId,
        is_asking: bool,
    ) {
        let entries = self.journals.vector(collection);
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        contact.exchanges.entry(collection.clone()).or_default().is_vector_sent = true;
        let collection = collection.clone();
        contact.outbox.push(&Message::Vector { collection, entries, is_asking });
    }

    /// Tells a contact again what is held here, in every collection.
    pub(super) fn send_vectors(&mut self, id: ContactId) {
        let Some(contact) = self.contacts.get(&id) else { return };
        let collections: Vec<CollectionId> = contact.exchanges.keys().cloned().collect();
        collections.iter().for_each(|collection| self.send_vector(id, collection, false));
    }

    pub(super) fn handle_member_message(&mut self, now: Time, id: ContactId, message: Message) {
        match message {
            Message::Vector { collection, entries, is_asking } => {
                self.handle_vector(now, id, &collection, &entries, is_asking);
            }
            Message::Envelopes { collection, batch } => {
                self.handle_envelopes(now, id, collection, &batch);
            }
            Message::Acknowledged { collection, entries } => {
                self.handle_acknowledged(now, id, &collection, &entries);
            }
            Message::Witnessed { batch } => self.handle_witnessed(now, id, &batch),
            message @ (Message::AskSymbols { .. }
            | Message::Symbols { .. }
            | Message::AskEnvelopes { .. }
            | Message::Repair { .. }) => self.handle_repair_message(now, id, message),
            other => self.handle_blob_message(now, id, other),
        }
    }

    pub(super) fn may_both_read(&self, id: ContactId, collection: &CollectionId) -> bool {
        let (Some(membership), Some(contact)) = (&self.membership, self.contacts.get(&id)) else {
            return false;
        };
        let epoch = &membership.newest().epoch;
        epoch.may_read(&contact.hub, collection) && epoch.may_read(&self.hub, collection)
    }

    fn handle_vector(
        &mut self,
        now: Time,
        id: ContactId,
        collection: &CollectionId,
        entries: &[(HubId, u64)],
        is_asking: bool,
    ) {
        if entries.len() > VECTOR_ENTRIES_MAX || !self.may_both_read(id, collection) {
            return self.close(now, id, "a vector that is too long or of a closed collection");
        }
        let exchange = self.exchange(id, collection);
        exchange.known = Some(entries.iter().copied().collect());
        exchange.acknowledged = entries.iter().copied().collect();
        exchange.unacknowledged = 0;
        let own = entries.iter().find(|(author, _)| *author == self.hub);
        if let Some(hub) = self.contacts.get(&id).map(|contact| contact.hub) {
            self.own_seq_elsewhere(now, hub, collection, own.map_or(0, |(_, seq)| *seq));
        }
        let ours = self.journals.vector(collection);
        let ours_sum = self.journals.fingerprint(collection);
        let is_smaller = self.contacts.get(&id).is_some_and(|contact| self.hub < contact.hub);
        let exchange = self.exchange(id, collection);
        let is_same = exchange.known == Some(ours.into_iter().collect());
        if is_same && is_smaller && exchange.fingerprint.take().is_some_and(|it| it != ours_sum) {
            self.reconcile(id, collection);
        }
        let exchange = self.exchange(id, collection);
        if is_asking && !exchange.is_vector_sent {
            self.send_vector(id, collection, false);
        }
    }

    fn handle_acknowledged(
        &mut self,
        now: Time,
        id: ContactId,
        collection: &CollectionId,
        entries: &[(HubId, u64)],
    ) {
        if entries.len() > VECTOR_ENTRIES_MAX || !self.may_both_read(id, collection) {
            return self.close(now, id, "an acknowledgement of a closed collection");
        }
        let exchange = self.exchange(id, collection);
        exchange.unacknowledged = exchange.unacknowledged.saturating_sub(1);
        for (author, seq) in entries {
            let acknowledged = exchange.acknowledged.entry(*author).or_default();
            *acknowledged = (*acknowledged).max(*seq);
        }
    }

    /// Reads what a contact lacks, one journal at a time, while its outbox has room.
    pub(super) fn refill_envelopes(&mut self, id: ContactId) {
        let Some(contact) = self.contacts.get(&id).filter(|contact| contact.is_ready()) else {
            return;
        };
        let is_full = contact.outbox.queued_in(Class::Documents) >= REFILL_BYTES;
        if is_full || !contact.may_lack_envelopes {
            return;
        }
        let behind = contact.exchanges.iter().find_map(|(collection, exchange)| {
            let (author, from_seq) = self.next_lacking(collection, exchange)?;
            Some(Reading { contact: id, collection: collection.clone(), author, from_seq })
        });
        let Some(reading) = behind else {
            if let Some(contact) = self.contacts.get_mut(&id) {
                contact.may_lack_envelopes = false;
            }
            return;
        };
        self.exchange(id, &reading.collection).is_reading = true;
        let op = StoreOp::ReadEnvelopes {
            collection: reading.collection.clone(),
            author: reading.author,
            from_seq: reading.from_seq,
            bytes_max: BATCH_BYTES,
        };
        self.store(op, Waiting::Envelopes(reading));
    }

    fn next_lacking(&self, collection: &CollectionId, exchange: &Exchange) -> Option<(HubId, u64)> {
        let known = exchange.known.as_ref()?;
        // While a journal is cut, its store and our idea of it differ.
        let is_cut = self.cutting.as_ref() == Some(collection);
        if is_cut || exchange.is_reading || exchange.unacknowledged >= UNACKNOWLEDGED_MAX {
            return None;
        }
        // Both are in order; this is looked at for each contact whenever a journal has grown.
        let mut theirs = known.iter().peekable();
        self.journals.newest(collection).find_map(|(author, seq)| {
            while theirs.next_if(|(other, _)| **other < author).is_some() {}
            let held = theirs.peek().filter(|(other, _)| **other == author).map_or(0, |it| *it.1);
            (held < seq).then_some((author, held + 1))
        })
    }

    pub(super) fn envelopes_read(
        &mut self,
        reading: Reading,
        result: Result<StoreValue, StoreError>,
    ) {
        let Reading { contact: id, collection, author, from_seq } = reading;
        let Some(contact) = self.contacts.get_mut(&id).filter(|contact| contact.is_ready()) else {
            return;
        };
        contact.may_lack_envelopes = true;
        let exchange = contact.exchanges.entry(collection.clone()).or_default();
        exchange.is_reading = false;
        let head_seq = self.journals.head(&collection, &author).map_or(0, |head| head.seq);
        let envelopes = match result {
            Ok(StoreValue::Envelopes(mut envelopes)) if !envelopes.is_empty() => {
                // A read sees writes that are not durable yet; those are not announced.
                envelopes.truncate((head_seq + 1).saturating_sub(from_seq) as usize);
                if envelopes.is_empty() {
                    return;
                }
                envelopes
            }
            other => {
                // Do not ask the store again and again for what it cannot read.
                let head = self.journals.head(&collection, &author).map_or(0, |head| head.seq);
                exchange.known.get_or_insert_default().insert(author, head);
                let why = other.err().map_or_else(|| "nothing found".into(), |e| e.to_string());
                return self.alarm(Alarm::JournalDamaged { why });
            }
        };
        let upto = from_seq + envelopes.len() as u64 - 1;
        exchange.known.get_or_insert_default().insert(author, upto);
        // The store gives a batch at most, but for one envelope that is longer.
        for batch in pack_batches(&envelopes) {
            exchange.unacknowledged += 1;
            contact.outbox.push(&Message::Envelopes { collection: collection.clone(), batch });
        }
    }

    /// Takes over journals that are durable now; every contact may lack something new.
    pub(super) fn journals_grew(&mut self, journals: Journals) {
        self.journals = journals;
        self.contacts.values_mut().for_each(|contact| contact.may_lack_envelopes = true);
    }

    /// Counts the envelopes that a contact has not said to hold.
    pub(super) fn waiting_envelopes(&self, contact: &Contact) -> u64 {
        let waiting = |(collection, exchange): (&CollectionId, &Exchange)| -> u64 {
            let ours = self.journals.newest(collection);
            ours.map(|(author, seq)| {
                seq.saturating_sub(exchange.acknowledged.get(&author).copied().unwrap_or(0))
            })
            .sum()
        };
        contact.exchanges.iter().map(waiting).sum()
    }
}
