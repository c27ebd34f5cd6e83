//! Pixels, samples and boxes: what a teacher's file becomes before it is a lesson.
//!
//! It probes and decodes whatever a school brings by the system's ffmpeg (a bounded child process,
//! never linked in), encodes AV1 by rav1e and Opus by libopus, writes CMAF files that play by
//! themselves, and writes the HLS playlists that point into them (DESIGN §8). It has no network,
//! no database and no async runtime; every call blocks the thread it is made on.
//!
//! The one loop: [`import::import`] takes a file and an empty work folder and returns finished
//! tracks. It is called again with the same folder after a cut, and goes on where it was.
//!
//! ```no_run
//! use yingxue_codec::{import, Ffmpeg, Limits};
//!
//! struct Quiet;
//! impl import::Observer for Quiet {
//!     fn progress(&self, _: import::Progress) {}
//!     fn is_cancelled(&self) -> bool {
//!         false
//!     }
//! }
//!
//! let ffmpeg = Ffmpeg::find()?;
//! let request = import::ImportRequest {
//!     ffmpeg: &ffmpeg,
//!     source: "lesson.mp4".as_ref(),
//!     work_dir: "work".as_ref(),
//!     workers: 2,
//!     limits: Limits::default(),
//!     encoder: import::EncoderChoice::Auto,
//!     tiers: import::Tiers::FIRST,
//! };
//! let imported = import::import(&request, &Quiet)?;
//! for track in &imported.tracks {
//!     println!("{} {}", track.info.kind, track.path.display());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// rav1d exports dav1d's C API; naming it here is what links it under the `dav1d` crate.
extern crate rav1d as _;

mod av1;
pub mod check;
mod child;
mod cmaf;
mod content;
pub mod decode;
pub mod document;
pub mod encoder;
pub mod fallback;
mod ffmpeg;
mod frame_size;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod import;
pub mod material;
pub mod mux;
pub mod playlist;
pub mod probe;
pub mod quality;
pub mod slide;
pub mod subtitles;
pub mod track;
mod webvtt;

pub use cmaf::scan;
pub use ffmpeg::{Ffmpeg, Limits, MissingFfmpeg};
