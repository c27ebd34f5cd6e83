//! `yingxue alliance`: what a keeper does rarely, and with the root key at hand.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;

use super::{DataDir, verify, word};

/// Longest text that is read as a root key: 64 characters, and blanks between them.
const ROOT_KEY_BYTES_MAX: u64 = 1_024;

#[derive(Subcommand)]
pub(super) enum AllianceCommand {
    /// Shows the root key that was made with the alliance, to be written on paper
    RootKey {
        #[command(flatten)]
        hub: DataDir,
    },
    /// Makes this hub the alliance's registrar; asks for the root key on standard input
    HandOver {
        /// A file with the root key, instead of standard input
        #[arg(long, value_name = "FILE")]
        root_key: Option<PathBuf>,
        #[command(flatten)]
        hub: DataDir,
    },
    /// Says what is proven of every journal here, since when and by whom; the hub may be running
    Verify {
        /// Checks each signature, not only those that stand for all entries before them
        #[arg(long)]
        every_signature: bool,
        #[command(flatten)]
        hub: DataDir,
    },
    /// Writes on after a restore, although no other hub has given back what this one wrote
    WriteAnyway {
        #[command(flatten)]
        hub: DataDir,
    },
}

pub(super) fn run(command: &AllianceCommand) -> Result<()> {
    match command {
        AllianceCommand::RootKey { hub } => root_key(hub),
        AllianceCommand::HandOver { root_key, hub } => hand_over(hub, root_key.as_ref()),
        AllianceCommand::Verify { every_signature, hub } => {
            verify::run(&hub.path()?, *every_signature)
        }
        AllianceCommand::WriteAnyway { hub } => {
            hub.client()?.post("/alarms/doubt/end", &json!({}))?;
            println!("This hub writes again. What only others have of it is contradicted now.");
            Ok(())
        }
    }
}

fn root_key(hub: &DataDir) -> Result<()> {
    let path = hub.path()?.join("alliance-root.key");
    let key = std::fs::read_to_string(&path).with_context(|| {
        format!("no root key in {}; the hub that founded has it", path.display())
    })?;
    let key = key.trim().as_bytes().chunks(8).map(String::from_utf8_lossy).collect::<Vec<_>>();
    eprintln!("Write this down, keep it in a safe place, then remove {}:", path.display());
    println!("{}", key.join(" "));
    Ok(())
}

fn hand_over(hub: &DataDir, file: Option<&PathBuf>) -> Result<()> {
    let mut text = String::new();
    match file {
        Some(path) => {
            let file = std::fs::File::open(path).context("open the file with the root key")?;
            file.take(ROOT_KEY_BYTES_MAX).read_to_string(&mut text)?;
        }
        None => {
            eprintln!("The root key, 64 characters; then Enter and Ctrl-D:");
            std::io::stdin().take(ROOT_KEY_BYTES_MAX).read_to_string(&mut text)?;
        }
    }
    let root_key: String = text.split_whitespace().collect();
    let alliance = hub.client()?.post("/alliance/hand-over", &json!({ "root_key": root_key }))?;
    println!("This hub is the registrar of {} now.", word(&alliance, "name"));
    println!("What the one before it signs from now on is refused wherever this is known.");
    Ok(())
}
