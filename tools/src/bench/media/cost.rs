//! What processes cost, read from `/proc`: CPU time and memory, children and all.

use std::fs;

use anyhow::{Context, Result};

/// `/proc` counts in hundredths of a second on every Linux (USER_HZ).
const SECONDS_PER_TICK: f64 = 0.01;
/// The deepest tree of processes that is followed: an import, its ffmpeg, what that might start.
const DEPTH_MAX: usize = 4;

/// The CPU seconds in one line of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    own_s: f64,
    /// Of children that have ended and were waited for, and of theirs.
    ended_s: f64,
}

/// Gives the CPU seconds of all children of this process that have ended and were waited for.
pub fn ended_children_cpu_s() -> Result<f64> {
    Ok(stat(std::process::id())?.ended_s)
}

/// Gives the CPU seconds of this process alone, all threads.
pub fn own_cpu_s() -> Result<f64> {
    Ok(stat(std::process::id())?.own_s)
}

/// Gives the CPU seconds so far of a process and everything that it has started.
pub fn tree_cpu_s(pid: u32) -> Result<f64> {
    let root = stat(pid)?;
    let below = tree(pid).into_iter().skip(1);
    // One that has ended between two reads has been counted by its parent, or will be.
    let below: f64 = below.filter_map(|pid| stat(pid).ok()).map(|s| s.own_s + s.ended_s).sum();
    Ok(root.own_s + root.ended_s + below)
}

/// Gives the resident memory in MiB of a process and everything that it has started; pages that
/// two of them share count twice.
pub fn tree_rss_mib(pid: u32) -> f64 {
    tree(pid).into_iter().filter_map(rss_kib).sum::<f64>() / 1024.0
}

/// The process and all below it.
fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut level = vec![pid];
    for _ in 0..DEPTH_MAX {
        level = level.into_iter().flat_map(children).collect();
        found.extend(&level);
    }
    found
}

/// A child belongs to the thread that started it.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let words: Vec<String> =
        lists.flat_map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

fn rss_kib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn stat(pid: u32) -> Result<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).context("read /proc")?;
    parse(&line).context("an odd line in /proc")
}

/// Fields 14 to 17 of proc(5)'s `stat`; the name in brackets may hold spaces.
fn parse(line: &str) -> Option<Stat> {
    let fields = line.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks: Vec<f64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let [user, system, ended_user, ended_system] = ticks[..] else { return None };
    let seconds = |ticks: f64| ticks * SECONDS_PER_TICK;
    Some(Stat { own_s: seconds(user + system), ended_s: seconds(ended_user + ended_system) })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets_and_spaces() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 120 30 400 50 20 0 1 0";
        assert_eq!(parse(line), Some(Stat { own_s: 1.5, ended_s: 4.5 }));
        assert_eq!(parse("7 nothing"), None);
        assert_eq!(parse("7 (cut) S 1 7 7 0 -1 4194560 100 0 0 0 120 30"), None);
    }

    #[test]
    fn a_grandchild_is_found_and_its_memory_counted() {
        let script = "sleep 600 & echo $!; wait";
        let mut shell =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = shell.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let sleeper: u32 = line.trim().parse().unwrap();
        let all = tree(shell.id());
        let (both, one) = (tree_rss_mib(shell.id()), rss_kib(shell.id()).unwrap() / 1024.0);
        Command::new("kill").arg(sleeper.to_string()).status().unwrap();
        shell.wait().unwrap();
        assert_eq!(all, [shell.id(), sleeper]);
        assert!(both > one && one > 0.0, "{both} {one}");
    }
}
