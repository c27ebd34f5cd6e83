//! Carries out what the node asks to be kept: SQLite for journals, documents and bitmaps, plain
//! files for the pieces of blobs.
//!
//! One thread takes what waits, splits it into runs of reads and runs of writes, and commits a
//! run of writes at once; a write is answered when it would survive a power cut. Pieces are on
//! disk (fsync) before the bitmap that names them is committed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{
    Restored, StoreError, StoreId, StoreOp, StoreReply, StoreRequest, StoreValue,
};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_io::blob_files::{BlobFileError, BlobFiles};

use crate::db::{self, Db};
use evicted::Evict;

pub mod audit;
pub mod blobs;
pub(crate) mod disputed;
pub mod evicted;
pub mod found;
pub mod identity;
pub(crate) mod journals;
pub mod lost;
mod witness;

/// Requests that share one commit; a longer run would delay the answer of its first.
const RUN_MAX: usize = 64;
/// Requests that may wait; the driver waits beyond that.
const WAITING_MAX: usize = 1_024;
/// Manifests kept decoded; the blobs that are fetched and served at one time.
const MANIFESTS_KEPT: usize = 64;

/// What a write has changed, told after it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The rows of a lesson were projected anew.
    Lesson(DocId),
    /// The rows of this lesson's thread were projected anew.
    Thread(DocId),
    /// A timetable or a plan of lessons was projected anew.
    Timetable,
    /// Somebody has to look at something.
    Alarm,
    /// More pieces of a blob are held.
    Pieces {
        /// Which blob.
        blob: BlobId,
        /// True if it is whole.
        is_complete: bool,
    },
}

/// The store. Used by one thread at a time.
pub struct Store {
    db: Db,
    files: Arc<BlobFiles>,
    manifests: HashMap<BlobId, Arc<Manifest>>,
}

/// The way to a store that runs on its own thread; dropping it ends the thread.
pub struct StoreThread {
    work: mpsc::Sender<Work>,
    replies: mpsc::UnboundedReceiver<StoreReply>,
}

/// What the store's thread does, in order.
enum Work {
    Request(StoreRequest),
    Evict(Vec<Evict>, oneshot::Sender<Result<Vec<BlobId>, StoreError>>),
}

/// A change of the database that is ready: its files are on disk already.
enum Change {
    Rows(StoreOp),
    Reserved { blob: BlobId, bytes: Vec<u8>, manifest: Arc<Manifest>, found: Vec<u32> },
    Pieces { blob: BlobId, pieces: Vec<u32>, manifest: Arc<Manifest> },
}

type Answered = (StoreId, Result<StoreValue, StoreError>, Vec<Notice>);

impl Store {
    /// Makes a store over an open database and the folder of blobs.
    pub fn new(db: Db, files: Arc<BlobFiles>) -> Self {
        Self { db, files, manifests: HashMap::new() }
    }

    /// Reads what the node has to know when it starts.
    ///
    /// # Errors
    /// If the database fails.
    pub fn restore(&self) -> Result<Restored, StoreError> {
        self.db.read_blocking(journals::restore).map_err(failed)
    }

    /// Removes whole blobs that nothing names; gives how many. Only before the node is made,
    /// which may remember that it holds them.
    ///
    /// # Errors
    /// If the database or a file fails; what is left goes the next time.
    pub fn remove_unnamed(&self) -> Result<usize, StoreError> {
        let unnamed = self.db.read_blocking(blobs::unnamed).map_err(failed)?;
        // Files first: a row without a file is found again here, a file without a row is not.
        for blob in &unnamed {
            self.files.remove(*blob).map_err(file_error)?;
        }
        let count = unnamed.len();
        if count > 0 {
            self.db.write_blocking(move |tx| blobs::forget(tx, &unnamed)).map_err(failed)?;
        }
        Ok(count)
    }

    /// Moves the store to a thread of its own. `notify` is called there, after each commit and
    /// before its replies.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(
        mut self,
        mut notify: impl FnMut(Notice) + Send + 'static,
    ) -> std::io::Result<StoreThread> {
        let (work, mut waiting) = mpsc::channel(WAITING_MAX);
        let (answers, replies) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Some(first) = waiting.blocking_recv() {
                let (mut batch, mut next) = (Vec::new(), Some(first));
                while let Some(Work::Request(request)) = next {
                    batch.push(request);
                    next = (batch.len() < RUN_MAX).then(|| waiting.try_recv().ok()).flatten();
                }
                for reply in self.execute(batch, &mut notify) {
                    // The driver may be gone already.
                    drop(answers.send(reply));
                }
                if let Some(Work::Evict(chosen, reply)) = next {
                    // Whoever asked may be gone too.
                    drop(reply.send(self.evict(chosen, &mut notify)));
                }
            }
        })?;
        Ok(StoreThread { work, replies })
    }

    /// Carries out requests in order, and gives the replies in that order.
    pub fn execute(
        &mut self,
        requests: Vec<StoreRequest>,
        notify: &mut impl FnMut(Notice),
    ) -> Vec<StoreReply> {
        let mut replies = Vec::with_capacity(requests.len());
        let mut waiting = requests.into_iter().peekable();
        while let Some(first) = waiting.next() {
            let is_read = is_read(&first.op);
            let mut run = vec![first];
            while let Some(next) = waiting.next_if(|next| self::is_read(&next.op) == is_read) {
                run.push(next);
            }
            if is_read {
                for StoreRequest { id, op } in run {
                    replies.push(StoreReply { id, result: self.read(op, notify) });
                }
            } else {
                replies.extend(self.write(run, notify));
            }
        }
        replies
    }

    fn read(
        &mut self,
        op: StoreOp,
        notify: &mut impl FnMut(Notice),
    ) -> Result<StoreValue, StoreError> {
        match op {
            StoreOp::ReadPiece { blob, piece } => self.read_piece(&blob, piece, notify),
            StoreOp::LoadBlob { blob } => {
                // The node fetches and offers what it is told here.
                self.check_file(blob, notify)?;
                let found = self.db.read_blocking(|db| blobs::load(db, &blob));
                found.map(StoreValue::Blob).map_err(failed)
            }
            op => self.db.read_blocking(|db| journals::read(db, &op)).map_err(failed),
        }
    }

    fn read_piece(
        &mut self,
        blob: &BlobId,
        piece: u32,
        notify: &mut impl FnMut(Notice),
    ) -> Result<StoreValue, StoreError> {
        let manifest = self.manifest(blob)?;
        let is_held = self.db.read_blocking(|db| blobs::is_held(db, blob, piece));
        let info = manifest.pieces.get(piece as usize).ok_or(StoreError::Missing)?;
        if !is_held.map_err(failed)? {
            return Err(StoreError::Missing);
        }
        let read = || {
            let read = self.files.read_at(*blob, manifest.offset_of(piece), info.bytes as usize);
            read.map(|bytes| Some(bytes).filter(|bytes| manifest.verifies(piece, bytes)))
        };
        match read() {
            Ok(Some(bytes)) => Ok(StoreValue::Piece(bytes)),
            Err(BlobFileError::Missing(_) | BlobFileError::OutOfRange { .. }) => {
                self.check_file(*blob, notify)?;
                Err(StoreError::Missing)
            }
            Ok(None) | Err(_) => {
                let looked = lost::read_some(&self.db, &self.files, *blob, piece, 1);
                let found = looked.map_err(failed)?.found;
                found.notices.into_iter().for_each(notify);
                let again = (found.damaged == 0).then(read).and_then(Result::ok).flatten();
                again.map(StoreValue::Piece).ok_or(StoreError::Missing)
            }
        }
    }

    /// Takes back the pieces that a blob's file does not have any more.
    fn check_file(&self, blob: BlobId, notify: &mut impl FnMut(Notice)) -> Result<(), StoreError> {
        let lost = lost::check(&self.db, &self.files, blob).map_err(failed)?;
        lost.into_iter().for_each(notify);
        Ok(())
    }

    fn write(
        &mut self,
        run: Vec<StoreRequest>,
        notify: &mut impl FnMut(Notice),
    ) -> Vec<StoreReply> {
        let ids: Vec<StoreId> = run.iter().map(|request| request.id).collect();
        let changes: Vec<_> =
            run.into_iter().map(|r| (r.id, self.put_files(r.op, notify))).collect();
        let answered = self.db.write_blocking(move |tx| {
            changes
                .into_iter()
                .map(|(id, change)| apply_one(tx, id, change))
                .collect::<rusqlite::Result<Vec<Answered>>>()
        });
        match answered {
            Ok(answered) => {
                answered.iter().flat_map(|(_, _, notices)| notices).copied().for_each(notify);
                let reply = |(id, result, _): Answered| StoreReply { id, result };
                answered.into_iter().map(reply).collect()
            }
            Err(error) => {
                let error = failed(error);
                ids.into_iter().map(|id| StoreReply { id, result: Err(error.clone()) }).collect()
            }
        }
    }

    /// Does the part of a write that is in files, durably.
    fn put_files(
        &mut self,
        op: StoreOp,
        notify: &mut impl FnMut(Notice),
    ) -> Result<Change, StoreError> {
        match op {
            StoreOp::ReserveBlob { blob, manifest: bytes } => {
                let manifest =
                    Manifest::decode(&bytes).map_err(|e| StoreError::Failed(e.to_string()))?;
                let manifest = Arc::new(manifest);
                // A new file in the place of one that is gone would look like it.
                self.check_file(blob, notify)?;
                let found = self.find(blob, &manifest, notify)?;
                let reserve = || self.files.reserve(blob, manifest.total_bytes());
                self.or_elsewhere(blob, &manifest, notify, reserve)?;
                self.keep_manifest(blob, &manifest);
                Ok(Change::Reserved { blob, bytes, manifest, found })
            }
            StoreOp::WritePieces { blob, pieces } => {
                let manifest = self.manifest(&blob)?;
                let is_known = |n: &u32| (*n as usize) < manifest.pieces.len();
                if !pieces.iter().all(|(n, _)| is_known(n)) {
                    return Err(StoreError::Missing);
                }
                let placed: Vec<(u64, &[u8])> = pieces
                    .iter()
                    .map(|(n, bytes)| (manifest.offset_of(*n), bytes.as_slice()))
                    .collect();
                let write = || self.files.write_pieces(blob, &placed);
                self.or_elsewhere(blob, &manifest, notify, write)?;
                let pieces = pieces.into_iter().map(|(n, _)| n).collect();
                Ok(Change::Pieces { blob, pieces, manifest })
            }
            op => Ok(Change::Rows(op)),
        }
    }

    /// Gives the pieces of a file whose blob is not known: of a database that was lost.
    fn find(
        &self,
        blob: BlobId,
        manifest: &Manifest,
        notify: &mut impl FnMut(Notice),
    ) -> Result<Vec<u32>, StoreError> {
        let is_whole =
            self.files.len(blob).is_ok_and(|bytes| bytes == Some(manifest.total_bytes()));
        let known = self.db.read_blocking(|db| blobs::load(db, &blob)).map_err(failed)?;
        if !is_whole || known.manifest.is_some() {
            return Ok(Vec::new());
        }
        let found = found::pieces(&self.files, blob, manifest);
        if found.has_unreadable {
            self.renew(blob, manifest, notify)?;
        }
        Ok(found.held)
    }

    /// Does something to a file; if the disk refuses, once more to a fresh one: other sectors may
    /// take what these do not.
    fn or_elsewhere(
        &self,
        blob: BlobId,
        manifest: &Manifest,
        notify: &mut impl FnMut(Notice),
        act: impl Fn() -> Result<(), BlobFileError>,
    ) -> Result<(), StoreError> {
        match act() {
            Err(error) if lost::is_of_disk(&error) => {
                self.renew(blob, manifest, notify)?;
                act().map_err(file_error)
            }
            done => done.map_err(file_error),
        }
    }

    fn renew(
        &self,
        blob: BlobId,
        manifest: &Manifest,
        notify: &mut impl FnMut(Notice),
    ) -> Result<(), StoreError> {
        let lost = lost::renew(&self.db, &self.files, blob, manifest).map_err(failed)?;
        lost.into_iter().for_each(notify);
        Ok(())
    }

    fn manifest(&mut self, blob: &BlobId) -> Result<Arc<Manifest>, StoreError> {
        if let Some(manifest) = self.manifests.get(blob) {
            return Ok(Arc::clone(manifest));
        }
        let found = self.db.read_blocking(|db| blobs::load(db, blob)).map_err(failed)?;
        let bytes = found.manifest.ok_or(StoreError::Missing)?;
        let manifest = Manifest::decode(&bytes).map_err(|e| StoreError::Failed(e.to_string()))?;
        let manifest = Arc::new(manifest);
        self.keep_manifest(*blob, &manifest);
        Ok(manifest)
    }

    fn keep_manifest(&mut self, blob: BlobId, manifest: &Arc<Manifest>) {
        if self.manifests.len() >= MANIFESTS_KEPT {
            self.manifests.clear();
        }
        self.manifests.insert(blob, Arc::clone(manifest));
    }
}

impl StoreThread {
    /// Hands over a request; waits while too many are waiting.
    pub async fn submit(&self, request: StoreRequest) {
        self.send(Work::Request(request)).await;
    }

    /// Lets go of blobs, after what was handed over before; `reply` hears which have gone.
    pub async fn evict(
        &self,
        chosen: Vec<Evict>,
        reply: oneshot::Sender<Result<Vec<BlobId>, StoreError>>,
    ) {
        self.send(Work::Evict(chosen, reply)).await;
    }

    async fn send(&self, work: Work) {
        if self.work.send(work).await.is_err() {
            tracing::error!("the store's thread has ended");
        }
    }

    /// Gives the next reply; none once the thread has ended.
    pub async fn reply(&mut self) -> Option<StoreReply> {
        self.replies.recv().await
    }

    /// Gives a reply that is here already.
    pub fn try_reply(&mut self) -> Option<StoreReply> {
        self.replies.try_recv().ok()
    }
}

fn is_read(op: &StoreOp) -> bool {
    matches!(
        op,
        StoreOp::ReadEnvelopes { .. }
            | StoreOp::ReadDisputed { .. }
            | StoreOp::ListEnvelopes { .. }
            | StoreOp::ReadPlaces { .. }
            | StoreOp::LoadDoc { .. }
            | StoreOp::LoadBlob { .. }
            | StoreOp::ReadPiece { .. }
    )
}

/// Applies one change under its own savepoint: an error undoes it alone.
///
/// # Errors
/// If SQLite has undone the whole transaction.
fn apply_one(
    tx: &rusqlite::Transaction<'_>,
    id: StoreId,
    change: Result<Change, StoreError>,
) -> rusqlite::Result<Answered> {
    let change = match change {
        Ok(change) => change,
        Err(error) => return Ok((id, Err(error), Vec::new())),
    };
    tx.prepare_cached("savepoint op")?.execute([])?;
    let result = match change {
        Change::Rows(op) => journals::write(tx, op),
        Change::Reserved { blob, bytes, manifest, found } => {
            reserve(tx, &blob, &bytes, &manifest, &found)
        }
        Change::Pieces { blob, pieces, manifest } => blobs::mark(tx, &blob, &pieces, &manifest)
            .map(|is_complete| (StoreValue::Done, vec![Notice::Pieces { blob, is_complete }])),
    };
    if tx.is_autocommit() {
        return Err(result.err().unwrap_or(rusqlite::Error::UnwindingPanic));
    }
    if result.is_err() {
        tx.prepare_cached("rollback to op")?.execute([])?;
    }
    tx.prepare_cached("release op")?.execute([])?;
    Ok(match result {
        Ok((value, notices)) => (id, Ok(value), notices),
        // It was let go while pieces of it were on their way.
        Err(rusqlite::Error::QueryReturnedNoRows) => (id, Err(StoreError::Missing), Vec::new()),
        Err(error) => (id, Err(failed(error)), Vec::new()),
    })
}

fn reserve(
    tx: &rusqlite::Transaction<'_>,
    blob: &BlobId,
    bytes: &[u8],
    manifest: &Manifest,
    found: &[u32],
) -> rusqlite::Result<(StoreValue, Vec<Notice>)> {
    blobs::reserve(tx, blob, bytes, manifest)?;
    if found.is_empty() {
        return Ok((StoreValue::Done, Vec::new()));
    }
    tracing::info!(%blob, pieces = found.len(), "a file of a lesson was here already");
    let is_complete = blobs::mark(tx, blob, found, manifest)?;
    let notice = Notice::Pieces { blob: *blob, is_complete };
    Ok((StoreValue::Blob(blobs::load(tx, blob)?), vec![notice]))
}

fn failed(error: rusqlite::Error) -> StoreError {
    db::damage::note(&error);
    if db::is_disk_full(&error) {
        return StoreError::NoSpace;
    }
    tracing::error!(%error, "the store failed");
    StoreError::Failed(error.to_string())
}

fn file_error(error: BlobFileError) -> StoreError {
    match error {
        BlobFileError::NoSpace { .. } => StoreError::NoSpace,
        BlobFileError::Missing(_) | BlobFileError::OutOfRange { .. } => StoreError::Missing,
        BlobFileError::Io(error) => {
            tracing::error!(%error, "the store failed");
            StoreError::Failed(error.to_string())
        }
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
