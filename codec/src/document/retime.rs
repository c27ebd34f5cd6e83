//! New times for the pages of a lesson that is made already: nothing but the small pictures of the
//! seek bar is encoded again.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::Path;

use super::{DocumentError, durations_ms};
use crate::cmaf::scan::{self, ScanError};
use crate::decode;
use crate::import::{FinishedTrack, ImportError, THUMB_SIZE, WorkDir, small};
use crate::slide::{StillUse, encode_still, segment, track};
use crate::track::{SegmentInfo, TrackInfo, TrackKind};

/// How far pictures on the seek bar are apart, as for every lesson.
const THUMB_MS: u64 = 10_000;

/// Gives the pages of `slides` new times: page `n` appears at `starts_ms[n]`, the last one stays
/// until `total_ms`. Writes `slides` and `thumbs` into `folder`.
///
/// # Errors
/// [`DocumentError::Times`] if there is not one time a page, from 0 on and always later; and if
/// the file is not what its description says.
pub fn retime(
    slides: &FinishedTrack,
    starts_ms: &[u64],
    total_ms: u64,
    folder: &Path,
) -> Result<Vec<FinishedTrack>, ImportError> {
    let pages = slides.info.segments.len();
    let durations = durations_ms(pages, Some(total_ms), Some(starts_ms))?;
    let size = (slides.info.width.unwrap_or(0), slides.info.height.unwrap_or(0));
    let work = WorkDir::unbound(folder)?;
    let stills = Stills { track: slides };
    let again = |n: u64| {
        Ok(segment(n, starts_ms[n as usize], durations[n as usize], stills.read(n as usize)?))
    };
    let made = write(&work, TrackKind::Slides, size, &durations, again)?;
    let mut thumbs = Vec::with_capacity(pages);
    for n in 0..pages {
        let page = small(&decode::still(&stills.read(n)?)?, THUMB_SIZE)?;
        let still = encode_still(&page, StillUse::Thumb).map_err(DocumentError::from)?;
        thumbs.push((still, (page.width(), page.height())));
    }
    let thumb_size = thumbs.first().map_or((0, 0), |(_, size)| *size);
    let starts: Vec<u64> = (0..total_ms).step_by(THUMB_MS as usize).collect();
    let shown: Vec<u32> =
        starts.iter().map(|start| (total_ms - start).min(THUMB_MS) as u32).collect();
    let thumb = |n: u64| {
        let start_ms = n * THUMB_MS;
        let page = starts_ms.partition_point(|start| *start <= start_ms).saturating_sub(1);
        Ok(segment(n, start_ms, shown[n as usize], thumbs[page].0.clone()))
    };
    Ok(vec![made, write(&work, TrackKind::Thumbs, thumb_size, &shown, thumb)?])
}

/// The stills of a track, one a segment.
struct Stills<'a> {
    track: &'a FinishedTrack,
}

impl Stills<'_> {
    fn read(&self, n: usize) -> Result<Vec<u8>, ImportError> {
        let TrackInfo { init_bytes, segments, .. } = &self.track.info;
        let bytes =
            |segments: &[SegmentInfo]| segments.iter().map(|s| u64::from(s.bytes)).sum::<u64>();
        let mut segment = vec![0; segments[n].bytes as usize];
        let mut file = File::open(&self.track.path)?;
        file.seek(SeekFrom::Start(u64::from(*init_bytes) + bytes(&segments[..n])))?;
        file.read_exact(&mut segment)?;
        let sample = scan::samples(&segment)?.first().map(|sample| sample.to_vec());
        Ok(sample.ok_or(ScanError::Missing("sample"))?)
    }
}

fn write(
    work: &WorkDir,
    kind: TrackKind,
    size: (u32, u32),
    durations_ms: &[u32],
    segment: impl FnMut(u64) -> Result<Vec<u8>, ImportError>,
) -> Result<FinishedTrack, ImportError> {
    let mut file = BufWriter::new(work.start(kind)?);
    let info = track(kind, size, durations_ms, segment, &mut file)?;
    let file = file.into_inner().map_err(|error| error.into_error())?;
    Ok(work.finish(file, info)?)
}
