//! A hub's store with what goes wrong in real ones: latency, power cuts, a full disk, bit rot.
//!
//! A write shows in reads at once and becomes durable when it is answered. A power cut keeps a
//! prefix of the unanswered writes, so each of them may or may not have landed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::doc;
use yingxue_sync_core::event::{
    DocValue, StoreError, StoreId, StoreOp, StoreReply, StoreRequest, StoreValue,
};
use yingxue_sync_core::id::BlobId;
use yingxue_sync_core::witness::StatementRecord;

use crate::disk::{Disk, StoredDoc, Write};
use crate::rng::Rng;

/// Root keys of the form `blob:<hex>` name a blob in this world's documents.
pub const BLOB_KEY_PREFIX: &str = "blob:";

/// Fastest answer to a write in milliseconds: an SSD's fsync.
const WRITE_MS_MIN: u64 = 1;
/// Slowest answer to a write in milliseconds: a school PC's hard disk while it is busy.
const WRITE_MS_MAX: u64 = 40;
/// Slowest answer to a read in milliseconds: a seek.
const READ_MS_MAX: u64 = 8;

/// Pieces that hubs hold in common, kept in memory once.
pub type PiecePool = BTreeMap<(BlobId, u32), Arc<[u8]>>;

/// What a power cut leaves of the writes that were not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// Nothing.
    None,
    /// All of them.
    All,
    /// The first so many of them, drawn by the seed.
    Some,
}

/// The store of one hub.
#[derive(Debug, Default)]
pub struct SimStore {
    given: Disk,
    durable: Disk,
    unanswered: VecDeque<(StoreId, Write, StoreValue)>,
    /// Values of writes that are durable already and not answered yet.
    late: BTreeMap<StoreId, StoreValue>,
    reads: BTreeMap<StoreId, Result<StoreValue, StoreError>>,
    refused: BTreeMap<StoreId, StoreError>,
    free_bytes: Option<u64>,
}

impl SimStore {
    /// Gives what a power cut now would certainly leave.
    pub fn durable(&self) -> &Disk {
        &self.durable
    }

    /// Gives what was written so far, durable or not.
    pub fn given(&self) -> &Disk {
        &self.given
    }

    /// Limits the space that is left, or frees the disk with none.
    pub fn set_free_bytes(&mut self, free_bytes: Option<u64>) {
        self.free_bytes = free_bytes;
    }

    /// Takes a request; returns how long its answer takes in milliseconds.
    pub fn request(&mut self, request: StoreRequest, pool: &mut PiecePool, rng: &mut Rng) -> u64 {
        if let Some(result) = self.given.read(&request.op) {
            self.reads.insert(request.id, result);
            return rng.between(0, READ_MS_MAX);
        }
        let outcome = self.write_of(request.op, pool).and_then(|write| {
            self.take_space(&write)?;
            let value = self.given.apply(&write)?;
            Ok((write, value))
        });
        match outcome {
            Ok((write, value)) => self.unanswered.push_back((request.id, write, value)),
            Err(error) => drop(self.refused.insert(request.id, error)),
        }
        rng.between(WRITE_MS_MIN, WRITE_MS_MAX)
    }

    /// Gives the answer that is due; a write is durable from now on, and those before it.
    pub fn answer(&mut self, id: StoreId) -> StoreReply {
        if let Some(result) = self.reads.remove(&id) {
            return StoreReply { id, result };
        }
        if let Some(error) = self.refused.remove(&id) {
            return StoreReply { id, result: Err(error) };
        }
        if let Some(value) = self.late.remove(&id) {
            return StoreReply { id, result: Ok(value) };
        }
        while let Some((landed, write, value)) = self.unanswered.pop_front() {
            self.durable.apply(&write).expect("it was applied to what was given");
            if landed == id {
                return StoreReply { id, result: Ok(value) };
            }
            self.late.insert(landed, value);
        }
        StoreReply { id, result: Ok(StoreValue::Done) }
    }

    /// Cuts the power: what was not answered has landed or not.
    pub fn cut_power(&mut self, landed: Landed, rng: &mut Rng) {
        let keep = match landed {
            Landed::None => 0,
            Landed::All => self.unanswered.len(),
            Landed::Some => rng.index(self.unanswered.len() + 1),
        };
        for (_, write, _) in self.unanswered.drain(..).take(keep) {
            self.durable.apply(&write).expect("it was applied to what was given");
        }
        self.given = self.durable.clone();
        self.reads.clear();
        self.refused.clear();
        self.late.clear();
    }

    /// Puts another disk in the place of this one, as a backup does that is restored.
    pub fn replace(&mut self, disk: Disk) {
        let free_bytes = self.free_bytes;
        *self = Self { given: disk.clone(), durable: disk, free_bytes, ..Self::default() };
    }

    /// Changes both disks by hand: what was given, and what is durable.
    pub fn meddle(&mut self, mut change: impl FnMut(&mut Disk)) {
        change(&mut self.given);
        change(&mut self.durable);
    }

    /// Puts a blob made here on the disk, durable at once, as an import job does.
    pub fn plant(&mut self, manifest: &Manifest, pieces: &[Arc<[u8]>]) {
        let blob = manifest.blob_id();
        let reserve = Write::Blob {
            blob,
            manifest: manifest.encode().into(),
            pieces_len: manifest.pieces.len(),
        };
        let numbered = (0..).zip(pieces.iter().cloned()).collect();
        for write in [reserve, Write::Pieces { blob, pieces: numbered }] {
            for disk in [&mut self.given, &mut self.durable] {
                disk.apply(&write).expect("a blob that was just reserved");
            }
        }
    }

    /// Flips one bit of a piece; returns whether the piece was there.
    pub fn rot(&mut self, blob: BlobId, piece: u32, rng: &mut Rng) -> bool {
        let held = self.durable.blobs.get(&blob).and_then(|file| file.pieces.get(&piece));
        let Some(held) = held else { return false };
        let mut rotten = held.to_vec();
        let at = rng.index(rotten.len());
        rotten[at] ^= 1 << rng.below(8);
        let rotten: Arc<[u8]> = rotten.into();
        for disk in [&mut self.given, &mut self.durable] {
            if let Some(file) = disk.blobs.get_mut(&blob) {
                file.pieces.insert(piece, rotten.clone());
            }
        }
        true
    }

    /// Deletes a blob.
    pub fn evict(&mut self, blob: &BlobId) {
        for disk in [&mut self.given, &mut self.durable] {
            disk.blobs.remove(blob);
        }
        let is_of_it = |write: &Write| match write {
            Write::Blob { blob: of, .. } | Write::Pieces { blob: of, .. } => of == blob,
            _ => false,
        };
        self.unanswered.retain(|(_, write, _)| !is_of_it(write));
    }

    /// Reads a blob again: drops the pieces whose bytes are not what its manifest says, and
    /// returns how many. Bytes that are shared with those that were published are right.
    pub fn reread(&mut self, blob: &BlobId, pool: &PiecePool) -> usize {
        let Some(file) = self.durable.blobs.get(blob) else { return 0 };
        let Ok(manifest) = decode(&file.manifest) else { return 0 };
        let is_wrong = |(piece, bytes): (&u32, &Arc<[u8]>)| {
            let published = pool.get(&(*blob, *piece));
            let is_right = published.is_some_and(|it| Arc::ptr_eq(it, bytes))
                || manifest.verifies(*piece, bytes);
            (!is_right).then_some(*piece)
        };
        let wrong: Vec<u32> = file.pieces.iter().filter_map(is_wrong).collect();
        for disk in [&mut self.given, &mut self.durable] {
            if let Some(file) = disk.blobs.get_mut(blob) {
                wrong.iter().for_each(|piece| drop(file.pieces.remove(piece)));
            }
        }
        wrong.len()
    }

    fn write_of(&self, op: StoreOp, pool: &mut PiecePool) -> Result<Write, StoreError> {
        Ok(match op {
            StoreOp::PutEpoch { n, bytes, used_invitation } => {
                Write::Epoch { n, bytes: bytes.into(), used_invitation }
            }
            StoreOp::PutInvitation(record) => Write::Invitation(record),
            StoreOp::AppendEnvelopes { envelopes, fingerprint } => Write::Envelopes {
                envelopes: envelopes.into_iter().map(Arc::new).collect(),
                fingerprint,
            },
            StoreOp::SetAside { envelopes } => {
                Write::Aside(envelopes.into_iter().map(Arc::new).collect())
            }
            StoreOp::Rejudge { collection, cuts, accepted, fingerprint } => Write::Rejudge {
                collection,
                cuts,
                accepted: accepted.into_iter().map(Arc::new).collect(),
                fingerprint,
            },
            StoreOp::Mend { collection, envelopes, fingerprint } => Write::Mend {
                collection,
                envelopes: envelopes.into_iter().map(Arc::new).collect(),
                fingerprint,
            },
            StoreOp::SetEpochAside { n, bytes } => Write::EpochAside { n, bytes: bytes.into() },
            StoreOp::PutDoubt { is_in_doubt } => Write::Doubt(is_in_doubt),
            StoreOp::PutStatements { statements } => {
                Write::Statements(statements.into_iter().map(Arc::new).collect())
            }
            StoreOp::KeepContradicted { collection, author, witness, seq, slot } => {
                let is_it = |it: &&Arc<StatementRecord>| {
                    let of = &it.statement;
                    (&of.collection, of.author, of.witness, of.seq)
                        == (&collection, author, witness, seq)
                };
                let found = self.given.statements.values().find(is_it);
                let kept = found.map(|it| Arc::new(StatementRecord { slot, ..(**it).clone() }));
                Write::Statements(kept.into_iter().collect())
            }
            StoreOp::SaveDoc { collection, doc, snapshot, applied } => Write::Doc {
                key: (collection, doc),
                doc: projected(snapshot)?,
                applied: applied.into_iter().collect::<BTreeSet<_>>(),
            },
            StoreOp::ReserveBlob { blob, manifest } => {
                let pieces_len = decode(&manifest)?.pieces.len();
                Write::Blob { blob, manifest: manifest.into(), pieces_len }
            }
            StoreOp::WritePieces { blob, pieces } => Write::Pieces {
                blob,
                pieces: pieces.into_iter().map(|(n, p)| (n, shared(pool, blob, n, p))).collect(),
            },
            read => return Err(StoreError::Failed(format!("{read:?} is no write"))),
        })
    }

    fn take_space(&mut self, write: &Write) -> Result<(), StoreError> {
        let Some(free_bytes) = &mut self.free_bytes else {
            return Ok(());
        };
        let needed = match write {
            Write::Epoch { bytes, .. } => bytes.len() as u64,
            Write::Invitation(_) | Write::Doubt(_) => 64,
            Write::EpochAside { bytes, .. } => bytes.len() as u64,
            Write::Statements(them) => them.iter().map(|it| it.bytes.len() as u64).sum(),
            Write::Aside(envelopes)
            | Write::Envelopes { envelopes, .. }
            | Write::Mend { envelopes, .. }
            | Write::Rejudge { accepted: envelopes, .. } => {
                envelopes.iter().map(|envelope| envelope.bytes.len() as u64).sum()
            }
            Write::Doc { doc, .. } => doc.snapshot.as_ref().map_or(0, |s| s.len() as u64),
            Write::Blob { blob, .. } if self.given.blobs.contains_key(blob) => 0,
            Write::Blob { manifest, .. } => decode(manifest)?.total_bytes(),
            Write::Pieces { .. } => 0, // reserved before
        };
        *free_bytes = free_bytes.checked_sub(needed).ok_or(StoreError::NoSpace)?;
        Ok(())
    }
}

/// Reads what a snapshot says, as the hub's projection does.
fn projected(snapshot: Vec<u8>) -> Result<StoredDoc, StoreError> {
    let value = doc::read(&snapshot).map_err(|e| StoreError::Failed(e.to_string()))?;
    let mut blobs = BTreeMap::new();
    if let DocValue::Map(entries) = &value {
        for (key, value) in entries {
            let named = key.strip_prefix(BLOB_KEY_PREFIX).and_then(|hex| hex.parse().ok());
            if let (Some(blob), DocValue::Int(priority)) = (named, value) {
                blobs.insert(blob, *priority as u32);
            }
        }
    }
    Ok(StoredDoc {
        snapshot: Some(snapshot.into()),
        pending: Vec::new(),
        value: Some(Arc::new(value)),
        blobs,
    })
}

fn decode(manifest: &[u8]) -> Result<Manifest, StoreError> {
    Manifest::decode(manifest).map_err(|error| StoreError::Failed(error.to_string()))
}

fn shared(pool: &mut PiecePool, blob: BlobId, piece: u32, bytes: Vec<u8>) -> Arc<[u8]> {
    match pool.get(&(blob, piece)) {
        Some(known) if **known == *bytes => known.clone(),
        _ => bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yingxue_sync_core::event::EnvelopeRecord;
    use yingxue_sync_core::id::{CollectionId, DocId, Hash, HubId};

    fn append(id: StoreId, seq: u64) -> StoreRequest {
        let envelope = EnvelopeRecord {
            collection: CollectionId("lessons".into()),
            author: HubId([1; 32]),
            seq,
            hash: Hash([seq as u8; 32]),
            doc: DocId([2; 16]),
            bytes: vec![0; 10],
        };
        let op = StoreOp::AppendEnvelopes { envelopes: vec![envelope], fingerprint: [0; 16] };
        StoreRequest { id, op }
    }

    fn head(disk: &Disk) -> u64 {
        disk.head_seq(&CollectionId("lessons".into()), HubId([1; 32]))
    }

    #[test]
    fn a_power_cut_loses_what_was_not_answered() {
        for (landed, expected) in [(Landed::None, 1), (Landed::All, 3)] {
            let (mut store, mut rng) = (SimStore::default(), Rng::new(1));
            for n in 1..=3 {
                store.request(append(n, n), &mut PiecePool::new(), &mut rng);
            }
            assert!(store.answer(1).result.is_ok());
            assert_eq!((head(store.given()), head(store.durable())), (3, 1));
            store.cut_power(landed, &mut rng);
            assert_eq!((head(store.given()), head(store.durable())), (expected, expected));
        }
    }

    #[test]
    fn a_full_disk_refuses_and_changes_nothing() {
        let (mut store, mut rng) = (SimStore::default(), Rng::new(1));
        store.set_free_bytes(Some(15));
        for n in 1..=2 {
            store.request(append(n, n), &mut PiecePool::new(), &mut rng);
        }
        assert!(store.answer(1).result.is_ok());
        assert_eq!(store.answer(2).result.err(), Some(StoreError::NoSpace));
        assert_eq!(head(store.given()), 1);
    }

    #[test]
    fn an_answer_makes_the_writes_before_it_durable() {
        let (mut store, mut rng) = (SimStore::default(), Rng::new(1));
        for n in 1..=2 {
            store.request(append(n, n), &mut PiecePool::new(), &mut rng);
        }
        assert!(store.answer(2).result.is_ok() && store.answer(1).result.is_ok());
        assert_eq!(head(store.durable()), 2);
    }
}
