//! Slides and thumbnails out of real files: found, encoded, and shown again by ffmpeg.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use yingxue_codec::import::{
    EncoderChoice, FinishedTrack, ImportError, ImportRequest, Observer, Progress, Tiers, import,
};
use yingxue_codec::slide::{self, Page, StillUse, text_ssim};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits, decode};

/// Cancels once a folder holds a segment.
#[derive(Default)]
struct Watcher {
    cancel_at: Option<PathBuf>,
    was_cancelled: AtomicBool,
}

impl Observer for Watcher {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        if self.cancel_at.as_deref().and_then(finished_segment).is_some() {
            self.was_cancelled.store(true, Ordering::Relaxed);
        }
        self.was_cancelled.load(Ordering::Relaxed)
    }
}

/// A segment that is durable in a folder; whichever of two workers was the first to finish one.
fn finished_segment(folder: &Path) -> Option<PathBuf> {
    let mut paths = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.find(|path| path.extension().is_none())
}

fn ffmpeg(arguments: &str, output: &Path) {
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(output)
        .status()
        .unwrap();
    assert!(done.success(), "ffmpeg could not make {}", output.display());
}

/// Three pages of 5 s: a white one, a grey one and a black one, each with a grid of its own.
fn pages(size: &str, rate: &str) -> String {
    let page = |color: &str, grid: &str| {
        format!("color={color}:s={size}:r={rate}:d=5,drawgrid={grid},format=yuv420p")
    };
    let white = page("white", "w=32:h=24:t=2:c=black");
    let grey = page("gray", "w=20:h=40:t=3:c=white");
    let black = page("black", "w=50:h=18:t=2:c=yellow");
    format!("-f lavfi -i {white}[a];{grey}[b];{black}[c];[a][b][c]concat=n=3")
}

fn try_tracks(
    source: &Path,
    work: &Path,
    watcher: &Watcher,
) -> Result<Vec<FinishedTrack>, ImportError> {
    let ffmpeg = Ffmpeg::find().unwrap();
    let request = ImportRequest {
        ffmpeg: &ffmpeg,
        source,
        work_dir: work,
        workers: 2,
        limits: Limits::default(),
        encoder: EncoderChoice::Rav1e,
        tiers: Tiers::FIRST,
    };
    import(&request, watcher).map(|imported| imported.tracks)
}

fn tracks(source: &Path, work: &Path) -> [FinishedTrack; 2] {
    let all = try_tracks(source, work, &Watcher::default()).unwrap();
    let find = |kind| all.iter().find(|track| track.info.kind == kind).unwrap().clone();
    [find(TrackKind::Slides), find(TrackKind::Thumbs)]
}

/// The init segment and the segments of a track.
fn parts(track: &FinishedTrack) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = std::fs::read(&track.path).unwrap();
    let part =
        |range: std::ops::Range<u64>| bytes[range.start as usize..range.end as usize].to_vec();
    let (init, segments) = track.info.ranges();
    (part(init), segments.map(|(_, range)| part(range)).collect())
}

fn starts_ms(track: &FinishedTrack) -> Vec<u32> {
    let mut at = 0;
    let ends = track.info.segments.iter().map(|segment| {
        at += segment.duration_ticks;
        at - segment.duration_ticks
    });
    ends.collect()
}

fn probed(path: &Path, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "csv=p=0", "-show_entries", entries])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The raw pictures that ffmpeg decodes of a file.
fn decoded(folder: &TempDir, path: &Path, filters: &str) -> Vec<u8> {
    let raw = folder.path().join("decoded.yuv");
    ffmpeg(&format!("-i {} -vf {filters} -f rawvideo -pix_fmt yuv420p", path.display()), &raw);
    std::fs::read(raw).unwrap()
}

#[test]
fn pages_become_stills_that_play_and_show() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("pages.mp4");
    ffmpeg(&format!("{} -c:v libx264 -preset ultrafast -crf 12", pages("640x480", "25")), &source);
    let [slides, thumbs] = tracks(&source, &folder.path().join("work"));
    assert_eq!(slides.info.segments.len(), 3);
    // 187.5 pictures of 80 ms.
    assert_eq!((slides.info.duration_ms(), thumbs.info.duration_ms()), (15_040, 15_040));
    assert_eq!((slides.info.width, slides.info.height), (Some(640), Some(480)));
    assert_eq!((thumbs.info.width, thumbs.info.height), (Some(120), Some(90)));
    assert_eq!(starts_ms(&thumbs), [0, 10_000]);
    for (start, wanted) in starts_ms(&slides).iter().zip([0, 5000, 10_000]) {
        assert!(start.abs_diff(wanted) <= 160, "{start} instead of {wanted}");
    }
    assert_eq!(probed(&slides.path, "stream=codec_name,nb_read_frames"), "av1,3");
    assert_eq!(probed(&thumbs.path, "stream=codec_name,nb_read_frames"), "av1,2");
    assert!(thumbs.info.segments.iter().all(|segment| segment.bytes <= 2500));

    let original = decoded(&folder, &source, "select=eq(mod(n\\,125)\\,100),setpts=N/25/TB");
    let (init, segments) = parts(&slides);
    for (n, segment) in segments.iter().enumerate() {
        let luma = &original[n * 640 * 480 * 3 / 2..][..640 * 480];
        let avif = folder.path().join(format!("{n}.avif"));
        std::fs::write(&avif, slide::avif(&init, segment).unwrap()).unwrap();
        assert_eq!(probed(&avif, "stream=codec_name,width,height"), "av1,640,480");
        let still = &decoded(&folder, &avif, "null")[..640 * 480];
        let ssim = text_ssim(luma, still, 640);
        assert!(ssim >= 0.97, "page {n}: {ssim}");
        let jpeg = folder.path().join(format!("{n}.jpg"));
        std::fs::write(&jpeg, slide::jpeg(segment).unwrap()).unwrap();
        let filters = "scale=in_range=pc:out_range=tv:out_color_matrix=bt709";
        let still = &decoded(&folder, &jpeg, filters)[..640 * 480];
        let ssim = text_ssim(luma, still, 640);
        assert!(ssim >= 0.95, "page {n} as JPEG: {ssim}");
    }
}

#[test]
fn a_recording_with_a_picture_only_now_and_then_gives_the_right_pages_by_any_way() {
    let folder = tempfile::tempdir().unwrap();
    // One picture a page: what is shown at a moment was decoded seconds before it.
    let seldom = folder.path().join("seldom.mkv");
    let input = format!("{},select=not(mod(n\\,125))", pages("320x180", "25"));
    ffmpeg(&format!("{input} -vsync vfr -c:v libx264 -g 250 -bf 0"), &seldom);
    let [found, _] = tracks(&seldom, &folder.path().join("one"));
    let brightness = |track: &FinishedTrack| -> Vec<u64> {
        let pictures = decode::pictures(&std::fs::read(&track.path).unwrap()).unwrap();
        let mean =
            |luma: &[u8]| luma.iter().map(|l| u64::from(*l)).sum::<u64>() / luma.len() as u64;
        pictures.iter().map(|picture| mean(&picture.luma)).collect()
    };
    let levels = brightness(&found);
    assert_eq!(levels.len(), 3);
    assert!(levels[0] > 180 && (100..180).contains(&levels[1]) && levels[2] < 60, "{levels:?}");

    // The same pages without an index are decoded in one pass, and come out the same.
    let dense = folder.path().join("dense.mkv");
    let input = format!("{} -c:v libx264 -preset ultrafast -g 100", pages("320x180", "25"));
    ffmpeg(&format!("{input} -t 31"), &dense);
    let raw = folder.path().join("dense.ts");
    ffmpeg(&format!("-i {} -c copy", dense.display()), &raw);
    let [indexed, _] = tracks(&dense, &folder.path().join("two"));
    let [passed, _] = tracks(&raw, &folder.path().join("three"));
    assert_eq!(std::fs::read(indexed.path).unwrap(), std::fs::read(passed.path).unwrap());
}

#[test]
fn an_import_that_was_cut_between_two_slides_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("pages.mkv");
    ffmpeg(&format!("{} -c:v libx264 -preset ultrafast", pages("320x180", "10")), &source);
    let whole = tracks(&source, &folder.path().join("whole"));
    let work = folder.path().join("cut");
    let segments = work.join("slides.segments");
    let cut = Watcher { cancel_at: Some(segments.clone()), ..Watcher::default() };
    let outcome = try_tracks(&source, &work, &cut);
    assert!(matches!(outcome, Err(ImportError::Cancelled)), "{outcome:?}");
    assert!(finished_segment(&segments).is_some());
    let found = std::fs::metadata(work.join("slides.found")).unwrap().modified().unwrap();
    let resumed = tracks(&source, &work);
    assert_eq!(found, std::fs::metadata(work.join("slides.found")).unwrap().modified().unwrap());
    for (a, b) in whole.iter().zip(&resumed) {
        assert_eq!(a.info, b.info);
        assert_eq!(std::fs::read(&a.path).unwrap(), std::fs::read(&b.path).unwrap());
    }
    assert!(!segments.exists());
}

#[test]
fn pages_of_a_document_make_a_track_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let colours = [[250u8, 250, 250], [20, 60, 160]];
    let durations_ms = [10_000, 7000];
    let mut start_ms = 0;
    let mut segments = Vec::new();
    for (n, colour) in colours.iter().enumerate() {
        let page = Page::from_rgb(301, 211, &colour.repeat(301 * 211)).unwrap();
        let page = page.framed(320, 240).unwrap();
        let sample = slide::encode_still(&page, StillUse::Slide).unwrap();
        segments.push(slide::segment(n as u64, start_ms, durations_ms[n], sample));
        start_ms += u64::from(durations_ms[n]);
    }
    let path = folder.path().join("slides.mp4");
    let mut file = std::fs::File::create(&path).unwrap();
    let read = |n: u64| Ok(segments[n as usize].clone());
    let info = slide::track(TrackKind::Slides, (320, 240), &durations_ms, read, &mut file).unwrap();
    assert_eq!(info.total_bytes(), std::fs::metadata(&path).unwrap().len());
    assert_eq!((info.duration_ms(), info.codecs.as_str()), (17_000, "av01.0.01M.08"));
    assert_eq!(probed(&path, "stream=width,height,nb_read_frames"), "320,240,2");
    let blue = decode::still(
        &slide::encode_still(
            &Page::from_rgb(64, 64, &colours[1].repeat(64 * 64)).unwrap(),
            StillUse::Thumb,
        )
        .unwrap(),
    )
    .unwrap();
    let (luma, chroma) = (blue.luma()[2000], blue.i420()[64 * 64 + 500]);
    assert!((60..80).contains(&luma) && chroma > 160, "{luma} {chroma}");
}
