//! What hubs say to each other: messages, cut into frames of at most 16 KiB.
//!
//! A frame is one byte of header and a part of a message. The header has the message's
//! [`Class`] and says whether the message ends here, so that messages of different classes
//! interleave frame by frame, and an urgent one never waits for a long one.

use serde::{Deserialize, Serialize};

use crate::id::{AllianceId, BlobId, CollectionId, Hash, HubId};
use crate::pack;
use crate::riblt::Symbol;

pub mod byte_string;

use byte_string::Slice;

/// Largest frame: 4 s of the slowest link that carries a live class (32 kbit/s).
pub const FRAME_BYTES_MAX: usize = 16 << 10;
/// Longest part of a message in one frame.
pub const PART_BYTES_MAX: usize = FRAME_BYTES_MAX - 1;
/// Bytes of a frame that are kept for what is said of a piece: identifiers and numbers.
const FRAME_HEAD_BYTES: usize = 64;
/// Bytes of a piece in one [`Message::PieceData`]: the rest of the frame is its head.
pub const PIECE_PART_BYTES_MAX: usize = FRAME_BYTES_MAX - FRAME_HEAD_BYTES;
/// Version of this protocol; a hub talks to the same version only.
pub const PROTOCOL_VERSION: u16 = 4;
/// Envelopes travel in batches of about this many bytes before compression.
pub const BATCH_BYTES: usize = 64 << 10;
/// Largest batch after decompression: one envelope more than [`BATCH_BYTES`].
pub const BATCH_BYTES_MAX: usize = BATCH_BYTES + (512 << 10);
/// Most envelopes in a received batch: 64 KiB of the smallest kind.
const BATCH_ENVELOPES_MAX: usize = 1_024;
/// Most envelopes that are repaired with one contact; the rest comes with the next.
pub const REPAIRED_MAX: usize = 512;
/// Most entries of a vector: a province's hubs, twice.
pub const VECTOR_ENTRIES_MAX: usize = 4_096;
/// Most collections in a hello.
pub const COLLECTIONS_MAX: usize = 64;
/// Most addresses that a hub claims.
pub const ADDRESSES_MAX: usize = 8;
/// Longest address in bytes.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// What kind of message a frame belongs to, in the order in which they leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Greetings, credit, pings: small, and not held back by credit.
    Control = 0,
    /// Epochs.
    Membership = 1,
    /// Envelopes and what they need.
    Documents = 2,
    /// Manifests and pieces.
    Blobs = 4,
}

impl Class {
    /// All of them, the most urgent first. (3 is kept for live groups.)
    pub const ALL: [Self; 4] = [Self::Control, Self::Membership, Self::Documents, Self::Blobs];

    /// Longest message of the class in bytes.
    pub const fn message_bytes_max(self) -> usize {
        match self {
            Self::Control => 4 << 10,
            Self::Membership => 16 << 20,
            Self::Documents => 1 << 20,
            Self::Blobs => 4 << 20,
        }
    }

    fn of_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| *class as u8 == bits)
    }
}

/// One thing that a hub says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The first message of a member, both ways.
    Hello(Hello),
    /// The first message of one who joins.
    JoinRequest(JoinRequest),
    /// The answer to a join that fails; one that succeeds is answered by epochs.
    JoinRefused(JoinRefusal),
    /// The receiver of this may have sent up to so many bytes in all, not counting control.
    Credit {
        /// Bytes since the contact opened.
        granted_bytes: u64,
    },
    /// Measures the round trip and shows life.
    Ping(u64),
    /// Answers a ping.
    Pong {
        /// The ping's.
        number: u64,
        /// The sender's wall clock, milliseconds since 1970, or 0 if it has none. It is shown and
        /// compared, and decides nothing.
        wall_ms: u64,
    },
    /// Signed epochs without a gap.
    Epochs(Vec<Vec<u8>>),
    /// How far the sender holds each journal of a collection.
    Vector {
        /// Which collection.
        collection: CollectionId,
        /// Author and newest `seq` held; authors without envelopes are left out.
        entries: Vec<(HubId, u64)>,
        /// True if the other side has not sent its own yet and should.
        is_asking: bool,
    },
    /// Envelopes in order of their journals.
    Envelopes {
        /// Which collection.
        collection: CollectionId,
        /// A zstd frame of the postcard encoding of `Vec<Vec<u8>>`.
        #[serde(with = "byte_string")]
        batch: Vec<u8>,
    },
    /// These are durable here now.
    Acknowledged {
        /// Which collection.
        collection: CollectionId,
        /// Author and newest `seq` held.
        entries: Vec<(HubId, u64)>,
    },
    /// Please send this part of the stream of coded symbols of a collection's envelopes.
    AskSymbols {
        /// Which collection.
        collection: CollectionId,
        /// The first symbol.
        from: u32,
        /// How many.
        count: u32,
    },
    /// Coded symbols that were asked for.
    Symbols {
        /// Which collection.
        collection: CollectionId,
        /// The first symbol.
        from: u32,
        /// The symbols.
        symbols: Vec<Symbol>,
    },
    /// Please send these envelopes, by what stands for them in the symbols.
    AskEnvelopes {
        /// Which collection.
        collection: CollectionId,
        /// At most [`REPAIRED_MAX`].
        items: Vec<u128>,
    },
    /// Envelopes that the receiver lacks in the midst of journals, or that contradict its own.
    Repair {
        /// Which collection.
        collection: CollectionId,
        /// As in [`Message::Envelopes`].
        #[serde(with = "byte_string")]
        batch: Vec<u8>,
    },
    /// The sender would like this blob; it is told what is held, now and later.
    Want {
        /// Which blob.
        blob: BlobId,
        /// The collection that names it.
        collection: CollectionId,
        /// True if the sender has the manifest already.
        has_manifest: bool,
        /// How much it presses, an [`Urgency`](crate::plan::Urgency) as a number, 0 the most. Sent
        /// again when that has changed.
        rank: u8,
    },
    /// The sender does not want this blob any more, or has it whole.
    Unwant {
        /// Which blob.
        blob: BlobId,
    },
    /// What is held of a wanted blob.
    Holding {
        /// Which blob.
        blob: BlobId,
        /// The encoded manifest, if asked for.
        manifest: Option<Vec<u8>>,
        /// One bit a piece, least significant first.
        #[serde(with = "byte_string")]
        bitmap: Vec<u8>,
    },
    /// Nothing is held of a wanted blob, or it may not be read.
    NotHere {
        /// Which blob.
        blob: BlobId,
    },
    /// These pieces are held as well now.
    Have {
        /// Which blob.
        blob: BlobId,
        /// Their numbers.
        pieces: Vec<u32>,
    },
    /// Please send this piece from an offset on.
    Request {
        /// Which blob.
        blob: BlobId,
        /// Which piece.
        piece: u32,
        /// Bytes of it that are here already.
        offset: u32,
        /// True if nobody else who could be asked has it.
        is_urgent: bool,
    },
    /// These hubs were sent the piece; ask them, or ask again as urgent.
    Elsewhere {
        /// Which blob.
        blob: BlobId,
        /// Which piece.
        piece: u32,
        /// Who has it or is getting it, at most four.
        hubs: Vec<HubId>,
    },
    /// A part of a piece.
    PieceData {
        /// Which blob.
        blob: BlobId,
        /// Which piece.
        piece: u32,
        /// Where in the piece.
        offset: u32,
        /// At most [`PIECE_PART_BYTES_MAX`].
        #[serde(with = "byte_string")]
        bytes: Vec<u8>,
    },
    /// What the sender has countersigned of journals.
    Witnessed {
        /// As in [`Message::Envelopes`], of [`SignedStatement`](crate::witness::SignedStatement)s.
        batch: Vec<u8>,
    },
    /// Please do not send this piece now, unless it is being sent already: something presses more.
    Cancel {
        /// Which blob.
        blob: BlobId,
        /// Which piece.
        piece: u32,
    },
}

/// How a member greets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u16,
    /// The alliance they share.
    pub alliance: AllianceId,
    /// Number of the newest epoch.
    pub epoch: u64,
    /// Hash of the newest epoch.
    pub epoch_hash: Hash,
    /// Where the sender can be reached.
    pub addresses: Vec<String>,
    /// Which store answers: another one after each restore or copy that was noticed.
    pub store_id: [u8; 16],
    /// Number of the newest statement of the receiver, as a witness, that the sender holds.
    pub witnessed: u64,
    /// Fingerprint of each collection that the sender reads.
    pub collections: Vec<(CollectionId, [u8; 16])>,
}

/// How one who joins greets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u16,
    /// The alliance of the invitation.
    pub alliance: AllianceId,
    /// The secret of the invitation.
    pub secret: [u8; 16],
    /// Name of the school.
    pub school: String,
    /// The key that couriers encrypt to.
    pub x25519: [u8; 32],
    /// Where it can be reached.
    pub addresses: Vec<String>,
}

/// Why somebody may not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// The invitation is of another alliance, or was never made.
    Unknown,
    /// Somebody else joined with it.
    Used,
    /// Its time is over.
    Expired,
    /// The name of the school or an address is not allowed.
    OutOfBounds,
    /// The hub that was asked does not write the membership.
    NotRegistrar,
    /// It could not be stored; try again later.
    Busy,
}

/// Says what is wrong with a frame; the contact is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Empty, or longer than [`FRAME_BYTES_MAX`].
    #[error("a frame has 2 bytes to 16 KiB")]
    Length,
    /// An unknown class.
    #[error("a frame of no known class")]
    Class,
    /// The message is longer than its class allows.
    #[error("a message longer than its class allows")]
    TooLong,
    /// The message does not decode.
    #[error("a message that does not decode")]
    Malformed,
    /// The message travelled in another class than its own.
    #[error("a message in the wrong class")]
    WrongClass,
}

const LAST: u8 = 0x80;
/// Place of [`Message::PieceData`] among the messages.
const PIECE_DATA_KIND: u32 = 21;

impl Message {
    /// Gives the class in which the message travels.
    pub const fn class(&self) -> Class {
        match self {
            Self::Hello(_)
            | Self::JoinRequest(_)
            | Self::JoinRefused(_)
            | Self::Credit { .. }
            | Self::Ping(_)
            | Self::Pong { .. } => Class::Control,
            Self::Epochs(_) => Class::Membership,
            Self::Vector { .. }
            | Self::Envelopes { .. }
            | Self::Acknowledged { .. }
            | Self::AskSymbols { .. }
            | Self::Symbols { .. }
            | Self::AskEnvelopes { .. }
            | Self::Repair { .. }
            | Self::Witnessed { .. }
            | Self::Want { .. }
            | Self::Unwant { .. }
            | Self::NotHere { .. }
            | Self::Have { .. }
            | Self::Request { .. }
            | Self::Elsewhere { .. }
            | Self::Cancel { .. } => Class::Documents,
            Self::Holding { .. } | Self::PieceData { .. } => Class::Blobs,
        }
    }

    /// Cuts the message into frames.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let class = self.class() as u8;
        // Nearly every message is one frame: it is written where it stays.
        let mut frame = Vec::with_capacity(self.frame_bytes_hint());
        frame.push(class | LAST);
        let frame = postcard::to_extend(self, frame).expect("messages have only plain fields");
        if frame.len() <= FRAME_BYTES_MAX {
            return vec![frame];
        }
        let bytes = &frame[1..];
        let count = bytes.len().div_ceil(PART_BYTES_MAX);
        let cut = |(i, part): (usize, &[u8])| {
            let mut frame = Vec::with_capacity(part.len() + 1);
            frame.push(class | if i + 1 == count { LAST } else { 0 });
            frame.extend_from_slice(part);
            frame
        };
        bytes.chunks(PART_BYTES_MAX).enumerate().map(cut).collect()
    }

    fn frame_bytes_hint(&self) -> usize {
        match self {
            Self::PieceData { bytes, .. } => bytes.len() + FRAME_HEAD_BYTES,
            _ => FRAME_HEAD_BYTES,
        }
    }
}

/// Packs envelopes into batches of about [`BATCH_BYTES`].
pub fn pack_batches(envelopes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut batches: Vec<Vec<&Vec<u8>>> = Vec::new();
    let mut bytes = BATCH_BYTES;
    for envelope in envelopes {
        if bytes >= BATCH_BYTES {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += envelope.len();
        batches.last_mut().expect("just pushed").push(envelope);
    }
    let pack = |batch: &Vec<&Vec<u8>>| {
        let in_one_go: Vec<Slice<'_>> = batch.iter().map(|bytes| Slice(bytes)).collect();
        let plain = postcard::to_stdvec(&in_one_go).expect("bytes encode");
        pack::compress(&plain, 1)
    };
    batches.iter().map(pack).collect()
}

/// Unpacks a batch of envelopes; none if it breaks a bound or does not decode.
pub fn unpack_batch(batch: &[u8]) -> Option<Vec<Vec<u8>>> {
    let plain = pack::decompress(batch, BATCH_BYTES_MAX)?;
    match postcard::take_from_bytes::<Vec<Slice<'_>>>(&plain) {
        Ok((envelopes, [])) if envelopes.len() <= BATCH_ENVELOPES_MAX => {
            Some(envelopes.into_iter().map(|Slice(bytes)| bytes.to_vec()).collect())
        }
        _ => None,
    }
}

/// Gives the class of a frame that we made.
pub fn class_of(frame: &[u8]) -> Option<Class> {
    Class::of_bits(frame.first()? & !LAST)
}

/// Gives the piece that a frame of ours has a part of.
pub fn piece_of(frame: &[u8]) -> Option<(BlobId, u32)> {
    let (&header, message) = frame.split_first()?;
    if header != Class::Blobs as u8 | LAST {
        return None;
    }
    let (kind, blob, piece) = postcard::take_from_bytes::<(u32, BlobId, u32)>(message).ok()?.0;
    (kind == PIECE_DATA_KIND).then_some((blob, piece))
}

/// Puts frames together again, at most one unfinished message a class.
#[derive(Debug, Default)]
pub struct Reassembly {
    parts: [Vec<u8>; 5],
}

impl Reassembly {
    /// Takes a frame; gives the message that it ends, if it ends one.
    ///
    /// # Errors
    /// If the frame breaks a bound or the message does not decode; the contact is to be closed.
    pub fn push(&mut self, frame: &[u8]) -> Result<Option<Message>, FrameError> {
        let (&header, part) = frame.split_first().ok_or(FrameError::Length)?;
        if part.is_empty() || part.len() > PART_BYTES_MAX {
            return Err(FrameError::Length);
        }
        let class = Class::of_bits(header & !LAST).ok_or(FrameError::Class)?;
        let parts = &mut self.parts[class as usize];
        if parts.len() + part.len() > class.message_bytes_max() {
            return Err(FrameError::TooLong);
        }
        if header & LAST == 0 {
            parts.extend_from_slice(part);
            return Ok(None);
        }
        let whole = std::mem::take(parts);
        let message =
            if whole.is_empty() { decode(part) } else { decode(&[&whole, part].concat()) }?;
        if message.class() == class { Ok(Some(message)) } else { Err(FrameError::WrongClass) }
    }
}

fn decode(bytes: &[u8]) -> Result<Message, FrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_message_lets_a_short_one_of_another_class_pass() {
        let long = Message::Epochs(vec![vec![7; 40_000]]);
        let frames = long.frames();
        assert_eq!(frames.len(), 3);
        let mut there = Reassembly::default();
        assert_eq!(there.push(&frames[0]), Ok(None));
        assert_eq!(there.push(&Message::Ping(3).frames()[0]), Ok(Some(Message::Ping(3))));
        assert_eq!(there.push(&frames[1]), Ok(None));
        assert_eq!(there.push(&frames[2]), Ok(Some(long)));
    }

    #[test]
    fn a_part_of_a_piece_fits_one_frame() {
        let data = Message::PieceData {
            blob: BlobId([0xff; 32]),
            piece: u32::MAX,
            offset: u32::MAX,
            bytes: vec![0; PIECE_PART_BYTES_MAX],
        };
        let frames = data.frames();
        assert_eq!(frames.len(), 1);
        assert!(frames[0].len() <= FRAME_BYTES_MAX);
    }

    #[test]
    fn an_endless_message_is_refused_at_its_bound() {
        let mut there = Reassembly::default();
        let frame = [&[Class::Documents as u8][..], &[0; 10_000]].concat();
        let refused = (0..1_000).find_map(|_| there.push(&frame).err());
        assert_eq!(refused, Some(FrameError::TooLong));
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(frames: Vec<Vec<u8>>) {
            let mut there = Reassembly::default();
            for frame in frames {
                let _ = there.push(&frame);
            }
        }
    }
}
