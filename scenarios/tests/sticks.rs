//! A school without a line: lessons come by stick, and what it wrote goes back the same way.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::World;
use yingxue_scenarios::world::stick::Taken;
use yingxue_sync_core::id::BlobId;

const LEAD: usize = 0;
const VILLAGE: usize = 2;

/// A lead, a member in contact, and a village whose line has gone; one lesson, one comment of the
/// village's.
fn alliance(seed: u64) -> (World, BlobId) {
    let mut world = World::new(seed);
    world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    world.set_line(VILLAGE, false);
    let blob = world.add_blob(LEAD, &[50_000; 6], 0);
    world.write(VILLAGE, 1).expect("the village has power");
    world.run_for(60_000);
    assert!(!check::converged(&world, &[LEAD, VILLAGE]));
    (world, blob)
}

#[test]
fn a_village_gets_its_lessons_by_stick_and_its_comments_come_back() {
    let (mut world, blob) = alliance(7);
    let stick = world.write_stick([LEAD, VILLAGE], &[blob], None, u64::MAX).expect("it is on");
    let taken = world.read_stick(VILLAGE, &stick).expect("it is for the village");
    assert_eq!(taken.refused, [""; 0]);
    assert_eq!(check::verified_bytes(world.hubs[VILLAGE].store.durable(), &blob), Some(300_000));
    let again = world.read_stick(VILLAGE, &stick).expect("it is for the village");
    assert_eq!(again, Taken::default(), "nothing on it is new");

    let back = world.write_stick([VILLAGE, LEAD], &[], None, u64::MAX).expect("it is on");
    let receipt = world.write_receipt(VILLAGE, 1).expect("it is on").receipt;
    assert_eq!(world.read_stick(LEAD, &back).expect("it is for the lead").refused, [""; 0]);
    let all = [LEAD, 1, VILLAGE];
    world.must_reach("all have all", 60_000, |world| check::converged(world, &all));
    check::all_acknowledged_everywhere(&world, &all);

    assert!(receipt.want(&blob).is_none(), "it asks for nothing that it has");
    let next = world.write_stick([LEAD, VILLAGE], &[], Some(&receipt), u64::MAX).expect("on");
    assert!(next.bytes() < stick.bytes() / 100, "{} of {} bytes", next.bytes(), stick.bytes());
    check::no_alarms(&world);
}

#[test]
fn what_does_not_fit_comes_with_the_next_stick() {
    let (mut world, blob) = alliance(8);
    let stick = world.write_stick([LEAD, VILLAGE], &[blob], None, 200_000).expect("it is on");
    assert!(stick.blobs.is_empty() && stick.bytes() < 201_000);
    world.read_stick(VILLAGE, &stick).expect("it is for the village");
    world.refresh_wants(VILLAGE);
    let receipt = world.write_receipt(VILLAGE, 1).expect("it is on").receipt;
    let rest = world.write_stick([LEAD, VILLAGE], &[blob], Some(&receipt), u64::MAX).expect("on");
    assert!(rest.bytes() < 250_000, "{} bytes", rest.bytes());
    assert_eq!(world.read_stick(VILLAGE, &rest).expect("it is for the village").refused, [""; 0]);
    assert_eq!(check::verified_bytes(world.hubs[VILLAGE].store.durable(), &blob), Some(300_000));
}

#[test]
fn a_stick_for_another_school_is_not_read() {
    let (mut world, blob) = alliance(9);
    let stick = world.write_stick([LEAD, 1], &[blob], None, u64::MAX).expect("it is on");
    assert!(world.read_stick(VILLAGE, &stick).is_err());
}
