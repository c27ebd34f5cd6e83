//! Contacts: opening, greeting, measuring, dialling again, closing.

use std::collections::BTreeMap;

use super::Node;
use super::exchange::Exchange;
use super::repair::Repair;
use crate::event::{ContactView, Event, Output};
use crate::id::{CollectionId, ContactId, HubId, Time};
use crate::outbox::{Credit, Outbox, Rate};
use crate::wire::{ADDRESS_BYTES_MAX, Class, Message, Reassembly, class_of};

/// A contact that does not answer, and sends nothing, for so long is closed (a handshake at 2 %
/// burst loss took 16 s).
const SILENCE_MS_MAX: u64 = 65_000;
/// Who said something and has heard nothing since asks for a sign of life after so long; and a
/// new contact does.
const PING_IDLE_MS_MIN: u64 = 25_000;
/// Each pause without a word is twice the last, up to this: 36 contacts of a hub with nothing to
/// say cost 2 MB a day so, and 45 MB if both sides never left them alone. Who has dialled asks
/// first, which tells both sides; the other asks only if nothing came for a quarter longer.
const PING_IDLE_MS_MAX: u64 = 300_000;
/// While bytes flow, the round trip is measured so often.
const PING_BUSY_MS: u64 = 2_000;
/// Frames so long mean that bytes flow; a short one may stand alone for hours.
const FLOWING_BYTES_MIN: usize = 1 << 10;
/// A stranger, or a member that has not greeted, is given so long.
const GREETING_MS_MAX: u64 = 30_000;
/// Most strangers at a time: a county's hubs do not join in one minute.
const STRANGERS_MAX: usize = 16;
/// First pause after a failed dial; doubled each time.
pub(super) const DIAL_PAUSE_MS_MIN: u64 = 1_000;
/// Longest pause. Who has its own link back dials all at once; this is for those who cannot dial
/// us, and a member that was away for minutes is found within two more.
pub(super) const DIAL_PAUSE_MS_MAX: u64 = 120_000;
/// A contact that lasted so long was of use.
const USEFUL_MS_MIN: u64 = 10_000;
/// So was one that brought so much: more than greetings between hubs that do not get on.
const USEFUL_BYTES_MIN: u64 = 64 << 10;
/// A dial that is not answered by the driver for so long counts as failed.
pub(super) const DIAL_MS_MAX: u64 = 120_000;
/// Addresses seen on the LAN that are remembered for a hub.
const DISCOVERED_MAX: usize = 4;

/// What a contact may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A member that has not greeted yet.
    Greeting,
    /// A member in use.
    Ready,
    /// Not a member; may ask to join.
    Stranger,
    /// We ask it to let us join.
    Joining,
    /// Closing; nothing more is heard.
    Closing,
}

/// One live connection.
pub(super) struct Contact {
    pub hub: HubId,
    pub is_dialer: bool,
    pub address: String,
    pub state: State,
    pub opened_at: Time,
    pub outbox: Outbox,
    pub reassembly: Reassembly,
    pub credit: Credit,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub receive_rate: Rate,
    pub send_rate: Rate,
    pub heard_at: Time,
    /// When something was said since which nothing was heard.
    pub unanswered_since: Option<Time>,
    pub pinged_at: Time,
    /// How long it may be idle before it has to show life again.
    pub idle_ms: u64,
    pub ping: u64,
    pub rtt_ms: Option<u64>,
    pub clock_ahead_ms: Option<i64>,
    pub epoch: u64,
    pub exchanges: BTreeMap<CollectionId, Exchange>,
    /// Differences that are being looked for.
    pub repairs: BTreeMap<CollectionId, Repair>,
    /// It brought epochs of a registrar that was replaced, and was shown those after that.
    pub is_shown_hand_over: bool,
    /// Number of the newest of this hub's statements as a witness that it was told.
    pub witnessed_upto: u64,
    /// Batches of its statements that are being stored.
    pub storing_statements: usize,
    /// A question about our envelopes is being answered.
    pub is_serving_repair: bool,
    /// Journals or what the other side has of them changed since it was last looked for more.
    pub may_lack_envelopes: bool,
    /// When to tell again what is held here, because something could not be stored.
    pub retry_at: Option<Time>,
    pub why_closing: Option<String>,
}

/// When to dial a member again.
#[derive(Debug, Default)]
pub(super) struct Dial {
    pub next_at: Time,
    pub pause_ms: u64,
    pub since: Option<Time>,
    pub discovered: Vec<String>,
    pub claimed: Vec<String>,
    /// Which stores have answered with its key, the newest first.
    pub stores: Vec<[u8; 16]>,
    /// When its new addresses were last written into the membership.
    pub moved_at: Option<Time>,
}

impl Contact {
    fn new(now: Time, hub: HubId, is_dialer: bool, address: String, state: State) -> Self {
        Self {
            hub,
            is_dialer,
            address,
            state,
            opened_at: now,
            outbox: Outbox::default(),
            reassembly: Reassembly::default(),
            credit: Credit::new(now),
            received_bytes: 0,
            sent_bytes: 0,
            receive_rate: Rate::new(now),
            send_rate: Rate::new(now),
            heard_at: now,
            unanswered_since: None,
            pinged_at: now,
            idle_ms: PING_IDLE_MS_MIN,
            ping: 0,
            rtt_ms: None,
            clock_ahead_ms: None,
            epoch: 0,
            exchanges: BTreeMap::new(),
            repairs: BTreeMap::new(),
            is_shown_hand_over: false,
            witnessed_upto: 0,
            storing_statements: 0,
            is_serving_repair: false,
            may_lack_envelopes: false,
            retry_at: None,
            why_closing: None,
        }
    }

    /// Says whether it is a member in use.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Says when it is to be looked at: at whole seconds, so that a frame seldom moves it.
    pub fn deadline(&self) -> Time {
        Time(self.exact_deadline().0.div_ceil(1_000).saturating_mul(1_000))
    }

    fn exact_deadline(&self) -> Time {
        match self.state {
            State::Ready => {
                let life = if self.is_awaited() {
                    self.pinged_at.after_ms(SILENCE_MS_MAX)
                } else {
                    let later_ms = if self.is_dialer { 0 } else { self.idle_ms / 4 };
                    let idle = self.heard_at.after_ms(self.idle_ms + later_ms);
                    let unanswered = self.unanswered_since.map(|at| at.after_ms(PING_IDLE_MS_MIN));
                    unanswered.map_or(idle, |at| at.min(idle))
                };
                self.retry_at.map_or(life, |retry| retry.min(life))
            }
            State::Closing => Time(u64::MAX),
            _ => self.opened_at.after_ms(GREETING_MS_MAX),
        }
    }

    /// Says whether nothing was heard since it was last asked for a sign of life.
    fn is_awaited(&self) -> bool {
        self.heard_at < self.pinged_at
    }

    /// Says whether it is taken for dead.
    fn is_silent(&self, now: Time) -> bool {
        self.is_awaited() && now.since_ms(self.pinged_at) >= SILENCE_MS_MAX
    }

    /// Takes note of a frame that is sent: one that says something is to be answered somehow.
    pub fn note_sent(&mut self, now: Time, frame: &[u8]) {
        if class_of(frame) != Some(Class::Control) {
            self.unanswered_since.get_or_insert(now);
        }
    }

    /// Takes note of an idle pause that ended in a sign of life, from either side.
    fn note_idle(&mut self) {
        self.idle_ms = (self.idle_ms * 2).min(PING_IDLE_MS_MAX);
    }

    fn measure(&mut self, now: Time) {
        self.ping += 1;
        self.pinged_at = now;
        self.outbox.push(&Message::Ping(self.ping));
    }
}

impl Node {
    pub(super) fn handle_opened(
        &mut self,
        now: Time,
        id: ContactId,
        hub: HubId,
        is_dialer: bool,
        address: String,
    ) {
        let is_registrar_of_ours =
            is_dialer && self.joining.as_ref().is_some_and(|joining| joining.registrar() == hub);
        let state = if is_registrar_of_ours {
            State::Joining
        } else if self.is_member(&hub) {
            State::Greeting
        } else {
            State::Stranger
        };
        self.next_dial_known.set(None);
        self.contacts.insert(id, Contact::new(now, hub, is_dialer, address, state));
        if let Some(dial) = self.dials.get_mut(&hub) {
            dial.since = None;
        }
        match state {
            State::Joining => self.ask_to_join(id),
            State::Greeting if hub == self.hub => self.close(now, id, "this is ourselves"),
            State::Greeting => self.greet(now, id),
            _ if !self.is_stranger_welcome() => self.close(now, id, "not a member"),
            _ => {}
        }
    }

    pub(super) fn is_member(&self, hub: &HubId) -> bool {
        self.membership.as_ref().is_some_and(|m| m.newest().epoch.member(hub).is_some())
    }

    fn is_stranger_welcome(&self) -> bool {
        let strangers = self.contacts.values().filter(|c| c.state == State::Stranger).count();
        self.admitted.as_ref().is_some_and(|(_, strangers)| *strangers)
            && strangers <= STRANGERS_MAX
    }

    /// Greets a member, unless a better contact with it is open.
    fn greet(&mut self, now: Time, id: ContactId) {
        let Some(new) = self.contacts.get(&id) else { return };
        let (hub, is_dialer) = (new.hub, new.is_dialer);
        let other = self.contacts.iter().find(|(other, contact)| {
            **other != id && contact.hub == hub && contact.state != State::Closing
        });
        if let Some((&other_id, other)) = other {
            // Both ends keep the one that the smaller key dialled; of two alike, the newer.
            let was_dialed_by_smaller = |dialed: bool| dialed == (self.hub < hub);
            let is_new_better = other.is_dialer == is_dialer || was_dialed_by_smaller(is_dialer);
            let worse = if is_new_better { other_id } else { id };
            self.close(now, worse, "another contact with this hub is open");
            if !is_new_better {
                return;
            }
        }
        let Some(hello) = self.hello(&hub) else { return };
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.outbox.push(&Message::Hello(hello));
            contact.measure(now);
        }
    }

    pub(super) fn handle_received(&mut self, now: Time, id: ContactId, frame: &[u8]) {
        let contacts = &self.contacts;
        let best = || contacts.values().map(|it| it.credit.best_bytes_per_s(now));
        let share = self.line.count(now, frame.len() as u64, best);
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        if contact.state == State::Closing {
            return;
        }
        (contact.heard_at, contact.unanswered_since) = (now, None);
        contact.received_bytes += frame.len() as u64;
        contact.receive_rate.count(now, frame.len() as u64, 1_000);
        let is_flowing =
            class_of(frame) != Some(Class::Control) && frame.len() >= FLOWING_BYTES_MIN;
        if is_flowing && contact.is_ready() && now.since_ms(contact.pinged_at) >= PING_BUSY_MS {
            contact.measure(now);
        }
        if let Some(grant) = contact.credit.received(now, frame, contact.rtt_ms, share) {
            contact.outbox.push(&grant);
        }
        match contact.reassembly.push(frame) {
            Ok(Some(message)) => self.handle_message(now, id, message),
            Ok(None) => {}
            Err(error) => self.close(now, id, &error.to_string()),
        }
    }

    fn handle_message(&mut self, now: Time, id: ContactId, message: Message) {
        let wall_ms = self.wall_ms(now);
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        match (contact.state, message) {
            (_, Message::Ping(number)) => {
                contact.note_idle();
                contact.outbox.push(&Message::Pong { number, wall_ms });
            }
            (_, Message::Pong { number, wall_ms: theirs }) if number == contact.ping => {
                let rtt_ms = now.since_ms(contact.pinged_at);
                contact.rtt_ms = Some(contact.rtt_ms.map_or(rtt_ms, |best| best.min(rtt_ms)));
                // Half a round trip is nothing beside the day that is looked for.
                let are_told = theirs > 0 && wall_ms > 0;
                contact.clock_ahead_ms = are_told.then(|| {
                    i64::try_from(i128::from(theirs) - i128::from(wall_ms)).unwrap_or(i64::MAX)
                });
            }
            (_, Message::Pong { .. }) => {}
            (_, Message::Credit { granted_bytes }) => contact.outbox.grant(granted_bytes),
            (State::Stranger | State::Greeting, Message::JoinRequest(request)) => {
                self.handle_join_request(now, id, request);
            }
            (State::Joining, Message::JoinRefused(refusal)) => self.join_refused(now, id, refusal),
            (State::Joining, Message::Epochs(epochs)) => self.joined(now, id, &epochs),
            (State::Joining, Message::Hello(_)) => {}
            (State::Greeting, Message::Hello(hello)) => self.handle_hello(now, id, &hello),
            (State::Greeting | State::Ready, Message::Epochs(epochs)) => {
                self.handle_epochs(id, epochs);
            }
            (State::Ready, message) => self.handle_member_message(now, id, message),
            _ => self.close(now, id, "a message that is not allowed here"),
        }
    }

    pub(super) fn close(&mut self, now: Time, id: ContactId, reason: &str) {
        let Some(contact) = self.contacts.get_mut(&id) else {
            return self.courier_broke_rules(id, reason);
        };
        if contact.state == State::Closing {
            return;
        }
        let was_ready = contact.is_ready();
        contact.state = State::Closing;
        contact.why_closing = Some(reason.to_owned());
        // What control has to say still goes out: a refusal must be heard.
        self.drain(now, id);
        self.outputs.push_back(Output::Close { contact: id, reason: reason.to_owned() });
        if was_ready {
            self.contact_down(id);
        }
    }

    pub(super) fn handle_closed(&mut self, now: Time, id: ContactId, reason: &str) {
        let Some(contact) = self.contacts.get(&id) else { return };
        let (hub, was_ready, state) = (contact.hub, contact.is_ready(), contact.state);
        let is_useful = now.since_ms(contact.opened_at) >= USEFUL_MS_MIN
            || contact.received_bytes.max(contact.sent_bytes) >= USEFUL_BYTES_MIN;
        if was_ready {
            if let Some(contact) = self.contacts.get_mut(&id) {
                contact.why_closing = Some(reason.to_owned());
            }
            self.contact_down(id);
        }
        self.contacts.remove(&id);
        self.next_dial_known.set(None);
        if state == State::Joining {
            self.join_failed(now, reason);
        }
        if self.is_member(&hub) {
            self.dial_after(now, hub, is_useful);
        }
    }

    /// Tells everybody that a member is not in contact any more.
    fn contact_down(&mut self, id: ContactId) {
        let Some(contact) = self.contacts.get(&id) else { return };
        let event = Event::ContactDown {
            contact: id,
            hub: contact.hub,
            reason: contact.why_closing.clone().unwrap_or_default(),
            received_bytes: contact.received_bytes,
            sent_bytes: contact.sent_bytes,
        };
        self.fetches.contact_down(id);
        self.serving.contact_down(id);
        self.emit(event);
    }

    /// Looks after contacts whose time has come.
    pub(super) fn check_contacts(&mut self, now: Time) {
        for id in self.contacts.due(now) {
            let Some(contact) = self.contacts.get_mut(&id) else { continue };
            if contact.is_silent(now) {
                self.close(now, id, "does not answer");
            } else if contact.retry_at.is_some_and(|retry| retry <= now) {
                contact.retry_at = None;
                self.send_vectors(id);
            } else if contact.is_ready() {
                contact.note_idle();
                contact.measure(now);
            } else {
                self.close(now, id, "no greeting within 30 s");
            }
        }
    }

    pub(super) fn handle_discovered(&mut self, now: Time, hub: HubId, address: String) {
        if !self.is_member(&hub) || address.len() > ADDRESS_BYTES_MAX {
            return;
        }
        self.next_dial_known.set(None);
        let dial = self.dials.entry(hub).or_default();
        dial.discovered.retain(|known| *known != address);
        dial.discovered.insert(0, address);
        dial.discovered.truncate(DISCOVERED_MAX);
        dial.pause_ms = 0;
        dial.next_at = dial.next_at.min(now);
        self.dial_members(now);
    }

    pub(super) fn handle_dial_failed(&mut self, now: Time, hub: HubId, reason: &str) {
        if self.joining.as_ref().is_some_and(|joining| joining.registrar() == hub) {
            self.join_failed(now, reason);
        }
        let pause_ms = self.dials.get(&hub).map_or(0, |dial| dial.pause_ms);
        self.dial_later(now, hub, (pause_ms * 2).clamp(DIAL_PAUSE_MS_MIN, DIAL_PAUSE_MS_MAX));
    }

    pub(super) fn view(&self, now: Time, id: ContactId, contact: &Contact) -> Option<ContactView> {
        contact.is_ready().then(|| ContactView {
            contact: id,
            hub: contact.hub,
            address: contact.address.clone(),
            age_ms: now.since_ms(contact.opened_at),
            received_bytes: contact.received_bytes,
            sent_bytes: contact.sent_bytes,
            receive_bytes_per_s: contact.receive_rate.bytes_per_s(now),
            send_bytes_per_s: contact.send_rate.bytes_per_s(now),
            rtt_ms: contact.rtt_ms,
            waiting_envelopes: self.waiting_envelopes(contact),
            queued_bytes: contact.outbox.queued() as u64,
            asked_bytes: self.fetches.asked_of(id),
            clock_ahead_ms: contact.clock_ahead_ms,
        })
    }
}
