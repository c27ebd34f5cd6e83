//! What the codec is asked to make of a job's files.

use std::fs;
use std::path::{Path, PathBuf};

use yingxue_codec::document::{self, DocumentRequest, Programs};
use yingxue_codec::import::{
    self, EncoderChoice, ImportError, ImportRequest, Imported, Observer, Tiers,
};
use yingxue_codec::material::{Material, MaterialError};
use yingxue_codec::subtitles::{self, SubtitleError, Subtitles};
use yingxue_codec::{Ffmpeg, Limits};

use super::{Watch, sentence};
use crate::config::{Encoder, MediaConfig};
use crate::jobs::{ImportJob, JobError, JobKind};
use crate::uploads;

/// Memory of a worker: a GOP of 480 lines is 61 MB in the hub, and SVT-AV1 takes 143 MiB for it.
const WORKER_BYTES: u64 = 220 << 20;
/// Memory of an import beside its workers: the GOP that is read, a child that decodes 1080 lines.
const SHARED_BYTES: u64 = 160 << 20;

/// Why the files of a job do not become a lesson.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodingError {
    /// They cannot be told apart, or do not go together.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// They cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A file has subtitles that cannot be read.
    #[error("{error}")]
    Subtitles {
        /// Its place, from 0.
        file: usize,
        /// What is wrong with it.
        error: SubtitleError,
    },
    /// The upload was kept for some days, and is gone.
    #[error("the uploaded file is no longer kept on the hub; upload it again")]
    Gone,
}

impl EncodingError {
    /// A stable name for machines.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Material(MaterialError::File { error, .. }) | Self::Import(error) => error.code(),
            Self::Material(MaterialError::Mixture(error)) => error.code(),
            Self::Subtitles { error, .. } => error.code(),
            Self::Gone => "upload_gone",
        }
    }

    /// Says it to the teacher; of several files, names the one that is wrong.
    pub(super) fn into_job_error(self, import: &ImportJob) -> JobError {
        let (file, words) = match &self {
            Self::Material(MaterialError::File { file, error }) => (Some(*file), sentence(error)),
            Self::Subtitles { file, error } => (Some(*file), sentence(error)),
            error => (None, sentence(error)),
        };
        let name = file.and_then(|file| import.files().nth(file)).map(|(_, name)| name);
        let name = name.filter(|_| !import.others.is_empty());
        let detail = name.map_or(words.clone(), |name| format!("“{name}”: {words}"));
        JobError::new(self.code(), detail)
    }
}

impl From<std::io::Error> for EncodingError {
    fn from(error: std::io::Error) -> Self {
        Self::Import(error.into())
    }
}

/// Encodes a job's files on this thread.
pub(super) fn encode(
    ffmpeg: &Ffmpeg,
    work_dir: &Path,
    watch: &Watch,
) -> Result<Imported, EncodingError> {
    fs::create_dir_all(work_dir)?;
    let import = &watch.job.import;
    let paths: Vec<PathBuf> = import.files().map(|(id, _)| uploads::path(&watch.app, id)).collect();
    if paths.iter().any(|path| !path.exists()) {
        return Err(EncodingError::Gone);
    }
    let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let limits = Limits::default();
    // By their content: what a name says is for people.
    let material = Material::find(ffmpeg, &files, &limits, &|| watch.is_cancelled())?;
    let encoding = Encoding { ffmpeg, files: &files, work_dir, watch, limits };
    match material {
        Material::Recording { file, subtitles } => encoding.recording(file, &subtitles),
        Material::Pages { pages, sound, subtitles } => encoding.pages(&pages, sound, &subtitles),
    }
}

struct Encoding<'a> {
    ffmpeg: &'a Ffmpeg,
    files: &'a [&'a Path],
    work_dir: &'a Path,
    watch: &'a Watch,
    limits: Limits,
}

impl Encoding<'_> {
    fn recording(&self, file: usize, subtitles: &[usize]) -> Result<Imported, EncodingError> {
        let config = &self.watch.app.config.media;
        let subtitles = self.read(subtitles)?;
        let request = ImportRequest {
            ffmpeg: self.ffmpeg,
            source: self.files[file],
            work_dir: self.work_dir,
            workers: workers(config),
            limits: self.limits.clone(),
            encoder: encoder(config),
            tiers: match self.watch.job.kind {
                JobKind::Import => Tiers::FIRST,
                JobKind::Import480 => Tiers::SECOND,
            },
        };
        let mut imported = import::import(&request, self.watch)?;
        if self.watch.job.kind == JobKind::Import {
            subtitles::add(&mut imported, &subtitles, self.work_dir, self.watch)?;
        }
        Ok(imported)
    }

    fn pages(
        &self,
        pages: &[usize],
        sound: Option<usize>,
        subtitles: &[usize],
    ) -> Result<Imported, EncodingError> {
        let subtitles = self.read(subtitles)?;
        let sources: Vec<&Path> = pages.iter().map(|page| self.files[*page]).collect();
        let request = DocumentRequest {
            ffmpeg: self.ffmpeg,
            programs: &Programs::find(),
            sources: &sources,
            sound: sound.map(|sound| self.files[sound]),
            page_starts_ms: None,
            work_dir: self.work_dir,
            workers: workers(&self.watch.app.config.media),
            limits: self.limits.clone(),
        };
        let mut imported = document::import(&request, self.watch)?;
        subtitles::add(&mut imported, &subtitles, self.work_dir, self.watch)?;
        Ok(imported)
    }

    /// Reads subtitles before the long part, so that what is wrong with them is said at once.
    fn read(&self, files: &[usize]) -> Result<Vec<Subtitles>, EncodingError> {
        let read = |file: &usize| {
            let name = self.watch.job.import.files().nth(*file).map_or("", |(_, name)| name);
            let read = Subtitles::open(self.files[*file], name)?;
            read.map_err(|error| EncodingError::Subtitles { file: *file, error })
        };
        files.iter().map(read).collect()
    }
}

fn workers(config: &MediaConfig) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = if config.workers > 0 { config.workers } else { cores() };
    let available = fs::read_to_string("/proc/meminfo").ok();
    let available = available.and_then(|text| available_bytes(&text));
    let workers = fitting(wanted, config.memory_bytes_max, available);
    tracing::debug!(workers, wanted, ?available, "threads that encode");
    workers
}

/// Gives as many of the wanted workers as fit into the memory, and one at least.
fn fitting(wanted: usize, bytes_max: u64, available_bytes: Option<u64>) -> usize {
    // The other half is for the class, the database and the files that are read.
    let bytes_max = bytes_max.min(available_bytes.map_or(u64::MAX, |bytes| bytes / 2));
    let fit = bytes_max.saturating_sub(SHARED_BYTES) / WORKER_BYTES;
    wanted.min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
}

/// Reads what Linux says can be had without swapping (proc(5)).
fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn encoder(config: &MediaConfig) -> EncoderChoice {
    match config.encoder {
        Encoder::Auto => EncoderChoice::Auto,
        Encoder::Rav1e => EncoderChoice::Rav1e,
        Encoder::SvtAv1 => EncoderChoice::SvtAv1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn as_many_workers_as_the_memory_holds_and_never_none() {
        assert_eq!(fitting(2, 2 * GIB, Some(6 * GIB)), 2, "a core each");
        assert_eq!(fitting(64, 2 * GIB, Some(60 * GIB)), 8, "at most what is set");
        assert_eq!(fitting(64, 4 * GIB, None), 17);
        assert_eq!(fitting(8, 2 * GIB, Some(2 * GIB)), 3, "half of what is free");
        assert_eq!(fitting(8, 2 * GIB, Some(100 << 20)), 1);
        assert_eq!(fitting(8, 0, Some(2 * GIB)), 1);
    }

    #[test]
    fn linux_says_how_much_is_free() {
        let text = "MemTotal:  24000 kB\nMemFree:  7 kB\nMemAvailable:   21000 kB\nBuffers: 1 kB\n";
        assert_eq!(available_bytes(text), Some(21_000 * 1024));
        assert_eq!(available_bytes("MemTotal: 24000 kB\n"), None);
        assert!(available_bytes(&fs::read_to_string("/proc/meminfo").unwrap()) > Some(1 << 20));
    }
}
