//! Slides: the pages of a lesson as stills, found in its picture or made from a document.
//!
//! [`Finder`] says when a page appears. [`Page`] is its picture, [`encode_still`] makes one AV1 key
//! frame of it, [`segment`] and [`track`] put key frames into the file of `slides` or `thumbs`, in
//! which each still is one segment. [`avif`] and [`jpeg`] turn a segment back into a picture that
//! a browser shows.

mod file;
mod finder;
mod page;
mod still;
mod text;
mod track;

pub use file::{PictureError, avif, jpeg};
pub use finder::{Finder, SlideTime};
pub use page::{Page, PageError};
pub use still::{StillError, StillUse, encode_still};
pub use text::text_ssim;
pub use track::{segment, track};
