//! A process under measurement: started, read through `/proc`, ended.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use yingxue_hub::config::Config;

/// `/proc` counts in hundredths of a second on every Linux (USER_HZ).
const MS_PER_TICK: f64 = 10.0;
/// A hub that is not there after this will not come.
const START_MAX: Duration = Duration::from_secs(30);
/// Between two looks; the resolution of `cold_start_ms`.
const LOOK_DELAY: Duration = Duration::from_millis(1);

/// A child process, killed when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command with its output in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::create(log).with_context(|| format!("write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child })
    }

    /// Gives the CPU time so far of this process and its children that run, in milliseconds.
    pub fn cpu_ms(&self) -> Result<f64> {
        let mut ticks = cpu_ticks(self.child.id())?;
        for child in children(self.child.id())? {
            ticks += cpu_ticks(child)?;
        }
        Ok(ticks as f64 * MS_PER_TICK)
    }

    /// Gives the resident memory in MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("no VmRSS in /proc")? / 1024.0)
    }

    /// Ends the process as a power cut would, and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill the process")?;
        self.child.wait().map(drop).context("wait for the process")
    }

    /// Asks the process to end, and waits.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).context("a process id")?;
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begin.elapsed() < START_MAX, "the process does not end");
            std::thread::sleep(LOOK_DELAY);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first: an nginx that is killed leaves its workers behind.
        if self.end().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A hub of its own data directory.
pub struct Hub {
    /// The binary.
    pub bin: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where other hubs find it.
    pub sync_listen: Vec<String>,
    /// A command that runs another one elsewhere: `ip netns exec NAME`.
    pub wrapper: Vec<String>,
    /// What its configuration says other than the default, by section.
    pub settings: toml::Table,
}

impl Hub {
    /// Describes a hub on free loopback ports.
    pub fn on_loopback(bin: &Path, data: &Path) -> Result<Self> {
        Ok(Self {
            bin: bin.into(),
            data: data.into(),
            address: free_address()?,
            sync_listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
            wrapper: Vec::new(),
            settings: toml::Table::new(),
        })
    }

    /// Starts it; gives the milliseconds from exec to the first 200 of `/healthz`.
    pub fn start(&self) -> Result<(Process, f64)> {
        let mut config = Config::default();
        config.http.listen = self.address.to_string();
        config.sync.listen.clone_from(&self.sync_listen);
        config.sync.is_mdns = false;
        let file = self.data.with_extension("toml");
        fs::write(&file, toml::to_string(&with_settings(&config, &self.settings)?)?)?;
        let mut words = self.wrapper.iter().map(String::as_str).map(std::ffi::OsStr::new);
        let mut command = match words.next() {
            Some(wrapper) => {
                let mut command = Command::new(wrapper);
                command.args(words).arg(&self.bin);
                command
            }
            None => Command::new(&self.bin),
        };
        command.arg("serve").arg("--data").arg(&self.data).arg("--config").arg(&file);
        let log = self.data.with_extension("log");
        let begin = Instant::now();
        let process = Process::start(&mut command, &log)?;
        while !is_healthy(self.address) {
            if begin.elapsed() > START_MAX {
                bail!("the hub does not start: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(LOOK_DELAY);
        }
        Ok((process, begin.elapsed().as_secs_f64() * 1e3))
    }
}

/// The configuration with some fields of its sections replaced.
fn with_settings(config: &Config, settings: &toml::Table) -> Result<toml::Table> {
    let mut sections = toml::Table::try_from(config)?;
    for (name, fields) in settings {
        let section = sections.entry(name).or_insert_with(|| toml::Table::new().into());
        let (Some(section), Some(fields)) = (section.as_table_mut(), fields.as_table()) else {
            bail!("{name} is no section of the configuration");
        };
        section.extend(fields.clone());
    }
    Ok(sections)
}

/// Gives an address whose port was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("bind to loopback")?.local_addr()?)
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Reads user and system time, fields 14 and 15 of proc(5)'s `stat`.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read /proc")?;
    ticks_in(&stat).context("an odd line in /proc")
}

fn ticks_in(stat: &str) -> Option<u64> {
    // The name in brackets may hold spaces; field 3 comes after the last bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_replaces_its_field_and_nothing_else() {
        let settings = toml::toml! { [http]
        listen = "127.0.0.1:1" };
        let config = with_settings(&Config::default(), &settings).unwrap();
        assert_eq!(config["http"]["listen"].as_str(), Some("127.0.0.1:1"));
        let mut expected = Config::default();
        expected.http.listen = "127.0.0.1:1".into();
        assert_eq!(config.try_into::<Config>().unwrap(), expected);
        let odd = toml::toml! { http = 1 };
        assert!(with_settings(&Config::default(), &odd).is_err());
    }

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets_and_spaces() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0";
        assert_eq!(ticks_in(stat), Some(42));
        assert_eq!(ticks_in("7 nothing"), None);
    }
}
