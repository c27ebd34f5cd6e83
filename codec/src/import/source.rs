//! The track `source`: H.264 and AAC that are already fit are remuxed, anything else becomes one
//! H.264 and AAC rendition.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use super::{FinishedTrack, ImportError, Job, SEGMENT_MS, Stage, child_error};
use crate::child::{Child, ChildError};
use crate::cmaf::index;
use crate::cmaf::scan::{self, BoxHead, InitTrack, ScanError};
use crate::frame_size::FrameSize;
use crate::probe::{AudioStream, VideoStream};
use crate::track::{INIT_BYTES_MAX, SEGMENTS_MAX, SegmentInfo, TrackInfo, TrackKind};

const KIND: TrackKind = TrackKind::Source;
/// The largest picture that panels decode without trouble: 1080p.
const COPY_WIDTH_MAX: u32 = 1920;
const COPY_HEIGHT_MAX: u32 = 1088;
/// The fastest picture that is kept as it is, per second.
const COPY_RATE_MAX: f64 = 60.5;
/// What a re-encoded picture is clipped to; a lecture is readable at 720p.
const ENCODE_WIDTH_MAX: u32 = 1280;
const ENCODE_HEIGHT_MAX: u32 = 720;
/// The picture rate of a re-encoded file, per second, and the one for a file that names none.
const ENCODE_RATE_MAX: f64 = 30.0;
const ENCODE_RATE_UNKNOWN: f64 = 25.0;
/// The longest segment of a remuxed file: with key frames further apart than this, seeking and
/// fetching by segment no longer work, and it is re-encoded.
const SEGMENT_SECONDS_MAX: u64 = 30;
/// The largest `moof`: 100,000 samples of 16 bytes, and room.
const MOOF_BYTES_MAX: u64 = 2 << 20;
/// The largest `mdat`: 30 s at 60 Mbit/s.
const MDAT_BYTES_MAX: u64 = 256 << 20;

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
    let arguments = arguments(job, recipe);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut reader = BoxReader { child: job.ffmpeg(KIND, &arguments)?, job };
    let mut writer = SourceFile::start(job)?;
    while let Some((head, head_bytes)) = reader.head()? {
        match &head.kind {
            b"ftyp" | b"moov" => writer.init(reader.body(head, head_bytes, INIT_BYTES_MAX)?)?,
            b"moof" => {
                let moof = reader.body(head, head_bytes, MOOF_BYTES_MAX as u32)?;
                writer.moof(&moof)?;
                let at_ms = writer.start_ticks * 1000 / u64::from(writer.main()?.timescale);
                job.reporter.report(Stage::Source, job.fraction(at_ms));
            }
            b"mdat" => reader.copy(head, &head_bytes, &mut writer)?,
            // An index of the file (`mfra`, `sidx`) would be wrong once pieces are missing.
            _ => reader.skip(head)?,
        }
    }
    reader.child.finish().map_err(|error| child_error(KIND, error))?;
    writer.finish(job, recipe)
}

fn arguments(job: &Job, recipe: Recipe) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |words: &str| out.extend(words.split(' ').map(str::to_owned));
    if let Some(video) = &job.probe.video {
        add(&format!("-map 0:{}", video.index));
    }
    if let Some(audio) = &job.probe.audio {
        add(&format!("-map 0:{}", audio.index));
    }
    add("-sn -dn -map_metadata -1 -map_chapters -1");
    match &job.probe.video {
        Some(_) if recipe.copy_video => add("-c:v copy -tag:v avc1"),
        Some(video) => {
            add(&format!("-threads {}", job.request.limits.child_threads));
            add("-c:v libx264 -preset veryfast -crf 23 -profile:v high");
            // 4 Mbit/s at most: what a school's wireless network carries to thirty tablets.
            add("-maxrate 4M -bufsize 8M");
            add(&format!(
                "-sc_threshold 0 -g 600 -force_key_frames expr:gte(t,n_forced*{})",
                SEGMENT_MS / 1000
            ));
            add("-colorspace bt709 -color_primaries bt709 -color_trc bt709");
            let size = FrameSize::fit(video, ENCODE_WIDTH_MAX, ENCODE_HEIGHT_MAX);
            let deinterlace = if video.is_interlaced { "yadif," } else { "" };
            let rate = encode_rate(video);
            let filters = size.filters(video);
            add(&format!("-vf {deinterlace}fps={rate:.3}:start_time=0,{filters}"));
        }
        None => {}
    }
    match &job.probe.audio {
        Some(_) if recipe.copy_audio => add("-c:a copy"),
        Some(audio) => add(&format!("-c:a aac -b:a 96k -ar 48000 -ac {}", audio.channels.min(2))),
        None => {}
    }
    // Fragments at the first key frame after 3.9 s (4 s less a frame, for clocks that do not
    // divide it); without a picture, every 4 s.
    add(match job.probe.video {
        Some(_) => "-min_frag_duration 3900000 -movflags +frag_keyframe",
        None => "-frag_duration 4000000",
    });
    // delay_moov: edit lists for AAC priming and for reordered pictures, so that both start at 0;
    // skip_trailer: no index (`mfra`) after the last segment.
    add("-movflags +empty_moov+delay_moov+default_base_moof+skip_trailer");
    add("-f mp4 pipe:1");
    out
}

fn encode_rate(video: &VideoStream) -> f64 {
    if video.frame_rate <= 0.0 {
        return ENCODE_RATE_UNKNOWN;
    }
    video.frame_rate.clamp(1.0, ENCODE_RATE_MAX)
}

/// Reads boxes from a child as they come.
struct BoxReader<'a> {
    child: Child,
    job: &'a Job<'a>,
}

impl BoxReader<'_> {
    /// Reads the next box's head, and the bytes it was read from; `None` at the end.
    fn head(&mut self) -> Result<Option<(BoxHead, Vec<u8>)>, ImportError> {
        let mut bytes = vec![0; 8];
        match self.read(&mut bytes)? {
            0 => return Ok(None),
            8 => {}
            _ => return Err(ScanError::Length.into()),
        }
        if bytes[..4] == [0, 0, 0, 1] {
            bytes.resize(16, 0);
            if self.read(&mut bytes[8..])? < 8 {
                return Err(ScanError::Length.into());
            }
        }
        Ok(Some((BoxHead::read(&bytes)?, bytes)))
    }

    /// Reads a whole box into memory.
    fn body(
        &mut self,
        head: BoxHead,
        mut bytes: Vec<u8>,
        bytes_max: u32,
    ) -> Result<Vec<u8>, ImportError> {
        if head.total_bytes > u64::from(bytes_max) {
            let max = bytes_max.into();
            return Err(ScanError::TooMany { what: "bytes of a box", max }.into());
        }
        let already = bytes.len();
        bytes.resize(head.total_bytes as usize, 0);
        let filled = self.read(&mut bytes[already..])?;
        if already + filled < bytes.len() {
            return Err(ScanError::Length.into());
        }
        Ok(bytes)
    }

    /// Copies an `mdat` without holding it in memory.
    fn copy(
        &mut self,
        head: BoxHead,
        head_bytes: &[u8],
        writer: &mut SourceFile,
    ) -> Result<(), ImportError> {
        if head.total_bytes > MDAT_BYTES_MAX {
            let max = MDAT_BYTES_MAX;
            return Err(ScanError::TooMany { what: "bytes of a segment", max }.into());
        }
        writer.media(head_bytes)?;
        self.pass(head, |bytes| writer.media(bytes))?;
        writer.end_segment()
    }

    fn skip(&mut self, head: BoxHead) -> Result<(), ImportError> {
        self.pass(head, |_| Ok(()))
    }

    fn pass(
        &mut self,
        head: BoxHead,
        mut take: impl FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut left = head.total_bytes - head.head_bytes;
        let mut buffer = vec![0; 256 << 10];
        while left > 0 {
            let count = left.min(buffer.len() as u64) as usize;
            if self.read(&mut buffer[..count])? < count {
                return Err(ScanError::Length.into());
            }
            take(&buffer[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImportError> {
        let is_cancelled = || self.job.must_stop();
        self.child.read(buffer, &is_cancelled).map_err(|error| child_error(KIND, error))
    }
}

/// The track's file while it is written.
struct SourceFile {
    file: BufWriter<File>,
    init: Vec<u8>,
    index_bytes: usize,
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
            tracks: Vec::new(),
            start_ticks: 0,
            duration_ticks: 0,
            bytes: 0,
            segments: Vec::new(),
        })
    }

    fn init(&mut self, whole: Vec<u8>) -> Result<(), ImportError> {
        self.file.write_all(&whole)?;
        let is_movie = whole.get(4..8) == Some(b"moov");
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
        file.seek(std::io::SeekFrom::Start(movie_bytes as u64))?;
        file.write_all(&index)?;
        Ok(job.work.finish(file, info)?)
    }
}
