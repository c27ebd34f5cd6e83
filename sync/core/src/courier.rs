//! What a courier carries: a stick or a disk that takes changes and blobs from hub to hub.
//!
//! Formats and their bounds only; a stick's files are `sync/io`'s, and whether what is in them
//! is accepted is decided by the [`Node`](crate::Node), with the checks of any contact.
//!
//! - A **parcel** is what one hub wrote in one go: a signed [`Manifest`], and segments.
//! - A segment is a run of [`Frame`]s, encrypted to the hubs that it is for.
//! - A **receipt** ([`Receipt`]) says what a hub holds and wants, so that the next parcel
//!   carries only what is missing.
//! - An **answer** ([`Answer`]) is how a hub joins that no wire reaches.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::event::{Refusal, StoreError};
use crate::id::{AllianceId, BlobId, CollectionId, HubId};

mod answer;
mod frame;
mod manifest;
mod receipt;

pub use answer::{ANSWER_BYTES_MAX, Answer, SignedAnswer, answer_key};
pub use frame::{FRAME_BYTES_MAX, FRAME_HEAD_BYTES, Frame, FrameError, batch_of, frame_bytes};
pub use manifest::{
    GROUPS_MAX, MANIFEST_BYTES_MAX, Manifest, ParcelId, SEGMENT_BYTES_MAX, SEGMENTS_MAX, Segment,
    SignedManifest,
};
pub use receipt::{
    BlobWant, PARCELS_TAKEN_MAX, RECEIPT_BYTES_MAX, RECEIPT_WANTS_MAX, Receipt, SignedReceipt,
};

/// Version of these formats; a hub reads the same version only.
pub const VERSION: u16 = 1;

const SIGNATURE_BYTES: usize = 64;

/// Says why a manifest or a receipt is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// It is cut short, no such thing, or breaks a bound.
    #[error("it is damaged or cut short: {0}")]
    Malformed(&'static str),
    /// A newer or older program wrote it.
    #[error("it is of format {found}, this hub reads format {VERSION}; update both hubs")]
    Version {
        /// What it says.
        found: u16,
    },
    /// Somebody changed it, or somebody else wrote it.
    #[error("its signature is wrong: it was edited, or is not of the hub that it names")]
    Signature,
}

/// The two keys of a hub, made of its one secret.
#[derive(Clone)]
pub struct Keys {
    signing: SigningKey,
    x25519: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.hub().short())
    }
}

impl Keys {
    /// Derives the keys from a hub's secret.
    pub fn of(secret: &[u8; 32]) -> Self {
        Self {
            signing: SigningKey::from_bytes(secret),
            x25519: blake3::derive_key("yingxue courier key 1", secret),
        }
    }

    /// Gives the hub that has these keys.
    pub fn hub(&self) -> HubId {
        HubId(self.signing.verifying_key().to_bytes())
    }

    /// Gives the secret that opens what is encrypted to this hub.
    pub const fn x25519_secret(&self) -> &[u8; 32] {
        &self.x25519
    }

    /// Gives the secret that opens answers to this hub's invitations; see [`answer_key`].
    pub fn answer_secret(&self) -> [u8; 32] {
        self.signing.to_scalar_bytes()
    }

    /// Gives the key that couriers encrypt to.
    pub fn x25519_public(&self) -> [u8; 32] {
        let secret = x25519_dalek::StaticSecret::from(self.x25519);
        x25519_dalek::PublicKey::from(&secret).to_bytes()
    }
}

/// What a node knows that decides what a parcel carries, and for whom.
///
/// See [`Node::courier_view`](crate::Node::courier_view).
#[derive(Debug, Clone)]
pub struct View {
    /// Which alliance.
    pub alliance: AllianceId,
    /// Number of the newest epoch.
    pub epoch: u64,
    /// The signed epochs, from 0.
    pub epochs: Vec<Vec<u8>>,
    /// Every member and the key that couriers encrypt to.
    pub members: Vec<(HubId, [u8; 32])>,
    /// Collections that this hub reads.
    pub collections: Vec<CollectionView>,
}

/// A collection as [`View`] lists it.
#[derive(Debug, Clone)]
pub struct CollectionView {
    /// Which.
    pub id: CollectionId,
    /// Author and newest `seq` of each journal.
    pub vector: Vec<(HubId, u64)>,
    /// Members that may have it.
    pub readers: Vec<HubId>,
}

/// Something that a courier brought, to be judged by the node.
#[derive(Debug, Clone)]
pub enum Carried {
    /// A signed answer to an invitation of this hub, decrypted.
    Answer(Vec<u8>),
    /// Signed epochs, in order.
    Epochs(Vec<Vec<u8>>),
    /// Envelopes of one collection, in order of their journals, as a batch on the wire.
    Envelopes {
        /// Which collection.
        collection: CollectionId,
        /// A zstd frame of the postcard encoding of `Vec<Vec<u8>>`.
        batch: Vec<u8>,
    },
    /// The manifest of a blob; its pieces may follow.
    Blob {
        /// Which blob.
        blob: BlobId,
        /// Encoded.
        manifest: Vec<u8>,
    },
    /// Pieces of the blob whose manifest was carried before.
    Pieces {
        /// Which blob.
        blob: BlobId,
        /// Number and bytes of each.
        pieces: Vec<(u32, Vec<u8>)>,
    },
}

/// What became of something carried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Epochs, envelopes or pieces that are new here, and durable; of an answer, new members.
    pub accepted: u32,
    /// True if the blob is whole here now.
    pub is_whole: bool,
    /// Of a manifest: the pieces that are held already, one bit a piece.
    pub held: Vec<u8>,
    /// Why it, or the rest of it, was not taken.
    pub refused: Option<CarryError>,
}

/// Says why something carried was not taken. Nothing has changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarryError {
    /// It is wrong and will never be taken.
    #[error("{0}")]
    Wrong(String),
    /// Something that comes before it is missing.
    #[error("entries before it are missing; another stick, or the link, brings them")]
    Gap,
    /// It was written under a membership that is not known here yet.
    #[error("it was written under a membership list that is not here yet")]
    UnknownEpoch,
    /// No document that this hub may read names the blob.
    #[error("no lesson that is known here names it")]
    NotNamed,
    /// Whoever answered an invitation may not join.
    #[error("{0}")]
    NotAdmitted(Refusal),
    /// This hub belongs to no alliance.
    #[error("this hub belongs to no alliance yet")]
    NoAlliance,
    /// Too much waits to be stored.
    #[error("too much waits to be stored; try again")]
    Busy,
    /// The store could not; a full disk, most often.
    #[error("it could not be stored: {0}")]
    Store(StoreError),
}

/// Gives the name of a hub's receipt in `have/`, short enough for every file system: 8.3
/// characters of its key in hex (44 bits; what is in the file says whose it really is).
pub fn receipt_name(hub: &HubId) -> String {
    let hex = hub.to_string();
    format!("{}.{}", &hex[..8], &hex[8..11])
}

fn sign(context: &[u8], mut body: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&[context, &body].concat());
    body.extend_from_slice(&signature.to_bytes());
    body
}

/// Splits signed bytes into body and signature.
fn split(bytes: &[u8], bytes_max: usize) -> Result<(&[u8], &[u8]), CourierError> {
    if bytes.len() > bytes_max {
        return Err(CourierError::Malformed("it is longer than allowed"));
    }
    let body = bytes.len().checked_sub(SIGNATURE_BYTES);
    let body = body.ok_or(CourierError::Malformed("it is too short"))?;
    // The first field is the version, so that a newer format is told from a damaged one.
    match postcard::take_from_bytes::<u16>(bytes) {
        Ok((VERSION, _)) => Ok(bytes.split_at(body)),
        Ok((found, _)) => Err(CourierError::Version { found }),
        Err(_) => Err(CourierError::Malformed("it has no version")),
    }
}

fn verify(hub: &HubId, context: &[u8], body: &[u8], signature: &[u8]) -> Result<(), CourierError> {
    let wrong = |_| CourierError::Signature;
    let key = VerifyingKey::from_bytes(hub.as_bytes()).map_err(wrong)?;
    let signature = Signature::from_slice(signature).map_err(wrong)?;
    key.verify_strict(&[context, body].concat(), &signature).map_err(wrong)
}

#[cfg(test)]
mod tests;
