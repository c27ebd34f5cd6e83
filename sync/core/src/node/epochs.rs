//! Epochs: changes of membership, stored one at a time, and passed on.

use ed25519_dalek::SigningKey;

use super::{Node, Waiting};
use crate::event::{Alarm, Event, Refusal, RequestId, StoreError, StoreOp, StoreValue};
use crate::id::{ContactId, Hash, HubId, Time};
use crate::membership::{
    CollectionRule, EpochError, Fit, Member, Membership, Revoked, SignedEpoch,
};
use crate::wire::{JoinRefusal, Message};

/// Most epochs that wait to be stored; more come again at the next contact.
pub(super) const EPOCH_CHANGES_MAX: usize = 256;

/// A change of membership that waits its turn; one is stored at a time.
pub(super) enum EpochChange {
    /// The first epoch, made here.
    Found { request: RequestId, first: Box<SignedEpoch> },
    /// A new member.
    Add { contact: ContactId, member: Member, invitation: Hash },
    /// Out with a member.
    Revoke { request: RequestId, hub: HubId },
    /// This hub becomes the registrar, by the root key.
    TakeOver { request: RequestId, root: Box<SigningKey> },
    /// Collections that this version has and the alliance, founded by an older one, has not.
    Collections,
    /// A member moved.
    Move { hub: HubId, addresses: Vec<String> },
    /// An epoch that the registrar wrote.
    Accept { contact: ContactId, bytes: Vec<u8>, is_vouched: bool },
}

/// An epoch that is being stored.
pub(super) enum StoringEpoch {
    /// It follows what is here.
    Next { signed: Box<SignedEpoch>, change: EpochChange },
    /// One of those that came with a join; the last has the whole.
    Joined { whole: Option<Box<Membership>> },
}

impl Node {
    pub(super) fn handle_epochs(&mut self, id: ContactId, epochs: Vec<Vec<u8>>) {
        // They come from every contact: those that are here need no second look at signatures.
        let number = |bytes: &Vec<u8>| self.membership.as_ref().and_then(|m| m.number_of(bytes));
        if let Some(numbers) = epochs.iter().map(number).collect::<Option<Vec<u64>>>() {
            if let (Some(contact), Some(last)) = (self.contacts.get_mut(&id), numbers.last()) {
                contact.epoch = contact.epoch.max(*last);
            }
            return;
        }
        let vouched = self.membership.as_ref().map_or(0, |m| m.vouched(&epochs));
        for (at, bytes) in epochs.into_iter().enumerate() {
            if self.epoch_changes.len() < EPOCH_CHANGES_MAX {
                let is_vouched = at < vouched;
                let change = EpochChange::Accept { contact: id, bytes, is_vouched };
                self.epoch_changes.push_back(change);
            }
        }
    }

    /// Says whether epochs wait to be stored; what cites them waits too.
    pub(super) fn has_epoch_changes(&self) -> bool {
        self.is_epoch_busy || !self.epoch_changes.is_empty()
    }

    /// Begins the next change of membership, if none is being stored.
    pub(super) fn advance_epochs(&mut self, now: Time) {
        while !self.is_epoch_busy {
            let Some(change) = self.epoch_changes.pop_front() else { return };
            let signed = match self.prepare(now, &change) {
                Some(signed) => signed,
                None => continue,
            };
            let used_invitation = match &change {
                EpochChange::Add { member, invitation, .. } => Some((*invitation, member.hub)),
                _ => None,
            };
            self.is_epoch_busy = true;
            let op = StoreOp::PutEpoch {
                n: signed.epoch.n,
                bytes: signed.bytes.clone(),
                used_invitation,
            };
            let signed = Box::new(signed);
            self.store(op, Waiting::Epoch(StoringEpoch::Next { signed, change }));
        }
    }

    /// Makes or checks the epoch of a change; none if there is nothing to store.
    fn prepare(&mut self, now: Time, change: &EpochChange) -> Option<SignedEpoch> {
        if let EpochChange::Found { first, request } = change {
            if self.membership.is_some() {
                self.refuse(*request, Refusal::AlreadyMember);
                return None;
            }
            return Some((**first).clone());
        }
        if let EpochChange::Accept { contact, bytes, is_vouched } = change {
            return self.check_epoch(now, *contact, bytes, *is_vouched);
        }
        let mut draft = self.membership.as_ref()?.draft();
        match change {
            EpochChange::Add { member, contact, invitation } => {
                let is_used = self.invitations.get(invitation).is_none_or(|i| i.used_by.is_some());
                if is_used || draft.member(&member.hub).is_some() {
                    self.refuse_join(now, *contact, JoinRefusal::Used);
                    return None;
                }
                draft.revoked.retain(|revoked| revoked.hub != member.hub);
                draft.hubs.push(member.clone());
            }
            EpochChange::Revoke { hub, .. } => {
                draft.hubs.retain(|member| member.hub != *hub);
                let accept_upto = self.journals.of_author(hub);
                draft.revoked.push(Revoked { hub: *hub, accept_upto });
            }
            EpochChange::TakeOver { root, .. } => draft.hand_over(root, self.hub),
            EpochChange::Collections => {
                let missing: Vec<_> = draft.missing_collections().collect();
                if missing.is_empty() {
                    return None;
                }
                draft.collections.extend(missing.into_iter().map(CollectionRule::open));
            }
            EpochChange::Move { hub, addresses } => {
                let member = draft.hubs.iter_mut().find(|member| member.hub == *hub)?;
                member.addresses.clone_from(addresses);
            }
            EpochChange::Found { .. } | EpochChange::Accept { .. } => return None,
        }
        Some(draft.sign(&self.key))
    }

    /// Checks an epoch that a contact brought. One is vouched for if the root key has delegated
    /// anew after it, in the same history: then it stands, whatever we hold in its place.
    fn check_epoch(
        &mut self,
        now: Time,
        contact: ContactId,
        bytes: &[u8],
        is_vouched: bool,
    ) -> Option<SignedEpoch> {
        let membership = self.membership.as_ref()?;
        // Several contacts brought it before it was stored.
        if let Some(n) = membership.number_of(bytes) {
            if let Some(contact) = self.contacts.get_mut(&contact) {
                contact.epoch = contact.epoch.max(n);
            }
            return None;
        }
        let checked = SignedEpoch::decode(bytes).and_then(|signed| {
            let fit = match membership.fits(&signed) {
                Err(_) if is_vouched && membership.follows(&signed) => Ok(Fit::Replaces),
                fit => fit,
            };
            fit.map(|fit| (signed, fit))
        });
        match checked {
            Ok((signed, fit)) => {
                let serial = membership.newest().epoch.delegation_serial();
                let is_delegated_anew = signed.epoch.delegation_serial() > serial;
                if let Some(contact) = self.contacts.get_mut(&contact) {
                    contact.epoch = contact.epoch.max(signed.epoch.n);
                }
                // The root key has the last word; without it nothing changes any more.
                let is_allowed = !self.is_frozen || is_vouched || is_delegated_anew;
                (fit != Fit::Known && is_allowed).then_some(signed)
            }
            Err(EpochError::Superseded) => {
                let shown = self.contacts.get_mut(&contact);
                if let Some(contact) = shown.filter(|contact| !contact.is_shown_hand_over) {
                    contact.is_shown_hand_over = true;
                    contact.outbox.push(&Message::Epochs(membership.bytes_handed_over()));
                }
                None
            }
            Err(EpochError::Order { .. }) => None,
            Err(EpochError::Equivocation { n }) => {
                self.contradicted(now, contact, n, bytes);
                None
            }
            Err(error) => {
                self.close(now, contact, &error.to_string());
                None
            }
        }
    }

    /// Keeps an epoch that contradicts ours, and shows ours to whoever brought it.
    fn contradicted(&mut self, now: Time, id: ContactId, n: u64, bytes: &[u8]) {
        let op = StoreOp::SetEpochAside { n, bytes: bytes.to_vec() };
        self.store(op, Waiting::Evidence);
        self.freeze(n);
        let Some(membership) = &self.membership else { return };
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.outbox.push(&Message::Epochs(membership.bytes_from(n)));
        }
        self.close(now, id, "has another membership, signed with the same key");
    }

    /// Stops changing membership: two histories are signed with the registrar's key.
    pub(super) fn freeze(&mut self, n: u64) {
        if !self.is_frozen {
            self.is_frozen = true;
            self.alarm(Alarm::MembershipForked { n });
        }
    }

    pub(super) fn epoch_stored(
        &mut self,
        now: Time,
        storing: StoringEpoch,
        result: Result<StoreValue, StoreError>,
    ) {
        match storing {
            StoringEpoch::Joined { whole } => self.join_stored(now, whole, result),
            StoringEpoch::Next { signed, change } => {
                self.is_epoch_busy = false;
                match result {
                    Ok(_) => self.epoch_durable(now, *signed, change),
                    Err(error) => self.epoch_not_stored(now, change, error),
                }
            }
        }
    }

    fn join_stored(
        &mut self,
        now: Time,
        whole: Option<Box<Membership>>,
        result: Result<StoreValue, StoreError>,
    ) {
        if let Err(error) = result {
            if let Some(joining) = self.joining.take() {
                self.refuse(joining.request, error.into());
            }
            return;
        }
        let (Some(whole), true) = (whole, self.joining.is_some()) else { return };
        let Some(joining) = self.joining.take() else { return };
        self.membership = Some(*whole);
        self.next_dial_known.set(None);
        self.admit();
        self.emit(Event::MembershipChanged);
        self.done(joining.request);
        let registrar = joining.registrar();
        let contacts: Vec<ContactId> =
            self.contacts.iter().filter(|(_, c)| c.hub == registrar).map(|(id, _)| *id).collect();
        contacts.into_iter().for_each(|id| self.close(now, id, "joined; comes back as a member"));
        self.dial_members(now);
    }

    fn epoch_durable(&mut self, now: Time, signed: SignedEpoch, change: EpochChange) {
        self.next_dial_known.set(None);
        let serial = self.membership.as_ref().map(|m| m.newest().epoch.delegation_serial());
        let is_handed_over = serial.is_some_and(|serial| signed.epoch.delegation_serial() > serial);
        match &mut self.membership {
            Some(membership) => membership.push(signed),
            None => match Membership::start(signed) {
                Ok(membership) => self.membership = Some(membership),
                Err(error) => return tracing::error!(%error, "a first epoch that is not"),
            },
        }
        if is_handed_over {
            self.is_frozen = false;
        }
        if let EpochChange::Add { invitation, member, .. } = &change
            && let Some(record) = self.invitations.get_mut(invitation)
        {
            record.used_by = Some(member.hub);
        }
        self.admit();
        self.cut_non_members(now);
        self.unpark();
        self.rejudge_all();
        self.emit(Event::MembershipChanged);
        match change {
            EpochChange::Found { request, .. }
            | EpochChange::TakeOver { request, .. }
            | EpochChange::Revoke { request, .. } => self.done(request),
            EpochChange::Add { contact, .. } => self.welcome(contact),
            EpochChange::Collections | EpochChange::Move { .. } | EpochChange::Accept { .. } => {}
        }
        self.pass_epochs_on();
        self.dial_members(now);
    }

    fn epoch_not_stored(&mut self, now: Time, change: EpochChange, error: StoreError) {
        match change {
            EpochChange::Found { request, .. }
            | EpochChange::TakeOver { request, .. }
            | EpochChange::Revoke { request, .. } => self.refuse(request, error.into()),
            EpochChange::Add { contact, .. } => self.refuse_join(now, contact, JoinRefusal::Busy),
            // The contact brings it again when it greets the next time.
            EpochChange::Accept { contact, .. } => self.close(now, contact, "cannot store"),
            EpochChange::Collections | EpochChange::Move { .. } => {}
        }
    }

    /// Adds the collections that the alliance lacks, if this hub is its registrar.
    pub(super) fn add_collections(&mut self) {
        if self.as_registrar().is_ok() {
            self.epoch_changes.push_back(EpochChange::Collections);
        }
    }

    /// Closes contacts with hubs that are not members any more.
    fn cut_non_members(&mut self, now: Time) {
        let Some(membership) = &self.membership else { return };
        let epoch = &membership.newest().epoch;
        let cut: Vec<ContactId> = self
            .contacts
            .iter()
            .filter(|(_, c)| epoch.revoked.iter().any(|revoked| revoked.hub == c.hub))
            .map(|(id, _)| *id)
            .collect();
        cut.into_iter().for_each(|id| self.close(now, id, "not a member any more"));
    }

    /// Sends members in contact the epochs that they are not known to have.
    pub(super) fn pass_epochs_on(&mut self) {
        let Some(membership) = &self.membership else { return };
        let newest = membership.newest().epoch.n;
        for contact in self.contacts.values_mut().filter(|contact| contact.is_ready()) {
            if contact.epoch < newest {
                contact.outbox.push(&Message::Epochs(membership.bytes_from(contact.epoch + 1)));
                contact.epoch = newest;
            }
        }
    }
}
