//! Moves packets between two TUN devices when the model says so.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::counters::{Counters, tcp_payload_bytes};
use super::model::{Dropped, Model};
use super::shape::Shape;

/// Packets read of one side before the other has its turn.
const BATCH: usize = 64;
/// Longest IP packet.
const PACKET_BYTES_MAX: usize = 1 << 16;
/// Bytes of an order; the longest has 8.
const ORDER_BYTES_MAX: usize = 64;

/// What standard input may say.
pub const ORDERS: [&str; 6] = ["counters", "open", "shape", "down", "up", "end"];

/// What the pump wants done outside of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Tell the counters.
    Counters,
    /// It is done already; say so.
    Done,
    /// No such word.
    Unknown(String),
    /// End.
    End,
}

/// One direction on its way.
struct Way {
    model: Model,
    flying: VecDeque<(u64, Vec<u8>)>,
    counters: Counters,
}

/// The running link.
pub struct Pump {
    tuns: [File; 2],
    ways: [Way; 2],
    shape: Shape,
    /// Packets pass at once.
    is_open: bool,
    /// Cut by order, apart from the times of the shape.
    is_down: bool,
    was_cut: bool,
    begin: Instant,
    /// When the shape was put on: its cuts are counted from there.
    shaped_at: u64,
    typed: Vec<u8>,
    buffer: Vec<u8>,
}

impl Pump {
    /// Makes a link of two devices.
    pub fn new(tuns: [File; 2], shape: Shape, is_open: bool) -> Self {
        let way = |n: usize| Way {
            model: Model::new(shape.directions[n], shape.seed.wrapping_mul(2) + n as u64),
            flying: VecDeque::new(),
            counters: Counters::default(),
        };
        Self {
            tuns,
            ways: [way(0), way(1)],
            shape,
            is_open,
            is_down: false,
            was_cut: false,
            begin: Instant::now(),
            shaped_at: 0,
            typed: Vec::new(),
            buffer: vec![0; PACKET_BYTES_MAX],
        }
    }

    /// Gives what was counted, from the first side to the second and back.
    pub fn counters(&self) -> [Counters; 2] {
        [self.ways[0].counters, self.ways[1].counters]
    }

    /// Moves packets until there is an order that somebody else has to carry out.
    pub fn run(&mut self, wake: &UnixStream) -> Result<Order> {
        loop {
            if let Some(order) = self.next_order() {
                return Ok(order);
            }
            let [is_woken, has_input] = self.wait(wake)?;
            if is_woken {
                return Ok(Order::End);
            }
            if has_input && !self.read_input()? {
                return Ok(Order::End);
            }
            let now = self.now();
            self.cut_if_due(now);
            self.take(now, 0)?;
            self.take(now, 1)?;
            self.deliver(self.now());
        }
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Waits for a packet, an order or the next arrival; says whether there is a signal, input.
    fn wait(&self, wake: &UnixStream) -> Result<[bool; 2]> {
        let stdin = std::io::stdin();
        let mut polled = [
            PollFd::new(wake, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&self.tuns[0], PollFlags::IN),
            PollFd::new(&self.tuns[1], PollFlags::IN),
        ];
        let next = self.ways.iter().filter_map(|way| Some(way.flying.front()?.0)).min();
        let timeout = next.map(|at| Duration::from_nanos(at.saturating_sub(self.now())));
        let timeout = timeout.and_then(|wait| Timespec::try_from(wait).ok());
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        Ok([!polled[0].revents().is_empty(), !polled[1].revents().is_empty()])
    }

    /// Reads what standard input has; false at its end.
    fn read_input(&mut self) -> Result<bool> {
        let mut bytes = [0; ORDER_BYTES_MAX];
        let count = rustix::io::read(std::io::stdin(), &mut bytes).context("read an order")?;
        self.typed.extend_from_slice(&bytes[..count]);
        // A line that does not end is not an order.
        Ok(count > 0 && self.typed.len() <= ORDER_BYTES_MAX * 64)
    }

    fn next_order(&mut self) -> Option<Order> {
        let end = self.typed.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.typed.drain(..=end).collect();
        let word = String::from_utf8_lossy(&line).trim().to_owned();
        let now = self.now();
        match word.as_str() {
            "counters" => return Some(Order::Counters),
            "open" => self.is_open = true,
            "shape" => (self.is_open, self.shaped_at) = (false, now),
            "down" => self.is_down = true,
            "up" => self.is_down = false,
            "end" => return Some(Order::End),
            _ => return Some(Order::Unknown(word)),
        }
        Some(Order::Done)
    }

    fn is_cut(&self, now: u64) -> bool {
        let (every_ms, for_ms) = (self.shape.cut_every_ms, self.shape.cut_for_ms);
        let in_turn_ms = || (now - self.shaped_at) / 1_000_000 % every_ms;
        self.is_down || !self.is_open && every_ms > 0 && in_turn_ms() >= every_ms - for_ms
    }

    /// What is on its way when the link is cut does not arrive.
    fn cut_if_due(&mut self, now: u64) {
        let is_cut = self.is_cut(now);
        if is_cut && !self.was_cut {
            for way in &mut self.ways {
                way.model.cut(now);
                for (_, packet) in way.flying.drain(..) {
                    way.counters.dropped_cut.add(packet.len());
                }
            }
        }
        self.was_cut = is_cut;
    }

    /// Reads packets of one side and lets the model say what becomes of them.
    fn take(&mut self, now: u64, from: usize) -> Result<()> {
        for _ in 0..BATCH {
            let bytes = match (&self.tuns[from]).read(&mut self.buffer) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("read a packet"),
            };
            let way = &mut self.ways[from];
            if self.was_cut {
                way.counters.dropped_cut.add(bytes);
                continue;
            }
            let fate = if self.is_open { Ok(now) } else { way.model.offer(now, bytes as u64) };
            if fate == Err(Dropped::Queue) {
                way.counters.dropped_queue.add(bytes);
                continue;
            }
            let packet = &self.buffer[..bytes];
            way.counters.sent.add(bytes);
            way.counters.tcp_payload_bytes += tcp_payload_bytes(packet);
            match fate {
                Ok(at) => way.flying.push_back((at, packet.to_vec())),
                Err(_) => way.counters.lost.add(bytes),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, now: u64) {
        for (to, way) in [1, 0].into_iter().zip(&mut self.ways) {
            while let Some((_, packet)) = way.flying.pop_front_if(|(at, _)| *at <= now) {
                // A device that is down, or full, loses it, as a real one does.
                match (&self.tuns[to]).write(&packet) {
                    Ok(_) => way.counters.delivered.add(packet.len()),
                    Err(_) => way.counters.lost.add(packet.len()),
                }
            }
        }
    }
}
