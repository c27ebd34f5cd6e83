//! PDF files by poppler: `pdfinfo` counts and measures, `pdftoppm` draws one page at a time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::picture::{Bitmap, HEIGHT_MAX, PIXELS_BYTES_MAX, WIDTH_MAX};
use super::{DocumentError, DocumentRequest, PAGES_MAX, last_words};
use crate::child::{Child, ChildError};
use crate::import::ImportError;

/// What `pdfinfo` may answer, in bytes: two lines of 60 bytes a page, and a title.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// A PDF whose pages are known.
#[derive(Debug)]
pub(super) struct Pdf {
    path: PathBuf,
    /// What each page is drawn as, in pixels.
    pub(super) sizes: Vec<(u32, u32)>,
}

impl Pdf {
    /// Asks how many pages there are, and of which size.
    pub(super) fn open(
        request: &DocumentRequest,
        path: PathBuf,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, ImportError> {
        let program = request.programs.pdfinfo()?;
        let last = PAGES_MAX.to_string();
        let arguments = [&["-f", "1", "-l", &last].map(OsString::from)[..], &[named(&path)]];
        let child = Child::start(program, &arguments.concat(), &request.limits);
        let answer = child.and_then(|child| child.read_all(ANSWER_BYTES_MAX, is_cancelled));
        let answer = answer.map_err(|error| match &error {
            ChildError::Cancelled => ImportError::Cancelled,
            ChildError::Failed { complaint, .. } if complaint.contains("Incorrect password") => {
                DocumentError::Encrypted.into()
            }
            _ => DocumentError::BrokenPdf(last_words(&error)).into(),
        })?;
        let sizes = sizes(&String::from_utf8_lossy(&answer))?;
        Ok(Self { path, sizes })
    }

    /// Draws page `n`, from 0.
    pub(super) fn draw(
        &self,
        request: &DocumentRequest,
        n: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Bitmap, ImportError> {
        let program = request.programs.pdftoppm()?;
        let (width, height) = self.sizes[n];
        let number = (n + 1).to_string();
        let (width, height) = (width.to_string(), height.to_string());
        let arguments = [
            "-f",
            &number,
            "-l",
            &number,
            "-cropbox",
            "-scale-to-x",
            &width,
            "-scale-to-y",
            &height,
        ];
        let mut arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        // Without a name for its output it writes to its standard output.
        arguments.push(named(&self.path));
        let child = Child::start(program, &arguments, &request.limits);
        let bytes = child.and_then(|child| child.read_all(PIXELS_BYTES_MAX, is_cancelled));
        let broken = |reason| DocumentError::Page { page: n + 1, reason };
        let bytes = bytes.map_err(|error| match error {
            ChildError::Cancelled => ImportError::Cancelled,
            error => broken(last_words(&error)).into(),
        })?;
        Ok(Bitmap::from_ppm(&bytes).ok_or_else(|| broken("nothing was drawn".into()))?)
    }
}

/// The path so that a name like `-x.pdf` is none of an option.
fn named(path: &Path) -> OsString {
    if path.is_absolute() { path.into() } else { Path::new(".").join(path).into() }
}

/// Reads `Pages:`, `Page 1 size:` and `Page 1 rot:` of the answer.
pub(crate) fn sizes(answer: &str) -> Result<Vec<(u32, u32)>, DocumentError> {
    let mut sizes: Vec<(f64, f64)> = Vec::new();
    let mut pages = 0;
    for line in answer.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let words: Vec<&str> = key.split_whitespace().collect();
        let values: Vec<f64> = value.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        match (&words[..], &values[..]) {
            (["Pages"], [count, ..]) => pages = *count as usize,
            (["Page", _, "size"], [width, height, ..]) => sizes.push((*width, *height)),
            (["Page", _, "rot"], [turn, ..]) if *turn % 180.0 != 0.0 => {
                if let Some(size) = sizes.last_mut() {
                    *size = (size.1, size.0);
                }
            }
            _ => {}
        }
    }
    match pages {
        0 => Err(DocumentError::NoPages),
        pages if pages > PAGES_MAX => Err(DocumentError::TooManyPages { pages }),
        pages if pages != sizes.len() => {
            Err(DocumentError::BrokenPdf("its pages cannot be counted".into()))
        }
        _ => Ok(sizes.into_iter().map(|(width, height)| fit(width, height)).collect()),
    }
}

/// The largest even size of these proportions that fits a slide.
fn fit(width: f64, height: f64) -> (u32, u32) {
    // A page without a size is drawn as a square; poppler has its own idea of it.
    let is_size = |side: f64| side.is_finite() && side > 0.0;
    let (width, height) =
        if is_size(width) && is_size(height) { (width, height) } else { (1.0, 1.0) };
    let ratio = (f64::from(WIDTH_MAX) / width).min(f64::from(HEIGHT_MAX) / height);
    let even = |side: f64, most: u32| ((side * ratio / 2.0).round() as u32 * 2).clamp(16, most);
    (even(width, WIDTH_MAX), even(height, HEIGHT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_measured_as_they_are_seen() {
        let answer = "Title: Pages: 9\nPages:           2\nPage    1 size:  720 x 540 pts\n\
                      Page    1 rot:   0\nPage    2 size:  595.3 x 841.9 pts (A4)\n\
                      Page    2 rot:   90\n";
        assert_eq!(sizes(answer).unwrap(), [(1440, 1080), (1528, 1080)]);
        assert_eq!(sizes("Pages: 2000\n").unwrap_err().code(), "too_many_pages");
        assert_eq!(sizes("Pages: 0\n").unwrap_err().code(), "no_pages");
        assert_eq!(sizes("Pages: 1\n").unwrap_err().code(), "broken_pdf");
        assert_eq!(fit(1.0, 1e9), (16, 1080));
        assert_eq!(fit(f64::NAN, 0.0), (1080, 1080));
    }
}
