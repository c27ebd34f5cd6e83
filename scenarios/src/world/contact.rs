//! Connections between hubs: dialled, admitted or not, carrying frames, cut or closed.

use yingxue_sync_core::event::{Command, Input};
use yingxue_sync_core::id::{ContactId, HubId};
use yingxue_sync_core::outbox::WINDOW_BYTES_MAX;
use yingxue_sync_core::wire::{Class, class_of};

use super::hub::{SENT_FRAMES_MAX, address_of, tampered};
use super::{Happening, HubIndex, World};
use crate::link::Path;

/// What a frame costs on the wire besides its bytes: TCP, IP, Noise and Yamux headers.
const FRAME_OVERHEAD_BYTES: usize = 80;
/// How long a dial into nothing takes at most.
const DIAL_TIMEOUT_MS_MAX: u64 = 10_000;
/// How long a side takes at most to notice a cut; "no bytes for 90 s" is the worst in the field.
const NOTICE_CUT_MS_MAX: u64 = 30_000;
/// Most bytes on the way in one direction of a contact: the most credit that there is, and
/// 1 MiB of control messages, which credit does not hold back. More means that nobody does.
const IN_FLIGHT_BYTES_MAX: u64 = WINDOW_BYTES_MAX + (1 << 20);

/// One connection; side 0 has dialled.
#[derive(Debug)]
pub(super) struct Connection {
    hubs: [HubIndex; 2],
    boots: [u32; 2],
    contacts: [ContactId; 2],
    ends: [End; 2],
    /// Bytes on the way towards each side.
    in_flight_bytes: [u64; 2],
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Opening,
    Open,
    /// Closed from here, and not yet told so.
    Closing,
    Gone,
}

impl World {
    /// Describes the path between two hubs.
    pub fn describe_path(&mut self, a: HubIndex, b: HubIndex, bytes_per_s: u64, delay_ms: u64) {
        self.paths.insert((a.min(b), a.max(b)), Path::new(bytes_per_s, delay_ms));
    }

    /// Lets the path between two hubs go up or down; connections on it are lost when it goes.
    pub fn set_path(&mut self, a: HubIndex, b: HubIndex, is_up: bool) {
        self.path(a, b).is_up = is_up;
        if is_up {
            return;
        }
        for connection in 0..self.connections.len() {
            let hubs = self.connections[connection].hubs;
            if hubs == [a, b] || hubs == [b, a] {
                self.cut(connection);
            }
        }
    }

    /// Lets a hub's line go up or down; all its connections are lost when it goes, and it dials
    /// at once when it comes back, as a driver does that sees its network again.
    pub fn set_line(&mut self, hub: HubIndex, is_up: bool) {
        if std::mem::replace(&mut self.hubs[hub].is_line_up, is_up) == is_up {
            return;
        }
        if is_up {
            self.tell(hub, Input::Command(Command::Reconnect));
            return;
        }
        let open: Vec<usize> = self.hubs[hub].contacts.values().map(|(it, _)| *it).collect();
        open.into_iter().for_each(|connection| self.cut(connection));
    }

    /// Says whether anything gets from one hub to another.
    fn is_passable(&mut self, a: HubIndex, b: HubIndex) -> bool {
        self.hubs[a].is_line_up && self.hubs[b].is_line_up && self.path(a, b).is_up
    }

    /// Tells both of two hubs that the other is on their LAN.
    pub fn introduce(&mut self, a: HubIndex, b: HubIndex) {
        for (hub, other) in [(a, b), (b, a)] {
            let input = Input::Discovered { hub: self.hubs[other].id, address: address_of(other) };
            self.tell(hub, input);
        }
    }

    /// Dials on behalf of a hub; a puppet's way to begin.
    pub fn dial(&mut self, from: HubIndex, to: HubId, addresses: &[String]) {
        let boot = self.hubs[from].boot;
        let known = self.hubs.iter().position(|hub| hub.id == to);
        let Some(to_index) = known.filter(|i| addresses.contains(&address_of(*i))) else {
            let in_ms = self.rng.between(10, DIAL_TIMEOUT_MS_MAX);
            self.fail_dial(from, to, in_ms, "nobody with that key at these addresses");
            return;
        };
        let delay_ms = self.delay_ms(from, to_index);
        if !self.is_passable(from, to_index) {
            let in_ms = self.rng.between(1_000, DIAL_TIMEOUT_MS_MAX);
            self.fail_dial(from, to, in_ms, "timed out");
            return;
        }
        // SYN, SYN-ACK, ACK with the first handshake message: the callee knows after 1.5 RTT.
        let at_us = self.now_us + 3 * delay_ms * 1000;
        self.happen(at_us, Happening::Knock { from, boot, to: to_index });
    }

    fn fail_dial(&mut self, from: HubIndex, to: HubId, in_ms: u64, reason: &'static str) {
        let boot = self.hubs[from].boot;
        let at_us = self.now_us + in_ms * 1000;
        self.happen(at_us, Happening::DialFailed { from, boot, to, reason });
    }

    pub(super) fn dial_failed(&mut self, from: HubIndex, boot: u32, to: HubId, reason: &str) {
        if self.hubs[from].boot == boot {
            self.tell(from, Input::DialFailed { hub: to, reason: reason.to_owned() });
        }
    }

    pub(super) fn knock(&mut self, from: HubIndex, boot: u32, to: HubIndex) {
        if self.hubs[from].boot != boot {
            return;
        }
        let delay_ms = self.delay_ms(from, to);
        let (caller, callee) = (&self.hubs[from], &self.hubs[to]);
        let is_admitted = callee.are_strangers_admitted || callee.admitted.contains(&caller.id);
        let refusal = if !self.is_passable(from, to) {
            Some("timed out")
        } else if !self.hubs[to].is_on() || !self.hubs[to].is_reachable {
            Some("connection refused")
        } else if !is_admitted {
            Some("not admitted")
        } else {
            None
        };
        if let Some(reason) = refusal {
            return self.fail_dial(from, self.hubs[to].id, delay_ms, reason);
        }
        let contacts = [self.next_contact(from), self.next_contact(to)];
        let connection = self.connections.len();
        self.connections.push(Connection {
            hubs: [from, to],
            boots: [boot, self.hubs[to].boot],
            contacts,
            ends: [End::Opening; 2],
            in_flight_bytes: [0; 2],
            is_cut: false,
        });
        let (now_us, caller_us) = (self.now_us, self.now_us + delay_ms * 1000);
        self.happen(caller_us, Happening::Opened { connection, side: 0 });
        self.happen(now_us, Happening::Opened { connection, side: 1 });
    }

    fn next_contact(&mut self, hub: HubIndex) -> ContactId {
        self.hubs[hub].next_contact += 1;
        ContactId(self.hubs[hub].next_contact)
    }

    pub(super) fn opened(&mut self, connection: usize, side: usize) {
        let it = &mut self.connections[connection];
        let (hub, other) = (it.hubs[side], it.hubs[1 - side]);
        if self.hubs[hub].boot != it.boots[side] || it.ends[side] != End::Opening {
            return;
        }
        let id = self.hubs[other].id;
        if it.is_cut || it.ends[1 - side] == End::Gone {
            it.ends[side] = End::Gone;
            if side == 0 {
                let reason = "the handshake broke off".to_owned();
                self.tell(hub, Input::DialFailed { hub: id, reason });
            }
            return;
        }
        it.ends[side] = End::Open;
        let contact = it.contacts[side];
        self.hubs[hub].contacts.insert(contact, (connection, side));
        let address = address_of(other);
        self.tell(hub, Input::Opened { contact, hub: id, is_dialer: side == 0, address });
    }

    /// Sends a frame on a contact; into nothing if the contact is gone.
    pub fn send(&mut self, hub: HubIndex, contact: ContactId, frame: Vec<u8>) {
        let Some(&(connection, side)) = self.hubs[hub].contacts.get(&contact) else {
            return;
        };
        let it = &self.connections[connection];
        if it.ends[side] != End::Open {
            return;
        }
        let other = it.hubs[1 - side];
        let frame = tampered(frame, self.hubs[hub].tamper, &mut self.rng);
        if class_of(&frame) == Some(Class::Blobs) {
            self.hubs[hub].sent_blob_bytes += frame.len() as u64;
        }
        *self.hubs[hub].sent_bytes.entry(other).or_default() += frame.len() as u64;
        if self.hubs[hub].sent_frames.len() < SENT_FRAMES_MAX {
            self.hubs[hub].sent_frames.push(frame.clone());
        }
        let it = &mut self.connections[connection];
        if it.is_cut {
            return;
        }
        let in_flight = &mut it.in_flight_bytes[1 - side];
        *in_flight += frame.len() as u64;
        assert!(*in_flight <= IN_FLIGHT_BYTES_MAX, "hub {hub} floods hub {other}: {in_flight} B");
        let at_us = self.through_uplink(hub, other, self.wire_bytes(&frame));
        self.happen(at_us, Happening::AtDownlink { connection, side: 1 - side, frame });
    }

    /// Gives the bytes that a frame has on the wire, or the frames that it stands for.
    fn wire_bytes(&self, frame: &[u8]) -> usize {
        let scale = if class_of(frame) == Some(Class::Blobs) { self.blob_scale } else { 1 };
        (frame.len() + FRAME_OVERHEAD_BYTES) * scale as usize
    }

    fn through_uplink(&mut self, from: HubIndex, to: HubIndex, bytes: usize) -> u64 {
        let now_us = self.now_us;
        let sent_us = self.hubs[from].access.up.pass(now_us, bytes);
        let direction = usize::from(from > to);
        let through_us = self.path(from, to).lanes[direction].pass(sent_us, bytes);
        through_us + self.delay_ms(from, to) * 1000
    }

    pub(super) fn at_downlink(&mut self, connection: usize, side: usize, frame: Vec<u8>) {
        if self.connections[connection].is_cut {
            return;
        }
        let hub = self.connections[connection].hubs[side];
        let bytes = self.wire_bytes(&frame);
        let at_us = self.hubs[hub].access.down.pass(self.now_us, bytes);
        self.happen(at_us, Happening::Frame { connection, side, frame });
    }

    pub(super) fn frame_arrived(&mut self, connection: usize, side: usize, frame: Vec<u8>) {
        let it = &mut self.connections[connection];
        it.in_flight_bytes[side] = it.in_flight_bytes[side].saturating_sub(frame.len() as u64);
        if it.is_cut || it.ends[side] != End::Open {
            return;
        }
        let (hub, contact) = (it.hubs[side], it.contacts[side]);
        if self.hubs[hub].boot == it.boots[side] {
            self.tell(hub, Input::Received { contact, frame });
        }
    }

    /// Closes a contact from one side; what was sent before still goes out.
    pub fn close(&mut self, hub: HubIndex, contact: ContactId) {
        let Some((connection, side)) = self.hubs[hub].contacts.remove(&contact) else {
            return;
        };
        let it = &mut self.connections[connection];
        if it.ends[side] != End::Open {
            return;
        }
        it.ends[side] = End::Closing;
        let (other, is_cut) = (it.hubs[1 - side], it.is_cut);
        let at_us = self.now_us + 1_000;
        self.happen(at_us, Happening::Closed { connection, side, reason: "closed from here" });
        if !is_cut {
            let at_us = self.through_uplink(hub, other, FRAME_OVERHEAD_BYTES);
            self.happen(at_us, Happening::FinAtDownlink { connection, side: 1 - side });
        }
    }

    pub(super) fn fin_at_downlink(&mut self, connection: usize, side: usize) {
        let hub = self.connections[connection].hubs[side];
        let at_us = self.hubs[hub].access.down.pass(self.now_us, FRAME_OVERHEAD_BYTES);
        let reason = "closed by the other side";
        self.happen(at_us, Happening::Closed { connection, side, reason });
    }

    pub(super) fn closed(&mut self, connection: usize, side: usize, reason: &str) {
        let it = &mut self.connections[connection];
        let (hub, contact) = (it.hubs[side], it.contacts[side]);
        let is_told = matches!(it.ends[side], End::Open | End::Closing);
        let boot = it.boots[side];
        it.ends[side] = End::Gone;
        if is_told && self.hubs[hub].boot == boot {
            self.hubs[hub].contacts.remove(&contact);
            self.tell(hub, Input::Closed { contact, reason: reason.to_owned() });
        }
    }

    /// Cuts a connection: frames under way are lost, each side notices when it does.
    fn cut(&mut self, connection: usize) {
        if std::mem::replace(&mut self.connections[connection].is_cut, true) {
            return;
        }
        for side in 0..2 {
            if self.connections[connection].ends[side] == End::Open {
                self.notice(connection, side, "the link was cut");
            }
        }
    }

    fn notice(&mut self, connection: usize, side: usize, reason: &'static str) {
        // Mostly at once (a reset), sometimes only when nothing has come for long.
        let max = if self.rng.chance(50) { 200 } else { NOTICE_CUT_MS_MAX };
        let at_us = self.now_us + self.rng.between(1, max) * 1000;
        self.happen(at_us, Happening::Closed { connection, side, reason });
    }

    /// Loses all connections of a hub whose power was cut.
    pub(super) fn lose_connections(&mut self, hub: HubIndex) {
        let contacts = std::mem::take(&mut self.hubs[hub].contacts);
        let opening = |it: &Connection| it.hubs.contains(&hub) && it.ends.contains(&End::Opening);
        let half_open: Vec<usize> =
            (0..self.connections.len()).filter(|i| opening(&self.connections[*i])).collect();
        for connection in half_open {
            self.connections[connection].is_cut = true;
        }
        for (connection, side) in contacts.into_values() {
            self.connections[connection].ends[side] = End::Gone;
            // What left before the cut still arrives, half of the times.
            self.connections[connection].is_cut |= self.rng.chance(50);
            if self.connections[connection].ends[1 - side] == End::Open {
                self.notice(connection, 1 - side, "the other side went silent");
            }
        }
    }

    fn path(&mut self, a: HubIndex, b: HubIndex) -> &mut Path {
        let (bytes_per_s, delay_ms) = self.path_default;
        let key = (a.min(b), a.max(b));
        self.paths.entry(key).or_insert_with(|| Path::new(bytes_per_s, delay_ms))
    }

    fn delay_ms(&mut self, a: HubIndex, b: HubIndex) -> u64 {
        self.path(a, b).delay_ms + self.hubs[a].access.delay_ms + self.hubs[b].access.delay_ms
    }
}
