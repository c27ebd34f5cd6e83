//! HLS playlists (RFC 8216 and its second edition) made from track descriptions.
//!
//! A segment is a byte range of its track's one file. What this hub does not hold is marked by
//! `EXT-X-GAP`, so that a player goes past it instead of failing.

use std::fmt::Write;
use std::ops::Range;

use crate::track::{TrackInfo, TrackKind};

/// fMP4 segments in ordinary playlists need version 7 (RFC 8216 §7).
const HEADER: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n";

/// A track offered by a master playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct MasterTrack<'a> {
    /// The track.
    pub info: &'a TrackInfo,
    /// Where its media playlist is.
    pub uri: String,
}

/// One segment that is a file of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// How long it lasts.
    pub seconds: f64,
    /// Where it is.
    pub uri: String,
    /// Whether it can be served now.
    pub is_here: bool,
}

/// Writes the master playlist of one lesson; none if nothing of it plays.
///
/// `source` carries its sound inside and is a variant of its own; `video-360` and `video-480`
/// take their sound from the group `audio`; a lesson of sound alone has the sound as its variant.
/// Slides and thumbnails are no film and are left out. Captions are offered to players of their
/// own.
///
/// Media source extensions cannot go from separate sound to sound inside the picture's file
/// (hls.js 1.7 ends with `HlsJsTrackRemovedError`). A page that plays by hls.js therefore asks
/// for one tier at a time: give only that tier's tracks, and load again at the same time to
/// change it. Players of their own (Safari) take the whole.
pub fn master(tracks: &[MasterTrack]) -> Option<String> {
    let find = |kind| tracks.iter().find(|track| track.info.kind == kind);
    let audio = find(TrackKind::Audio);
    let source = find(TrackKind::Source);
    let rungs: Vec<_> =
        [TrackKind::Video360, TrackKind::Video480].into_iter().filter_map(find).collect();
    if audio.is_none() && source.is_none() && rungs.is_empty() {
        return None;
    }
    let mut out = String::from(HEADER);
    let has_group = audio.is_some() && !rungs.is_empty();
    if let Some(audio) = audio.filter(|_| has_group) {
        out += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,\
                AUTOSELECT=YES,CHANNELS=\"1\"";
        let _ = writeln!(out, ",URI=\"{}\"", quotable(&audio.uri));
        // A rendition without a URI says that the sound is inside the variant (RFC 8216
        // §4.3.4.2.1); players that have seen one group want one for every variant.
        if source.is_some_and(has_sound) {
            out += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"source\",NAME=\"audio\",DEFAULT=YES,\
                    AUTOSELECT=YES\n";
        }
    }
    let has_captions = subtitles(&mut out, tracks);
    for &rung in &rungs {
        variant(&mut out, rung, audio, audio.map(|_| "audio"), has_captions);
    }
    if let Some(source) = source {
        let group = (has_group && has_sound(source)).then_some("source");
        variant(&mut out, source, None, group, has_captions);
    }
    if let Some(audio) = audio.filter(|_| rungs.is_empty() && source.is_none()) {
        variant(&mut out, audio, None, None, has_captions);
    }
    Some(out)
}

/// Offers the captions; says whether there are any.
fn subtitles(out: &mut String, tracks: &[MasterTrack]) -> bool {
    let mut has_any = false;
    for track in tracks.iter().filter(|t| matches!(t.info.kind, TrackKind::Captions(_))) {
        has_any = true;
        let language = track.info.language.as_deref();
        let name = language.unwrap_or(track.info.kind.as_str());
        let _ = write!(out, "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{name}\"");
        if let Some(language) = language {
            let _ = write!(out, ",LANGUAGE=\"{language}\"");
        }
        let _ = writeln!(out, ",DEFAULT=NO,AUTOSELECT=YES,URI=\"{}\"", quotable(&track.uri));
    }
    has_any
}

/// Writes the media playlist of one track whose file is at `blob_uri`; `is_held` says whether a
/// byte range of that file can be served now.
pub fn media(info: &TrackInfo, blob_uri: &str, is_held: impl Fn(Range<u64>) -> bool) -> String {
    let uri = quotable(blob_uri);
    let seconds = |ticks: u32| f64::from(ticks) / f64::from(info.timescale.max(1));
    let mut out = begin(info.segments.iter().map(|s| seconds(s.duration_ticks)));
    let (init, segments) = info.ranges();
    let _ = writeln!(out, "#EXT-X-MAP:URI=\"{uri}\",BYTERANGE=\"{}@0\"", init.end);
    for (segment, range) in segments {
        let (bytes, start) = (segment.bytes, range.start);
        if !is_held(range) {
            out += "#EXT-X-GAP\n";
        }
        let _ = writeln!(out, "#EXTINF:{:.5},", seconds(segment.duration_ticks));
        let _ = writeln!(out, "#EXT-X-BYTERANGE:{bytes}@{start}\n{uri}");
    }
    out += "#EXT-X-ENDLIST\n";
    out
}

/// Writes a media playlist whose segments are files of their own.
pub fn separate(init_uri: &str, segments: impl Iterator<Item = Segment> + Clone) -> String {
    let mut out = begin(segments.clone().map(|segment| segment.seconds));
    let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", quotable(init_uri));
    for segment in segments {
        if !segment.is_here {
            out += "#EXT-X-GAP\n";
        }
        let _ = writeln!(out, "#EXTINF:{:.5},\n{}", segment.seconds, quotable(&segment.uri));
    }
    out += "#EXT-X-ENDLIST\n";
    out
}

/// Writes the playlist of captions whose file is one segment (RFC 8216 §3.5).
pub fn captions(info: &TrackInfo, uri: &str, is_here: bool) -> String {
    let seconds = info.duration_ms() as f64 / 1000.0;
    let mut out = begin([seconds].into_iter());
    let gap = if is_here { "" } else { "#EXT-X-GAP\n" };
    let _ = writeln!(out, "{gap}#EXTINF:{seconds:.5},\n{}\n#EXT-X-ENDLIST", quotable(uri));
    out
}

fn begin(seconds: impl Iterator<Item = f64>) -> String {
    // Every EXTINF, rounded to the nearest second, must not exceed it (RFC 8216 §4.3.3.1).
    let target = seconds.map(|seconds| seconds.round() as u64).max();
    let mut out = String::from(HEADER);
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{}", target.unwrap_or(1).max(1));
    out += "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n";
    out
}

fn has_sound(track: &MasterTrack) -> bool {
    track.info.codecs.contains("mp4a")
}

fn variant(
    out: &mut String,
    track: &MasterTrack,
    sound: Option<&MasterTrack>,
    group: Option<&str>,
    has_captions: bool,
) {
    let info = track.info;
    let with = |of: fn(&TrackInfo) -> u32| {
        u64::from(of(info)) + sound.map_or(0, |sound| u64::from(of(sound.info)))
    };
    let peak = with(|info| info.bandwidth_peak_bits_per_s);
    let average = with(|info| info.bandwidth_avg_bits_per_s);
    let _ = write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}");
    let _ = write!(out, ",CODECS=\"{}", info.codecs);
    if let Some(sound) = sound {
        let _ = write!(out, ",{}", sound.info.codecs);
    }
    out.push('"');
    if let (Some(width), Some(height)) = (info.width, info.height) {
        let _ = write!(out, ",RESOLUTION={width}x{height}");
    }
    if let Some(rate) = info.frame_rate {
        let _ = write!(out, ",FRAME-RATE={rate:.3}");
    }
    if let Some(group) = group {
        let _ = write!(out, ",AUDIO=\"{group}\"");
    }
    if has_captions {
        out.push_str(",SUBTITLES=\"captions\"");
    }
    let _ = writeln!(out, "\n{}", quotable(&track.uri));
}

/// A URI that cannot end its line or its quotes.
fn quotable(uri: &str) -> String {
    let mut safe = String::with_capacity(uri.len());
    for c in uri.chars() {
        match c {
            '"' | ' ' | '\0'..='\x1f' | '\x7f' => {
                let _ = write!(safe, "%{:02X}", c as u32);
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::tests::track;

    #[test]
    fn gaps_ranges_and_the_target_duration_are_right() {
        let info = track(TrackKind::Audio, &[(4020, 100), (3960, 90), (4000, 110), (500, 20)]);
        let text = media(&info, "/media/blob/ab", |range| range != (800..890));
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
             #EXT-X-MAP:URI=\"/media/blob/ab\",BYTERANGE=\"700@0\"\n\
             #EXTINF:4.02000,\n#EXT-X-BYTERANGE:100@700\n/media/blob/ab\n\
             #EXT-X-GAP\n#EXTINF:3.96000,\n#EXT-X-BYTERANGE:90@800\n/media/blob/ab\n\
             #EXTINF:4.00000,\n#EXT-X-BYTERANGE:110@890\n/media/blob/ab\n\
             #EXTINF:0.50000,\n#EXT-X-BYTERANGE:20@1000\n/media/blob/ab\n#EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn a_whole_lesson_offers_both_variants_and_one_sound() {
        let audio = track(TrackKind::Audio, &[(4000, 12_000)]);
        let video = track(TrackKind::Video360, &[(4000, 50_000)]);
        let source = track(TrackKind::Source, &[(4000, 500_000)]);
        let tracks = [
            MasterTrack { info: &audio, uri: "audio.m3u8".into() },
            MasterTrack { info: &video, uri: "video-360.m3u8".into() },
            MasterTrack { info: &source, uri: "source.m3u8".into() },
        ];
        let text = master(&tracks).unwrap();
        assert!(text.contains(
            "#EXT-X-STREAM-INF:BANDWIDTH=124000,AVERAGE-BANDWIDTH=124000,\
             CODECS=\"av01.0.01M.08,opus\",RESOLUTION=640x360,FRAME-RATE=12.500,AUDIO=\"audio\"\n\
             video-360.m3u8\n"
        ));
        assert!(text.contains(
            "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=12.500,\
             AUDIO=\"source\"\nsource.m3u8\n"
        ));
        assert_eq!(text.matches("URI=\"audio.m3u8\"").count(), 1);
    }

    #[test]
    fn sound_alone_is_a_variant_and_no_uri_breaks_its_line() {
        let audio = track(TrackKind::Audio, &[(4000, 12_000)]);
        let text = master(&[MasterTrack { info: &audio, uri: "a\"\n#b".into() }]).unwrap();
        assert!(text.ends_with("CODECS=\"opus\"\na%22%0A#b\n"), "{text}");
        let video = track(TrackKind::Video360, &[(4000, 50_000)]);
        let text = master(&[MasterTrack { info: &video, uri: "v".into() }]).unwrap();
        assert!(!text.contains("AUDIO"), "{text}");
    }

    #[test]
    fn both_rungs_share_the_sound_and_slides_are_no_film() {
        let audio = track(TrackKind::Audio, &[(4000, 12_000)]);
        let small = track(TrackKind::Video360, &[(4000, 50_000)]);
        let large = track(TrackKind::Video480, &[(4000, 150_000)]);
        let slides = track(TrackKind::Slides, &[(4000, 20_000)]);
        let told = TrackInfo {
            language: Some("zh-Hans".into()),
            ..track(TrackKind::Captions(1), &[(4000, 300)])
        };
        let of = |info| MasterTrack { info, uri: format!("{}.m3u8", info.kind) };
        let text = master(&[of(&audio), of(&slides), of(&told), of(&small), of(&large)]).unwrap();
        let rung = |name: &str, bandwidth: u32| {
            format!(
                "BANDWIDTH={bandwidth},AVERAGE-BANDWIDTH={bandwidth},\
                 CODECS=\"av01.0.01M.08,opus\",RESOLUTION=640x360,FRAME-RATE=12.500,\
                 AUDIO=\"audio\",SUBTITLES=\"captions\"\n{name}.m3u8\n"
            )
        };
        assert!(text.contains(&rung("video-360", 124_000)), "{text}");
        assert!(text.contains(&rung("video-480", 324_000)), "{text}");
        assert!(text.contains("NAME=\"zh-Hans\",LANGUAGE=\"zh-Hans\""), "{text}");
        assert!(!text.contains("slides"), "{text}");
        assert_eq!(master(&[of(&slides)]), None);
    }

    #[test]
    fn files_of_their_own_and_captions_are_listed_with_their_gaps() {
        let segment =
            |n: usize| Segment { seconds: 4.0, uri: format!("h264/{n}.m4s"), is_here: n != 1 };
        let text = separate("h264/init.mp4", (0..3).map(segment));
        assert!(text.contains(
            "#EXT-X-MAP:URI=\"h264/init.mp4\"\n#EXTINF:4.00000,\nh264/0.m4s\n\
             #EXT-X-GAP\n#EXTINF:4.00000,\nh264/1.m4s\n#EXTINF"
        ));
        let told = track(TrackKind::Captions(2), &[(90_000, 300)]);
        let text = captions(&told, "captions-2.vtt", true);
        assert!(text.contains("#EXT-X-TARGETDURATION:90\n"), "{text}");
        assert!(text.ends_with("#EXTINF:90.00000,\ncaptions-2.vtt\n#EXT-X-ENDLIST\n"), "{text}");
        assert!(captions(&told, "x", false).contains("#EXT-X-GAP\n#EXTINF"));
    }
}
