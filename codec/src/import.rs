//! A teacher's file becomes the tracks of a lesson.
//!
//! After the probe, `source` (where it is remuxed), `audio`, and `slides` with `thumbs` and what
//! hardly moves of `video-360`, and then all of that, are made side by side; a `source` that must
//! be encoded, and `video-480`, follow.
//! Each finished track, each finished segment of `slides`, of a video track and of a picture that
//! is encoded again, and each finished minute of `audio`, is durable in the work folder before it
//! counts, and is found again when [`import`] is called with the same folder: a power cut costs at
//! most one segment a worker, a minute of sound, 20 s of the look for pages, and the current
//! pass over the file where nothing is encoded. Pictures are decoded from where something is
//! missing, if the file has an index that leads there. An import that was cut gives the same bytes
//! as one that was not, save for a picture in `source` that was encoded again: its pictures and
//! times are the same. What encodes a video track is found out once, and kept to; a track whose
//! encoder is gone, or another, when the import goes on is begun again.
//!
//! Segment boundaries are multiples of 4 s in the video tracks, and the nearest packet of 60 ms in
//! `audio` (never more than 30 ms away). `source` that is remuxed has its own key frames, about
//! every 4 s or more; re-encoded it has the same multiples of 4 s.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::child::{ChildError, at_low_priority};
use crate::document::DocumentError;
pub use crate::encoder::EncoderChoice;
use crate::encoder::maker::Makers;
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::probe::{Probe, ProbeError, probe_unless};
use crate::track::{TrackInfo, TrackKind};
pub(crate) use captions::write as write_captions;
pub use error::ImportError;
use progress::{Plan, Reporter};
pub use progress::{Rates, VideoRates};
pub(crate) use source::{is_fit_audio, is_fit_video};
pub(crate) use thumbs::{THUMB_SIZE, small, small_size};
pub(crate) use work_dir::WorkDir;

mod audio;
mod captions;
mod chapters;
mod error;
pub(crate) mod notes;
mod peaks;
mod pictures;
mod poster;
mod progress;
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
    /// Threads that encode, at least 1; each holds one GOP of raw pictures (17 MB for
    /// `video-360`, 61 MB for `video-480`) and an encoder.
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
    /// `slides` and `thumbs`.
    pub slides: bool,
    /// `video-360`.
    pub video_360: bool,
    /// `video-480`; a picture of at most 360 lines has none.
    pub video_480: bool,
}

impl Tiers {
    /// What a lesson can be published with. `video-480` takes several times as long as all of it.
    pub const FIRST: Self =
        Self { source: true, audio: true, slides: true, video_360: true, video_480: false };
    /// What follows later.
    pub const SECOND: Self =
        Self { source: false, audio: false, slides: false, video_360: false, video_480: true };
    /// Everything in one import.
    pub const ALL: Self = Self { video_480: true, ..Self::FIRST };
}

/// What an import is doing; of stages that run side by side, the first that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Asking what the file is.
    Probe,
    /// Making `source`.
    Source,
    /// Making `audio`.
    Audio,
    /// Finding the pages, and making `thumbs`.
    Slides,
    /// Making `slides`: encoding the pages.
    Pages,
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
    /// How long stages take, as [`Observer::rates_measured`] told of an earlier import.
    fn rates(&self) -> Rates {
        Rates::default()
    }
    /// Told at the end how long the stages took.
    fn rates_measured(&self, _rates: Rates) {}
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

/// Imports a file, or goes on with an import that was cut; all of it at low priority.
pub fn import(request: &ImportRequest, observer: &dyn Observer) -> Result<Imported, ImportError> {
    at_low_priority(|| import_here(request, observer))
}

fn import_here(request: &ImportRequest, observer: &dyn Observer) -> Result<Imported, ImportError> {
    let job = Job::open(request, observer)?;
    let mut tracks = job.make_tracks()?;
    let duration_ms = job.check_length(&tracks)?;
    job.reporter.measured(duration_ms);
    let poster_jpeg = poster::make(&job);
    if observer.is_cancelled() {
        return Err(ImportError::Cancelled);
    }
    let mut notes = notes::of(&job.probe);
    if request.tiers.audio {
        let captions = captions::make(&job, duration_ms, &mut notes)?;
        captions.iter().for_each(|track| observer.track_finished(track));
        tracks.extend(captions);
    }
    tracks.sort_by_key(|track| TrackKind::ALL.iter().position(|kind| *kind == track.info.kind));
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
    /// What encodes the video tracks; `None` if none is to be made.
    makers: Option<Makers>,
    /// Source or sound have failed: pictures need not go on.
    is_failed: AtomicBool,
    announced: Mutex<Announced>,
}

/// Tracks that are durable but not yet told of: pictures wait for the sound.
struct Announced {
    is_audio_over: bool,
    waiting: Vec<FinishedTrack>,
}

/// What a stage gives: its tracks, if the file has what they need.
type Made = Result<Vec<FinishedTrack>, ImportError>;

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
        let ImportRequest { ffmpeg, limits, tiers, .. } = request;
        let has_video = probe.video.is_some() && (tiers.video_360 || tiers.video_480);
        let makers = has_video
            .then(|| Makers::find(request.encoder, ffmpeg, limits, &is_cancelled))
            .transpose()?;
        let is_failed = AtomicBool::new(false);
        let is_audio_over = !request.tiers.audio;
        let announced = Mutex::new(Announced { is_audio_over, waiting: Vec::new() });
        Ok(Self { request, observer, reporter, work, probe, makers, is_failed, announced })
    }

    fn make_tracks(&self) -> Result<Vec<FinishedTrack>, ImportError> {
        let tiers = self.request.tiers;
        let copies_source = tiers.source && source::is_copied(self);
        let encodes_source = tiers.source && !copies_source;
        let video = self.probe.video.as_ref();
        self.reporter.plan(Plan {
            copies_source,
            encodes_source,
            audio: tiers.audio && self.probe.audio.is_some(),
            slides: tiers.slides && video.is_some(),
            video_360: tiers.video_360 && video.is_some(),
            video_480: tiers.video_480 && video.is_some_and(video::has_480),
            encoder: video::planned_encoder(self),
            decode_units: video.map_or(0.0, progress::decode_units),
            duration_s: self.probe.duration_ms as f64 / 1000.0,
        });
        let make_source = || source::make(self).map(|track| vec![track]);
        let make_audio = || audio::make(self).map(Vec::from_iter);
        let [mut source, audio, slides, video_360] = std::thread::scope(|scope| {
            let source = scope.spawn(|| self.stage(copies_source, Stage::Source, make_source));
            let audio = scope.spawn(|| self.stage(tiers.audio, Stage::Audio, make_audio));
            // The floor that is guaranteed comes before the larger picture.
            let slides = self.stage(tiers.slides, Stage::Pages, || slides::make(self));
            let is_wanted = tiers.video_360 && slides.is_ok();
            let make = || video::make_360(self).map(Vec::from_iter);
            let video = self.stage(is_wanted, Stage::Video, make);
            [joined(source.join()), joined(audio.join()), slides, video]
        });
        let is_good = audio.is_ok() && slides.is_ok() && video_360.is_ok();
        if encodes_source && is_good {
            source = self.stage(true, Stage::Source, make_source);
        }
        let is_good = is_good && source.is_ok();
        let make = || video::make_480(self).map(Vec::from_iter);
        let video_480 = self.stage(tiers.video_480 && is_good, Stage::Video480, make);
        let mut made = Vec::new();
        let mut cancelled = None;
        for tracks in [audio, slides, video_360, video_480, source] {
            match tracks {
                Ok(tracks) => made.extend(tracks),
                // Others were cancelled because one failed: that one says why.
                Err(ImportError::Cancelled) => cancelled = Some(ImportError::Cancelled),
                Err(error) => return Err(error),
            }
        }
        cancelled.map_or(Ok(made), Err)
    }

    /// Runs a stage, and tells of its tracks.
    fn stage(&self, is_wanted: bool, stage: Stage, make: impl FnOnce() -> Made) -> Made {
        if !is_wanted {
            return Ok(Vec::new());
        }
        let made = make();
        match &made {
            Ok(tracks) => {
                self.reporter.report(stage, 1.0);
                self.announce(stage, tracks);
            }
            // Source and sound are soon over, and know best what is wrong with a file.
            Err(_) if stage < Stage::Slides => self.is_failed.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        made
    }

    /// Tells of durable tracks, pictures only once the sound is over.
    fn announce(&self, stage: Stage, tracks: &[FinishedTrack]) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        match stage {
            Stage::Audio => {
                announced.is_audio_over = true;
                announced.waiting.splice(0..0, tracks.iter().cloned());
            }
            _ => announced.waiting.extend_from_slice(tracks),
        }
        if announced.is_audio_over {
            announced.waiting.drain(..).for_each(|track| self.observer.track_finished(&track));
        }
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

    /// Waits while the import is paused; whether it is to end.
    fn must_stop(&self) -> bool {
        self.reporter.wait_while_paused();
        self.is_cancelled()
    }

    /// Refuses what goes on beyond the longest lesson, whatever length the file declares.
    fn check_going_on(&self, duration_ms: u64) -> Result<(), ImportError> {
        let duration_ms_max = self.request.limits.duration_ms_max;
        // The last packet or picture may lie a little behind the end.
        if duration_ms > duration_ms_max + SEGMENT_MS {
            return Err(ProbeError::TooLong { duration_ms, duration_ms_max }.into());
        }
        Ok(())
    }

    /// How far into the lesson `ms` is, 0 to 1.
    fn fraction(&self, ms: u64) -> f64 {
        (ms as f64 / self.probe.duration_ms.max(1) as f64).min(1.0)
    }

    fn check_length(&self, tracks: &[FinishedTrack]) -> Result<u64, ImportError> {
        let declared_ms = self.probe.duration_ms;
        let tiers = self.request.tiers;
        if !(tiers.audio || tiers.slides || tiers.video_360) && tracks.is_empty() {
            // `video-480` alone was asked for, of a picture that has none.
            return Ok(declared_ms);
        }
        let decoded = tracks.iter().filter(|t| t.info.kind != TrackKind::Source);
        let decoded_ms = decoded.map(|track| track.info.duration_ms()).max();
        let decoded_ms = decoded_ms.ok_or(ImportError::NothingDecoded)?;
        if is_cut_off(declared_ms, decoded_ms) {
            return Err(ImportError::CutOff { decoded_ms, declared_ms });
        }
        Ok(decoded_ms)
    }
}

/// Whether what is there of a file is less than it declares. Containers round their length, and
/// sound and picture end apart: a segment is forgiven, and a quarter of a short file.
pub fn is_cut_off(declared_ms: u64, found_ms: u64) -> bool {
    declared_ms.saturating_sub(found_ms) > SEGMENT_MS.min(declared_ms / 4)
}

fn child_error(track: TrackKind, error: ChildError) -> ImportError {
    match error {
        ChildError::Cancelled => ImportError::Cancelled,
        error if error.is_empty_input() => ImportError::NothingDecoded,
        error => ImportError::Child { track, error },
    }
}

/// Does a worker's part. A panic in it ends the import as any error does, and the worker goes on:
/// whoever hands out the parts waits until somebody takes them.
fn caught(part: impl FnOnce() -> Result<(), ImportError>) -> Result<(), ImportError> {
    catch_unwind(AssertUnwindSafe(part)).unwrap_or(Err(ImportError::Panicked))
}

/// What a stage's thread gave; a panic in it goes on in the caller.
fn joined(outcome: std::thread::Result<Made>) -> Made {
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
