//! What happened in a world, kept only when somebody asks for it.

use std::collections::VecDeque;

/// Lines kept: the last minutes of a random world, a few megabytes.
const LINES_MAX: usize = 20_000;
/// Set to anything, it makes a failing run print its trace.
const VARIABLE: &str = "YINGXUE_TRACE";

/// The last lines of what happened.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// Keeps lines if the environment asks for it.
    pub fn from_environment() -> Self {
        Self { lines: std::env::var_os(VARIABLE).map(|_| VecDeque::new()) }
    }

    /// Keeps a line; it is only made when somebody asked for a trace.
    pub fn line(&mut self, now_us: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{:>10}.{:03} {}", now_us / 1000, now_us % 1000, text()));
        }
    }

    /// Prints the lines.
    pub fn print(&self) {
        self.lines.iter().flatten().for_each(|line| eprintln!("{line}"));
    }
}
