//! Why an import ends without a lesson.

use crate::av1::Av1Error;
use crate::child::ChildError;
use crate::cmaf::scan::ScanError;
use crate::decode::DecodeError;
use crate::document::DocumentError;
use crate::encoder::EncodeError;
use crate::probe::ProbeError;
use crate::slide::StillError;
use crate::track::{TrackInfoError, TrackKind};

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
    /// What an AV1 encoder made is not what it should be.
    #[error(transparent)]
    Av1(#[from] Av1Error),
    /// The AV1 encoder failed, or is not there.
    #[error(transparent)]
    Encode(EncodeError),
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
    /// A mistake of this program, whose log says more.
    #[error("the program that makes lessons has a mistake; its log says which")]
    Panicked,
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
            Self::Child { error, .. } | Self::Encode(EncodeError::Child(error))
                if error.is_stopped() =>
            {
                "ffmpeg_stopped"
            }
            Self::Probe(error) => error.code(),
            Self::Cancelled => "cancelled",
            Self::NothingDecoded => "nothing_decoded",
            Self::CutOff { .. } => "truncated",
            Self::Child { .. } | Self::Boxes(_) => "ffmpeg_failed",
            Self::Track(_) => "too_many_segments",
            Self::Encode(EncodeError::NoSvtAv1 { .. }) => "no_svt_av1",
            Self::Av1(_) | Self::Encode(_) | Self::Opus(_) => "encoder_failed",
            Self::Still(_) | Self::Decode(_) => "encoder_failed",
            Self::Document(error) => error.code(),
            Self::Panicked => "internal",
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

impl From<EncodeError> for ImportError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Cancelled => Self::Cancelled,
            error => Self::Encode(error),
        }
    }
}
