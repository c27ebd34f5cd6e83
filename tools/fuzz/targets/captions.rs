//! Subtitle files as teachers upload them: SubRip, WebVTT, ASS, in any encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_codec::subtitles::Subtitles;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Subtitles::read(bytes, "课.srt") {
        assert!(read.count() > 0);
        let written = read.to_webvtt();
        let again = Subtitles::read(written.as_bytes(), "课.srt").expect("we read what we write");
        assert_eq!(again.to_webvtt(), written);
    }
});
