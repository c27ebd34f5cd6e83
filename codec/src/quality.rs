//! How close a decoded picture is to its source: SSIM of luma (Wang et al., 2004), over 8×8
//! windows every 4 pixels, as ffmpeg's filter `ssim` and x264 measure it.

/// Distance of the windows, and side of the squares that their sums are made of, in pixels.
const STEP: usize = 4;
/// Pixels of a window.
const WINDOW: f64 = 64.0;
/// The constants of SSIM for 8 bits, scaled to sums over a window as x264 does.
const C1: f64 = 0.01 * 0.01 * 255.0 * 255.0 * WINDOW;
const C2: f64 = 0.03 * 0.03 * 255.0 * 255.0 * WINDOW * (WINDOW - 1.0);

/// SSIM of each window of a picture, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct SsimMap {
    /// Windows in a row: `width / 4 - 1`.
    pub columns: usize,
    /// One value a window, at most 1; window (x, y) covers the 8×8 pixels from (4x, 4y).
    pub values: Vec<f32>,
}

/// Sums over one square of 4×4 pixels.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    one: u32,
    other: u32,
    squares: u32,
    products: u32,
}

/// Gives the mean SSIM of two pictures of one byte a pixel and `width` bytes a row, at least 8×8;
/// rows and columns beyond a multiple of 4 are not looked at.
///
/// # Panics
/// If the pictures differ in size, or are smaller than 8×8.
pub fn ssim(one: &[u8], other: &[u8], width: usize) -> f64 {
    let mut total = 0.0;
    let mut count = 0usize;
    each_row(one, other, width, |row| {
        total += row.iter().map(|value| f64::from(*value)).sum::<f64>();
        count += row.len();
    });
    total / count as f64
}

/// Gives SSIM window by window; see [`ssim`].
///
/// # Panics
/// As [`ssim`].
pub fn ssim_map(one: &[u8], other: &[u8], width: usize) -> SsimMap {
    let mut values = Vec::new();
    each_row(one, other, width, |row| values.extend_from_slice(row));
    SsimMap { columns: width / STEP - 1, values }
}

fn each_row(one: &[u8], other: &[u8], width: usize, mut take: impl FnMut(&[f32])) {
    assert_eq!(one.len(), other.len(), "two pictures of one size");
    let (columns, rows) = (width / STEP, one.len() / width / STEP);
    assert!(columns > 1 && rows > 1, "a picture of at least 8×8");
    let mut above = vec![Sums::default(); columns];
    let mut below = above.clone();
    let mut values = vec![0.0; columns - 1];
    let band = width * STEP;
    for (row, (one, other)) in one.chunks(band).zip(other.chunks(band)).take(rows).enumerate() {
        std::mem::swap(&mut above, &mut below);
        sum_squares(one, other, width, &mut below);
        if row == 0 {
            continue;
        }
        for (x, value) in values.iter_mut().enumerate() {
            *value = window([&above[x], &above[x + 1], &below[x], &below[x + 1]]);
        }
        take(&values);
    }
}

/// Sums each 4×4 square of a band of four rows.
fn sum_squares(one: &[u8], other: &[u8], width: usize, sums: &mut [Sums]) {
    sums.fill(Sums::default());
    for (one, other) in one.chunks(width).zip(other.chunks(width)) {
        let squares = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
        for (sum, (one, other)) in sums.iter_mut().zip(squares) {
            for (a, b) in one.iter().zip(other) {
                let (a, b) = (u32::from(*a), u32::from(*b));
                sum.one += a;
                sum.other += b;
                sum.squares += a * a + b * b;
                sum.products += a * b;
            }
        }
    }
}

fn window(squares: [&Sums; 4]) -> f32 {
    let sum = |of: fn(&Sums) -> u32| squares.iter().map(|s| of(s)).sum::<u32>();
    let (one, other) = (f64::from(sum(|s| s.one)), f64::from(sum(|s| s.other)));
    let squares_sum = f64::from(sum(|s| s.squares));
    let products = f64::from(sum(|s| s.products));
    let variances = squares_sum * WINDOW - one * one - other * other;
    let covariance = products * WINDOW - one * other;
    let luminance = (2.0 * one * other + C1) / (one * one + other * other + C1);
    (luminance * (2.0 * covariance + C2) / (variances + C2)) as f32
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
}
