//! `yingxue media check`: what is in a file, or whether a lesson's files are whole.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use yingxue_codec::check::{Severity, check};
use yingxue_codec::{Ffmpeg, Limits};

use super::client::HubClient;
use super::{DataDir, shown, word};

/// What `yingxue media` takes.
#[derive(Subcommand)]
pub(crate) enum MediaCommand {
    /// Says what is wrong with a file, or with a lesson's files, and what is kept
    Check(CheckArgs),
}

/// What `yingxue media check` takes.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// A file, which needs no hub; or a lesson's id, of the hub that runs
    what: String,
    #[command(flatten)]
    hub: DataDir,
}

/// Looks and prints; fails if something is wrong.
pub(crate) fn run(command: &MediaCommand) -> Result<ExitCode> {
    let MediaCommand::Check(args) = command;
    let path = PathBuf::from(&args.what);
    let is_right = if path.is_file() || !is_lesson(&args.what) {
        file(&path)?
    } else {
        lesson(&args.hub.client()?, &args.what)?
    };
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_lesson(what: &str) -> bool {
    crate::app::is_hex(what, 16)
}

fn file(path: &Path) -> Result<bool> {
    let report = check(&Ffmpeg::find()?, path, &Limits::default());
    let length = report.duration_ms.map(|ms| format!(", {}", clock(Some(ms))));
    println!("{} ({}{})", shown(path), report.container, length.unwrap_or_default());
    for finding in &report.findings {
        let mark = match finding.severity {
            Severity::Kept => "good",
            Severity::Changed => "note",
            Severity::Wrong => "BAD ",
        };
        println!("  {mark}  {}", finding.text);
    }
    let verdict = if report.is_usable { "can" } else { "cannot" };
    println!("It {verdict} become a lesson.");
    Ok(report.is_usable)
}

fn lesson(hub: &HubClient, id: &str) -> Result<bool> {
    let detail = hub.get(&format!("/lessons/{id}"))?;
    println!("{} ({})", word(&detail, "title"), clock(detail["duration_ms"].as_u64()));
    let checked = hub.post(&format!("/lessons/{id}/check"), &json!({}))?;
    for track in checked["tracks"].as_array().into_iter().flatten() {
        println!("  {:<12} {}", word(track, "kind"), found(track));
    }
    notes(&checked).iter().for_each(|text| println!("  note         {text}"));
    let timeline = hub.get(&format!("/lessons/{id}/timeline"))?;
    for (tier, name) in
        [("source", "source"), ("t2", "480 lines"), ("t1", "360 lines"), ("t0", "sound and slides")]
    {
        if let Some(missing) = timeline["missing"][tier].as_array() {
            println!("  {:<12} {name}: {}", tier, times(missing));
        }
    }
    let is_whole = checked["is_whole"].as_bool().context("the hub gave no answer")?;
    println!("{}", verdict(is_whole, &checked));
    Ok(is_whole)
}

/// What was kept of the teacher's files and what was left out.
fn notes(checked: &Value) -> Vec<&str> {
    let notes = checked["notes"].as_array().into_iter().flatten();
    notes.filter_map(|note| note["text"].as_str()).collect()
}

fn verdict(is_whole: bool, checked: &Value) -> &'static str {
    let tracks = checked["tracks"].as_array();
    let is_damaged =
        tracks.is_some_and(|all| all.iter().any(|track| track["damaged"].as_u64() > Some(0)));
    match (is_whole, is_damaged) {
        (true, _) => "Everything is here and right.",
        (false, true) => "Parts were damaged on this disk; the hub fetches them again.",
        (false, false) => "Not everything is here yet; what is here is right.",
    }
}

fn found(track: &Value) -> String {
    let count = |key: &str| track[key].as_u64().unwrap_or(0);
    let (pieces, damaged, missing) = (count("pieces"), count("damaged"), count("missing"));
    match (pieces, damaged, missing) {
        (0, ..) => "nothing is known of it yet".to_owned(),
        (_, 0, 0) => format!("all {pieces} pieces are right"),
        (_, 0, _) => format!("{} of {pieces} pieces are here and right", pieces - missing),
        _ => format!("DAMAGED: {damaged} of {pieces} pieces; {missing} are missing now"),
    }
}

fn times(missing: &[Value]) -> String {
    if missing.is_empty() {
        return "all of it is here".to_owned();
    }
    let shown = |time: &Value| format!("{}–{}", clock(time[0].as_u64()), clock(time[1].as_u64()));
    let first: Vec<String> = missing.iter().take(5).map(shown).collect();
    let more = missing.len().saturating_sub(first.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("not here: {}{rest}", first.join(", "))
}

fn clock(ms: Option<u64>) -> String {
    let seconds = ms.unwrap_or(0) / 1000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_in_words() {
        let track = |damaged: u64, missing: u64| {
            found(&json!({"pieces": 9, "damaged": damaged, "missing": missing}))
        };
        assert_eq!(track(0, 0), "all 9 pieces are right");
        assert_eq!(track(0, 2), "7 of 9 pieces are here and right");
        assert_eq!(track(1, 3), "DAMAGED: 1 of 9 pieces; 3 are missing now");
        let noted = json!({"notes": [{"code": "turned", "text": "it is turned"}]});
        assert_eq!(notes(&noted), ["it is turned"]);
        assert_eq!(found(&json!({"pieces": 0})), "nothing is known of it yet");
        assert_eq!(times(&[]), "all of it is here");
        let many = vec![json!([4000, 3_661_000]); 7];
        assert!(times(&many).starts_with("not here: 0:00:04–1:01:01, "));
        assert!(times(&many).ends_with(" and 2 more"));
        let damaged = json!({"tracks": [{"damaged": 0}, {"damaged": 2}]});
        assert!(verdict(false, &damaged).contains("damaged"));
        assert!(!verdict(false, &json!({"tracks": [{"damaged": 0}]})).contains("damaged"));
    }
}
