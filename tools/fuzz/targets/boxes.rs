//! Boxes of tracks, as they come from another hub or from ffmpeg; the first two bytes cut the
//! input into an init segment and a segment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_codec::{fuzzing, scan, slide};

fuzz_target!(|bytes: &[u8]| {
    let _ = scan::init(bytes);
    let _ = scan::without_index(bytes);
    let _ = scan::fragment(bytes);
    let _ = scan::sample_ticks(bytes, 1);
    let _ = scan::samples(bytes);
    let Some((cut, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (init, segment) = rest.split_at(usize::from(u16::from_le_bytes(*cut)).min(rest.len()));
    fuzzing::joined(init, segment);
    let _ = slide::avif(init, segment);
});
