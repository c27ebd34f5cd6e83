//! A disk that is full at any write of an import: it says so, keeps what is durable, and goes on
//! when there is room.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use yingxue_codec::import::{
    EncoderChoice, ImportError, ImportRequest, Imported, Observer, Progress, Tiers, import,
};
use yingxue_codec::{Ffmpeg, Limits};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

/// 17 s, five GOPs, of a slide that turns into a moving picture, with sound.
const LESSON: &str = "-f lavfi -i testsrc2=s=160x96:r=25:d=17 -f lavfi -i sine=300:d=17 \
                      -vf loop=loop=250:size=1:start=0 -t 17 \
                      -c:v libx264 -preset ultrafast -crf 10 -c:a aac";

/// A second of both.
const SHORT: &str = "-f lavfi -i testsrc2=s=64x48:r=10:d=1 -f lavfi -i sine=300:d=1 \
                     -c:v libx264 -preset ultrafast -c:a aac";

/// Ends the import once there is this file.
struct Until(Option<PathBuf>);

impl Observer for Until {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|file| file.exists())
    }
}

fn attempt(source: &Path, work: &Path, until: Option<&str>) -> Result<Imported, ImportError> {
    let request = ImportRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        source,
        work_dir: work,
        workers: 2,
        limits: Limits::default(),
        encoder: EncoderChoice::Rav1e,
        tiers: Tiers::FIRST,
    };
    import(&request, &Until(until.map(|name| work.join(name))))
}

fn bytes(imported: &Imported) -> Vec<(String, Vec<u8>)> {
    let read = |track: &yingxue_codec::import::FinishedTrack| fs::read(&track.path).unwrap();
    imported.tracks.iter().map(|track| (track.info.kind.to_string(), read(track))).collect()
}

/// The segments and the finished tracks of a folder, and since when they are there. Thumbnails come
/// out of the same pass as the pages, and are made with them again.
fn durable(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let is_segment = folder.extension().is_some_and(|extension| extension == "segments")
            && path.extension().is_none();
        let is_track = path.extension().is_some_and(|extension| extension == "track");
        if path.is_dir() {
            found.extend(durable(&path));
        } else if is_segment || is_track && !path.ends_with("thumbs.track") {
            found.insert(path.clone(), fs::metadata(&path).unwrap().modified().unwrap());
        }
    }
    found
}

/// Imports with the kernel's own full disk in the place of one file that is written.
fn fails_at(source: &Path, work: &Path, name: &str) {
    let full = work.join(format!("{name}.part"));
    symlink("/dev/full", &full).unwrap();
    let before = durable(work);
    let error = attempt(source, work, None).unwrap_err();
    assert_eq!(error.code(), "disk_full", "{name}: {error}");
    let kept = durable(work);
    for (path, since) in &before {
        // The segments of a track that was finished meanwhile are in its file.
        let is_in_track = !path.parent().unwrap().exists();
        assert!(is_in_track || kept.get(path) == Some(since), "{name}: {}", path.display());
    }
    fs::remove_file(full).unwrap();
}

#[test]
fn a_full_disk_is_said_at_every_file_and_costs_none_that_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", SHORT);
    let whole = bytes(&attempt(&source, &folder.path().join("whole"), None).unwrap());
    let names = [
        "origin.json",
        "source",
        "source.track",
        "audio",
        "audio.track",
        "thumbs",
        "thumbs.track",
        "slides.found",
        "slides",
        "slides.track",
        "video-360",
        "video-360.track",
    ];
    for name in names {
        let work = folder.path().join(format!("at-{name}"));
        fs::create_dir(&work).unwrap();
        fails_at(&source, &work, name);
        assert!(bytes(&attempt(&source, &work, None).unwrap()) == whole, "{name}");
    }
}

#[test]
fn a_full_disk_is_said_at_any_segment_and_costs_none_that_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", LESSON);
    let whole = bytes(&attempt(&source, &folder.path().join("whole"), None).unwrap());
    for (name, until) in [
        ("video-360.segments/00003", "video-360.segments/00000"),
        ("video-360.segments/00004.end", "video-360.segments/00000"),
        ("slides.segments/00000", "slides.found"),
    ] {
        let work = folder.path().join(name.replace('/', "-"));
        let cut = attempt(&source, &work, Some(until));
        assert!(matches!(cut, Err(ImportError::Cancelled)), "{name}: {cut:?}");
        fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
        fails_at(&source, &work, name);
        assert!(bytes(&attempt(&source, &work, None).unwrap()) == whole, "{name}");
    }
}
