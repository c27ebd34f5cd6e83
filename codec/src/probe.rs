//! What a file is: asked of ffprobe, checked against the limits before anything is decoded.

use std::io::Read;
use std::path::Path;

use answer::Answer;

use crate::child::ChildError;
use crate::ffmpeg::{Ffmpeg, Limits};

pub(crate) mod answer;
pub(crate) mod language;

/// The most streams of a file: recordings have two to five, a recorded television multiplex some
/// dozens.
pub(crate) const STREAMS_MAX: usize = 100;
/// What ffprobe may answer, in bytes: some 2 KB a stream, and 300 bytes a chapter.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Containers that write no length down: what ffprobe says of them is worked out from the first
/// bit rate, or from the first and the last time, between which a recorder may have stood still or
/// begun to count anew.
const GUESSED: [&str; 5] = ["mp3", "aac", "ac3", "mpegts", "mpeg"];
/// What ffprobe says where it does so with another container.
const GUESS: &str = "Estimating duration from bitrate";

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The length that the file declares for what is kept of it, or, where it declares none, or
    /// ffprobe can but guess it, the length of its packets.
    pub duration_ms: u64,
    /// ffmpeg's name of the container, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// The picture that is kept: the stream that the file calls its default, or the first (cover
    /// art is none).
    pub video: Option<VideoStream>,
    /// The sound that is kept: the stream that the file calls its default, or the first.
    pub audio: Option<AudioStream>,
    /// How many picture streams there are.
    pub pictures: usize,
    /// Every sound stream.
    pub sounds: Vec<AudioStream>,
    /// Every subtitle stream.
    pub subtitles: Vec<SubtitleStream>,
    /// How many still pictures are attached: covers and the like.
    pub covers: usize,
    /// How many streams are none of these: time codes, attached fonts, telemetry.
    pub others: usize,
    /// The chapters as the file has them.
    pub chapters: Vec<ChapterMark>,
}

/// A picture stream.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoStream {
    /// Its index in the file.
    pub index: u32,
    /// ffmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// The codec's profile, such as `High`; empty if unknown.
    pub profile: String,
    /// Coded width in pixels, before rotation.
    pub width: u32,
    /// Coded height in pixels, before rotation.
    pub height: u32,
    /// Clockwise turn for display, in degrees, 0..360.
    pub rotation: u32,
    /// Width and height of a pixel.
    pub sample_aspect: (u32, u32),
    /// Frames per second on average; 0 if unknown.
    pub frame_rate: f64,
    /// Frames per second where they come fastest; 0 if unknown.
    pub frame_rate_max: f64,
    /// ffmpeg's name of the pixel format, such as `yuv420p`.
    pub pixel_format: String,
    /// ffmpeg's name of the colour matrix; empty if the file does not say.
    pub color_space: String,
    /// Whether a frame is two fields.
    pub is_interlaced: bool,
}

/// A sound stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioStream {
    /// Its index in the file.
    pub index: u32,
    /// ffmpeg's name of the codec, such as `aac`.
    pub codec: String,
    /// The codec's profile, such as `LC`; empty if unknown.
    pub profile: String,
    /// Channels.
    pub channels: u32,
    /// Samples per second.
    pub sample_rate: u32,
    /// The language as a BCP 47 tag, if the file says one.
    pub language: Option<String>,
}

/// A subtitle stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtitleStream {
    /// Its index in the file.
    pub index: u32,
    /// ffmpeg's name of the codec, such as `subrip`.
    pub codec: String,
    /// Whether it is text; otherwise it is pictures of text.
    pub is_text: bool,
    /// The language as a BCP 47 tag, if the file says one.
    pub language: Option<String>,
}

/// A chapter as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChapterMark {
    /// When it begins, counted from the start of the file.
    pub at_ms: u64,
    /// Its title as it is written; often empty.
    pub title: String,
}

/// Why a file cannot be a lesson.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The file is empty, or text, or anything else without pictures and sound.
    #[error("this is not a video or audio file ({reason}); allowed: mp4, mov, mkv, webm, avi, …")]
    NotMedia {
        /// What is wrong, in a few words.
        reason: String,
    },
    /// The index of the file is missing: the recording or the copy was cut off.
    #[error(
        "the file is cut off: its index (moov) is missing; copy it again from the camera or \
         recorder, whole"
    )]
    Truncated,
    /// It is a container without pictures and without sound.
    #[error("the file has neither a picture nor a sound stream; at least one is needed")]
    NoStreams,
    /// It has more streams than any recording.
    #[error(
        "the file has more than {STREAMS_MAX} streams, or describes them at endless length; at \
         most {STREAMS_MAX} are allowed: it is damaged, or no recording"
    )]
    TooManyStreams,
    /// Pictures and sound are there, in a code that ffmpeg does not know.
    #[error(
        "neither the picture nor the sound is in a code that ffmpeg knows; export the file again \
         as MP4 (H.264, AAC)"
    )]
    UnknownCodec,
    /// It is too long.
    #[error("the file lasts {duration_ms} ms; allowed are 1 to {duration_ms_max} ms")]
    TooLong {
        /// Its length.
        duration_ms: u64,
        /// The bound.
        duration_ms_max: u64,
    },
    /// Its pictures are too large.
    #[error(
        "the picture is {width}×{height}; allowed are 1×1 to {width_max}×{height_max} and at \
         most {pixels_max} pixels"
    )]
    TooLarge {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The bound of the width.
        width_max: u32,
        /// The bound of the height.
        height_max: u32,
        /// The bound of their product.
        pixels_max: u64,
    },
    /// The file could not be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// ffprobe itself failed.
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl ProbeError {
    /// A stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotMedia { .. } => "not_media",
            Self::Truncated => "truncated",
            Self::NoStreams => "no_streams",
            Self::TooManyStreams => "too_many_streams",
            Self::UnknownCodec => "unknown_codec",
            Self::TooLong { .. } => "too_long",
            Self::TooLarge { .. } => "too_large",
            Self::Read(_) => "unreadable",
            Self::Child(ChildError::Cancelled) => "cancelled",
            Self::Child(ChildError::Start { .. }) => "no_ffmpeg",
            Self::Child(error) if error.is_stopped() => "ffmpeg_stopped",
            Self::Child(_) => "ffmpeg_failed",
        }
    }
}

impl Default for VideoStream {
    fn default() -> Self {
        Self {
            index: 0,
            codec: String::new(),
            profile: String::new(),
            width: 1,
            height: 1,
            rotation: 0,
            sample_aspect: (1, 1),
            frame_rate: 0.0,
            frame_rate_max: 0.0,
            pixel_format: String::new(),
            color_space: String::new(),
            is_interlaced: false,
        }
    }
}

impl VideoStream {
    /// Width and height as shown: turned, with square pixels.
    pub fn shown_size(&self) -> (f64, f64) {
        let (wide, high) = self.sample_aspect;
        let width = f64::from(self.width) * f64::from(wide) / f64::from(high);
        let height = f64::from(self.height);
        if self.rotation % 180 == 90 { (height, width) } else { (width, height) }
    }

    /// The colour matrix that players assume for a file that names none: BT.709 from 720 lines.
    pub(crate) fn unmarked_matrix(&self) -> Option<&'static str> {
        let is_known = !matches!(self.color_space.as_str(), "" | "unknown" | "reserved");
        let is_rgb = self.pixel_format.contains("rgb") || self.pixel_format.starts_with("gbr");
        if is_known || is_rgb {
            return None;
        }
        Some(if self.height.min(self.width) >= 720 { "bt709" } else { "bt601" })
    }
}

/// Asks what `path` is, and refuses what is not a lesson or beyond `limits`.
pub fn probe(ffmpeg: &Ffmpeg, path: &Path, limits: &Limits) -> Result<Probe, ProbeError> {
    probe_unless(ffmpeg, path, limits, &|| false)
}

/// As [`probe`], giving up when `is_cancelled` says so.
pub(crate) fn probe_unless(
    ffmpeg: &Ffmpeg,
    path: &Path,
    limits: &Limits,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Probe, ProbeError> {
    if std::fs::metadata(path)?.len() == 0 {
        return Err(ProbeError::NotMedia { reason: "it is empty, 0 bytes".into() });
    }
    let arguments =
        ["-v", "warning", "-of", "json", "-show_format", "-show_streams", "-show_chapters"];
    let child = ffmpeg.inspect(path, &arguments, limits)?;
    let answer = child.read_all_and_complaint(ANSWER_BYTES_MAX, is_cancelled);
    let (json, complaint) = answer.map_err(|error| refuse(error, path))?;
    let answer: Answer = serde_json::from_slice(&json)
        .map_err(|_| ProbeError::NotMedia { reason: "ffprobe does not understand it".into() })?;
    let mut probe = answer.into_probe()?;
    let is_guess = GUESSED.contains(&&*probe.container) || complaint.contains(GUESS);
    if probe.duration_ms == 0 || is_guess {
        probe.duration_ms = measure_duration(ffmpeg, path, &probe, limits, is_cancelled)?;
    }
    check(&probe, limits)?;
    Ok(probe)
}

fn refuse(error: ChildError, path: &Path) -> ProbeError {
    let complaint = match &error {
        ChildError::Failed { complaint, .. } => complaint,
        ChildError::TooMuch { .. } => return ProbeError::TooManyStreams,
        _ => return error.into(),
    };
    if complaint.contains("max_streams") {
        return ProbeError::TooManyStreams;
    }
    if complaint.contains("moov atom not found") {
        // ffprobe goes by the name if the content tells it nothing.
        return match begins_with_a_box(path) {
            true => ProbeError::Truncated,
            false => ProbeError::NotMedia { reason: "it is no MP4 inside, only by name".into() },
        };
    }
    let last = complaint.lines().last().unwrap_or_default();
    // ffprobe ends with "<path>: <reason>"; the path is of no use to a teacher.
    let reason = last.rsplit(": ").next().unwrap_or_default();
    ProbeError::NotMedia { reason: reason.chars().take(200).collect() }
}

/// Whether a file begins as MP4 and QuickTime files do (ISO/IEC 14496-12 §4.3; QuickTime's own
/// `wide` and `pnot`).
fn begins_with_a_box(path: &Path) -> bool {
    let mut head = [0; 8];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let kinds = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"uuid"];
    read.is_ok() && kinds.iter().any(|kind| head[4..] == kind[..])
}

fn check(probe: &Probe, limits: &Limits) -> Result<(), ProbeError> {
    let (duration_ms, duration_ms_max) = (probe.duration_ms, limits.duration_ms_max);
    if duration_ms > duration_ms_max {
        return Err(ProbeError::TooLong { duration_ms, duration_ms_max });
    }
    let Some(video) = &probe.video else { return Ok(()) };
    let (width, height) = (video.width, video.height);
    let Limits { width_max, height_max, pixels_max, .. } = *limits;
    let is_legal = (1..=width_max).contains(&width)
        && (1..=height_max).contains(&height)
        && u64::from(width) * u64::from(height) <= pixels_max;
    if !is_legal {
        return Err(ProbeError::TooLarge { width, height, width_max, height_max, pixels_max });
    }
    Ok(())
}

/// Reads through the packets of a file, which the decoder follows: of one that does not say how
/// long it is (what a browser's `MediaRecorder` writes, for one), it is the only length.
fn measure_duration(
    ffmpeg: &Ffmpeg,
    path: &Path,
    probe: &Probe,
    limits: &Limits,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<u64, ProbeError> {
    let video = probe.video.as_ref().map(|video| video.index);
    let kept = video.into_iter().chain(probe.audio.as_ref().map(|audio| audio.index));
    let maps: Vec<String> = kept.map(|index| format!("0:{index}")).collect();
    let mut arguments: Vec<&str> = maps.iter().flat_map(|map| ["-map", map]).collect();
    arguments.extend(["-c", "copy", "-f", "null", "-progress", "pipe:1", "-"]);
    let child = ffmpeg.decode(path, &arguments, limits)?;
    let report = child.read_all(ANSWER_BYTES_MAX, is_cancelled)?;
    let report = String::from_utf8_lossy(&report);
    let times = report.lines().filter_map(|line| line.strip_prefix("out_time_us="));
    Ok(times.filter_map(|time| time.trim().parse::<u64>().ok()).max().unwrap_or(0) / 1000)
}
