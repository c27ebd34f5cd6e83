//! `yingxue doctor`: what would keep a hub from working well here, and what to do about it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::client::HubClient;
use crate::config::Config;

/// A day of lessons at source quality (DESIGN §8: at most 2.4 GB each) and the nightly fetch.
const DISK_FREE_BYTES_MIN: u64 = 20 << 30;

enum Verdict {
    Good,
    Odd,
    Bad,
}

/// Looks and prints; fails if something is missing that a hub cannot do without.
pub(crate) fn run(data: &Path) -> ExitCode {
    let checks = [
        tool("ffmpeg", "lessons cannot be imported; install it: apt install ffmpeg"),
        tool("ffprobe", "lessons cannot be imported; install it: apt install ffmpeg"),
        disk(data),
        port(data),
        congestion_control(),
    ];
    let mut is_bad = false;
    for (verdict, text) in &checks {
        let mark = match verdict {
            Verdict::Good => "good",
            Verdict::Odd => "note",
            Verdict::Bad => "BAD ",
        };
        is_bad |= matches!(verdict, Verdict::Bad);
        println!("{mark}  {text}");
    }
    if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn tool(name: &str, otherwise: &str) -> (Verdict, String) {
    let output = Command::new(name).arg("-version").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            let first = said.lines().next().unwrap_or(name).to_owned();
            (Verdict::Good, first.split(" Copyright").next().unwrap_or(name).to_owned())
        }
        _ => (Verdict::Bad, format!("{name} is not there: {otherwise}")),
    }
}

fn disk(data: &Path) -> (Verdict, String) {
    let there = data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let shown = data.display();
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let gib = free as f64 / f64::from(1 << 30);
            let text = format!("{gib:.1} GiB free for {shown}");
            match free {
                DISK_FREE_BYTES_MIN.. => (Verdict::Good, text),
                _ => (Verdict::Odd, text + "; 20 GiB or more are recommended"),
            }
        }
        Err(error) => (Verdict::Bad, format!("cannot look at the disk of {shown}: {error}")),
    }
}

fn port(data: &Path) -> (Verdict, String) {
    if let Ok(hub) = HubClient::of_data_dir(data) {
        return (Verdict::Good, format!("a hub runs at {}", hub.url()));
    }
    let listen = Config::default().http.listen;
    match TcpListener::bind(&listen) {
        Ok(_) => (Verdict::Good, format!("no hub runs on {}; {listen} is free", data.display())),
        Err(error) => (Verdict::Odd, format!("{listen} cannot be used ({error}); say --listen")),
    }
}

/// BBR carries ten times as much over a lossy satellite as the default (DESIGN §6).
fn congestion_control() -> (Verdict, String) {
    let path = "/proc/sys/net/ipv4/tcp_congestion_control";
    match fs::read_to_string(path) {
        Ok(used) if used.trim() == "bbr" => (Verdict::Good, "TCP uses BBR".into()),
        Ok(used) => (
            Verdict::Odd,
            format!(
                "TCP uses {}; BBR is much faster on lossy links: \
                 sysctl -w net.ipv4.tcp_congestion_control=bbr",
                used.trim()
            ),
        ),
        Err(_) => (Verdict::Odd, "the system does not say how TCP avoids congestion".into()),
    }
}
