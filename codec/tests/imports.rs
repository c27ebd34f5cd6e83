//! Real files in, real tracks out: made by ffmpeg, imported, and asked of ffprobe and dav1d.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use yingxue_codec::import::{
    EncoderChoice, FinishedTrack, ImportError, ImportRequest, Imported, Observer, Progress, Stage,
    Tiers, import,
};
use yingxue_codec::probe::probe;
use yingxue_codec::track::{TrackInfo, TrackKind};
use yingxue_codec::{Ffmpeg, Limits, decode};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

/// An observer that remembers, and cancels once a folder holds enough segments.
#[derive(Default)]
struct Watcher {
    seen: Mutex<Vec<Progress>>,
    cancel_at: Option<(PathBuf, usize)>,
    is_cancelled: AtomicBool,
}

impl Observer for Watcher {
    fn progress(&self, progress: Progress) {
        self.seen.lock().unwrap().push(progress);
        if let Some((folder, count)) = &self.cancel_at
            && segments_in(folder) >= *count
        {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

fn segments_in(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    names.filter(|entry| entry.path().extension().is_none()).count()
}

fn try_import(folder: &TempDir, source: &Path, watcher: &Watcher) -> Result<Imported, ImportError> {
    import_into(source, &folder.path().join("work"), watcher)
}

fn import_into(source: &Path, work: &Path, watcher: &Watcher) -> Result<Imported, ImportError> {
    let ffmpeg = Ffmpeg::find().unwrap();
    let limits = Limits::default();
    let request = ImportRequest {
        ffmpeg: &ffmpeg,
        source,
        work_dir: work,
        workers: 2,
        limits,
        encoder: EncoderChoice::Rav1e,
        tiers: Tiers::FIRST,
    };
    import(&request, watcher)
}

fn imported(folder: &TempDir, source: &Path) -> Imported {
    try_import(folder, source, &Watcher::default()).unwrap()
}

fn track(imported: &Imported, kind: TrackKind) -> &FinishedTrack {
    imported.tracks.iter().find(|track| track.info.kind == kind).unwrap()
}

fn kinds(imported: &Imported) -> Vec<String> {
    imported.tracks.iter().map(|track| track.info.kind.to_string()).collect()
}

/// What ffprobe makes of a track by itself: `codec`, frames, seconds, start; a line a stream.
fn played(track: &FinishedTrack) -> Vec<(String, u64, f64, f64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "csv=p=0", "-show_entries"])
        .arg("stream=codec_name,nb_read_frames,duration,start_time")
        .arg(&track.path)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(',').collect();
        let number = |n: usize| words[n].parse::<f64>().unwrap();
        (words[0].to_owned(), number(3) as u64, number(2), number(1))
    };
    text.lines().filter(|l| !l.is_empty()).map(line).collect()
}

/// The boxes of the file lie where the description says.
fn assert_described(track: &FinishedTrack) {
    let bytes = std::fs::read(&track.path).unwrap();
    let info = &track.info;
    assert_eq!(TrackInfo::decode(&info.encode()).as_ref(), Ok(info));
    assert_eq!(info.total_bytes(), bytes.len() as u64, "nothing after the last segment");
    let (init, segments) = info.ranges();
    assert_eq!(&bytes[4..8], b"ftyp");
    assert!(bytes[..init.end as usize].windows(4).any(|w| w == b"moov"));
    for (segment, range) in segments {
        let at = range.start as usize;
        assert_eq!(&bytes[at + 4..at + 8], b"moof", "{} at {at}", info.kind);
        assert!(segment.duration_ticks > 0);
    }
}

#[test]
fn a_lesson_becomes_tracks_that_play_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(
        &folder,
        "lesson.mp4",
        "-f lavfi -i testsrc2=s=320x180:r=25:d=9 -f lavfi -i sine=440:d=9:r=44100 \
         -c:v libx264 -preset ultrafast -bf 2 -g 50 -pix_fmt yuv420p -c:a aac -ac 2 -shortest",
    );
    let watcher = Watcher::default();
    let imported = try_import(&folder, &source, &watcher).unwrap();
    assert_eq!(kinds(&imported), ["audio", "slides", "thumbs", "video-360", "source"]);
    assert!(imported.duration_ms.abs_diff(9000) <= 120, "{}", imported.duration_ms);
    imported.tracks.iter().for_each(assert_described);

    let remuxed = track(&imported, TrackKind::Source);
    let streams = played(remuxed);
    assert_eq!((streams[0].0.as_str(), streams[0].1), ("h264", 225));
    assert_eq!(streams[1].0, "aac");
    assert!(streams[0].3.abs() < 0.001 && streams[1].3.abs() < 0.03, "{streams:?}");
    assert!(remuxed.info.codecs.starts_with("avc1.") && remuxed.info.codecs.ends_with("mp4a.40.2"));
    assert_eq!(remuxed.info.segments.len(), 3);

    let sound = played(track(&imported, TrackKind::Audio));
    assert_eq!(sound[0].0, "opus");
    assert!((sound[0].2 - 9.0).abs() < 0.13 && sound[0].3.abs() < 0.01, "{sound:?}");

    let video = track(&imported, TrackKind::Video360);
    let pictures = played(video);
    assert_eq!((pictures[0].0.as_str(), pictures[0].1), ("av1", 113));
    assert_eq!(video.info.codecs, "av01.0.01M.08");
    let ticks: Vec<u32> = video.info.segments.iter().map(|s| s.duration_ticks).collect();
    assert_eq!(ticks, [51_200, 51_200, 13 * 1024]);
    let decoded = decode::pictures(&std::fs::read(&video.path).unwrap()).unwrap();
    assert_eq!(decoded.len(), 113);
    assert!(decoded.iter().all(|p| (p.width, p.height) == (320, 180)));

    let poster = imported.poster_jpeg.as_ref().unwrap();
    assert!(poster.starts_with(&[0xff, 0xd8]) && poster.len() <= 16 << 10);
    let seen = watcher.seen.lock().unwrap();
    assert!(seen.windows(2).all(|w| w[0].percent <= w[1].percent && w[0].stage <= w[1].stage));
    assert_eq!(seen.last().map(|p| (p.stage, p.percent)), Some((Stage::Video, 100)));
}

#[test]
fn an_import_that_was_cut_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(
        &folder,
        "vfr.mkv",
        "-f lavfi -i testsrc2=s=128x96:r=30:d=14 -f lavfi -i sine=300:d=14 \
         -vf select='not(mod(n\\,3))+gt(mod(n\\,50)\\,30)' -vsync vfr \
         -c:v libx264 -preset ultrafast -c:a libvorbis",
    );
    let whole = import_into(&source, &folder.path().join("whole"), &Watcher::default()).unwrap();
    let work = folder.path().join("cut");
    let segments = work.join("video-360.segments");
    let cut = Watcher { cancel_at: Some((segments.clone(), 2)), ..Watcher::default() };
    assert!(matches!(import_into(&source, &work, &cut), Err(ImportError::Cancelled)));
    let kept = segments_in(&segments);
    assert!((2..4).contains(&kept), "{kept} segments are kept");
    let before = std::fs::metadata(segments.join("00000")).unwrap().modified().unwrap();
    // A segment that a crash left half-written is not taken for a finished one.
    std::fs::write(segments.join("00003.part"), b"half").unwrap();

    let last = Watcher { cancel_at: Some((segments.clone(), 3)), ..Watcher::default() };
    assert!(matches!(import_into(&source, &work, &last), Err(ImportError::Cancelled)));
    let after = std::fs::metadata(segments.join("00000")).unwrap().modified().unwrap();
    assert_eq!(before, after, "a durable segment is not encoded again");

    let resumed = import_into(&source, &work, &Watcher::default()).unwrap();
    assert_eq!(kinds(&whole), kinds(&resumed));
    for (a, b) in whole.tracks.iter().zip(&resumed.tracks) {
        assert_eq!(a.info, b.info);
        assert_eq!(std::fs::read(&a.path).unwrap(), std::fs::read(&b.path).unwrap());
    }
    assert!(!segments.exists());

    let made = std::fs::metadata(&resumed.tracks[2].path).unwrap().modified().unwrap();
    let again = import_into(&source, &work, &Watcher::default()).unwrap();
    assert_eq!(again.tracks, resumed.tracks);
    let kept = std::fs::metadata(&resumed.tracks[2].path).unwrap().modified().unwrap();
    assert_eq!(made, kept, "a finished import is only read");
}

#[test]
fn what_is_not_media_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = try_import(&folder, &path, &Watcher::default()).unwrap_err();
        (error.code(), error.to_string())
    };
    let (code, text) =
        refused("text.mp4", b"Dear teacher, this is not a video.\n".repeat(50).as_slice());
    assert_eq!(code, "not_media", "{text}");
    let (code, text) = refused("empty.mp4", b"");
    assert!(code == "not_media" && text.contains("0 bytes"), "{text}");
    let (code, _) = refused("subtitles.mp4", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n");
    assert_eq!(code, "not_media");
    let secret = make(&folder, "secret.mp4", "-f lavfi -i testsrc2=d=1 -c:v libx264");
    let list = format!("#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", secret.display());
    assert_eq!(refused("list.mp4", list.as_bytes()).0, "not_media", "opens no other file");
    let list = format!("ffconcat version 1.0\nfile {}\n", secret.display());
    assert_eq!(refused("concat.mp4", list.as_bytes()).0, "not_media", "opens no other file");
}

#[test]
fn a_file_without_its_end_is_never_called_a_lesson() {
    let folder = tempfile::tempdir().unwrap();
    let input = "-f lavfi -i testsrc2=s=160x120:r=25:d=8 -f lavfi -i sine=440:d=8 \
                 -c:v libx264 -preset ultrafast -g 25 -c:a aac";
    let last = std::fs::read(make(&folder, "last.mp4", input)).unwrap();
    let path = folder.path().join("cut.mp4");
    std::fs::write(&path, &last[..last.len() / 2]).unwrap();
    let error = try_import(&folder, &path, &Watcher::default()).unwrap_err();
    assert_eq!(error.code(), "truncated", "{error}");

    let first = make(&folder, "first.mp4", &format!("{input} -movflags +faststart"));
    let first = std::fs::read(first).unwrap();
    std::fs::write(&path, &first[..first.len() / 2]).unwrap();
    let error = try_import(&folder, &path, &Watcher::default()).unwrap_err();
    assert_eq!(error.code(), "truncated", "{error}");

    let mdat = first.windows(4).position(|w| w == b"mdat").unwrap();
    std::fs::write(&path, &first[..mdat + 3000]).unwrap();
    let error = try_import(&folder, &path, &Watcher::default()).unwrap_err();
    assert!(["truncated", "nothing_decoded"].contains(&error.code()), "{error}");
}

#[test]
fn sound_alone_and_pictures_alone_are_lessons() {
    let folder = tempfile::tempdir().unwrap();
    let sound = make(&folder, "sound.mp3", "-f lavfi -i sine=440:d=9:r=22050");
    let lesson = imported(&folder, &sound);
    assert_eq!(kinds(&lesson), ["audio", "source"]);
    lesson.tracks.iter().for_each(assert_described);
    let source = track(&lesson, TrackKind::Source);
    assert_eq!((source.info.codecs.as_str(), source.info.width), ("mp4a.40.2", None));
    assert_eq!(source.info.segments.len(), 3);
    assert_eq!(lesson.poster_jpeg, None);

    let picture = make(&folder, "picture.webm", "-f lavfi -i testsrc2=s=64x48:d=2 -c:v libvpx");
    let lesson = imported(&folder, &picture);
    assert_eq!(kinds(&lesson), ["slides", "thumbs", "video-360", "source"]);
    assert!(track(&lesson, TrackKind::Source).info.codecs.starts_with("avc1.64"));
}

#[test]
fn odd_sizes_and_rates_come_out_playable() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("one.mov", "color=red:s=2x2:r=10:d=2,format=rgb24,scale=1:1", "-c:v png", (16, 16)),
        ("wide.mkv", "testsrc2=s=4097x17:r=5:d=2", "-c:v ffv1 -pix_fmt yuv444p", (640, 16)),
        ("slow.avi", "testsrc2=s=98x54:r=10:d=2", "-c:v mpeg4", (98, 54)),
        ("fast.mp4", "testsrc2=s=96x64:r=120:d=2", "-c:v libx264 -preset ultrafast", (96, 64)),
    ];
    for (name, input, codec, size) in cases {
        let source = make(&folder, name, &format!("-f lavfi -i {input} {codec}"));
        let lesson = imported(&folder, &source);
        let video = track(&lesson, TrackKind::Video360);
        assert_eq!((video.info.width, video.info.height), (Some(size.0), Some(size.1)), "{name}");
        let pictures = played(video)[0].1;
        assert_eq!(video.info.duration_ms(), 2000, "{name}: two seconds of pictures");
        assert_eq!(pictures == 1, name == "one.mov", "{name}: {pictures} pictures");
        let source = track(&lesson, TrackKind::Source);
        let rate = source.info.frame_rate.unwrap();
        assert!((1.0..=30.5).contains(&rate), "{name}: {rate}");
        assert!((played(source)[0].2 - 2.0).abs() < 0.25, "{name}: {:?}", played(source));
        lesson.tracks.iter().for_each(assert_described);
    }
}

#[test]
fn a_turned_phone_video_stands_upright() {
    let folder = tempfile::tempdir().unwrap();
    let flat = make(
        &folder,
        "flat.mp4",
        "-f lavfi -i color=black:s=160x96:d=2,drawbox=0:0:80:96:white:fill \
         -c:v libx264 -pix_fmt yuv420p",
    );
    let turned = format!("-display_rotation 90 -i {} -c copy", flat.display());
    let help = Command::new("ffmpeg").args(["-h", "long"]).output().unwrap();
    let has_option = String::from_utf8_lossy(&help.stdout).contains("display_rotation");
    let turned = match has_option {
        true => turned,
        // ffmpeg before 6 turns by a tag of the stream.
        false => format!("-i {} -c copy -metadata:s:v:0 rotate=90", flat.display()),
    };
    let path = make(&folder, "phone.mp4", &turned);
    let ffmpeg = Ffmpeg::find().unwrap();
    let video = probe(&ffmpeg, &path, &Limits::default()).unwrap().video.unwrap();
    assert_eq!((video.width, video.height, video.rotation), (160, 96, 270));
    let lesson = imported(&folder, &path);
    let track = track(&lesson, TrackKind::Video360);
    assert_eq!((track.info.width, track.info.height), (Some(96), Some(160)));
    // The white left half, turned counter-clockwise, is the lower half.
    let pictures = decode::pictures(&std::fs::read(&track.path).unwrap()).unwrap();
    let row = |y: usize| pictures[0].luma[y * 96 + 48];
    assert!(row(20) < 40 && row(140) > 210, "{} {}", row(20), row(140));
}

#[test]
fn a_slide_that_stays_is_one_picture_a_segment_and_what_moves_is_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let input = "-f lavfi -i color=navy:s=320x180:r=25:d=12[a];color=white:s=30x30:r=25:d=12[b];\
                 [a][b]overlay=x=20+200*(t-5):y=40:enable=between(t\\,5\\,6) \
                 -c:v libx264 -preset ultrafast -crf 28 -pix_fmt yuv420p";
    let lesson = imported(&folder, &make(&folder, "still.mp4", input));
    let video = track(&lesson, TrackKind::Video360);
    assert_eq!((video.info.duration_ms(), video.info.segments.len()), (12_000, 3));
    let (_, pictures, shown_s, _) = played(video)[0];
    // One each for the first and the third segment; a second of 12.5 pictures in the second.
    assert!((14..=20).contains(&pictures), "{pictures} pictures");
    assert!((shown_s - 12.0).abs() < 0.1, "{shown_s} s");
}

#[test]
fn a_recording_without_a_length_and_limits_are_handled() {
    let folder = tempfile::tempdir().unwrap();
    let live = make(
        &folder,
        "recorder.webm",
        "-f lavfi -i testsrc2=s=64x48:d=3 -f lavfi -i sine=d=3 -c:v libvpx -c:a libopus \
         -f webm -live 1",
    );
    let ffmpeg = Ffmpeg::find().unwrap();
    let found = probe(&ffmpeg, &live, &Limits::default()).unwrap();
    assert!((2900..3200).contains(&found.duration_ms), "{}", found.duration_ms);
    let refuse = |limits| probe(&ffmpeg, &live, &limits).unwrap_err();
    let error = refuse(Limits { duration_ms_max: 1000, ..Limits::default() });
    assert!(error.code() == "too_long" && error.to_string().contains("1 to 1000 ms"), "{error}");
    let error = refuse(Limits { width_max: 32, ..Limits::default() });
    assert!(error.code() == "too_large" && error.to_string().contains("64×48"), "{error}");
}

#[test]
fn names_that_look_like_options_are_only_names() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "a.mp4", "-f lavfi -i testsrc2=s=64x48:d=1 -c:v libx264");
    for name in ["-i concat:x|y.mp4", "http:第一课 🎓 %d.mp4"] {
        let odd = folder.path().join(name);
        std::fs::copy(&source, &odd).unwrap();
        let kinds = kinds(&imported(&folder, &odd));
        assert_eq!(kinds, ["slides", "thumbs", "video-360", "source"], "{name}");
    }
}
