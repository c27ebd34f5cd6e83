//! What comes from sticks: manifests, receipts, answers to invitations, frames of segments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::courier::{
    FRAME_BYTES_MAX, FRAME_HEAD_BYTES, Frame, SignedAnswer, SignedManifest, SignedReceipt,
    frame_bytes,
};
use yingxue_sync_core::membership::invitation::Invitation;

fuzz_target!(|bytes: &[u8]| {
    let _ = SignedManifest::decode(bytes);
    let _ = SignedReceipt::decode(bytes);
    let _ = SignedAnswer::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Invitation::from_text(text);
    }
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_first_chunk::<FRAME_HEAD_BYTES>() {
        let Ok(length) = frame_bytes(*head) else { return };
        assert!(length <= FRAME_BYTES_MAX);
        let Some((body, tail)) = tail.split_at_checked(length) else { return };
        if let Ok(frame) = Frame::decode(*head, body) {
            let encoded = frame.encode();
            let (head, body) = encoded.split_first_chunk().expect("a frame has a head");
            assert_eq!(Frame::decode(*head, body), Ok(frame));
        }
        rest = tail;
    }
});
