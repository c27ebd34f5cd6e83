//! What the files of one lesson are, by their content, and which of them go together.

use std::path::Path;

use crate::child::ChildError;
use crate::document::{DocumentKind, detect};
use crate::ffmpeg::{Ffmpeg, Limits};
use crate::import::ImportError;
use crate::probe::{ProbeError, probe_unless};
use crate::subtitles::is_subtitles;
use crate::track::CAPTIONS_MAX;

/// One file of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A recording with a moving picture.
    Film,
    /// A recording of sound alone.
    Sound,
    /// A presentation, a PDF, or an archive of pictures.
    Document,
    /// One picture.
    Picture,
    /// Subtitles.
    Subtitles,
}

/// What a lesson is made of; files by their place, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A film, or sound alone.
    Recording {
        /// The file.
        file: usize,
        /// Its subtitles.
        subtitles: Vec<usize>,
    },
    /// Pages.
    Pages {
        /// One document, or pictures in their order.
        pages: Vec<usize>,
        /// The sound that goes with them.
        sound: Option<usize>,
        /// What is said in it.
        subtitles: Vec<usize>,
    },
}

/// Why files do not make one lesson.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixtureError {
    /// Nothing was given.
    #[error("a lesson needs at least one file")]
    NoFiles,
    /// More than one film, or more than one sound.
    #[error("{0} recordings are not one lesson; upload each of them as a lesson of its own")]
    Recordings(usize),
    /// A film has pages of its own.
    #[error("a video and pages are not one lesson; upload the pages with a sound, or apart")]
    FilmAndPages,
    /// More than one document, or pictures beside one.
    #[error(
        "a lesson has one document, or pictures; upload other documents as lessons of their own"
    )]
    Documents,
    /// Nothing that they could be read beside.
    #[error("subtitles alone are no lesson; add them to a lesson on its page, or upload its video")]
    OnlySubtitles,
    /// Pages that nobody speaks to.
    #[error("subtitles need a video or a sound that they belong to")]
    SubtitlesWithoutSound,
    /// More than a lesson has.
    #[error("{0} subtitle files; a lesson has at most {CAPTIONS_MAX}")]
    Subtitles(usize),
}

impl MixtureError {
    /// A stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFiles => "no_pages",
            Self::Recordings(_) => "many_recordings",
            Self::FilmAndPages => "film_and_pages",
            Self::Documents => "mixed_files",
            Self::OnlySubtitles => "only_subtitles",
            Self::SubtitlesWithoutSound => "subtitles_without_sound",
            Self::Subtitles(_) => "too_many_subtitles",
        }
    }
}

/// Why the files of a lesson cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// One of them cannot be told.
    #[error("file {}: {error}", file + 1)]
    File {
        /// Its place, from 0.
        file: usize,
        /// What is wrong with it.
        error: ImportError,
    },
    /// They do not go together.
    #[error(transparent)]
    Mixture(#[from] MixtureError),
}

impl Material {
    /// Looks into each file. One file alone is only asked whether it has pages: what else may be
    /// wrong with it is found when it is imported.
    pub fn find(
        ffmpeg: &Ffmpeg,
        files: &[&Path],
        limits: &Limits,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, MaterialError> {
        let mut kinds = Vec::with_capacity(files.len());
        for (file, path) in files.iter().enumerate() {
            let kind = match known(path) {
                Ok(Some(kind)) => Ok(kind),
                Ok(None) if files.len() == 1 => Ok(FileKind::Film),
                Ok(None) => probed(ffmpeg, path, limits, is_cancelled),
                Err(error) => Err(error.into()),
            };
            kinds.push(kind.map_err(|error| MaterialError::File { file, error })?);
        }
        Ok(Self::of(&kinds)?)
    }

    /// Says what files of these kinds make together.
    pub fn of(kinds: &[FileKind]) -> Result<Self, MixtureError> {
        let all = |wanted: FileKind| -> Vec<usize> {
            (0..kinds.len()).filter(|n| kinds[*n] == wanted).collect()
        };
        let (films, sounds) = (all(FileKind::Film), all(FileKind::Sound));
        let (documents, pictures) = (all(FileKind::Document), all(FileKind::Picture));
        let subtitles = all(FileKind::Subtitles);
        let has_pages = !documents.is_empty() || !pictures.is_empty();
        let recordings = films.len() + sounds.len();
        if subtitles.len() > usize::from(CAPTIONS_MAX) {
            return Err(MixtureError::Subtitles(subtitles.len()));
        }
        if has_pages && !films.is_empty() {
            return Err(MixtureError::FilmAndPages);
        }
        if recordings > 1 {
            return Err(MixtureError::Recordings(recordings));
        }
        if documents.len() > 1 || (!documents.is_empty() && !pictures.is_empty()) {
            return Err(MixtureError::Documents);
        }
        if has_pages {
            if sounds.is_empty() && !subtitles.is_empty() {
                return Err(MixtureError::SubtitlesWithoutSound);
            }
            let pages = [documents, pictures].concat();
            return Ok(Self::Pages { pages, sound: sounds.first().copied(), subtitles });
        }
        let nothing = match subtitles.len() {
            0 => MixtureError::NoFiles,
            _ => MixtureError::OnlySubtitles,
        };
        let file = films.first().or(sounds.first()).copied().ok_or(nothing)?;
        Ok(Self::Recording { file, subtitles })
    }
}

/// What can be told without a child process.
fn known(path: &Path) -> std::io::Result<Option<FileKind>> {
    Ok(match detect(path)? {
        Some(DocumentKind::Picture) => Some(FileKind::Picture),
        Some(_) => Some(FileKind::Document),
        None => is_subtitles(path)?.then_some(FileKind::Subtitles),
    })
}

fn probed(
    ffmpeg: &Ffmpeg,
    path: &Path,
    limits: &Limits,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<FileKind, ImportError> {
    match probe_unless(ffmpeg, path, limits, is_cancelled) {
        Ok(probe) if probe.video.is_some() => Ok(FileKind::Film),
        Ok(_) => Ok(FileKind::Sound),
        Err(ProbeError::Child(ChildError::Cancelled)) => Err(ImportError::Cancelled),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::FileKind::*;
    use super::*;

    #[test]
    fn files_that_go_together_become_one_lesson_in_their_order() {
        let film = Material::Recording { file: 1, subtitles: vec![0, 2] };
        assert_eq!(Material::of(&[Subtitles, Film, Subtitles]), Ok(film));
        let sound = Material::Recording { file: 0, subtitles: vec![] };
        assert_eq!(Material::of(&[Sound]), Ok(sound));
        let pages = Material::Pages { pages: vec![0, 2], sound: Some(1), subtitles: vec![3] };
        assert_eq!(Material::of(&[Picture, Sound, Picture, Subtitles]), Ok(pages));
        let pages = Material::Pages { pages: vec![1], sound: Some(0), subtitles: vec![] };
        assert_eq!(Material::of(&[Sound, Document]), Ok(pages));
    }

    #[test]
    fn mixtures_without_sense_are_refused_by_what_is_wrong() {
        let refused = |kinds: &[FileKind]| Material::of(kinds).unwrap_err().code();
        assert_eq!(refused(&[]), "no_pages");
        assert_eq!(refused(&[Film, Film]), "many_recordings");
        assert_eq!(refused(&[Film, Sound]), "many_recordings");
        assert_eq!(refused(&[Picture, Sound, Sound]), "many_recordings");
        assert_eq!(refused(&[Document, Film]), "film_and_pages");
        assert_eq!(refused(&[Document, Document]), "mixed_files");
        assert_eq!(refused(&[Document, Picture]), "mixed_files");
        assert_eq!(refused(&[Subtitles]), "only_subtitles");
        assert_eq!(refused(&[Picture, Subtitles]), "subtitles_without_sound");
        assert_eq!(
            refused(&[Film, Subtitles, Subtitles, Subtitles, Subtitles, Subtitles]),
            "too_many_subtitles"
        );
    }
}
