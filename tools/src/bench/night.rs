//! `bench night`: the figures of a night between schools, over emulated links and with real
//! processes, as one JSON object.
//!
//! Links are far slower than this computer, so their figures hold on a busy one as well. A figure
//! that could not be measured is left out, and standard error says why.

mod blobs;
mod cuts;
mod drops;
mod emulator;
mod goodput;
mod kills;
mod lab;
mod link;
mod pair;
mod peers;
mod proof;
mod province;
mod proxy;
mod reconnect;
mod rsync;
mod stream;
mod syncthing;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::figures::{Figures, leave_out};
use lab::Lab;

/// What `bench night` takes.
#[derive(Args)]
pub struct NightArgs {
    /// Prints one JSON object on standard output, and nothing else there
    #[arg(long)]
    json: bool,
    /// Measures only these groups
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Fewer bytes and kills, to see that everything works; the figures mean less
    #[arg(long)]
    quick: bool,
    /// The hub's binary, a release build; the one beside this program if it is left out
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// Packets that are lost in a row on the links, on average; 1 is each by its own chance
    #[arg(long, default_value_t = 1.0, value_name = "PACKETS")]
    loss_burst: f64,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// linkem_rate_ratio, linkem_loss, linkem_rtt_ms: whether the emulator is what it says
    Emulator,
    /// drops_bytes_ratio
    Drops,
    /// kill_points_survived
    Kills,
    /// goodput_vsat_ratio, goodput_4g_ratio, wire_overhead
    Goodput,
    /// vs_syncthing_vsat, vs_rsync_vsat, vs_rsync_vsat_bbr
    Peers,
    /// night_cuts, night_cuts_bytes_ratio, night_cuts_line_use
    Cuts,
    /// reconnect_bytes, reconnect_round_trips, unchanged_bytes, unchanged_round_trips
    Reconnect,
    /// sim_province_wall_s, sim_province_rss_mib, and what the province has at 07:00
    Province,
}

/// One group's way to its figures.
type Measure = fn(&Lab, &mut Figures) -> Result<()>;

/// A group is a line here, a variant above and a file; quick ones first.
const GROUPS: [(Group, Measure); 8] = [
    (Group::Emulator, emulator::measure),
    (Group::Drops, drops::measure),
    (Group::Kills, kills::measure),
    (Group::Goodput, goodput::measure),
    (Group::Cuts, cuts::measure),
    (Group::Reconnect, reconnect::measure),
    (Group::Province, province::measure),
    (Group::Peers, peers::measure),
];

/// Measures and prints.
pub fn run(args: &NightArgs) -> Result<()> {
    let work = tempfile::tempdir().context("make a temporary folder")?;
    let lab = Lab::new(args, work.path())?;
    let mut figures = Figures::default();
    for (group, measure) in GROUPS {
        if !args.only.is_empty() && !args.only.contains(&group) {
            continue;
        }
        if let Err(error) = measure(&lab, &mut figures) {
            leave_out(&format!("the rest of {group:?}"), &error);
        }
    }
    figures.print(args.json);
    Ok(())
}
