//! The segment index (`sidx`, ISO/IEC 14496-12 §8.16.3): where each segment of a file begins, so
//! that a player that opens the file itself can go to any time with one more request.
//!
//! It lies between `moov` and the first `moof`, and counts as a part of the init segment: media
//! source extensions pass over it there, and no byte of the file is outside of a segment.

use mp4_atom::{Encode, SegmentReference, Sidx};

use crate::track::SegmentInfo;

/// Bytes of an index without references.
const EMPTY_BYTES: usize = 32;
/// Bytes of one reference.
const REFERENCE_BYTES: usize = 12;
/// Bytes of the head of a box; a `free` box fills what is reserved too much.
const HEAD_BYTES: usize = 8;
/// The largest referenced size: 31 bits.
const REFERENCED_BYTES_MAX: u64 = (1 << 31) - 1;

/// Adds the index to an init segment whose file goes on with exactly these segments.
pub(crate) fn indexed(mut init: Vec<u8>, timescale: u32, segments: &[SegmentInfo]) -> Vec<u8> {
    init.extend(encode(timescale, segments, 1, 0));
    init
}

/// How many bytes to keep free for the index of a file whose segments are not counted yet.
pub(crate) fn reserved_bytes(segments_expected: u64) -> usize {
    let expected = usize::try_from(segments_expected).unwrap_or(usize::MAX).clamp(1, 60_000);
    EMPTY_BYTES + REFERENCE_BYTES * expected + HEAD_BYTES
}

/// Gives an index of exactly `bytes`, which [`reserved_bytes`] has said: filled up if there are
/// fewer segments than expected, and with several segments to a reference if there are more.
pub(crate) fn within(bytes: usize, timescale: u32, segments: &[SegmentInfo]) -> Vec<u8> {
    let references_max = (bytes - EMPTY_BYTES - HEAD_BYTES) / REFERENCE_BYTES;
    let together = segments.len().div_ceil(references_max).max(1);
    let references = segments.len().div_ceil(together);
    let filler_bytes = bytes - EMPTY_BYTES - REFERENCE_BYTES * references;
    let mut out = encode(timescale, segments, together, filler_bytes as u64);
    let filler_bytes = bytes - out.len();
    out.extend_from_slice(&(filler_bytes as u32).to_be_bytes());
    out.extend_from_slice(b"free");
    out.resize(bytes, 0);
    out
}

/// Encodes the box; nothing if a segment is larger than the box can say, which no file of ours
/// has.
fn encode(timescale: u32, segments: &[SegmentInfo], together: usize, first_offset: u64) -> Vec<u8> {
    let references: Option<Vec<_>> = segments.chunks(together).map(reference).collect();
    let Some(references) = references else { return Vec::new() };
    let index = Sidx {
        reference_id: super::TRACK_ID,
        timescale,
        earliest_presentation_time: 0,
        first_offset,
        references,
    };
    let mut out = Vec::new();
    // More references than 16 bits can count: the file plays without.
    index.encode(&mut out).map_or_else(|_| Vec::new(), |()| out)
}

fn reference(segments: &[SegmentInfo]) -> Option<SegmentReference> {
    let bytes: u64 = segments.iter().map(|s| u64::from(s.bytes)).sum();
    let ticks: u64 = segments.iter().map(|s| u64::from(s.duration_ticks)).sum();
    Some(SegmentReference {
        reference_type: false,
        referenced_size: u32::try_from(bytes.min(REFERENCED_BYTES_MAX + 1))
            .ok()
            .filter(|bytes| u64::from(*bytes) <= REFERENCED_BYTES_MAX)?,
        subsegment_duration: u32::try_from(ticks).ok()?,
        // Every segment begins at a sample that decodes by itself (ISO/IEC 14496-12 Annex I).
        starts_with_sap: true,
        sap_type: 1,
        sap_delta_time: 0,
    })
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode;

    use super::*;
    use crate::cmaf::scan::BoxHead;

    fn segments(count: u32) -> Vec<SegmentInfo> {
        (1..=count).map(|n| SegmentInfo { duration_ticks: 4000, bytes: 100 + n }).collect()
    }

    #[test]
    fn an_index_names_every_segment_and_begins_after_itself() {
        let box_bytes = indexed(Vec::new(), 1000, &segments(3));
        assert_eq!(box_bytes.len(), EMPTY_BYTES + 3 * REFERENCE_BYTES);
        let read = Sidx::decode(&mut &box_bytes[..]).unwrap();
        let sizes: Vec<u32> = read.references.iter().map(|r| r.referenced_size).collect();
        assert_eq!((sizes, read.first_offset, read.timescale), (vec![101, 102, 103], 0, 1000));
    }

    #[test]
    fn what_was_reserved_is_filled_exactly_whatever_the_count_turns_out_to_be() {
        let bytes = reserved_bytes(10);
        for count in [1, 9, 10, 11, 95] {
            let all = within(bytes, 1000, &segments(count));
            assert_eq!(all.len(), bytes, "{count}");
            let read = Sidx::decode(&mut &all[..]).unwrap();
            let index_bytes = BoxHead::read(&all).unwrap().total_bytes as usize;
            let filler = BoxHead::read(&all[index_bytes..]).unwrap();
            assert_eq!((&filler.kind, filler.total_bytes), (b"free", read.first_offset));
            assert_eq!(index_bytes as u64 + filler.total_bytes, bytes as u64);
            let named: u32 = read.references.iter().map(|r| r.referenced_size).sum();
            assert_eq!(named, segments(count).iter().map(|s| s.bytes).sum::<u32>());
            let ticks: u32 = read.references.iter().map(|r| r.subsegment_duration).sum();
            assert_eq!(ticks, count * 4000);
        }
    }

    #[test]
    fn a_segment_too_large_for_the_box_leaves_only_filler() {
        let huge = [SegmentInfo { duration_ticks: 1, bytes: u32::MAX }];
        let all = within(reserved_bytes(1), 1000, &huge);
        let filler = BoxHead::read(&all).unwrap();
        assert_eq!((&filler.kind, filler.total_bytes), (b"free", all.len() as u64));
        assert_eq!(indexed(vec![7], 1000, &huge), [7]);
    }
}
