//! The quantizer of a GOP by the quality that a viewer gets: encode, decode, compare, and once or
//! twice again if it is far off.
//!
//! Everything is counted in decibels of SSIM, −10·log10(1 − SSIM): they fall evenly with the
//! quantizer index, how fast depends on the encoder (see [`Scale`]) and the pictures.

use super::{CodedPicture, EncodeError, GopEncoder, PictureFormat, Scale};
use crate::content::Content;
use crate::decode::{DecodeError, each_picture};
use crate::quality::{Closeness, closeness};

/// The quality that is aimed at: mean SSIM of luma 0.97, in decibels.
const MEAN_DB: f64 = 15.23;
/// What letters and lines must have: 0.97 too. Two thirds of a slide are empty, and their mean
/// says nothing about whether text can be read.
const SHARP_DB: f64 = 15.23;
/// How far below the target a GOP may stay without being encoded again: SSIM 0.965.
const BELOW_DB_MAX: f64 = 0.7;
/// How far above: some 25 % of bits given away in one GOP; the next one starts lower.
const ABOVE_DB_MAX: f64 = 1.5;
/// Encodings of one GOP at most: the second correction knows how fast the quality falls here.
const TRIES_MAX: usize = 3;
/// How much less, and more, an index may cost in a GOP than the scale says: letters that stay fall
/// off five times as fast at the coarse end as camera pictures.
const SLOPE_MIN: f64 = 0.5;
const SLOPE_MAX: f64 = 6.0;
/// The best quantizer that is tried: finer ones cost bits that nobody sees.
pub(crate) const INDEX_MIN: u8 = 40;
/// A measurement before the first encoding, for camera pictures that follow no other GOP: the
/// first of them.
const PROBE_PICTURES: usize = 10;
/// How much better they come out than the whole GOP: the key frame, finer than the rest, is a
/// larger part of them.
const PROBE_BIAS_DB: f64 = 1.5;
/// The part of a difference that the next GOP starts with: less than all of it, so that two
/// kinds of GOPs that alternate do not drive each other.
const NEXT_GAIN: f64 = 0.8;

/// One picture to encode and how long it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture<'a> {
    pub(crate) planes: &'a [u8],
    /// In frames, from 1.
    pub(crate) frames: u32,
}

/// How a GOP came out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reached {
    pub(crate) pictures: Vec<CodedPicture>,
    /// What a GOP that follows should start from.
    pub(crate) next_index: u8,
    /// How often the whole GOP was encoded.
    pub(crate) tries: usize,
}

/// What may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    pub(crate) bits_per_s: u64,
}

/// One try.
struct Try {
    index: u8,
    pictures: Vec<CodedPicture>,
    /// Decibels above (or, negative, below) what is wanted.
    above_db: f64,
}

/// Encodes a GOP at the target quality. `start` is the `next_index` of an earlier GOP.
pub(crate) fn encode(
    encoder: &dyn GopEncoder,
    format: &PictureFormat,
    pictures: &[Picture],
    start: Option<u8>,
    ceiling: Ceiling,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Reached, EncodeError> {
    let attempt = |pictures: &[Picture], index| {
        attempt(encoder, format, pictures, index, ceiling, is_cancelled)
    };
    let scale = encoder.scale();
    let mut index = match (start, content(format, pictures)) {
        (Some(start), _) => start,
        (None, Content::Slides) => scale.index_max,
        (None, Content::Camera) if pictures.len() > 2 * PROBE_PICTURES => {
            let probe = attempt(&pictures[..PROBE_PICTURES], scale.camera_start)?;
            let above_db = probe.above_db - PROBE_BIAS_DB;
            corrected(scale, scale.db_per_index, probe.index, above_db)
        }
        (None, Content::Camera) => scale.camera_start,
    };
    let mut best = attempt(pictures, index)?;
    let mut tried = vec![index];
    let mut slope = scale.db_per_index;
    while tried.len() < TRIES_MAX && !(-BELOW_DB_MAX..=ABOVE_DB_MAX).contains(&best.above_db) {
        index = corrected(scale, slope, best.index, best.above_db);
        if tried.contains(&index) {
            break;
        }
        let again = attempt(pictures, index)?;
        tried.push(index);
        slope = slope_between(scale, &best, &again);
        if distance(again.above_db) < distance(best.above_db) {
            best = again;
        }
    }
    let next_index = corrected(scale, scale.db_per_index, best.index, best.above_db * NEXT_GAIN);
    Ok(Reached { pictures: best.pictures, next_index, tries: tried.len() })
}

fn content(format: &PictureFormat, pictures: &[Picture]) -> Content {
    let planes: Vec<&[u8]> = pictures.iter().map(|picture| picture.planes).collect();
    Content::of(&planes, format.width as usize, format.height as usize)
}

/// How bad it is to be off by so much: too coarse is seen, too fine only costs.
fn distance(above_db: f64) -> f64 {
    if above_db < 0.0 { above_db / -BELOW_DB_MAX } else { above_db / ABOVE_DB_MAX }
}

/// Decibels that an index costs here, by two tries.
fn slope_between(scale: &Scale, one: &Try, other: &Try) -> f64 {
    let indices = f64::from(other.index) - f64::from(one.index);
    let slope = (one.above_db - other.above_db) / indices;
    let times = |bound: f64| bound * scale.db_per_index;
    if slope.is_finite() { slope.clamp(times(SLOPE_MIN), times(SLOPE_MAX)) } else { times(1.0) }
}

fn corrected(scale: &Scale, db_per_index: f64, index: u8, above_db: f64) -> u8 {
    let step = f64::from(scale.step);
    let wanted = f64::from(index) + above_db / db_per_index;
    let wanted = (wanted / step).round() * step;
    wanted.clamp(f64::from(INDEX_MIN), f64::from(scale.index_max)) as u8
}

fn attempt(
    encoder: &dyn GopEncoder,
    format: &PictureFormat,
    pictures: &[Picture],
    index: u8,
    ceiling: Ceiling,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Try, EncodeError> {
    let planes: Vec<&[u8]> = pictures.iter().map(|picture| picture.planes).collect();
    let coded = encoder.encode_gop(format, index, &planes, is_cancelled)?;
    if coded.len() != planes.len() {
        return Err(EncodeError::Count { made: coded.len(), given: planes.len() });
    }
    let reached = measure(format, pictures, &coded)?;
    let above_db = above(&reached).max(excess(format, pictures, &coded, ceiling));
    Ok(Try { index, pictures: coded, above_db })
}

/// Compares what dav1d makes of the coded pictures with what they were made of.
fn measure(
    format: &PictureFormat,
    pictures: &[Picture],
    coded: &[CodedPicture],
) -> Result<Closeness, EncodeError> {
    let luma_bytes = (format.width * format.height) as usize;
    let mut all = Closeness::default();
    let mut sources = pictures.iter();
    let samples = coded.iter().map(|picture| &picture.bytes[..]);
    each_picture(samples, |decoded| {
        if let Some(source) = sources.next()
            && decoded.luma.len() == luma_bytes
        {
            let source_luma = &source.planes[..luma_bytes];
            let one = closeness(source_luma, &decoded.luma, format.width as usize);
            all.add(&one, f64::from(source.frames));
        }
    })
    .map_err(|error: DecodeError| EncodeError::Decode(Box::new(error)))?;
    match sources.next() {
        None => Ok(all),
        Some(_) => {
            let made = pictures.len() - 1 - sources.count();
            Err(EncodeError::Count { made, given: pictures.len() })
        }
    }
}

/// Decibels above the target; the worse of all windows and of the sharp ones counts.
fn above(reached: &Closeness) -> f64 {
    let mean = decibels(reached.mean()) - MEAN_DB;
    let sharp = reached.sharp_mean().map(|sharp| decibels(sharp) - SHARP_DB);
    sharp.map_or(mean, |sharp| sharp.min(mean))
}

fn decibels(ssim: f64) -> f64 {
    // A perfect picture is as good as 60 dB: far above anything aimed at.
    -10.0 * (1.0 - ssim).max(1e-6).log10()
}

/// Decibels that must be given up for the ceiling of the bitrate: halving the bits costs some
/// 2.5 dB on camera pictures; 0 or less if the ceiling is kept.
fn excess(
    format: &PictureFormat,
    pictures: &[Picture],
    coded: &[CodedPicture],
    ceiling: Ceiling,
) -> f64 {
    let bits = coded.iter().map(|picture| picture.bytes.len() as u64 * 8).sum::<u64>() as f64;
    let frames = pictures.iter().map(|picture| u64::from(picture.frames)).sum::<u64>() as f64;
    let (rate, seconds) = format.frame_rate;
    let bits_per_s = bits * rate as f64 / (seconds as f64 * frames.max(1.0));
    2.5 * (bits_per_s / ceiling.bits_per_s as f64).max(1e-9).log2()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::encoder::Rav1e;

    /// rav1e under another scale, which notes what it was asked for.
    struct Noting {
        scale: Scale,
        asked: Mutex<Vec<u8>>,
    }

    impl GopEncoder for Noting {
        fn scale(&self) -> &Scale {
            &self.scale
        }

        fn encode_gop(
            &self,
            format: &PictureFormat,
            quantizer: u8,
            frames: &[&[u8]],
            is_cancelled: &dyn Fn() -> bool,
        ) -> Result<Vec<CodedPicture>, EncodeError> {
            self.asked.lock().unwrap().push(quantizer);
            Rav1e.encode_gop(format, quantizer, frames, is_cancelled)
        }
    }

    const FORMAT: PictureFormat =
        PictureFormat { width: 128, height: 96, gop_frames: 50, frame_rate: (25, 2) };

    /// Letters on paper.
    fn page() -> Vec<u8> {
        let level = |at: usize| {
            let (x, y) = (at % 128, at / 128);
            if y % 16 < 9 && (x * 7 + y / 3 * 5) % 11 < 3 { 30 } else { 225 }
        };
        let mut planes: Vec<u8> = (0..128 * 96).map(level).collect();
        planes.resize(FORMAT.frame_bytes(), 128);
        planes
    }

    fn search(db_per_index: f64, step: u8) -> (Vec<u8>, f64) {
        let scale = Scale { db_per_index, step, index_max: 252, camera_start: 120 };
        let encoder = Noting { scale, asked: Mutex::default() };
        let page = page();
        let pictures = [Picture { planes: &page, frames: 50 }];
        let ceiling = Ceiling { bits_per_s: 500_000 };
        let reached = encode(&encoder, &FORMAT, &pictures, None, ceiling, &|| false).unwrap();
        let quality = above(&measure(&FORMAT, &pictures, &reached.pictures).unwrap());
        let asked = encoder.asked.into_inner().unwrap();
        assert_eq!(reached.tries, asked.len());
        (asked, quality)
    }

    #[test]
    fn a_scale_that_is_far_off_is_corrected_by_what_two_tries_show() {
        // Three times too flat, as SVT-AV1's is on a single page: the first step goes too far.
        let (asked, quality) = search(0.02, 4);
        assert_eq!((asked[0], asked.len()), (252, 3), "{asked:?}");
        assert!(asked[1] < asked[2], "back from too fine: {asked:?}");
        assert!(asked.iter().all(|index| index % 4 == 0), "{asked:?}");
        assert!((-BELOW_DB_MAX..=2.0 * ABOVE_DB_MAX).contains(&quality), "{asked:?}: {quality}");
    }
}
