//! Doubt about our own disk: a restored backup or a cloned disk lacks what this hub wrote last.
//! Nothing is written until other hubs have given that back, or a journal forks (DESIGN §5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, Waiting};
use crate::event::{Alarm, Event, Refusal, RequestId, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, HubId, Time};

/// How long more hubs are waited for after the first has told what it holds of ours: the longest
/// pause between dials, twenty times. A hub that is away for longer may hold more; the fork is
/// noticed then.
const SETTLE_MS: u64 = 600_000;
/// How often it is looked at whether what others said is here; it mostly comes with an input.
const LOOK_EVERY_MS: u64 = 10_000;
/// How long a hub may take to give what it says that it holds of ours: as long as a batch takes
/// on the slowest link, and to spare. Or one member could keep another from writing for ever.
const CLAIM_MS_MAX: u64 = 120_000;

/// What is known meanwhile.
#[derive(Default)]
pub(super) struct Doubt {
    told: BTreeMap<HubId, BTreeSet<CollectionId>>,
    first_told_at: Option<Time>,
    looked_at: Time,
    is_ending: bool,
}

/// Somebody says that it holds more of our journal than is here.
pub(super) struct Claim {
    hub: HubId,
    seq: u64,
    at: Time,
}

/// The end of doubt being stored.
pub(super) struct EndingDoubt {
    request: Option<RequestId>,
}

impl Node {
    /// Says whether this hub waits for others to give back what it wrote, and writes nothing.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Takes note of how far a member holds our own journal in a collection.
    pub(super) fn own_seq_elsewhere(
        &mut self,
        now: Time,
        hub: HubId,
        collection: &CollectionId,
        seq: u64,
    ) {
        let ours = self.own_seq(collection);
        let claimed = self.claims.get(collection).map_or(0, |claim| claim.seq);
        if seq > ours.max(claimed) {
            self.claims.insert(collection.clone(), Claim { hub, seq, at: now });
            self.alarm(Alarm::OwnEntriesMissing { entries: seq - ours });
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.told.entry(hub).or_default().insert(collection.clone());
        }
    }

    /// Takes note that a batch with our own entries has come.
    pub(super) fn own_entries_came(&mut self, now: Time, collection: &CollectionId) {
        if let Some(claim) = self.claims.get_mut(collection) {
            claim.at = now;
        }
    }

    fn own_seq(&self, collection: &CollectionId) -> u64 {
        self.journals.head(collection, &self.hub).map_or(0, |head| head.seq)
    }

    /// Says whether others hold entries of our own journal that are not here yet. One that says
    /// so and gives nothing is not believed for long.
    pub(super) fn is_own_journal_behind(&mut self, now: Time, collection: &CollectionId) -> bool {
        let ours = self.own_seq(collection);
        let Some(claim) = self.claims.get(collection).filter(|claim| claim.seq > ours) else {
            return false;
        };
        if self.doubt.is_some() || now.since_ms(claim.at) < CLAIM_MS_MAX {
            return true;
        }
        let hub = claim.hub;
        self.claims.remove(collection);
        self.alarm(Alarm::OwnEntriesNotGiven { hub });
        false
    }

    /// Ends the doubt when others have told and given what they hold.
    pub(super) fn check_doubt(&mut self, now: Time) {
        let Some(doubt) = self.doubt.as_ref().filter(|doubt| !doubt.is_ending) else { return };
        if self.membership.is_none() {
            return;
        }
        let first_told_at = doubt.first_told_at;
        let (others, whole) = self.told_wholly(doubt);
        let is_settled = first_told_at.is_some_and(|at| now.since_ms(at) >= SETTLE_MS);
        let is_first = whole > 0 && first_told_at.is_none();
        if let Some(doubt) = &mut self.doubt {
            doubt.looked_at = now;
            if is_first {
                doubt.first_told_at = Some(now);
            }
        }
        if (whole == others || is_settled) && !self.lacks_anything(now) {
            self.end_doubt(None);
        }
    }

    /// Counts the other members, and those that have told of every collection.
    fn told_wholly(&self, doubt: &Doubt) -> (usize, usize) {
        let Some(membership) = &self.membership else { return (0, 0) };
        let epoch = &membership.newest().epoch;
        let has_told_all = |hub: &HubId| {
            let mut shared = epoch.collections.iter().filter(|rule| {
                epoch.may_read(hub, &rule.id) && epoch.may_read(&self.hub, &rule.id)
            });
            let told = doubt.told.get(hub);
            shared.all(|rule| told.is_some_and(|told| told.contains(&rule.id)))
        };
        let others = epoch.hubs.iter().map(|member| member.hub).filter(|hub| *hub != self.hub);
        let others: Vec<HubId> = others.collect();
        (others.len(), others.iter().filter(|hub| has_told_all(hub)).count())
    }

    fn lacks_anything(&mut self, now: Time) -> bool {
        let newest = self.membership.as_ref().map_or(0, |m| m.newest().epoch.n);
        let is_epoch_behind = self.contacts.values().any(|contact| contact.epoch > newest);
        let claimed: Vec<CollectionId> = self.claims.keys().cloned().collect();
        is_epoch_behind
            || self.has_epoch_changes()
            || claimed.iter().any(|collection| self.is_own_journal_behind(now, collection))
    }

    /// Says when doubt is to be looked at.
    pub(super) fn next_doubt_check(&self) -> Option<Time> {
        let doubt = self.doubt.as_ref().filter(|doubt| !doubt.is_ending)?;
        let settled = doubt.first_told_at?.after_ms(SETTLE_MS);
        Some(settled.max(doubt.looked_at.after_ms(LOOK_EVERY_MS)))
    }

    /// Ends the doubt because the keeper says so.
    pub(super) fn end_doubt_by_hand(&mut self, request: RequestId) {
        if self.doubt.is_none() {
            return self.done(request);
        }
        self.claims.clear();
        self.end_doubt(Some(request));
    }

    fn end_doubt(&mut self, request: Option<RequestId>) {
        if let Some(doubt) = &mut self.doubt {
            doubt.is_ending = true;
        }
        let waiting = Waiting::Doubt(EndingDoubt { request });
        self.store(StoreOp::PutDoubt { is_in_doubt: false }, waiting);
    }

    pub(super) fn doubt_stored(
        &mut self,
        ending: &EndingDoubt,
        result: Result<StoreValue, StoreError>,
    ) {
        match result {
            Ok(_) => {
                if self.doubt.take().is_some() {
                    self.emit(Event::DoubtChanged { is_in_doubt: false });
                }
                self.add_collections();
                ending.request.into_iter().for_each(|request| self.done(request));
            }
            Err(error) => {
                if let Some(doubt) = &mut self.doubt {
                    // Looked at again with the next input.
                    doubt.is_ending = false;
                }
                let refusal = Refusal::from(error);
                ending.request.into_iter().for_each(|r| self.refuse(r, refusal.clone()));
            }
        }
    }
}
