//! What a crash costs: `resume_lost_s`.
//!
//! An import of some minutes is killed with SIGKILL, started again in its folder and killed again,
//! at random moments all over it, until it is finished; then the next one begins. Lost by one kill
//! is what the run that was killed has cost, less what it has added to what is durable: CPU seconds
//! of the process and its ffmpeg. That is the work that was finished and has to be done again, what
//! was under way, and also what going on itself costs: the probe, and decoding up to where the run
//! before it was. On a quiet machine several cores share it, so that the wait is shorter than the
//! figure.
//!
//! What durable files are worth is seen in imports that are not killed, one of the original and the
//! sound and one of the pictures, for these run side by side: the CPU seconds after which there are
//! as many. Runs are short, a few segments more than what one loses, so that a machine that is
//! now faster and now slower weighs little. In the end the killed import has to give the same
//! bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use yingxue_codec::track::TrackKind;

use super::import::{By, Import, Made, Outcome, Running, Track};
use super::lab::Lab;
use crate::bench::figures::{Figures, say};
use crate::bench::seed::splitmix;

/// Kills, and in `--quick`.
const KILLS: [usize; 2] = [50, 5];
/// Seconds of lecture: a look of six minutes has eighteen moments at which it can go on.
const CLIP_S: [u32; 2] = [360, 90];
/// The moments are the same in each run; "resume" in ASCII.
const SEED: u64 = 0x0072_6573_756d_6500;
/// What a kill is expected to cost, in CPU seconds; runs are longer by as much, so that all kills
/// together go about once through the import.
const LOST_S_EXPECTED: f64 = 4.0;
/// More starts than this for each kill, and an import ends before most of its moments.
const STARTS_PER_KILL_MAX: usize = 4;
/// What is made one after the other, apart from what is made beside it.
const PARTS: [Made; 2] = [Made::Original, Made::Pictures];

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let clip = lab.clips.lecture_for(lab.pick(CLIP_S))?;
    let mut parts = Vec::new();
    for made in PARTS {
        parts.push(Part::made(&clip, &lab.clips.work(&format!("import-unkilled-{made:?}")), made)?);
    }
    let unkilled = Unkilled { clip, parts };
    say(&format!("an import without a crash: {:.2} CPU s", unkilled.cpu_s()));
    let lost = kill_again_and_again(&unkilled, &lab.clips.work("import-killed"), lab.pick(KILLS))?;
    let worst = lost.iter().copied().fold(0.0, f64::max);
    figures.put("resume_lost_s", worst);
    figures.put("resume_lost_s_mean", lost.iter().sum::<f64>() / lost.len().max(1) as f64);
    figures.put("resume_kills", lost.len() as f64);
    Ok(())
}

/// Gives what each of `kills` has lost.
fn kill_again_and_again(unkilled: &Unkilled, work: &Path, kills: usize) -> Result<Vec<f64>> {
    let run_s_max = 2.0 * (unkilled.cpu_s() / kills as f64 + LOST_S_EXPECTED);
    let start = || Running::start(&unkilled.clip, work, Made::First, By::Auto);
    let mut lost = Vec::new();
    fs::create_dir_all(work)?;
    for number in 0.. {
        if lost.len() == kills {
            break;
        }
        ensure!(number < STARTS_PER_KILL_MAX * kills, "imports end before they are killed");
        let share = splitmix(SEED ^ number as u64) as f64 / u64::MAX as f64;
        let before_s = unkilled.worth_s(work)?;
        match start()?.run(share * run_s_max)? {
            Outcome::Killed(spent_s) => {
                let after_s = unkilled.worth_s(work)?;
                let one = (spent_s - (after_s - before_s)).max(0.0);
                say(&format!(
                    "kill {} after {spent_s:.1} CPU s, from {before_s:.1} to {after_s:.1}: \
                     {one:.2} lost",
                    lost.len() + 1
                ));
                lost.push(one);
            }
            Outcome::Finished(import) => {
                unkilled.ensure_same(&import)?;
                fs::remove_dir_all(work)?;
                fs::create_dir_all(work)?;
            }
        }
    }
    unkilled.ensure_same(&start()?.finish()?)?;
    fs::remove_dir_all(work)?;
    Ok(lost)
}

/// The imports that were not killed.
struct Unkilled {
    clip: PathBuf,
    parts: Vec<Part>,
}

impl Unkilled {
    fn cpu_s(&self) -> f64 {
        self.parts.iter().map(|part| part.import.cpu_s).sum()
    }

    /// CPU seconds in which what is durable in a folder is made.
    fn worth_s(&self, work: &Path) -> Result<f64> {
        let durable = durable(work)?;
        Ok(self.parts.iter().map(|part| part.moments.worth_s(&durable)).sum())
    }

    fn ensure_same(&self, import: &Import) -> Result<()> {
        let unkilled: Vec<&Track> = self.parts.iter().flat_map(|p| p.import.tracks()).collect();
        let count = import.tracks().len();
        ensure!(count == unkilled.len(), "a resumed import has {count} tracks");
        for one in unkilled {
            let other = import.track(one.info.kind)?;
            let is_same = one.info == other.info && fs::read(&one.path)? == fs::read(&other.path)?;
            ensure!(is_same, "a resumed import gave another {}", one.info.kind);
        }
        Ok(())
    }
}

/// An import of some tracks, and when it made what.
struct Part {
    import: Import,
    moments: Moments,
}

impl Part {
    fn made(clip: &Path, work: &Path, made: Made) -> Result<Self> {
        let mut moments = Moments::default();
        let running = Running::start(clip, work, made, By::Auto)?;
        // Nothing is there before the import has made its folder.
        let see = |cpu_s| moments.see(&durable(work).unwrap_or_default(), cpu_s);
        let import = running.finish_watched(see)?;
        moments.see(&durable(work)?, import.cpu_s);
        Ok(Self { import, moments })
    }
}

/// After how many CPU seconds each durable file was seen first.
#[derive(Default)]
struct Moments(BTreeMap<PathBuf, f64>);

impl Moments {
    fn see(&mut self, durable: &BTreeSet<PathBuf>, cpu_s: f64) {
        for file in durable {
            self.0.entry(file.clone()).or_insert(cpu_s);
        }
    }

    /// After how many there were as many as of a folder: those of a finished track are gone, and
    /// count.
    fn worth_s(&self, durable: &BTreeSet<PathBuf>) -> f64 {
        let counts =
            |file: &PathBuf| durable.contains(file) || durable.contains(&description(file));
        let count = self.0.keys().filter(|file| counts(file)).count();
        let mut moments: Vec<f64> = self.0.values().copied().collect();
        moments.sort_by(f64::total_cmp);
        count.checked_sub(1).map_or(0.0, |last| moments[last])
    }
}

/// What makes the track count that a file belongs to.
fn description(file: &Path) -> PathBuf {
    let name = file.iter().next().unwrap_or_default().to_string_lossy();
    let kind = TrackKind::ALL.into_iter().find(|kind| name.starts_with(&format!("{kind}.")));
    kind.map_or_else(PathBuf::new, |kind| format!("{kind}.track").into())
}

/// What counts after a crash in a work folder: segments, and descriptions of finished tracks.
fn durable(work: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
    };
    let has_end = |path: &Path, end: &str| path.extension().is_some_and(|found| found == end);
    for path in entries(work)? {
        if has_end(&path, "track") {
            found.insert(path);
        } else if has_end(&path, "segments") {
            // A folder that has just gone belongs to a track that is finished.
            let segments = entries(&path).unwrap_or_default().into_iter();
            found.extend(segments.filter(|segment| segment.extension().is_none()));
        }
    }
    Ok(found.iter().filter_map(|path| Some(path.strip_prefix(work).ok()?.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_finished_tracks_are_worth_what_it_took_to_have_as_many() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut moments = Moments::default();
        let mut see = |cpu_s| moments.see(&durable(folder.path()).unwrap(), cpu_s);
        fs::create_dir(at("slides.segments")).unwrap();
        fs::write(at("origin.json"), "").unwrap();
        see(1.0);
        fs::write(at("slides.segments/00000"), "").unwrap();
        fs::write(at("slides.segments/00001.part"), "").unwrap();
        see(2.0);
        fs::write(at("slides.segments/00001"), "").unwrap();
        fs::write(at("slides.segments/00001.end"), "").unwrap();
        see(5.0);
        fs::remove_dir_all(at("slides.segments")).unwrap();
        fs::write(at("slides.track"), "").unwrap();
        see(6.0);
        let worth = |files: &[&str]| moments.worth_s(&files.iter().map(PathBuf::from).collect());
        assert_eq!(worth(&[]), 0.0);
        assert_eq!(worth(&["slides.segments/00001"]), 2.0, "another one was the first");
        assert_eq!(worth(&["slides.segments/00000", "slides.segments/00001"]), 5.0);
        assert_eq!(worth(&["slides.track", "audio.track"]), 6.0);
    }
}
