//! `video-360` as a real import makes it: what it costs, what it weighs, how it is for its weight.
//!
//! The import makes nothing else (but what is found in the same pictures), so that its CPU time
//! is that of decoding, scaling, encoding, and looking at the result.

use std::path::Path;
use std::thread::available_parallelism;

use anyhow::Result;
use yingxue_codec::track::TrackKind;

use super::encoders::{Series, Yardstick};
use super::frames::Frames;
use super::import::{By, Import, Made};
use super::lab::Lab;
use crate::bench::figures::{Figures, leave_out, say};

/// `core_use` is of a clip so many times as long: when the last GOPs are encoded, a core has none
/// for up to 2 s, which is an eighth of what a minute takes and nothing of a lesson.
const CORE_USE_CLIPS: u32 = 4;
/// Minutes of the lesson that costs are given for.
const LESSON_MIN: f64 = 40.0;

/// `video360_*` and `core_use`; those of rav1e with its name, if it is not the default.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let motion = lab.clips.motion_for(lab.clip_s())?;
    for (clip, file) in [("lecture", lab.clips.lecture()), ("motion", motion)] {
        let mut x264 = None;
        for by in lab.encoders() {
            let suffix = by.suffix();
            let work = lab.clips.work(&format!("import-video-{clip}{suffix}"));
            let import = Import::by(*by, &file, &work, Made::Video360)?;
            let of = Of { lab, clip, suffix, import: &import };
            if let Err(error) = of.measure(&file, &mut x264, figures) {
                leave_out(&format!("the rest of video360_*_{clip}{suffix}"), &error);
            }
        }
    }
    for by in lab.encoders() {
        figures.put_or_leave_out(&format!("core_use{}", by.suffix()), core_use(lab, *by));
    }
    Ok(())
}

fn core_use(lab: &Lab, by: By) -> Result<f64> {
    let motion = lab.clips.motion_for(lab.clip_s() * CORE_USE_CLIPS)?;
    let work = lab.clips.work(&format!("import-cores{}", by.suffix()));
    let import = Import::by(by, &motion, &work, Made::Video360)?;
    let (cpu_s, seconds) = import.video_stage()?;
    let cores = available_parallelism()?.get();
    say(&format!("{cpu_s:.1} CPU s in {seconds:.1} s of encoding on {cores} cores"));
    Ok(cpu_s / (seconds * cores as f64))
}

/// What is measured: one import of one clip.
struct Of<'a> {
    lab: &'a Lab,
    clip: &'a str,
    suffix: &'a str,
    import: &'a Import,
}

impl Of<'_> {
    /// `x264` is what that makes of the same pictures, once it is known.
    fn measure(&self, file: &Path, x264: &mut Option<Series>, figures: &mut Figures) -> Result<()> {
        let Self { lab, clip, suffix, import } = self;
        let track = import.track(TrackKind::Video360)?;
        let clip_s = track.info.duration_ms() as f64 / 1000.0;
        say(&format!("{clip}: {:.1} CPU s for {clip_s:.1} s of it", import.cpu_s));
        let cpu_min = import.cpu_s / clip_s * LESSON_MIN;
        figures.put(&format!("video360_cpu_min_per_40min_{clip}{suffix}"), cpu_min);
        figures.put(&format!("video360_kbps_at_target_{clip}{suffix}"), track.kbps());

        let raw = lab.clips.work(&format!("{clip}-video.yuv"));
        let frames = Frames::decode(file, clip_s, raw)?;
        let ssim = frames.ssim_of(&track.path)?;
        figures.put(&format!("video360_ssim_{clip}{suffix}"), ssim);
        let series = match x264 {
            Some(series) => series,
            none => none.insert(Series::of(
                Yardstick::X264,
                &lab.clips,
                &frames,
                &format!("{clip}-video"),
            )?),
        };
        let kbps = series.curve_of_files()?.kbps_at(ssim)?;
        figures.put(&format!("video360_kbps_at_target_{clip}_x264{suffix}"), kbps);
        Ok(())
    }
}
