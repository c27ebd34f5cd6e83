//! Reads the pages of a damaged database without SQLite, which gives up where one is wrong. The
//! write-ahead log lies over the file as far as it was committed and its sums are right.
//!
//! SQLite's "Database File Format" is the source: §1.3 header, §4.1 to 4.3 of the log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const WAL_MAGIC: u32 = 0x377f_0682;
const WAL_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
/// SQLite's own default, which the hub never changes: taken where neither header reads.
const PAGE_BYTES_DEFAULT: usize = 4_096;
/// Pages of the largest database that is read: 64 GiB; a hub with 100,000 lessons has two.
const PAGES_MAX: u64 = 1 << 24;

/// The pages of a database file and of its log, each of which may be damaged.
pub(super) struct Pages {
    file: Option<File>,
    wal: Option<File>,
    page_bytes: usize,
    reserved_bytes: usize,
    file_pages: u32,
    /// Where the newest committed copy of a page lies in the log.
    committed: BTreeMap<u32, u64>,
    /// Every frame of the log, also those that do not count: number of the page, and offset.
    frames: Vec<(u32, u64)>,
    commits_lost: usize,
}

impl Pages {
    /// Opens what is there of a database and its log.
    ///
    /// # Errors
    /// If a file that is there cannot be opened, or is longer than any hub's.
    pub(super) fn open(database: &Path, wal: &Path) -> io::Result<Self> {
        let (file, wal) = (open(database)?, open(wal)?);
        let header = file.as_ref().and_then(|file| read(file, 0, 100));
        let page_bytes = header.as_ref().and_then(|h| page_bytes(h)).or_else(|| {
            let header = read(wal.as_ref()?, 0, WAL_HEADER_BYTES as usize)?;
            is_page_size(be_u32(&header, 8) as usize)
        });
        let reserved_bytes = header.filter(|h| h.starts_with(MAGIC)).map_or(0, |h| h[20].into());
        let page_bytes = page_bytes.unwrap_or(PAGE_BYTES_DEFAULT);
        let bytes = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|it| it.len()))?;
        let file_pages = bytes.div_ceil(page_bytes as u64);
        if file_pages > PAGES_MAX {
            return Err(io::Error::other("the damaged database is longer than 64 GiB"));
        }
        let mut pages = Self {
            file,
            wal,
            page_bytes,
            reserved_bytes,
            file_pages: u32::try_from(file_pages).unwrap_or(u32::MAX),
            committed: BTreeMap::new(),
            frames: Vec::new(),
            commits_lost: 0,
        };
        pages.read_wal();
        Ok(pages)
    }

    /// Gives a page as the last commit left it, or nothing if it cannot be read whole.
    pub(super) fn page(&self, number: u32) -> Option<Vec<u8>> {
        let in_wal = self.committed.get(&number);
        match (in_wal, &self.wal) {
            (Some(offset), Some(wal)) => read(wal, *offset, self.page_bytes),
            _ => self.page_of_file(number),
        }
    }

    /// Counts the bytes of a page that b-trees use.
    pub(super) const fn usable_bytes(&self) -> usize {
        self.page_bytes - self.reserved_bytes
    }

    /// Gives every copy of every page that can be read, in the file and in the log, with its
    /// number; also those that do not count any more.
    pub(super) fn copies(&self) -> impl Iterator<Item = (u32, Vec<u8>)> + '_ {
        let of_file = (1..=self.file_pages).map(|n| (n, self.page_of_file(n)));
        let of_wal = self.frames.iter().map(|(n, offset)| {
            (*n, self.wal.as_ref().and_then(|wal| read(wal, *offset, self.page_bytes)))
        });
        of_file.chain(of_wal).filter_map(|(n, bytes)| Some((n, bytes?)))
    }

    fn page_of_file(&self, number: u32) -> Option<Vec<u8>> {
        let at = u64::from(number.checked_sub(1)?) * self.page_bytes as u64;
        read(self.file.as_ref()?, at, self.page_bytes)
    }

    /// Counts the commits that stand in the log behind something wrong: SQLite passes over them
    /// in silence.
    pub(super) const fn commits_lost(&self) -> usize {
        self.commits_lost
    }

    /// Gives the pages in the log that SQLite passes over: behind something wrong, or of a change
    /// whose end is missing.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = (u32, Vec<u8>)> + '_ {
        let is_left = |(number, at): &&(u32, u64)| {
            let newest = self.committed.get(number);
            newest.is_none_or(|committed| committed < at)
        };
        self.frames.iter().filter(is_left).filter_map(|(number, at)| {
            Some((*number, read(self.wal.as_ref()?, *at, self.page_bytes)?))
        })
    }

    fn read_wal(&mut self) {
        let Some(wal) = &self.wal else { return };
        let Some(header) = read(wal, 0, WAL_HEADER_BYTES as usize) else { return };
        let magic = be_u32(&header, 0);
        let mut sum = Sum { is_big_endian: magic & 1 == 1, a: 0, b: 0 };
        sum.add(&header[..24]);
        let is_known = magic & !1 == WAL_MAGIC && be_u32(&header, 8) as usize == self.page_bytes;
        let mut counts = is_known && sum.is(&header[24..32]);
        let mut salt = counts.then(|| header[16..24].to_vec());
        let frame_bytes = FRAME_HEADER_BYTES + self.page_bytes as u64;
        let (mut at, mut open) = (WAL_HEADER_BYTES, BTreeMap::new());
        while let Some(frame) = read(wal, at, frame_bytes as usize) {
            let (number, is_commit) = (be_u32(&frame, 0), be_u32(&frame, 4) > 0);
            let page_at = at + FRAME_HEADER_BYTES;
            self.frames.push((number, page_at));
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER_BYTES as usize..]);
            // Frames of the log's life before this one have another salt.
            let is_of_now = *salt.get_or_insert_with(|| frame[8..16].to_vec()) == frame[8..16];
            counts &= is_of_now && sum.is(&frame[16..24]);
            if counts {
                open.insert(number, page_at);
                if is_commit {
                    self.committed.append(&mut open);
                }
            } else if is_of_now && is_commit && number > 0 {
                self.commits_lost += 1;
            }
            at += frame_bytes;
        }
    }
}

/// The running sum over a log (§4.2).
struct Sum {
    is_big_endian: bool,
    a: u32,
    b: u32,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if self.is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
            };
            self.a = self.a.wrapping_add(word(0)).wrapping_add(self.b);
            self.b = self.b.wrapping_add(word(4)).wrapping_add(self.a);
        }
    }

    fn is(&self, noted: &[u8]) -> bool {
        (be_u32(noted, 0), be_u32(noted, 4)) == (self.a, self.b)
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads bytes that are all there; a disk that cannot read them has lost them.
fn read(file: &File, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

fn page_bytes(header: &[u8]) -> Option<usize> {
    let noted = usize::from(u16::from_be_bytes([header[16], header[17]]));
    // 65,536 does not fit and is written as 1.
    let noted = if noted == 1 { 65_536 } else { noted };
    is_page_size(noted).filter(|_| header.starts_with(MAGIC))
}

fn is_page_size(bytes: usize) -> Option<usize> {
    ((512..=65_536).contains(&bytes) && bytes.is_power_of_two()).then_some(bytes)
}

/// Reads four bytes, the highest first; the caller knows that they are there.
fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
