//! A load generator: keep-alive HTTP/1.1 connections on one thread, one request after another on
//! each. Cheaper than what it measures, and the same for every server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As in the figures that were promised: a class with its teacher's computer.
pub const CONNECTIONS: usize = 50;
/// Bytes of a header block that are read before giving up.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// When to stop.
#[derive(Clone, Copy)]
pub enum Until {
    /// After so many requests.
    Requests(usize),
    /// After this time.
    Elapsed(Duration),
}

/// What came of it.
pub struct Outcome {
    /// Answers that were complete and right.
    pub requests: usize,
    /// From the first to the last byte.
    pub seconds: f64,
}

/// Sends `request` again and again; every answer has to have the status given.
pub fn run(address: SocketAddr, request: &str, status: u16, until: Until) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = Instant::now();
        let mut connections = tokio::task::JoinSet::new();
        for i in 0..CONNECTIONS {
            let request = request.as_bytes().to_vec();
            let share = match until {
                Until::Requests(n) => n / CONNECTIONS + usize::from(i < n % CONNECTIONS),
                Until::Elapsed(_) => usize::MAX,
            };
            let deadline = match until {
                Until::Requests(_) => None,
                Until::Elapsed(time) => Some(begin + time),
            };
            connections.spawn(one(address, request, status, share, deadline));
        }
        let mut requests = 0;
        while let Some(result) = connections.join_next().await {
            requests += result.context("a connection ended early")??;
        }
        Ok(Outcome { requests, seconds: begin.elapsed().as_secs_f64() })
    })
}

async fn one(
    address: SocketAddr,
    request: Vec<u8>,
    status: u16,
    requests_max: usize,
    deadline: Option<Instant>,
) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let mut done = 0;
    while done < requests_max && !is_over() {
        stream.write_all(&request).await?;
        read_answer(&mut stream, &mut buffer, status).await?;
        done += 1;
    }
    Ok(done)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8], status: u16) -> Result<()> {
    let mut filled = 0;
    let head_bytes = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the server closed the connection");
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(filled < HEADER_BYTES_MAX, "the headers do not end");
    };
    let head = std::str::from_utf8(&buffer[..head_bytes]).context("odd headers")?;
    let body_bytes = body_bytes(head, status)?;
    let mut rest = (head_bytes + body_bytes).saturating_sub(filled);
    while rest > 0 {
        let size = buffer.len().min(rest);
        let read = stream.read(&mut buffer[..size]).await?;
        ensure!(read > 0, "the server closed the connection in an answer");
        rest -= read;
    }
    Ok(())
}

fn body_bytes(head: &str, status: u16) -> Result<usize> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    ensure!(first.split(' ').nth(1) == Some(&status.to_string()), "{first} (wanted {status})");
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return value.trim().parse().context("an odd Content-Length");
        }
    }
    bail!("an answer without Content-Length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_read_and_a_wrong_status_is_an_error() {
        let head = "HTTP/1.1 206 Partial Content\r\ncontent-length: 300\r\nx: y\r\n\r\n";
        assert_eq!(body_bytes(head, 206).unwrap(), 300);
        assert!(body_bytes(head, 200).is_err());
        assert!(body_bytes("HTTP/1.1 200 OK\r\n\r\n", 200).is_err());
    }
}
