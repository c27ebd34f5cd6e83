//! An emulated link between two namespaces, run by `linkem` as a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::lab::{Lab, need};
use crate::linkem::counters::Counters;
use crate::linkem::namespaces::Side;

/// The port of a hub's pages, and of whatever else is asked over the cable to the outside.
pub const API_PORT: u16 = 8470;

/// The running link; gone with its namespaces when dropped.
pub struct Link {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    sides: [Side; 2],
}

impl Link {
    /// Lays a link; `words` are those of `linkem`.
    pub fn lay(lab: &Lab, words: &[&str]) -> Result<Self> {
        need("ip", "iproute2")?;
        let (burst, seed) = (lab.loss_burst.to_string(), lab.seed.to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .args(["linkem", "--loss-burst", &burst, "--seed", &seed])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C ends this process; the link then ends by itself, and cleans up.
            .process_group(0)
            .spawn()
            .context("start linkem")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("linkem's standard output")?);
        let mut line = String::new();
        let mut answers = answers;
        answers.read_line(&mut line).context("hear from linkem")?;
        ensure!(!line.is_empty(), "linkem did not start; it says why above");
        let ready: Value = serde_json::from_str(&line).context("an answer of linkem")?;
        let sides = serde_json::from_value(ready["sides"].clone()).context("linkem's sides")?;
        Ok(Self { child, orders, answers, sides })
    }

    /// Gives one end: 0 or 1.
    pub const fn side(&self, n: usize) -> &Side {
        &self.sides[n]
    }

    /// Gives where side `n` is asked from outside.
    pub fn api(&self, n: usize) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.sides[n].api_address.parse().context("an address")?, API_PORT))
    }

    /// Gives the words that run a command on side `n`.
    pub fn wrapper(&self, n: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.sides[n].namespace].map(Into::into).into()
    }

    /// Gives orders to the link: `open`, `shape`, `down`, `up`.
    pub fn order(&mut self, word: &str) -> Result<Value> {
        let orders = self.orders.as_mut().context("linkem has ended")?;
        writeln!(orders, "{word}").and_then(|()| orders.flush()).context("order linkem")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("hear from linkem")?;
        let answer: Value = serde_json::from_str(&line).context("an answer of linkem")?;
        ensure!(answer["error"].is_null(), "linkem: {}", answer["error"]);
        Ok(answer)
    }

    /// Gives what went from side 0 to 1, and back.
    pub fn counters(&mut self) -> Result<[Counters; 2]> {
        serde_json::from_value(self.order("counters")?).context("linkem's counters")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The end of its input is what ends it.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// Runs `work` in a thread that lives in a namespace.
pub fn inside<T: Send>(side: &Side, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = format!("/run/netns/{}", side.namespace);
    let namespace = File::open(&path).with_context(|| format!("open {path}"))?;
    let enter_and_work = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter {path}"))?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(enter_and_work);
        thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread in {path} panicked")))
    })
}
