//! The node: one struct that ties membership, journals, documents and blobs together.
//!
//! Parents hold children: only this module and its parts know all of them. Each part is an
//! `impl Node` block for one concern.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ed25519_dalek::SigningKey;

use crate::blob::{
    fetch::Fetches,
    serve::{Serving, turns::Turns},
};
use crate::event::{
    Alarm, Command, ContactView, Event, Input, InvitationRecord, MembershipView, Output, Refusal,
    RequestId, Restored, StoreId, StoreOp, StoreReply, StoreRequest,
};
use crate::id::{CollectionId, ContactId, Hash, HubId, Time};
use crate::journal::Journals;
use crate::membership::{Fit, Membership, SignedEpoch};
use crate::outbox::{Line, QUEUED_BYTES_MAX};
use crate::plan::Urgency;
use crate::rng::Rng;
use crate::witness::Witnessed;

mod admission;
mod contact;
mod contacts;
mod courier;
mod dialing;
mod documents;
mod doubt;
mod epochs;
mod exchange;
mod repair;
mod revocation;
mod transfer;
mod witness;
mod writing;

use admission::Joining;
use contact::Dial;
use contacts::Contacts;
use documents::{DocKey, DocTask};
use doubt::{Claim, Doubt};
use epochs::EpochChange;
use writing::WriteJob;

/// What a node is made with.
#[derive(Clone)]
pub struct NodeConfig {
    /// Ed25519 seed: the hub's key.
    pub secret: [u8; 32],
    /// Seed of everything random; from the operating system, fresh at each start.
    pub seed: [u8; 32],
    /// One byte of a blob stands for so many: 1, but in simulations of thousands of hubs. What is
    /// asked of others at a time is so much less, in bytes that are there.
    pub blob_scale: u64,
}

impl NodeConfig {
    /// Takes the hub's key and a fresh random seed.
    pub const fn new(secret: [u8; 32], seed: [u8; 32]) -> Self {
        Self { secret, seed, blob_scale: 1 }
    }
}

/// Says why a node cannot start from what its store holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The first epoch was damaged.
    #[error("the stored membership is damaged: {0}")]
    Membership(#[from] crate::membership::EpochError),
}

/// Gives the hub that has a secret.
pub fn hub_of(secret: &[u8; 32]) -> HubId {
    HubId(SigningKey::from_bytes(secret).verifying_key().to_bytes())
}

/// Decides for one hub. See the crate's page for the loop that drives it.
pub struct Node {
    key: SigningKey,
    hub: HubId,
    blob_scale: u64,
    nonce: [u8; 16],
    rng: Rng,
    clock: Option<(Time, u64)>,
    addresses: Vec<String>,
    outputs: VecDeque<Output>,
    next_store_id: StoreId,
    waiting: BTreeMap<StoreId, Waiting>,

    membership: Option<Membership>,
    is_frozen: bool,
    invitations: BTreeMap<Hash, InvitationRecord>,
    admitted: Option<(Vec<HubId>, bool)>,
    joining: Option<Joining>,
    epoch_changes: VecDeque<EpochChange>,
    is_epoch_busy: bool,

    contacts: Contacts,
    line: Line,
    dials: BTreeMap<HubId, Dial>,
    /// The epoch of which every member is in `dials`.
    dials_of: Option<Hash>,
    /// What [`Node::next_dial`] gave last; none once something has changed that it depends on.
    next_dial_known: Cell<Option<Option<Time>>>,

    journals: Journals,
    store_id: [u8; 16],
    doubt: Option<Doubt>,
    claims: BTreeMap<CollectionId, BTreeMap<HubId, Claim>>,
    aside: BTreeSet<DocKey>,
    forked: BTreeSet<(CollectionId, HubId)>,
    /// Whose trespasses were told.
    trespassers: BTreeSet<(CollectionId, HubId)>,
    failed_rejudging: BTreeSet<CollectionId>,
    cutting: Option<CollectionId>,
    full_check_at: Time,
    writes: VecDeque<WriteJob>,
    is_writing: bool,
    docs: BTreeMap<DocKey, DocTask>,
    failed_docs: BTreeSet<DocKey>,
    /// Counts how often documents were unmade; what was read before that is void.
    unmade: u64,

    witnessed: Witnessed,
    is_signing: bool,
    next_signing: Time,
    is_comparing: bool,

    couriers: courier::Couriers,
    fetches: Fetches,
    serving: Serving,
    turns: Turns,
    /// Some contact waits because others press more; looked at again at the next tick.
    are_some_held_back: bool,
    next_blob_tick: Time,
}

/// Who waits for a store reply.
enum Waiting {
    Epoch(epochs::StoringEpoch),
    Invitation { request: RequestId, record: InvitationRecord, text: String },
    Write(writing::Writing),
    Doc(DocKey, documents::DocStep),
    Envelopes(exchange::Reading),
    Doubt(doubt::EndingDoubt),
    Repair { contact: Option<ContactId>, collection: CollectionId, step: repair::RepairStep },
    Evidence,
    Witness(witness::WitnessStep),
    Blob(transfer::BlobStep),
    Courier(courier::CourierStep),
}

impl Node {
    /// Starts a node with what its store holds.
    ///
    /// # Errors
    /// If the stored membership is damaged.
    pub fn new(config: NodeConfig, restored: Restored) -> Result<Self, RestoreError> {
        let key = SigningKey::from_bytes(&config.secret);
        let hub = HubId(key.verifying_key().to_bytes());
        let mut rng = Rng::new(config.seed);
        let invitations =
            restored.invitations.into_iter().map(|record| (record.secret_hash, record));
        let mut node = Self {
            nonce: rng.bytes_16(),
            key,
            hub,
            blob_scale: config.blob_scale.max(1),
            rng,
            clock: None,
            addresses: Vec::new(),
            outputs: VecDeque::new(),
            next_store_id: 0,
            waiting: BTreeMap::new(),
            membership: restore_membership(&hub, &restored.epochs)?,
            is_frozen: restored.has_epochs_aside,
            invitations: invitations.collect(),
            admitted: None,
            joining: None,
            epoch_changes: VecDeque::new(),
            is_epoch_busy: false,
            contacts: Contacts::default(),
            line: Line::new(Time(0)),
            dials: BTreeMap::new(),
            dials_of: None,
            next_dial_known: Cell::new(None),
            journals: Journals::restore(&restored.heads, &restored.fingerprints),
            store_id: restored.store_id,
            doubt: restored.is_in_doubt.then(Doubt::default),
            claims: BTreeMap::new(),
            aside: restored.aside.into_iter().collect(),
            forked: BTreeSet::new(),
            trespassers: BTreeSet::new(),
            failed_rejudging: BTreeSet::new(),
            cutting: None,
            full_check_at: Time(repair::FULL_CHECK_FIRST_MS),
            writes: VecDeque::new(),
            is_writing: false,
            docs: BTreeMap::new(),
            failed_docs: BTreeSet::new(),
            witnessed: Witnessed::restore(&hub, &restored.statements),
            is_signing: false,
            next_signing: Time(0),
            is_comparing: false,
            couriers: courier::Couriers::default(),
            unmade: 0,
            fetches: Fetches::new(hub),
            serving: Serving::default(),
            turns: Turns::default(),
            are_some_held_back: false,
            next_blob_tick: Time(0),
        };
        for (collection, doc) in restored.unapplied {
            node.touch_doc((collection, doc));
        }
        node.rejudge_all();
        if node.doubt.is_some() {
            node.alarm(Alarm::Restored);
        }
        node.admit();
        Ok(node)
    }

    /// Gives this hub's key.
    pub const fn hub_id(&self) -> HubId {
        self.hub
    }

    /// Gives the members, if this hub belongs to an alliance.
    pub fn membership(&self) -> Option<MembershipView> {
        self.membership.as_ref().map(Membership::view)
    }

    /// Gives what is happening with each member in contact.
    pub fn contacts(&self, now: Time) -> Vec<ContactView> {
        self.contacts.iter().filter_map(|(id, contact)| self.view(now, *id, contact)).collect()
    }

    /// Counts the blobs that are wanted and not whole.
    pub fn wanted_blobs(&self) -> usize {
        self.fetches.wanted()
    }

    /// Takes an input. Then take the outputs, and ask for the time-out again.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Clock { wall_ms } => self.handle_clock(now, wall_ms),
            Input::Command(command) => self.handle_command(now, command),
            Input::Opened { contact, hub, is_dialer, address } => {
                self.handle_opened(now, contact, hub, is_dialer, address);
            }
            Input::DialFailed { hub, reason } => self.handle_dial_failed(now, hub, &reason),
            Input::Discovered { hub, address } => self.handle_discovered(now, hub, address),
            Input::Received { contact, frame } => self.handle_received(now, contact, &frame),
            Input::Closed { contact, reason } => self.handle_closed(now, contact, &reason),
            Input::Stored(reply) => self.handle_stored(now, reply),
        }
        self.advance(now);
    }

    /// Takes note that the time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Time) {
        self.check_contacts(now);
        self.check_joining(now);
        if now >= self.next_blob_tick {
            self.next_blob_tick = now.after_ms(transfer::TICK_MS);
            let actions = self.fetches.timeout(now);
            self.carry_out_fetch(now, actions);
            let actions = self.serving.tell_news(now);
            self.carry_out_serve(now, actions);
        }
        if self.next_dial().is_some_and(|at| at <= now) {
            self.dial_members(now);
        }
        self.advance(now);
    }

    /// Gives the next thing to carry out, or none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Says when to call [`handle_timeout`](Self::handle_timeout), if no input comes first.
    pub fn poll_timeout(&self) -> Option<Time> {
        let dials = self.next_dial();
        let joining = self.joining.as_ref().map(|joining| joining.deadline);
        let is_fetching = self.fetches.is_busy() && !self.contacts.is_empty();
        let is_ticking = is_fetching || self.are_some_held_back || self.serving.has_news();
        let blobs = is_ticking.then_some(self.next_blob_tick);
        let doubt = self.next_doubt_check();
        let times = [self.contacts.deadline(), dials, joining, blobs, doubt];
        times.into_iter().flatten().min()
    }

    fn handle_clock(&mut self, now: Time, wall_ms: u64) {
        let is_first = self.clock.is_none();
        self.clock = Some((now, wall_ms));
        self.check_journals(now);
        self.check_witnesses(now);
        self.admit();
        std::mem::take(&mut self.failed_docs).into_iter().for_each(|key| self.touch_doc(key));
        let failed = std::mem::take(&mut self.failed_rejudging);
        failed.into_iter().for_each(|collection| self.rejudge(collection));
        if is_first {
            self.add_collections();
            self.dial_members(now);
        }
    }

    fn handle_command(&mut self, now: Time, command: Command) {
        match command {
            Command::Found { request, name, school, root_secret } => {
                self.found(request, &name, &school, &root_secret);
            }
            Command::Invite { request, secret, expires_wall_ms } => {
                self.invite(request, secret, expires_wall_ms);
            }
            Command::Join { request, invitation, school } => {
                self.join(now, request, &invitation, &school);
            }
            Command::JoinCarried { request, invitation, epochs } => {
                self.join_carried(now, request, &invitation, &epochs);
            }
            Command::Revoke { request, hub } => self.revoke(request, hub),
            Command::TakeOver { request, root_secret } => self.take_over(request, &root_secret),
            Command::EndDoubt { request } => self.end_doubt_by_hand(request),
            Command::EditDoc { request, collection, doc, author, edits } => {
                self.edit_doc(request, (collection, doc), author, edits);
            }
            Command::SetWants(wants) => {
                let actions = self.fetches.set_wants(wants);
                self.carry_out_fetch(now, actions);
            }
            Command::BlobAdded(blob) => {
                let actions = self.serving.appeared(blob);
                self.carry_out_serve(now, actions);
            }
            Command::BlobGone(blob) => {
                let actions = self.serving.gone(blob);
                self.carry_out_serve(now, actions);
                let actions = self.fetches.gone(blob);
                self.carry_out_fetch(now, actions);
            }
            Command::Carry { request, carried } => self.carry(now, request, carried),
            Command::Reconnect => self.reconnect(now),
            Command::SetAddresses(addresses) => self.set_addresses(now, addresses),
        }
    }

    fn handle_stored(&mut self, now: Time, reply: StoreReply) {
        let Some(waiting) = self.waiting.remove(&reply.id) else { return };
        match waiting {
            Waiting::Epoch(storing) => self.epoch_stored(now, storing, reply.result),
            Waiting::Invitation { request, record, text } => {
                self.invitation_stored(request, record, text, reply.result);
            }
            Waiting::Write(writing) => self.write_stored(now, writing, reply.result),
            Waiting::Doc(key, step) => self.doc_stored(key, step, reply.result),
            Waiting::Envelopes(reading) => self.envelopes_read(reading, reply.result),
            Waiting::Repair { contact, collection, step } => {
                self.repair_read(contact, collection, step, reply.result);
            }
            Waiting::Doubt(ending) => self.doubt_stored(&ending, reply.result),
            Waiting::Evidence => {
                if let Err(error) = reply.result {
                    tracing::warn!(%error, "evidence could not be kept");
                }
            }
            Waiting::Witness(step) => self.witness_stored(step, reply.result),
            Waiting::Blob(step) => self.blob_stored(now, step, reply.result),
            Waiting::Courier(step) => self.courier_step_stored(now, step, reply.result),
        }
    }

    /// Does everything that can be done now: writes, epochs, requests, frames.
    fn advance(&mut self, now: Time) {
        self.advance_epochs(now);
        self.check_doubt(now);
        self.advance_writes(now);
        self.advance_couriers();
        self.ask_for_pieces(now);
        if std::mem::take(&mut self.are_some_held_back) {
            self.contacts.stir_all();
        }
        for (_, id) in self.busy_contacts() {
            self.refill(now, id);
            self.drain(now, id);
        }
    }

    /// Lists the contacts that something new can be sent to, the most pressing first.
    fn busy_contacts(&mut self) -> Vec<(Urgency, ContactId)> {
        let stirred = self.contacts.take_stirred();
        let busy = stirred.into_iter().filter_map(|id| {
            let contact = self.contacts.get(&id)?;
            let pressing = self.serving.pressing(id);
            let is_busy =
                pressing.is_some() || contact.may_lack_envelopes || contact.outbox.queued() > 0;
            is_busy.then(|| (pressing.unwrap_or(Urgency::Rest), id))
        });
        let mut busy: Vec<_> = busy.collect();
        busy.sort_unstable();
        busy
    }

    /// Sends what credit allows, and closes a contact that does not read.
    fn drain(&mut self, now: Time, id: ContactId) {
        let mut pressing_bytes = 0;
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        while let Some(frame) = contact.outbox.pop() {
            contact.sent_bytes += frame.len() as u64;
            pressing_bytes += frame.len() as u64;
            contact.send_rate.count(now, frame.len() as u64, 1_000);
            contact.note_sent(now, &frame);
            self.outputs.push_back(Output::Send { contact: id, frame });
        }
        if pressing_bytes > 0 && self.serving.presses_most(id) {
            self.turns.sent(pressing_bytes);
        }
        if contact.outbox.queued() > QUEUED_BYTES_MAX {
            self.close(now, id, "does not read what it is sent");
        }
    }

    fn store(&mut self, op: StoreOp, waiting: Waiting) {
        let id = self.next_store_id;
        self.next_store_id += 1;
        self.waiting.insert(id, waiting);
        self.outputs.push_back(Output::Store(StoreRequest { id, op }));
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn done(&mut self, request: RequestId) {
        self.emit(Event::Done { request });
    }

    fn refuse(&mut self, request: RequestId, reason: Refusal) {
        self.emit(Event::Refused { request, reason });
    }

    fn alarm(&mut self, alarm: Alarm) {
        tracing::warn!(%alarm, "alarm");
        self.emit(Event::Alarm(alarm));
    }

    /// Gives the wall clock, or zero before the driver has told it.
    fn wall_ms(&self, now: Time) -> u64 {
        self.clock.map_or(0, |(at, wall_ms)| wall_ms.saturating_add(now.since_ms(at)))
    }

    /// Lists members in contact.
    fn ready_contacts(&self) -> Vec<ContactId> {
        let ready = self.contacts.iter().filter(|(_, contact)| contact.is_ready());
        ready.map(|(id, _)| *id).collect()
    }

    fn ready_hubs(&self) -> BTreeSet<HubId> {
        self.contacts.values().filter(|c| c.is_ready()).map(|c| c.hub).collect()
    }
}

/// Puts stored epochs together; none if this hub is not a member (a join was cut short).
fn restore_membership(hub: &HubId, epochs: &[Vec<u8>]) -> Result<Option<Membership>, RestoreError> {
    let Some((first, rest)) = epochs.split_first() else { return Ok(None) };
    let mut membership = Membership::start(SignedEpoch::decode(first)?)?;
    for bytes in rest {
        let Ok(next) = SignedEpoch::decode(bytes) else { break };
        if membership.fits(&next) != Ok(Fit::Next) {
            break;
        }
        membership.push(next);
    }
    let is_member = membership.newest().epoch.member(hub).is_some();
    Ok(is_member.then_some(membership))
}
