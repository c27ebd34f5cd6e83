//! Draws the alliances of a province: who has which line, which school, which bad luck.

use super::preset::{Link, Preset, Stage, Tier};
use crate::link::Access;
use crate::rng::Rng;

/// Upper end of the standard normal distribution's middle four fifths.
const Z_90: f64 = 1.2816;

/// A receiving school as drawn.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Place in [`Preset::stages`].
    pub stage: usize,
    /// Place in [`Preset::links`].
    pub link: usize,
    /// What it prefers.
    pub preferred: Tier,
    /// Share of its lessons and of its line that this alliance has: 1, or 2 for a half.
    pub alliances: u64,
    /// Which half of the lessons, if it has two alliances.
    pub half: usize,
    /// Pupils of its classes.
    pub pupils: u32,
    /// Switched off with the building.
    pub is_off_at_night: bool,
    /// Has a power cut a week.
    pub has_power_cuts: bool,
    /// How wrong its clock is.
    pub clock_skew_ms: i64,
}

/// One alliance as drawn.
#[derive(Debug, Clone)]
pub struct Alliance {
    /// Of everything random in it.
    pub seed: u64,
    /// Nominal Mbit/s from the lead.
    pub lead_uplink_mbps: f64,
    /// Its receivers.
    pub receivers: Vec<Receiver>,
}

/// Draws all alliances of a province; the same preset gives the same ones.
pub fn alliances(preset: &Preset) -> Vec<Alliance> {
    let mut rng = Rng::new(preset.seed);
    let mut alliances: Vec<Alliance> = sizes(preset, &mut rng)
        .into_iter()
        .map(|receivers| Alliance {
            seed: rng.bits(),
            lead_uplink_mbps: uplink_mbps(preset.lead_uplink_mbps, &mut rng),
            receivers: (0..receivers).map(|_| receiver(preset, &mut rng)).collect(),
        })
        .collect();
    if alliances.len() > 1 {
        lend(&mut alliances, preset.second_alliance_percent, &mut rng);
    }
    alliances
}

/// Draws how many receivers each lead has, and mends the sum one by one.
fn sizes(preset: &Preset, rng: &mut Rng) -> Vec<usize> {
    let [fewest, most] = preset.receivers_per_lead;
    let draw = |rng: &mut Rng| rng.between(fewest as u64, most as u64) as usize;
    let mut sizes: Vec<usize> = (0..preset.leads).map(|_| draw(rng)).collect();
    while sizes.iter().sum::<usize>() != preset.receivers {
        let is_short = sizes.iter().sum::<usize>() < preset.receivers;
        let at = rng.index(sizes.len());
        match is_short {
            true if sizes[at] < most => sizes[at] += 1,
            false if sizes[at] > fewest => sizes[at] -= 1,
            _ => {}
        }
    }
    sizes
}

fn receiver(preset: &Preset, rng: &mut Rng) -> Receiver {
    let stage = pick(rng, preset.stages.iter().map(|stage: &Stage| stage.percent));
    let link = pick(rng, preset.links.iter().map(|link: &Link| link.percent));
    let [least, most] = preset.class_pupils;
    let ten_years_ms = 3650 * 86_400_000;
    let is_wild = rng.chance(preset.clock_wild_percent);
    let skew_ms = rng.between(0, 2 * ten_years_ms) as i64 - ten_years_ms as i64;
    Receiver {
        stage,
        link,
        preferred: preset.links[link].preferred,
        alliances: 1,
        half: 0,
        pupils: rng.between(least.into(), most.into()) as u32,
        is_off_at_night: rng.chance(preset.power_off_percent),
        has_power_cuts: rng.chance(preset.power_cut_percent),
        clock_skew_ms: if is_wild { skew_ms } else { rng.below(4_000) as i64 - 2_000 },
    }
}

/// Lets some receivers take half of their lessons from another lead, over half of their line:
/// a second hub in the other alliance stands for the same school.
fn lend(alliances: &mut [Alliance], percent: u64, rng: &mut Rng) {
    for home in 0..alliances.len() {
        for at in 0..alliances[home].receivers.len() {
            if alliances[home].receivers[at].alliances > 1 || !rng.chance(percent) {
                continue;
            }
            let other = (home + 1 + rng.index(alliances.len() - 1)) % alliances.len();
            let receiver = &mut alliances[home].receivers[at];
            receiver.alliances = 2;
            let second = Receiver { half: 1, ..receiver.clone() };
            alliances[other].receivers.push(second);
        }
    }
}

fn pick(rng: &mut Rng, percents: impl Iterator<Item = u64>) -> usize {
    let mut left = rng.below(100);
    for (place, percent) in percents.enumerate() {
        if left < percent {
            return place;
        }
        left -= percent;
    }
    unreachable!("percentages add up to 100: the preset was checked")
}

/// Draws from a lognormal distribution by its quantiles: median, and the spread of both ends.
fn uplink_mbps([low, median, high]: [f64; 3], rng: &mut Rng) -> f64 {
    let z = normal(rng);
    let end = if z < 0.0 { median / low } else { high / median };
    median * (z * end.ln() / Z_90).exp()
}

/// Draws from the standard normal distribution (Box and Muller, 1958).
fn normal(rng: &mut Rng) -> f64 {
    let unit = |rng: &mut Rng| (rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
    let (a, b) = (1.0 - unit(rng), unit(rng));
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// Draws a length of time from an exponential distribution, in milliseconds, at least a second.
pub fn exponential_ms(mean_ms: f64, rng: &mut Rng) -> u64 {
    let unit = (rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
    (-(1.0 - unit).ln() * mean_ms).max(1_000.0) as u64
}

/// Gives a line: usable rates, of which each alliance of a school has its share.
pub fn access(down_mbps: f64, up_mbps: f64, rtt_ms: u64, share: u64) -> Access {
    let kbps = |mbps: f64| (mbps * 1000.0) as u64;
    let access = Access::of_kbps(kbps(down_mbps), kbps(up_mbps), rtt_ms / 2);
    Access {
        down_bytes_per_s: access.down_bytes_per_s / share,
        up_bytes_per_s: access.up_bytes_per_s / share,
        ..access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_province_has_as_many_hubs_as_its_preset_says() {
        let preset = Preset::named("sichuan-2023").unwrap();
        let drawn = alliances(&preset);
        assert_eq!(drawn.len(), 44);
        let all = || drawn.iter().flat_map(|alliance| &alliance.receivers);
        assert_eq!(all().filter(|receiver| receiver.half == 0).count(), 1600);
        let twice = all().filter(|receiver| receiver.half == 1).count();
        assert!((140..250).contains(&twice), "{twice} of 1600 in two alliances");
        let fibre = all().filter(|receiver| receiver.link == 0).count() * 100 / all().count();
        assert!((26..34).contains(&fibre), "{fibre} % have fibre");
    }

    #[test]
    fn uplinks_have_the_quantiles_that_were_asked_for() {
        let mut rng = Rng::new(1);
        let mut drawn: Vec<f64> =
            (0..10_000).map(|_| uplink_mbps([20.0, 50.0, 200.0], &mut rng)).collect();
        drawn.sort_by(f64::total_cmp);
        for (place, expected) in [(1_000, 20.0), (5_000, 50.0), (9_000, 200.0)] {
            assert!((drawn[place] / expected - 1.0).abs() < 0.08, "{} Mbit/s", drawn[place]);
        }
    }
}
