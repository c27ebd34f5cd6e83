//! Repair: where fingerprints still differ after vectors, the envelopes that one side lacks are
//! found by reconciliation, and holes are filled. A fork is found the same way (DESIGN §6).

use std::collections::BTreeMap;

use super::documents::DocKey;
use super::writing::{WriteJob, Writing};
use super::{Node, Waiting};
use crate::event::{Alarm, EnvelopeRecord, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, ContactId, Hash, HubId, Time};
use crate::journal::{Journals, SignedEnvelope, Verdict, fingerprint_of};
use crate::riblt::{self, Item, SYMBOLS_MAX, Symbol};
use crate::wire::{Message, REPAIRED_MAX, pack_batches};

/// Symbols that are asked for first: enough for some twenty differences, a few frames' heads.
const SYMBOLS_FIRST: usize = 32;
/// Journals are compared with their fingerprints so long after a start: not while a school waits
/// for its hub in the morning.
pub(super) const FULL_CHECK_FIRST_MS: u64 = 3_600_000;
/// And then so often: weekly.
const FULL_CHECK_EVERY_MS: u64 = 7 * 86_400_000;

/// Most questions of a contact about one collection: to find all that can be found takes nine, and
/// each has a store list its journals. A damaged store asks again a week later.
const QUESTIONS_MAX: u32 = 32;
/// In so long a time.
const QUESTIONS_MS: u64 = 3_600_000;

/// Author, `seq` and hash of an envelope.
type Place = (HubId, u64, Hash);

/// A difference that is being looked for with one contact.
pub(super) struct Repair {
    own: Vec<Place>,
    symbols: Vec<Symbol>,
}

/// Who waits for a list of envelopes, or for some of them.
pub(super) enum RepairStep {
    /// Our own list, before the other side is asked for symbols.
    Own,
    /// Symbols for the other side.
    Symbols { from: usize, count: usize },
    /// Places of what the other side lacks.
    Asked { items: Vec<Item> },
    /// What the other side lacks.
    Lacked,
    /// The regular check.
    Check,
}

/// A repair being stored.
pub(super) enum Repairing {
    /// What stands in the places is being read.
    Reading { contact: ContactId, came: Vec<SignedEnvelope> },
    /// Holes are being filled.
    Mending { keys: Vec<DocKey>, journals: Box<Journals>, is_damaged: bool },
}

/// Gives what stands for an envelope in a reconciliation.
fn item_of(place: &Place) -> Item {
    fingerprint_of(&place.2)
}

/// What a contact has asked about a collection of late.
#[derive(Debug, Default)]
pub(super) struct Questions {
    since: Time,
    asked: u32,
}

impl Questions {
    /// Counts one more, and gives how many there were of late.
    fn count(&mut self, now: Time) -> u32 {
        if now.since_ms(self.since) >= QUESTIONS_MS {
            *self = Self { since: now, asked: 0 };
        }
        self.asked = self.asked.saturating_add(1);
        self.asked
    }
}

impl Node {
    /// Looks for what one side lacks, once a contact and collection.
    pub(super) fn reconcile(&mut self, id: ContactId, collection: &CollectionId) {
        let Some(contact) = self.contacts.get_mut(&id).filter(|contact| contact.is_ready()) else {
            return;
        };
        let exchange = contact.exchanges.entry(collection.clone()).or_default();
        if !std::mem::replace(&mut exchange.is_reconciled, true) {
            self.list_envelopes(Some(id), collection, RepairStep::Own);
        }
    }

    fn list_envelopes(
        &mut self,
        id: Option<ContactId>,
        collection: &CollectionId,
        step: RepairStep,
    ) {
        // What is damaged here counts as missing; others are told what was noted.
        let is_verified = matches!(step, RepairStep::Check | RepairStep::Own);
        let op = StoreOp::ListEnvelopes { collection: collection.clone(), is_verified };
        self.store(op, Waiting::Repair { contact: id, collection: collection.clone(), step });
    }

    pub(super) fn handle_repair_message(&mut self, now: Time, id: ContactId, message: Message) {
        let collection = match &message {
            Message::AskSymbols { collection, .. }
            | Message::Symbols { collection, .. }
            | Message::AskEnvelopes { collection, .. }
            | Message::Repair { collection, .. } => collection.clone(),
            _ => return self.close(now, id, "a message that is not allowed here"),
        };
        if !self.may_both_read(id, &collection) {
            return self.close(now, id, "a repair of a closed collection");
        }
        match message {
            Message::AskSymbols { from, count, .. } => {
                let (from, count) = (from as usize, count as usize);
                if count == 0 || count > SYMBOLS_MAX || from > SYMBOLS_MAX - count {
                    return self.close(now, id, "asks for more symbols than there are");
                }
                self.serve_repair(now, id, &collection, RepairStep::Symbols { from, count });
            }
            Message::AskEnvelopes { items, .. } if items.len() <= REPAIRED_MAX => {
                self.serve_repair(now, id, &collection, RepairStep::Asked { items });
            }
            Message::Symbols { from, symbols, .. } => {
                self.symbols_came(now, id, collection, from as usize, symbols);
            }
            Message::Repair { batch, .. } => self.queue_repair(now, id, collection, &batch),
            _ => self.close(now, id, "asks for too many envelopes"),
        }
    }

    /// Answers one question at a time, and not many in an hour, so that nobody has a store list its
    /// journals for ever.
    fn serve_repair(
        &mut self,
        now: Time,
        id: ContactId,
        collection: &CollectionId,
        step: RepairStep,
    ) {
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        if std::mem::replace(&mut contact.is_serving_repair, true) {
            return self.close(now, id, "asks again before it has its answer");
        }
        let exchange = contact.exchanges.entry(collection.clone()).or_default();
        if exchange.questions.count(now) > QUESTIONS_MAX {
            return self.close(now, id, "asks again and again for the same lists");
        }
        self.list_envelopes(Some(id), collection, step);
    }

    pub(super) fn repair_read(
        &mut self,
        contact: Option<ContactId>,
        collection: CollectionId,
        step: RepairStep,
        result: Result<StoreValue, StoreError>,
    ) {
        // The check waits its turn among the writes, so that nothing changes meanwhile.
        self.is_writing &= !matches!(step, RepairStep::Check);
        let is_answer = matches!(step, RepairStep::Symbols { .. } | RepairStep::Lacked);
        let there = contact.and_then(|id| self.contacts.get_mut(&id));
        if let Some(there) = there.filter(|_| is_answer || result.is_err()) {
            there.is_serving_repair = false;
        }
        match (step, result, contact) {
            (RepairStep::Own, Ok(StoreValue::Places(own)), Some(id)) => {
                self.ask_symbols(id, collection, Repair { own, symbols: Vec::new() });
            }
            (RepairStep::Symbols { from, count }, Ok(StoreValue::Places(own)), Some(id)) => {
                let symbols = riblt::symbols(own.iter().map(item_of), from, from + count);
                self.tell(id, &Message::Symbols { collection, from: from as u32, symbols });
            }
            (RepairStep::Asked { items }, Ok(StoreValue::Places(own)), Some(id)) => {
                self.read_lacked(id, collection, &own, &items);
            }
            (RepairStep::Lacked, Ok(StoreValue::Envelopes(envelopes)), Some(id)) => {
                for batch in pack_batches(&envelopes) {
                    self.tell(id, &Message::Repair { collection: collection.clone(), batch });
                }
            }
            (RepairStep::Check, Ok(StoreValue::Places(own)), _) => {
                self.compare(collection, &own);
            }
            (_, Ok(_), _) => {}
            (_, Err(error), _) => tracing::warn!(%error, "journals could not be listed"),
        }
    }

    fn tell(&mut self, id: ContactId, message: &Message) {
        if let Some(contact) = self.contacts.get_mut(&id).filter(|contact| contact.is_ready()) {
            contact.outbox.push(message);
        }
    }

    /// Asks for as many symbols again as there are.
    fn ask_symbols(&mut self, id: ContactId, collection: CollectionId, repair: Repair) {
        let from = repair.symbols.len();
        let count = from.clamp(SYMBOLS_FIRST, SYMBOLS_MAX - from);
        let message = Message::AskSymbols {
            collection: collection.clone(),
            from: from as u32,
            count: count as u32,
        };
        self.tell(id, &message);
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.repairs.insert(collection, repair);
        }
    }

    fn symbols_came(
        &mut self,
        now: Time,
        id: ContactId,
        collection: CollectionId,
        from: usize,
        symbols: Vec<Symbol>,
    ) {
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        let Some(mut repair) = contact.repairs.remove(&collection) else {
            return self.close(now, id, "symbols that nobody asked for");
        };
        let is_asked = from == repair.symbols.len() && !symbols.is_empty();
        if !is_asked || from + symbols.len() > SYMBOLS_MAX {
            return self.close(now, id, "symbols that nobody asked for");
        }
        repair.symbols.extend(symbols);
        match riblt::difference(&repair.symbols, repair.own.iter().map(item_of)) {
            Some(found) => {
                tracing::debug!(%collection, theirs = found.theirs.len(), ours = found.ours.len(),
                    "journals are repaired");
                self.read_lacked(id, collection.clone(), &repair.own, &found.ours);
                let items: Vec<Item> = found.theirs.into_iter().take(REPAIRED_MAX).collect();
                if !items.is_empty() {
                    self.tell(id, &Message::AskEnvelopes { collection, items });
                }
            }
            None if repair.symbols.len() >= SYMBOLS_MAX => {
                tracing::warn!(%collection, "journals differ in more than can be found");
            }
            None => self.ask_symbols(id, collection, repair),
        }
    }

    /// Reads envelopes that the other side lacks.
    fn read_lacked(
        &mut self,
        id: ContactId,
        collection: CollectionId,
        own: &[Place],
        items: &[Item],
    ) {
        let by_item: BTreeMap<Item, &Place> = own.iter().map(|p| (item_of(p), p)).collect();
        let found = items.iter().take(REPAIRED_MAX).filter_map(|item| by_item.get(item));
        let places: Vec<(HubId, u64)> = found.map(|(author, seq, _)| (*author, *seq)).collect();
        let op = StoreOp::ReadPlaces { collection: collection.clone(), places };
        let step = RepairStep::Lacked;
        self.store(op, Waiting::Repair { contact: Some(id), collection, step });
    }

    /// Reads what stands in the places of envelopes that came, and in those after them.
    pub(super) fn begin_repairing(
        &mut self,
        contact: ContactId,
        collection: CollectionId,
        envelopes: &[Vec<u8>],
    ) {
        let Some(membership) = &self.membership else { return };
        let fits = |signed: &SignedEnvelope| {
            let verdict = self.journals.judge(membership, signed);
            let is_revoked = matches!(verdict, Ok(Verdict::PastRevocation | Verdict::UnknownEpoch));
            signed.envelope.collection == collection && !is_revoked
        };
        let came = envelopes.iter().filter_map(|bytes| SignedEnvelope::decode(bytes).ok());
        let mut came: Vec<SignedEnvelope> = came.filter(fits).collect();
        came.sort_by_key(|it| (it.envelope.author, it.envelope.seq));
        let place = |it: &SignedEnvelope| (it.envelope.author, it.envelope.seq);
        let mut places: Vec<(HubId, u64)> = came
            .iter()
            .map(place)
            .flat_map(|(author, seq)| [(author, seq), (author, seq.saturating_add(1))])
            .collect();
        places.sort_unstable();
        places.dedup();
        self.is_writing = true;
        let op = StoreOp::ReadPlaces { collection: collection.clone(), places };
        let step = Repairing::Reading { contact, came };
        self.store(op, Waiting::Write(Writing::Repairing { collection, step }));
    }

    pub(super) fn repaired(
        &mut self,
        collection: CollectionId,
        step: Repairing,
        result: Result<StoreValue, StoreError>,
    ) {
        match (step, result) {
            (Repairing::Reading { contact, came }, Ok(StoreValue::Envelopes(here))) => {
                self.mend(contact, collection, came, &here);
            }
            (Repairing::Mending { keys, journals, is_damaged }, Ok(_)) => {
                self.journals_grew(*journals);
                keys.into_iter().for_each(|key| self.touch_doc(key));
                if is_damaged {
                    self.reconcile_with_all(&collection);
                }
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => tracing::warn!(%error, "journals could not be repaired"),
        }
    }

    /// Fills holes, and keeps what contradicts an entry that is here.
    fn mend(
        &mut self,
        contact: ContactId,
        collection: CollectionId,
        came: Vec<SignedEnvelope>,
        here: &[Vec<u8>],
    ) {
        let mut here: BTreeMap<(HubId, u64), SignedEnvelope> = here
            .iter()
            .filter_map(|bytes| SignedEnvelope::decode(bytes).ok())
            .map(|signed| ((signed.envelope.author, signed.envelope.seq), signed))
            .collect();
        let mut journals = Box::new(self.journals.clone());
        let (mut mended, mut aside): (Vec<EnvelopeRecord>, Vec<EnvelopeRecord>) =
            Default::default();
        // The newest first, so that each hole is named by the entry after it.
        for signed in came.into_iter().rev() {
            let (author, seq) = (signed.envelope.author, signed.envelope.seq);
            match here.get(&(author, seq)) {
                Some(known) if known.hash == signed.hash => {}
                Some(_) => {
                    aside.push(signed.record());
                    self.journal_forked(&collection, author, seq);
                }
                None if is_missing(&journals, &here, &signed) => {
                    journals.mend(&signed);
                    self.note_trespass(&signed);
                    mended.push(signed.record());
                    here.insert((author, seq), signed);
                }
                // It may be the next one; whoever has it sends it in its turn.
                None => {}
            }
        }
        if !aside.is_empty() {
            let collection = collection.clone();
            self.writes.push_back(WriteJob::SetAside { collection, envelopes: aside });
        }
        if mended.is_empty() {
            return;
        }
        tracing::info!(contact = contact.0, entries = mended.len(), "holes in journals are filled");
        self.store_mended(collection, mended, journals, false);
    }

    fn store_mended(
        &mut self,
        collection: CollectionId,
        envelopes: Vec<EnvelopeRecord>,
        journals: Box<Journals>,
        is_damaged: bool,
    ) {
        let keys = envelopes.iter().map(|it| (collection.clone(), it.doc)).collect();
        let fingerprint = journals.fingerprint(&collection);
        let op = StoreOp::Mend { collection: collection.clone(), envelopes, fingerprint };
        self.is_writing = true;
        let step = Repairing::Mending { keys, journals, is_damaged };
        self.store(op, Waiting::Write(Writing::Repairing { collection, step }));
    }

    fn reconcile_with_all(&mut self, collection: &CollectionId) {
        for id in self.ready_contacts() {
            if let Some(contact) = self.contacts.get_mut(&id) {
                let exchange = contact.exchanges.entry(collection.clone()).or_default();
                exchange.is_reconciled = false;
            }
            self.reconcile(id, collection);
        }
    }

    /// Lists every collection and compares it with its fingerprint, when it is time.
    pub(super) fn check_journals(&mut self, now: Time) {
        if now < self.full_check_at {
            return;
        }
        self.full_check_at = now.after_ms(FULL_CHECK_EVERY_MS);
        let Some(membership) = &self.membership else { return };
        let rules = membership.newest().epoch.collections.iter();
        let collections: Vec<CollectionId> = rules.map(|rule| rule.id.clone()).collect();
        for collection in collections {
            self.writes.push_back(WriteJob::Check { collection });
        }
    }

    pub(super) fn begin_check(&mut self, collection: &CollectionId) {
        self.is_writing = true;
        self.list_envelopes(None, collection, RepairStep::Check);
    }

    /// Takes what is really there for the fingerprint; the rest comes from others.
    fn compare(&mut self, collection: CollectionId, own: &[Place]) {
        let sum = own.iter().map(item_of).fold(0, u128::wrapping_add);
        if sum.to_le_bytes() == self.journals.fingerprint(&collection) {
            return;
        }
        let why = format!("{} entries of {collection} do not fit what was noted", own.len());
        self.alarm(Alarm::JournalDamaged { why });
        let mut journals = Box::new(self.journals.clone());
        journals.set_fingerprint(&collection, sum);
        self.store_mended(collection, Vec::new(), journals, true);
    }
}

/// Says whether an entry is one that our journal lacks in its midst: the entry after it names it,
/// or it is the newest.
fn is_missing(
    journals: &Journals,
    here: &BTreeMap<(HubId, u64), SignedEnvelope>,
    signed: &SignedEnvelope,
) -> bool {
    let envelope = &signed.envelope;
    let Some(head) = journals.head(&envelope.collection, &envelope.author) else { return false };
    let next = here.get(&(envelope.author, envelope.seq.saturating_add(1)));
    let is_named = next.is_some_and(|next| next.envelope.prev_hash == signed.hash);
    let is_head = envelope.seq == head.seq && signed.hash == head.hash;
    envelope.seq <= head.seq && (is_named || is_head)
}
