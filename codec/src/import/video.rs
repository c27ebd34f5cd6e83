//! The track `video-360`: AV1, at most 640×360, 12.5 frames a second, one GOP a segment.
//!
//! One thread reads frames from ffmpeg and hands whole GOPs to the workers; at most
//! `workers + 2` GOPs are in memory. A GOP whose segment is already durable is read and dropped:
//! decoding costs far less than encoding, and seeking would not give the same frames in every
//! container. A picture that stays is one sample that lasts (see `still.rs`).

use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::still::{self, Shown};
use super::{FinishedTrack, ImportError, Job, SEGMENT_MS, Stage, child_error};
use crate::av1::{Av1Settings, codec_name, configuration, encode_gop};
use crate::cmaf::{Coding, Medium, init_segment, scan, segment};
use crate::frame_size::FrameSize;
use crate::track::{SegmentInfo, TrackInfo, TrackKind};

const KIND: TrackKind = TrackKind::Video360;
/// The largest picture (DESIGN §8).
const WIDTH_MAX: u32 = 640;
const HEIGHT_MAX: u32 = 360;
/// 12.5 frames a second: writing and pointing stay smooth at half the bits of 25.
const FRAME_RATE: (u64, u64) = (25, 2);
/// Ticks a second: a multiple of 12.5 that gives a frame whole ticks.
const TIMESCALE: u32 = 12_800;
const FRAME_TICKS: u32 = 1024;
/// Frames of a segment: 4 s.
const GOP_FRAMES: u64 = SEGMENT_MS * FRAME_RATE.0 / FRAME_RATE.1 / 1000;
/// rav1e's base quantizer.
const QUANTIZER: usize = 120;

/// Makes the track, if the file has a picture.
pub(super) fn make(job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
    let Some(video) = &job.probe.video else { return Ok(None) };
    if let Some(track) = job.work.finished(KIND) {
        return Ok(Some(track));
    }
    job.reporter.report(Stage::Video, 0.0);
    let size = FrameSize::fit(video, WIDTH_MAX, HEIGHT_MAX);
    let settings =
        Av1Settings { size, gop_frames: GOP_FRAMES, frame_rate: FRAME_RATE, quantizer: QUANTIZER };
    let run = Run {
        job,
        settings,
        started: Instant::now(),
        segments_expected: job.probe.duration_ms.div_ceil(SEGMENT_MS),
        found: AtomicU64::new(0),
        encoded: AtomicU64::new(0),
        is_stopped: AtomicBool::new(false),
        first_error: Mutex::new(None),
    };
    let segments = run.encode_all()?;
    assemble(job, &settings, segments).map(Some)
}

/// One GOP of raw frames.
struct Gop {
    n: u64,
    frames: Vec<u8>,
}

struct Run<'a> {
    job: &'a Job<'a>,
    settings: Av1Settings,
    started: Instant,
    segments_expected: u64,
    found: AtomicU64,
    encoded: AtomicU64,
    is_stopped: AtomicBool,
    first_error: Mutex<Option<ImportError>>,
}

impl Run<'_> {
    /// Makes every segment durable; returns how many there are.
    fn encode_all(&self) -> Result<u64, ImportError> {
        let (sender, receiver) = sync_channel(1);
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
            (None, Ok(0)) => Err(ImportError::NothingDecoded),
            (None, Ok(segments)) => Ok(segments),
        }
    }

    /// Reads all frames and hands out the GOPs that are not durable yet.
    fn read(&self, gops: SyncSender<Gop>) -> Result<u64, ImportError> {
        let fail = |error| child_error(KIND, error);
        let is_cancelled = || self.is_stopped();
        let mut child = self.start_ffmpeg()?;
        let frame_bytes = self.settings.size.frame_bytes();
        let gop_bytes = frame_bytes * GOP_FRAMES as usize;
        let mut n = 0;
        loop {
            let mut frames = vec![0; gop_bytes];
            let filled = child.read(&mut frames, &is_cancelled).map_err(fail)?;
            let count = filled / frame_bytes;
            frames.truncate(count * frame_bytes);
            if count > 0 {
                if self.is_durable(n, count) {
                    self.found.fetch_add(1, Ordering::Relaxed);
                    self.report();
                } else if gops.send(Gop { n, frames }).is_err() {
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
        let video = self.job.probe.video.as_ref().expect("a run is started for a picture only");
        let deinterlace = if video.is_interlaced { "yadif," } else { "" };
        let filters = format!(
            "{deinterlace}fps={}/{}:start_time=0,{}",
            FRAME_RATE.0,
            FRAME_RATE.1,
            self.settings.size.filters(video)
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
        self.job.ffmpeg(KIND, &arguments)
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed) || self.job.is_cancelled()
    }

    fn is_durable(&self, n: u64, count: usize) -> bool {
        let Some(bytes) = self.job.work.read_segment(KIND, n) else { return false };
        let start_ticks = n * GOP_FRAMES * u64::from(FRAME_TICKS);
        let duration_ticks = count as u64 * u64::from(FRAME_TICKS);
        let fits = |f: &scan::FragmentTrack| {
            f.start_ticks == start_ticks && f.duration_ticks == duration_ticks
        };
        scan::samples(&bytes).is_ok() && scan::fragment(&bytes).is_ok_and(|f| fits(&f[0]))
    }

    /// A worker: encodes GOPs until there are none, or until something failed.
    fn work(&self, gops: &Mutex<Receiver<Gop>>) {
        loop {
            let next = gops.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(gop) = next else { return };
            if self.is_stopped() {
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
        let size = &self.settings.size;
        let shown = still::pictures(&gop.frames, size);
        let picture = |shown: &Shown| {
            let bytes = size.frame_bytes();
            &gop.frames[shown.frame * bytes..][..bytes]
        };
        let pictures: Vec<&[u8]> = shown.iter().map(picture).collect();
        let mut samples = encode_gop(&self.settings, &pictures, &|| self.is_stopped())?;
        for (sample, shown) in samples.iter_mut().zip(&shown) {
            sample.ticks = shown.frames * FRAME_TICKS;
        }
        let start_ticks = gop.n * GOP_FRAMES * u64::from(FRAME_TICKS);
        let bytes = segment(gop.n as u32 + 1, start_ticks, &samples);
        self.job.work.write_segment(KIND, gop.n, &bytes)?;
        self.encoded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn report(&self) {
        let found = self.found.load(Ordering::Relaxed);
        let done = found + self.encoded.load(Ordering::Relaxed);
        self.job.reporter.report_segments(self.started, found, done, self.segments_expected);
    }
}

/// Joins the durable segments into the track's file.
fn assemble(job: &Job, settings: &Av1Settings, count: u64) -> Result<FinishedTrack, ImportError> {
    let read = |n| {
        let lost = || std::io::Error::other("a finished segment has disappeared");
        job.work.read_segment(KIND, n).ok_or_else(lost)
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
    let size = settings.size;
    let (width, height) = (size.width as u16, size.height as u16);
    let init = init_segment(&Medium {
        timescale: TIMESCALE,
        sample_ticks: FRAME_TICKS,
        duration_ticks: segments.iter().map(|s| u64::from(s.duration_ticks)).sum(),
        coding: Coding::Av1 { width, height, config },
    });
    let init = crate::cmaf::index::indexed(init, TIMESCALE, &segments);
    let mut file = BufWriter::new(job.work.start(KIND)?);
    file.write_all(&init)?;
    for n in 0..count {
        file.write_all(&read(n)?)?;
    }
    let mut info = TrackInfo {
        kind: KIND,
        codecs,
        width: Some(size.width),
        height: Some(size.height),
        frame_rate: Some(FRAME_RATE.0 as f64 / FRAME_RATE.1 as f64),
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
    job.work.drop_segments(KIND);
    Ok(track)
}
