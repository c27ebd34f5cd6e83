//! The three processes: started, watched, started again, stopped.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::time;

use super::{demo_hubs, demo_logins};
use crate::accounts::Role;
use crate::config::{ByDay, Config, DemoConfig};

/// A hub closes its database in less; after that it is killed, which it survives too.
const STOP_MAX: Duration = Duration::from_secs(10);
/// A hub that was killed is back after this, long enough to see that it was gone.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// A hub that ends more often than this within [`RESTARTS_WITHIN`] will not start the next time
/// either; somebody who tries `kill -9` is slower.
const RESTARTS_MAX: usize = 5;
const RESTARTS_WITHIN: Duration = Duration::from_secs(30);

/// One hub of the demo, before it runs.
#[derive(Clone)]
pub(super) struct Hub {
    /// Its school's name.
    pub(super) school: String,
    /// Name of its teacher.
    pub(super) teacher: &'static str,
    /// Its data directory.
    pub(super) data: PathBuf,
    /// Where browsers find it.
    pub(super) port: u16,
    /// Where other hubs find it.
    pub(super) sync_port: u16,
    /// True for the lead school's.
    pub(super) is_lead: bool,
}

impl Hub {
    /// Gives the address that a browser opens.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Gives the name of who logs in there.
    pub(super) fn name_of(&self, role: Role) -> &'static str {
        match role {
            Role::Teacher => self.teacher,
            Role::Pupil => "小明",
            Role::Admin => "管理员",
        }
    }

    /// Gives the folder of the whole demo.
    pub(super) fn folder(&self) -> &Path {
        self.data.parent().expect("a data directory lies in the demo's folder")
    }

    /// Gives the file that takes what the hub says.
    pub(super) fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn config_file(&self) -> PathBuf {
        self.data.with_extension("toml")
    }
}

/// The processes.
pub(super) struct Hubs {
    running: Vec<Running>,
}

struct Running {
    hub: Hub,
    child: Child,
    ends: Vec<Instant>,
}

impl Hubs {
    /// Starts each hub.
    pub(super) fn start(plans: Vec<Hub>) -> Result<Self> {
        check_ports(&plans)?;
        for hub in &plans {
            write_config(hub, &plans)?;
        }
        let start = |hub: Hub| Ok(Running { child: spawn(&hub)?, hub, ends: Vec::new() });
        Ok(Self { running: plans.into_iter().map(start).collect::<Result<_>>()? })
    }

    /// Waits until one of the hubs ends; gives its place and how it ended.
    pub(super) async fn next_ended(&mut self) -> (usize, std::io::Result<ExitStatus>) {
        let waits = self.running.iter_mut().map(|running| Box::pin(running.child.wait()));
        let (status, place, _) = futures::future::select_all(waits).await;
        (place, status)
    }

    /// Says that a hub has ended, and starts it again, unless it ends all the time.
    pub(super) async fn restart(
        &mut self,
        (place, status): (usize, std::io::Result<ExitStatus>),
    ) -> Result<()> {
        let running = &mut self.running[place];
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        running.ends.retain(|at| at.elapsed() < RESTARTS_WITHIN);
        running.ends.push(Instant::now());
        let (school, log) = (&running.hub.school, running.hub.log());
        if running.ends.len() > RESTARTS_MAX {
            bail!("the hub of {school} ends all the time ({status}):\n{}", last_lines(&log));
        }
        println!("The hub of {school} has ended ({status}); starting it again …");
        time::sleep(RESTART_DELAY).await;
        running.child = spawn(&running.hub)?;
        Ok(())
    }

    /// Asks all to end, waits, and kills those that do not.
    pub(super) async fn stop(mut self) {
        for running in &self.running {
            terminate(&running.child);
        }
        let deadline = time::Instant::now() + STOP_MAX;
        for running in &mut self.running {
            if time::timeout_at(deadline, running.child.wait()).await.is_err() {
                println!("The hub of {} does not end; killing it", running.hub.school);
                // If that fails, it has just ended by itself.
                let _ = running.child.kill().await;
            }
        }
    }
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        // If that fails, it has ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn spawn(hub: &Hub) -> Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(hub.log());
    let log = log.with_context(|| format!("write {}", hub.log().display()))?;
    Command::new(std::env::current_exe().context("find this program")?)
        .arg("serve")
        .arg("--data")
        .arg(&hub.data)
        .arg("--config")
        .arg(hub.config_file())
        .arg("--exit-with")
        .arg(std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C reaches the demo alone, which then stops the hubs in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start the hub of {}", hub.school))
}

fn check_ports(plans: &[Hub]) -> Result<()> {
    for port in plans.iter().flat_map(|hub| [hub.port, hub.sync_port]) {
        TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("port {port} cannot be used; is the demo running already? Else say --port")
        })?;
    }
    Ok(())
}

fn write_config(hub: &Hub, plans: &[Hub]) -> Result<()> {
    let mut config = Config::default();
    config.http.listen = format!("127.0.0.1:{}", hub.port);
    config.sync.listen = vec![
        format!("/ip4/127.0.0.1/tcp/{}", hub.sync_port),
        format!("/ip4/127.0.0.1/udp/{}/quic-v1", hub.sync_port),
    ];
    config.sync.is_mdns = false;
    // Whoever tries it out watches and uploads at once, and has no class to disturb.
    config.media.pause_while_playing = false;
    config.night.by_day = ByDay::Always;
    // A trial's lessons are few, whatever its disk has left.
    config.storage.reserve_bytes = 0;
    config.storage.originals_free_bytes_min = 0;
    config.demo = Some(DemoConfig { hubs: demo_hubs(plans, hub), logins: demo_logins(hub) });
    let text = toml::to_string(&config).context("write the configuration")?;
    fs::write(hub.config_file(), text)
        .with_context(|| format!("write {}", hub.config_file().display()))
}

/// Gives the end of a log, for a message.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().map(|line| format!("  {line}\n")).collect()
}
