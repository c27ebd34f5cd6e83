//! The first pass over the pictures: finds the pages, makes the thumbnails, and shows them to
//! `video-360`.
//!
//! Every 20 s of the lesson what it knows is made durable: the finder, the thumbnails, what
//! `video-360` takes from before, and how the last picture looked. After a cut it goes on there: in
//! a file with an index at the key frame before it; any other file is decoded again from its
//! beginning, without looking. It has to come to the same last picture, or looks at all anew.

use serde::{Deserialize, Serialize};

use super::{FRAME_MS, Found, KIND, RATE, read_page};
use crate::child::Child;
use crate::import::pictures::{Mark, Pictures};
use crate::import::still::Stays;
use crate::import::thumbs::{self, PART_FRAMES, Thumbs};
use crate::import::video::passing::{self, Passing};
use crate::import::{FinishedTrack, ImportError, Job, Stage, child_error};
use crate::probe::VideoStream;
use crate::slide::{Finder, Page};
use crate::track::TrackKind;

/// The bytes of a BLAKE3 hash.
const HASH_BYTES: usize = 32;

/// What is known after so many pictures, and of them.
struct Look {
    pictures: u64,
    finder: Finder,
    thumbs: Thumbs,
}

/// A look as it is kept; `F` and `S` are borrowed when it is written.
#[derive(Serialize, Deserialize)]
struct Kept<F, S> {
    pictures: u64,
    /// The last picture.
    last: Mark,
    finder: F,
    thumbs: thumbs::Kept,
    /// `None` if `video-360` was not shown the pictures.
    stays: Option<S>,
}

/// Finds the pages and makes the thumbnails.
pub(super) fn look(
    job: &Job,
    video: &VideoStream,
    mut passing: Option<&mut Passing>,
) -> Result<(Found, FinishedTrack), ImportError> {
    let size = passing::picture_size(video);
    let pictures = Pictures { job, kind: KIND, video, rate: RATE, size };
    let (mut child, mut look) = begin(&pictures, passing.as_deref_mut())?;
    while let Some(page) = read_page(job, &mut child, &size)? {
        let (width, height) = (size.width as usize, size.height as usize);
        look.finder.push(look.pictures, page.luma(), width, height);
        look.thumbs.push(&page)?;
        if let Some(passing) = &mut passing {
            passing.push(page.i420());
        }
        look.pictures += 1;
        if look.pictures.is_multiple_of(1000 / FRAME_MS) {
            let looked_ms = look.pictures * FRAME_MS;
            job.check_going_on(looked_ms)?;
            // A child that is not read from stands still by itself.
            job.reporter.wait_while_paused();
            let moving = passing.as_ref().map(|passing| passing.moving());
            let looked_s = looked_ms as f64 / 1000.0;
            let duration_s = (job.probe.duration_ms as f64 / 1000.0).max(looked_s);
            job.reporter.seen(looked_s, duration_s, look.finder.count(), moving);
            job.reporter.report(Stage::Slides, job.fraction(looked_ms));
        }
        if look.pictures.is_multiple_of(PART_FRAMES) {
            look.keep(job, &page, passing.as_deref_mut())?;
        }
    }
    child.finish().map_err(|error| child_error(KIND, error))?;
    if look.pictures == 0 {
        return Err(ImportError::NothingDecoded);
    }
    if let Some(passing) = passing {
        passing.finish();
    }
    look.finish(job)
}

/// Goes on where an earlier call was cut, or begins.
fn begin(pictures: &Pictures, passing: Option<&mut Passing>) -> Result<(Child, Look), ImportError> {
    let job = pictures.job;
    let kept = read(job).filter(|kept| passing.is_none() || kept.stays.is_some());
    if let Some(kept) = kept
        && let Some(thumbs) = Thumbs::go_on(FRAME_MS, kept.thumbs, &job.work)
        && let Some(child) = start_behind(pictures, kept.pictures, &kept.last)?
    {
        if let (Some(passing), Some(stays)) = (passing, kept.stays) {
            passing.go_on(kept.pictures, stays);
        }
        let all = (job.probe.duration_ms / FRAME_MS).max(kept.pictures);
        job.reporter.segments(Stage::Slides, kept.pictures, kept.pictures, all);
        return Ok((child, Look { pictures: kept.pictures, finder: kept.finder, thumbs }));
    }
    let look = Look { pictures: 0, finder: Finder::new(), thumbs: Thumbs::new(FRAME_MS) };
    Ok((pictures.decode_all()?, look))
}

fn start_behind(
    pictures: &Pictures,
    count: u64,
    last: &Mark,
) -> Result<Option<Child>, ImportError> {
    let n = count - 1;
    match pictures.seek_behind(n, last)? {
        Some(child) => Ok(Some(child)),
        None => pictures.pass_behind(n, last),
    }
}

impl Look {
    /// Makes durable what is known once `page` was the last picture; it waits for the GOPs of
    /// `video-360` that were made of pictures so far, for nobody would make them later.
    fn keep(
        &mut self,
        job: &Job,
        page: &Page,
        passing: Option<&mut Passing>,
    ) -> Result<(), ImportError> {
        let stays = match passing {
            Some(passing) => match passing.kept() {
                Some(stays) => Some(stays),
                None => return Ok(()),
            },
            None => None,
        };
        let Some(thumbs) = self.thumbs.keep(&job.work)? else { return Ok(()) };
        let (last, finder) = (Mark::of(page.i420()), &self.finder);
        let kept = Kept { pictures: self.pictures, last, finder, thumbs, stays };
        let kept = postcard::to_stdvec(&kept).expect("numbers and bytes always encode");
        let hash = blake3::hash(&kept);
        Ok(job.work.write_note(TrackKind::Thumbs, &[hash.as_bytes(), &kept[..]].concat())?)
    }

    /// Makes what was found durable, and the thumbnails.
    fn finish(self, job: &Job) -> Result<(Found, FinishedTrack), ImportError> {
        let thumbs = self.thumbs.finish(job)?;
        let found = Found { duration_ms: self.pictures * FRAME_MS, slides: self.finder.finish() };
        let json = serde_json::to_vec(&found).expect("numbers always encode");
        job.work.write_note(KIND, &json)?;
        job.work.drop_note(TrackKind::Thumbs);
        job.work.drop_segments(TrackKind::Thumbs);
        tracing::debug!(slides = found.slides.len(), "pages found");
        Ok((found, thumbs))
    }
}

/// Reads what [`Look::keep`] wrote, if it is as it was written.
fn read(job: &Job) -> Option<Kept<Finder, Stays>> {
    let note = job.work.read_note(TrackKind::Thumbs)?;
    let (hash, kept) = note.split_at_checked(HASH_BYTES)?;
    let kept: Kept<Finder, Stays> =
        (blake3::hash(kept) == *hash).then(|| postcard::from_bytes(kept).ok())??;
    kept.pictures.is_multiple_of(PART_FRAMES).then_some(kept).filter(|kept| kept.pictures > 0)
}
