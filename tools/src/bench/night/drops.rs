//! What broken connections cost: `drops_bytes_ratio`.
//!
//! A lesson of 50 MB between two hubs whose only way is a proxy that resets the connection ten
//! times, evenly over the transfer. Counted are all bytes that the proxy was given, both ways.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::blobs::{Arrival, arrive};
use super::lab::Lab;
use super::pair::{ally, start};
use super::proxy::Proxy;
use crate::bench::figures::{Figures, say};
use crate::bench::process::{Hub, free_address};
use crate::bench::seed;

/// Bytes of the lesson, and in `--quick`.
const BYTES: [usize; 2] = [50_000_000, 10_000_000];
/// As promised.
const RESETS: usize = 10;
/// A rural school's good uplink, 20 Mbit/s.
const BYTES_PER_S: f64 = 2.5e6;
/// Twenty times what the bytes take, for the pauses before hubs dial again.
const TRANSFER_MAX: Duration = Duration::from_secs(400);

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let bytes = lab.pick(BYTES);
    let folder = lab.folder("drops")?;
    let listener = TcpListener::bind("127.0.0.1:0").context("listen for the proxy")?;
    let way = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr()?.port());
    let nowhere = format!("/ip4/127.0.0.1/tcp/{}", free_address()?.port());
    let target = free_address()?;
    let mut lead = Hub::on_loopback(&lab.bin, &folder.join("lead"))?;
    lead.sync_listen = vec![multiaddr(target)];
    lead.settings = announcing(&way);
    let mut rural = Hub::on_loopback(&lab.bin, &folder.join("rural"))?;
    // The lead must not find a way around the proxy.
    rural.settings = announcing(&nowhere);
    let resets_at = |begin: u64| -> Vec<u64> {
        (1..=RESETS as u64).map(|n| begin + n * bytes as u64 / (RESETS as u64 + 1)).collect()
    };
    let joining = Proxy::start(listener.try_clone()?, target, Vec::new(), BYTES_PER_S)?;
    ally(&lead, &rural)?;
    drop(joining);
    let lesson = seed::tracks(&lead.data, &[way], 1, (bytes, 1 << 20))?.remove(0);
    let proxy = Proxy::start(listener, target, resets_at(0), BYTES_PER_S)?;
    say(&format!("{bytes} bytes through {RESETS} resets"));
    let lead_runs = start(&lead)?;
    let rural_runs = start(&rural)?;
    let begin = std::time::Instant::now();
    let arrival = Arrival { name: Some("drops") };
    arrive(&rural_runs.api, &[lesson], bytes as u64, TRANSFER_MAX, &arrival)?;
    let seconds = begin.elapsed().as_secs_f64();
    let moved = proxy.moved.bytes.load(Ordering::Relaxed);
    let resets = proxy.moved.resets.load(Ordering::Relaxed);
    ensure!(resets == RESETS as u64, "{resets} of {RESETS} resets took place");
    rural_runs.process.stop()?;
    lead_runs.process.stop()?;
    figures.put("drops_bytes_ratio", moved as f64 / bytes as f64);
    figures.put("drops_resets", resets as f64);
    figures.put("drops_s", seconds);
    Ok(())
}

fn multiaddr(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

fn announcing(address: &str) -> toml::Table {
    let mut sync = toml::Table::new();
    sync.insert("announce".into(), toml::Value::Array(vec![address.into()]));
    let mut settings = toml::Table::new();
    settings.insert("sync".into(), sync.into());
    settings
}
