//! The one exit to a contact: frames in order of their class, as far as credit goes (DESIGN §3).
//!
//! The receiver grants credit for a few bandwidth-delay products, so that what waits, waits here,
//! where something urgent still passes it, and not in a network's queue.

use std::collections::VecDeque;

use crate::id::{BlobId, Time};
use crate::plan::Urgency;
use crate::wire::{Class, Message, class_of, piece_of};

/// Credit at the start and its floor: four frames, 2 s of a 32 kB/s link.
pub const WINDOW_BYTES_MIN: u64 = 64 << 10;
/// Most credit: what 18 Mbit/s over a satellite (600 ms) needs.
pub const WINDOW_BYTES_MAX: u64 = 8 << 20;
/// Unloaded round trips that the credit lasts. TCP keeps up to two of them under way, so that a
/// loaded one takes twice as long; one of those is the credit's own way back, and where packets
/// are lost, TCP holds back what came after a lost one for another, or two if it is lost again.
/// With two, 1 % of loss over 600 ms left four fifths of the link empty.
const WINDOW_ROUND_TRIPS: u64 = 6;
/// Longest unloaded round trip that is believed: a satellite's, and all that lies behind it. A
/// contact that begins while the line is full measures what waits there; credit for six times
/// that would let more wait, and the next contact measure more.
const ROUND_TRIP_MS_MAX: u64 = 1_000;
/// Measured rates of which the best counts: a window in which TCP waited for a lost packet says
/// nothing of the link. Ten, as BBR remembers the bandwidth.
const RATES: usize = 10;
/// Credit is renewed when this part of it is used up: the sender must not come to its end while
/// more is on the way, and a grant costs a packet of 100 bytes.
const RENEWED_PART: u64 = 4;
/// Refill a class from the store when less than this is queued: two windows at the floor.
pub const REFILL_BYTES: usize = 128 << 10;
/// Most bytes queued for a contact; past it, the contact does not read and is closed.
pub const QUEUED_BYTES_MAX: usize = 16 << 20;
/// Shortest time over which a rate is measured, so that a millisecond clock is exact to 1 %.
const RATE_WINDOW_MS_MIN: u64 = 100;

/// Over how long the rate of the whole line is measured: longer than bunches of frames last.
const LINE_WINDOW_MS: u64 = 1_000;

/// Queues of a contact: one for each class, and of blobs one for each urgency.
const LANES: usize = Class::Blobs as usize + Urgency::ALL.len();

/// Frames that wait to leave, and what may leave.
///
/// Pieces leave by how much they press: an urgent one passes another one between two frames.
/// Each part of a piece is one frame, so no message is torn; manifests, which are longer, wait
/// in the first of the lanes, in which nothing passes them.
#[derive(Debug)]
pub struct Outbox {
    queues: [VecDeque<Vec<u8>>; LANES],
    queued_bytes: [usize; LANES],
    /// The sum of them, asked for after each input.
    queued: usize,
    sent_bytes: u64,
    granted_bytes: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            queues: Default::default(),
            queued_bytes: [0; LANES],
            queued: 0,
            sent_bytes: 0,
            granted_bytes: WINDOW_BYTES_MIN,
        }
    }
}

impl Outbox {
    /// Queues a message.
    pub fn push(&mut self, message: &Message) {
        self.push_into(message.class() as usize, message);
    }

    /// Queues a part of a piece by how much it presses.
    pub fn push_piece(&mut self, message: &Message, urgency: Urgency) {
        debug_assert!(matches!(message, Message::PieceData { .. }), "others are never passed");
        self.push_into(Class::Blobs as usize + urgency as usize, message);
    }

    fn push_into(&mut self, lane: usize, message: &Message) {
        for frame in message.frames() {
            self.queued_bytes[lane] += frame.len();
            self.queued += frame.len();
            self.queues[lane].push_back(frame);
        }
    }

    /// Drops what waits of a piece; nobody waits for it any more.
    pub fn drop_piece(&mut self, blob: &BlobId, piece: u32) {
        let first = Class::Blobs as usize;
        for (queue, bytes) in self.queues[first..].iter_mut().zip(&mut self.queued_bytes[first..]) {
            queue.retain(|frame| piece_of(frame) != Some((*blob, piece)));
            *bytes = queue.iter().map(Vec::len).sum();
        }
        self.queued = self.queued_bytes.iter().sum();
    }

    /// Takes the next frame that may leave.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let lane = self.queues.iter().position(|queue| !queue.is_empty())?;
        let queue = &mut self.queues[lane];
        let bytes = queue.front().map_or(0, Vec::len);
        if lane != Class::Control as usize {
            if self.sent_bytes + bytes as u64 > self.granted_bytes {
                return None;
            }
            self.sent_bytes += bytes as u64;
        }
        self.queued_bytes[lane] -= bytes;
        self.queued -= bytes;
        queue.pop_front()
    }

    /// Takes note of credit; a smaller grant than before changes nothing.
    pub fn grant(&mut self, granted_bytes: u64) {
        self.granted_bytes = self.granted_bytes.max(granted_bytes);
    }

    /// Gives the bytes that wait in a class; of blobs, those of manifests and what presses most.
    pub fn queued_in(&self, class: Class) -> usize {
        self.queued_bytes[class as usize]
    }

    /// Gives the bytes of blobs that wait and press as much, or more.
    pub fn queued_upto(&self, urgency: Urgency) -> usize {
        let first = Class::Blobs as usize;
        self.queued_bytes[first..=first + urgency as usize].iter().sum()
    }

    /// Gives the bytes that wait in all.
    pub const fn queued(&self) -> usize {
        self.queued
    }
}

/// The receiving side of credit: how much the other side may send.
#[derive(Debug)]
pub struct Credit {
    received_bytes: u64,
    granted_bytes: u64,
    window_bytes: u64,
    rate: Rate,
    best: Best,
}

/// The best of the last rates.
#[derive(Debug, Default)]
struct Best {
    /// What [`Rate`] said last, newest last.
    rates: VecDeque<u64>,
}

impl Best {
    fn note(&mut self, bytes_per_s: u64) -> u64 {
        self.rates.push_back(bytes_per_s);
        if self.rates.len() > RATES {
            self.rates.pop_front();
        }
        self.get()
    }

    fn get(&self) -> u64 {
        self.rates.iter().copied().max().unwrap_or(0)
    }
}

/// What of a contact's best rate counts, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1_000);

    fn of(self, bytes_per_s: u64) -> u64 {
        bytes_per_s.saturating_mul(self.0) / 1_000
    }
}

/// What all contacts together bring: the hub's own line, which they share.
///
/// Frames of contacts that share a line come in bunches, each at the rate of the whole line, so
/// that every one of them seems to have it for itself. If each had credit for that, what is on
/// the way would be many times what the line carries in some round trips, and somebody who needs
/// something now would wait for all of it.
#[derive(Debug)]
pub struct Line {
    rate: Rate,
    best: Best,
    share: Share,
}

impl Line {
    /// Starts without knowledge: each contact counts whole.
    pub fn new(now: Time) -> Self {
        Self { rate: Rate::new(now), best: Best::default(), share: Share::WHOLE }
    }

    /// Takes note of a frame of any contact; `best` gives what is best of each. Alone, a contact
    /// counts whole, so that it is at its full rate a second sooner.
    pub fn count<I: Iterator<Item = u64>>(
        &mut self,
        now: Time,
        bytes: u64,
        best: impl FnOnce() -> I,
    ) -> Share {
        if let Some(bytes_per_s) = self.rate.count(now, bytes, LINE_WINDOW_MS) {
            let best_of_line = self.best.note(bytes_per_s);
            let active = best().filter(|best| *best > 0);
            let (count, sum) = active.fold((0, 0_u64), |(n, sum), best| (n + 1, sum + best));
            let share = best_of_line.saturating_mul(Share::WHOLE.0) / sum.max(1);
            self.share = if count > 1 { Share(share.min(Share::WHOLE.0)) } else { Share::WHOLE };
        }
        self.share
    }
}

impl Credit {
    /// Starts with the credit that both sides assume.
    pub fn new(now: Time) -> Self {
        Self {
            received_bytes: 0,
            granted_bytes: WINDOW_BYTES_MIN,
            window_bytes: WINDOW_BYTES_MIN,
            rate: Rate::new(now),
            best: Best::default(),
        }
    }

    /// Gives the best rate of late, 0 if nothing has come for 5 s.
    pub fn best_bytes_per_s(&self, now: Time) -> u64 {
        if self.rate.bytes_per_s(now) == 0 { 0 } else { self.best.get() }
    }

    /// Gives how many bytes may be under way.
    pub const fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// Takes note of a frame; gives a grant to send, before the sender has used up the last one.
    ///
    /// A sender that sends more than it was granted harms only itself: the frame has been read
    /// already, and what it queues waits in its own network.
    ///
    /// `share` is this contact's of the line, see [`Line`].
    pub fn received(
        &mut self,
        now: Time,
        frame: &[u8],
        rtt_ms: Option<u64>,
        share: Share,
    ) -> Option<Message> {
        if class_of(frame) == Some(Class::Control) {
            return None;
        }
        self.received_bytes += frame.len() as u64;
        let rtt_ms = rtt_ms.unwrap_or(RATE_WINDOW_MS_MIN).clamp(1, ROUND_TRIP_MS_MAX);
        if let Some(bytes_per_s) = self.rate.count(now, frame.len() as u64, rtt_ms) {
            let best = share.of(self.best.note(bytes_per_s));
            let round_trips = best.saturating_mul(WINDOW_ROUND_TRIPS * rtt_ms) / 1000;
            self.window_bytes = round_trips.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        }
        let left_bytes = self.granted_bytes.saturating_sub(self.received_bytes);
        if left_bytes > self.window_bytes - self.window_bytes / RENEWED_PART {
            return None;
        }
        self.granted_bytes = self.received_bytes + self.window_bytes;
        Some(Message::Credit { granted_bytes: self.granted_bytes })
    }
}

/// A rate of bytes, measured over windows of at least a round trip.
#[derive(Debug)]
pub struct Rate {
    since: Time,
    bytes: u64,
    bytes_per_s: u64,
}

impl Rate {
    /// Starts at zero.
    pub const fn new(now: Time) -> Self {
        Self { since: now, bytes: 0, bytes_per_s: 0 }
    }

    /// Counts bytes; gives the rate when a window has just ended.
    pub fn count(&mut self, now: Time, bytes: u64, window_ms: u64) -> Option<u64> {
        self.bytes += bytes;
        let elapsed_ms = now.since_ms(self.since);
        if elapsed_ms < window_ms.max(RATE_WINDOW_MS_MIN) {
            return None;
        }
        self.bytes_per_s = self.bytes.saturating_mul(1000) / elapsed_ms;
        (self.since, self.bytes) = (now, 0);
        Some(self.bytes_per_s)
    }

    /// Gives the rate of the last window, or 0 if nothing was counted for 5 s.
    pub fn bytes_per_s(&self, now: Time) -> u64 {
        if now.since_ms(self.since) > 5_000 { 0 } else { self.bytes_per_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CollectionId;

    fn piece() -> Message {
        Message::PieceData { blob: BlobId([0; 32]), piece: 0, offset: 0, bytes: vec![0; 16_000] }
    }

    #[test]
    fn a_document_passes_pieces_that_wait_and_credit_holds_both_back() {
        let mut outbox = Outbox::default();
        (0..10).for_each(|_| outbox.push(&piece()));
        let mut sent = 0;
        while outbox.pop().is_some() {
            sent += 1;
        }
        assert_eq!(sent, 4);
        let vector = Message::Vector {
            collection: CollectionId("lessons".into()),
            entries: vec![],
            is_asking: false,
        };
        outbox.push(&vector);
        outbox.grant(WINDOW_BYTES_MIN + 100);
        assert_eq!(outbox.pop().as_deref(), Some(&vector.frames()[0][..]));
        outbox.push(&Message::Ping(1));
        assert!(outbox.pop().is_some(), "control needs no credit");
        assert!(outbox.pop().is_none());
    }

    #[test]
    fn an_urgent_piece_passes_between_two_frames_of_another() {
        let mut outbox = Outbox::default();
        outbox.grant(u64::MAX);
        let part = |blob| Message::PieceData {
            blob: BlobId([blob; 32]),
            piece: 0,
            offset: 0,
            bytes: vec![blob; 100],
        };
        (0..3).for_each(|_| outbox.push_piece(&part(1), Urgency::Rest));
        assert_eq!(outbox.pop(), part(1).frames().pop());
        let manifest = Message::Holding {
            blob: BlobId([3; 32]),
            manifest: Some(vec![0; 40_000]),
            bitmap: vec![],
        };
        outbox.push(&manifest);
        outbox.push_piece(&part(2), Urgency::Floor);
        assert!(outbox.queued_upto(Urgency::Floor) > 40_000);
        let mut there = crate::wire::Reassembly::default();
        let mut heard = Vec::new();
        while let Some(frame) = outbox.pop() {
            heard.extend(there.push(&frame).unwrap());
        }
        assert_eq!(heard, [manifest, part(2), part(1), part(1)]);
    }

    #[test]
    fn a_piece_that_is_taken_back_leaves_nothing_in_the_queue_and_others_stay() {
        let mut outbox = Outbox::default();
        outbox.grant(u64::MAX);
        let part = |piece| Message::PieceData {
            blob: BlobId([1; 32]),
            piece,
            offset: 0,
            bytes: vec![7; 1_000],
        };
        for piece in [5, 300, 5] {
            outbox.push_piece(&part(piece), Urgency::Upgrade);
        }
        outbox.drop_piece(&BlobId([1; 32]), 5);
        assert_eq!(outbox.pop(), part(300).frames().pop());
        assert_eq!((outbox.pop(), outbox.queued()), (None, 0));
    }

    /// A link of `bytes_per_s` and a round trip of 600 ms over which TCP brings everything in
    /// order: each `lost_each`th frame a round trip late, and all behind it with it. Gives the
    /// share of the link that is used while 20 MB are fetched, and the last window.
    fn share_used(bytes_per_s: u64, lost_each: u64) -> (f64, u64) {
        const RTT_MS: f64 = 600.0;
        let frame = &piece().frames()[0];
        let bytes = frame.len() as u64;
        let mut credit = Credit::new(Time(0));
        let mut grants = VecDeque::from([(0.0, WINDOW_BYTES_MIN)]);
        let (mut granted, mut leaves_at, mut arrives_at) = (0, 0.0_f64, 0.0_f64);
        let frames = 20_000_000 / bytes;
        for n in 1..=frames {
            while granted < n * bytes {
                let (at, more) = grants.pop_front().expect("credit is renewed in time");
                (leaves_at, granted) = (leaves_at.max(at), more);
            }
            leaves_at += bytes as f64 * 1e3 / bytes_per_s as f64;
            let late_ms = if n % lost_each == 0 { RTT_MS } else { 0.0 };
            arrives_at = arrives_at.max(leaves_at + RTT_MS / 2.0 + late_ms);
            let grant =
                credit.received(Time(arrives_at as u64), frame, Some(RTT_MS as u64), Share::WHOLE);
            if let Some(Message::Credit { granted_bytes }) = grant {
                grants.push_back((arrives_at + RTT_MS / 2.0, granted_bytes));
            }
        }
        let least_ms = (frames * bytes) as f64 * 1e3 / bytes_per_s as f64;
        (least_ms / arrives_at, credit.window_bytes())
    }

    #[test]
    fn a_link_far_away_is_used_to_the_full() {
        let (share, window_bytes) = share_used(250_000, u64::MAX);
        assert!(share > 0.97, "{share}");
        assert!((800_000..1_000_000).contains(&window_bytes), "{window_bytes}");
    }

    #[test]
    fn a_queue_that_was_taken_for_a_round_trip_lets_no_more_wait() {
        let frame = &piece().frames()[0];
        let window_after = |rtt_ms| {
            let mut credit = Credit::new(Time(0));
            for n in 1..=100 {
                credit.received(Time(n * 2_000), frame, Some(rtt_ms), Share::WHOLE);
            }
            credit.window_bytes()
        };
        // 8 kB/s: six seconds of it are less than the floor, six times two minutes are 6 MB.
        assert_eq!(window_after(600), WINDOW_BYTES_MIN);
        assert_eq!(window_after(120_000), WINDOW_BYTES_MIN);
    }

    #[test]
    fn contacts_that_seem_to_have_the_line_for_themselves_share_it() {
        let mut line = Line::new(Time(0));
        for second in 1..=20 {
            line.count(Time(second * 1_000), 100_000, || [100_000; 4].into_iter());
        }
        assert_eq!(line.share, Share(250));
        for second in 21..=40 {
            line.count(Time(second * 1_000), 100_000, || [40_000, 50_000].into_iter());
        }
        assert_eq!(line.share, Share::WHOLE);
        line.count(Time(41_000), 1, || [500_000].into_iter());
        assert_eq!(line.share, Share::WHOLE, "it is alone");
    }

    #[test]
    fn packets_that_are_lost_and_sent_again_do_not_use_up_the_credit() {
        // 1 % of packets is one frame of nine.
        let (share, _) = share_used(250_000, 9);
        assert!(share > 0.96, "{share}");
    }
}
