//! Doubt about our own disk: a restored backup or a cloned disk lacks what this hub wrote last.
//! Nothing is written until other hubs have given that back, or a journal forks (DESIGN §5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, Waiting};
use crate::event::{Alarm, Event, Refusal, RequestId, StoreError, StoreOp, StoreValue};
use crate::id::{CollectionId, ContactId, HubId, Time};

/// How long more hubs are waited for after the first has told what it holds of ours: the longest
/// pause between dials, twenty times. A hub that is away for longer may hold more; the fork is
/// noticed then.
const SETTLE_MS: u64 = 600_000;
/// How often it is looked at whether what others said is here; it mostly comes with an input.
const LOOK_EVERY_MS: u64 = 10_000;
/// How long a hub may take to give what it says that it holds of ours: as long as a batch takes
/// on the slowest link, and to spare. Or one member could keep another from writing for ever.
const CLAIM_MS_MAX: u64 = 120_000;
/// How long a hub that said so and gave nothing is not believed again: it costs a school that
/// has such a member two minutes a day, and an alarm a day.
const DISBELIEF_MS: u64 = 86_400_000;

/// What is known meanwhile.
#[derive(Default)]
pub(super) struct Doubt {
    told: BTreeMap<HubId, BTreeSet<CollectionId>>,
    first_told_at: Option<Time>,
    looked_at: Time,
    is_ending: bool,
}

/// A hub says that it holds more of our journal than is here.
pub(super) struct Claim {
    seq: u64,
    /// When it said so first, or anybody gave any of it.
    at: Time,
    /// It gave nothing, and is not believed until then.
    disbelieved_until: Option<Time>,
}

impl Claim {
    const fn is_open(&self, ours: u64) -> bool {
        self.disbelieved_until.is_none() && self.seq > ours
    }
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
        if seq > ours {
            self.claimed(now, hub, collection, (seq, ours));
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.told.entry(hub).or_default().insert(collection.clone());
        }
    }

    /// Takes note of a claim. One that is repeated or grows is no newer for it: only what is given
    /// earns more time.
    fn claimed(
        &mut self,
        now: Time,
        hub: HubId,
        collection: &CollectionId,
        (seq, ours): (u64, u64),
    ) {
        let claims = self.claims.entry(collection.clone()).or_default();
        let open = claims.values().filter(|claim| claim.is_open(ours));
        let most = open.map(|claim| claim.seq).max().unwrap_or(ours);
        match claims.get_mut(&hub) {
            Some(claim) if claim.disbelieved_until.is_some_and(|until| now < until) => return,
            Some(claim) if claim.is_open(ours) => {
                claim.seq = claim.seq.max(seq);
                return;
            }
            _ => {
                claims.insert(hub, Claim { seq, at: now, disbelieved_until: None });
            }
        }
        if seq > most {
            self.alarm(Alarm::OwnEntriesMissing { entries: seq - ours });
        }
    }

    /// Takes note that a batch with our own entries has come, and from whom: it is believed again.
    /// All others are waited for longer, as what they hold may follow.
    pub(super) fn own_entries_came(
        &mut self,
        now: Time,
        from: ContactId,
        collection: &CollectionId,
    ) {
        let from = self.contacts.get(&from).map(|contact| contact.hub);
        for (hub, claim) in self.claims.get_mut(collection).into_iter().flatten() {
            claim.at = now;
            if from == Some(*hub) {
                claim.disbelieved_until = None;
            }
        }
    }

    fn own_seq(&self, collection: &CollectionId) -> u64 {
        self.journals.head(collection, &self.hub).map_or(0, |head| head.seq)
    }

    /// Says whether others hold entries of our own journal that are not here yet. One that says
    /// so and gives nothing is not believed for long.
    pub(super) fn is_own_journal_behind(&mut self, now: Time, collection: &CollectionId) -> bool {
        let ours = self.own_seq(collection);
        let is_in_doubt = self.doubt.is_some();
        let claims = self.claims.get_mut(collection).into_iter().flatten();
        let mut is_behind = false;
        let mut gave_nothing = Vec::new();
        for (hub, claim) in claims.filter(|(_, claim)| claim.is_open(ours)) {
            if is_in_doubt || now.since_ms(claim.at) < CLAIM_MS_MAX {
                is_behind = true;
            } else {
                claim.disbelieved_until = Some(now.after_ms(DISBELIEF_MS));
                gave_nothing.push(*hub);
            }
        }
        gave_nothing.into_iter().for_each(|hub| self.alarm(Alarm::OwnEntriesNotGiven { hub }));
        is_behind
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
