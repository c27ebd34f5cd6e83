//! A teacher's file becomes the tracks of a lesson.
//!
//! The stages are probe → `source` → `audio` → `slides` and `thumbs` → `video-360`. Each finished
//! track, and each finished segment of `slides` and of `video-360` (by far the slowest), is durable
//! in the work folder before it counts, and is found again when [`import`] is called with the same
//! folder: a power cut costs at most one segment a worker there, and the current pass over the
//! file in the others. An import that was cut gives the same bytes as one that was not.
//!
//! Segment boundaries are multiples of 4 s in `video-360`, and the nearest packet of 60 ms in
//! `audio` (never more than 30 ms away). `source` that is remuxed has its own key frames, about
//! every 4 s or more; re-encoded it has the same multiples of 4 s.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use crate::av1::Av1Error;
use crate::child::ChildError;
use crate::cmaf::scan::ScanError;
use crate::decode::DecodeError;
use crate::document::DocumentError;
pub use crate::encoder::EncoderChoice;
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::probe::{Probe, ProbeError, probe_unless};
use crate::slide::StillError;
use crate::track::{TrackInfo, TrackInfoError, TrackKind};
pub(crate) use source::{is_fit_audio, is_fit_video};
pub(crate) use thumbs::{THUMB_SIZE, small, small_size};
pub(crate) use work_dir::WorkDir;

mod audio;
mod captions;
mod chapters;
pub(crate) mod notes;
mod peaks;
mod poster;
mod slides;
mod source;
mod still;
mod thumbs;
mod video;
mod work_dir;

/// The length of a segment, in milliseconds (DESIGN §8): long enough that boxes and key frames
/// weigh little, short enough for seeking and for fetching by piece.
const SEGMENT_MS: u64 = 4000;

/// What to import, and with what.
#[derive(Debug, Clone)]
pub struct ImportRequest<'a> {
    /// The child programs.
    pub ffmpeg: &'a Ffmpeg,
    /// The teacher's file; it must not change meanwhile.
    pub source: &'a Path,
    /// A folder of this import alone; what an earlier call left in it is used.
    pub work_dir: &'a Path,
    /// Threads that encode, at least 1; each holds one GOP (17 MB) and an encoder.
    pub workers: usize,
    /// Bounds of the file and of the children.
    pub limits: Limits,
    /// What encodes the AV1 tracks.
    pub encoder: EncoderChoice,
    /// Which tracks are made; one that an earlier call finished is found, not made again.
    pub tiers: Tiers,
}

/// Which tracks of a lesson an import makes, as far as the file has what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// `source`.
    pub source: bool,
    /// `audio`.
    pub audio: bool,
    /// `video-360` and what is found in its pictures.
    pub video_360: bool,
    /// `video-480`; a picture of at most 360 lines has none.
    pub video_480: bool,
}

impl Tiers {
    /// What a lesson can be published with. `video-480` takes several times as long as all of it.
    pub const FIRST: Self = Self { source: true, audio: true, video_360: true, video_480: false };
    /// What follows later.
    pub const SECOND: Self =
        Self { source: false, audio: false, video_360: false, video_480: true };
    /// Everything in one import.
    pub const ALL: Self = Self { video_480: true, ..Self::FIRST };
}

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Asking what the file is.
    Probe,
    /// Making `source`.
    Source,
    /// Making `audio`.
    Audio,
    /// Making `video-360`.
    Video,
    /// Making `video-480`.
    Video480,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// How much of the whole import is done; never falls.
    pub percent: u8,
    /// The rest of the whole import, once the slowest stage shows its pace.
    pub seconds_left: Option<u64>,
}

/// Who watches an import; called from several threads.
pub trait Observer: Sync {
    /// Told whenever the stage or the percentage changes.
    fn progress(&self, progress: Progress);
    /// Asked several times a second; `true` ends the import with [`ImportError::Cancelled`].
    fn is_cancelled(&self) -> bool;
    /// Asked several times a second; while it is `true`, encoding waits and children stand still.
    fn is_paused(&self) -> bool {
        false
    }
    /// Told of each track as soon as it is durable; `audio` is never behind a picture track.
    fn track_finished(&self, _track: &FinishedTrack) {}
}

/// A finished import.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The length of what was decoded, in milliseconds.
    pub duration_ms: u64,
    /// The tracks, as far as there are any, in the order of [`TrackKind::ALL`].
    pub tracks: Vec<FinishedTrack>,
    /// A JPEG of at most 320×180 and 16 KiB, if there is a picture.
    pub poster_jpeg: Option<Vec<u8>>,
    /// The chapters that the file names, in order of time.
    pub chapters: Vec<Chapter>,
    /// How loud each second is, 0 (silence) to 255, on a scale like decibels.
    pub peaks: Vec<u8>,
    /// What was kept of the file and what was left out.
    pub notes: Vec<Note>,
}

/// Where a part of a lesson begins, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// When it begins, in milliseconds.
    pub at_ms: u64,
    /// Its title.
    pub title: String,
}

/// One thing that was kept or left out, in words for whoever checks a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable name for machines, such as `one_sound_of_many`.
    pub code: &'static str,
    /// One sentence without a full stop, such as "2 sound streams; the first (zho) was kept".
    pub text: String,
}

impl Note {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// One track as a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedTrack {
    /// The file: one fragmented MP4 that plays by itself.
    pub path: PathBuf,
    /// What is in it.
    pub info: TrackInfo,
}

/// Why there is no lesson.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be a lesson.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The observer asked to stop; what is finished stays in the work folder.
    #[error("cancelled")]
    Cancelled,
    /// The index of the file is fine, its content is not.
    #[error("nothing in the file can be decoded; its content is damaged or cut off")]
    NothingDecoded,
    /// The end of the file is missing. Half a lesson called ready would be found out in class.
    #[error(
        "the file ends after {decoded_ms} ms of {declared_ms} ms: it was cut off while it was \
         copied or recorded; copy it again"
    )]
    CutOff {
        /// What came out.
        decoded_ms: u64,
        /// What the file claims.
        declared_ms: u64,
    },
    /// ffmpeg failed while making a track.
    #[error("while making {track}: {error}")]
    Child {
        /// The track.
        track: TrackKind,
        /// What happened.
        error: ChildError,
    },
    /// ffmpeg's MP4 is not what was asked of it.
    #[error("ffmpeg wrote an unusable file: {0}")]
    Boxes(#[from] ScanError),
    /// A track beyond the bounds of a description.
    #[error("the track cannot be described: {0}")]
    Track(#[from] TrackInfoError),
    /// The AV1 encoder failed.
    #[error(transparent)]
    Av1(Av1Error),
    /// A still could not be encoded.
    #[error("while making a still: {0}")]
    Still(#[from] StillError),
    /// A still does not decode.
    #[error("while making a still: {0}")]
    Decode(#[from] DecodeError),
    /// The Opus encoder failed.
    #[error("the Opus encoder failed: {0}")]
    Opus(#[from] opus::Error),
    /// A document cannot be a lesson.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The disk is full; the import goes on where it was once there is space.
    #[error("the disk is full; free space and start the import again, it goes on where it was")]
    DiskFull,
    /// The work folder cannot be used.
    #[error("the work folder cannot be used: {0}")]
    Disk(std::io::Error),
}

impl ImportError {
    /// A stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Probe(error) => error.code(),
            Self::Cancelled => "cancelled",
            Self::NothingDecoded => "nothing_decoded",
            Self::CutOff { .. } => "truncated",
            Self::Child { .. } | Self::Boxes(_) => "ffmpeg_failed",
            Self::Track(_) => "too_many_segments",
            Self::Av1(_) | Self::Still(_) | Self::Decode(_) | Self::Opus(_) => "encoder_failed",
            Self::Document(error) => error.code(),
            Self::DiskFull => "disk_full",
            Self::Disk(_) => "disk_failed",
        }
    }
}

impl From<std::io::Error> for ImportError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Disk(error),
        }
    }
}

impl From<Av1Error> for ImportError {
    fn from(error: Av1Error) -> Self {
        match error {
            Av1Error::Cancelled => Self::Cancelled,
            error => Self::Av1(error),
        }
    }
}

/// Imports a file, or goes on with an import that was cut.
pub fn import(request: &ImportRequest, observer: &dyn Observer) -> Result<Imported, ImportError> {
    let job = Job::open(request, observer)?;
    let mut tracks = vec![source::make(&job)?];
    tracks.extend(audio::make(&job)?);
    tracks.extend(slides::make(&job)?);
    tracks.extend(video::make(&job)?);
    tracks.sort_by_key(|track| TrackKind::ALL.iter().position(|kind| *kind == track.info.kind));
    let duration_ms = job.check_length(&tracks)?;
    let poster_jpeg = poster::make(&job);
    if observer.is_cancelled() {
        return Err(ImportError::Cancelled);
    }
    job.reporter.report(Stage::Video, 1.0);
    let mut notes = notes::of(&job.probe);
    if request.tiers.audio {
        tracks.extend(captions::make(&job, duration_ms, &mut notes)?);
    }
    let chapters = chapters::clean(&job.probe.chapters, duration_ms);
    let peaks = peaks::kept(&job.work);
    Ok(Imported { duration_ms, tracks, poster_jpeg, chapters, peaks, notes })
}

/// Makes `audio` and its peaks of a file's sound alone.
pub(crate) fn sound(
    request: &ImportRequest,
    observer: &dyn Observer,
) -> Result<(FinishedTrack, Vec<u8>), ImportError> {
    let job = Job::open(request, observer)?;
    let track = audio::make(&job)?.ok_or(DocumentError::NoSound)?;
    job.check_length(std::slice::from_ref(&track))?;
    Ok((track, peaks::kept(&job.work)))
}

/// What all stages share.
struct Job<'a> {
    request: &'a ImportRequest<'a>,
    observer: &'a dyn Observer,
    reporter: Reporter<'a>,
    work: WorkDir,
    probe: Probe,
}

impl<'a> Job<'a> {
    /// Asks what the file is, and opens the work folder for it.
    fn open(request: &'a ImportRequest, observer: &'a dyn Observer) -> Result<Self, ImportError> {
        let reporter = Reporter::new(observer);
        reporter.report(Stage::Probe, 0.0);
        let is_cancelled = || observer.is_cancelled();
        let probe = probe_unless(request.ffmpeg, request.source, &request.limits, &is_cancelled)
            .map_err(|error| match error {
                ProbeError::Child(ChildError::Cancelled) => ImportError::Cancelled,
                error => error.into(),
            })?;
        let work = WorkDir::open(request.work_dir, request.source)?;
        Ok(Self { request, observer, reporter, work, probe })
    }

    /// Starts ffmpeg on the source file.
    fn ffmpeg(
        &self,
        track: TrackKind,
        arguments: &[&str],
    ) -> Result<crate::child::Child, ImportError> {
        let ImportRequest { ffmpeg, source, limits, .. } = self.request;
        ffmpeg.decode(source, arguments, limits).map_err(|error| child_error(track, error))
    }

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled()
    }

    /// Refuses what goes on beyond the longest lesson, whatever length the file declares.
    fn check_going_on(&self, duration_ms: u64) -> Result<(), ImportError> {
        let duration_ms_max = self.request.limits.duration_ms_max;
        if duration_ms > duration_ms_max {
            return Err(ProbeError::TooLong { duration_ms, duration_ms_max }.into());
        }
        Ok(())
    }

    /// How far into the lesson `ms` is, 0 to 1.
    fn fraction(&self, ms: u64) -> f64 {
        (ms as f64 / self.probe.duration_ms.max(1) as f64).min(1.0)
    }

    fn check_length(&self, tracks: &[FinishedTrack]) -> Result<u64, ImportError> {
        let decoded = tracks.iter().filter(|t| t.info.kind != TrackKind::Source);
        let decoded_ms = decoded.map(|track| track.info.duration_ms()).max();
        let decoded_ms = decoded_ms.ok_or(ImportError::NothingDecoded)?;
        let declared_ms = self.probe.duration_ms;
        // Containers round their length, and sound and picture end apart: a segment is forgiven.
        let missing_ms = declared_ms.saturating_sub(decoded_ms);
        if missing_ms > SEGMENT_MS.min(declared_ms / 4) {
            return Err(ImportError::CutOff { decoded_ms, declared_ms });
        }
        Ok(decoded_ms)
    }
}

fn child_error(track: TrackKind, error: ChildError) -> ImportError {
    match error {
        ChildError::Cancelled => ImportError::Cancelled,
        error => ImportError::Child { track, error },
    }
}

/// Turns each stage's progress into that of the whole.
struct Reporter<'a> {
    observer: &'a dyn Observer,
    percent: AtomicU8,
    started: Instant,
}

impl<'a> Reporter<'a> {
    fn new(observer: &'a dyn Observer) -> Self {
        // 255: nothing was reported yet.
        Self { observer, percent: AtomicU8::new(u8::MAX), started: Instant::now() }
    }

    fn report(&self, stage: Stage, fraction: f64) {
        // Shares of the time that a remuxed lecture takes on two cores; a re-encoded source only
        // makes the first part slower.
        let (from, to) = match stage {
            Stage::Probe => (0.0, 1.0),
            Stage::Source => (1.0, 10.0),
            Stage::Audio => (10.0, 15.0),
            Stage::Video | Stage::Video480 => (15.0, 100.0),
        };
        let percent = (from + (to - from) * fraction.clamp(0.0, 1.0)) as u8;
        let raise = |old: u8| (old == u8::MAX || old < percent).then_some(percent);
        if self.percent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise).is_ok() {
            self.observer.progress(Progress { stage, percent, seconds_left: None });
        }
    }

    /// As `report` for the last stage, with what is left: `done` of `total` segments took since
    /// `since`, not counting `found` ones that an earlier call had made.
    fn report_segments(&self, since: Instant, found: u64, done: u64, total: u64) {
        let total = total.max(1);
        let fraction = (done as f64 / total as f64).min(1.0);
        let percent = (15.0 + 85.0 * fraction) as u8;
        let made = done.saturating_sub(found);
        let seconds = since.elapsed().as_secs_f64();
        let left = total.saturating_sub(done) as f64;
        let seconds_left = (made > 0).then(|| (seconds / made as f64 * left).ceil() as u64);
        self.percent.fetch_max(percent.min(100), Ordering::Relaxed);
        let percent = self.percent.load(Ordering::Relaxed).min(100);
        tracing::debug!(done, total, elapsed_s = self.started.elapsed().as_secs(), "segment");
        self.observer.progress(Progress { stage: Stage::Video, percent, seconds_left });
    }
}
