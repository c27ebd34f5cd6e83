//! Witnessing: what is durable here of others' journals is countersigned, told to whoever is in
//! contact, and what others have countersigned is compared with the journals that are here.

use std::collections::BTreeMap;

use super::{Node, Waiting};
use crate::event::{Alarm, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, ContactId, Hash, HubId, Time};
use crate::journal::SignedEnvelope;
use crate::wire::{Message, pack_batches, unpack_batch};
use crate::witness::{
    Question, SIGNED_TOGETHER_MAX, SLOT_CONTRADICTED, SignedStatement, Statement, StatementReader,
    StatementRecord, sign_all, slot_of,
};

/// Journals that grew are countersigned together so often: schools write all day long, a statement
/// stands for all entries before it, and each batch costs every hub a signature's check.
const SIGN_EVERY_MS: u64 = 3_600_000;
/// Most statements that are compared with stored entries at one time.
const COMPARED_MAX: usize = 512;
/// Where numbers of statements begin at most, whatever the clock says: the year 10,000.
const NUMBER_FIRST_MAX: u64 = 253_402_300_800_000;
/// Batches of statements of one contact that may be under way to the store: 2,000 hubs' journals in
/// two collections come in fourteen.
const STORING_MAX: usize = 32;
/// An author in contact who lacks what was countersigned is waited for at least so long, and the
/// statement has to be a day old: a backup that was put back gets its entries from others.
const MISSING_MS_MIN: u64 = 1_800_000;

/// What the store was asked for.
pub(super) enum WitnessStep {
    /// To keep what this hub signed.
    Signing { signed: Vec<SignedStatement>, wall_ms: u64 },
    /// To keep what a contact said.
    Receiving { contact: ContactId, received: Vec<SignedStatement>, wall_ms: u64 },
    /// For entries to compare statements with.
    Comparing { collection: CollectionId, questions: Vec<Question> },
    /// To keep what a journal contradicts.
    Keeping,
}

impl Node {
    /// Countersigns journals that grew, and looks again at what is open; once a minute.
    pub(super) fn check_witnesses(&mut self, now: Time) {
        self.sign_heads(now);
        self.compare_statements();
        self.look_for_missing(now);
    }

    fn sign_heads(&mut self, now: Time) {
        if self.is_signing || now < self.next_signing {
            return;
        }
        let wall_ms = self.wall_ms(now);
        let heads = self.heads_to_sign();
        let Some(membership) = self.membership.as_ref().filter(|_| !heads.is_empty()) else {
            return;
        };
        // More follow at the next minute.
        let is_all = heads.len() < SIGNED_TOGETHER_MAX;
        self.next_signing = now.after_ms(if is_all { SIGN_EVERY_MS } else { 0 });
        let alliance = membership.newest().epoch.alliance;
        // Whatever the clock says, numbers count up, also after a backup was put back.
        let first = wall_ms.min(NUMBER_FIRST_MAX).max(self.witnessed.newest_of(&self.hub) + 1);
        let state = |(number, (collection, author, seq, hash))| Statement {
            alliance,
            collection,
            author,
            seq,
            hash,
            witness: self.hub,
            number,
            witnessed_at_wall_ms: wall_ms,
        };
        let stated = (first..u64::MAX).zip(heads).map(state).collect();
        let signed = sign_all(stated, &self.key);
        let statements = self.records(&signed, wall_ms);
        self.is_signing = true;
        let step = WitnessStep::Signing { signed, wall_ms };
        self.store(StoreOp::PutStatements { statements }, Waiting::Witness(step));
    }

    /// Lists journals of others that grew since this hub countersigned them.
    fn heads_to_sign(&self) -> Vec<(CollectionId, HubId, u64, Hash)> {
        let Some(membership) = &self.membership else { return Vec::new() };
        let epoch = &membership.newest().epoch;
        let mut due = Vec::new();
        for rule in epoch.collections.iter().filter(|it| epoch.may_read(&self.hub, &it.id)) {
            for (author, seq) in self.journals.newest(&rule.id) {
                let signed = self.witnessed.signed(&(rule.id.clone(), author, self.hub));
                let is_due = signed.is_none_or(|signed| signed < seq);
                let is_other = author != self.hub && epoch.member(&author).is_some();
                let head = self.journals.head(&rule.id, &author);
                if let Some(head) = head.filter(|_| is_due && is_other) {
                    due.push((rule.id.clone(), author, seq, head.hash));
                }
                if due.len() >= SIGNED_TOGETHER_MAX {
                    return due;
                }
            }
        }
        due
    }

    fn records(&self, signed: &[SignedStatement], wall_ms: u64) -> Vec<StatementRecord> {
        let record = |it: &SignedStatement| StatementRecord {
            slot: slot_of(&self.hub, &it.statement, wall_ms),
            statement: it.statement.clone(),
            received_at_wall_ms: wall_ms,
            bytes: it.bytes.clone(),
        };
        signed.iter().map(record).collect()
    }

    /// Begins where a contact says that it has this hub's statements.
    pub(super) fn witness_up(&mut self, id: ContactId, told: u64) {
        // More than there is: a backup was put back here, and all is said anew.
        let newest = self.witnessed.newest_of(&self.hub);
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        contact.witnessed_upto = if told > newest { 0 } else { told };
        self.tell_statements(id);
    }

    /// Tells a contact what this hub has countersigned since it last did.
    fn tell_statements(&mut self, id: ContactId) {
        self.tell_statements_to(&[id]);
    }

    /// Tells contacts; most of them lack the same, which is packed once.
    fn tell_statements_to(&mut self, contacts: &[ContactId]) {
        let newest = self.witnessed.newest_of(&self.hub);
        let mut packed: BTreeMap<(u64, Vec<CollectionId>), Vec<Vec<u8>>> = BTreeMap::new();
        for &id in contacts {
            let upto = self.contacts.get(&id).map_or(newest, |contact| contact.witnessed_upto);
            let Some(membership) = self.membership.as_ref().filter(|_| upto < newest) else {
                continue;
            };
            let all = membership.newest().epoch.collections.iter().map(|rule| rule.id.clone());
            let readable: Vec<_> = all.filter(|it| self.may_both_read(id, it)).collect();
            let batches = packed.entry((upto, readable)).or_insert_with_key(|(upto, readable)| {
                let after = self.witnessed.own_after(*upto);
                let told = after.filter(|(_, collection, _)| readable.contains(collection));
                pack_batches(&told.map(|(.., bytes)| bytes.to_vec()).collect::<Vec<_>>())
            });
            let Some(contact) = self.contacts.get_mut(&id) else { continue };
            contact.witnessed_upto = newest;
            for batch in batches {
                contact.outbox.push(&Message::Witnessed { batch: batch.clone() });
            }
        }
    }

    pub(super) fn handle_witnessed(&mut self, now: Time, id: ContactId, batch: &[u8]) {
        let Some(batch) = unpack_batch(batch) else {
            return self.close(now, id, "a batch of statements that does not decode");
        };
        let (Some(membership), Some(contact)) = (&self.membership, self.contacts.get(&id)) else {
            return;
        };
        let (alliance, hub) = (membership.newest().epoch.alliance, contact.hub);
        let (mut received, mut reader) = (Vec::new(), StatementReader::default());
        for bytes in &batch {
            let signed = match reader.read(bytes) {
                Ok(signed) => signed,
                Err(error) => return self.close(now, id, &error.to_string()),
            };
            let it = &signed.statement;
            if it.witness != hub || it.alliance != alliance {
                return self.close(now, id, "a statement of somebody else");
            }
            let is_taken = self.may_both_read(id, &it.collection) && self.is_known(&it.author);
            if is_taken && self.witnessed.is_news(it) {
                received.push(signed);
            } else {
                self.witnessed.note_heard(it);
            }
        }
        if received.is_empty() {
            return;
        }
        let wall_ms = self.wall_ms(now);
        let statements = self.records(&received, wall_ms);
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        if contact.storing_statements >= STORING_MAX {
            return self.close(now, id, "sends faster than can be stored");
        }
        contact.storing_statements += 1;
        let step = WitnessStep::Receiving { contact: id, received, wall_ms };
        self.store(StoreOp::PutStatements { statements }, Waiting::Witness(step));
    }

    /// Says whether a hub is a member or was one; nobody else has a journal.
    fn is_known(&self, hub: &HubId) -> bool {
        let epoch = self.membership.as_ref().map(|m| &m.newest().epoch);
        epoch.is_some_and(|epoch| {
            epoch.member(hub).is_some() || epoch.revoked.iter().any(|it| it.hub == *hub)
        })
    }

    pub(super) fn witness_stored(
        &mut self,
        step: WitnessStep,
        result: Result<StoreValue, StoreError>,
    ) {
        if let WitnessStep::Receiving { contact, .. } = &step
            && let Some(contact) = self.contacts.get_mut(contact)
        {
            contact.storing_statements -= 1;
        }
        self.is_signing &= !matches!(step, WitnessStep::Signing { .. });
        self.is_comparing &= !matches!(step, WitnessStep::Comparing { .. });
        match (step, result) {
            (WitnessStep::Signing { signed, wall_ms }, Ok(_)) => {
                for it in signed {
                    self.witnessed.insert(&self.hub, &it.statement, &it.bytes, wall_ms);
                }
                self.tell_statements_to(&self.ready_contacts());
            }
            (WitnessStep::Receiving { received, wall_ms, .. }, Ok(_)) => {
                for it in received {
                    self.witnessed.insert(&self.hub, &it.statement, &it.bytes, wall_ms);
                }
                self.compare_statements();
            }
            (
                WitnessStep::Comparing { collection, questions },
                Ok(StoreValue::Envelopes(entries)),
            ) => self.compared(&collection, questions, &entries),
            (_, Ok(_)) => {}
            // What was not kept comes again: at the next minute, or with the next contact.
            (_, Err(error)) => tracing::warn!(%error, "statements of witnesses were not kept"),
        }
    }

    /// Reads the entries that open statements are about, as far as they are here.
    fn compare_statements(&mut self) {
        if self.is_comparing {
            return;
        }
        let Some(membership) = &self.membership else { return };
        let epoch = &membership.newest().epoch;
        let mut due: BTreeMap<CollectionId, Vec<Question>> = BTreeMap::new();
        for question in self.witnessed.questions() {
            let (collection, author, _) = &question.key;
            // What counts of hubs that were taken out is the registrar's word.
            let counts = epoch.member(author).is_some();
            let head = self.journals.head(collection, author);
            if counts && head.is_some_and(|head| head.seq >= question.seq) {
                due.entry(collection.clone()).or_default().push(question);
            }
        }
        // One collection at a time; the next minute looks at the others.
        let Some((collection, mut questions)) = due.into_iter().next() else { return };
        questions.truncate(COMPARED_MAX);
        let mut places: Vec<(HubId, u64)> = questions.iter().map(|it| (it.key.1, it.seq)).collect();
        places.sort_unstable();
        places.dedup();
        self.is_comparing = true;
        let op = StoreOp::ReadPlaces { collection: collection.clone(), places };
        let step = WitnessStep::Comparing { collection, questions };
        self.store(op, Waiting::Witness(step));
    }

    fn compared(
        &mut self,
        collection: &CollectionId,
        questions: Vec<Question>,
        entries: &[Vec<u8>],
    ) {
        let peeked = entries.iter().filter_map(|bytes| Some((SignedEnvelope::peek(bytes)?, bytes)));
        let here: BTreeMap<(HubId, u64), &Vec<u8>> =
            peeked.map(|(it, bytes)| ((it.author, it.seq), bytes)).collect();
        let mut has_settled = false;
        for question in questions {
            let (_, author, witness) = question.key;
            let Some(entry) = here.get(&(author, question.seq)) else { continue };
            let is_contradicted = blake3::hash(entry).as_bytes() != &question.hash.0;
            // What is damaged here contradicts nobody; it is mended in its time.
            if is_contradicted && SignedEnvelope::decode(entry).is_err() {
                continue;
            }
            has_settled = true;
            self.witnessed.settle(&question.key, question.seq, is_contradicted);
            if is_contradicted {
                let (collection, seq) = (collection.clone(), question.seq);
                self.keep_contradicted(&question);
                self.alarm(Alarm::WitnessedOtherwise { author, collection, seq, witness });
            }
        }
        if has_settled {
            self.compare_statements();
        }
    }

    /// Keeps the statement of a question where nothing later takes its place.
    fn keep_contradicted(&mut self, question: &Question) {
        let op = StoreOp::KeepContradicted {
            collection: question.key.0.clone(),
            author: question.key.1,
            witness: question.key.2,
            seq: question.seq,
            slot: SLOT_CONTRADICTED,
        };
        self.store(op, Waiting::Witness(WitnessStep::Keeping));
    }

    /// Looks whether authors in contact show less of their own journals than was countersigned.
    fn look_for_missing(&mut self, now: Time) {
        let wall_ms = self.wall_ms(now);
        let mut shown: BTreeMap<HubId, ContactId> = BTreeMap::new();
        for (id, contact) in self.contacts.iter().filter(|(_, contact)| contact.is_ready()) {
            shown.insert(contact.hub, *id);
        }
        for question in self.witnessed.questions() {
            let (collection, author, witness) = question.key.clone();
            let head = self.journals.head(&collection, &author).map_or(0, |head| head.seq);
            let contact = shown.get(&author).and_then(|id| self.contacts.get(id));
            let exchange = contact.and_then(|contact| contact.exchanges.get(&collection));
            let Some(upto) = exchange.and_then(|exchange| exchange.shows(&author)) else {
                continue;
            };
            if upto.max(head) >= question.seq {
                self.witnessed.note_shown(&question.key);
            } else if self.witnessed.is_long_missing(&question.key, now, wall_ms, MISSING_MS_MIN) {
                let entries = question.seq - upto.max(head);
                self.alarm(Alarm::WitnessedMissing { author, collection, entries, witness });
            }
        }
    }
}
