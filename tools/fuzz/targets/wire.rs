//! Frames from a contact: two-byte lengths cut the input into frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::wire::{Reassembly, class_of};

fuzz_target!(|bytes: &[u8]| {
    let mut reassembly = Reassembly::default();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        let _ = class_of(frame);
        match reassembly.push(frame) {
            Ok(Some(message)) => drop(message.frames()),
            Ok(None) => {}
            Err(_) => break,
        }
        rest = after;
    }
});
