//! Parcels: a manifest and its segments, in a folder or in one file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use yingxue_sync_core::courier::{
    Frame, Keys, MANIFEST_BYTES_MAX, Manifest, SEGMENTS_MAX, Segment, SignedManifest,
};

use super::StickError;
use super::folder::Folder;
use super::segment::{Frames, SegmentWriter};

/// Longest `.yxc` file: FAT32 has no longer ones.
pub const YXC_BYTES_MAX: u64 = (4 << 30) - 1;

const YXC_MAGIC: &[u8; 4] = b"YXC1";
const YXC_HEAD_BYTES: usize = 8;
const MANIFEST: &str = "manifest";
const MANIFEST_PART: &str = "manifest.tmp";
/// Bytes that are hashed between two looks whether somebody has cancelled.
const CHECKED_AT_ONCE: usize = 1 << 20;

/// A parcel that is there to be read.
#[derive(Debug)]
pub struct Parcel {
    /// What it says of itself: signed by its author, who may be nobody.
    pub signed: SignedManifest,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder(Folder),
    File { file: File, start: u64 },
}

impl Parcel {
    /// Opens the parcel in a folder; none if no manifest was written yet.
    pub(super) fn of_folder(folder: Folder) -> Result<Option<Self>, StickError> {
        let Some(bytes) = folder.read(MANIFEST, MANIFEST_BYTES_MAX)? else { return Ok(None) };
        let signed = SignedManifest::decode(&bytes)?;
        Ok(Some(Self { signed, place: Place::Folder(folder) }))
    }

    /// Opens the parcel in a `.yxc` file.
    ///
    /// # Errors
    /// If it is no such file, or its manifest is not right.
    pub fn of_file(path: &Path) -> Result<Self, StickError> {
        let mut file = File::open(path)?;
        let mut head = [0; YXC_HEAD_BYTES];
        let no_parcel = || StickError::Frames("this is not a .yxc file".to_owned());
        file.read_exact(&mut head).map_err(|_| no_parcel())?;
        let (magic, bytes) = head.split_at(4);
        let bytes = u32::from_le_bytes(bytes.try_into().expect("4 bytes are left")) as usize;
        if magic != YXC_MAGIC || bytes > MANIFEST_BYTES_MAX {
            return Err(no_parcel());
        }
        let mut manifest = vec![0; bytes];
        file.read_exact(&mut manifest).map_err(|_| no_parcel())?;
        let signed = SignedManifest::decode(&manifest)?;
        let start = (YXC_HEAD_BYTES + bytes) as u64;
        Ok(Self { signed, place: Place::File { file, start } })
    }

    /// Gives what the manifest says.
    pub const fn manifest(&self) -> &Manifest {
        &self.signed.manifest
    }

    /// Looks whether a segment is what the manifest says, byte for byte.
    ///
    /// # Errors
    /// If it is not, or the stick fails; [`StickError::Cancelled`] as soon as `is_cancelled`.
    pub fn check(&self, number: usize, is_cancelled: &dyn Fn() -> bool) -> Result<(), StickError> {
        let segment = self.segment(number)?;
        let mut input = self.open(number)?;
        let (mut hasher, mut found) = (blake3::Hasher::new(), 0);
        let mut buffer = vec![0; CHECKED_AT_ONCE];
        loop {
            if is_cancelled() {
                return Err(StickError::Cancelled);
            }
            match input.read(&mut buffer)? {
                0 => break,
                read => {
                    hasher.update(&buffer[..read]);
                    found += read as u64;
                }
            }
        }
        if found != segment.bytes {
            return Err(StickError::Length { found, expected: segment.bytes });
        }
        if hasher.finalize().as_bytes() != segment.hash.as_bytes() {
            return Err(StickError::Hash);
        }
        Ok(())
    }

    /// Reads a segment's frames, which have to begin with where they belong.
    ///
    /// # Errors
    /// If it is encrypted to others, or belongs elsewhere.
    pub fn frames(&self, number: usize, keys: &Keys) -> Result<Frames<impl Read>, StickError> {
        let mut frames = Frames::new(self.open(number)?, keys.x25519_secret())?;
        let manifest = self.manifest();
        let begin = Frame::Begin {
            alliance: manifest.alliance,
            author: manifest.author,
            parcel: manifest.parcel,
            number: u16::try_from(number).unwrap_or(u16::MAX),
        };
        match frames.next() {
            Some(Ok(frame)) if frame == begin => Ok(frames),
            Some(Err(error)) => Err(error),
            _ => Err(StickError::Frames("it belongs to another parcel".to_owned())),
        }
    }

    fn segment(&self, number: usize) -> Result<Segment, StickError> {
        let segment = self.manifest().segments.get(number).copied();
        segment.ok_or_else(|| StickError::Frames(format!("there is no segment {number}")))
    }

    /// Opens a segment: at most as many bytes as the manifest says, where it can be told already
    /// that there are more or fewer.
    fn open(&self, number: usize) -> Result<std::io::Take<File>, StickError> {
        let expected = self.segment(number)?.bytes;
        match &self.place {
            Place::Folder(folder) => {
                let file = folder.file(&segment_name(number))?;
                let file = file.ok_or(StickError::Length { found: 0, expected })?;
                let found = file.metadata()?.len();
                if found != expected {
                    return Err(StickError::Length { found, expected });
                }
                Ok(file.take(expected))
            }
            Place::File { file, start } => {
                let before = self.manifest().segments.iter().take(number).map(|s| s.bytes);
                // The descriptor's place is shared; whoever reads two at once opens it twice.
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start + before.sum::<u64>()))?;
                Ok(file.take(expected))
            }
        }
    }
}

/// Writes a parcel into a folder.
#[derive(Debug)]
pub struct ParcelWriter {
    folder: Folder,
    keys: Keys,
    manifest: Manifest,
}

impl ParcelWriter {
    /// Goes on with a parcel in a folder after its first `kept` segments, or begins it; what is
    /// there and not in the manifest goes.
    pub(super) fn new(
        folder: Folder,
        keys: &Keys,
        empty: Manifest,
        kept: usize,
    ) -> Result<Self, StickError> {
        let found = Parcel::of_folder(folder.reopen()?).ok().flatten();
        let mut manifest = empty;
        if let Some(parcel) = found.filter(|parcel| parcel.manifest().is_same_parcel(&manifest)) {
            manifest.segments.clone_from(&parcel.manifest().segments);
            manifest.segments.truncate(kept);
        }
        let writer = Self { folder, keys: keys.clone(), manifest };
        writer.remove_others()?;
        Ok(writer)
    }

    fn remove_others(&self) -> Result<(), StickError> {
        for name in self.folder.names()? {
            let number = segment_number(&name);
            let is_known = number.is_some_and(|number| number < self.manifest.segments.len());
            if is_ours(&name) && name != MANIFEST && !is_known {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Gives the manifest as it is now.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Begins the next segment, for one of the manifest's groups, whose X25519 keys these are.
    ///
    /// # Errors
    /// If the stick is full, gone or read-only, or the parcel has [`SEGMENTS_MAX`] segments.
    pub fn begin(&self, group: u8, keys: &[[u8; 32]]) -> Result<SegmentWriter, StickError> {
        let number = self.manifest.segments.len();
        if number >= SEGMENTS_MAX {
            return Err(StickError::Full);
        }
        let file = self.folder.create(&part_name(number))?;
        let mut writer = SegmentWriter::new(file, keys, group)?;
        writer.write(&Frame::Begin {
            alliance: self.manifest.alliance,
            author: self.manifest.author,
            parcel: self.manifest.parcel,
            number: u16::try_from(number).unwrap_or(u16::MAX),
        })?;
        Ok(writer)
    }

    /// Ends a segment and names it in the manifest; it counts when this returns.
    ///
    /// # Errors
    /// If the stick is full or gone; the parcel is what it was before the segment.
    pub fn end(&mut self, mut segment: SegmentWriter) -> Result<Segment, StickError> {
        let number = self.manifest.segments.len();
        let ended = segment.write(&Frame::End).and_then(|()| segment.finish());
        let ended = ended.and_then(|segment| {
            self.folder.rename(&part_name(number), &segment_name(number))?;
            self.manifest.segments.push(segment);
            self.write_manifest().inspect_err(|_| {
                self.manifest.segments.pop();
            })?;
            Ok(segment)
        });
        if ended.is_err() {
            self.give_up();
        }
        ended
    }

    /// Removes what a segment that was not ended has left. A stick that is gone keeps it; the
    /// next export removes it.
    pub fn give_up(&self) {
        let number = self.manifest.segments.len();
        for name in [part_name(number), segment_name(number)] {
            drop(self.folder.remove(&name));
        }
    }

    /// Says in the manifest whether all of the parcel is there.
    ///
    /// # Errors
    /// If the stick is full or gone.
    pub fn finish(&mut self, is_finished: bool) -> Result<SignedManifest, StickError> {
        self.manifest.is_finished = is_finished;
        self.write_manifest()
    }

    fn write_manifest(&self) -> Result<SignedManifest, StickError> {
        let signed = self.manifest.clone().sign(&self.keys);
        self.folder.write(MANIFEST, MANIFEST_PART, &signed.bytes)?;
        Ok(signed)
    }
}

/// Gives the bytes of a `.yxc` file before its segments.
pub fn yxc_head(signed: &SignedManifest) -> Vec<u8> {
    let bytes = u32::try_from(signed.bytes.len()).expect("a manifest is bounded");
    [YXC_MAGIC.as_slice(), &bytes.to_le_bytes(), &signed.bytes].concat()
}

/// Gives the name of a segment's file.
pub(super) fn segment_name(number: usize) -> String {
    format!("{number:04}.seg")
}

fn part_name(number: usize) -> String {
    format!("{number:04}.tmp")
}

fn segment_number(name: &str) -> Option<usize> {
    name.strip_suffix(".seg").filter(|digits| digits.len() == 4)?.parse().ok()
}

/// Says whether a file of this name in a parcel's folder may be removed: it is of our making.
pub(super) fn is_ours(name: &str) -> bool {
    name == MANIFEST || is_part(name) || segment_number(name).is_some()
}

/// Says whether a file of this name is one of ours that was not whole when the writing of it ended.
pub(super) fn is_part(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|name| name == MANIFEST || name.len() == 4)
}
