//! A folder on a stick, held open: nothing outside of it can be reached by any name in it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{ENTRIES_MAX, StickError};

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the folder that a person named; links on the way there are theirs.
    pub(super) fn open(path: &Path) -> Result<Self, StickError> {
        let opened = rustix::fs::open(path, FOLDER_FLAGS, Mode::empty());
        opened.map(Self).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => StickError::NoFolder(path.display().to_string()),
            other => io::Error::from(other).into(),
        })
    }

    /// Opens the same folder a second time.
    pub(super) fn reopen(&self) -> Result<Self, StickError> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Opens a folder in this one; none if it is not there, an error if it is a link.
    pub(super) fn folder(&self, name: &str) -> Result<Option<Self>, StickError> {
        let flags = FOLDER_FLAGS | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(folder) => Ok(Some(Self(folder))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                Err(StickError::NotPlain(name.to_owned()))
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Opens a folder in this one, and makes it if it is not there.
    pub(super) fn make_folder(&self, name: &str) -> Result<Self, StickError> {
        if let Some(folder) = self.folder(name)? {
            return Ok(folder);
        }
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        self.sync()?;
        self.folder(name)?.ok_or_else(|| StickError::NotPlain(name.to_owned()))
    }

    /// Opens a file for reading; none if it is not there.
    ///
    /// # Errors
    /// [`StickError::NotPlain`] if it is a link, a pipe or anything but a regular file.
    pub(super) fn file(&self, name: &str) -> Result<Option<File>, StickError> {
        // Opening a pipe must not wait for whoever writes into it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::MLINK | Errno::NXIO) => {
                return Err(StickError::NotPlain(name.to_owned()));
            }
            Err(error) => return Err(io::Error::from(error).into()),
        };
        if !file.metadata()?.is_file() {
            return Err(StickError::NotPlain(name.to_owned()));
        }
        Ok(Some(file))
    }

    /// Reads a small file; none if it is not there.
    pub(super) fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, StickError> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(StickError::Frames(format!("{name} has more than {bytes_max} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Makes a new file; one of the name is removed first.
    pub(super) fn create(&self, name: &str) -> Result<File, StickError> {
        self.remove(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666));
        Ok(File::from(file.map_err(io::Error::from)?))
    }

    /// Puts a file that is synced in its place, in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StickError> {
        rustix::fs::renameat(&self.0, from, &self.0, to).map_err(io::Error::from)?;
        self.sync()
    }

    /// Writes a whole small file in one step.
    pub(super) fn write(&self, name: &str, part: &str, bytes: &[u8]) -> Result<(), StickError> {
        let mut file = self.create(part)?;
        let written = io::Write::write_all(&mut file, bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            self.remove(part)?;
            return Err(error.into());
        }
        self.rename(part, name)
    }

    /// Removes a file; nothing happens if there is none. A link is removed, not what it names.
    pub(super) fn remove(&self, name: &str) -> Result<(), StickError> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(StickError::NotPlain(name.to_owned())),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Removes a folder if it is empty.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), StickError> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Lists names in lower case (FAT may show them otherwise), sorted, at most [`ENTRIES_MAX`].
    pub(super) fn names(&self) -> Result<Vec<String>, StickError> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0).map_err(io::Error::from)? {
            let entry = entry.map_err(io::Error::from)?;
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if name != "." && name != ".." {
                names.push(name);
            }
            if names.len() >= ENTRIES_MAX {
                break;
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Gives the bytes that are free here; as many as can be where the file system does not say.
    pub(super) fn free_bytes(&self) -> Result<u64, StickError> {
        let stat = rustix::fs::fstatvfs(&self.0).map_err(io::Error::from)?;
        if stat.f_blocks == 0 {
            return Ok(u64::MAX);
        }
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Makes names durable, where the file system can; some FATs cannot sync a folder.
    fn sync(&self) -> Result<(), StickError> {
        match rustix::fs::fsync(&self.0) {
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS | Errno::BADF) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}
