//! What is on a hub's disk: a reference store in maps, without latency or faults.
//!
//! [`SimStore`](crate::store::SimStore) holds two of these: as writes were given, and as a
//! power cut would leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use yingxue_sync_core::event::{
    DocValue, EnvelopeRecord, InvitationRecord, JournalHead, Restored, StoreError, StoreOp,
    StoreValue, StoredBlob,
};
use yingxue_sync_core::id::{BlobId, CollectionId, DocId, Hash, HubId};
use yingxue_sync_core::journal::SignedEnvelope;

/// Everything that one hub keeps.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// Signed epochs, by number.
    pub epochs: Vec<Arc<[u8]>>,
    /// Invitations by the hash of their secret.
    pub invitations: BTreeMap<Hash, InvitationRecord>,
    /// Journals by collection and author, each by `seq`.
    pub journals: BTreeMap<(CollectionId, HubId), BTreeMap<u64, Arc<EnvelopeRecord>>>,
    /// Fingerprint of each collection.
    pub fingerprints: BTreeMap<CollectionId, [u8; 16]>,
    /// Documents.
    pub docs: BTreeMap<(CollectionId, DocId), StoredDoc>,
    /// Blobs.
    pub blobs: BTreeMap<BlobId, BlobFile>,
}

/// A document: its snapshot, what it lacks, and its projection.
#[derive(Debug, Clone, Default)]
pub struct StoredDoc {
    /// As Automerge saved it last.
    pub snapshot: Option<Arc<[u8]>>,
    /// Envelopes that the snapshot does not have, in the order they were appended.
    pub pending: Vec<Arc<EnvelopeRecord>>,
    /// The projection: what the snapshot says.
    pub value: Option<Arc<DocValue>>,
    /// The projection: blobs that the document names, with the priority it gives them.
    pub blobs: BTreeMap<BlobId, u32>,
}

/// A blob: a sparse file and the bitmap of its verified pieces.
#[derive(Debug, Clone, Default)]
pub struct BlobFile {
    /// The encoded manifest.
    pub manifest: Arc<[u8]>,
    /// Number of pieces, as the manifest says.
    pub pieces_len: usize,
    /// Bytes of the pieces that are held; hubs share equal ones to save memory.
    pub pieces: BTreeMap<u32, Arc<[u8]>>,
}

impl BlobFile {
    /// Gives the bitmap, one bit a piece, least significant first.
    pub fn bitmap(&self) -> Vec<u8> {
        let mut bits = vec![0; self.pieces_len.div_ceil(8)];
        for piece in self.pieces.keys() {
            bits[*piece as usize / 8] |= 1 << (piece % 8);
        }
        bits
    }

    /// Says whether every piece is held.
    pub fn is_whole(&self) -> bool {
        self.pieces.len() == self.pieces_len
    }
}

/// A write with its derived parts worked out once, so that both disks share them.
#[derive(Debug, Clone)]
pub enum Write {
    /// See [`StoreOp::PutEpoch`].
    Epoch { n: u64, bytes: Arc<[u8]>, used_invitation: Option<(Hash, HubId)> },
    /// See [`StoreOp::PutInvitation`].
    Invitation(InvitationRecord),
    /// See [`StoreOp::AppendEnvelopes`].
    Envelopes { envelopes: Vec<Arc<EnvelopeRecord>>, fingerprint: [u8; 16] },
    /// See [`StoreOp::SaveDoc`].
    Doc { key: (CollectionId, DocId), doc: StoredDoc, applied: BTreeSet<(HubId, u64)> },
    /// See [`StoreOp::ReserveBlob`].
    Blob { blob: BlobId, manifest: Arc<[u8]>, pieces_len: usize },
    /// See [`StoreOp::WritePieces`].
    Pieces { blob: BlobId, pieces: Vec<(u32, Arc<[u8]>)> },
}

impl Disk {
    /// Carries out a write; refuses without changing anything.
    pub fn apply(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Epoch { n, bytes, used_invitation } => {
                self.put_epoch(*n, bytes, *used_invitation)
            }
            Write::Invitation(record) => {
                self.invitations.insert(record.secret_hash, record.clone());
                Ok(())
            }
            Write::Envelopes { envelopes, fingerprint } => self.append(envelopes, fingerprint),
            Write::Doc { key, doc, applied } => {
                self.save_doc(key, doc, applied);
                Ok(())
            }
            Write::Blob { blob, manifest, pieces_len } => {
                let file = self.blobs.entry(*blob).or_default();
                file.manifest = manifest.clone();
                file.pieces_len = *pieces_len;
                Ok(())
            }
            Write::Pieces { blob, pieces } => self.write_pieces(blob, pieces),
        }
    }

    fn put_epoch(
        &mut self,
        n: u64,
        bytes: &Arc<[u8]>,
        used: Option<(Hash, HubId)>,
    ) -> Result<(), StoreError> {
        if n == 0 {
            self.epochs.clear(); // a join that was cut short begins anew, maybe elsewhere
        }
        match self.epochs.get(n as usize) {
            Some(held) if held == bytes => return Ok(()),
            None if n == self.epochs.len() as u64 => {}
            _ => return Err(StoreError::Failed(format!("epoch {n} of {}", self.epochs.len()))),
        }
        if let Some((secret_hash, hub)) = used {
            let record = self.invitations.get_mut(&secret_hash).ok_or(StoreError::Missing)?;
            record.used_by = Some(hub);
        }
        self.epochs.push(bytes.clone());
        Ok(())
    }

    fn append(
        &mut self,
        envelopes: &[Arc<EnvelopeRecord>],
        fingerprint: &[u8; 16],
    ) -> Result<(), StoreError> {
        for envelope in envelopes {
            let key = (envelope.collection.clone(), envelope.author);
            let journal = self.journals.entry(key).or_default();
            match journal.get(&envelope.seq) {
                Some(held) if held.hash == envelope.hash => continue,
                Some(_) => return Err(StoreError::Failed("a fork".to_owned())),
                None => {}
            }
            let next = journal.last_key_value().map_or(1, |(seq, _)| seq + 1);
            if envelope.seq != next {
                return Err(StoreError::Failed(format!("seq {} after {next}", envelope.seq)));
            }
            journal.insert(envelope.seq, envelope.clone());
            let doc = (envelope.collection.clone(), envelope.doc);
            self.docs.entry(doc).or_default().pending.push(envelope.clone());
        }
        if let Some(first) = envelopes.first() {
            self.fingerprints.insert(first.collection.clone(), *fingerprint);
        }
        Ok(())
    }

    fn save_doc(
        &mut self,
        key: &(CollectionId, DocId),
        saved: &StoredDoc,
        applied: &BTreeSet<(HubId, u64)>,
    ) {
        let doc = self.docs.entry(key.clone()).or_default();
        doc.snapshot = saved.snapshot.clone();
        doc.value = saved.value.clone();
        doc.blobs = saved.blobs.clone();
        doc.pending.retain(|envelope| !applied.contains(&(envelope.author, envelope.seq)));
    }

    fn write_pieces(
        &mut self,
        blob: &BlobId,
        pieces: &[(u32, Arc<[u8]>)],
    ) -> Result<(), StoreError> {
        let file = self.blobs.get_mut(blob).ok_or(StoreError::Missing)?;
        if pieces.iter().any(|(piece, _)| *piece as usize >= file.pieces_len) {
            return Err(StoreError::Failed("a piece beyond the manifest".to_owned()));
        }
        file.pieces.extend(pieces.iter().cloned());
        Ok(())
    }

    /// Answers a read; none if `op` is a write.
    pub fn read(&self, op: &StoreOp) -> Option<Result<StoreValue, StoreError>> {
        match op {
            StoreOp::ReadEnvelopes { collection, author, from_seq, bytes_max } => {
                let key = (collection.clone(), *author);
                Some(Ok(StoreValue::Envelopes(self.envelopes(&key, *from_seq, *bytes_max))))
            }
            StoreOp::LoadDoc { collection, doc } => {
                let doc = self.docs.get(&(collection.clone(), *doc)).cloned().unwrap_or_default();
                Some(Ok(StoreValue::Doc {
                    snapshot: doc.snapshot.map(|bytes| bytes.to_vec()),
                    pending: doc.pending.iter().map(|e| e.bytes.clone()).collect(),
                }))
            }
            StoreOp::LoadBlob { blob } => Some(Ok(StoreValue::Blob(self.stored_blob(blob)))),
            StoreOp::ReadPiece { blob, piece } => {
                let bytes = self.blobs.get(blob).and_then(|file| file.pieces.get(piece));
                Some(match bytes {
                    Some(bytes) => Ok(StoreValue::Piece(bytes.to_vec())),
                    None => Err(StoreError::Missing),
                })
            }
            _ => None,
        }
    }

    fn envelopes(
        &self,
        key: &(CollectionId, HubId),
        from_seq: u64,
        bytes_max: usize,
    ) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for envelope in self.journals.get(key).into_iter().flat_map(|j| j.range(from_seq..)) {
            bytes += envelope.1.bytes.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(envelope.1.bytes.clone());
        }
        found
    }

    fn stored_blob(&self, blob: &BlobId) -> StoredBlob {
        let names = self.docs.iter().filter(|(_, doc)| doc.blobs.contains_key(blob));
        let collections: BTreeSet<_> = names.map(|((collection, _), _)| collection).collect();
        let file = self.blobs.get(blob);
        StoredBlob {
            manifest: file.map(|file| file.manifest.to_vec()),
            bitmap: file.filter(|f| !f.pieces.is_empty()).map(BlobFile::bitmap).unwrap_or_default(),
            collections: collections.into_iter().cloned().collect(),
        }
    }

    /// Gives what a node needs when it starts on this disk.
    pub fn restored(&self) -> Restored {
        Restored {
            epochs: self.epochs.iter().map(|bytes| bytes.to_vec()).collect(),
            heads: self.heads(),
            fingerprints: self.fingerprints.clone().into_iter().collect(),
            unapplied: self
                .docs
                .iter()
                .filter(|(_, doc)| !doc.pending.is_empty())
                .map(|(key, _)| key.clone())
                .collect(),
            invitations: self.invitations.values().cloned().collect(),
        }
    }

    fn heads(&self) -> Vec<JournalHead> {
        let newest = self.journals.values().filter_map(|journal| journal.values().next_back());
        let head = |envelope: &Arc<EnvelopeRecord>| JournalHead {
            collection: envelope.collection.clone(),
            author: envelope.author,
            seq: envelope.seq,
            hash: envelope.hash,
            epoch: epoch_of(&envelope.bytes),
        };
        newest.map(head).collect()
    }

    /// Gives the newest `seq` of a hub's journal in a collection, 0 if there is none.
    pub fn head_seq(&self, collection: &CollectionId, author: HubId) -> u64 {
        let journal = self.journals.get(&(collection.clone(), author));
        journal.and_then(|j| j.last_key_value()).map_or(0, |(seq, _)| *seq)
    }
}

/// Gives the epoch that a stored envelope cites.
fn epoch_of(bytes: &[u8]) -> u64 {
    SignedEnvelope::decode(bytes).expect("only checked envelopes are stored").envelope.epoch
}
