//! The track `thumbs`: what the seek bar shows, a still every 10 s.

use std::io::BufWriter;

use serde::{Deserialize, Serialize};

use super::{FinishedTrack, ImportError, Job, WorkDir};
use crate::cmaf::scan;
use crate::slide::{Page, StillUse, encode_still, segment, track};
use crate::track::TrackKind;

const KIND: TrackKind = TrackKind::Thumbs;
/// How long each is shown: what a finger on the bar of a 40-minute lesson can tell apart.
const EVERY_FRAMES: u64 = 125;
/// The frame of those that stands for them: the one in the middle.
const MIDDLE_FRAME: u64 = EVERY_FRAMES / 2;
/// Stills that are kept together: those of 20 s, which are whole GOPs of `video-360` and cost some
/// 4 s of a processor.
const PART_STILLS: u64 = 2;
/// The frames of those.
pub(super) const PART_FRAMES: u64 = PART_STILLS * EVERY_FRAMES;
/// The largest picture (DESIGN §8).
pub(crate) const THUMB_SIZE: (u32, u32) = (160, 90);
/// The smallest side that the encoder takes.
const SIDE_MIN: u32 = 16;

/// Makes the stills while the pictures of a lesson go by.
pub(super) struct Thumbs {
    frame_ms: u64,
    waiting: Option<Page>,
    waiting_frames: u64,
    at_ms: u64,
    size: (u32, u32),
    durations_ms: Vec<u32>,
    segments: Vec<Vec<u8>>,
    /// The last still: a picture that stays is not encoded again.
    last: Option<(Page, Vec<u8>)>,
    parts_kept: u64,
}

/// What goes on after a cut, beside the stills of whole parts.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    parts: u64,
    size: (u32, u32),
    /// The last still: its picture and its sample.
    i420: Vec<u8>,
    sample: Vec<u8>,
}

impl Thumbs {
    pub(super) fn new(frame_ms: u64) -> Self {
        Self {
            frame_ms,
            waiting: None,
            waiting_frames: 0,
            at_ms: 0,
            size: (0, 0),
            durations_ms: Vec::new(),
            segments: Vec::new(),
            last: None,
            parts_kept: 0,
        }
    }

    /// As [`Thumbs::new`], after what [`Thumbs::keep`] made durable; `None` if that is not whole.
    pub(super) fn go_on(frame_ms: u64, kept: Kept, work: &WorkDir) -> Option<Self> {
        let (width, height) = kept.size;
        let page = Page::new(width, height, kept.i420).ok()?;
        let mut thumbs = Self::new(frame_ms);
        let duration_ms = EVERY_FRAMES * frame_ms;
        for part in 0..kept.parts {
            let segments: Vec<Vec<u8>> =
                postcard::from_bytes(&work.read_segment(KIND, part)?).ok()?;
            let is_whole = segments.len() as u64 == PART_STILLS;
            for segment in segments.into_iter().filter(|_| is_whole) {
                let fragments = scan::fragment(&segment).ok()?;
                let times = fragments.first().map(|f| (f.start_ticks, f.duration_ticks))?;
                scan::samples(&segment).ok().filter(|_| times == (thumbs.at_ms, duration_ms))?;
                thumbs.segments.push(segment);
                thumbs.durations_ms.push(duration_ms as u32);
                thumbs.at_ms += duration_ms;
            }
        }
        thumbs.parts_kept = kept.parts;
        (thumbs.size, thumbs.last) = (kept.size, Some((page, kept.sample)));
        (thumbs.segments.len() as u64 == kept.parts * PART_STILLS).then_some(thumbs)
    }

    /// Makes the stills of whole parts durable. `None` in the middle of a part.
    pub(super) fn keep(&mut self, work: &WorkDir) -> Result<Option<Kept>, ImportError> {
        let parts = self.segments.len() as u64 / PART_STILLS;
        let is_whole = self.waiting.is_none() && parts * PART_STILLS == self.segments.len() as u64;
        let Some((page, sample)) = self.last.as_ref().filter(|_| is_whole) else { return Ok(None) };
        for (part, segments) in
            (0..).zip(self.segments.chunks(PART_STILLS as usize)).skip(self.parts_kept as usize)
        {
            let bytes = postcard::to_stdvec(segments).expect("bytes always encode");
            work.write_segment(KIND, part, &bytes, None)?;
        }
        self.parts_kept = parts;
        let (i420, sample) = (page.i420().to_vec(), sample.clone());
        Ok(Some(Kept { parts, size: self.size, i420, sample }))
    }

    /// Takes the next picture.
    pub(super) fn push(&mut self, page: &Page) -> Result<(), ImportError> {
        if self.waiting.is_none() || self.waiting_frames == MIDDLE_FRAME {
            self.waiting = Some(small(page, THUMB_SIZE)?);
        }
        self.waiting_frames += 1;
        if self.waiting_frames == EVERY_FRAMES {
            self.end_still()?;
        }
        Ok(())
    }

    fn end_still(&mut self) -> Result<(), ImportError> {
        let Some(page) = self.waiting.take() else { return Ok(()) };
        let sample = match self.last.take() {
            Some((same, sample)) if same == page => sample,
            _ => encode_still(&page, StillUse::Thumb)?,
        };
        let duration_ms = std::mem::take(&mut self.waiting_frames) * self.frame_ms;
        self.size = (page.width(), page.height());
        self.segments.push(segment(
            self.segments.len() as u64,
            self.at_ms,
            duration_ms as u32,
            sample.clone(),
        ));
        self.last = Some((page, sample));
        self.durations_ms.push(duration_ms as u32);
        self.at_ms += duration_ms;
        Ok(())
    }

    /// Makes the track durable.
    pub(super) fn finish(mut self, job: &Job) -> Result<FinishedTrack, ImportError> {
        self.end_still()?;
        let mut file = BufWriter::new(job.work.start(KIND)?);
        let read = |n: u64| {
            let found = self.segments.get(n as usize).cloned();
            found.ok_or(ImportError::NothingDecoded)
        };
        let info = track(KIND, self.size, &self.durations_ms, read, &mut file)?;
        let file = file.into_inner().map_err(|error| error.into_error())?;
        Ok(job.work.finish(file, info)?)
    }
}

/// The size that fits into `most`, never enlarged: both sides even, and as the encoder takes them.
pub(crate) fn small_size((width, height): (u32, u32), most: (u32, u32)) -> (u32, u32) {
    let ratio =
        (f64::from(most.0) / f64::from(width)).min(f64::from(most.1) / f64::from(height)).min(1.0);
    let even = |side: u32, most: u32| {
        let side = (f64::from(side) * ratio / 2.0).round() as u32 * 2;
        side.clamp(SIDE_MIN, most)
    };
    (even(width, most.0), even(height, most.1))
}

/// Shrinks a page so that it fits into `most`, each pixel the mean of those it stands for.
pub(crate) fn small(page: &Page, most: (u32, u32)) -> Result<Page, ImportError> {
    let (width, height) = small_size((page.width(), page.height()), most);
    let mut i420 = Vec::with_capacity((width * height * 3 / 2) as usize);
    for (n, (plane, plane_width)) in page.planes().into_iter().enumerate() {
        let half = u32::from(n > 0);
        let to = ((width >> half) as usize, (height >> half) as usize);
        shrink(plane, plane_width, to, &mut i420);
    }
    Ok(Page::new(width, height, i420).map_err(crate::decode::DecodeError::from)?)
}

fn shrink(plane: &[u8], width: usize, (to_width, to_height): (usize, usize), out: &mut Vec<u8>) {
    let height = plane.len() / width;
    // The source pixels that pixel `at` of `to` stands for, at least one.
    let span = |at: usize, from: usize, to: usize| {
        let start = at * from / to;
        start..((at + 1) * from / to).max(start + 1)
    };
    for y in 0..to_height {
        let rows = span(y, height, to_height);
        for x in 0..to_width {
            let columns = span(x, width, to_width);
            let count = (rows.len() * columns.len()) as u32;
            let levels = rows.clone().flat_map(|row| &plane[row * width..][columns.clone()]);
            let sum: u32 = levels.map(|level| u32::from(*level)).sum();
            out.push(((sum + count / 2) / count) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(width: u32, height: u32) -> Page {
        let mut i420 = vec![128; (width * height * 3 / 2) as usize];
        for (at, level) in i420.iter_mut().take((width * height) as usize).enumerate() {
            *level = if at % (width as usize) < width as usize / 2 { 40 } else { 200 };
        }
        Page::new(width, height, i420).unwrap()
    }

    #[test]
    fn a_thumbnail_fits_is_even_and_shows_the_same() {
        for (from, to) in [
            ((320, 180), (160, 90)),
            ((102, 180), (52, 90)),
            ((320, 16), (160, 16)),
            ((16, 16), (16, 16)),
        ] {
            let thumb = small(&halves(from.0, from.1), THUMB_SIZE).unwrap();
            assert_eq!((thumb.width(), thumb.height()), to);
            let row = &thumb.luma()[..to.0 as usize];
            assert_eq!((row[0], row[to.0 as usize - 1]), (40, 200));
        }
    }
}
