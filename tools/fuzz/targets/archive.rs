//! Archives as teachers upload them: zips of pictures, presentations, Office files of old.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use yingxue_codec::document::{archive_bytes, check_presentation, detect};

fuzz_target!(|bytes: &[u8]| {
    // The readers want a file; the marks of the formats get every input past the first look.
    for mark in [&b""[..], b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"] {
        let mut file = tempfile::NamedTempFile::new().expect("a folder for files that go away");
        file.write_all(mark).and_then(|()| file.write_all(bytes)).expect("room for a small file");
        let _ = detect(file.path());
        let _ = check_presentation(file.path());
        let _ = archive_bytes(file.path());
    }
});
