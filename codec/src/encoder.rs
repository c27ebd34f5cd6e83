//! AV1 encoders behind one small interface, for the tracks that are recorded: a GOP of planar
//! pictures and a quantizer go in, one coded picture for each comes out.
//!
//! rav1e runs in the calling thread; SVT-AV1 is a bounded child, the system's ffmpeg. Both give
//! the same bytes for the same pictures, whatever else the machine does.

use crate::av1::{Av1Error, Av1Settings, encode_gop};
use crate::child::ChildError;
use crate::cmaf::Sample;
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::frame_size::FrameSize;

mod svt_av1;
pub(crate) mod target;

/// Which encoder makes the AV1 tracks of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncoderChoice {
    /// rav1e, built in: always there.
    #[default]
    Rav1e,
    /// SVT-AV1 of the system's ffmpeg: faster, where ffmpeg was built with it.
    SvtAv1,
}

/// The pictures of a track; the same for all its GOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    /// Width in pixels, even, at least 16.
    pub width: u32,
    /// Height in pixels, even, at least 16.
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
        "this machine's ffmpeg has no SVT-AV1 (libsvtav1); install an ffmpeg that has it, or set \
         encoder = \"rav1e\""
    )]
    NoSvtAv1,
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
    /// Encodes `frames` (planar 4:2:0) as one GOP whose first picture is its only key frame, at
    /// an AV1 quantizer index of 1 (best) to 255. `is_cancelled` is asked between pictures and
    /// may hold the encoder up for as long as it likes.
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

/// The encoder of a choice; `ffmpeg` and `limits` are for SVT-AV1.
///
/// # Errors
/// If SVT-AV1 is chosen and ffmpeg has none.
pub fn encoder(
    choice: EncoderChoice,
    ffmpeg: &Ffmpeg,
    limits: &Limits,
) -> Result<Box<dyn GopEncoder>, EncodeError> {
    Ok(match choice {
        EncoderChoice::Rav1e => Box::new(Rav1e),
        EncoderChoice::SvtAv1 => Box::new(svt_av1::SvtAv1::find(ffmpeg, limits)?),
    })
}

struct Rav1e;

impl GopEncoder for Rav1e {
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
