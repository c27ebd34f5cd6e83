//! What people write does not wait behind a download.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::world::World;
use yingxue_scenarios::world::alliance::doc_of;

#[test]
fn an_edit_passes_a_download_on_a_weak_link_within_three_seconds() {
    let mut world = World::new(5);
    world.describe_path(0, 1, 32_000, 100);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    let blob = world.add_blob(0, &[500_000; 10], 0);
    let held = |world: &World| check::verified_bytes(world.hubs[1].store.durable(), &blob);
    world.must_reach("the download runs", 120_000, |world| held(world) > Some(0));
    for _ in 0..5 {
        world.run_for(7_000);
        let request = world.write(0, 1).expect("the lead is on");
        let keys = world.ledger.written_by(request).expect("just written").keys.clone();
        let from_ms = world.now_ms();
        world.must_reach("the edit is at the other school", 3_000, |world| {
            world.document(1, doc_of(1)).contains_key(&keys[0])
        });
        println!("it took {} ms", world.now_ms() - from_ms);
    }
    assert!(held(&world) < Some(5_000_000), "the download was still running");
    world.must_reach("the download ends", 300_000, |world| check::all_blobs_whole(world, &[1]));
}
