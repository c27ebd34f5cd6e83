//! The two namespaces: made, wired, swept.
//!
//! Side n of a link is the namespace `yxl-<process>-<n>` with the address 10.77.0.n on the
//! emulated link. A second, plain cable to the outside carries what asks and measures; nothing
//! can pass from side to side over it, because nothing forwards and there is no route.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::tun;

/// What our namespaces begin with, and so how a sweep knows them.
const PREFIX: &str = "yxl-";
/// Networks of four addresses in 10.79.0.0/16, two of them a link's.
const NETWORKS: u32 = 1 << 14;

/// One end of the link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Side {
    /// For `ip netns exec`.
    pub namespace: String,
    /// On the emulated link.
    pub address: String,
    /// Reached from outside, and from nowhere else.
    pub api_address: String,
}

/// Both ends; gone when dropped.
pub struct Namespaces {
    sides: Vec<Side>,
    cables: Vec<String>,
}

impl Namespaces {
    /// Makes both, with TCP's congestion control, and the TUN devices that join them.
    pub fn make(congestion: &str) -> Result<(Self, [File; 2])> {
        sweep()?;
        let network = free_network()?;
        let mut made = Self { sides: Vec::new(), cables: Vec::new() };
        let first = made.add(1, network, congestion)?;
        let second = made.add(2, network, congestion)?;
        Ok((made, [first, second]))
    }

    /// Gives both ends.
    pub fn sides(&self) -> &[Side] {
        &self.sides
    }

    fn add(&mut self, n: u32, network: u32, congestion: &str) -> Result<File> {
        let pid = std::process::id();
        let name = format!("{PREFIX}{pid}-{n}");
        let (device, cable) = (format!("yxt{pid}{n}"), format!("yxc{pid}{n}"));
        let [outside, inside] = addresses(network + n - 1);
        let side = Side {
            namespace: name.clone(),
            address: format!("10.77.0.{n}"),
            api_address: inside.clone(),
        };
        self.sides.push(side);
        ip(&format!("netns add {name}"))?;
        let tun = tun::open(&device)?;
        ip(&format!("link set {device} netns {name}"))?;
        ip(&format!("-n {name} link set {device} name link0"))?;
        ip(&format!("-n {name} link set lo up"))?;
        // Else the kernel asks for neighbours and routers, and counters count it.
        sysctl(&name, "net.ipv6.conf.all.disable_ipv6=1")?;
        sysctl(&name, &format!("net.ipv4.tcp_congestion_control={congestion}"))
            .context("net.ipv4.tcp_allowed_congestion_control of the machine has to name it")?;
        // A contact after another begins afresh, as it would on the day after.
        sysctl(&name, "net.ipv4.tcp_no_metrics_save=1")?;
        ip(&format!("-n {name} addr add 10.77.0.{n}/24 dev link0"))?;
        ip(&format!("-n {name} link set link0 up"))?;
        self.cables.push(cable.clone());
        ip(&format!("link add {cable} type veth peer name api netns {name}"))?;
        ip(&format!("addr add {outside}/30 dev {cable}"))?;
        ip(&format!("link set {cable} up"))?;
        ip(&format!("-n {name} addr add {inside}/30 dev api"))?;
        ip(&format!("-n {name} link set api up"))?;
        Ok(tun)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for side in &self.sides {
            delete(&side.namespace);
        }
        // Deleting a namespace deletes its cable, unless somebody still lives in it.
        for cable in &self.cables {
            let _ = Command::new("ip").args(["link", "del", cable]).output();
        }
    }
}

/// Takes away namespaces of ours whose process is gone, and whatever runs in them still.
fn sweep() -> Result<()> {
    for name in namespaces()? {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if is_linkem(pid) {
            continue;
        }
        delete(&name);
    }
    Ok(())
}

/// Deletes a namespace with whatever runs in it still: whoever started that is gone, or going. It
/// may not be there: two sweeps that start at once both try.
fn delete(name: &str) {
    let inhabitants = said("ip", &["netns", "pids", name]).unwrap_or_default();
    for inhabitant in inhabitants.split_whitespace() {
        let pid = inhabitant.parse().ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

fn namespaces() -> Result<Vec<String>> {
    let listed = said("ip", &["netns", "list"])?;
    let name = |line: &str| line.split_whitespace().next().map(str::to_owned);
    Ok(listed.lines().filter_map(name).filter(|name| name.starts_with(PREFIX)).collect())
}

fn is_linkem(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == b"linkem")
}

/// Finds two networks side by side that no device of the machine is in.
fn free_network() -> Result<u32> {
    let taken = said("ip", &["-o", "-4", "addr"])?;
    let begin = std::process::id() * 2;
    let is_free = |network: &u32| {
        [0, 1].iter().all(|n| !taken.contains(&format!(" {}/", addresses(network + n)[0])))
    };
    let mut candidates = (0..NETWORKS / 2).map(|i| (begin + i * 2) % NETWORKS);
    candidates.find(is_free).context("every network of 10.79.0.0/16 is taken")
}

/// Gives the addresses of a network: outside, inside.
fn addresses(network: u32) -> [String; 2] {
    let [_, _, high, low] = (network * 4).to_be_bytes();
    [format!("10.79.{high}.{}", low + 1), format!("10.79.{high}.{}", low + 2)]
}

fn sysctl(namespace: &str, setting: &str) -> Result<()> {
    said("ip", &["netns", "exec", namespace, "sysctl", "-q", "-w", setting]).map(drop)
}

fn ip(words: &str) -> Result<()> {
    said("ip", &words.split(' ').collect::<Vec<_>>()).map(drop)
}

fn said(program: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("start {program} (Debian package iproute2)"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", words.join(" "), error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_lie_side_by_side_and_within_their_bound() {
        assert_eq!(addresses(0), ["10.79.0.1", "10.79.0.2"]);
        assert_eq!(addresses(65), ["10.79.1.5", "10.79.1.6"]);
        assert_eq!(addresses(NETWORKS - 1), ["10.79.255.253", "10.79.255.254"]);
    }
}
