//! Which encoder makes a lesson's pictures: where SVT-AV1 is, where it is not, where it fails, and
//! when that changes in the middle of an import.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use yingxue_codec::decode;
use yingxue_codec::encoder::{EncoderName, find};
use yingxue_codec::import::EncoderChoice::{self, Auto, Rav1e, SvtAv1};
use yingxue_codec::import::{
    ImportError, ImportRequest, Imported, Observer, Progress, Tiers, import,
};
use yingxue_codec::track::TrackKind;
use yingxue_codec::{Ffmpeg, Limits};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

/// 17 s, five GOPs, of a slide that turns into a moving picture.
const CHANGING: &str = "-f lavfi -i testsrc2=s=160x96:r=25:d=17 -vf loop=loop=250:size=1:start=0 \
                        -t 17 -c:v libx264 -preset ultrafast -crf 10";
/// 16 s of a page that a page follows at once.
const PAGES: &str = "-f lavfi -i color=white:s=160x96:r=25:d=9,drawgrid=w=32:h=24:t=2[a];\
                     color=white:s=160x96:r=25:d=7,drawgrid=w=20:h=40:t=2[b];[a][b]concat=n=2 \
                     -c:v libx264 -preset ultrafast -crf 10 -pix_fmt yuv420p";

/// Ends the import once so many segments are durable.
struct Until {
    segments: usize,
    folder: PathBuf,
}

impl Observer for Until {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let whole = names.filter(|entry| entry.path().extension().is_none());
        whole.count() >= self.segments
    }
}

/// An ffmpeg behind a script, which sees the arguments first.
fn behind(folder: &TempDir, name: &str, script: &str) -> Ffmpeg {
    let real = Ffmpeg::find().unwrap();
    let program = folder.path().join(format!("ffmpeg-{name}"));
    let script = format!("#!/bin/bash\n{script}\nexec {} \"$@\"\n", real.ffmpeg.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    Ffmpeg { ffmpeg: program, ffprobe: real.ffprobe }
}

/// One that was built without SVT-AV1.
fn without(folder: &TempDir) -> Ffmpeg {
    let script = "[[ \" $* \" == *' libsvtav1 '* ]] && \
                  { echo \"Unknown encoder 'libsvtav1'\" >&2; exit 1; }";
    behind(folder, "without", script)
}

/// One whose SVT-AV1 is another version: it makes other bytes of the same pictures.
fn newer(folder: &TempDir) -> Ffmpeg {
    let script = "args=(); for one in \"$@\"; do [[ $last == -preset ]] && one=11; \
                  args+=(\"$one\"); last=$one; done; set -- \"${args[@]}\"";
    behind(folder, "newer", script)
}

/// One whose SVT-AV1 fails on everything but small trials.
fn failing(folder: &TempDir) -> Ffmpeg {
    let script = "[[ \" $* \" == *' 160x96 '*' libsvtav1 '* ]] && \
                  { echo 'Error encoding a frame' >&2; exit 1; }";
    behind(folder, "failing", script)
}

/// One whose SVT-AV1 is stopped or fails so often at the GOPs of lessons; `0` is at each of them.
fn stumbling(folder: &TempDir, name: &str, times: usize, end: &str) -> Ffmpeg {
    let stumbles = folder.path().join(format!("stumbles-{name}"));
    fs::create_dir(&stumbles).unwrap();
    // Children may write no files, but make folders.
    let script = format!(
        "if [[ \" $* \" == *' 160x96 '*' libsvtav1 '* ]]; then \
         [[ {times} == 0 ]] && {end}; \
         for n in $(seq {times}); do mkdir {}/$n 2>/dev/null && {end}; done; fi",
        stumbles.display()
    );
    behind(folder, name, &script)
}

const VIDEO: Tiers =
    Tiers { source: false, audio: false, slides: true, video_360: true, video_480: false };

fn attempt(
    (ffmpeg, encoder): (&Ffmpeg, EncoderChoice),
    source: &Path,
    work: &Path,
    tiers: Tiers,
    segments: usize,
) -> Result<Imported, ImportError> {
    let limits = Limits::default();
    let request =
        ImportRequest { ffmpeg, source, work_dir: work, workers: 2, limits, encoder, tiers };
    import(&request, &Until { segments, folder: work.join("video-360.segments") })
}

fn whole(by: (&Ffmpeg, EncoderChoice), source: &Path, work: &Path) -> Vec<u8> {
    video(&attempt(by, source, work, VIDEO, usize::MAX).unwrap())
}

fn video(imported: &Imported) -> Vec<u8> {
    let mut tracks = imported.tracks.iter();
    let track = tracks.find(|track| track.info.kind == TrackKind::Video360).unwrap();
    fs::read(&track.path).unwrap()
}

#[test]
fn left_to_us_it_is_svt_av1_where_that_works_and_rav1e_where_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let at = |name: &str| folder.path().join(name);
    let (real, without) = (Ffmpeg::find().unwrap(), without(&folder));
    let svt_av1 = whole((&real, SvtAv1), &source, &at("svt-av1"));
    let rav1e = whole((&real, Rav1e), &source, &at("rav1e"));
    assert!(svt_av1 != rav1e);
    assert!(whole((&real, Auto), &source, &at("auto")) == svt_av1);
    assert!(whole((&without, Auto), &source, &at("without")) == rav1e);
    let limits = Limits::default();
    assert_eq!(find(Auto, &real, &limits).unwrap(), EncoderName::SvtAv1);
    assert_eq!(find(Auto, &without, &limits).unwrap(), EncoderName::Rav1e);
    let refused = attempt((&without, SvtAv1), &source, &at("refused"), VIDEO, usize::MAX);
    let error = refused.unwrap_err();
    assert_eq!(error.code(), "no_svt_av1");
    let words = error.to_string();
    assert!(words.contains("Unknown encoder") && words.contains("\"auto\""), "{words}");
}

#[test]
fn an_import_goes_on_with_what_began_it_or_begins_its_pictures_again() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let real = Ffmpeg::find().unwrap();
    let (without, newer) = (without(&folder), newer(&folder));
    let rav1e = whole((&real, Rav1e), &source, &folder.path().join("rav1e"));
    let svt_av1 = whole((&real, SvtAv1), &source, &folder.path().join("svt-av1"));
    let other = whole((&newer, SvtAv1), &source, &folder.path().join("newer"));
    assert!(other != svt_av1);
    let changes = [
        ("gone", (&real, Auto), (&without, Auto), &rav1e),
        ("come", (&without, Auto), (&real, Auto), &rav1e),
        ("same", (&real, Auto), (&real, Auto), &svt_av1),
        ("another version", (&real, Auto), (&newer, Auto), &other),
        ("chosen", (&real, Rav1e), (&real, SvtAv1), &svt_av1),
        ("chosen back", (&real, SvtAv1), (&real, Rav1e), &rav1e),
    ];
    for (name, first, then, expected) in changes {
        let work = folder.path().join(name);
        let cut = attempt(first, &source, &work, VIDEO, 2);
        assert!(matches!(cut, Err(ImportError::Cancelled)), "{name}");
        assert!(work.join("video-360.segments/00000").exists(), "{name}");
        assert!(whole(then, &source, &work) == *expected, "{name}");
    }
}

#[test]
fn a_finished_track_stays_whatever_encoder_there_is_later() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let work = folder.path().join("work");
    let (real, without) = (Ffmpeg::find().unwrap(), without(&folder));
    let first = whole((&real, Auto), &source, &work);
    assert!(whole((&without, Auto), &source, &work) == first);
}

#[test]
fn what_svt_av1_fails_at_is_made_by_rav1e_unless_svt_av1_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let (real, failing) = (Ffmpeg::find().unwrap(), failing(&folder));
    let rav1e = whole((&real, Rav1e), &source, &folder.path().join("rav1e"));
    let work = folder.path().join("failing");
    assert!(whole((&failing, Auto), &source, &work) == rav1e);
    let work = folder.path().join("forced");
    let error = attempt((&failing, SvtAv1), &source, &work, VIDEO, usize::MAX).unwrap_err();
    assert_eq!(error.code(), "encoder_failed");
    assert!(error.to_string().contains("Error encoding a frame"), "{error}");
}

#[test]
fn a_gop_that_svt_av1_stumbles_at_is_made_again_and_the_track_stays() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let real = Ffmpeg::find().unwrap();
    let svt_av1 = whole((&real, SvtAv1), &source, &folder.path().join("svt-av1"));
    for (name, times, end) in [("fails", 1, "exit 1"), ("killed", 2, "kill -KILL $$")] {
        let stumbling = stumbling(&folder, name, times, end);
        assert!(whole((&stumbling, Auto), &source, &folder.path().join(name)) == svt_av1, "{name}");
    }
}

#[test]
fn an_encoder_that_is_stopped_again_and_again_costs_nothing_that_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let real = Ffmpeg::find().unwrap();
    let svt_av1 = whole((&real, SvtAv1), &source, &folder.path().join("svt-av1"));
    let work = folder.path().join("work");
    let cut = attempt((&real, Auto), &source, &work, VIDEO, 2);
    assert!(matches!(cut, Err(ImportError::Cancelled)));
    let first = work.join("video-360.segments/00000");
    let made = fs::metadata(&first).unwrap().modified().unwrap();
    let stumbling = stumbling(&folder, "killed", 0, "kill -KILL $$");
    for choice in [Auto, SvtAv1] {
        let error = attempt((&stumbling, choice), &source, &work, VIDEO, usize::MAX).unwrap_err();
        assert_eq!(error.code(), "ffmpeg_stopped", "{error}");
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), made, "{choice:?}");
    }
    assert!(whole((&real, Auto), &source, &work) == svt_av1);
}

#[test]
fn a_trial_that_fails_when_an_import_goes_on_costs_nothing_that_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", CHANGING);
    let real = Ffmpeg::find().unwrap();
    let svt_av1 = whole((&real, SvtAv1), &source, &folder.path().join("svt-av1"));
    let work = folder.path().join("work");
    let cut = attempt((&real, Auto), &source, &work, VIDEO, 2);
    assert!(matches!(cut, Err(ImportError::Cancelled)));
    let script = "[[ \" $* \" == *' 128x96 '*' libsvtav1 '* ]] && exit 1";
    let untried = behind(&folder, "untried", script);
    assert!(whole((&untried, Auto), &source, &work) == svt_av1);
}

#[test]
fn a_picture_too_small_for_svt_av1_becomes_a_lesson_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(
        &folder,
        "in.mp4",
        "-f lavfi -i testsrc2=s=320x48:r=25:d=2 -c:v libx264 -preset ultrafast",
    );
    let real = Ffmpeg::find().unwrap();
    for choice in [Auto, SvtAv1] {
        let made = whole((&real, choice), &source, &folder.path().join(format!("{choice:?}")));
        assert_eq!(decode::pictures(&made).unwrap().len(), 25);
    }
}

#[test]
fn pages_are_decoded_once_and_come_out_as_without_the_slides() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", PAGES);
    // Children may write no files, but make folders: one for each pass over the whole picture but
    // that which takes the stills of so short a lesson.
    let passes = folder.path().join("passes");
    let note = format!(
        "[[ \"$*\" == *fps=25/2* && \"$*\" != *select=* ]] && mkdir -p {}/$$",
        passes.display()
    );
    let noting = behind(&folder, "noting", &note);
    for choice in [Auto, Rav1e] {
        let work = folder.path().join(format!("{choice:?}"));
        let both = whole((&noting, choice), &source, &work);
        assert_eq!(fs::read_dir(&passes).unwrap().count(), 1, "{choice:?}");
        fs::remove_dir_all(&passes).unwrap();
        let alone = Tiers { slides: false, ..VIDEO };
        let aside = folder.path().join(format!("{choice:?}-alone"));
        let alone = attempt((&noting, choice), &source, &aside, alone, usize::MAX).unwrap();
        assert!(video(&alone) == both, "{choice:?}");
        fs::remove_dir_all(&passes).unwrap();
    }
}
