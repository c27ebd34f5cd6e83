//! Transfer of blobs: joins fetching and serving to contacts and the store.

use super::contact::Contact;
use super::{Node, Waiting};
use crate::blob::{fetch, serve};
use crate::event::{Alarm, StoreError, StoreOp, StoreValue, StoredBlob};
use crate::id::{BlobId, ContactId, Time};
use crate::outbox::REFILL_BYTES;
use crate::plan::{self, Urgency};
use crate::wire::Message;

/// How often fetching looks for what does not move; its own bounds are many seconds.
pub(super) const TICK_MS: u64 = 1_000;

/// What the store was asked for a blob.
pub(super) enum BlobStep {
    FetchLoad(BlobId),
    ServeLoad(BlobId, ContactId),
    Read(ContactId),
    Reserve(BlobId),
    Write(BlobId, u32),
}

impl Node {
    pub(super) fn handle_blob_message(&mut self, now: Time, id: ContactId, message: Message) {
        match message {
            Message::Want { blob, collection, has_manifest, rank } => {
                let urgency = Urgency::ALL.get(usize::from(rank)).copied().unwrap_or(Urgency::Rest);
                let actions = self.serving.want(now, id, blob, collection, (has_manifest, urgency));
                self.carry_out_serve(now, actions);
            }
            Message::Unwant { blob } => self.serving.unwant(id, blob),
            Message::Request { blob, piece, offset, is_urgent } => {
                let actions = self.serving.request(id, blob, (piece, offset), is_urgent);
                self.carry_out_serve(now, actions);
            }
            Message::Cancel { blob, piece } => {
                self.serving.cancel(id, blob, piece);
                if let Some(contact) = self.contacts.get_mut(&id) {
                    contact.outbox.drop_piece(&blob, piece);
                }
            }
            Message::Holding { blob, manifest, bitmap } => {
                let actions = self.fetches.holding(id, blob, manifest.as_deref(), &bitmap);
                self.carry_out_fetch(now, actions);
            }
            Message::NotHere { blob } => self.fetches.not_here(id, blob),
            Message::Have { blob, pieces } => self.fetches.have(id, blob, &pieces),
            Message::Elsewhere { blob, piece, hubs } => {
                let ready = self.ready_hubs();
                let is_reachable = hubs.iter().any(|hub| ready.contains(hub));
                self.fetches.elsewhere(now, id, (blob, piece), is_reachable);
            }
            Message::PieceData { blob, piece, offset, bytes } => {
                let actions = self.fetches.piece_data(now, id, blob, (piece, offset), &bytes);
                self.carry_out_fetch(now, actions);
            }
            _ => self.close(now, id, "a message that is not allowed here"),
        }
    }

    pub(super) fn carry_out_fetch(&mut self, now: Time, actions: Vec<fetch::Action>) {
        for action in actions {
            match action {
                fetch::Action::Send(id, message) => {
                    if let Some(contact) = self.contacts.get_mut(&id) {
                        contact.outbox.push(&message);
                    }
                }
                fetch::Action::SendAll(message) => {
                    for id in self.ready_contacts() {
                        if let Some(contact) = self.contacts.get_mut(&id) {
                            contact.outbox.push(&message);
                        }
                    }
                }
                fetch::Action::Load(blob) => {
                    let waiting = Waiting::Blob(BlobStep::FetchLoad(blob));
                    self.store(StoreOp::LoadBlob { blob }, waiting);
                }
                fetch::Action::Reserve(blob, manifest) => {
                    let waiting = Waiting::Blob(BlobStep::Reserve(blob));
                    self.store(StoreOp::ReserveBlob { blob, manifest }, waiting);
                }
                fetch::Action::Write(blob, piece, bytes) => {
                    let pieces = vec![(piece, bytes)];
                    let waiting = Waiting::Blob(BlobStep::Write(blob, piece));
                    self.store(StoreOp::WritePieces { blob, pieces }, waiting);
                }
                fetch::Action::Event(event) => self.emit(event),
                // It closes only those that send what the blob is not.
                fetch::Action::Close(id, reason) => {
                    if let Some(hub) = self.contacts.get(&id).map(|contact| contact.hub) {
                        self.alarm(Alarm::WrongPieces { hub });
                    }
                    self.close(now, id, reason);
                }
            }
        }
    }

    pub(super) fn carry_out_serve(&mut self, now: Time, actions: Vec<serve::Action>) {
        for action in actions {
            match action {
                serve::Action::Send(id, message) => {
                    if let Some(contact) = self.contacts.get_mut(&id) {
                        contact.outbox.push(&message);
                    }
                }
                serve::Action::SendPiece(id, part, urgency) => {
                    if let Some(contact) = self.contacts.get_mut(&id) {
                        contact.outbox.push_piece(&part, urgency);
                    }
                }
                serve::Action::Load(blob, id) => {
                    let waiting = Waiting::Blob(BlobStep::ServeLoad(blob, id));
                    self.store(StoreOp::LoadBlob { blob }, waiting);
                }
                serve::Action::Read(id, blob, piece) => {
                    let waiting = Waiting::Blob(BlobStep::Read(id));
                    self.store(StoreOp::ReadPiece { blob, piece }, waiting);
                }
                serve::Action::Close(id, reason) => self.close(now, id, reason),
            }
        }
    }

    pub(super) fn blob_stored(
        &mut self,
        now: Time,
        step: BlobStep,
        result: Result<StoreValue, StoreError>,
    ) {
        match step {
            BlobStep::FetchLoad(blob) => {
                let actions = self.fetches.loaded(now, blob, &stored_blob(result));
                self.carry_out_fetch(now, actions);
            }
            BlobStep::ServeLoad(blob, id) => {
                self.contacts.stir(id);
                let epoch = self.membership.as_ref().map(|m| &m.newest().epoch);
                let actions =
                    self.serving.loaded(id, blob, &stored_blob(result), |hub, collection| {
                        epoch.is_some_and(|epoch| epoch.may_read(hub, collection))
                    });
                self.carry_out_serve(now, actions);
            }
            BlobStep::Read(id) => {
                // It may wait for another piece, also if this one was taken back.
                self.contacts.stir(id);
                let bytes = match result {
                    Ok(StoreValue::Piece(bytes)) => Some(bytes),
                    _ => None,
                };
                let actions = self.serving.read(id, bytes.as_deref());
                self.carry_out_serve(now, actions);
            }
            BlobStep::Reserve(blob) => {
                let is_new = result.is_ok();
                let found = match &result {
                    Ok(StoreValue::Blob(stored)) => stored.bitmap.clone(),
                    _ => Vec::new(),
                };
                let actions = self.fetches.reserved(now, blob, result.map(|_| ()), &found);
                self.carry_out_fetch(now, actions);
                if is_new {
                    let actions = self.serving.appeared(blob);
                    self.carry_out_serve(now, actions);
                }
            }
            BlobStep::Write(blob, piece) => {
                if result.is_ok() {
                    self.piece_appeared(blob, piece);
                }
                let actions = self.fetches.written(now, blob, piece, result.map(|_| ()));
                self.carry_out_fetch(now, actions);
            }
        }
    }

    /// Lets those who want a blob know of a piece that is durable now.
    pub(super) fn piece_appeared(&mut self, blob: BlobId, piece: u32) {
        let fetches = &self.fetches;
        self.serving.piece_written(blob, piece, |id| fetches.is_held_by(id, &blob, piece));
    }

    /// Asks contacts for pieces, as much as their rate carries in a few seconds.
    pub(super) fn ask_for_pieces(&mut self, now: Time) {
        if !self.fetches.is_to_ask() {
            return;
        }
        let contacts = &self.contacts;
        let rate = |contact: &Contact| contact.receive_rate.bytes_per_s(now);
        let line_bytes_per_s: u64 = contacts.values().map(rate).sum();
        // What is under way is not what waits there.
        let window = |contact: &Contact| contact.credit.window_bytes();
        let most_under_way = contacts.values().map(window).max().unwrap_or(0);
        let scale = self.blob_scale;
        let of_all = plan::asked_of_all_bytes(line_bytes_per_s.saturating_mul(scale)) / scale;
        let asked_bytes_max = most_under_way + of_all;
        let actions = self.fetches.ask(now, asked_bytes_max, |id| {
            let Some(contact) = contacts.get(&id) else { return 0 };
            window(contact) + plan::asked_bytes(rate(contact).saturating_mul(scale)) / scale
        });
        self.carry_out_fetch(now, actions);
    }

    /// Fills a contact's outbox from the store while it has room.
    ///
    /// What presses finds room beside what is queued and presses less. Where other contacts press
    /// more, and it helps them, a contact waits.
    pub(super) fn refill(&mut self, now: Time, id: ContactId) {
        self.refill_envelopes(id);
        let Some(urgency) = self.serving.pressing(id) else { return };
        let contact = self.contacts.get(&id).filter(|contact| contact.is_ready());
        let has_room = contact.is_some_and(|c| c.outbox.queued_upto(urgency) < REFILL_BYTES);
        if !has_room {
            return;
        }
        if self.others_press_more(id, urgency) && self.turns.is_held(now) {
            self.are_some_held_back = true;
            return;
        }
        if let Some(action) = self.serving.pump(id) {
            self.carry_out_serve(now, vec![action]);
        }
    }

    /// Says whether another contact waits for something that presses more.
    fn others_press_more(&self, id: ContactId, urgency: Urgency) -> bool {
        let Some(more) = (urgency as usize).checked_sub(1) else { return false };
        let more = Urgency::ALL[more];
        let waits = |(other, contact): (&ContactId, &Contact)| {
            let is_asked = self.serving.pressing(*other).is_some_and(|theirs| theirs <= more);
            *other != id && contact.is_ready() && (is_asked || contact.outbox.queued_upto(more) > 0)
        };
        self.contacts.iter().any(waits)
    }
}

fn stored_blob(result: Result<StoreValue, StoreError>) -> StoredBlob {
    match result {
        Ok(StoreValue::Blob(stored)) => stored,
        _ => StoredBlob::default(),
    }
}
