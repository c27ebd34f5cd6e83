//! What a GOP shows: slides and screens, or camera pictures. The encoder's best settings differ.

/// Side of the squares that are compared, in pixels.
const SQUARE: usize = 16;
/// Mean difference of a square, in levels of 255, from which it counts as changed: above the noise
/// that a recording's own encoder leaves.
const DIFFERENCE_MIN: u32 = 2;
/// Pairs of pictures that are compared, evenly over the GOP.
const PAIRS: usize = 6;
/// How many pictures apart those of a pair are: a tenth to a third of a second, so that a person
/// who moves slowly is seen to move.
const APART: usize = 4;

/// What a GOP shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Most of the picture stands still: slides, a screen, a board, also with a face in a corner.
    Slides,
    /// Most of it moves.
    Camera,
}

impl Content {
    /// Looks at planar pictures of `width` × `height`.
    pub(crate) fn of(frames: &[&[u8]], width: usize, height: usize) -> Self {
        let luma = width * height;
        let last = frames.len().saturating_sub(1);
        let (mut changed, mut all) = (0, 0);
        for pair in 0..PAIRS {
            let at = last * pair / PAIRS;
            let later = (at + APART).min(last);
            let (one, other) = match (frames.get(at), frames.get(later)) {
                (Some(one), Some(other)) if at < later => (&one[..luma], &other[..luma]),
                _ => continue,
            };
            let band = width * SQUARE;
            for (one, other) in one.chunks_exact(band).zip(other.chunks_exact(band)) {
                changed += changed_squares(one, other, width);
                all += width / SQUARE;
            }
        }
        if 2 * changed > all { Self::Camera } else { Self::Slides }
    }
}

fn changed_squares(one: &[u8], other: &[u8], width: usize) -> usize {
    let mut sums = vec![0u32; width / SQUARE];
    for (one, other) in one.chunks_exact(width).zip(other.chunks_exact(width)) {
        let squares = one.chunks_exact(SQUARE).zip(other.chunks_exact(SQUARE));
        for (sum, (one, other)) in sums.iter_mut().zip(squares) {
            *sum += one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
        }
    }
    let least = DIFFERENCE_MIN * (SQUARE * SQUARE) as u32;
    sums.iter().filter(|sum| **sum >= least).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 160;
    const HEIGHT: usize = 96;

    /// Noise in the left `moving` columns, different in every picture.
    fn pictures(count: usize, moving: usize) -> Vec<Vec<u8>> {
        let level = |n: usize, at: usize| match at % WIDTH < moving {
            true => (at * 7919 + n * 104_729) as u8,
            false => 200,
        };
        (0..count).map(|n| (0..WIDTH * HEIGHT).map(|at| level(n, at)).collect()).collect()
    }

    fn content(pictures: &[Vec<u8>]) -> Content {
        let frames: Vec<&[u8]> = pictures.iter().map(|picture| &picture[..]).collect();
        Content::of(&frames, WIDTH, HEIGHT)
    }

    #[test]
    fn a_face_in_the_corner_leaves_a_slide_a_slide() {
        assert_eq!(content(&pictures(50, 48)), Content::Slides);
        assert_eq!(content(&pictures(50, 128)), Content::Camera);
    }

    #[test]
    fn one_picture_alone_and_none_are_slides() {
        assert_eq!(content(&pictures(1, 160)), Content::Slides);
        assert_eq!(content(&[]), Content::Slides);
        assert_eq!(content(&pictures(2, 160)), Content::Camera);
    }
}
