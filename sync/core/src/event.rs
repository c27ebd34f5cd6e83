//! Everything that crosses the edge of the [`Node`](crate::Node): inputs, outputs, storage.
//!
//! A driver feeds [`Input`]s with the time, and carries out each [`Output`] in order.
//! Nothing here is I/O; two drivers exist, `hub/src/driver.rs` and `scenarios/src/world.rs`.

use std::collections::BTreeMap;

use crate::courier::{Carried, Outcome};
use crate::id::{BlobId, CollectionId, ContactId, DocId, HubId};

mod alarm;
mod store;
mod view;

pub use alarm::Alarm;
pub use store::{
    EnvelopeRecord, InvitationRecord, JournalHead, Restored, StoreError, StoreId, StoreOp,
    StoreReply, StoreRequest, StoreValue, StoredBlob,
};
pub use view::{ContactView, MemberView, MembershipView};

/// What a driver tells the node.
#[derive(Debug, Clone)]
pub enum Input {
    /// The wall clock, in milliseconds since 1970. Given at start, then each minute or so.
    ///
    /// Only shown to people (`written_at`) and used for the expiry of invitations.
    Clock {
        /// Milliseconds since 1970-01-01 UTC.
        wall_ms: u64,
    },
    /// What the hub's own people or policy want.
    Command(Command),
    /// A contact is open; the transport has proved that the other side holds `hub`'s key.
    Opened {
        /// A fresh number.
        contact: ContactId,
        /// The other side.
        hub: HubId,
        /// True if this side dialled.
        is_dialer: bool,
        /// The other side's address, for people.
        address: String,
    },
    /// A dial asked for by [`Output::Dial`] has failed.
    DialFailed {
        /// Who was dialled.
        hub: HubId,
        /// In a few words, for people.
        reason: String,
    },
    /// A hub was seen on the LAN.
    Discovered {
        /// Who.
        hub: HubId,
        /// A multiaddress.
        address: String,
    },
    /// One frame arrived, at most [`FRAME_BYTES_MAX`](crate::wire::FRAME_BYTES_MAX).
    Received {
        /// From whom.
        contact: ContactId,
        /// The frame as it was sent.
        frame: Vec<u8>,
    },
    /// A contact is gone. Also the answer to [`Output::Close`], once.
    Closed {
        /// Which.
        contact: ContactId,
        /// In a few words, for people.
        reason: String,
    },
    /// The answer to an [`Output::Store`]; answers may come in any order.
    Stored(StoreReply),
}

/// Number by which the hub knows its own command again.
pub type RequestId = u64;

/// What the hub asks of its node.
#[derive(Debug, Clone)]
pub enum Command {
    /// Founds an alliance with this hub as its registrar and lead school.
    Found {
        /// Answered by [`Event::Done`] or [`Event::Refused`].
        request: RequestId,
        /// Name of the alliance.
        name: String,
        /// Name of this school.
        school: String,
        /// Ed25519 secret of the root key; used once to delegate, and not kept.
        root_secret: [u8; 32],
    },
    /// Makes an invitation; this hub has to be the registrar.
    Invite {
        /// Answered by [`Event::Invited`] or [`Event::Refused`].
        request: RequestId,
        /// Random, 16 bytes; whoever shows it may join once.
        secret: [u8; 16],
        /// Wall time at which it stops working, milliseconds since 1970.
        expires_wall_ms: u64,
    },
    /// Joins an alliance with the text of an invitation.
    Join {
        /// Answered by [`Event::Done`] (member now, and durable) or [`Event::Refused`].
        request: RequestId,
        /// The line of text that [`Event::Invited`] gave.
        invitation: String,
        /// Name of this school.
        school: String,
    },
    /// Joins by what a courier brought back; see
    /// [`Node::answer_invitation`](crate::Node::answer_invitation).
    JoinCarried {
        /// Answered by [`Event::Done`] (member now, and durable) or [`Event::Refused`].
        request: RequestId,
        /// The invitation that was answered.
        invitation: String,
        /// All signed epochs of the alliance, from the first on.
        epochs: Vec<Vec<u8>>,
    },
    /// Takes a hub out of the alliance; this hub has to be the registrar.
    Revoke {
        /// Answered by [`Event::Done`] or [`Event::Refused`].
        request: RequestId,
        /// Who.
        hub: HubId,
    },
    /// Makes this hub the registrar, by the root key that was kept on paper.
    TakeOver {
        /// Answered by [`Event::Done`] or [`Event::Refused`].
        request: RequestId,
        /// Ed25519 secret of the root key; used once to delegate, and not kept.
        root_secret: [u8; 32],
    },
    /// Writes on although no other hub has said what this one wrote before it was restored.
    EndDoubt {
        /// Answered by [`Event::Done`] or [`Event::Refused`].
        request: RequestId,
    },
    /// Changes a document, and makes it if it is not there.
    EditDoc {
        /// Answered by [`Event::Done`] once durable, or [`Event::Refused`].
        request: RequestId,
        /// Where the document belongs.
        collection: CollectionId,
        /// Which document.
        doc: DocId,
        /// Pseudonym of who writes, at most 64 bytes.
        author: String,
        /// What changes, in order; all or nothing.
        edits: Vec<DocEdit>,
    },
    /// Replaces the whole list of blobs that this hub wants and does not have.
    SetWants(Vec<Want>),
    /// Tells that a blob made here is durable, so that contacts that asked for it hear of it.
    BlobAdded(BlobId),
    /// Tells that a blob was let go to make room: its pieces are not here any more, durably. Call
    /// [`Command::SetWants`] without it before. What waits for room is tried again at once.
    BlobGone(BlobId),
    /// Takes something that a courier brought, with the checks of any contact.
    Carry {
        /// Answered by [`Event::Carried`].
        request: RequestId,
        /// What.
        carried: Carried,
    },
    /// Tells that the link is back: members are dialled at once, whatever failed before.
    Reconnect,
    /// Tells under which multiaddresses this hub can be reached.
    SetAddresses(Vec<String>),
}

/// One change of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum DocEdit {
    /// Puts a value under a path of map keys; maps on the way are made if they are not there.
    Put {
        /// Keys from the root, at least one.
        path: Vec<String>,
        /// The value.
        value: DocValue,
    },
    /// Removes a key; nothing happens if it is not there.
    Delete {
        /// Keys from the root, at least one.
        path: Vec<String>,
    },
}

/// A value in a document.
#[derive(Debug, Clone, PartialEq)]
pub enum DocValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text that is replaced as a whole.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A map.
    Map(BTreeMap<String, DocValue>),
    /// A list.
    List(Vec<DocValue>),
}

/// A blob to fetch. *Which* is the hub's policy, *when and from whom* is the plan's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Which blob.
    pub blob: BlobId,
    /// The collection whose documents name it; the holder checks that we may read it.
    pub collection: CollectionId,
    /// Smaller is earlier.
    pub priority: u32,
    /// Wall time by which it is needed, milliseconds since 1970; ties go by the id.
    pub deadline_wall_ms: Option<u64>,
}

/// What the node tells its driver, to be carried out in order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send one frame. Frames of a contact keep their order.
    Send {
        /// To whom.
        contact: ContactId,
        /// At most [`FRAME_BYTES_MAX`](crate::wire::FRAME_BYTES_MAX).
        frame: Vec<u8>,
    },
    /// Close a contact (what was sent before goes out first), then say [`Input::Closed`].
    Close {
        /// Which.
        contact: ContactId,
        /// In a few words, for people.
        reason: String,
    },
    /// Try these addresses; answer with [`Input::Opened`] or [`Input::DialFailed`].
    Dial {
        /// Who.
        hub: HubId,
        /// Multiaddresses, the most promising first.
        addresses: Vec<String>,
    },
    /// Who may get past the transport's handshake from now on; replaces what was said before.
    Admit {
        /// These hubs.
        hubs: Vec<HubId>,
        /// Others too, because an invitation is open (or being answered).
        are_strangers_admitted: bool,
    },
    /// Carry out and answer with [`Input::Stored`].
    Store(StoreRequest),
    /// Something happened.
    Event(Event),
}

/// What happened. Whatever an event says is durable already.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A command was carried out.
    Done {
        /// Which command.
        request: RequestId,
    },
    /// A command was not carried out, and nothing has changed.
    Refused {
        /// Which command.
        request: RequestId,
        /// Why.
        reason: Refusal,
    },
    /// An invitation was made.
    Invited {
        /// Which command.
        request: RequestId,
        /// One line of text, for a QR code or a letter.
        text: String,
    },
    /// What a courier brought was judged; what was accepted is durable.
    Carried {
        /// Which command.
        request: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// Membership changed; see [`Node::membership`](crate::Node::membership).
    MembershipChanged,
    /// A blob's manifest was found and space is reserved, or pieces were verified and written.
    BlobProgress {
        /// Which blob.
        blob: BlobId,
        /// Bytes verified and durable.
        verified_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// A blob is whole, verified and durable.
    BlobComplete {
        /// Which blob.
        blob: BlobId,
    },
    /// A blob cannot be fetched now, because there is no room; tried again after a minute.
    BlobStalled {
        /// Which blob.
        blob: BlobId,
    },
    /// A contact with a member is in use.
    ContactUp {
        /// Which.
        contact: ContactId,
        /// With whom.
        hub: HubId,
        /// Its address, for people.
        address: String,
    },
    /// A contact with a member is gone.
    ContactDown {
        /// Which.
        contact: ContactId,
        /// With whom.
        hub: HubId,
        /// In a few words, for people.
        reason: String,
        /// Bytes received and sent while it lasted.
        received_bytes: u64,
        /// Bytes sent while it lasted.
        sent_bytes: u64,
    },
    /// Something that a person has to look at.
    Alarm(Alarm),
    /// This hub began or ceased to doubt that its disk has all that it wrote.
    DoubtChanged {
        /// True while nothing is written.
        is_in_doubt: bool,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Found or join, but this hub belongs to an alliance.
    #[error("this hub already belongs to an alliance")]
    AlreadyMember,
    /// The command needs an alliance.
    #[error("this hub belongs to no alliance yet")]
    NoAlliance,
    /// The command needs the registrar.
    #[error("only the lead school can do this")]
    NotRegistrar,
    /// The text is no invitation, or was damaged.
    #[error("this is not an invitation, or a part of it is missing")]
    InvitationMalformed,
    /// The invitation was made by another alliance.
    #[error("this invitation is of another alliance, or was never made")]
    InvitationUnknown,
    /// Somebody joined with it already.
    #[error("this invitation was used already")]
    InvitationUsed,
    /// Its time is over.
    #[error("this invitation has expired")]
    InvitationExpired,
    /// The lead school's hub cannot be reached.
    #[error("the lead school cannot be reached: {0}")]
    Unreachable(String),
    /// A value is outside its bounds.
    #[error("{what}: allowed is {allowed}")]
    OutOfBounds {
        /// Which value.
        what: &'static str,
        /// What is allowed.
        allowed: String,
    },
    /// This hub may not write to the collection, or the document cannot take the edit.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The disk was restored or copied, and others may hold what this hub wrote after that.
    #[error("waiting for another hub to give back what this hub wrote")]
    InDoubt,
    /// The secret is not the alliance's root key.
    #[error("this is not the root key of the alliance")]
    NotRootKey,
    /// The disk is full.
    #[error("the disk is full")]
    NoSpace,
    /// The store failed.
    #[error("storage failed: {0}")]
    Store(String),
}
