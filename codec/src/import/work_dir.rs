//! The folder of one import: what is finished in it, and for which file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::import::FinishedTrack;
use crate::track::{ENCODED_BYTES_MAX, TrackInfo, TrackKind};

/// Raised whenever the tracks of the same file would come out differently: an import started by
/// an older program begins again.
const RECIPE: u32 = 6;
/// Names whose file is being written; never read.
const UNFINISHED: &str = "part";
/// Names beside the segments: what each ended with.
const END: &str = "end";
/// What is known of a track before it is made: where its pages are, what encodes it, or how far the
/// look has come that gives it.
const NOTE: &str = "found";
/// Files that are neither a track nor a segment of one.
const OWN_FILES: [&str; 1] = [ENCODED_PICTURE];
/// The picture of a `source` that is encoded again, while it grows.
pub(super) const ENCODED_PICTURE: &str = "source.picture";
/// What the folder belongs to.
const ORIGIN: &str = "origin.json";

/// The folder.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
}

/// Which file, and which way of making tracks of it, a work folder belongs to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    recipe: u32,
    source_bytes: u64,
    source_modified_ns: u128,
}

impl WorkDir {
    /// Opens the folder for `source`; what it holds of another file or recipe is deleted.
    pub(crate) fn open(path: &Path, source: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let work = Self { path: path.to_owned() };
        let metadata = fs::metadata(source)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = Origin {
            recipe: RECIPE,
            source_bytes: metadata.len(),
            source_modified_ns: modified.as_nanos(),
        };
        let found = fs::read(path.join(ORIGIN)).ok();
        let found = found.and_then(|json| serde_json::from_slice::<Origin>(&json).ok());
        if found.as_ref() != Some(&origin) {
            work.clear()?;
            let json = serde_json::to_vec(&origin).expect("numbers always encode");
            write_durably(&path.join(ORIGIN), &json)?;
        }
        Ok(work)
    }

    /// Opens a folder that belongs to no file: what is in it was put there by the caller.
    pub(crate) fn unbound(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned() })
    }

    fn clear(&self) -> io::Result<()> {
        for name in OWN_FILES {
            remove_file(&self.path.join(name))?;
        }
        for kind in TrackKind::ALL {
            for name in ["mp4", "track", NOTE].map(|end| format!("{kind}.{end}")) {
                remove_file(&self.path.join(name))?;
            }
            self.remove_segments(kind)?;
        }
        Ok(())
    }

    /// The track, if it is finished.
    pub(crate) fn finished(&self, kind: TrackKind) -> Option<FinishedTrack> {
        let description = self.path.join(format!("{kind}.track"));
        if fs::metadata(&description).ok()?.len() > ENCODED_BYTES_MAX as u64 {
            return None;
        }
        let info = TrackInfo::decode(&fs::read(description).ok()?).ok()?;
        let path = self.path.join(format!("{kind}.mp4"));
        let is_whole = fs::metadata(&path).ok()?.len() == info.total_bytes() && info.kind == kind;
        is_whole.then_some(FinishedTrack { path, info })
    }

    /// Starts a track's file; it counts once [`WorkDir::finish`] has it.
    pub(crate) fn start(&self, kind: TrackKind) -> io::Result<File> {
        File::create(self.path.join(format!("{kind}.{UNFINISHED}")))
    }

    /// Makes a track durable: its file first, then its description, which is what makes it count.
    pub(crate) fn finish(&self, file: File, info: TrackInfo) -> io::Result<FinishedTrack> {
        file.sync_all()?;
        drop(file);
        let kind = info.kind;
        let path = self.path.join(format!("{kind}.mp4"));
        fs::rename(self.path.join(format!("{kind}.{UNFINISHED}")), &path)?;
        write_durably(&self.path.join(format!("{kind}.track")), &info.encode())?;
        Ok(FinishedTrack { path, info })
    }

    /// Where a file of the import's own is; it is deleted with everything else of another source
    /// if its name is in [`OWN_FILES`].
    pub(super) fn own_file(&self, name: &'static str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the finished segments of an unfinished track are.
    pub(crate) fn segment_folder(&self, kind: TrackKind) -> PathBuf {
        self.path.join(format!("{kind}.segments"))
    }

    /// Makes a segment durable, and before it what later ones need to know of its `end`.
    pub(crate) fn write_segment(
        &self,
        kind: TrackKind,
        n: u64,
        bytes: &[u8],
        end: Option<&[u8]>,
    ) -> io::Result<()> {
        let folder = self.segment_folder(kind);
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
            sync_folder(&self.path)?;
        }
        if let Some(end) = end {
            write_durably(&folder.join(format!("{n:05}.{END}")), end)?;
        }
        write_durably(&folder.join(format!("{n:05}")), bytes)
    }

    /// Reads a segment that was made durable; `None` if it was not.
    pub(crate) fn read_segment(&self, kind: TrackKind, n: u64) -> Option<Vec<u8>> {
        fs::read(self.segment_folder(kind).join(format!("{n:05}"))).ok()
    }

    /// Reads what a durable segment ended with.
    pub(super) fn read_end(&self, kind: TrackKind, n: u64) -> Option<Vec<u8>> {
        fs::read(self.segment_folder(kind).join(format!("{n:05}.{END}"))).ok()
    }

    /// Begins a track again: its segments go before the new note counts.
    pub(crate) fn begin_again(&self, kind: TrackKind, note: &[u8]) -> io::Result<()> {
        self.remove_segments(kind)?;
        self.write_note(kind, note)
    }

    fn remove_segments(&self, kind: TrackKind) -> io::Result<()> {
        match fs::remove_dir_all(self.segment_folder(kind)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Makes what is known of a track before it is made durable.
    pub(crate) fn write_note(&self, kind: TrackKind, note: &[u8]) -> io::Result<()> {
        write_durably(&self.path.join(format!("{kind}.{NOTE}")), note)
    }

    /// Reads what [`WorkDir::write_note`] wrote.
    pub(crate) fn read_note(&self, kind: TrackKind) -> Option<Vec<u8>> {
        fs::read(self.path.join(format!("{kind}.{NOTE}"))).ok()
    }

    /// Deletes what [`WorkDir::write_note`] wrote.
    pub(super) fn drop_note(&self, kind: TrackKind) {
        if let Err(error) = remove_file(&self.path.join(format!("{kind}.{NOTE}"))) {
            tracing::debug!(%kind, %error, "the note of a finished track is left behind");
        }
    }

    /// Deletes a finished track's separate segments.
    pub(crate) fn drop_segments(&self, kind: TrackKind) {
        if let Err(error) = self.remove_segments(kind) {
            // The whole work folder goes once the tracks are in the blob store.
            tracing::debug!(%kind, %error, "segments of a finished track are left behind");
        }
    }
}

/// Writes a file so that after a power cut it is there whole, or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Appended, not exchanged: `audio.part` is the sound itself while it is being written.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{UNFINISHED}"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_folder_works_as_well() {
        let relative = PathBuf::from(format!("work-{}", std::process::id()));
        let source = Path::new("Cargo.toml");
        let work = WorkDir::open(&relative, source).unwrap();
        work.write_segment(TrackKind::Video360, 0, b"x", Some(b"e")).unwrap();
        let found = work.read_segment(TrackKind::Video360, 0);
        let end = work.read_end(TrackKind::Video360, 0);
        fs::remove_dir_all(&relative).unwrap();
        assert_eq!((found.as_deref(), end.as_deref()), (Some(&b"x"[..]), Some(&b"e"[..])));
    }

    #[test]
    fn a_changed_source_empties_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("in");
        fs::write(&source, "one").unwrap();
        let path = folder.path().join("work");
        let kind = TrackKind::Video360;
        WorkDir::open(&path, &source).unwrap().write_segment(kind, 3, b"x", None).unwrap();
        let again = WorkDir::open(&path, &source).unwrap();
        assert_eq!(again.read_segment(kind, 3).as_deref(), Some(&b"x"[..]));
        assert_eq!(again.read_segment(kind, 2), None);
        fs::write(&source, "other").unwrap();
        assert_eq!(WorkDir::open(&path, &source).unwrap().read_segment(kind, 3), None);
    }

    #[test]
    fn a_track_that_begins_again_has_no_segments_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkDir::unbound(folder.path()).unwrap();
        let kind = TrackKind::Video360;
        work.begin_again(kind, b"one").unwrap();
        work.write_segment(kind, 3, b"x", Some(b"e")).unwrap();
        assert_eq!(work.read_note(kind).as_deref(), Some(&b"one"[..]));
        work.begin_again(kind, b"two").unwrap();
        assert_eq!((work.read_segment(kind, 3), work.read_end(kind, 3)), (None, None));
        assert_eq!(work.read_note(kind).as_deref(), Some(&b"two"[..]));
    }
}
