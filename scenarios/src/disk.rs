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
use yingxue_sync_core::journal::{ASIDE_MAX, SignedEnvelope};
use yingxue_sync_core::witness::{SLOT_CONTRADICTED, StatementHeld, StatementRecord};

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
    /// Envelopes that do not count, by collection, author, `seq` and hash.
    pub aside: BTreeMap<(CollectionId, HubId, u64, Hash), Arc<EnvelopeRecord>>,
    /// Epochs that contradict one that is here.
    pub epochs_aside: BTreeSet<(u64, Arc<[u8]>)>,
    /// Statements of witnesses by collection, author, witness and slot.
    pub statements: BTreeMap<(CollectionId, HubId, HubId, i64), Arc<StatementRecord>>,
    /// Random; another one after each restore or copy that was noticed.
    pub store_id: [u8; 16],
    /// Whether the driver has noticed that the disk was restored, and others were not asked since.
    pub is_in_doubt: bool,
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
    /// See [`StoreOp::SetAside`].
    Aside(Vec<Arc<EnvelopeRecord>>),
    /// See [`StoreOp::Rejudge`].
    Rejudge {
        collection: CollectionId,
        cuts: Vec<(HubId, u64)>,
        accepted: Vec<Arc<EnvelopeRecord>>,
        fingerprint: [u8; 16],
    },
    /// See [`StoreOp::Mend`].
    Mend { collection: CollectionId, envelopes: Vec<Arc<EnvelopeRecord>>, fingerprint: [u8; 16] },
    /// See [`StoreOp::SetEpochAside`].
    EpochAside { n: u64, bytes: Arc<[u8]> },
    /// See [`StoreOp::PutStatements`] and [`StoreOp::KeepContradicted`].
    Statements(Vec<Arc<StatementRecord>>),
    /// See [`StoreOp::PutDoubt`].
    Doubt(bool),
    /// See [`StoreOp::SaveDoc`].
    Doc { key: (CollectionId, DocId), doc: StoredDoc, applied: BTreeSet<(HubId, u64)> },
    /// See [`StoreOp::ReserveBlob`].
    Blob { blob: BlobId, manifest: Arc<[u8]>, pieces_len: usize },
    /// See [`StoreOp::WritePieces`].
    Pieces { blob: BlobId, pieces: Vec<(u32, Arc<[u8]>)> },
}

impl Disk {
    /// Carries out a write; refuses without changing anything.
    pub fn apply(&mut self, write: &Write) -> Result<StoreValue, StoreError> {
        if let Write::Rejudge { collection, cuts, accepted, fingerprint } = write {
            return self.rejudge(collection, cuts, accepted, fingerprint).map(StoreValue::Docs);
        }
        self.put(write).map(|()| StoreValue::Done)
    }

    fn put(&mut self, write: &Write) -> Result<(), StoreError> {
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
            Write::Aside(envelopes) => {
                envelopes.iter().for_each(|envelope| self.set_aside(envelope));
                Ok(())
            }
            Write::Mend { collection, envelopes, fingerprint } => {
                for envelope in envelopes {
                    let key = (collection.clone(), envelope.author);
                    self.journals.entry(key).or_default().insert(envelope.seq, envelope.clone());
                    let doc = self.docs.entry((collection.clone(), envelope.doc)).or_default();
                    doc.pending.retain(|it| (it.author, it.seq) != (envelope.author, envelope.seq));
                    doc.pending.push(envelope.clone());
                }
                self.fingerprints.insert(collection.clone(), *fingerprint);
                Ok(())
            }
            Write::Statements(statements) => {
                statements.iter().for_each(|it| self.put_statement(it));
                Ok(())
            }
            Write::EpochAside { n, bytes } => {
                self.epochs_aside.insert((*n, bytes.clone()));
                Ok(())
            }
            Write::Doubt(is_in_doubt) => {
                self.is_in_doubt = *is_in_doubt;
                Ok(())
            }
            Write::Rejudge { .. } => Err(StoreError::Failed("answered with documents".into())),
        }
    }

    fn put_statement(&mut self, record: &Arc<StatementRecord>) {
        let it = &record.statement;
        let key = (it.collection.clone(), it.author, it.witness, record.slot);
        let known = self.statements.get(&key);
        if known.is_none_or(|known| known.statement.seq < it.seq) {
            self.statements.insert(key, record.clone());
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
            // The root key has delegated anew.
            Some(_) => self.epochs.truncate(n as usize),
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

    fn set_aside(&mut self, envelope: &Arc<EnvelopeRecord>) {
        let it = envelope;
        let of_author = |(key, _): &(&(CollectionId, HubId, u64, Hash), _)| {
            key.0 == it.collection && key.1 == it.author
        };
        if self.aside.iter().filter(of_author).count() < ASIDE_MAX {
            let key = (it.collection.clone(), it.author, it.seq, it.hash);
            self.aside.insert(key, envelope.clone());
        }
    }

    fn rejudge(
        &mut self,
        collection: &CollectionId,
        cuts: &[(HubId, u64)],
        accepted: &[Arc<EnvelopeRecord>],
        fingerprint: &[u8; 16],
    ) -> Result<Vec<DocId>, StoreError> {
        let mut unmade = BTreeSet::new();
        for (author, keep) in cuts {
            let key = (collection.clone(), *author);
            let journal = self.journals.entry(key.clone()).or_default();
            for envelope in journal.split_off(&(keep + 1)).into_values() {
                unmade.insert(envelope.doc);
                self.set_aside(&envelope);
            }
            if self.journals.get(&key).is_some_and(BTreeMap::is_empty) {
                self.journals.remove(&key);
            }
        }
        for doc in &unmade {
            let key = (collection.clone(), *doc);
            let journals = self.journals.iter().filter(|((c, _), _)| c == collection);
            let envelopes = journals.flat_map(|(_, journal)| journal.values());
            let pending: Vec<_> = envelopes.filter(|it| it.doc == *doc).cloned().collect();
            match pending.is_empty() {
                true => drop(self.docs.remove(&key)),
                false => drop(self.docs.insert(key, StoredDoc { pending, ..StoredDoc::default() })),
            }
        }
        for it in accepted {
            self.aside.remove(&(collection.clone(), it.author, it.seq, it.hash));
            unmade.insert(it.doc);
        }
        self.append(accepted, fingerprint)?;
        self.fingerprints.insert(collection.clone(), *fingerprint);
        Ok(unmade.into_iter().collect())
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
            StoreOp::ReadDisputed { collection, tails } => {
                Some(Ok(self.disputed(collection, tails)))
            }
            StoreOp::ListEnvelopes { collection, is_verified } => {
                let journals = self.journals.iter().filter(|((c, _), _)| c == collection);
                let all = journals.flat_map(|(_, journal)| journal.values());
                let is_right =
                    |it: &EnvelopeRecord| *blake3::hash(&it.bytes).as_bytes() == it.hash.0;
                let all = all.filter(|it| !is_verified || is_right(it));
                Some(Ok(StoreValue::Places(all.map(|it| (it.author, it.seq, it.hash)).collect())))
            }
            StoreOp::ReadPlaces { collection, places } => {
                let read = |(author, seq): &(HubId, u64)| {
                    self.journals.get(&(collection.clone(), *author))?.get(seq)
                };
                let found = places.iter().filter_map(read).map(|it| it.bytes.clone());
                Some(Ok(StoreValue::Envelopes(found.collect())))
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

    fn disputed(&self, collection: &CollectionId, tails: &[(HubId, u64)]) -> StoreValue {
        let journals = self.journals.iter().filter(|((c, _), _)| c == collection);
        let all: Vec<_> = journals.flat_map(|(_, journal)| journal.values()).collect();
        let aside = self.aside.iter().filter(|((c, ..), _)| c == collection);
        let aside: Vec<_> = aside.map(|(_, envelope)| envelope).collect();
        let in_tail = |it: &EnvelopeRecord| {
            tails.iter().any(|(author, from)| *author == it.author && it.seq >= *from)
        };
        let tail = all.iter().filter(|it| in_tail(it));
        let docs: BTreeSet<DocId> = tail.chain(&aside).map(|it| it.doc).collect();
        let kept = all.iter().filter(|it| docs.contains(&it.doc) || in_tail(it));
        StoreValue::Disputed {
            kept: kept.map(|it| it.bytes.clone()).collect(),
            aside: aside.iter().map(|it| it.bytes.clone()).collect(),
        }
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
            aside: self.aside.values().map(|it| (it.collection.clone(), it.doc)).collect(),
            has_epochs_aside: !self.epochs_aside.is_empty(),
            statements: self.statements.values().map(|it| held(it)).collect(),
            store_id: self.store_id,
            is_in_doubt: self.is_in_doubt,
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

fn held(it: &StatementRecord) -> StatementHeld {
    StatementHeld {
        bytes: it.bytes.clone(),
        received_at_wall_ms: it.received_at_wall_ms,
        is_contradicted: it.slot == SLOT_CONTRADICTED,
    }
}

/// Gives the epoch that a stored envelope cites.
fn epoch_of(bytes: &[u8]) -> u64 {
    SignedEnvelope::decode(bytes).expect("only checked envelopes are stored").envelope.epoch
}
