//! All tiers of a 720p source: what memory they take, and how fast `video-480` decodes.

use anyhow::{Context, Result, ensure};
use yingxue_codec::decode::pictures;
use yingxue_codec::track::TrackKind;

use super::cost;
use super::lab::Lab;
use crate::bench::figures::Figures;

/// CPU seconds that decoding is repeated for, at least: 200 ticks of the clock.
const CPU_S_MIN: f64 = 2.0;

/// `decode_fps_480p_per_cpu_s`.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let track = lab.all_tiers()?.track(TrackKind::Video480)?;
    figures.put("decode_fps_480p_per_cpu_s", decode_fps(&track.segments()?)?);
    Ok(())
}

/// `encode_rss_mib`.
pub fn measure_memory(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let import = lab.all_tiers()?;
    import.track(TrackKind::Video480).context("without it these are not all tiers")?;
    figures.put("encode_rss_mib", import.rss_mib_max);
    Ok(())
}

fn decode_fps(segments: &[Vec<u8>]) -> Result<f64> {
    let before_s = cost::own_cpu_s()?;
    let mut decoded = 0;
    loop {
        for segment in segments {
            decoded += pictures(segment)?.len();
        }
        let cpu_s = cost::own_cpu_s()? - before_s;
        if cpu_s >= CPU_S_MIN {
            ensure!(decoded > 0, "nothing was decoded");
            return Ok(decoded as f64 / cpu_s);
        }
    }
}
