//! Which pieces to ask of whom now.

use super::one::{Asked, Stage};
use super::{Action, Fetches};
use crate::id::{BlobId, ContactId, Time};
use crate::plan::Urgency;
use crate::wire::Message;

/// Bytes by how much they press.
type Lanes = [u64; Urgency::ALL.len()];

/// Says whether what presses as much, or more, fills the room that there is.
fn is_full(asked: &Lanes, urgency: Urgency, bytes_max: u64) -> bool {
    asked[..=urgency as usize].iter().sum::<u64>() >= bytes_max
}

impl Fetches {
    /// Asks contacts for pieces, as many as each may be asked for, and all of them together: they
    /// share this hub's line, and what is asked of 36 at once would only wait in it.
    ///
    /// `asked_bytes` gives the bound for a contact.
    pub fn ask(
        &mut self,
        now: Time,
        asked_bytes_max: u64,
        asked_bytes: impl Fn(ContactId) -> u64,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if !std::mem::take(&mut self.is_changed) {
            return actions;
        }
        let mut asked_of_all = self.asked_of_all();
        let fetching = self.active.values().filter(|fetch| fetch.stage == Stage::Fetching);
        let Some(most) = fetching.map(|fetch| fetch.urgency).min() else { return actions };
        if is_full(&asked_of_all, most, asked_bytes_max) {
            return actions;
        }
        let mut places: Vec<(usize, Urgency, BlobId)> = self
            .active
            .iter()
            .filter(|(_, fetch)| fetch.stage == Stage::Fetching && fetch.is_askable(now))
            .map(|(blob, fetch)| (fetch.place, fetch.urgency, *blob))
            .collect();
        places.sort_unstable();
        let Some((_, most, _)) = places.first().copied() else { return actions };
        let was_asked_now = asked_of_all[Urgency::Now as usize] > 0;
        if was_asked_now && self.is_pressing(now) {
            places.retain(|(_, urgency, _)| *urgency == Urgency::Now);
        }
        for contact in self.in_turn() {
            // What comes later presses less, and finds no room either.
            if is_full(&asked_of_all, most, asked_bytes_max) {
                break;
            }
            let bytes_max = asked_bytes(contact);
            for (_, urgency, blob) in &places {
                let is_now_asked = asked_of_all[Urgency::Now as usize] > 0;
                if *urgency != Urgency::Now && !was_asked_now && is_now_asked {
                    break;
                }
                let is_full = |asked: &Lanes, max: u64| is_full(asked, *urgency, max);
                let source = self.contacts.get(&contact).map(|source| source.asked_bytes);
                let has_room = source.is_some_and(|asked| !is_full(&asked, bytes_max));
                if !has_room || is_full(&asked_of_all, asked_bytes_max) {
                    break;
                }
                while !is_full(&asked_of_all, asked_bytes_max)
                    && let Some((request, bytes)) = self.ask_one(now, contact, *blob, bytes_max)
                {
                    asked_of_all[*urgency as usize] += bytes;
                    actions.push(Action::Send(contact, request));
                }
            }
        }
        if !was_asked_now && asked_of_all[Urgency::Now as usize] > 0 {
            actions.extend(self.recall());
        }
        actions
    }

    /// Counts the bytes that are asked for, by how much they press.
    fn asked_of_all(&self) -> Lanes {
        Urgency::ALL.map(|urgency| {
            self.contacts.values().map(|source| source.asked_bytes[urgency as usize]).sum()
        })
    }

    /// Says whether [`ask`](Self::ask) would look at anything.
    pub fn is_to_ask(&self) -> bool {
        self.is_changed && !self.active.is_empty()
    }

    /// Lists contacts, beginning with another one each time: whoever is first gets the most.
    fn in_turn(&mut self) -> Vec<ContactId> {
        let mut contacts: Vec<ContactId> = self.contacts.keys().copied().collect();
        if !contacts.is_empty() {
            let first = self.turn % contacts.len();
            contacts.rotate_left(first);
        }
        self.turn = self.turn.wrapping_add(1);
        contacts
    }

    fn ask_one(
        &mut self,
        now: Time,
        contact: ContactId,
        blob: BlobId,
        bytes_max: u64,
    ) -> Option<(Message, u64)> {
        let source = self.contacts.get_mut(&contact)?;
        let fetch = self.active.get_mut(&blob)?;
        let urgency = fetch.urgency;
        if !source.has_room(urgency, bytes_max) {
            return None;
        }
        let piece = fetch.choose(&self.hub, now, contact, blob)?;
        let offset = fetch.offset_for(&source.hub, piece);
        let piece_bytes = fetch.manifest.as_ref()?.pieces[piece as usize].bytes;
        let bytes = u64::from(piece_bytes - offset);
        source.asked_bytes[urgency as usize] += bytes;
        source.asked_pieces[urgency as usize] += 1;
        fetch.free.remove(&piece);
        fetch.recalled.remove(&piece);
        fetch.asked.insert(piece, Asked { contact, moved_at: now, bytes, urgency });
        let is_urgent = fetch.elsewhere.contains_key(&(contact, piece));
        Some((Message::Request { blob, piece, offset, is_urgent }, bytes))
    }
}
