//! H.264 and AAC made on demand, one segment at a time, for a browser that has neither AV1 nor
//! Opus: an old panel keeps its place in class while the track `source` is not here.
//!
//! A segment needs nothing but the same moment of the lesson's own tracks, so it can be made
//! again, cached, dropped and asked for in any order. The picture's segment begins with a key
//! frame and keeps its frames' times. AAC has no frame that decodes by itself: the sound of a
//! segment is encoded with some of what comes before and after it, and only its own frames are
//! kept, so that neighbours that were made apart fit together.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::child::ChildError;
use crate::cmaf::scan::ScanError;
use crate::cmaf::{self, Coding, Medium};
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::mux::{self, MuxError};
use crate::track::TrackInfo;
use sound::{FRAME_SAMPLES, SAMPLE_RATE};

mod picture;
pub(crate) mod sound;

/// What the segments of a lesson are made of.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The picture, AV1, if there is one.
    pub picture: Option<&'a TrackInfo>,
    /// The sound, Opus, if there is any.
    pub sound: Option<&'a TrackInfo>,
}

/// What one segment is made of, by the numbers of the tracks' segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Of the picture.
    pub picture: Option<usize>,
    /// Of the sound; what is not here becomes silence.
    pub sound: std::ops::Range<usize>,
}

/// The bytes that a segment is made of; see [`Plan::needs`].
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// The picture's init segment.
    pub picture_init: Vec<u8>,
    /// The picture's segment.
    pub picture: Vec<u8>,
    /// The sound's init segment.
    pub sound_init: Vec<u8>,
    /// The sound's segments; none where one is not here.
    pub sound: Vec<Option<Vec<u8>>>,
}

/// A finished segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The init segment, the same for every segment of a lesson.
    pub init: Vec<u8>,
    /// The segment.
    pub segment: Vec<u8>,
}

/// Where and with what segments are made.
#[derive(Debug, Clone, Copy)]
pub struct Workshop<'a> {
    /// The child program.
    pub ffmpeg: &'a Ffmpeg,
    /// What it may use.
    pub limits: &'a Limits,
    /// A folder for what the child reads; nothing is left in it.
    pub folder: &'a Path,
}

/// Why a segment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FallbackError {
    /// There is no such segment, or a track is of another form than ours.
    #[error("the lesson has no such segment, or its tracks are of another form")]
    Unsupported,
    /// The tracks' bytes are damaged.
    #[error(transparent)]
    Boxes(#[from] ScanError),
    /// The tracks do not go together.
    #[error(transparent)]
    Mux(#[from] MuxError),
    /// The sound does not decode.
    #[error("the sound does not decode: {0}")]
    Opus(#[from] opus::Error),
    /// ffmpeg failed.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// ffmpeg gave other frames than it was given.
    #[error("{given} frames went into ffmpeg and {made} came out")]
    Frames {
        /// Frames of the segment.
        given: usize,
        /// Frames that came out.
        made: usize,
    },
    /// The folder cannot be used.
    #[error("the folder for scratch files cannot be used: {0}")]
    Disk(#[from] std::io::Error),
}

impl<'a> Plan<'a> {
    /// The track whose segments set the borders.
    fn lead(&self) -> Option<&'a TrackInfo> {
        self.picture.or(self.sound)
    }

    /// Gives how long each segment lasts, in seconds.
    pub fn seconds(&self) -> Vec<f64> {
        let seconds = |info: &TrackInfo| {
            let timescale = f64::from(info.timescale.max(1));
            info.segments.iter().map(|s| f64::from(s.duration_ticks) / timescale).collect()
        };
        self.lead().map(seconds).unwrap_or_default()
    }

    /// Says what segment `n` is made of; none if there is no such segment.
    pub fn needs(&self, n: usize) -> Option<Needs> {
        let span = self.span(n)?;
        let sound = self.sound.map_or(0..0, |info| sound::segments_of(info, &frames(&span)));
        Some(Needs { picture: self.picture.map(|_| n), sound })
    }

    /// Makes segment `n`.
    ///
    /// # Errors
    /// See [`FallbackError`]; [`ChildError::Cancelled`] inside if `is_cancelled` said so.
    pub fn make(
        &self,
        n: usize,
        material: &Material,
        workshop: &Workshop,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Made, FallbackError> {
        let span = self.span(n).ok_or(FallbackError::Unsupported)?;
        let number = u32::try_from(n).map_err(|_| FallbackError::Unsupported)?;
        let (mut inits, mut segment) = (Vec::new(), Vec::new());
        if let Some(info) = self.picture {
            let (medium, samples) = picture::encode(material, info, workshop, is_cancelled)?;
            let start_ticks = start_ticks(info, n);
            inits.push(cmaf::init_segment(&medium));
            segment.extend(cmaf::segment(number * 2 + 1, start_ticks, &samples));
        }
        if let Some(info) = self.sound {
            let frames = frames(&span);
            let samples = sound::encode(material, info, &frames, workshop, is_cancelled)?;
            inits.push(cmaf::init_segment(&sound_medium(info)));
            let mut bytes = cmaf::segment(number * 2 + 2, frames.start * FRAME_SAMPLES, &samples);
            let total_bytes = bytes.len() as u64;
            mux::renumber(&mut bytes, total_bytes, inits.len() as u32, number * 2 + 2)?;
            segment.extend(bytes);
        }
        let inits: Vec<&[u8]> = inits.iter().map(Vec::as_slice).collect();
        Ok(Made { init: mux::join(&inits)?, segment })
    }

    /// When segment `n` begins and ends, in samples of sound.
    fn span(&self, n: usize) -> Option<std::ops::Range<u64>> {
        let lead = self.lead()?;
        if n >= lead.segments.len() {
            return None;
        }
        let samples = |ticks: u64| {
            let samples = u128::from(ticks) * u128::from(SAMPLE_RATE) / u128::from(lead.timescale);
            u64::try_from(samples).ok()
        };
        Some(samples(start_ticks(lead, n))?..samples(start_ticks(lead, n + 1))?)
    }
}

/// When a track's segment begins, in its ticks.
fn start_ticks(info: &TrackInfo, n: usize) -> u64 {
    info.segments[..n].iter().map(|s| u64::from(s.duration_ticks)).sum()
}

/// The AAC frames that begin within a span of samples.
fn frames(span: &std::ops::Range<u64>) -> std::ops::Range<u64> {
    span.start.div_ceil(FRAME_SAMPLES)..span.end.div_ceil(FRAME_SAMPLES)
}

fn sound_medium(info: &TrackInfo) -> Medium {
    Medium {
        timescale: SAMPLE_RATE,
        sample_ticks: FRAME_SAMPLES as u32,
        duration_ticks: info.duration_ms() * u64::from(SAMPLE_RATE) / 1000,
        coding: Coding::Aac,
    }
}

/// A file that a child reads, removed when it goes out of scope.
struct Scratch(PathBuf);

impl Scratch {
    fn write(folder: &Path, extension: &str, bytes: &[u8]) -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("scratch-{}-{number}.{extension}", std::process::id()));
        let scratch = Self(path);
        std::fs::write(&scratch.0, bytes)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "a scratch file is left behind");
        }
    }
}

#[cfg(test)]
mod tests;
