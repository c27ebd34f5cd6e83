//! One page as one AV1 key frame by rav1e, as coarse as its letters allow.

use rav1e::prelude::*;

use super::page::Page;
use super::text::text_ssim;
use crate::av1::{Av1Error, strip_temporal_delimiters};
use crate::decode::{self, DecodeError};

/// rav1e's preset: 4 and 5 save 3 % of the bytes for twice the time.
const SPEED: u8 = 6;
/// Quantizers to choose from, best first, in steps of about a tenth of the bytes.
const QUANTIZERS: [u8; 16] =
    [20, 32, 44, 56, 68, 80, 92, 104, 116, 128, 142, 156, 172, 190, 210, 235];
/// The place of the one that most pages end with; most others end one place before it.
const QUANTIZER_USUAL: usize = 12;
/// Quantizers of a thumbnail: the first that is small enough is taken.
const THUMB_QUANTIZERS: [u8; 5] = [100, 140, 180, 220, 255];
/// What the text areas of a decoded slide must have. At 0.98 (14 KB for 1280×720) there is a fringe
/// around dark letters on white; here there is none that is seen at twice the size.
const TEXT_SSIM_TARGET: f64 = 0.988;
/// What they keep even if the bytes are exceeded: letters of 18 pixels stay legible.
const TEXT_SSIM_FLOOR: f64 = 0.93;
/// The ceiling of a slide's bytes for 1280×720 pixels; larger and smaller pages in proportion.
const SLIDE_BYTES_MAX: u64 = 45 << 10;
const SLIDE_PIXELS: u64 = 1280 * 720;
/// The ceiling of a thumbnail: 240 of them, for 40 minutes, are below half a megabyte.
const THUMB_BYTES_MAX: usize = 2 << 10;
/// The most of any still: it and its boxes are one piece of a blob.
const STILL_BYTES_MAX: usize = 1000 << 10;
/// AV1 levels as `seq_level_idx`, with the most pixels and the longest sides of their pictures
/// (AV1 specification, annex A.3): 2.1, 3.0, 3.1, 4.0, 5.0, 6.0.
const LEVELS: [(u8, u64, u32, u32); 6] = [
    (1, 278_784, 2816, 1584),
    (4, 665_856, 4352, 2448),
    (5, 1_065_024, 5504, 3096),
    (8, 2_359_296, 6144, 3456),
    (12, 8_912_896, 8192, 4352),
    (16, 35_651_584, 16_384, 8704),
];

/// What a still is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StillUse {
    /// A page that is read: as coarse as its letters allow, at most 45 KiB for 1280×720 unless
    /// they could not be read.
    Slide,
    /// A picture on the seek bar: at most 2 KiB.
    Thumb,
}

/// Why a page could not become a still.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] Av1Error),
    /// What it wrote does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More bytes than a segment may have.
    #[error("a still of {bytes} bytes; at most {STILL_BYTES_MAX} are allowed")]
    TooMuch {
        /// Its length.
        bytes: usize,
    },
}

/// Encodes a page: the AV1 sample of one key frame, which decodes by itself. The same page always
/// gives the same bytes.
pub fn encode_still(page: &Page, still_use: StillUse) -> Result<Vec<u8>, StillError> {
    let sample = match still_use {
        StillUse::Slide => slide(page)?,
        StillUse::Thumb => thumb(page)?,
    };
    match sample.len() {
        0..=STILL_BYTES_MAX => Ok(sample),
        bytes => Err(StillError::TooMuch { bytes }),
    }
}

fn thumb(page: &Page) -> Result<Vec<u8>, StillError> {
    let mut sample = Vec::new();
    for quantizer in THUMB_QUANTIZERS {
        sample = encode(page, quantizer)?;
        if sample.len() <= THUMB_BYTES_MAX {
            break;
        }
    }
    Ok(sample)
}

fn slide(page: &Page) -> Result<Vec<u8>, StillError> {
    let pixels = u64::from(page.width()) * u64::from(page.height());
    let bytes_max = (SLIDE_BYTES_MAX * pixels / SLIDE_PIXELS) as usize;
    let mut trials = Trials { page, done: Default::default() };
    let last = QUANTIZERS.len() - 1;
    let target = trials.last_that(0, last, |trial| trial.text_ssim >= TEXT_SSIM_TARGET)?;
    let mut chosen = target;
    if trials.at(target)?.sample.len() > bytes_max {
        // One past the last that is too large; never past the last that can be read.
        let large = trials.last_that(target, last, |trial| trial.sample.len() > bytes_max)?;
        let legible = trials.last_that(target, last, |t| t.text_ssim >= TEXT_SSIM_FLOOR)?;
        chosen = (large + 1).min(legible).max(target);
    }
    while chosen < last && trials.at(chosen)?.sample.len() > STILL_BYTES_MAX {
        chosen += 1;
    }
    trials.at(chosen)?;
    Ok(trials.done[chosen].take().map(|trial| trial.sample).unwrap_or_default())
}

/// A page encoded with one quantizer.
struct Trial {
    sample: Vec<u8>,
    text_ssim: f64,
}

/// What was tried so far.
struct Trials<'a> {
    page: &'a Page,
    done: [Option<Trial>; QUANTIZERS.len()],
}

impl Trials<'_> {
    fn at(&mut self, index: usize) -> Result<&Trial, StillError> {
        if self.done[index].is_none() {
            let sample = encode(self.page, QUANTIZERS[index])?;
            let decoded = decode::still(&sample)?;
            let width = self.page.width() as usize;
            let text_ssim = text_ssim(self.page.luma(), decoded.luma(), width);
            self.done[index] = Some(Trial { sample, text_ssim });
        }
        Ok(self.done[index].as_ref().expect("it was tried just now"))
    }

    /// The last of `from..=to` for which `holds`, which is taken to hold up to some point and not
    /// after it; `from` if it holds nowhere.
    fn last_that(
        &mut self,
        from: usize,
        to: usize,
        holds: impl Fn(&Trial) -> bool,
    ) -> Result<usize, StillError> {
        search(from, to, |at| Ok(holds(self.at(at)?)))
    }
}

/// Looks for the last that holds, from what is usual ever further away until it lies between two
/// that were tried: mostly two trials tell, where halves take four.
fn search<E>(
    from: usize,
    to: usize,
    mut holds: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let (mut low, mut high) = (from, to);
    let (mut next, mut reach) = (QUANTIZER_USUAL, 1);
    while low < high {
        let is_between = from < low && high < to;
        next = if is_between { (low + high).div_ceil(2) } else { next.clamp(low + 1, high) };
        if holds(next)? {
            low = next;
            next += reach;
        } else {
            high = next - 1;
            next = next.saturating_sub(reach);
        }
        reach *= 2;
    }
    Ok(low)
}

/// Encodes a page with one quantizer.
fn encode(page: &Page, quantizer: u8) -> Result<Vec<u8>, Av1Error> {
    let config = Config::new().with_encoder_config(encoder_config(page, quantizer));
    let mut context: Context<u8> = config.with_threads(1).new_context()?;
    let mut frame = context.new_frame();
    for (plane, (bytes, width)) in frame.planes.iter_mut().zip(page.planes()) {
        plane.copy_from_raw_u8(bytes, width, 1);
    }
    context.send_frame(frame)?;
    context.flush();
    loop {
        match context.receive_packet() {
            Ok(packet) => return strip_temporal_delimiters(&packet.data),
            Err(EncoderStatus::Encoded) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn encoder_config(page: &Page, quantizer: u8) -> EncoderConfig {
    let mut config = EncoderConfig::with_speed_preset(SPEED);
    config.width = page.width() as usize;
    config.height = page.height() as usize;
    config.time_base = Rational::new(1, 1);
    config.level_idx = Some(level(page.width(), page.height()));
    // A sequence of one picture, without the header of a still picture: a track has many, and not
    // every player of tracks reads the short header.
    config.min_key_frame_interval = 1;
    config.max_key_frame_interval = 1;
    config.low_latency = true;
    config.quantizer = quantizer.into();
    // Letters have no texture that the eye would forgive.
    config.tune = Tune::Psnr;
    config.color_description = Some(ColorDescription {
        color_primaries: ColorPrimaries::BT709,
        transfer_characteristics: TransferCharacteristics::BT709,
        matrix_coefficients: MatrixCoefficients::BT709,
    });
    config.speed_settings.scene_detection_mode = SceneDetectionSpeed::None;
    config
}

/// The lowest level that holds the picture; from 2.1 on, as `video-360` has. The picture rates of
/// all of them are far above that of slides.
fn level(width: u32, height: u32) -> u8 {
    let pixels = u64::from(width) * u64::from(height);
    let fits =
        |level: &&(u8, u64, u32, u32)| pixels <= level.1 && width <= level.2 && height <= level.3;
    LEVELS.iter().find(fits).map_or(LEVELS[LEVELS.len() - 1].0, |level| level.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_holds_is_found_wherever_it_is_and_where_it_mostly_is_in_two_trials() {
        let last = QUANTIZERS.len() - 1;
        for from in 0..=last {
            for found in from..=last {
                let mut trials = 0;
                let holds = |at: usize| {
                    trials += 1;
                    Ok::<bool, StillError>(at <= found)
                };
                assert_eq!(search(from, last, holds).unwrap(), found);
                let usual = (QUANTIZER_USUAL - 1..=QUANTIZER_USUAL).contains(&found);
                assert!(trials <= if usual { 2 } else { 7 }, "{trials} from {from} to {found}");
            }
        }
    }
}
