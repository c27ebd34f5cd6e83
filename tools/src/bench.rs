//! Measures what the project has promised, on this computer, with real processes.

mod api;
mod figures;
mod hub;
mod link;
mod load;
mod media;
mod nginx;
mod night;
mod process;
pub mod seed;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// A hub: start, memory, serving, and sync over a narrow link
    Hub(HubArgs),
    /// The making of lessons: sizes, quality, CPU time, memory, what a crash costs, seeking
    Media(media::MediaArgs),
    /// Two hubs over links that are slow, far, lossy and cut; needs root
    Night(night::NightArgs),
    /// One import, as `bench media` starts it to weigh it
    #[command(hide = true)]
    MediaImport(media::import::ImportArgs),
}

/// What `bench hub` takes.
#[derive(Args)]
pub struct HubArgs {
    /// Prints one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
    /// The hub's binary, a release build; the one beside this program if it is left out
    #[arg(long, value_name = "FILE")]
    pub bin: Option<PathBuf>,
    /// Lessons in the library
    #[arg(long, default_value_t = 10_000)]
    pub lessons: usize,
    /// Measures only these groups
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Group>,
    /// Bytes of the blob that goes from hub to hub, in MB
    #[arg(long, default_value_t = 200)]
    pub blob_mb: usize,
}

/// Figures that are measured together.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// cold_start_ms, idle_rss_mib, binary_mib
    Start,
    /// segment_cpu_ms and nginx's
    Segment,
    /// api_rps
    Api,
    /// sync_goodput_ratio
    Sync,
}

/// Measures.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Hub(args) => hub::run(args),
        Bench::Media(args) => media::run(args),
        Bench::Night(args) => night::run(args),
        Bench::MediaImport(args) => media::import::run(args),
    }
}
