//! Admission: founding, inviting, joining, taking out; storing and passing on epochs.

use ed25519_dalek::SigningKey;

use super::doubt::Doubt;
use super::epochs::{EPOCH_CHANGES_MAX, EpochChange, StoringEpoch};
use super::{Node, Waiting};
use crate::event::{
    Alarm, Event, InvitationRecord, Output, Refusal, RequestId, StoreError, StoreOp, StoreValue,
};
use crate::id::{AllianceId, ContactId, HubId, Time};
use crate::membership::invitation::{Invitation, secret_hash};
use crate::membership::{
    Epoch, EpochError, Fit, Member, Membership, SignedEpoch, are_addresses, is_name,
};
use crate::wire::{JoinRefusal, JoinRequest, Message, PROTOCOL_VERSION};

/// How long a join may take, dial included: a handshake at 2 % burst loss took 16 s.
const JOIN_MS_MAX: u64 = 90_000;
/// Most invitations that are kept: a province's schools.
const INVITATIONS_MAX: usize = 5_000;

/// A used or expired invitation is answered in words for so long; then the door is closed.
const INVITATION_ANSWERED_MS: u64 = 7 * 86_400_000;

/// A member's new addresses are written down so often at most; everybody keeps every epoch.
const MOVE_MS_MIN: u64 = 3_600_000;

/// A join under way.
pub(super) struct Joining {
    pub request: RequestId,
    invitation: Invitation,
    school: String,
    pub deadline: Time,
    is_storing: bool,
}

impl Joining {
    /// Whom we asked.
    pub fn registrar(&self) -> HubId {
        self.invitation.registrar
    }
}

impl Node {
    pub(super) fn found(
        &mut self,
        request: RequestId,
        name: &str,
        school: &str,
        root_secret: &[u8; 32],
    ) {
        if self.membership.is_some() || self.joining.is_some() {
            return self.refuse(request, Refusal::AlreadyMember);
        }
        if !is_name(name) || !is_name(school) {
            return self.refuse(request, name_out_of_bounds());
        }
        let root = SigningKey::from_bytes(root_secret);
        let first = Epoch::first(&root, name, self.as_member(school, true)).sign(&self.key);
        self.epoch_changes.push_back(EpochChange::Found { request, first: Box::new(first) });
    }

    fn as_member(&self, school: &str, is_lead: bool) -> Member {
        Member {
            hub: self.hub,
            x25519: self.x25519(),
            school: school.to_owned(),
            is_lead,
            addresses: self.addresses.clone(),
        }
    }

    /// Derives the key that couriers encrypt to, so that a hub keeps one secret only.
    fn x25519(&self) -> [u8; 32] {
        crate::courier::Keys::of(self.key.as_bytes()).x25519_public()
    }

    pub(super) fn invite(&mut self, request: RequestId, secret: [u8; 16], expires_wall_ms: u64) {
        let alliance = match self.as_registrar() {
            Ok(alliance) => alliance,
            Err(refusal) => return self.refuse(request, refusal),
        };
        if self.invitations.len() >= INVITATIONS_MAX {
            let allowed = format!("at most {INVITATIONS_MAX}");
            return self.refuse(request, Refusal::OutOfBounds { what: "invitations", allowed });
        }
        let invitation = Invitation {
            alliance,
            registrar: self.hub,
            addresses: self.addresses.clone(),
            secret,
            expires_wall_ms,
        };
        let record =
            InvitationRecord { secret_hash: secret_hash(&secret), expires_wall_ms, used_by: None };
        let text = invitation.to_text();
        let op = StoreOp::PutInvitation(record.clone());
        self.store(op, Waiting::Invitation { request, record, text });
    }

    pub(super) fn as_registrar(&self) -> Result<AllianceId, Refusal> {
        let epoch = &self.membership.as_ref().ok_or(Refusal::NoAlliance)?.newest().epoch;
        if epoch.registrar != self.hub || self.is_frozen {
            return Err(Refusal::NotRegistrar);
        }
        // Others may hold epochs that this hub signed and its disk has lost.
        if self.is_in_doubt() { Err(Refusal::InDoubt) } else { Ok(epoch.alliance) }
    }

    pub(super) fn invitation_stored(
        &mut self,
        request: RequestId,
        record: InvitationRecord,
        text: String,
        result: Result<StoreValue, StoreError>,
    ) {
        match result {
            Ok(_) => {
                self.invitations.insert(record.secret_hash, record);
                self.admit();
                self.emit(Event::Invited { request, text });
            }
            Err(error) => self.refuse(request, error.into()),
        }
    }

    pub(super) fn join(&mut self, now: Time, request: RequestId, text: &str, school: &str) {
        if self.membership.is_some() || self.joining.is_some() {
            return self.refuse(request, Refusal::AlreadyMember);
        }
        if !is_name(school) {
            return self.refuse(request, name_out_of_bounds());
        }
        let Some(invitation) = Invitation::from_text(text) else {
            return self.refuse(request, Refusal::InvitationMalformed);
        };
        let (hub, addresses) = (invitation.registrar, invitation.addresses.clone());
        let deadline = now.after_ms(JOIN_MS_MAX);
        let school = school.to_owned();
        self.joining = Some(Joining { request, invitation, school, deadline, is_storing: false });
        self.admit();
        self.outputs.push_back(Output::Dial { hub, addresses });
    }

    pub(super) fn ask_to_join(&mut self, id: ContactId) {
        let x25519 = self.x25519();
        let (Some(joining), Some(contact)) = (&self.joining, self.contacts.get_mut(&id)) else {
            return;
        };
        contact.outbox.push(&Message::JoinRequest(JoinRequest {
            version: PROTOCOL_VERSION,
            alliance: joining.invitation.alliance,
            secret: joining.invitation.secret,
            school: joining.school.clone(),
            x25519,
            addresses: self.addresses.clone(),
        }));
    }

    pub(super) fn handle_join_request(&mut self, now: Time, id: ContactId, join: JoinRequest) {
        let Some(contact) = self.contacts.get(&id) else { return };
        let hub = contact.hub;
        match self.judge_join(now, hub, &join) {
            Ok(Some(change)) if self.epoch_changes.len() < EPOCH_CHANGES_MAX => {
                self.epoch_changes.push_back(match change {
                    EpochChange::Add { member, invitation, .. } => {
                        EpochChange::Add { contact: id, member, invitation }
                    }
                    other => other,
                });
            }
            Ok(Some(_)) => self.refuse_join(now, id, JoinRefusal::Busy),
            Ok(None) => self.welcome(id),
            Err(refusal) => self.refuse_join(now, id, refusal),
        }
    }

    /// Judges a request to join: a change to make, or none if the hub is a member already.
    pub(super) fn judge_join(
        &self,
        now: Time,
        hub: HubId,
        join: &JoinRequest,
    ) -> Result<Option<EpochChange>, JoinRefusal> {
        let alliance = self.as_registrar().map_err(|refusal| match refusal {
            Refusal::InDoubt => JoinRefusal::Busy,
            _ => JoinRefusal::NotRegistrar,
        })?;
        let invitation = secret_hash(&join.secret);
        let record = self.invitations.get(&invitation).filter(|_| join.alliance == alliance);
        let record = record.ok_or(JoinRefusal::Unknown)?;
        let is_member = |m: &Membership| m.newest().epoch.member(&hub).is_some();
        let is_member = self.membership.as_ref().is_some_and(is_member);
        if is_member && record.used_by == Some(hub) {
            return Ok(None);
        }
        if record.used_by.is_some() {
            return Err(JoinRefusal::Used);
        }
        if record.expires_wall_ms <= self.wall_ms(now) {
            return Err(JoinRefusal::Expired);
        }
        if is_member {
            // It has lost its disk and not its key; nobody is added, and the invitation stays.
            return Ok(None);
        }
        if join.version != PROTOCOL_VERSION || !is_name(&join.school) {
            return Err(JoinRefusal::OutOfBounds);
        }
        if !are_addresses(&join.addresses) {
            return Err(JoinRefusal::OutOfBounds);
        }
        let member = Member {
            hub,
            x25519: join.x25519,
            school: join.school.clone(),
            is_lead: false,
            addresses: join.addresses.clone(),
        };
        Ok(Some(EpochChange::Add { contact: ContactId(0), member, invitation }))
    }

    pub(super) fn refuse_join(&mut self, now: Time, id: ContactId, refusal: JoinRefusal) {
        if self.courier_not_admitted(id, refusal) {
            return;
        }
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.outbox.push(&Message::JoinRefused(refusal));
        }
        self.close(now, id, "may not join");
    }

    /// Sends a new member all epochs; it closes, and comes back as a member.
    pub(super) fn welcome(&mut self, id: ContactId) {
        if self.courier_admitted(id) {
            return;
        }
        let Some(membership) = &self.membership else { return };
        let epochs = Message::Epochs(membership.bytes_from(0));
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.outbox.push(&epochs);
        }
    }

    pub(super) fn join_refused(&mut self, now: Time, id: ContactId, refusal: JoinRefusal) {
        if let Some(joining) = self.joining.take() {
            self.refuse(joining.request, refusal.into());
        }
        self.close(now, id, "may not join");
        self.admit();
    }

    /// Takes all epochs of the alliance that we asked to join, and stores them.
    pub(super) fn joined(&mut self, now: Time, id: ContactId, epochs: &[Vec<u8>]) {
        let Some(joining) = &mut self.joining else { return };
        match read_epochs(&joining.invitation, &self.hub, epochs) {
            Ok(whole) if !joining.is_storing => {
                joining.is_storing = true;
                self.store_joined(&whole, epochs);
            }
            Ok(_) => {}
            Err(error) => {
                self.close(now, id, "sent a membership that is not right");
                self.join_failed(now, &error.to_string());
            }
        }
    }

    /// Joins by the epochs that a courier brought, of the alliance whose invitation was answered.
    pub(super) fn join_carried(
        &mut self,
        now: Time,
        request: RequestId,
        text: &str,
        epochs: &[Vec<u8>],
    ) {
        if self.membership.is_some() || self.joining.is_some() {
            return self.refuse(request, Refusal::AlreadyMember);
        }
        let Some(invitation) = Invitation::from_text(text) else {
            return self.refuse(request, Refusal::InvitationMalformed);
        };
        match read_epochs(&invitation, &self.hub, epochs) {
            Ok(whole) => {
                let (school, deadline) = (String::new(), now.after_ms(JOIN_MS_MAX));
                let joining = Joining { request, invitation, school, deadline, is_storing: true };
                self.joining = Some(joining);
                self.store_joined(&whole, epochs);
            }
            Err(error) => self.refuse(request, Refusal::NotAllowed(error.to_string())),
        }
    }

    fn store_joined(&mut self, whole: &Membership, epochs: &[Vec<u8>]) {
        let was_member = was_member_before(whole, &self.hub);
        let last = epochs.len() - 1;
        if was_member && self.doubt.is_none() {
            // Others hold what it wrote then, and its disk may not.
            self.doubt = Some(Doubt::default());
            self.alarm(Alarm::Restored);
            self.emit(Event::DoubtChanged { is_in_doubt: true });
            self.store(StoreOp::PutDoubt { is_in_doubt: true }, Waiting::Evidence);
        }
        for (n, bytes) in epochs.iter().enumerate() {
            let op = StoreOp::PutEpoch { n: n as u64, bytes: bytes.clone(), used_invitation: None };
            let whole = (n == last).then(|| Box::new(whole.clone()));
            self.store(op, Waiting::Epoch(StoringEpoch::Joined { whole }));
        }
    }

    pub(super) fn join_failed(&mut self, _now: Time, reason: &str) {
        if self.joining.as_ref().is_some_and(|joining| joining.is_storing) {
            return;
        }
        if let Some(joining) = self.joining.take() {
            self.refuse(joining.request, Refusal::Unreachable(reason.to_owned()));
            self.admit();
        }
    }

    pub(super) fn check_joining(&mut self, now: Time) {
        if self.joining.as_ref().is_some_and(|joining| joining.deadline <= now) {
            if let Some(joining) = &mut self.joining {
                joining.deadline = now.after_ms(JOIN_MS_MAX);
            }
            self.join_failed(now, "no answer in 90 s");
        }
    }

    pub(super) fn revoke(&mut self, request: RequestId, hub: HubId) {
        if let Err(refusal) = self.as_registrar() {
            return self.refuse(request, refusal);
        }
        let is_member =
            self.membership.as_ref().is_some_and(|m| m.newest().epoch.member(&hub).is_some());
        if hub == self.hub || !is_member {
            let reason = "only another school that is a member can be taken out";
            return self.refuse(request, Refusal::NotAllowed(reason.into()));
        }
        self.epoch_changes.push_back(EpochChange::Revoke { request, hub });
    }

    pub(super) fn take_over(&mut self, request: RequestId, root_secret: &[u8; 32]) {
        let Some(membership) = &self.membership else {
            return self.refuse(request, Refusal::NoAlliance);
        };
        let root = SigningKey::from_bytes(root_secret);
        let newest = &membership.newest().epoch;
        if root.verifying_key().to_bytes() != newest.root {
            return self.refuse(request, Refusal::NotRootKey);
        }
        if self.is_in_doubt() {
            return self.refuse(request, Refusal::InDoubt);
        }
        if newest.registrar == self.hub && !self.is_frozen {
            return self.done(request);
        }
        let root = Box::new(root);
        self.epoch_changes.push_back(EpochChange::TakeOver { request, root });
    }

    pub(super) fn set_addresses(&mut self, now: Time, mut addresses: Vec<String>) {
        addresses.retain(|address| address.len() <= crate::wire::ADDRESS_BYTES_MAX);
        addresses.truncate(crate::wire::ADDRESSES_MAX);
        self.addresses.clone_from(&addresses);
        self.member_moved(now, self.hub, addresses);
    }

    /// Takes note of where a member says it is; the registrar writes it down.
    pub(super) fn member_moved(&mut self, now: Time, hub: HubId, addresses: Vec<String>) {
        let Some(membership) = &self.membership else { return };
        let known = membership.newest().epoch.member(&hub).map(|member| &member.addresses);
        let is_news = known.is_some_and(|known| *known != addresses) && !addresses.is_empty();
        if !is_news || self.as_registrar().is_err() || !are_addresses(&addresses) {
            return;
        }
        self.next_dial_known.set(None);
        let dial = self.dials.entry(hub).or_default();
        if dial.moved_at.is_none_or(|moved_at| now.since_ms(moved_at) >= MOVE_MS_MIN) {
            dial.moved_at = Some(now);
            self.epoch_changes.push_back(EpochChange::Move { hub, addresses });
        }
    }

    /// Tells the transport who may get past its handshake, if that changed.
    pub(super) fn admit(&mut self) {
        let mut hubs: Vec<HubId> = Vec::new();
        let mut is_registrar = false;
        if let Some(membership) = &self.membership {
            let epoch = &membership.newest().epoch;
            is_registrar = epoch.registrar == self.hub;
            hubs.extend(epoch.hubs.iter().map(|m| m.hub).filter(|hub| *hub != self.hub));
        }
        hubs.extend(self.joining.as_ref().map(Joining::registrar));
        let wall_ms = self.clock.map_or(0, |(_, wall_ms)| wall_ms);
        let is_open = |i: &InvitationRecord| {
            i.expires_wall_ms.saturating_add(INVITATION_ANSWERED_MS) > wall_ms
        };
        let are_strangers_admitted = is_registrar && self.invitations.values().any(is_open);
        let admitted = Some((hubs.clone(), are_strangers_admitted));
        if self.admitted != admitted {
            self.admitted = admitted;
            self.outputs.push_back(Output::Admit { hubs, are_strangers_admitted });
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace => Self::NoSpace,
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<JoinRefusal> for Refusal {
    fn from(refusal: JoinRefusal) -> Self {
        match refusal {
            JoinRefusal::Unknown => Self::InvitationUnknown,
            JoinRefusal::Used => Self::InvitationUsed,
            JoinRefusal::Expired => Self::InvitationExpired,
            JoinRefusal::OutOfBounds => name_out_of_bounds(),
            JoinRefusal::NotRegistrar => Self::NotRegistrar,
            JoinRefusal::Busy => Self::Unreachable("it is busy, try again".into()),
        }
    }
}

pub(super) fn name_out_of_bounds() -> Refusal {
    Refusal::OutOfBounds { what: "name", allowed: "1 to 60 characters".into() }
}

/// Says whether a hub was a member before the newest epoch: it joins again.
fn was_member_before(whole: &Membership, hub: &HubId) -> bool {
    let newest = whole.newest().epoch.n;
    (0..newest).any(|n| whole.epoch(n).is_some_and(|epoch| epoch.member(hub).is_some()))
}

/// Checks all epochs of an alliance against the invitation to it.
fn read_epochs(
    invitation: &Invitation,
    hub: &HubId,
    epochs: &[Vec<u8>],
) -> Result<Membership, EpochError> {
    let mut signed = epochs.iter().map(|bytes| SignedEpoch::decode(bytes));
    let first = signed.next().ok_or(EpochError::Malformed("no epochs"))??;
    if first.epoch.alliance != invitation.alliance {
        return Err(EpochError::Malformed("another alliance than the invitation's"));
    }
    let mut membership = Membership::start(first)?;
    for next in signed {
        let next = next?;
        if membership.fits(&next)? != Fit::Known {
            membership.push(next);
        }
    }
    if membership.newest().epoch.registrar != invitation.registrar {
        return Err(EpochError::Malformed("another registrar than the invitation's"));
    }
    if membership.newest().epoch.member(hub).is_none() {
        return Err(EpochError::Malformed("we are not in it"));
    }
    Ok(membership)
}
