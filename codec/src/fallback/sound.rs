//! The Opus of a moment becomes the AAC frames of that moment.

use std::ops::Range;

use mp4_atom::{Codec, Decode, Moov};
use opus::{Channels, Decoder};

use super::{FallbackError, Material, Scratch, Workshop, start_ticks};
use crate::cmaf::Sample;
use crate::cmaf::scan::{self, ScanError};
use crate::track::TrackInfo;

/// Opus' own clock (RFC 7845 §4), and that of the AAC made of it.
pub(super) const SAMPLE_RATE: u32 = 48_000;
/// Samples of an AAC-LC frame.
pub(super) const FRAME_SAMPLES: u64 = 1024;
/// Frames encoded before those that are kept: the encoder's own delay of one, one to overlap
/// with, and some for its choice of windows to become that of the neighbour. At a beep that
/// begins on a border the sound is 26 dB above the difference then, and 22 dB with 8.
const FRAMES_BEFORE: u64 = 20;
/// Frames encoded after them: a frame reaches over the next one, whose window depends on the one
/// after that.
const FRAMES_AFTER: u64 = 4;
/// What an Opus decoder needs to settle, in samples: 80 ms (RFC 7845 §4.6), and as much for the
/// pre-skip, which the borders here do not count.
const SETTLE_SAMPLES: u64 = 2 * 3840;
/// The longest Opus packet, in samples: 120 ms (RFC 6716 §3.2.5).
const PACKET_SAMPLES_MAX: usize = 5760;
/// The longest stretch that is decoded for one segment, in samples: 90 s, three times the longest
/// segment of a remuxed file.
const SAMPLES_MAX: u64 = 90 * 48_000;
/// 96 kbit/s: the network here is a LAN. The fast search, and neither noise in the place of
/// bands nor shaping of it: with ffmpeg's default the neighbours of a border differ so much that
/// it is heard (2 dB), and it takes several times as long.
const ENCODER: &str = "-c:a aac -b:a 96k -aac_coder fast -aac_tns 0 -aac_pns 0 -f adts";
/// The most that comes out: SAMPLES_MAX at 256 kbit/s.
const BYTES_MAX: usize = 3 << 20;

/// The segments of the sound that AAC frames are made of.
pub(super) fn segments_of(info: &TrackInfo, frames: &Range<u64>) -> Range<usize> {
    let from =
        (frames.start.saturating_sub(FRAMES_BEFORE) * FRAME_SAMPLES).saturating_sub(SETTLE_SAMPLES);
    let to = (frames.end + FRAMES_AFTER) * FRAME_SAMPLES + SETTLE_SAMPLES;
    let mut end = 0;
    let ends = info.segments.iter().map(|segment| {
        end += u64::from(segment.duration_ticks);
        end
    });
    let ends: Vec<u64> = ends.collect();
    let first = ends.partition_point(|end| *end <= from);
    let last = ends.partition_point(|end| *end < to);
    first.min(ends.len())..(last + 1).clamp(first.min(ends.len()), ends.len())
}

/// Encodes the frames.
pub(super) fn encode(
    material: &Material,
    info: &TrackInfo,
    frames: &Range<u64>,
    workshop: &Workshop,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Sample>, FallbackError> {
    if info.timescale != SAMPLE_RATE {
        return Err(FallbackError::Unsupported);
    }
    let pcm = decode(material, info, frames)?;
    let file = Scratch::write(workshop.folder, "wav", &wav(&pcm))?;
    let mut arguments = vec!["-map", "0:a:0", "-vn", "-sn", "-dn"];
    arguments.extend(ENCODER.split_ascii_whitespace());
    arguments.push("pipe:1");
    let child = workshop.ffmpeg.decode(&file.0, &arguments, workshop.limits)?;
    let adts = child.read_all(BYTES_MAX, is_cancelled)?;
    let count = (frames.end - frames.start) as usize;
    // A decoder gives for packet n what lies one frame before it: the encoder's delay.
    let kept = adts_frames(&adts)?.into_iter().skip(FRAMES_BEFORE as usize + 1).take(count);
    let sample =
        |bytes: &[u8]| Sample { bytes: bytes.to_vec(), is_sync: true, ticks: FRAME_SAMPLES as u32 };
    let samples: Vec<_> = kept.map(sample).collect();
    if samples.len() < count {
        return Err(FallbackError::Frames { given: count, made: samples.len() });
    }
    Ok(samples)
}

/// Decodes what the frames and their neighbours hold; silence where nothing is here.
fn decode(
    material: &Material,
    info: &TrackInfo,
    frames: &Range<u64>,
) -> Result<Vec<i16>, FallbackError> {
    let count = (frames.end - frames.start + FRAMES_BEFORE + FRAMES_AFTER) * FRAME_SAMPLES;
    if count > SAMPLES_MAX {
        return Err(FallbackError::Unsupported);
    }
    let wanted = segments_of(info, frames);
    let stretch = TimedPcm {
        // Where the wanted samples begin in the track, before its pre-skip is taken away.
        start: frames.start as i64 * FRAME_SAMPLES as i64 - (FRAMES_BEFORE * FRAME_SAMPLES) as i64
            + i64::from(pre_skip(&material.sound_init)?),
        samples: vec![0; count as usize],
    };
    fill(stretch, material, info, wanted)
}

/// Samples that begin at a time of the track, which may lie before its beginning.
struct TimedPcm {
    start: i64,
    samples: Vec<i16>,
}

fn fill(
    mut stretch: TimedPcm,
    material: &Material,
    info: &TrackInfo,
    wanted: Range<usize>,
) -> Result<Vec<i16>, FallbackError> {
    let mut decoder = Decoder::new(SAMPLE_RATE, Channels::Mono)?;
    let mut packet_pcm = vec![0; PACKET_SAMPLES_MAX];
    for (n, bytes) in wanted.zip(&material.sound) {
        let Some(bytes) = bytes else {
            decoder.reset_state()?;
            continue;
        };
        let mut at = start_ticks(info, n) as i64;
        let end = at + i64::from(info.segments[n].duration_ticks);
        for packet in scan::samples(bytes)? {
            let count = decoder.decode(packet, &mut packet_pcm, false)?;
            if at < end {
                stretch.put(at, &packet_pcm[..count]);
            }
            at += count as i64;
        }
    }
    Ok(stretch.samples)
}

impl TimedPcm {
    fn put(&mut self, at: i64, pcm: &[i16]) {
        for (place, sample) in (at - self.start..).zip(pcm) {
            if let Some(slot) = usize::try_from(place).ok().and_then(|n| self.samples.get_mut(n)) {
                *slot = *sample;
            }
        }
    }
}

fn pre_skip(init: &[u8]) -> Result<u16, ScanError> {
    let moov = scan::boxes(init)?.into_iter().find(|(kind, _)| kind == b"moov");
    let (_, whole) = moov.ok_or(ScanError::Missing("moov"))?;
    let moov = Moov::decode(&mut &*whole).map_err(|_| ScanError::Damaged("moov"))?;
    match moov.trak.first().and_then(|trak| trak.mdia.minf.stbl.stsd.codecs.first()) {
        Some(Codec::Opus(opus)) => Ok(opus.dops.pre_skip),
        _ => Err(ScanError::Codec),
    }
}

/// A WAV file of one channel: what every ffmpeg reads.
fn wav(pcm: &[i16]) -> Vec<u8> {
    let data_bytes = pcm.len() as u32 * 2;
    let mut out = Vec::with_capacity(data_bytes as usize + 44);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(data_bytes + 36).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16u32.to_le_bytes());
    // PCM, one channel.
    out.extend_from_slice(&[1, 0, 1, 0]);
    out.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    out.extend_from_slice(&(SAMPLE_RATE * 2).to_le_bytes());
    // Bytes of a sample, bits of a sample.
    out.extend_from_slice(&[2, 0, 16, 0]);
    out.extend_from_slice(b"data");
    out.extend_from_slice(&data_bytes.to_le_bytes());
    out.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}

/// The frames of an ADTS stream without their headers (ISO/IEC 14496-3 §1.A.2).
pub(crate) fn adts_frames(mut adts: &[u8]) -> Result<Vec<&[u8]>, ScanError> {
    let mut frames = Vec::new();
    while !adts.is_empty() {
        let head = adts.first_chunk::<7>().ok_or(ScanError::Length)?;
        if head[0] != 0xff || head[1] & 0xf0 != 0xf0 {
            return Err(ScanError::Damaged("ADTS"));
        }
        let head_bytes = if head[1] & 1 == 1 { 7 } else { 9 };
        let total =
            usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5]) >> 5;
        let (frame, rest) = adts.split_at_checked(total).ok_or(ScanError::Length)?;
        frames.push(frame.get(head_bytes..).ok_or(ScanError::Length)?);
        adts = rest;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_segments_around_a_moment_are_asked_for() {
        let mut info = crate::track::tests::track(
            crate::track::TrackKind::Audio,
            &[(192_960, 9), (191_520, 9), (191_520, 9), (100_000, 9)],
        );
        info.timescale = SAMPLE_RATE;
        assert_eq!(segments_of(&info, &(0..188)), 0..2);
        assert_eq!(segments_of(&info, &(188..375)), 0..3);
        assert_eq!(segments_of(&info, &(563..660)), 2..4);
        assert_eq!(segments_of(&info, &(9000..9100)), 4..4);
    }

    #[test]
    fn what_lies_before_the_beginning_is_silence() {
        let mut pcm = TimedPcm { start: -3, samples: vec![0; 5] };
        pcm.put(0, &[7, 8, 9]);
        pcm.put(-5, &[1, 2, 3]);
        assert_eq!(pcm.samples, [3, 0, 0, 7, 8]);
    }

    proptest! {
        #[test]
        fn arbitrary_streams_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = adts_frames(&bytes);
            let mut framed = vec![0xff, 0xf1, 0x4c, 0x40, 0x02, 0x1f, 0xfc];
            framed.extend(bytes);
            let _ = adts_frames(&framed);
            let _ = pre_skip(&framed);
        }
    }
}
