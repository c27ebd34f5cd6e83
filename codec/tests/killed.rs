//! An import whose process is killed (SIGKILL) goes on with what was durable.
//!
//! The test starts itself once more as the import that is killed.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;
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
/// Which tracks it makes.
const MADE: &str = "YINGXUE_KILLED_MADE";
/// A file of the folder: once it is there the import stands still, until it is killed.
const STAND_AT: &str = "YINGXUE_KILLED_STAND_AT";
/// Says a line at each step, so that whoever kills the import need not look all the time.
#[derive(Default)]
struct Talking {
    stand_at: Option<PathBuf>,
}

impl Observer for Talking {
    fn progress(&self, _: Progress) {
        println!("a step");
    }

    fn is_cancelled(&self) -> bool {
        while self.stand_at.as_ref().is_some_and(|path| path.exists()) {
            println!("a step");
            std::thread::park();
        }
        false
    }
}

/// The original and the sound.
const ORIGINAL: &str = "original";
/// The pages and the picture.
const PAGES: &str = "pages";
/// The picture.
const PICTURE: &str = "picture";

fn import_into(source: &Path, work: &Path) -> Imported {
    import_made(source, work, ORIGINAL, &Talking::default())
}

fn import_made(source: &Path, work: &Path, made: &str, observer: &Talking) -> Imported {
    let (original, slides, video_360) = (made == ORIGINAL, made == PAGES, made != ORIGINAL);
    let tiers = Tiers { source: original, audio: original, slides, video_360, video_480: false };
    let request = ImportRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        source,
        work_dir: work,
        workers: 1,
        // The listener writes down what it hears.
        limits: Limits { child_file_bytes: 1 << 20, ..Limits::default() },
        encoder: EncoderChoice::Rav1e,
        tiers,
    };
    import(&request, observer).unwrap()
}

/// Does nothing but for the tests below, which start it in a process of its own.
#[test]
fn the_import_that_is_killed() {
    let (Some(source), Some(work)) = (std::env::var_os(SOURCE), std::env::var_os(WORK)) else {
        return;
    };
    let made = std::env::var(MADE).unwrap();
    let observer = Talking { stand_at: std::env::var_os(STAND_AT).map(PathBuf::from) };
    import_made(Path::new(&source), Path::new(&work), &made, &observer);
}

/// An import in a process of its own.
fn process(source: &Path, work: &Path, made: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_import_that_is_killed", "--nocapture"]);
    command.env(SOURCE, source).env(WORK, work).env(MADE, made);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts an import in a process of its own, and kills it as soon as `is_far_enough`.
fn kill_when(source: &Path, work: &Path, is_far_enough: impl Fn() -> bool) {
    kill(process(source, work, ORIGINAL), is_far_enough);
}

fn kill(mut process: Command, is_far_enough: impl Fn() -> bool) {
    let mut killed = process.spawn().unwrap();
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

/// Stands before ffmpeg on the path, and writes down what it is asked for.
struct Listener {
    folder: TempDir,
}

impl Listener {
    fn new() -> Self {
        let listener = Self { folder: tempfile::tempdir().unwrap() };
        let script = listener.folder.path().join("ffmpeg");
        let ffmpeg = Ffmpeg::find().unwrap().ffmpeg;
        let (log, ffmpeg) = (listener.log().display().to_string(), ffmpeg.display().to_string());
        let text = format!("#!/bin/sh\necho \"$*\" >> '{log}'\nexec '{ffmpeg}' \"$@\"\n");
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        listener
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn before<'a>(&self, process: &'a mut Command) -> &'a mut Command {
        let path = std::env::var("PATH").unwrap();
        process.env("PATH", format!("{}:{path}", self.folder.path().display()))
    }

    /// Forgets what it has heard, and gives it.
    fn heard(&self) -> String {
        let heard = fs::read_to_string(self.log()).unwrap();
        fs::remove_file(self.log()).unwrap();
        heard
    }
}

/// A source, what is made of it, and the same made again and again, each time until it is killed.
struct Killed<'a> {
    source: &'a Path,
    made: &'static str,
    work: PathBuf,
    listener: Listener,
}

impl<'a> Killed<'a> {
    fn new(source: &'a Path, made: &'static str) -> Self {
        let work = source.with_extension("killed");
        Self { source, made, work, listener: Listener::new() }
    }

    /// Goes on until a file of the work folder is there, and gives what ffmpeg was asked for.
    fn at(&self, file: &str) -> String {
        let path = self.work.join(file);
        assert!(!path.exists(), "{file} is there already");
        let mut process = process(self.source, &self.work, self.made);
        self.listener.before(&mut process).env(STAND_AT, &path);
        kill(process, || path.exists());
        self.listener.heard()
    }

    /// Goes on to the end, and compares with what an import gives that was not killed.
    fn finish(&self) -> String {
        let mut process = process(self.source, &self.work, self.made);
        assert!(self.listener.before(&mut process).status().unwrap().success());
        let whole = self.source.with_extension("whole");
        let whole = import_made(self.source, &whole, self.made, &Talking::default());
        assert!(!whole.tracks.is_empty());
        for track in &whole.tracks {
            let name = track.path.file_name().unwrap();
            let (one, other) = (fs::read(&track.path), fs::read(self.work.join(name)));
            assert!(one.unwrap() == other.unwrap(), "{} came out otherwise", track.info.kind);
        }
        self.listener.heard()
    }

    /// The first segment of a track that the kill came before.
    fn first_missing(&self, track: &str) -> u64 {
        let is_made = |n| self.work.join(format!("{track}.segments/{n:05}")).exists();
        (0..).find(|n| !is_made(*n)).unwrap()
    }

    /// Makes a file as a torn write would leave it.
    fn tear(&self, file: &str) {
        let path = self.work.join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
}

/// Three pages of 12 to 16 s and 8 s of film, several times: 48 s each, with B pictures in open
/// groups of 10 s.
fn lesson(folder: &TempDir, times: u32) -> PathBuf {
    let page = |color: &str, seconds: u32, grid: &str| {
        format!("-f lavfi -i color={color}:s=64x48:r=25:d={seconds},drawgrid={grid},format=yuv420p")
    };
    let pages = [
        page("white", 12, "w=32:h=24:t=2:c=black"),
        page("gray", 12, "w=20:h=40:t=3:c=white"),
        page("black", 16, "w=50:h=18:t=2:c=yellow"),
        "-f lavfi -i testsrc2=s=64x48:r=25:d=8".into(),
    ];
    let once = format!("{} -filter_complex concat=n=4 -c:v ffv1", pages.join(" "));
    let once = make(folder, "once.mkv", &once);
    make(
        folder,
        "lesson.mp4",
        &format!(
            "-stream_loop {} -i {} -c:v libx264 -preset veryfast -bf 3 \
             -x264-params open-gop=1:keyint=250:min-keyint=250:scenecut=0:b-adapt=0",
            times - 1,
            once.display()
        ),
    )
}

/// What decoding in the middle is asked for: from two seconds before a picture of 80 ms.
fn begins_at(ms: u64) -> String {
    let seconds = format!("{}.{:03}", (ms - 2000) / 1000, ms % 1000);
    format!("-noaccurate_seek -ss {seconds} -itsoffset {seconds}")
}

#[test]
fn a_look_for_pages_goes_on_after_its_last_whole_part_and_comes_out_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let lesson = lesson(&folder, 3);
    // Its beginning was cut off: an edit list hides what is before 3.3 s.
    let cut = make(&folder, "cut.mp4", &format!("-ss 3.3 -i {} -c copy", lesson.display()));
    let import = Killed::new(&cut, PAGES);
    assert!(!import.at("thumbs.found").contains("-itsoffset"));
    assert!(import.at("thumbs.segments/00001").contains(&begins_at(20_000 - 80)));
    // It was killed before the second part counted, or after it.
    let heard = import.at("slides.segments/00001");
    assert!(
        heard.contains(&begins_at(20_000 - 80)) || heard.contains(&begins_at(40_000 - 80)),
        "{heard}"
    );
    // The film begins at 36.7 s; the pages before it were made while they were looked at.
    let heard = import.at("video-360.segments/00010");
    assert!(heard.contains(&begins_at(9 * 4000 - 80)), "{heard}");
    let missing = import.first_missing("video-360");
    assert!((11..35).contains(&missing), "{missing}");
    let heard = import.finish();
    assert!(heard.contains(&begins_at(missing * 4000 - 80)), "{missing}: {heard}");
    assert!(!import.work.join("thumbs.found").exists());
}

#[test]
fn a_look_goes_on_without_an_index_too_and_not_after_a_torn_write() {
    let folder = tempfile::tempdir().unwrap();
    let lesson = lesson(&folder, 3);
    let raw = make(&folder, "lesson.ts", &format!("-i {} -c copy", lesson.display()));
    let import = Killed::new(&raw, PAGES);
    import.at("thumbs.found");
    let heard = import.at("slides.found");
    assert!(heard.contains("select=gte(n\\,249)"), "{heard}");
    assert!(!heard.contains("-itsoffset"), "{heard}");
    import.finish();

    let import = Killed::new(&lesson, PAGES);
    import.at("thumbs.found");
    import.tear("thumbs.found");
    let heard = import.at("thumbs.segments/00001");
    assert!(!heard.contains("-itsoffset"), "{heard}");
    // The part before it was made again, and is torn now.
    import.tear("thumbs.segments/00000");
    let heard = import.at("slides.found");
    assert!(!heard.contains("-itsoffset"), "{heard}");
    import.finish();
}

#[test]
fn a_picture_goes_on_at_its_first_missing_segment_and_comes_out_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let lesson = lesson(&folder, 2);
    let late =
        make(&folder, "late.mkv", &format!("-itsoffset 1.24 -i {} -c copy", lesson.display()));
    for source in [&lesson, &late] {
        let import = Killed::new(source, PICTURE);
        assert!(!import.at("video-360.segments/00004").contains("-itsoffset"));
        let heard = import.at("video-360.segments/00010");
        assert!(heard.contains(&begins_at(5 * 4000 - 80)), "{heard}");
        let heard = import.at("video-360.segments/00017");
        assert!(heard.contains(&begins_at(11 * 4000 - 80)), "{heard}");
        // A segment in the middle is lost: what is behind it is kept.
        let kept = changed(&import.work.join("video-360.segments/00014"));
        import.tear("video-360.segments/00013");
        let heard = import.at("video-360.segments/00022");
        assert!(heard.contains(&begins_at(13 * 4000 - 80)), "{heard}");
        assert_eq!(changed(&import.work.join("video-360.segments/00014")), kept);
        assert!(import.finish().contains(&begins_at(23 * 4000 - 80)));
    }
}
