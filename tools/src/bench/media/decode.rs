//! All tiers of a 720p source: what memory they take, and how fast `video-480` decodes.

use anyhow::{Result, ensure};
use yingxue_codec::decode::pictures;
use yingxue_codec::track::TrackKind;

use super::cost;
use super::import::Import;
use super::lab::Lab;
use crate::bench::figures::{Figures, say};

/// Seconds of lecture, and in `--quick`; memory stops growing once every core has its GOPs.
const CLIP_S: [u32; 2] = [40, 16];
/// CPU seconds that decoding is repeated for, at least: 200 ticks of the clock.
const CPU_S_MIN: f64 = 2.0;

/// `encode_rss_mib` and `decode_fps_480p_per_cpu_s`.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let clip = lab.clips.lecture_for(lab.pick(CLIP_S))?;
    say("importing all tiers");
    let import = Import::all_tiers(&clip, &lab.clips.work("import-all"))?;
    let video_480 = import.track(TrackKind::Video480);
    let rss = video_480.as_ref().map(|_| import.rss_mib_max);
    figures.put_or_leave_out("encode_rss_mib", rss.map_err(|why| anyhow::anyhow!("{why}")));
    let fps = video_480.and_then(|track| decode_fps(&track.segments()?));
    figures.put_or_leave_out("decode_fps_480p_per_cpu_s", fps);
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
