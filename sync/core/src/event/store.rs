//! Storage as an effect: what a node asks of its store, and what comes back.

use crate::id::{BlobId, CollectionId, DocId, Hash, HubId};
use crate::witness::{StatementHeld, StatementRecord};

/// Number that joins a store request with its reply.
pub type StoreId = u64;

/// Something to read or write durably.
#[derive(Debug, Clone)]
pub struct StoreRequest {
    /// Comes back in the reply.
    pub id: StoreId,
    /// What to do.
    pub op: StoreOp,
}

/// What a store does. Writes are answered when they would survive a power cut, not before.
///
/// Writes take effect in the order they were given. A read sees the writes given before it.
#[derive(Debug, Clone)]
pub enum StoreOp {
    /// Adds the next membership epoch and, in the same transaction, marks an invitation used.
    PutEpoch {
        /// Its number, from 0.
        n: u64,
        /// The signed epoch, opaque.
        bytes: Vec<u8>,
        /// Hash of the invitation's secret, and who joined with it.
        used_invitation: Option<(Hash, HubId)>,
    },
    /// Keeps an invitation.
    PutInvitation(InvitationRecord),
    /// Adds envelopes to journals, all or nothing; one that is there already is left alone.
    AppendEnvelopes {
        /// In order of their journals.
        envelopes: Vec<EnvelopeRecord>,
        /// The collection's fingerprint afterwards.
        fingerprint: [u8; 16],
    },
    /// Reads a journal from `from_seq` on, up to about `bytes_max` but at least one envelope.
    ReadEnvelopes {
        /// Which collection.
        collection: CollectionId,
        /// Whose journal.
        author: HubId,
        /// First `seq`.
        from_seq: u64,
        /// Stop after this many bytes.
        bytes_max: usize,
    },
    /// Reads journals from a place on, what was set aside, and every envelope of the documents
    /// that any of these change.
    ReadDisputed {
        /// Which collection.
        collection: CollectionId,
        /// Author and first `seq`.
        tails: Vec<(HubId, u64)>,
    },
    /// Keeps envelopes that do not count, as evidence or because they may count later; those that
    /// are there are left alone. At most [`ASIDE_MAX`](crate::journal::ASIDE_MAX) of one author
    /// in one collection, the first to come.
    SetAside {
        /// The envelopes.
        envelopes: Vec<EnvelopeRecord>,
    },
    /// Cuts journals and appends what was set aside, all or nothing. What is cut off is set aside;
    /// documents that had any of it are unsaved, with all their envelopes to be applied anew.
    Rejudge {
        /// Which collection.
        collection: CollectionId,
        /// Author, and the newest `seq` that stays.
        cuts: Vec<(HubId, u64)>,
        /// Envelopes to be taken over, in order of their journals.
        accepted: Vec<EnvelopeRecord>,
        /// The collection's fingerprint afterwards.
        fingerprint: [u8; 16],
    },
    /// Fills holes of journals; what is damaged in their places is replaced.
    Mend {
        /// Which collection.
        collection: CollectionId,
        /// The envelopes, in any order.
        envelopes: Vec<EnvelopeRecord>,
        /// The collection's fingerprint afterwards.
        fingerprint: [u8; 16],
    },
    /// Keeps an epoch that contradicts the one in its place.
    SetEpochAside {
        /// Its number.
        n: u64,
        /// The signed epoch, opaque.
        bytes: Vec<u8>,
    },
    /// Keeps whether this hub doubts that its disk has all that it wrote.
    PutDoubt {
        /// True if it does.
        is_in_doubt: bool,
    },
    /// Keeps statements of witnesses, each in its slot: one there that says as much or more stays.
    PutStatements {
        /// The statements.
        statements: Vec<StatementRecord>,
    },
    /// Keeps the statement at a place once more in another slot, as evidence.
    KeepContradicted {
        /// Which collection.
        collection: CollectionId,
        /// Whose journal.
        author: HubId,
        /// Whose statement.
        witness: HubId,
        /// About which place.
        seq: u64,
        /// [`SLOT_CONTRADICTED`](crate::witness::SLOT_CONTRADICTED).
        slot: i64,
    },
    /// Lists the envelopes of a collection: author, `seq` and hash of each.
    ListEnvelopes {
        /// Which collection.
        collection: CollectionId,
        /// True if the bytes are to be read, and those left out whose hash is wrong.
        is_verified: bool,
    },
    /// Reads single envelopes.
    ReadPlaces {
        /// Which collection.
        collection: CollectionId,
        /// Author and `seq` of each.
        places: Vec<(HubId, u64)>,
    },
    /// Reads the saved document and the envelopes of it that the snapshot does not have.
    LoadDoc {
        /// Which collection.
        collection: CollectionId,
        /// Which document.
        doc: DocId,
    },
    /// Saves a document, marks envelopes applied, and projects it, in one transaction.
    SaveDoc {
        /// Which collection.
        collection: CollectionId,
        /// Which document.
        doc: DocId,
        /// The document as Automerge saves it.
        snapshot: Vec<u8>,
        /// Author and `seq` of the envelopes that it has now.
        applied: Vec<(HubId, u64)>,
    },
    /// Keeps a manifest and reserves the blob's space; existing pieces stay. A store that finds
    /// a file of this blob which it did not know answers with [`StoreValue::Blob`]: what it has
    /// verified there is held.
    ReserveBlob {
        /// Which blob.
        blob: BlobId,
        /// The encoded [`Manifest`](crate::blob::Manifest), checked against `blob`.
        manifest: Vec<u8>,
    },
    /// Reads what is known of a blob.
    LoadBlob {
        /// Which blob.
        blob: BlobId,
    },
    /// Reads one piece of a blob.
    ReadPiece {
        /// Which blob.
        blob: BlobId,
        /// Which piece.
        piece: u32,
    },
    /// Writes verified pieces: bytes, fsync, then the bitmap.
    WritePieces {
        /// Which blob.
        blob: BlobId,
        /// Number and bytes of each.
        pieces: Vec<(u32, Vec<u8>)>,
    },
}

/// An envelope with what a store files it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeRecord {
    /// Which collection.
    pub collection: CollectionId,
    /// Whose journal.
    pub author: HubId,
    /// Place in the journal, from 1.
    pub seq: u64,
    /// Hash of `bytes`.
    pub hash: Hash,
    /// Which document it changes; [`DocId::NOBODYS`] if that belongs to another hub.
    pub doc: DocId,
    /// The signed envelope.
    pub bytes: Vec<u8>,
}

/// An invitation as the registrar keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRecord {
    /// BLAKE3 of the secret; the secret itself is not kept.
    pub secret_hash: Hash,
    /// Milliseconds since 1970.
    pub expires_wall_ms: u64,
    /// Who joined with it.
    pub used_by: Option<HubId>,
}

/// The answer to a [`StoreRequest`].
#[derive(Debug, Clone)]
pub struct StoreReply {
    /// Which request.
    pub id: StoreId,
    /// What came of it.
    pub result: Result<StoreValue, StoreError>,
}

/// What a store gives back.
#[derive(Debug, Clone)]
pub enum StoreValue {
    /// A write is durable.
    Done,
    /// The envelopes read, as they were appended, in order of `seq`.
    Envelopes(Vec<Vec<u8>>),
    /// A document.
    Doc {
        /// As it was saved last, if ever.
        snapshot: Option<Vec<u8>>,
        /// Envelopes that it does not have yet, in the order they were appended.
        pending: Vec<Vec<u8>>,
    },
    /// Envelopes that count, and those that were set aside, each in order of its journal.
    Disputed {
        /// Those that count.
        kept: Vec<Vec<u8>>,
        /// Those that do not.
        aside: Vec<Vec<u8>>,
    },
    /// Documents that have to be made again.
    Docs(Vec<DocId>),
    /// Author, `seq` and hash of envelopes, in this order.
    Places(Vec<(HubId, u64, Hash)>),
    /// A blob.
    Blob(StoredBlob),
    /// A piece as it is on disk, not verified.
    Piece(Vec<u8>),
}

/// What a store knows of a blob.
#[derive(Debug, Clone, Default)]
pub struct StoredBlob {
    /// The encoded manifest, if known.
    pub manifest: Option<Vec<u8>>,
    /// One bit a piece, least significant first; empty if nothing is held.
    pub bitmap: Vec<u8>,
    /// Collections whose documents name it (from the projection).
    pub collections: Vec<CollectionId>,
}

/// Why a store could not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the share of it that is ours, is full. Nothing has changed.
    #[error("no space left")]
    NoSpace,
    /// It is not there.
    #[error("not found")]
    Missing,
    /// Anything else. Nothing has changed.
    #[error("{0}")]
    Failed(String),
}

/// What a store holds when a node starts.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Signed epochs, from 0, without a gap.
    pub epochs: Vec<Vec<u8>>,
    /// The newest envelope of each journal.
    pub heads: Vec<JournalHead>,
    /// Fingerprint of each collection that has envelopes.
    pub fingerprints: Vec<(CollectionId, [u8; 16])>,
    /// Documents with envelopes that were appended and not yet applied.
    pub unapplied: Vec<(CollectionId, DocId)>,
    /// Invitations that were made here.
    pub invitations: Vec<InvitationRecord>,
    /// Documents of which envelopes were set aside.
    pub aside: Vec<(CollectionId, DocId)>,
    /// True if an epoch was set aside: two memberships are signed.
    pub has_epochs_aside: bool,
    /// The farthest statement of each witness about each journal, and those that are contradicted.
    pub statements: Vec<StatementHeld>,
    /// Random, and another one after each restore or copy that was noticed.
    pub store_id: [u8; 16],
    /// True if the store was restored or copied and others were not asked since.
    pub is_in_doubt: bool,
}

/// The newest envelope of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalHead {
    /// Which collection.
    pub collection: CollectionId,
    /// Whose journal.
    pub author: HubId,
    /// Its `seq`.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// The epoch that it cites.
    pub epoch: u64,
}
