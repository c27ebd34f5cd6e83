//! Whether the emulated link is what it says, measured from its two ends: `linkem_rate_ratio`,
//! `linkem_loss`, `linkem_rtt_ms`.
//!
//! More datagrams than the satellite carries, for a while: what arrives a second over the rate
//! less the loss that was asked for, and the loss over what left the queue. The round trip is the
//! quickest of some TCP handshakes.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::lab::Lab;
use super::link::{Link, inside};
use crate::bench::figures::{Figures, say};

/// Seconds of datagrams: 1 % of loss of 4,000 packets is known to a sixth; and in `--quick`.
const FLOOD_S: [u64; 2] = [20, 5];
/// Bytes of a datagram, and of the headers of IP and UDP.
const DATAGRAM_BYTES: (usize, usize) = (972, 28);
/// Of the satellite, and one and a half times as much that is offered.
const RATE_BITS_PER_S: f64 = 2e6;
const OFFERED: f64 = 1.5;
/// Of the satellite.
const LOSS: f64 = 0.01;
const PORT: u16 = 5002;
const HANDSHAKES: usize = 5;
/// After the last datagram nothing is on its way any more.
const SILENCE: Duration = Duration::from_secs(3);

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let mut link = Link::lay(lab, &["--preset", "vsat"])?;
    say("the emulated satellite itself");
    figures.put("linkem_rtt_ms", rtt_ms(&link)?);
    let before = link.counters()?[0];
    let bits_per_s = flood(&link, Duration::from_secs(lab.pick(FLOOD_S)))?;
    let after = link.counters()?[0];
    figures.put("linkem_rate_ratio", bits_per_s / (RATE_BITS_PER_S * (1.0 - LOSS)));
    let sent = (after.sent.packets - before.sent.packets) as f64;
    figures.put("linkem_loss", (after.lost.packets - before.lost.packets) as f64 / sent);
    Ok(())
}

fn rtt_ms(link: &Link) -> Result<f64> {
    let address = (link.side(1).address.as_str(), PORT);
    // It listens as long as it is kept; the kernel answers handshakes for it.
    let _listener = inside(link.side(1), || TcpListener::bind(address).context("listen"))?;
    let handshake_ms = || {
        let begin = Instant::now();
        TcpStream::connect(address).context("connect")?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    };
    let all = inside(link.side(0), || (0..HANDSHAKES).map(|_| handshake_ms()).collect())?;
    let all: Vec<f64> = all;
    Ok(all.into_iter().fold(f64::INFINITY, f64::min))
}

/// Gives the bits a second that arrive, from the first datagram to the last.
fn flood(link: &Link, time: Duration) -> Result<f64> {
    let (listens, is_listening) = mpsc::channel();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| inside(link.side(1), || receive(link, &listens)));
        is_listening.recv().context("the receiver listens")?;
        inside(link.side(0), || send(link, time))?;
        receiver.join().map_err(|_| anyhow!("the receiver panicked"))?
    })
}

fn send(link: &Link, time: Duration) -> Result<()> {
    let socket = UdpSocket::bind((link.side(0).address.as_str(), 0)).context("bind")?;
    let datagram = [0x5a; DATAGRAM_BYTES.0];
    let bits = (DATAGRAM_BYTES.0 + DATAGRAM_BYTES.1) as f64 * 8.0;
    let gap = Duration::from_secs_f64(bits / (RATE_BITS_PER_S * OFFERED));
    let begin = Instant::now();
    let mut next = begin;
    while next - begin < time {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        socket.send_to(&datagram, (link.side(1).address.as_str(), PORT)).context("send")?;
        next += gap;
    }
    Ok(())
}

fn receive(link: &Link, listens: &mpsc::Sender<()>) -> Result<f64> {
    let socket = UdpSocket::bind((link.side(1).address.as_str(), PORT)).context("bind")?;
    socket.set_read_timeout(Some(SILENCE))?;
    let _ = listens.send(());
    let mut buffer = [0; 2 * DATAGRAM_BYTES.0];
    let (mut first, mut last, mut count) = (None, Instant::now(), 0_u32);
    while socket.recv(&mut buffer).is_ok() {
        last = Instant::now();
        first.get_or_insert(last);
        count += 1;
    }
    let first = first.context("no datagram arrived")?;
    ensure!(count > 1, "one datagram arrived");
    let bits = f64::from(count - 1) * (DATAGRAM_BYTES.0 + DATAGRAM_BYTES.1) as f64 * 8.0;
    Ok(bits / (last - first).as_secs_f64())
}
