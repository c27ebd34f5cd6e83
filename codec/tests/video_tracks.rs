//! The video tracks: reached quality, the same bytes however they are made, pauses, encoders.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use yingxue_codec::encoder::{PictureFormat, encoder};
use yingxue_codec::import::{
    EncoderChoice, FinishedTrack, ImportRequest, Imported, Observer, Progress, Tiers, import,
};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits, decode, quality, scan};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

#[derive(Default)]
struct Watcher {
    finished: Mutex<Vec<TrackKind>>,
    /// The segments of this folder are counted whenever the import is asked to pause.
    pause_at: Option<PathBuf>,
    pauses: AtomicUsize,
    counts: Mutex<Vec<usize>>,
}

/// How many times in a row a pause is answered with "still paused": six seconds.
const PAUSES: usize = 60;

impl Observer for Watcher {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }

    fn is_paused(&self) -> bool {
        let Some(folder) = &self.pause_at else { return false };
        let count = segments_in(folder);
        if count == 0 || self.pauses.load(Ordering::Relaxed) == PAUSES {
            return false;
        }
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.counts.lock().unwrap().push(count);
        true
    }

    fn track_finished(&self, track: &FinishedTrack) {
        assert!(track.path.is_file(), "told of when it is durable");
        self.finished.lock().unwrap().push(track.info.kind);
    }
}

fn segments_in(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    names.filter(|entry| entry.path().extension().is_none()).count()
}

struct Setting {
    workers: usize,
    encoder: EncoderChoice,
    tiers: Tiers,
    limits: Limits,
}

impl Default for Setting {
    fn default() -> Self {
        let (encoder, tiers) = (EncoderChoice::Rav1e, Tiers::FIRST);
        Self { workers: 2, encoder, tiers, limits: Limits::default() }
    }
}

fn run(source: &Path, work: &Path, setting: Setting, watcher: &Watcher) -> Imported {
    let ffmpeg = Ffmpeg::find().unwrap();
    let Setting { workers, encoder, tiers, limits } = setting;
    let request =
        ImportRequest { ffmpeg: &ffmpeg, source, work_dir: work, workers, limits, encoder, tiers };
    import(&request, watcher).unwrap()
}

fn track(imported: &Imported, kind: TrackKind) -> &FinishedTrack {
    imported.tracks.iter().find(|track| track.info.kind == kind).unwrap()
}

fn bytes(imported: &Imported, kind: TrackKind) -> Vec<u8> {
    std::fs::read(&track(imported, kind).path).unwrap()
}

/// 17 s, five GOPs, of a slide that turns into a moving picture: quantizers must follow.
const CHANGING: &str = "-f lavfi -i testsrc2=s=160x96:r=25:d=17 -f lavfi -i sine=300:d=17 \
                        -vf loop=loop=250:size=1:start=0 -t 17 \
                        -c:v libx264 -preset ultrafast -crf 10 -c:a aac";

#[test]
fn any_number_of_workers_makes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let made = [1, 2, 5].map(|workers| {
        let setting = Setting { workers, ..Setting::default() };
        let work = folder.path().join(format!("work-{workers}"));
        bytes(&run(&source, &work, setting, &Watcher::default()), TrackKind::Video360)
    });
    assert!(made[0] == made[1] && made[1] == made[2]);
}

#[test]
fn a_segment_without_its_end_is_made_again_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let work = folder.path().join("work");
    let watcher = Watcher::default();
    let whole = bytes(&run(&source, &work, Setting::default(), &watcher), TrackKind::Video360);
    assert_eq!(*watcher.finished.lock().unwrap().last().unwrap(), TrackKind::Video360);
    std::fs::remove_file(work.join("video-360.track")).unwrap();
    // A power cut between two segments, one of which lost what belongs beside it.
    let segments = work.join("video-360.segments");
    std::fs::create_dir(&segments).unwrap();
    let aside = run_aside(&folder, &source);
    let info = &track(&aside, TrackKind::Video360).info;
    for (n, (_, range)) in info.ranges().1.enumerate().take(3) {
        let segment = &whole[range.start as usize..range.end as usize];
        std::fs::write(segments.join(format!("{n:05}")), segment).unwrap();
    }
    let again = run(&source, &work, Setting::default(), &Watcher::default());
    assert!(whole == bytes(&again, TrackKind::Video360));
}

#[test]
fn what_stays_for_minutes_is_encoded_once_and_again_when_it_changes() {
    for encoder in [EncoderChoice::Rav1e, EncoderChoice::SvtAv1] {
        stay(encoder);
    }
}

fn stay(encoder: EncoderChoice) {
    let folder = tempfile::tempdir().unwrap();
    let page = |grid: &str| {
        format!("color=white:s=160x96:r=25:d=10,drawgrid={grid}:t=2:c=black,format=yuv420p")
    };
    let pages = format!("{}[a];{}[b];[a][b]concat=n=2", page("w=32:h=24"), page("w=20:h=40"));
    let arguments = format!("-f lavfi -i {pages} -c:v libx264 -preset ultrafast -crf 10");
    let source = make(&folder, "in.mp4", &arguments);
    let setting = Setting { encoder, ..Setting::default() };
    let lesson = run(&source, &folder.path().join("work"), setting, &Watcher::default());
    let video = track(&lesson, TrackKind::Video360);
    let file = std::fs::read(&video.path).unwrap();
    let (_, segments) = video.info.ranges();
    let samples: Vec<Vec<&[u8]>> = segments
        .map(|(_, range)| scan::samples(&file[range.start as usize..range.end as usize]).unwrap())
        .collect();
    let counts: Vec<usize> = samples.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 1, 2, 1, 1], "the page changes within the third");
    assert!(samples[0] == samples[1] && samples[3] == samples[4]);
    assert!(samples[0] != samples[3]);
    let lengths: Vec<u32> = video.info.segments.iter().map(|s| s.duration_ticks).collect();
    assert_eq!(lengths, [51_200; 5], "4 s each");
}

fn run_aside(folder: &TempDir, source: &Path) -> Imported {
    run(source, &folder.path().join("aside"), Setting::default(), &Watcher::default())
}

#[test]
fn the_target_quality_is_reached_on_what_moves_and_on_letters() {
    for encoder in [EncoderChoice::Rav1e, EncoderChoice::SvtAv1] {
        reach_target(encoder);
    }
}

fn reach_target(encoder: EncoderChoice) {
    let folder = tempfile::tempdir().unwrap();
    let source = make(
        &folder,
        "in.mkv",
        "-f lavfi -i testsrc2=s=320x180:r=25/2:d=12 -c:v ffv1 -pix_fmt yuv420p \
         -colorspace bt709",
    );
    let setting = Setting { encoder, ..Setting::default() };
    let lesson = run(&source, &folder.path().join("work"), setting, &Watcher::default());
    let decoded = decode::pictures(&bytes(&lesson, TrackKind::Video360)).unwrap();
    let raw = make(&folder, "raw.yuv", &format!("-i {} -f rawvideo", source.display()));
    let raw = std::fs::read(raw).unwrap();
    let mut all = quality::Closeness::default();
    assert_eq!(decoded.len(), 150);
    for (picture, source) in decoded.iter().zip(raw.chunks_exact(320 * 180 * 3 / 2)) {
        all.add(&quality::closeness(&source[..320 * 180], &picture.luma, 320), 1.0);
    }
    assert!((0.963..0.995).contains(&all.mean()), "{encoder:?}: {}", all.mean());
    assert!(all.sharp_mean().unwrap() > 0.963, "{encoder:?}: {:?}", all.sharp_mean());
}

#[test]
fn a_pause_stops_the_encoders_and_no_watchdog_barks() {
    for encoder in [EncoderChoice::Rav1e, EncoderChoice::SvtAv1] {
        pause(encoder);
    }
}

fn pause(encoder: EncoderChoice) {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let work = folder.path().join("work");
    let pause_at = Some(work.join("video-360.segments"));
    let watcher = Watcher { pause_at, ..Watcher::default() };
    let limits = Limits { stall_timeout_ms: 4000, ..Limits::default() };
    let lesson = run(&source, &work, Setting { limits, encoder, ..Setting::default() }, &watcher);
    let counts = watcher.counts.lock().unwrap();
    assert_eq!(counts.len(), PAUSES);
    // A GOP whose last picture was in the encoder when the pause began, or whose process had
    // begun, may still end.
    assert!(counts[PAUSES - 1] <= counts[0] + 2, "{counts:?}");
    let setting = Setting { encoder, ..Setting::default() };
    let without = run(&source, &folder.path().join("aside"), setting, &Watcher::default());
    assert!(bytes(&lesson, TrackKind::Video360) == bytes(&without, TrackKind::Video360));
    let finished = watcher.finished.lock().unwrap();
    let at = |kind| finished.iter().position(|one| *one == kind).unwrap();
    assert!(at(TrackKind::Audio) < at(TrackKind::Video360), "{finished:?}");
}

#[test]
fn a_larger_picture_gets_video_480_and_a_small_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let large = make(
        &folder,
        "large.mp4",
        "-f lavfi -i testsrc2=s=960x540:r=25:d=1 -c:v libx264 -preset ultrafast",
    );
    let setting = || Setting { tiers: Tiers::ALL, ..Setting::default() };
    let lesson = run(&large, &folder.path().join("large"), setting(), &Watcher::default());
    let info = &track(&lesson, TrackKind::Video480).info;
    assert_eq!((info.width, info.height, info.frame_rate), (Some(854), Some(480), Some(25.0)));
    assert_eq!((info.codecs.as_str(), info.duration_ms()), ("av01.0.04M.08", 1000));
    let decoded = decode::pictures(&bytes(&lesson, TrackKind::Video480)).unwrap();
    assert_eq!((decoded.len(), decoded[0].width, decoded[0].height), (25, 854, 480));

    let small = make(&folder, "small.mp4", "-f lavfi -i testsrc2=s=480x360:d=1 -c:v libx264");
    let lesson = run(&small, &folder.path().join("small"), setting(), &Watcher::default());
    assert!(lesson.tracks.iter().all(|track| track.info.kind != TrackKind::Video480));
    let second = Setting { tiers: Tiers::SECOND, ..Setting::default() };
    let lesson = run(&small, &folder.path().join("second"), second, &Watcher::default());
    assert!(lesson.tracks.is_empty());
}

#[test]
fn both_encoders_make_one_picture_of_each_and_every_gop_decodes() {
    let (width, height) = (160, 96);
    let format = PictureFormat { width, height, gop_frames: 50, frame_rate: (25, 2) };
    let frames: Vec<Vec<u8>> = (0..21).map(|n| moving_bar(&format, n)).collect();
    let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    let ffmpeg = Ffmpeg::find().unwrap();
    for choice in [EncoderChoice::Rav1e, EncoderChoice::SvtAv1] {
        let encoder = encoder(choice, &ffmpeg, &Limits::default()).unwrap();
        let gop = |quantizer| encoder.encode_gop(&format, quantizer, &frames, &|| false).unwrap();
        let (fine, coarse) = (gop(60), gop(200));
        assert_eq!(fine.len(), 21);
        assert!(fine[0].is_key && fine[1..].iter().all(|picture| !picture.is_key), "{choice:?}");
        assert_eq!(fine, gop(60), "{choice:?}: the same bytes again");
        let size = |gop: &[yingxue_codec::encoder::CodedPicture]| {
            gop.iter().map(|picture| picture.bytes.len()).sum::<usize>()
        };
        assert!(size(&coarse) < size(&fine), "{choice:?}");
        let mut worst: f64 = 1.0;
        let mut sources = frames.iter();
        decode::each_picture(fine.iter().map(|picture| &picture.bytes[..]), |picture| {
            let source = &sources.next().unwrap()[..(width * height) as usize];
            worst = worst.min(quality::ssim(source, &picture.luma, width as usize));
        })
        .unwrap();
        assert!(sources.next().is_none() && worst > 0.95, "{choice:?}: {worst}");
    }
}

fn moving_bar(format: &PictureFormat, n: u32) -> Vec<u8> {
    let (width, height) = (format.width, format.height);
    let level = |x: u32, y: u32| if (x + 2 * n) % 64 < 8 { 235 } else { 40 + ((x + y) / 8) as u8 };
    let mut planes: Vec<u8> =
        (0..height).flat_map(|y| (0..width).map(move |x| level(x, y))).collect();
    planes.resize(format.frame_bytes(), 128);
    planes
}

#[test]
fn a_lesson_by_svt_av1_plays_and_is_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let svt = || Setting { encoder: EncoderChoice::SvtAv1, ..Setting::default() };
    let made = ["one", "two"].map(|name| {
        let lesson = run(&source, &folder.path().join(name), svt(), &Watcher::default());
        assert_eq!(track(&lesson, TrackKind::Video360).info.segments.len(), 5);
        bytes(&lesson, TrackKind::Video360)
    });
    assert!(made[0] == made[1]);
    assert!(decode::pictures(&made[0]).unwrap().len() > 50);
}
