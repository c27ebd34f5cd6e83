//! What a node shows of itself, for screens.

use crate::id::{AllianceId, ContactId, HubId};

/// Who belongs to the alliance, as the newest epoch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipView {
    /// Which alliance.
    pub alliance: AllianceId,
    /// Its name.
    pub name: String,
    /// Number of the newest epoch.
    pub epoch: u64,
    /// Who writes the epochs.
    pub registrar: HubId,
    /// The members.
    pub hubs: Vec<MemberView>,
    /// Who was taken out.
    pub revoked: Vec<HubId>,
}

/// One member of the alliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its key.
    pub hub: HubId,
    /// Its school's name.
    pub school: String,
    /// True for the lead school.
    pub is_lead: bool,
    /// Where it can be reached.
    pub addresses: Vec<String>,
}

/// What is happening with one hub, for the contacts screen.
///
/// See [`Node::contacts`](crate::Node::contacts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactView {
    /// Which.
    pub contact: ContactId,
    /// With whom.
    pub hub: HubId,
    /// Its address, for people.
    pub address: String,
    /// How long it has been open.
    pub age_ms: u64,
    /// Bytes of frames received.
    pub received_bytes: u64,
    /// Bytes of frames sent.
    pub sent_bytes: u64,
    /// Measured over the last seconds.
    pub receive_bytes_per_s: u64,
    /// Measured over the last seconds.
    pub send_bytes_per_s: u64,
    /// Smallest round trip seen; none before the first.
    pub rtt_ms: Option<u64>,
    /// Envelopes that the other side is not known to have.
    pub waiting_envelopes: u64,
    /// Bytes queued for it.
    pub queued_bytes: u64,
    /// Bytes of pieces that were asked of it and are not here yet.
    pub asked_bytes: u64,
    /// How far its wall clock is ahead of ours, as it said last; none before it has.
    pub clock_ahead_ms: Option<i64>,
}
