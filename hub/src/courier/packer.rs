//! Writes frames into segments of a parcel, and remembers what is in each.

use std::sync::atomic::Ordering;

use yingxue_sync_core::courier::Frame;
use yingxue_sync_core::id::BlobId;
use yingxue_sync_io::courier::{ParcelWriter, SegmentWriter, StickError};

use super::contents::Contents;
use super::{Live, table};
use crate::app::App;

/// A parcel that is being written.
pub(super) struct Packer<'a> {
    app: &'a App,
    live: &'a Live,
    writer: ParcelWriter,
    group: u8,
    keys: Vec<[u8; 32]>,
    open: Option<Open>,
    written_bytes: u64,
    /// A write has failed: what the open segment holds cannot be told.
    is_broken: bool,
}

struct Open {
    segment: SegmentWriter,
    contents: Contents,
    /// The blob whose manifest is in this segment and whose pieces may follow.
    blob: Option<BlobId>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(app: &'a App, live: &'a Live, writer: ParcelWriter) -> Self {
        let written_bytes = writer.manifest().total_bytes();
        Self {
            app,
            live,
            writer,
            group: 0,
            keys: Vec::new(),
            open: None,
            written_bytes,
            is_broken: false,
        }
    }

    /// Goes on for another group of hubs.
    pub(super) fn turn_to(&mut self, group: u8, keys: Vec<[u8; 32]>) -> Result<(), StickError> {
        self.end_segment()?;
        (self.group, self.keys) = (group, keys);
        Ok(())
    }

    /// Says whether the manifest of a blob is in the segment that is being written.
    pub(super) fn has_manifest(&self, blob: BlobId) -> bool {
        self.open.as_ref().is_some_and(|open| open.blob == Some(blob))
    }

    /// Writes a frame; `note` adds what it contains. Segments end after what fills them, but never
    /// between a manifest and its first piece: whoever reads the next one could not tell what the
    /// piece belongs to.
    pub(super) fn put(
        &mut self,
        frame: &Frame,
        note: impl FnOnce(&mut Contents),
    ) -> Result<(), StickError> {
        if self.live.stops(self.app) {
            return Err(StickError::Cancelled);
        }
        if self.open.is_none() {
            let segment = self.writer.begin(self.group, &self.keys)?;
            self.open = Some(Open { segment, contents: Contents::default(), blob: None });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let before = open.segment.plain_bytes();
        let written = open.segment.write(frame);
        self.is_broken |= written.is_err();
        written?;
        note(&mut open.contents);
        if let Frame::Blob { blob, .. } = frame {
            open.blob = Some(*blob);
        }
        self.live.add(open.segment.plain_bytes() - before);
        let is_full = open.segment.plain_bytes() >= self.segment_bytes();
        if is_full && !matches!(frame, Frame::Blob { .. }) {
            self.end_segment()?;
        }
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        self.app.courier.segment_bytes.load(Ordering::Relaxed)
    }

    /// Ends the segment that is being written, if there is one; what is in it counts then.
    pub(super) fn end_segment(&mut self) -> Result<(), StickError> {
        let Some(Open { segment, contents, .. }) = self.open.take() else { return Ok(()) };
        let ended = self.writer.end(segment)?;
        self.written_bytes += ended.bytes;
        let parcel = self.writer.manifest().parcel;
        let kept = self
            .app
            .db
            .write_blocking(move |tx| table::remember_segment(tx, parcel, &ended.hash, &contents));
        // Without it the same is written once more, on another day.
        if let Err(error) = kept {
            tracing::warn!(%error, "what a stick contains cannot be remembered");
        }
        Ok(())
    }

    /// Ends the parcel; gives the bytes of its segments. A segment in which a write has failed is
    /// removed, others count.
    pub(super) fn finish(mut self, is_finished: bool) -> Result<u64, StickError> {
        let mut is_whole = is_finished && !self.is_broken;
        if self.is_broken {
            self.open = None;
            self.writer.give_up();
        }
        match self.end_segment() {
            Ok(()) => {}
            Err(StickError::Full) => is_whole = false,
            Err(error) => return Err(error),
        }
        self.writer.finish(is_whole)?;
        Ok(self.written_bytes)
    }
}
