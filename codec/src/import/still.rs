//! Pictures that do not change are not encoded again: each is shown until the next one differs.
//!
//! A picture is compared with the last one that was kept, block by block, so that slow changes
//! add up to a difference, and a pen stroke in one corner counts as much as a new slide.

use serde::{Deserialize, Serialize};

use crate::frame_size::FrameSize;

/// Side of a block in pixels: the width of a written stroke on 640×360, twice.
const BLOCK: usize = 8;
/// Mean difference of a block, in levels of 255, up to which it counts as the same. A source's
/// key frames make still slides pulse by one or two; a stroke of one pixel's width makes five.
const DIFFERENCE_MAX: u32 = 3;

/// So many pictures in a GOP are few: they are encoded by themselves, as those of another page. A
/// cross-fade of 0.6 s has eight.
pub(super) const FEW_PICTURES: usize = 10;

/// One picture to encode, and for how many frames it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// Which frame of those given.
    pub(super) frame: usize,
    /// From 1.
    pub(super) frames: u32,
}

/// The last GOP that showed one picture throughout, and that picture: what a later GOP that shows
/// the same need not encode again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Stays(Option<(u64, Vec<u8>)>);

impl Stays {
    /// What it is once GOP `n`, which shows `picture` throughout, was the last of its kind.
    pub(super) fn since(n: u64, picture: Vec<u8>) -> Self {
        Self(Some((n, picture)))
    }

    /// The number of that GOP.
    pub(super) fn number(&self) -> Option<u64> {
        self.0.as_ref().map(|(n, _)| *n)
    }

    /// Takes GOP `n`, in order; says which earlier one shows the same picture throughout.
    pub(super) fn repeated(&mut self, n: u64, frames: &[u8], size: &FrameSize) -> Option<u64> {
        let shows = |picture: &[u8]| {
            frames.chunks_exact(size.frame_bytes()).all(|frame| is_same(picture, frame, size))
        };
        if let Some((earlier, picture)) = &self.0
            && shows(picture)
        {
            return Some(*earlier);
        }
        let first = &frames[..size.frame_bytes()];
        if shows(first) {
            self.0 = Some((n, first.to_vec()));
        }
        None
    }
}

/// Finds the pictures to encode among planar 4:2:0 frames; the first is always one of them.
pub(super) fn pictures(frames: &[u8], size: &FrameSize) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let frame_bytes = size.frame_bytes();
    for (frame, picture) in frames.chunks_exact(frame_bytes).enumerate() {
        match shown.last_mut() {
            Some(last)
                if is_same(&frames[last.frame * frame_bytes..][..frame_bytes], picture, size) =>
            {
                last.frames += 1;
            }
            _ => shown.push(Shown { frame, frames: 1 }),
        }
    }
    shown
}

/// Whether [`pictures`] finds few; soon known of frames that move.
pub(super) fn has_few(frames: &[u8], size: &FrameSize) -> bool {
    let mut frames = frames.chunks_exact(size.frame_bytes());
    let Some(mut kept) = frames.next() else { return true };
    let mut count = 1;
    for picture in frames {
        if !is_same(kept, picture, size) {
            kept = picture;
            count += 1;
        }
        if count > FEW_PICTURES {
            return false;
        }
    }
    true
}

fn is_same(one: &[u8], other: &[u8], size: &FrameSize) -> bool {
    let (width, height) = (size.width as usize, size.height as usize);
    let luma = width * height;
    let chroma = luma / 4;
    let planes = [
        (0..luma, width),
        (luma..luma + chroma, width / 2),
        (luma + chroma..luma + 2 * chroma, width / 2),
    ];
    planes
        .into_iter()
        .all(|(range, width)| is_same_plane(&one[range.clone()], &other[range], width))
}

/// Compares bands of a block's height; the sums of a band's blocks are kept side by side.
fn is_same_plane(one: &[u8], other: &[u8], width: usize) -> bool {
    let mut sums = vec![0u32; width.div_ceil(BLOCK)];
    one.chunks(width * BLOCK).zip(other.chunks(width * BLOCK)).all(|(one, other)| {
        if one == other {
            return true;
        }
        let rows = one.len() / width;
        sums.fill(0);
        for (one, other) in one.chunks_exact(width).zip(other.chunks_exact(width)) {
            for (sum, (one, other)) in
                sums.iter_mut().zip(one.chunks(BLOCK).zip(other.chunks(BLOCK)))
            {
                *sum += one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            }
        }
        let pixels = |block: usize| (rows * BLOCK.min(width - block * BLOCK)) as u32;
        (0..).zip(&sums).all(|(block, sum)| *sum <= DIFFERENCE_MAX * pixels(block))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: FrameSize =
        FrameSize { scaled_width: 22, scaled_height: 20, width: 22, height: 20 };

    fn grey() -> Vec<u8> {
        vec![100; SIZE.frame_bytes()]
    }

    fn found(frames: &[Vec<u8>]) -> Vec<(usize, u32)> {
        pictures(&frames.concat(), &SIZE).iter().map(|shown| (shown.frame, shown.frames)).collect()
    }

    #[test]
    fn a_still_slide_is_one_picture_though_its_source_pulses() {
        let pulsed = grey().iter().map(|level| level + 2).collect();
        assert_eq!(found(&[grey(), pulsed, grey()]), [(0, 3)]);
    }

    #[test]
    fn a_gop_repeats_the_last_one_that_stayed_and_never_drifts_from_it() {
        let gop = |levels: [u8; 2]| levels.map(|level| vec![level; SIZE.frame_bytes()]).concat();
        let mut stays = Stays::default();
        let mut repeated = |n, levels| stays.repeated(n, &gop(levels), &SIZE);
        assert_eq!(repeated(0, [100, 101]), None);
        assert_eq!(repeated(1, [102, 103]), Some(0));
        // Near to the one before, but not to the picture that is shown.
        assert_eq!(repeated(2, [104, 104]), None);
        assert_eq!(repeated(3, [104, 90]), None, "it moves");
        assert_eq!(repeated(4, [105, 104]), Some(2));
    }

    #[test]
    fn a_stroke_of_one_pixel_is_a_new_picture_wherever_it_is() {
        for at in [0, 21, 22 * 19, 22 * 20 - 1] {
            let mut drawn = grey();
            let row = at / 22 * 22;
            drawn[row..row + 22].fill(200);
            drawn[at] = 200;
            assert_eq!(found(&[grey(), drawn]), [(0, 1), (1, 1)], "at {at}");
        }
    }

    #[test]
    fn a_change_of_colour_alone_is_a_new_picture() {
        let mut tinted = grey();
        let last = tinted.len() - 30;
        tinted[last..].fill(140);
        assert_eq!(found(&[grey(), tinted]), [(0, 1), (1, 1)]);
    }

    #[test]
    fn few_are_as_many_as_are_found() {
        for count in [1, FEW_PICTURES, FEW_PICTURES + 1, 3 * FEW_PICTURES] {
            let changing = (0..count).map(|n| vec![40 + 5 * n as u8; SIZE.frame_bytes()]);
            let frames: Vec<Vec<u8>> = changing.flat_map(|frame| [frame.clone(), frame]).collect();
            assert_eq!(found(&frames).len(), count);
            assert_eq!(has_few(&frames.concat(), &SIZE), count <= FEW_PICTURES);
        }
    }

    #[test]
    fn a_slow_fade_is_followed() {
        let fade: Vec<Vec<u8>> = (0..9).map(|step| vec![100 + step; SIZE.frame_bytes()]).collect();
        assert_eq!(found(&fade), [(0, 4), (4, 4), (8, 1)]);
    }
}
