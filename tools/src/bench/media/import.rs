//! A real import in a process of its own, so that it can be weighed, and killed.
//!
//! The child is this program's hidden subcommand `bench media-import`; it says on its standard
//! output which stage it has come to, and at the end which tracks it has made.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use yingxue_codec::import::{
    EncoderChoice, ImportRequest, Observer, Progress, Stage, Tiers, import,
};
use yingxue_codec::track::{TrackInfo, TrackKind};
use yingxue_codec::{Ffmpeg, Limits};

use super::cost;
use crate::bench::figures;

/// Between two looks at memory, or at the CPU time that is left: a GOP takes seconds.
const LOOK_DELAY: Duration = Duration::from_millis(25);
/// An import that takes so long has got stuck: the longest of the bench has six minutes of lesson.
const IMPORT_MAX: Duration = Duration::from_secs(3600);

/// What `bench media-import` takes.
#[derive(Args)]
pub struct ImportArgs {
    /// The file
    source: PathBuf,
    /// The work folder
    work_dir: PathBuf,
    /// Which tracks it makes
    tiers: Made,
    /// What encodes its pictures
    encoder: By,
}

/// What encodes the pictures of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// What a hub takes that is told nothing
    Auto,
    /// rav1e
    Rav1e,
}

impl By {
    /// The codec's word for it.
    pub fn choice(self) -> EncoderChoice {
        match self {
            Self::Auto => EncoderChoice::Auto,
            Self::Rav1e => EncoderChoice::Rav1e,
        }
    }

    /// What its figures end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Auto => "",
            Self::Rav1e => "_rav1e",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rav1e => "rav1e",
        }
    }
}

/// Which tracks an import makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Made {
    /// What a lesson is published with
    First,
    /// Everything
    All,
    /// video-360 and what is found in its pictures
    Video360,
    /// The original and the sound
    Original,
    /// Pages, thumbnails and video-360
    Pictures,
}

impl Made {
    fn tiers(self) -> Tiers {
        match self {
            Self::First => Tiers::FIRST,
            Self::All => Tiers::ALL,
            Self::Video360 => Tiers { source: false, audio: false, slides: false, ..Tiers::FIRST },
            Self::Original => Tiers { slides: false, video_360: false, ..Tiers::FIRST },
            Self::Pictures => Tiers { source: false, audio: false, ..Tiers::FIRST },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::All => "all",
            Self::Video360 => "video360",
            Self::Original => "original",
            Self::Pictures => "pictures",
        }
    }
}

/// What the child says, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Stage(String),
    Finished(Vec<Track>),
}

/// A track that an import has made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Track {
    /// Its file.
    pub path: PathBuf,
    /// What is in it.
    pub info: TrackInfo,
}

/// Says each new stage.
struct Announcer(Mutex<Option<Stage>>);

impl Observer for Announcer {
    fn progress(&self, progress: Progress) {
        let mut last = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if last.replace(progress.stage) != Some(progress.stage) {
            say(&Line::Stage(format!("{:?}", progress.stage)));
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn say(line: &Line) {
    println!("{}", serde_json::to_string(line).expect("names and numbers always encode"));
}

/// The child: imports.
pub fn run(args: &ImportArgs) -> Result<()> {
    let ffmpeg = Ffmpeg::find()?;
    let request = ImportRequest {
        ffmpeg: &ffmpeg,
        source: &args.source,
        work_dir: &args.work_dir,
        workers: std::thread::available_parallelism()?.get(),
        limits: Limits::default(),
        encoder: args.encoder.choice(),
        tiers: args.tiers.tiers(),
    };
    let imported = import(&request, &Announcer(Mutex::new(None)))?;
    let tracks = imported.tracks.into_iter();
    say(&Line::Finished(tracks.map(|t| Track { path: t.path, info: t.info }).collect()));
    Ok(())
}

/// When a stage began.
#[derive(Debug, Clone)]
struct Mark {
    stage: String,
    cpu_s: f64,
    at: Duration,
}

/// An import that went to its end, and what it cost with its children.
#[derive(Debug, Clone)]
pub struct Import {
    tracks: Vec<Track>,
    /// CPU seconds.
    pub cpu_s: f64,
    /// The most resident memory at once.
    pub rss_mib_max: f64,
    wall: Duration,
    marks: Vec<Mark>,
}

impl Import {
    /// Imports `source` into `work_dir`, to the end, as a hub does that is told nothing.
    pub fn of(source: &Path, work_dir: &Path, made: Made) -> Result<Self> {
        Self::by(By::Auto, source, work_dir, made)
    }

    /// As [`Import::of`], by an encoder.
    pub fn by(by: By, source: &Path, work_dir: &Path, made: Made) -> Result<Self> {
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        figures::say(&format!("importing {name} ({}, encoder {})", made.name(), by.name()));
        Running::start(source, work_dir, made, by)?.finish()
    }

    /// Gives a track that must be there.
    pub fn track(&self, kind: TrackKind) -> Result<&Track> {
        let found = self.tracks.iter().find(|track| track.info.kind == kind);
        found.with_context(|| format!("the import made no track {kind}"))
    }

    /// All tracks.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Gives the CPU seconds and the seconds from the beginning of `video-360` to the end.
    pub fn video_stage(&self) -> Result<(f64, f64)> {
        let begin = self.marks.iter().find(|mark| mark.stage == "Video");
        let begin = begin.context("the import came to no video stage")?;
        Ok((self.cpu_s - begin.cpu_s, (self.wall - begin.at).as_secs_f64()))
    }
}

impl Track {
    /// Gives the bytes of each segment, in order.
    pub fn segments(&self) -> Result<Vec<Vec<u8>>> {
        let file = fs::read(&self.path).with_context(|| format!("read {}", self.path.display()))?;
        let (_, ranges) = self.info.ranges();
        let part = |range: std::ops::Range<u64>| file.get(range.start as usize..range.end as usize);
        let segments = ranges.map(|(_, range)| part(range).map(<[u8]>::to_vec));
        segments.collect::<Option<_>>().context("a track that is shorter than it says")
    }

    /// Kilobits a second of the whole file, boxes and all.
    pub fn kbps(&self) -> f64 {
        self.info.total_bytes() as f64 * 8.0 / self.info.duration_ms() as f64
    }
}

/// How a run with a limit ended.
pub enum Outcome {
    /// It came to its end first.
    Finished(Import),
    /// It was killed, and had cost so many CPU seconds.
    Killed(f64),
}

/// A running import.
pub struct Running {
    child: Child,
    lines: Receiver<(Line, Duration, f64)>,
    begin: Instant,
    ended_before_s: f64,
    log: PathBuf,
}

impl Running {
    /// Starts it.
    pub fn start(source: &Path, work_dir: &Path, made: Made, by: By) -> Result<Self> {
        let log = work_dir.with_extension("log");
        let ended_before_s = cost::ended_children_cpu_s()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "media-import"]).args([source, work_dir]);
        command.args([made.name(), by.name()]);
        let log_file =
            fs::File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let begin = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .context("start an import")?;
        let output = child.stdout.take().expect("stdout was asked for as a pipe");
        let (sender, lines) = channel();
        let pid = child.id();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                let cpu_s = cost::tree_cpu_s(pid).unwrap_or_default();
                if sender.send((line, begin.elapsed(), cpu_s)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, begin, ended_before_s, log })
    }

    /// Waits for the end.
    pub fn finish(self) -> Result<Import> {
        self.finish_watched(|_| {})
    }

    /// As [`Running::finish`]; `watch` is told again and again how many CPU seconds it has cost.
    pub fn finish_watched(self, watch: impl FnMut(f64)) -> Result<Import> {
        match self.run_watched(f64::INFINITY, watch)? {
            Outcome::Finished(import) => Ok(import),
            Outcome::Killed(_) => bail!("an import was killed without having been asked to be"),
        }
    }

    /// Waits for the end, or kills the import (only it, as a crash would) once it has cost so
    /// many CPU seconds.
    pub fn run(self, cpu_s_max: f64) -> Result<Outcome> {
        self.run_watched(cpu_s_max, |_| {})
    }

    fn run_watched(mut self, cpu_s_max: f64, mut watch: impl FnMut(f64)) -> Result<Outcome> {
        let (mut marks, mut tracks, mut rss_mib_max) = (Vec::new(), None, 0.0f64);
        loop {
            match self.lines.recv_timeout(LOOK_DELAY) {
                Ok((Line::Stage(stage), at, cpu_s)) => marks.push(Mark { stage, cpu_s, at }),
                Ok((Line::Finished(all), ..)) => tracks = Some(all),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            rss_mib_max = rss_mib_max.max(cost::tree_rss_mib(self.child.id()));
            if !marks.is_empty() && tracks.is_none() {
                let cpu_s = cost::tree_cpu_s(self.child.id())?;
                watch(cpu_s);
                if cpu_s >= cpu_s_max {
                    self.child.kill()?;
                    self.child.wait()?;
                    return Ok(Outcome::Killed(cpu_s));
                }
            }
            ensure!(self.begin.elapsed() < IMPORT_MAX, "an import has got stuck");
        }
        let status = self.child.wait()?;
        let wall = self.begin.elapsed();
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(status.success(), "the import ended with {status}: {}", said.trim());
        let tracks = tracks.context("the import named no tracks")?;
        let cpu_s = cost::ended_children_cpu_s()? - self.ended_before_s;
        Ok(Outcome::Finished(Import { tracks, cpu_s, rss_mib_max, wall, marks }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
