//! The track `audio`: Opus for speech, mono, 60 ms packets.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};

use opus::{Application, Bitrate, Channels, Encoder};

use super::peaks::Peaks;
use super::{FinishedTrack, ImportError, Job, SEGMENT_MS, Stage, child_error};
use crate::cmaf::scan::{self, BoxHead, ScanError};
use crate::cmaf::{Coding, Medium, Sample, index, init_segment, segment};
use crate::track::{SegmentInfo, TrackInfo, TrackKind};

/// Opus' own clock (RFC 7845 §4).
const SAMPLE_RATE: u32 = 48_000;
/// The longest Opus frame: fewest bytes of headers a second.
const PACKET_MS: u64 = 60;
/// Samples of a packet.
const PACKET_SAMPLES: usize = SAMPLE_RATE as usize * PACKET_MS as usize / 1000;
/// What DESIGN §8 gives speech at least: boxes included it stays below 17.5 kbit/s.
const BITS_PER_S: i32 = 16_000;
/// The largest packet of 60 ms: three frames of 1,275 bytes and their framing (RFC 6716 §3.2).
const PACKET_BYTES_MAX: usize = 4000;

/// Segments that are made durable together, about a minute: half a second of work, and few files.
const MINUTE_SEGMENTS: u64 = 15;
/// What an encoder hears before its first packet, 240 ms: three times what a decoder needs to come
/// to the same state (RFC 7845 §4.6).
const PRIMING_PACKETS: usize = 4;

/// Makes the track, if the file has sound.
pub(super) fn make(job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
    let Some(audio) = &job.probe.audio else { return Ok(None) };
    if let Some(finished) = job.work.finished(TrackKind::Audio) {
        return Ok(Some(finished));
    }
    job.reporter.report(Stage::Audio, 0.0);
    let map = format!("0:{}", audio.index);
    let mut child = job.ffmpeg(
        TrackKind::Audio,
        &[
            "-map",
            &map,
            "-vn",
            "-sn",
            "-dn",
            "-ac",
            "1",
            // Gaps and a late start become silence, so that sound stays with the picture.
            "-af",
            "aresample=48000:async=1:first_pts=0",
            "-f",
            "s16le",
            "-c:a",
            "pcm_s16le",
            "pipe:1",
        ],
    )?;
    let mut track = AudioTrack::start(job)?;
    let mut pcm = vec![0; PACKET_SAMPLES * 2];
    loop {
        let filled = child
            .read(&mut pcm, &|| job.must_stop())
            .map_err(|error| child_error(TrackKind::Audio, error))?;
        track.push(&pcm[..filled])?;
        job.check_going_on(track.packets * PACKET_MS)?;
        if filled < pcm.len() {
            break;
        }
        job.reporter.report(Stage::Audio, job.fraction(track.packets * PACKET_MS));
    }
    child.finish().map_err(|error| child_error(TrackKind::Audio, error))?;
    track.finish()
}

/// A track that is being made, a minute at a time. A minute has an encoder of its own, which hears
/// the end of the minute before it first, so that each comes out the same whether or not others
/// are made in the same call.
struct AudioTrack<'a> {
    job: &'a Job<'a>,
    pre_skip: u16,
    samples_in: u64,
    packets: u64,
    /// The last packets before the next one.
    heard: VecDeque<Vec<i16>>,
    minute: Option<Minute>,
    peaks: Peaks,
}

/// A minute that is being encoded; one that is durable has no encoder.
struct Minute {
    encoder: Option<Encoder>,
    waiting: Vec<Sample>,
    /// Of the whole track, up to here, and at its end.
    segments: u64,
    segments_end: u64,
    bytes: Vec<u8>,
}

impl<'a> AudioTrack<'a> {
    fn start(job: &'a Job<'a>) -> Result<Self, ImportError> {
        Ok(Self {
            job,
            pre_skip: encoder()?.get_lookahead()? as u16,
            samples_in: 0,
            packets: 0,
            heard: VecDeque::new(),
            minute: None,
            peaks: Peaks::default(),
        })
    }

    /// Encodes one packet's worth of samples, or what is left at the end, filled with silence.
    fn push(&mut self, pcm: &[u8]) -> Result<(), ImportError> {
        let mut samples: Vec<i16> =
            pcm.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
        if samples.is_empty() {
            return Ok(());
        }
        self.samples_in += samples.len() as u64;
        self.peaks.push(&samples);
        samples.resize(PACKET_SAMPLES, 0);
        let mut minute = match self.minute.take() {
            Some(minute) => minute,
            None => self.begin_minute()?,
        };
        if let Some(encoder) = &mut minute.encoder {
            let bytes = encoder.encode_vec(&samples, PACKET_BYTES_MAX)?;
            let ticks = PACKET_SAMPLES as u32;
            minute.waiting.push(Sample { bytes, is_sync: true, ticks });
        }
        if self.heard.len() == PRIMING_PACKETS {
            self.heard.pop_front();
        }
        self.heard.push_back(samples);
        self.packets += 1;
        if self.packets == boundary(minute.segments + 1) {
            minute.end_segment(self.packets);
        }
        if minute.segments == minute.segments_end {
            return self.end_minute(minute);
        }
        self.minute = Some(minute);
        Ok(())
    }

    /// Begins the minute of the next packet.
    fn begin_minute(&mut self) -> Result<Minute, ImportError> {
        let n = self.minutes();
        let mut minute = Minute {
            encoder: None,
            waiting: Vec::new(),
            segments: n * MINUTE_SEGMENTS,
            segments_end: (n + 1) * MINUTE_SEGMENTS,
            bytes: Vec::new(),
        };
        if !is_durable(self.job, n) {
            let mut encoder = encoder()?;
            for samples in &self.heard {
                encoder.encode_vec(samples, PACKET_BYTES_MAX)?;
            }
            minute.encoder = Some(encoder);
        }
        Ok(minute)
    }

    /// How many whole minutes are before the next packet.
    fn minutes(&self) -> u64 {
        (0..).find(|n| boundary((n + 1) * MINUTE_SEGMENTS) > self.packets).unwrap_or(0)
    }

    fn end_minute(&mut self, minute: Minute) -> Result<(), ImportError> {
        if minute.encoder.is_some() {
            let n = minute.segments_end / MINUTE_SEGMENTS - 1;
            self.job.work.write_segment(TrackKind::Audio, n, &minute.bytes, None)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<FinishedTrack>, ImportError> {
        if self.samples_in == 0 {
            return Ok(None);
        }
        // The encoder holds back its look-ahead: silence pushes the last samples out.
        let samples = self.samples_in;
        let peaks = std::mem::take(&mut self.peaks);
        if self.packets * (PACKET_SAMPLES as u64) < samples + u64::from(self.pre_skip) {
            self.push(&[0, 0])?;
        }
        let mut minutes = self.minutes();
        if let Some(mut minute) = self.minute.take() {
            if !minute.waiting.is_empty() {
                minute.end_segment(self.packets);
            }
            minutes += 1;
            self.end_minute(minute)?;
        }
        // Before the track: a finished track's sound is not decoded again.
        peaks.keep(&self.job.work)?;
        assemble(self.job, &medium(self.pre_skip, samples), minutes).map(Some)
    }
}

impl Minute {
    fn end_segment(&mut self, packets: u64) {
        let count = self.waiting.len() as u64;
        self.segments += 1;
        if self.encoder.is_some() {
            let start = (packets - count) * PACKET_SAMPLES as u64;
            self.bytes.extend(segment(self.segments as u32, start, &self.waiting));
        }
        self.waiting.clear();
    }
}

fn encoder() -> Result<Encoder, opus::Error> {
    let mut encoder = Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(BITS_PER_S))?;
    Ok(encoder)
}

/// Whether minute `n` was made by an earlier call. Only whole ones are believed: the last one of
/// a file is soon made again.
fn is_durable(job: &Job, n: u64) -> bool {
    let Some(bytes) = job.work.read_segment(TrackKind::Audio, n) else { return false };
    let Ok(found) = split(&bytes) else { return false };
    let expected = (n * MINUTE_SEGMENTS..(n + 1) * MINUTE_SEGMENTS).map(|segment| {
        let (start, end) = (boundary(segment), boundary(segment + 1));
        (start * PACKET_SAMPLES as u64, (end - start) * PACKET_SAMPLES as u64)
    });
    found.iter().map(|(start, segment)| (*start, u64::from(segment.duration_ticks))).eq(expected)
}

/// The segments of a minute, each with when it starts.
fn split(bytes: &[u8]) -> Result<Vec<(u64, SegmentInfo)>, ScanError> {
    let mut segments = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let moof = BoxHead::read(rest)?.total_bytes;
        let moof = usize::try_from(moof).map_err(|_| ScanError::Length)?;
        let media = BoxHead::read(rest.get(moof..).ok_or(ScanError::Length)?)?.total_bytes;
        let end = usize::try_from(media).ok().and_then(|media| moof.checked_add(media));
        let end = end.filter(|end| *end <= rest.len()).ok_or(ScanError::Length)?;
        scan::samples(&rest[..end])?;
        let fragments = scan::fragment(&rest[..end])?;
        let fragment = fragments.first().ok_or(ScanError::Missing("traf"))?;
        let duration_ticks = (fragment.samples * PACKET_SAMPLES as u64) as u32;
        segments.push((fragment.start_ticks, SegmentInfo { duration_ticks, bytes: end as u32 }));
        rest = &rest[end..];
    }
    Ok(segments)
}

/// Joins the minutes into the track's file.
fn assemble(job: &Job, medium: &Medium, minutes: u64) -> Result<FinishedTrack, ImportError> {
    let read = |n| {
        let lost = || std::io::Error::other("a finished minute of sound has disappeared");
        job.work.read_segment(TrackKind::Audio, n).ok_or_else(lost)
    };
    let mut segments = Vec::new();
    for n in 0..minutes {
        segments.extend(split(&read(n)?)?.into_iter().map(|(_, segment)| segment));
    }
    let init = index::indexed(init_segment(medium), SAMPLE_RATE, &segments);
    let mut file = BufWriter::new(job.work.start(TrackKind::Audio)?);
    file.write_all(&init)?;
    for n in 0..minutes {
        file.write_all(&read(n)?)?;
    }
    let mut info = TrackInfo {
        kind: TrackKind::Audio,
        codecs: "opus".into(),
        width: None,
        height: None,
        frame_rate: None,
        language: None,
        timescale: SAMPLE_RATE,
        bandwidth_avg_bits_per_s: 0,
        bandwidth_peak_bits_per_s: 0,
        init_bytes: init.len() as u32,
        segments,
    };
    info.measure_bandwidth();
    info.validate()?;
    let file = file.into_inner().map_err(|error| error.into_error())?;
    let track = job.work.finish(file, info)?;
    job.work.drop_segments(TrackKind::Audio);
    Ok(track)
}

fn medium(pre_skip: u16, duration_ticks: u64) -> Medium {
    Medium {
        timescale: SAMPLE_RATE,
        sample_ticks: PACKET_SAMPLES as u32,
        duration_ticks,
        coding: Coding::Opus { pre_skip },
    }
}

/// The packet before which segment `n` begins: the one nearest to `n` times 4 s.
fn boundary(n: u64) -> u64 {
    (n * SEGMENT_MS + PACKET_MS / 2) / PACKET_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_stay_within_half_a_packet_of_four_seconds() {
        for n in 0..9000 {
            let apart = (boundary(n) * PACKET_MS).abs_diff(n * SEGMENT_MS);
            assert!(apart <= PACKET_MS / 2, "{n}: {apart} ms");
        }
        assert_eq!((boundary(1), boundary(2), boundary(3)), (67, 133, 200));
    }
}
