//! A simulated province: `sim_province_wall_s` and `sim_province_rss_mib` of its first night, and
//! over the nights that are run `sim_floor_ready_0700`, `sim_preferred_ready_0700`,
//! `sim_false_green`, `sim_lost_acknowledged`, `sim_lead_copies_per_lesson`,
//! `sim_bytes_over_lower_bound`.
//!
//! Readiness counts lessons of schools that have any line. Bytes of pieces, and of the heads of
//! their frames, are simulated ones times the preset's scale; all other messages are what they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use yingxue_scenarios::province::{self, Preset};

use super::lab::Lab;
use crate::bench::figures::{Figures, say};

/// The province that the figures are of, and of `--quick`.
const PRESETS: [&str; 2] = ["sichuan-2023", "changyi"];
/// School nights: one, so that time and memory are of a night.
const NIGHTS: u64 = 1;

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let preset = Preset::named(lab.pick(PRESETS)).context("read the preset")?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    say(&format!("{}: {NIGHTS} school night on {threads} threads", preset.name));
    let begin = Instant::now();
    let told = AtomicU64::new(0);
    let report = province::run(&preset, NIGHTS, threads, &|progress| {
        let [hours, all] = progress.hub_hours;
        let percent = hours * 100 / all.max(1);
        // Whoever counts a percent up first tells it.
        if told.fetch_max(percent, Ordering::Relaxed) < percent {
            let [done, alliances] = progress.alliances;
            say(&format!("{percent} % of {all} hub-hours, {done} of {alliances} alliances"));
        }
    });
    figures.put("sim_province_wall_s", begin.elapsed().as_secs_f64());
    if let Some(mib) = peak_rss_mib() {
        figures.put("sim_province_rss_mib", mib);
    }
    let count = report.count(|_| true);
    let share = |part: u64| part as f64 / count.timetabled.max(1) as f64;
    figures.put("sim_floor_ready_0700", share(count.at_floor));
    figures.put("sim_preferred_ready_0700", share(count.at_preferred));
    figures.put("sim_false_green", report.false_green() as f64);
    figures.put("sim_lost_acknowledged", report.lost_acknowledged as f64);
    figures.put("sim_lead_copies_per_lesson", report.lead_copies_per_lesson());
    figures.put("sim_bytes_over_lower_bound", report.bytes_over_lower_bound());
    Ok(())
}

/// Gives the most memory that this process ever had, as Linux counts it.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
