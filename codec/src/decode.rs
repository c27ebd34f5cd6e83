//! AV1 decoding by dav1d, in process: what a viewer will see of what was encoded.

use dav1d::{Decoder, PixelLayout, PlanarImageComponent, Settings};

use crate::cmaf::scan::{self, ScanError};
use crate::slide::{Page, PageError};

/// The largest picture that is decoded, in pixels: a slide of 1920×1080.
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
    /// The stream inside is damaged, or larger than 1920×1080.
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
    /// A still of a size that no page has.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Not one picture came out.
    #[error("the sample holds no picture")]
    Empty,
}

/// Decodes one sample that is a key frame, with its colour.
pub fn still(sample: &[u8]) -> Result<Page, DecodeError> {
    let mut decoder = decoder()?;
    decoder.send_data(sample.to_vec(), None, None, None)?;
    let picture = match decoder.get_picture() {
        Err(error) if error.is_again() => return Err(DecodeError::Empty),
        picture => picture?,
    };
    check_format(&picture)?;
    let (width, height) = (picture.width(), picture.height());
    let mut i420 = plane(&picture, PlanarImageComponent::Y, width, height);
    i420.extend(plane(&picture, PlanarImageComponent::U, width / 2, height / 2));
    i420.extend(plane(&picture, PlanarImageComponent::V, width / 2, height / 2));
    Ok(Page::new(width, height, i420)?)
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
    let mut decoder = decoder()?;
    for sample in samples {
        let mut sent = decoder.send_data(sample.to_vec(), None, None, None);
        // With one thread a sample gives its picture at once. Asked for one that is not there,
        // rav1d 1.1 loses 48 bytes each time, so it is not asked in vain.
        while let Some(picture) = next(&mut decoder)? {
            take(copy(&picture)?);
            match sent {
                Err(error) if error.is_again() => sent = decoder.send_pending_data(),
                _ => break,
            }
        }
        sent?;
    }
    while let Some(picture) = next(&mut decoder)? {
        take(copy(&picture)?);
    }
    Ok(())
}

fn next(decoder: &mut Decoder) -> Result<Option<dav1d::Picture>, DecodeError> {
    match decoder.get_picture() {
        Ok(picture) => Ok(Some(picture)),
        Err(error) if error.is_again() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn decoder() -> Result<Decoder, dav1d::Error> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_frame_size_limit(PIXELS_MAX);
    Decoder::with_settings(&settings)
}

fn copy(picture: &dav1d::Picture) -> Result<Picture, DecodeError> {
    check_format(picture)?;
    let (width, height) = (picture.width(), picture.height());
    Ok(Picture { width, height, luma: plane(picture, PlanarImageComponent::Y, width, height) })
}

fn check_format(picture: &dav1d::Picture) -> Result<(), DecodeError> {
    let (bit_depth, layout) = (picture.bit_depth(), picture.pixel_layout());
    if bit_depth != 8 || layout != PixelLayout::I420 {
        return Err(DecodeError::Format { bit_depth, layout: format!("{layout:?}") });
    }
    Ok(())
}

fn plane(
    picture: &dav1d::Picture,
    component: PlanarImageComponent,
    width: u32,
    height: u32,
) -> Vec<u8> {
    let plane = picture.plane(component);
    let mut samples = Vec::with_capacity(width as usize * height as usize);
    for row in plane.chunks(picture.stride(component) as usize).take(height as usize) {
        samples.extend_from_slice(&row[..width as usize]);
    }
    samples
}
