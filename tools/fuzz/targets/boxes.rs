//! Boxes of tracks, as they come from another hub or from ffmpeg.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_codec::{decode, scan};

fuzz_target!(|bytes: &[u8]| {
    let _ = scan::init(bytes);
    let _ = scan::fragment(bytes);
    if scan::samples(bytes).is_ok_and(|samples| samples.len() < 4) {
        let _ = decode::pictures(bytes);
    }
});
