//! GOPs of `video-360` that hardly move, encoded while their pictures go by for the slides: a
//! lesson of pages alone is decoded once.
//!
//! What fails here is not the slides' concern: `video-360` meets it again, and says it.

use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::run::{Gop, Run};
use super::{VIDEO_360, begin};
use crate::frame_size::FrameSize;
use crate::import::progress::Moving;
use crate::import::still::{self, Stays};
use crate::import::{ImportError, Job};
use crate::probe::VideoStream;
use crate::track::TrackKind;

/// The size of the pictures that go by, as many a second as the track has.
pub(in crate::import) fn picture_size(video: &VideoStream) -> FrameSize {
    VIDEO_360.size(video)
}

/// Calls `look`, which shows all pictures of the lesson in order to what it is given, if
/// `video-360` is to be made.
pub(in crate::import) fn beside<T>(
    job: &Job,
    video: &VideoStream,
    look: impl FnOnce(Option<&mut Passing>) -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    if !job.request.tiers.video_360 || job.work.finished(TrackKind::Video360).is_some() {
        return look(None);
    }
    let maker = begin(job, VIDEO_360, video)?;
    let run = Run::new(job, VIDEO_360, video, &maker, false);
    let (sender, receiver) = sync_channel(0);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..job.request.workers.max(1) {
            scope.spawn(|| run.work(&receiver));
        }
        // Dropping it at the end is what ends the workers.
        let mut passing = Passing::new(&run, sender);
        look(Some(&mut passing))
    })
}

/// Puts pictures together to GOPs.
pub(in crate::import) struct Passing<'a> {
    run: &'a Run<'a>,
    gops: SyncSender<Gop>,
    stays: Stays,
    frames: Vec<u8>,
    n: u64,
    /// GOPs of those that were left for `video-360`'s own pass, since this call began.
    left: u64,
    passed: u64,
    /// GOPs that were handed out, and may not be durable yet.
    handed_out: Vec<u64>,
}

impl<'a> Passing<'a> {
    fn new(run: &'a Run<'a>, gops: SyncSender<Gop>) -> Self {
        let (stays, frames, handed_out) = Default::default();
        Self { run, gops, stays, frames, n: 0, left: 0, passed: 0, handed_out }
    }

    /// Goes on behind the first `frames` pictures, whole GOPs, with what [`Passing::kept`] gave.
    pub(in crate::import) fn go_on(&mut self, frames: u64, stays: Stays) {
        let gop_frames = self.run.format.gop_frames;
        self.n = frames / gop_frames;
        if let Some(still) = stays.number()
            && let Some(end) = self.run.durable_end(still, gop_frames as usize)
        {
            self.run.end(still, end.index);
        }
        self.stays = stays;
    }

    /// What pictures so far have left behind, once all that was made of them is durable; `None` if
    /// something was not made.
    pub(in crate::import) fn kept(&mut self) -> Option<&Stays> {
        let is_made = self.handed_out.iter().all(|n| self.run.end_of(*n).is_ok());
        (is_made && self.frames.is_empty()).then_some(&self.stays)
    }

    /// How much of the lesson moves, as far as it is seen.
    pub(in crate::import) fn moving(&self) -> Moving {
        Moving { moving: self.left, passed: self.passed }
    }

    /// Takes the next picture.
    pub(in crate::import) fn push(&mut self, picture: &[u8]) {
        self.frames.extend_from_slice(picture);
        let gop_bytes = self.run.size.frame_bytes() * self.run.format.gop_frames as usize;
        if self.frames.len() == gop_bytes {
            self.end_gop();
        }
    }

    /// Ends the lesson.
    pub(in crate::import) fn finish(&mut self) {
        if !self.frames.is_empty() {
            self.end_gop();
        }
    }

    fn end_gop(&mut self) {
        let (n, size) = (self.n, &self.run.size);
        self.n += 1;
        self.passed += 1;
        let repeated = self.stays.repeated(n, &self.frames, size);
        self.handed_out.retain(|n| !self.run.has_ended(*n));
        if let Some(end) = self.run.durable_end(n, self.frames.len() / size.frame_bytes()) {
            self.run.end(n, end.index);
        } else if self.can_make(repeated) {
            let (frames, still) = (self.frames.clone(), self.stays.number());
            self.handed_out.push(n);
            // Workers receive to the end, whatever fails.
            drop(self.gops.send(Gop { n, frames, repeated, still }));
        } else {
            self.left += 1;
        }
        self.frames.clear();
    }

    /// Whether the GOP can be made now: of few pictures, or of one that is made. It may not be, if
    /// the track was begun again since an earlier call.
    fn can_make(&self, repeated: Option<u64>) -> bool {
        match repeated {
            Some(earlier) => self.handed_out.contains(&earlier) || self.run.has_ended(earlier),
            None => still::has_few(&self.frames, &self.run.size),
        }
    }
}
