//! Pictures of tracks, as they come from another hub: what dav1d's port makes of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_codec::{decode, scan};

fuzz_target!(|bytes: &[u8]| {
    if scan::samples(bytes).is_ok_and(|samples| samples.len() < 4) {
        let _ = decode::pictures(bytes);
    }
});
