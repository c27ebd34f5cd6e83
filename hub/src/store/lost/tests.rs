use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{StoreError, StoreId, StoreOp, StoreRequest, StoreValue};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_io::blob_files::BlobFiles;

use super::super::{Notice, Store, blobs};
use super::{check, check_all};
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
        let content = [fill; 5];
        let manifest = Manifest::of(&[2, 1, 2], &content, vec![]).unwrap();
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
