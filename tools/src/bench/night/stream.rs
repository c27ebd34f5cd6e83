//! The yardstick: one plain TCP stream over the same link.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::link::{Link, inside};

const PORT: u16 = 5001;
/// A stream that does not move for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Written at a time; the kernel cuts it into packets.
const WRITE_BYTES: usize = 64 << 10;

/// Sends bytes from side 0 to side 1; gives the seconds from connecting to the last byte read.
pub fn seconds(link: &Link, bytes: u64) -> Result<f64> {
    let (listens, is_listening) = mpsc::channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| inside(link.side(1), || receive(link, bytes, &listens)));
        let _ = is_listening.recv_timeout(SILENCE_MAX);
        let begin = inside(link.side(0), || send(link, bytes))?;
        let end = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        Ok((end - begin).as_secs_f64())
    })
}

fn receive(link: &Link, bytes: u64, listens: &mpsc::Sender<()>) -> Result<Instant> {
    let listener = TcpListener::bind((link.side(1).address.as_str(), PORT)).context("listen")?;
    let _ = listens.send(());
    let (mut stream, _) = listener.accept().context("accept")?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut buffer = vec![0; WRITE_BYTES];
    let mut received = 0;
    while received < bytes {
        let count = stream.read(&mut buffer).context("read the plain stream")?;
        ensure!(count > 0, "the plain stream ended after {received} bytes");
        received += count as u64;
    }
    Ok(Instant::now())
}

/// Gives when it began to connect.
fn send(link: &Link, bytes: u64) -> Result<Instant> {
    let begin = Instant::now();
    let mut stream =
        TcpStream::connect((link.side(1).address.as_str(), PORT)).context("connect")?;
    let buffer = vec![0x5a; WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(WRITE_BYTES as u64);
        stream.write_all(&buffer[..count as usize]).context("write the plain stream")?;
        left -= count;
    }
    Ok(begin)
}
