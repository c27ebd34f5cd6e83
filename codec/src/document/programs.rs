//! The programs that turn documents into pages.

use std::path::PathBuf;

use super::DocumentError;
use crate::ffmpeg::on_path;

/// Where they are; one that is not installed is `None`, and what needs it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// LibreOffice.
    pub soffice: Option<PathBuf>,
    /// poppler's `pdfinfo`.
    pub pdfinfo: Option<PathBuf>,
    /// poppler's `pdftoppm`.
    pub pdftoppm: Option<PathBuf>,
    /// util-linux' `unshare`: takes the network away from LibreOffice, where the system lets it.
    pub unshare: Option<PathBuf>,
}

impl Programs {
    /// Finds them on `PATH`.
    pub fn find() -> Self {
        let find = |program| on_path(program).ok();
        Self {
            soffice: find("soffice"),
            pdfinfo: find("pdfinfo"),
            pdftoppm: find("pdftoppm"),
            unshare: find("unshare"),
        }
    }

    pub(super) fn soffice(&self) -> Result<&PathBuf, DocumentError> {
        self.soffice.as_ref().ok_or(DocumentError::NoLibreOffice)
    }

    pub(super) fn pdfinfo(&self) -> Result<&PathBuf, DocumentError> {
        self.pdfinfo.as_ref().ok_or(DocumentError::NoPoppler("pdfinfo"))
    }

    pub(super) fn pdftoppm(&self) -> Result<&PathBuf, DocumentError> {
        self.pdftoppm.as_ref().ok_or(DocumentError::NoPoppler("pdftoppm"))
    }
}
