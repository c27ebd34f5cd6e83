//! `province`: runs a simulated province and leaves a report and plots in a folder.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use yingxue_scenarios::province::{self, Preset, Progress, plots};

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What `province` takes.
#[derive(Args)]
pub struct ProvinceArgs {
    /// sichuan-2023, quanzhou, qingdao-1to1, huanggang or changyi, or a TOML file like those
    #[arg(long, default_value = "sichuan-2023")]
    preset: String,
    /// School nights
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    nights: u64,
    /// Threads; one a core if it is left out
    #[arg(long)]
    threads: Option<usize>,
    /// Where the report and the plots go
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Runs it.
pub fn run(args: &ProvinceArgs) -> Result<()> {
    let preset = read(&args.preset)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    let (begin, told) = (Instant::now(), Mutex::new(None));
    let report = province::run(&preset, args.nights, threads, &|progress| {
        tell(&told, progress, begin);
    });
    let lines = report.lines();
    let keep = |name: &str, text: &str| {
        let path = args.out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    keep("report.txt", &(lines.join("\n") + "\n"))?;
    for (name, svg) in plots::all(&report) {
        keep(name, &svg)?;
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Tells at once, and then every few seconds, how far it is.
fn tell(told: &Mutex<Option<Instant>>, progress: Progress, begin: Instant) {
    let mut told = told.lock().unwrap_or_else(|broken| broken.into_inner());
    let ([done, all], [hours, hours_all]) = (progress.alliances, progress.hub_hours);
    if told.is_some_and(|at| at.elapsed() < TOLD_EVERY) && hours < hours_all {
        return;
    }
    *told = Some(Instant::now());
    let percent = hours * 100 / hours_all.max(1);
    let seconds = begin.elapsed().as_secs();
    eprintln!(
        "{percent} %: {hours} of {hours_all} hub-hours, {done} of {all} alliances, {seconds} s"
    );
}

fn read(preset: &str) -> Result<Preset> {
    if Preset::names().any(|name| name == preset) || !preset.ends_with(".toml") {
        return Ok(Preset::named(preset)?);
    }
    let text = std::fs::read_to_string(preset).with_context(|| format!("cannot read {preset}"))?;
    Ok(Preset::read(&text)?)
}
