//! Our own encoder at fixed quantizers.

use anyhow::{Result, bail};

use super::encoders::Series;
use super::frames::Frames;

/// Encodes a clip in segments of 4 s at several quantizers.
pub fn series(_frames: &Frames, _clip: &str) -> Result<Series> {
    bail!("this codec encodes at no quantizer but its own")
}
