//! Who in contact holds which pieces of a blob, and how many hold each.

use std::collections::BTreeMap;

use crate::blob::Bitmap;
use crate::id::ContactId;

/// The holders of one blob, with a running count a piece, so that the rarest is found quickly.
#[derive(Debug, Default)]
pub(super) struct Holders {
    by_contact: BTreeMap<ContactId, Bitmap>,
    copies: Vec<u32>,
    /// How many hold a part only.
    partial: usize,
}

impl Holders {
    /// Starts with nobody.
    pub const fn new() -> Self {
        Self { by_contact: BTreeMap::new(), copies: Vec::new(), partial: 0 }
    }

    /// Takes note of everything that a contact holds.
    pub fn set(&mut self, contact: ContactId, held: Bitmap, pieces: usize) {
        self.remove(contact);
        self.copies.resize(pieces, 0);
        for (piece, copies) in (0..).zip(&mut self.copies) {
            *copies += u32::from(held.has(piece));
        }
        self.partial += usize::from(!held.is_full());
        self.by_contact.insert(contact, held);
    }

    /// Takes note of pieces that a known holder has as well.
    pub fn add(&mut self, contact: ContactId, pieces: &[u32]) {
        let Some(held) = self.by_contact.get_mut(&contact) else { return };
        let was_full = held.is_full();
        for &piece in pieces {
            if let Some(copies) = self.copies.get_mut(piece as usize)
                && !held.has(piece)
            {
                held.insert(piece);
                *copies += 1;
            }
        }
        self.partial -= usize::from(!was_full && held.is_full());
    }

    /// Forgets a contact.
    pub fn remove(&mut self, contact: ContactId) {
        let Some(held) = self.by_contact.remove(&contact) else { return };
        self.partial -= usize::from(!held.is_full());
        for (piece, copies) in (0..).zip(&mut self.copies) {
            *copies -= u32::from(held.has(piece));
        }
    }

    /// Gives what a contact holds.
    pub fn of(&self, contact: ContactId) -> Option<&Bitmap> {
        self.by_contact.get(&contact)
    }

    /// Counts the holders of a piece.
    pub fn copies(&self, piece: u32) -> u32 {
        self.copies.get(piece as usize).copied().unwrap_or(0)
    }

    /// Says whether anybody holds a part only, and so is fetching the blob as well.
    pub fn are_some_partial(&self) -> bool {
        self.partial > 0
    }

    /// Says whether nobody in contact is known to hold any of it.
    pub fn is_empty(&self) -> bool {
        self.by_contact.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_count_is_the_count() {
        let (a, b) = (ContactId(1), ContactId(2));
        let mut holders = Holders::new();
        holders.set(a, Bitmap::from_bytes(&[0b011], 3), 3);
        holders.set(b, Bitmap::from_bytes(&[0b110], 3), 3);
        holders.add(a, &[1, 2, 2, 9]);
        assert_eq!([0, 1, 2].map(|piece| holders.copies(piece)), [1, 2, 2]);
        holders.set(b, Bitmap::from_bytes(&[0b001], 3), 3);
        assert_eq!([0, 1, 2].map(|piece| holders.copies(piece)), [2, 1, 1]);
        holders.remove(a);
        assert_eq!([0, 1, 2].map(|piece| holders.copies(piece)), [1, 0, 0]);
        assert!(holders.are_some_partial() && !holders.is_empty());
    }
}
