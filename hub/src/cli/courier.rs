//! `yingxue courier`: writes to a stick, reads from one, and says what came of it.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::HubClient;
use super::{DataDir, word};

/// Between two looks at the job; about as often as a line of progress is worth reading.
const LOOK_DELAY: Duration = Duration::from_millis(500);

/// What `yingxue courier` takes.
#[derive(Subcommand)]
pub(crate) enum CourierCommand {
    /// Writes to a stick what other schools lack
    Export(ExportArgs),
    /// Reads from a stick, or from a .yxc file, what is for this school
    Import {
        /// The stick's folder, or a .yxc file
        folder: PathBuf,
        #[command(flatten)]
        hub: DataDir,
    },
}

/// What `yingxue courier export` takes.
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// The stick's folder
    folder: PathBuf,
    /// A school's name, or the beginning of its hub's id; may be given several times
    #[arg(long = "for", value_name = "SCHOOL", required_unless_present = "all", num_args = 1..)]
    schools: Vec<String>,
    /// For every school of the alliance
    #[arg(long, conflicts_with = "schools")]
    all: bool,
    /// At most so much, as in 30GB; else as much as fits
    #[arg(long, value_name = "SIZE", value_parser = bytes_of)]
    max_bytes: Option<u64>,
    #[command(flatten)]
    hub: DataDir,
}

/// Runs an export or an import to its end.
pub(crate) fn run(command: &CourierCommand) -> Result<ExitCode> {
    match command {
        CourierCommand::Export(args) => export(args),
        CourierCommand::Import { folder, hub } => import(&hub.client()?, folder),
    }
}

fn export(args: &ExportArgs) -> Result<ExitCode> {
    let hub = args.hub.client()?;
    let to = schools(&hub, args)?;
    let folder = absolute(&args.folder)?;
    let asked = json!({ "to": to, "bytes_max": args.max_bytes, "folder": folder });
    let begun = hub.post("/courier/exports", &asked)?;
    let done = follow(&hub, &format!("/courier/exports/{}", begun["id"]), "writing")?;
    tell_lessons(&done, "On the stick");
    println!(
        "{} for {} school(s): {} lesson(s), {} change(s).",
        size(&done["stick_bytes"]),
        to.len(),
        done["lessons"].as_array().map_or(0, Vec::len),
        done["envelopes"],
    );
    if done["left_out"].as_u64().unwrap_or(0) > 0 {
        println!("No room for {} more; use a larger stick.", done["left_out"]);
    }
    Ok(tell_end(&done))
}

fn import(hub: &HubClient, folder: &Path) -> Result<ExitCode> {
    let folder = absolute(folder)?;
    let begun = hub.post("/courier/imports", &json!({ "folder": folder }))?;
    let done = follow(hub, &format!("/courier/imports/{}", begun["id"]), "reading")?;
    if let Some(name) = done["joined"].as_str() {
        println!("This school belongs to {name} now.");
    }
    for school in done["admitted"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("{school} has joined. Next: yingxue courier export {folder} --for {school}");
    }
    tell_lessons(&done, "New here");
    let accepted = &done["accepted"];
    let is_nothing = accepted["envelopes"] == 0 && accepted["bytes"] == 0;
    if is_nothing && done["state"] == "done" {
        println!("Nothing on it is new for this school.");
    } else {
        println!(
            "Taken: {} lesson(s), {}, {} change(s).",
            accepted["lessons"],
            size(&accepted["bytes"]),
            accepted["envelopes"],
        );
    }
    if done["receipt"] == "written" {
        println!("The stick says now what this school holds; bring it back.");
    }
    Ok(tell_end(&done))
}

/// Answers an invitation on a stick.
pub(super) fn answer(hub: &HubClient, invitation: &str, stick: &Path) -> Result<()> {
    let folder = absolute(stick)?;
    let asked = json!({ "invitation": invitation.trim(), "folder": folder });
    hub.post("/courier/answers", &asked)?;
    println!("The answer is on the stick. Bring it to the lead school, which reads it with");
    println!("  yingxue courier import FOLDER");
    println!("and writes to it for this school. When it is back: yingxue courier import {folder}");
    Ok(())
}

/// Finds the hubs of the schools that were named.
fn schools(hub: &HubClient, args: &ExportArgs) -> Result<Vec<String>> {
    let known = hub.get("/courier/targets")?;
    let known: Vec<&Value> = known["items"].as_array().into_iter().flatten().collect();
    if args.all {
        let all: Vec<String> = known.iter().map(|t| word(t, "hub_id").to_owned()).collect();
        return if all.is_empty() { bail!("no other school is in the alliance") } else { Ok(all) };
    }
    let find = |name: &String| {
        let is_meant = |target: &&&Value| {
            let is_id = name.len() >= 8 && word(target, "hub_id").starts_with(name.as_str());
            word(target, "school") == name || is_id
        };
        let found: Vec<&&Value> = known.iter().filter(is_meant).collect();
        match found.as_slice() {
            [one] => Ok(word(one, "hub_id").to_owned()),
            [] => {
                let names: Vec<&str> = known.iter().map(|target| word(target, "school")).collect();
                bail!("no school {name} is in the alliance; there are: {}", names.join(", "))
            }
            _ => bail!("several schools are called {name}; give the first 8 letters of the id"),
        }
    };
    args.schools.iter().map(find).collect()
}

/// Gives the whole path, since the hub has another folder to start from.
fn absolute(folder: &Path) -> Result<String> {
    let path = std::fs::canonicalize(folder)
        .with_context(|| format!("{} is not there; is the stick plugged in?", folder.display()))?;
    path.into_os_string().into_string().map_err(|_| anyhow::anyhow!("the path is not UTF-8"))
}

/// Shows how far a job is until it ends. The hub goes on if this is interrupted.
fn follow(hub: &HubClient, path: &str, what: &str) -> Result<Value> {
    let is_terminal = std::io::stderr().is_terminal();
    loop {
        let job = hub.get(path)?;
        let is_over = !matches!(word(&job, "state"), "queued" | "running");
        let bytes = |key: &str| job[key].as_u64().unwrap_or(0);
        let percent = (bytes("done_bytes") * 100).checked_div(bytes("total_bytes"));
        if is_terminal {
            let percent = percent.unwrap_or(0).min(100);
            eprint!("\r{what} {percent} % of {} ", size(&job["total_bytes"]));
            drop(std::io::stderr().flush());
        }
        if is_over {
            if is_terminal {
                eprintln!();
            }
            return Ok(job);
        }
        std::thread::sleep(LOOK_DELAY);
    }
}

fn tell_lessons(job: &Value, words: &str) {
    for lesson in job["lessons"].as_array().into_iter().flatten() {
        println!("{words}: {}", word(lesson, "title"));
    }
}

/// Says what else happened; fails if anything was refused or the job did not end well.
fn tell_end(job: &Value) -> ExitCode {
    for note in job["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("{note}");
    }
    let refused: Vec<&Value> = job["refused"].as_array().into_iter().flatten().collect();
    for file in &refused {
        eprintln!("Not taken: {}: {}", word(file, "file"), word(file, "why"));
    }
    let is_done = word(job, "state") == "done";
    if !is_done {
        eprintln!("yingxue: {}", word(&job["error"], "detail"));
    }
    if is_done && refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn size(bytes: &Value) -> String {
    let bytes = bytes.as_u64().unwrap_or(0) as f64;
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}

/// Reads a size such as `30GB`, `500M` or `1000000`.
fn bytes_of(text: &str) -> Result<u64, String> {
    let allowed = || "allowed is a size such as 30GB, 500MB or 64000000".to_owned();
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let (digits, _) = text.split_at(text.len() - letters.len());
    let unit = match letters.to_ascii_uppercase().trim_end_matches('B') {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return Err(allowed()),
    };
    let number: u64 = digits.parse().map_err(|_| allowed())?;
    number.checked_mul(unit).ok_or_else(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_printed_on_sticks() {
        assert_eq!(bytes_of("30GB"), Ok(30_000_000_000));
        assert_eq!(bytes_of("500m"), Ok(500_000_000));
        assert_eq!(bytes_of("12345"), Ok(12_345));
        for wrong in ["", "GB", "3.5GB", "30 GB", "30XB", "99999999999T"] {
            assert!(bytes_of(wrong).is_err(), "{wrong}");
        }
    }
}
