//! Lessons at a real pace, 30 pages in 40 minutes, drawn out of the six slides of the lecture.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::clips::{Clips, SLIDE_S, SLIDES, ffmpeg, finish};
use crate::bench::figures::say;

/// As promised: so many slides in 40 minutes.
pub const PAGES: usize = 30;
/// Seconds that each is shown.
pub const PAGE_S: usize = 80;
/// Five looks of each of the six slides: as it is, with its upper left part larger, mirrored (no
/// letter is where it was), white on black, and beside half of the next.
const LOOKS: [&str; PAGES / SLIDES] =
    ["null", "crop=1024:576:0:0,scale=1280:720:flags=lanczos", "hflip", "negate", "crop=640:720"];
/// Pictures a second of a lesson of stills: they and the sound do not depend on it, and the 12,000
/// pictures that stay cost little to decode.
const STILL_RATE: &str = "5";
/// A key frame every 4 s, as recorders write them, so that `source` is copied.
const STILL_KEY_EVERY: &str = "20";
/// Pictures a second of a lesson with a head: those of `video-360`.
const HEAD_RATE: &str = "25/2";
const HEAD_KEY_EVERY: &str = "50";
/// The head goes forward and back in so many seconds, then over again without a jump.
const HEAD_S: usize = 8;
/// Where it is in the lecture: width, height, x, y.
const HEAD: &str = "264:216:996:484";

/// Makes a lesson of 40 minutes in which nothing moves but its pages.
pub fn of_stills(clips: &Clips) -> Result<PathBuf> {
    draw_pages(clips, PAGES)?;
    let lesson = clips.work("lesson-40min.mp4");
    let rate = format!("1/{PAGE_S}");
    let mut command = ffmpeg(&["-framerate", &rate, "-i"]);
    command.arg(clips.work("page-%02d.png")).args(["-stream_loop", "-1", "-i"]);
    command.arg(clips.lecture()).args(["-map", "0:v", "-map", "1:a", "-c:a", "copy"]);
    command.args(["-r", STILL_RATE, "-c:v", "libx264", "-preset", "veryfast", "-crf", "20"]);
    command.args(["-g", STILL_KEY_EVERY, "-pix_fmt", "yuv420p"]);
    command.args(["-t", &(PAGES * PAGE_S).to_string(), "-movflags", "+faststart"]);
    finish(command.arg(&lesson))?;
    Ok(lesson)
}

/// Makes a lesson of some seconds, with a page every 80 s and a head that moves in every picture.
pub fn with_head(clips: &Clips, seconds: usize) -> Result<PathBuf> {
    let pages = seconds.div_ceil(PAGE_S);
    ensure!(pages <= PAGES, "there are {PAGES} pages, enough for {} s", PAGES * PAGE_S);
    draw_pages(clips, pages)?;
    let mut list = String::new();
    for page in 0..pages {
        let name = format!("part-{page:02}.mp4");
        draw_part(clips, page, &name)?;
        list.extend(std::iter::repeat_n(format!("file '{name}'\n"), PAGE_S / HEAD_S));
    }
    let list_file = clips.work("parts.txt");
    fs::write(&list_file, list).with_context(|| format!("write {}", list_file.display()))?;
    let lesson = clips.work(&format!("lesson-head-{seconds}.mp4"));
    let mut command = ffmpeg(&["-f", "concat", "-i"]);
    command.arg(&list_file).args(["-stream_loop", "-1", "-i"]).arg(clips.lecture());
    command.args(["-map", "0:v", "-map", "1:a", "-c", "copy", "-t", &seconds.to_string()]);
    finish(command.args(["-movflags", "+faststart"]).arg(&lesson))?;
    Ok(lesson)
}

/// Eight seconds of a page and the head; they are repeated as long as the page is shown.
fn draw_part(clips: &Clips, page: usize, name: &str) -> Result<()> {
    let seconds = HEAD_S.to_string();
    let mut command = ffmpeg(&["-loop", "1", "-framerate", HEAD_RATE, "-t", &seconds, "-i"]);
    command.arg(page_file(clips, page)).args(["-t", &seconds, "-i"]).arg(clips.lossless());
    let graph = format!("[1]fps={HEAD_RATE},crop={HEAD}[head];[0][head]overlay=W-w-20:H-h-20");
    command.args(["-filter_complex", &graph, "-c:v", "libx264", "-preset", "veryfast"]);
    command.args(["-crf", "20", "-g", HEAD_KEY_EVERY, "-pix_fmt", "yuv420p", "-t", &seconds]);
    finish(command.arg(clips.work(name)))
}

fn draw_pages(clips: &Clips, count: usize) -> Result<()> {
    say(&format!("drawing {count} pages"));
    (0..count).try_for_each(|page| draw(clips, page))
}

fn page_file(clips: &Clips, page: usize) -> PathBuf {
    clips.work(&format!("page-{page:02}.png"))
}

/// Draws a page: a slide of the lecture with head and pointer, in one of five looks.
fn draw(clips: &Clips, page: usize) -> Result<()> {
    let (slide, look) = (page % SLIDES, page / SLIDES);
    let middle_s = |slide: usize| (slide as f64 + 0.5) * SLIDE_S;
    let out = page_file(clips, page);
    if out.is_file() {
        return Ok(());
    }
    if LOOKS[look] != "crop=640:720" {
        return clips.picture(middle_s(slide), LOOKS[look], &out);
    }
    let mut command = ffmpeg(&["-ss", &middle_s(slide).to_string(), "-i"]);
    command.arg(clips.lossless());
    command.args(["-ss", &middle_s((slide + 1) % SLIDES).to_string(), "-i"]).arg(clips.lossless());
    let halves = format!("[0]{0}:0:0[a];[1]{0}:640:0[b];[a][b]hstack", LOOKS[look]);
    finish(command.args(["-filter_complex", &halves, "-frames:v", "1"]).arg(&out))
}
