//! A small file system of its own, for tests that may mount one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// An image, mounted: FAT32 as sticks have it, or ext4 where the kernel has no FAT.
pub(crate) struct Image {
    dir: tempfile::TempDir,
    pub is_fat: bool,
}

/// Runs a program of the system.
pub(crate) fn sh(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {done:?}");
}

impl Image {
    /// As sticks are.
    pub fn mount(mebibytes: u64) -> Self {
        let known = fs::read_to_string("/proc/filesystems").unwrap();
        Self::mount_as(known.split_whitespace().any(|name| name == "vfat"), mebibytes)
    }

    /// FAT32, or ext4.
    pub fn mount_as(is_fat: bool, mebibytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (image, folder) = (dir.path().join("image"), dir.path().join("usb"));
        fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        fs::create_dir(&folder).unwrap();
        let (image, folder) = (image.to_str().unwrap(), folder.to_str().unwrap());
        if is_fat {
            sh("mkfs.vfat", &["-F", "32", image]);
        } else {
            sh("mkfs.ext4", &["-q", "-m", "0", image]);
        }
        sh("mount", &["-o", "loop,errors=remount-ro", image, folder]);
        Self { dir, is_fat }
    }

    /// Pulls it out and plugs it in again.
    pub fn plug_in_again(&self) {
        sh("umount", &[self.folder().to_str().unwrap()]);
        let image = self.dir.path().join("image");
        let paths = [image.to_str().unwrap(), self.dir.path().join("usb").to_str().unwrap()]
            .map(str::to_owned);
        sh("mount", &["-o", "loop,errors=remount-ro", &paths[0], &paths[1]]);
    }

    /// Where it is mounted.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("usb")
    }

    /// Mounts it otherwise.
    pub fn remount(&self, how: &str) {
        sh("mount", &["-o", &format!("remount,{how}"), self.folder().to_str().unwrap()]);
    }

    /// Leaves about so many bytes free.
    pub fn fill(&self, left_bytes: u64) {
        let stat = rustix::fs::statvfs(self.folder()).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let filler = vec![7; usize::try_from(free - left_bytes).unwrap()];
        // The file itself takes a little more.
        drop(fs::write(self.folder().join("FILM.AVI"), filler));
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        sh("umount", &[self.folder().to_str().unwrap()]);
    }
}
