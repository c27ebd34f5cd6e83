//! Sound, and the floor that is guaranteed: `t0` of a lesson at a real pace.

use anyhow::{Context, Result, ensure};
use yingxue_codec::track::TrackKind;

use super::import::{Import, Made, Track};
use super::lab::Lab;
use super::lesson::{self, PAGE_S, PAGES};
use crate::bench::figures::{Figures, say};

/// `audio_kbps`, and `t0_mib_per_40min` of a lesson of 40 minutes that goes through an import.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let audio_kbps = lab.lecture()?.track(TrackKind::Audio).map(Track::kbps);
    figures.put_or_leave_out("audio_kbps", audio_kbps);
    figures.put_or_leave_out("t0_mib_per_40min", t0_mib(lab));
    Ok(())
}

fn t0_mib(lab: &Lab) -> Result<f64> {
    let lesson = lesson::of_stills(&lab.clips)?;
    say("importing the lesson of 40 minutes");
    let import = Import::of(&lesson, &lab.clips.work("import-40min"), Made::First)?;
    let slides = import.track(TrackKind::Slides)?;
    let found = slides.info.segments.len();
    ensure!(found >= PAGES, "only {found} slides were found of {PAGES}");
    let audio = import.track(TrackKind::Audio).context("the lesson has speech")?;
    let bytes = slides.info.total_bytes() + audio.info.total_bytes();
    let lesson_s = (PAGES * PAGE_S) as f64;
    let heard_s = audio.info.duration_ms() as f64 / 1000.0;
    ensure!((heard_s - lesson_s).abs() < 1.0, "{heard_s} s of sound in a lesson of {lesson_s} s");
    say(&format!(
        "t0: {} bytes of slides, {} of sound",
        slides.info.total_bytes(),
        audio.info.total_bytes()
    ));
    Ok(bytes as f64 / f64::from(1 << 20))
}
