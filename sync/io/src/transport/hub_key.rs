//! A hub's key as libp2p names it: the peer id is the key itself, in an identity multihash.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use yingxue_sync_core::id::HubId;

/// Multihash code of "the digest is the thing itself" (multiformats table).
const MULTIHASH_IDENTITY: u64 = 0x00;

/// Makes the libp2p identity of the hub whose Ed25519 seed is given.
pub(super) fn keypair(mut secret: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(&mut secret).expect("any 32 bytes are an Ed25519 seed")
}

/// Gives a hub's peer id, or nothing if the bytes are no point on the curve.
pub(super) fn peer_of(hub: HubId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&hub.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Gives the hub behind a peer id, or nothing if its key is not an Ed25519 key.
pub(super) fn hub_of(peer: &PeerId) -> Option<HubId> {
    let multihash = peer.as_ref();
    if multihash.code() != MULTIHASH_IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(multihash.digest()).ok()?;
    Some(HubId(key.try_into_ed25519().ok()?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_and_its_peer_id_lead_to_one_another() {
        let pair = keypair([3; 32]);
        let hub = hub_of(&pair.public().to_peer_id()).expect("an Ed25519 key");
        assert_eq!(peer_of(hub), Some(pair.public().to_peer_id()));
        let public = pair.public().try_into_ed25519().expect("an Ed25519 key");
        assert_eq!(hub.0, public.to_bytes());
    }

    #[test]
    fn a_peer_id_that_is_a_hash_is_no_hub() {
        assert_eq!(
            hub_of(&PeerId::from_bytes(&[&[0x12, 32][..], &[9; 32]].concat()).unwrap()),
            None
        );
    }
}
