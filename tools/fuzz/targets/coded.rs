//! What encoders write: temporal units of AV1, IVF files, AAC in ADTS.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| yingxue_codec::fuzzing::coded(bytes));
