//! The tracks `video-360` and `video-480`: AV1, one GOP a segment, at a target quality.
//!
//! One thread reads frames from ffmpeg and hands whole GOPs to the workers; at most `workers + 2`
//! GOPs are in memory. It begins at the first GOP whose segment is not durable, if the file leads
//! there (see `pictures.rs`), else at the beginning; a GOP behind it that is durable is read and
//! dropped: decoding costs far less than encoding. A picture that stays is one sample that lasts
//! (see `still.rs`), and a GOP that shows nothing but what an earlier one showed has that one's
//! sample. Such GOPs, and those of few pictures, are made while the slides are looked for (see
//! `passing.rs`).
//!
//! A GOP's quantizer starts from what an earlier one ended with, which is durable beside its
//! segment. Which earlier one depends on its number and its own pictures alone, never on what
//! happens to be ready: so the bytes are the same for any number of workers and after any cut.
//! What encodes a track is noted before its first segment (see `encoder/maker.rs`).

use std::io::{BufWriter, Write};

use super::{FinishedTrack, ImportError, Job, SEGMENT_MS, Stage};
use crate::av1::{codec_name, configuration};
use crate::cmaf::{Coding, Medium, init_segment, scan};
use crate::encoder::maker::Maker;
use crate::encoder::target::Ceiling;
use crate::encoder::{EncoderName, PictureFormat};
use crate::frame_size::FrameSize;
use crate::probe::VideoStream;
use crate::track::{SegmentInfo, TrackInfo, TrackKind};
use run::Run;

pub(super) mod passing;
mod run;

/// Ticks a second: a multiple of 12.5 and of 25 that gives a frame whole ticks.
const TIMESCALE: u32 = 12_800;
/// What one of the video tracks is (DESIGN §8).
#[derive(Debug, Clone, Copy)]
struct Rendition {
    kind: TrackKind,
    stage: Stage,
    width_max: u32,
    height_max: u32,
    frame_rate: (u64, u64),
    /// What a GOP may cost whatever it shows.
    ceiling: Ceiling,
}

/// 12.5 frames a second: writing and pointing stay smooth at half the bits of 25. Twice what a
/// camera picture takes at the target.
const VIDEO_360: Rendition = Rendition {
    kind: TrackKind::Video360,
    stage: Stage::Video,
    width_max: 640,
    height_max: 360,
    frame_rate: (25, 2),
    ceiling: Ceiling { bits_per_s: 500_000 },
};

/// For links that carry more: experiments and sport at the rate of the camera.
const VIDEO_480: Rendition = Rendition {
    kind: TrackKind::Video480,
    stage: Stage::Video480,
    width_max: 854,
    height_max: 480,
    frame_rate: (25, 1),
    ceiling: Ceiling { bits_per_s: 1_000_000 },
};

impl Rendition {
    /// Frames of a segment: 4 s.
    fn gop_frames(&self) -> u64 {
        SEGMENT_MS * self.frame_rate.0 / self.frame_rate.1 / 1000
    }

    fn frame_ticks(&self) -> u32 {
        (u64::from(TIMESCALE) * self.frame_rate.1 / self.frame_rate.0) as u32
    }

    fn size(&self, video: &VideoStream) -> FrameSize {
        FrameSize::fit(video, self.width_max, self.height_max)
    }

    fn format(&self, video: &VideoStream) -> PictureFormat {
        let FrameSize { width, height, .. } = self.size(video);
        let (gop_frames, frame_rate) = (self.gop_frames(), self.frame_rate);
        PictureFormat { width, height, gop_frames, frame_rate }
    }
}

/// Makes `video-360`, if the file has a picture.
pub(super) fn make_360(job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
    job.probe.video.as_ref().map(|video| make(job, VIDEO_360, video)).transpose()
}

/// Makes `video-480`, if the file has a picture of more than 360 lines.
pub(super) fn make_480(job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
    let video = job.probe.video.as_ref().filter(|video| has_480(video));
    video.map(|video| make(job, VIDEO_480, video)).transpose()
}

/// Whether a picture has more to show than `video-360` does.
pub(super) fn has_480(video: &VideoStream) -> bool {
    let (width, height) = video.shown_size();
    width.min(height) > f64::from(VIDEO_360.height_max)
}

fn make(
    job: &Job,
    rendition: Rendition,
    video: &VideoStream,
) -> Result<FinishedTrack, ImportError> {
    if let Some(track) = job.work.finished(rendition.kind) {
        return Ok(track);
    }
    job.reporter.report(rendition.stage, 0.0);
    let maker = begin(job, rendition, video)?;
    let encode = |maker: &Maker| Run::new(job, rendition, video, maker, true).encode_all();
    let segments = match encode(&maker) {
        Err(ImportError::Encode(error)) if !error.is_stopped() => {
            let other = job.makers.as_ref().and_then(|makers| makers.instead_of(&maker));
            let Some(other) = other else { return Err(error.into()) };
            tracing::warn!(track = %rendition.kind, %error, "rav1e begins the track again");
            job.work.begin_again(rendition.kind, &note(&other))?;
            job.reporter.changes_hands(rendition.stage);
            encode(&other)?
        }
        segments => segments?,
    };
    assemble(job, &rendition, &rendition.size(video), segments)
}

/// The maker of a track, noted; segments of another are gone.
fn begin(job: &Job, rendition: Rendition, video: &VideoStream) -> Result<Maker, ImportError> {
    let begun = begun(job, rendition);
    let makers = job.makers.as_ref();
    let maker = makers.map(|makers| makers.of(&rendition.format(video), begun.as_ref()));
    let maker = maker.unwrap_or_else(Maker::rav1e);
    if begun.as_ref() != Some(&maker) {
        if let Some(begun) = begun {
            tracing::info!(track = %rendition.kind, from = %begun.name, to = %maker.name,
                "another encoder, or version, begins the track again");
        }
        job.work.begin_again(rendition.kind, &note(&maker))?;
    }
    Ok(maker)
}

fn begun(job: &Job, rendition: Rendition) -> Option<Maker> {
    serde_json::from_slice(&job.work.read_note(rendition.kind)?).ok()
}

fn note(maker: &Maker) -> Vec<u8> {
    serde_json::to_vec(maker).expect("a name and bytes always encode")
}

/// What will encode `video-360`, as far as it is known before it begins.
pub(super) fn planned_encoder(job: &Job) -> Option<EncoderName> {
    let video = job.probe.video.as_ref()?;
    let begun = begun(job, VIDEO_360);
    Some(job.makers.as_ref()?.of(&VIDEO_360.format(video), begun.as_ref()).name)
}

/// Joins the durable segments into the track's file.
fn assemble(
    job: &Job,
    rendition: &Rendition,
    size: &FrameSize,
    count: u64,
) -> Result<FinishedTrack, ImportError> {
    let kind = rendition.kind;
    let read = |n| {
        let lost = || std::io::Error::other("a finished segment has disappeared");
        job.work.read_segment(kind, n).ok_or_else(lost)
    };
    let first = read(0)?;
    let samples = scan::samples(&first)?;
    let config = configuration(samples.first().ok_or(ImportError::NothingDecoded)?)?;
    let codecs = codec_name(&config);
    let mut segments = Vec::new();
    for n in 0..count {
        let bytes = read(n)?;
        let ticks = scan::fragment(&bytes)?.first().map_or(0, |f| f.duration_ticks);
        segments.push(SegmentInfo { duration_ticks: ticks as u32, bytes: bytes.len() as u32 });
    }
    let (width, height) = (size.width as u16, size.height as u16);
    let init = init_segment(&Medium {
        timescale: TIMESCALE,
        sample_ticks: rendition.frame_ticks(),
        duration_ticks: segments.iter().map(|s| u64::from(s.duration_ticks)).sum(),
        coding: Coding::Av1 { width, height, config },
    });
    let init = crate::cmaf::index::indexed(init, TIMESCALE, &segments);
    let mut file = BufWriter::new(job.work.start(kind)?);
    file.write_all(&init)?;
    for n in 0..count {
        file.write_all(&read(n)?)?;
    }
    let mut info = TrackInfo {
        kind,
        codecs,
        width: Some(size.width),
        height: Some(size.height),
        frame_rate: Some(rendition.frame_rate.0 as f64 / rendition.frame_rate.1 as f64),
        language: None,
        timescale: TIMESCALE,
        bandwidth_avg_bits_per_s: 0,
        bandwidth_peak_bits_per_s: 0,
        init_bytes: init.len() as u32,
        segments,
    };
    info.measure_bandwidth();
    info.validate()?;
    let file = file.into_inner().map_err(|error| error.into_error())?;
    let track = job.work.finish(file, info)?;
    job.work.drop_segments(kind);
    Ok(track)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendition_is_made_of_whole_ticks_and_frames() {
        for rendition in [VIDEO_360, VIDEO_480] {
            let (frames, ticks) = (rendition.gop_frames(), u64::from(rendition.frame_ticks()));
            assert_eq!(frames * ticks * 1000, u64::from(TIMESCALE) * SEGMENT_MS);
        }
    }
}
