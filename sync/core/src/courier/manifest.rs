//! The manifest of a parcel: who wrote it, for whom, and which segments there are.

use serde::{Deserialize, Serialize};

use super::{CourierError, Keys, VERSION, sign, split, verify};
use crate::id::{AllianceId, Hash, HubId};
use crate::membership::HUBS_MAX;

/// Largest segment that is read; FAT32 has files below 4 GiB, and a segment is what a pulled
/// stick can cost.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Most segments: their files have four digits.
pub const SEGMENTS_MAX: usize = 9_999;
/// Most groups of targets; one for each way in which collections are shared.
pub const GROUPS_MAX: usize = 64;
/// Longest manifest: 9,999 segments and 2,000 targets in several groups.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

const CONTEXT: &[u8] = b"yingxue courier manifest 1\0";

/// Names a parcel: a random number, in hex the name of its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ParcelId(pub u32);

impl ParcelId {
    /// Gives the name of the parcel's folder: eight lower-case hexadecimal characters.
    pub fn folder(self) -> String {
        format!("{:08x}", self.0)
    }

    /// Reads the name of a folder; none if it is another one's.
    pub fn of_folder(name: &str) -> Option<Self> {
        let id = Self(u32::from_str_radix(name, 16).ok()?);
        (id.folder() == name).then_some(id)
    }
}

/// A segment as the manifest lists it; its place is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Length of the encrypted file.
    pub bytes: u64,
    /// BLAKE3 of the encrypted file.
    pub hash: Hash,
    /// For which of the manifest's groups.
    pub group: u8,
}

/// What a parcel consists of. Written anew after each segment, always after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`]; first, so that any version can be told.
    pub version: u16,
    /// Which alliance.
    pub alliance: AllianceId,
    /// Who wrote it.
    pub author: HubId,
    /// Newest epoch of the author when it was written.
    pub epoch: u64,
    /// Which parcel.
    pub parcel: ParcelId,
    /// The author's clock, milliseconds since 1970; shown, never trusted.
    pub written_at_wall_ms: u64,
    /// True if all of it is there; else the stick was full, or was pulled out.
    pub is_finished: bool,
    /// The hubs that segments are for, by group.
    pub groups: Vec<Vec<HubId>>,
    /// The segments, in order.
    pub segments: Vec<Segment>,
}

/// A manifest with its signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// What it says.
    pub manifest: Manifest,
    /// Its encoding and the author's signature.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// Signs the manifest with its author's key.
    pub fn sign(self, keys: &Keys) -> SignedManifest {
        let body = postcard::to_stdvec(&self).expect("a manifest has only plain fields");
        let bytes = sign(CONTEXT, body, &keys.signing);
        SignedManifest { manifest: self, bytes }
    }

    /// Says whether two manifests are of one parcel, perhaps at different times.
    pub fn is_same_parcel(&self, other: &Self) -> bool {
        let name = |m: &Self| (m.alliance, m.author, m.parcel);
        name(self) == name(other) && self.groups == other.groups
    }

    /// Says whether a segment is for a hub.
    pub fn is_for(&self, segment: &Segment, hub: &HubId) -> bool {
        self.groups.get(usize::from(segment.group)).is_some_and(|group| group.contains(hub))
    }

    /// Says whether anything of the parcel is for a hub.
    pub fn is_target(&self, hub: &HubId) -> bool {
        self.groups.iter().any(|group| group.contains(hub))
    }

    /// Gives the length of all segments.
    pub fn total_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn check(&self) -> Result<(), CourierError> {
        let malformed = |what| Err(CourierError::Malformed(what));
        let hubs: usize = self.groups.iter().map(Vec::len).sum();
        if self.groups.len() > GROUPS_MAX || hubs > 4 * HUBS_MAX {
            return malformed("allowed are 64 groups of hubs");
        }
        if self.segments.len() > SEGMENTS_MAX {
            return malformed("allowed are 9,999 segments");
        }
        if self.segments.iter().any(|s| usize::from(s.group) >= self.groups.len()) {
            return malformed("a segment is for nobody");
        }
        if self.segments.iter().any(|s| s.bytes == 0 || s.bytes > SEGMENT_BYTES_MAX) {
            return malformed("a segment has 1 byte to 1 GiB");
        }
        Ok(())
    }
}

impl SignedManifest {
    /// Reads a manifest from anywhere: bounds and signature. Whether its author belongs to the
    /// alliance is for the node.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CourierError> {
        let (body, signature) = split(bytes, MANIFEST_BYTES_MAX)?;
        let manifest: Manifest = match postcard::take_from_bytes(body) {
            Ok((manifest, [])) => manifest,
            _ => return Err(CourierError::Malformed("it does not decode")),
        };
        debug_assert_eq!(manifest.version, VERSION, "split has looked");
        manifest.check()?;
        verify(&manifest.author, CONTEXT, body, signature)?;
        Ok(Self { manifest, bytes: bytes.to_vec() })
    }
}
