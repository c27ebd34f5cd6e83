//! The tracks `slides` and `thumbs`: the pages that are seen in a lesson, found in its picture.
//!
//! One pass looks at the pictures of `video-360`, and says when a page appears; thumbnails, and
//! what of that track hardly moves, come out of the same pass (see `look.rs`). Then each page is
//! taken from the file at its own size and encoded. The moments found, and each finished still, are
//! durable before they count.

use std::io::BufWriter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::pictures::is_indexed;
use super::video::passing;
use super::{FinishedTrack, ImportError, Job, Stage, caught, child_error};
use crate::child::{Child, ChildError};
use crate::cmaf::scan;
use crate::frame_size::FrameSize;
use crate::probe::VideoStream;
use crate::slide::{Page, SlideTime, StillUse, encode_still, segment, track};
use crate::track::TrackKind;

mod look;

const KIND: TrackKind = TrackKind::Slides;
/// The largest still (DESIGN §8).
const WIDTH_MAX: u32 = 1920;
const HEIGHT_MAX: u32 = 1080;
/// How long a picture of 12.5 a second is shown, in milliseconds.
const FRAME_MS: u64 = 80;
/// Those pictures a second.
const RATE: (u64, u64) = (25, 2);
/// The same as ffmpeg's filter gives them: picture n is what is shown at n × 80
/// ms, whatever the file's own rate.
const RATE_FILTER: &str = "fps=25/2:start_time=0";
/// What finding one moment costs, in milliseconds of decoding: key frames are 10 s apart in most
/// recordings, so half of that and the start of a process. When all pages together cost more than
/// the lesson is long, one pass over it is cheaper.
const SEEK_COST_MS: u64 = 10_000;

/// What the first pass found; durable, so that it is made once.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    duration_ms: u64,
    slides: Vec<SlideTime>,
}

impl Found {
    /// How long each slide is shown. The first is there from the beginning.
    fn durations_ms(&self) -> Vec<u32> {
        let ends = self.slides.iter().skip(1).map(|slide| slide.start_ms).chain([self.duration_ms]);
        let durations =
            self.slides.iter().zip(ends).map(|(slide, end)| end.saturating_sub(slide.start_ms));
        durations.map(|ms| (ms as u32).max(1)).collect()
    }
}

/// Makes both tracks, if the file has a picture.
pub(super) fn make(job: &Job) -> Result<Vec<FinishedTrack>, ImportError> {
    let Some(video) = &job.probe.video else { return Ok(Vec::new()) };
    let thumbs = job.work.finished(TrackKind::Thumbs);
    let slides = job.work.finished(KIND);
    let is_looked_at = || job.reporter.segments(Stage::Slides, 1, 1, 1);
    if let (Some(thumbs), Some(slides)) = (&thumbs, &slides) {
        is_looked_at();
        return Ok(vec![slides.clone(), thumbs.clone()]);
    }
    job.reporter.report(Stage::Slides, 0.0);
    let found: Option<Found> =
        job.work.read_note(KIND).and_then(|json| serde_json::from_slice(&json).ok());
    let (found, thumbs) = match (found, thumbs) {
        (Some(found), Some(thumbs)) => {
            is_looked_at();
            (found, thumbs)
        }
        _ => passing::beside(job, video, |passing| look::look(job, video, passing))?,
    };
    let duration_s = found.duration_ms as f64 / 1000.0;
    job.reporter.seen(duration_s, duration_s, found.slides.len(), None);
    job.reporter.report(Stage::Slides, 1.0);
    let size = FrameSize::fit(video, WIDTH_MAX, HEIGHT_MAX);
    let [durable, encoded] = Default::default();
    let run = Run { job, video, size, found, durable, encoded };
    run.encode_all()?;
    Ok(vec![run.assemble()?, thumbs])
}

/// How many frames of such a rate the first pass has seen, if it went to the end.
pub(super) fn frames_seen(job: &Job, frame_rate: (u64, u64)) -> Option<u64> {
    let found: Found = serde_json::from_slice(&job.work.read_note(KIND)?).ok()?;
    (frame_rate.1 * 1000 == frame_rate.0 * FRAME_MS).then_some(found.duration_ms / FRAME_MS)
}

/// A page that is to become still `n`.
struct Taken {
    n: u64,
    page: Page,
}

struct Run<'a> {
    job: &'a Job<'a>,
    video: &'a VideoStream,
    size: FrameSize,
    found: Found,
    /// Stills that an earlier call made durable, and that this one does.
    durable: AtomicU64,
    encoded: AtomicU64,
}

impl Run<'_> {
    /// Makes the segment of every slide durable.
    fn encode_all(&self) -> Result<(), ImportError> {
        let (sender, receiver) = sync_channel(1);
        let receiver = Mutex::new(receiver);
        let first_error = Mutex::new(None);
        let read = std::thread::scope(|scope| {
            for _ in 0..self.job.request.workers.max(1) {
                scope.spawn(|| self.work(&receiver, &first_error));
            }
            // Dropping the sender at the end of `read` is what ends the workers.
            self.read(sender, &first_error)
        });
        match first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => read,
        }
    }

    fn work(&self, pages: &Mutex<Receiver<Taken>>, first_error: &Mutex<Option<ImportError>>) {
        loop {
            let next = pages.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(taken) = next else { return };
            // Go on receiving after a failure, so that the reader is never stuck in `send`.
            if has_failed(first_error) {
                continue;
            }
            if let Err(error) = caught(|| self.encode(&taken)) {
                first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    fn encode(&self, taken: &Taken) -> Result<(), ImportError> {
        if self.job.must_stop() {
            return Err(ImportError::Cancelled);
        }
        let sample = encode_still(&taken.page, StillUse::Slide)?;
        let (start_ms, duration_ms) = self.place(taken.n);
        let bytes = segment(taken.n, start_ms, duration_ms, sample);
        self.job.work.write_segment(KIND, taken.n, &bytes, None)?;
        self.encoded.fetch_add(1, Ordering::Relaxed);
        self.report();
        Ok(())
    }

    fn report(&self) {
        let durable = self.durable.load(Ordering::Relaxed);
        let done = durable + self.encoded.load(Ordering::Relaxed);
        let count = self.found.slides.len() as u64;
        self.job.reporter.segments(Stage::Pages, durable, done, count);
    }

    /// When slide `n` is shown, and for how long.
    fn place(&self, n: u64) -> (u64, u32) {
        let durations = self.found.durations_ms();
        let start_ms = durations.iter().take(n as usize).map(|ms| u64::from(*ms)).sum();
        (start_ms, durations[n as usize])
    }

    /// Takes the pages that are not durable yet, in order.
    fn read(
        &self,
        pages: SyncSender<Taken>,
        first_error: &Mutex<Option<ImportError>>,
    ) -> Result<(), ImportError> {
        let count = self.found.slides.len() as u64;
        let missing: Vec<u64> = (0..count).filter(|n| !self.is_durable(*n)).collect();
        self.durable.store(count - missing.len() as u64, Ordering::Relaxed);
        self.report();
        let mut rest = &missing[..];
        if is_indexed(self.job) && missing.len() as u64 * SEEK_COST_MS < self.found.duration_ms {
            while let Some((&n, after)) = rest.split_first() {
                let Some(page) = self.seek(n)? else { break };
                if has_failed(first_error) || pages.send(Taken { n, page }).is_err() {
                    return Ok(());
                }
                rest = after;
            }
        }
        match rest {
            [] => Ok(()),
            rest => self.pass(rest, &pages, first_error),
        }
    }

    fn is_durable(&self, n: u64) -> bool {
        let Some(bytes) = self.job.work.read_segment(KIND, n) else { return false };
        let (start_ms, duration_ms) = self.place(n);
        let fits = |f: &scan::FragmentTrack| {
            (f.start_ticks, f.duration_ticks) == (start_ms, u64::from(duration_ms))
        };
        scan::samples(&bytes).is_ok() && scan::fragment(&bytes).is_ok_and(|f| fits(&f[0]))
    }

    fn frame(&self, n: u64) -> u64 {
        self.found.slides[n as usize].still_ms / FRAME_MS
    }

    /// Decodes from the key frame before still `n`; `None` if the file does not lead there.
    fn seek(&self, n: u64) -> Result<Option<Page>, ImportError> {
        let filters =
            format!("{RATE_FILTER},{}{}", deinterlace(self.video), self.size.filters(self.video));
        let at_ms = self.frame(n) * FRAME_MS;
        let mut child = start(self.job, self.video, Some(at_ms), &filters, &["-frames:v", "1"])?;
        let page = read_page(self.job, &mut child, &self.size)?;
        match child.finish() {
            Ok(()) => Ok(page),
            Err(ChildError::Failed { .. }) => Ok(None),
            Err(error) => Err(child_error(KIND, error)),
        }
    }

    /// Decodes the whole file for the stills of `numbers`, which are in order.
    fn pass(
        &self,
        numbers: &[u64],
        pages: &SyncSender<Taken>,
        first_error: &Mutex<Option<ImportError>>,
    ) -> Result<(), ImportError> {
        let frames: Vec<String> =
            numbers.iter().map(|n| format!("eq(n\\,{})", self.frame(*n))).collect();
        // New times for the few that are left: a rate that has gaps would be filled up.
        let filters = format!(
            "{}{RATE_FILTER},select={},setpts=N/(25/2)/TB,{}",
            deinterlace(self.video),
            frames.join("+"),
            self.size.filters(self.video)
        );
        let mut child = start(self.job, self.video, None, &filters, &[])?;
        for &n in numbers {
            let Some(page) = read_page(self.job, &mut child, &self.size)? else {
                return Err(ImportError::NothingDecoded);
            };
            if has_failed(first_error) || pages.send(Taken { n, page }).is_err() {
                return Ok(());
            }
        }
        child.finish().map_err(|error| child_error(KIND, error))
    }

    /// Joins the durable segments into the track's file.
    fn assemble(&self) -> Result<FinishedTrack, ImportError> {
        let work = &self.job.work;
        let read = |n| {
            let lost = || std::io::Error::other("a finished segment has disappeared");
            work.read_segment(KIND, n).ok_or_else(lost).map_err(ImportError::from)
        };
        let mut file = BufWriter::new(work.start(KIND)?);
        let size = (self.size.width, self.size.height);
        let info = track(KIND, size, &self.found.durations_ms(), read, &mut file)?;
        let file = file.into_inner().map_err(|error| error.into_error())?;
        let track = work.finish(file, info)?;
        work.drop_segments(KIND);
        Ok(track)
    }
}

fn has_failed(first_error: &Mutex<Option<ImportError>>) -> bool {
    first_error.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn deinterlace(video: &VideoStream) -> &'static str {
    if video.is_interlaced { "yadif," } else { "" }
}

/// Starts ffmpeg on the picture alone; with `at_ms`, from the key frame before that time on, with
/// times that count from it.
fn start(
    job: &Job,
    video: &VideoStream,
    at_ms: Option<u64>,
    filters: &str,
    more: &[&str],
) -> Result<Child, ImportError> {
    let map = format!("0:{}", video.index);
    let threads = job.request.limits.child_threads.to_string();
    let mut arguments = vec!["-map", &map, "-an", "-sn", "-dn", "-filter_threads", &threads];
    arguments.extend(["-vf", filters]);
    arguments.extend(more);
    arguments.extend(["-f", "rawvideo", "-c:v", "rawvideo", "pipe:1"]);
    let request = job.request;
    let child = match at_ms {
        None => request.ffmpeg.decode(request.source, &arguments, &request.limits),
        Some(at) => request.ffmpeg.decode_from(request.source, at, &arguments, &request.limits),
    };
    child.map_err(|error| child_error(KIND, error))
}

/// Reads one picture; `None` at the end.
fn read_page(job: &Job, child: &mut Child, size: &FrameSize) -> Result<Option<Page>, ImportError> {
    let mut i420 = vec![0; size.frame_bytes()];
    let filled = child.read(&mut i420, &|| job.is_cancelled());
    if filled.map_err(|error| child_error(KIND, error))? < i420.len() {
        return Ok(None);
    }
    let page = Page::new(size.width, size.height, i420);
    Ok(Some(page.map_err(crate::decode::DecodeError::from)?))
}
