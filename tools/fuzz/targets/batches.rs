//! Batches of a contact, unpacked: envelopes that fill holes, and statements of witnesses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::journal::SignedEnvelope;
use yingxue_sync_core::wire::{pack_batches, unpack_batch};
use yingxue_sync_core::witness::{SignedStatement, StatementReader};

fuzz_target!(|bytes: &[u8]| {
    let Some(parts) = unpack_batch(bytes) else { return };
    let mut reader = StatementReader::default();
    for part in &parts {
        let _ = SignedEnvelope::decode(part);
        // What was right before must not make anything right that is not.
        assert_eq!(reader.read(part).is_ok(), SignedStatement::decode(part).is_ok());
    }
    let packed = pack_batches(&parts);
    let unpacked: Option<Vec<_>> = packed.iter().map(|batch| unpack_batch(batch)).collect();
    assert_eq!(unpacked.map(|batches| batches.concat()), Some(parts));
});
