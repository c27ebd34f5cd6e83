//! One MP4 out of tracks that are files of their own, without encoding anything again.
//!
//! The segments are put one after the other in the order of time, each with the number of its
//! track in the new file. That changes values inside boxes and no length, so the whole file's
//! layout is known from the tracks' descriptions, and any range of it can be given without making
//! the rest: nothing is written to disk, and a download can be resumed.

use std::ops::Range;

use mp4_atom::{Decode, Encode, Ftyp, Mehd, Moov, Mvex, Mvhd, Trex};

use crate::cmaf::index;
use crate::cmaf::scan::{self, BoxHead, ScanError};
use crate::track::{SegmentInfo, TrackInfo};

/// The most tracks of one file; a picture and a sound, and room.
const TRACKS_MAX: usize = 4;
/// Of a segment's beginning, what [`Part::renumber`] has to see, in bytes: its `moof`. 4 s of
/// ours have below 2 KiB.
pub const BEGINNING_BYTES_MAX: usize = 64 << 10;
/// `base-data-offset-present` of a track fragment: an absolute place in its file.
const HAS_ABSOLUTE_OFFSET: u32 = 1;

/// A track that goes into the file.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What is known of it.
    pub info: &'a TrackInfo,
    /// The bytes of its init segment.
    pub init: &'a [u8],
}

/// Why tracks do not go into one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// None, or more than four.
    #[error("{0} tracks; allowed are 1 to {TRACKS_MAX}")]
    Tracks(usize),
    /// An init segment is not that of one track.
    #[error("an init segment of another form: {0}")]
    Init(#[from] ScanError),
}

/// Where everything of the file lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    head: Vec<u8>,
    parts: Vec<Part>,
}

/// One segment at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it begins in the file.
    pub start: u64,
    /// Which input it is of.
    pub input: usize,
    /// Its bytes in the file of that input.
    pub source: Range<u64>,
    track_id: u32,
    sequence_number: u32,
}

impl Layout {
    /// Plans the file; the first input sets the order: each of its segments is followed by what
    /// of the others begins before its end.
    pub fn new(inputs: &[Input]) -> Result<Self, MuxError> {
        let inits: Vec<&[u8]> = inputs.iter().map(|input| input.init).collect();
        let head = join(&inits)?;
        let mut parts = Vec::new();
        let mut groups = Vec::new();
        let mut waiting: Vec<_> =
            (1..).zip(&inputs[1..]).map(|(n, i)| Segments::of(n, i)).collect();
        let mut main = Segments::of(0, &inputs[0]);
        while let Some(part) = main.next() {
            let is_last = main.rest.is_empty();
            let first = parts.len();
            parts.push(part);
            for others in &mut waiting {
                parts.extend(others.until(if is_last { u64::MAX } else { main.start_us }));
            }
            let bytes: u64 = parts[first..].iter().map(Part::bytes).sum();
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            groups.push(SegmentInfo { duration_ticks: main.last_ticks, bytes });
        }
        let head = index::indexed(head, inputs[0].info.timescale, &groups);
        Ok(Self { parts: place(parts, head.len() as u64), head })
    }

    /// Gives what comes before the first segment.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The length of the file in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.parts.last().map_or(self.head.len() as u64, |part| part.start + part.bytes())
    }

    /// Finds the segment that holds a byte of the file; none for the head, and past the end.
    pub fn part_at(&self, offset: u64) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.start <= offset);
        let part = self.parts.get(after.checked_sub(1)?)?;
        (offset < part.start + part.bytes()).then_some(part)
    }

    /// Gives the segments in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Part {
    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.source.end - self.source.start
    }

    /// Puts the numbers of the new file into a segment's first bytes: all of them, or
    /// [`BEGINNING_BYTES_MAX`].
    ///
    /// # Errors
    /// If the segment is not one `moof` of one track and its `mdat`, as ours are.
    pub fn renumber(&self, beginning: &mut [u8]) -> Result<(), ScanError> {
        renumber(beginning, self.bytes(), self.track_id, self.sequence_number)
    }
}

/// Joins one-track init segments into one; the tracks are numbered from 1 in their order.
pub(crate) fn join(inits: &[&[u8]]) -> Result<Vec<u8>, MuxError> {
    if !(1..=TRACKS_MAX).contains(&inits.len()) {
        return Err(MuxError::Tracks(inits.len()));
    }
    let mut joined = Moov { mvhd: Mvhd::default(), ..Moov::default() };
    let (mut all_trex, mut duration) = (Vec::new(), 0);
    for (track_id, init) in (1..).zip(inits) {
        scan::init(init)?;
        let moov = movie(init)?;
        let [mut trak] = <[_; 1]>::try_from(moov.trak).map_err(|_| ScanError::Missing("trak"))?;
        trak.tkhd.track_id = track_id;
        let mvex = moov.mvex.unwrap_or_default();
        let trex = mvex.trex.into_iter().next().ok_or(ScanError::Missing("trex"))?;
        all_trex.push(Trex { track_id, ..trex });
        duration = duration.max(mvex.mehd.map_or(0, |mehd| mehd.fragment_duration));
        joined.mvhd = Mvhd { next_track_id: track_id + 1, ..moov.mvhd };
        joined.trak.push(trak);
    }
    let mehd = Some(Mehd { fragment_duration: duration });
    joined.mvex = Some(Mvex { mehd, trex: all_trex });
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"mp41".into()],
    };
    let mut out = Vec::new();
    ftyp.encode(&mut out).map_err(|_| ScanError::Damaged("ftyp"))?;
    joined.encode(&mut out).map_err(|_| ScanError::Damaged("moov"))?;
    Ok(out)
}

fn movie(init: &[u8]) -> Result<Moov, ScanError> {
    let moov = scan::boxes(init)?.into_iter().find(|(kind, _)| kind == b"moov");
    let (_, whole) = moov.ok_or(ScanError::Missing("moov"))?;
    Moov::decode(&mut &*whole).map_err(|_| ScanError::Damaged("moov"))
}

/// Puts a track's number and the place in the sequence into the first bytes of a segment of
/// `segment_bytes`.
pub(crate) fn renumber(
    beginning: &mut [u8],
    segment_bytes: u64,
    track_id: u32,
    sequence_number: u32,
) -> Result<(), ScanError> {
    let moof = BoxHead::read(beginning)?;
    let moof_bytes = usize::try_from(moof.total_bytes).map_err(|_| ScanError::Length)?;
    let media = BoxHead::read(beginning.get(moof_bytes..).ok_or(ScanError::Length)?)?;
    let is_whole = moof.total_bytes.checked_add(media.total_bytes) == Some(segment_bytes);
    if &moof.kind != b"moof" || &media.kind != b"mdat" || !is_whole {
        return Err(ScanError::Damaged("moof"));
    }
    let inside = moof.head_bytes as usize..moof_bytes;
    let sequence = only(beginning, inside.clone(), *b"mfhd")?;
    let fragment = only(beginning, inside, *b"traf")?;
    let header = only(beginning, fragment, *b"tfhd")?;
    let flags = word(beginning, header.start)?;
    if flags & HAS_ABSOLUTE_OFFSET != 0 {
        return Err(ScanError::Damaged("tfhd"));
    }
    put_word(beginning, sequence.start + 4, sequence_number)?;
    put_word(beginning, header.start + 4, track_id)
}

/// Finds the only child of a kind within a range of bytes; gives the range of its body.
pub(crate) fn only(
    bytes: &[u8],
    within: Range<usize>,
    kind: [u8; 4],
) -> Result<Range<usize>, ScanError> {
    let mut found = None;
    let mut at = within.start;
    while at < within.end {
        let head = BoxHead::read(bytes.get(at..within.end).ok_or(ScanError::Length)?)?;
        let total = usize::try_from(head.total_bytes).map_err(|_| ScanError::Length)?;
        let end = at.checked_add(total).filter(|end| *end <= within.end);
        let end = end.ok_or(ScanError::Length)?;
        if head.kind == kind && found.replace(at + head.head_bytes as usize..end).is_some() {
            return Err(ScanError::Damaged("moof"));
        }
        at = end;
    }
    found.ok_or(ScanError::Missing("traf"))
}

fn word(bytes: &[u8], at: usize) -> Result<u32, ScanError> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map(|word| u32::from_be_bytes(*word)).ok_or(ScanError::Length)
}

pub(crate) fn put_word(bytes: &mut [u8], at: usize, value: u32) -> Result<(), ScanError> {
    let place = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>());
    *place.ok_or(ScanError::Length)? = value.to_be_bytes();
    Ok(())
}

/// The segments of one input that are not placed yet.
struct Segments<'a> {
    input: usize,
    timescale: u64,
    rest: &'a [SegmentInfo],
    at: u64,
    start_ticks: u64,
    /// When the next one starts, in microseconds.
    start_us: u64,
    last_ticks: u32,
}

impl<'a> Segments<'a> {
    fn of(input: usize, track: &Input<'a>) -> Self {
        Self {
            input,
            timescale: track.info.timescale.max(1).into(),
            rest: &track.info.segments,
            at: track.info.init_bytes.into(),
            start_ticks: 0,
            start_us: 0,
            last_ticks: 0,
        }
    }

    fn next(&mut self) -> Option<Part> {
        let (segment, rest) = self.rest.split_first()?;
        let source = self.at..self.at + u64::from(segment.bytes);
        self.rest = rest;
        self.at = source.end;
        self.start_ticks += u64::from(segment.duration_ticks);
        self.start_us =
            (u128::from(self.start_ticks) * 1_000_000 / u128::from(self.timescale)) as u64;
        self.last_ticks = segment.duration_ticks;
        let track_id = self.input as u32 + 1;
        Some(Part { start: 0, input: self.input, source, track_id, sequence_number: 0 })
    }

    fn until(&mut self, end_us: u64) -> Vec<Part> {
        let mut parts = Vec::new();
        while self.start_us < end_us
            && let Some(part) = self.next()
        {
            parts.push(part);
        }
        parts
    }
}

fn place(mut parts: Vec<Part>, mut at: u64) -> Vec<Part> {
    for (number, part) in (1..).zip(&mut parts) {
        part.start = at;
        part.sequence_number = number;
        at += part.bytes();
    }
    parts
}

#[cfg(test)]
mod tests;
