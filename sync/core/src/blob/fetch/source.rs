//! A contact as somebody of whom pieces are asked.

use super::ASKED_PIECES_MAX;
use super::one::Asked;
use crate::id::{HubId, Time};
use crate::plan::Urgency;

/// What is asked of a contact, by how much it presses.
pub(super) struct Source {
    pub(super) hub: HubId,
    pub(super) asked_bytes: [u64; Urgency::ALL.len()],
    pub(super) asked_pieces: [usize; Urgency::ALL.len()],
    pub(super) wrong_pieces: u32,
    /// When it last sent a part of anything.
    pub(super) moved_at: Time,
}

impl Source {
    pub(super) const fn new(hub: HubId) -> Self {
        Self {
            hub,
            asked_bytes: [0; Urgency::ALL.len()],
            asked_pieces: [0; Urgency::ALL.len()],
            wrong_pieces: 0,
            moved_at: Time(0),
        }
    }

    /// Says whether more may be asked. What presses less does not count: it is passed.
    pub(super) fn has_room(&self, urgency: Urgency, bytes_max: u64) -> bool {
        self.asked_bytes[..=urgency as usize].iter().sum::<u64>() < bytes_max
            && self.asked_pieces[urgency as usize] < ASKED_PIECES_MAX
    }

    pub(super) fn give_back(&mut self, asked: &Asked) {
        let lane = asked.urgency as usize;
        self.asked_bytes[lane] = self.asked_bytes[lane].saturating_sub(asked.bytes);
        self.asked_pieces[lane] = self.asked_pieces[lane].saturating_sub(1);
    }
}
