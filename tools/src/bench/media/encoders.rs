//! The encoders that ours is compared with, by the system's ffmpeg: the same pictures, the same
//! segments of 4 s, one thread each, so that CPU time is what it costs and not how it is shared.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::clips::{Clips, ffmpeg, finish};
use super::cost;
use super::curve::{Curve, Point};
use super::frames::{self, Frames, GOP, RATE, SIZE};
use crate::bench::figures::say;

/// An encoder of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yardstick {
    /// x264, preset veryfast: what a recorder or a streaming program uses.
    X264,
    /// SVT-AV1, preset 8.
    SvtAv1,
}

impl Yardstick {
    /// Both.
    pub const ALL: [Self; 2] = [Self::X264, Self::SvtAv1];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "x264_veryfast",
            Self::SvtAv1 => "svtav1_p8",
        }
    }

    /// Constant rate factors from far better to far worse than a lesson needs.
    fn factors(self) -> &'static [u32] {
        match self {
            Self::X264 => &[15, 20, 25, 30, 35, 40, 45],
            Self::SvtAv1 => &[15, 24, 33, 42, 51, 60],
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::X264 => {
                &["-c:v", "libx264", "-preset", "veryfast", "-sc_threshold", "0", "-threads", "1"]
            }
            Self::SvtAv1 => &["-c:v", "libsvtav1", "-preset", "8", "-svtav1-params", "lp=1:scd=0"],
        }
    }
}

/// One encode of a clip.
#[derive(Debug, Clone)]
pub struct Encode {
    /// The fragmented MP4; ours has none.
    pub file: Option<PathBuf>,
    /// Kilobits a second of media alone, without boxes.
    pub kbps: f64,
    /// Mean SSIM of luma.
    pub ssim: f64,
    /// CPU seconds of the encoder.
    pub cpu_s: f64,
}

/// What one encoder made of one clip, at several qualities.
#[derive(Debug, Clone)]
pub struct Series {
    /// Pictures of the clip.
    pub frames: usize,
    /// The encodes.
    pub encodes: Vec<Encode>,
}

impl Series {
    /// Encodes a clip with a yardstick.
    pub fn of(yardstick: Yardstick, clips: &Clips, frames: &Frames, clip: &str) -> Result<Self> {
        let mut encodes = Vec::new();
        for factor in yardstick.factors() {
            let name = format!("{clip}-{}-{factor}.mp4", yardstick.name());
            let encode = encode(yardstick, *factor, frames, &clips.work(&name))?;
            say(&format!(
                "{clip}, {} crf {factor}: {:.1} kbit/s, SSIM {:.4}, {:.2} CPU s",
                yardstick.name(),
                encode.kbps,
                encode.ssim,
                encode.cpu_s
            ));
            encodes.push(encode);
        }
        Ok(Self { frames: frames.count(), encodes })
    }

    /// The curve of media bytes, without boxes.
    pub fn curve(&self) -> Result<Curve> {
        self.curve_of(|encode| Ok(encode.kbps))
    }

    /// The curve of whole files, boxes and all, as they would cross a link.
    pub fn curve_of_files(&self) -> Result<Curve> {
        let seconds = self.frames as f64 / frames::FRAMES_PER_S;
        self.curve_of(|encode| {
            let file = encode.file.as_ref().context("an encode without a file")?;
            Ok(std::fs::metadata(file)?.len() as f64 * 8.0 / 1000.0 / seconds)
        })
    }

    fn curve_of(&self, kbps: impl Fn(&Encode) -> Result<f64>) -> Result<Curve> {
        let point = |e: &Encode| Ok(Point { kbps: kbps(e)?, ssim: e.ssim });
        Curve::through(&self.encodes.iter().map(point).collect::<Result<Vec<_>>>()?)
    }

    /// The encode whose quality is nearest to `ssim`.
    pub fn nearest(&self, ssim: f64) -> Result<&Encode> {
        let apart = |encode: &Encode| (encode.ssim - ssim).abs();
        let nearest = self.encodes.iter().min_by(|a, b| apart(a).total_cmp(&apart(b)));
        nearest.context("a series without encodes")
    }
}

fn encode(yardstick: Yardstick, factor: u32, frames: &Frames, out: &Path) -> Result<Encode> {
    let size = format!("{}x{}", SIZE.0, SIZE.1);
    let input = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", RATE, "-i"];
    let mut command = ffmpeg(&input);
    command.arg(&frames.file).args(yardstick.options());
    let gop = GOP.to_string();
    command.args(["-crf", &factor.to_string(), "-g", &gop, "-keyint_min", &gop]);
    command.args(["-f", "mp4", "-movflags", "+frag_keyframe+empty_moov+default_base_moof"]);
    let before_s = cost::ended_children_cpu_s()?;
    finish(command.arg(out))?;
    let cpu_s = cost::ended_children_cpu_s()? - before_s;
    let kbps = frames::media_bytes(out)? as f64 * 8.0 / 1000.0 / frames.seconds();
    let ssim = frames.ssim_of(out)?;
    if cpu_s <= 0.0 {
        bail!("the clip is too short to take a measurable time");
    }
    Ok(Encode { file: Some(out.to_owned()), kbps, ssim, cpu_s })
}
