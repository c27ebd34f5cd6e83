//! What vectors cannot see: holes, damaged entries, and two histories of one journal.

use std::collections::BTreeSet;

use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::alliance::lessons;
use yingxue_scenarios::world::{Action, HubIndex, World};
use yingxue_scenarios::{check, seed};
use yingxue_sync_core::event::{Alarm, Event};
use yingxue_sync_core::id::Hash;

const SETTLE_MS_MAX: u64 = 900_000;
/// Longer than until the first full check.
const CHECK_MS_MAX: u64 = 4_000_000;

fn settle(world: &mut World, hubs: &[HubIndex]) {
    world.run_for(1_000);
    world.must_reach("all agree", SETTLE_MS_MAX, |it| check::converged(it, hubs));
    check::same_where_converged(world, hubs);
}

fn has_alarm(world: &World, hub: HubIndex, is: impl Fn(&Alarm) -> bool) -> bool {
    let events = world.hubs[hub].events.iter();
    events.filter(|(_, event)| matches!(event, Event::Alarm(alarm) if is(alarm))).count() > 0
}

/// Two hubs with some forty entries each.
fn two_hubs(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    for i in 0..80 {
        world.write(i % 2, 1 + (i % 5) as u8);
        world.run_for(50);
    }
    settle(&mut world, &[0, 1]);
    world
}

/// Takes entries out of the midst of the journals on a hub's disk, or spoils their bytes.
fn damage(world: &mut World, hub: HubIndex, count: usize) {
    let mut rng = yingxue_scenarios::rng::Rng::new(world.rng.bits());
    let before = world.hubs[hub].store.durable().clone();
    world.hubs[hub].store.meddle(|disk| disk.clone_from(&before));
    for _ in 0..count {
        let (journal, seq) = (rng.index(2), rng.between(1, 20));
        let is_gone = rng.chance(50);
        world.hubs[hub].store.meddle(|disk| {
            let journals = disk.journals.iter_mut().filter(|((c, _), _)| *c == lessons());
            let Some((_, journal)) = journals.into_iter().nth(journal) else { return };
            if is_gone {
                journal.remove(&seq);
            } else if let Some(entry) = journal.get_mut(&seq) {
                let mut spoilt = (**entry).clone();
                let last = spoilt.bytes.len() - 1;
                spoilt.bytes[last] ^= 1;
                *entry = spoilt.into();
            }
        });
    }
}

fn holes(seed: u64) {
    let mut world = two_hubs(seed);
    let whole = world.hubs[1].store.durable().journals.clone();
    let count = world.rng.between(1, 12) as usize;
    damage(&mut world, 1, count);
    if world.hubs[1].store.durable().journals == whole {
        return;
    }
    let is_mended = |world: &World| world.hubs[1].store.durable().journals == whole;
    // It finds out by itself, at the weekly check, and the other hub fills the holes.
    world.must_reach("holes are filled", CHECK_MS_MAX, is_mended);
    assert!(has_alarm(&world, 1, |alarm| matches!(alarm, Alarm::JournalDamaged { .. })));
    settle(&mut world, &[0, 1]);
    world.write(1, 1);
    settle(&mut world, &[0, 1]);
    check::all_acknowledged_everywhere(&world, &[0, 1]);
}

#[test]
fn holes_and_damaged_entries_are_found_and_filled() {
    seed::for_each("repair::holes_and_damaged", 12, holes);
}

#[test]
fn a_fingerprint_that_tells_of_a_hole_is_enough() {
    let mut world = two_hubs(1);
    let whole = world.hubs[1].store.durable().journals.clone();
    let id = world.hubs[0].id;
    world.cut_power(1, Landed::All);
    world.hubs[1].store.meddle(|disk| {
        let key = (lessons(), id);
        let lost = disk.journals.get_mut(&key).and_then(|journal| journal.remove(&7));
        assert!(lost.is_some());
        // As it is noted when the check could not reach anybody.
        disk.fingerprints
            .insert(lessons(), sum_of(disk.journals.values().flat_map(|j| j.values())));
    });
    world.power_on(1);
    let is_mended = |world: &World| world.hubs[1].store.durable().journals == whole;
    world.must_reach("the hole is filled", 60_000, is_mended);
    settle(&mut world, &[0, 1]);
    check::no_alarms(&world);
}

fn sum_of<'a>(
    entries: impl Iterator<Item = &'a std::sync::Arc<yingxue_sync_core::event::EnvelopeRecord>>,
) -> [u8; 16] {
    let item = |hash: &Hash| {
        let keyed = blake3::derive_key("yingxue fingerprint 1", hash.as_bytes());
        u128::from_le_bytes(keyed[..16].try_into().expect("sixteen of thirty-two"))
    };
    entries.map(|it| item(&it.hash)).fold(0, u128::wrapping_add).to_le_bytes()
}

/// A disk goes back in time unnoticed, and its hub writes before it meets anybody.
fn forked(seed: u64, writes_before: usize, writes_after: usize) -> World {
    let mut world = World::new(seed);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN, Access::LAN]);
    world.may_fork = true;
    world.write(2, 1);
    settle(&mut world, &hubs);
    world.act(Action::BackUp { hub: 2 });
    for _ in 0..writes_before {
        world.write(2, 1);
    }
    settle(&mut world, &hubs);
    (0..2).for_each(|other| world.set_path(2, other, false));
    world.run_for(40_000);
    world.act(Action::Restore { hub: 2, is_noticed: false });
    for _ in 0..writes_after {
        world.write(2, 2);
    }
    world.run_for(5_000);
    (0..2).for_each(|other| world.set_path(2, other, true));
    world
}

/// Gives the hashes that a hub knows for each place of a forked journal: kept or set aside.
fn hashes_at(world: &World, hub: HubIndex, of: HubIndex, seq: u64) -> BTreeSet<Hash> {
    let disk = world.hubs[hub].store.durable();
    let author = world.hubs[of].id;
    let kept = disk.journals.get(&(lessons(), author)).and_then(|journal| journal.get(&seq));
    let aside = disk.aside.values().filter(|it| it.author == author && it.seq == seq);
    kept.into_iter().chain(aside).map(|it| it.hash).collect()
}

#[test]
fn two_histories_of_one_journal_are_kept_as_evidence_on_both_sides() {
    for (before, after) in [(3, 3), (5, 2), (1, 4), (1, 1)] {
        let mut world = forked(7, before, after);
        let have_both =
            |world: &World| [0, 1, 2].iter().all(|hub| hashes_at(world, *hub, 2, 2).len() == 2);
        world.must_reach("evidence everywhere", SETTLE_MS_MAX, have_both);
        let is_fork = |alarm: &Alarm| match alarm {
            Alarm::JournalForked { author, .. } => *author == world.hubs[2].id,
            _ => false,
        };
        for hub in [0, 1, 2] {
            assert!(has_alarm(&world, hub, is_fork), "hub {hub} says so, {before} and {after}");
        }
    }
}

#[test]
fn the_honest_remainder_of_an_alliance_with_a_fork_still_agrees() {
    let mut world = forked(8, 3, 2);
    world.run_for(60_000);
    for hub in [0, 1, 0, 1] {
        world.write(hub, 3);
        world.run_for(1_000);
    }
    let honest = [world.hubs[0].id, world.hubs[1].id];
    let same = |world: &World| {
        let of = |hub: usize| {
            let disk = world.hubs[hub].store.durable();
            honest.map(|author| disk.head_seq(&lessons(), author))
        };
        of(0) == of(1) && of(0) == of(2) && check::converged(world, &[0, 1])
    };
    world.must_reach("the honest journals agree", SETTLE_MS_MAX, same);
    check::same_where_converged(&world, &[0, 1]);
}
