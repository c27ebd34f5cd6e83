//! A night on a radio that is cut every three minutes, at its true pace: `night_cuts`,
//! `night_cuts_bytes_ratio`, `night_cuts_line_use`.
//!
//! One lesson from hub to hub over the preset `night`, at a quarter of its rate, so that 50 MB
//! need several cuts. `night_cuts_bytes_ratio` is all that was inside TCP, both ways, over the
//! lesson; `night_cuts_line_use` the seconds that the line needs for the lesson's bytes alone,
//! while it is up, over those that it took.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::blobs::{Arrival, arrive};
use super::lab::Lab;
use super::pair::Pair;
use crate::bench::figures::{Figures, say};
use crate::bench::seed;
use crate::linkem::counters::Counters;

/// Bytes of the lesson, and in `--quick`.
const BYTES: [usize; 2] = [50_000_000, 5_000_000];
/// Mbit/s, as `linkem` takes it.
const RATE: &str = "1";
const RATE_BYTES_PER_S: f64 = 125_000.0;
/// The preset's cuts, and in `--quick` shorter ones.
const CUT_EVERY_S: [u32; 2] = [180, 15];
const CUT_FOR_S: [u32; 2] = [10, 3];
/// The lesson takes 400 s; five times as long is a failure.
const TRANSFER_MAX: Duration = Duration::from_secs(2_000);

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let bytes = lab.pick(BYTES);
    let (every_s, for_s) = (lab.pick(CUT_EVERY_S), lab.pick(CUT_FOR_S));
    say(&format!("{bytes} bytes over a radio of {RATE} Mbit/s, cut {for_s} s every {every_s} s"));
    let (cut_every, cut_for) = (every_s.to_string(), for_s.to_string());
    let words = ["--preset", "night", "--rate", RATE];
    let cuts = ["--cut-every", &cut_every, "--cut-for", &cut_for];
    let mut pair = Pair::make(lab, &lab.folder("cuts")?, &[&words[..], &cuts].concat())?;
    let lesson =
        seed::tracks(&pair.lead.data, &pair.lead_addresses(), 1, (bytes, 1 << 20))?.remove(0);
    let [lead, rural] = pair.meet()?;
    let (begin, before) = (Instant::now(), pair.link.counters()?);
    let watched = Arrival { name: Some("a night with cuts") };
    arrive(&rural.api, &[lesson], bytes as u64, TRANSFER_MAX, &watched)?;
    let took_s = begin.elapsed().as_secs_f64();
    let after = pair.link.counters()?;
    rural.process.stop()?;
    lead.process.stop()?;
    let cuts = (took_s / f64::from(every_s)).floor();
    let cut_packets =
        sum(&after, |way| way.dropped_cut.packets) - sum(&before, |way| way.dropped_cut.packets);
    ensure!(cuts >= 1.0 && cut_packets > 0.0, "the line was not cut in {took_s:.0} s");
    let sent = sum(&after, |way| way.tcp_payload_bytes) - sum(&before, |way| way.tcp_payload_bytes);
    let is_up = 1.0 - f64::from(for_s) / f64::from(every_s);
    figures.put("night_cuts", cuts);
    figures.put("night_cuts_bytes_ratio", sent / bytes as f64);
    figures.put("night_cuts_line_use", bytes as f64 / RATE_BYTES_PER_S / is_up / took_s);
    Ok(())
}

fn sum(counters: &[Counters; 2], of: fn(&Counters) -> u64) -> f64 {
    counters.iter().map(|way| of(way) as f64).sum()
}
