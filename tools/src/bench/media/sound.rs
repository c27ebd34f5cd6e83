//! Sound, and the floor that is guaranteed: `t0` of a lesson at a real pace.

use anyhow::{Context, Result, ensure};
use yingxue_codec::track::TrackKind;

use super::clips::{Clips, SLIDE_S, SLIDES, ffmpeg, finish};
use super::import::{Import, Made, Track};
use super::lab::Lab;
use crate::bench::figures::{Figures, say};

/// As promised: so many slides in 40 minutes.
const PAGES: usize = 30;
/// Seconds that each is shown.
const PAGE_S: usize = 80;
/// Five looks of each of the six slides: as it is, with its upper left part larger, mirrored (no
/// letter is where it was), white on black, and beside half of the next.
const LOOKS: [&str; PAGES / SLIDES] =
    ["null", "crop=1024:576:0:0,scale=1280:720:flags=lanczos", "hflip", "negate", "crop=640:720"];
/// Pictures a second of the lesson: the stills and the sound do not depend on it, and the 12,000
/// pictures that stay cost little to decode.
const RATE: &str = "5";
/// A key frame every 4 s, as recorders write them, so that `source` is copied.
const KEY_EVERY: &str = "20";

/// `audio_kbps`, and `t0_mib_per_40min` of a lesson of 40 minutes that goes through an import.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let audio_kbps = lab.lecture()?.track(TrackKind::Audio).map(Track::kbps);
    figures.put_or_leave_out("audio_kbps", audio_kbps);
    figures.put_or_leave_out("t0_mib_per_40min", t0_mib(lab));
    Ok(())
}

fn t0_mib(lab: &Lab) -> Result<f64> {
    say(&format!("drawing {PAGES} pages"));
    for page in 0..PAGES {
        draw(&lab.clips, page)?;
    }
    let lesson = lab.clips.work("lesson-40min.mp4");
    let rate = format!("1/{PAGE_S}");
    let mut command = ffmpeg(&["-framerate", &rate, "-i"]);
    command.arg(lab.clips.work("page-%02d.png")).args(["-stream_loop", "-1", "-i"]);
    command.arg(lab.clips.lecture()).args(["-map", "0:v", "-map", "1:a", "-c:a", "copy"]);
    command.args(["-r", RATE, "-c:v", "libx264", "-preset", "veryfast", "-crf", "20"]);
    command.args(["-g", KEY_EVERY, "-pix_fmt", "yuv420p", "-t", &(PAGES * PAGE_S).to_string()]);
    finish(command.args(["-movflags", "+faststart"]).arg(&lesson))?;
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

/// Draws a page: a slide of the lecture with head and pointer, in one of five looks.
fn draw(clips: &Clips, page: usize) -> Result<()> {
    let (slide, look) = (page % SLIDES, page / SLIDES);
    let middle_s = |slide: usize| (slide as f64 + 0.5) * SLIDE_S;
    let out = clips.work(&format!("page-{page:02}.png"));
    if LOOKS[look] != "crop=640:720" {
        return clips.picture(middle_s(slide), LOOKS[look], &out);
    }
    let mut command = ffmpeg(&["-ss", &middle_s(slide).to_string(), "-i"]);
    command.arg(clips.lossless());
    command.args(["-ss", &middle_s((slide + 1) % SLIDES).to_string(), "-i"]).arg(clips.lossless());
    let halves = format!("[0]{0}:0:0[a];[1]{0}:640:0[b];[a][b]hstack", LOOKS[look]);
    finish(command.args(["-filter_complex", &halves, "-frames:v", "1"]).arg(&out))
}
