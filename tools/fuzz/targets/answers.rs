//! What child programs answer about a teacher's file: ffprobe, pdfinfo, pages and pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| yingxue_codec::fuzzing::answers(bytes));
