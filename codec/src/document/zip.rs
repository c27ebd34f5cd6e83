//! Reads zip archives (PKWARE APPNOTE 6.3) within bounds: no zip64, stored or deflated entries.
//!
//! The whole directory is at most [`DIRECTORY_BYTES_MAX`], so that an archive of millions of
//! entries costs nothing; what an entry unpacks to is counted while it is unpacked, whatever the
//! directory claims. Names are for sorting and telling apart, never paths.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::DocumentError;

/// The most entries: a presentation has some hundreds.
const ENTRIES_MAX: usize = 20_000;
/// The largest directory, in bytes: 20,000 entries with names of 100 bytes and room.
const DIRECTORY_BYTES_MAX: u64 = 4 << 20;
/// The end record, and the longest comment behind it (APPNOTE §4.3.16).
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 0xffff;
/// The fixed part of an entry of the directory (§4.3.12) and of an entry's own head (§4.3.7).
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// Methods (§4.4.5).
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// An archive that is open.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    pub(super) entries: Vec<Entry>,
}

/// What the directory says of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it is written; not always UTF-8.
    pub(super) name: Vec<u8>,
    /// What it claims to unpack to.
    pub(super) bytes: u64,
    packed_bytes: u64,
    crc: u32,
    method: u16,
    is_encrypted: bool,
    offset: u64,
}

const fn broken(what: &'static str) -> DocumentError {
    DocumentError::BrokenZip(what)
}

impl Archive {
    /// Reads the directory.
    pub(super) fn open(path: &Path) -> Result<Self, DocumentError> {
        let mut file = File::open(path).map_err(|_| broken("it cannot be opened"))?;
        let directory = read_directory(&mut file)?;
        let mut rest = &directory.bytes[..];
        let mut entries = Vec::new();
        while entries.len() < directory.count {
            entries.push(Entry::take(&mut rest).ok_or(broken("its directory is cut off"))?);
        }
        Ok(Self { file, entries })
    }

    /// What all entries together claim to unpack to.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }

    /// Unpacks one entry of at most `bytes_max`.
    pub(super) fn unpack(&self, entry: &Entry, bytes_max: u64) -> Result<Vec<u8>, DocumentError> {
        if entry.is_encrypted {
            return Err(DocumentError::Encrypted);
        }
        let unreadable = |_| broken("it is cut off");
        let mut file = &self.file;
        let mut head = [0; LOCAL_BYTES];
        file.seek(SeekFrom::Start(entry.offset)).map_err(unreadable)?;
        file.read_exact(&mut head).map_err(unreadable)?;
        if head[..4] != *b"PK\x03\x04" {
            return Err(broken("an entry is not where the directory says"));
        }
        let skipped = u64::from(u16_at(&head, 26)) + u64::from(u16_at(&head, 28));
        let start = entry.offset + LOCAL_BYTES as u64 + skipped;
        file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        let packed = file.take(entry.packed_bytes);
        let mut bytes = Vec::new();
        let read = match entry.method {
            STORED => packed.take(bytes_max + 1).read_to_end(&mut bytes),
            DEFLATED => DeflateDecoder::new(packed).take(bytes_max + 1).read_to_end(&mut bytes),
            _ => return Err(broken("an entry is packed in a way that is not known")),
        };
        read.map_err(|_| broken("an entry does not unpack"))?;
        if bytes.len() as u64 > bytes_max {
            return Err(DocumentError::TooMuchInZip {
                what: "an entry that unpacks to more than a picture has",
                max: "64 MiB an entry",
            });
        }
        let mut crc = Crc::new();
        crc.update(&bytes);
        if crc.sum() != entry.crc {
            return Err(broken("an entry's checksum is wrong"));
        }
        Ok(bytes)
    }
}

struct Directory {
    count: usize,
    bytes: Vec<u8>,
}

fn read_directory(file: &mut File) -> Result<Directory, DocumentError> {
    let unreadable = |_| broken("its end cannot be read");
    let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    let tail_bytes = length.min((END_BYTES + COMMENT_BYTES_MAX) as u64);
    file.seek(SeekFrom::Start(length - tail_bytes)).map_err(unreadable)?;
    let mut tail = vec![0; tail_bytes as usize];
    file.read_exact(&mut tail).map_err(unreadable)?;
    let starts = (0..tail.len().saturating_sub(END_BYTES - 1)).rev();
    let at = starts.into_iter().find(|at| tail[*at..].starts_with(b"PK\x05\x06"));
    let end = &tail[at.ok_or(broken("its directory is missing; it was cut off"))?..];
    let (count, bytes, offset) =
        (u16_at(end, 10), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    let is_zip64 = count == u16::MAX || offset == u64::from(u32::MAX);
    if is_zip64 || usize::from(count) > ENTRIES_MAX || bytes > DIRECTORY_BYTES_MAX {
        let (what, max) = ("entries, or bytes in all", "20,000 entries and 4 GiB");
        return Err(DocumentError::TooMuchInZip { what, max });
    }
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    let mut directory = vec![0; bytes as usize];
    file.read_exact(&mut directory).map_err(unreadable)?;
    Ok(Directory { count: usize::from(count), bytes: directory })
}

impl Entry {
    /// Takes the next entry off the directory.
    fn take(rest: &mut &[u8]) -> Option<Self> {
        let (head, after) = rest.split_at_checked(ENTRY_BYTES)?;
        if head[..4] != *b"PK\x01\x02" {
            return None;
        }
        let length = |at| usize::from(u16_at(head, at));
        let (name, after) = after.split_at_checked(length(28))?;
        let (_, after) = after.split_at_checked(length(30) + length(32))?;
        *rest = after;
        Some(Self {
            name: name.to_vec(),
            bytes: u32_at(head, 24).into(),
            packed_bytes: u32_at(head, 20).into(),
            crc: u32_at(head, 16),
            method: u16_at(head, 10),
            is_encrypted: u16_at(head, 8) & 1 == 1,
            offset: u32_at(head, 42).into(),
        })
    }
}

/// Little-endian numbers; the callers' slices are long enough.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The order of pages: numbers in names count as numbers, so that `2.jpg` comes before `10.jpg`.
pub(super) fn natural_order(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    let (mut one, mut other) = (one, other);
    while !one.is_empty() && !other.is_empty() {
        let by_number = match (number(&mut one), number(&mut other)) {
            // Without leading zeros, the longer number is the larger.
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            // A number comes before a letter.
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        if by_number.is_ne() {
            return by_number;
        }
        if let (Some((a, one_rest)), Some((b, other_rest))) =
            (one.split_first(), other.split_first())
        {
            let by_letter = a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
            if by_letter.is_ne() {
                return by_letter;
            }
            (one, other) = (one_rest, other_rest);
        }
    }
    // What ends first comes first.
    one.len().cmp(&other.len())
}

/// Takes a number off the front, without its leading zeros.
fn number<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    (digits > 0).then_some(&number[zeros..])
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// Writes an archive; entries with a true flag are deflated.
    pub(in crate::document) fn zip(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, bytes, is_packed) in entries {
            let mut crc = Crc::new();
            crc.update(bytes);
            let mut packer =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            let packed = if *is_packed { packer.finish().unwrap() } else { bytes.to_vec() };
            let mut head = vec![20, 0, 0, 0, if *is_packed { 8 } else { 0 }, 0, 0, 0, 0, 0];
            head.extend(crc.sum().to_le_bytes());
            head.extend((packed.len() as u32).to_le_bytes());
            head.extend((bytes.len() as u32).to_le_bytes());
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            let offset = out.len() as u32;
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&head);
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.as_bytes());
            out.extend(b"PK\x03\x04");
            out.extend(&head);
            out.extend(name.as_bytes());
            out.extend(packed);
        }
        let count = (entries.len() as u16).to_le_bytes();
        let (offset, bytes) = (out.len() as u32, directory.len() as u32);
        out.extend(directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([count, count].concat());
        out.extend(bytes.to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend([0, 0]);
        out
    }

    fn open(bytes: &[u8]) -> Result<Archive, DocumentError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, bytes).unwrap();
        Archive::open(&path)
    }

    #[test]
    fn entries_unpack_to_what_was_packed() {
        let long = b"hello ".repeat(1000);
        let archive = open(&zip(&[("a", b"stored", false), ("b/c", &long, true)])).unwrap();
        assert_eq!(archive.entries[1].name, b"b/c");
        assert_eq!(archive.unpack(&archive.entries[0], 6).unwrap(), b"stored");
        assert_eq!(archive.unpack(&archive.entries[1], 6000).unwrap(), long);
        let error = archive.unpack(&archive.entries[1], 5999).unwrap_err();
        assert_eq!(error.code(), "zip_too_large");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_bound_whatever_it_claims() {
        let mut bomb = zip(&[("a", &vec![0; 10 << 20], true)]);
        let at = bomb.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        bomb[at + 24..at + 28].copy_from_slice(&[9, 0, 0, 0]);
        let archive = open(&bomb).unwrap();
        assert_eq!(archive.bytes(), 9, "what it claims");
        assert_eq!(
            archive.unpack(&archive.entries[0], 1 << 20).unwrap_err().code(),
            "zip_too_large"
        );
    }

    #[test]
    fn damaged_archives_are_refused() {
        let good = zip(&[("a", b"some bytes", false)]);
        assert_eq!(open(&good[..good.len() - 10]).unwrap_err().code(), "broken_zip");
        assert_eq!(open(b"").unwrap_err().code(), "broken_zip");
        let mut changed = good.clone();
        changed[LOCAL_BYTES + 3] ^= 1;
        let archive = open(&changed).unwrap();
        let error = archive.unpack(&archive.entries[0], 99).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
        let mut locked = good.clone();
        let at = locked.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        locked[at + 8] |= 1;
        let archive = open(&locked).unwrap();
        assert_eq!(archive.unpack(&archive.entries[0], 99).unwrap_err().code(), "encrypted");
        let mut endless = good.clone();
        let end = endless.len() - END_BYTES;
        endless[end + 10..end + 12].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(open(&endless).unwrap_err().code(), "zip_too_large");
    }

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["b1", "a10.jpg", "A2.jpg", "a2b", "a02c", "", "a"];
        names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(names, ["", "a", "A2.jpg", "a2b", "a02c", "a10.jpg", "b1"]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            is_ended: bool,
        ) {
            if is_ended {
                bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\0\0\0\0\0\0");
            }
            if let Ok(archive) = open(&bytes) {
                for entry in &archive.entries {
                    let _ = archive.unpack(entry, 1000);
                }
            }
        }

        #[test]
        fn a_changed_byte_never_gives_other_content(at in 0usize..200, byte: u8) {
            let content = b"some bytes".as_slice();
            let mut bytes = zip(&[("a", content, true)]);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(archive) = open(&bytes) {
                for entry in &archive.entries {
                    if let Ok(found) = archive.unpack(entry, 1000) {
                        // The directory's own checksum may be what was changed to fit nothing.
                        prop_assert!(found == content || found.is_empty());
                    }
                }
            }
        }
    }
}
