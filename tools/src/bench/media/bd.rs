//! Our encoders against others over a range of qualities: `bd_rate_*` and `encode_fps_per_cpu_s_*`.

use std::path::Path;

use anyhow::Result;
use yingxue_codec::encoder::EncoderName;

use super::encoders::{Series, Yardstick};
use super::frames::Frames;
use super::import::By;
use super::lab::Lab;
use super::ours;
use crate::bench::figures::{Figures, leave_out, say};

/// The quality that a lesson is made at, in SSIM of luma; speed is given there.
const TARGET_SSIM: f64 = 0.97;
/// Seconds of each clip, and in `--quick`: all six slides; the clip with motion three times over.
const LECTURE_S: [f64; 2] = [60.0, 12.0];
const MOTION_S: [f64; 2] = [16.0, 8.0];

/// What one encoder made of both clips.
struct Speed {
    name: String,
    frames: f64,
    cpu_s: f64,
}

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    say("Bjøntegaard: mean SSIM of luma in decibels, PCHIP, bytes without boxes");
    let mut speeds = Vec::new();
    let lecture = (lab.clips.lecture(), lab.pick(LECTURE_S));
    let motion = (lab.clips.motion_for(lab.clip_s())?, lab.pick(MOTION_S));
    for (clip, (file, seconds)) in [("lecture", lecture), ("motion", motion)] {
        measure_clip(lab, clip, &file, seconds, figures, &mut speeds)?;
    }
    speeds.sort_by(|a, b| a.name.cmp(&b.name));
    for same in speeds.chunk_by(|a, b| a.name == b.name) {
        let sum = |of: fn(&Speed) -> f64| same.iter().map(of).sum::<f64>();
        let fps = sum(|s| s.frames) / sum(|s| s.cpu_s);
        figures.put(&format!("encode_fps_per_cpu_s_{}", same[0].name), fps);
    }
    Ok(())
}

fn measure_clip(
    lab: &Lab,
    clip: &str,
    file: &Path,
    seconds: f64,
    figures: &mut Figures,
    speeds: &mut Vec<Speed>,
) -> Result<()> {
    let raw = lab.clips.work(&format!("{clip}-bd.yuv"));
    let frames = Frames::decode(file, seconds, raw)?;
    let mut add = |name: &str, series: &Series, figures: &mut Figures| -> Result<()> {
        let at = series.nearest(TARGET_SSIM)?;
        let (frames, cpu_s) = (series.frames as f64, at.cpu_s);
        figures.put(&format!("encode_fps_per_cpu_s_{name}_{clip}"), frames / cpu_s);
        speeds.push(Speed { name: name.into(), frames, cpu_s });
        Ok(())
    };
    let mut ours = Vec::new();
    for by in lab.encoders() {
        let name = match by {
            By::Auto => lab.encoder,
            By::Rav1e => EncoderName::Rav1e,
        };
        let series = ours::series(*by, name, &frames, clip);
        match &series {
            Ok(series) => add(figure_name(name), series, figures)?,
            Err(error) => {
                leave_out(&format!("encode_fps_per_cpu_s_{}_{clip}", figure_name(name)), error);
            }
        }
        ours.push((by.suffix(), series));
    }
    for yardstick in Yardstick::ALL {
        let theirs = Series::of(yardstick, &lab.clips, &frames, clip)?;
        add(yardstick.name(), &theirs, figures)?;
        for (suffix, ours) in &ours {
            let name = format!("bd_rate_vs_{}_{clip}{suffix}", yardstick.name());
            match ours {
                Ok(ours) => {
                    let percent = ours.curve()?.bd_rate_percent(&theirs.curve()?);
                    figures.put_or_leave_out(&name, percent);
                }
                Err(error) => leave_out(&name, error),
            }
        }
    }
    Ok(())
}

/// An encoder of ours in the names of figures.
fn figure_name(name: EncoderName) -> &'static str {
    match name {
        EncoderName::Rav1e => "rav1e",
        EncoderName::SvtAv1 => "svtav1_ours",
    }
}
