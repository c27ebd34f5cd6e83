//! Documents that belong to one hub: their identifier commits to its key.
//!
//! An owned identifier is `marker ‖ nonce ‖ proof`, the proof a hash of the owner's key and the
//! nonce. Whoever sees an envelope can tell from its author and its document alone whether that
//! author may write there: no list of owners, no first come, nothing that depends on the order of
//! arrival or on what else is here. Identifiers without the marker belong to nobody: threads of
//! comments, and documents made before there were owners.
//!
//! Finding another key that fits takes 2^72 key pairs, and then an alliance that takes it in.

use super::{DocId, HubId};

/// First bytes of an owned identifier: one in 16 million of the older, random ones has them, and
/// is closed to everybody then.
const MARKER: [u8; 3] = [0xf1, 0xef, 0x1e];
/// Bytes that tell a hub's documents apart: what makes one looks whether it is taken.
const NONCE_BYTES: usize = 4;
const PROOF_AT: usize = MARKER.len() + NONCE_BYTES;
const CONTEXT: &str = "yingxue owned document 1";

impl DocId {
    /// Where entries are filed that change a document of somebody else: nobody owns it, so that
    /// nothing can ever be written here.
    pub const NOBODYS: Self =
        Self([MARKER[0], MARKER[1], MARKER[2], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// Makes the identifier of a document that only `owner` may write to.
    pub fn owned(owner: &HubId, nonce: [u8; NONCE_BYTES]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(owner.as_bytes()).update(&nonce);
        let mut id = [0; 16];
        id[..MARKER.len()].copy_from_slice(&MARKER);
        id[MARKER.len()..PROOF_AT].copy_from_slice(&nonce);
        let proof = id.len() - PROOF_AT;
        id[PROOF_AT..].copy_from_slice(&hasher.finalize().as_bytes()[..proof]);
        Self(id)
    }

    /// Makes an identifier that was derived from something else one that nobody owns.
    pub fn unowned(mut self) -> Self {
        if self.is_owned() {
            self.0[0] ^= 1;
        }
        self
    }

    /// Says whether only one hub may write to the document.
    pub fn is_owned(&self) -> bool {
        self.0.starts_with(&MARKER)
    }

    /// Says whether what a hub writes to the document counts.
    pub fn may_be_written_by(&self, hub: &HubId) -> bool {
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.0[MARKER.len()..PROOF_AT]);
        !self.is_owned() || *self == Self::owned(hub, nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_writes_where_the_entries_of_trespassers_are_filed() {
        assert!(DocId::NOBODYS.is_owned());
        for n in 0..=255 {
            assert!(!DocId::NOBODYS.may_be_written_by(&HubId([n; 32])));
        }
    }

    proptest! {
        #[test]
        fn its_owner_and_nobody_else_writes_to_an_owned_document(
            owner: [u8; 32], other: [u8; 32], nonce: [u8; 4], bit in 0_usize..128,
        ) {
            let (owner, other) = (HubId(owner), HubId(other));
            let id = DocId::owned(&owner, nonce);
            prop_assert!(id.is_owned() && id.may_be_written_by(&owner));
            prop_assert_eq!(id.may_be_written_by(&other), owner == other);
            // Another identifier is another document: open to all without the marker, else closed.
            let mut changed = id;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(changed.may_be_written_by(&owner), !changed.is_owned());
        }

        #[test]
        fn a_document_without_the_marker_is_open_to_all(id: [u8; 16], hub: [u8; 32]) {
            let id = DocId(id).unowned();
            prop_assert!(!id.is_owned() && id.may_be_written_by(&HubId(hub)));
            prop_assert!(!DocId::owned(&HubId(hub), [0; 4]).unowned().is_owned());
        }
    }
}
