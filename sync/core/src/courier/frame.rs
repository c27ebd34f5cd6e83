//! Frames: what a segment is made of once it is decrypted.
//!
//! A frame is its length (4 bytes, little endian), its kind (1 byte) and its body. Whatever a
//! frame says is checked by itself: epochs and envelopes are signed, a blob's id is the hash of
//! its manifest, a piece is in the manifest.

use serde::{Deserialize, Serialize};

use super::ParcelId;
use crate::blob::PIECE_BYTES_MAX;
use crate::id::{AllianceId, BlobId, CollectionId, HubId};
use crate::pack;

/// Bytes before a frame's body.
pub const FRAME_HEAD_BYTES: usize = 5;
/// Longest body: the manifest of a blob of 65,536 pieces and its 512 KiB, an epoch of 2 MiB.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

const PIECE_HEAD_BYTES: usize = 36;

/// One thing that a segment carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first one of each segment: where it belongs.
    Begin {
        /// Which alliance.
        alliance: AllianceId,
        /// Who wrote it.
        author: HubId,
        /// Which parcel.
        parcel: ParcelId,
        /// Its place in the parcel.
        number: u16,
    },
    /// Signed epochs, in order.
    Epochs(Vec<Vec<u8>>),
    /// The author's receipt, so that what comes back knows what is missing here.
    Receipt(Vec<u8>),
    /// Envelopes of one journal.
    Envelopes {
        /// Which collection.
        collection: CollectionId,
        /// A zstd frame of the postcard encoding of `Vec<Vec<u8>>`.
        batch: Vec<u8>,
    },
    /// A blob's manifest; pieces of it follow, perhaps in later segments.
    Blob {
        /// Which blob.
        blob: BlobId,
        /// Encoded.
        manifest: Vec<u8>,
    },
    /// One piece.
    Piece {
        /// Of which blob.
        blob: BlobId,
        /// Which.
        piece: u32,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// The last one of each segment.
    End,
}

/// Says why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Its length is out of bounds.
    #[error("a frame of {0} bytes; allowed are 4 MiB")]
    TooLong(usize),
    /// Its kind or its body.
    #[error("a frame that does not decode")]
    Malformed,
}

const KIND_PIECE: u8 = 1;
const KIND_OTHER: u8 = 0;

impl Frame {
    /// Gives the frame with its head.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            // Written by hand: it is nearly all of what is carried.
            Self::Piece { blob, piece, bytes } => {
                let head = [blob.as_bytes().as_slice(), &piece.to_le_bytes()].concat();
                (KIND_PIECE, [head.as_slice(), bytes].concat())
            }
            other => {
                (KIND_OTHER, postcard::to_stdvec(other).expect("a frame has only plain fields"))
            }
        };
        let bytes = u32::try_from(body.len()).expect("what is carried is bounded elsewhere");
        [bytes.to_le_bytes().as_slice(), &[kind], &body].concat()
    }

    /// Reads the body of a frame; `head` says its kind.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(head: [u8; FRAME_HEAD_BYTES], body: &[u8]) -> Result<Self, FrameError> {
        match head[4] {
            KIND_PIECE => decode_piece(body),
            KIND_OTHER => match postcard::take_from_bytes(body) {
                Ok((Self::Piece { .. }, _)) => Err(FrameError::Malformed),
                Ok((frame, [])) => Ok(frame),
                _ => Err(FrameError::Malformed),
            },
            _ => Err(FrameError::Malformed),
        }
    }
}

/// Gives the length of the body that follows a head.
///
/// # Errors
/// If it is more than [`FRAME_BYTES_MAX`].
pub fn frame_bytes(head: [u8; FRAME_HEAD_BYTES]) -> Result<usize, FrameError> {
    let bytes = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if bytes > FRAME_BYTES_MAX { Err(FrameError::TooLong(bytes)) } else { Ok(bytes) }
}

/// Packs envelopes of one journal as [`Frame::Envelopes`] and the wire carry them.
pub fn batch_of(envelopes: &[Vec<u8>]) -> Vec<u8> {
    let plain = postcard::to_stdvec(envelopes).expect("bytes encode");
    pack::compress(&plain, 3)
}

fn decode_piece(body: &[u8]) -> Result<Frame, FrameError> {
    let (head, bytes) = body.split_at_checked(PIECE_HEAD_BYTES).ok_or(FrameError::Malformed)?;
    if bytes.is_empty() || bytes.len() > PIECE_BYTES_MAX as usize {
        return Err(FrameError::Malformed);
    }
    let (blob, piece) = head.split_at(32);
    Ok(Frame::Piece {
        blob: BlobId(blob.try_into().expect("32 bytes were split off")),
        piece: u32::from_le_bytes(piece.try_into().expect("4 bytes are left")),
        bytes: bytes.to_vec(),
    })
}
