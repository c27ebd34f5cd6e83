//! What of the plan has room on the disk, and how much is to be freed for it.

use std::collections::{BTreeMap, BTreeSet};

use yingxue_sync_core::event::Want;
use yingxue_sync_core::id::BlobId;
use yingxue_sync_core::plan::{Item, Urgency};
use yingxue_sync_io::blob_files::BlobFiles;

use crate::config::StorageConfig;
use crate::room::retention::{self, Disk, Fetch};

/// The disk, as a plan sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Space {
    /// What is free, and what is kept free.
    pub disk: Disk,
    /// That have to be let go, so that what is needed has room.
    pub bytes_to_free: u64,
    /// Wanted, and not fetched because the reserve would be touched.
    pub without_room: BTreeSet<BlobId>,
    /// Once without room, which would find it now, or are not wanted any more.
    pub with_room_again: BTreeSet<BlobId>,
}

/// What a plan wants of the disk.
pub struct Asked<'a> {
    /// Everything that is wanted.
    pub items: &'a [Item],
    /// Originals that nobody has asked for.
    pub originals: &'a BTreeSet<BlobId>,
    /// What each lesson of the coming days lacks of its floor.
    pub floors: Vec<Vec<(BlobId, u64)>>,
    /// Blobs for which the disk had no room.
    pub stalled: &'a BTreeSet<BlobId>,
}

/// Leaves out of the wants what has no room; says what follows.
pub fn fit(
    wants: &mut Vec<Want>,
    asked: &Asked<'_>,
    files: &BlobFiles,
    config: &StorageConfig,
) -> Space {
    let Ok(available_bytes) = files.available_bytes() else {
        // A disk that does not say what is free says so when it is written to.
        return Space::default();
    };
    let lacking = |blob: BlobId, missing: u64| files.unreserved_bytes(blob).unwrap_or(missing);
    let floor = |floor: &Vec<(BlobId, u64)>| {
        floor.iter().fold(0, |sum: u64, (blob, bytes)| sum.saturating_add(lacking(*blob, *bytes)))
    };
    let disk = Disk {
        available_bytes,
        reserve_bytes: retention::reserve_bytes(
            asked.floors.iter().map(floor),
            config.reserve_bytes,
        ),
        freed_bytes: config.freed_bytes,
        originals_free_bytes_min: config.originals_free_bytes_min,
    };
    let of_items = asked.items.iter().flat_map(|item| &item.steps).flat_map(|step| &step.blobs);
    let missing: BTreeMap<BlobId, u64> = of_items.map(|it| (it.blob, it.missing_bytes)).collect();
    let fetch = |want: &Want| Fetch {
        urgency: Urgency::of(want.priority),
        bytes: lacking(want.blob, missing.get(&want.blob).copied().unwrap_or(0)),
        is_original: asked.originals.contains(&want.blob),
    };
    let fetches: Vec<Fetch> = wants.iter().map(fetch).collect();
    let fits = retention::fitting(&fetches, &disk);
    let mut space = Space { disk, ..Space::default() };
    space.bytes_to_free = disk.bytes_to_free(fits.wanted_bytes);
    let wanted: BTreeSet<BlobId> = wants.iter().map(|want| want.blob).collect();
    let mut with_room = BTreeSet::new();
    let mut kept = Vec::with_capacity(wants.len());
    for ((want, fetch), may_come) in wants.drain(..).zip(&fetches).zip(fits.may_come) {
        let is_rest = fetch.urgency == Urgency::Rest;
        let fits_disk = fetch.bytes <= disk.available_bytes;
        // While something that is needed lacks room, nothing else takes any.
        if may_come && !(is_rest && space.bytes_to_free > 0) {
            if fits_disk {
                with_room.insert(want.blob);
            }
            kept.push(want);
        } else if !(is_rest && fetch.is_original && fits_disk) {
            // That an original is not fetched is a choice.
            space.without_room.insert(want.blob);
        }
    }
    *wants = kept;
    let finds_room = |blob: &&BlobId| with_room.contains(*blob) || !wanted.contains(*blob);
    space.with_room_again = asked.stalled.iter().filter(finds_room).copied().collect();
    space
}

#[cfg(test)]
mod tests {
    use yingxue_sync_core::id::CollectionId;
    use yingxue_sync_core::plan::{Claim, MissingBlob, Step};

    use super::*;

    const KIB: u64 = 1 << 10;
    const FLOOR: BlobId = BlobId([1; 32]);
    const PIN: BlobId = BlobId([2; 32]);
    const REST: BlobId = BlobId([3; 32]);
    const ORIGINAL: BlobId = BlobId([4; 32]);

    fn config(reserve_bytes: u64, originals_free_bytes_min: u64) -> StorageConfig {
        StorageConfig {
            lessons_bytes_max: 0,
            reserve_bytes,
            freed_bytes: 10 * KIB,
            originals_free_bytes_min,
        }
    }

    /// A disk for 200 KiB of lessons, half of it taken.
    fn half_full() -> (tempfile::TempDir, BlobFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = BlobFiles::open(dir.path().join("blobs"), 0).unwrap().limited_to(200 * KIB);
        files.reserve(BlobId([9; 32]), 100 * KIB).unwrap();
        (dir, files)
    }

    /// Plans a floor, a pinned blob, one of the rest and an original, of so many KiB.
    fn fitted(
        kib: [u64; 4],
        stalled: &[BlobId],
        files: &BlobFiles,
        config: &StorageConfig,
    ) -> (Vec<BlobId>, Space) {
        let blobs = [FLOOR, PIN, REST, ORIGINAL];
        let collection = CollectionId("lessons".to_owned());
        let item = |(blob, kib): (BlobId, u64)| Item {
            id: 0,
            claim: Claim::Rest,
            steps: vec![Step {
                blobs: vec![MissingBlob {
                    blob,
                    collection: collection.clone(),
                    missing_bytes: kib * KIB,
                    holders: vec![],
                }],
            }],
            deadline_wall_ms: None,
            weight: 1,
        };
        let urgencies = [Urgency::Floor, Urgency::Pin, Urgency::Rest, Urgency::Rest];
        let want = |(blob, urgency): (BlobId, Urgency)| Want {
            blob,
            collection: collection.clone(),
            priority: urgency.priority(0),
            deadline_wall_ms: None,
        };
        let items: Vec<Item> = blobs.into_iter().zip(kib).filter(|it| it.1 > 0).map(item).collect();
        let is_there =
            |it: &(BlobId, Urgency)| items.iter().any(|of| of.steps[0].blobs[0].blob == it.0);
        let mut wants: Vec<Want> =
            blobs.into_iter().zip(urgencies).filter(is_there).map(want).collect();
        let asked = Asked {
            items: &items,
            originals: &BTreeSet::from([ORIGINAL]),
            floors: vec![vec![(FLOOR, kib[0] * KIB)]],
            stalled: &stalled.iter().copied().collect(),
        };
        let space = fit(&mut wants, &asked, files, config);
        (wants.into_iter().map(|want| want.blob).collect(), space)
    }

    #[test]
    fn what_nobody_has_asked_for_is_fetched_into_room_that_is_left_over() {
        let (_dir, files) = half_full();
        let (wants, space) = fitted([30, 20, 20, 10], &[], &files, &config(20 * KIB, 0));
        assert_eq!(wants, [FLOOR, PIN, REST, ORIGINAL]);
        assert_eq!((space.disk.reserve_bytes, space.bytes_to_free), (50 * KIB, 0));
        assert!(space.without_room.is_empty());
        let (wants, space) = fitted([30, 20, 40, 10], &[], &files, &config(20 * KIB, 0));
        assert_eq!(wants, [FLOOR, PIN, ORIGINAL], "what is too large does not keep others");
        assert_eq!(space.without_room, BTreeSet::from([REST]));
        assert_eq!(space.bytes_to_free, 0, "nothing goes for what nobody has asked for");
    }

    #[test]
    fn where_something_needed_lacks_room_the_rest_waits_and_room_is_made() {
        let (_dir, files) = half_full();
        let (wants, space) = fitted([60, 30, 5, 0], &[], &files, &config(20 * KIB, 0));
        assert_eq!(wants, [FLOOR]);
        assert_eq!(space.without_room, BTreeSet::from([PIN, REST]));
        assert_eq!(space.bytes_to_free, (60 + 20 + 30 - 100 + 10) * KIB);
    }

    #[test]
    fn what_has_its_room_already_goes_on() {
        let (_dir, files) = half_full();
        files.reserve(PIN, 90 * KIB).unwrap();
        let (wants, space) = fitted([0, 90, 0, 0], &[], &files, &config(5 * KIB, 0));
        assert_eq!((wants, space.bytes_to_free), (vec![PIN], 0));
    }

    #[test]
    fn originals_are_left_where_there_is_not_plenty_of_room_and_that_is_no_full_disk() {
        let (_dir, files) = half_full();
        let (wants, space) = fitted([0, 0, 20, 20], &[], &files, &config(0, 70 * KIB));
        assert_eq!((wants, space.without_room), (vec![REST], BTreeSet::new()));
    }

    #[test]
    fn what_found_no_room_once_is_not_said_to_lack_it_when_there_is_some() {
        let (_dir, files) = half_full();
        let gone = BlobId([8; 32]);
        let stalled = [FLOOR, PIN, gone];
        let (_, space) = fitted([101, 10, 0, 0], &stalled, &files, &config(0, 0));
        assert_eq!(space.with_room_again, BTreeSet::from([gone]), "nobody wants it any more");
        let (_, space) = fitted([90, 5, 0, 0], &stalled, &files, &config(0, 0));
        assert_eq!(space.with_room_again, BTreeSet::from(stalled));
    }
}
