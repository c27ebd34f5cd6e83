//! Blob files on real file systems.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use yingxue_sync_core::id::BlobId;
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

const BLOB: BlobId = BlobId([0xab; 32]);

fn blobs() -> (TempDir, BlobFiles) {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = BlobFiles::open(folder.path().join("blobs"), 0).expect("opened");
    (folder, blobs)
}

/// A tmpfs of one MiB, unmounted when dropped.
struct TinyDisk(TempDir);

impl TinyDisk {
    /// Mounts it, or says that this user may not.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a tmpfs cannot be mounted here (needs root and mount)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.0.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "the tiny disk is unmounted");
    }
}

#[test]
fn a_file_is_named_by_its_blob_and_spread_over_folders() {
    let (folder, blobs) = blobs();
    let expected = folder.path().join("blobs/ab").join(format!("{}.mp4", "ab".repeat(32)));
    assert_eq!(blobs.path(BLOB), expected);
}

#[test]
fn pieces_are_still_there_when_the_folder_is_opened_again() {
    let (folder, blobs) = blobs();
    blobs.reserve(BLOB, 3_000_000).expect("reserved");
    blobs.write_pieces(BLOB, &[(1_000_000, &[7; 1000]), (0, &[8; 10])]).expect("written");
    drop(blobs);
    let blobs = BlobFiles::open(folder.path().join("blobs"), 0).expect("opened again");
    blobs.reserve(BLOB, 3_000_000).expect("reserved again");
    assert_eq!(blobs.read_at(BLOB, 1_000_000, 1000).expect("read"), [7; 1000]);
    assert_eq!(blobs.read_at(BLOB, 0, 12).expect("read"), [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 0, 0]);
    assert_eq!(blobs.len(BLOB).expect("a length"), Some(3_000_000));
}

#[test]
fn what_was_not_written_reads_as_zeros_and_what_lies_outside_does_not_read() {
    let (_folder, blobs) = blobs();
    blobs.reserve(BLOB, 1000).expect("reserved");
    assert_eq!(blobs.read_at(BLOB, 990, 10).expect("read"), [0; 10]);
    for (offset, len) in [(990, 11), (1001, 0), (u64::MAX, 1)] {
        let error = blobs.read_at(BLOB, offset, len).expect_err("outside");
        assert!(matches!(error, BlobFileError::OutOfRange { total_bytes: 1000, .. }), "{error}");
    }
}

#[test]
fn space_is_really_reserved() {
    let (_folder, blobs) = blobs();
    blobs.reserve(BLOB, 5_000_000).expect("reserved");
    let held_bytes = fs::metadata(blobs.path(BLOB)).expect("there").blocks() * 512;
    assert!(held_bytes >= 5_000_000, "{held_bytes} bytes are held");
}

#[test]
fn a_batch_with_a_piece_outside_of_the_file_writes_nothing() {
    let (_folder, blobs) = blobs();
    blobs.reserve(BLOB, 100).expect("reserved");
    let error = blobs.write_pieces(BLOB, &[(0, &[1; 10]), (95, &[1; 10])]).expect_err("outside");
    assert!(matches!(error, BlobFileError::OutOfRange { offset: 95, end: 105, .. }), "{error}");
    assert_eq!(blobs.read_at(BLOB, 0, 100).expect("read"), [0; 100]);
    assert_eq!(blobs.len(BLOB).expect("a length"), Some(100));
}

#[test]
fn a_blob_without_a_file_is_missing() {
    let (_folder, blobs) = blobs();
    assert!(!blobs.exists(BLOB));
    assert_eq!(blobs.len(BLOB).expect("asked"), None);
    assert!(matches!(blobs.open_file(BLOB), Err(BlobFileError::Missing(BLOB))));
    assert!(matches!(blobs.read_at(BLOB, 0, 1), Err(BlobFileError::Missing(BLOB))));
    assert!(matches!(blobs.write_pieces(BLOB, &[(0, &[1])]), Err(BlobFileError::Missing(BLOB))));
    blobs.remove(BLOB).expect("removing nothing is fine");
}

#[test]
fn an_interrupted_reservation_is_finished_by_the_next_one() {
    let (_folder, blobs) = blobs();
    for left_behind in [0_u64, 10, 2000] {
        let path = blobs.path(BLOB);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        File::create(&path).and_then(|file| file.set_len(left_behind)).expect("made");
        blobs.reserve(BLOB, 1000).expect("reserved");
        assert_eq!(blobs.len(BLOB).expect("a length"), Some(1000));
        blobs.remove(BLOB).expect("removed");
        assert!(!blobs.exists(BLOB));
    }
}

#[test]
fn an_empty_blob_is_a_file_of_no_bytes() {
    let (_folder, blobs) = blobs();
    blobs.reserve(BLOB, 0).expect("reserved");
    blobs.write_pieces(BLOB, &[]).expect("written");
    assert_eq!(blobs.read_at(BLOB, 0, 0).expect("read"), []);
}

#[test]
fn a_reserve_of_free_space_is_never_taken() {
    let (folder, _) = blobs();
    let greedy = BlobFiles::open(folder.path().join("blobs"), u64::MAX / 2).expect("opened");
    let error = greedy.reserve(BLOB, 1).expect_err("refused");
    assert!(matches!(error, BlobFileError::NoSpace { needed_bytes: 1, .. }), "{error}");
    assert!(!greedy.exists(BLOB), "nothing is left behind");
    assert_eq!(greedy.available_bytes().expect("asked"), 0);
}

#[test]
fn blobs_together_take_no_more_than_they_may_and_what_is_removed_may_be_taken_again() {
    let (_folder, blobs) = blobs();
    let (first, second) = (BlobId([1; 32]), BlobId([2; 32]));
    let few = blobs.limited_to(100 << 10);
    few.reserve(first, 60 << 10).expect("it fits");
    assert_eq!((few.unreserved_bytes(first), few.unreserved_bytes(second)), (Some(0), None));
    assert_eq!(few.available_bytes().expect("known"), 40 << 10);
    let refused = few.reserve(second, 50 << 10).expect_err("refused");
    assert!(matches!(refused, BlobFileError::NoSpace { .. }), "{refused}");
    few.remove(first).expect("removed");
    few.reserve(second, 50 << 10).expect("it fits now");
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_behind() {
    let Some(disk) = TinyDisk::mount() else {
        return;
    };
    let blobs = BlobFiles::open(disk.path().join("blobs"), 0).expect("opened");
    blobs.reserve(BLOB, 400_000).expect("fits");
    blobs.write_pieces(BLOB, &[(0, &[5; 400_000])]).expect("written");
    let other = BlobId([0xcd; 32]);
    let error = blobs.reserve(other, 700_000).expect_err("does not fit");
    assert!(matches!(error, BlobFileError::NoSpace { needed_bytes: 700_000, .. }), "{error}");
    assert!(!blobs.exists(other));
    // The space is not lost, what was there is intact, and a smaller one fits.
    blobs.reserve(other, 300_000).expect("fits");
    assert_eq!(blobs.read_at(BLOB, 0, 400_000).expect("read"), vec![5; 400_000]);
    // Growing what is there beyond the disk changes nothing either.
    let error = blobs.reserve(other, 900_000).expect_err("does not fit");
    assert!(matches!(error, BlobFileError::NoSpace { .. }), "{error}");
    assert_eq!(blobs.len(other).expect("a length"), Some(300_000));
}

#[test]
fn reserved_pieces_can_be_written_when_the_disk_has_become_full() {
    let Some(disk) = TinyDisk::mount() else {
        return;
    };
    let blobs = BlobFiles::open(disk.path().join("blobs"), 0).expect("opened");
    blobs.reserve(BLOB, 400_000).expect("reserved");
    let filler = fs::write(disk.path().join("filler"), vec![1; 1 << 20]);
    assert_eq!(filler.expect_err("full").kind(), std::io::ErrorKind::StorageFull);
    blobs.write_pieces(BLOB, &[(0, &[5; 400_000])]).expect("its space was reserved");
}

#[test]
fn a_finished_file_is_adopted_by_renaming() {
    let (folder, blobs) = blobs();
    let from = folder.path().join("track.mp4");
    fs::write(&from, b"moof and mdat").expect("written");
    let inode = fs::metadata(&from).expect("there").ino();
    blobs.adopt(BLOB, &from).expect("adopted");
    assert!(!from.exists());
    assert_eq!(fs::metadata(blobs.path(BLOB)).expect("there").ino(), inode);
    let mut bytes = Vec::new();
    blobs
        .open_file(BLOB)
        .and_then(|mut file| file.read_to_end(&mut bytes).map_err(BlobFileError::Io))
        .expect("read");
    assert_eq!(bytes, b"moof and mdat");
}

#[test]
fn a_finished_file_on_another_disk_is_adopted_by_copying() {
    let Some(disk) = TinyDisk::mount() else {
        return;
    };
    let (folder, blobs) = blobs();
    let from = disk.path().join("track.mp4");
    fs::write(&from, [6; 500_000]).expect("written");
    blobs.adopt(BLOB, &from).expect("adopted");
    assert!(!from.exists());
    assert_eq!(blobs.read_at(BLOB, 0, 500_000).expect("read"), [6; 500_000]);

    // The other way round there is no room: the source stays, nothing half-done is left.
    let tiny = BlobFiles::open(disk.path().join("blobs"), 0).expect("opened");
    let large = folder.path().join("large.mp4");
    fs::write(&large, vec![1; 2 << 20]).expect("written");
    let error = tiny.adopt(BLOB, &large).expect_err("does not fit");
    assert!(matches!(error, BlobFileError::NoSpace { needed_bytes: 2_097_152, .. }), "{error}");
    assert!(large.exists() && !tiny.exists(BLOB));
}

#[test]
fn what_can_be_read_of_a_file_goes_on_in_a_fresh_one_and_the_rest_stays_aside() {
    let (folder, blobs) = blobs();
    blobs.reserve(BLOB, 4096).expect("reserved");
    // This one says that it has 4,096 bytes and gives some five: what comes after cannot be read.
    let fails = Path::new("/sys/devices/system/cpu/online");
    let path = blobs.path(BLOB);
    let spoil = || {
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(fails, &path).expect("linked");
    };
    for n in [1, 2] {
        spoil();
        let read = blobs.read_twice(BLOB, 1, 4095);
        assert!(matches!(read, Err(BlobFileError::Io(_))), "{read:?}");
        assert_eq!(blobs.renew(BLOB, &[(0, 1), (1, 4095)]).expect("renewed"), [1]);
        let aside = folder.path().join(format!("blobs/ab/unreadable-{n}-{BLOB}"));
        assert_eq!(fs::read_link(aside).expect("kept"), fails);
        assert!(!fs::symlink_metadata(&path).expect("there").is_symlink());
        let mut expected = vec![0; 4096];
        expected[0] = fs::read(fails).expect("read")[0];
        assert_eq!(blobs.read_at(BLOB, 0, 4096).expect("read"), expected);
    }
    blobs.write_pieces(BLOB, &[(1, &[9; 4095])]).expect("written");
    let full = BlobFiles::open(folder.path().join("blobs"), u64::MAX).expect("opened");
    spoil();
    let renewed = full.renew(BLOB, &[(0, 1), (1, 4095)]);
    assert!(matches!(renewed, Err(BlobFileError::NoSpace { .. })), "{renewed:?}");
    assert_eq!(fs::read_link(&path).expect("it stays where it was"), fails);
    assert!(!path.with_extension("part").exists());
}
