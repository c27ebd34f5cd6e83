//! Documents are caches: loaded, brought up to date with the envelopes that they lack, saved.

use super::{Node, Waiting};
use crate::doc::Doc;
use crate::event::{Alarm, RequestId, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, DocId, HubId};
use crate::journal::{Envelope, SignedEnvelope};

/// A document by its collection and id.
pub(super) type DocKey = (CollectionId, DocId);

/// A document that is being brought up to date.
#[derive(Default)]
pub(super) struct DocTask {
    pub is_stale: bool,
    pub is_busy: bool,
    pub requests: Vec<RequestId>,
}

/// How far that is.
pub(super) enum DocStep {
    Loading { unmade: u64 },
    Saving { requests: Vec<RequestId> },
}

impl Node {
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
        self.store(op, Waiting::Doc(key, DocStep::Loading { unmade: self.unmade }));
    }

    pub(super) fn doc_stored(
        &mut self,
        key: DocKey,
        step: DocStep,
        result: Result<StoreValue, StoreError>,
    ) {
        match (step, result) {
            // It was unmade meanwhile: what was read has what does not count any more.
            (DocStep::Loading { unmade }, Ok(_)) if unmade != self.unmade => {
                self.docs.entry(key.clone()).or_default().is_stale = true;
            }
            (DocStep::Loading { .. }, Ok(StoreValue::Doc { snapshot, pending }))
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
            (DocStep::Loading { .. }, Ok(_)) => {}
            (DocStep::Loading { .. }, Err(error)) => self.doc_failed(&key, &error),
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
                let skipped = skipped.into_iter();
                skipped.for_each(|why| self.alarm(Alarm::ChangeSkipped { doc: key.1, why }));
                doc.save()
            }
            Err(error) => {
                self.alarm(Alarm::DocumentDamaged { doc: key.1, why: error });
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

/// Loads a document and applies envelopes; one that does not fit is skipped and told.
pub(super) fn load(
    snapshot: Option<&[u8]>,
    pending: &[Vec<u8>],
) -> Result<(Doc, Vec<String>), String> {
    let changes = pending.iter().map(|bytes| SignedEnvelope::changes_of(bytes));
    let (groups, unreadable): (Vec<_>, Vec<_>) = changes.partition(Result::is_ok);
    let groups: Vec<Vec<Vec<u8>>> = groups.into_iter().flatten().collect();
    let (doc, unfit) = Doc::load_with(snapshot, &groups).map_err(|error| error.to_string())?;
    let unreadable = unreadable.into_iter().filter_map(Result::err).map(|e| e.to_string());
    let unfit = unfit.into_iter().map(|(_, error)| error.to_string());
    Ok((doc, unreadable.chain(unfit).collect()))
}

fn place_of(bytes: &[u8]) -> Option<(HubId, u64)> {
    let (envelope, _) = postcard::take_from_bytes::<Envelope>(bytes).ok()?;
    Some((envelope.author, envelope.seq))
}
