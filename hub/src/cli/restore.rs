//! `yingxue restore`: the copies of the database, and the way back to one of them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::DataDir;
use crate::app::now_ms;
use crate::{repair, serve, snapshots};

#[derive(Args)]
pub(super) struct RestoreArgs {
    /// Lists the verified copies, newest first
    #[arg(long, conflicts_with = "from")]
    list: bool,
    /// Begins again from this copy: a name that --list shows
    #[arg(long, value_name = "NAME")]
    from: Option<PathBuf>,
    #[command(flatten)]
    hub: DataDir,
}

pub(super) fn run(args: &RestoreArgs) -> Result<()> {
    let data = args.hub.path()?;
    match &args.from {
        Some(from) => {
            let name = from.file_name().and_then(|name| name.to_str()).context("no name")?;
            if !snapshots::list(&data, now_ms()).iter().any(|it| it.path.ends_with(name)) {
                bail!("there is no verified copy {name}; see yingxue restore --list");
            }
            let _lock = serve::lock(&data)?;
            let why = "the keeper restored a copy";
            println!("{}.", repair::restore(&data, why, Some(name.to_owned()))?);
            println!("Next: yingxue serve. Logins and passwords are as of that copy.");
        }
        None => list(&data),
    }
    Ok(())
}

fn list(data: &std::path::Path) {
    let found = snapshots::list(data, now_ms());
    if found.is_empty() {
        println!("There is no verified copy in {}.", data.join(snapshots::FOLDER).display());
    }
    for snapshot in found {
        let note = &snapshot.note;
        let at = jiff::Timestamp::from_millisecond(note.taken_at_ms).unwrap_or_default();
        let name = snapshot.path.file_name().unwrap_or_default().to_string_lossy();
        println!("{name}  {at:.0}  {:.1} MiB", note.bytes as f64 / f64::from(1 << 20));
    }
}
