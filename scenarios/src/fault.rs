//! Draws a workload and what goes wrong meanwhile, and heals it all at the end.

use crate::rng::Rng;
use crate::world::{Action, HubIndex, World};

/// How much of what goes wrong, and what is written meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Over how long.
    pub span_ms: u64,
    /// Things written.
    pub writes: u64,
    /// Documents that they go to.
    pub docs: u8,
    /// Blobs brought in.
    pub blobs: u64,
    /// Links that go down for a while.
    pub link_cuts: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Wall clocks that jump.
    pub clock_jumps: u64,
    /// Disks that are full for a while.
    pub full_disks: u64,
    /// Backups that are made, and put back some time later.
    pub restores: u64,
}

/// Longest outage: longer than the node's own time-outs, so that they are seen too.
const OUTAGE_MS_MAX: u64 = 120_000;
/// How wrong a clock can be: ten years, as after an empty BIOS battery.
const SKEW_MS_MAX: u64 = 10 * 365 * 86_400_000;
/// Space on a disk that is nearly full: from nothing to a few documents and pieces.
const NEARLY_FULL_BYTES_MAX: u64 = 64 << 10;
/// Largest piece in random worlds; small, so that many seeds run.
const PIECE_BYTES_MAX: u64 = 48 << 10;

/// Plans everything that `weather` says for these hubs.
pub fn plan(world: &mut World, hubs: &[HubIndex], weather: &Weather) {
    let mut rng = Rng::new(world.rng.bits());
    let span_ms = weather.span_ms;
    let mut at = |rng: &mut Rng, action| world.plan(rng.below(span_ms), action);
    for _ in 0..weather.writes {
        let doc = rng.between(1, u64::from(weather.docs.max(1))) as u8;
        let hub = hubs[rng.index(hubs.len())];
        at(&mut rng, Action::Write { hub, doc });
    }
    for _ in 0..weather.blobs {
        let pieces = rng.between(1, 6);
        let piece_bytes = (0..pieces).map(|_| rng.between(1, PIECE_BYTES_MAX) as u32).collect();
        let hub = hubs[rng.index(hubs.len())];
        at(&mut rng, Action::AddBlob { hub, piece_bytes });
    }
    for _ in 0..weather.clock_jumps {
        let skew_ms = rng.between(0, 2 * SKEW_MS_MAX) as i64 - SKEW_MS_MAX as i64;
        let hub = hubs[rng.index(hubs.len())];
        at(&mut rng, Action::SkewClock { hub, skew_ms });
    }
    for _ in 0..weather.power_cuts {
        let for_ms = rng.between(1, OUTAGE_MS_MAX);
        let hub = hubs[rng.index(hubs.len())];
        at(&mut rng, Action::CutPower { hub, for_ms });
    }
    plan_outages(world, hubs, weather, &mut rng);
    plan_restores(world, hubs, weather, &mut rng);
}

fn plan_restores(world: &mut World, hubs: &[HubIndex], weather: &Weather, rng: &mut Rng) {
    for _ in 0..weather.restores {
        let hub = hubs[rng.index(hubs.len())];
        let made_ms = rng.below(weather.span_ms);
        let restored_ms = rng.between(made_ms, weather.span_ms);
        world.plan(made_ms, Action::BackUp { hub });
        world.plan(restored_ms, Action::Restore { hub, is_noticed: true });
    }
}

fn plan_outages(world: &mut World, hubs: &[HubIndex], weather: &Weather, rng: &mut Rng) {
    for _ in 0..weather.link_cuts {
        let (a, b) = pair(hubs, rng);
        let (down_ms, for_ms) = (rng.below(weather.span_ms), rng.between(1, OUTAGE_MS_MAX));
        world.plan(down_ms, Action::SetPath { a, b, is_up: false });
        world.plan(down_ms + for_ms, Action::SetPath { a, b, is_up: true });
    }
    for _ in 0..weather.full_disks {
        let hub = hubs[rng.index(hubs.len())];
        let (full_ms, for_ms) = (rng.below(weather.span_ms), rng.between(1, OUTAGE_MS_MAX));
        let free_bytes = Some(rng.below(NEARLY_FULL_BYTES_MAX));
        world.plan(full_ms, Action::SetFreeBytes { hub, free_bytes });
        world.plan(full_ms + for_ms, Action::SetFreeBytes { hub, free_bytes: None });
    }
}

/// Draws two different hubs.
fn pair(hubs: &[HubIndex], rng: &mut Rng) -> (HubIndex, HubIndex) {
    let a = rng.index(hubs.len());
    let b = (a + 1 + rng.index(hubs.len() - 1)) % hubs.len();
    (hubs[a], hubs[b])
}

/// Lets all that was planned happen, then mends everything: power, links, disks.
pub fn weather_and_heal(world: &mut World, hubs: &[HubIndex], weather: &Weather) {
    plan(world, hubs, weather);
    world.run_for(weather.span_ms + OUTAGE_MS_MAX);
    for &hub in hubs {
        world.act(Action::GivePower { hub });
        world.act(Action::SetFreeBytes { hub, free_bytes: None });
        for &other in hubs.iter().filter(|other| **other > hub) {
            world.act(Action::SetPath { a: hub, b: other, is_up: true });
        }
    }
}
