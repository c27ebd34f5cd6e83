//! How long a viewer waits for the picture of another place: `seek_ms`.
//!
//! A real hub on loopback, our own page in Chromium, a lesson of 40 minutes with a page every 80 s
//! and a head that moves in every picture.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::lab::Lab;
use super::lesson;
use crate::bench::api::Api;
use crate::bench::figures::{Figures, median, say};
use crate::bench::process::Hub;
use crate::bench::seed::splitmix;

/// Seconds of the lesson, and in `--quick`.
const LESSON_S: [u32; 2] = [2400, 240];
/// Seeks that the median is taken of.
const SEEKS: u64 = 40;
/// The places are the same in each run; "seek" in ASCII.
const SEED: u64 = 0x7365_656b;
/// The script that drives the browser, in the web UI's folder.
const SCRIPT: &str = "e2e/seek.mjs";

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let seconds = lab.pick(LESSON_S);
    let script = lab.web_ui.join(SCRIPT);
    ensure!(script.is_file(), "{} is missing; --web-ui names its folder", script.display());
    let clip = lesson::with_head(&lab.clips, seconds as usize)?;
    let mut hub = Hub::on_loopback(&lab.bin, &lab.clips.work("hub-seek"))?;
    hub.settings = toml::toml! {
        [media]
        video_480 = false
    };
    let (process, _) = hub.start()?;
    let api = Api::set_up(&hub.address.to_string(), &hub.data, "城区实验小学")?;
    api.post("/alliance", &serde_json::json!({ "name": "Bench" }))?;
    say(&format!("a hub imports a lesson of {seconds} s"));
    let lesson = add(&hub, &clip)?;
    let waits = seek_ms(&script, &lesson, &api, seconds)?;
    process.stop()?;
    say(&format!("{} seeks: {:?}", waits.len(), waits));
    figures.put("seek_ms", median(waits.clone()));
    figures.put("seek_ms_max", waits.into_iter().fold(0.0, f64::max));
    Ok(())
}

/// Has a file imported by the command that a school uses; gives the page of the lesson.
fn add(hub: &Hub, clip: &Path) -> Result<String> {
    let output = Command::new(&hub.bin)
        .args(["add", "--title", "Clip", "--data"])
        .args([hub.data.as_os_str(), clip.as_os_str()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "yingxue add: {}", said.lines().last().unwrap_or_default());
    let page = String::from_utf8(output.stdout).context("a page in UTF-8")?;
    Ok(page.trim().to_owned())
}

/// Gives what each seek took, in milliseconds.
fn seek_ms(script: &Path, page: &str, api: &Api, seconds: u32) -> Result<Vec<f64>> {
    let places = (0..SEEKS).map(|n| splitmix(SEED ^ n) % u64::from(seconds - 1));
    let places: Vec<String> = places.map(|at| at.to_string()).collect();
    let output = Command::new("node")
        .arg(script)
        .args([page, &places.join(",")])
        .env("YINGXUE_COOKIE", api.cookie())
        .stdin(Stdio::null())
        .output()
        .context("start node")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the browser's script ended with {}: {}", output.status, said.trim());
    }
    let waits: Value =
        serde_json::from_slice(&output.stdout).context("read the script's answer")?;
    let waits = waits.as_array().context("the script's answer is no list")?;
    let waits: Option<Vec<f64>> = waits.iter().map(Value::as_f64).collect();
    let waits = waits.context("a wait that is no number")?;
    ensure!(waits.len() == places.len(), "{} waits for {} seeks", waits.len(), places.len());
    Ok(waits)
}
