//! 36 hubs get a lesson while the lead sends at most 4 copies of it.

use yingxue_scenarios::check;
use yingxue_scenarios::link::Access;
use yingxue_scenarios::rng::Rng;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::{HubIndex, World};

const MEMBERS: usize = 36;
/// The weakest of the mix takes 20 MB in four minutes at best, and shares its line.
const ARRIVAL_MS_MAX: u64 = 3_600_000;
/// What the lead may send in all, in copies of the lesson.
const COPIES_MAX: f64 = 4.0;
/// One more if hubs die: what only they had got has to be sent again.
const COPIES_MAX_IF_HUBS_DIE: f64 = 5.0;

/// Sound in 4-second pieces, slides as stills, pictures in pieces of up to 1 MiB: 20 MB for 40
/// minutes, of which `minutes` are taken.
fn tracks(rng: &mut Rng, minutes: usize) -> [Vec<u32>; 3] {
    let audio = vec![64_000; 2 * minutes];
    let slides = (0..5 * minutes / 4).map(|_| rng.between(15_000, 45_000) as u32).collect();
    let mut video = vec![1 << 20; 3 * minutes / 10];
    video.insert(0, 900); // the init segment
    [audio, slides, video]
}

fn alliance(seed: u64) -> (World, Vec<HubIndex>) {
    let mut world = World::new(seed);
    let members: Vec<Access> = (0..MEMBERS).map(|_| Access::rural(&mut world.rng)).collect();
    let hubs = world.add_alliance(Access::LEAD, &members);
    (world, hubs)
}

/// Lets the lead publish a lesson; returns its bytes.
fn publish(world: &mut World, minutes: usize) -> u64 {
    let mut total = 0;
    for (priority, pieces) in (0..).zip(tracks(&mut world.rng, minutes)) {
        total += pieces.iter().map(|bytes| u64::from(*bytes)).sum::<u64>();
        world.add_blob(0, &pieces, priority);
    }
    total
}

fn assert_few_copies(world: &World, lesson_bytes: u64, copies_max: f64) {
    let copies = world.hubs[0].sent_blob_bytes as f64 / lesson_bytes as f64;
    println!("the lead sent {copies:.2} copies; it took {} s", world.now_ms() / 1000);
    assert!(copies <= copies_max, "the lead sent {copies:.2} copies");
}

#[test]
fn every_hub_gets_the_lesson_and_the_lead_sends_at_most_four_copies() {
    let (mut world, hubs) = alliance(36);
    let lesson_bytes = publish(&mut world, 40);
    let blobs = world.ledger.blobs.len();
    let all_have_it = |world: &World| {
        let named = |hub: &HubIndex| world.hubs[*hub].store.durable().blobs.len() == blobs;
        hubs.iter().all(named) && check::all_blobs_whole(world, &hubs)
    };
    world.must_reach("all 36 have the lesson", ARRIVAL_MS_MAX, all_have_it);
    check::pieces_right(&world, &hubs);
    check::no_alarms(&world);
    assert_few_copies(&world, lesson_bytes, COPIES_MAX);
}

#[test]
fn three_hubs_that_die_half_way_do_not_keep_the_others_from_it() {
    let (mut world, hubs) = alliance(37);
    let lesson_bytes = publish(&mut world, 20);
    let has_half = |world: &World, hub: HubIndex| {
        let disk = world.hubs[hub].store.durable();
        let held = |blob| check::verified_bytes(disk, blob).unwrap_or(0);
        disk.blobs.keys().map(held).sum::<u64>() > lesson_bytes / 2
    };
    let someone_has_half = |world: &World| hubs[1..].iter().any(|hub| has_half(world, *hub));
    world.must_reach("somebody has half of it", ARRIVAL_MS_MAX, someone_has_half);
    // Those that hold the most, which the others count on.
    let (mut dying, mut alive): (Vec<HubIndex>, Vec<HubIndex>) =
        hubs.iter().partition(|hub| **hub != 0 && has_half(&world, **hub));
    while dying.len() < 3 {
        dying.push(alive.pop().expect("there are 36"));
    }
    alive.extend(dying.split_off(3));
    for hub in dying {
        world.cut_power(hub, Landed::None);
    }
    let all_have_it = |world: &World| {
        let named = |hub: &HubIndex| world.hubs[*hub].store.durable().blobs.len() == 3;
        alive.iter().all(named) && check::all_blobs_whole(world, &alive)
    };
    world.must_reach("the other 33 have the lesson", ARRIVAL_MS_MAX, all_have_it);
    check::pieces_right(&world, &alive);
    assert_few_copies(&world, lesson_bytes, COPIES_MAX_IF_HUBS_DIE);
}

/// A link that breaks again and again, each time after it has brought something: hubs that wait
/// longer after each break, as they do with one that does not get on, would wait for minutes.
#[test]
fn a_link_that_breaks_after_it_brought_something_is_used_again_at_once() {
    const BREAKS: u64 = 10;
    const PIECES: u64 = 60;
    /// A dial, the handshake and the greeting take four delays of 50 ms, a lost race some more.
    const AGAIN_MS_MAX: u64 = 1_500;
    let mut world = World::new(11);
    world.describe_path(0, 1, 500_000, 50);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    let blob = world.add_blob(0, &[200_000; PIECES as usize], 0);
    let held =
        |world: &World| check::verified_bytes(world.hubs[1].store.durable(), &blob).unwrap_or(0);
    for n in 1..=BREAKS {
        let some = n * PIECES / (BREAKS + 1) * 200_000;
        world.must_reach("more of it is here", 30_000, |world| held(world) >= some);
        let contact = world.hubs[1].open_contacts()[0];
        world.close(1, contact);
        world.must_reach("they met again", AGAIN_MS_MAX, |world| {
            world.hubs[1].open_contacts().iter().any(|open| *open != contact)
        });
    }
    world.must_reach("the lesson is here", 30_000, |world| check::all_blobs_whole(world, &[1]));
}
