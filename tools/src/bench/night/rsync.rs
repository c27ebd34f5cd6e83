//! rsync as its own daemon, which is the quickest way that it has: no ssh, no compression.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::lab::Lab;
use super::link::Link;
use super::peers::write_files;
use crate::bench::figures::say;
use crate::bench::process::Process;

const PORT: u16 = 8730;

/// Carries the files from side 0 to side 1; gives the seconds that the client ran.
pub fn seconds(lab: &Lab, files: usize, congestion: &str) -> Result<f64> {
    let folder = lab.folder(&format!("rsync-{congestion}"))?;
    let mut link = Link::lay(lab, &["--preset", "vsat", "--congestion", congestion, "--open"])?;
    let source = folder.join("source");
    write_files(&source, files)?;
    let config = folder.join("rsyncd.conf");
    let text = format!(
        "use chroot = no\nuid = root\ngid = root\n[lessons]\npath = {}\nread only = yes\n",
        source.display()
    );
    std::fs::write(&config, text)?;
    let wrapper = link.wrapper(0);
    let mut daemon = Command::new(&wrapper[0]);
    daemon.args(&wrapper[1..]).args(["rsync", "--daemon", "--no-detach"]);
    daemon.arg(format!("--config={}", config.display()));
    daemon.args(["--address", &link.side(0).address, "--port", &PORT.to_string()]);
    let daemon = Process::start(&mut daemon, &folder.join("daemon.log"))?;
    link.order("shape")?;
    let wrapper = link.wrapper(1);
    let begin = Instant::now();
    let output = Command::new(&wrapper[0])
        .args(&wrapper[1..])
        .args(["rsync", "-a", "--contimeout=60", "--timeout=300"])
        .arg(format!("rsync://{}:{PORT}/lessons/", link.side(0).address))
        .arg(folder.join("target"))
        .output()
        .context("start rsync")?;
    let seconds = begin.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "rsync: {}", said.trim());
    let arrived = std::fs::read_dir(folder.join("target"))?.count();
    ensure!(arrived == files, "rsync brought {arrived} of {files} files");
    say(&format!("rsync with {congestion}: {seconds:.1} s"));
    daemon.stop()?;
    Ok(seconds)
}
