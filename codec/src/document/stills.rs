//! Pages become the tracks `slides` and `thumbs`, several at a time.

use std::io::BufWriter;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jpeg_encoder::{ColorType, Encoder};

use super::pages::Pages;
use super::{DocumentError, DocumentRequest};
use crate::cmaf::scan;
use crate::import::{
    FinishedTrack, ImportError, Observer, Progress, Stage, THUMB_SIZE, WorkDir, small, small_size,
};
use crate::slide::{Page, StillUse, encode_still, segment, track};
use crate::track::TrackKind;

/// How far pictures on the seek bar are apart.
const THUMB_MS: u64 = 10_000;
/// The largest poster, and the most it has in bytes: a list of 25 lessons stays below 400 KiB.
const POSTER_SIZE: (u32, u32) = (320, 180);
const POSTER_BYTES_MAX: usize = 16 << 10;
/// JPEG qualities of a poster to try, best first.
const POSTER_QUALITIES: [u8; 4] = [80, 55, 30, 10];
/// How often a pause is looked at. Below what a person notices.
const POLL: Duration = Duration::from_millis(200);

/// What was made of the pages.
pub(super) struct Made {
    pub(super) tracks: Vec<FinishedTrack>,
    pub(super) poster_jpeg: Option<Vec<u8>>,
}

/// Makes both tracks; stills that an earlier call made are found again.
pub(super) fn make(
    request: &DocumentRequest,
    observer: &dyn Observer,
    work: &WorkDir,
    pages: &Pages,
    durations_ms: &[u32],
) -> Result<Made, ImportError> {
    let is_as_asked = |track: &FinishedTrack| {
        let found = track.info.segments.iter().map(|segment| segment.duration_ticks);
        found.eq(durations_ms.iter().copied())
    };
    let slides = work.finished(TrackKind::Slides).filter(is_as_asked);
    let tracks = match (slides, work.finished(TrackKind::Thumbs)) {
        (Some(slides), Some(thumbs)) => vec![slides, thumbs],
        _ => {
            let frame = pages.frame(&|| observer.is_cancelled())?;
            let run = Run {
                observer,
                work,
                pages,
                durations_ms,
                frame,
                started: Instant::now(),
                next: AtomicUsize::new(0),
                done: AtomicUsize::new(0),
                encoded: AtomicUsize::new(0),
                is_stopped: AtomicBool::new(false),
                first_error: Mutex::new(None),
            };
            run.encode_all(request.workers)?;
            let made = vec![run.assemble_slides()?, run.assemble_thumbs()?];
            made.iter().for_each(|track| work.drop_segments(track.info.kind));
            made
        }
    };
    tracks.iter().for_each(|track| observer.track_finished(track));
    let poster_jpeg = work.read_note(TrackKind::Slides).filter(|poster| !poster.is_empty());
    Ok(Made { tracks, poster_jpeg })
}

struct Run<'a> {
    observer: &'a dyn Observer,
    work: &'a WorkDir,
    pages: &'a Pages<'a>,
    durations_ms: &'a [u32],
    frame: (u32, u32),
    started: Instant,
    next: AtomicUsize,
    done: AtomicUsize,
    encoded: AtomicUsize,
    is_stopped: AtomicBool,
    first_error: Mutex<Option<ImportError>>,
}

impl Run<'_> {
    fn encode_all(&self, workers: usize) -> Result<(), ImportError> {
        std::thread::scope(|scope| {
            for _ in 0..workers.clamp(1, self.durations_ms.len()) {
                scope.spawn(|| self.work());
            }
        });
        let first_error = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        first_error.map_or(Ok(()), Err)
    }

    /// A worker: takes the next page until there are none, or until something failed.
    fn work(&self) {
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.durations_ms.len() || self.is_stopped.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.make_page(n) {
                let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            self.report();
        }
    }

    fn make_page(&self, n: usize) -> Result<(), ImportError> {
        if !self.is_durable(n) {
            self.wait_while_paused()?;
            self.encode(n)?;
            self.encoded.fetch_add(1, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed) || self.observer.is_cancelled()
    }

    fn wait_while_paused(&self) -> Result<(), ImportError> {
        loop {
            if self.is_cancelled() {
                return Err(ImportError::Cancelled);
            }
            if !self.observer.is_paused() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    fn start_ms(&self, n: usize) -> u64 {
        self.durations_ms[..n].iter().map(|ms| u64::from(*ms)).sum()
    }

    fn is_durable(&self, n: usize) -> bool {
        let Some(bytes) = self.work.read_segment(TrackKind::Slides, n as u64) else { return false };
        let fits = |fragment: &scan::FragmentTrack| {
            fragment.start_ticks == self.start_ms(n)
                && fragment.duration_ticks == u64::from(self.durations_ms[n])
        };
        scan::samples(&bytes).is_ok()
            && scan::fragment(&bytes).is_ok_and(|found| fits(&found[0]))
            && self.work.read_segment(TrackKind::Thumbs, n as u64).is_some()
    }

    fn encode(&self, n: usize) -> Result<(), ImportError> {
        let bitmap = self.pages.draw(n, &|| self.is_cancelled())?;
        let wrong = || DocumentError::Page { page: n + 1, reason: "its size changed".into() };
        let page = bitmap.to_page(self.frame).ok_or_else(wrong)?;
        if n == 0 {
            let poster = small(&page, POSTER_SIZE).ok().and_then(|small| poster(&small));
            self.work.write_note(TrackKind::Slides, &poster.unwrap_or_default())?;
        }
        let thumb = small(&page, THUMB_SIZE)?;
        let thumb = encode_still(&thumb, StillUse::Thumb).map_err(DocumentError::from)?;
        self.work.write_segment(TrackKind::Thumbs, n as u64, &thumb)?;
        let sample = encode_still(&page, StillUse::Slide).map_err(DocumentError::from)?;
        let bytes = segment(n as u64, self.start_ms(n), self.durations_ms[n], sample);
        Ok(self.work.write_segment(TrackKind::Slides, n as u64, &bytes)?)
    }

    fn report(&self) {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.durations_ms.len());
        let encoded = self.encoded.load(Ordering::Relaxed);
        let each_s = self.started.elapsed().as_secs_f64() / encoded.max(1) as f64;
        let seconds_left = (encoded > 0).then(|| (each_s * (total - done) as f64).ceil() as u64);
        // 15 of 100 are what comes before the pages.
        let percent = (15 + 85 * done / total).min(99) as u8;
        self.observer.progress(Progress { stage: Stage::Video, percent, seconds_left });
    }

    fn read(&self, kind: TrackKind, n: usize) -> Result<Vec<u8>, ImportError> {
        let lost = || std::io::Error::other("a finished still has disappeared");
        Ok(self.work.read_segment(kind, n as u64).ok_or_else(lost)?)
    }

    fn assemble_slides(&self) -> Result<FinishedTrack, ImportError> {
        let kind = TrackKind::Slides;
        self.assemble(kind, self.frame, self.durations_ms, |n| self.read(kind, n as usize))
    }

    /// One thumbnail every 10 s: that of the page which is shown then.
    fn assemble_thumbs(&self) -> Result<FinishedTrack, ImportError> {
        let kind = TrackKind::Thumbs;
        let total_ms = self.start_ms(self.durations_ms.len());
        let starts = (0..total_ms).step_by(THUMB_MS as usize);
        let durations: Vec<u32> =
            starts.map(|start| (total_ms - start).min(THUMB_MS) as u32).collect();
        let size = small_size(self.frame, THUMB_SIZE);
        self.assemble(kind, size, &durations, |n| {
            let start_ms = n * THUMB_MS;
            let page = self.page_at(start_ms);
            Ok(segment(n, start_ms, durations[n as usize], self.read(kind, page)?))
        })
    }

    fn page_at(&self, at_ms: u64) -> usize {
        let mut end_ms = 0;
        let is_shown = |ms: &u32| {
            end_ms += u64::from(*ms);
            at_ms < end_ms
        };
        self.durations_ms.iter().position(is_shown).unwrap_or(self.durations_ms.len() - 1)
    }

    fn assemble(
        &self,
        kind: TrackKind,
        size: (u32, u32),
        durations_ms: &[u32],
        segment: impl FnMut(u64) -> Result<Vec<u8>, ImportError>,
    ) -> Result<FinishedTrack, ImportError> {
        let mut file = BufWriter::new(self.work.start(kind)?);
        let info = track(kind, size, durations_ms, segment, &mut file)?;
        let file = file.into_inner().map_err(|error| error.into_error())?;
        Ok(self.work.finish(file, info)?)
    }
}

fn poster(page: &Page) -> Option<Vec<u8>> {
    let (width, height) = (page.width() as u16, page.height() as u16);
    POSTER_QUALITIES.into_iter().find_map(|quality| {
        let mut jpeg = Vec::new();
        let encoder = Encoder::new(&mut jpeg, quality);
        encoder.encode(&page.to_rgb(), width, height, ColorType::Rgb).ok()?;
        (jpeg.len() <= POSTER_BYTES_MAX).then_some(jpeg)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poster_fits_however_noisy_the_page() {
        let mut level = 1u32;
        let mut noise = || {
            level = level.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (level >> 24) as u8
        };
        let i420 = (0..320 * 180 * 3 / 2).map(|_| noise()).collect();
        let poster = poster(&Page::new(320, 180, i420).unwrap()).unwrap();
        assert!(poster.starts_with(&[0xff, 0xd8]) && poster.len() <= POSTER_BYTES_MAX);
    }
}
