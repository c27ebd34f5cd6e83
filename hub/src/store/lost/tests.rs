use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use tempfile::TempDir;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{StoreError, StoreId, StoreOp, StoreRequest, StoreValue};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

use super::super::{Notice, Store, blobs};
use super::{check, check_all, is_of_disk, read_through};
use crate::db::Db;

struct Disk {
    db: Db,
    files: Arc<BlobFiles>,
    _dir: TempDir,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
        let files = Arc::new(BlobFiles::open(dir.path().join("blobs"), 0).unwrap());
        Self { db, files, _dir: dir }
    }

    /// Makes a whole blob of pieces of 2, 1 and 2 bytes that a lesson names.
    fn add(&self, fill: u8) -> BlobId {
        self.add_of(fill, &[2, 1, 2], &[fill; 5])
    }

    fn add_of(&self, fill: u8, pieces: &[u32], content: &[u8]) -> BlobId {
        let manifest = Manifest::of(pieces, content, vec![]).unwrap();
        let (blob, lesson) = (manifest.blob_id(), DocId([fill; 16]));
        let path = self.files.path(blob);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        let insert = move |tx: &rusqlite::Transaction<'_>| -> rusqlite::Result<()> {
            blobs::insert_complete(tx, &blob, &manifest)?;
            tx.execute_batch(&format!(
                "insert into lessons values \
                 (x'{lesson}', 1, 0, '', '', '', '', '', zeroblob(32), '', 0, 0, 0); \
                 insert into lesson_tracks values \
                 (x'{lesson}', 'audio', x'{blob}', '', null, null, 5, 0, 0, 0, zeroblob(32));"
            ))
        };
        self.db.write_blocking(insert).unwrap();
        blob
    }

    /// Makes a blob of pieces of 1 and 4,095 bytes of whose file only the first can be read.
    fn add_half_readable(&self, fill: u8) -> BlobId {
        // It says that it has 4,096 bytes and gives some five.
        let fails = "/sys/devices/system/cpu/online";
        let mut content = [fill; 4_096];
        content[0] = fs::read(fails).unwrap()[0];
        let blob = self.add_of(fill, &[1, 4_095], &content);
        fs::remove_file(self.files.path(blob)).unwrap();
        symlink(fails, self.files.path(blob)).unwrap();
        blob
    }

    /// Has the disk give nothing of a blob.
    fn make_unreadable(&self, blob: BlobId) {
        let path = self.files.path(blob);
        fs::remove_file(&path).unwrap();
        symlink(&path, &path).unwrap();
    }

    fn count(&self, what: &str) -> u32 {
        let sql = format!("select count(*) from {what}");
        let count = |db: &rusqlite::Connection| db.query_row(&sql, [], |row| row.get(0));
        self.db.read_blocking(count).map_err(|error: rusqlite::Error| error).unwrap()
    }

    fn cut(&self, blob: BlobId, bytes: u64) {
        let file = OpenOptions::new().write(true).open(self.files.path(blob)).unwrap();
        file.set_len(bytes).unwrap();
    }

    /// Gives what is said of a blob: bitmap, pieces and bytes held, whether whole, whether wanted.
    fn row(&self, blob: BlobId) -> (Vec<u8>, u32, u32, bool, bool) {
        let sql = "select bitmap, held_pieces, verified_bytes, is_complete, is_wanted \
             from blobs join lesson_tracks using (blob) where blob = ?1";
        self.db
            .read_blocking(|db| {
                db.query_row(sql, [blob.as_bytes()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
            })
            .map_err(|error: rusqlite::Error| error)
            .unwrap()
    }

    fn ask(&self, op: StoreOp) -> (Result<StoreValue, StoreError>, Vec<Notice>) {
        let notices = RefCell::new(Vec::new());
        let mut store = Store::new(self.db.clone(), Arc::clone(&self.files));
        let asked = vec![StoreRequest { id: StoreId::default(), op }];
        let mut replies = store.execute(asked, &mut |notice| notices.borrow_mut().push(notice));
        (replies.remove(0).result, notices.into_inner())
    }
}

const WHOLE: (u32, u32, bool, bool) = (3, 5, true, false);
const GONE: (u32, u32, bool, bool) = (0, 0, false, true);

fn brief(row: (Vec<u8>, u32, u32, bool, bool)) -> (u32, u32, bool, bool) {
    (row.1, row.2, row.3, row.4)
}

#[test]
fn at_start_what_is_missing_or_cut_is_taken_back_and_wanted_and_nothing_else() {
    let disk = Disk::new();
    let (whole, missing, cut) = (disk.add(1), disk.add(2), disk.add(3));
    fs::remove_file(disk.files.path(missing)).unwrap();
    disk.cut(cut, 4);
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let notify = move |notice| teller.lock().unwrap().push(notice);
    check_all(disk.db.clone(), Arc::clone(&disk.files), notify).unwrap();
    assert_eq!(brief(disk.row(whole)), WHOLE);
    assert_eq!(brief(disk.row(missing)), GONE);
    assert_eq!(disk.row(cut), (vec![0b011], 2, 3, false, true));
    let told = told.lock().unwrap();
    let is_told = |blob| told.contains(&Notice::Pieces { blob, is_complete: false });
    assert!(is_told(missing) && is_told(cut) && !is_told(whole));
    let lessons = told.iter().filter(|notice| matches!(notice, Notice::Lesson(_))).count();
    assert_eq!(lessons, 2);
}

#[test]
fn a_blob_that_is_found_lost_twice_is_told_once() {
    let disk = Disk::new();
    let blob = disk.add(1);
    fs::remove_file(disk.files.path(blob)).unwrap();
    assert_eq!(check(&disk.db, &disk.files, blob).unwrap().len(), 2);
    assert_eq!(check(&disk.db, &disk.files, blob).unwrap(), []);
}

#[test]
fn what_the_node_is_told_of_a_blob_is_in_its_file() {
    let disk = Disk::new();
    let blob = disk.add(1);
    disk.cut(blob, 2);
    let (loaded, notices) = disk.ask(StoreOp::LoadBlob { blob });
    assert!(matches!(&loaded, Ok(StoreValue::Blob(b)) if b.bitmap == [0b001]), "{loaded:?}");
    assert!(notices.contains(&Notice::Pieces { blob, is_complete: false }));
}

#[test]
fn a_piece_that_cannot_be_read_or_is_wrong_is_not_sent_and_taken_back_alone() {
    let disk = Disk::new();
    let (missing, rotten) = (disk.add(1), disk.add(2));
    fs::remove_file(disk.files.path(missing)).unwrap();
    let (read, notices) = disk.ask(StoreOp::ReadPiece { blob: missing, piece: 0 });
    assert_eq!(read.unwrap_err(), StoreError::Missing);
    assert_eq!((notices.len(), brief(disk.row(missing))), (2, GONE));

    fs::write(disk.files.path(rotten), [2, 2, 9, 2, 2]).unwrap();
    let (read, notices) = disk.ask(StoreOp::ReadPiece { blob: rotten, piece: 1 });
    assert_eq!(read.unwrap_err(), StoreError::Missing);
    assert_eq!((notices.len(), disk.row(rotten)), (2, (vec![0b101], 2, 4, false, true)));
    let (read, _) = disk.ask(StoreOp::ReadPiece { blob: rotten, piece: 0 });
    assert!(matches!(&read, Ok(StoreValue::Piece(bytes)) if bytes == &[2, 2]), "{read:?}");
}

#[test]
fn a_file_that_is_made_anew_does_not_pass_for_the_one_that_was_lost() {
    let disk = Disk::new();
    let blob = disk.add(1);
    let manifest = Manifest::of(&[2, 1, 2], &[1; 5], vec![]).unwrap().encode();
    fs::remove_file(disk.files.path(blob)).unwrap();
    let (reserved, _) = disk.ask(StoreOp::ReserveBlob { blob, manifest });
    assert!(matches!(reserved, Ok(StoreValue::Done)));
    assert_eq!(disk.files.len(blob).unwrap(), Some(5));
    assert_eq!(brief(disk.row(blob)), GONE);
}

#[test]
fn what_the_disk_does_not_give_is_taken_back_and_fits_into_a_fresh_file() {
    let disk = Disk::new();
    let blob = disk.add_half_readable(1);
    let found = read_through(&disk.db, &disk.files, blob).unwrap();
    assert_eq!((found.damaged, found.held, found.pieces), (1, 1, 2));
    assert!(found.notices.contains(&Notice::Alarm));
    assert!(found.notices.contains(&Notice::Pieces { blob, is_complete: false }));
    assert_eq!(disk.row(blob), (vec![0b01], 1, 1, false, true));
    assert_eq!(disk.count("alarms where text_code = 'disk_unreadable'"), 1);
    let pieces = vec![(1, vec![1; 4_095])];
    let (written, _) = disk.ask(StoreOp::WritePieces { blob, pieces });
    assert!(matches!(written, Ok(StoreValue::Done)), "{written:?}");
    let again = read_through(&disk.db, &disk.files, blob).unwrap();
    assert_eq!((again.damaged, again.held), (0, 2));
}

#[test]
fn a_piece_that_the_disk_does_not_give_when_it_is_asked_for_is_taken_back_too() {
    let disk = Disk::new();
    let (half, none) = (disk.add_half_readable(1), disk.add(2));
    let (read, notices) = disk.ask(StoreOp::ReadPiece { blob: half, piece: 1 });
    assert_eq!(read.unwrap_err(), StoreError::Missing);
    assert!(notices.contains(&Notice::Alarm));
    assert_eq!(disk.row(half), (vec![0b01], 1, 1, false, true));
    let (read, _) = disk.ask(StoreOp::ReadPiece { blob: half, piece: 0 });
    assert!(matches!(&read, Ok(StoreValue::Piece(bytes)) if bytes.len() == 1), "{read:?}");
    disk.make_unreadable(none);
    assert!(check(&disk.db, &disk.files, none).unwrap().contains(&Notice::Alarm));
    assert_eq!(brief(disk.row(none)), GONE);
}

#[test]
fn a_piece_that_arrives_for_a_file_that_cannot_be_opened_is_kept_in_a_fresh_one() {
    let disk = Disk::new();
    let blob = disk.add(3);
    disk.make_unreadable(blob);
    let (written, _) = disk.ask(StoreOp::WritePieces { blob, pieces: vec![(1, vec![3])] });
    assert!(matches!(written, Ok(StoreValue::Done)), "{written:?}");
    assert_eq!(disk.row(blob), (vec![0b010], 1, 1, false, true));
    assert_eq!(disk.files.read_at(blob, 2, 1).unwrap(), [3]);
}

#[test]
fn of_a_disk_that_takes_no_fresh_file_nothing_is_fetched_before_it_is_read_again() {
    let disk = Disk::new();
    let blob = disk.add(1);
    disk.make_unreadable(blob);
    let path = disk.files.path(blob);
    fs::create_dir(path.with_extension("part")).unwrap();
    read_through(&disk.db, &disk.files, blob).unwrap();
    assert_eq!(brief(disk.row(blob)), GONE);
    assert_eq!(disk.count("blobs_unread"), 1);
    assert!(fs::symlink_metadata(path).unwrap().is_symlink(), "it stays where it was");
}

#[test]
fn a_machine_that_is_short_of_open_files_or_memory_says_nothing_of_its_disk() {
    let is_of_disk = |errno: Errno| is_of_disk(&BlobFileError::Io(errno.into()));
    assert!([Errno::IO, Errno::LOOP, Errno::ACCESS].into_iter().all(is_of_disk));
    assert!(![Errno::MFILE, Errno::NFILE, Errno::NOMEM].into_iter().any(is_of_disk));
}
