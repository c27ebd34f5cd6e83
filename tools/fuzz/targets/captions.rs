//! Subtitle files as teachers upload them: SubRip, WebVTT, ASS, in any encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_codec::subtitles::Subtitles;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Subtitles::read(bytes, "课.srt") {
        assert!(read.count() > 0);
        // No text of a cue may be taken for the times of another.
        let written = read.to_webvtt();
        assert_eq!(written.lines().filter(|line| line.contains("-->")).count(), read.count());
    }
});
