//! Writing: edits and received envelopes into journals, one write at a time.
//!
//! One write is stored before the next is judged, so that a write which fails (a full disk)
//! leaves no gap in a chain.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::{DocKey, load};
use super::repair::Repairing;
use super::revocation::Rejudging;
use super::{Node, Waiting};
use crate::doc::Doc;
use crate::event::{
    Alarm, DocEdit, EnvelopeRecord, Refusal, RequestId, StoreError, StoreOp, StoreValue,
};
use crate::id::{CollectionId, ContactId, Hash, HubId, Time};
use crate::journal::{
    AUTHOR_BYTES_MAX, ENVELOPE_BYTES_MAX, Envelope, EnvelopeError, Journals, SignedEnvelope,
    Verdict,
};
use crate::membership::Membership;
use crate::wire::{Message, unpack_batch};

/// Most writes that wait; past it edits are refused and a contact that sends on is closed.
const WRITES_MAX: usize = 1_024;
/// How long a store that failed (a full disk) is left alone.
const STORE_RETRY_MS: u64 = 30_000;

/// A write that waits its turn.
pub(super) enum WriteJob {
    /// An edit of our own people.
    Edit { request: RequestId, key: DocKey, author: String, edits: Vec<DocEdit> },
    /// A batch from a contact.
    Batch { contact: ContactId, collection: CollectionId, envelopes: Vec<Vec<u8>> },
    /// Envelopes that do not count are kept; those of hubs that were taken out may count later.
    SetAside { collection: CollectionId, envelopes: Vec<EnvelopeRecord> },
    /// A collection is judged anew.
    Rejudge { collection: CollectionId },
    /// Envelopes fill holes, or contradict what is here.
    Repair { contact: ContactId, collection: CollectionId, envelopes: Vec<Vec<u8>> },
    /// A collection is compared with its fingerprint.
    Check { collection: CollectionId },
}

/// A write that waits for the store.
pub(super) enum Writing {
    /// The document of an edit is being read.
    Loading { request: RequestId, key: DocKey, author: String, edits: Vec<DocEdit>, at: Time },
    /// Our own envelope is being appended.
    Own { request: RequestId, key: DocKey, journals: Box<Journals> },
    /// A contact's envelopes are being appended.
    Received {
        contact: ContactId,
        collection: CollectionId,
        keys: Vec<DocKey>,
        heads: Vec<(HubId, u64)>,
        journals: Box<Journals>,
        is_cut_short: bool,
    },
    /// Envelopes are being set aside.
    SettingAside { keys: Vec<DocKey> },
    /// A collection is being judged anew.
    Rejudging { collection: CollectionId, step: Rejudging },
    /// Holes are being filled.
    Repairing { collection: CollectionId, step: Repairing },
}

impl Node {
    pub(super) fn edit_doc(
        &mut self,
        request: RequestId,
        key: DocKey,
        author: String,
        edits: Vec<DocEdit>,
    ) {
        let Some(membership) = &self.membership else {
            return self.refuse(request, Refusal::NoAlliance);
        };
        if author.len() > AUTHOR_BYTES_MAX {
            let allowed = format!("at most {AUTHOR_BYTES_MAX} bytes");
            return self.refuse(request, Refusal::OutOfBounds { what: "author", allowed });
        }
        if !membership.newest().epoch.may_write(&self.hub, &key.0) {
            let reason = "this school does not write to that collection";
            return self.refuse(request, Refusal::NotAllowed(reason.into()));
        }
        if !key.1.may_be_written_by(&self.hub) {
            let reason = "the document belongs to another school";
            return self.refuse(request, Refusal::NotAllowed(reason.into()));
        }
        if self.is_in_doubt() {
            return self.refuse(request, Refusal::InDoubt);
        }
        if self.writes.len() >= WRITES_MAX {
            let reason = "too many edits wait to be stored, try again";
            return self.refuse(request, Refusal::Store(reason.into()));
        }
        self.writes.push_back(WriteJob::Edit { request, key, author, edits });
    }

    pub(super) fn handle_envelopes(
        &mut self,
        now: Time,
        id: ContactId,
        collection: CollectionId,
        batch: &[u8],
    ) {
        let may_read = self
            .membership
            .as_ref()
            .is_some_and(|m| m.newest().epoch.may_read(&self.hub, &collection));
        match unpack_batch(batch) {
            Some(envelopes) if may_read && self.writes.len() < WRITES_MAX => {
                self.writes.push_back(WriteJob::Batch { contact: id, collection, envelopes });
            }
            Some(_) if may_read => self.close(now, id, "sends faster than can be stored"),
            _ => self.close(now, id, "a batch of envelopes that does not decode"),
        }
    }

    /// Queues envelopes that fill holes, or contradict what is here.
    pub(super) fn queue_repair(
        &mut self,
        now: Time,
        id: ContactId,
        collection: CollectionId,
        batch: &[u8],
    ) {
        match unpack_batch(batch) {
            Some(envelopes) if self.writes.len() < WRITES_MAX => {
                self.writes.push_back(WriteJob::Repair { contact: id, collection, envelopes });
            }
            Some(_) => self.close(now, id, "sends faster than can be stored"),
            None => self.close(now, id, "a batch of envelopes that does not decode"),
        }
    }

    /// Begins the next write, if none is being stored and no epoch comes first.
    pub(super) fn advance_writes(&mut self, now: Time) {
        while !self.is_writing && !self.has_epoch_changes() {
            match self.writes.pop_front() {
                None => return,
                Some(WriteJob::Edit { request, key, author, edits }) => {
                    self.is_writing = true;
                    let op = StoreOp::LoadDoc { collection: key.0.clone(), doc: key.1 };
                    let loading = Writing::Loading { request, key, author, edits, at: now };
                    self.store(op, Waiting::Write(loading));
                }
                Some(WriteJob::Batch { contact, collection, envelopes }) => {
                    self.append_received(now, contact, collection, &envelopes);
                }
                Some(WriteJob::SetAside { collection, envelopes }) => {
                    let keys = envelopes.iter().map(|it| (collection.clone(), it.doc)).collect();
                    self.is_writing = true;
                    let writing = Waiting::Write(Writing::SettingAside { keys });
                    self.store(StoreOp::SetAside { envelopes }, writing);
                }
                Some(WriteJob::Rejudge { collection }) => {
                    self.begin_rejudging(collection, BTreeSet::new());
                }
                Some(WriteJob::Repair { contact, collection, envelopes }) => {
                    self.begin_repairing(contact, collection, &envelopes);
                }
                Some(WriteJob::Check { collection }) => self.begin_check(&collection),
            }
        }
    }

    fn append_received(
        &mut self,
        now: Time,
        contact: ContactId,
        collection: CollectionId,
        envelopes: &[Vec<u8>],
    ) {
        let Some(membership) = &self.membership else { return };
        let mut journals = Box::new(self.journals.clone());
        let mut accepted: Vec<SignedEnvelope> = Vec::new();
        let mut held: BTreeMap<HubId, u64> = BTreeMap::new();
        let mut aside: Vec<EnvelopeRecord> = Vec::new();
        let mut trouble = None;
        let mut judged = 0;
        for (at, bytes) in envelopes.iter().enumerate() {
            judged = at;
            if let Some(known) = journals.known(&collection, bytes) {
                held.extend([known]);
                continue;
            }
            match judge(&journals, membership, &collection, bytes) {
                Ok((signed, verdict @ (Verdict::Next | Verdict::Known))) => {
                    held.insert(signed.envelope.author, signed.envelope.seq);
                    if verdict == Verdict::Next {
                        journals.push(&signed);
                        accepted.push(signed);
                    }
                }
                Ok((_, verdict @ (Verdict::Gap | Verdict::UnknownEpoch))) => {
                    let is_gap = verdict == Verdict::Gap;
                    trouble = Some(if is_gap { Trouble::Gap } else { Trouble::UnknownEpoch });
                    break;
                }
                // Whoever carries it may be honest, and something may build on it.
                Ok((signed, Verdict::PastRevocation)) => aside.push(signed.record()),
                Err((Some(signed), EnvelopeError::Fork)) => {
                    trouble = Some(Trouble::Fork(signed.envelope.author, signed.envelope.seq));
                    aside.push(signed.record());
                    break;
                }
                Err((_, error)) => {
                    trouble = Some(Trouble::Wrong(error.to_string()));
                    break;
                }
            }
        }
        let is_cut_short = matches!(trouble, Some(Trouble::Gap));
        let rest = trouble.as_ref().map(|trouble| (trouble, &envelopes[judged..]));
        self.courier_judged(contact, &collection, accepted.len(), rest);
        self.note_judged(now, contact, &collection, &accepted, aside);
        let heads: Vec<(HubId, u64)> = held.into_iter().collect();
        self.note_held(contact, &collection, &heads);
        if accepted.is_empty() {
            self.acknowledge(contact, &collection, heads, is_cut_short);
        } else {
            let fingerprint = journals.fingerprint(&collection);
            let key = |signed: &SignedEnvelope| (collection.clone(), signed.doc());
            let keys = accepted.iter().map(key).collect();
            let envelopes = accepted.iter().map(SignedEnvelope::record).collect();
            let op = StoreOp::AppendEnvelopes { envelopes, fingerprint };
            let collection = collection.clone();
            let writing =
                Writing::Received { contact, collection, keys, heads, journals, is_cut_short };
            self.is_writing = true;
            self.store(op, Waiting::Write(writing));
        }
        self.tell_trouble(now, contact, &collection, trouble);
    }

    /// Takes note that a contact has what it sent.
    fn note_held(&mut self, id: ContactId, collection: &CollectionId, heads: &[(HubId, u64)]) {
        if let Some(contact) = self.contacts.get_mut(&id) {
            let exchange = contact.exchanges.entry(collection.clone()).or_default();
            heads.iter().for_each(|(author, seq)| exchange.holds(*author, *seq));
        }
    }

    /// Takes note of this hub's own entries that came back, and keeps what does not count.
    fn note_judged(
        &mut self,
        now: Time,
        contact: ContactId,
        collection: &CollectionId,
        accepted: &[SignedEnvelope],
        aside: Vec<EnvelopeRecord>,
    ) {
        if accepted.iter().any(|signed| signed.envelope.author == self.hub) {
            self.own_entries_came(now, contact, collection);
        }
        accepted.iter().for_each(|signed| self.note_trespass(signed));
        if !aside.is_empty() {
            let collection = collection.clone();
            self.writes.push_front(WriteJob::SetAside { collection, envelopes: aside });
        }
    }

    fn tell_trouble(
        &mut self,
        now: Time,
        contact: ContactId,
        collection: &CollectionId,
        trouble: Option<Trouble>,
    ) {
        match trouble {
            Some(Trouble::Wrong(reason)) => self.close(now, contact, &reason),
            Some(Trouble::UnknownEpoch) => {
                self.close(now, contact, "an envelope of an unknown epoch");
            }
            Some(Trouble::Fork(author, seq)) => {
                self.journal_forked(collection, author, seq);
                self.reconcile(contact, collection);
            }
            Some(Trouble::Gap) | None => {}
        }
    }

    /// Tells once that somebody has written two different entries at one place.
    pub(super) fn journal_forked(&mut self, collection: &CollectionId, author: HubId, seq: u64) {
        if self.forked.insert((collection.clone(), author)) {
            let collection = collection.clone();
            self.alarm(Alarm::JournalForked { author, collection, seq });
        }
    }

    /// Tells once that somebody has signed a change of another hub's document.
    pub(super) fn note_trespass(&mut self, signed: &SignedEnvelope) {
        let Envelope { author, collection, seq, doc, .. } = &signed.envelope;
        let place = (collection.clone(), *author);
        if signed.envelope.is_trespass() && self.trespassers.insert(place) {
            let (author, seq, doc) = (*author, *seq, *doc);
            let collection = collection.clone();
            self.alarm(Alarm::Trespassed { author, collection, seq, doc });
        }
    }

    fn acknowledge(
        &mut self,
        contact: ContactId,
        collection: &CollectionId,
        entries: Vec<(HubId, u64)>,
        is_cut_short: bool,
    ) {
        self.courier_stored(contact, Ok(()));
        if let Some(there) = self.contacts.get_mut(&contact).filter(|there| there.is_ready()) {
            let collection = collection.clone();
            there.outbox.push(&Message::Acknowledged { collection, entries });
        }
        if is_cut_short {
            self.send_vector(contact, collection, false);
        }
    }

    pub(super) fn write_stored(
        &mut self,
        now: Time,
        writing: Writing,
        result: Result<StoreValue, StoreError>,
    ) {
        self.is_writing = false;
        match (writing, result) {
            (
                Writing::Loading { request, key, author, edits, at },
                Ok(StoreValue::Doc { snapshot, pending }),
            ) => {
                let loaded = load(snapshot.as_deref(), &pending);
                self.append_own(at, request, key, author, &edits, loaded);
            }
            (Writing::Own { request, key, journals }, Ok(_)) => {
                self.journals_grew(*journals);
                self.docs.entry(key.clone()).or_default().requests.push(request);
                self.touch_doc(key);
            }
            (
                Writing::Received { contact, collection, keys, heads, journals, is_cut_short },
                Ok(_),
            ) => {
                self.journals_grew(*journals);
                self.acknowledge(contact, &collection, heads, is_cut_short);
                self.rejudge_if_disputed(&collection, &keys);
                keys.into_iter().for_each(|key| self.touch_doc(key));
            }
            (Writing::Rejudging { collection, step }, result) => {
                self.rejudged(collection, step, result);
            }
            (Writing::Repairing { collection, step }, result) => {
                self.repaired(collection, step, result);
            }
            (Writing::SettingAside { keys }, Ok(_)) => {
                let collections: BTreeSet<_> = keys.iter().map(|(c, _)| c.clone()).collect();
                self.set_aside(keys);
                collections.into_iter().for_each(|collection| self.rejudge(collection));
            }
            (Writing::SettingAside { .. }, Err(error)) => {
                tracing::warn!(%error, "envelopes that do not count could not be kept");
            }
            (Writing::Received { contact, .. }, Err(error)) => {
                // Nothing was acknowledged; later the contact is told again what is here.
                tracing::warn!(%error, "received envelopes could not be stored");
                self.courier_stored(contact, Err(&error));
                if let Some(there) = self.contacts.get_mut(&contact) {
                    there.retry_at = Some(now.after_ms(STORE_RETRY_MS));
                }
            }
            (Writing::Loading { request, .. } | Writing::Own { request, .. }, Err(error)) => {
                self.refuse(request, error.into());
            }
            (Writing::Loading { request, .. }, Ok(_)) => {
                self.refuse(request, Refusal::Store("an answer of another kind".into()));
            }
        }
    }

    /// Makes an envelope of edits and appends it to our own journal.
    fn append_own(
        &mut self,
        now: Time,
        request: RequestId,
        key: DocKey,
        author: String,
        edits: &[DocEdit],
        loaded: Result<(Doc, Vec<String>), String>,
    ) {
        if self.is_in_doubt() || self.is_own_journal_behind(now, &key.0) {
            return self.refuse(request, Refusal::InDoubt);
        }
        let wall_ms = self.wall_ms(now);
        let actor = crate::doc::actor_of(&self.hub, &self.nonce);
        let edited = loaded
            .and_then(|(mut doc, _)| doc.edit(actor, wall_ms, edits).map_err(|e| e.to_string()));
        let change = match edited {
            Ok(Some(change)) => change,
            Ok(None) => return self.done(request),
            Err(reason) => return self.refuse(request, Refusal::NotAllowed(reason)),
        };
        let Some(membership) = &self.membership else {
            return self.refuse(request, Refusal::NoAlliance);
        };
        let newest = &membership.newest().epoch;
        let head = self.journals.head(&key.0, &self.hub);
        let envelope = Envelope {
            alliance: newest.alliance,
            author: self.hub,
            seq: head.map_or(1, |head| head.seq + 1),
            prev_hash: head.map_or(Hash([0; 32]), |head| head.hash),
            epoch: newest.n,
            collection: key.0.clone(),
            doc: key.1,
            written_at_wall_ms: wall_ms,
            person: author,
            nonces: vec![self.nonce],
            payload: Envelope::pack(std::slice::from_ref(&change)),
        };
        let signed = envelope.sign(vec![change], &self.key);
        if signed.bytes.len() > ENVELOPE_BYTES_MAX {
            let allowed = format!("at most {ENVELOPE_BYTES_MAX} bytes compressed");
            return self.refuse(request, Refusal::OutOfBounds { what: "edit", allowed });
        }
        let mut journals = Box::new(self.journals.clone());
        journals.push(&signed);
        let fingerprint = journals.fingerprint(&key.0);
        let op = StoreOp::AppendEnvelopes { envelopes: vec![signed.record()], fingerprint };
        self.is_writing = true;
        self.store(op, Waiting::Write(Writing::Own { request, key, journals }));
    }
}

/// What was wrong with a batch.
pub(super) enum Trouble {
    Gap,
    Fork(HubId, u64),
    UnknownEpoch,
    Wrong(String),
}

type Judged = Result<(SignedEnvelope, Verdict), (Option<Box<SignedEnvelope>>, EnvelopeError)>;

fn judge(
    journals: &Journals,
    membership: &Membership,
    collection: &CollectionId,
    bytes: &[u8],
) -> Judged {
    let signed = SignedEnvelope::decode(bytes).map_err(|error| (None, error))?;
    if signed.envelope.collection != *collection {
        let error = EnvelopeError::Malformed("another collection than the batch's");
        return Err((None, error));
    }
    match journals.judge(membership, &signed) {
        Ok(verdict) => Ok((signed, verdict)),
        Err(error) => Err((Some(Box::new(signed)), error)),
    }
}
