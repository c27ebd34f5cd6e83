//! `video-360` as a real import makes it: what it costs, what it weighs, how it is for its weight.

use std::thread::available_parallelism;

use anyhow::Result;
use yingxue_codec::track::TrackKind;

use super::encoders::{Series, Yardstick};
use super::frames::Frames;
use super::import::Import;
use super::lab::Lab;
use crate::bench::figures::{Figures, leave_out, say};

/// Minutes of the lesson that costs are given for.
const LESSON_MIN: f64 = 40.0;

/// `video360_*` and `core_use`.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    for (clip, import) in [("lecture", lab.lecture()?), ("motion", lab.motion()?)] {
        if let Err(error) = measure_clip(lab, clip, import, figures) {
            leave_out(&format!("the rest of video360_*_{clip}"), &error);
        }
    }
    let (cpu_s, seconds) = lab.motion()?.video_stage()?;
    let cores = available_parallelism()?.get();
    say(&format!("{cpu_s:.1} CPU s in {seconds:.1} s of video stage on {cores} cores"));
    figures.put("core_use", cpu_s / (seconds * cores as f64));
    Ok(())
}

fn measure_clip(lab: &Lab, clip: &str, import: &Import, figures: &mut Figures) -> Result<()> {
    let track = import.track(TrackKind::Video360)?;
    let clip_min = track.info.duration_ms() as f64 / 60_000.0;
    let (stage_cpu_s, _) = import.video_stage()?;
    let per_lesson = |cpu_s: f64| cpu_s / 60.0 * LESSON_MIN / clip_min;
    say(&format!("{clip}: {:.1} s of it, scaled to {LESSON_MIN} min", clip_min * 60.0));
    figures.put(&format!("video360_cpu_min_per_40min_{clip}"), per_lesson(stage_cpu_s));
    figures.put(&format!("import_cpu_min_per_40min_{clip}"), per_lesson(import.cpu_s));
    figures.put(&format!("video360_kbps_at_target_{clip}"), track.kbps());

    let source =
        if clip == "lecture" { lab.clips.lecture() } else { lab.clips.motion_for(lab.clip_s())? };
    let raw = lab.clips.work(&format!("{clip}-video.yuv"));
    let frames = Frames::decode(&source, clip_min * 60.0, raw)?;
    let ssim = frames.ssim_of(&track.path)?;
    figures.put(&format!("video360_ssim_{clip}"), ssim);
    let series = Series::of(Yardstick::X264, &lab.clips, &frames, &format!("{clip}-video"))?;
    let kbps = series.curve_of_files()?.kbps_at(ssim)?;
    figures.put(&format!("video360_kbps_at_target_{clip}_x264"), kbps);
    Ok(())
}
