//! Finds the moments when a recorded page changes, in the small luma pictures of a lesson.
//!
//! Each picture is shrunk to at most 320×180 and cut into blocks of 4×4. A block is *settled*
//! while it stays close to what it was when it last moved, *restless* if it keeps moving (a head in
//! the corner, a film inside a page), and *changed* if it differs from the slide that is shown. A
//! slide is found when enough changed blocks that are not restless have settled: many at once are
//! a new page; a few are a line that was added, and wait longer. Nothing but the pictures decides,
//! so the same pictures always give the same slides.

use serde::{Deserialize, Serialize};

/// Pictures a second that the times of this module are counted in: 25/2.
const FRAME_MS: u64 = 80;
/// The widest picture that is looked at; wider ones are halved. Letters of 12 pixels at 720p are
/// 3 pixels here, and the noise of a source's key frames is averaged away.
const WIDTH_MAX: usize = 320;
/// Side of a block in pixels of the shrunk picture: a letter or two of 720p.
const BLOCK: usize = 4;
/// The sum of differences in a block from which it counts as moved: 7 levels a pixel. Key frames
/// make a slide pulse by one to three; a thin stroke that crosses a block makes ten.
const DIFFERENCE_MIN: u32 = 7 * (BLOCK * BLOCK) as u32;
/// How long a block is still before it is settled: 0.8 s, longer than a fade's slowest step.
const SETTLED_FRAMES: u16 = 10;
/// How long the blocks of an added line must be still: 1.6 s, longer than a pause between two
/// strokes of chalk or the halt of a hand.
const BUILD_SETTLED_FRAMES: u16 = 20;
/// A restless block counts again once it is still for this long: 5 s, longer than a speaker
/// holds still.
const CALM_FRAMES: u16 = 62;
/// Movements of a block are told apart if they begin this far apart: 0.48 s, so that a fade is one.
const MOVEMENT_FRAMES: u64 = 6;
/// From how many recent movements on a block is restless. A page, its lines, and a pointer that
/// passes make up to four.
const RESTLESS_MIN: f32 = 6.0;
/// What is left of a movement after a second: they fade with a time constant of 15 s.
const MEMORY_PER_S: f32 = 0.9355;
/// Blocks around a restless one that count as restless as well: a shoulder moves less than a face.
const RESTLESS_MARGIN: usize = 2;
/// The share of blocks that, moving in one picture, are a cut and not a restless corner.
const CUT_SHARE: f32 = 0.4;
/// The share of all blocks that must have changed for a new page: a heading and three lines.
const PAGE_SHARE: f32 = 0.04;
/// The share of all blocks that must have changed for an added line, some 22 of 3,600: eight
/// letters of 720p. A pointer covers up to ten blocks.
const BUILD_SHARE: f32 = 0.006;
/// The share of the changed blocks that must have settled; the rest is a pointer or a hand.
const SETTLED_SHARE: f32 = 0.85;
/// How often the same block may be part of an added line; after that it is a person who leans to
/// and fro. A line is written, wiped off, and written again.
const BUILDS_OF_A_BLOCK_MAX: f32 = 2.0;
/// What is left of that count after a second: it fades with a time constant of 5 minutes.
const BUILD_MEMORY_PER_S: f32 = 0.9967;
/// Slides are at least this far apart: 2 s. Nobody reads faster.
const DISTANCE_FRAMES: u64 = 25;
/// How long the first slide may take to settle before it is taken as it is: 3 s.
const FIRST_FRAMES_MAX: u64 = 37;
/// The share of blocks that must have settled for the first slide.
const FIRST_SETTLED_SHARE: f32 = 0.6;
/// The most slides of a lesson: one every 20 s for 10 h; a track of 2,000 is 60 MB.
const SLIDES_MAX: usize = 2000;

/// New pages that may follow one another at once, and how far apart they are in the long run: a
/// teacher leafs through twenty pages; a film of still shots would otherwise be all slides.
const PAGES: Allowance = Allowance { most: 20.0, frames_each: 125.0 };
/// Added lines likewise: a list of six, then one every 20 s, so that a blackboard that fills up
/// costs three stills a minute.
const BUILDS: Allowance = Allowance { most: 6.0, frames_each: 250.0 };

/// When a slide is shown, and when its picture is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlideTime {
    /// When it appears, in milliseconds of the lesson; 0 for the first.
    pub start_ms: u64,
    /// A moment when it is whole and at rest: at or after `start_ms`, before the next slide.
    pub still_ms: u64,
}

/// How many slides of a kind may be found.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    most: f32,
    frames_each: f32,
}

/// Finds slides; it is shown every picture of a lesson in order. One that was written and read
/// again goes on as if it had not been.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finder {
    view: Option<View>,
    found: Vec<SlideTime>,
    /// When each was found, in pictures.
    last_frame: u64,
    last_start: u64,
    pages_left: f32,
    builds_left: f32,
}

impl Finder {
    /// Begins a lesson.
    pub fn new() -> Self {
        Self { pages_left: PAGES.most, builds_left: BUILDS.most, ..Self::default() }
    }

    /// Looks at picture `n` (from 0, 12.5 a second, none left out) of `width` × `height` bytes,
    /// at most 640×360 and at least 8×8. A picture of another size than the first is passed over.
    pub fn push(&mut self, n: u64, luma: &[u8], width: usize, height: usize) {
        let view = self.view.get_or_insert_with(|| View::new(width, height));
        if !view.look(n, luma, width, height) {
            return;
        }
        self.last_frame = n;
        self.pages_left = (self.pages_left + 1.0 / PAGES.frames_each).min(PAGES.most);
        self.builds_left = (self.builds_left + 1.0 / BUILDS.frames_each).min(BUILDS.most);
        if self.found.is_empty() {
            if view.has_settled(FIRST_SETTLED_SHARE) || n >= FIRST_FRAMES_MAX {
                view.keep_reference();
                self.found.push(SlideTime { start_ms: 0, still_ms: n * FRAME_MS });
            }
            return;
        }
        let is_early = n < self.last_start + DISTANCE_FRAMES;
        if is_early || self.found.len() == SLIDES_MAX {
            return;
        }
        let change = view.change();
        let Some(kind) = change.kind() else { return };
        let allowance = match kind {
            Kind::Page => &mut self.pages_left,
            Kind::Build => &mut self.builds_left,
        };
        if *allowance < 1.0 {
            return;
        }
        *allowance -= 1.0;
        let start = view.changed_since().max(self.last_start + DISTANCE_FRAMES).min(n);
        match kind {
            Kind::Page => view.blocks.iter_mut().for_each(|block| block.builds = 0.0),
            Kind::Build => view.count_build(),
        }
        view.keep_reference();
        self.last_start = start;
        self.found.push(SlideTime { start_ms: start * FRAME_MS, still_ms: n * FRAME_MS });
    }

    /// How many slides there are so far.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Ends the lesson: its slides in order, at least one if there was a picture.
    pub fn finish(mut self) -> Vec<SlideTime> {
        if self.found.is_empty() && self.view.is_some() {
            self.found.push(SlideTime { start_ms: 0, still_ms: self.last_frame * FRAME_MS });
        }
        self.found
    }
}

/// What a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Build,
}

/// Blocks that differ from the slide and are not restless.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    blocks: usize,
    changed: usize,
    settled: usize,
    /// Of those that changed, the ones that may be part of an added line.
    fresh: usize,
    fresh_settled: usize,
}

impl Change {
    fn kind(&self) -> Option<Kind> {
        let share = |share: f32, of: usize| (share * of as f32).max(1.0) as usize;
        if self.settled < share(SETTLED_SHARE, self.changed) {
            return None;
        }
        if self.settled >= share(PAGE_SHARE, self.blocks) {
            return Some(Kind::Page);
        }
        (self.fresh_settled >= share(BUILD_SHARE, self.blocks)
            && self.fresh_settled >= share(SETTLED_SHARE, self.fresh))
        .then_some(Kind::Build)
    }
}

/// What is known of the picture, block by block.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct View {
    from: (usize, usize),
    width: usize,
    columns: usize,
    now: Vec<u8>,
    /// What each block was when it last moved.
    anchor: Vec<u8>,
    /// The slide that is shown.
    reference: Vec<u8>,
    blocks: Vec<Block>,
    is_restless: Vec<bool>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    /// For how many pictures it has not moved.
    still_frames: u16,
    /// Recent movements, fading.
    movements: f32,
    moved_at: u64,
    /// Recent added lines that it was part of, fading.
    builds: f32,
    /// Since which picture it differs from the slide.
    changed_since: Option<u64>,
}

impl View {
    fn new(width: usize, height: usize) -> Self {
        let factor = factor(width);
        let (columns, rows) = (width / factor / BLOCK, height / factor / BLOCK);
        let pixels = columns * BLOCK * rows * BLOCK;
        Self {
            from: (width, height),
            width: columns * BLOCK,
            columns,
            now: vec![0; pixels],
            anchor: vec![0; pixels],
            reference: vec![0; pixels],
            blocks: vec![Block::default(); columns * rows],
            is_restless: vec![false; columns * rows],
        }
    }

    /// Takes in a picture; `false` if it has another size than the first.
    fn look(&mut self, n: u64, luma: &[u8], width: usize, height: usize) -> bool {
        if (width, height) != self.from || luma.len() < width * height || self.blocks.is_empty() {
            return false;
        }
        shrink(luma, width, &mut self.now, self.width);
        if n.is_multiple_of(1000 / FRAME_MS) {
            for block in &mut self.blocks {
                block.movements *= MEMORY_PER_S;
                block.builds *= BUILD_MEMORY_PER_S;
            }
            self.mark_restless();
        }
        let mut sums = vec![0; self.columns * 2];
        let mut moved = Vec::new();
        let band = self.width * BLOCK;
        for row in 0..self.blocks.len() / self.columns {
            let range = row * band..(row + 1) * band;
            let now = &self.now[range.clone()];
            let (to_anchor, to_reference) = sums.split_at_mut(self.columns);
            differences(now, &self.anchor[range.clone()], self.width, to_anchor);
            differences(now, &self.reference[range], self.width, to_reference);
            for column in 0..self.columns {
                let at = row * self.columns + column;
                let block = &mut self.blocks[at];
                block.changed_since = match to_reference[column] >= DIFFERENCE_MIN {
                    true => block.changed_since.or(Some(n)),
                    false => None,
                };
                block.still_frames = block.still_frames.saturating_add(1);
                if to_anchor[column] >= DIFFERENCE_MIN {
                    block.still_frames = 0;
                    moved.push(at);
                }
            }
        }
        self.take_movements(n, &moved);
        true
    }

    fn take_movements(&mut self, n: u64, moved: &[usize]) {
        let is_cut = moved.len() as f32 >= CUT_SHARE * self.blocks.len() as f32;
        for &at in moved {
            let (row, column) = (at / self.columns, at % self.columns);
            for y in row * BLOCK..(row + 1) * BLOCK {
                let range = y * self.width + column * BLOCK..y * self.width + (column + 1) * BLOCK;
                self.anchor[range.clone()].copy_from_slice(&self.now[range]);
            }
            let block = &mut self.blocks[at];
            if !is_cut && n >= block.moved_at + MOVEMENT_FRAMES {
                block.movements += 1.0;
                block.moved_at = n;
            }
        }
    }

    fn mark_restless(&mut self) {
        self.is_restless.fill(false);
        let rows = self.blocks.len() / self.columns;
        for (at, block) in self.blocks.iter().enumerate() {
            if block.movements < RESTLESS_MIN {
                continue;
            }
            let (row, column) = (at / self.columns, at % self.columns);
            let columns = column.saturating_sub(RESTLESS_MARGIN)
                ..(column + RESTLESS_MARGIN + 1).min(self.columns);
            for row in row.saturating_sub(RESTLESS_MARGIN)..(row + RESTLESS_MARGIN + 1).min(rows) {
                self.is_restless[row * self.columns..][columns.clone()].fill(true);
            }
        }
    }

    fn has_settled(&self, share: f32) -> bool {
        let settled = self.blocks.iter().filter(|b| b.still_frames >= SETTLED_FRAMES).count();
        settled as f32 >= share * self.blocks.len() as f32
    }

    fn changed(&self) -> impl Iterator<Item = (&Block, u64)> {
        let blocks = self.blocks.iter().zip(&self.is_restless);
        blocks.filter_map(|(block, is_restless)| {
            let counts = !is_restless || block.still_frames >= CALM_FRAMES;
            block.changed_since.filter(|_| counts).map(|since| (block, since))
        })
    }

    fn change(&self) -> Change {
        let mut change = Change { blocks: self.blocks.len(), ..Change::default() };
        for (block, _) in self.changed() {
            change.changed += 1;
            change.settled += usize::from(block.still_frames >= SETTLED_FRAMES);
            let is_fresh = block.builds < BUILDS_OF_A_BLOCK_MAX;
            let has_settled = block.still_frames >= BUILD_SETTLED_FRAMES;
            change.fresh += usize::from(is_fresh);
            change.fresh_settled += usize::from(is_fresh && has_settled);
        }
        change
    }

    /// When the change began: the median of its settled blocks, which no pointer moves.
    fn changed_since(&self) -> u64 {
        let settled = self.changed().filter(|(block, _)| block.still_frames >= SETTLED_FRAMES);
        let mut since: Vec<u64> = settled.map(|(_, since)| since).collect();
        since.sort_unstable();
        since.get(since.len() / 2).copied().unwrap_or(0)
    }

    /// Counts an added line for the blocks that it is made of.
    fn count_build(&mut self) {
        let changed = self.blocks.iter_mut().filter(|block| block.changed_since.is_some());
        changed.for_each(|block| block.builds += 1.0);
    }

    /// Makes the picture of now the slide that is shown.
    fn keep_reference(&mut self) {
        self.reference.copy_from_slice(&self.now);
        self.blocks.iter_mut().for_each(|block| block.changed_since = None);
    }
}

fn factor(width: usize) -> usize {
    if width > WIDTH_MAX { 2 } else { 1 }
}

/// Shrinks by a whole factor; what is beyond a whole block is left out.
fn shrink(luma: &[u8], width: usize, small: &mut [u8], small_width: usize) {
    if factor(width) == 1 {
        for (to, from) in small.chunks_exact_mut(small_width).zip(luma.chunks_exact(width)) {
            to.copy_from_slice(&from[..small_width]);
        }
        return;
    }
    for (to, from) in small.chunks_exact_mut(small_width).zip(luma.chunks_exact(2 * width)) {
        let (above, below) = from.split_at(width);
        let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
        for (to, (above, below)) in to.iter_mut().zip(pairs) {
            let sum = above.iter().chain(below).map(|level| u16::from(*level)).sum::<u16>();
            *to = ((sum + 2) / 4) as u8;
        }
    }
}

/// Sums the differences of each block of a band.
fn differences(one: &[u8], other: &[u8], width: usize, sums: &mut [u32]) {
    sums.fill(0);
    for (one, other) in one.chunks_exact(width).zip(other.chunks_exact(width)) {
        let blocks = one.chunks_exact(BLOCK).zip(other.chunks_exact(BLOCK));
        for (sum, (one, other)) in sums.iter_mut().zip(blocks) {
            *sum += one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 320;
    const HEIGHT: usize = 180;

    /// A number that looks random and is always the same.
    fn hash(a: usize, b: usize, c: usize) -> usize {
        let mut x = (a * 73_856_093) ^ (b * 19_349_663) ^ (c * 83_492_791);
        x ^= x >> 7;
        x.wrapping_mul(2_654_435_761) >> 8
    }

    fn paper() -> Vec<u8> {
        vec![230; WIDTH * HEIGHT]
    }

    /// Writes a line of letters, 8 pixels high, from `y` on.
    fn write_line(picture: &mut [u8], page: usize, y: usize) {
        for x in 20..200 {
            for row in 0..8 {
                if hash(page * 50 + y, x / 2, row / 3).is_multiple_of(3) {
                    picture[(y + row) * WIDTH + x] = 40;
                }
            }
        }
    }

    fn page(number: usize) -> Vec<u8> {
        let mut picture = paper();
        (0..7).for_each(|line| write_line(&mut picture, number, 12 + line * 22));
        picture
    }

    fn square(picture: &mut [u8], at: (usize, usize), size: (usize, usize), seed: usize) {
        for y in at.1..at.1 + size.1 {
            for x in at.0..at.0 + size.0 {
                picture[y * WIDTH + x] = 40 + (hash(x / 6, y / 6, seed) % 160) as u8;
            }
        }
    }

    /// Shows `seconds` of pictures and gives the starts of the slides in seconds.
    fn slides(seconds: f64, picture: impl Fn(f64, usize) -> Vec<u8>) -> Vec<f64> {
        let mut finder = Finder::new();
        for n in 0..(seconds * 12.5) as usize {
            finder.push(n as u64, &picture(n as f64 * 0.08, n), WIDTH, HEIGHT);
        }
        let found = finder.finish();
        for (slide, next) in found.iter().zip(found.iter().skip(1)) {
            assert!(slide.start_ms <= slide.still_ms && slide.still_ms < next.start_ms);
            assert!(next.start_ms - slide.start_ms >= 2000);
        }
        found.iter().map(|slide| slide.start_ms as f64 / 1000.0).collect()
    }

    fn assert_near(found: &[f64], wanted: &[f64]) {
        let is_near = found.len() == wanted.len()
            && found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.5);
        assert!(is_near, "found {found:?}, wanted {wanted:?}");
    }

    #[test]
    fn each_page_is_found_when_it_appears_and_again_when_it_comes_back() {
        let found = slides(20.0, |at, _| page([1, 2, 3, 1][(at / 5.0) as usize]));
        assert_near(&found, &[0.0, 5.0, 10.0, 15.0]);
    }

    #[test]
    fn a_pointer_and_the_pulse_of_key_frames_are_no_slides() {
        let found = slides(40.0, |at, n| {
            let mut picture = page(1);
            let step = if n % 25 == 0 { 3 } else { 0 };
            picture.iter_mut().for_each(|level| *level += step);
            // It moves for two seconds and rests for three.
            let at = at - at % 5.0 + (at % 5.0).min(2.0);
            let x = 100.0 + 90.0 * (at * 0.7).sin();
            square(&mut picture, (x as usize, 90), (6, 8), 1);
            picture
        });
        assert_near(&found, &[0.0]);
    }

    #[test]
    fn a_head_in_the_corner_is_no_slide_and_hides_none() {
        let found = slides(40.0, |at, n| {
            let mut picture = page((at / 10.0) as usize);
            square(&mut picture, (250, 120), (64, 54), n / 3);
            picture
        });
        assert_near(&found, &[0.0, 10.0, 20.0, 30.0]);
    }

    #[test]
    fn a_person_who_leans_to_and_fro_is_a_slide_a_few_times_at_most() {
        let found = slides(300.0, |at, _| {
            let mut picture = page(1);
            square(&mut picture, (250, 140), (48, 32), (at / 9.0) as usize);
            picture
        });
        assert!(found.len() <= 8, "{found:?}");
    }

    #[test]
    fn a_cross_fade_is_one_slide() {
        let (one, other) = (page(1), page(2));
        let found = slides(15.0, |at, _| {
            let share = ((at - 7.0) / 1.0).clamp(0.0, 1.0);
            let mix =
                |(a, b): (&u8, &u8)| (f64::from(*a) * (1.0 - share) + f64::from(*b) * share) as u8;
            one.iter().zip(&other).map(mix).collect()
        });
        assert_near(&found, &[0.0, 7.3]);
    }

    #[test]
    fn lines_that_are_added_are_slides() {
        let found = slides(24.0, |at, _| {
            let mut picture = paper();
            let lines = 1 + (at / 6.0) as usize;
            (0..lines).for_each(|line| write_line(&mut picture, 1, 12 + line * 22));
            picture
        });
        assert_near(&found, &[0.0, 6.0, 12.0, 18.0]);
    }

    #[test]
    fn handwriting_that_adds_up_is_a_slide_now_and_then() {
        let found = slides(120.0, |at, _| {
            let mut board = vec![60; WIDTH * HEIGHT];
            // Ten strokes a line, one a second, and three seconds of talk after each line.
            let strokes = (at / 13.0) as usize * 10 + ((at % 13.0) as usize).min(10);
            for stroke in 0..strokes {
                let (x, y) = (20 + stroke % 10 * 16, 20 + stroke / 10 * 16);
                for step in 0..10 {
                    board[(y + step) * WIDTH + x + step] = 220;
                    board[y * WIDTH + x + step] = 220;
                }
            }
            board
        });
        assert!((6..=13).contains(&found.len()), "{found:?}");
    }

    #[test]
    fn a_page_that_scrolls_counts_once_it_stands() {
        let tall: Vec<u8> = [page(1), page(2), page(3)].concat();
        let found = slides(24.0, |at, _| {
            let rows = ((at - 6.0).clamp(0.0, 6.0) * 30.0) as usize;
            tall[rows * WIDTH..][..WIDTH * HEIGHT].to_vec()
        });
        assert!((2..=3).contains(&found.len()), "{found:?}");
    }

    #[test]
    fn a_film_inside_a_page_is_no_slide() {
        let found = slides(30.0, |_, n| {
            let mut picture = page(1);
            square(&mut picture, (180, 30), (120, 90), n);
            picture
        });
        assert_near(&found, &[0.0]);
    }

    #[test]
    fn a_film_has_its_first_slide_and_hardly_more() {
        let found = slides(60.0, |at, n| {
            let mut picture = paper();
            square(&mut picture, (0, 0), (WIDTH, HEIGHT), (at / 6.0) as usize * 1000 + n);
            picture
        });
        assert_near(&found, &[0.0]);
    }

    #[test]
    fn short_and_odd_lessons_have_one_slide() {
        assert_near(&slides(0.2, |_, _| page(1)), &[0.0]);
        assert!(Finder::new().finish().is_empty());
        let mut finder = Finder::new();
        finder.push(0, &[7; 16 * 16], 16, 16);
        finder.push(1, &[9; 18 * 16], 18, 16);
        assert_eq!(finder.finish().len(), 1);
    }

    #[test]
    fn a_finder_that_was_written_and_read_goes_on_as_if_it_had_not_been() {
        let (mut whole, mut cut) = (Finder::new(), Finder::new());
        for n in 0..500 {
            if n % 90 == 7 {
                let written = postcard::to_stdvec(&cut).unwrap();
                cut = postcard::from_bytes(&written).unwrap();
            }
            let mut picture = page(n / 120);
            square(&mut picture, (250, 120), (64, 54), n / 3);
            whole.push(n as u64, &picture, WIDTH, HEIGHT);
            cut.push(n as u64, &picture, WIDTH, HEIGHT);
            assert!(whole == cut, "after picture {n}");
        }
        let found = whole.finish();
        assert_eq!((found.len(), found), (5, cut.finish()));
    }

    #[test]
    fn a_larger_picture_gives_the_same_slides() {
        let twice = |small: &[u8]| -> Vec<u8> {
            let row = |row: &[u8]| row.iter().flat_map(|level| [*level; 2]).collect::<Vec<u8>>();
            small.chunks(WIDTH).flat_map(|r| [row(r), row(r)].concat()).collect()
        };
        let (mut small, mut large) = (Finder::new(), Finder::new());
        for n in 0..200 {
            let picture = page(n as usize / 60);
            small.push(n, &picture, WIDTH, HEIGHT);
            large.push(n, &twice(&picture), 2 * WIDTH, 2 * HEIGHT);
        }
        let found = small.finish();
        assert_eq!((found.len(), found), (4, large.finish()));
    }
}
