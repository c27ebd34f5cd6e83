//! VLC, which people have on their computers, asked what it has played of a file.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// VLC refuses to run as root; this is nobody on every Debian.
const NOBODY: u32 = 65_534;
/// 10 s at twice the speed, on a machine that is busy; then VLC is ended, and the test fails.
const SECONDS_MAX: &str = "120";
/// Between two questions whether it has come to the end.
const ASK_DELAY: Duration = Duration::from_millis(100);

/// What VLC has decoded of a file, and what it has shown and given to the loudspeaker.
#[derive(Debug)]
pub struct Played {
    pub pictures: u64,
    pub pictures_shown: u64,
    pub sounds: u64,
    pub sounds_heard: u64,
    /// Packets that it found damaged.
    pub damaged: u64,
}

/// Plays a file from a second to its end, twice as fast as it is.
pub fn play(file: &Path, from_s: u32) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command
        .args([SECONDS_MAX, "cvlc", "--no-color", "--no-media-library", "--intf", "rc"])
        .args(["--rate", "2", "--play-and-pause", "--vout", "dummy", "--aout", "dummy"])
        .args(["--start-time", &from_s.to_string()])
        .arg(copy_for_all(file, folder.path()))
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut vlc = command.spawn().unwrap();
    let mut lines = BufReader::new(vlc.stdout.take().unwrap()).lines();
    let mut answer = |vlc: &Child, question: &str, last: &str| {
        writeln!(vlc.stdin.as_ref().unwrap(), "{question}").unwrap();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains(last)) {
            said.push(lines.next().expect("VLC did not come to the end in time").unwrap());
        }
        said
    };
    while !answer(&vlc, "status", "( state ").concat().contains("( state paused )") {
        std::thread::sleep(ASK_DELAY);
    }
    let said = answer(&vlc, "stats", "end of statistical info");
    writeln!(vlc.stdin.as_ref().unwrap(), "quit").unwrap();
    assert!(vlc.wait().unwrap().success());
    let number = |name: &str| {
        let line = said.iter().find(|line| line.contains(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    Played {
        // VLC 3 counts each packet twice: when it is given to the decoder, and when it comes out.
        pictures: number("video decoded") / 2,
        pictures_shown: number("frames displayed"),
        sounds: number("audio decoded") / 2,
        sounds_heard: number("buffers played"),
        damaged: number("demux corrupted"),
    }
}

/// Copies a file to where every user may read it.
fn copy_for_all(file: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("file.mp4");
    std::fs::copy(file, &copy).unwrap();
    for (path, mode) in [(folder, 0o755), (copy.as_path(), 0o644)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    copy
}
