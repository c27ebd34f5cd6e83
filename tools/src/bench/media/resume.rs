//! What a crash costs: `resume_lost_s`.
//!
//! An import is killed with SIGKILL, started again in its folder and killed again, at random
//! moments until it is finished; then the next import begins. Lost by one kill is what the run that
//! was killed has cost, and what finishing costs after it, more than finishing would have cost
//! without it: CPU seconds of the process and its ffmpeg. That is the work that was finished and
//! had to be done again, and also what going on itself costs: the file is probed and decoded again
//! from its beginning. On a quiet machine several cores share it, so that the wait is shorter than
//! the figure. What finishing costs is measured on a copy of the folder, once for each set of
//! durable files, and has to give the bytes of an import that was never killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::import::{By, Import, Made, Outcome, Running, Track};
use super::lab::Lab;
use crate::bench::figures::{Figures, say};
use crate::bench::seed::splitmix;

/// Kills, and in `--quick`.
const KILLS: [usize; 2] = [50, 5];
/// Seconds of lecture: six segments, three for each of two cores.
const CLIP_S: u32 = 24;
/// The moments are the same in each run; "resume" in ASCII.
const SEED: u64 = 0x0072_6573_756d_6500;
/// The last moment after a start, as a share of the whole cost: what is killed sooner again and
/// again makes nothing durable, and what is never killed is no measurement.
const LAST_MOMENT: f64 = 0.6;
/// More starts than this for each kill, and an import ends before most of its moments.
const STARTS_PER_KILL_MAX: usize = 4;
/// What an import has not finished writing; it is not read again.
const UNFINISHED: &str = "part";

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let clip = lab.clips.lecture_for(CLIP_S)?;
    let whole = Import::of(&clip, &lab.clips.work("import-unkilled"), Made::First)?;
    say(&format!("an import without a crash: {:.2} CPU s", whole.cpu_s));
    let copy = lab.clips.work("import-finished");
    let mut rests = Rests { clip: &clip, whole: &whole, copy, known: BTreeMap::new() };
    let lost = kill_again_and_again(&mut rests, &lab.clips.work("import-killed"), lab.pick(KILLS))?;
    let worst = lost.iter().copied().fold(0.0, f64::max);
    figures.put("resume_lost_s", worst);
    figures.put("resume_lost_s_mean", lost.iter().sum::<f64>() / lost.len().max(1) as f64);
    figures.put("resume_kills", lost.len() as f64);
    Ok(())
}

/// Gives what each of `kills` has lost.
fn kill_again_and_again(rests: &mut Rests, work: &Path, kills: usize) -> Result<Vec<f64>> {
    let mut lost = Vec::new();
    fs::create_dir_all(work)?;
    for start in 0.. {
        if lost.len() == kills {
            break;
        }
        ensure!(start < STARTS_PER_KILL_MAX * kills, "imports end before they are killed");
        let share = splitmix(SEED ^ start as u64) as f64 / u64::MAX as f64;
        let before_s = rests.of(work)?;
        let run = Running::start(rests.clip, work, Made::First, By::Auto)?;
        match run.run(share * LAST_MOMENT * rests.whole.cpu_s)? {
            Outcome::Killed(spent_s) => {
                let rest_s = rests.of(work)?;
                let one = (spent_s + rest_s - before_s).max(0.0);
                say(&format!(
                    "kill {} with {before_s:.1} CPU s to go, after {spent_s:.1}: {one:.2} lost",
                    lost.len() + 1
                ));
                lost.push(one);
            }
            Outcome::Finished(import) => {
                rests.ensure_same(&import)?;
                fs::remove_dir_all(work)?;
                fs::create_dir_all(work)?;
            }
        }
    }
    fs::remove_dir_all(work)?;
    Ok(lost)
}

/// Names and lengths of the durable files of a work folder, in order.
type Durable = Vec<(PathBuf, u64)>;

/// What it costs to finish imports from where they are.
struct Rests<'a> {
    clip: &'a Path,
    whole: &'a Import,
    copy: PathBuf,
    known: BTreeMap<Durable, f64>,
}

impl Rests<'_> {
    /// CPU seconds to finish what is in a folder; the folder stays as it is.
    fn of(&mut self, work: &Path) -> Result<f64> {
        let durable = durable_files(work)?;
        if durable.is_empty() {
            return Ok(self.whole.cpu_s);
        }
        if let Some(rest_s) = self.known.get(&durable) {
            return Ok(*rest_s);
        }
        for (file, _) in &durable {
            let to = self.copy.join(file);
            fs::create_dir_all(to.parent().context("a file in a folder")?)?;
            fs::copy(work.join(file), to)?;
        }
        let import = Running::start(self.clip, &self.copy, Made::First, By::Auto)?.finish()?;
        self.ensure_same(&import)?;
        fs::remove_dir_all(&self.copy)?;
        self.known.insert(durable, import.cpu_s);
        Ok(import.cpu_s)
    }

    fn ensure_same(&self, import: &Import) -> Result<()> {
        let count = import.tracks().len();
        ensure!(count == self.whole.tracks().len(), "a resumed import has {count} tracks");
        for (one, other) in import.tracks().iter().zip(self.whole.tracks()) {
            ensure_same(one, other)?;
        }
        Ok(())
    }
}

/// The files of a work folder and of the folders in it that count after a crash.
fn durable_files(work: &Path) -> Result<Durable> {
    let mut found = Durable::new();
    let mut folders = vec![work.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            if about.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|end| end != UNFINISHED) {
                found.push((path.strip_prefix(work)?.to_owned(), about.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn ensure_same(one: &Track, other: &Track) -> Result<()> {
    let is_same = one.info == other.info && fs::read(&one.path)? == fs::read(&other.path)?;
    ensure!(is_same, "a resumed import gave another {} than one in one go", one.info.kind);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("slides.segments")).unwrap();
        for name in ["origin.json", "audio.part", "slides.segments/00001", "slides.segments/2.part"]
        {
            fs::write(at(name), name).unwrap();
        }
        let found = durable_files(folder.path()).unwrap();
        let expected = [("origin.json".into(), 11), ("slides.segments/00001".into(), 21)];
        assert_eq!(found, expected);
    }
}
