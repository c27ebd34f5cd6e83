//! What an import keeps of a file and what it leaves out, in words.

use super::Note;
use crate::probe::{Probe, SubtitleStream};
use crate::track::CAPTIONS_MAX;

/// The notes that follow from what the file is.
pub(crate) fn of(probe: &Probe) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |code, text: String| notes.push(Note::new(code, text));
    if let Some(video) = &probe.video {
        if probe.pictures > 1 {
            let (count, index) = (probe.pictures, video.index);
            note("one_picture_of_many", format!("{count} picture streams; stream {index} is kept"));
        }
        if video.is_interlaced {
            note("deinterlaced", "the picture is interlaced; its lines are put together".into());
        }
        if video.rotation != 0 {
            let turn = video.rotation;
            note("turned", format!("the picture is turned by {turn}° and is stored upright"));
        }
    }
    if let Some(audio) = &probe.audio {
        if probe.sounds.len() > 1 {
            let (count, index) = (probe.sounds.len(), audio.index);
            let language = spoken(audio.language.as_deref());
            note(
                "one_sound_of_many",
                format!("{count} sound streams; stream {index}{language} is kept"),
            );
        }
        if audio.channels > 2 {
            let count = audio.channels;
            note("mixed_down", format!("{count} sound channels are mixed down"));
        }
    }
    if probe.covers > 0 {
        note("cover_left_out", "a cover picture is attached; it is left out".into());
    }
    if probe.others > 0 {
        let count = probe.others;
        note("others_left_out", format!("{count} streams of other data are left out"));
    }
    notes.extend(of_subtitles(&probe.subtitles));
    notes
}

fn of_subtitles(streams: &[SubtitleStream]) -> Vec<Note> {
    let mut notes = Vec::new();
    let (texts, pictures): (Vec<_>, Vec<_>) = streams.iter().partition(|stream| stream.is_text);
    let kept = texts.iter().take(usize::from(CAPTIONS_MAX));
    for (n, stream) in (1..).zip(kept) {
        let language = spoken(stream.language.as_deref());
        let text =
            format!("the subtitles of stream {}{language} become captions {n}", stream.index);
        notes.push(Note::new("captions_kept", text));
    }
    if texts.len() > usize::from(CAPTIONS_MAX) {
        let count = texts.len();
        let text = format!("{count} text subtitles; the first {CAPTIONS_MAX} are kept");
        notes.push(Note::new("captions_too_many", text));
    }
    for stream in pictures {
        let (index, codec) = (stream.index, &stream.codec);
        let text = format!(
            "the subtitles of stream {index} ({codec}) are pictures, not text; they are left out"
        );
        notes.push(Note::new("picture_subtitles_left_out", text));
    }
    notes
}

fn spoken(language: Option<&str>) -> String {
    language.map_or(String::new(), |language| format!(" ({language})"))
}
