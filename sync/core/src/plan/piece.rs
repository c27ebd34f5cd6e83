//! Which piece to ask of whom, and how much at a time.

use crate::id::{BlobId, HubId};

/// Least that is asked of a contact at a time: what a slow start needs to find its rate.
pub const ASKED_BYTES_MIN: u64 = 256 << 10;
/// Most that is asked of a contact at a time; more would only wait there.
pub const ASKED_BYTES_MAX: u64 = 8 << 20;
/// Seconds of work that are asked of a contact: long enough to hide a satellite's delay, short
/// enough that a more urgent want is not kept waiting.
const ASKED_S: u64 = 3;

/// Says how many bytes may be asked of a contact that delivers at a rate.
pub fn asked_bytes(receive_bytes_per_s: u64) -> u64 {
    receive_bytes_per_s.saturating_mul(ASKED_S).clamp(ASKED_BYTES_MIN, ASKED_BYTES_MAX)
}

/// Least that is asked of all contacts at a time: some pieces, so that several holders are tried.
const ASKED_OF_ALL_BYTES_MIN: u64 = 2 << 20;
/// Most that is asked of all contacts at a time; bounds the memory for parts of pieces.
const ASKED_OF_ALL_BYTES_MAX: u64 = 64 << 20;

/// Says how many bytes may be asked of all contacts together when so much arrives from them:
/// twice what one could be asked for, so that one that falters leaves no gap.
pub fn asked_of_all_bytes(receive_bytes_per_s: u64) -> u64 {
    let asked = receive_bytes_per_s.saturating_mul(2 * ASKED_S);
    asked.clamp(ASKED_OF_ALL_BYTES_MIN, ASKED_OF_ALL_BYTES_MAX)
}

/// Chooses among pieces, given as number and count of holders, the one to ask for.
///
/// Where others fetch the same blob (`is_swarm`), the rarest, and among equals each hub begins
/// elsewhere, so that neighbours soon have different pieces to give. Else the first.
pub fn choose_piece(
    hub: &HubId,
    blob: &BlobId,
    is_swarm: bool,
    pieces: impl Iterator<Item = (u32, u32)>,
) -> Option<u32> {
    let key = |(piece, holders): &(u32, u32)| {
        if is_swarm { (*holders, scatter(hub, blob, *piece)) } else { (0, u64::from(*piece)) }
    };
    pieces.min_by_key(key).map(|(piece, _)| piece)
}

/// Mixes hub, blob and piece into a number (splitmix64's finaliser).
fn scatter(hub: &HubId, blob: &BlobId, piece: u32) -> u64 {
    let first_8 = |bytes: &[u8; 32]| {
        u64::from_le_bytes(bytes[..8].try_into().expect("32 bytes have 8 first ones"))
    };
    let mut x = first_8(hub.as_bytes()) ^ first_8(blob.as_bytes()).rotate_left(17);
    x = x.wrapping_add(u64::from(piece).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_piece_comes_first_among_neighbours_and_the_first_one_alone() {
        let (hub, blob) = (HubId([1; 32]), BlobId([2; 32]));
        let pieces = [(0, 3), (1, 1), (2, 3)];
        assert_eq!(choose_piece(&hub, &blob, true, pieces.into_iter()), Some(1));
        assert_eq!(choose_piece(&hub, &blob, false, pieces.into_iter()), Some(0));
    }

    #[test]
    fn neighbours_begin_at_different_pieces() {
        let first = |n| {
            let pieces = (0..100).map(|piece| (piece, 1));
            choose_piece(&HubId([n; 32]), &BlobId([2; 32]), true, pieces)
        };
        let firsts: std::collections::BTreeSet<_> = (0..36).map(first).collect();
        assert!(firsts.len() > 25, "{} of 36 differ", firsts.len());
    }
}
