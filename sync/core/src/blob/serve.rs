//! Serving: who wants what of us, and in which order pieces are read and sent.
//!
//! Where several want one blob, a holder sends each piece twice and then says who has it, so
//! that copies spread among neighbours like a tree and not all from one uplink (DESIGN §7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::blob::{Bitmap, Manifest};
use crate::event::StoredBlob;
use crate::id::{BlobId, CollectionId, ContactId, HubId, Time};
use crate::plan::Urgency;
use crate::wire::{Message, PIECE_PART_BYTES_MAX};

pub mod turns;

/// Most blobs that one contact may want of us at a time; four times what a hub asks for.
pub const WANTS_MAX: usize = 1_024;
/// Most requests of a contact that wait: a hub asks for at most 64 pieces of each urgency.
pub const REQUESTS_MAX: usize = 512;
/// Copies of a piece that a holder sends before it points to those who have it.
pub const COPIES: usize = 2;
/// How long what was said of a blob holds for the same contact: who asks again waits so long, or
/// a member could have the same manifest, of up to 2.3 MiB, read and sent in a circle.
pub const AGAIN_MS: u64 = 10_000;
/// Most blobs of a contact that are answered within that time: four times those that it may want.
const ANSWERED_MAX: usize = 4 * WANTS_MAX;
/// Most hubs that are named as having a piece.
const NAMED_MAX: usize = 4;

/// What serving asks its node to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(ContactId, Message),
    /// Send a part of a piece, by how much it presses.
    SendPiece(ContactId, Message, Urgency),
    /// Read what is held of a blob; the answer goes to [`Serving::loaded`].
    Load(BlobId, ContactId),
    /// Read a piece; the answer goes to [`Serving::read`].
    Read(ContactId, BlobId, u32),
    /// Close the contact, which breaks the rules.
    Close(ContactId, &'static str),
}

/// What is served to whom.
#[derive(Default)]
pub struct Serving {
    blobs: BTreeMap<BlobId, Served>,
    clients: BTreeMap<ContactId, Client>,
    has_news: bool,
}

struct Client {
    hub: HubId,
    wants: BTreeMap<BlobId, ClientWant>,
    /// By how much they press.
    requests: [VecDeque<Request>; Urgency::ALL.len()],
    reading: Option<Request>,
    /// What is being read was taken back meanwhile.
    is_reading_void: bool,
    /// Pieces that are held here since it was last told.
    news: BTreeMap<BlobId, Vec<u32>>,
    /// When it was last looked up what is held of a blob, for all blobs of the last seconds.
    answered: BTreeMap<BlobId, Time>,
    /// Blobs that it has asked for again too soon.
    put_off: BTreeSet<BlobId>,
}

struct ClientWant {
    collection: CollectionId,
    urgency: Urgency,
    has_manifest: bool,
    is_served: bool,
}

impl ClientWant {
    /// Says whether all that it asks for was said, and everything since then.
    const fn is_answered(&self) -> bool {
        self.is_served && self.has_manifest
    }
}

impl Client {
    fn new(hub: HubId) -> Self {
        Self {
            hub,
            wants: BTreeMap::new(),
            requests: Default::default(),
            reading: None,
            is_reading_void: false,
            news: BTreeMap::new(),
            answered: BTreeMap::new(),
            put_off: BTreeSet::new(),
        }
    }

    /// Says whether what is held of a blob may be looked up for it again, and takes note if so.
    fn may_ask(&mut self, now: Time, blob: BlobId) -> bool {
        let is_recent = |at: &Time| now.since_ms(*at) < AGAIN_MS;
        if self.answered.get(&blob).is_some_and(is_recent) {
            self.put_off.insert(blob);
            return false;
        }
        self.answered.insert(blob, now);
        true
    }

    /// Forgets what was looked up longer ago; says whether that makes room.
    fn forget_answered(&mut self, now: Time) -> bool {
        self.answered.retain(|_, at| now.since_ms(*at) < AGAIN_MS);
        self.answered.len() < ANSWERED_MAX
    }

    /// Takes those blobs of which enough time has passed.
    fn no_longer_put_off(&mut self, now: Time) -> Vec<BlobId> {
        let put_off = std::mem::take(&mut self.put_off);
        let wanted = |blob: &BlobId| self.wants.get(blob).is_some_and(|want| !want.is_answered());
        let wanted: Vec<BlobId> = put_off.into_iter().filter(wanted).collect();
        wanted.into_iter().filter(|blob| self.may_ask(now, *blob)).collect()
    }

    fn pressing(&self) -> Option<Urgency> {
        Urgency::ALL.into_iter().find(|urgency| !self.requests[*urgency as usize].is_empty())
    }

    fn waiting(&self) -> usize {
        self.requests.iter().map(VecDeque::len).sum()
    }

    /// Puts what is asked of a blob where it belongs now, behind what is there.
    fn press(&mut self, blob: BlobId, before: Urgency, now: Urgency) {
        let lane = std::mem::take(&mut self.requests[before as usize]);
        let (moved, kept) = lane.into_iter().partition(|request| request.blob == blob);
        self.requests[before as usize] = kept;
        self.requests[now as usize].extend::<VecDeque<Request>>(moved);
    }
}

#[derive(Debug, Clone, Copy)]
struct Request {
    blob: BlobId,
    piece: u32,
    offset: u32,
}

#[derive(Default)]
struct Served {
    held: Bitmap,
    sent_to: BTreeMap<u32, Vec<HubId>>,
}

impl Serving {
    /// Takes note of a member in contact.
    pub fn contact_up(&mut self, contact: ContactId, hub: HubId) {
        self.clients.insert(contact, Client::new(hub));
    }

    /// Takes note of a contact that is gone.
    pub fn contact_down(&mut self, contact: ContactId) {
        self.clients.remove(&contact);
        self.forget_unwanted();
    }

    /// Takes a want, or how much one presses now. One that was answered is not answered again: who
    /// wants a blob is told whatever changes of it.
    pub fn want(
        &mut self,
        now: Time,
        contact: ContactId,
        blob: BlobId,
        collection: CollectionId,
        (has_manifest, urgency): (bool, Urgency),
    ) -> Vec<Action> {
        let Some(client) = self.clients.get_mut(&contact) else { return Vec::new() };
        let is_known = client.wants.contains_key(&blob);
        let is_full = !is_known && client.wants.len() >= WANTS_MAX;
        if is_full || client.answered.len() >= ANSWERED_MAX && !client.forget_answered(now) {
            return vec![Action::Close(contact, "wants too many blobs at a time")];
        }
        let before = client.wants.get(&blob);
        let is_same = before.is_some_and(|known| known.collection == collection);
        let is_served = is_same && before.is_some_and(|known| known.is_served);
        let has_manifest = has_manifest || is_same && before.is_some_and(ClientWant::is_answered);
        let want = ClientWant { collection, urgency, has_manifest, is_served };
        let is_answered = want.is_answered();
        if let Some(before) = client.wants.insert(blob, want) {
            client.press(blob, before.urgency, urgency);
        }
        if is_answered {
            return Vec::new();
        }
        if !client.may_ask(now, blob) {
            self.has_news = true;
            return Vec::new();
        }
        vec![Action::Load(blob, contact)]
    }

    /// Takes back a want.
    pub fn unwant(&mut self, contact: ContactId, blob: BlobId) {
        if let Some(client) = self.clients.get_mut(&contact) {
            client.wants.remove(&blob);
            client.news.remove(&blob);
            client.put_off.remove(&blob);
            for lane in &mut client.requests {
                lane.retain(|request| request.blob != blob);
            }
        }
        self.forget_unwanted();
    }

    /// Takes what the store holds of a blob that a contact wants; `may_read` judges collections.
    pub fn loaded(
        &mut self,
        contact: ContactId,
        blob: BlobId,
        stored: &StoredBlob,
        may_read: impl Fn(&HubId, &CollectionId) -> bool,
    ) -> Vec<Action> {
        let Some(client) = self.clients.get_mut(&contact) else { return Vec::new() };
        let Some(want) = client.wants.get_mut(&blob) else { return Vec::new() };
        let is_named = stored.collections.contains(&want.collection);
        let manifest = stored.manifest.as_deref().and_then(|bytes| Manifest::decode(bytes).ok());
        let (Some(manifest), true, true) =
            (manifest, is_named, may_read(&client.hub, &want.collection))
        else {
            return vec![Action::Send(contact, Message::NotHere { blob })];
        };
        want.is_served = true;
        client.news.remove(&blob);
        let served = self.blobs.entry(blob).or_default();
        served.held = Bitmap::from_bytes(&stored.bitmap, manifest.pieces.len());
        let has_manifest = std::mem::replace(&mut want.has_manifest, true);
        let bytes = if has_manifest { None } else { stored.manifest.clone() };
        let bitmap = served.held.as_bytes().to_vec();
        vec![Action::Send(contact, Message::Holding { blob, manifest: bytes, bitmap })]
    }

    /// Takes note that a blob's manifest or all of it is here now: who asked before is told.
    pub fn appeared(&mut self, blob: BlobId) -> Vec<Action> {
        let waits = |client: &Client| client.wants.contains_key(&blob);
        let waiting = self.clients.iter().filter(|(_, client)| waits(client));
        waiting.map(|(contact, _)| Action::Load(blob, *contact)).collect()
    }

    /// Takes note that nothing of a blob is here any more: who was told that it is hears that it
    /// is not, and whoever wants it hears of it again when it is.
    pub fn gone(&mut self, blob: BlobId) -> Vec<Action> {
        self.blobs.remove(&blob);
        let mut actions = Vec::new();
        for (contact, client) in &mut self.clients {
            client.news.remove(&blob);
            for lane in &mut client.requests {
                lane.retain(|request| request.blob != blob);
            }
            let want = client.wants.get_mut(&blob);
            if want.is_some_and(|want| std::mem::take(&mut want.is_served)) {
                actions.push(Action::Send(*contact, Message::NotHere { blob }));
            }
        }
        actions
    }

    /// Takes note of a piece that is durable now: who wants the blob, and is not known to hold the
    /// piece itself, is told by [`tell_news`](Self::tell_news).
    pub fn piece_written(&mut self, blob: BlobId, piece: u32, holds: impl Fn(ContactId) -> bool) {
        let Some(served) = self.blobs.get_mut(&blob) else { return };
        served.held.insert(piece);
        for (contact, client) in &mut self.clients {
            let is_served = client.wants.get(&blob).is_some_and(|want| want.is_served);
            if is_served && !holds(*contact) {
                client.news.entry(blob).or_default().push(piece);
                self.has_news = true;
            }
        }
    }

    /// Says whether somebody is to be told of new pieces.
    pub const fn has_news(&self) -> bool {
        self.has_news
    }

    /// Tells of new pieces, all of a blob in one message: one message for each piece to each of
    /// 60 contacts was most of what hubs said to one another.
    ///
    /// Then looks up what was asked for again too soon.
    pub fn tell_news(&mut self, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        for (contact, client) in &mut self.clients {
            let news = std::mem::take(&mut client.news).into_iter();
            let have = news.map(|(blob, pieces)| Message::Have { blob, pieces });
            actions.extend(have.map(|have| Action::Send(*contact, have)));
            let due = client.no_longer_put_off(now).into_iter();
            actions.extend(due.map(|blob| Action::Load(blob, *contact)));
        }
        self.has_news = self.clients.values().any(|client| !client.put_off.is_empty());
        actions
    }

    /// Takes a request; it waits, or the asker is told who else has the piece.
    pub fn request(
        &mut self,
        contact: ContactId,
        blob: BlobId,
        (piece, offset): (u32, u32),
        is_urgent: bool,
    ) -> Vec<Action> {
        let Some(client) = self.clients.get(&contact) else { return Vec::new() };
        let want = client.wants.get(&blob).filter(|want| want.is_served);
        let urgency = want.map(|want| want.urgency);
        let has = self.blobs.get(&blob).is_some_and(|served| served.held.has(piece));
        let (Some(urgency), true) = (urgency, has) else {
            return vec![Action::Send(contact, Message::NotHere { blob })];
        };
        if client.waiting() >= REQUESTS_MAX {
            return vec![Action::Close(contact, "asks for too many pieces at a time")];
        }
        let others = self.others_with(client.hub, blob, piece);
        if others.len() >= COPIES && !is_urgent {
            let hubs = others.into_iter().take(NAMED_MAX).collect();
            return vec![Action::Send(contact, Message::Elsewhere { blob, piece, hubs })];
        }
        let hub = client.hub;
        if let Some(served) = self.blobs.get_mut(&blob) {
            let sent_to = served.sent_to.entry(piece).or_default();
            if !sent_to.contains(&hub) {
                sent_to.push(hub);
            }
        }
        if let Some(client) = self.clients.get_mut(&contact) {
            client.requests[urgency as usize].push_back(Request { blob, piece, offset });
        }
        Vec::new()
    }

    /// Takes a request back; a part of the piece that is queued is for the node to drop.
    pub fn cancel(&mut self, contact: ContactId, blob: BlobId, piece: u32) {
        let Some(client) = self.clients.get_mut(&contact) else { return };
        let is_it = |request: &Request| (request.blob, request.piece) == (blob, piece);
        let waiting = client.waiting();
        client.requests.iter_mut().for_each(|lane| lane.retain(|request| !is_it(request)));
        if client.reading.as_ref().is_some_and(is_it) {
            client.is_reading_void = true;
        }
        // Who was sent a part only has no copy to give.
        if let Some(sent_to) = self.blobs.get_mut(&blob).and_then(|it| it.sent_to.get_mut(&piece))
            && (client.waiting() < waiting || client.is_reading_void)
        {
            sent_to.retain(|hub| *hub != client.hub);
        }
    }

    /// Gives how much the most pressing request of a contact presses.
    pub fn pressing(&self, contact: ContactId) -> Option<Urgency> {
        self.clients.get(&contact)?.pressing()
    }

    /// Says whether a contact waits for something, and nobody for something that presses more.
    pub fn presses_most(&self, contact: ContactId) -> bool {
        let most = self.clients.values().filter_map(Client::pressing).min();
        most.is_some() && self.pressing(contact) == most
    }

    /// Reads the next piece for a contact whose outbox has room: of the requests that press most
    /// the one that came first.
    pub fn pump(&mut self, contact: ContactId) -> Option<Action> {
        let client = self.clients.get_mut(&contact)?;
        if client.reading.is_some() {
            return None;
        }
        let urgency = client.pressing()?;
        let request = client.requests[urgency as usize].pop_front()?;
        client.reading = Some(request);
        Some(Action::Read(contact, request.blob, request.piece))
    }

    /// Takes a piece that was read, none if it could not be, and sends it.
    pub fn read(&mut self, contact: ContactId, bytes: Option<&[u8]>) -> Vec<Action> {
        let Some(client) = self.clients.get_mut(&contact) else { return Vec::new() };
        let Some(Request { blob, piece, offset }) = client.reading.take() else {
            return Vec::new();
        };
        if std::mem::take(&mut client.is_reading_void) {
            return Vec::new();
        }
        let Some(urgency) = client.wants.get(&blob).map(|want| want.urgency) else {
            return Vec::new();
        };
        let Some(rest) = bytes.and_then(|bytes| bytes.get(offset as usize..)) else {
            return vec![Action::Send(contact, Message::NotHere { blob })];
        };
        let data = |(i, part): (usize, &[u8])| {
            let offset = offset + (i * PIECE_PART_BYTES_MAX) as u32;
            let bytes = part.to_vec();
            Action::SendPiece(contact, Message::PieceData { blob, piece, offset, bytes }, urgency)
        };
        rest.chunks(PIECE_PART_BYTES_MAX).enumerate().map(data).collect()
    }

    /// Lists other hubs in contact that were sent a piece and want more of the blob.
    fn others_with(&self, asker: HubId, blob: BlobId, piece: u32) -> Vec<HubId> {
        let sent_to = self.blobs.get(&blob).and_then(|served| served.sent_to.get(&piece));
        let is_here = |hub: &&HubId| self.clients.values().any(|client| client.hub == **hub);
        let others = sent_to.into_iter().flatten().filter(|hub| **hub != asker);
        others.filter(is_here).copied().collect()
    }

    fn forget_unwanted(&mut self) {
        let clients = &self.clients;
        let is_wanted =
            |blob: &BlobId| clients.values().any(|client| client.wants.contains_key(blob));
        self.blobs.retain(|blob, _| is_wanted(blob));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000);

    fn lessons() -> CollectionId {
        CollectionId("lessons".into())
    }

    fn stored(named_in: &[&str]) -> (BlobId, StoredBlob) {
        let manifest = Manifest::of(&[4], b"abcd", vec![]).unwrap();
        let collections = named_in.iter().map(|name| CollectionId((*name).into())).collect();
        let stored = StoredBlob { manifest: Some(manifest.encode()), bitmap: vec![1], collections };
        (manifest.blob_id(), stored)
    }

    fn serving(askers: u8) -> (Serving, BlobId) {
        let mut serving = Serving::default();
        let (blob, stored) = stored(&["lessons"]);
        for n in 1..=askers {
            let contact = ContactId(n.into());
            serving.contact_up(contact, HubId([n; 32]));
            serving.want(NOW, contact, blob, lessons(), (false, Urgency::Rest));
            serving.loaded(contact, blob, &stored, |_, _| true);
        }
        (serving, blob)
    }

    #[test]
    fn only_readers_of_a_collection_that_names_the_blob_get_it() {
        let here = ContactId(1);
        for (named_in, may_read) in [(&["other"][..], true), (&["lessons"][..], false)] {
            let (blob, stored) = stored(named_in);
            let mut serving = Serving::default();
            serving.contact_up(here, HubId([1; 32]));
            serving.want(NOW, here, blob, lessons(), (false, Urgency::Rest));
            let refused = [Action::Send(here, Message::NotHere { blob })];
            assert_eq!(serving.loaded(here, blob, &stored, |_, _| may_read), refused);
            assert_eq!(serving.request(here, blob, (0, 0), true), refused);
        }
    }

    #[test]
    fn a_third_asker_is_pointed_to_those_who_were_sent_the_piece_unless_nobody_else_can_be() {
        let (mut serving, blob) = serving(3);
        assert_eq!(serving.request(ContactId(1), blob, (0, 0), false), []);
        assert_eq!(serving.request(ContactId(2), blob, (0, 0), false), []);
        let hubs = vec![HubId([1; 32]), HubId([2; 32])];
        let pointed = Action::Send(ContactId(3), Message::Elsewhere { blob, piece: 0, hubs });
        assert_eq!(serving.request(ContactId(3), blob, (0, 0), false), [pointed]);
        assert_eq!(serving.request(ContactId(3), blob, (0, 0), true), []);
        assert_eq!(serving.pump(ContactId(3)), Some(Action::Read(ContactId(3), blob, 0)));
    }

    #[test]
    fn a_request_that_is_taken_back_is_not_sent_and_not_counted_as_a_copy() {
        let (mut serving, blob) = serving(3);
        serving.request(ContactId(1), blob, (0, 0), false);
        serving.request(ContactId(2), blob, (0, 0), false);
        serving.cancel(ContactId(2), blob, 0);
        assert_eq!(serving.pump(ContactId(2)), None);
        assert_eq!(serving.request(ContactId(3), blob, (0, 0), false), []);
        serving.pump(ContactId(1));
        serving.cancel(ContactId(1), blob, 0);
        assert_eq!(serving.read(ContactId(1), Some(b"abcd")), [], "nor what is being read");
        serving.request(ContactId(1), blob, (0, 0), false);
        serving.pump(ContactId(1));
        assert_eq!(serving.read(ContactId(1), Some(b"abcd")).len(), 1);
    }

    #[test]
    fn who_wants_a_blob_is_told_of_new_pieces_together_and_not_of_those_that_he_has() {
        let (mut serving, blob) = serving(2);
        serving.piece_written(blob, 0, |contact| contact == ContactId(1));
        serving.piece_written(blob, 1, |_| false);
        let have = |contact, pieces| Action::Send(contact, Message::Have { blob, pieces });
        let told = [have(ContactId(1), vec![1]), have(ContactId(2), vec![0, 1])];
        assert_eq!(serving.tell_news(NOW), told);
        assert!(!serving.has_news());
    }

    #[test]
    fn a_piece_goes_out_from_the_byte_that_was_asked_for() {
        let (mut serving, blob) = serving(1);
        let here = ContactId(1);
        serving.request(here, blob, (0, 1), false);
        serving.pump(here);
        let data = Message::PieceData { blob, piece: 0, offset: 1, bytes: b"bcd".to_vec() };
        assert_eq!(
            serving.read(here, Some(b"abcd")),
            [Action::SendPiece(here, data, Urgency::Rest)]
        );
    }

    #[test]
    fn a_manifest_goes_out_once_and_who_let_go_of_the_blob_gets_it_again_after_a_while() {
        let (mut serving, blob) = serving(1);
        let here = ContactId(1);
        let (_, stored) = stored(&["lessons"]);
        for has_manifest in [false, true] {
            let again = serving.want(NOW, here, blob, lessons(), (has_manifest, Urgency::Floor));
            assert_eq!(again, [], "it was told, and of all that has changed since");
        }
        assert_eq!(serving.request(here, blob, (0, 0), false), [], "and it is served");
        // In a circle it is put off.
        for _ in 0..1_000 {
            serving.unwant(here, blob);
            assert_eq!(serving.want(NOW, here, blob, lessons(), (false, Urgency::Rest)), []);
        }
        assert!(serving.has_news());
        assert_eq!(serving.tell_news(NOW.after_ms(AGAIN_MS - 1)), []);
        let due = NOW.after_ms(AGAIN_MS);
        assert_eq!(serving.tell_news(due), [Action::Load(blob, here)]);
        assert!(!serving.has_news());
        let told = serving.loaded(here, blob, &stored, |_, _| true);
        assert!(matches!(&told[..], [Action::Send(_, Message::Holding { manifest: Some(_), .. })]));
        // After a reconnect it goes on at once.
        serving.contact_down(here);
        serving.contact_up(here, HubId([1; 32]));
        let again = serving.want(due, here, blob, lessons(), (true, Urgency::Rest));
        assert_eq!(again, [Action::Load(blob, here)]);
    }

    #[test]
    fn who_asks_for_ever_new_blobs_within_seconds_is_shown_the_door() {
        let (mut serving, _) = serving(1);
        let here = ContactId(1);
        let name = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_le_bytes());
            BlobId(id)
        };
        let mut ask = |now, n| {
            let actions = serving.want(now, here, name(n), lessons(), (false, Urgency::Rest));
            serving.unwant(here, name(n));
            matches!(actions[..], [Action::Close(..)])
        };
        let closed = (0..2 * ANSWERED_MAX).position(|n| ask(NOW, n));
        assert_eq!(closed, Some(ANSWERED_MAX - 1), "one was asked for before");
        assert!(!ask(NOW.after_ms(AGAIN_MS), 0), "not who takes its time");
    }

    #[test]
    fn what_is_gone_is_taken_back_from_whom_it_was_promised_and_told_when_it_is_here_again() {
        let (mut serving, blob) = serving(2);
        let (first, second) = (ContactId(1), ContactId(2));
        serving.request(first, blob, (0, 0), false);
        serving.pump(first);
        serving.request(second, blob, (0, 0), false);
        let not_here = |contact| Action::Send(contact, Message::NotHere { blob });
        assert_eq!(serving.gone(blob), [not_here(first), not_here(second)]);
        assert_eq!(serving.gone(blob), [], "once");
        assert_eq!(serving.pump(second), None, "what waited is not read");
        assert_eq!(serving.read(first, None), [not_here(first)], "what was being read neither");
        assert_eq!(serving.request(second, blob, (0, 0), true), [not_here(second)]);
        let again = [Action::Load(blob, first), Action::Load(blob, second)];
        assert_eq!(serving.appeared(blob), again);
        let (_, mut stored) = stored(&["lessons"]);
        stored.bitmap = vec![0];
        serving.loaded(second, blob, &stored, |_, _| true);
        assert_eq!(serving.request(second, blob, (0, 0), true), [not_here(second)], "not yet");
    }

    #[test]
    fn what_presses_is_read_before_what_was_asked_for_earlier() {
        let (mut serving, blob) = serving(1);
        let here = ContactId(1);
        let manifest = Manifest::of(&[1], b"x", vec![]).unwrap();
        let other = manifest.blob_id();
        let collections = vec![lessons()];
        let stored = StoredBlob { manifest: Some(manifest.encode()), bitmap: vec![1], collections };
        serving.want(NOW, here, other, lessons(), (true, Urgency::Rest));
        serving.loaded(here, other, &stored, |_, _| true);
        serving.request(here, blob, (0, 0), false);
        serving.request(here, other, (0, 0), false);
        assert_eq!(serving.pressing(here), Some(Urgency::Rest));
        // Only how much it presses has changed: nothing is read or told again.
        assert_eq!(serving.want(NOW, here, other, lessons(), (true, Urgency::Floor)), []);
        assert_eq!(serving.pressing(here), Some(Urgency::Floor));
        assert_eq!(serving.pump(here), Some(Action::Read(here, other, 0)));
    }
}
