//! Reading boxes: what ffmpeg wrote as `source`, and our own segments.
//!
//! Everything is bounded by the bytes at hand; a length that leads past them is an error.

use mp4_atom::{Avcc, Codec, Decode, FourCC, Moof, Moov, Traf, Trak};

/// The most samples of one fragment: 10 minutes of 120 pictures and 48 packets a second.
const SAMPLES_MAX: u64 = 100_000;
/// The most tracks of a file that we make or remux.
const TRACKS_MAX: usize = 4;

/// Boxes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A box is longer than the bytes that are there, or shorter than its own header.
    #[error("a box of illegal length")]
    Length,
    /// The content of a box does not parse.
    #[error("a damaged {0} box")]
    Damaged(&'static str),
    /// A box that must be there is not.
    #[error("no {0} box")]
    Missing(&'static str),
    /// More of something than is allowed.
    #[error("more than the {max} {what} allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// A sample entry that no track of ours has.
    #[error("a sample entry other than avc1, mp4a, av01, Opus")]
    Codec,
}

/// The head of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxHead {
    /// Its four letters.
    pub kind: [u8; 4],
    /// The length of the head itself: 8 or 16.
    pub head_bytes: u64,
    /// The length with the head.
    pub total_bytes: u64,
}

impl BoxHead {
    /// Reads a head; 16 bytes are always enough.
    pub fn read(bytes: &[u8]) -> Result<Self, ScanError> {
        let word = bytes.first_chunk::<8>().ok_or(ScanError::Length)?;
        let [a, b, c, d, kind @ ..] = *word;
        let (head_bytes, total_bytes) = match u32::from_be_bytes([a, b, c, d]) {
            1 => {
                let large = bytes.get(8..16).ok_or(ScanError::Length)?;
                let large = large.try_into().map_err(|_| ScanError::Length)?;
                (16, u64::from_be_bytes(large))
            }
            small => (8, u64::from(small)),
        };
        if total_bytes < head_bytes {
            return Err(ScanError::Length);
        }
        Ok(Self { kind, head_bytes, total_bytes })
    }
}

/// What an init segment says of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitTrack {
    /// Its id.
    pub id: u32,
    /// Ticks a second.
    pub timescale: u32,
    /// Picture or sound.
    pub is_picture: bool,
    /// Its codec's RFC 6381 name.
    pub codec: String,
    /// Width in pixels, 0 for sound.
    pub width: u32,
    /// Height in pixels, 0 for sound.
    pub height: u32,
    /// The duration of a sample that a fragment does not give itself.
    pub default_sample_ticks: u32,
}

/// What a fragment holds of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentTrack {
    /// The track's id.
    pub id: u32,
    /// When it starts, in the track's ticks.
    pub start_ticks: u64,
    /// The sum of its samples' durations; samples without one count 0.
    pub duration_ticks: u64,
    /// How many samples take the track's default duration.
    pub default_samples: u64,
    /// How many samples there are.
    pub samples: u64,
}

/// Reads the tracks of an init segment (`ftyp`, `moov`).
pub fn init(bytes: &[u8]) -> Result<Vec<InitTrack>, ScanError> {
    let body = boxes(bytes)?.into_iter().find(|(kind, _)| kind == b"moov");
    let (_, whole) = body.ok_or(ScanError::Missing("moov"))?;
    let moov = Moov::decode(&mut &*whole).map_err(|_| ScanError::Damaged("moov"))?;
    if moov.trak.len() > TRACKS_MAX {
        return Err(ScanError::TooMany { what: "tracks", max: TRACKS_MAX as u64 });
    }
    let trex = moov.mvex.map(|mvex| mvex.trex).unwrap_or_default();
    let default_ticks = |id| trex.iter().find(|t| t.track_id == id);
    let track = |trak: &Trak| {
        let default = default_ticks(trak.tkhd.track_id).map_or(0, |t| t.default_sample_duration);
        init_track(trak, default)
    };
    moov.trak.iter().map(track).collect()
}

fn init_track(trak: &Trak, default_sample_ticks: u32) -> Result<InitTrack, ScanError> {
    let entries = &trak.mdia.minf.stbl.stsd.codecs;
    let entry = entries.first().ok_or(ScanError::Missing("stsd"))?;
    let (codec, width, height) = match entry {
        Codec::Avc1(avc1) => (avc_name(&avc1.avcc), avc1.visual.width, avc1.visual.height),
        Codec::Av01(av01) => {
            let level = av01.av1c.seq_level_idx_0;
            let name = format!("av01.{}.{level:02}M.08", av01.av1c.seq_profile);
            (name, av01.visual.width, av01.visual.height)
        }
        Codec::Mp4a(mp4a) => {
            let config = &mp4a.esds.es_desc.dec_config;
            let profile = config.dec_specific.as_ref().map_or(2, |d| d.profile);
            (format!("mp4a.{:02x}.{profile}", config.object_type_indication), 0, 0)
        }
        Codec::Opus(_) => ("opus".to_owned(), 0, 0),
        _ => return Err(ScanError::Codec),
    };
    let timescale = trak.mdia.mdhd.timescale;
    if timescale == 0 {
        return Err(ScanError::Damaged("mdhd"));
    }
    Ok(InitTrack {
        id: trak.tkhd.track_id,
        timescale,
        is_picture: trak.mdia.hdlr.handler == FourCC::new(b"vide"),
        codec,
        width: width.into(),
        height: height.into(),
        default_sample_ticks,
    })
}

fn avc_name(config: &Avcc) -> String {
    let Avcc { avc_profile_indication, profile_compatibility, avc_level_indication, .. } = config;
    format!(
        "avc1.{avc_profile_indication:02x}{profile_compatibility:02x}{avc_level_indication:02x}"
    )
}

/// Gives an init segment's `ftyp` and `moov` alone.
pub fn without_index(init: &[u8]) -> Result<Vec<u8>, ScanError> {
    let kept = boxes(init)?.into_iter().filter(|(kind, _)| matches!(kind, b"ftyp" | b"moov"));
    Ok(kept.flat_map(|(_, whole)| whole.to_vec()).collect())
}

/// Reads the `moof` that `bytes` begin with.
pub fn fragment(bytes: &[u8]) -> Result<Vec<FragmentTrack>, ScanError> {
    let moof = Moof::decode(&mut &*bytes).map_err(|_| ScanError::Damaged("moof"))?;
    moof.traf.iter().map(fragment_track).collect()
}

fn fragment_track(traf: &Traf) -> Result<FragmentTrack, ScanError> {
    let mut track = FragmentTrack {
        id: traf.tfhd.track_id,
        start_ticks: traf.tfdt.as_ref().map_or(0, |tfdt| tfdt.base_media_decode_time),
        duration_ticks: 0,
        default_samples: 0,
        samples: 0,
    };
    for trun in &traf.trun {
        track.samples += trun.samples.len() as u64;
        if track.samples > SAMPLES_MAX {
            return Err(ScanError::TooMany { what: "samples of a fragment", max: SAMPLES_MAX });
        }
        for sample in &trun.samples {
            match sample.duration.or(traf.tfhd.default_sample_duration) {
                Some(ticks) => track.duration_ticks += u64::from(ticks),
                None => track.default_samples += 1,
            }
        }
    }
    Ok(track)
}

/// The samples of one-track segments in order: of every `moof` and the `mdat` after it.
pub fn samples(bytes: &[u8]) -> Result<Vec<&[u8]>, ScanError> {
    let mut found = Vec::new();
    let mut sizes: Vec<usize> = Vec::new();
    for (kind, whole) in boxes(bytes)? {
        if &kind == b"moof" {
            sizes = sample_sizes(whole)?;
        }
        if &kind == b"mdat" {
            let head = BoxHead::read(whole)?;
            let mut rest = &whole[head.head_bytes as usize..];
            for size in sizes.drain(..) {
                let (sample, after) = rest.split_at_checked(size).ok_or(ScanError::Length)?;
                found.push(sample);
                rest = after;
            }
        }
    }
    Ok(found)
}

/// How long each sample of one-track segments lasts, in the track's ticks; `default_ticks` is
/// what the init segment says.
pub fn sample_ticks(bytes: &[u8], default_ticks: u32) -> Result<Vec<u32>, ScanError> {
    let mut found = Vec::new();
    for (kind, whole) in boxes(bytes)? {
        if &kind != b"moof" {
            continue;
        }
        fragment(whole)?;
        let moof = Moof::decode(&mut &*whole).map_err(|_| ScanError::Damaged("moof"))?;
        let traf = moof.traf.first().ok_or(ScanError::Missing("traf"))?;
        let default = traf.tfhd.default_sample_duration.unwrap_or(default_ticks);
        let samples = traf.trun.iter().flat_map(|trun| trun.samples.iter());
        found.extend(samples.map(|sample| sample.duration.unwrap_or(default)));
    }
    Ok(found)
}

fn sample_sizes(moof: &[u8]) -> Result<Vec<usize>, ScanError> {
    fragment(moof)?;
    let moof = Moof::decode(&mut &*moof).map_err(|_| ScanError::Damaged("moof"))?;
    let traf = moof.traf.first().ok_or(ScanError::Missing("traf"))?;
    let size = |size: Option<u32>| size.or(traf.tfhd.default_sample_size);
    let samples = traf.trun.iter().flat_map(|trun| trun.samples.iter());
    samples.map(|s| size(s.size).map(|s| s as usize).ok_or(ScanError::Damaged("trun"))).collect()
}

/// A box: its four letters, and all its bytes with the head.
pub(crate) type WholeBox<'a> = ([u8; 4], &'a [u8]);

/// The boxes that `bytes` consist of.
pub(crate) fn boxes(mut bytes: &[u8]) -> Result<Vec<WholeBox<'_>>, ScanError> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = BoxHead::read(bytes)?;
        let total = usize::try_from(head.total_bytes).map_err(|_| ScanError::Length)?;
        let (whole, after) = bytes.split_at_checked(total).ok_or(ScanError::Length)?;
        found.push((head.kind, whole));
        bytes = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cmaf::{Coding, Medium, Sample, init_segment, segment};

    fn file() -> Vec<u8> {
        let coding = Coding::Opus { pre_skip: 312 };
        let medium = Medium { timescale: 48_000, sample_ticks: 2880, duration_ticks: 0, coding };
        let mut bytes = init_segment(&medium);
        let sample = Sample { bytes: vec![1; 10], is_sync: true, ticks: 2880 };
        bytes.extend(segment(1, 0, &[sample]));
        bytes
    }

    #[test]
    fn a_box_longer_than_the_bytes_is_refused() {
        let mut bytes = file();
        bytes.pop();
        assert_eq!(samples(&bytes), Err(ScanError::Length));
        assert_eq!(BoxHead::read(&[0, 0, 0, 7, 1, 2, 3, 4]), Err(ScanError::Length));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = samples(&bytes);
            let _ = init(&bytes);
            let _ = fragment(&bytes);
            let _ = BoxHead::read(&bytes);
        }

        #[test]
        fn damage_never_panics(
            at in 0usize..10_000,
            bytes in prop::collection::vec(any::<u8>(), 1..9),
        ) {
            let mut file = file();
            let at = at % (file.len() - bytes.len());
            file[at..at + bytes.len()].copy_from_slice(&bytes);
            let _ = samples(&file);
            let _ = init(&file);
        }
    }
}
