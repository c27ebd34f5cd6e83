//! The tracks `video-360` and `video-480`: AV1, one GOP a segment, at a target quality.
//!
//! One thread reads frames from ffmpeg and hands whole GOPs to the workers; at most `workers + 2`
//! GOPs are in memory. A GOP whose segment is already durable is read and dropped: decoding costs
//! far less than encoding, and seeking would not give the same frames in every container. A
//! picture that stays is one sample that lasts (see `still.rs`), and a GOP that shows nothing but
//! what an earlier one showed has that one's sample.
//!
//! A GOP's quantizer starts from what an earlier one ended with, which is durable beside its
//! segment. Which earlier one depends on its number alone, never on what happens to be ready: so
//! the bytes are the same for any number of workers and after any cut.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::still;
use super::{FinishedTrack, ImportError, Job, SEGMENT_MS, Stage, child_error};
use crate::av1::{codec_name, configuration};
use crate::child::lower_own_priority;
use crate::cmaf::{Coding, Medium, Sample, init_segment, scan, segment};
use crate::encoder::target::{self, Ceiling, INDEX_MAX, INDEX_MIN, Picture};
use crate::encoder::{GopEncoder, PictureFormat};
use crate::frame_size::FrameSize;
use crate::probe::VideoStream;
use crate::track::{SegmentInfo, TrackInfo, TrackKind};

/// Ticks a second: a multiple of 12.5 and of 25 that gives a frame whole ticks.
const TIMESCALE: u32 = 12_800;
/// The furthest back that a GOP looks for where to start: as many GOPs can be encoded at once.
const LOOK_BACK_MAX: u64 = 8;
/// How often a wait for an earlier GOP looks whether the run has stopped.
const POLL: Duration = Duration::from_millis(100);

/// What one of the video tracks is (DESIGN §8).
#[derive(Debug, Clone, Copy)]
struct Rendition {
    kind: TrackKind,
    stage: Stage,
    width_max: u32,
    height_max: u32,
    frame_rate: (u64, u64),
    /// What a GOP may cost whatever it shows.
    ceiling: Ceiling,
}

/// 12.5 frames a second: writing and pointing stay smooth at half the bits of 25. Twice what a
/// camera picture takes at the target.
const VIDEO_360: Rendition = Rendition {
    kind: TrackKind::Video360,
    stage: Stage::Video,
    width_max: 640,
    height_max: 360,
    frame_rate: (25, 2),
    ceiling: Ceiling { bits_per_s: 500_000 },
};

/// For links that carry more: experiments and sport at the rate of the camera.
const VIDEO_480: Rendition = Rendition {
    kind: TrackKind::Video480,
    stage: Stage::Video480,
    width_max: 854,
    height_max: 480,
    frame_rate: (25, 1),
    ceiling: Ceiling { bits_per_s: 1_000_000 },
};

impl Rendition {
    /// Frames of a segment: 4 s.
    fn gop_frames(&self) -> u64 {
        SEGMENT_MS * self.frame_rate.0 / self.frame_rate.1 / 1000
    }

    fn frame_ticks(&self) -> u32 {
        (u64::from(TIMESCALE) * self.frame_rate.1 / self.frame_rate.0) as u32
    }
}

/// Makes `video-360`, if the file has a picture.
pub(super) fn make_360(job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
    job.probe.video.as_ref().map(|video| make(job, VIDEO_360, video)).transpose()
}

/// Makes `video-480`, if the file has a picture of more than 360 lines.
pub(super) fn make_480(job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
    let video = job.probe.video.as_ref().filter(|video| has_480(video));
    video.map(|video| make(job, VIDEO_480, video)).transpose()
}

/// Whether a picture has more to show than `video-360` does.
pub(super) fn has_480(video: &VideoStream) -> bool {
    let (width, height) = video.shown_size();
    width.min(height) > f64::from(VIDEO_360.height_max)
}

fn make(
    job: &Job,
    rendition: Rendition,
    video: &VideoStream,
) -> Result<FinishedTrack, ImportError> {
    if let Some(track) = job.work.finished(rendition.kind) {
        return Ok(track);
    }
    job.reporter.report(rendition.stage, 0.0);
    let size = FrameSize::fit(video, rendition.width_max, rendition.height_max);
    let format = PictureFormat {
        width: size.width,
        height: size.height,
        gop_frames: rendition.gop_frames(),
        frame_rate: rendition.frame_rate,
    };
    let run = Run {
        job,
        rendition,
        video,
        size,
        format,
        encoder: job.encoder()?,
        segments_expected: job.probe.duration_ms.div_ceil(SEGMENT_MS),
        found: AtomicU64::new(0),
        encoded: AtomicU64::new(0),
        is_stopped: AtomicBool::new(false),
        first_error: Mutex::new(None),
        ends: Mutex::new(HashMap::new()),
        ended: Condvar::new(),
    };
    let segments = run.encode_all()?;
    assemble(job, &rendition, &size, segments)
}

/// One GOP of raw frames.
struct Gop {
    n: u64,
    frames: Vec<u8>,
    /// The earlier one that shows the same picture throughout.
    repeated: Option<u64>,
}

/// What becomes of a GOP.
struct Encoded {
    samples: Vec<Sample>,
    /// What a later GOP should start from.
    end: u8,
}

struct Run<'a> {
    job: &'a Job<'a>,
    rendition: Rendition,
    video: &'a VideoStream,
    size: FrameSize,
    format: PictureFormat,
    encoder: Box<dyn GopEncoder>,
    segments_expected: u64,
    found: AtomicU64,
    encoded: AtomicU64,
    is_stopped: AtomicBool,
    first_error: Mutex<Option<ImportError>>,
    /// What each durable GOP says a later one should start from.
    ends: Mutex<HashMap<u64, u8>>,
    ended: Condvar,
}

impl Run<'_> {
    /// Makes every segment durable; returns how many there are.
    fn encode_all(&self) -> Result<u64, ImportError> {
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

    /// Reads all frames and hands out the GOPs that are not durable yet.
    fn read(&self, gops: SyncSender<Gop>) -> Result<u64, ImportError> {
        let fail = |error| child_error(self.rendition.kind, error);
        let is_cancelled = || self.must_stop();
        let mut child = self.start_ffmpeg()?;
        let frame_bytes = self.size.frame_bytes();
        let gop_bytes = frame_bytes * self.format.gop_frames as usize;
        let mut stays = still::Stays::default();
        let mut n = 0;
        loop {
            let mut frames = vec![0; gop_bytes];
            let filled = child.read(&mut frames, &is_cancelled).map_err(fail)?;
            let count = filled / frame_bytes;
            frames.truncate(count * frame_bytes);
            if count > 0 {
                self.job.check_going_on(n * SEGMENT_MS)?;
                let repeated = stays.repeated(n, &frames, &self.size);
                if let Some(end) = self.durable_end(n, count) {
                    self.found.fetch_add(1, Ordering::Relaxed);
                    self.end(n, end);
                    self.report();
                } else if gops.send(Gop { n, frames, repeated }).is_err() {
                    break;
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

    fn start_ffmpeg(&self) -> Result<crate::child::Child, ImportError> {
        let video = self.video;
        let deinterlace = if video.is_interlaced { "yadif," } else { "" };
        let filters = format!(
            "{deinterlace}fps={}/{}:start_time=0,{}",
            self.rendition.frame_rate.0,
            self.rendition.frame_rate.1,
            self.size.filters(video)
        );
        let map = format!("0:{}", video.index);
        let threads = self.job.request.limits.child_threads.to_string();
        let arguments = [
            "-map",
            &map,
            "-an",
            "-sn",
            "-dn",
            "-filter_threads",
            &threads,
            "-vf",
            &filters,
            "-f",
            "rawvideo",
            "-c:v",
            "rawvideo",
            "pipe:1",
        ];
        self.job.ffmpeg(self.rendition.kind, &arguments)
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
    fn durable_end(&self, n: u64, count: usize) -> Option<u8> {
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
        let end = self.job.work.read_end(kind, n)?;
        (is_whole && (INDEX_MIN..=INDEX_MAX).contains(&end)).then_some(end)
    }

    /// A worker: encodes GOPs until there are none, or until something failed.
    fn work(&self, gops: &Mutex<Receiver<Gop>>) {
        lower_own_priority();
        loop {
            let next = gops.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(gop) = next else { return };
            if self.must_stop() {
                // Go on receiving, so that the reader is never stuck in `send`.
                continue;
            }
            match self.encode(&gop) {
                Ok(()) => self.report(),
                Err(error) => {
                    let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(error);
                    self.is_stopped.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn encode(&self, gop: &Gop) -> Result<(), ImportError> {
        let Encoded { samples, end } = match gop.repeated {
            Some(earlier) => self.repeat(gop, earlier)?,
            None => self.encode_anew(gop)?,
        };
        let frame_ticks = u64::from(self.rendition.frame_ticks());
        let start_ticks = gop.n * self.format.gop_frames * frame_ticks;
        let bytes = segment(gop.n as u32 + 1, start_ticks, &samples);
        self.job.work.write_segment(self.rendition.kind, gop.n, &bytes, Some(end))?;
        self.encoded.fetch_add(1, Ordering::Relaxed);
        self.end(gop.n, end);
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
        let start = followed(gop.n).map(|earlier| self.end_of(earlier)).transpose()?;
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
    fn end_of(&self, earlier: u64) -> Result<u8, ImportError> {
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

    fn end(&self, n: u64, end: u8) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(n, end);
        self.ended.notify_all();
    }

    fn report(&self) {
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

/// Joins the durable segments into the track's file.
fn assemble(
    job: &Job,
    rendition: &Rendition,
    size: &FrameSize,
    count: u64,
) -> Result<FinishedTrack, ImportError> {
    let kind = rendition.kind;
    let read = |n| {
        let lost = || std::io::Error::other("a finished segment has disappeared");
        job.work.read_segment(kind, n).ok_or_else(lost)
    };
    let first = read(0)?;
    let samples = scan::samples(&first)?;
    let config = configuration(samples.first().ok_or(ImportError::NothingDecoded)?)?;
    let codecs = codec_name(&config);
    let mut segments = Vec::new();
    for n in 0..count {
        let bytes = read(n)?;
        let ticks = scan::fragment(&bytes)?.first().map_or(0, |f| f.duration_ticks);
        segments.push(SegmentInfo { duration_ticks: ticks as u32, bytes: bytes.len() as u32 });
    }
    let (width, height) = (size.width as u16, size.height as u16);
    let init = init_segment(&Medium {
        timescale: TIMESCALE,
        sample_ticks: rendition.frame_ticks(),
        duration_ticks: segments.iter().map(|s| u64::from(s.duration_ticks)).sum(),
        coding: Coding::Av1 { width, height, config },
    });
    let init = crate::cmaf::index::indexed(init, TIMESCALE, &segments);
    let mut file = BufWriter::new(job.work.start(kind)?);
    file.write_all(&init)?;
    for n in 0..count {
        file.write_all(&read(n)?)?;
    }
    let mut info = TrackInfo {
        kind,
        codecs,
        width: Some(size.width),
        height: Some(size.height),
        frame_rate: Some(rendition.frame_rate.0 as f64 / rendition.frame_rate.1 as f64),
        language: None,
        timescale: TIMESCALE,
        bandwidth_avg_bits_per_s: 0,
        bandwidth_peak_bits_per_s: 0,
        init_bytes: init.len() as u32,
        segments,
    };
    info.measure_bandwidth();
    info.validate()?;
    let file = file.into_inner().map_err(|error| error.into_error())?;
    let track = job.work.finish(file, info)?;
    job.work.drop_segments(kind);
    Ok(track)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gop_follows_one_that_its_number_names() {
        let found: Vec<Option<u64>> = (0..12).map(followed).collect();
        let expected = [None, None, Some(0), Some(1), Some(0), Some(1), Some(2), Some(3), Some(0)];
        assert_eq!(found[..9], expected);
        assert_eq!((found[9], followed(1000)), (Some(1), Some(992)));
    }

    #[test]
    fn a_rendition_is_made_of_whole_ticks_and_frames() {
        for rendition in [VIDEO_360, VIDEO_480] {
            let (frames, ticks) = (rendition.gop_frames(), u64::from(rendition.frame_ticks()));
            assert_eq!(frames * ticks * 1000, u64::from(TIMESCALE) * SEGMENT_MS);
        }
    }
}
