//! A link between two network namespaces, run by `yingxue-tools linkem` as a process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::hub::{Place, built};

/// The running link; its namespaces go with it.
pub struct Link {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    sides: Value,
}

impl Link {
    /// Lays a link of those words; nothing limits it until `shape` is ordered.
    pub fn lay(words: &[&str]) -> Self {
        let mut child = Command::new(built("yingxue-tools", "YINGXUE_TOOLS", "yingxue-tools"))
            .args(["linkem", "--open"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut link = Self { child, orders, answers, sides: Value::Null };
        let ready = link.answer();
        link.sides = ready["sides"].clone();
        assert_eq!(link.sides.as_array().map(Vec::len), Some(2), "{ready}");
        link
    }

    /// Gives where the hub of side `n` lives.
    pub fn place(&self, n: usize) -> Place {
        let text = |key: &str| self.sides[n][key].as_str().unwrap();
        Place {
            wrapper: ["ip", "netns", "exec", text("namespace")].map(Into::into).into(),
            http: format!("{}:8470", text("api_address")),
            sync: format!("/ip4/{}/tcp/8471", text("address")),
        }
    }

    /// Gives an order: `shape`, `down`, `up`, `counters`.
    pub fn order(&mut self, word: &str) -> Value {
        writeln!(self.orders.as_mut().unwrap(), "{word}").unwrap();
        let answer = self.answer();
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "linkem has ended; it says why above");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The end of its input is what ends it.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
