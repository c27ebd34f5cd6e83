//! What a hub of the province wants, and what it says can be taught: the hub's policy over the
//! node's facts. It knows only what is durable on its own disk.

use yingxue_sync_core::event::Want;
use yingxue_sync_core::id::{BlobId, DocId};

use super::draw::Receiver;
use super::preset::Tier;
use crate::check;
use crate::disk::Disk;
use crate::world::alliance::lessons;

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
    fn needs(&self, tier: Tier) -> impl Iterator<Item = &BlobId> {
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

/// Lists what a hub fetches now: the floor of every lesson to come, the soonest first, then the
/// finer pictures in the same order.
pub fn wants<'a>(
    disk: &Disk,
    receiver: &Receiver,
    coming: impl Iterator<Item = &'a Lesson> + Clone,
    wall_ms_at_0: u64,
) -> Vec<Want> {
    let mut wants = Vec::new();
    let lacks = |blob: &&BlobId| !disk.blobs.get(*blob).is_some_and(|file| file.is_whole());
    for tier in [Tier::T0, receiver.preferred] {
        for lesson in coming.clone().filter(|lesson| is_known(disk, lesson)) {
            for blob in lesson.needs(tier).filter(lacks) {
                wants.push(Want {
                    blob: *blob,
                    collection: lessons(),
                    priority: wants.len() as u32,
                    deadline_wall_ms: Some(wall_ms_at_0 + lesson.taught_at_ms),
                });
            }
        }
    }
    yingxue_sync_core::plan::order(wants)
}
