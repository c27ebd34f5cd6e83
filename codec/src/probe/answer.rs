//! ffprobe's answer, and what is picked from it.

use serde::Deserialize;

use super::{
    AudioStream, ChapterMark, Probe, ProbeError, STREAMS_MAX, SubtitleStream, VideoStream, language,
};

/// Subtitles that are text; the others are pictures of text.
const TEXT_SUBTITLES: [&str; 13] = [
    "mov_text",
    "subrip",
    "srt",
    "ass",
    "ssa",
    "webvtt",
    "text",
    "microdvd",
    "mpl2",
    "subviewer",
    "sami",
    "jacosub",
    "ttml",
];
/// The longest text of a tag that is looked at, in characters.
const TAG_CHARS_MAX: usize = 500;

#[derive(Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    chapters: Vec<Chapter>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Format {
    format_name: String,
    duration: String,
    start_time: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Chapter {
    start_time: String,
    tags: Tags,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tags {
    title: String,
    language: String,
    /// Matroska's length of a stream, as `hours:minutes:seconds`.
    #[serde(rename = "DURATION")]
    duration: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stream {
    index: u32,
    codec_type: String,
    codec_name: String,
    profile: String,
    width: u32,
    height: u32,
    pix_fmt: String,
    color_space: String,
    field_order: String,
    sample_aspect_ratio: String,
    avg_frame_rate: String,
    r_frame_rate: String,
    sample_rate: String,
    channels: u32,
    duration: String,
    disposition: Disposition,
    side_data_list: Vec<SideData>,
    tags: Tags,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Disposition {
    default: u8,
    attached_pic: u8,
    timed_thumbnails: u8,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SideData {
    rotation: f64,
}

impl Answer {
    pub(crate) fn into_probe(self) -> Result<Probe, ProbeError> {
        if self.streams.len() > STREAMS_MAX {
            return Err(ProbeError::TooManyStreams);
        }
        let pictures: Vec<&Stream> = self.streams.iter().filter(|s| s.is_picture()).collect();
        let sounds: Vec<&Stream> = self.streams.iter().filter(|s| s.is_sound()).collect();
        let (video, audio) = (choose(&pictures), choose(&sounds));
        if video.is_none() && audio.is_none() {
            return Err(match pictures.first().or(sounds.first()) {
                Some(_) => ProbeError::UnknownCodec,
                None => ProbeError::NoStreams,
            });
        }
        let subtitles: Vec<SubtitleStream> =
            self.streams.iter().filter(|s| s.is("subtitle")).map(Stream::to_subtitles).collect();
        let covers = self.streams.iter().filter(|s| s.is_cover()).count();
        let used = pictures.len() + sounds.len() + subtitles.len() + covers;
        let kept: Vec<&Stream> = video.into_iter().chain(audio).collect();
        let duration_ms = match self.streams.len() > kept.len() {
            // Subtitles, or a sound that is left out, may go on for longer.
            true => length_of(&kept).unwrap_or(0),
            false => Some(milliseconds(&self.format.duration))
                .filter(|declared| *declared > 0)
                .or(length_of(&kept))
                .unwrap_or(0),
        };
        let start_s = seconds(&self.format.start_time).unwrap_or(0.0);
        Ok(Probe {
            duration_ms,
            video: video.map(Stream::to_video),
            audio: audio.map(Stream::to_audio),
            pictures: pictures.len(),
            sounds: sounds.iter().map(|s| s.to_audio()).collect(),
            subtitles,
            covers,
            others: self.streams.len() - used,
            chapters: self.chapters.iter().map(|c| c.to_mark(start_s)).collect(),
            container: self.format.format_name,
        })
    }
}

/// The stream that the file itself calls the default, or the first, among those whose codec is
/// known.
fn choose<'a>(streams: &[&'a Stream]) -> Option<&'a Stream> {
    let known = || streams.iter().copied().filter(|s| s.is_known());
    known().find(|s| s.disposition.default == 1).or(known().next())
}

/// The longest of the streams; `None` unless all of them say how long they are.
fn length_of(streams: &[&Stream]) -> Option<u64> {
    let lengths = streams.iter().map(|stream| stream.length_ms());
    lengths.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

impl Chapter {
    fn to_mark(&self, start_s: f64) -> ChapterMark {
        let at_s = seconds(&self.start_time).unwrap_or(0.0) - start_s;
        let title = self.tags.title.chars().take(TAG_CHARS_MAX).collect();
        ChapterMark { at_ms: (at_s * 1000.0).round() as u64, title }
    }
}

impl Stream {
    fn is(&self, kind: &str) -> bool {
        self.codec_type == kind
    }

    fn is_cover(&self) -> bool {
        self.is("video")
            && (self.disposition.attached_pic == 1 || self.disposition.timed_thumbnails == 1)
    }

    fn is_picture(&self) -> bool {
        self.is("video") && !self.is_cover() && self.width > 0
    }

    fn is_sound(&self) -> bool {
        self.is("audio") && self.channels > 0
    }

    fn is_known(&self) -> bool {
        !matches!(self.codec_name.as_str(), "" | "unknown" | "none")
    }

    fn length_ms(&self) -> Option<u64> {
        let own = milliseconds(&self.duration);
        let mut parts = self.tags.duration.rsplit(':').map(|part| part.parse::<f64>().ok());
        let mut part = || parts.next().flatten();
        let mut tagged = || Some(part()? + 60.0 * part()? + 3600.0 * part()?);
        match own {
            // `as` saturates; an absurd length is refused later.
            0 => tagged().map(|seconds| (seconds * 1000.0).round() as u64).filter(|ms| *ms > 0),
            own => Some(own),
        }
    }

    fn to_video(&self) -> VideoStream {
        // ffprobe gives the counter-clockwise turn of the picture, -180..=180.
        let turn = self.side_data_list.iter().map(|s| s.rotation).find(|turn| *turn != 0.0);
        let quarter_turns = (-turn.unwrap_or(0.0) / 90.0).round() as i64;
        let average = ratio(&self.avg_frame_rate, '/');
        let frame_rate = average.or(ratio(&self.r_frame_rate, '/')).map_or(0.0, quotient);
        VideoStream {
            index: self.index,
            codec: self.codec_name.clone(),
            profile: self.profile.clone(),
            width: self.width,
            height: self.height,
            rotation: (quarter_turns.rem_euclid(4) * 90) as u32,
            sample_aspect: ratio(&self.sample_aspect_ratio, ':')
                .filter(|aspect| (0.1..=10.0).contains(&quotient(*aspect)))
                .unwrap_or((1, 1)),
            frame_rate,
            frame_rate_max: ratio(&self.r_frame_rate, '/').map_or(0.0, quotient),
            pixel_format: self.pix_fmt.clone(),
            color_space: self.color_space.clone(),
            is_interlaced: matches!(self.field_order.as_str(), "tt" | "bb" | "tb" | "bt"),
        }
    }

    fn to_audio(&self) -> AudioStream {
        AudioStream {
            index: self.index,
            codec: self.codec_name.clone(),
            profile: self.profile.clone(),
            channels: self.channels,
            sample_rate: self.sample_rate.parse().unwrap_or(0),
            language: language::tag(&self.tags.language),
        }
    }

    fn to_subtitles(&self) -> SubtitleStream {
        SubtitleStream {
            index: self.index,
            codec: self.codec_name.clone(),
            is_text: TEXT_SUBTITLES.contains(&self.codec_name.as_str()),
            language: language::tag(&self.tags.language),
        }
    }
}

fn seconds(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|seconds| seconds.is_finite())
}

fn milliseconds(text: &str) -> u64 {
    // `as` saturates: a negative or absurd time becomes 0 or the maximum, which `check` refuses.
    text.parse::<f64>().map_or(0, |s| (s * 1000.0).round() as u64)
}

fn ratio(text: &str, separator: char) -> Option<(u32, u32)> {
    let (over, under) = text.split_once(separator)?;
    let pair: (u32, u32) = (over.parse().ok()?, under.parse().ok()?);
    (pair.0 > 0 && pair.1 > 0).then_some(pair)
}

fn quotient((over, under): (u32, u32)) -> f64 {
    f64::from(over) / f64::from(under)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(json: &str) -> Result<Probe, ProbeError> {
        serde_json::from_str::<Answer>(json).unwrap().into_probe()
    }

    #[test]
    fn the_default_sound_is_taken_and_a_cover_is_no_picture() {
        let found = probe(
            r#"{"streams":[
            {"index":0,"codec_type":"video","codec_name":"png","width":9,"height":9,
             "disposition":{"attached_pic":1}},
            {"index":1,"codec_type":"audio","codec_name":"unknown","channels":2,
             "disposition":{"default":1}},
            {"index":2,"codec_type":"audio","codec_name":"aac","channels":2},
            {"index":3,"codec_type":"audio","codec_name":"ac3","channels":6,
             "disposition":{"default":1},"tags":{"language":"chi"}},
            {"index":4,"codec_type":"subtitle","codec_name":"hdmv_pgs_subtitle"},
            {"index":5,"codec_type":"data"}],"format":{"duration":"1.5"}}"#,
        );
        let found = found.unwrap();
        let audio = found.audio.unwrap();
        assert_eq!((audio.index, audio.language.as_deref()), (3, Some("zh")));
        assert_eq!((found.video, found.covers, found.others), (None, 1, 1));
        assert!(!found.subtitles[0].is_text);
    }

    #[test]
    fn streams_are_counted_and_codecs_must_be_known() {
        let streams = vec![r#"{"codec_type":"audio","channels":1}"#; STREAMS_MAX];
        let all = |count: usize| format!(r#"{{"streams":[{}]}}"#, streams[..count].join(","));
        assert_eq!(probe(&all(STREAMS_MAX)).unwrap_err().code(), "unknown_codec");
        let more = all(STREAMS_MAX).replace("]", r#",{"codec_type":"data"}]"#);
        assert_eq!(probe(&more).unwrap_err().code(), "too_many_streams");
        assert_eq!(probe("{}").unwrap_err().code(), "no_streams");
    }

    #[test]
    fn what_is_left_out_does_not_make_a_file_longer() {
        let of = |streams: &str| {
            let json = format!(r#"{{"format":{{"duration":"9"}},"streams":[{streams}]}}"#);
            probe(&json).unwrap().duration_ms
        };
        let sound = r#""codec_type":"audio","codec_name":"aac","channels":1"#;
        let text = r#"{"codec_type":"subtitle","codec_name":"subrip"}"#;
        assert_eq!(of(&format!(r#"{{{sound},"duration":"2"}}"#)), 9000);
        assert_eq!(of(&format!(r#"{{{sound},"duration":"2"}},{text}"#)), 2000);
        let tag = r#""tags":{"DURATION":"01:00:02.500000000"}"#;
        assert_eq!(of(&format!("{{{sound},{tag}}},{text}")), 3_602_500);
        assert_eq!(of(&format!("{{{sound}}},{text}")), 0, "to be measured");
    }

    #[test]
    fn chapters_count_from_the_first_picture() {
        let found = probe(
            r#"{"streams":[{"codec_type":"audio","codec_name":"aac","channels":1}],
            "format":{"duration":"9","start_time":"1.400000"},
            "chapters":[{"start_time":"1.400000"},{"start_time":"4.4","tags":{"title":"x"}},
                        {"start_time":"nan"},{"start_time":"-7"}]}"#,
        );
        let at: Vec<u64> = found.unwrap().chapters.iter().map(|c| c.at_ms).collect();
        assert_eq!(at, [0, 3000, 0, 0]);
    }
}
