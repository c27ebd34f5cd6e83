//! What is served of an imported lesson: files with an index, one file of two tracks, and H.264
//! for old panels; asked of ffprobe and ffmpeg.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use mp4_atom::{Decode, Moov};
use tempfile::TempDir;
use yingxue_codec::fallback::{Made, Material, Plan, Workshop};
use yingxue_codec::import::{FinishedTrack, ImportRequest, Observer, Progress, Tiers, import};
use yingxue_codec::mux::{BEGINNING_BYTES_MAX, Input, Layout};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits, scan};

#[path = "clip/vlc.rs"]
mod vlc;

struct Quiet;

impl Observer for Quiet {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// One lesson of 10 s, imported once: a picture that moves, and a tone with a beep each second.
struct Lesson {
    folder: TempDir,
    tracks: Vec<FinishedTrack>,
}

static LESSON: LazyLock<Lesson> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("lesson.mp4");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .args(["testsrc2=s=192x108:r=25:d=10", "-f", "lavfi", "-i"])
        .args(["sine=440:d=10:r=48000:beep_factor=4", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"])
        .arg(&source)
        .status();
    assert!(made.unwrap().success());
    let ffmpeg = Ffmpeg::find().unwrap();
    let request = ImportRequest {
        ffmpeg: &ffmpeg,
        source: &source,
        work_dir: &folder.path().join("work"),
        workers: 2,
        limits: Limits::default(),
        encoder: yingxue_codec::encoder::EncoderChoice::default(),
        tiers: Tiers::FIRST,
    };
    let tracks = import(&request, &Quiet).unwrap().tracks;
    Lesson { folder, tracks }
});

/// What is put into one file.
const JOINED: [TrackKind; 2] = [TrackKind::Video360, TrackKind::Audio];

impl Lesson {
    fn track(&self, kind: TrackKind) -> &FinishedTrack {
        self.tracks.iter().find(|track| track.info.kind == kind).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn init(track: &FinishedTrack, file: &[u8]) -> Vec<u8> {
    file[..track.info.init_bytes as usize].to_vec()
}

fn run(program: &str, arguments: &[&str], file: &Path, output: &[&str]) -> Vec<u8> {
    let done = Command::new(program).args(arguments).arg(file).args(output).output().unwrap();
    let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && complaint.is_empty(), "{program}: {complaint}");
    done.stdout
}

/// Codec, packets and start in seconds; a line a stream.
fn streams(file: &Path) -> Vec<(String, u64, f64)> {
    let entries = "stream=codec_name,start_time,nb_read_packets";
    let arguments = ["-v", "warning", "-count_packets", "-of", "csv=p=0", "-show_entries", entries];
    let text = String::from_utf8(run("ffprobe", &arguments, file, &[])).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(',').collect();
        (words[0].to_owned(), words[2].parse().unwrap(), words[1].parse().unwrap())
    };
    text.lines().map(line).collect()
}

fn pcm(file: &Path) -> Vec<f64> {
    let arguments = ["-nostdin", "-v", "warning", "-i"];
    let output = ["-map", "0:a", "-f", "s16le", "-ac", "1", "-ar", "48000", "pipe:1"];
    let bytes = run("ffmpeg", &arguments, file, &output);
    bytes.chunks_exact(2).map(|s| f64::from(i16::from_le_bytes([s[0], s[1]]))).collect()
}

#[test]
fn a_file_that_is_opened_over_http_says_where_its_segments_are() {
    for track in &LESSON.tracks {
        let file = std::fs::read(&track.path).unwrap();
        let init = init(track, &file);
        let mut kinds = Vec::new();
        let mut at = 0;
        while at < init.len() {
            let head = scan::BoxHead::read(&init[at..]).unwrap();
            kinds.push(String::from_utf8_lossy(&head.kind).into_owned());
            at += head.total_bytes as usize;
        }
        assert_eq!(kinds[..3], ["ftyp", "moov", "sidx"], "{}", track.info.kind);
        assert_eq!(at, init.len(), "the init segment ends with a box");
        assert!((length_s(&init) - 10.0).abs() < 0.1, "{}", track.info.kind);
        if matches!(track.info.kind, TrackKind::Slides | TrackKind::Thumbs) {
            // One still of the whole 10 s: there is nowhere to go.
            continue;
        }
        // The packet at 9 s lies in the last segment: found without reading what is before.
        let interval = ["-v", "warning", "-read_intervals", "9%+#1", "-of", "csv=p=0"];
        let select = if track.info.width.is_some() { "v" } else { "a" };
        let arguments = [&interval[..], &["-select_streams", select]].concat();
        let arguments = [&arguments[..], &["-show_entries", "packet=pts_time,pos"]].concat();
        let text = String::from_utf8(run("ffprobe", &arguments, &track.path, &[])).unwrap();
        let numbers: Vec<f64> =
            text.trim().trim_end_matches(',').split(',').map(|n| n.parse().unwrap()).collect();
        let last = track.info.ranges().1.last().unwrap().1;
        assert!(numbers[0] <= 9.0 && numbers[0] >= 7.9, "{text}");
        assert!(last.contains(&(numbers[1] as u64)), "{text} is not in {last:?}");
    }
}

/// How long an init segment says that the file is, in seconds.
fn length_s(init: &[u8]) -> f64 {
    let file_type = scan::BoxHead::read(init).unwrap();
    let moov = Moov::decode(&mut &init[file_type.total_bytes as usize..]).unwrap();
    let length = moov.mvex.unwrap().mehd.unwrap().fragment_duration;
    length as f64 / f64::from(moov.mvhd.timescale)
}

/// Picture and sound as one file.
fn joined(name: &str) -> PathBuf {
    let tracks = JOINED.map(|kind| LESSON.track(kind));
    let files = tracks.map(|track| std::fs::read(&track.path).unwrap());
    let inits = [init(tracks[0], &files[0]), init(tracks[1], &files[1])];
    let inputs = [0, 1].map(|n| Input { info: &tracks[n].info, init: &inits[n] });
    let layout = Layout::new(&inputs).unwrap();
    let mut joined = layout.head().to_vec();
    for part in layout.parts() {
        let mut bytes =
            files[part.input][part.source.start as usize..part.source.end as usize].to_vec();
        let beginning = bytes.len().min(BEGINNING_BYTES_MAX);
        part.renumber(&mut bytes[..beginning]).unwrap();
        joined.extend(bytes);
    }
    assert_eq!(joined.len() as u64, layout.total_bytes());
    let path = LESSON.path(name);
    std::fs::write(&path, joined).unwrap();
    path
}

#[test]
fn one_file_of_picture_and_sound_plays_like_its_tracks() {
    let tracks = JOINED.map(|kind| LESSON.track(kind));
    let path = joined("joined.mp4");
    let alone: Vec<_> = tracks.iter().flat_map(|track| streams(&track.path)).collect();
    assert_eq!(streams(&path), alone);
    let (sound, sound_alone) = (pcm(&path), pcm(&tracks[1].path));
    assert!(sound == sound_alone, "the pre-skip is left out in both, and nothing else");
}

/// Makes every segment of the fallback; gives one file, and where AAC frames were joined.
fn fallback(with_picture: bool) -> (Vec<u8>, Vec<Range<u64>>) {
    let (video, audio) = (LESSON.track(TrackKind::Video360), LESSON.track(TrackKind::Audio));
    let files = [video, audio].map(|track| std::fs::read(&track.path).unwrap());
    let plan = Plan { picture: with_picture.then_some(&video.info), sound: Some(&audio.info) };
    let (ffmpeg, limits) = (Ffmpeg::find().unwrap(), Limits::default());
    let folder = LESSON.path(if with_picture { "scratch" } else { "scratch-of-sound" });
    let workshop = Workshop { ffmpeg: &ffmpeg, limits: &limits, folder: &folder };
    let (mut file, mut first_init, mut borders) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..plan.seconds().len() {
        let needs = plan.needs(n).unwrap();
        let range = |track: &FinishedTrack, n: usize| {
            let range = track.info.ranges().1.nth(n).unwrap().1;
            range.start as usize..range.end as usize
        };
        let mut material = Material {
            picture_init: init(video, &files[0]),
            sound_init: init(audio, &files[1]),
            ..Material::default()
        };
        if let Some(n) = needs.picture {
            material.picture = files[0][range(video, n)].to_vec();
        }
        material.sound = needs.sound.map(|n| Some(files[1][range(audio, n)].to_vec())).collect();
        let Made { init, segment } = plan.make(n, &material, &workshop, &|| false).unwrap();
        if file.is_empty() {
            file.clone_from(&init);
            first_init = init;
        } else {
            assert_eq!(init, first_init, "one init segment fits all");
            let start: f64 = plan.seconds()[..n].iter().sum::<f64>() * 48_000.0;
            borders.push(start as u64 - 2048..start as u64 + 2048);
        }
        file.extend(segment);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "no scratch file is left");
    (file, borders)
}

/// How far two recordings are apart in each window of 1,024 samples, in decibels.
fn snr(is: &[f64], was: &[f64], window: usize) -> f64 {
    let range = window * 1024..(window + 1) * 1024;
    let signal: f64 = was[range.clone()].iter().map(|s| s * s).sum();
    let noise: f64 = is[range.clone()].iter().zip(&was[range]).map(|(a, b)| (a - b).powi(2)).sum();
    10.0 * (signal / noise.max(1.0)).log10()
}

/// By how many samples one recording is behind the other.
fn lag(is: &[f64], was: &[f64]) -> i32 {
    let alike = |lag: i32| -> f64 {
        let later = &is[(96 + lag) as usize..];
        later.iter().zip(&was[96..]).map(|(a, b)| a * b).sum()
    };
    (-96..=96).max_by(|a, b| alike(*a).total_cmp(&alike(*b))).unwrap()
}

#[test]
fn segments_for_old_panels_fit_together_in_time_and_in_sound() {
    let (file, borders) = fallback(true);
    let path = LESSON.path("old.mp4");
    std::fs::write(&path, file).unwrap();
    let seen = streams(&path);
    assert_eq!((seen[0].0.as_str(), seen[0].1, seen[0].2), ("h264", 125, 0.0));
    assert_eq!((seen[1].0.as_str(), seen[1].1, seen[1].2), ("aac", 469, 0.0));
    let times = ["-v", "warning", "-select_streams", "v", "-of", "csv=p=0"];
    let times = [&times[..], &["-show_entries", "packet=pts_time"]].concat();
    let text = String::from_utf8(run("ffprobe", &times, &path, &[])).unwrap();
    let times: Vec<f64> =
        text.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
    assert!(times.windows(2).all(|pair| ((pair[1] - pair[0]) - 0.08).abs() < 0.002), "{times:?}");

    let (is, was) = (pcm(&path), pcm(&LESSON.track(TrackKind::Audio).path));
    let is_border = |window: &usize| {
        let at = *window as u64 * 1024;
        borders.iter().any(|border| border.contains(&at))
    };
    let windows = 2..(is.len().min(was.len()) / 1024 - 2);
    let (near, far): (Vec<usize>, Vec<usize>) = windows.partition(is_border);
    let worst = |windows: &[usize]| {
        windows.iter().map(|window| snr(&is, &was, *window)).fold(f64::MAX, f64::min)
    };
    let (near, far) = (worst(&near), worst(&far));
    // A millisecond, which is far from heard or seen; the tone of the lesson leaves it no sharper.
    assert!(lag(&is, &was).abs() <= 48, "sound and picture are apart");
    // AAC's own loss everywhere; a click at a border is far below it.
    assert!(near > far - 1.0, "a border can be heard: {near} dB there, {far} dB elsewhere");
}

#[test]
fn sound_alone_is_made_for_old_panels_too() {
    let (file, borders) = fallback(false);
    assert_eq!(borders.len(), 2);
    let path = LESSON.path("old-sound.mp4");
    std::fs::write(&path, file).unwrap();
    let seen = streams(&path);
    assert_eq!((seen.len(), seen[0].0.as_str()), (1, "aac"));
    assert!(seen[0].1 >= 469, "{seen:?}");
}

/// All pictures and sounds of a file, as ffprobe counts them, come out of VLC, and those of the end
/// alone if it is to begin there.
fn expect_vlc_plays(path: &Path) {
    let played = vlc::play(path, 0);
    let counted = streams(path);
    let count = |are_pictures: bool| -> u64 {
        let is_sound = |codec: &str| ["aac", "opus"].contains(&codec);
        let of_kind = counted.iter().filter(|(codec, ..)| is_sound(codec) != are_pictures);
        of_kind.map(|(_, packets, _)| packets).sum()
    };
    let (pictures, sounds) = (count(true), count(false));
    assert!(pictures + sounds > 0, "{path:?}: {counted:?}");
    assert!(played.pictures >= pictures, "{path:?}: {played:?} of {pictures}");
    // VLC stands still where a file's bytes end: of sound alone, the last is not decoded then.
    let sounds_min = if pictures > 0 { sounds } else { sounds - sounds / 10 };
    assert!(played.sounds >= sounds_min, "{path:?}: {played:?} of {sounds}");
    assert_eq!(played.damaged, 0, "{path:?}");
    assert!(played.sounds_heard > 0 || sounds == 0, "{path:?}: {played:?}");
    // A page that stays is shown once, at the beginning.
    assert!(played.pictures_shown > 0 || pictures < 10, "{path:?}: {played:?}");
    if pictures < 10 && sounds == 0 {
        return;
    }
    // It goes to the segment at 4 s, and six of the ten seconds are left.
    let rest = vlc::play(path, 5);
    let is_less = |part: u64, all: u64| part * 4 <= all * 3;
    assert!(rest.pictures + rest.sounds > 0, "{path:?}: {rest:?}");
    assert!(is_less(rest.pictures, pictures), "{path:?}: {rest:?} of {pictures}");
    assert!(is_less(rest.sounds, sounds), "{path:?}: {rest:?} of {sounds}");
}

/// Left out where there is no VLC; `tools/test` says so.
#[test]
#[ignore = "needs VLC, whose decoders a machine that only builds does not have"]
fn vlc_plays_every_file_that_people_are_given() {
    for track in &LESSON.tracks {
        expect_vlc_plays(&track.path);
    }
    expect_vlc_plays(&joined("for-vlc.mp4"));
}
