//! The files of blobs: one file a blob, named by its id, sparse until its pieces are here.
//!
//! Every call blocks and belongs on a storage thread. What a call says is done is on disk: space
//! is really reserved, pieces are fsynced before [`BlobFiles::write_pieces`] returns, a new file
//! is in its folder after a power cut. Which pieces are held is not known here; that is the
//! bitmap in the hub's database, committed after the pieces.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use yingxue_sync_core::id::BlobId;

/// Where a file system cannot reserve, this part of a blob more has to be free, because others
/// write too while it arrives.
const UNRESERVED_MARGIN_DIVISOR: u64 = 8;

/// A unit of `st_blocks` (POSIX `stat`, on Linux always 512).
const STAT_BLOCK_BYTES: u64 = 512;

/// A folder of blobs.
#[derive(Debug, Clone)]
pub struct BlobFiles {
    root: PathBuf,
    free_bytes_min: u64,
    /// Held while a file is changed: what is written to one that is moved aside would be lost.
    changing: Arc<Mutex<()>>,
    bytes_max: Option<u64>,
}

/// Why a call on a blob's file failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobFileError {
    /// The disk is full, or would be fuller than allowed. Nothing has changed.
    #[error(
        "no space left: {needed_bytes} bytes needed, {free_bytes} free, of which \
         {kept_bytes} are kept free"
    )]
    NoSpace {
        /// Bytes that the call would have taken.
        needed_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that have to stay free.
        kept_bytes: u64,
    },
    /// There is no file of this blob.
    #[error("the file of blob {0} is missing")]
    Missing(BlobId),
    /// The bytes asked for or given are not inside the file.
    #[error("bytes {offset} to {end} are outside of a file of {total_bytes} bytes")]
    OutOfRange {
        /// First byte.
        offset: u64,
        /// Byte after the last.
        end: u64,
        /// Length of the file.
        total_bytes: u64,
    },
    /// Anything else that the system says.
    #[error("the blob's file cannot be used: {0}")]
    Io(#[source] io::Error),
}

impl BlobFiles {
    /// Opens the folder, making it if it is not there.
    ///
    /// `free_bytes_min` bytes of the file system are never taken by blobs: the database, the
    /// journals and the rest of the machine need them.
    ///
    /// # Errors
    /// [`BlobFileError::Io`] if the folder cannot be made or read.
    pub fn open(root: impl Into<PathBuf>, free_bytes_min: u64) -> Result<Self, BlobFileError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(BlobFileError::Io)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent).map_err(BlobFileError::Io)?;
        }
        Ok(Self { root, free_bytes_min, bytes_max: None, changing: Arc::default() })
    }

    /// Lets blobs take so many bytes together and no more. They are added up whenever room is
    /// asked for, so that files that somebody removed count: some 20 ms for 10,000 blobs.
    #[must_use]
    pub fn limited_to(self, bytes_max: u64) -> Self {
        Self { bytes_max: Some(bytes_max), ..self }
    }

    /// Gives where a blob's file is or would be: `ab/ab….mp4`, so that no folder grows large and
    /// a track plays by itself in any player.
    pub fn path(&self, blob: BlobId) -> PathBuf {
        let hex = blob.to_string();
        self.root.join(&hex[..2]).join(format!("{hex}.mp4"))
    }

    /// Makes a blob's file of `total_bytes` and reserves its space; bytes that are there stay.
    ///
    /// # Errors
    /// [`BlobFileError::NoSpace`] if it does not fit; a file made by this call is gone again.
    pub fn reserve(&self, blob: BlobId, total_bytes: u64) -> Result<(), BlobFileError> {
        let _alone = self.alone();
        let path = self.path(blob);
        let folder = self.make_folder(blob)?;
        let bytes_before = self.len(blob)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| self.explain(error, blob, total_bytes))?;
        let reserved = self.reserve_file(&file, total_bytes).and_then(|()| {
            file.sync_all().map_err(|error| self.explain(error, blob, total_bytes))?;
            sync_folder(&folder).map_err(BlobFileError::Io)
        });
        if reserved.is_err() {
            // Best effort: the error that is returned is the one that matters.
            let _ = match bytes_before {
                None => fs::remove_file(&path),
                Some(bytes) => file.set_len(bytes),
            };
        }
        reserved
    }

    /// Writes pieces at their offsets; they are on disk when this returns.
    ///
    /// # Errors
    /// [`BlobFileError::Missing`] if nothing was reserved, [`BlobFileError::OutOfRange`] if a
    /// piece does not lie inside the file (then none is written).
    pub fn write_pieces(&self, blob: BlobId, pieces: &[(u64, &[u8])]) -> Result<(), BlobFileError> {
        let batch_bytes = pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let failed = |error| self.explain(error, blob, batch_bytes);
        let _alone = self.alone();
        let file = OpenOptions::new().write(true).open(self.path(blob)).map_err(failed)?;
        let total_bytes = file.metadata().map_err(failed)?.len();
        for (offset, bytes) in pieces {
            check_range(*offset, bytes.len() as u64, total_bytes)?;
        }
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).map_err(failed)?;
        }
        file.sync_data().map_err(failed)
    }

    /// Reads `len` bytes from `offset` on, as they are on disk: zeros where nothing was written.
    ///
    /// # Errors
    /// [`BlobFileError::Missing`], or [`BlobFileError::OutOfRange`] if the file ends before.
    pub fn read_at(&self, blob: BlobId, offset: u64, len: usize) -> Result<Vec<u8>, BlobFileError> {
        let file = self.open_file(blob)?;
        let total_bytes = file.metadata().map_err(BlobFileError::Io)?.len();
        check_range(offset, len as u64, total_bytes)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).map_err(BlobFileError::Io)?;
        Ok(bytes)
    }

    /// Likewise; what the disk does not give is asked for once more.
    ///
    /// # Errors
    /// As [`BlobFiles::read_at`]; [`BlobFileError::Io`] if the disk did not give it twice.
    pub fn read_twice(
        &self,
        blob: BlobId,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, BlobFileError> {
        match self.read_at(blob, offset, len) {
            Err(BlobFileError::Io(error)) => {
                tracing::warn!(%blob, offset, %error, "the disk does not give a part of a lesson");
                self.read_at(blob, offset, len)
            }
            read => read,
        }
    }

    /// Lets the system forget what it remembers of a blob's file, so that the next read is of the
    /// disk, and classes keep their part of the memory. Best effort.
    pub fn forget_cached(&self, blob: BlobId) {
        if let Ok(file) = File::open(self.path(blob)) {
            // A system that cannot do it remembers, no more.
            let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        }
    }

    /// Opens a blob's file for reading.
    ///
    /// # Errors
    /// [`BlobFileError::Missing`] if there is none.
    pub fn open_file(&self, blob: BlobId) -> Result<File, BlobFileError> {
        File::open(self.path(blob)).map_err(|error| self.explain(error, blob, 0))
    }

    /// Takes a finished local file over as a blob, in the place of what was there.
    ///
    /// It is renamed if it lies on the same file system, else copied and then removed.
    ///
    /// # Errors
    /// [`BlobFileError::NoSpace`] if a copy does not fit; `from` is untouched then.
    pub fn adopt(&self, blob: BlobId, from: &Path) -> Result<(), BlobFileError> {
        let failed = |error| self.explain(error, blob, 0);
        let _alone = self.alone();
        let folder = self.make_folder(blob)?;
        File::open(from).and_then(|file| file.sync_all()).map_err(failed)?;
        match fs::rename(from, self.path(blob)) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                self.adopt_copy(blob, from, &folder)?;
            }
            renamed => renamed.map_err(failed)?,
        }
        sync_folder(&folder).map_err(BlobFileError::Io)
    }

    /// Puts what can be read of a blob's file into a fresh one in its place, and moves the old one
    /// aside: what cannot be read keeps its place on the disk there, so that nothing is written to
    /// it again, and the rest is given back. `parts` are offset and length of each part, in order,
    /// to the end of the file; gives the numbers of those that could not be read twice.
    ///
    /// # Errors
    /// [`BlobFileError::NoSpace`] if the fresh file does not fit, [`BlobFileError::Io`] if the
    /// disk takes none or this user may not read the old one, which stays in its place then.
    pub fn renew(&self, blob: BlobId, parts: &[(u64, usize)]) -> Result<Vec<usize>, BlobFileError> {
        let _alone = self.alone();
        if let Err(BlobFileError::Io(error)) = self.open_file(blob)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            // Whoever gives it back has all of it again; until then it could not be freed either.
            return Err(BlobFileError::Io(error));
        }
        let folder = self.make_folder(blob)?;
        let fresh = folder.join(format!("{blob}.part"));
        let renewed = self.copy_parts(blob, parts, &fresh).and_then(|unread| {
            self.swap(blob, &fresh, &folder).map(|aside| (unread, aside)).map_err(BlobFileError::Io)
        });
        let (unread, aside) = renewed.inspect_err(|_| {
            let _ = fs::remove_file(&fresh); // the error that is returned is the one that matters
        })?;
        give_back(&aside, parts, &unread);
        Ok(unread)
    }

    fn copy_parts(
        &self,
        blob: BlobId,
        parts: &[(u64, usize)],
        fresh: &Path,
    ) -> Result<Vec<usize>, BlobFileError> {
        let total_bytes = parts.last().map_or(0, |(offset, bytes)| offset + *bytes as u64);
        let failed = |error| self.explain_space(error, total_bytes);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(fresh).map_err(failed)?;
        self.reserve_file(&file, total_bytes)?;
        let mut unread = Vec::new();
        for (number, (offset, bytes)) in parts.iter().enumerate() {
            match self.read_twice(blob, *offset, *bytes) {
                Ok(bytes) => file.write_all_at(&bytes, *offset).map_err(failed)?,
                Err(_) => unread.push(number),
            }
        }
        file.sync_all().map_err(failed)?;
        Ok(unread)
    }

    /// Puts a fresh file in the place of a blob's; gives where the old one is then.
    fn swap(&self, blob: BlobId, fresh: &Path, folder: &Path) -> io::Result<PathBuf> {
        let path = self.path(blob);
        let aside = |n: u32| folder.join(format!("unreadable-{n}-{blob}"));
        let is_free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
        let aside = (1..).map(aside).find(is_free).expect("a disk has less than 2^32 names");
        // By a second name there is a file in its place at each moment; not every file system
        // knows them.
        match fs::hard_link(&path, &aside).or_else(|_| fs::rename(&path, &aside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(fresh, &path)?;
        sync_folder(folder)?;
        Ok(aside)
    }

    /// Removes a blob's file, durably; nothing happens if there is none.
    ///
    /// # Errors
    /// [`BlobFileError::Io`] if the system refuses.
    pub fn remove(&self, blob: BlobId) -> Result<(), BlobFileError> {
        let path = self.path(blob);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(BlobFileError::Io(error)),
            Ok(()) => match path.parent() {
                Some(folder) => sync_folder(folder).map_err(BlobFileError::Io),
                None => Ok(()),
            },
        }
    }

    /// Gives the bytes of a blob's file for which the disk has still to find room, or nothing if
    /// there is no file. None, once they are reserved, where the file system can do that.
    pub fn unreserved_bytes(&self, blob: BlobId) -> Option<u64> {
        let metadata = fs::metadata(self.path(blob)).ok()?;
        Some(metadata.len().saturating_sub(metadata.blocks() * STAT_BLOCK_BYTES))
    }

    /// Says whether there is a file of this blob, whole or not.
    pub fn exists(&self, blob: BlobId) -> bool {
        self.path(blob).is_file()
    }

    /// Gives the length of a blob's file, or nothing if there is none.
    ///
    /// # Errors
    /// [`BlobFileError::Io`] if the system refuses.
    pub fn len(&self, blob: BlobId) -> Result<Option<u64>, BlobFileError> {
        match fs::metadata(self.path(blob)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobFileError::Io(error)),
        }
    }

    /// Gives the bytes that blobs may still take.
    ///
    /// # Errors
    /// [`BlobFileError::Io`] if the file system does not say.
    pub fn available_bytes(&self) -> Result<u64, BlobFileError> {
        Ok(self.free_bytes()?.saturating_sub(self.free_bytes_min))
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn free_bytes(&self) -> Result<u64, BlobFileError> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|e| BlobFileError::Io(e.into()))?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        let Some(bytes_max) = self.bytes_max else { return Ok(free_bytes) };
        let left_bytes =
            bytes_max.saturating_sub(self.all_taken_bytes().map_err(BlobFileError::Io)?);
        Ok(free_bytes.min(left_bytes.saturating_add(self.free_bytes_min)))
    }

    fn all_taken_bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?.path();
            if !folder.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder)? {
                // One that was removed meanwhile takes nothing.
                bytes += file?.metadata().map_or(0, |it| it.blocks() * STAT_BLOCK_BYTES);
            }
        }
        Ok(bytes)
    }

    fn make_folder(&self, blob: BlobId) -> Result<PathBuf, BlobFileError> {
        let path = self.path(blob);
        let folder = path.parent().expect("a blob's file lies in a folder").to_owned();
        if !folder.is_dir() {
            let made = fs::create_dir_all(&folder).and_then(|()| sync_folder(&self.root));
            made.map_err(|error| self.explain(error, blob, 0))?;
        }
        Ok(folder)
    }

    fn reserve_file(&self, file: &File, total_bytes: u64) -> Result<(), BlobFileError> {
        let metadata = file.metadata().map_err(BlobFileError::Io)?;
        let held_bytes = metadata.blocks() * STAT_BLOCK_BYTES;
        let needed_bytes = total_bytes.saturating_sub(held_bytes);
        self.check_room(needed_bytes)?;
        let reserved = match total_bytes {
            0 => Ok(()), // fallocate wants at least one byte
            bytes => rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes),
        };
        match reserved {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.check_room(needed_bytes + needed_bytes / UNRESERVED_MARGIN_DIVISOR)?;
            }
            Err(error) => return Err(self.explain_space(error.into(), needed_bytes)),
        }
        let sized = file.set_len(total_bytes); // fallocate never shortens
        sized.map_err(|error| self.explain_space(error, needed_bytes))
    }

    fn check_room(&self, needed_bytes: u64) -> Result<(), BlobFileError> {
        let (free_bytes, kept_bytes) = (self.free_bytes()?, self.free_bytes_min);
        if needed_bytes > 0 && free_bytes.saturating_sub(kept_bytes) < needed_bytes {
            return Err(BlobFileError::NoSpace { needed_bytes, free_bytes, kept_bytes });
        }
        Ok(())
    }

    fn adopt_copy(&self, blob: BlobId, from: &Path, folder: &Path) -> Result<(), BlobFileError> {
        let total_bytes = fs::metadata(from).map_err(BlobFileError::Io)?.len();
        self.check_room(total_bytes)?;
        let part = folder.join(format!("{blob}.part"));
        let copied = fs::copy(from, &part)
            .and_then(|_| File::open(&part)?.sync_all())
            .and_then(|()| fs::rename(&part, self.path(blob)))
            .and_then(|()| sync_folder(folder));
        if let Err(error) = copied {
            let _ = fs::remove_file(&part); // the error that is returned is the one that matters
            return Err(self.explain(error, blob, total_bytes));
        }
        fs::remove_file(from).map_err(BlobFileError::Io)
    }

    fn explain(&self, error: io::Error, blob: BlobId, needed_bytes: u64) -> BlobFileError {
        match error.kind() {
            io::ErrorKind::NotFound => BlobFileError::Missing(blob),
            _ => self.explain_space(error, needed_bytes),
        }
    }

    fn explain_space(&self, error: io::Error, needed_bytes: u64) -> BlobFileError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobFileError::NoSpace {
                needed_bytes,
                free_bytes: self.free_bytes().unwrap_or(0),
                kept_bytes: self.free_bytes_min,
            },
            _ => BlobFileError::Io(error),
        }
    }
}

fn check_range(offset: u64, len: u64, total_bytes: u64) -> Result<(), BlobFileError> {
    let end = offset.saturating_add(len);
    if end > total_bytes {
        return Err(BlobFileError::OutOfRange { offset, end, total_bytes });
    }
    Ok(())
}

/// Frees the parts of a file that was moved aside that could be read. One that cannot be freed in
/// parts goes as a whole: lessons need the room.
fn give_back(aside: &Path, parts: &[(u64, usize)], unread: &[usize]) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(aside, flags, Mode::empty()) else { return };
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let mut is_kept = false;
    for (number, (offset, bytes)) in parts.iter().enumerate() {
        if unread.contains(&number) {
            is_kept = true;
        } else if rustix::fs::fallocate(&file, hole, *offset, *bytes as u64)
            .is_err_and(|error| error == Errno::OPNOTSUPP)
        {
            is_kept = false;
            break;
        }
    }
    if !is_kept {
        let _ = fs::remove_file(aside); // what stays takes room, no more
    }
}

/// Makes the names in a folder survive a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn of_a_file_that_was_moved_aside_only_what_cannot_be_read_keeps_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aside");
        let parts = [(0, MIB), (MIB as u64, MIB), (2 * MIB as u64, MIB)];
        for unread in [&[1][..], &[]] {
            fs::write(&path, vec![7; 3 * MIB]).unwrap();
            File::open(&path).unwrap().sync_all().unwrap();
            give_back(&path, &parts, unread);
            let left = fs::metadata(&path).ok().map(|file| file.blocks() * STAT_BLOCK_BYTES);
            let is_one_part = left.is_some_and(|left| left < 2 * MIB as u64);
            assert_eq!((left.is_some(), is_one_part), (!unread.is_empty(), !unread.is_empty()));
        }
    }
}
