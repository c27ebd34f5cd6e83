//! Makes the demo lesson: slides drawn by libass, speech by espeak-ng, put together by ffmpeg.
//!
//! A slide is a row of beats; a beat is a sentence and what appears while it is spoken. Each
//! sentence is synthesised by itself, so the picture follows the speech by construction.

mod ass;
mod slides;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use ass::Item;

/// The slides' typeface; it has the Chinese and the Latin letters.
const FONT: &str = "Noto Sans CJK SC";
/// About 3.5 syllables a second in Mandarin, as a teacher speaks to a class.
const WORDS_PER_MINUTE: &str = "250";
/// Silence after each sentence, and more after a slide, as long as a breath.
const PAUSE_MS: u64 = 450;
const SLIDE_PAUSE_MS: u64 = 700;

/// A sentence and what appears when it begins.
pub struct Beat {
    /// What is said, in Mandarin; nothing is said if it is empty.
    pub speech: &'static str,
    /// Silence afterwards on top of the usual one, so that the class can think.
    pub wait_ms: u64,
    /// What appears, until the slide ends.
    pub items: Vec<Item>,
}

/// One slide.
pub struct Slide {
    /// Is shown from the slide's first moment.
    pub frame: Vec<Item>,
    /// What follows, in order.
    pub beats: Vec<Beat>,
}

/// Writes the lesson to `out`, by way of a file beside it so that no half lesson is ever found.
pub fn make(out: &Path) -> Result<()> {
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("make the folder {}", dir.display()))?;
    let work = tempfile::tempdir_in(dir).context("make a temporary folder")?;
    let mut speech = Speech::default();
    let mut events = Vec::new();
    let slides = slides::all();
    for (number, slide) in slides.iter().enumerate() {
        println!("demo lesson: slide {} of {}", number + 1, slides.len());
        lay_out(slide, work.path(), &mut speech, &mut events)?;
    }
    fs::write(work.path().join("slides.ass"), ass::script(FONT, &events))?;
    fs::write(work.path().join("speech.raw"), &speech.pcm)?;
    let duration_ms = speech.duration_ms();
    println!("demo lesson: encoding {} s of video", duration_ms / 1000);
    let lesson = work.path().join("lesson.mp4");
    encode(work.path(), &lesson, duration_ms, speech.sample_rate)?;
    fs::rename(&lesson, out).with_context(|| format!("write {}", out.display()))?;
    println!("demo lesson: {}", out.display());
    Ok(())
}

fn lay_out(
    slide: &Slide,
    work: &Path,
    speech: &mut Speech,
    events: &mut Vec<ass::Event>,
) -> Result<()> {
    let begin_ms = speech.duration_ms();
    let first_event = events.len();
    let mut show = |items: &[Item], from_ms| {
        events.extend(items.iter().map(|item| ass::Event {
            item: item.clone(),
            from_ms,
            to_ms: 0,
        }));
    };
    show(&slide.frame, begin_ms);
    speech.silence(SLIDE_PAUSE_MS / 2);
    for beat in &slide.beats {
        show(&beat.items, speech.duration_ms());
        if !beat.speech.is_empty() {
            speech.say(beat.speech, work)?;
        }
        speech.silence(PAUSE_MS + beat.wait_ms);
    }
    speech.silence(SLIDE_PAUSE_MS);
    let end_ms = speech.duration_ms();
    events[first_event..].iter_mut().for_each(|event| event.to_ms = end_ms);
    Ok(())
}

/// The sound so far: 16-bit mono samples.
#[derive(Default)]
struct Speech {
    pcm: Vec<u8>,
    sample_rate: u64,
}

impl Speech {
    /// What espeak-ng's Mandarin voice gives.
    const SAMPLE_RATE: u64 = 22_050;

    fn duration_ms(&self) -> u64 {
        self.pcm.len() as u64 / 2 * 1000 / Self::SAMPLE_RATE
    }

    fn silence(&mut self, ms: u64) {
        let samples = Self::SAMPLE_RATE * ms / 1000;
        self.pcm.resize(self.pcm.len() + samples as usize * 2, 0);
    }

    fn say(&mut self, text: &str, work: &Path) -> Result<()> {
        let wav = work.join("sentence.wav");
        let status = Command::new("espeak-ng")
            .args(["-v", "cmn", "-s", WORDS_PER_MINUTE, "-w"])
            .args([wav.as_os_str(), text.as_ref()])
            .status()
            .context("start espeak-ng (Debian package espeak-ng)")?;
        ensure!(status.success(), "espeak-ng ended with {status}");
        let (sample_rate, pcm) = wav_samples(&fs::read(&wav)?)?;
        ensure!(sample_rate == Self::SAMPLE_RATE, "espeak-ng gave {sample_rate} samples a second");
        self.sample_rate = sample_rate;
        self.pcm.extend(pcm);
        Ok(())
    }
}

/// Gives the sample rate and the samples of a 16-bit mono RIFF file.
fn wav_samples(wav: &[u8]) -> Result<(u64, Vec<u8>)> {
    let number = |at: usize| -> Result<usize> {
        let bytes = wav.get(at..at + 4).context("the speech file is cut short")?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize)
    };
    ensure!(wav.starts_with(b"RIFF"), "the speech file is not a WAV file");
    let (mut at, mut sample_rate) = (12, 0);
    while at + 8 <= wav.len() {
        let size = number(at + 4)?;
        match &wav[at..at + 4] {
            b"fmt " => sample_rate = number(at + 12)? as u64,
            b"data" => {
                let end = (at + 8 + size).min(wav.len());
                return Ok((sample_rate, wav[at + 8..end].to_vec()));
            }
            _ => {}
        }
        at += 8 + size + size % 2;
    }
    bail!("the speech file holds no samples")
}

fn encode(work: &Path, out: &Path, duration_ms: u64, sample_rate: u64) -> Result<()> {
    let seconds = format!("{}.{:03}", duration_ms / 1000, duration_ms % 1000);
    let picture = format!("color=c=0xFBF7EE:s=1280x720:r=25:d={seconds}");
    // Relative names only: a filter's argument would need its `:` and `\` escaped.
    let result = Command::new("ffmpeg")
        .current_dir(work)
        .args(["-hide_banner", "-nostdin", "-nostats", "-y", "-f", "lavfi", "-i", &picture])
        .args(["-f", "s16le", "-ar", &sample_rate.to_string(), "-ac", "1", "-i", "speech.raw"])
        .args(["-vf", "ass=slides.ass,format=yuv420p", "-af", "highpass=f=90,loudnorm=I=-18"])
        .args(["-c:v", "libx264", "-preset", "medium", "-crf", "20", "-g", "100"])
        .args([
            "-c:a",
            "aac",
            "-ar",
            "48000",
            "-b:a",
            "96k",
            "-movflags",
            "+faststart",
            "-shortest",
        ])
        .args(["-metadata", "title=分数的意义 The meaning of fractions"])
        .arg("lesson.mp4")
        .stderr(Stdio::piped())
        .output()
        .context("start ffmpeg (Debian package ffmpeg)")?;
    let said = String::from_utf8_lossy(&result.stderr);
    if !result.status.success() {
        bail!("ffmpeg ended with {}: {}", result.status, said.lines().last().unwrap_or("nothing"));
    }
    let has_font =
        said.lines().any(|line| line.contains("fontselect") && line.contains("NotoSansCJK"));
    ensure!(has_font, "the font {FONT} is missing (Debian package fonts-noto-cjk)");
    ensure!(out.exists(), "ffmpeg wrote no file");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_behind_other_chunks() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend(22_050u32.to_le_bytes());
        wav.extend([0; 8]);
        wav.extend(b"LIST\x02\0\0\0ab");
        wav.extend(b"data\x04\0\0\0\x01\x02\x03\x04");
        let (rate, samples) = wav_samples(&wav).unwrap();
        assert_eq!((rate, samples), (22_050, vec![1, 2, 3, 4]));
        assert!(wav_samples(&wav[..40]).is_err());
        assert!(wav_samples(b"not a sound").is_err());
    }

    #[test]
    fn every_slide_has_words_to_say_and_all_fit_the_screen() {
        for slide in slides::all() {
            assert!(slide.beats.iter().any(|beat| !beat.speech.is_empty()));
            let beats = slide.beats.iter().flat_map(|beat| &beat.items);
            for item in slide.frame.iter().chain(beats) {
                let (x, y) = item.anchor();
                assert!((0.0..=1280.0).contains(&x) && (0.0..=720.0).contains(&y), "{x},{y}");
            }
        }
    }
}
