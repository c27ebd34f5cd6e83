//! `yingxue doctor`: what would keep a hub from working well here, and what to do about it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use yingxue_codec::encoder::{self, EncodeError, EncoderChoice};
use yingxue_codec::{Ffmpeg, Limits};

use super::client::HubClient;
use crate::app::now_ms;
use crate::config::Config;
use crate::repair::report;
use crate::snapshots;

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
        fast_encoder(),
        helper(&SOFFICE),
        helper(&PDFTOPPM),
        disk(data),
        snapshot(data),
        repaired(data),
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

/// A program that only some lessons need.
struct Helper {
    name: &'static str,
    asked: &'static str,
    otherwise: &'static str,
}

const SOFFICE: Helper = Helper {
    name: "soffice",
    asked: "--version",
    otherwise: "presentations (.pptx, .ppt, .odp) do not become lessons, PDF and pictures do; \
         install it: apt install libreoffice-impress",
};

const PDFTOPPM: Helper = Helper {
    name: "pdftoppm",
    asked: "-v",
    otherwise: "PDF files and presentations do not become lessons, pictures do; install it: \
         apt install poppler-utils",
};

fn helper(helper: &Helper) -> (Verdict, String) {
    match first_line(&[helper.name, helper.asked]) {
        Some(version) => (Verdict::Good, version),
        None => (Verdict::Odd, format!("{} is not there: {}", helper.name, helper.otherwise)),
    }
}

/// Gives the first line that a program says, on either output, if it is there and works.
fn first_line(command: &[&str]) -> Option<String> {
    let output = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
    output.status.success().then(|| line.to_owned())
}

fn fast_encoder() -> (Verdict, String) {
    match Ffmpeg::find() {
        Ok(ffmpeg) => svt_av1(&ffmpeg),
        Err(missing) => (Verdict::Odd, format!("no SVT-AV1 either: {missing}")),
    }
}

/// Tries whether ffmpeg can encode AV1 by itself.
fn svt_av1(ffmpeg: &Ffmpeg) -> (Verdict, String) {
    match encoder::find(EncoderChoice::SvtAv1, ffmpeg, &Limits::default()) {
        Ok(_) => (
            Verdict::Good,
            "ffmpeg's SVT-AV1 works: lessons are made with it, unless [media] encoder is \"rav1e\""
                .into(),
        ),
        Err(error) => {
            let why = match error {
                EncodeError::NoSvtAv1 { why } => why,
                error => error.to_string(),
            };
            let text = format!(
                "ffmpeg has no SVT-AV1 (libsvtav1) that works ({why}): lessons are made with \
                 rav1e, which is built in, slower, and takes more bits; the ffmpeg of Debian 12 \
                 has it"
            );
            (Verdict::Odd, text)
        }
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

/// A copy is taken each night; a hub that was off for two has an old one.
fn snapshot(data: &Path) -> (Verdict, String) {
    const OLD_HOURS: i64 = 48;
    let Some(newest) = snapshots::list(data, now_ms()).into_iter().next() else {
        let words = "no verified copy of the database yet: a hub takes one when it runs";
        return (Verdict::Odd, words.into());
    };
    let hours = (now_ms() - newest.note.taken_at_ms) / 3_600_000;
    let text = format!("the last verified copy of the database is {hours} hours old");
    if hours < OLD_HOURS {
        return (Verdict::Good, text);
    }
    (Verdict::Odd, text + "; let the hub run for a night, and see that its disk has room")
}

fn repaired(data: &Path) -> (Verdict, String) {
    match report::newest(data) {
        Some(report) => (Verdict::Odd, format!("{report}; see whether the disk is sound")),
        None => (Verdict::Good, "the database never had to be repaired".into()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_what_is_lost_and_how_to_get_it() {
        let missing = Helper { name: "yingxue-no-such-program", ..SOFFICE };
        let (verdict, text) = helper(&missing);
        assert!(matches!(verdict, Verdict::Odd));
        assert!(text.contains("no-such-program") && text.contains("apt install"), "{text}");
        let there = Helper { name: "cargo", asked: "--version", otherwise: "" };
        let (verdict, text) = helper(&there);
        assert!(matches!(verdict, Verdict::Good) && text.starts_with("cargo "), "{text}");
        let fails = Helper { name: "false", asked: "--version-of-nothing", otherwise: "lost" };
        assert!(matches!(helper(&Helper { name: "ls", ..fails }).0, Verdict::Odd));
    }

    #[test]
    fn an_ffmpeg_without_the_fast_encoder_is_found_out() {
        let (verdict, text) = svt_av1(&Ffmpeg::find().unwrap());
        assert!(matches!(verdict, Verdict::Good) && text.contains("works"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        let complains = "#!/bin/sh\necho \"Unknown encoder 'libsvtav1'\" >&2\nexit 1\n";
        std::fs::write(&program, complains).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        for program in [program, "yingxue-no-such-program".into()] {
            let (verdict, text) = svt_av1(&Ffmpeg { ffmpeg: program.clone(), ffprobe: program });
            assert!(matches!(verdict, Verdict::Odd) && text.contains("made with rav1e"), "{text}");
        }
    }
}
