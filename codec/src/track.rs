//! What is known about a finished track: where its segments lie in its file, and how to name it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest piece of a blob, in bytes (DESIGN §4).
pub const PIECE_BYTES_MAX: u32 = 1 << 20;
/// The most segments of one track: 10 h in segments of 4 s are 9,000; twice that for files with
/// dense key frames.
pub const SEGMENTS_MAX: usize = 20_000;
/// The largest encoded [`TrackInfo`], in bytes: 20,000 segments of at most 10 bytes, twice over.
pub const ENCODED_BYTES_MAX: usize = 512 << 10;
/// The largest init segment, in bytes: one piece; ours are below 1 KiB, a remuxed one below 4 KiB.
pub const INIT_BYTES_MAX: u32 = PIECE_BYTES_MAX;
/// The longest list of codecs: two RFC 6381 names are about 30 bytes.
const CODECS_BYTES_MAX: usize = 64;
/// The highest picture rate a track may claim, per second.
const FRAME_RATE_MAX: f64 = 1000.0;
/// The longest language tag that is kept (RFC 5646 §4.4.1).
const LANGUAGE_BYTES_MAX: usize = 35;
/// The first byte of the encoding, raised when its layout changes. Layout 1 has no language.
const LAYOUT: u8 = 2;

/// Which medium of a lesson a track is (DESIGN §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackKind {
    /// Opus, mono.
    Audio,
    /// AV1 stills at the source's resolution, one a segment, each shown until the next.
    Slides,
    /// AV1, at most 640×360, 12.5 frames a second.
    Video360,
    /// AV1, at most 854×480, 25 frames a second.
    Video480,
    /// What came in, as H.264 and AAC together.
    Source,
    /// AV1 stills of at most 160×90, one a segment, at even distances: what the seek bar shows.
    Thumbs,
    /// A WebVTT file, numbered from 1 to [`CAPTIONS_MAX`]; its language is in the description.
    Captions(u8),
}

/// The most caption tracks of one lesson: Mandarin, English, and two languages of a region.
pub const CAPTIONS_MAX: u8 = 4;

impl TrackKind {
    /// Every kind, in the order in which tracks are fetched: what a lesson cannot be taught
    /// without comes first.
    pub const ALL: [Self; 10] = [
        Self::Audio,
        Self::Slides,
        Self::Captions(1),
        Self::Captions(2),
        Self::Captions(3),
        Self::Captions(4),
        Self::Thumbs,
        Self::Video360,
        Self::Video480,
        Self::Source,
    ];

    /// Its name in URLs, documents and on screens' debug lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Slides => "slides",
            Self::Video360 => "video-360",
            Self::Video480 => "video-480",
            Self::Source => "source",
            Self::Thumbs => "thumbs",
            Self::Captions(n) => ["captions-1", "captions-2", "captions-3", "captions-4"]
                [usize::from(n.clamp(1, CAPTIONS_MAX)) - 1],
        }
    }

    /// Its number in an encoded description; never changes.
    fn code(self) -> u8 {
        match self {
            Self::Audio => 0,
            Self::Video360 => 1,
            Self::Source => 2,
            Self::Slides => 3,
            Self::Video480 => 4,
            Self::Thumbs => 5,
            Self::Captions(n) => 15 + n,
        }
    }
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name is none of a track.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no track; the tracks are audio, slides, captions-1 to captions-4, thumbs, \
     video-360, video-480, source"
)]
pub struct UnknownTrack(String);

impl FromStr for TrackKind {
    type Err = UnknownTrack;

    fn from_str(name: &str) -> Result<Self, UnknownTrack> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownTrack(name.chars().take(40).collect()))
    }
}

impl Serialize for TrackKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TrackKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// One segment of a track: at least one `moof` and its `mdat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Its length in the track's timescale; never 0.
    pub duration_ticks: u32,
    /// Its length in the file; never 0.
    pub bytes: u32,
}

/// Everything a playlist needs of a track, and where its parts lie in the file.
///
/// The file is the init segment and then the segments in order, without gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackInfo {
    /// Which medium it is.
    pub kind: TrackKind,
    /// The codecs as RFC 6381 names, separated by commas, such as `avc1.64001f,mp4a.40.2`.
    pub codecs: String,
    /// Width in pixels, if there is a picture.
    pub width: Option<u32>,
    /// Height in pixels, if there is a picture.
    pub height: Option<u32>,
    /// Frames a second, if there is a picture.
    pub frame_rate: Option<f64>,
    /// The language as a BCP 47 tag such as `zh-Hans`, where the file says one.
    pub language: Option<String>,
    /// Ticks a second of the segments' durations.
    pub timescale: u32,
    /// Bits a second over the whole track.
    pub bandwidth_avg_bits_per_s: u32,
    /// Bits a second of the densest segment (RFC 8216 §4.3.4.2).
    pub bandwidth_peak_bits_per_s: u32,
    /// The length of the init segment.
    pub init_bytes: u32,
    /// The segments in order.
    pub segments: Vec<SegmentInfo>,
}

/// Bytes that are no [`TrackInfo`], or one that breaks a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrackInfoError {
    /// Longer than an encoding may be.
    #[error("a track description has at most {ENCODED_BYTES_MAX} bytes")]
    TooLong,
    /// Another layout, or not one at all.
    #[error("a track description of an unknown layout; layout {LAYOUT} is known")]
    Layout,
    /// It ends too early, or goes on after its end.
    #[error("a track description with missing or left-over bytes")]
    Length,
    /// A value that no track has.
    #[error("a track description with an illegal {0}")]
    Value(&'static str),
}

impl TrackInfo {
    /// The length of the track's file in bytes.
    pub fn total_bytes(&self) -> u64 {
        let media: u64 = self.segments.iter().map(|s| u64::from(s.bytes)).sum();
        u64::from(self.init_bytes) + media
    }

    /// The sum of the segments' durations.
    pub fn duration_ms(&self) -> u64 {
        let ticks: u64 = self.segments.iter().map(|s| u64::from(s.duration_ticks)).sum();
        ticks * 1000 / u64::from(self.timescale.max(1))
    }

    /// The init segment's range of the file, and each segment's.
    pub fn ranges(&self) -> (Range<u64>, impl Iterator<Item = (SegmentInfo, Range<u64>)> + '_) {
        let init = 0..u64::from(self.init_bytes);
        let mut at = init.end;
        let segments = self.segments.iter().map(move |segment| {
            let start = at;
            at += u64::from(segment.bytes);
            (*segment, start..at)
        });
        (init, segments)
    }

    /// The lengths of the blob's pieces in file order: the init segment, then each segment in
    /// pieces of at most 1 MiB. No piece spans two segments.
    pub fn pieces(&self) -> Vec<u32> {
        let mut pieces = vec![self.init_bytes];
        for segment in &self.segments {
            let mut left = segment.bytes;
            while left > 0 {
                let piece = left.min(PIECE_BYTES_MAX);
                pieces.push(piece);
                left -= piece;
            }
        }
        pieces
    }

    /// Fills in both bandwidths from the segments.
    pub(crate) fn measure_bandwidth(&mut self) {
        let rate = |bytes: u64, ticks: u64| {
            let bits = bytes * 8 * u64::from(self.timescale) / ticks.max(1);
            u32::try_from(bits).unwrap_or(u32::MAX).max(1)
        };
        let ticks: u64 = self.segments.iter().map(|s| u64::from(s.duration_ticks)).sum();
        let longest = self.segments.iter().map(|s| s.duration_ticks).max().unwrap_or(0);
        let media_bytes = self.total_bytes() - u64::from(self.init_bytes);
        self.bandwidth_avg_bits_per_s = rate(media_bytes, ticks);
        // A peak is measured over at least half a target duration: a short rest at the end of a
        // track would otherwise set it.
        let peak = self.segments.iter().filter(|s| s.duration_ticks >= longest / 2);
        let peak = peak.map(|s| rate(u64::from(s.bytes), u64::from(s.duration_ticks))).max();
        self.bandwidth_peak_bits_per_s = peak.unwrap_or(1).max(self.bandwidth_avg_bits_per_s);
    }

    /// Checks every bound that [`TrackInfo::decode`] promises.
    pub fn validate(&self) -> Result<(), TrackInfoError> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b',' | b'-' | b'_');
        let codecs = self.codecs.as_bytes();
        let has_picture = self.width.is_some();
        let checks = [
            ("codecs", (1..=CODECS_BYTES_MAX).contains(&codecs.len())),
            ("codecs", codecs.iter().all(|b| is_name(*b))),
            ("size", has_picture == self.height.is_some()),
            ("size", self.width != Some(0) && self.height != Some(0)),
            ("language", self.language.as_deref().is_none_or(is_language)),
            ("frame rate", has_picture || self.frame_rate.is_none()),
            ("frame rate", self.frame_rate.is_none_or(|r| r > 0.0 && r <= FRAME_RATE_MAX)),
            ("timescale", self.timescale > 0),
            ("bandwidth", self.bandwidth_avg_bits_per_s > 0),
            ("bandwidth", self.bandwidth_peak_bits_per_s >= self.bandwidth_avg_bits_per_s),
            ("init length", (1..=INIT_BYTES_MAX).contains(&self.init_bytes)),
            ("number of segments", (1..=SEGMENTS_MAX).contains(&self.segments.len())),
            ("segment", self.segments.iter().all(|s| s.duration_ticks > 0 && s.bytes > 0)),
        ];
        match checks.iter().find(|(_, is_right)| !is_right) {
            Some((what, _)) => Err(TrackInfoError::Value(what)),
            None => Ok(()),
        }
    }

    /// Encodes it for a blob's manifest: one layout byte, then LEB128 numbers.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT, self.kind.code()];
        put(&mut out, self.codecs.len() as u64);
        out.extend_from_slice(self.codecs.as_bytes());
        // 0 stands for "no picture" and "no rate": neither is a legal value.
        put(&mut out, self.width.unwrap_or(0).into());
        put(&mut out, self.height.unwrap_or(0).into());
        put(&mut out, self.frame_rate.unwrap_or(0.0).to_bits().swap_bytes());
        put(&mut out, self.timescale.into());
        put(&mut out, self.bandwidth_avg_bits_per_s.into());
        put(&mut out, self.bandwidth_peak_bits_per_s.into());
        put(&mut out, self.init_bytes.into());
        put(&mut out, self.segments.len() as u64);
        for segment in &self.segments {
            put(&mut out, segment.duration_ticks.into());
            put(&mut out, segment.bytes.into());
        }
        // 0 bytes stand for "no language".
        let language = self.language.as_deref().unwrap_or_default();
        put(&mut out, language.len() as u64);
        out.extend_from_slice(language.as_bytes());
        out
    }

    /// Decodes what [`TrackInfo::encode`] wrote; any bytes are answered, none trusted.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrackInfoError> {
        if bytes.len() > ENCODED_BYTES_MAX {
            return Err(TrackInfoError::TooLong);
        }
        let mut rest = bytes;
        let layout = take(&mut rest, 1)?[0];
        if !(1..=LAYOUT).contains(&layout) {
            return Err(TrackInfoError::Layout);
        }
        let mut info = Self::decode_fields(&mut rest)?;
        if layout > 1 {
            let language = get_text(&mut rest, "language")?;
            info.language = (!language.is_empty()).then_some(language);
        }
        if !rest.is_empty() {
            return Err(TrackInfoError::Length);
        }
        info.validate()?;
        Ok(info)
    }

    fn decode_fields(rest: &mut &[u8]) -> Result<Self, TrackInfoError> {
        let code = take(rest, 1)?[0];
        let kind = TrackKind::ALL.into_iter().find(|kind| kind.code() == code);
        let kind = kind.ok_or(TrackInfoError::Value("kind"))?;
        let codecs = get_text(rest, "codecs")?;
        let some = |value: u32| (value != 0).then_some(value);
        let width = some(get_u32(rest)?);
        let height = some(get_u32(rest)?);
        let frame_rate = f64::from_bits(get(rest)?.swap_bytes());
        let frame_rate = (frame_rate.to_bits() != 0).then_some(frame_rate);
        let timescale = get_u32(rest)?;
        let bandwidth_avg_bits_per_s = get_u32(rest)?;
        let bandwidth_peak_bits_per_s = get_u32(rest)?;
        let init_bytes = get_u32(rest)?;
        let count = get_u32(rest)? as usize;
        if count > SEGMENTS_MAX {
            return Err(TrackInfoError::Value("number of segments"));
        }
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            let duration_ticks = get_u32(rest)?;
            segments.push(SegmentInfo { duration_ticks, bytes: get_u32(rest)? });
        }
        Ok(Self {
            kind,
            codecs,
            width,
            height,
            frame_rate,
            language: None,
            timescale,
            bandwidth_avg_bits_per_s,
            bandwidth_peak_bits_per_s,
            init_bytes,
            segments,
        })
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], TrackInfoError> {
    let (taken, after) = rest.split_at_checked(count).ok_or(TrackInfoError::Length)?;
    *rest = after;
    Ok(taken)
}

fn get(rest: &mut &[u8]) -> Result<u64, TrackInfoError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(TrackInfoError::Value("number"))
}

fn get_text(rest: &mut &[u8], what: &'static str) -> Result<String, TrackInfoError> {
    let length = get_u32(rest)? as usize;
    let text = std::str::from_utf8(take(rest, length)?);
    text.map(str::to_owned).map_err(|_| TrackInfoError::Value(what))
}

fn is_language(tag: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=LANGUAGE_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(is_part)
}

fn get_u32(rest: &mut &[u8]) -> Result<u32, TrackInfoError> {
    u32::try_from(get(rest)?).map_err(|_| TrackInfoError::Value("number"))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn track(kind: TrackKind, segments: &[(u32, u32)]) -> TrackInfo {
        let has_picture = !matches!(kind, TrackKind::Audio | TrackKind::Captions(_));
        let segments = segments
            .iter()
            .map(|&(duration_ticks, bytes)| SegmentInfo { duration_ticks, bytes })
            .collect();
        let codecs = match kind {
            TrackKind::Audio => "opus",
            TrackKind::Captions(_) => "wvtt",
            TrackKind::Source => "avc1.64001f,mp4a.40.2",
            _ => "av01.0.01M.08",
        };
        let mut info = TrackInfo {
            kind,
            codecs: codecs.into(),
            width: has_picture.then_some(640),
            height: has_picture.then_some(360),
            frame_rate: has_picture.then_some(12.5),
            language: None,
            timescale: 1000,
            bandwidth_avg_bits_per_s: 0,
            bandwidth_peak_bits_per_s: 0,
            init_bytes: 700,
            segments,
        };
        info.measure_bandwidth();
        info
    }

    #[test]
    fn a_long_segment_becomes_several_pieces_and_no_piece_spans_two() {
        let info = track(TrackKind::Source, &[(4000, 10), (4000, (2 << 20) + 5), (1000, 1 << 20)]);
        assert_eq!(info.pieces(), [700, 10, 1 << 20, 1 << 20, 5, 1 << 20]);
        let sum: u64 = info.pieces().iter().map(|p| u64::from(*p)).sum();
        assert_eq!(sum, info.total_bytes());
        assert_eq!(info.duration_ms(), 9000);
    }

    #[test]
    fn a_short_last_segment_does_not_set_the_peak() {
        let info = track(TrackKind::Video360, &[(4000, 50_000), (4000, 100_000), (80, 30_000)]);
        assert_eq!(info.bandwidth_peak_bits_per_s, 200_000);
        assert_eq!(info.bandwidth_avg_bits_per_s, 180_000 * 8 * 1000 / 8080);
    }

    #[test]
    fn names_read_back() {
        for kind in TrackKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<TrackKind>(&json).unwrap(), kind);
        }
        assert!("video-720".parse::<TrackKind>().is_err());
        assert!("captions-5".parse::<TrackKind>().is_err());
    }

    #[test]
    fn a_description_that_would_break_a_playlist_is_refused() {
        let good = track(TrackKind::Audio, &[(4000, 10)]);
        let spoil = |spoil: fn(&mut TrackInfo)| {
            let mut info = good.clone();
            spoil(&mut info);
            TrackInfo::decode(&info.encode()).unwrap_err()
        };
        let value = TrackInfoError::Value;
        assert_eq!(spoil(|i| i.codecs = "opus\"\n#EXT".into()), value("codecs"));
        assert_eq!(spoil(|i| i.codecs.clear()), value("codecs"));
        assert_eq!(spoil(|i| i.segments[0].duration_ticks = 0), value("segment"));
        assert_eq!(spoil(|i| i.segments[0].bytes = 0), value("segment"));
        assert_eq!(spoil(|i| i.segments.clear()), value("number of segments"));
        assert_eq!(spoil(|i| i.timescale = 0), value("timescale"));
        assert_eq!(spoil(|i| i.frame_rate = Some(f64::NAN)), value("frame rate"));
        assert_eq!(spoil(|i| i.init_bytes = 2 << 20), value("init length"));
        assert_eq!(spoil(|i| i.language = Some("zh\"".into())), value("language"));
        assert_eq!(TrackInfo::decode(&[9]), Err(TrackInfoError::Layout));
        assert_eq!(TrackInfo::decode(&[LAYOUT]), Err(TrackInfoError::Length));
        let mut long = good.encode();
        long.push(0);
        assert_eq!(TrackInfo::decode(&long), Err(TrackInfoError::Length));
    }

    #[test]
    fn a_description_of_the_first_layout_is_read() {
        let info = track(TrackKind::Video360, &[(4000, 10), (4000, 12)]);
        let mut first = info.encode();
        first[0] = 1;
        assert_eq!(first.pop(), Some(0), "the length of no language");
        assert_eq!(TrackInfo::decode(&first), Ok(info.clone()));
        let told = TrackInfo { language: Some("zh-Hans".into()), ..info };
        assert_eq!(TrackInfo::decode(&told.encode()), Ok(told));
    }

    #[test]
    fn ten_hours_fit_into_the_bound() {
        let info = track(TrackKind::Source, &vec![(u32::MAX, u32::MAX / 2); SEGMENTS_MAX]);
        assert!(info.encode().len() <= ENCODED_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(
            segments in prop::collection::vec((1u32.., 1u32..1 << 30), 1..50),
            kind in prop::sample::select(TrackKind::ALL.to_vec()),
        ) {
            let info = track(kind, &segments);
            prop_assert_eq!(TrackInfo::decode(&info.encode()), Ok(info));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = TrackInfo::decode(&bytes);
        }

        #[test]
        fn a_changed_byte_is_refused_or_stays_legal(at in 0usize..60, byte: u8) {
            let mut bytes = track(TrackKind::Source, &[(4000, 9), (4000, 7)]).encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(info) = TrackInfo::decode(&bytes) {
                prop_assert!(info.validate().is_ok());
                info.pieces();
            }
        }
    }
}
