//! Rate against quality: what one encoder needs for a quality, and two encoders compared.
//!
//! Between measured points runs a monotone piecewise cubic (PCHIP: Fritsch and Carlson, 1980, with
//! the slopes that MATLAB and SciPy use), the logarithm of the rate over SSIM in decibels. The
//! mean distance of two such curves over the qualities that both reach is the Bjøntegaard delta
//! rate (ITU-T VCEG-M33, with PCHIP as in JCTVC-L1100).

use anyhow::{Result, ensure};

/// The fewest points of a curve; the recommendation has four.
const POINTS_MIN: usize = 4;

/// One encode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Kilobits a second.
    pub kbps: f64,
    /// Mean SSIM of the pictures.
    pub ssim: f64,
}

/// What an encoder needs for each quality.
#[derive(Debug, Clone)]
pub struct Curve {
    /// SSIM in decibels, rising.
    quality: Vec<f64>,
    /// The natural logarithm of the rate there.
    log_rate: Vec<f64>,
    slopes: Vec<f64>,
}

/// Gives SSIM in decibels: −10·log10(1 − SSIM), which spreads the qualities near 1.
pub fn decibels(ssim: f64) -> f64 {
    -10.0 * (1.0 - ssim).log10()
}

impl Curve {
    /// Puts a curve through at least four points of different quality.
    pub fn through(points: &[Point]) -> Result<Self> {
        ensure!(points.len() >= POINTS_MIN, "a curve has at least {POINTS_MIN} points");
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.ssim.total_cmp(&b.ssim));
        let is_sound = |p: &Point| p.kbps > 0.0 && p.ssim < 1.0;
        ensure!(points.iter().all(is_sound), "a point without a rate, or of no loss: {points:?}");
        let is_rising = |pair: &[Point]| pair[0].ssim < pair[1].ssim && pair[0].kbps < pair[1].kbps;
        ensure!(points.windows(2).all(is_rising), "more rate gave no more quality: {points:?}");
        let quality: Vec<f64> = points.iter().map(|p| decibels(p.ssim)).collect();
        let log_rate: Vec<f64> = points.iter().map(|p| p.kbps.ln()).collect();
        let slopes = slopes(&quality, &log_rate);
        Ok(Self { quality, log_rate, slopes })
    }

    /// Gives the kilobits a second at a quality between the worst and the best point.
    pub fn kbps_at(&self, ssim: f64) -> Result<f64> {
        let quality = decibels(ssim);
        let (worst, best) = self.range();
        ensure!(
            (worst..=best).contains(&quality),
            "SSIM {ssim:.4} is {quality:.2} dB, outside the measured {worst:.2} to {best:.2} dB"
        );
        Ok(self.log_rate_at(quality).exp())
    }

    /// Gives by how many percent this encoder's rate differs from `other`'s at the same quality.
    pub fn bd_rate_percent(&self, other: &Self) -> Result<f64> {
        let from = self.range().0.max(other.range().0);
        let to = self.range().1.min(other.range().1);
        ensure!(from < to, "the two encoders reached no quality in common");
        let mean = (self.integral(from, to) - other.integral(from, to)) / (to - from);
        Ok((mean.exp() - 1.0) * 100.0)
    }

    fn range(&self) -> (f64, f64) {
        (self.quality[0], self.quality[self.quality.len() - 1])
    }

    fn log_rate_at(&self, quality: f64) -> f64 {
        let last = self.quality.len() - 2;
        let i = self.quality.partition_point(|q| *q <= quality).saturating_sub(1).min(last);
        let width = self.quality[i + 1] - self.quality[i];
        let t = (quality - self.quality[i]) / width;
        let (t2, t3) = (t * t, t * t * t);
        (2.0 * t3 - 3.0 * t2 + 1.0) * self.log_rate[i]
            + (t3 - 2.0 * t2 + t) * width * self.slopes[i]
            + (3.0 * t2 - 2.0 * t3) * self.log_rate[i + 1]
            + (t3 - t2) * width * self.slopes[i + 1]
    }

    /// Simpson's rule on each piece, which is exact for cubics.
    fn integral(&self, from: f64, to: f64) -> f64 {
        let inner = self.quality.iter().copied().filter(|q| from < *q && *q < to);
        let ends: Vec<f64> = [from].into_iter().chain(inner).chain([to]).collect();
        let piece = |ends: &[f64]| {
            let [a, b] = [ends[0], ends[1]];
            let middle = self.log_rate_at((a + b) / 2.0);
            (b - a) / 6.0 * (self.log_rate_at(a) + 4.0 * middle + self.log_rate_at(b))
        };
        ends.windows(2).map(piece).sum()
    }
}

/// The slopes at the points: weighted harmonic means of the neighbours', flat where the data turn.
fn slopes(x: &[f64], y: &[f64]) -> Vec<f64> {
    let widths: Vec<f64> = x.windows(2).map(|x| x[1] - x[0]).collect();
    let rises: Vec<f64> = y.windows(2).zip(&widths).map(|(y, w)| (y[1] - y[0]) / w).collect();
    let inner = widths.windows(2).zip(rises.windows(2)).map(|(w, d)| {
        if d[0] * d[1] <= 0.0 {
            return 0.0;
        }
        let (one, other) = (2.0 * w[1] + w[0], w[1] + 2.0 * w[0]);
        (one + other) / (one / d[0] + other / d[1])
    });
    let last = widths.len() - 1;
    let first = end_slope(widths[0], widths[1], rises[0], rises[1]);
    let end = end_slope(widths[last], widths[last - 1], rises[last], rises[last - 1]);
    [first].into_iter().chain(inner).chain([end]).collect()
}

/// The three-point formula at an end, kept from overshooting.
fn end_slope(width: f64, next_width: f64, rise: f64, next_rise: f64) -> f64 {
    let slope = ((2.0 * width + next_width) * rise - width * next_rise) / (width + next_width);
    if slope * rise <= 0.0 {
        0.0
    } else if rise * next_rise < 0.0 && slope.abs() > 3.0 * rise.abs() {
        3.0 * rise
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curve whose logarithm of the rate at each quality in decibels is `of`.
    fn curve(qualities: &[f64], of: impl Fn(f64) -> f64) -> Curve {
        let point = |db: &f64| Point { kbps: of(*db).exp(), ssim: 1.0 - 10f64.powf(-db / 10.0) };
        Curve::through(&qualities.iter().map(point).collect::<Vec<_>>()).unwrap()
    }

    fn is_near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    #[test]
    fn decibels_of_ssim() {
        assert!(is_near(decibels(0.9), 10.0) && is_near(decibels(0.999), 30.0));
        assert!((decibels(0.97) - 15.228787).abs() < 1e-6);
    }

    #[test]
    fn the_same_curve_differs_by_nothing_and_a_cheaper_one_by_its_share() {
        let points = [10.0, 11.0, 13.0, 16.0, 18.0];
        let one = curve(&points, |db| 0.2 * db + 0.01 * db * db);
        assert!(is_near(one.bd_rate_percent(&one).unwrap(), 0.0));
        let cheaper = curve(&points, |db| 0.2 * db + 0.01 * db * db + 0.6f64.ln());
        assert!(is_near(cheaper.bd_rate_percent(&one).unwrap(), -40.0));
        assert!(is_near(one.bd_rate_percent(&cheaper).unwrap(), 100.0 / 0.6 - 100.0));
    }

    #[test]
    fn straight_lines_are_compared_over_what_both_reach_as_by_hand() {
        // ln r = q and ln r = q/2 + 1 over 12..16: the mean of q/2 - 1 is 6, so e^6 - 1.
        let steep = curve(&[10.0, 12.5, 15.0, 16.0], |q| q);
        let flat = curve(&[12.0, 14.0, 17.0, 20.0], |q| q / 2.0 + 1.0);
        let percent = steep.bd_rate_percent(&flat).unwrap();
        assert!((percent - (6f64.exp() - 1.0) * 100.0).abs() < 1e-3, "{percent}");
    }

    #[test]
    fn the_cubic_is_the_one_that_others_compute() {
        // PCHIP through (0,0) (1,1) (2,4) (3,9): slopes 0, 1.5, 3.75, 6.
        let (x, y) = (vec![0.0, 1.0, 2.0, 3.0], vec![0.0, 1.0, 4.0, 9.0]);
        let slopes = slopes(&x, &y);
        assert_eq!(slopes, [0.0, 1.5, 3.75, 6.0]);
        let curve = Curve { quality: x, log_rate: y, slopes };
        assert!(is_near(curve.log_rate_at(0.5), 0.3125));
        assert!(is_near(curve.log_rate_at(2.5), 6.21875));
        // Of a cubic piece: h (y0 + y1) / 2 + h² (m0 - m1) / 12.
        assert!(is_near(curve.integral(0.0, 1.0), 0.5 - 1.5 / 12.0));
        assert!(is_near(curve.integral(0.0, 3.0), 0.375 + 2.5 - 2.25 / 12.0 + 6.5 - 2.25 / 12.0));
        let halves = curve.integral(0.5, 1.7) + curve.integral(1.7, 2.9);
        assert!(is_near(curve.integral(0.5, 2.9), halves));
    }

    #[test]
    fn a_rate_is_read_off_between_the_points_and_nowhere_else() {
        let line = curve(&[10.0, 12.0, 15.0, 20.0], |db| db / 3.0);
        let kbps = line.kbps_at(0.97).unwrap();
        assert!(is_near(kbps, (decibels(0.97) / 3.0).exp()), "{kbps}");
        let error = line.kbps_at(0.85).unwrap_err().to_string();
        assert!(error.contains("outside the measured 10.00 to 20.00 dB"), "{error}");
    }

    #[test]
    fn points_that_make_no_curve_are_refused() {
        let point = |kbps, ssim| Point { kbps, ssim };
        let three = [point(1.0, 0.9), point(2.0, 0.92), point(3.0, 0.93)];
        assert!(Curve::through(&three).is_err());
        let fold = [point(9.0, 0.9), point(2.0, 0.92), point(3.0, 0.93), point(4.0, 0.94)];
        assert!(Curve::through(&fold).unwrap_err().to_string().contains("no more quality"));
        let perfect = [three[0], three[1], three[2], point(4.0, 1.0)];
        assert!(Curve::through(&perfect).is_err());
        let near = curve(&[10.0, 11.0, 12.0, 13.0], |db| db);
        let far = curve(&[20.0, 21.0, 22.0, 23.0], |db| db);
        assert!(near.bd_rate_percent(&far).is_err());
    }
}
