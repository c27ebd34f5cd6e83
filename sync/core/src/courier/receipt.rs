//! A receipt: what a hub holds and what it wants, signed by it.

use serde::{Deserialize, Serialize};

use super::{CourierError, Keys, ParcelId, VERSION, sign, split, verify};
use crate::id::{AllianceId, BlobId, CollectionId, HubId};
use crate::wire::{COLLECTIONS_MAX, VECTOR_ENTRIES_MAX};

/// Longest receipt: two vectors of a province, and [`RECEIPT_WANTS_MAX`] blobs with ranges.
pub const RECEIPT_BYTES_MAX: usize = 2 << 20;
/// Most blobs that a receipt lists; they are in order, the rest is asked for the next time.
pub const RECEIPT_WANTS_MAX: usize = 4_096;
/// Most parcels that a receipt says to have taken; the newest, a term's.
pub const PARCELS_TAKEN_MAX: usize = 256;
/// Most ranges of a blob; past it, neighbouring ones are taken together.
const RANGES_MAX: usize = 64;

const CONTEXT: &[u8] = b"yingxue courier receipt 1\0";

/// A blob that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobWant {
    /// Which.
    pub blob: BlobId,
    /// First piece missing and the one after the last, in order; none if nothing is held.
    pub missing: Vec<(u32, u32)>,
}

/// What a hub holds and wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`VERSION`]; first, so that any version can be told.
    pub version: u16,
    /// Which alliance.
    pub alliance: AllianceId,
    /// Whose it is.
    pub hub: HubId,
    /// Counts up; an older one says nothing new.
    pub number: u64,
    /// Its newest epoch.
    pub epoch: u64,
    /// Its clock, milliseconds since 1970; shown, never trusted.
    pub written_at_wall_ms: u64,
    /// For each collection that it reads, author and newest `seq` held.
    pub vectors: Vec<(CollectionId, Vec<(HubId, u64)>)>,
    /// What it wants, the most urgent first.
    pub wants: Vec<BlobWant>,
    /// True if `wants` is all of it; what a hub knows of and does not list then is not wanted.
    pub are_wants_complete: bool,
    /// Parcels that it has taken whole, by author, the newest ones.
    pub parcels: Vec<(HubId, ParcelId)>,
}

/// A receipt with its signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// Its encoding and its hub's signature.
    pub bytes: Vec<u8>,
}

impl BlobWant {
    /// Describes a blob of which these pieces are missing, in order.
    pub fn of(blob: BlobId, missing: impl Iterator<Item = u32>) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for piece in missing {
            let are_enough = ranges.len() == RANGES_MAX;
            match ranges.last_mut() {
                Some((_, end)) if *end == piece || are_enough => *end = piece + 1,
                _ => ranges.push((piece, piece + 1)),
            }
        }
        Self { blob, missing: ranges }
    }

    /// Says whether a piece is wanted.
    pub fn lacks(&self, piece: u32) -> bool {
        let has = |(from, to): &(u32, u32)| (*from..*to).contains(&piece);
        self.missing.is_empty() || self.missing.iter().any(has)
    }
}

impl Receipt {
    /// Signs the receipt with its hub's key.
    pub fn sign(self, keys: &Keys) -> SignedReceipt {
        let body = postcard::to_stdvec(&self).expect("a receipt has only plain fields");
        let bytes = sign(CONTEXT, body, &keys.signing);
        SignedReceipt { receipt: self, bytes }
    }

    /// Gives the newest entry that the hub holds of a journal; 0 if none.
    pub fn seq_of(&self, collection: &CollectionId, author: &HubId) -> u64 {
        let vector = self.vectors.iter().find(|(id, _)| id == collection);
        let entry = vector.and_then(|(_, v)| v.iter().find(|(hub, _)| hub == author));
        entry.map_or(0, |(_, seq)| *seq)
    }

    /// Gives what the hub wants of a blob, if it wants something.
    pub fn want(&self, blob: &BlobId) -> Option<&BlobWant> {
        self.wants.iter().find(|want| want.blob == *blob)
    }

    fn check(&self) -> Result<(), CourierError> {
        let malformed = |what| Err(CourierError::Malformed(what));
        if self.vectors.len() > COLLECTIONS_MAX
            || self.vectors.iter().any(|(c, v)| !c.is_valid() || v.len() > VECTOR_ENTRIES_MAX)
        {
            return malformed("allowed are 64 collections of 4,096 journals");
        }
        let too_many = |want: &BlobWant| want.missing.len() > RANGES_MAX;
        if self.wants.len() > RECEIPT_WANTS_MAX || self.wants.iter().any(too_many) {
            return malformed("allowed are 4,096 blobs of 64 ranges");
        }
        if self.parcels.len() > PARCELS_TAKEN_MAX {
            return malformed("allowed are 256 parcels");
        }
        Ok(())
    }
}

impl SignedReceipt {
    /// Reads a receipt from anywhere: bounds and signature. Whether its hub belongs to the
    /// alliance is for whoever uses it.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CourierError> {
        let (body, signature) = split(bytes, RECEIPT_BYTES_MAX)?;
        let receipt: Receipt = match postcard::take_from_bytes(body) {
            Ok((receipt, [])) => receipt,
            _ => return Err(CourierError::Malformed("it does not decode")),
        };
        debug_assert_eq!(receipt.version, VERSION, "split has looked");
        receipt.check()?;
        verify(&receipt.hub, CONTEXT, body, signature)?;
        Ok(Self { receipt, bytes: bytes.to_vec() })
    }
}
