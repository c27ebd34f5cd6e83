//! How long the stages of an import take on a machine.

use serde::{Deserialize, Serialize};

use crate::encoder::EncoderName;
use crate::probe::VideoStream;

/// Pixels a second of 1280×720 at 25 pictures a second: what [`Rates::decode`] is for.
const DECODE_PIXELS_PER_S: f64 = 1280.0 * 720.0 * 25.0;

/// How long stages take, in seconds of work for a second of the lesson. What an import measured is
/// what the next one goes by: the same machine, though maybe another kind of lesson, so they are
/// for what there is to do in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Decoding 1280×720 at 25 pictures a second: a part of each stage that sees all pictures.
    pub decode: f64,
    /// Encoding a picture again for `source`.
    pub source: f64,
    /// Sound.
    pub audio: f64,
    /// Finding the pages, and thumbnails.
    pub look: f64,
    /// One page, in seconds.
    pub page: f64,
    /// Pictures by rav1e.
    pub rav1e: VideoRates,
    /// Pictures by SVT-AV1.
    pub svt_av1: VideoRates,
}

/// What one encoder takes, for a second of the lesson in which the picture moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VideoRates {
    /// The picture of `video-360`.
    pub video_360: f64,
    /// The picture of `video-480`.
    pub video_480: f64,
}

/// What a first import goes by: measured with lectures on one machine, and right only relative to
/// one another.
impl Default for Rates {
    fn default() -> Self {
        Self {
            decode: 0.043,
            source: 0.36,
            audio: 0.008,
            look: 0.012,
            page: 1.05,
            rav1e: VideoRates { video_360: 0.38, video_480: 1.3 },
            svt_av1: VideoRates { video_360: 0.137, video_480: 0.5 },
        }
    }
}

impl Rates {
    pub(super) fn scaled(self, by: f64) -> Self {
        self.each(|rate| rate * by)
    }

    /// With every number such that it can be reckoned with, whatever a file or a wrong clock says.
    pub(super) fn sane(self) -> Self {
        self.each(|rate| if rate.is_finite() { rate.clamp(1e-3, 1e3) } else { 1.0 })
    }

    fn each(self, of: impl Fn(f64) -> f64) -> Self {
        let video = |rates: VideoRates| VideoRates {
            video_360: of(rates.video_360),
            video_480: of(rates.video_480),
        };
        Self {
            decode: of(self.decode),
            source: of(self.source),
            audio: of(self.audio),
            look: of(self.look),
            page: of(self.page),
            rav1e: video(self.rav1e),
            svt_av1: video(self.svt_av1),
        }
    }

    pub(super) fn video(&mut self, encoder: EncoderName) -> &mut VideoRates {
        match encoder {
            EncoderName::Rav1e => &mut self.rav1e,
            EncoderName::SvtAv1 => &mut self.svt_av1,
        }
    }
}

/// What decoding a picture takes, in units of [`Rates::decode`].
pub(in crate::import) fn decode_units(video: &VideoStream) -> f64 {
    // A file that does not say how many pictures there are has some all the same.
    let frame_rate = if video.frame_rate > 0.0 { video.frame_rate.min(120.0) } else { 25.0 };
    f64::from(video.width) * f64::from(video.height) * frame_rate / DECODE_PIXELS_PER_S
}
