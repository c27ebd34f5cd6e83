//! Fetching: which blobs are being fetched, who holds what, which piece is asked of whom.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::blob::{Bitmap, Manifest, id_of};
use crate::event::{Event, StoreError, StoredBlob, Want};
use crate::id::{BlobId, ContactId, HubId, Time};
use crate::plan::{self, Urgency};
use crate::wire::Message;

mod asking;
mod holders;
mod one;
mod recall;
mod source;

use one::{Fetch, Stage, release};
use source::Source;

/// Most blobs fetched at a time; bounds memory (a manifest and a bitmap each).
pub const ACTIVE_MAX: usize = 64;
/// Most pieces of one urgency asked of a contact at a time; holders queue no more.
pub const ASKED_PIECES_MAX: usize = 64;
/// How long a full disk is left alone.
pub const STALL_MS: u64 = 60_000;
/// A contact that sends no part of any piece for so long: what was asked of it is asked of
/// somebody else. (A piece may well wait behind others that come from the same contact.)
pub const PIECE_STALL_MS: u64 = 60_000;
/// A piece that waits for so long is asked of somebody else, whatever else its holder sends.
pub const PIECE_WAIT_MS_MAX: u64 = 600_000;
/// How long to wait for a neighbour that is getting a piece, before asking the holder again:
/// a piece of 1 MiB takes 10 s at 0.8 Mbit/s.
pub const ELSEWHERE_MS: u64 = 10_000;
/// Wrong pieces after which a contact is closed.
pub const WRONG_PIECES_MAX: u32 = 3;

/// What fetching asks its node to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a message.
    Send(ContactId, Message),
    /// Send a message to every member in contact.
    SendAll(Message),
    /// Read what is held of a blob; the answer goes to [`Fetches::loaded`].
    Load(BlobId),
    /// Store; the answer goes to [`Fetches::reserved`].
    Reserve(BlobId, Vec<u8>),
    /// Store; the answer goes to [`Fetches::written`].
    Write(BlobId, u32, Vec<u8>),
    /// Tell the hub.
    Event(Event),
    /// Close the contact, which breaks the rules.
    Close(ContactId, &'static str),
}

/// The blobs that are being fetched.
pub struct Fetches {
    hub: HubId,
    wants: Vec<Want>,
    active: BTreeMap<BlobId, Fetch>,
    contacts: BTreeMap<ContactId, Source>,
    /// Something changed since [`Fetches::ask`] looked for pieces to ask for.
    is_changed: bool,
    turn: usize,
}

impl Fetches {
    /// Starts with no wants.
    pub const fn new(hub: HubId) -> Self {
        Self {
            hub,
            wants: Vec::new(),
            active: BTreeMap::new(),
            contacts: BTreeMap::new(),
            is_changed: false,
            turn: 0,
        }
    }

    /// Replaces the wants; what is fetched and still wanted goes on.
    pub fn set_wants(&mut self, wants: Vec<Want>) -> Vec<Action> {
        self.is_changed = true;
        self.wants = plan::order(wants);
        let places: BTreeMap<BlobId, usize> =
            self.wants.iter().enumerate().map(|(place, want)| (want.blob, place)).collect();
        let gone: Vec<BlobId> =
            self.active.keys().filter(|blob| !places.contains_key(*blob)).copied().collect();
        let mut actions = Vec::new();
        for blob in gone {
            self.forget(blob);
            actions.push(Action::SendAll(Message::Unwant { blob }));
        }
        for (blob, fetch) in &mut self.active {
            fetch.place = places[blob];
            let urgency = Urgency::of(self.wants[fetch.place].priority);
            if std::mem::replace(&mut fetch.urgency, urgency) != urgency
                && fetch.stage != Stage::Loading
            {
                actions.push(Action::SendAll(fetch.want(*blob)));
            }
        }
        actions.extend(self.activate());
        actions
    }

    /// Gives the bytes that were asked of a contact and are not here yet.
    pub fn asked_of(&self, contact: ContactId) -> u64 {
        self.contacts.get(&contact).map_or(0, |source| source.asked_bytes.iter().sum())
    }

    /// Counts the blobs that are wanted and not whole.
    pub fn wanted(&self) -> usize {
        self.wants.len()
    }

    /// Takes note of a new member in contact, and asks it for everything that is being fetched.
    pub fn contact_up(&mut self, contact: ContactId, hub: HubId) -> Vec<Action> {
        self.contacts.insert(contact, Source::new(hub));
        let mut actions = self.activate();
        let asking = self.active.iter().filter(|(_, fetch)| fetch.stage != Stage::Loading);
        actions.extend(asking.map(|(blob, fetch)| Action::Send(contact, fetch.want(*blob))));
        actions
    }

    /// Takes note of a contact that is gone; what it sent of a piece is kept.
    pub fn contact_down(&mut self, contact: ContactId) {
        self.is_changed = true;
        self.contacts.remove(&contact);
        for fetch in self.active.values_mut() {
            fetch.holders.remove(contact);
            release(&mut self.contacts, fetch, |_, asked| asked.contact == contact);
            fetch.elsewhere.retain(|(from, _), _| *from != contact);
        }
    }

    /// Takes what the store holds of a blob.
    pub fn loaded(&mut self, now: Time, blob: BlobId, stored: &StoredBlob) -> Vec<Action> {
        let Some(fetch) = self.active.get_mut(&blob) else { return Vec::new() };
        if fetch.stage != Stage::Loading {
            return Vec::new();
        }
        let manifest = stored.manifest.as_deref().and_then(|bytes| Manifest::decode(bytes).ok());
        let Some(manifest) = manifest else {
            fetch.stage = Stage::Asking;
            return vec![Action::SendAll(fetch.want(blob))];
        };
        let encoded = manifest.encode();
        let held = Bitmap::from_bytes(&stored.bitmap, manifest.pieces.len());
        fetch.describe(manifest, held);
        if fetch.held.is_full() {
            return self.complete(now, blob);
        }
        fetch.stage = Stage::Reserving;
        vec![Action::SendAll(fetch.want(blob)), Action::Reserve(blob, encoded)]
    }

    /// Takes what a contact holds.
    pub fn holding(
        &mut self,
        contact: ContactId,
        blob: BlobId,
        manifest: Option<&[u8]>,
        bitmap: &[u8],
    ) -> Vec<Action> {
        self.is_changed = true;
        if !self.contacts.contains_key(&contact) {
            return Vec::new();
        }
        let Some(fetch) = self.active.get_mut(&blob) else { return Vec::new() };
        let mut actions = Vec::new();
        if let (None, Some(bytes)) = (&fetch.manifest, manifest) {
            let decoded = if id_of(bytes) == blob { Manifest::decode(bytes).ok() } else { None };
            let Some(decoded) = decoded else {
                return vec![Action::Close(contact, "sent a manifest that is not the blob's")];
            };
            let nothing = Bitmap::new(decoded.pieces.len());
            fetch.describe(decoded, nothing);
            if fetch.stage == Stage::Asking {
                fetch.stage = Stage::Reserving;
                actions.push(Action::Reserve(blob, bytes.to_vec()));
            }
        }
        match &fetch.manifest {
            Some(manifest) => {
                let pieces = manifest.pieces.len();
                fetch.holders.set(contact, Bitmap::from_bytes(bitmap, pieces), pieces);
            }
            // It took us to have the manifest already; ask once more, with it.
            None => actions.push(Action::Send(contact, fetch.want(blob))),
        }
        actions
    }

    /// Takes note that a contact does not have a blob.
    pub fn not_here(&mut self, contact: ContactId, blob: BlobId) {
        self.is_changed = true;
        if let Some(fetch) = self.active.get_mut(&blob) {
            fetch.holders.remove(contact);
            release(&mut self.contacts, fetch, |_, asked| asked.contact == contact);
        }
    }

    /// Takes note of pieces that a contact holds as well now.
    pub fn have(&mut self, contact: ContactId, blob: BlobId, pieces: &[u32]) {
        if let Some(fetch) = self.active.get_mut(&blob) {
            // That one more holds what others hold can wait for the next tick.
            let is_first =
                |piece: &u32| fetch.free.contains(piece) && fetch.holders.copies(*piece) == 0;
            self.is_changed |= pieces.iter().any(is_first);
            fetch.holders.add(contact, pieces);
        }
    }

    /// Says whether a contact is known to hold a piece of a blob that is being fetched.
    pub fn is_held_by(&self, contact: ContactId, blob: &BlobId, piece: u32) -> bool {
        let fetch = self.active.get(blob);
        fetch.and_then(|it| it.holders.of(contact)).is_some_and(|held| held.has(piece))
    }

    /// Takes the store's answer to [`Action::Reserve`].
    ///
    /// `found` are pieces that the store has found in the blob's file and verified.
    pub fn reserved(
        &mut self,
        now: Time,
        blob: BlobId,
        result: Result<(), StoreError>,
        found: &[u8],
    ) -> Vec<Action> {
        self.is_changed = true;
        let Some(fetch) = self.active.get_mut(&blob) else { return Vec::new() };
        if result.is_ok() {
            fetch.stage = Stage::Fetching;
            let pieces = fetch.manifest.as_ref().map_or(0, |manifest| manifest.pieces.len());
            let found = Bitmap::from_bytes(found, pieces);
            (0..).take(pieces).filter(|piece| found.has(*piece)).for_each(|p| fetch.hold(p));
            if fetch.held.is_full() {
                return self.complete(now, blob);
            }
            return vec![Action::Event(fetch.progress(blob))];
        }
        fetch.stage = Stage::Stalled { until: now.after_ms(STALL_MS) };
        vec![Action::Event(Event::BlobStalled { blob })]
    }

    /// Takes a part of a piece.
    pub fn piece_data(
        &mut self,
        now: Time,
        contact: ContactId,
        blob: BlobId,
        (piece, offset): (u32, u32),
        bytes: &[u8],
    ) -> Vec<Action> {
        let Some(source) = self.contacts.get_mut(&contact) else { return Vec::new() };
        source.moved_at = now;
        let Some(fetch) = self.active.get_mut(&blob) else { return Vec::new() };
        let Some(manifest) = &fetch.manifest else { return Vec::new() };
        let is_late = fetch.is_late(contact, piece);
        let asked = fetch.asked.get_mut(&piece).filter(|asked| asked.contact == contact);
        if asked.is_none() && !is_late {
            return Vec::new();
        }
        let partial = fetch.partial.entry(piece).or_default();
        if partial.bytes.len() != offset as usize || bytes.is_empty() {
            return Vec::new();
        }
        if let Some(asked) = asked {
            asked.moved_at = now;
        }
        let piece_bytes = manifest.pieces[piece as usize].bytes as usize;
        if partial.bytes.len() + bytes.len() > piece_bytes {
            return vec![Action::Close(contact, "sent more than the piece has")];
        }
        partial.bytes.extend_from_slice(bytes);
        partial.senders.insert(source.hub);
        if partial.bytes.len() < piece_bytes {
            return Vec::new();
        }
        self.is_changed = true;
        let is_from_one = partial.is_only_from(&source.hub);
        let whole = fetch.partial.remove(&piece).unwrap_or_default().bytes;
        let is_right = manifest.verifies(piece, &whole);
        release(&mut self.contacts, fetch, |number, _| *number == piece);
        if is_right {
            fetch.free.remove(&piece);
            fetch.writing.insert(piece, contact);
            return vec![Action::Write(blob, piece, whole)];
        }
        if !is_from_one {
            // Nobody knows whose part was wrong.
            fetch.is_from_one_each = true;
            return Vec::new();
        }
        self.wrong_piece(contact, blob)
    }

    fn wrong_piece(&mut self, contact: ContactId, blob: BlobId) -> Vec<Action> {
        let Some(source) = self.contacts.get_mut(&contact) else { return Vec::new() };
        source.wrong_pieces += 1;
        if source.wrong_pieces >= WRONG_PIECES_MAX {
            return vec![Action::Close(contact, "sent wrong pieces")];
        }
        // Perhaps its disk rots: of this blob nothing more is asked of it.
        if let Some(fetch) = self.active.get_mut(&blob) {
            fetch.holders.remove(contact);
            release(&mut self.contacts, fetch, |_, asked| asked.contact == contact);
        }
        Vec::new()
    }

    /// Takes the store's answer to [`Action::Write`].
    pub fn written(
        &mut self,
        now: Time,
        blob: BlobId,
        piece: u32,
        result: Result<(), StoreError>,
    ) -> Vec<Action> {
        let Some(fetch) = self.active.get_mut(&blob) else { return Vec::new() };
        fetch.writing.remove(&piece);
        fetch.elsewhere.retain(|(_, number), _| *number != piece);
        if result.is_err() {
            self.is_changed = true;
            fetch.stage = Stage::Stalled { until: now.after_ms(STALL_MS) };
            fetch.free.insert(piece);
            release(&mut self.contacts, fetch, |_, _| true);
            return vec![Action::Event(Event::BlobStalled { blob })];
        }
        if fetch.manifest.is_none() {
            return Vec::new();
        }
        fetch.hold(piece);
        let mut actions = vec![Action::Event(fetch.progress(blob))];
        if fetch.held.is_full() {
            actions.extend(self.complete(now, blob));
        }
        actions
    }

    /// Takes note of pieces that came another way and are durable: a courier brought them.
    pub fn carried(
        &mut self,
        now: Time,
        blob: BlobId,
        pieces: &[u32],
        is_whole: bool,
    ) -> Vec<Action> {
        self.is_changed = true;
        if is_whole {
            return self.complete(now, blob);
        }
        let Some(fetch) = self.active.get_mut(&blob) else { return Vec::new() };
        if fetch.manifest.is_none() {
            fetch.stage = Stage::Loading;
            return vec![Action::Load(blob)];
        }
        release(&mut self.contacts, fetch, |piece, _| pieces.contains(piece));
        pieces.iter().for_each(|piece| fetch.hold(*piece));
        vec![Action::Event(fetch.progress(blob))]
    }

    /// Takes note that a piece should be asked of others.
    ///
    /// `is_reachable` says whether one of those others is in contact.
    pub fn elsewhere(
        &mut self,
        now: Time,
        contact: ContactId,
        (blob, piece): (BlobId, u32),
        is_reachable: bool,
    ) {
        self.is_changed = true;
        let Some(fetch) = self.active.get_mut(&blob) else { return };
        let is_asked = fetch.asked.get(&piece).is_some_and(|asked| asked.contact == contact);
        if is_asked {
            release(&mut self.contacts, fetch, |number, _| *number == piece);
            let wait_ms = if is_reachable { ELSEWHERE_MS } else { 0 };
            fetch.elsewhere.insert((contact, piece), now.after_ms(wait_ms));
        }
    }

    /// Lets go of what does not move, and tries full disks again.
    pub fn timeout(&mut self, now: Time) -> Vec<Action> {
        self.is_changed = true;
        let mut actions = self.try_again(|until| until <= now);
        let moved: BTreeMap<ContactId, Time> =
            self.contacts.iter().map(|(id, source)| (*id, source.moved_at)).collect();
        for fetch in self.active.values_mut() {
            release(&mut self.contacts, fetch, |_, asked| {
                let contact_moved_at = moved.get(&asked.contact).copied().unwrap_or_default();
                now.since_ms(asked.moved_at.max(contact_moved_at)) >= PIECE_STALL_MS
                    || now.since_ms(asked.moved_at) >= PIECE_WAIT_MS_MAX
            });
        }
        actions.extend(self.activate());
        actions
    }

    /// Takes note that a blob was let go: begins it again if it is wanted all the same, and tries
    /// what found no room.
    pub fn gone(&mut self, blob: BlobId) -> Vec<Action> {
        self.forget(blob);
        let mut actions = self.try_again(|_| true);
        actions.extend(self.activate());
        actions
    }

    fn try_again(&mut self, is_due: impl Fn(Time) -> bool) -> Vec<Action> {
        let mut actions = Vec::new();
        for (blob, fetch) in &mut self.active {
            let Stage::Stalled { until } = fetch.stage else { continue };
            if !is_due(until) {
                continue;
            }
            match &fetch.manifest {
                Some(manifest) => {
                    fetch.stage = Stage::Reserving;
                    actions.push(Action::Reserve(*blob, manifest.encode()));
                }
                None => fetch.stage = Stage::Asking,
            }
        }
        actions
    }

    /// Says whether anything waits for time to pass.
    pub fn is_busy(&self) -> bool {
        !self.active.is_empty()
    }

    /// Says whether a blob is being fetched and its manifest is here.
    pub fn has_manifest(&self, blob: &BlobId) -> bool {
        self.active.get(blob).is_some_and(|fetch| fetch.manifest.is_some())
    }

    fn activate(&mut self) -> Vec<Action> {
        // One that nobody in contact holds does not keep others from their turn.
        let is_moving = |fetch: &&Fetch| fetch.stage == Stage::Loading || !fetch.holders.is_empty();
        let mut free = ACTIVE_MAX.saturating_sub(self.active.values().filter(is_moving).count());
        free = free.min((4 * ACTIVE_MAX).saturating_sub(self.active.len()));
        let mut actions = Vec::new();
        for (place, want) in self.wants.iter().enumerate() {
            if free == 0 {
                break;
            }
            if let Entry::Vacant(entry) = self.active.entry(want.blob) {
                entry.insert(Fetch::new(place, want));
                actions.push(Action::Load(want.blob));
                free -= 1;
            }
        }
        actions
    }

    fn complete(&mut self, _now: Time, blob: BlobId) -> Vec<Action> {
        self.forget(blob);
        self.wants.retain(|want| want.blob != blob);
        let mut actions = vec![
            Action::Event(Event::BlobComplete { blob }),
            Action::SendAll(Message::Unwant { blob }),
        ];
        actions.extend(self.activate());
        actions
    }

    fn forget(&mut self, blob: BlobId) {
        if let Some(mut fetch) = self.active.remove(&blob) {
            self.is_changed = true;
            release(&mut self.contacts, &mut fetch, |_, _| true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CollectionId;

    pub(super) const NOW: Time = Time(1_000);
    pub(super) const A: ContactId = ContactId(1);
    pub(super) const B: ContactId = ContactId(2);

    pub(super) fn content() -> Vec<u8> {
        (0..3_000u32).map(|i| (i % 251) as u8).collect()
    }

    fn manifest() -> Manifest {
        Manifest::of(&[1_000, 2_000], &content(), vec![]).unwrap()
    }

    fn hub_of(contact: ContactId) -> HubId {
        HubId([contact.0 as u8; 32])
    }

    /// Another blob, of one piece.
    pub(super) fn other() -> (Manifest, BlobId) {
        let manifest = Manifest::of(&[4], b"abcd", vec![]).unwrap();
        (manifest.clone(), manifest.blob_id())
    }

    /// Starts a fetch of the manifest above, held whole by the contacts given.
    pub(super) fn fetching(holders: &[ContactId]) -> (Fetches, BlobId) {
        let (manifest, blob) = (manifest(), manifest().blob_id());
        let mut fetches = Fetches::new(HubId([9; 32]));
        let collection = CollectionId("lessons".into());
        let want = Want { blob, collection, priority: 0, deadline_wall_ms: None };
        assert_eq!(fetches.set_wants(vec![want]), [Action::Load(blob)]);
        holders.iter().for_each(|contact| drop(fetches.contact_up(*contact, hub_of(*contact))));
        fetches.loaded(NOW, blob, &StoredBlob::default());
        for contact in holders {
            fetches.holding(*contact, blob, Some(&manifest.encode()), &[0b11]);
        }
        assert_eq!(fetches.reserved(NOW, blob, Ok(()), &[]).len(), 1);
        (fetches, blob)
    }

    impl Fetches {
        fn timeout_and_ask(&mut self, now: Time) -> Vec<Action> {
            let mut actions = self.timeout(now);
            actions.extend(self.ask(now, u64::MAX, |_| 500));
            actions
        }
    }

    pub(super) fn requests(actions: &[Action]) -> Vec<(ContactId, u32, u32, bool)> {
        let request = |action: &Action| match action {
            Action::Send(contact, Message::Request { piece, offset, is_urgent, .. }) => {
                Some((*contact, *piece, *offset, *is_urgent))
            }
            _ => None,
        };
        actions.iter().filter_map(request).collect()
    }

    #[test]
    fn a_piece_cut_off_goes_on_at_its_byte_with_somebody_else() {
        let (mut fetches, blob) = fetching(&[A, B]);
        assert_eq!(
            requests(&fetches.ask(NOW, u64::MAX, |_| 500)),
            [(A, 0, 0, false), (B, 1, 0, false)]
        );
        fetches.piece_data(NOW, B, blob, (1, 0), &content()[1_000..1_600]);
        fetches.contact_down(B);
        fetches.piece_data(NOW, A, blob, (0, 0), &content()[..1_000]);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), [(A, 1, 600, false)]);
        let actions = fetches.piece_data(NOW, A, blob, (1, 600), &content()[1_600..]);
        assert_eq!(actions, [Action::Write(blob, 1, content()[1_000..].to_vec())]);
        fetches.written(NOW, blob, 0, Ok(()));
        let actions = fetches.written(NOW, blob, 1, Ok(()));
        assert!(actions.contains(&Action::Event(Event::BlobComplete { blob })));
        assert_eq!(fetches.wanted(), 0);
    }

    #[test]
    fn all_contacts_together_are_asked_for_what_the_line_carries() {
        let (mut fetches, _) = fetching(&[A, B]);
        assert_eq!(requests(&fetches.ask(NOW, 900, |_| 5_000)).len(), 1);
        let (mut fetches, _) = fetching(&[A, B]);
        assert_eq!(requests(&fetches.ask(NOW, 1_100, |_| 500)).len(), 2);
    }

    #[test]
    fn a_piece_behind_others_of_a_contact_that_sends_is_not_asked_of_another() {
        let (mut fetches, blob) = fetching(&[A]);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 5_000)).len(), 2);
        let later = NOW.after_ms(PIECE_STALL_MS - 1);
        fetches.piece_data(later, A, blob, (0, 0), &content()[..500]);
        let stalled = NOW.after_ms(PIECE_STALL_MS);
        fetches.timeout(stalled);
        assert_eq!(requests(&fetches.ask(stalled, u64::MAX, |_| 5_000)), []);
        let silent = later.after_ms(PIECE_STALL_MS);
        fetches.timeout(silent);
        assert_eq!(requests(&fetches.ask(silent, u64::MAX, |_| 5_000)).len(), 2);
    }

    #[test]
    fn a_wrong_piece_is_dropped_and_asked_of_another() {
        let (mut fetches, blob) = fetching(&[A, B]);
        fetches.ask(NOW, u64::MAX, |contact| if contact == A { 500 } else { 0 });
        assert_eq!(fetches.piece_data(NOW, A, blob, (0, 0), &[0; 1_000]), []);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), [(B, 0, 0, false)]);
    }

    #[test]
    fn who_ends_a_piece_that_another_has_spoilt_is_not_blamed_and_the_spoiler_is_found_out() {
        let (mut fetches, blob) = fetching(&[A, B]);
        let of_a = |contact| if contact == A { 5_000 } else { 0 };
        let of_b = |contact| if contact == B { 5_000 } else { 0 };
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, of_a)).len(), 2);
        // A wrong part of each piece, and then it is silent.
        fetches.piece_data(NOW, A, blob, (0, 0), &[0; 400]);
        fetches.piece_data(NOW, A, blob, (1, 0), &[0; 400]);
        let later = NOW.after_ms(PIECE_STALL_MS);
        fetches.timeout(later);
        let asked = requests(&fetches.ask(later, u64::MAX, of_b));
        assert_eq!(asked, [(B, 0, 400, false), (B, 1, 400, false)]);
        assert_eq!(fetches.piece_data(later, B, blob, (0, 400), &content()[400..1_000]), []);
        assert_eq!(fetches.contacts[&B].wrong_pieces, 0, "nobody knows whose part was wrong");
        // It comes whole from one, and so does every piece of the blob from now on.
        let asked = requests(&fetches.ask(later, u64::MAX, of_b));
        assert_eq!(asked, [(B, 0, 0, false)]);
        fetches.not_here(B, blob);
        let asked = requests(&fetches.ask(later, u64::MAX, of_a));
        assert_eq!(asked, [(A, 0, 0, false), (A, 1, 400, false)], "it ends what it began itself");
        fetches.piece_data(later, A, blob, (0, 0), &[0; 1_000]);
        assert_eq!(fetches.contacts[&A].wrong_pieces, 1, "alone, it is found out");
        fetches.holding(B, blob, None, &[0b11]);
        assert_eq!(requests(&fetches.ask(later, u64::MAX, |_| 5_000)).len(), 2);
        let actions = fetches.piece_data(later, B, blob, (0, 0), &content()[..1_000]);
        assert_eq!(actions, [Action::Write(blob, 0, content()[..1_000].to_vec())]);
        assert_eq!(fetches.contacts[&B].wrong_pieces, 0);
    }

    #[test]
    fn a_hub_that_comes_back_ends_what_it_began_and_answers_for_it() {
        let (mut fetches, blob) = fetching(&[A]);
        fetches.ask(NOW, u64::MAX, |_| 500);
        fetches.piece_data(NOW, A, blob, (0, 0), &[0; 400]);
        fetches.contact_down(A);
        fetches.contact_up(B, hub_of(A));
        fetches.holding(B, blob, None, &[0b11]);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), [(B, 0, 400, false)]);
        fetches.piece_data(NOW, B, blob, (0, 400), &content()[400..1_000]);
        assert_eq!(fetches.contacts[&B].wrong_pieces, 1);
    }

    #[test]
    fn a_holder_that_points_elsewhere_is_asked_again_only_when_nobody_else_can_be() {
        let (mut fetches, blob) = fetching(&[A]);
        fetches.ask(NOW, u64::MAX, |_| 500);
        fetches.elsewhere(NOW, A, (blob, 0), true);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), [(A, 1, 0, false)]);
        fetches.elsewhere(NOW, A, (blob, 1), false);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), [(A, 1, 0, true)]);
        let later = NOW.after_ms(ELSEWHERE_MS);
        fetches.timeout(later);
        assert_eq!(requests(&fetches.ask(later, u64::MAX, |_| 5_000)), [(A, 0, 0, true)]);
    }

    #[test]
    fn a_full_disk_is_left_alone_and_tried_again() {
        let (mut fetches, blob) = fetching(&[A]);
        fetches.ask(NOW, u64::MAX, |_| 500);
        let stalled = fetches.written(NOW, blob, 0, Err(StoreError::NoSpace));
        assert_eq!(stalled, [Action::Event(Event::BlobStalled { blob })]);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), []);
        let later = NOW.after_ms(STALL_MS);
        assert_eq!(fetches.timeout(later), [Action::Reserve(blob, manifest().encode())]);
    }

    #[test]
    fn what_found_no_room_is_tried_again_when_another_blob_was_let_go() {
        let (mut fetches, blob) = fetching(&[A]);
        fetches.ask(NOW, u64::MAX, |_| 500);
        fetches.written(NOW, blob, 0, Err(StoreError::NoSpace));
        let other = BlobId([9; 32]);
        assert_eq!(fetches.gone(other), [Action::Reserve(blob, manifest().encode())]);
        assert_eq!(fetches.gone(other), [], "once");
        assert_eq!(fetches.gone(blob), [Action::Load(blob)], "nothing of it is here any more");
    }

    #[test]
    fn what_presses_is_asked_for_beside_what_fills_the_link_and_the_holder_is_told() {
        let (mut fetches, blob) = fetching(&[A]);
        let mut want = fetches.wants[0].clone();
        want.priority = Urgency::Rest.priority(0);
        assert_eq!(fetches.set_wants(vec![want.clone()]).len(), 1, "the holder is told the rank");
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)), [(A, 0, 0, false)]);
        assert_eq!(requests(&fetches.timeout_and_ask(NOW)), [], "the link is full");
        want.priority = Urgency::Now.priority(0);
        let told = fetches.set_wants(vec![want]);
        let [Action::SendAll(Message::Want { rank: 0, blob: of, .. })] = &told[..] else {
            panic!("the holder is told: {told:?}");
        };
        assert_eq!(*of, blob);
        assert_eq!(requests(&fetches.timeout_and_ask(NOW)), [(A, 1, 0, false)]);
    }

    #[test]
    fn a_manifest_that_is_not_the_blobs_closes_the_contact() {
        let mut fetches = Fetches::new(HubId([9; 32]));
        let collection = CollectionId("lessons".into());
        let blob = BlobId([1; 32]);
        let want = Want { blob, collection, priority: 0, deadline_wall_ms: None };
        fetches.set_wants(vec![want]);
        fetches.contact_up(A, hub_of(A));
        fetches.loaded(NOW, blob, &StoredBlob::default());
        let actions = fetches.holding(A, blob, Some(&manifest().encode()), &[0b11]);
        assert!(matches!(actions[..], [Action::Close(A, _)]));
    }

    #[test]
    fn what_a_courier_brought_is_not_asked_for_again() {
        let (mut fetches, blob) = fetching(&[A]);
        let asked = requests(&fetches.ask(NOW, u64::MAX, |_| 1));
        assert_eq!(asked, [(A, 0, 0, false)]);
        fetches.carried(NOW, blob, &[0], false);
        let late = fetches.piece_data(NOW, A, blob, (0, 0), &content()[..1_000]);
        assert_eq!(late, []);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 1 << 20)), [(A, 1, 0, false)]);
        let actions = fetches.carried(NOW, blob, &[1], true);
        assert!(actions.contains(&Action::Event(Event::BlobComplete { blob })), "{actions:?}");
        assert_eq!(fetches.wanted(), 0);
    }

    #[test]
    fn a_blob_that_nobody_holds_is_looked_at_again_when_a_courier_brought_some() {
        let mut fetches = Fetches::new(HubId([9; 32]));
        let (blob, collection) = (manifest().blob_id(), CollectionId("lessons".into()));
        fetches.set_wants(vec![Want { blob, collection, priority: 0, deadline_wall_ms: None }]);
        fetches.loaded(NOW, blob, &StoredBlob::default());
        assert_eq!(fetches.carried(NOW, blob, &[1], false), [Action::Load(blob)]);
        let stored = StoredBlob {
            manifest: Some(manifest().encode()),
            bitmap: vec![0b10],
            collections: vec![],
        };
        fetches.loaded(NOW, blob, &stored);
        fetches.reserved(NOW, blob, Ok(()), &[]);
        fetches.contact_up(A, hub_of(A));
        fetches.holding(A, blob, None, &[0b11]);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 1 << 20)), [(A, 0, 0, false)]);
    }
}
