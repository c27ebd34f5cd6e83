//! What developers run: the demo lesson, the style check, the benchmark.
//!
//! Nothing here is part of the hub, and nothing may depend on this crate.

mod bench;
mod demo_lesson;
mod licences;
mod linkem;
mod province;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "yingxue-tools", version, about = "Tools for people who work on Yingxue 萤雪")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a lesson of about 90 s (H.264 + AAC) from our own slides and spoken words
    DemoLesson {
        /// The mp4 to write
        out: PathBuf,
    },
    /// Checks size limits, layers, names and licences; one line a finding
    Tidy {
        /// The repository
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
    /// Joins two network namespaces by a link that is slow, far, lossy or cut; needs root
    Linkem(linkem::LinkemArgs),
    /// Runs school nights of a simulated province; leaves a report and plots in a folder
    Province(province::ProvinceArgs),
    /// Measures
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::DemoLesson { out } => demo_lesson::make(&out).map(|()| ExitCode::SUCCESS),
        Command::Tidy { root } => tidy::run(&root),
        Command::Linkem(args) => linkem::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Province(args) => province::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(bench) => bench::run(&bench).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("yingxue-tools: {error:#}");
        ExitCode::FAILURE
    })
}
