//! Sticks and disks that are plugged into the hub, and which folders may be written to.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use yingxue_sync_io::courier::FOLDER;

use crate::accounts::{Role, User};
use crate::app::App;
use crate::problem::ApiError;

/// Most drives shown; a hub has a few sockets.
const DRIVES_MAX: usize = 32;
/// Longest path that is taken.
const PATH_BYTES_MAX: usize = 4_096;
/// File systems of sticks; a hub's own disk has none of them.
const STICK_FILE_SYSTEMS: [&str; 7] =
    ["vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus"];
/// Where desktops and automounters put what is plugged in.
const STICK_FOLDERS: [&str; 2] = ["/media/", "/run/media/"];

/// A stick or a disk that is plugged into the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Drive {
    /// Where it is, to be named in exports and imports.
    pub folder: String,
    /// Its name.
    pub label: String,
    /// Its file system.
    pub file_system: String,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// True if nothing can be written to it.
    pub is_read_only: bool,
    /// True if it has a courier folder.
    pub has_courier: bool,
}

/// What is plugged into the hub.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Drives {
    /// Sticks and disks.
    pub items: Vec<Drive>,
}

/// Lists what is plugged in.
pub(super) fn list() -> Vec<Drive> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let found = mounts.lines().filter_map(mount_of).filter(Mount::is_stick);
    found.filter_map(|mount| mount.look()).take(DRIVES_MAX).collect()
}

struct Mount {
    folder: String,
    options: String,
    file_system: String,
    source: String,
}

/// Reads a line of mountinfo (proc(5)).
fn mount_of(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(4);
    let mut after = after.split(' ');
    Some(Mount {
        folder: unescape(before.next()?),
        options: before.next()?.to_owned(),
        file_system: after.next()?.to_owned(),
        source: after.next()?.to_owned(),
    })
}

/// Blanks and the like are octal there.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, byte) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Mount {
    fn is_stick(&self) -> bool {
        let is_boot = self.folder.starts_with("/boot") || self.folder == "/";
        let is_plugged_in = STICK_FOLDERS.iter().any(|folder| self.folder.starts_with(folder));
        let is_stick_like = STICK_FILE_SYSTEMS.contains(&self.file_system.as_str());
        self.source.starts_with("/dev/") && !is_boot && (is_plugged_in || is_stick_like)
    }

    fn look(self) -> Option<Drive> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        let path = Path::new(&self.folder);
        let label = path.file_name()?.to_string_lossy().into_owned();
        Some(Drive {
            label,
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            is_read_only: self.options.split(',').any(|option| option == "ro"),
            has_courier: path.join(FOLDER).is_dir(),
            file_system: self.file_system,
            folder: self.folder,
        })
    }
}

/// Checks a folder that somebody names: teachers may use what is plugged in, administrators any
/// folder but the hub's own.
pub(super) fn check(app: &App, user: &User, folder: &str) -> Result<String, ApiError> {
    let wrong = |allowed: &str| Err(ApiError::invalid_input("folder", allowed));
    let path = PathBuf::from(folder);
    if folder.len() > PATH_BYTES_MAX || !path.is_absolute() {
        return wrong("the whole path of a folder on the hub, such as /media/usb");
    }
    let Ok(real) = path.canonicalize() else {
        return wrong("a folder that is there; is the stick plugged into the hub?");
    };
    let own = app.data_dir.canonicalize().unwrap_or_else(|_| app.data_dir.clone());
    if real.starts_with(&own) || own.starts_with(real.join(FOLDER)) {
        return wrong("a folder outside of the hub's own data");
    }
    let is_drive = || list().iter().any(|drive| real.starts_with(&drive.folder));
    if user.role != Role::Admin && !is_drive() {
        return wrong("a stick that is plugged into the hub; others are for administrators");
    }
    Ok(real.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticks_are_told_from_the_hubs_own_disks() {
        let lines = [
            ("36 35 8:17 / /media/a/U\\040盘 rw,nosuid - vfat /dev/sdb1 rw", Some("/media/a/U 盘")),
            ("36 35 8:17 / /mnt/disk rw - exfat /dev/sdc1 rw", Some("/mnt/disk")),
            ("36 35 8:17 / /media/disk rw - ext4 /dev/sdc1 rw", Some("/media/disk")),
            ("36 35 8:1 / / rw - ext4 /dev/sda1 rw", None),
            ("36 35 8:1 / /boot/efi rw - vfat /dev/sda2 rw", None),
            ("36 35 0:5 / /media/share rw - nfs 10.0.0.1:/x rw", None),
            ("nonsense", None),
        ];
        for (line, expected) in lines {
            let stick = mount_of(line).filter(Mount::is_stick);
            assert_eq!(stick.map(|mount| mount.folder).as_deref(), expected, "{line}");
        }
    }
}
