//! The pages of a lesson, whatever they come from.

use std::fs;
use std::path::{Path, PathBuf};

use super::detect::{DocumentKind, detect};
use super::pdf::Pdf;
use super::picture::{self, Bitmap};
use super::zip::{Archive, Entry, natural_order};
use super::{DocumentError, DocumentRequest, PAGES_MAX, office};
use crate::import::{ImportError, Note};

/// The largest picture in an archive, in bytes: a PNG of 4000×4000 that hardly compresses.
const PICTURE_BYTES_MAX: u64 = 64 << 20;
/// The endings of pictures in an archive; everything else in it is passed over.
const PICTURE_ENDINGS: [&str; 10] =
    ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif"];

/// Pages that can be drawn one by one.
pub(super) struct Pages<'a> {
    request: &'a DocumentRequest<'a>,
    source: Source<'a>,
}

enum Source<'a> {
    Pdf { pdf: Pdf, is_converted: bool },
    Files(&'a [&'a Path]),
    Archive { path: &'a Path, entries: Vec<Entry>, others: usize },
}

impl<'a> Pages<'a> {
    /// Finds out what the sources are; presentations are converted here.
    pub(super) fn open(
        request: &'a DocumentRequest<'a>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, ImportError> {
        let kinds = request.sources.iter().map(|source| detect(source));
        let kinds = kinds.collect::<std::io::Result<Vec<_>>>()?;
        let source = match (request.sources, &kinds[..]) {
            ([path], [Some(DocumentKind::Presentation)]) => {
                let path = office::convert(request, path, is_cancelled)?;
                Source::Pdf { pdf: Pdf::open(request, path, is_cancelled)?, is_converted: true }
            }
            ([path], [Some(DocumentKind::Pdf)]) => {
                let path = path.to_path_buf();
                Source::Pdf { pdf: Pdf::open(request, path, is_cancelled)?, is_converted: false }
            }
            ([path], [Some(DocumentKind::PictureArchive)]) => open_archive(path)?,
            (files, kinds) if kinds.iter().all(|k| *k == Some(DocumentKind::Picture)) => {
                Source::Files(files)
            }
            _ => return Err(DocumentError::Mixed.into()),
        };
        let pages = Self { request, source };
        match pages.count() {
            0 => Err(DocumentError::NoPages.into()),
            count if count > PAGES_MAX => Err(DocumentError::TooManyPages { pages: count }.into()),
            _ => Ok(pages),
        }
    }

    /// How many there are, from 1 to [`PAGES_MAX`].
    pub(super) fn count(&self) -> usize {
        match &self.source {
            Source::Pdf { pdf, .. } => pdf.sizes.len(),
            Source::Files(files) => files.len(),
            Source::Archive { entries, .. } => entries.len(),
        }
    }

    /// Draws page `n`, from 0.
    pub(super) fn draw(
        &self,
        n: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Bitmap, ImportError> {
        match &self.source {
            Source::Pdf { pdf, .. } => pdf.draw(self.request, n, is_cancelled),
            Source::Files(files) => picture::decode(self.request, files[n], n + 1, is_cancelled),
            Source::Archive { path, entries, .. } => {
                let unpacked = Unpacked::write(self.request, path, &entries[n], n)?;
                picture::decode(self.request, &unpacked.0, n + 1, is_cancelled)
            }
        }
    }

    /// The size that every page fits into: a track has one.
    pub(super) fn frame(&self, is_cancelled: &dyn Fn() -> bool) -> Result<(u32, u32), ImportError> {
        let mut frame = (0, 0);
        for n in 0..self.count() {
            let (width, height) = match &self.source {
                Source::Pdf { pdf, .. } => pdf.sizes[n],
                // An odd last row or column of a picture is left out.
                _ => self.draw(n, is_cancelled).map(|b| (b.width & !1, b.height & !1))?,
            };
            frame = (frame.0.max(width), frame.1.max(height));
        }
        Ok(frame)
    }

    /// What was kept and what was left out.
    pub(super) fn notes(&self) -> Vec<Note> {
        let count = self.count();
        let mut notes = vec![Note::new("pages_kept", format!("{count} pages become slides"))];
        match &self.source {
            Source::Pdf { is_converted: true, .. } => notes.push(Note::new(
                "presentation_flattened",
                "animations, films and sound of the presentation are left out; macros did not \
                 run and links were not followed",
            )),
            Source::Archive { others, .. } if *others > 0 => {
                let text = format!("{others} other files of the archive are left out");
                notes.push(Note::new("others_left_out", text));
            }
            _ => {}
        }
        notes
    }
}

fn open_archive(path: &Path) -> Result<Source<'_>, DocumentError> {
    let all = Archive::open(path)?.entries;
    let files = all.iter().filter(|entry| !entry.name.ends_with(b"/")).count();
    let mut entries: Vec<Entry> = all.into_iter().filter(|e| is_picture(&e.name)).collect();
    entries.sort_by(|a, b| natural_order(&a.name, &b.name));
    let others = files - entries.len();
    Ok(Source::Archive { path, entries, others })
}

/// Unpacks every picture of an archive one by one, as an import does, and says how many bytes
/// they have together.
pub fn archive_bytes(path: &Path) -> Result<u64, DocumentError> {
    let mut bytes = 0;
    if let Source::Archive { entries, .. } = open_archive(path)? {
        for entry in &entries {
            bytes += Archive::open(path)?.unpack(entry, PICTURE_BYTES_MAX)?.len() as u64;
        }
    }
    Ok(bytes)
}

/// Whether an entry is a picture by its name, and none of the copies that a Mac hides.
fn is_picture(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let is_hidden = name.split('/').any(|part| part.starts_with('.') || part == "__macosx");
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    !is_hidden && PICTURE_ENDINGS.contains(&ending)
}

/// One entry as a file, as long as it is needed.
struct Unpacked(PathBuf);

impl Unpacked {
    fn write(
        request: &DocumentRequest,
        archive: &Path,
        entry: &Entry,
        n: usize,
    ) -> Result<Self, ImportError> {
        let bytes = Archive::open(archive)?.unpack(entry, PICTURE_BYTES_MAX)?;
        let unpacked = Self(request.work_dir.join(format!("page-{n}.part")));
        fs::write(&unpacked.0, bytes)?;
        Ok(unpacked)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What stays goes with the work folder.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_ending() {
        for name in ["1.JPG", "a/b/2.png", "课.jpeg"] {
            assert!(is_picture(name.as_bytes()), "{name}");
        }
        for name in ["__MACOSX/1.jpg", ".hidden.png", "a/._1.jpg", "jpg", "a.txt", "a.jpg/"] {
            assert!(!is_picture(name.as_bytes()), "{name}");
        }
    }
}
