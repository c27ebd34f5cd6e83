//! How loud each second of a lesson is: what the seek bar draws as a wave.

use std::io;

use super::WorkDir;
use crate::track::TrackKind;

/// Samples of a second, at the rate that the sound is encoded with.
const SAMPLES: u64 = 48_000;
/// The most values: 10 h.
const PEAKS_MAX: usize = 36_000;
/// What counts as silence, in decibels below full scale: a quiet classroom through a phone.
const SILENCE_DB: f64 = -60.0;

/// Measures decoded sound second by second: the root of the mean square, in decibels.
///
/// Only whole numbers are summed up, so that the same samples give the same bytes however they
/// are cut into pushes.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    values: Vec<u8>,
    squares: u64,
    samples: u64,
}

impl Peaks {
    /// Takes the next samples, mono at 48 kHz.
    pub(super) fn push(&mut self, samples: &[i16]) {
        for sample in samples {
            let level = i64::from(*sample);
            self.squares += (level * level) as u64;
            self.samples += 1;
            if self.samples == SAMPLES {
                self.end_second();
            }
        }
    }

    /// The values, 0 (silence) to 255 (as loud as can be); a begun second counts as one.
    fn finish(mut self) -> Vec<u8> {
        if self.samples > 0 {
            self.end_second();
        }
        self.values
    }

    /// Makes the values durable.
    pub(super) fn keep(self, work: &WorkDir) -> io::Result<()> {
        work.write_note(TrackKind::Audio, &self.finish())
    }

    fn end_second(&mut self) {
        let mean = self.squares as f64 / self.samples as f64;
        (self.squares, self.samples) = (0, 0);
        if self.values.len() < PEAKS_MAX {
            let decibels = 10.0 * (mean / f64::from(i16::MAX).powi(2)).log10();
            // `as` saturates: silence is minus infinity.
            self.values.push((255.0 * (1.0 - decibels / SILENCE_DB)).round() as u8);
        }
    }
}

/// What was measured while the sound was encoded, in this call or in an earlier one.
pub(super) fn kept(work: &WorkDir) -> Vec<u8> {
    work.read_note(TrackKind::Audio).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_a_byte_on_a_scale_of_decibels() {
        let mut peaks = Peaks::default();
        for level in [0, 327, 3277, 32767] {
            peaks.push(&[level; 48_000]);
        }
        peaks.push(&[3277; 100]);
        assert_eq!(peaks.finish(), [0, 85, 170, 255, 170]);
    }

    #[test]
    fn the_cut_into_pushes_does_not_matter() {
        let sound: Vec<i16> = (0..100_000).map(|n| (n * 7919 % 20_000) as i16).collect();
        let of = |length: usize| {
            let mut peaks = Peaks::default();
            sound.chunks(length).for_each(|chunk| peaks.push(chunk));
            peaks.finish()
        };
        assert_eq!(of(2880), of(100_000));
    }

    #[test]
    fn ten_hours_are_the_most() {
        let mut peaks = Peaks { values: vec![1; PEAKS_MAX], ..Peaks::default() };
        peaks.push(&[5; 48_000]);
        assert_eq!(peaks.finish().len(), PEAKS_MAX);
    }
}
