use proptest::prelude::*;

use super::*;
use TrackKind::{Audio, Slides, Source, Video360, Video480};

/// The coming days end here.
const UNTIL: i64 = 1_000;
const NO_DISK: Disk =
    Disk { available_bytes: 0, reserve_bytes: 0, freed_bytes: 0, originals_free_bytes_min: 0 };

/// A lesson of nobody's, whose blobs are `n` and a number.
fn lesson(n: u8, kinds: &[TrackKind]) -> Shelved {
    let track = |(place, kind): (u8, &TrackKind)| {
        let mut blob = [n; 32];
        blob[1] = place;
        ShelvedTrack { kind: Some(*kind), blob: BlobId(blob), bytes: 10 }
    };
    Shelved {
        lesson: DocId([n; 16]),
        is_own: false,
        is_only_here: false,
        is_pinned: false,
        is_played: false,
        is_deleted: false,
        next_taught_ms: None,
        last_used_ms: None,
        created_at_ms: i64::from(n),
        tracks: (0..).zip(kinds).map(track).collect(),
    }
}

/// What goes, in its order: the lesson's number and the track's place in it.
fn order(lessons: &[Shelved]) -> Vec<(u8, u8)> {
    evictable(lessons, UNTIL).iter().map(|it| (it.blob.0[0], it.blob.0[1])).collect()
}

#[test]
fn what_takes_most_for_the_least_use_goes_first() {
    let kinds = [Audio, Slides, Video360, Video480, Source];
    let deleted = Shelved { is_deleted: true, ..lesson(9, &[Audio, Source]) };
    let taught = |n, at| Shelved { last_used_ms: Some(at), ..lesson(n, &kinds) };
    let later = Shelved { next_taught_ms: Some(UNTIL), ..lesson(1, &[Audio, Source]) };
    let never = lesson(5, &[Audio, Video360]);
    let lessons = [later, taught(2, -10), never, taught(3, -20), deleted];
    let expected = [
        [(9, 1), (9, 0)].as_slice(),
        &[(3, 4), (2, 4), (3, 3), (2, 3), (3, 2), (2, 2)],
        &[(5, 1), (5, 0)],
        &[(3, 0), (3, 1), (2, 0), (2, 1)],
        &[(1, 1), (1, 0)],
    ];
    assert_eq!(order(&lessons), expected.concat());
}

#[test]
fn a_kind_of_a_newer_hub_goes_right_after_the_original() {
    let mut it = lesson(1, &[Audio, Video480, Source, Source]);
    it.tracks[3].kind = None;
    assert_eq!(order(&[it]), [(1, 2), (1, 3), (1, 1), (1, 0)]);
}

#[test]
fn what_is_kept_is_kept_whatever_else_is_true_of_it() {
    let it = || Shelved { is_deleted: true, ..lesson(1, &[Audio, Source]) };
    let used = |it: Shelved| (it.used_for(UNTIL), order(&[it]).len());
    assert_eq!(used(it()), (Use::Deleted, 2));
    assert_eq!(used(Shelved { is_own: true, ..it() }), (Use::Own, 0));
    assert_eq!(used(Shelved { is_pinned: true, ..it() }), (Use::Pinned, 0));
    assert_eq!(used(Shelved { is_played: true, ..it() }), (Use::Played, 0));
    let at = |at| Shelved { next_taught_ms: Some(at), ..it() };
    assert_eq!(used(at(UNTIL - 1)), (Use::Timetabled, 0));
    assert_eq!(used(at(UNTIL)), (Use::Deleted, 2));
    let alone = Shelved { is_only_here: true, is_deleted: false, ..it() };
    assert_eq!(used(alone), (Use::OnlyHere, 0));
    assert_eq!(used(Shelved { is_only_here: true, ..it() }), (Use::Deleted, 2), "taken back");
}

#[test]
fn a_blob_that_two_lessons_name_stays_with_the_one_that_is_kept_and_goes_with_the_last() {
    let (deleted, mut other) = (
        Shelved { is_deleted: true, ..lesson(1, &[Audio, Source]) },
        Shelved { last_used_ms: Some(-5), ..lesson(2, &[Audio, Source]) },
    );
    other.tracks[1].blob = deleted.tracks[1].blob;
    assert_eq!(order(&[deleted.clone(), other.clone()]), [(1, 0), (1, 1), (2, 0)]);
    other.is_pinned = true;
    assert_eq!(order(&[deleted.clone(), other.clone()]), [(1, 0)]);
    assert_eq!(order(&[other, deleted]), [(1, 0)], "in whichever order they come");
}

#[test]
fn nothing_goes_while_the_reserve_is_whole_and_more_than_is_lacking_when_it_is_not() {
    let disk = Disk { available_bytes: 100, reserve_bytes: 100, freed_bytes: 30, ..NO_DISK };
    assert_eq!(disk.bytes_to_free(0), 0);
    assert_eq!(disk.bytes_to_free(1), 31, "something that is wanted lacks room");
    assert_eq!(Disk { available_bytes: 99, ..disk }.bytes_to_free(0), 31);
    // What was freed lasts: nothing goes again before it is used up.
    assert_eq!(Disk { available_bytes: 99 + 31, ..disk }.bytes_to_free(0), 0);
    let nothing = Disk { available_bytes: 0, reserve_bytes: u64::MAX, ..disk };
    assert_eq!(nothing.bytes_to_free(u64::MAX), u64::MAX);
}

#[test]
fn a_lesson_claims_no_more_of_the_reserve_than_a_floor_can_have() {
    assert_eq!(reserve_bytes([6 << 20, 9 << 20], 2 << 30), (15 << 20) + (2 << 30));
    assert_eq!(reserve_bytes([i64::MAX as u64], 0), 256 << 20);
}

fn want(urgency: Urgency, bytes: u64) -> Fetch {
    Fetch { urgency, bytes, is_original: false }
}

#[test]
fn floors_take_what_is_kept_for_them_and_the_rest_stops_before_it() {
    let disk = Disk { available_bytes: 100, reserve_bytes: 60, ..NO_DISK };
    let wants = [
        want(Urgency::Now, 1_000),
        want(Urgency::Floor, 60),
        want(Urgency::Upgrade, 20),
        want(Urgency::Pin, 30),
        want(Urgency::Pin, 20),
        want(Urgency::Rest, 1),
        want(Urgency::Rest, 0),
    ];
    let fits = fitting(&wants, &disk);
    assert_eq!(fits.may_come, [true, true, true, false, true, false, true]);
    assert_eq!(fits.wanted_bytes, 70);
    assert_eq!(disk.bytes_to_free(fits.wanted_bytes), 30, "for what somebody wants, not the rest");
}

#[test]
fn an_original_that_nobody_has_asked_for_comes_only_where_there_is_plenty_of_room() {
    let disk =
        Disk { available_bytes: 100, reserve_bytes: 10, originals_free_bytes_min: 50, ..NO_DISK };
    let original = |urgency, bytes| Fetch { is_original: true, ..want(urgency, bytes) };
    let may_come = |wants: &[Fetch]| fitting(wants, &disk).may_come;
    assert_eq!(may_come(&[original(Urgency::Rest, 50)]), [true]);
    assert_eq!(may_come(&[original(Urgency::Rest, 51), want(Urgency::Rest, 90)]), [false, true]);
    assert_eq!(may_come(&[original(Urgency::Pin, 90)]), [true]);
}

prop_compose! {
    fn any_lesson()(
        n in 0u8..12,
        flags in any::<[bool; 5]>(),
        next in prop::option::of(0i64..2 * UNTIL),
        last in prop::option::of(-100i64..0),
        tracks in prop::collection::vec((0u8..40, 0u64..50, 0usize..5), 0..6),
    ) -> Shelved {
        let kinds = [Audio, Slides, Video360, Video480, Source];
        let track = |(blob, bytes, kind): (u8, u64, usize)| ShelvedTrack {
            kind: Some(kinds[kind]),
            blob: BlobId([blob; 32]),
            bytes,
        };
        let [is_own, is_only_here, is_pinned, is_played, is_deleted] = flags;
        Shelved {
            lesson: DocId([n; 16]),
            is_own,
            is_only_here,
            is_pinned,
            is_played,
            is_deleted,
            next_taught_ms: next,
            last_used_ms: last,
            created_at_ms: i64::from(n),
            tracks: tracks.into_iter().map(track).collect(),
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_is_kept_ever_goes_and_no_blob_goes_twice(
        lessons in prop::collection::vec(any_lesson(), 0..12),
        bytes in 0u64..400,
    ) {
        let chosen = choose(&lessons, UNTIL, bytes);
        for lesson in lessons.iter().filter(|it| it.used_for(UNTIL).is_kept()) {
            for track in &lesson.tracks {
                prop_assert!(chosen.iter().all(|it| it.blob != track.blob));
            }
        }
        let blobs: std::collections::BTreeSet<BlobId> = chosen.iter().map(|it| it.blob).collect();
        prop_assert_eq!(blobs.len(), chosen.len());
    }

    #[test]
    fn no_more_goes_than_is_needed_and_enough_if_there_is_enough(
        lessons in prop::collection::vec(any_lesson(), 0..12),
        bytes in 0u64..400,
    ) {
        let sum = |of: &[Evictable]| of.iter().map(|it| it.bytes).sum::<u64>();
        let (chosen, all) = (choose(&lessons, UNTIL, bytes), evictable(&lessons, UNTIL));
        prop_assert_eq!(&chosen[..], &all[..chosen.len()], "in the order in which they go");
        prop_assert!(sum(&chosen) >= bytes.min(sum(&all)));
        if let Some((_, before)) = chosen.split_last() {
            prop_assert!(sum(before) < bytes, "the last one was needed");
        }
    }

    /// What is let go makes room once: the reserve is whole then, or nothing is left to let go.
    #[test]
    fn letting_go_comes_to_an_end(
        lessons in prop::collection::vec(any_lesson(), 0..12),
        available_bytes in 0u64..300,
        reserve_bytes in 0u64..300,
        wanted_bytes in 0u64..300,
    ) {
        let mut disk = Disk { available_bytes, reserve_bytes, freed_bytes: 20, ..NO_DISK };
        let mut lessons = lessons;
        let mut rounds = 0;
        loop {
            let chosen = choose(&lessons, UNTIL, disk.bytes_to_free(wanted_bytes));
            if chosen.is_empty() {
                break;
            }
            for gone in &chosen {
                disk.available_bytes += gone.bytes;
                for lesson in &mut lessons {
                    lesson.tracks.retain(|track| track.blob != gone.blob);
                }
            }
            rounds += 1;
        }
        prop_assert!(rounds <= 1, "{} rounds", rounds);
        let is_whole = disk.available_bytes >= reserve_bytes + wanted_bytes;
        prop_assert!(is_whole || evictable(&lessons, UNTIL).is_empty());
    }

    #[test]
    fn what_is_fetched_leaves_the_reserve_to_floors(
        wants in prop::collection::vec((0usize..5, 0u64..100, any::<bool>()), 0..20),
        available_bytes in 0u64..300,
        reserve_bytes in 0u64..300,
    ) {
        let mut wants: Vec<Fetch> = wants
            .into_iter()
            .map(|(n, bytes, is_original)| Fetch { urgency: Urgency::ALL[n], bytes, is_original })
            .collect();
        wants.sort_by_key(|want| want.urgency);
        let disk = Disk { available_bytes, reserve_bytes, ..NO_DISK };
        let fits = fitting(&wants, &disk);
        prop_assert_eq!(fits.may_come.len(), wants.len());
        let mut taken_bytes = 0;
        for (want, may_come) in wants.iter().zip(&fits.may_come) {
            if want.urgency <= Urgency::Floor {
                prop_assert!(may_come);
            } else if *may_come {
                taken_bytes += want.bytes;
            }
        }
        prop_assert!(taken_bytes <= available_bytes.saturating_sub(reserve_bytes));
    }
}
