//! Epochs, envelopes, statements of witnesses and invitations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::journal::SignedEnvelope;
use yingxue_sync_core::membership::SignedEpoch;
use yingxue_sync_core::membership::invitation::Invitation;
use yingxue_sync_core::witness::SignedStatement;

fuzz_target!(|bytes: &[u8]| {
    let _ = SignedEpoch::decode(bytes);
    let _ = SignedEnvelope::decode(bytes);
    let _ = SignedStatement::decode(bytes);
    if let Some(invitation) = std::str::from_utf8(bytes).ok().and_then(Invitation::from_text) {
        assert_eq!(Invitation::from_text(&invitation.to_text()), Some(invitation));
    }
});
