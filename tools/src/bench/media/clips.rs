//! What is measured on: the three clips of the media folder, and longer ones made of them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::figures::say;

/// Makes the media folder; it lies beside a checkout, not in it: its clips belong to others.
const SCRIPT: &str = "../shared/media/make_lecture.sh";
/// Where the script's output is kept.
const MADE: &str = "target/bench-media";
/// The slides of the lecture: each is shown for ten seconds and fades in for 0.6 s.
pub const SLIDES: usize = 6;
/// How long each is shown.
pub const SLIDE_S: f64 = 10.0;
/// The cross-fade at the beginning of each but the first.
pub const FADE_S: f64 = 0.6;

/// The media folder, and a folder for what is made of it.
pub struct Clips {
    folder: PathBuf,
    work: PathBuf,
}

impl Clips {
    /// Takes the folder that is named; else makes one, if the script that does is there.
    pub fn find(folder: Option<&Path>, work: &Path) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => made_here()?,
        };
        let clips = Self { folder, work: work.to_owned() };
        for clip in [clips.lossless(), clips.lecture(), clips.motion()] {
            ensure!(
                clip.is_file(),
                "{} is missing; --input takes the folder that make_lecture.sh has filled",
                clip.display()
            );
        }
        Ok(clips)
    }

    /// 60 s of six slides and a talking head, 1280×720, as they were before any encoder.
    pub fn lossless(&self) -> PathBuf {
        self.folder.join("lecture720.mkv")
    }

    /// The same as a recorder hands it over, with speech.
    pub fn lecture(&self) -> PathBuf {
        self.folder.join("lecture.mp4")
    }

    fn motion(&self) -> PathBuf {
        self.folder.join("motion.mp4")
    }

    /// A file in the folder for what is made.
    pub fn work(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// The short clip with motion, again and again.
    pub fn motion_for(&self, seconds: u32) -> Result<PathBuf> {
        self.looped(&self.motion(), seconds, &format!("motion-{seconds}.mp4"))
    }

    /// The lecture, again and again or cut off.
    pub fn lecture_for(&self, seconds: u32) -> Result<PathBuf> {
        self.looped(&self.lecture(), seconds, &format!("lecture-{seconds}.mp4"))
    }

    /// One slide with its talking head frozen, and speech.
    pub fn still_for(&self, seconds: u32) -> Result<PathBuf> {
        let picture = self.work("still.png");
        self.picture(SLIDE_S / 2.0, "null", &picture)?;
        let part = self.work("still-part.mp4");
        // Ten seconds are one GOP of the recorder that the lecture stands for.
        let arguments = ["-loop", "1", "-framerate", "25", "-t", "10", "-i"];
        let mut command = ffmpeg(&arguments);
        command.arg(&picture).args(["-t", "10", "-i"]).arg(self.lecture());
        command.args(["-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "medium"]);
        command.args(["-crf", "20", "-g", "250", "-pix_fmt", "yuv420p", "-c:a", "copy"]);
        finish(command.args(["-movflags", "+faststart"]).arg(&part))?;
        self.looped(&part, seconds, &format!("still-{seconds}.mp4"))
    }

    /// Writes the lossless picture at a time, filtered, as a PNG.
    pub fn picture(&self, at_s: f64, filters: &str, out: &Path) -> Result<()> {
        let mut command = ffmpeg(&["-ss", &at_s.to_string(), "-i"]);
        command.arg(self.lossless()).args(["-frames:v", "1", "-vf", filters]);
        finish(command.arg(out))
    }

    fn looped(&self, clip: &Path, seconds: u32, name: &str) -> Result<PathBuf> {
        let out = self.work(name);
        if !out.is_file() {
            let mut command = ffmpeg(&["-stream_loop", "-1", "-i"]);
            command.arg(clip).args(["-c", "copy", "-t", &seconds.to_string()]);
            finish(command.args(["-movflags", "+faststart"]).arg(&out))?;
        }
        Ok(out)
    }
}

fn made_here() -> Result<PathBuf> {
    let script = Path::new(SCRIPT);
    ensure!(
        script.is_file(),
        "no input: give --input FOLDER (or YINGXUE_MEDIA), the folder that make_lecture.sh has \
         filled; {SCRIPT} is not there to fill one"
    );
    let made = PathBuf::from(MADE);
    if !made.join("motion.mp4").is_file() {
        say(&format!("making clips in {MADE}"));
        let status = Command::new("bash").arg(script).arg(&made).stdout(Stdio::null()).status();
        ensure!(status.context("start bash")?.success(), "{SCRIPT} failed");
    }
    Ok(fs::canonicalize(made)?)
}

/// The system's ffmpeg with `arguments`, which more may follow.
pub fn ffmpeg(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments);
    command
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{program} ended with {}: {}",
            output.status,
            said.lines().last().unwrap_or_default()
        );
    }
    Ok(())
}
