//! Two hubs in two network namespaces, joined by a cable of 20 Mbit/s.
//!
//! Each namespace has a second cable to this process for the API; it carries nothing between
//! the hubs, because they neither listen there nor have a route over it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::api::Api;
use super::process::Hub;
use super::seed;

/// As promised: a rural school's good uplink.
const LINK_BITS_PER_S: f64 = 20e6;
/// The blob takes 80 s at that rate; twenty times as long is a failure.
const TRANSFER_MAX: Duration = Duration::from_secs(1600);
/// Between two looks: 0.25 % of the transfer.
const LOOK_DELAY: Duration = Duration::from_millis(200);

/// Measures payload rate over link rate for a blob of `bytes`.
pub fn goodput_ratio(bin: &Path, work: &Path, bytes: usize) -> Result<f64> {
    ensure!(rustix::process::getuid().is_root(), "network namespaces need root");
    let cables = Cables::lay()?;
    let lead = hub(bin, work, 1);
    let rural = hub(bin, work, 2);
    let (first_run, _) = lead.start()?;
    let api = Api::set_up(&lead.address.to_string(), &lead.data, "城区实验小学")?;
    api.post("/alliance", &json!({ "name": "Bench" }))?;
    first_run.stop()?;
    let lesson = seed::blob(&lead.data, bytes)?;
    let (_lead_process, _) = lead.start()?;
    let (_rural_process, _) = rural.start()?;
    let lead_api = Api::log_in(&lead.address.to_string())?;
    let rural_api = Api::set_up(&rural.address.to_string(), &rural.data, "石门村小学")?;
    let made = lead_api.post("/alliance/invitations", &json!({ "valid_hours": 1 }))?;
    rural_api.post("/alliance/join", &json!({ "invitation": made["text"] }))?;
    let ratio = measure(&rural_api, &lesson, bytes as u64)?;
    drop(cables);
    Ok(ratio)
}

/// Times from the first verified bytes to the last.
fn measure(rural: &Api, lesson: &str, bytes: u64) -> Result<f64> {
    let begin = Instant::now();
    let mut first = None;
    loop {
        // The lesson itself has to arrive first.
        let seen = rural.get(&format!("/lessons/{lesson}")).unwrap_or_default();
        let verified = seen["verified_bytes"].as_u64().unwrap_or(0);
        let now = Instant::now();
        match first {
            None if verified > 0 => first = Some((now, verified)),
            Some((since, at_first)) if verified >= bytes => {
                let bits = (verified - at_first) as f64 * 8.0;
                return Ok(bits / (now - since).as_secs_f64() / LINK_BITS_PER_S);
            }
            _ => {}
        }
        ensure!(begin.elapsed() < TRANSFER_MAX, "{verified} of {bytes} bytes arrived in time");
        std::thread::sleep(LOOK_DELAY);
    }
}

fn hub(bin: &Path, work: &Path, n: u8) -> Hub {
    Hub {
        bin: bin.into(),
        data: work.join(format!("hub-{n}")),
        address: SocketAddr::from(([10, 78, n, 2], 8470)),
        sync_listen: vec![format!("/ip4/10.77.0.{n}/tcp/8471")],
        wrapper: ["ip", "netns", "exec", &namespace(n)].map(Into::into).into(),
        settings: toml::Table::new(),
    }
}

fn namespace(n: u8) -> String {
    format!("yingxue-bench-{n}")
}

/// The namespaces and cables, taken away when dropped.
struct Cables;

impl Cables {
    fn lay() -> Result<Self> {
        // What an earlier run left behind, if it was killed.
        drop(Self);
        let cables = Self;
        for n in [1, 2] {
            let name = namespace(n);
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("link add yxb-api{n} type veth peer name api netns {name}"))?;
            ip(&format!("addr add 10.78.{n}.1/24 dev yxb-api{n}"))?;
            ip(&format!("link set yxb-api{n} up"))?;
            ip(&format!("-n {name} addr add 10.78.{n}.2/24 dev api"))?;
            ip(&format!("-n {name} link set api up"))?;
        }
        let (one, two) = (namespace(1), namespace(2));
        ip(&format!("link add cable netns {one} type veth peer name cable netns {two}"))?;
        for n in [1, 2] {
            let name = namespace(n);
            ip(&format!("-n {name} addr add 10.77.0.{n}/24 dev cable"))?;
            ip(&format!("-n {name} link set cable up"))?;
            // A bucket of 40 ms and a queue of 300 ms, as in a DSL modem.
            run(
                "tc",
                &format!(
                    "-n {name} qdisc add dev cable root tbf rate 20mbit burst 100kb latency 300ms"
                ),
            )?;
        }
        Ok(cables)
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        for n in [1, 2] {
            // Deleting a namespace deletes its cables; it may not be there.
            let _ = Command::new("ip").args(["netns", "del", &namespace(n)]).output();
            let _ = Command::new("ip").args(["link", "del", &format!("yxb-api{n}")]).output();
        }
    }
}

fn ip(words: &str) -> Result<()> {
    run("ip", words)
}

fn run(program: &str, words: &str) -> Result<()> {
    let output = Command::new(program).args(words.split(' ')).output();
    let output = output.with_context(|| format!("start {program} (Debian package iproute2)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {words}: {}", said.trim());
    Ok(())
}
