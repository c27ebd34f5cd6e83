//! What kind of document a file is, by its content.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::DocumentError;
use super::zip::Archive;

/// What is looked at of a file's beginning: a PDF's mark is within its first 1,024 bytes.
const HEAD_BYTES: usize = 1024;
/// The largest file of the old Office format that is searched, in bytes.
const COMPOUND_BYTES_MAX: u64 = 512 << 20;
/// The most that a presentation's entries may claim to unpack to, in bytes: the films in it are
/// stored as they are, so this is about the largest file.
const PRESENTATION_BYTES_MAX: u64 = 2 << 30;
/// The longest list of an OpenDocument's parts, in bytes: 300 for each of some thousand pictures.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// What makes a zip archive a presentation of OpenDocument.
const OPEN_DOCUMENT: &[u8] = b"application/vnd.oasis.opendocument.presentation";

/// A file that has pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A presentation of PowerPoint or LibreOffice.
    Presentation,
    /// A PDF file.
    Pdf,
    /// One picture.
    Picture,
    /// A zip archive of pictures.
    PictureArchive,
}

/// Tells whether `path` is a document; `None` stands for everything else (a video, a sound). A
/// document that turns out to be damaged, or of another office program, is refused when it is
/// imported.
pub fn detect(path: &Path) -> std::io::Result<Option<DocumentKind>> {
    let head = head(path)?;
    let begins = |magic: &[u8]| head.starts_with(magic);
    Ok(if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") {
        let office = Archive::open(path).ok().and_then(|archive| office_kind(&archive));
        Some(office.map_or(DocumentKind::PictureArchive, |_| DocumentKind::Presentation))
    } else if begins(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        Some(DocumentKind::Presentation)
    } else if head.windows(5).any(|window| window == b"%PDF-") {
        Some(DocumentKind::Pdf)
    } else {
        picture(&head).map(|_| DocumentKind::Picture)
    })
}

pub(super) fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The format of a picture: ffmpeg's name of its demuxer, or the name of one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PictureFormat {
    Demuxer(&'static str),
    Unsupported(&'static str),
}

/// Which picture begins with `head`.
pub(super) fn picture(head: &[u8]) -> Option<PictureFormat> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|h| h.starts_with(magic));
    let brands: [&[u8]; 6] = [b"heic", b"heix", b"mif1", b"msf1", b"heim", b"avif"];
    Some(if begins(b"\xff\xd8\xff") {
        PictureFormat::Demuxer("jpeg_pipe")
    } else if begins(b"\x89PNG\r\n\x1a\n") {
        PictureFormat::Demuxer("png_pipe")
    } else if begins(b"RIFF") && at(8, b"WEBP") {
        PictureFormat::Demuxer("webp_pipe")
    } else if begins(b"GIF87a") || begins(b"GIF89a") {
        PictureFormat::Demuxer("gif_pipe")
    } else if begins(b"BM") && at(6, &[0; 4]) {
        PictureFormat::Demuxer("bmp_pipe")
    } else if begins(b"II*\0") || begins(b"MM\0*") {
        PictureFormat::Demuxer("tiff_pipe")
    } else if at(4, b"ftyp") && brands.iter().any(|brand| at(8, brand)) {
        PictureFormat::Unsupported("a HEIC or AVIF picture")
    } else {
        return None;
    })
}

/// What an archive of an office program holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Office {
    PowerPoint,
    Impress,
    Other(&'static str),
}

fn office_kind(archive: &Archive) -> Option<Office> {
    let entry = |name: &[u8]| archive.entries.iter().find(|entry| entry.name == name);
    if entry(b"ppt/presentation.xml").is_some() {
        return Some(Office::PowerPoint);
    }
    if let Some(mimetype) = entry(b"mimetype") {
        // A damaged one is no presentation that LibreOffice would know.
        let name = archive.unpack(mimetype, 100).unwrap_or_default();
        return Some(match name.starts_with(OPEN_DOCUMENT) {
            true => Office::Impress,
            false => Office::Other("a text or a table of LibreOffice"),
        });
    }
    let others: [(&[u8], &str); 2] =
        [(b"word/document.xml", "a Word document"), (b"xl/workbook.xml", "an Excel table")];
    let other = others.into_iter().find(|(name, _)| entry(name).is_some());
    other.map(|(_, what)| Office::Other(what))
}

/// Checks a presentation before LibreOffice sees it; gives the ending its name should have.
pub fn check_presentation(path: &Path) -> Result<&'static str, DocumentError> {
    let refuse = |kind| Err(DocumentError::Unsupported { kind, instead: "PDF" });
    if !head(path).unwrap_or_default().starts_with(b"PK") {
        return match compound_kind(path) {
            Some(CompoundKind::PowerPoint) => Ok("ppt"),
            Some(CompoundKind::Encrypted) => Err(DocumentError::Encrypted),
            None => refuse("this Office file"),
        };
    }
    let archive = Archive::open(path)?;
    if archive.bytes() > PRESENTATION_BYTES_MAX {
        let what = "a presentation that unpacks to more than it could be read from";
        return Err(DocumentError::TooMuchInZip { what, max: "2 GiB" });
    }
    if is_encrypted(&archive) {
        return Err(DocumentError::Encrypted);
    }
    match office_kind(&archive) {
        Some(Office::PowerPoint) => Ok("pptx"),
        Some(Office::Impress) => Ok("odp"),
        Some(Office::Other(what)) => refuse(what),
        None => refuse("this archive"),
    }
}

/// Whether the list of an OpenDocument's parts says that they are encrypted (OpenDocument 1.3,
/// part 2, §4.8.1).
fn is_encrypted(archive: &Archive) -> bool {
    let list = archive.entries.iter().find(|entry| entry.name == b"META-INF/manifest.xml");
    let text = list.and_then(|entry| archive.unpack(entry, MANIFEST_BYTES_MAX).ok());
    let mark = b"encryption-data";
    text.is_some_and(|text| text.windows(mark.len()).any(|window| window == mark))
}

/// What a file of the old Office format (MS-CFB) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CompoundKind {
    PowerPoint,
    Encrypted,
}

/// Looks for the names of its streams (MS-PPT §2.1.2, MS-OFFCRYPTO §2.3.4.4), in UTF-16.
fn compound_kind(path: &Path) -> Option<CompoundKind> {
    let utf16 = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let powerpoint = utf16("PowerPoint Document");
    let encrypted = utf16("EncryptedPackage");
    let mut file = File::open(path).ok()?.take(COMPOUND_BYTES_MAX);
    let mut window: Vec<u8> = Vec::new();
    loop {
        // What is kept of the last chunk: a name may lie across two.
        let kept = window.len().min(powerpoint.len());
        window.drain(..window.len() - kept);
        if file.by_ref().take(1 << 20).read_to_end(&mut window).ok()? == 0 {
            return None;
        }
        // Names are at the start of directory entries of 128 bytes.
        let has = |name: &[u8]| window.windows(name.len()).any(|w| w == name);
        if has(&encrypted) {
            return Some(CompoundKind::Encrypted);
        }
        if has(&powerpoint) {
            return Some(CompoundKind::PowerPoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::zip::tests::zip;
    use super::*;

    fn kind_of(content: &[u8]) -> Option<DocumentKind> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upload");
        std::fs::write(&path, content).unwrap();
        detect(&path).unwrap()
    }

    #[test]
    fn content_decides_and_not_the_name() {
        use DocumentKind::*;
        assert_eq!(kind_of(b"\n\n%PDF-1.4\n"), Some(Pdf));
        assert_eq!(kind_of(b"\xff\xd8\xff\xe0"), Some(Picture));
        assert_eq!(kind_of(b"\0\0\0\x18ftypheic"), Some(Picture));
        assert_eq!(kind_of(b"\0\0\0\x18ftypisom"), None);
        assert_eq!(kind_of(b""), None);
        assert_eq!(kind_of(b"BM is a text"), None);
        assert_eq!(kind_of(b"PK\x03\x04 damaged"), Some(PictureArchive));
        assert_eq!(kind_of(&zip(&[("1.jpg", b"x", false)])), Some(PictureArchive));
        assert_eq!(kind_of(&zip(&[("ppt/presentation.xml", b"x", true)])), Some(Presentation));
        assert_eq!(kind_of(&zip(&[("mimetype", OPEN_DOCUMENT, false)])), Some(Presentation));
    }

    #[test]
    fn other_office_files_are_named_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upload");
        let refused = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            check_presentation(&path).unwrap_err()
        };
        let error = refused(&zip(&[("word/document.xml", b"x", true)]));
        assert_eq!(error.to_string(), "a Word document cannot become a lesson; save it as PDF");
        let compound = |name: &str| {
            let mut content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".repeat(200_000);
            content.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
            content
        };
        assert_eq!(refused(&compound("EncryptedPackage")).code(), "encrypted");
        let list = b"<manifest:encryption-data manifest:checksum-type=\"SHA256\">";
        let parts =
            [("mimetype", OPEN_DOCUMENT, false), ("META-INF/manifest.xml", &list[..], true)];
        assert_eq!(refused(&zip(&parts)).code(), "encrypted");
        assert_eq!(refused(&compound("WordDocument")).code(), "unsupported_document");
        std::fs::write(&path, compound("PowerPoint Document")).unwrap();
        assert_eq!(check_presentation(&path).unwrap(), "ppt");
    }
}
