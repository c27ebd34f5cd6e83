//! What is in a teacher's file, in words: what will be kept, what will not, what is wrong and what
//! to do about it. Nothing is decoded, but its packets are read through: a file that was cut off
//! behind its index is found here.

use std::path::Path;

use serde::Serialize;

use crate::child::ChildError;
use crate::document::{DocumentKind, detect};
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::import::{ImportError, is_cut_off, is_fit_audio, is_fit_video, notes};
use crate::probe::{AudioStream, Probe, ProbeError, VideoStream, probe};

/// What is read at once of ffprobe's answer; a line of it has some dozens of bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// How far the two declared picture rates must be apart to be called variable, as a ratio.
const RATE_RATIO_MIN: f64 = 1.05;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether the file can become a lesson, as far as can be told without decoding it.
    pub is_usable: bool,
    /// The container as ffmpeg names it, or the kind of document.
    pub container: String,
    /// The length, if the file has one.
    pub duration_ms: Option<u64>,
    /// Sentences about it, in order: what is in it, what will be kept and left out, what is wrong.
    pub findings: Vec<Finding>,
}

/// One sentence about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name for machines.
    pub code: &'static str,
    /// A sentence without a full stop.
    pub text: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is kept as it is.
    Kept,
    /// It will be changed, or left out.
    Changed,
    /// There is no lesson because of it.
    Wrong,
}

impl Report {
    fn new(container: &str) -> Self {
        let (container, findings) = (container.to_owned(), Vec::new());
        Self { is_usable: true, container, duration_ms: None, findings }
    }

    fn add(&mut self, severity: Severity, code: &'static str, text: impl Into<String>) {
        self.findings.push(Finding { severity, code, text: text.into() });
    }
}

/// Looks at `path`.
pub fn check(ffmpeg: &Ffmpeg, path: &Path, limits: &Limits) -> Report {
    match detect(path) {
        Ok(Some(kind)) => of_document(kind),
        Ok(None) => match probe(ffmpeg, path, limits) {
            Ok(probe) => {
                let mut report = of_media(&probe);
                add_length(&mut report, ffmpeg, path, &probe, limits);
                report
            }
            Err(error) => refused(&error),
        },
        Err(error) => refused(&ProbeError::Read(error)),
    }
}

fn refused(error: &ProbeError) -> Report {
    let mut report = Report::new("unknown");
    report.is_usable = false;
    report.add(Severity::Wrong, error.code(), error.to_string());
    report
}

fn of_document(kind: DocumentKind) -> Report {
    let (container, text) = match kind {
        DocumentKind::Presentation => (
            "presentation",
            "each page becomes a slide; animations, films and sound in it are left out",
        ),
        DocumentKind::Pdf => ("pdf", "each page becomes a slide"),
        DocumentKind::Picture => ("picture", "the picture becomes a slide"),
        DocumentKind::PictureArchive => {
            ("archive", "each picture in it becomes a slide, in the order of their names")
        }
    };
    let mut report = Report::new(container);
    report.add(Severity::Kept, "pages_kept", text);
    report
}

fn of_media(probe: &Probe) -> Report {
    let mut report = Report::new(&probe.container);
    report.duration_ms = Some(probe.duration_ms);
    match &probe.video {
        Some(video) => add_video(&mut report, video),
        None => report.add(Severity::Kept, "sound_alone", "there is no picture: sound alone"),
    }
    match &probe.audio {
        Some(audio) => add_audio(&mut report, audio),
        None => report.add(Severity::Kept, "picture_alone", "there is no sound"),
    }
    if !probe.chapters.is_empty() {
        let count = probe.chapters.len();
        report.add(Severity::Kept, "chapters_kept", format!("{count} chapters are kept"));
    }
    for note in notes::of(probe) {
        let severity = match note.code {
            "captions_kept" => Severity::Kept,
            _ => Severity::Changed,
        };
        report.add(severity, note.code, note.text);
    }
    report
}

/// Says whether everything is there that the file declares.
fn add_length(report: &mut Report, ffmpeg: &Ffmpeg, path: &Path, probe: &Probe, limits: &Limits) {
    let declared_ms = probe.duration_ms;
    let error: ImportError = match found_ms(ffmpeg, path, probe, limits) {
        Ok(decoded_ms) if is_cut_off(declared_ms, decoded_ms) => {
            ImportError::CutOff { decoded_ms, declared_ms }
        }
        Ok(_) => return,
        Err(error) => ProbeError::from(error).into(),
    };
    report.is_usable = false;
    report.add(Severity::Wrong, error.code(), error.to_string());
}

/// How long the packets last that are there of what will be kept.
fn found_ms(
    ffmpeg: &Ffmpeg,
    path: &Path,
    probe: &Probe,
    limits: &Limits,
) -> Result<u64, ChildError> {
    let entries = "packet=stream_index,pts_time,duration_time";
    let arguments = ["-v", "error", "-show_entries", entries, "-of", "csv=p=0"];
    let mut child = ffmpeg.inspect(path, &arguments, limits)?;
    let kept = [probe.video.as_ref().map(|v| v.index), probe.audio.as_ref().map(|a| a.index)];
    let (mut first_s, mut end_s) = (f64::INFINITY, 0.0_f64);
    let (mut lines, mut chunk) = (Vec::new(), vec![0; CHUNK_BYTES]);
    loop {
        let filled = child.read(&mut chunk, &|| false)?;
        lines.extend_from_slice(&chunk[..filled]);
        let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for (index, start_s, duration_s) in lines[..whole].split(|b| *b == b'\n').filter_map(packet)
        {
            if kept.contains(&Some(index)) {
                first_s = first_s.min(start_s);
                end_s = end_s.max(start_s + duration_s);
            }
        }
        lines.drain(..whole);
        if filled < chunk.len() || lines.len() > CHUNK_BYTES {
            break;
        }
    }
    child.finish()?;
    // `as` saturates: without a packet it is 0.
    Ok(((end_s - first_s) * 1000.0) as u64)
}

/// A packet's stream, its time and, if that is known, its length.
fn packet(line: &[u8]) -> Option<(u32, f64, f64)> {
    let mut fields = std::str::from_utf8(line).ok()?.split(',');
    let index = fields.next()?.parse().ok()?;
    let start_s = fields.next()?.parse().ok()?;
    Some((index, start_s, fields.next().and_then(|field| field.parse().ok()).unwrap_or(0.0)))
}

fn add_video(report: &mut Report, video: &VideoStream) {
    let VideoStream { codec, profile, width, height, frame_rate, pixel_format, .. } = video;
    let text = format!(
        "picture: {codec} {profile}, {width}×{height}, {frame_rate:.2} a second, {pixel_format}"
    );
    report.add(Severity::Kept, "picture", text.replace(" ,", ","));
    if is_fit_video(video) {
        report.add(Severity::Kept, "picture_as_it_is", "the original picture is kept as it is");
    } else {
        let text = "old panels may not show this picture: the original is encoded anew, at most \
                    1280×720";
        report.add(Severity::Changed, "picture_encoded", text);
    }
    let fastest = video.frame_rate_max.max(video.frame_rate);
    if video.frame_rate > 0.0 && fastest / video.frame_rate >= RATE_RATIO_MIN {
        let text = "the picture rate changes within the file; it is made even";
        report.add(Severity::Changed, "variable_rate", text);
    }
}

fn add_audio(report: &mut Report, audio: &AudioStream) {
    let AudioStream { codec, profile, channels, sample_rate, .. } = audio;
    let text = format!("sound: {codec} {profile}, {channels} channels, {sample_rate} Hz");
    report.add(Severity::Kept, "sound", text.replace(" ,", ","));
    if is_fit_audio(audio) {
        report.add(Severity::Kept, "sound_as_it_is", "the original sound is kept as it is");
    } else {
        let text = "browsers may not play this sound: the original is encoded anew";
        report.add(Severity::Changed, "sound_encoded", text);
    }
}
