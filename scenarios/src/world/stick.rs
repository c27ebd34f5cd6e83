//! Sticks: what a courier takes from one hub to another, in the formats of real ones and judged by
//! the same node. Encryption and file systems are the hub's and not simulated.

use std::collections::BTreeSet;

use yingxue_sync_core::Node;
use yingxue_sync_core::courier::{
    BlobWant, Carried, CourierError, FRAME_HEAD_BYTES, Frame, Keys, Manifest, Outcome, ParcelId,
    Receipt, Segment, SignedManifest, SignedReceipt, VERSION, View, batch_of, frame_bytes,
};
use yingxue_sync_core::event::{Command, Want};
use yingxue_sync_core::id::{BlobId, Hash, HubId};
use yingxue_sync_core::wire::BATCH_BYTES;

use super::{HubIndex, World};

/// Epochs in one frame: the node takes 256 at a time.
const EPOCHS_MAX: usize = 64;
/// Pieces that are handed over at a time: a driver reads some megabytes ahead.
const PIECES_MAX: usize = 16;
/// How long the answer to one thing carried may take: some fsyncs, and what waits before it.
const ANSWER_MS_MAX: u64 = 60_000;

/// A stick with one parcel on it.
#[derive(Debug, Clone)]
pub struct Stick {
    manifest: Vec<u8>,
    segment: Vec<u8>,
    /// Blobs of which it has all that was asked for.
    pub blobs: BTreeSet<BlobId>,
}

/// What came of plugging in a stick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Epochs, envelopes and pieces that were new.
    pub accepted: u64,
    /// Why something was not taken.
    pub refused: Vec<String>,
}

impl Stick {
    /// Gives the bytes on it.
    pub fn bytes(&self) -> u64 {
        (self.manifest.len() + self.segment.len()) as u64
    }
}

impl World {
    /// Writes what a hub lacks, by its last receipt, to a stick: what was written first, then
    /// these blobs in their order, as far as there is room. None if the writer's power is off.
    pub fn write_stick(
        &mut self,
        [from, to]: [HubIndex; 2],
        blobs: &[BlobId],
        receipt: Option<&Receipt>,
        bytes_max: u64,
    ) -> Option<Stick> {
        let view = self.hubs[from].node().and_then(Node::courier_view)?;
        let (keys, to) = (Keys::of(&self.hubs[from].secret), self.hubs[to].id);
        let parcel = ParcelId(self.rng.bits() as u32);
        let begin = Frame::Begin { alliance: view.alliance, author: keys.hub(), parcel, number: 0 };
        let mut segment = begin.encode();
        for frame in self.written_frames(from, to, &view, receipt) {
            segment.extend(frame.encode());
        }
        let whole = self.put_blobs(&mut segment, from, blobs, receipt, bytes_max);
        segment.extend(Frame::End.encode());
        let described = Segment { bytes: segment.len() as u64, hash: hash(&segment), group: 0 };
        let manifest = Manifest {
            version: VERSION,
            alliance: view.alliance,
            author: keys.hub(),
            epoch: view.epoch,
            parcel,
            written_at_wall_ms: self.wall_ms(),
            is_finished: true,
            groups: vec![vec![to]],
            segments: vec![described],
        };
        Some(Stick { manifest: manifest.sign(&keys).bytes, segment, blobs: whole })
    }

    /// Gives epochs and envelopes that the receipt does not have.
    fn written_frames(
        &self,
        from: HubIndex,
        to: HubId,
        view: &View,
        receipt: Option<&Receipt>,
    ) -> Vec<Frame> {
        let known = receipt.map_or(0, |receipt| receipt.epoch as usize + 1);
        let epochs = view.epochs.get(known..).unwrap_or_default().chunks(EPOCHS_MAX);
        let mut frames: Vec<Frame> = epochs.map(|epochs| Frame::Epochs(epochs.to_vec())).collect();
        let disk = self.hubs[from].store.durable();
        for collection in view.collections.iter().filter(|it| it.readers.contains(&to)) {
            for (author, _) in &collection.vector {
                let seq = receipt.map_or(0, |receipt| receipt.seq_of(&collection.id, author));
                let journal = disk.journals.get(&(collection.id.clone(), *author));
                let missing = journal.into_iter().flat_map(|journal| journal.range(seq + 1..));
                let missing = missing.map(|(_, envelope)| envelope.bytes.clone());
                let batches = batches(missing).into_iter().map(|batch| Frame::Envelopes {
                    collection: collection.id.clone(),
                    batch: batch_of(&batch),
                });
                frames.extend(batches);
            }
        }
        frames
    }

    fn put_blobs(
        &self,
        segment: &mut Vec<u8>,
        from: HubIndex,
        blobs: &[BlobId],
        receipt: Option<&Receipt>,
        bytes_max: u64,
    ) -> BTreeSet<BlobId> {
        let mut whole = BTreeSet::new();
        let disk = self.hubs[from].store.durable();
        for blob in blobs {
            let Some(file) = disk.blobs.get(blob) else { continue };
            let want = receipt.and_then(|receipt| receipt.want(blob));
            let manifest = file.manifest.to_vec();
            segment.extend(Frame::Blob { blob: *blob, manifest }.encode());
            let wanted = |piece: &u32| want.is_none_or(|want| want.lacks(*piece));
            for (piece, bytes) in file.pieces.iter().filter(|(piece, _)| wanted(piece)) {
                if (segment.len() + bytes.len()) as u64 > bytes_max {
                    return whole;
                }
                let (piece, bytes) = (*piece, bytes.to_vec());
                segment.extend(Frame::Piece { blob: *blob, piece, bytes }.encode());
            }
            whole.insert(*blob);
        }
        whole
    }

    /// Plugs a stick in; lets time pass until all that is on it was judged and stored.
    ///
    /// # Errors
    /// If the stick is not one for this hub, or damaged.
    pub fn read_stick(&mut self, hub: HubIndex, stick: &Stick) -> Result<Taken, CourierError> {
        let SignedManifest { manifest, .. } = SignedManifest::decode(&stick.manifest)?;
        let is_right = |it: &Segment| it.hash == hash(&stick.segment);
        if !manifest.is_target(&self.hubs[hub].id) || !manifest.segments.iter().all(is_right) {
            return Err(CourierError::Malformed("a segment is not what the manifest says"));
        }
        let (mut taken, mut passed) = (Taken::default(), None);
        for carried in carried(&stick.segment)? {
            let blob = match &carried {
                Carried::Pieces { blob, .. } if passed == Some(*blob) => continue,
                Carried::Blob { blob, .. } => Some(*blob),
                _ => None,
            };
            let Some(outcome) = self.carry(hub, carried) else {
                taken.refused.push("no answer: the power went off".to_owned());
                break;
            };
            // Of what is whole here, or not taken, no pieces are handed over.
            if outcome.is_whole || outcome.refused.is_some() {
                passed = blob.or(passed);
            }
            taken.accepted += u64::from(outcome.accepted);
            taken.refused.extend(outcome.refused.map(|error| error.to_string()));
        }
        Ok(taken)
    }

    fn carry(&mut self, hub: HubIndex, carried: Carried) -> Option<Outcome> {
        let request = self.command(hub, |request| Command::Carry { request, carried })?;
        self.run_until(ANSWER_MS_MAX, |world| world.ledger.carried(request).is_some());
        self.ledger.carried(request).cloned()
    }

    /// Writes a hub's receipt: what it holds and wants. None if its power is off.
    pub fn write_receipt(&self, hub: HubIndex, number: u64) -> Option<SignedReceipt> {
        let it = &self.hubs[hub];
        let view = it.node().and_then(Node::courier_view)?;
        let want = |want: &Want| {
            let file = it.store.durable().blobs.get(&want.blob);
            let is_held = |piece: &u32| file.is_some_and(|file| file.pieces.contains_key(piece));
            let pieces = file.map_or(0, |file| file.pieces_len as u32);
            BlobWant::of(want.blob, (0..pieces).filter(|piece| !is_held(piece)))
        };
        let receipt = Receipt {
            version: VERSION,
            alliance: view.alliance,
            hub: it.id,
            number,
            epoch: view.epoch,
            written_at_wall_ms: self.wall_ms(),
            vectors: view.collections.into_iter().map(|it| (it.id, it.vector)).collect(),
            wants: it.wants.iter().map(want).collect(),
            are_wants_complete: true,
            parcels: Vec::new(),
        };
        Some(receipt.sign(&Keys::of(&it.secret)))
    }
}

/// Puts envelopes together as far as one batch goes.
fn batches(envelopes: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = BATCH_BYTES;
    for envelope in envelopes {
        if bytes + envelope.len() > BATCH_BYTES {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += envelope.len();
        batches.last_mut().expect("just pushed").push(envelope);
    }
    batches
}

/// Reads the frames of a segment as what the node takes.
fn carried(segment: &[u8]) -> Result<Vec<Carried>, CourierError> {
    let malformed = |_| CourierError::Malformed("a frame");
    let cut_short = CourierError::Malformed("a frame is cut short");
    let (mut all, mut rest): (Vec<Carried>, _) = (Vec::new(), segment);
    while let Some((head, tail)) = rest.split_first_chunk::<FRAME_HEAD_BYTES>() {
        let bytes = frame_bytes(*head).map_err(malformed)?;
        let (body, tail) = tail.split_at_checked(bytes).ok_or(cut_short.clone())?;
        rest = tail;
        match Frame::decode(*head, body).map_err(malformed)? {
            Frame::Begin { .. } | Frame::Receipt(_) | Frame::End => {}
            Frame::Epochs(epochs) => all.push(Carried::Epochs(epochs)),
            Frame::Envelopes { collection, batch } => {
                all.push(Carried::Envelopes { collection, batch });
            }
            Frame::Blob { blob, manifest } => all.push(Carried::Blob { blob, manifest }),
            Frame::Piece { blob, piece, bytes } => match all.last_mut() {
                Some(Carried::Pieces { blob: of, pieces })
                    if *of == blob && pieces.len() < PIECES_MAX =>
                {
                    pieces.push((piece, bytes));
                }
                _ => all.push(Carried::Pieces { blob, pieces: vec![(piece, bytes)] }),
            },
        }
    }
    Ok(all)
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}
