//! The tracks `captions-1` to `captions-4`: the text subtitles of the file as WebVTT.
//!
//! A subtitle stream that cannot be read costs its track and a note, never the lesson.

use std::io::Write;

use super::{FinishedTrack, ImportError, Job, Note, WorkDir, child_error};
use crate::ffmpeg::Limits;
use crate::probe::SubtitleStream;
use crate::track::{CAPTIONS_MAX, PIECE_BYTES_MAX, SegmentInfo, TrackInfo, TrackKind};
use crate::webvtt::{self, Cue, HEADER};

/// The most of one stream, in bytes: 10 h of speech are below 1 MiB.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// How many times longer than for pictures a child may be silent: the lines of a subtitle lie far
/// apart in a large file.
const PATIENCE: u64 = 10;
/// Ticks a second.
const TIMESCALE: u32 = 1000;

/// Makes a track of each text subtitle stream, the first four; `duration_ms` is the lesson's.
pub(super) fn make(
    job: &Job,
    duration_ms: u64,
    notes: &mut Vec<Note>,
) -> Result<Vec<FinishedTrack>, ImportError> {
    let streams = job.probe.subtitles.iter().filter(|stream| stream.is_text);
    let mut tracks = Vec::new();
    for (n, stream) in (1..=CAPTIONS_MAX).zip(streams) {
        let kind = TrackKind::Captions(n);
        let made = match job.work.finished(kind) {
            Some(track) => Ok(track),
            None => make_one(job, kind, stream, duration_ms),
        };
        match made {
            Ok(track) => tracks.push(track),
            Err(Failure::Import(error)) => return Err(error),
            Err(Failure::Words(why)) => {
                let text = format!("the subtitles of stream {} are left out: {why}", stream.index);
                notes.push(Note::new("captions_unreadable", text));
            }
        }
    }
    Ok(tracks)
}

enum Failure {
    /// The import ends.
    Import(ImportError),
    /// Only the track is left out.
    Words(String),
}

impl<E: Into<ImportError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Import(error.into())
    }
}

fn make_one(
    job: &Job,
    kind: TrackKind,
    stream: &SubtitleStream,
    duration_ms: u64,
) -> Result<FinishedTrack, Failure> {
    let text = decode(job, kind, stream)?;
    let mut cues = webvtt::read(&text).cues;
    cues.retain(|cue| cue.start_ms < duration_ms);
    if cues.is_empty() {
        return Err(Failure::Words("nothing is said in them".into()));
    }
    Ok(write(&job.work, kind, &cues, stream.language.clone(), duration_ms)?)
}

/// Writes cues, at least one and in order of time, as the track `kind`.
pub(crate) fn write(
    work: &WorkDir,
    kind: TrackKind,
    cues: &[Cue],
    language: Option<String>,
    duration_ms: u64,
) -> Result<FinishedTrack, ImportError> {
    let mut file = work.start(kind)?;
    file.write_all(HEADER.as_bytes())?;
    let mut segments = Vec::new();
    let mut start_ms = 0;
    let parts = split(cues);
    for (n, part) in parts.iter().enumerate() {
        file.write_all(part.text.as_bytes())?;
        let next = parts.get(n + 1).map_or(duration_ms, |next| next.start_ms);
        let end_ms = next.max(start_ms + 1);
        let duration_ticks = u32::try_from(end_ms - start_ms).unwrap_or(u32::MAX);
        segments.push(SegmentInfo { duration_ticks, bytes: part.text.len() as u32 });
        start_ms = end_ms;
    }
    let mut info = TrackInfo {
        kind,
        codecs: "wvtt".into(),
        width: None,
        height: None,
        frame_rate: None,
        language,
        timescale: TIMESCALE,
        bandwidth_avg_bits_per_s: 0,
        bandwidth_peak_bits_per_s: 0,
        init_bytes: HEADER.len() as u32,
        segments,
    };
    info.measure_bandwidth();
    info.validate()?;
    Ok(work.finish(file, info)?)
}

/// Asks ffmpeg for the stream as WebVTT.
fn decode(job: &Job, kind: TrackKind, stream: &SubtitleStream) -> Result<String, Failure> {
    let map = format!("0:{}", stream.index);
    let arguments = ["-map", &map, "-vn", "-an", "-dn", "-c:s", "webvtt", "-f", "webvtt", "pipe:1"];
    let request = job.request;
    let limits = Limits {
        stall_timeout_ms: request.limits.stall_timeout_ms.saturating_mul(PATIENCE),
        ..request.limits.clone()
    };
    let child = request.ffmpeg.decode(request.source, &arguments, &limits);
    let bytes = child.and_then(|child| child.read_all(TEXT_BYTES_MAX, &|| job.is_cancelled()));
    match bytes {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => match child_error(kind, error) {
            ImportError::Cancelled => Err(Failure::Import(ImportError::Cancelled)),
            error => {
                tracing::warn!(%error, "subtitles that cannot be read");
                Err(Failure::Words("ffmpeg cannot read them".into()))
            }
        },
    }
}

/// Cues in a row whose text fits into a piece of a blob.
struct Part {
    start_ms: u64,
    text: String,
}

fn split(cues: &[Cue]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for cue in cues {
        let text = webvtt::write(cue);
        match parts.last_mut() {
            Some(part) if part.text.len() + text.len() <= PIECE_BYTES_MAX as usize => {
                part.text.push_str(&text);
            }
            _ => parts.push(Part { start_ms: cue.start_ms, text }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_split_between_cues() {
        let text = "字".repeat(300);
        let cue = |n: u64| Cue { start_ms: n * 1000, end_ms: n * 1000 + 900, text: text.clone() };
        let cues: Vec<Cue> = (0..3000).map(cue).collect();
        let parts = split(&cues);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.text.len() <= PIECE_BYTES_MAX as usize));
        let all: String = parts.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(webvtt::read(&all).cues, cues);
        assert_eq!(webvtt::read(&parts[1].text).cues[0].start_ms, parts[1].start_ms);
    }
}
