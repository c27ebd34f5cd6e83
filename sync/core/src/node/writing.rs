//! Writing: edits and received envelopes into journals, one write at a time; then documents.
//!
//! One write is stored before the next is judged, so that a write which fails (a full disk)
//! leaves no gap in a chain. A document is a cache: loaded, brought up to date, saved.

use std::collections::BTreeMap;

use super::{Node, Waiting};
use crate::doc::Doc;
use crate::event::{DocEdit, Refusal, RequestId, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, ContactId, DocId, Hash, HubId, Time};
use crate::journal::{
    AUTHOR_BYTES_MAX, ENVELOPE_BYTES_MAX, Envelope, EnvelopeError, Journals, SignedEnvelope,
    Verdict,
};
use crate::wire::{BATCH_BYTES_MAX, Message};

/// Most writes that wait; past it edits are refused and a contact that sends on is closed.
const WRITES_MAX: usize = 1_024;
/// How long a store that failed (a full disk) is left alone.
const STORE_RETRY_MS: u64 = 30_000;
/// Most envelopes in a received batch: 64 KiB of the smallest kind.
const BATCH_ENVELOPES_MAX: usize = 1_024;

/// A document by its collection and id.
pub(super) type DocKey = (CollectionId, DocId);

/// A write that waits its turn.
pub(super) enum WriteJob {
    /// An edit of our own people.
    Edit { request: RequestId, key: DocKey, author: String, edits: Vec<DocEdit> },
    /// A batch from a contact.
    Batch { contact: ContactId, collection: CollectionId, envelopes: Vec<Vec<u8>> },
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
}

/// A document that is being brought up to date.
#[derive(Default)]
pub(super) struct DocTask {
    is_stale: bool,
    is_busy: bool,
    requests: Vec<RequestId>,
}

/// How far that is.
pub(super) enum DocStep {
    Loading,
    Saving { requests: Vec<RequestId> },
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
        let plain = zstd::bulk::decompress(batch, BATCH_BYTES_MAX).ok();
        let envelopes =
            plain.and_then(|plain| match postcard::take_from_bytes::<Vec<Vec<u8>>>(&plain) {
                Ok((envelopes, [])) if envelopes.len() <= BATCH_ENVELOPES_MAX => Some(envelopes),
                _ => None,
            });
        match envelopes {
            Some(envelopes) if may_read && self.writes.len() < WRITES_MAX => {
                self.writes.push_back(WriteJob::Batch { contact: id, collection, envelopes });
            }
            Some(_) if may_read => self.close(now, id, "sends faster than can be stored"),
            _ => self.close(now, id, "a batch of envelopes that does not decode"),
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
        let mut trouble = None;
        for bytes in envelopes {
            let judged = SignedEnvelope::decode(bytes).and_then(|signed| {
                if signed.envelope.collection != collection {
                    return Err(EnvelopeError::Malformed("another collection than the batch's"));
                }
                journals.judge(membership, &signed).map(|verdict| (signed, verdict))
            });
            match judged {
                Ok((signed, verdict @ (Verdict::Next | Verdict::Known))) => {
                    held.insert(signed.envelope.author, signed.envelope.seq);
                    if verdict == Verdict::Next {
                        journals.push(&signed);
                        accepted.push(signed);
                    }
                }
                Ok((_, Verdict::Gap)) => {
                    trouble = Some(Trouble::Gap);
                    break;
                }
                Ok((_, Verdict::UnknownEpoch)) => {
                    trouble = Some(Trouble::UnknownEpoch);
                    break;
                }
                // Nothing after it can be accepted, but whoever carries it may be honest.
                Err(EnvelopeError::Revoked) => {
                    trouble = Some(Trouble::Revoked);
                    break;
                }
                Err(EnvelopeError::Fork) => {
                    trouble = Some(Trouble::Fork);
                    break;
                }
                Err(error) => {
                    trouble = Some(Trouble::Wrong(error.to_string()));
                    break;
                }
            }
        }
        let is_cut_short = matches!(trouble, Some(Trouble::Gap));
        self.courier_judged(contact, accepted.len(), trouble.as_ref());
        let heads: Vec<(HubId, u64)> = held.into_iter().collect();
        if let Some(there) = self.contacts.get_mut(&contact) {
            let exchange = there.exchanges.entry(collection.clone()).or_default();
            heads.iter().for_each(|(author, seq)| exchange.holds(*author, *seq));
        }
        if accepted.is_empty() {
            self.acknowledge(contact, &collection, heads, is_cut_short);
        } else {
            let fingerprint = journals.fingerprint(&collection);
            let records = accepted.iter().map(SignedEnvelope::record).collect();
            let key = |signed: &SignedEnvelope| (collection.clone(), signed.envelope.doc);
            let keys = accepted.iter().map(key).collect();
            let op = StoreOp::AppendEnvelopes { envelopes: records, fingerprint };
            let writing =
                Writing::Received { contact, collection, keys, heads, journals, is_cut_short };
            self.is_writing = true;
            self.store(op, Waiting::Write(writing));
        }
        self.tell_trouble(now, contact, trouble);
    }

    fn tell_trouble(&mut self, now: Time, contact: ContactId, trouble: Option<Trouble>) {
        match trouble {
            Some(Trouble::Wrong(reason)) => self.close(now, contact, &reason),
            Some(Trouble::UnknownEpoch) => {
                self.close(now, contact, "an envelope of an unknown epoch");
            }
            Some(Trouble::Fork) => {
                let text = "two different entries at one place of a hub's journal: \
                            its disk was cloned or restored from a backup";
                self.alarm(text.to_owned());
            }
            Some(Trouble::Gap | Trouble::Revoked) | None => {}
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
                keys.into_iter().for_each(|key| self.touch_doc(key));
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
        if self.is_own_journal_behind(&key.0) {
            let reason = "this hub was restored and is fetching back what it wrote; try again soon";
            return self.refuse(request, Refusal::Store(reason.into()));
        }
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

    /// Takes note that envelopes wait for a document.
    pub(super) fn touch_doc(&mut self, key: DocKey) {
        self.docs.entry(key.clone()).or_default().is_stale = true;
        self.advance_doc(key);
    }

    fn advance_doc(&mut self, key: DocKey) {
        let Some(task) = self.docs.get_mut(&key) else { return };
        if task.is_busy {
            return;
        }
        if !task.is_stale {
            self.docs.remove(&key);
            return;
        }
        (task.is_stale, task.is_busy) = (false, true);
        let op = StoreOp::LoadDoc { collection: key.0.clone(), doc: key.1 };
        self.store(op, Waiting::Doc(key, DocStep::Loading));
    }

    pub(super) fn doc_stored(
        &mut self,
        key: DocKey,
        step: DocStep,
        result: Result<StoreValue, StoreError>,
    ) {
        match (step, result) {
            (DocStep::Loading, Ok(StoreValue::Doc { snapshot, pending }))
                if !pending.is_empty() =>
            {
                self.save_doc(key, snapshot.as_deref(), &pending);
                return;
            }
            // Whoever asked is told: the envelope is durable, whatever became of the document.
            (DocStep::Saving { requests }, result) => {
                requests.into_iter().for_each(|request| self.done(request));
                if let Err(error) = result {
                    self.doc_failed(&key, &error);
                }
            }
            (DocStep::Loading, Ok(_)) => {}
            (DocStep::Loading, Err(error)) => self.doc_failed(&key, &error),
        }
        if let Some(task) = self.docs.get_mut(&key) {
            task.is_busy = false;
            let requests = std::mem::take(&mut task.requests);
            if !task.is_stale {
                requests.into_iter().for_each(|request| self.done(request));
            } else if let Some(task) = self.docs.get_mut(&key) {
                task.requests = requests;
            }
        }
        self.advance_doc(key);
    }

    fn save_doc(&mut self, key: DocKey, snapshot: Option<&[u8]>, pending: &[Vec<u8>]) {
        // While newer envelopes wait, whoever wrote them waits for the next round.
        let up_to_date = self.docs.get_mut(&key).filter(|task| !task.is_stale);
        let requests = up_to_date.map(|task| std::mem::take(&mut task.requests));
        let requests = requests.unwrap_or_default();
        let applied = pending.iter().filter_map(|bytes| place_of(bytes)).collect();
        let snapshot = match load(snapshot, pending) {
            Ok((mut doc, skipped)) => {
                skipped.into_iter().for_each(|text| self.alarm(text));
                doc.save()
            }
            Err(error) => {
                self.alarm(format!("a stored document is damaged: {error}"));
                requests.into_iter().for_each(|request| self.done(request));
                if let Some(task) = self.docs.get_mut(&key) {
                    task.is_busy = false;
                }
                return self.advance_doc(key);
            }
        };
        let op = StoreOp::SaveDoc { collection: key.0.clone(), doc: key.1, snapshot, applied };
        self.store(op, Waiting::Doc(key, DocStep::Saving { requests }));
    }

    fn doc_failed(&mut self, key: &DocKey, error: &StoreError) {
        // The envelopes stay unapplied in the store; the next minute, change or start tries again.
        self.failed_docs.insert(key.clone());
        tracing::warn!(doc = %key.1, %error, "a document could not be brought up to date");
    }
}

/// What was wrong with a batch.
pub(super) enum Trouble {
    Gap,
    Fork,
    UnknownEpoch,
    Revoked,
    Wrong(String),
}

/// Loads a document and applies envelopes; one that does not fit is skipped and told.
fn load(snapshot: Option<&[u8]>, pending: &[Vec<u8>]) -> Result<(Doc, Vec<String>), String> {
    let changes = pending.iter().map(|bytes| SignedEnvelope::changes_of(bytes));
    let (groups, unreadable): (Vec<_>, Vec<_>) = changes.partition(Result::is_ok);
    let groups: Vec<Vec<Vec<u8>>> = groups.into_iter().flatten().collect();
    let (doc, unfit) = Doc::load_with(snapshot, &groups).map_err(|error| error.to_string())?;
    let unreadable = unreadable.into_iter().filter_map(Result::err).map(|e| e.to_string());
    let unfit = unfit.into_iter().map(|(_, error)| error.to_string());
    let told = |error| format!("a stored change cannot be applied: {error}");
    Ok((doc, unreadable.chain(unfit).map(told).collect()))
}

fn place_of(bytes: &[u8]) -> Option<(HubId, u64)> {
    let (envelope, _) = postcard::take_from_bytes::<Envelope>(bytes).ok()?;
    Some((envelope.author, envelope.seq))
}
