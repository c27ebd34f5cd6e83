//! `bench media`: the figures that the making of lessons has to reach, as one JSON object.
//!
//! CPU times are of processes with all their children, so that they hold on a busy machine as
//! well; `core_use` and `seek_ms` want a quiet one. A figure that could not be measured is left
//! out, and standard error says why.

mod bd;
mod clips;
mod cost;
mod curve;
mod decode;
mod encoders;
mod frames;
pub mod import;
mod lab;
mod lesson;
mod ours;
mod resume;
mod seek;
mod slides;
mod sound;
mod still;
mod video;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::figures::{Figures, leave_out, say};
use lab::Lab;

/// What `bench media` takes.
#[derive(Args)]
pub struct MediaArgs {
    /// Prints one JSON object on standard output, and nothing else there
    #[arg(long)]
    json: bool,
    /// The folder that make_lecture.sh has filled; made if it is left out and the script is there
    #[arg(long, value_name = "FOLDER", env = "YINGXUE_MEDIA")]
    input: Option<PathBuf>,
    /// Measures only these groups
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Shorter clips and fewer tries, to see that everything works; the figures mean less
    #[arg(long)]
    quick: bool,
    /// The hub's binary, a release build; the one beside this program if it is left out
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// The web UI's folder with its packages, for the browser
    #[arg(long, value_name = "FOLDER", default_value = "web-ui")]
    web_ui: PathBuf,
}

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// slides_*, slide_*
    Slides,
    /// audio_kbps, t0_mib_per_40min
    Sound,
    /// video360_*, core_use
    Video,
    /// bd_rate_*, encode_fps_per_cpu_s_*
    Bd,
    /// still_speedup
    Still,
    /// resume_lost_s
    Resume,
    /// decode_fps_480p_per_cpu_s
    Decode,
    /// encode_rss_mib
    Memory,
    /// seek_ms
    Seek,
}

/// One group's way to its figures.
type Measure = fn(&Lab, &mut Figures) -> Result<()>;

/// Quick ones first; what a crash costs and the browser last.
const GROUPS: [(Group, Measure); 9] = [
    (Group::Sound, sound::measure),
    (Group::Slides, slides::measure),
    (Group::Video, video::measure),
    (Group::Still, still::measure),
    (Group::Decode, decode::measure),
    (Group::Memory, decode::measure_memory),
    (Group::Bd, bd::measure),
    (Group::Resume, resume::measure),
    (Group::Seek, seek::measure),
];

/// Measures and prints.
pub fn run(args: &MediaArgs) -> Result<()> {
    if cfg!(debug_assertions) {
        say("a debug build: times mean nothing, qualities and sizes do");
    }
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
