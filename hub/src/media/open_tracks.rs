//! The tracks that are being served: open files, what is held of them, and buffers to read into.

use std::collections::HashMap;
use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustix::io::ReadWriteFlags;
use yingxue_codec::track::TrackInfo;
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::id::BlobId;

/// Tracks that are kept open: three of each lesson that a school's classes watch at one time.
const TRACKS_KEPT: usize = 64;
/// Longest read into one buffer; a segment of the source at 2 Mbit/s has 1 MiB.
pub const READ_BYTES_MAX: usize = 1 << 20;
/// Buffers kept for the next reads, 16 MiB at most; memory of the system is slower to get.
const BUFFERS_KEPT: usize = 16;

/// A blob that is open for reading, with what is held of it at one moment.
pub struct OpenTrack {
    /// Its name.
    pub blob: BlobId,
    /// What its maker says of the track; none if that does not fit the manifest.
    pub info: Option<TrackInfo>,
    /// Of the whole blob.
    pub total_bytes: u64,
    file: File,
    ends: Vec<u64>,
    manifest: Manifest,
    held: Bitmap,
    is_complete: bool,
}

/// Tracks that are open, the least used one given up first.
#[derive(Default)]
pub struct OpenTracks {
    inner: Mutex<Inner>,
    buffers: Arc<Buffers>,
}

#[derive(Default)]
struct Inner {
    tracks: HashMap<BlobId, (Arc<OpenTrack>, u64)>,
    uses: u64,
    generation: u64,
}

/// Says which state of the tracks a load began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

#[derive(Default)]
struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
}

/// A buffer on loan, the first `len` bytes filled.
struct Filled {
    bytes: Option<Box<[u8]>>,
    len: usize,
    buffers: Arc<Buffers>,
}

impl OpenTrack {
    /// Joins an open file with what the store knows of it.
    pub fn new(blob: BlobId, file: File, manifest: Manifest, bitmap: &[u8]) -> Self {
        let total_bytes = manifest.total_bytes();
        let info = TrackInfo::decode(&manifest.info).ok();
        let held = Bitmap::from_bytes(bitmap, manifest.pieces.len());
        let ends = manifest.pieces.iter().scan(0, |end, piece| {
            *end += u64::from(piece.bytes);
            Some(*end)
        });
        Self {
            blob,
            info: info.filter(|info| info.total_bytes() == total_bytes),
            total_bytes,
            file,
            ends: ends.collect(),
            manifest,
            is_complete: held.is_full(),
            held,
        }
    }

    /// Says whether all of it is verified and durable.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Says whether all bytes of a range are verified and durable.
    pub fn holds(&self, range: &Range<u64>) -> bool {
        if range.start >= range.end || range.end > self.total_bytes {
            return false;
        }
        if self.is_complete {
            return true;
        }
        let first = self.ends.partition_point(|end| *end <= range.start);
        let last = self.ends.partition_point(|end| *end < range.end);
        (first..=last).all(|piece| u32::try_from(piece).is_ok_and(|piece| self.held.has(piece)))
    }

    /// Finds a piece that lies wholly in a range and is not what its hash says. Players ask for
    /// whole pieces, so what they are given has been compared.
    pub fn wrong_piece(&self, range: &Range<u64>, bytes: &[u8]) -> Option<u32> {
        let first = self.ends.partition_point(|end| *end <= range.start);
        let mut start = if first == 0 { 0 } else { self.ends[first - 1] };
        for (piece, end) in self.ends.iter().enumerate().skip(first) {
            if *end > range.end {
                break;
            }
            if start >= range.start {
                let part = (start - range.start) as usize..(end - range.start) as usize;
                let is_right =
                    |piece| self.manifest.verifies(piece, bytes.get(part).unwrap_or(&[]));
                if let Ok(piece) = u32::try_from(piece)
                    && !is_right(piece)
                {
                    return Some(piece);
                }
            }
            start = *end;
        }
        None
    }

    /// Gives the range of the piece in which a byte lies.
    pub fn piece_at(&self, at: u64) -> Range<u64> {
        let piece = self.ends.partition_point(|end| *end <= at);
        let start = if piece == 0 { 0 } else { self.ends[piece - 1] };
        start..self.ends.get(piece).copied().unwrap_or(self.total_bytes)
    }

    /// Gives the number of the piece in which a byte lies.
    pub fn piece_number(&self, at: u64) -> u32 {
        u32::try_from(self.ends.partition_point(|end| *end <= at)).unwrap_or(u32::MAX)
    }

    /// Says whether the file is still in its folder and long enough, as far as the disk can say.
    pub fn reaches(&self, end: u64) -> bool {
        self.file.metadata().is_ok_and(|file| file.nlink() > 0 && file.len() >= end)
    }

    /// Fills `buffer` from what the system has in memory; says how far that went.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> usize {
        let mut slices = [IoSliceMut::new(buffer)];
        // Not every file system can say what is in memory; then nothing counts as read.
        rustix::io::preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }
}

impl OpenTracks {
    /// Finds a track that is open.
    pub fn get(&self, blob: &BlobId) -> Option<Arc<OpenTrack>> {
        let mut inner = self.inner.lock().expect("never held over a panic");
        inner.uses += 1;
        let now = inner.uses;
        let (track, used) = inner.tracks.get_mut(blob)?;
        *used = now;
        Some(Arc::clone(track))
    }

    /// Gives the state to name in [`OpenTracks::insert`]; ask before reading the store.
    pub fn generation(&self) -> Generation {
        Generation(self.inner.lock().expect("never held over a panic").generation)
    }

    /// Keeps a track open, unless something was forgotten since `begun`.
    pub fn insert(&self, track: Arc<OpenTrack>, begun: Generation) {
        let mut inner = self.inner.lock().expect("never held over a panic");
        if inner.generation != begun.0 {
            return;
        }
        if inner.tracks.len() >= TRACKS_KEPT {
            let oldest = inner.tracks.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(blob, _)| *blob) {
                inner.tracks.remove(&oldest);
            }
        }
        inner.uses += 1;
        let now = inner.uses;
        inner.tracks.insert(track.blob, (track, now));
    }

    /// Forgets a track whose pieces have changed; it is opened again when it is asked for.
    pub fn forget(&self, blob: &BlobId) {
        let mut inner = self.inner.lock().expect("never held over a panic");
        inner.generation += 1;
        inner.tracks.remove(blob);
    }

    /// Reads a range of at most [`READ_BYTES_MAX`]: at once what the system has in memory, and
    /// the rest off the async threads.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn read(&self, track: &Arc<OpenTrack>, range: Range<u64>) -> std::io::Result<Bytes> {
        let len = usize::try_from(range.end - range.start).unwrap_or(READ_BYTES_MAX);
        let mut buffer = self.buffers.take(len.min(READ_BYTES_MAX));
        let mut filled = 0;
        while filled < buffer.len {
            let at = range.start + filled as u64;
            let read = track.read_cached(&mut buffer.as_mut()[filled..], at);
            if read == 0 {
                break;
            }
            filled += read;
        }
        if filled < buffer.len {
            let track = Arc::clone(track);
            buffer = tokio::task::spawn_blocking(move || {
                let at = range.start + filled as u64;
                track.file.read_exact_at(&mut buffer.as_mut()[filled..], at).map(|()| buffer)
            })
            .await
            .map_err(std::io::Error::other)??;
        }
        Ok(Bytes::from_owner(buffer))
    }
}

impl Buffers {
    fn take(self: &Arc<Self>, len: usize) -> Filled {
        let idle = self.idle.lock().expect("never held over a panic").pop();
        let bytes = idle.unwrap_or_else(|| vec![0; READ_BYTES_MAX].into_boxed_slice());
        Filled { bytes: Some(bytes), len, buffers: Arc::clone(self) }
    }
}

impl Filled {
    fn as_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.bytes.as_mut().expect("only drop takes it")[..len]
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes.as_ref().expect("only drop takes it")[..self.len]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut idle = self.buffers.idle.lock().expect("never held over a panic");
        if idle.len() < BUFFERS_KEPT {
            idle.extend(self.bytes.take());
        }
    }
}
