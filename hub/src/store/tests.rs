use std::sync::Arc;

use tempfile::TempDir;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{
    Restored, StoreError, StoreOp, StoreReply, StoreRequest, StoreValue,
};
use yingxue_sync_core::id::HubId;
use yingxue_sync_io::blob_files::BlobFiles;

use super::conformance::{self, Executor};
use super::{Notice, Store, blobs};
use crate::db::Db;

struct OnDisk {
    store: Store,
    dir: TempDir,
}

impl OnDisk {
    fn open(dir: TempDir) -> Self {
        let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
        super::identity::check(&db, dir.path(), HubId([0; 32])).unwrap();
        let files = BlobFiles::open(dir.path().join("blobs"), 0).unwrap();
        Self { store: Store::new(db, Arc::new(files)), dir }
    }

    fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn execute(&mut self, ops: Vec<StoreOp>) -> (Vec<StoreReply>, Vec<Notice>) {
        let mut notices = Vec::new();
        let requests = (0..).zip(ops).map(|(id, op)| StoreRequest { id, op }).collect();
        let replies = self.store.execute(requests, &mut |notice| notices.push(notice));
        (replies, notices)
    }
}

impl Executor for OnDisk {
    fn carry_out(&mut self, op: StoreOp) -> Result<StoreValue, StoreError> {
        self.execute(vec![op]).0.remove(0).result
    }

    fn restore(&self) -> Restored {
        self.store.restore().unwrap()
    }

    fn reopened(self) -> Self {
        drop(self.store);
        Self::open(self.dir)
    }
}

#[test]
fn the_store_on_disk_does_what_every_store_has_to_do() {
    conformance::check_all(OnDisk::fresh);
}

#[test]
fn a_batch_keeps_its_order_and_a_failure_undoes_only_itself() {
    let mut store = OnDisk::fresh();
    let manifest = Manifest::of(&[2, 1], b"abc", vec![]).unwrap();
    let (blob, encoded) = (manifest.blob_id(), manifest.encode());
    let (replies, notices) = store.execute(vec![
        StoreOp::LoadBlob { blob },
        StoreOp::ReserveBlob { blob, manifest: encoded },
        StoreOp::WritePieces { blob, pieces: vec![(0, b"ab".to_vec())] },
        StoreOp::WritePieces { blob, pieces: vec![(5, b"ab".to_vec())] },
        StoreOp::ReadPiece { blob, piece: 0 },
        StoreOp::WritePieces { blob, pieces: vec![(1, b"c".to_vec())] },
        StoreOp::LoadBlob { blob },
    ]);
    assert_eq!(replies.iter().map(|reply| reply.id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(matches!(&replies[0].result, Ok(StoreValue::Blob(b)) if b.manifest.is_none()));
    assert_eq!(replies[3].result.as_ref().unwrap_err(), &StoreError::Missing);
    assert!(matches!(&replies[4].result, Ok(StoreValue::Piece(bytes)) if bytes == b"ab"));
    assert!(matches!(&replies[6].result, Ok(StoreValue::Blob(b)) if b.bitmap == [0b11]));
    let held = |is_complete| Notice::Pieces { blob, is_complete };
    assert_eq!(notices, [held(false), held(true)]);
}

#[test]
fn a_blob_made_here_is_whole_at_once() {
    let mut store = OnDisk::fresh();
    let manifest = Manifest::of(&[2, 1], b"abc", vec![]).unwrap();
    let blob = manifest.blob_id();
    let made = manifest.clone();
    let path = store.dir.path().join("made");
    std::fs::write(&path, b"abc").unwrap();
    store.store.files.adopt(blob, &path).unwrap();
    store.store.db.write_blocking(move |tx| blobs::insert_complete(tx, &blob, &made)).unwrap();
    let loaded = store.carry_out(StoreOp::LoadBlob { blob });
    assert!(matches!(&loaded, Ok(StoreValue::Blob(b)) if b.bitmap == [0b11]), "{loaded:?}");
}

#[test]
fn a_blob_that_does_not_fit_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
    let files = BlobFiles::open(dir.path().join("blobs"), u64::MAX).unwrap();
    let mut full = OnDisk { store: Store::new(db, Arc::new(files)), dir };
    let manifest = Manifest::of(&[3], b"abc", vec![]).unwrap();
    let (blob, manifest) = (manifest.blob_id(), manifest.encode());
    let reserved = full.carry_out(StoreOp::ReserveBlob { blob, manifest });
    assert_eq!(reserved.unwrap_err(), StoreError::NoSpace);
    let loaded = full.carry_out(StoreOp::LoadBlob { blob });
    assert!(matches!(loaded, Ok(StoreValue::Blob(b)) if b.manifest.is_none()));
}

#[test]
fn a_whole_blob_that_nothing_names_goes_at_start_and_no_other() {
    let store = OnDisk::fresh().store;
    let made = |fill: u8| {
        let manifest = Manifest::of(&[1], &[fill], vec![]).unwrap();
        let blob = manifest.blob_id();
        let file = tempfile::NamedTempFile::new().unwrap();
        store.files.adopt(blob, &file.into_temp_path().keep().unwrap()).unwrap();
        store.db.write_blocking(move |tx| blobs::insert_complete(tx, &blob, &manifest)).unwrap();
        blob
    };
    let (named, unnamed) = (made(1), made(2));
    let batch = |sql: String| store.db.write_blocking(move |tx| tx.execute_batch(&sql)).unwrap();
    batch(format!("insert into blob_refs values (x'{named}', 'lessons', zeroblob(16))"));
    let job = "insert into jobs (kind, lesson_id, title, payload, state, created_at) \
         values ('import', zeroblob(16), '', '{}', 'running', 0)";
    batch(job.to_owned());
    assert_eq!(store.remove_unnamed(), Ok(0), "the lesson that is being made may name it");
    batch("update jobs set state = 'cancelled'".to_owned());
    assert_eq!(store.remove_unnamed(), Ok(1));
    assert!(store.files.exists(named) && !store.files.exists(unnamed));
    let left: i64 = store
        .db
        .read_blocking(|db| db.query_row("select count(*) from blobs", [], |row| row.get(0)))
        .unwrap();
    assert_eq!((left, store.remove_unnamed()), (1, Ok(0)));
}
