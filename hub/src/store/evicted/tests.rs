use std::sync::Arc;

use tempfile::TempDir;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{StoreOp, StoreRequest, StoreValue};
use yingxue_sync_io::blob_files::BlobFiles;

use super::super::blobs;
use super::*;
use crate::db::Db;

struct Disk {
    store: Store,
    dir: TempDir,
}

impl Disk {
    fn open(dir: TempDir) -> Self {
        let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
        let files = BlobFiles::open(dir.path().join("blobs"), 0).unwrap();
        Self { store: Store::new(db, Arc::new(files)), dir }
    }

    /// A disk with a whole blob of two pieces that a lesson names.
    fn with_blob() -> (Self, BlobId, Manifest) {
        let disk = Self::open(tempfile::tempdir().unwrap());
        let manifest = Manifest::of(&[2, 1], b"abc", vec![]).unwrap();
        let (blob, made) = (manifest.blob_id(), manifest.clone());
        let path = disk.dir.path().join("made");
        std::fs::write(&path, b"abc").unwrap();
        disk.store.files.adopt(blob, &path).unwrap();
        let lesson = DocId([1; 16]);
        let insert = move |tx: &Transaction<'_>| -> rusqlite::Result<()> {
            blobs::insert_complete(tx, &blob, &made)?;
            tx.execute_batch(&format!(
                "insert into lessons (lesson, is_published, is_deleted, title, subject, grade, \
                 teacher, school, school_hub, filename, duration_ms, created_at_ms, has_poster) \
                 values (x'{lesson}', 1, 0, '', '', '', '', '', zeroblob(32), '', 0, 0, 0); \
                 insert into lesson_tracks (lesson, kind, blob, codecs, bytes, created_at_ms, \
                 class, is_wanted) values (x'{lesson}', 'audio', x'{blob}', '', 3, 0, 0, 0);"
            ))
        };
        disk.store.db.write_blocking(insert).unwrap();
        (disk, blob, manifest)
    }

    fn ask(&mut self, op: StoreOp) -> Result<StoreValue, StoreError> {
        let request = StoreRequest { id: Default::default(), op };
        self.store.execute(vec![request], &mut |_| {}).remove(0).result
    }

    fn evict(&mut self, blob: BlobId) -> (Vec<BlobId>, Vec<Notice>) {
        let mut notices = Vec::new();
        let chosen = vec![Evict { blob, lesson: DocId([1; 16]), at_ms: 5 }];
        let files = Arc::clone(&self.store.files);
        let evicted = self.store.evict(chosen, &mut |notice| {
            assert!(files.exists(blob), "the file goes after everybody was told");
            notices.push(notice);
        });
        (evicted.unwrap(), notices)
    }

    /// Says what the rows say: known, wanted, remembered as let go.
    fn says(&self, blob: BlobId) -> (bool, bool, bool) {
        let known = move |db: &Connection| -> rusqlite::Result<(bool, bool, bool)> {
            let sql = "select exists (select 1 from blobs where blob = ?1), is_wanted \
                 from lesson_tracks where blob = ?1";
            let (is_known, is_wanted) =
                db.query_row(sql, [blob.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((is_known, is_wanted, is_evicted(db, &blob)?))
        };
        self.store.db.read_blocking(known).unwrap()
    }

    fn write(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) {
        self.store.db.write_blocking(change).unwrap();
    }
}

#[test]
fn what_is_let_go_is_nowhere_any_more_and_is_not_wanted_again_by_itself() {
    let (mut disk, blob, manifest) = Disk::with_blob();
    assert!(disk.ask(StoreOp::ReadPiece { blob, piece: 0 }).is_ok());
    let (evicted, notices) = disk.evict(blob);
    assert_eq!(evicted, [blob]);
    let gone = Notice::Pieces { blob, is_complete: false };
    assert_eq!(notices, [gone, Notice::Lesson(DocId([1; 16]))]);
    assert!(!disk.store.files.exists(blob));
    assert_eq!(disk.says(blob), (false, false, true));
    let read = disk.ask(StoreOp::ReadPiece { blob, piece: 0 });
    assert_eq!(read.unwrap_err(), StoreError::Missing, "nothing is served that is gone");
    let loaded = disk.ask(StoreOp::LoadBlob { blob });
    assert!(matches!(loaded, Ok(StoreValue::Blob(it)) if it.manifest.is_none()));
    // A piece that was on its way finds nothing to go into.
    let late = disk.ask(StoreOp::WritePieces { blob, pieces: vec![(0, b"ab".to_vec())] });
    assert_eq!(late.unwrap_err(), StoreError::Missing);
    assert_eq!(disk.evict(blob).0, [], "once");
    // Somebody wants it: it comes again, and is forgotten as let go.
    disk.write(|tx| want_again(tx, &DocId([1; 16])));
    assert_eq!(disk.says(blob), (false, true, false));
    disk.ask(StoreOp::ReserveBlob { blob, manifest: manifest.encode() }).unwrap();
    let pieces = vec![(0, b"ab".to_vec()), (1, b"c".to_vec())];
    disk.ask(StoreOp::WritePieces { blob, pieces }).unwrap();
    assert_eq!(disk.says(blob), (true, false, false));
}

#[test]
fn what_comes_again_another_way_is_not_remembered_as_let_go() {
    let (mut disk, blob, manifest) = Disk::with_blob();
    disk.evict(blob);
    disk.ask(StoreOp::ReserveBlob { blob, manifest: manifest.encode() }).unwrap();
    disk.ask(StoreOp::WritePieces { blob, pieces: vec![(0, b"ab".to_vec())] }).unwrap();
    assert_eq!(disk.says(blob), (true, false, true), "a part of it is not it");
    disk.ask(StoreOp::WritePieces { blob, pieces: vec![(1, b"c".to_vec())] }).unwrap();
    assert_eq!(disk.says(blob), (true, false, false));
}

#[test]
fn what_somebody_has_pinned_meanwhile_stays() {
    let (mut disk, blob, _) = Disk::with_blob();
    disk.write(|tx| {
        tx.execute_batch(&format!("insert into pins values (x'{}', 0, 1)", DocId([1; 16])))
    });
    assert_eq!(disk.evict(blob), (vec![], vec![]));
    assert_eq!(disk.says(blob), (true, false, false));
    assert!(disk.store.files.exists(blob));
}

/// The power goes after the rows are durable and before the file is removed.
fn cut_before_the_file_goes() -> (Disk, BlobId, Manifest) {
    let (disk, blob, manifest) = Disk::with_blob();
    disk.write(move |tx| take_out(tx, &Evict { blob, lesson: DocId([1; 16]), at_ms: 5 }).map(drop));
    let dir = disk.dir;
    drop(disk.store);
    (Disk::open(dir), blob, manifest)
}

#[test]
fn a_file_that_a_power_cut_has_left_goes_at_the_next_start() {
    let (disk, blob, _) = cut_before_the_file_goes();
    assert!(disk.store.files.exists(blob));
    assert_eq!(disk.says(blob), (false, false, true), "nothing says that it is here");
    assert_eq!(disk.store.remove_evicted(), Ok(1));
    assert!(!disk.store.files.exists(blob));
    assert_eq!(disk.store.remove_evicted(), Ok(0));
}

#[test]
fn a_file_that_a_power_cut_has_left_is_taken_over_if_it_is_wanted_again_before() {
    let (mut disk, blob, manifest) = cut_before_the_file_goes();
    let reserved = disk.ask(StoreOp::ReserveBlob { blob, manifest: manifest.encode() });
    assert!(matches!(reserved, Ok(StoreValue::Blob(it)) if it.bitmap == [0b11]));
    assert_eq!(disk.says(blob), (true, false, false));
    assert_eq!(disk.store.remove_evicted(), Ok(0), "it is needed");
    assert!(disk.store.files.exists(blob));
}
