//! A picture as it goes into the encoder.

/// The longest side, in pixels: what an AVIF, a JPEG and every decoder can hold.
const SIDE_MAX: u32 = 8192;
/// The shortest side of a page: the encoder and hardware decoders want at least this.
const SIDE_MIN: u32 = 16;
/// Black in limited range, and no colour: what lies around a page that does not fill its frame.
const BLACK: u8 = 16;
const GREY: u8 = 128;

/// A picture in planar 4:2:0 with 8 bits, BT.709 in limited range; both sides even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    width: u32,
    height: u32,
    i420: Vec<u8>,
}

/// Bytes that are no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bytes} bytes are no picture of {width}×{height}; sides are {SIDE_MIN} to {SIDE_MAX} pixels, \
     even in 4:2:0"
)]
pub struct PageError {
    /// The width that was claimed.
    pub width: u32,
    /// The height that was claimed.
    pub height: u32,
    /// The bytes that were there.
    pub bytes: usize,
}

impl Page {
    /// Takes planes Y, U, V one after the other, without padding.
    pub fn new(width: u32, height: u32, i420: Vec<u8>) -> Result<Self, PageError> {
        let bytes = i420.len();
        let sides = [width, height];
        let is_legal =
            sides.iter().all(|s| (SIDE_MIN..=SIDE_MAX).contains(s) && s.is_multiple_of(2));
        if !is_legal || bytes != (width * height * 3 / 2) as usize {
            return Err(PageError { width, height, bytes });
        }
        Ok(Self { width, height, i420 })
    }

    /// Converts RGB, 3 bytes a pixel in rows of `width`; an odd last row or column is left out.
    pub fn from_rgb(width: u32, height: u32, rgb: &[u8]) -> Result<Self, PageError> {
        let (even_width, even_height) = (width & !1, height & !1);
        let is_legal = [even_width, even_height].iter().all(|s| (SIDE_MIN..=SIDE_MAX).contains(s));
        if !is_legal || rgb.len() != width as usize * height as usize * 3 {
            return Err(PageError { width, height, bytes: rgb.len() });
        }
        let pixels = (even_width * even_height) as usize;
        let (mut i420, mut v) = (Vec::with_capacity(pixels * 3 / 2), Vec::new());
        let stride = width as usize * 3;
        for row in rgb.chunks_exact(stride).take(even_height as usize) {
            let row = &row[..even_width as usize * 3];
            i420.extend(row.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])));
        }
        for rows in rgb.chunks_exact(2 * stride) {
            let (above, below) = rows.split_at(stride);
            let squares = above.chunks_exact(6).zip(below.chunks_exact(6));
            for (above, below) in squares {
                let mean = |c: usize| {
                    let sum: u32 = [above[c], above[c + 3], below[c], below[c + 3]]
                        .map(u32::from)
                        .iter()
                        .sum();
                    ((sum + 2) / 4) as u8
                };
                let [cb, cr] = chroma([mean(0), mean(1), mean(2)]);
                i420.push(cb);
                v.push(cr);
            }
        }
        i420.extend(v);
        Self::new(even_width, even_height, i420)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The three planes one after the other.
    pub fn i420(&self) -> &[u8] {
        &self.i420
    }

    /// The brightness plane.
    pub fn luma(&self) -> &[u8] {
        &self.i420[..(self.width * self.height) as usize]
    }

    /// The planes Y, U, V, each with its width.
    pub(crate) fn planes(&self) -> [(&[u8], usize); 3] {
        let (luma, chroma) = self.i420.split_at((self.width * self.height) as usize);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        let width = self.width as usize;
        [(luma, width), (u, width / 2), (v, width / 2)]
    }

    /// Puts it into the middle of a frame of `width` × `height`, black around it; what does not
    /// fit is cut off. Pages of one track all have one size.
    pub fn framed(&self, width: u32, height: u32) -> Result<Self, PageError> {
        let mut i420 = vec![GREY; (width * height * 3 / 2) as usize];
        i420[..(width * height) as usize].fill(BLACK);
        let mut framed = Self::new(width, height, i420)?;
        let (from_x, to_x, columns) = overlap(self.width, width);
        let (from_y, to_y, rows) = overlap(self.height, height);
        let mut at = 0;
        for (plane, (bytes, from_width)) in self.planes().into_iter().enumerate() {
            let half = usize::from(plane > 0);
            let (to_width, to_height) = (width as usize >> half, height as usize >> half);
            let to = &mut framed.i420[at..at + to_width * to_height];
            at += to.len();
            for row in 0..rows >> half {
                let from = ((from_y >> half) + row) * from_width + (from_x >> half);
                let place = ((to_y >> half) + row) * to_width + (to_x >> half);
                let count = columns >> half;
                to[place..place + count].copy_from_slice(&bytes[from..from + count]);
            }
        }
        Ok(framed)
    }

    /// Converts to RGB, 3 bytes a pixel.
    pub(crate) fn to_rgb(&self) -> Vec<u8> {
        let [(luma, width), (u, half), (v, _)] = self.planes();
        let mut rgb = Vec::with_capacity(luma.len() * 3);
        for (y, row) in luma.chunks_exact(width).enumerate() {
            let at = y / 2 * half;
            for (x, level) in row.iter().enumerate() {
                rgb.extend(rgb_of(*level, u[at + x / 2], v[at + x / 2]));
            }
        }
        rgb
    }
}

/// Where the middle of `from` lies in `to`: the first pixel of each, and how many there are.
fn overlap(from: u32, to: u32) -> (usize, usize, usize) {
    let even = |apart: u32| ((apart / 2) & !1) as usize;
    (even(from.saturating_sub(to)), even(to.saturating_sub(from)), from.min(to) as usize)
}

/// Rec. ITU-R BT.709 §3, in 16.16 fixed point, scaled to 219 levels from 16.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let [r, g, b] = [r, g, b].map(i32::from);
    ((11966 * r + 40254 * g + 4064 * b + (16 << 16) + (1 << 15)) >> 16) as u8
}

/// The same, scaled to 224 levels around 128.
fn chroma([r, g, b]: [u8; 3]) -> [u8; 2] {
    let [r, g, b] = [r, g, b].map(i32::from);
    let cb = -6596 * r - 22189 * g + 28785 * b;
    let cr = 28785 * r - 26145 * g - 2640 * b;
    [cb, cr].map(|c| ((c + (128 << 16) + (1 << 15)) >> 16) as u8)
}

fn rgb_of(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y) - 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let y = 76309 * y;
    [y + 117489 * cr, y - 13975 * cb - 34925 * cr, y + 138438 * cb]
        .map(|c| ((c + (1 << 15)) >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_the_way_there_and_back() {
        for colour in [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 90, 200], [250, 246, 230]] {
            let rgb = colour.repeat(16 * 16);
            let back = Page::from_rgb(16, 16, &rgb).unwrap().to_rgb();
            for (a, b) in rgb.iter().zip(&back) {
                assert!(a.abs_diff(*b) <= 3, "{colour:?} became {:?}", &back[..3]);
            }
        }
        assert_eq!(luma([255; 3]), 235);
        assert_eq!((luma([0; 3]), chroma([0; 3])), (16, [128, 128]));
    }

    #[test]
    fn an_odd_size_loses_its_last_line_and_a_wrong_one_is_refused() {
        let page = Page::from_rgb(17, 19, &vec![200; 17 * 19 * 3]).unwrap();
        assert_eq!((page.width(), page.height(), page.i420().len()), (16, 18, 16 * 18 * 3 / 2));
        let error = Page::new(16, 16, vec![0; 16]).unwrap_err();
        assert!(error.to_string().contains("16 bytes are no picture of 16×16"), "{error}");
        assert!(Page::new(18, 8, vec![0; 18 * 12]).is_err(), "too low");
        assert!(Page::from_rgb(20, 20, &[0; 3]).is_err());
    }

    #[test]
    fn a_page_lies_in_the_middle_of_its_frame() {
        let page = Page::from_rgb(16, 32, &vec![255; 16 * 32 * 3]).unwrap();
        let framed = page.framed(32, 24).unwrap();
        let at = |x: usize, y: usize| framed.luma()[y * 32 + x];
        assert_eq!((at(7, 12), at(8, 0), at(23, 23), at(24, 12)), (16, 235, 235, 16));
        assert_eq!(framed.framed(32, 24).unwrap(), framed);
    }
}
