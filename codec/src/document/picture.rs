//! Pictures by ffmpeg, and the plain bitmaps that pages come as.

use std::path::Path;

use super::detect::{PictureFormat, picture};
use super::{DocumentError, DocumentRequest, last_words};
use crate::child::ChildError;
use crate::import::ImportError;
use crate::slide::Page;

/// The largest slide (DESIGN §8: the source's resolution, at most 1080p).
pub(super) const WIDTH_MAX: u32 = 1920;
pub(super) const HEIGHT_MAX: u32 = 1080;
/// The smallest side of a slide: encoders want at least this.
const SIDE_MIN: u32 = 16;
/// The most of a page as it comes from a child, in bytes: four a pixel, and a head.
pub(super) const PIXELS_BYTES_MAX: usize = (WIDTH_MAX * HEIGHT_MAX * 4 + 1024) as usize;
/// The most pixels that are decoded: the largest photos of phones have 108 million, and ffmpeg
/// needs some 4 bytes for each.
const DECODED_PIXELS_MAX: &str = "120000000";

/// A page as red, green and blue, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub(super) width: u32,
    pub(super) height: u32,
    rgb: Vec<u8>,
}

impl Bitmap {
    /// Reads a binary PPM of 8 bits, as `pdftoppm` writes it.
    pub(crate) fn from_ppm(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
        let mut line = || std::str::from_utf8(lines.next()?).ok();
        if line()? != "P6" {
            return None;
        }
        let (width, height) = line()?.split_once(' ')?;
        let (width, height) = (width.parse().ok()?, height.parse().ok()?);
        if line()? != "255" {
            return None;
        }
        Self::new(width, height, lines.next()?.to_vec())
    }

    /// Reads a PAM of red, green, blue and opacity, as ffmpeg writes it; white lies behind it.
    pub(crate) fn from_pam(bytes: &[u8]) -> Option<Self> {
        let end = b"ENDHDR\n";
        let at = bytes.windows(end.len()).take(1000).position(|window| window == end)?;
        let head = std::str::from_utf8(&bytes[..at]).ok()?;
        let field = |name: &str| {
            let mut values = head.lines().filter_map(|line| line.strip_prefix(name));
            values.next()?.trim().parse::<u32>().ok()
        };
        if field("DEPTH") != Some(4) || field("MAXVAL") != Some(255) {
            return None;
        }
        let over_white = |pixel: &[u8]| {
            let opacity = u32::from(pixel[3]);
            let mixed =
                |level: u8| (u32::from(level) * opacity + 255 * (255 - opacity) + 127) / 255;
            [pixel[0], pixel[1], pixel[2]].map(|level| mixed(level) as u8)
        };
        let pixels = bytes[at + end.len()..].chunks_exact(4);
        Self::new(field("WIDTH")?, field("HEIGHT")?, pixels.flat_map(over_white).collect())
    }

    fn new(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let is_legal = (SIDE_MIN..=WIDTH_MAX).contains(&width)
            && (SIDE_MIN..=HEIGHT_MAX).contains(&height)
            && rgb.len() == width as usize * height as usize * 3;
        is_legal.then_some(Self { width, height, rgb })
    }

    /// As the encoder wants it, in the middle of a frame.
    pub(super) fn to_page(&self, (width, height): (u32, u32)) -> Option<Page> {
        let page = Page::from_rgb(self.width, self.height, &self.rgb).ok()?;
        page.framed(width, height).ok()
    }
}

/// Decodes a picture, upright, at most as large as a slide and never enlarged; `page` is its
/// number, from 1.
pub(super) fn decode(
    request: &DocumentRequest,
    path: &Path,
    page: usize,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Bitmap, ImportError> {
    let broken = |reason: &str| DocumentError::Page { page, reason: reason.into() };
    let demuxer = match picture(&super::detect::head(path)?) {
        Some(PictureFormat::Demuxer(demuxer)) => demuxer,
        Some(PictureFormat::Unsupported(kind)) => {
            return Err(DocumentError::Unsupported { kind, instead: "JPEG" }.into());
        }
        None => return Err(broken("it is no picture").into()),
    };
    let filters = format!(
        "scale=w=min({WIDTH_MAX}\\,iw):h=min({HEIGHT_MAX}\\,ih)\
         :force_original_aspect_ratio=decrease:flags=area+accurate_rnd,\
         pad=w=max({SIDE_MIN}\\,iw):h=max({SIDE_MIN}\\,ih):x=-1:y=-1:color=white,format=rgba"
    );
    let arguments =
        ["-frames:v", "1", "-vf", &filters, "-f", "image2pipe", "-c:v", "pam", "pipe:1"];
    let input = ["-max_pixels", DECODED_PIXELS_MAX, "-f", demuxer];
    let child = request.ffmpeg.decode_picture(path, &input, &arguments, &request.limits);
    let bytes = child.and_then(|child| child.read_all(PIXELS_BYTES_MAX, is_cancelled));
    let bytes = bytes.map_err(|error| match error {
        ChildError::Cancelled => ImportError::Cancelled,
        error => broken(&last_words(&error)).into(),
    })?;
    let words = "it is damaged, or has more than 120 million pixels";
    Ok(Bitmap::from_pam(&bytes).ok_or_else(|| broken(words))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_are_read_and_wrong_ones_refused() {
        let pixels = [10, 20, 30].repeat(16 * 18);
        let ppm = [&b"P6\n16 18\n255\n"[..], &pixels].concat();
        let bitmap = Bitmap::from_ppm(&ppm).unwrap();
        assert_eq!((bitmap.width, bitmap.height, &bitmap.rgb), (16, 18, &pixels));
        assert_eq!(Bitmap::from_ppm(&ppm[..ppm.len() - 1]), None);
        assert_eq!(Bitmap::from_ppm(b"P6\n16 99999\n255\n"), None);
        assert_eq!(Bitmap::from_ppm(b"Syntax Error"), None);
    }

    #[test]
    fn what_is_transparent_is_white_paper() {
        let head = b"P7\nWIDTH 16\nHEIGHT 16\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n";
        let mut pixels = [0, 0, 0, 0].repeat(255);
        pixels.extend([0, 0, 200, 255]);
        let bitmap = Bitmap::from_pam(&[&head[..], &pixels].concat()).unwrap();
        assert_eq!(bitmap.rgb[..3], [255; 3]);
        assert_eq!(bitmap.rgb[255 * 3..], [0, 0, 200]);
        assert_eq!(Bitmap::from_pam(b"P7\nENDHDR\n"), None);
    }
}
