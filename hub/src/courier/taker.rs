//! Hands what a segment carries to the node, a few megabytes at a time.

use std::collections::BTreeSet;
use std::io::Read;

use tokio::runtime::Handle;
use yingxue_sync_core::blob::Bitmap;
use yingxue_sync_core::courier::{Carried, CarryError, Frame, Outcome, SignedReceipt};
use yingxue_sync_core::event::StoreError;
use yingxue_sync_core::id::{AllianceId, BlobId, HubId};
use yingxue_sync_io::courier::{Frames, StickError};

use super::report::{RefusedCode, Why};
use super::{Live, receipts, table};
use crate::app::App;
use crate::jobs::JobError;
use crate::problem::ApiError;

/// Bytes of pieces that are handed over, and made durable, at a time.
const PIECES_BYTES: usize = 8 << 20;

/// Takes the frames of one parcel.
pub(super) struct Taker<'a> {
    app: &'a App,
    live: &'a Live,
    runtime: &'a Handle,
    author: HubId,
    alliance: AllianceId,
    blob: Option<Taking>,
    /// The blob of the newest manifest, if its pieces are not needed or not wanted here.
    passed_over: Option<BlobId>,
    pub taken: Taken,
}

/// What was new in a parcel.
#[derive(Default)]
pub(super) struct Taken {
    pub epochs: u64,
    pub envelopes: u64,
    pub payload_bytes: u64,
    /// Blobs that are whole now and were not before.
    pub whole: BTreeSet<BlobId>,
    /// Blobs that something new came of.
    pub grown: BTreeSet<BlobId>,
}

/// A blob whose pieces are coming.
struct Taking {
    blob: BlobId,
    held: Bitmap,
    pieces: Vec<(u32, Vec<u8>)>,
    bytes: usize,
}

/// How a segment went.
pub(super) struct SegmentTaken {
    /// The blobs in it.
    pub blobs: Vec<BlobId>,
    /// Why something of it was not taken; another try may.
    pub refused: Option<Why>,
}

/// Why an import cannot go on.
pub(super) enum Stop {
    /// The stick.
    Stick(StickError),
    /// This hub.
    Hub(JobError),
}

/// Says why nothing of a parcel was taken whose author is no member.
pub(super) fn unknown_sender() -> Why {
    Why::new(RefusedCode::UnknownSender, "the hub that wrote it does not belong to the alliance")
}

impl<'a> Taker<'a> {
    pub(super) fn new(
        app: &'a App,
        live: &'a Live,
        runtime: &'a Handle,
        (author, alliance): (HubId, AllianceId),
    ) -> Self {
        let taken = Taken::default();
        Self { app, live, runtime, author, alliance, blob: None, passed_over: None, taken }
    }

    /// Takes the frames of a segment.
    ///
    /// # Errors
    /// If the whole import cannot go on.
    pub(super) fn take<R: Read>(&mut self, frames: Frames<R>) -> Result<SegmentTaken, Stop> {
        let mut taken = SegmentTaken { blobs: Vec::new(), refused: None };
        self.passed_over = None;
        // Hubs of before have put a manifest at the end of a segment and its first piece into the
        // next one: what the last one was about still counts.
        taken.blobs.extend(self.blob.as_ref().map(|taking| taking.blob));
        for frame in frames {
            if self.live.stops(self.app) {
                return Err(Stop::Stick(StickError::Cancelled));
            }
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.flush(&mut taken)?;
                    taken.refused.get_or_insert(error.into());
                    return Ok(taken);
                }
            };
            self.take_frame(frame, &mut taken)?;
        }
        self.flush(&mut taken)?;
        Ok(taken)
    }

    fn take_frame(&mut self, frame: Frame, taken: &mut SegmentTaken) -> Result<(), Stop> {
        if let Frame::Epochs(epochs) = frame {
            let outcome = self.carry(Carried::Epochs(epochs), taken)?;
            self.taken.epochs += u64::from(outcome.accepted);
            return Ok(());
        }
        if !self.is_author_member() {
            taken.refused.get_or_insert_with(unknown_sender);
            return Ok(());
        }
        match frame {
            Frame::Receipt(bytes) => self.take_receipt(&bytes),
            Frame::Envelopes { collection, batch } => {
                let outcome = self.carry(Carried::Envelopes { collection, batch }, taken)?;
                self.taken.envelopes += u64::from(outcome.accepted);
                Ok(())
            }
            Frame::Blob { blob, manifest } => self.take_manifest(blob, manifest, taken),
            Frame::Piece { blob, piece, bytes } => self.take_piece(blob, piece, bytes, taken),
            Frame::Begin { .. } | Frame::Epochs(_) | Frame::End => Ok(()),
        }
    }

    fn is_author_member(&self) -> bool {
        let membership = self.app.sync.membership();
        membership.is_some_and(|m| m.hubs.iter().any(|member| member.hub == self.author))
    }

    fn take_receipt(&self, bytes: &[u8]) -> Result<(), Stop> {
        match SignedReceipt::decode(bytes) {
            // Somebody else's would be signed by somebody else.
            Ok(signed)
                if signed.receipt.hub == self.author
                    && signed.receipt.alliance == self.alliance =>
            {
                receipts::keep(self.app, &signed).map_err(|error| Stop::Hub(error.into()))
            }
            _ => Ok(()),
        }
    }

    fn take_manifest(
        &mut self,
        blob: BlobId,
        manifest: Vec<u8>,
        taken: &mut SegmentTaken,
    ) -> Result<(), Stop> {
        self.flush(taken)?;
        (self.blob, self.passed_over) = (None, Some(blob));
        let pieces = yingxue_sync_core::blob::Manifest::decode(&manifest)
            .map_or(0, |manifest| manifest.pieces.len());
        let outcome = self.carry(Carried::Blob { blob, manifest }, taken)?;
        if outcome.refused.is_none() {
            taken.blobs.push(blob);
            if !outcome.is_whole {
                let held = Bitmap::from_bytes(&outcome.held, pieces);
                self.passed_over = None;
                self.blob = Some(Taking { blob, held, pieces: Vec::new(), bytes: 0 });
            }
        }
        Ok(())
    }

    fn take_piece(
        &mut self,
        blob: BlobId,
        piece: u32,
        bytes: Vec<u8>,
        taken: &mut SegmentTaken,
    ) -> Result<(), Stop> {
        let Some(taking) = self.blob.as_mut().filter(|taking| taking.blob == blob) else {
            if self.passed_over != Some(blob) && !self.is_whole(blob)? {
                let words = "a part of a lesson came without the list of the lesson's parts";
                taken.refused.get_or_insert_with(|| Why::new(RefusedCode::Damaged, words));
            }
            return Ok(());
        };
        if taking.held.has(piece) {
            return Ok(());
        }
        taking.bytes += bytes.len();
        taking.pieces.push((piece, bytes));
        if taking.bytes >= PIECES_BYTES { self.flush(taken) } else { Ok(()) }
    }

    fn is_whole(&self, blob: BlobId) -> Result<bool, Stop> {
        let is_whole = self.app.db.read_blocking(|db| table::is_whole(db, &blob));
        is_whole.map_err(|error| Stop::Hub(ApiError::from(error).into()))
    }

    /// Hands over the pieces that were gathered.
    fn flush(&mut self, taken: &mut SegmentTaken) -> Result<(), Stop> {
        let Some(taking) = self.blob.as_mut().filter(|taking| !taking.pieces.is_empty()) else {
            return Ok(());
        };
        let (blob, bytes) = (taking.blob, std::mem::take(&mut taking.bytes) as u64);
        let pieces = std::mem::take(&mut taking.pieces);
        pieces.iter().for_each(|(piece, _)| taking.held.insert(*piece));
        let outcome = self.carry(Carried::Pieces { blob, pieces }, taken)?;
        if outcome.accepted > 0 {
            self.taken.grown.insert(blob);
            self.taken.payload_bytes += if outcome.refused.is_none() { bytes } else { 0 };
        }
        if outcome.is_whole && outcome.accepted > 0 {
            self.taken.whole.insert(blob);
        }
        Ok(())
    }

    fn carry(&self, carried: Carried, taken: &mut SegmentTaken) -> Result<Outcome, Stop> {
        let outcome = self.runtime.block_on(self.app.sync.carry(carried));
        match &outcome.refused {
            None => {}
            Some(CarryError::Store(StoreError::NoSpace)) => {
                let words = "This hub's disk is full. Free some space and begin again: what was \
                     taken stays.";
                return Err(Stop::Hub(JobError::new("disk_full", words)));
            }
            Some(CarryError::NoAlliance) => {
                let words = "This school belongs to no alliance yet; join one first.";
                return Err(Stop::Hub(JobError::new("no_alliance", words)));
            }
            Some(CarryError::Store(_)) if self.app.shutdown.is_on() => {
                return Err(Stop::Stick(StickError::Cancelled));
            }
            Some(error) => {
                taken.refused.get_or_insert_with(|| error.clone().into());
            }
        }
        Ok(outcome)
    }
}
