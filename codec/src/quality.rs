//! How close a decoded picture is to its source: SSIM of luma (Wang et al., 2004), over 8×8
//! windows every 4 pixels, as ffmpeg's filter `ssim` and x264 measure it.
//!
//! A target quality looks at it for every picture, so the sums are laid out for the compiler to
//! take several pixels and several windows at once.

/// Distance of the windows, and side of the squares that their sums are made of, in pixels.
const STEP: usize = 4;
/// Pixels of a window.
const WINDOW: i32 = 64;
/// The constants of SSIM for 8 bits, scaled to sums over a window as x264 does.
const C1: f32 = 0.01 * 0.01 * 255.0 * 255.0 * 64.0;
const C2: f32 = 0.03 * 0.03 * 255.0 * 255.0 * 64.0 * 63.0;
/// The variance of brightness from which a window counts as sharp: letters and lines reach 1000
/// to 6000, foliage and faces stay below some 500.
const SHARP_VARIANCE_MIN: i32 = 900;
/// The same, of two pictures together and scaled as the sums over a window are.
const SHARP_MIN: i32 = 2 * SHARP_VARIANCE_MIN * WINDOW * WINDOW;

/// SSIM of each window of a picture, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct SsimMap {
    /// Windows in a row: `width / 4 - 1`.
    pub columns: usize,
    /// One value a window, at most 1; window (x, y) covers the 8×8 pixels from (4x, 4y).
    pub values: Vec<f32>,
}

/// How close pictures are: sums over windows, of one picture or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Closeness {
    sum: f64,
    count: f64,
    sharp_sum: f64,
    sharp_count: f64,
}

impl Closeness {
    /// Adds pictures that are shown `times` as long.
    pub fn add(&mut self, other: &Self, times: f64) {
        self.sum += other.sum * times;
        self.count += other.count * times;
        self.sharp_sum += other.sharp_sum * times;
        self.sharp_count += other.sharp_count * times;
    }

    /// Mean SSIM over all windows.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    /// Mean SSIM over the windows of strong contrast (letters, lines), if they are at least a
    /// thousandth of all: a line of text on an empty slide is about a hundredth.
    pub fn sharp_mean(&self) -> Option<f64> {
        (self.sharp_count * 1000.0 >= self.count && self.sharp_count > 0.0)
            .then(|| self.sharp_sum / self.sharp_count)
    }
}

/// Gives the mean SSIM of two pictures of one byte a pixel and `width` bytes a row, at least 8×8;
/// rows and columns beyond a multiple of 4 are not looked at.
///
/// # Panics
/// If the pictures differ in size, or are smaller than 8×8.
pub fn ssim(one: &[u8], other: &[u8], width: usize) -> f64 {
    closeness(one, other, width).mean()
}

/// Gives SSIM window by window; see [`ssim`].
///
/// # Panics
/// As [`ssim`].
pub fn ssim_map(one: &[u8], other: &[u8], width: usize) -> SsimMap {
    let mut values = Vec::new();
    each_row(one, other, width, |row, _| values.extend_from_slice(row));
    SsimMap { columns: width / STEP - 1, values }
}

/// Gives the mean SSIM of two pictures, and apart that of their sharp windows; see [`ssim`].
///
/// # Panics
/// As [`ssim`].
pub fn closeness(one: &[u8], other: &[u8], width: usize) -> Closeness {
    let mut all = Closeness::default();
    each_row(one, other, width, |row, variances| {
        all.sum += row.iter().map(|value| f64::from(*value)).sum::<f64>();
        all.count += row.len() as f64;
        for (value, variance) in row.iter().zip(variances) {
            if *variance >= SHARP_MIN {
                all.sharp_sum += f64::from(*value);
                all.sharp_count += 1.0;
            }
        }
    });
    all
}

/// Sums over the squares of 4×4 pixels of one band, side by side.
#[derive(Debug, Clone)]
struct Band {
    one: Vec<i32>,
    other: Vec<i32>,
    squares: Vec<i32>,
    products: Vec<i32>,
}

fn each_row(one: &[u8], other: &[u8], width: usize, mut take: impl FnMut(&[f32], &[i32])) {
    assert_eq!(one.len(), other.len(), "two pictures of one size");
    let (columns, rows) = (width / STEP, one.len() / width / STEP);
    assert!(columns > 1 && rows > 1, "a picture of at least 8×8");
    let zeros = vec![0; columns];
    let mut above =
        Band { one: zeros.clone(), other: zeros.clone(), squares: zeros.clone(), products: zeros };
    let mut below = above.clone();
    let mut values = vec![0.0; columns - 1];
    let mut variances = vec![0; columns - 1];
    let band = width * STEP;
    for (row, (one, other)) in one.chunks(band).zip(other.chunks(band)).take(rows).enumerate() {
        std::mem::swap(&mut above, &mut below);
        below.sum(one, other, width);
        if row > 0 {
            windows(&above, &below, &mut values, &mut variances);
            take(&values, &variances);
        }
    }
}

impl Band {
    /// Sums each 4×4 square of a band of four rows: first down the columns, then across four.
    fn sum(&mut self, one: &[u8], other: &[u8], width: usize) {
        let (a, b) = (rows_of(one, width), rows_of(other, width));
        let squares = self.one.iter_mut().zip(&mut self.other);
        let squares = squares.zip(self.squares.iter_mut().zip(&mut self.products));
        for (at, ((one, other), (square, product))) in squares.enumerate() {
            let at = at * STEP;
            let mut sums = [0i32; 4];
            for (a, b) in a.iter().zip(&b) {
                let (a, b) = (&a[at..at + STEP], &b[at..at + STEP]);
                for (a, b) in a.iter().zip(b) {
                    let (a, b) = (i32::from(*a), i32::from(*b));
                    sums[0] += a;
                    sums[1] += b;
                    sums[2] += a * a + b * b;
                    sums[3] += a * b;
                }
            }
            (*one, *other, *square, *product) = (sums[0], sums[1], sums[2], sums[3]);
        }
    }
}

fn rows_of(band: &[u8], width: usize) -> [&[u8]; STEP] {
    std::array::from_fn(|row| &band[row * width..][..width])
}

/// SSIM of a row of windows, and each one's variances of both pictures together, scaled.
fn windows(above: &Band, below: &Band, values: &mut [f32], variances: &mut [i32]) {
    let count = values.len();
    let sums = |of: fn(&Band) -> &Vec<i32>| {
        let (above, below) = (&of(above)[..=count], &of(below)[..=count]);
        let pairs: Vec<i32> = above.iter().zip(below).map(|(a, b)| a + b).collect();
        pairs.windows(2).map(|pair| pair[0] + pair[1]).collect::<Vec<i32>>()
    };
    let (one, other) = (sums(|b| &b.one), sums(|b| &b.other));
    let (squares, products) = (sums(|b| &b.squares), sums(|b| &b.products));
    let (one, other) = (&one[..count], &other[..count]);
    let (squares, products) = (&squares[..count], &products[..count]);
    let variances = &mut variances[..count];
    for x in 0..count {
        let means = one[x] * one[x] + other[x] * other[x];
        let product = one[x] * other[x];
        let variance = squares[x] * WINDOW - means;
        let covariance = products[x] * WINDOW - product;
        let luminance = (2.0 * product as f32 + C1) / (means as f32 + C1);
        values[x] = luminance * (2.0 * covariance as f32 + C2) / (variance as f32 + C2);
        variances[x] = variance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wedge(width: usize, height: usize) -> Vec<u8> {
        (0..width * height).map(|at| (40 + (at % width) * 3 / 2 + (at / width) % 7) as u8).collect()
    }

    #[test]
    fn the_same_picture_is_one_and_its_negative_is_far_below() {
        let picture = wedge(64, 48);
        assert!((ssim(&picture, &picture, 64) - 1.0).abs() < 1e-6);
        let negative: Vec<u8> = picture.iter().map(|level| 255 - level).collect();
        assert!(ssim(&picture, &negative, 64) < 0.6);
    }

    #[test]
    fn a_blemish_is_seen_in_its_own_windows_only() {
        let picture = wedge(64, 48);
        let mut spoilt = picture.clone();
        for row in 20..24 {
            spoilt[row * 64 + 32..row * 64 + 36].fill(255);
        }
        let map = ssim_map(&picture, &spoilt, 64);
        let at = |x: usize, y: usize| map.values[y * map.columns + x];
        assert!(at(8, 5) < 0.5 && at(7, 4) < 0.5);
        assert!((at(0, 0) - 1.0).abs() < 1e-6 && (at(9, 5) - 1.0).abs() < 1e-6);
        let mean = map.values.iter().map(|v| f64::from(*v)).sum::<f64>() / map.values.len() as f64;
        assert!((mean - ssim(&picture, &spoilt, 64)).abs() < 1e-9);
    }

    #[test]
    fn letters_are_judged_apart_from_the_empty_slide_around_them() {
        let slide: Vec<u8> = (0..64 * 48)
            .map(|at| {
                let (x, y) = (at % 64, at / 64);
                let is_ink = (8..16).contains(&x) && (8..16).contains(&y) && x % 3 == 0;
                if is_ink { 20 } else { 230 }
            })
            .collect();
        let blurred: Vec<u8> =
            slide.iter().map(|level| if *level == 20 { 150 } else { 230 }).collect();
        let found = closeness(&slide, &blurred, 64);
        assert!(found.sharp_mean().unwrap() < found.mean() - 0.02, "{found:?}");
        let empty = vec![230; 64 * 48];
        assert_eq!(closeness(&empty, &empty, 64).sharp_mean(), None);
    }

    #[test]
    fn a_picture_shown_longer_counts_for_more() {
        let picture = wedge(64, 48);
        let negative: Vec<u8> = picture.iter().map(|level| 255 - level).collect();
        let (same, far) = (closeness(&picture, &picture, 64), closeness(&picture, &negative, 64));
        let mut both = Closeness::default();
        both.add(&same, 3.0);
        both.add(&far, 1.0);
        let expected = (3.0 + far.mean()) / 4.0;
        assert!((both.mean() - expected).abs() < 1e-9);
    }
}
