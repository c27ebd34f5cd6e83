//! Revocation, also when it is heard of late: the journals of hubs that were taken out are judged
//! anew, so that hubs which hold the same envelopes agree, in whatever order these came.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::DocKey;
use super::writing::{WriteJob, Writing};
use super::{Node, Waiting};
use crate::event::{StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, Hash, HubId};
use crate::journal::revoked::counted_upto;
use crate::journal::{Head, Journals, SignedEnvelope, Verdict};

/// Most documents remembered as having envelopes set aside; beyond it everything is judged anew
/// with each batch.
const ASIDE_DOCS_MAX: usize = 10_000;

/// Judging anew, waiting for the store.
pub(super) enum Rejudging {
    /// What is disputed is being read.
    Reading { whole: BTreeSet<HubId> },
    /// The outcome is being stored.
    Storing { journals: Box<Journals>, is_cut: bool },
}

/// What comes of judging anew.
struct Outcome {
    journals: Journals,
    cuts: Vec<(HubId, u64)>,
    accepted: Vec<SignedEnvelope>,
}

impl Node {
    /// Plans to judge anew every collection in which something may not count as it is.
    pub(super) fn rejudge_all(&mut self) {
        let Some(membership) = &self.membership else { return };
        let epoch = &membership.newest().epoch;
        let mut collections: Vec<CollectionId> =
            self.aside.iter().map(|(collection, _)| collection.clone()).collect();
        for rule in &epoch.collections {
            let heads = self.journals.newest(&rule.id);
            let mut past = heads.filter(|(author, seq)| {
                epoch.accepted_upto(author, &rule.id).is_some_and(|(upto, _)| *seq >= upto)
            });
            if past.next().is_some() {
                collections.push(rule.id.clone());
            }
        }
        collections.sort();
        collections.dedup();
        collections.into_iter().for_each(|collection| self.rejudge(collection));
    }

    /// Plans to judge a collection anew, unless that is planned.
    pub(super) fn rejudge(&mut self, collection: CollectionId) {
        let is_planned = self
            .writes
            .iter()
            .any(|job| matches!(job, WriteJob::Rejudge { collection: c } if *c == collection));
        if !is_planned {
            self.writes.push_back(WriteJob::Rejudge { collection });
        }
    }

    /// Judges anew after documents grew of which something was set aside.
    pub(super) fn rejudge_if_disputed(&mut self, collection: &CollectionId, keys: &[DocKey]) {
        let is_disputed = |key: &DocKey| self.aside.contains(key);
        if keys.iter().any(is_disputed) || self.aside.len() >= ASIDE_DOCS_MAX {
            self.rejudge(collection.clone());
        }
    }

    /// Takes note of documents of which something was set aside.
    pub(super) fn set_aside(&mut self, keys: impl IntoIterator<Item = DocKey>) {
        for key in keys {
            if self.aside.len() < ASIDE_DOCS_MAX {
                self.aside.insert(key);
            }
        }
    }

    /// Reads what is disputed, and the whole journals of some hubs.
    pub(super) fn begin_rejudging(&mut self, collection: CollectionId, whole: BTreeSet<HubId>) {
        let Some(membership) = &self.membership else { return };
        let mut tails = limits_of(&membership.newest().epoch.revoked_in(&collection));
        tails.iter_mut().filter(|(hub, _)| whole.contains(hub)).for_each(|(_, from)| *from = 0);
        self.is_writing = true;
        let op = StoreOp::ReadDisputed { collection: collection.clone(), tails };
        let writing = Writing::Rejudging { collection, step: Rejudging::Reading { whole } };
        self.store(op, Waiting::Write(writing));
    }

    pub(super) fn rejudged(
        &mut self,
        collection: CollectionId,
        step: Rejudging,
        result: Result<StoreValue, StoreError>,
    ) {
        if matches!(step, Rejudging::Storing { is_cut: true, .. }) {
            self.cutting = None;
        }
        match (step, result) {
            (Rejudging::Reading { whole }, Ok(StoreValue::Disputed { kept, aside })) => {
                self.decide_disputed(collection, whole, &kept, &aside);
            }
            (Rejudging::Storing { journals, is_cut }, Ok(StoreValue::Docs(docs))) => {
                self.set_aside(docs.iter().map(|doc| (collection.clone(), *doc)));
                self.journals_grew(*journals);
                docs.into_iter().for_each(|doc| self.touch_doc((collection.clone(), doc)));
                if is_cut {
                    // What others hold of it may have to come back.
                    let contacts = self.ready_contacts();
                    contacts.into_iter().for_each(|id| self.send_vector(id, &collection, false));
                }
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                tracing::warn!(%error, "journals could not be judged anew");
                self.failed_rejudging.insert(collection);
                let contacts = self.contacts.values_mut();
                contacts.for_each(|contact| contact.may_lack_envelopes = true);
            }
        }
    }

    fn decide_disputed(
        &mut self,
        collection: CollectionId,
        whole: BTreeSet<HubId>,
        kept: &[Vec<u8>],
        aside: &[Vec<u8>],
    ) {
        let Some(membership) = &self.membership else { return };
        let revoked = membership.newest().epoch.revoked_in(&collection);
        let decode = |all: &[Vec<u8>]| -> Vec<SignedEnvelope> {
            all.iter().filter_map(|bytes| SignedEnvelope::decode(bytes).ok()).collect()
        };
        let (kept, aside) = (decode(kept), decode(aside));
        let others = other_branches(&revoked, &kept);
        if !others.is_subset(&whole) {
            return self.begin_rejudging(collection, others);
        }
        let outcome = decide(&self.journals, &collection, &revoked, &kept, &aside);
        if outcome.cuts.is_empty() && outcome.accepted.is_empty() {
            return;
        }
        let op = StoreOp::Rejudge {
            collection: collection.clone(),
            fingerprint: outcome.journals.fingerprint(&collection),
            accepted: outcome.accepted.iter().map(SignedEnvelope::record).collect(),
            cuts: outcome.cuts,
        };
        outcome.accepted.iter().for_each(|signed| self.note_trespass(signed));
        let is_cut = matches!(&op, StoreOp::Rejudge { cuts, .. } if !cuts.is_empty());
        if is_cut {
            self.unmade += 1;
            self.cutting = Some(collection.clone());
        }
        let step = Rejudging::Storing { journals: Box::new(outcome.journals), is_cut };
        self.is_writing = true;
        self.store(op, Waiting::Write(Writing::Rejudging { collection, step }));
    }
}

fn limits_of(revoked: &BTreeMap<HubId, (u64, Hash)>) -> Vec<(HubId, u64)> {
    revoked.iter().map(|(hub, (upto, _))| (*hub, *upto)).collect()
}

/// Decides which journals are cut and what is taken back from what was set aside.
fn decide(
    journals: &Journals,
    collection: &CollectionId,
    revoked: &BTreeMap<HubId, (u64, Hash)>,
    kept: &[SignedEnvelope],
    aside: &[SignedEnvelope],
) -> Outcome {
    let limits = limits_of(revoked).into_iter().collect();
    // What was set aside of hubs that are members is evidence of a fork; it supports nothing.
    let of_revoked = aside.iter().filter(|it| revoked.contains_key(&it.envelope.author));
    let known: Vec<SignedEnvelope> = kept.iter().chain(of_revoked).cloned().collect();
    let counted = counted_upto(&limits, &known);
    let mut outcome =
        Outcome { journals: journals.clone(), cuts: Vec::new(), accepted: Vec::new() };
    let others = other_branches(revoked, kept);
    for (author, (upto, _)) in revoked {
        let at = |seq: u64| kept.iter().find(|it| is_at(it, author, seq));
        let stays = match others.contains(author) {
            true => 0,
            false => counted.get(author).copied().unwrap_or(*upto),
        };
        let is_readable = stays == 0 || at(stays).is_some();
        if is_readable && journals.head(collection, author).is_some_and(|head| head.seq > stays) {
            let head =
                at(stays).map(|it| Head { seq: stays, hash: it.hash, epoch: it.envelope.epoch });
            let dropped = kept.iter().filter(|it| it.envelope.author == *author);
            let dropped = dropped.filter(|it| it.envelope.seq > stays).map(|it| it.hash);
            let dropped: Vec<Hash> = dropped.collect();
            outcome.journals.cut(collection, author, head, &dropped);
            outcome.cuts.push((*author, stays));
        }
    }
    let mut candidates: Vec<&SignedEnvelope> = aside.iter().collect();
    candidates.sort_by_key(|it| (it.envelope.author, it.envelope.seq));
    for signed in candidates {
        let (author, seq) = (signed.envelope.author, signed.envelope.seq);
        let counts = counted.get(&author).is_none_or(|upto| seq <= *upto);
        if counts && outcome.journals.judge_place(signed) == Ok(Verdict::Next) {
            outcome.journals.push(signed);
            outcome.accepted.push(signed.clone());
        }
    }
    outcome
}

/// Lists whose journal here is another branch than the one that the registrar knew: it does not
/// count at all, and the right one has to come.
fn other_branches(
    revoked: &BTreeMap<HubId, (u64, Hash)>,
    kept: &[SignedEnvelope],
) -> BTreeSet<HubId> {
    let is_other = |(author, (upto, pinned)): &(&HubId, &(u64, Hash))| {
        kept.iter().any(|it| is_at(it, author, *upto) && it.hash != *pinned)
    };
    revoked.iter().filter(is_other).map(|(author, _)| *author).collect()
}

fn is_at(signed: &SignedEnvelope, author: &HubId, seq: u64) -> bool {
    signed.envelope.author == *author && signed.envelope.seq == seq
}
