//! The track `source`: H.264 and AAC that are already fit are remuxed, anything else becomes one
//! H.264 and AAC rendition. A picture that is encoded again is kept segment by segment
//! ([`encoded`]); joining it with the sound is as fast as remuxing, and begins anew after a cut.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use super::{FinishedTrack, ImportError, ImportRequest, Job, Stage, child_error};
use crate::child::ChildError;
use crate::cmaf::scan::{self, InitTrack, ScanError};
use crate::cmaf::{index, length};
use crate::probe::{AudioStream, VideoStream};
use crate::track::{INIT_BYTES_MAX, SEGMENTS_MAX, SegmentInfo, TrackInfo, TrackKind};

mod boxes;
mod encoded;

use boxes::BoxReader;

const KIND: TrackKind = TrackKind::Source;
/// The largest picture that panels decode without trouble: 1080p.
const COPY_WIDTH_MAX: u32 = 1920;
const COPY_HEIGHT_MAX: u32 = 1088;
/// The fastest picture that is kept as it is, per second.
const COPY_RATE_MAX: f64 = 60.5;
/// The picture rate of a re-encoded file, per second, and the one for a file that names none.
const ENCODE_RATE_MAX: f64 = 30.0;
const ENCODE_RATE_UNKNOWN: f64 = 25.0;
/// The longest segment of a remuxed file: with key frames further apart than this, seeking and
/// fetching by segment no longer work, and it is re-encoded.
const SEGMENT_SECONDS_MAX: u64 = 30;
/// The largest `moof`: 100,000 samples of 16 bytes, and room.
const MOOF_BYTES_MAX: u64 = 2 << 20;

/// How ffmpeg writes its MP4. `delay_moov`: edit lists for AAC priming and for reordered pictures,
/// so that both start at 0; `skip_trailer`: no index (`mfra`) after the last segment.
const BOXES: &str = "-movflags +empty_moov+delay_moov+default_base_moof+skip_trailer -f mp4 pipe:1";
/// Fragments at the first key frame after 3.9 s: 4 s less a frame, for clocks that do not divide
/// it.
const FRAGMENTS: &str = "-min_frag_duration 3900000 -movflags +frag_keyframe";

/// Whether the picture, or the sound of a file without one, is taken as it is: the track is then
/// made as fast as the file is read.
pub(super) fn is_copied(job: &Job) -> bool {
    let recipe = Recipe::choose(job.probe.video.as_ref(), job.probe.audio.as_ref());
    recipe.copy_video || job.probe.video.is_none()
}
/// The shortest segment but the last, in milliseconds; see `-min_frag_duration` below.
const SEGMENT_MS_MIN: u64 = 3900;

/// Makes the track.
pub(super) fn make(job: &Job) -> Result<FinishedTrack, ImportError> {
    if let Some(finished) = job.work.finished(KIND) {
        return Ok(finished);
    }
    job.reporter.report(Stage::Source, 0.0);
    let recipe = Recipe::choose(job.probe.video.as_ref(), job.probe.audio.as_ref());
    match attempt(job, recipe) {
        Err(error) if recipe.is_copied() && error.is_of_content() => {
            tracing::info!(%error, "the file cannot be remuxed; it is encoded again");
            attempt(job, Recipe { copy_video: false, copy_audio: false })
        }
        done => done,
    }
}

impl ImportError {
    /// Whether another way of making the same track may succeed.
    fn is_of_content(&self) -> bool {
        match self {
            Self::Child { error, .. } => matches!(error, ChildError::Failed { .. }),
            Self::Boxes(_) | Self::Track(_) | Self::NothingDecoded => true,
            _ => false,
        }
    }
}

/// Which streams are taken as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recipe {
    copy_video: bool,
    copy_audio: bool,
}

impl Recipe {
    fn choose(video: Option<&VideoStream>, audio: Option<&AudioStream>) -> Self {
        Self {
            copy_video: video.is_some_and(is_fit_video),
            copy_audio: audio.is_some_and(is_fit_audio),
        }
    }

    fn is_copied(self) -> bool {
        self.copy_video || self.copy_audio
    }
}

/// Whether panels play the picture as it is.
pub(crate) fn is_fit_video(video: &VideoStream) -> bool {
    let (long, short) = (video.width.max(video.height), video.width.min(video.height));
    video.codec == "h264"
        && matches!(video.pixel_format.as_str(), "yuv420p" | "yuvj420p")
        && !video.is_interlaced
        // A turn is only in the boxes, where media source extensions do not look.
        && video.rotation == 0
        && long <= COPY_WIDTH_MAX
        && (16..=COPY_HEIGHT_MAX).contains(&short)
        && video.frame_rate > 0.0
        && video.frame_rate <= COPY_RATE_MAX
}

/// Whether browsers play the sound as it is.
pub(crate) fn is_fit_audio(audio: &AudioStream) -> bool {
    audio.codec == "aac"
        && audio.profile == "LC"
        && (1..=2).contains(&audio.channels)
        && (8000..=48_000).contains(&audio.sample_rate)
}

fn attempt(job: &Job, recipe: Recipe) -> Result<FinishedTrack, ImportError> {
    let is_encoded = job.probe.video.is_some() && !recipe.copy_video;
    let picture = is_encoded.then(|| encoded::make(job)).transpose()?;
    let arguments = arguments(job, recipe);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ImportRequest { ffmpeg, source, limits, .. } = job.request;
    let child = match &picture {
        Some(picture) => ffmpeg.join(picture, source, &arguments, limits),
        None => ffmpeg.decode(source, &arguments, limits),
    };
    let child = child.map_err(|error| child_error(KIND, error))?;
    let mut reader = BoxReader { child, job };
    let mut writer = SourceFile::start(job)?;
    while let Some((head, head_bytes)) = reader.head()? {
        match &head.kind {
            b"ftyp" | b"moov" => writer.init(reader.body(head, head_bytes, INIT_BYTES_MAX)?)?,
            b"moof" => {
                let moof = reader.body(head, head_bytes, MOOF_BYTES_MAX as u32)?;
                writer.moof(&moof)?;
                let at_ms = writer.start_ticks * 1000 / u64::from(writer.main()?.timescale);
                // A picture that is encoded again has reported all of it before.
                let whole = if is_encoded { 1.0 } else { job.fraction(at_ms) };
                job.reporter.report(Stage::Source, whole.min(0.99));
            }
            b"mdat" => {
                reader.media(head, &head_bytes, |bytes| writer.media(bytes))?;
                writer.end_segment()?;
            }
            // An index of the file (`mfra`, `sidx`) would be wrong once pieces are missing.
            _ => reader.skip(head)?,
        }
    }
    reader.child.finish().map_err(|error| child_error(KIND, error))?;
    let track = writer.finish(job, recipe)?;
    encoded::remove(job);
    Ok(track)
}

/// What joins picture and sound; a picture that was encoded again is the first of two inputs.
fn arguments(job: &Job, recipe: Recipe) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |words: &str| out.extend(words.split(' ').map(str::to_owned));
    let sound_input = match &job.probe.video {
        Some(video) if recipe.copy_video => {
            add(&format!("-map 0:{}", video.index));
            0
        }
        Some(_) => {
            add("-map 0:v:0");
            1
        }
        None => 0,
    };
    if let Some(audio) = &job.probe.audio {
        add(&format!("-map {sound_input}:{}", audio.index));
    }
    add("-sn -dn -map_metadata -1 -map_chapters -1");
    if job.probe.video.is_some() {
        add("-c:v copy -tag:v avc1");
    }
    match &job.probe.audio {
        Some(_) if recipe.copy_audio => add("-c:a copy"),
        Some(audio) => add(&format!("-c:a aac -b:a 96k -ar 48000 -ac {}", audio.channels.min(2))),
        None => {}
    }
    add(match job.probe.video {
        Some(_) => FRAGMENTS,
        None => "-frag_duration 4000000",
    });
    add(BOXES);
    out
}

fn encode_rate(video: &VideoStream) -> f64 {
    if video.frame_rate <= 0.0 {
        return ENCODE_RATE_UNKNOWN;
    }
    video.frame_rate.clamp(1.0, ENCODE_RATE_MAX)
}

/// The track's file while it is written.
struct SourceFile {
    file: BufWriter<File>,
    init: Vec<u8>,
    index_bytes: usize,
    /// Where in `init` the length of the file is to be written.
    length: Option<length::Place>,
    tracks: Vec<InitTrack>,
    start_ticks: u64,
    duration_ticks: u64,
    bytes: u64,
    segments: Vec<SegmentInfo>,
}

impl SourceFile {
    fn start(job: &Job) -> Result<Self, ImportError> {
        Ok(Self {
            file: BufWriter::new(job.work.start(KIND)?),
            init: Vec::new(),
            index_bytes: index::reserved_bytes(job.probe.duration_ms / SEGMENT_MS_MIN + 2),
            length: None,
            tracks: Vec::new(),
            start_ticks: 0,
            duration_ticks: 0,
            bytes: 0,
            segments: Vec::new(),
        })
    }

    fn init(&mut self, mut whole: Vec<u8>) -> Result<(), ImportError> {
        let is_movie = whole.get(4..8) == Some(b"moov");
        if is_movie {
            let before = self.init.len();
            let place = length::reserve(&mut whole)?;
            self.length = place.map(|it| length::Place { at: before + it.at, ..it });
        }
        self.file.write_all(&whole)?;
        self.init.extend(whole);
        if is_movie {
            self.tracks = scan::init(&self.init)?;
            // The index is filled in at the end.
            let empty = vec![0; self.index_bytes];
            self.file.write_all(&empty)?;
            self.init.extend(empty);
        }
        Ok(())
    }

    /// The track whose time the segments are measured in: the picture, if there is one.
    fn main(&self) -> Result<&InitTrack, ScanError> {
        let picture = self.tracks.iter().find(|track| track.is_picture);
        picture.or(self.tracks.first()).ok_or(ScanError::Missing("moov"))
    }

    fn moof(&mut self, moof: &[u8]) -> Result<(), ImportError> {
        let main = self.main()?;
        let (id, timescale) = (main.id, u64::from(main.timescale));
        let default_ticks = u64::from(main.default_sample_ticks);
        let fragments = scan::fragment(moof)?;
        let Some(fragment) = fragments.iter().find(|fragment| fragment.id == id) else {
            // The rest of the sound after the last picture: it stays with the last segment.
            return self.media(moof);
        };
        self.start_ticks = fragment.start_ticks;
        self.duration_ticks = fragment.duration_ticks + fragment.default_samples * default_ticks;
        if self.duration_ticks > SEGMENT_SECONDS_MAX * timescale {
            let max = SEGMENT_SECONDS_MAX;
            return Err(ScanError::TooMany { what: "seconds of a segment", max }.into());
        }
        self.media(moof)
    }

    fn media(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        self.bytes += bytes.len() as u64;
        Ok(self.file.write_all(bytes)?)
    }

    fn end_segment(&mut self) -> Result<(), ImportError> {
        let bytes = u32::try_from(std::mem::take(&mut self.bytes)).unwrap_or(u32::MAX);
        let duration_ticks = std::mem::take(&mut self.duration_ticks) as u32;
        if duration_ticks == 0
            && let Some(last) = self.segments.last_mut()
        {
            last.bytes += bytes;
            return Ok(());
        }
        if self.segments.len() == SEGMENTS_MAX {
            let max = SEGMENTS_MAX as u64;
            return Err(ScanError::TooMany { what: "segments", max }.into());
        }
        // A first fragment of no length is a single picture without a duration.
        self.segments.push(SegmentInfo { duration_ticks: duration_ticks.max(1), bytes });
        Ok(())
    }

    fn finish(self, job: &Job, recipe: Recipe) -> Result<FinishedTrack, ImportError> {
        if self.segments.is_empty() {
            return Err(ImportError::NothingDecoded);
        }
        let main = self.main()?;
        let picture = main.is_picture.then_some((main.width, main.height));
        let frame_rate = job.probe.video.as_ref().map(|video| match recipe.copy_video {
            true => video.frame_rate,
            false => encode_rate(video),
        });
        let names: Vec<&str> = self.tracks.iter().map(|track| track.codec.as_str()).collect();
        let mut info = TrackInfo {
            kind: KIND,
            codecs: names.join(","),
            width: picture.map(|(width, _)| width),
            height: picture.map(|(_, height)| height),
            frame_rate: picture.and(frame_rate),
            language: None,
            timescale: main.timescale,
            bandwidth_avg_bits_per_s: 0,
            bandwidth_peak_bits_per_s: 0,
            init_bytes: self.init.len() as u32,
            segments: self.segments,
        };
        info.measure_bandwidth();
        info.validate()?;
        let index = index::within(self.index_bytes, info.timescale, &info.segments);
        let mut file = self.file.into_inner().map_err(|error| error.into_error())?;
        let movie_bytes = self.init.len() - self.index_bytes;
        file.seek(SeekFrom::Start(movie_bytes as u64))?;
        file.write_all(&index)?;
        if let Some(place) = self.length {
            let ticks: u64 = info.segments.iter().map(|it| u64::from(it.duration_ticks)).sum();
            let length = ticks * u64::from(place.timescale) / u64::from(info.timescale.max(1));
            file.seek(SeekFrom::Start(place.at as u64))?;
            file.write_all(&length.to_be_bytes())?;
        }
        Ok(job.work.finish(file, info)?)
    }
}
