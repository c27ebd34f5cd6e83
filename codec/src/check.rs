//! What is in a teacher's file, in words: what will be kept, what will not, what is wrong and what
//! to do about it. Nothing is decoded; a file that ends too early is found by its import.

use std::path::Path;

use serde::Serialize;

use crate::document::{DocumentKind, detect};
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::import::{is_fit_audio, is_fit_video, notes};
use crate::probe::{AudioStream, Probe, ProbeError, VideoStream, probe};

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
            Ok(probe) => of_media(&probe),
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
