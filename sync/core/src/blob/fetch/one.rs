//! One blob that is being fetched.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::holders::Holders;
use crate::blob::{Bitmap, Manifest};
use crate::event::{Event, Want};
use crate::id::{BlobId, CollectionId, ContactId, HubId, Time};
use crate::plan::{self, Urgency};
use crate::wire::Message;

pub(super) struct Fetch {
    pub(super) place: usize,
    pub(super) urgency: Urgency,
    pub(super) collection: CollectionId,
    pub(super) stage: Stage,
    pub(super) manifest: Option<Manifest>,
    pub(super) held: Bitmap,
    pub(super) held_bytes: u64,
    pub(super) holders: Holders,
    /// Pieces that are missing, not asked for and not being written.
    pub(super) free: BTreeSet<u32>,
    pub(super) asked: BTreeMap<u32, Asked>,
    pub(super) partial: BTreeMap<u32, Partial>,
    /// A piece of parts from several hubs was wrong: from now on each comes whole from one, so
    /// that whoever sends wrong parts is found out.
    pub(super) is_from_one_each: bool,
    pub(super) writing: BTreeMap<u32, ContactId>,
    pub(super) elsewhere: BTreeMap<(ContactId, u32), Time>,
    /// Pieces that were taken back, of whom: parts that were on their way are kept.
    pub(super) recalled: BTreeMap<u32, ContactId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Loading,
    Asking,
    Reserving,
    Fetching,
    Stalled { until: Time },
}

pub(super) struct Asked {
    pub(super) contact: ContactId,
    pub(super) moved_at: Time,
    pub(super) bytes: u64,
    /// When it was asked for.
    pub(super) urgency: Urgency,
}

/// What came of a piece so far, and from whom.
#[derive(Default)]
pub(super) struct Partial {
    pub(super) bytes: Vec<u8>,
    pub(super) senders: BTreeSet<HubId>,
}

impl Partial {
    /// Says whether a hub has sent all that came.
    pub(super) fn is_only_from(&self, hub: &HubId) -> bool {
        self.senders.iter().all(|sender| sender == hub)
    }
}

impl Fetch {
    pub(super) fn new(place: usize, want: &Want) -> Self {
        Self {
            place,
            urgency: Urgency::of(want.priority),
            collection: want.collection.clone(),
            stage: Stage::Loading,
            manifest: None,
            held: Bitmap::EMPTY,
            held_bytes: 0,
            holders: Holders::new(),
            free: BTreeSet::new(),
            asked: BTreeMap::new(),
            partial: BTreeMap::new(),
            is_from_one_each: false,
            writing: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            recalled: BTreeMap::new(),
        }
    }

    /// Takes over a manifest and what is held of it.
    pub(super) fn describe(&mut self, manifest: Manifest, held: Bitmap) {
        self.free = held.missing().collect();
        self.held_bytes = manifest.held_bytes(&held);
        self.held = held;
        self.manifest = Some(manifest);
    }

    /// Takes note of a piece that is durable now.
    pub(super) fn hold(&mut self, piece: u32) {
        self.free.remove(&piece);
        self.partial.remove(&piece);
        self.recalled.remove(&piece);
        let bytes = self.manifest.as_ref().and_then(|m| m.pieces.get(piece as usize));
        if let (false, Some(info)) = (self.held.has(piece), bytes) {
            self.held.insert(piece);
            self.held_bytes += u64::from(info.bytes);
        }
    }

    /// Gives from which byte on a hub is asked for a piece.
    pub(super) fn offset_for(&mut self, hub: &HubId, piece: u32) -> u32 {
        let is_kept = |partial: &&Partial| !self.is_from_one_each || partial.is_only_from(hub);
        let kept = self.partial.get(&piece).filter(is_kept).map(|it| it.bytes.len() as u32);
        if kept.is_none() {
            self.partial.remove(&piece);
        }
        kept.unwrap_or(0)
    }

    /// Says whether a part of a piece was on its way when the piece was taken back.
    pub(super) fn is_late(&self, contact: ContactId, piece: u32) -> bool {
        self.recalled.get(&piece) == Some(&contact) && self.free.contains(&piece)
    }

    pub(super) fn want(&self, blob: BlobId) -> Message {
        let collection = self.collection.clone();
        let (has_manifest, rank) = (self.manifest.is_some(), self.urgency as u8);
        Message::Want { blob, collection, has_manifest, rank }
    }

    pub(super) fn progress(&self, blob: BlobId) -> Event {
        let total_bytes = self.manifest.as_ref().map_or(0, Manifest::total_bytes);
        Event::BlobProgress { blob, verified_bytes: self.held_bytes, total_bytes }
    }

    /// Says whether there is a piece to ask for, and somebody to ask for it now.
    pub(super) fn is_askable(&self, now: Time) -> bool {
        let is_later = |(_, at): &(&(ContactId, u32), &Time)| **at > now;
        let mut later: BTreeMap<u32, u32> = BTreeMap::new();
        for ((contact, piece), _) in self.elsewhere.iter().filter(is_later) {
            if self.holders.of(*contact).is_some_and(|held| held.has(*piece)) {
                *later.entry(*piece).or_default() += 1;
            }
        }
        let held_back = |piece: &u32| later.get(piece).copied().unwrap_or(0);
        self.free.iter().any(|piece| self.holders.copies(*piece) > held_back(piece))
    }

    pub(super) fn choose(
        &self,
        hub: &HubId,
        now: Time,
        contact: ContactId,
        blob: BlobId,
    ) -> Option<u32> {
        let holder = self.holders.of(contact)?;
        let is_swarm = self.holders.are_some_partial();
        let is_free = |piece: &u32| {
            let later = self.elsewhere.get(&(contact, *piece));
            later.is_none_or(|time| *time <= now)
        };
        let rarity = |piece: u32| (piece, self.holders.copies(piece));
        let free = self.free.iter().copied().filter(|piece| holder.has(*piece)).filter(is_free);
        if is_swarm {
            return plan::choose_piece(hub, &blob, true, free.map(rarity));
        }
        plan::choose_piece(hub, &blob, false, free.take(1).map(|piece| (piece, 1)))
    }
}

/// Takes back what was asked for, where the rule says so.
pub(super) fn release(
    contacts: &mut BTreeMap<ContactId, Source>,
    fetch: &mut Fetch,
    is_released: impl Fn(&u32, &Asked) -> bool,
) {
    let gone: BTreeSet<u32> =
        fetch.asked.iter().filter(|(piece, a)| is_released(piece, a)).map(|(p, _)| *p).collect();
    for piece in gone {
        let Some(asked) = fetch.asked.remove(&piece) else { continue };
        fetch.free.insert(piece);
        if let Some(source) = contacts.get_mut(&asked.contact) {
            source.give_back(&asked);
        }
    }
}
