//! Blobs: immutable files described by a manifest of pieces; what is held is a bitmap.
//!
//! `blob_id` is the BLAKE3 hash of the encoded manifest, so whoever knows the id can check the
//! manifest, and with it every piece, no matter who sent them.

use serde::{Deserialize, Serialize};

use crate::id::{BlobId, Hash};

pub mod fetch;
pub mod serve;

/// Largest piece: what is lost when a piece fails, and what a contact buffers for one.
pub const PIECE_BYTES_MAX: u32 = 1 << 20;
/// Most pieces: at 1 MiB each a blob is at most 64 GiB, and its manifest 2.3 MiB.
pub const PIECES_MAX: usize = 65_536;
/// Most opaque bytes: the segment index of ten hours of media needs about 100 KiB.
pub const INFO_BYTES_MAX: usize = 512 << 10;

/// Describes one piece of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceInfo {
    /// Length, 1 to [`PIECE_BYTES_MAX`].
    pub bytes: u32,
    /// BLAKE3 of the piece.
    pub hash: Hash,
}

/// The list of a blob's pieces, in order of the file, and what its makers say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// At least one, at most [`PIECES_MAX`].
    pub pieces: Vec<PieceInfo>,
    /// Opaque here (for media: the track's codec and segments), at most [`INFO_BYTES_MAX`].
    pub info: Vec<u8>,
}

/// Says why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// They do not decode.
    #[error("not a manifest")]
    Malformed,
    /// They decode to something that is not allowed.
    #[error("manifest out of bounds: {0}")]
    OutOfBounds(&'static str),
}

impl Manifest {
    /// Describes `content`, cut into pieces of the lengths given.
    ///
    /// # Errors
    /// If the lengths do not add up to the content, or a bound is not kept.
    pub fn of(piece_bytes: &[u32], content: &[u8], info: Vec<u8>) -> Result<Self, ManifestError> {
        let mut rest = content;
        let mut pieces = Vec::with_capacity(piece_bytes.len());
        for &bytes in piece_bytes {
            let (piece, tail) = rest
                .split_at_checked(bytes as usize)
                .ok_or(ManifestError::OutOfBounds("pieces are longer than the content"))?;
            pieces.push(PieceInfo { bytes, hash: hash(piece) });
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(ManifestError::OutOfBounds("pieces are shorter than the content"));
        }
        let manifest = Self { pieces, info };
        manifest.check()?;
        Ok(manifest)
    }

    /// Gives the bytes whose hash is the blob's id.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a manifest has only plain fields")
    }

    /// Reads a manifest from anywhere.
    ///
    /// # Errors
    /// If the bytes are no manifest or break a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let (manifest, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|_| ManifestError::Malformed)?;
        if !rest.is_empty() {
            return Err(ManifestError::Malformed);
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Gives the blob's id.
    pub fn blob_id(&self) -> BlobId {
        id_of(&self.encode())
    }

    /// Gives the length of the blob in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.bytes)).sum()
    }

    /// Gives the offset of a piece in the file in bytes; past the end, the blob's length.
    pub fn offset_of(&self, piece: u32) -> u64 {
        self.pieces.iter().take(piece as usize).map(|piece| u64::from(piece.bytes)).sum()
    }

    /// Says whether bytes are this piece.
    pub fn verifies(&self, piece: u32, bytes: &[u8]) -> bool {
        self.pieces
            .get(piece as usize)
            .is_some_and(|info| info.bytes as usize == bytes.len() && info.hash == hash(bytes))
    }

    /// Gives the bytes that the pieces in a bitmap have together.
    pub fn held_bytes(&self, held: &Bitmap) -> u64 {
        let lengths = self.pieces.iter().map(|piece| u64::from(piece.bytes));
        (0..).zip(lengths).filter(|(i, _)| held.has(*i)).map(|(_, bytes)| bytes).sum()
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.pieces.is_empty() || self.pieces.len() > PIECES_MAX {
            return Err(ManifestError::OutOfBounds("allowed are 1 to 65,536 pieces"));
        }
        if self.pieces.iter().any(|p| p.bytes == 0 || p.bytes > PIECE_BYTES_MAX) {
            return Err(ManifestError::OutOfBounds("a piece has 1 byte to 1 MiB"));
        }
        if self.info.len() > INFO_BYTES_MAX {
            return Err(ManifestError::OutOfBounds("the description has at most 512 KiB"));
        }
        Ok(())
    }
}

/// Gives the id of the blob whose encoded manifest this is.
pub fn id_of(manifest: &[u8]) -> BlobId {
    BlobId(*blake3::hash(manifest).as_bytes())
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

/// The set of pieces that are held: one bit a piece, least significant bit first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    bytes: Vec<u8>,
    len: u32,
}

impl Bitmap {
    /// The set of no pieces at all.
    pub const EMPTY: Self = Self { bytes: Vec::new(), len: 0 };

    /// Makes an empty set for `len` pieces.
    pub fn new(len: usize) -> Self {
        Self { bytes: vec![0; len.div_ceil(8)], len: len as u32 }
    }

    /// Makes the set of all pieces.
    pub fn full(len: usize) -> Self {
        let mut all = Self::new(len);
        (0..len as u32).for_each(|piece| all.insert(piece));
        all
    }

    /// Reads a set; bytes that are missing count as zero, bits past the end are dropped.
    pub fn from_bytes(bytes: &[u8], len: usize) -> Self {
        let mut set = Self::new(len);
        for piece in 0..len as u32 {
            let byte = bytes.get(piece as usize / 8).copied().unwrap_or(0);
            if byte & (1 << (piece % 8)) != 0 {
                set.insert(piece);
            }
        }
        set
    }

    /// Gives the bytes, `len / 8` rounded up.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a piece; one past the end is ignored.
    pub fn insert(&mut self, piece: u32) {
        if piece < self.len {
            self.bytes[piece as usize / 8] |= 1 << (piece % 8);
        }
    }

    /// Says whether a piece is in the set.
    pub fn has(&self, piece: u32) -> bool {
        piece < self.len && self.bytes[piece as usize / 8] & (1 << (piece % 8)) != 0
    }

    /// Counts the pieces in the set.
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Says whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.count() == self.len
    }

    /// Lists the pieces that are not in the set.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|piece| !self.has(*piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_manifest_describes_its_content_and_nothing_else() {
        let manifest = Manifest::of(&[3, 2], b"abcde", vec![7]).unwrap();
        assert_eq!((manifest.total_bytes(), manifest.offset_of(1)), (5, 3));
        assert!(manifest.verifies(1, b"de") && !manifest.verifies(1, b"dE"));
        assert!(!manifest.verifies(2, b""));
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        assert!(Manifest::of(&[3], b"abcde", vec![]).is_err());
        assert!(Manifest::of(&[], b"", vec![]).is_err());
        let mut longer = manifest.encode();
        longer.push(0);
        assert_eq!(Manifest::decode(&longer), Err(ManifestError::Malformed));
    }

    #[test]
    fn a_bitmap_ignores_what_is_past_its_end() {
        let mut held = Bitmap::from_bytes(&[0xff, 0xff], 10);
        assert!(held.is_full() && held.as_bytes() == [0xff, 0x03]);
        held.insert(10);
        assert_eq!(held.count(), 10);
        assert_eq!(Bitmap::from_bytes(&[], 3).missing().collect::<Vec<_>>(), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_manifest_or_an_error(bytes: Vec<u8>) {
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert!(manifest.check().is_ok());
            }
        }
    }
}
