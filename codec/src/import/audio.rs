//! The track `audio`: Opus for speech, mono, 60 ms packets.

use std::io::{BufWriter, Seek, SeekFrom, Write};

use opus::{Application, Bitrate, Channels, Encoder};

use super::peaks::Peaks;
use super::{FinishedTrack, ImportError, Job, SEGMENT_MS, Stage, child_error};
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
    track.finish(job)
}

/// A track that is being written.
struct AudioTrack {
    encoder: Encoder,
    pre_skip: u16,
    file: BufWriter<std::fs::File>,
    init_bytes: u32,
    index_bytes: usize,
    samples_in: u64,
    packets: u64,
    waiting: Vec<Sample>,
    segments: Vec<SegmentInfo>,
    peaks: Peaks,
}

impl AudioTrack {
    fn start(job: &Job) -> Result<Self, ImportError> {
        let mut encoder = Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::Bits(BITS_PER_S))?;
        let pre_skip = encoder.get_lookahead()? as u16;
        let mut file = BufWriter::new(job.work.start(TrackKind::Audio)?);
        // The length of the movie and the index are filled in at the end.
        let mut init = init_segment(&medium(pre_skip, 0));
        let index_bytes = index::reserved_bytes(job.probe.duration_ms.div_ceil(SEGMENT_MS) + 1);
        init.resize(init.len() + index_bytes, 0);
        file.write_all(&init)?;
        Ok(Self {
            encoder,
            pre_skip,
            file,
            init_bytes: init.len() as u32,
            index_bytes,
            samples_in: 0,
            packets: 0,
            waiting: Vec::new(),
            segments: Vec::new(),
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
        let bytes = self.encoder.encode_vec(&samples, PACKET_BYTES_MAX)?;
        let ticks = PACKET_SAMPLES as u32;
        self.waiting.push(Sample { bytes, is_sync: true, ticks });
        self.packets += 1;
        if self.packets == boundary(self.segments.len() as u64 + 1) {
            self.write_segment()?;
        }
        Ok(())
    }

    fn write_segment(&mut self) -> Result<(), ImportError> {
        let number = self.segments.len() as u32 + 1;
        let count = self.waiting.len() as u64;
        let start = (self.packets - count) * PACKET_SAMPLES as u64;
        let bytes = segment(number, start, &self.waiting);
        self.file.write_all(&bytes)?;
        let duration_ticks = count as u32 * PACKET_SAMPLES as u32;
        self.segments.push(SegmentInfo { duration_ticks, bytes: bytes.len() as u32 });
        self.waiting.clear();
        Ok(())
    }

    fn finish(mut self, job: &Job) -> Result<Option<FinishedTrack>, ImportError> {
        if self.samples_in == 0 {
            return Ok(None);
        }
        // The encoder holds back its look-ahead: silence pushes the last samples out.
        let samples = self.samples_in;
        let peaks = std::mem::take(&mut self.peaks);
        if self.packets * (PACKET_SAMPLES as u64) < samples + u64::from(self.pre_skip) {
            self.push(&[0, 0])?;
        }
        if !self.waiting.is_empty() {
            self.write_segment()?;
        }
        let mut file = self.file.into_inner().map_err(|error| error.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        let mut init = init_segment(&medium(self.pre_skip, samples));
        init.extend(index::within(self.index_bytes, SAMPLE_RATE, &self.segments));
        file.write_all(&init)?;
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
            init_bytes: self.init_bytes,
            segments: self.segments,
        };
        info.measure_bandwidth();
        info.validate()?;
        // Before the track: a finished track's sound is not decoded again.
        peaks.keep(&job.work)?;
        Ok(Some(job.work.finish(file, info)?))
    }
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
