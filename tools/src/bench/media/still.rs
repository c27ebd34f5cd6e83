//! A slide that stays costs next to nothing: `still_speedup`.

use anyhow::Result;

use super::import::{Import, Made};
use super::lab::Lab;
use crate::bench::figures::{Figures, say};

/// Seconds of one slide, and in `--quick`.
const STILL_S: [u32; 2] = [600, 120];

/// Compares the CPU time of whole imports, sound and source included.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let seconds = lab.pick(STILL_S);
    let clip = lab.clips.still_for(seconds)?;
    let still = Import::of(&clip, &lab.clips.work("import-still"), Made::First)?;
    let motion = lab.motion()?;
    let scale = f64::from(seconds) / f64::from(lab.clip_s());
    say(&format!(
        "{seconds} s of one slide: {:.1} CPU s; of motion: {:.1}, scaled from {} s",
        still.cpu_s,
        motion.cpu_s * scale,
        lab.clip_s()
    ));
    figures.put("still_speedup", motion.cpu_s * scale / still.cpu_s);
    Ok(())
}
