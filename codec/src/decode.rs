//! AV1 decoding by dav1d, in process: what a viewer will see of what was encoded.

use dav1d::{Decoder, PixelLayout, PlanarImageComponent, Settings};

use crate::cmaf::scan::{self, ScanError};

/// The largest picture that is decoded, in pixels: a slide of 1920×1080, in whole blocks.
const PIXELS_MAX: u32 = 1920 * 1088;

/// One decoded picture: its brightness plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// One byte a pixel, `width` bytes a row.
    pub luma: Vec<u8>,
}

/// Why a track's bytes do not decode.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The boxes are not those of one AV1 track.
    #[error(transparent)]
    Boxes(#[from] ScanError),
    /// The stream inside is damaged, or larger than 1920×1088.
    #[error("the AV1 stream does not decode: {0}")]
    Stream(#[from] dav1d::Error),
    /// Something other than 8-bit 4:2:0.
    #[error("the picture has {bit_depth} bits in {layout}; allowed is 8 bits in I420")]
    Format {
        /// Bits of a sample.
        bit_depth: usize,
        /// The layout of the planes.
        layout: String,
    },
}

/// Decodes every picture of the AV1 samples in `segments`: one or more `moof`+`mdat` pairs, each
/// beginning at a key frame; other boxes (an init segment) are passed over.
pub fn pictures(segments: &[u8]) -> Result<Vec<Picture>, DecodeError> {
    let mut decoded = Vec::new();
    each_picture(scan::samples(segments)?, |picture| decoded.push(picture))?;
    Ok(decoded)
}

/// Decodes AV1 samples, the first of which is a key frame, and hands out each picture as it
/// comes: a whole GOP of them need not be in memory.
pub fn each_picture<'a>(
    samples: impl IntoIterator<Item = &'a [u8]>,
    mut take: impl FnMut(Picture),
) -> Result<(), DecodeError> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_frame_size_limit(PIXELS_MAX);
    let mut decoder = Decoder::with_settings(&settings)?;
    for sample in samples {
        let mut sent = decoder.send_data(sample.to_vec(), None, None, None);
        loop {
            drain(&mut decoder, &mut take)?;
            match sent {
                Ok(()) => break,
                Err(error) if error.is_again() => sent = decoder.send_pending_data(),
                Err(error) => return Err(error.into()),
            }
        }
    }
    drain(&mut decoder, &mut take)
}

fn drain(decoder: &mut Decoder, take: &mut impl FnMut(Picture)) -> Result<(), DecodeError> {
    loop {
        match decoder.get_picture() {
            Ok(picture) => take(copy(&picture)?),
            Err(error) if error.is_again() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn copy(picture: &dav1d::Picture) -> Result<Picture, DecodeError> {
    let (bit_depth, layout) = (picture.bit_depth(), picture.pixel_layout());
    if bit_depth != 8 || layout != PixelLayout::I420 {
        return Err(DecodeError::Format { bit_depth, layout: format!("{layout:?}") });
    }
    let (width, height) = (picture.width(), picture.height());
    let plane = picture.plane(PlanarImageComponent::Y);
    let rows = plane.chunks(picture.stride(PlanarImageComponent::Y) as usize);
    let luma = rows.take(height as usize).flat_map(|row| &row[..width as usize]).copied();
    Ok(Picture { width, height, luma: luma.collect() })
}
