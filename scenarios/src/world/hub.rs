//! One hub of the world: its mind, its disk, its clock and its network.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use yingxue_sync_core::Node;
use yingxue_sync_core::event::{Event, Input, Want};
use yingxue_sync_core::id::{ContactId, Hash, HubId};

use crate::disk::Disk;
use crate::link::AccessLanes;
use crate::rng::Rng;
use crate::store::{Landed, SimStore};
use crate::world::HubIndex;

/// What moves a hub.
pub enum Mind {
    /// Nothing: its power is off.
    Off,
    /// The node.
    Node(Box<Node>),
    /// A scenario; what it was told is kept here.
    Puppet(Vec<Input>),
}

/// What a bad hub does to the frames it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tamper {
    /// Nothing.
    No,
    /// Flips one bit in each frame of at least so many bytes, that is: in pieces.
    Large(usize),
    /// Mutates so many percent of the frames: bits, length, all of it.
    Fuzz(u64),
}

/// Cuts the power at one exact place of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPlan {
    /// Before the so-many-th output or store reply of this hub.
    pub at_boundary: u64,
    /// What is left of the writes under way.
    pub landed: Landed,
    /// How long the power stays off.
    pub off_ms: u64,
}

/// See the [module](self).
pub struct SimHub {
    /// Its key.
    pub id: HubId,
    /// Ed25519 seed of its key.
    pub secret: [u8; 32],
    /// What moves it.
    pub mind: Mind,
    /// Its disk.
    pub store: SimStore,
    /// Its lines to the world.
    pub access: AccessLanes,
    /// Whether its line to the world is up.
    pub is_line_up: bool,
    /// How wrong its wall clock is.
    pub skew_ms: i64,
    /// Whether others can dial it.
    pub is_reachable: bool,
    /// Whether it wants every blob that its documents name.
    pub wants_all: bool,
    /// What it does to the frames it sends.
    pub tamper: Tamper,
    /// Where its power is to be cut.
    pub crash_plan: Option<CrashPlan>,
    /// Outputs and store replies so far, over all its starts.
    pub boundaries: u64,
    /// What it said happened, with the world's time in milliseconds.
    pub events: Vec<(u64, Event)>,
    /// Bytes of frames sent, by receiver.
    pub sent_bytes: BTreeMap<HubIndex, u64>,
    /// Bytes of frames sent that carry manifests and pieces.
    pub sent_blob_bytes: u64,
    /// The first frames sent, for those who replay them.
    pub sent_frames: Vec<Vec<u8>>,
    /// A copy of its disk.
    pub backup: Option<Disk>,
    /// Entries of its own that were durable once and that a restored copy lacks.
    pub lost: BTreeSet<Hash>,
    /// How often it was started; what belongs to an earlier start is void.
    pub(super) boot: u32,
    pub(super) booted_ms: u64,
    pub(super) wake_us: Option<u64>,
    pub(super) admitted: BTreeSet<HubId>,
    pub(super) are_strangers_admitted: bool,
    pub(super) contacts: BTreeMap<ContactId, (usize, usize)>,
    pub(super) next_contact: u64,
    pub(super) wants: Vec<Want>,
}

/// Frames kept for replay.
pub(super) const SENT_FRAMES_MAX: usize = 64;

impl SimHub {
    pub(super) fn new(index: HubIndex, secret: [u8; 32], access: AccessLanes) -> Self {
        let id = HubId(SigningKey::from_bytes(&secret).verifying_key().to_bytes());
        Self {
            id,
            secret,
            mind: Mind::Off,
            store: SimStore::default(),
            access,
            is_line_up: true,
            skew_ms: 0,
            is_reachable: true,
            wants_all: true,
            tamper: Tamper::No,
            crash_plan: None,
            boundaries: 0,
            events: Vec::new(),
            sent_bytes: BTreeMap::new(),
            sent_blob_bytes: 0,
            sent_frames: Vec::new(),
            backup: None,
            lost: BTreeSet::new(),
            boot: 0,
            booted_ms: 0,
            wake_us: None,
            admitted: BTreeSet::new(),
            are_strangers_admitted: false,
            contacts: BTreeMap::new(),
            next_contact: index as u64 * 1_000_000,
            wants: Vec::new(),
        }
    }

    /// Gives its node, if its power is on.
    pub fn node(&self) -> Option<&Node> {
        match &self.mind {
            Mind::Node(node) => Some(node),
            Mind::Off | Mind::Puppet(_) => None,
        }
    }

    /// Gives what a puppet was told.
    pub fn heard(&self) -> &[Input] {
        match &self.mind {
            Mind::Puppet(heard) => heard,
            Mind::Off | Mind::Node(_) => &[],
        }
    }

    /// Gives the contacts that are open now.
    pub fn open_contacts(&self) -> Vec<ContactId> {
        self.contacts.keys().copied().collect()
    }

    /// Says whether it can be reached at all.
    pub fn is_on(&self) -> bool {
        !matches!(self.mind, Mind::Off)
    }
}

/// Gives the address under which the hub with this number can be reached.
pub fn address_of(hub: HubIndex) -> String {
    format!("/ip4/10.0.{}.{}/tcp/4001", hub / 250, hub % 250 + 1)
}

/// Does to a frame what a bad hub does.
pub(super) fn tampered(mut frame: Vec<u8>, tamper: Tamper, rng: &mut Rng) -> Vec<u8> {
    match tamper {
        Tamper::Large(bytes_min) if frame.len() >= bytes_min => flip(&mut frame, rng),
        Tamper::Fuzz(percent) if rng.chance(percent) => return fuzzed(frame, rng),
        Tamper::No | Tamper::Large(_) | Tamper::Fuzz(_) => {}
    }
    frame
}

/// Mutates a frame: a bit, a byte, its end, its length, or all of it.
pub fn fuzzed(mut frame: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    match rng.below(7) {
        0 | 1 => flip(&mut frame, rng),
        2 if !frame.is_empty() => {
            let at = rng.index(frame.len());
            frame[at] = rng.bits() as u8;
        }
        3 => frame.truncate(rng.index(frame.len() + 1)),
        4 => frame.extend(vec![rng.bits() as u8; rng.index(17 << 10)]),
        5 => {
            let len = rng.index(17 << 10);
            frame = rng.bytes(len);
        }
        _ => {
            let head = frame.len().min(3);
            let tail = rng.index(64);
            frame.truncate(head);
            frame.extend(rng.bytes(tail));
        }
    }
    frame
}

fn flip(frame: &mut [u8], rng: &mut Rng) {
    if !frame.is_empty() {
        // The second half: past the header, in what the frame carries.
        let at = frame.len() / 2 + rng.index(frame.len().div_ceil(2));
        frame[at.min(frame.len() - 1)] ^= 1 << rng.below(8);
    }
}
