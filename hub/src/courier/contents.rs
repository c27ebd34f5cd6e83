//! What a segment that this hub wrote contains, so that nothing is written to a stick twice.

use serde::{Deserialize, Serialize};
use yingxue_sync_core::id::{BlobId, CollectionId, HubId};

/// Envelopes of one journal without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stretch {
    pub collection: CollectionId,
    pub author: HubId,
    /// The first one's place.
    pub from: u64,
    /// The last one's place.
    pub to: u64,
}

/// What one or more segments contain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    /// Newest epoch.
    pub epoch: Option<u64>,
    pub journals: Vec<Stretch>,
    /// First piece and the one after the last, by blob.
    pub pieces: Vec<(BlobId, u32, u32)>,
}

impl Contents {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("contents have only plain fields")
    }

    /// Reads contents; what cannot be read counts as nothing, and is written again.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).unwrap_or_default()
    }

    /// Adds one piece.
    pub(super) fn add_piece(&mut self, blob: BlobId, piece: u32) {
        match self.pieces.last_mut() {
            Some((last, _, end)) if *last == blob && *end == piece => *end = piece + 1,
            _ => self.pieces.push((blob, piece, piece + 1)),
        }
    }

    /// Adds what another segment contains.
    pub(super) fn extend(&mut self, other: Self) {
        self.epoch = self.epoch.max(other.epoch);
        self.journals.extend(other.journals);
        self.pieces.extend(other.pieces);
    }

    /// Gives the first entry of a journal, from `seq` on, that is not contained.
    pub(super) fn seq_after(&self, collection: &CollectionId, author: &HubId, seq: u64) -> u64 {
        let is_of = |s: &&Stretch| s.collection == *collection && s.author == *author;
        let mut stretches: Vec<&Stretch> = self.journals.iter().filter(is_of).collect();
        stretches.sort_by_key(|stretch| stretch.from);
        stretches.into_iter().fold(seq, |seq, stretch| {
            if stretch.from <= seq { seq.max(stretch.to + 1) } else { seq }
        })
    }

    /// Lists the pieces of a blob that are contained, as ranges.
    pub(super) fn ranges(&self, blob: &BlobId) -> Vec<(u32, u32)> {
        let of_blob = self.pieces.iter().filter(|(id, ..)| id == blob);
        of_blob.map(|(_, from, to)| (*from, *to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_stick_is_passed_over_and_holes_are_not() {
        let (lessons, author) = (CollectionId("lessons".into()), HubId([1; 32]));
        let stretch = |from, to| Stretch { collection: lessons.clone(), author, from, to };
        let contents = Contents {
            journals: vec![stretch(9, 12), stretch(1, 4), stretch(5, 6)],
            ..Contents::default()
        };
        assert_eq!(contents.seq_after(&lessons, &author, 1), 7);
        assert_eq!(contents.seq_after(&lessons, &author, 10), 13);
        assert_eq!(contents.seq_after(&lessons, &HubId([2; 32]), 3), 3);
        assert_eq!(Contents::decode(&contents.encode()), contents);
        assert_eq!(Contents::decode(&[255]), Contents::default());
    }

    #[test]
    fn neighbouring_pieces_are_one_range() {
        let (mut contents, blob) = (Contents::default(), BlobId([1; 32]));
        [0, 1, 2, 5].into_iter().for_each(|piece| contents.add_piece(blob, piece));
        assert_eq!(contents.ranges(&blob), [(0, 3), (5, 6)]);
    }
}
