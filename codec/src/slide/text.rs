//! How readable a still is: SSIM where the source has letters and lines.

use crate::quality::ssim_map;

/// The difference between the darkest and the brightest pixel of an 8×8 window from which it
/// holds a letter or a line. Grey letters of the faintest that can be read from the last row have
/// about 80; gradients, skin and paper stay below 40.
const CONTRAST_MIN: u8 = 64;
/// Window sides and distances of [`ssim_map`], in pixels.
const WINDOW: usize = 8;
const STEP: usize = 4;

/// Gives the mean SSIM of the windows of `source` that hold letters and lines (8×8 pixels with a
/// contrast of at least 64 levels); of all windows if there are none.
///
/// # Panics
/// As [`crate::quality::ssim`].
pub fn text_ssim(source: &[u8], decoded: &[u8], width: usize) -> f64 {
    let map = ssim_map(source, decoded, width);
    let is_text = |at: usize| {
        let (x, y) = (at % map.columns * STEP, at / map.columns * STEP);
        let rows = source[y * width..].chunks(width).take(WINDOW).map(|row| &row[x..x + WINDOW]);
        let (mut low, mut high) = (u8::MAX, 0);
        for level in rows.flatten() {
            (low, high) = (low.min(*level), high.max(*level));
        }
        high - low >= CONTRAST_MIN
    };
    let text = map.values.iter().enumerate().filter(|(at, _)| is_text(*at)).map(|(_, v)| v);
    mean(text).or(mean(map.values.iter())).unwrap_or(1.0)
}

fn mean<'a>(values: impl Iterator<Item = &'a f32>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values {
        sum += f64::from(*value);
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::ssim;

    #[test]
    fn only_the_windows_with_letters_count() {
        let mut source = vec![200u8; 64 * 64];
        for y in 16..24 {
            for x in (16..48).step_by(4) {
                source[y * 64 + x] = 40;
            }
        }
        assert!((text_ssim(&source, &source, 64) - 1.0).abs() < 1e-6);
        let mut blurred = source.clone();
        for y in 16..24 {
            blurred[y * 64 + 16..y * 64 + 48].fill(160);
        }
        let (text, all) = (text_ssim(&source, &blurred, 64), ssim(&source, &blurred, 64));
        assert!(text < 0.6 && all > 0.8, "{text} {all}");
        let mut rough = source.clone();
        rough[40 * 64..].iter_mut().step_by(3).for_each(|level| *level -= 9);
        assert!((text_ssim(&source, &rough, 64) - 1.0).abs() < 1e-6);
        let flat = vec![90; 64 * 64];
        assert_eq!(text_ssim(&flat, &flat, 64), 1.0);
    }
}
