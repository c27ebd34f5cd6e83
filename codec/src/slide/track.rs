//! The file of stills: a fragmented MP4 in which every segment is one still.

use std::io::Write;

use crate::av1::{codec_name, configuration};
use crate::cmaf::{Coding, Medium, Sample, init_segment, scan};
use crate::import::ImportError;
use crate::track::{SegmentInfo, TrackInfo, TrackKind};

/// Ticks a second: milliseconds.
const TIMESCALE: u32 = 1000;

/// Writes the segment of still `n` (from 0), shown from `start_ms` for `duration_ms` (from 1).
pub fn segment(n: u64, start_ms: u64, duration_ms: u32, sample: Vec<u8>) -> Vec<u8> {
    let sample = Sample { bytes: sample, is_sync: true, ticks: duration_ms };
    crate::cmaf::segment(n as u32 + 1, start_ms, &[sample])
}

/// Writes a track of stills of one size: `slides` or `thumbs`. `segment(n)` gives what [`segment`]
/// made for still `n`, which is shown for `durations_ms[n]`.
pub fn track(
    kind: TrackKind,
    (width, height): (u32, u32),
    durations_ms: &[u32],
    mut segment: impl FnMut(u64) -> Result<Vec<u8>, ImportError>,
    out: &mut impl Write,
) -> Result<TrackInfo, ImportError> {
    let first = segment(0)?;
    let samples = scan::samples(&first)?;
    let config = configuration(samples.first().ok_or(ImportError::NothingDecoded)?)?;
    let codecs = codec_name(&config);
    let init = init_segment(&Medium {
        timescale: TIMESCALE,
        sample_ticks: durations_ms.first().copied().unwrap_or(1),
        duration_ticks: durations_ms.iter().map(|ms| u64::from(*ms)).sum(),
        coding: Coding::Av1 { width: width as u16, height: height as u16, config },
    });
    let mut segments = Vec::with_capacity(durations_ms.len());
    for (n, &duration_ticks) in (0..).zip(durations_ms) {
        segments.push(SegmentInfo { duration_ticks, bytes: segment(n)?.len() as u32 });
    }
    let init = crate::cmaf::index::indexed(init, TIMESCALE, &segments);
    out.write_all(&init)?;
    for n in 0..durations_ms.len() as u64 {
        out.write_all(&segment(n)?)?;
    }
    let mut info = TrackInfo {
        kind,
        codecs,
        width: Some(width),
        height: Some(height),
        frame_rate: None,
        language: None,
        timescale: TIMESCALE,
        bandwidth_avg_bits_per_s: 0,
        bandwidth_peak_bits_per_s: 0,
        init_bytes: init.len() as u32,
        segments,
    };
    info.measure_bandwidth();
    info.validate()?;
    Ok(info)
}
