//! What a link carries of a lesson: `goodput_vsat_ratio`, `goodput_4g_ratio`, `wire_overhead`.
//!
//! One lesson of 50 MB from hub to hub, from the moment that they are in contact until its last
//! byte is verified and durable; over the same link, in the same run, one plain TCP stream of as
//! many bytes with the same congestion control, from connecting to its last byte. The links are
//! so slow that both can be measured at the same time without disturbing one another.
//!
//! `wire_overhead` is everything inside TCP that was on the wire, both ways and with what was sent
//! again after a loss, over the payload: what our own layers cost. The headers of IP and TCP, and
//! bare acknowledgements, come on top for everybody: the figures that end in `_ip` count whole
//! packets, `_ip_plain` those of the plain stream.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::blobs::{Arrival, arrive};
use super::lab::Lab;
use super::pair::Pair;
use super::stream;
use crate::bench::figures::{Figures, leave_out, say};
use crate::bench::seed;
use crate::linkem::counters::Counters;

/// Bytes of the lesson, and in `--quick`.
const BYTES: [usize; 2] = [50_000_000, 5_000_000];
/// The names of the links in figures, and as presets.
const LINKS: [(&str, &str); 2] = [("vsat", "vsat"), ("4g", "weak_4g")];
/// 50 MB take 220 s over the satellite; five times as long is a failure.
const TRANSFER_MAX: Duration = Duration::from_secs(1_200);

/// What was measured on one link.
struct Goodput {
    ours_s: f64,
    plain_s: f64,
    /// Of the whole packets, and of what is inside TCP, over the payload.
    overhead_ip: f64,
    overhead_tcp: f64,
    plain_overhead_ip: f64,
}

/// Measures both links.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let bytes = lab.pick(BYTES);
    say(&format!("{bytes} bytes over the satellite and the radio, ours and plain TCP"));
    let measured: Vec<Result<Goodput>> = thread::scope(|scope| {
        let threads =
            LINKS.map(|(name, preset)| scope.spawn(move || one(lab, name, preset, bytes)));
        let end = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a measurement panicked")))
        };
        threads.into_iter().map(end).collect()
    });
    let mut overheads = Vec::new();
    for ((name, _), measured) in LINKS.iter().zip(measured) {
        let goodput = match measured {
            Ok(goodput) => goodput,
            Err(error) => {
                leave_out(&format!("goodput_{name}_ratio"), &error);
                continue;
            }
        };
        let mbit_per_s = |seconds: f64| bytes as f64 * 8e-6 / seconds;
        figures.put(&format!("goodput_{name}_ratio"), goodput.plain_s / goodput.ours_s);
        figures.put(&format!("goodput_{name}_mbit_per_s"), mbit_per_s(goodput.ours_s));
        figures.put(&format!("plain_{name}_mbit_per_s"), mbit_per_s(goodput.plain_s));
        figures.put(&format!("wire_overhead_{name}_ip"), goodput.overhead_ip);
        figures.put(&format!("wire_overhead_{name}_ip_plain"), goodput.plain_overhead_ip);
        overheads.push(goodput.overhead_tcp);
    }
    if overheads.len() == LINKS.len() {
        figures.put("wire_overhead", overheads.into_iter().fold(0.0, f64::max));
    }
    Ok(())
}

fn one(lab: &Lab, name: &str, preset: &str, bytes: usize) -> Result<Goodput> {
    let folder = lab.folder(&format!("goodput-{name}"))?;
    let mut pair = Pair::make(lab, &folder, &["--preset", preset])?;
    let lesson =
        seed::tracks(&pair.lead.data, &pair.lead_addresses(), 1, (bytes, 1 << 20))?.remove(0);
    let before = pair.link.counters()?;
    let plain_s = stream::seconds(&pair.link, bytes as u64)?;
    let between = pair.link.counters()?;
    say(&format!("plain TCP over {name}: {plain_s:.1} s"));
    let [lead, rural] = pair.meet()?;
    let begin = Instant::now();
    let met = pair.link.counters()?;
    arrive(&rural.api, &[lesson], bytes as u64, TRANSFER_MAX, &Arrival::default())?;
    let ours_s = begin.elapsed().as_secs_f64();
    let after = pair.link.counters()?;
    say(&format!("ours over {name}: {ours_s:.1} s"));
    rural.process.stop()?;
    lead.process.stop()?;
    let payload = bytes as f64;
    Ok(Goodput {
        ours_s,
        plain_s,
        overhead_ip: (ip_bytes(&after) - ip_bytes(&met)) / payload,
        overhead_tcp: (tcp_bytes(&after) - tcp_bytes(&met)) / payload,
        plain_overhead_ip: (ip_bytes(&between) - ip_bytes(&before)) / payload,
    })
}

/// Bytes on the wire both ways: whole packets, lost ones too.
fn ip_bytes(counters: &[Counters; 2]) -> f64 {
    counters.iter().map(|way| way.sent.bytes as f64).sum()
}

/// Bytes inside TCP both ways, with what was sent again.
fn tcp_bytes(counters: &[Counters; 2]) -> f64 {
    counters.iter().map(|way| way.tcp_payload_bytes as f64).sum()
}
