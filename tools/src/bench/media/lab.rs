//! What several groups of figures measure on, made once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use yingxue_codec::encoder::{self, EncoderName};
use yingxue_codec::{Ffmpeg, Limits};

use super::MediaArgs;
use super::clips::Clips;
use super::import::{By, Import, Made};
use crate::bench::figures::say;

/// Seconds of each clip that is imported, and in `--quick`.
const CLIP_S: [u32; 2] = [60, 16];
/// Seconds of lecture that all tiers are made of, and in `--quick`; memory stops growing once
/// every core has its GOPs.
const ALL_TIERS_S: [u32; 2] = [40, 16];

/// Clips, and the imports of them that more than one group needs.
pub struct Lab {
    /// The clips.
    pub clips: Clips,
    /// Less of everything, to see that it works.
    pub is_quick: bool,
    /// The hub's binary.
    pub bin: PathBuf,
    /// The web UI's folder.
    pub web_ui: PathBuf,
    /// What a hub that is told nothing encodes with on this machine.
    pub encoder: EncoderName,
    lecture: OnceCell<Import>,
    motion: OnceCell<Import>,
    all_tiers: OnceCell<Import>,
}

impl Lab {
    /// Finds the clips.
    pub fn new(args: &MediaArgs, work: &Path) -> Result<Self> {
        let clips = Clips::find(args.input.as_deref(), work)?;
        let bin = match &args.bin {
            Some(bin) => bin.clone(),
            None => std::env::current_exe()?.with_file_name("yingxue"),
        };
        let ffmpeg = Ffmpeg::find()?;
        let encoder = encoder::find(By::Auto.choice(), &ffmpeg, &Limits::default())?;
        say(&format!("figures without a suffix are of {encoder}, the default on this machine"));
        Ok(Self {
            encoder,
            clips,
            is_quick: args.quick,
            bin,
            web_ui: args.web_ui.clone(),
            lecture: OnceCell::new(),
            motion: OnceCell::new(),
            all_tiers: OnceCell::new(),
        })
    }

    /// The encoders that figures are given for, the default first.
    pub fn encoders(&self) -> &'static [By] {
        match self.encoder {
            EncoderName::SvtAv1 => &[By::Auto, By::Rav1e],
            // The default is the only one: its figures are not given twice.
            EncoderName::Rav1e => &[By::Auto],
        }
    }

    /// One of two values.
    pub fn pick<T: Copy>(&self, [whole, quick]: [T; 2]) -> T {
        if self.is_quick { quick } else { whole }
    }

    /// Seconds of [`Lab::lecture`] and [`Lab::motion`].
    pub fn clip_s(&self) -> u32 {
        self.pick(CLIP_S)
    }

    /// The lecture's import; always the whole of it, for all its slides.
    pub fn lecture(&self) -> Result<&Import> {
        made(&self.lecture, || {
            let work = self.clips.work("import-lecture");
            Import::of(&self.clips.lecture(), &work, Made::First)
        })
    }

    /// The import of the clip with motion, in a loop.
    pub fn motion(&self) -> Result<&Import> {
        made(&self.motion, || {
            let clip = self.clips.motion_for(self.clip_s())?;
            Import::of(&clip, &self.clips.work("import-motion"), Made::First)
        })
    }

    /// The import of some of the lecture with `video-480`.
    pub fn all_tiers(&self) -> Result<&Import> {
        made(&self.all_tiers, || {
            let clip = self.clips.lecture_for(self.pick(ALL_TIERS_S))?;
            Import::of(&clip, &self.clips.work("import-all"), Made::All)
        })
    }
}

fn made(cell: &OnceCell<Import>, make: impl FnOnce() -> Result<Import>) -> Result<&Import> {
    if cell.get().is_none() {
        let _ = cell.set(make()?);
    }
    Ok(cell.get().expect("it was just put there"))
}
