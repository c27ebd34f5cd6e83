//! Debian's syncthing: two of them, which know each other's address and nobody else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lab::Lab;
use super::link::Link;
use super::pair::wait;
use super::peers::{FILE_BYTES, TRANSFER_MAX, write_files};
use crate::bench::figures::say;
use crate::bench::process::Process;

const PORT: u16 = 22_000;
/// What both expect in their API's header.
const KEY: &str = "yingxue-bench";
/// Scanning 500 files and meeting over a satellite takes seconds.
const START_MAX: Duration = Duration::from_secs(180);

/// One of the two.
struct Peer {
    home: PathBuf,
    folder: PathBuf,
    device: String,
    gui: SocketAddr,
    address: String,
}

/// Carries the files from side 0 to side 1; gives the seconds from their first contact.
pub fn seconds(lab: &Lab, files: usize, congestion: &str) -> Result<f64> {
    let work = lab.folder("syncthing")?;
    let mut link = Link::lay(lab, &["--preset", "vsat", "--congestion", congestion, "--open"])?;
    let peers = [peer(&work, &link, 0)?, peer(&work, &link, 1)?];
    write_files(&peers[0].folder, files)?;
    for n in [0, 1] {
        write_config(&peers[n], &peers[1 - n], n == 0)?;
    }
    let source = start(&peers[0], &link, 0)?;
    let bytes = (files * FILE_BYTES) as u64;
    wait("syncthing has scanned the files", START_MAX, || {
        let status = ask(&peers[0], "/rest/db/status?folder=lessons").ok()?;
        (status["localBytes"].as_u64()? >= bytes && status["state"] == "idle").then_some(())
    })?;
    link.order("shape")?;
    let target = start(&peers[1], &link, 1)?;
    wait("both syncthings are connected", START_MAX, || {
        let seen = ask(&peers[1], "/rest/system/connections").ok()?;
        (seen["connections"][&peers[0].device]["connected"] == true).then_some(())
    })?;
    let begin = Instant::now();
    wait("syncthing has brought every file", TRANSFER_MAX, || {
        let status = ask(&peers[1], "/rest/db/status?folder=lessons").ok()?;
        let is_whole = status["inSyncBytes"].as_u64()? >= bytes && status["needBytes"] == 0;
        is_whole.then_some(())
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    say(&format!("syncthing with {congestion}: {seconds:.1} s"));
    target.stop()?;
    source.stop()?;
    Ok(seconds)
}

fn peer(work: &Path, link: &Link, n: usize) -> Result<Peer> {
    let home = work.join(format!("home-{n}"));
    let folder = work.join(format!("lessons-{n}"));
    std::fs::create_dir_all(&folder)?;
    let output = Command::new("syncthing")
        .args(["generate", "--no-default-folder", "--skip-port-probing"])
        .arg(format!("--home={}", home.display()))
        .output()
        .context("start syncthing")?;
    ensure!(output.status.success(), "syncthing generate ended with {}", output.status);
    let config = std::fs::read_to_string(home.join("config.xml"))?;
    let device = config.split("<device id=\"").nth(1).and_then(|rest| rest.split('"').next());
    let device = device.context("syncthing's config names its device")?.to_owned();
    Ok(Peer {
        home,
        folder,
        device,
        gui: link.api(n)?,
        address: format!("tcp://{}:{PORT}", link.side(n).address),
    })
}

/// Everything that would look for others or hold it back is off; the rest is the default.
fn write_config(own: &Peer, other: &Peer, is_source: bool) -> Result<()> {
    let kind = if is_source { "sendonly" } else { "receiveonly" };
    let device = |peer: &Peer, address: &str| {
        format!(
            "<device id=\"{}\" name=\"school\" compression=\"metadata\">\
             <address>{address}</address></device>\n",
            peer.device
        )
    };
    let config = format!(
        "<configuration version=\"36\">\n\
         <folder id=\"lessons\" label=\"lessons\" path=\"{}\" type=\"{kind}\" \
         rescanIntervalS=\"3600\" fsWatcherEnabled=\"false\">\n\
         <device id=\"{}\"></device><device id=\"{}\"></device></folder>\n{}{}\
         <gui enabled=\"true\" tls=\"false\"><address>{}</address><apikey>{KEY}</apikey></gui>\n\
         <options><listenAddress>{}</listenAddress>\
         <globalAnnounceEnabled>false</globalAnnounceEnabled>\
         <localAnnounceEnabled>false</localAnnounceEnabled>\
         <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>\
         <startBrowser>false</startBrowser><urAccepted>-1</urAccepted>\
         <reconnectionIntervalS>5</reconnectionIntervalS>\
         <autoUpgradeIntervalH>0</autoUpgradeIntervalH>\
         <crashReportingEnabled>false</crashReportingEnabled>\
         <setLowPriority>false</setLowPriority></options>\n</configuration>\n",
        own.folder.display(),
        own.device,
        other.device,
        device(own, "dynamic"),
        device(other, &other.address),
        own.gui,
        own.address,
    );
    std::fs::write(own.home.join("config.xml"), config).context("configure syncthing")
}

fn start(peer: &Peer, link: &Link, n: usize) -> Result<Process> {
    let wrapper = link.wrapper(n);
    let mut command = Command::new(&wrapper[0]);
    command.args(&wrapper[1..]).args(["syncthing", "serve", "--no-browser", "--no-restart"]);
    command.arg(format!("--home={}", peer.home.display()));
    Process::start(&mut command, &peer.home.with_extension("log"))
}

fn ask(peer: &Peer, path: &str) -> Result<Value> {
    let url = format!("http://{}{path}", peer.gui);
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let mut answer = agent.get(url).header("X-API-Key", KEY).call()?;
    Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
}
