//! What every group needs: the binary, a folder, and how much of everything.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::NightArgs;

/// Where and how much is measured.
pub struct Lab {
    /// The hub's binary.
    pub bin: PathBuf,
    /// Less of everything, to see that it works.
    pub is_quick: bool,
    /// Packets lost in a row, on average.
    pub loss_burst: f64,
    /// What chance begins with.
    pub seed: u64,
    work: PathBuf,
}

impl Lab {
    /// Finds the binary.
    pub fn new(args: &NightArgs, work: &Path) -> Result<Self> {
        let bin = match &args.bin {
            Some(bin) => bin.clone(),
            None => std::env::current_exe()?.with_file_name("yingxue"),
        };
        let bin = bin.canonicalize().with_context(|| format!("find {}", bin.display()))?;
        Ok(Self {
            bin,
            is_quick: args.quick,
            loss_burst: args.loss_burst,
            seed: args.seed,
            work: work.into(),
        })
    }

    /// Gives a fresh folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(folder)
    }

    /// One of two values.
    pub fn pick<T: Copy>(&self, [whole, quick]: [T; 2]) -> T {
        if self.is_quick { quick } else { whole }
    }
}

/// Says clearly which program is missing, and how to get it.
pub fn need(program: &str, package: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let is_there = folders.any(|folder: PathBuf| folder.join(program).is_file());
    ensure!(is_there, "{program} is missing: install it, apt install {package}");
    Ok(())
}
