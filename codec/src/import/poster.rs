//! A small still that stands for the lesson in lists.

use super::Job;
use crate::frame_size::FrameSize;

/// The most of a poster, in bytes: a list of 25 lessons then stays below 400 KiB.
const BYTES_MAX: usize = 16 << 10;
/// How far into the lesson it is taken, in milliseconds: past most fades from black.
const AT_MS: u64 = 5000;
/// JPEG quantizers to try, best first; even noise fits at 31.
const QUANTIZERS: [&str; 4] = ["5", "10", "20", "31"];

/// Makes the poster. A lesson without one is still a lesson, so failures are only logged.
pub(super) fn make(job: &Job) -> Option<Vec<u8>> {
    let video = job.probe.video.as_ref()?;
    let size = FrameSize::fit(video, 320, 180);
    let filters = format!("{},scale=out_range=pc,format=yuvj420p", size.filters(video));
    let seconds = AT_MS.min(job.probe.duration_ms / 10) as f64 / 1000.0;
    let (map, at) = (format!("0:{}", video.index), format!("{seconds:.3}"));
    for quantizer in QUANTIZERS {
        let arguments = [
            "-map",
            &map,
            "-ss",
            &at,
            "-frames:v",
            "1",
            "-vf",
            &filters,
            "-c:v",
            "mjpeg",
            "-q:v",
            quantizer,
            "-f",
            "image2pipe",
            "pipe:1",
        ];
        let request = job.request;
        let picture = request
            .ffmpeg
            .decode(request.source, &arguments, &request.limits)
            // Far more than any 320×180 JPEG has.
            .and_then(|child| child.read_all(1 << 20, &|| job.is_cancelled()));
        match picture {
            Ok(jpeg) if jpeg.is_empty() => return None,
            Ok(jpeg) if jpeg.len() <= BYTES_MAX => return Some(jpeg),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "a lesson without a poster");
                return None;
            }
        }
    }
    None
}
