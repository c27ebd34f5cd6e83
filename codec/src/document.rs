//! A presentation, a PDF or a set of pictures becomes a lesson: its pages are the slides.
//!
//! LibreOffice turns a presentation into a PDF, poppler turns a PDF into pages, ffmpeg decodes
//! pictures; all three are children on a leash. Macros never run and links are never followed.
//! Sound that is attached becomes `audio`, and the pages are spread over it. Like
//! [`import`](crate::import::import), it is called again with the same folder after a cut and goes
//! on: what was converted and every still are kept.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::child::{ChildError, at_low_priority};
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::import::{
    EncoderChoice, FinishedTrack, ImportError, ImportRequest, Imported, Note, Observer, Progress,
    Stage, Tiers, WorkDir, sound,
};
use crate::slide::StillError;
pub use detect::{DocumentKind, check_presentation, detect};
use pages::Pages;
pub use pages::archive_bytes;
pub use programs::Programs;
pub use retime::retime;

mod detect;
mod office;
mod pages;
pub(crate) mod pdf;
pub(crate) mod picture;
mod programs;
mod retime;
mod stills;
mod zip;

/// The most pages: a lesson has about 30, a term's script 200.
pub const PAGES_MAX: usize = 300;
/// How long a page is shown in a lesson without sound, in milliseconds: about as long as reading
/// it takes; a class leafs by hand anyway.
pub const PAGE_MS: u64 = 10_000;

/// What to import, and with what.
#[derive(Debug, Clone)]
pub struct DocumentRequest<'a> {
    /// Decodes pictures and sound.
    pub ffmpeg: &'a Ffmpeg,
    /// The other child programs.
    pub programs: &'a Programs,
    /// One document, or several pictures in the order of their pages; they must not change
    /// meanwhile.
    pub sources: &'a [&'a Path],
    /// A file whose sound goes with the pages.
    pub sound: Option<&'a Path>,
    /// When each page appears, from 0 on, always later; `None` spreads them evenly.
    pub page_starts_ms: Option<&'a [u64]>,
    /// A folder of this import alone; what an earlier call left in it is used.
    pub work_dir: &'a Path,
    /// Threads that encode pages, at least 1.
    pub workers: usize,
    /// Bounds of the sound and of the children.
    pub limits: Limits,
}

/// Why a document does not become a lesson.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Presentations need LibreOffice.
    #[error(
        "LibreOffice is not installed on the hub; install it (Debian, Ubuntu: apt install \
         libreoffice-impress), or save the presentation as PDF"
    )]
    NoLibreOffice,
    /// PDF files, and with them presentations, need poppler.
    #[error(
        "`{0}` is not installed on the hub; install it (Debian, Ubuntu: apt install \
         poppler-utils), or save the pages as pictures"
    )]
    NoPoppler(&'static str),
    /// It opens with a password only.
    #[error("the file is protected by a password; save it without one")]
    Encrypted,
    /// More pages than a lesson has.
    #[error("the document has {pages} pages; at most {PAGES_MAX} are allowed: split it")]
    TooManyPages {
        /// How many there are.
        pages: usize,
    },
    /// No page at all.
    #[error("the document has no pages; at least one page or picture is needed")]
    NoPages,
    /// Another office program's file, or a kind of picture that cannot be read here.
    #[error("{kind} cannot become a lesson; save it as {instead}")]
    Unsupported {
        /// What it is.
        kind: &'static str,
        /// What to save it as.
        instead: &'static str,
    },
    /// The archive is damaged.
    #[error("the archive is damaged ({0}); copy or pack it again")]
    BrokenZip(&'static str),
    /// The archive unpacks to more than any lesson has.
    #[error("the archive has too much in it: {what}; at most {max} is allowed")]
    TooMuchInZip {
        /// What there is too much of.
        what: &'static str,
        /// The bound in words.
        max: &'static str,
    },
    /// The PDF is damaged.
    #[error("the PDF is damaged ({0}); export or copy it again")]
    BrokenPdf(String),
    /// A page cannot be drawn, or a picture cannot be read.
    #[error("page {page} cannot be read ({reason}); save it again as PNG or JPEG")]
    Page {
        /// Its number, from 1.
        page: usize,
        /// What is wrong.
        reason: String,
    },
    /// LibreOffice failed.
    #[error("LibreOffice could not convert the presentation ({0}); save it as PDF")]
    Convert(String),
    /// The times of the pages make no sense.
    #[error("the pages' times are illegal: {count} times for {pages} pages; one a page, from 0 on")]
    Times {
        /// How many times were given.
        count: usize,
        /// How many pages there are.
        pages: usize,
    },
    /// What was attached has no sound.
    #[error("the attached file has no sound; attach a sound or a video file, or none")]
    NoSound,
    /// Several files that are not all pictures.
    #[error("several files can be a lesson only if all are pictures; pack nothing else with them")]
    Mixed,
    /// A page cannot be encoded.
    #[error(transparent)]
    Still(#[from] StillError),
}

impl DocumentError {
    /// A stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoLibreOffice => "no_libreoffice",
            Self::NoPoppler(_) => "no_poppler",
            Self::Encrypted => "encrypted",
            Self::TooManyPages { .. } => "too_many_pages",
            Self::NoPages => "no_pages",
            Self::Unsupported { .. } => "unsupported_document",
            Self::BrokenZip(_) => "broken_zip",
            Self::TooMuchInZip { .. } => "zip_too_large",
            Self::BrokenPdf(_) => "broken_pdf",
            Self::Page { .. } => "broken_page",
            Self::Convert(_) => "libreoffice_failed",
            Self::Times { .. } => "page_times",
            Self::NoSound => "no_sound",
            Self::Mixed => "mixed_files",
            Self::Still(_) => "encoder_failed",
        }
    }
}

/// Imports a document, or goes on with an import that was cut; all of it at low priority.
pub fn import(request: &DocumentRequest, observer: &dyn Observer) -> Result<Imported, ImportError> {
    at_low_priority(|| import_here(request, observer))
}

fn import_here(
    request: &DocumentRequest,
    observer: &dyn Observer,
) -> Result<Imported, ImportError> {
    let report = |stage, percent| {
        observer.progress(Progress { stage, percent, seconds_left: None });
    };
    report(Stage::Probe, 0);
    let first = request.sources.first().ok_or(DocumentError::NoPages)?;
    keep_origin(request)?;
    let work = WorkDir::open(request.work_dir, first)?;
    let pages = Pages::open(request, &|| observer.is_cancelled())?;
    report(Stage::Audio, 10);
    let sound = attach_sound(request, observer)?;
    let sound_ms = sound.as_ref().map(|(track, _)| track.info.duration_ms());
    let durations_ms = durations_ms(pages.count(), sound_ms, request.page_starts_ms)?;
    report(Stage::Video, 15);
    let made = stills::make(request, observer, &work, &pages, &durations_ms)?;
    report(Stage::Video, 100);
    let mut notes = pages.notes();
    if let Some(milliseconds) = sound_ms {
        let text =
            format!("{} pages are spread over {} s of sound", pages.count(), milliseconds / 1000);
        notes.push(Note::new("sound_attached", text));
    }
    let (audio, peaks) = sound.unzip();
    Ok(Imported {
        duration_ms: durations_ms.iter().map(|ms| u64::from(*ms)).sum(),
        tracks: audio.into_iter().chain(made.tracks).collect(),
        poster_jpeg: made.poster_jpeg,
        chapters: Vec::new(),
        peaks: peaks.unwrap_or_default(),
        notes,
    })
}

/// Passes on everything but progress: the sound is a small part of a document's import.
struct Silent<'a>(&'a dyn Observer);

impl Observer for Silent<'_> {
    fn progress(&self, _: Progress) {}

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    fn is_paused(&self) -> bool {
        self.0.is_paused()
    }
}

fn attach_sound(
    request: &DocumentRequest,
    observer: &dyn Observer,
) -> Result<Option<(FinishedTrack, Vec<u8>)>, ImportError> {
    let Some(source) = request.sound else { return Ok(None) };
    let work_dir = request.work_dir.join("sound");
    let sound_request = ImportRequest {
        ffmpeg: request.ffmpeg,
        source,
        work_dir: &work_dir,
        workers: 1,
        limits: request.limits.clone(),
        encoder: EncoderChoice::default(),
        tiers: Tiers { video_360: false, ..Tiers::FIRST },
    };
    let (track, peaks) = sound(&sound_request, &Silent(observer))?;
    observer.track_finished(&track);
    Ok(Some((track, peaks)))
}

/// How long each page is shown.
fn durations_ms(
    pages: usize,
    sound_ms: Option<u64>,
    starts_ms: Option<&[u64]>,
) -> Result<Vec<u32>, DocumentError> {
    let count = pages as u64;
    // A page is shown for a millisecond at least, however short the sound is.
    let total_ms = sound_ms.map_or(PAGE_MS * count, |ms| ms.max(count));
    let even = || (0..count).map(|n| total_ms * n / count).collect::<Vec<u64>>();
    let mut times = starts_ms.map_or_else(even, <[u64]>::to_vec);
    let last = times.last().copied().unwrap_or(0);
    // Without sound, the last page is shown as long as any other.
    times.push(sound_ms.map_or(last + PAGE_MS.min(total_ms), |_| total_ms));
    let is_legal = times.len() == pages + 1
        && times.first() == Some(&0)
        && times
            .windows(2)
            .all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= u64::from(u32::MAX));
    if !is_legal {
        return Err(DocumentError::Times { count: times.len() - 1, pages });
    }
    Ok(times.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect())
}

/// Empties the work folder if it belongs to other files than these.
fn keep_origin(request: &DocumentRequest) -> std::io::Result<()> {
    let mut origin = String::new();
    for path in request.sources.iter().copied().chain(request.sound) {
        let metadata = std::fs::metadata(path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        origin += &format!("{} {}\n", metadata.len(), modified.as_nanos());
    }
    let name = request.work_dir.join("document.origin");
    if std::fs::read_to_string(&name).is_ok_and(|found| found == origin) {
        return Ok(());
    }
    empty_folder(request.work_dir.to_owned())?;
    // Half a line after a power cut is another origin: the folder is emptied once more.
    std::fs::write(&name, origin)
}

/// A folder, made anew.
fn empty_folder(path: PathBuf) -> std::io::Result<PathBuf> {
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// What a child said at its end, in a few words.
fn last_words(error: &ChildError) -> String {
    let words = match error {
        ChildError::Failed { complaint, .. } => complaint.lines().last().unwrap_or_default(),
        ChildError::Stalled { stalled_ms } => {
            return format!("it did not end within {} s", stalled_ms / 1000);
        }
        ChildError::Killed { .. } => "it needs more memory or time than it may have",
        ChildError::TooMuch { .. } => "it is larger than a page can be",
        ChildError::Start { .. } => "the program cannot be started",
        ChildError::Cancelled => "cancelled",
    };
    words.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_spread_over_the_sound() {
        assert_eq!(durations_ms(3, None, None).unwrap(), [10_000; 3]);
        assert_eq!(durations_ms(3, Some(10_000), None).unwrap(), [3333, 3333, 3334]);
        assert_eq!(durations_ms(3, Some(0), None).unwrap(), [1; 3]);
        let at = [0, 4000];
        assert_eq!(durations_ms(2, Some(9000), Some(&at)).unwrap(), [4000, 5000]);
        assert_eq!(durations_ms(2, None, Some(&at)).unwrap(), [4000, 10_000]);
        for at in [&[0, 0][..], &[1, 2], &[0], &[0, 9000], &[]] {
            let error = durations_ms(2, Some(9000), Some(at)).unwrap_err();
            assert_eq!(error.code(), "page_times", "{at:?}");
        }
    }
}
