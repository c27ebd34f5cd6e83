//! One run over the pictures of a video track: GOPs are read, handed to workers, encoded, and made
//! durable.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rendition;
use crate::child::Child;
use crate::cmaf::{Sample, scan, segment};
use crate::encoder::maker::Maker;
use crate::encoder::target::{self, INDEX_MIN, Picture};
use crate::encoder::{GopEncoder, PictureFormat};
use crate::frame_size::FrameSize;
use crate::import::pictures::{Mark, Pictures};
use crate::import::still::{self, FEW_PICTURES};
use crate::import::{ImportError, Job, SEGMENT_MS, caught, child_error, slides};
use crate::probe::VideoStream;

/// The furthest back that a GOP looks for where to start: as many GOPs can be encoded at once.
const LOOK_BACK_MAX: u64 = 8;
/// How often a wait for an earlier GOP looks whether the run has stopped.
const POLL: Duration = Duration::from_millis(100);

/// One GOP of raw frames.
pub(super) struct Gop {
    pub(super) n: u64,
    pub(super) frames: Vec<u8>,
    /// The earlier one that shows the same picture throughout.
    pub(super) repeated: Option<u64>,
    /// The last one that shows one picture throughout, up to and with this one.
    pub(super) still: Option<u64>,
}

/// What becomes of a GOP.
struct Encoded {
    samples: Vec<Sample>,
    /// What a later GOP should start from.
    end: u8,
}

/// What is kept beside a durable GOP, for those after it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    /// What a later GOP should start from.
    pub(super) index: u8,
    /// The last GOP that shows one picture throughout, up to and with this one.
    still: Option<u64>,
    /// Its last picture.
    last: Mark,
}

/// Where the reader is.
struct Reading {
    child: Child,
    /// The next GOP.
    n: u64,
    stays: still::Stays,
}

pub(super) struct Run<'a> {
    job: &'a Job<'a>,
    rendition: Rendition,
    video: &'a VideoStream,
    pub(super) size: FrameSize,
    pub(super) format: PictureFormat,
    encoder: Box<dyn GopEncoder>,
    /// Whether progress is told of.
    is_told: bool,
    segments_expected: u64,
    found: AtomicU64,
    encoded: AtomicU64,
    is_stopped: AtomicBool,
    first_error: Mutex<Option<ImportError>>,
    /// What each durable GOP says a later one should start from.
    ends: Mutex<HashMap<u64, u8>>,
    ended: Condvar,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        rendition: Rendition,
        video: &'a VideoStream,
        maker: &Maker,
        is_told: bool,
    ) -> Self {
        Self {
            job,
            rendition,
            video,
            size: rendition.size(video),
            format: rendition.format(video),
            encoder: maker.encoder(job.request.ffmpeg, &job.request.limits),
            is_told,
            segments_expected: job.probe.duration_ms.div_ceil(SEGMENT_MS),
            found: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            first_error: Mutex::new(None),
            ends: Mutex::new(HashMap::new()),
            ended: Condvar::new(),
        }
    }

    /// Makes every segment durable; returns how many there are.
    pub(super) fn encode_all(&self) -> Result<u64, ImportError> {
        if let Some(count) = self.all_found() {
            self.job.reporter.segments(self.rendition.stage, count, count, count);
            return Ok(count);
        }
        // No GOP waits between reader and workers: with one in each hand all are busy.
        let (sender, receiver) = sync_channel(0);
        let receiver = Mutex::new(receiver);
        let read = std::thread::scope(|scope| {
            for _ in 0..self.job.request.workers.max(1) {
                scope.spawn(|| self.work(&receiver));
            }
            // Dropping the sender at the end of `read` is what ends the workers.
            self.read(sender)
        });
        let first_error = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (first_error, read) {
            (Some(error), _) | (None, Err(error)) => Err(error),
            // GOPs may have been dropped after the reader was through.
            (None, Ok(_)) if self.is_stopped() => Err(ImportError::Cancelled),
            (None, Ok(0)) => Err(ImportError::NothingDecoded),
            (None, Ok(segments)) => Ok(segments),
        }
    }

    /// How many segments there are, if the look at the slides has counted the frames and left
    /// none to be made: then nothing has to be decoded again.
    fn all_found(&self) -> Option<u64> {
        let frames = slides::frames_seen(self.job, self.rendition.frame_rate)?;
        let gop_frames = self.format.gop_frames;
        let count = frames.div_ceil(gop_frames);
        let length = |n| gop_frames.min(frames - n * gop_frames) as usize;
        let is_whole = count > 0 && (0..count).all(|n| self.durable_end(n, length(n)).is_some());
        is_whole.then_some(count)
    }

    /// Reads the frames from the first GOP on that is not durable, and hands out those like it.
    fn read(&self, gops: SyncSender<Gop>) -> Result<u64, ImportError> {
        let fail = |error| child_error(self.rendition.kind, error);
        let is_cancelled = || self.must_stop();
        let Reading { mut child, mut n, mut stays } = self.begin_reading()?;
        let frame_bytes = self.size.frame_bytes();
        let gop_bytes = frame_bytes * self.format.gop_frames as usize;
        loop {
            let mut frames = vec![0; gop_bytes];
            let filled = child.read(&mut frames, &is_cancelled).map_err(fail)?;
            let count = filled / frame_bytes;
            frames.truncate(count * frame_bytes);
            if count > 0 {
                self.job.check_going_on(n * SEGMENT_MS)?;
                let repeated = stays.repeated(n, &frames, &self.size);
                if let Some(end) = self.durable_end(n, count) {
                    self.find(n, &end);
                } else {
                    let gop = Gop { n, frames, repeated, still: stays.number() };
                    if gops.send(gop).is_err() {
                        break;
                    }
                }
                n += 1;
            }
            if filled < gop_bytes {
                break;
            }
        }
        child.finish().map_err(fail)?;
        Ok(n)
    }

    /// Begins at the first GOP that is not durable; at the first of all if the file does not lead
    /// there.
    fn begin_reading(&self) -> Result<Reading, ImportError> {
        let whole = self.format.gop_frames as usize;
        let ends: Vec<End> = (0..).map_while(|n| self.durable_end(n, whole)).collect();
        if let Some(reading) = self.reading_behind(&ends)? {
            (0..).zip(&ends).for_each(|(n, end)| self.find(n, end));
            return Ok(reading);
        }
        let child = self.pictures().decode_all()?;
        Ok(Reading { child, n: 0, stays: still::Stays::default() })
    }

    /// Begins behind the GOPs of `ends`, with what those have left behind.
    fn reading_behind(&self, ends: &[End]) -> Result<Option<Reading>, ImportError> {
        let Some(last) = ends.last().filter(|_| self.pictures().can_seek()) else {
            return Ok(None);
        };
        let mut stays = still::Stays::default();
        if let Some(still) = last.still {
            let Some(earlier) = ends.get(..still as usize) else { return Ok(None) };
            let Some(mut child) = self.start_behind(earlier)? else { return Ok(None) };
            let mut picture = vec![0; self.size.frame_bytes()];
            let filled = child.read(&mut picture, &|| self.must_stop());
            if filled.map_err(|error| child_error(self.rendition.kind, error))? < picture.len() {
                return Ok(None);
            }
            stays = still::Stays::since(still, picture);
        }
        let n = ends.len() as u64;
        Ok(self.start_behind(ends)?.map(|child| Reading { child, n, stays }))
    }

    /// Starts ffmpeg behind the GOPs of `ends`, if the file leads there.
    fn start_behind(&self, ends: &[End]) -> Result<Option<Child>, ImportError> {
        let Some(last) = ends.last() else { return self.pictures().decode_all().map(Some) };
        let frames = ends.len() as u64 * self.format.gop_frames;
        self.pictures().seek_behind(frames - 1, &last.last)
    }

    fn pictures(&self) -> Pictures<'_> {
        let Rendition { kind, frame_rate: rate, .. } = self.rendition;
        Pictures { job: self.job, kind, video: self.video, rate, size: self.size }
    }

    /// Takes a GOP that an earlier call has made.
    fn find(&self, n: u64, end: &End) {
        self.found.fetch_add(1, Ordering::Relaxed);
        self.end(n, end.index);
        self.report();
    }

    fn is_stopped(&self) -> bool {
        let is_failed = self.job.is_failed.load(Ordering::Relaxed);
        is_failed || self.is_stopped.load(Ordering::Relaxed) || self.job.is_cancelled()
    }

    /// Waits while the import is paused.
    fn must_stop(&self) -> bool {
        self.is_stopped() || self.job.must_stop()
    }

    /// What a GOP that is already durable, and of this length, ended with.
    pub(super) fn durable_end(&self, n: u64, count: usize) -> Option<End> {
        let kind = self.rendition.kind;
        let bytes = self.job.work.read_segment(kind, n)?;
        let frame_ticks = u64::from(self.rendition.frame_ticks());
        let start_ticks = n * self.format.gop_frames * frame_ticks;
        let duration_ticks = count as u64 * frame_ticks;
        let fits = |f: &scan::FragmentTrack| {
            f.start_ticks == start_ticks && f.duration_ticks == duration_ticks
        };
        let is_whole =
            scan::samples(&bytes).is_ok() && scan::fragment(&bytes).is_ok_and(|f| fits(&f[0]));
        let end: End = postcard::from_bytes(&self.job.work.read_end(kind, n)?).ok()?;
        let index_max = self.encoder.scale().index_max;
        (is_whole && (INDEX_MIN..=index_max).contains(&end.index)).then_some(end)
    }

    /// A worker: encodes GOPs until there are none, or until something failed.
    pub(super) fn work(&self, gops: &Mutex<Receiver<Gop>>) {
        loop {
            let next = gops.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(gop) = next else { return };
            // Whatever fails, it goes on receiving, so that the reader is never stuck in `send`.
            if let Err(error) = caught(|| self.make(&gop)) {
                let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                self.is_stopped.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Makes a GOP, unless the run has stopped.
    fn make(&self, gop: &Gop) -> Result<(), ImportError> {
        if !self.must_stop() {
            self.encode(gop)?;
            self.report();
        }
        Ok(())
    }

    fn encode(&self, gop: &Gop) -> Result<(), ImportError> {
        let Encoded { samples, end: index } = match gop.repeated {
            Some(earlier) => self.repeat(gop, earlier)?,
            None => self.encode_anew(gop)?,
        };
        let frame_ticks = u64::from(self.rendition.frame_ticks());
        let start_ticks = gop.n * self.format.gop_frames * frame_ticks;
        let bytes = segment(gop.n as u32 + 1, start_ticks, &samples);
        let last = Mark::of(&gop.frames[gop.frames.len() - self.size.frame_bytes()..]);
        let end = End { index, still: gop.still, last };
        let end = postcard::to_stdvec(&end).expect("numbers and bytes always encode");
        self.job.work.write_segment(self.rendition.kind, gop.n, &bytes, Some(&end))?;
        self.encoded.fetch_add(1, Ordering::Relaxed);
        self.end(gop.n, index);
        Ok(())
    }

    fn encode_anew(&self, gop: &Gop) -> Result<Encoded, ImportError> {
        let frame_bytes = self.size.frame_bytes();
        let pictures: Vec<Picture> = still::pictures(&gop.frames, &self.size)
            .iter()
            .map(|shown| Picture {
                planes: &gop.frames[shown.frame * frame_bytes..][..frame_bytes],
                frames: shown.frames,
            })
            .collect();
        // So few need no other GOP, and can be made before the others are.
        let followed = followed(gop.n).filter(|_| pictures.len() > FEW_PICTURES);
        let start = followed.map(|earlier| self.end_of(earlier)).transpose()?;
        let ceiling = self.rendition.ceiling;
        let reached =
            target::encode(&*self.encoder, &self.format, &pictures, start, ceiling, &|| {
                self.must_stop()
            })?;
        tracing::debug!(gop = gop.n, tries = reached.tries, next = reached.next_index, "encoded");
        let coded = reached.pictures.into_iter().zip(&pictures);
        let samples = coded.map(|(coded, picture)| Sample {
            bytes: coded.bytes,
            is_sync: coded.is_key,
            ticks: picture.frames * self.rendition.frame_ticks(),
        });
        Ok(Encoded { samples: samples.collect(), end: reached.next_index })
    }

    /// The sample of the GOP that showed the same, for as long as this one lasts.
    fn repeat(&self, gop: &Gop, earlier: u64) -> Result<Encoded, ImportError> {
        let end = self.end_of(earlier)?;
        let lost = || std::io::Error::other("a finished segment has disappeared");
        let segment = self.job.work.read_segment(self.rendition.kind, earlier).ok_or_else(lost)?;
        let key = *scan::samples(&segment)?.first().ok_or(ImportError::NothingDecoded)?;
        let frames = (gop.frames.len() / self.size.frame_bytes()) as u32;
        let ticks = frames * self.rendition.frame_ticks();
        Ok(Encoded { samples: vec![Sample { bytes: key.to_vec(), is_sync: true, ticks }], end })
    }

    /// What an earlier GOP ended with; waits until it is durable.
    pub(super) fn end_of(&self, earlier: u64) -> Result<u8, ImportError> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(end) = ends.get(&earlier) {
                return Ok(*end);
            }
            if self.is_stopped() {
                return Err(ImportError::Cancelled);
            }
            let waited = self.ended.wait_timeout(ends, POLL);
            ends = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether GOP `n` is durable, as far as is known here.
    pub(super) fn has_ended(&self, n: u64) -> bool {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&n)
    }

    pub(super) fn end(&self, n: u64, end: u8) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(n, end);
        self.ended.notify_all();
    }

    fn report(&self) {
        if !self.is_told {
            return;
        }
        let found = self.found.load(Ordering::Relaxed);
        let done = found + self.encoded.load(Ordering::Relaxed);
        self.job.reporter.segments(self.rendition.stage, found, done, self.segments_expected);
    }
}

/// The GOP whose end GOP `n` starts from: the first two start from a measurement of their own,
/// and the distance doubles until [`LOOK_BACK_MAX`], so that there are soon as many GOPs to be
/// encoded at once as any machine has cores.
fn followed(n: u64) -> Option<u64> {
    let distance = (n.checked_ilog2()?.max(1)).min(LOOK_BACK_MAX.ilog2());
    n.checked_sub(1 << distance)
}

#[cfg(test)]
mod tests {
    use super::super::VIDEO_360;
    use super::*;
    use crate::encoder::{CodedPicture, EncodeError, EncoderChoice, Rav1e, Scale};
    use crate::ffmpeg::{Ffmpeg, Limits};
    use crate::import::{ImportRequest, Observer, Progress, Tiers};

    struct Quiet;

    impl Observer for Quiet {
        fn progress(&self, _: Progress) {}
        fn is_cancelled(&self) -> bool {
            false
        }
    }

    /// Fails at everything but the first picture that it is given.
    struct Panics(AtomicU64);

    impl GopEncoder for Panics {
        fn scale(&self) -> &Scale {
            Rav1e.scale()
        }

        fn encode_gop(
            &self,
            format: &PictureFormat,
            quantizer: u8,
            frames: &[&[u8]],
            is_cancelled: &dyn Fn() -> bool,
        ) -> Result<Vec<CodedPicture>, EncodeError> {
            assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "on purpose");
            Rav1e.encode_gop(format, quantizer, frames, is_cancelled)
        }
    }

    #[test]
    fn a_worker_that_panics_ends_the_track_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("in.mp4");
        let input = "-v error -f lavfi -i testsrc2=s=64x48:r=10:d=30 -c:v libx264";
        let made =
            std::process::Command::new("ffmpeg").args(input.split(' ')).arg(&source).status();
        assert!(made.unwrap().success());
        let tiers =
            Tiers { source: false, audio: false, slides: false, video_360: true, video_480: false };
        let request = ImportRequest {
            ffmpeg: &Ffmpeg::find().unwrap(),
            source: &source,
            work_dir: &folder.path().join("work"),
            workers: 2,
            limits: Limits::default(),
            encoder: EncoderChoice::Rav1e,
            tiers,
        };
        let job = Job::open(&request, &Quiet).unwrap();
        let video = job.probe.video.as_ref().unwrap();
        let mut run = Run::new(&job, VIDEO_360, video, &Maker::rav1e(), false);
        run.encoder = Box::new(Panics(AtomicU64::new(0)));
        assert_eq!(run.encode_all().unwrap_err().code(), "internal");
    }

    #[test]
    fn a_gop_follows_one_that_its_number_names() {
        let found: Vec<Option<u64>> = (0..12).map(followed).collect();
        let expected = [None, None, Some(0), Some(1), Some(0), Some(1), Some(2), Some(3), Some(0)];
        assert_eq!(found[..9], expected);
        assert_eq!((found[9], followed(1000)), (Some(1), Some(992)));
    }
}
