//! An import whose process is killed (SIGKILL) goes on with what was durable.
//!
//! The test starts itself once more as the import that is killed.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use yingxue_codec::import::{
    EncoderChoice, ImportRequest, Imported, Observer, Progress, Tiers, import,
};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

/// Names the file and the folder to the process that is killed.
const SOURCE: &str = "YINGXUE_KILLED_SOURCE";
const WORK: &str = "YINGXUE_KILLED_WORK";
/// Says a line at each step, so that whoever kills the import need not look all the time.
struct Talking;

impl Observer for Talking {
    fn progress(&self, _: Progress) {
        println!("a step");
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn import_into(source: &Path, work: &Path) -> Imported {
    let tiers =
        Tiers { source: true, audio: true, slides: false, video_360: false, video_480: false };
    let request = ImportRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        source,
        work_dir: work,
        workers: 1,
        limits: Limits::default(),
        encoder: EncoderChoice::Rav1e,
        tiers,
    };
    import(&request, &Talking).unwrap()
}

/// Does nothing but for the tests below, which start it in a process of its own.
#[test]
fn the_import_that_is_killed() {
    let (Some(source), Some(work)) = (std::env::var_os(SOURCE), std::env::var_os(WORK)) else {
        return;
    };
    import_into(Path::new(&source), Path::new(&work));
}

/// Starts an import in a process of its own, and kills it as soon as `is_far_enough`.
fn kill_when(source: &Path, work: &Path, is_far_enough: impl Fn() -> bool) {
    let mut killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_import_that_is_killed", "--nocapture"])
        .env(SOURCE, source)
        .env(WORK, work)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let steps = BufReader::new(killed.stdout.take().unwrap()).lines();
    let is_killed = steps.map_while(Result::ok).any(|_| is_far_enough());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_killed, "it ended before it was killed");
}

fn path(imported: &Imported, kind: TrackKind) -> &Path {
    &imported.tracks.iter().find(|track| track.info.kind == kind).unwrap().path
}

fn changed(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn sound_goes_on_after_its_last_whole_minute_and_comes_out_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // Speech-like: a tone that comes and goes.
    let source = make(
        &folder,
        "sound.wav",
        "-f lavfi -i aevalsrc=0.5*sin(2*PI*(200+50*sin(t))*t)*gt(mod(t\\,3)\\,1):d=250:s=16000",
    );
    let whole = import_into(&source, &folder.path().join("whole"));
    let work = folder.path().join("cut");
    let minute = |n: u32| work.join(format!("audio.segments/{n:05}"));
    kill_when(&source, &work, || minute(1).exists());
    assert!(!work.join("audio.track").exists(), "killed in the middle");
    let kept = changed(&minute(0));
    // What a torn write leaves is not believed.
    fs::write(minute(1), &fs::read(minute(1)).unwrap()[..5000]).unwrap();
    kill_when(&source, &work, || minute(2).exists());
    assert_eq!(changed(&minute(0)), kept, "a durable minute is not encoded again");
    let resumed = import_into(&source, &work);
    let bytes = |imported: &Imported| fs::read(path(imported, TrackKind::Audio)).unwrap();
    assert!(bytes(&whole) == bytes(&resumed), "the same bytes as without a cut");
    assert_eq!(whole.peaks, resumed.peaks);
    assert_eq!(whole.duration_ms, resumed.duration_ms);
}

/// `presentation time, key` of every picture, in the order of the file.
fn pictures(file: &Path) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts,dts,flags"])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// A hash of every picture as it is decoded.
fn decoded(file: &Path) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

#[test]
fn a_picture_that_is_encoded_again_goes_on_after_its_last_segment() {
    let folder = tempfile::tempdir().unwrap();
    // 29.97 pictures a second, which do not divide four seconds, and a sound that is no AAC.
    let source = make(
        &folder,
        "old.avi",
        "-f lavfi -i testsrc2=s=640x360:r=30000/1001:d=40 -f lavfi -i sine=300:d=40 \
         -c:v mpeg4 -q:v 4 -c:a mp3",
    );
    let whole = import_into(&source, &folder.path().join("whole"));
    let work = folder.path().join("cut");
    let picture = work.join("source.picture");
    let note = work.join("source.found");
    let kept = |note: &Path| -> u64 {
        let text = fs::read_to_string(note).unwrap_or_default();
        let kept: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        kept["segments"].as_u64().unwrap_or(0)
    };
    kill_when(&source, &work, || kept(&note) >= 3);
    assert!(!work.join("source.track").exists(), "killed in the middle");
    let segments = kept(&note);
    let before: Vec<u8> = fs::read(&picture).unwrap();
    let durable = serde_json::from_slice::<serde_json::Value>(&fs::read(&note).unwrap()).unwrap();
    let durable = durable["bytes"].as_u64().unwrap() as usize;
    // Bytes that were written and never made durable.
    fs::write(&picture, [&before[..durable], b"torn"].concat()).unwrap();
    kill_when(&source, &work, || kept(&note) > segments);
    let after = fs::read(&picture).unwrap();
    assert!(after[..durable] == before[..durable], "durable segments are not encoded again");

    let resumed = import_into(&source, &work);
    let (a, b) = (path(&whole, TrackKind::Source), path(&resumed, TrackKind::Source));
    assert_eq!(pictures(a).len(), pictures(b).len());
    let times = |file: &Path| -> Vec<String> {
        let mut times: Vec<String> =
            pictures(file).iter().map(|line| line.split(',').next().unwrap().to_owned()).collect();
        times.sort();
        times
    };
    assert_eq!(times(a), times(b), "the same pictures at the same times");
    let (a, b) = (decoded(a), decoded(b));
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    assert!(same >= 3 * 119, "what was kept is what an uncut import makes: {same}");
    assert!(!picture.exists(), "what is no longer needed goes");
    let lengths = |imported: &Imported| -> Vec<u32> {
        let tracks = imported.tracks.iter().find(|track| track.info.kind == TrackKind::Source);
        tracks.unwrap().info.segments.iter().map(|segment| segment.duration_ticks).collect()
    };
    assert_eq!(lengths(&whole), lengths(&resumed));
    let again: PathBuf = path(&import_into(&source, &work), TrackKind::Source).to_owned();
    assert_eq!(again, path(&resumed, TrackKind::Source));
}
