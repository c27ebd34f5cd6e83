//! CMAF files (ISO/IEC 23000-19) of one track: an init segment, then one fragment a segment.
//!
//! Init segment and segments in one file are a fragmented MP4 that plays by itself. The
//! init segment ends with an index of the segments, for players that open the file itself; the
//! playlist and the blob's manifest say the same to ours.

use mp4_atom::{
    Audio, Av01, Av1c, Avc1, Avcc, Dinf, Dops, Dref, Edts, Elst, ElstEntry, Encode, Ftyp, Hdlr,
    Mdhd, Mdia, Mehd, Mfhd, Minf, Moof, Moov, Mp4a, Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tfdt,
    Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, Url, Visual, Vmhd, esds,
};

pub(crate) mod index;
pub(crate) mod length;
pub mod scan;

/// The id of a file's only track.
const TRACK_ID: u32 = 1;
/// Milliseconds: the movie header only carries lengths for display.
const MOVIE_TIMESCALE: u32 = 1000;
/// `sample_depends_on = 2`: decodes by itself (ISO/IEC 14496-12 §8.8.3.1).
const SYNC_FLAGS: u32 = 0x0200_0000;
/// `sample_depends_on = 1` and `sample_is_non_sync_sample`.
const DEPENDENT_FLAGS: u32 = 0x0101_0000;

/// One coded picture or packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_sync: bool,
    /// How long it is shown or heard, in the track's timescale.
    pub(crate) ticks: u32,
}

/// What an init segment says of its track.
#[derive(Debug, Clone)]
pub(crate) struct Medium {
    pub(crate) timescale: u32,
    pub(crate) sample_ticks: u32,
    pub(crate) duration_ticks: u64,
    pub(crate) coding: Coding,
}

/// How the samples are coded.
#[derive(Debug, Clone)]
pub(crate) enum Coding {
    Av1 {
        width: u16,
        height: u16,
        config: Av1c,
    },
    Opus {
        pre_skip: u16,
    },
    Avc {
        width: u16,
        height: u16,
        config: Avcc,
    },
    /// AAC-LC of one channel at 48 kHz.
    Aac,
}

impl Coding {
    /// Width and height of the picture, if it is one.
    fn size(&self) -> Option<(u16, u16)> {
        match self {
            Self::Av1 { width, height, .. } | Self::Avc { width, height, .. } => {
                Some((*width, *height))
            }
            Self::Opus { .. } | Self::Aac => None,
        }
    }
}

/// Writes the init segment: `ftyp` and `moov`.
pub(crate) fn init_segment(medium: &Medium) -> Vec<u8> {
    let codec_brand = match medium.coding {
        Coding::Av1 { .. } => b"av01",
        Coding::Opus { .. } => b"opus",
        Coding::Avc { .. } | Coding::Aac => b"mp41",
    };
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"cmfc".into(), codec_brand.into()],
    };
    let movie_duration =
        medium.duration_ticks * u64::from(MOVIE_TIMESCALE) / u64::from(medium.timescale);
    let moov = Moov {
        mvhd: Mvhd {
            timescale: MOVIE_TIMESCALE,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK_ID + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: Some(Mehd { fragment_duration: movie_duration }),
            trex: vec![Trex {
                track_id: TRACK_ID,
                default_sample_description_index: 1,
                default_sample_duration: medium.sample_ticks,
                default_sample_size: 0,
                default_sample_flags: 0,
            }],
        }),
        trak: vec![trak(medium)],
        ..Moov::default()
    };
    let mut out = Vec::new();
    ftyp.encode(&mut out).expect("a file type box always encodes");
    moov.encode(&mut out).expect("a movie box of our own fields always encodes");
    out
}

/// Writes one segment: `moof` and `mdat`.
pub(crate) fn segment(sequence_number: u32, start_ticks: u64, samples: &[Sample]) -> Vec<u8> {
    let mut moof = moof(sequence_number, start_ticks, samples);
    let mut out = Vec::new();
    moof.encode(&mut out).expect("a fragment of our own fields always encodes");
    // The offset of the samples counts from the start of `moof`; its own size does not change
    // with it.
    let offset = i32::try_from(out.len() + 8).expect("a fragment header is a few kilobytes");
    moof.traf[0].trun[0].data_offset = Some(offset);
    out.clear();
    moof.encode(&mut out).expect("a fragment of our own fields always encodes");
    let payload_bytes: usize = samples.iter().map(|s| s.bytes.len()).sum();
    let mdat_bytes = u32::try_from(payload_bytes + 8).expect("a segment is far below 4 GiB");
    out.extend_from_slice(&mdat_bytes.to_be_bytes());
    out.extend_from_slice(b"mdat");
    for sample in samples {
        out.extend_from_slice(&sample.bytes);
    }
    out
}

fn moof(sequence_number: u32, start_ticks: u64, samples: &[Sample]) -> Moof {
    let sample_ticks = samples.first().map_or(0, |sample| sample.ticks);
    let are_all_equal = samples.iter().all(|sample| sample.ticks == sample_ticks);
    let are_all_sync = samples.iter().all(|sample| sample.is_sync);
    let entry = |sample: &Sample| TrunEntry {
        duration: (!are_all_equal).then_some(sample.ticks),
        size: Some(sample.bytes.len() as u32),
        flags: (!are_all_sync).then_some(if sample.is_sync { SYNC_FLAGS } else { DEPENDENT_FLAGS }),
        ..TrunEntry::default()
    };
    Moof {
        mfhd: Mfhd { sequence_number },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK_ID,
                default_sample_duration: Some(sample_ticks),
                default_sample_flags: Some(SYNC_FLAGS),
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: start_ticks }),
            trun: vec![Trun {
                data_offset: Some(0),
                samples: samples.iter().map(entry).collect::<Vec<_>>().into(),
            }],
            ..Traf::default()
        }],
    }
}

fn trak(medium: &Medium) -> Trak {
    let size = medium.coding.size();
    let is_sound = size.is_none();
    let (width, height) = size.unwrap_or((0, 0));
    Trak {
        tkhd: Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            volume: u8::from(is_sound).into(),
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        },
        edts: priming(medium),
        mdia: Mdia {
            mdhd: Mdhd { timescale: medium.timescale, language: "und".into(), ..Mdhd::default() },
            hdlr: Hdlr {
                handler: if is_sound { b"soun".into() } else { b"vide".into() },
                name: "yingxue".into(),
            },
            minf: Minf {
                vmhd: (!is_sound).then(Vmhd::default),
                smhd: is_sound.then(Smhd::default),
                dinf: Dinf { dref: Dref { entries: vec![Url { location: String::new() }.into()] } },
                stbl: Stbl {
                    stsd: Stsd { codecs: vec![sample_entry(medium)] },
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

/// Starts the presentation after Opus' pre-skip (Opus in ISOBMFF §4.3.4: an edit list), so that
/// sound and picture stay together to the sample.
fn priming(medium: &Medium) -> Option<Edts> {
    let Coding::Opus { pre_skip } = medium.coding else { return None };
    let entry = ElstEntry {
        // 0: to the end of a fragmented movie (ISO/IEC 14496-12 §8.6.6.1).
        segment_duration: 0,
        media_time: Some(pre_skip.into()),
        media_rate: 1.into(),
    };
    Some(Edts { elst: Some(Elst { entries: vec![entry] }) })
}

fn sample_entry(medium: &Medium) -> mp4_atom::Codec {
    let (width, height) = medium.coding.size().unwrap_or((0, 0));
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let audio = Audio {
        data_reference_index: 1,
        channel_count: 1,
        sample_size: 16,
        sample_rate: (medium.timescale as u16).into(),
    };
    match &medium.coding {
        Coding::Av1 { config, .. } => {
            Av01 { visual, av1c: config.clone(), ..Av01::default() }.into()
        }
        Coding::Avc { config, .. } => {
            Avc1 { visual, avcc: config.clone(), ..Avc1::default() }.into()
        }
        Coding::Aac => Mp4a { audio, esds: aac_config(), btrt: None, taic: None }.into(),
        Coding::Opus { pre_skip } => Opus {
            audio,
            dops: Dops {
                output_channel_count: 1,
                pre_skip: *pre_skip,
                input_sample_rate: medium.timescale,
                output_gain: 0,
                channel_mapping: None,
            },
            btrt: None,
        }
        .into(),
    }
}

/// AAC-LC, 48 kHz, one channel (ISO/IEC 14496-3 §1.6.2.1).
fn aac_config() -> esds::Esds {
    let dec_specific =
        esds::DecoderSpecific { profile: 2, freq_index: 3, chan_conf: 1, raw: vec![0x11, 0x88] };
    let dec_config = esds::DecoderConfig {
        // MPEG-4 audio in an audio stream.
        object_type_indication: 0x40,
        stream_type: 5,
        dec_specific: Some(dec_specific),
        ..esds::DecoderConfig::default()
    };
    let es_desc = esds::EsDescriptor { es_id: 1, dec_config, ..esds::EsDescriptor::default() };
    esds::Esds { es_desc }
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Any, Decode};

    use super::*;

    #[test]
    fn a_segment_reads_back_with_its_samples() {
        let samples = [
            Sample { bytes: vec![1; 10], is_sync: true, ticks: 1024 },
            Sample { bytes: vec![2; 20], is_sync: false, ticks: 1024 },
        ];
        let bytes = segment(7, 51_200, &samples);
        let read: Vec<Vec<u8>> =
            scan::samples(&bytes).unwrap().into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(read, [vec![1; 10], vec![2; 20]]);
        let moof = Moof::decode(&mut &bytes[..]).unwrap();
        let flags: Vec<_> = moof.traf[0].trun[0].samples.iter().map(|s| s.flags).collect();
        assert_eq!(flags, [Some(SYNC_FLAGS), Some(DEPENDENT_FLAGS)]);
        let fragment = scan::fragment(&bytes).unwrap();
        assert_eq!((fragment[0].start_ticks, fragment[0].duration_ticks), (51_200, 2048));
    }

    #[test]
    fn an_init_segment_names_its_codec() {
        let medium = Medium {
            timescale: 48_000,
            sample_ticks: 2880,
            duration_ticks: 96_000,
            coding: Coding::Opus { pre_skip: 312 },
        };
        let bytes = init_segment(&medium);
        let init = scan::init(&bytes).unwrap();
        assert_eq!(init[0].codec, "opus");
        assert_eq!((init[0].timescale, init[0].is_picture), (48_000, false));
        assert!(matches!(Any::decode(&mut &bytes[..]), Ok(Any::Ftyp(_))));
    }
}
