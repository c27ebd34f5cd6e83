//! Slides found in the picture: are they all there, is nothing else, is the text sharp.

use anyhow::{Context, Result, ensure};
use yingxue_codec::decode::pictures;
use yingxue_codec::quality::ssim_map;
use yingxue_codec::track::TrackKind;

use super::clips::{Clips, FADE_S, SLIDE_S, SLIDES};
use super::frames::Decoder;
use super::import::{Import, Track};
use super::lab::Lab;
use crate::bench::figures::{Figures, median, say};

/// The lossless lecture's size.
const SIZE: (usize, usize) = (1280, 720);
/// Brightness alone, as it is coded.
const LUMA: &str = "format=yuv420p,extractplanes=y";
/// A slide is found if its still begins so soon after it came, in seconds: half of its time.
const LATE_S_MAX: f64 = SLIDE_S / 2.0;
/// A fade may be taken for its slide a moment early: the import looks 12.5 times a second.
const EARLY_S_MAX: f64 = 0.1;
/// Below it a still is not the slide that it stands for.
const SAME_SSIM_MIN: f64 = 0.8;
/// Between two moments at which a still may have been taken; the import looks as often.
const MOMENTS_PER_S: f64 = 12.5;
/// Ink and paper of a text differ by at least so many levels of 255.
const CONTRAST_MIN: u8 = 80;
/// The share of a window's pixels that are ink or paper, rather than between; a photograph has
/// every level.
const INK_OR_PAPER_MIN: f64 = 0.6;

/// A still of the track.
struct Still {
    at_s: f64,
    kib: f64,
    luma: Vec<u8>,
}

/// `slides_*` and `slide_*`.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let stills = stills(lab.lecture()?)?;
    let texts = (0..SLIDES).map(|slide| text_ssim(&lab.clips, slide, &stills));
    let texts: Vec<f64> = texts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    figures.put("slides_found", texts.len() as f64);
    figures.put("slides_false_lecture", (stills.len() - texts.len()) as f64);
    let kib = stills.iter().map(|still| still.kib).collect();
    figures.put("slide_kib_median", median(kib));
    ensure!(!texts.is_empty(), "no slide was found, so no text is compared");
    figures.put("slide_text_ssim", texts.iter().sum::<f64>() / texts.len() as f64);
    figures.put("slide_text_ssim_min", texts.iter().copied().fold(1.0, f64::min));
    let in_motion = lab.motion()?.track(TrackKind::Slides)?.info.segments.len();
    say(&format!("{in_motion} stills in {} s of motion; the first is not false", lab.clip_s()));
    figures.put("slides_false", in_motion.saturating_sub(1) as f64);
    Ok(())
}

fn stills(import: &Import) -> Result<Vec<Still>> {
    let track: &Track = import.track(TrackKind::Slides)?;
    let mut at_ticks = 0;
    let mut stills = Vec::new();
    for (segment, info) in track.segments()?.iter().zip(&track.info.segments) {
        let picture = pictures(segment)?.into_iter().next().context("a still without a picture")?;
        let size = (picture.width as usize, picture.height as usize);
        ensure!(size == SIZE, "a still of {size:?}; the source has {SIZE:?}");
        let at_s = at_ticks as f64 / f64::from(track.info.timescale);
        stills.push(Still { at_s, kib: segment.len() as f64 / 1024.0, luma: picture.luma });
        at_ticks += u64::from(info.duration_ticks);
    }
    ensure!(!stills.is_empty(), "a track without stills");
    Ok(stills)
}

/// Gives the SSIM of a slide's text if there is a still of it.
fn text_ssim(clips: &Clips, slide: usize, stills: &[Still]) -> Result<Option<f64>> {
    let from_s = slide as f64 * SLIDE_S;
    let is_in_time = |s: &&Still| (from_s - EARLY_S_MAX..from_s + LATE_S_MAX).contains(&s.at_s);
    let moments = moments(clips, slide)?;
    let (early, late) = (&moments[moments.len() / 4], &moments[moments.len() * 3 / 4]);
    let text = text_windows(early, late, SIZE.0);
    ensure!(!text.is_empty(), "slide {slide} has no text");
    let mut best: Option<(f64, &Still)> = None;
    for still in stills.iter().filter(is_in_time) {
        // The pointer moves over the text: only the same moment shows it at the same place.
        for moment in &moments {
            let ssim = ssim_at(&text, moment, &still.luma);
            best = best.filter(|(most, _)| *most >= ssim).or(Some((ssim, still)));
        }
    }
    if let Some((ssim, still)) = best {
        let (at_s, kib, windows) = (still.at_s, still.kib, text.len());
        say(&format!(
            "slide {slide}: still at {at_s:.2} s, {kib:.1} KiB, text SSIM {ssim:.4} ({windows})"
        ));
    }
    Ok(best.map(|(ssim, _)| ssim).filter(|ssim| *ssim >= SAME_SSIM_MIN))
}

/// The lossless pictures while nothing but a slide is shown.
fn moments(clips: &Clips, slide: usize) -> Result<Vec<Vec<u8>>> {
    let from = (slide as f64 * SLIDE_S + FADE_S).to_string();
    let seconds = (SLIDE_S - FADE_S).to_string();
    let filters = format!("fps={MOMENTS_PER_S},{LUMA}");
    let input = ["-ss", &from, "-t", &seconds];
    let mut decoder = Decoder::start(&clips.lossless(), &input, &filters, SIZE.0 * SIZE.1)?;
    let mut moments = Vec::new();
    while let Some(luma) = decoder.next()? {
        moments.push(luma.to_vec());
    }
    ensure!(moments.len() > 4, "the lossless lecture ends before its slide {slide}");
    Ok(moments)
}

fn ssim_at(windows: &[usize], one: &[u8], other: &[u8]) -> f64 {
    let map = ssim_map(one, other, SIZE.0);
    windows.iter().map(|at| f64::from(map.values[*at])).sum::<f64>() / windows.len() as f64
}

/// The places in an [`ssim_map`] of windows that hold text: ink on paper, and the same at both
/// moments, which neither the head nor the pointer is.
fn text_windows(early: &[u8], late: &[u8], width: usize) -> Vec<usize> {
    let (columns, rows) = (width / 4 - 1, early.len() / width / 4 - 1);
    let row = |luma: &[u8], x: usize, y: usize, dy: usize| -> [u8; 8] {
        let from = (4 * y + dy) * width + 4 * x;
        luma[from..from + 8].try_into().expect("eight pixels")
    };
    let is_text = |at: &usize| {
        let (x, y) = (at % columns, at / columns);
        let pixels = |luma| (0..8).flat_map(move |dy| row(luma, x, y, dy)).collect::<Vec<u8>>();
        let window = pixels(early);
        window == pixels(late) && is_ink_on_paper(&window)
    };
    (0..columns * rows).filter(is_text).collect()
}

fn is_ink_on_paper(window: &[u8]) -> bool {
    let (Some(ink), Some(paper)) = (window.iter().min(), window.iter().max()) else { return false };
    let contrast = paper - ink;
    let is_either = |level: &&u8| {
        let near = contrast / 8;
        **level <= ink + near || **level >= paper - near
    };
    let either = window.iter().filter(is_either).count();
    contrast >= CONTRAST_MIN && either as f64 >= INK_OR_PAPER_MIN * window.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_text_and_ramps_and_moving_things_are_not() {
        let (width, height) = (32, 16);
        let mut early = vec![230u8; width * height];
        // A stroke in the left half; a ramp of greys in the right half.
        for y in 0..height {
            early[y * width + 3] = 20;
            for x in 16..32 {
                early[y * width + x] = 230 - (x - 16) as u8 * 14;
            }
        }
        let columns = width / 4 - 1;
        let text = text_windows(&early, &early, width);
        let on_stroke: Vec<usize> = (0..3).map(|y| y * columns).collect();
        assert_eq!(text, on_stroke);
        let mut late = early.clone();
        late[2 * width + 5] = 100;
        assert_eq!(text_windows(&early, &late, width), [columns, 2 * columns]);
    }

    #[test]
    fn grey_on_grey_is_no_text() {
        let mut window = [100u8; 64];
        window[7] = 170;
        assert!(!is_ink_on_paper(&window));
        window[7] = 190;
        assert!(is_ink_on_paper(&window));
    }
}
