//! What a hub of the province wants, and what it says can be taught: the hub's policy over the
//! node's facts. It knows only what is durable on its own disk.

use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::Want;
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_core::plan;

use super::draw::Receiver;
use super::preset::Tier;
use super::report::judged;
use crate::check;
use crate::disk::Disk;
use crate::world::alliance::lessons;

/// What a blob is taken for whose manifest has not arrived.
const UNKNOWN_BYTES: u64 = 1 << 20;

/// A lesson that is taught on one of the days.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// Its document.
    pub doc: DocId,
    /// Place in the preset's stages.
    pub stage: usize,
    /// Place among the stage's lessons of its day.
    pub period: usize,
    /// School night, 0 first.
    pub night: u64,
    /// When it is published, in the world's milliseconds.
    pub published_at_ms: u64,
    /// When it is taught, in the world's milliseconds.
    pub taught_at_ms: u64,
    /// Sound, slides, small pictures, larger ones; empty until it is published.
    pub blobs: Vec<BlobId>,
}

impl Lesson {
    /// Says whether a school follows it.
    pub fn is_for(&self, receiver: &Receiver) -> bool {
        let is_its_half = receiver.alliances == 1 || self.period % 2 == receiver.half;
        self.stage == receiver.stage && is_its_half
    }

    /// Gives the blobs that a tier needs.
    pub fn needs(&self, tier: Tier) -> impl Iterator<Item = &BlobId> {
        let places: &[usize] = match tier {
            Tier::T0 => &[0, 1],
            Tier::T1 => &[0, 1, 2],
            Tier::T2 => &[0, 1, 3],
        };
        places.iter().filter_map(|place| self.blobs.get(*place))
    }

    /// Says whether a disk's bitmaps say that a tier is wholly there.
    pub fn is_ready(&self, disk: &Disk, tier: Tier) -> bool {
        let is_whole =
            |blob: &BlobId| disk.blobs.get(blob).is_some_and(crate::disk::BlobFile::is_whole);
        is_known(disk, self) && self.needs(tier).all(is_whole)
    }

    /// Says whether every byte of a tier is on a disk as it was published.
    pub fn is_held(&self, disk: &Disk, tier: Tier) -> bool {
        is_known(disk, self) && self.needs(tier).all(|blob| check::is_whole(disk, blob))
    }
}

/// Says whether the document of a lesson has arrived.
fn is_known(disk: &Disk, lesson: &Lesson) -> bool {
    !lesson.blobs.is_empty()
        && disk.docs.get(&(lessons(), lesson.doc)).is_some_and(|doc| !doc.blobs.is_empty())
}

/// Says what a hub fetches now: the plan of the night over what it lacks. Holders are believed
/// to be everybody, since the plan only orders; who has what, the node finds out.
pub fn wants<'a>(
    disk: &Disk,
    receiver: &Receiver,
    coming: impl Iterator<Item = &'a Lesson>,
    now: &Now,
) -> Vec<Want> {
    let lacks = |blob: &&BlobId| !disk.blobs.get(*blob).is_some_and(|file| file.is_whole());
    let missing = |blob: &BlobId| plan::MissingBlob {
        blob: *blob,
        collection: lessons(),
        missing_bytes: missing_bytes(disk, blob),
        holders: now.members.clone(),
    };
    let step = |lesson: &Lesson, tier| plan::Step {
        blobs: lesson.needs(tier).filter(lacks).map(missing).collect(),
    };
    let item = |(id, lesson): (u64, &Lesson)| plan::Item {
        id,
        claim: plan::Claim::Due,
        steps: judged(receiver.preferred).map(|tier| step(lesson, tier)).to_vec(),
        deadline_wall_ms: Some(now.wall_ms_at_0 + lesson.taught_at_ms),
        weight: receiver.pupils,
    };
    let known = coming.filter(|lesson| is_known(disk, lesson));
    let items =
        (0..).zip(known).map(item).filter(|it| it.steps.iter().any(|s| !s.blobs.is_empty()));
    let night = plan::Night {
        now_wall_ms: now.wall_ms,
        utc_offset_min: now.utc_offset_min,
        items: items.collect(),
        links: now.links.clone(),
        line: None,
        window: plan::Window::ALWAYS,
        budget: plan::Budget::default(),
    };
    if night.items.is_empty() { Vec::new() } else { plan::make(&night).order }
}

/// What a hub of the province knows besides its disk.
#[derive(Debug)]
pub struct Now {
    /// The true wall clock.
    pub wall_ms: u64,
    /// The true wall clock when the world began.
    pub wall_ms_at_0: u64,
    /// Local time.
    pub utc_offset_min: i32,
    /// All hubs of the alliance.
    pub members: Vec<HubId>,
    /// The ways to them; nothing is known of them.
    pub links: Vec<plan::Link>,
}

fn missing_bytes(disk: &Disk, blob: &BlobId) -> u64 {
    let Some(file) = disk.blobs.get(blob) else { return UNKNOWN_BYTES };
    let held: usize = file.pieces.values().map(|piece| piece.len()).sum();
    let total = Manifest::decode(&file.manifest).map_or(0, |manifest| manifest.total_bytes());
    total.saturating_sub(held as u64).max(1)
}
