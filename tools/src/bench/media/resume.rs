//! What a crash costs: `resume_lost_s`.
//!
//! An import is killed with SIGKILL, and a second one goes on in its folder to the end. Lost is
//! what the two cost together more than one that was never killed: CPU seconds of the process and
//! its ffmpeg. That is the work that was finished and had to be done again, and also what going on
//! itself costs: the file is probed and decoded again from its beginning. On a quiet machine
//! several cores share it, so that the wait is shorter than the figure. Every resumed import has
//! to give the bytes of the one that was never killed.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::import::{Import, Made, Outcome, Running, Track};
use super::lab::Lab;
use crate::bench::figures::{Figures, say};
use crate::bench::seed::splitmix;

/// Kills, and in `--quick`.
const KILLS: [u64; 2] = [50, 5];
/// Seconds of lecture: six segments, three for each of two cores.
const CLIP_S: u32 = 24;
/// The moments are the same in each run; "resume" in ASCII.
const SEED: u64 = 0x0072_6573_756d_6500;
/// The last moment, as a share of the whole cost: an import is a little cheaper now and then, and
/// one that ended before its moment was not killed.
const LAST_MOMENT: f64 = 0.95;

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let clip = lab.clips.lecture_for(CLIP_S)?;
    let whole = Import::of(&clip, &lab.clips.work("import-unkilled"), Made::First)?;
    say(&format!("an import without a crash: {:.2} CPU s", whole.cpu_s));
    let mut lost = Vec::new();
    for n in 0..lab.pick(KILLS) {
        let moment = splitmix(SEED ^ n) as f64 / u64::MAX as f64 * LAST_MOMENT;
        let work = lab.clips.work("import-killed");
        if let Some(lost_s) = lost_by_kill(&clip, &work, &whole, moment)? {
            say(&format!("kill {n} at {:.0} %: {lost_s:.2} CPU s lost", moment * 100.0));
            lost.push(lost_s);
        }
        fs::remove_dir_all(&work)?;
    }
    let worst = lost.iter().copied().fold(0.0, f64::max);
    figures.put("resume_lost_s", worst);
    figures.put("resume_lost_s_mean", lost.iter().sum::<f64>() / lost.len().max(1) as f64);
    figures.put("resume_kills", lost.len() as f64);
    Ok(())
}

/// Kills one import at a share of its cost, goes on, and gives what was lost.
fn lost_by_kill(clip: &Path, work: &Path, whole: &Import, moment: f64) -> Result<Option<f64>> {
    let killed_s = match Running::start(clip, work, Made::First)?.run(whole.cpu_s * moment)? {
        Outcome::Killed(cpu_s) => cpu_s,
        Outcome::Finished(_) => return Ok(None),
    };
    let rest = Running::start(clip, work, Made::First)?.finish()?;
    for (one, other) in rest.tracks().iter().zip(whole.tracks()) {
        ensure_same(one, other)?;
    }
    ensure!(rest.tracks().len() == whole.tracks().len(), "a resumed import has other tracks");
    Ok(Some((killed_s + rest.cpu_s - whole.cpu_s).max(0.0)))
}

fn ensure_same(one: &Track, other: &Track) -> Result<()> {
    let is_same = one.info == other.info && fs::read(&one.path)? == fs::read(&other.path)?;
    ensure!(is_same, "a resumed import gave another {} than one in one go", one.info.kind);
    Ok(())
}
