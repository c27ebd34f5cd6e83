//! Batches of a contact, unpacked: envelopes that fill holes, and statements of witnesses. Hardly
//! any bytes are a batch, since it is compressed; so they are also taken for its parts, each after
//! two bytes that say how long it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_sync_core::journal::SignedEnvelope;
use yingxue_sync_core::wire::{pack_batches, unpack_batch};
use yingxue_sync_core::witness::{SignedStatement, StatementReader};

fuzz_target!(|bytes: &[u8]| {
    let unpacked = unpack_batch(bytes);
    for parts in unpacked.into_iter().chain([cut(bytes)]) {
        let mut reader = StatementReader::default();
        for part in &parts {
            let _ = SignedEnvelope::decode(part);
            // What was right before must not make anything right that is not.
            assert_eq!(reader.read(part).is_ok(), SignedStatement::decode(part).is_ok());
        }
        let packed = pack_batches(&parts);
        let unpacked: Option<Vec<_>> = packed.iter().map(|batch| unpack_batch(batch)).collect();
        assert_eq!(unpacked.map(|batches| batches.concat()), Some(parts));
    }
});

/// No more parts than a batch may have.
const PARTS_MAX: usize = 1024;

fn cut(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while parts.len() < PARTS_MAX
        && let Some((length, rest)) = bytes.split_first_chunk::<2>()
    {
        let (part, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        parts.push(part.to_vec());
        bytes = rest;
    }
    parts
}
