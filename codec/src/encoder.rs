//! AV1 encoders behind one small interface, for the tracks that are recorded: a GOP of planar
//! pictures and a quantizer go in, one coded picture for each comes out.
//!
//! rav1e runs in the calling thread; SVT-AV1 is a bounded child, the system's ffmpeg. Both give
//! the same bytes for the same pictures, whatever else the machine does.

use serde::{Deserialize, Serialize};

use crate::av1::{Av1Error, Av1Settings, encode_gop};
use crate::child::ChildError;
use crate::cmaf::Sample;
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::frame_size::FrameSize;

pub(crate) mod maker;
pub(crate) mod svt_av1;
pub(crate) mod target;

/// Which encoder makes the AV1 tracks of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncoderChoice {
    /// SVT-AV1 where the system's ffmpeg has one that works, rav1e where it has not.
    #[default]
    Auto,
    /// rav1e, built in: always there.
    Rav1e,
    /// SVT-AV1 of the system's ffmpeg: three times as fast on camera pictures, for a third fewer
    /// bits.
    SvtAv1,
}

/// An encoder of AV1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderName {
    /// rav1e, built in.
    Rav1e,
    /// SVT-AV1 of the system's ffmpeg.
    SvtAv1,
}

impl std::fmt::Display for EncoderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rav1e => "rav1e",
            Self::SvtAv1 => "SVT-AV1",
        })
    }
}

/// The pictures of a track; the same for all its GOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    /// Width in pixels, even, at least 16; 64 for SVT-AV1.
    pub width: u32,
    /// Height in pixels, even, at least 16; 64 for SVT-AV1.
    pub height: u32,
    /// Pictures of a whole GOP.
    pub gop_frames: u64,
    /// Frames a second, as a fraction.
    pub frame_rate: (u64, u64),
}

impl PictureFormat {
    /// The bytes of one picture: planar 4:2:0, 8 bits.
    pub fn frame_bytes(&self) -> usize {
        (self.width * self.height * 3 / 2) as usize
    }

    fn settings(&self, quantizer: u8) -> Av1Settings {
        let Self { width, height, gop_frames, frame_rate } = *self;
        let size = FrameSize { scaled_width: width, scaled_height: height, width, height };
        Av1Settings { size, gop_frames, frame_rate, quantizer: quantizer.into() }
    }
}

/// One picture as an AV1 temporal unit without its delimiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodedPicture {
    /// Its OBUs.
    pub bytes: Vec<u8>,
    /// Whether it decodes by itself.
    pub is_key: bool,
}

/// Why a GOP could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The AV1 stream, or rav1e itself.
    #[error(transparent)]
    Av1(Av1Error),
    /// ffmpeg failed.
    #[error("SVT-AV1: {0}")]
    Child(ChildError),
    /// SVT-AV1 was chosen and is not there.
    #[error(
        "this machine's ffmpeg has no SVT-AV1 (libsvtav1) that works ({why}); install an ffmpeg \
         that has it, or set encoder = \"auto\" or \"rav1e\""
    )]
    NoSvtAv1 {
        /// What ffmpeg said.
        why: String,
    },
    /// What was encoded does not decode.
    #[error(transparent)]
    Decode(Box<crate::decode::DecodeError>),
    /// Fewer or more pictures came out than went in.
    #[error("{made} pictures came out of the AV1 encoder for {given}")]
    Count {
        /// How many came out.
        made: usize,
        /// How many went in.
        given: usize,
    },
}

impl EncodeError {
    /// Whether a child was stopped, which is not the encoder's fault.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Self::Child(error) if error.is_stopped())
    }
}

impl From<Av1Error> for EncodeError {
    fn from(error: Av1Error) -> Self {
        match error {
            Av1Error::Cancelled => Self::Cancelled,
            error => Self::Av1(error),
        }
    }
}

impl From<ChildError> for EncodeError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Cancelled => Self::Cancelled,
            error => Self::Child(error),
        }
    }
}

/// What turns GOPs into AV1.
pub trait GopEncoder: Send + Sync {
    /// What its quantizers mean.
    fn scale(&self) -> &Scale;

    /// Encodes `frames` (planar 4:2:0) as one GOP whose first picture is its only key frame, at
    /// an AV1 quantizer index of 1 (best) to 255. `is_cancelled` is asked between pictures, or by
    /// an encoder that is a process of its own before the first, and may hold the encoder up for
    /// as long as it likes.
    ///
    /// # Errors
    /// If it was cancelled, or the encoder failed.
    fn encode_gop(
        &self,
        format: &PictureFormat,
        quantizer: u8,
        frames: &[&[u8]],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<CodedPicture>, EncodeError>;
}

/// How an encoder's quality follows its quantizer, for the search of a target quality.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Decibels of SSIM that one index costs.
    pub db_per_index: f64,
    /// Indices between two that differ.
    pub step: u8,
    /// The coarsest index that a lesson is made with: the floor of its quality.
    pub index_max: u8,
    /// What camera pictures without any measurement start from: such as move a little. Slides
    /// start from the coarsest, where nearly all of them end.
    pub camera_start: u8,
}

/// The encoder of a choice; `ffmpeg` and `limits` are for SVT-AV1.
///
/// # Errors
/// If SVT-AV1 is chosen and ffmpeg has none that works.
pub fn encoder(
    choice: EncoderChoice,
    ffmpeg: &Ffmpeg,
    limits: &Limits,
) -> Result<Box<dyn GopEncoder>, EncodeError> {
    Ok(match find(choice, ffmpeg, limits)? {
        EncoderName::Rav1e => Box::new(Rav1e),
        EncoderName::SvtAv1 => Box::new(svt_av1::SvtAv1::new(ffmpeg, limits)),
    })
}

/// Says which encoder a choice is on this machine; SVT-AV1 is tried on a few pictures.
///
/// # Errors
/// If SVT-AV1 is chosen and ffmpeg has none that works.
pub fn find(
    choice: EncoderChoice,
    ffmpeg: &Ffmpeg,
    limits: &Limits,
) -> Result<EncoderName, EncodeError> {
    if choice == EncoderChoice::Rav1e {
        return Ok(EncoderName::Rav1e);
    }
    match (svt_av1::SvtAv1::new(ffmpeg, limits).try_out(&|| false), choice) {
        (Ok(_), _) => Ok(EncoderName::SvtAv1),
        (Err(_), EncoderChoice::Auto) => Ok(EncoderName::Rav1e),
        (Err(error), _) => Err(error),
    }
}

pub(crate) struct Rav1e;

impl GopEncoder for Rav1e {
    fn scale(&self) -> &Scale {
        &Scale {
            // Measured on slides and on camera pictures.
            db_per_index: 0.073,
            step: 1,
            // At 195 the letters of a lecture are still clear, but the face in its corner is
            // smeared and an earlier slide shimmers through the next; a face is too small for
            // either mean to see it.
            index_max: 176,
            camera_start: 120,
        }
    }

    fn encode_gop(
        &self,
        format: &PictureFormat,
        quantizer: u8,
        frames: &[&[u8]],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<CodedPicture>, EncodeError> {
        let samples = encode_gop(&format.settings(quantizer), frames, is_cancelled)?;
        let coded = |Sample { bytes, is_sync, .. }| CodedPicture { bytes, is_key: is_sync };
        Ok(samples.into_iter().map(coded).collect())
    }
}
