//! `bench hub`: the figures that a hub has to reach, as one JSON object.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::api::Api;
use super::figures::{Figures, median, say};
use super::load::{self, CONNECTIONS, Until};
use super::process::{Hub, Process};
use super::{Group, HubArgs, link, nginx, seed};

/// Starts that a median is taken of.
const STARTS: usize = 7;
/// As promised: resident memory so long after the start.
const IDLE: Duration = Duration::from_secs(10);
/// Requests that CPU time is taken over: at 0.1 ms each still 40 ticks of the clock.
const SEGMENT_REQUESTS: usize = 4_000;
/// As promised: a segment of four seconds at about 600 kbit/s.
const SEGMENT_BYTES: usize = 300 * 1024;
const API_TIME: Duration = Duration::from_secs(10);

/// Measures and prints.
pub fn run(args: &HubArgs) -> Result<()> {
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => std::env::current_exe()?.with_file_name("yingxue"),
    };
    let bin = bin.canonicalize().with_context(|| format!("find {}", bin.display()))?;
    let work = tempfile::tempdir().context("make a temporary folder")?;
    let mut figures = Figures::default();
    let wants = |group| args.only.is_empty() || args.only.contains(&group);
    if wants(Group::Start) || wants(Group::Api) {
        let full = filled(&bin, work.path(), args.lessons)?;
        if wants(Group::Start) {
            measure_start(&bin, work.path(), &full, args.lessons, &mut figures)?;
        }
        if wants(Group::Api) {
            measure_api(&full, &mut figures)?;
        }
    }
    if wants(Group::Segment) {
        measure_segment(&bin, work.path(), &mut figures)?;
    }
    if wants(Group::Sync) {
        say("hub to hub over 20 Mbit/s");
        let ratio = link::goodput_ratio(&bin, work.path(), args.blob_mb * 1_000_000);
        figures.put_or_leave_out("sync_goodput_ratio", ratio);
    }
    figures.print(args.json);
    Ok(())
}

/// Sets up a hub in an alliance and gives it lessons.
fn filled(bin: &Path, work: &Path, lessons: usize) -> Result<Hub> {
    say(&format!("writing {lessons} lessons"));
    let hub = Hub::on_loopback(bin, &work.join("full"))?;
    let (process, _) = hub.start()?;
    let api = Api::set_up(&hub.address.to_string(), &hub.data, "城区实验小学")?;
    api.post("/alliance", &json!({ "name": "Bench" }))?;
    process.stop()?;
    seed::lessons(&hub.data, lessons)?;
    Ok(hub)
}

fn measure_start(
    bin: &Path,
    work: &Path,
    full: &Hub,
    lessons: usize,
    figures: &mut Figures,
) -> Result<()> {
    let empty: Result<Vec<f64>> = (0..STARTS)
        .map(|i| {
            let hub = Hub::on_loopback(bin, &work.join(format!("empty-{i}")))?;
            let (process, ms) = hub.start()?;
            process.stop().map(|()| ms)
        })
        .collect();
    let again: Result<Vec<f64>> = (0..STARTS)
        .map(|_| {
            let (process, ms) = full.start()?;
            process.stop().map(|()| ms)
        })
        .collect();
    let (empty, again) = (median(empty?), median(again?));
    figures.put("cold_start_ms", empty.max(again));
    figures.put("cold_start_ms_empty", empty);
    figures.put(&format!("cold_start_ms_{lessons}"), again);
    let (process, _) = full.start()?;
    std::thread::sleep(IDLE);
    figures.put("idle_rss_mib", process.rss_mib()?);
    process.stop()?;
    let bytes = fs::metadata(bin)?.len();
    figures.put("binary_mib", bytes as f64 / f64::from(1 << 20));
    Ok(())
}

fn measure_api(hub: &Hub, figures: &mut Figures) -> Result<()> {
    let (process, _) = hub.start()?;
    let api = Api::log_in(&hub.address.to_string())?;
    let path = "/api/v1/lessons?limit=25";
    let page = api.get("/lessons?limit=25")?;
    ensure!(page["items"].as_array().is_some_and(|items| items.len() == 25), "no 25 lessons");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", hub.address, api.cookie());
    load::run(hub.address, &request, 200, Until::Requests(1000))?;
    let outcome = load::run(hub.address, &request, 200, Until::Elapsed(API_TIME))?;
    figures.put("api_rps", outcome.requests as f64 / outcome.seconds);
    if let Some(rps) = wrk(&format!("http://{}{path}", hub.address), api.cookie()) {
        figures.put("api_rps_wrk", rps);
    }
    process.stop()
}

/// Asks wrk for the same figure, if it is installed.
fn wrk(url: &str, cookie: &str) -> Option<f64> {
    let connections = CONNECTIONS.to_string();
    let output = Command::new("wrk")
        .args(["-t1", "-c", &connections, "-d", &format!("{}s", API_TIME.as_secs())])
        .args(["-H", &format!("Cookie: {cookie}"), url])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line?.trim().parse().ok()
}

fn measure_segment(bin: &Path, work: &Path, figures: &mut Figures) -> Result<()> {
    say("importing a clip for the segments");
    let hub = Hub::on_loopback(bin, &work.join("segment"))?;
    let (process, _) = hub.start()?;
    let api = Api::set_up(&hub.address.to_string(), &hub.data, "城区实验小学")?;
    api.post("/alliance", &json!({ "name": "Bench" }))?;
    let path = import_clip(bin, work, &hub, &api)?;
    let range = format!("Range: bytes=0-{}\r\n", SEGMENT_BYTES - 1);
    let cookie = format!("Cookie: {}\r\n", api.cookie());
    let ours = segment_cpu_ms(&process, hub.address, &format!("{path}|{range}{cookie}"))?;
    figures.put("segment_cpu_ms", ours);
    let root = work.join("nginx-root");
    fs::create_dir_all(&root)?;
    fs::write(root.join("segment.mp4"), download(&hub, &path, api.cookie())?)?;
    process.stop()?;
    let (yardstick, address) = nginx::start(work, &root)?;
    let theirs = segment_cpu_ms(&yardstick, address, &format!("/segment.mp4|{range}{cookie}"))?;
    figures.put("segment_cpu_ms_nginx", theirs);
    figures.put("segment_cpu_ratio", ours / theirs);
    Ok(())
}

/// Gives the CPU time per request; `what` is a path and headers, with a bar between them.
fn segment_cpu_ms(process: &Process, address: std::net::SocketAddr, what: &str) -> Result<f64> {
    let (path, headers) = what.split_once('|').expect("the caller put a bar");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    load::run(address, &request, 206, Until::Requests(500))?;
    let before = process.cpu_ms()?;
    let outcome = load::run(address, &request, 206, Until::Requests(SEGMENT_REQUESTS))?;
    Ok((process.cpu_ms()? - before) / outcome.requests as f64)
}

/// Has a clip imported by the command that a school uses; gives the path of its source track.
fn import_clip(bin: &Path, work: &Path, hub: &Hub, api: &Api) -> Result<String> {
    let clip = clip(work)?;
    let output = Command::new(bin)
        .args(["add", "--title", "Clip", "--data"])
        .args([hub.data.as_os_str(), clip.as_os_str()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "yingxue add: {said}");
    let lesson = &api.get("/lessons")?["items"][0]["id"];
    let detail = api.get(&format!("/lessons/{}", lesson.as_str().context("a lesson")?))?;
    let mut tracks = detail["tracks"].as_array().into_iter().flatten();
    let source = tracks.find(|track| track["kind"] == "source").context("no source track")?;
    ensure!(source["total_bytes"].as_u64() > Some(SEGMENT_BYTES as u64), "the clip is too small");
    let blob = source["blob_id"].as_str().context("a track has a blob")?;
    Ok(format!("/media/blob/{blob}"))
}

fn clip(work: &Path) -> Result<PathBuf> {
    let clip = work.join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=8"])
        .args(["-f", "lavfi", "-i", "sine=440:d=8", "-c:v", "libx264", "-preset", "veryfast"])
        .args(["-b:v", "1500k", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"])
        .arg(&clip)
        .status()
        .context("start ffmpeg")?;
    ensure!(status.success(), "ffmpeg ended with {status}");
    Ok(clip)
}

fn download(hub: &Hub, path: &str, cookie: &str) -> Result<Vec<u8>> {
    let url = format!("http://{}{path}", hub.address);
    let mut answer = ureq::get(&url).header("cookie", cookie).call()?;
    let body = answer.body_mut().with_config().limit(64 << 20);
    Ok(body.read_to_vec()?)
}
