//! Bad holders and full disks: pieces come from others, and the download goes on.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::hub::Tamper;
use yingxue_scenarios::world::{HubIndex, World};
use yingxue_sync_core::event::Event;
use yingxue_sync_core::id::BlobId;

const ARRIVAL_MS_MAX: u64 = 900_000;
/// Frames of at least so many bytes carry pieces.
const PIECE_FRAME_BYTES: usize = 4_000;

/// Hub 0 made a blob, hub 1 has it too and is near; hub 2, far from hub 0, wants it.
fn two_holders(seed: u64) -> (World, BlobId) {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    world.describe_path(0, 2, 50_000, 100);
    world.hubs[2].wants_all = false;
    let blob = world.add_blob(0, &[100_000; 10], 0);
    let named = |world: &World| check::converged(world, &hubs);
    world.must_reach("hub 2 knows the blob", ARRIVAL_MS_MAX, named);
    let near = |world: &World| check::all_blobs_whole(world, &[0, 1]);
    world.must_reach("hub 1 has it", ARRIVAL_MS_MAX, near);
    (world, blob)
}

fn start_fetch(world: &mut World, hub: HubIndex) {
    world.hubs[hub].wants_all = true;
    world.refresh_wants(hub);
}

fn must_arrive(world: &mut World, hub: HubIndex) {
    let is_whole = |world: &World| check::all_blobs_whole(world, &[hub]);
    world.must_reach("the blob arrives", ARRIVAL_MS_MAX, is_whole);
    check::pieces_right(world, &[hub]);
}

#[test]
fn a_holder_that_sends_wrong_pieces_is_dropped_and_others_send_them() {
    let (mut world, _) = two_holders(1);
    world.hubs[1].tamper = Tamper::Large(PIECE_FRAME_BYTES);
    let before = world.hubs[1].sent_blob_bytes;
    start_fetch(&mut world, 2);
    must_arrive(&mut world, 2);
    let wrong_bytes = world.hubs[1].sent_blob_bytes - before;
    assert!(wrong_bytes > 0, "the bad holder was asked, or this shows nothing");
    assert!(wrong_bytes < 1_000_000, "it was not asked for all: {wrong_bytes} B");
}

#[test]
fn a_holder_whose_disk_rots_makes_nobody_else_rot() {
    let (mut world, blob) = two_holders(2);
    let mut rng = yingxue_scenarios::rng::Rng::new(2);
    for piece in 0..10 {
        assert!(world.hubs[1].store.rot(blob, piece, &mut rng));
    }
    start_fetch(&mut world, 2);
    must_arrive(&mut world, 2);
}

#[test]
fn a_full_disk_stalls_a_download_and_nothing_else() {
    let (mut world, blob) = two_holders(3);
    world.hubs[2].store.set_free_bytes(Some(900_000));
    start_fetch(&mut world, 2);
    let stalled = |world: &World| {
        let is_it = |event: &Event| *event == Event::BlobStalled { blob };
        world.hubs[2].events.iter().any(|(_, event)| is_it(event))
    };
    world.must_reach("it says that there is no room", 120_000, stalled);
    world.write(0, 1);
    world.must_reach("documents still come", 60_000, |it| check::converged(it, &[0, 1, 2]));
    check::all_acknowledged_everywhere(&world, &[0, 1, 2]);
    assert_eq!(check::verified_bytes(world.hubs[2].store.given(), &blob).unwrap_or(0), 0);
    world.hubs[2].store.set_free_bytes(None);
    must_arrive(&mut world, 2);
}
