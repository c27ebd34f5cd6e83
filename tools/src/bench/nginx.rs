//! The yardstick: the distribution's nginx, serving the same bytes on this computer.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{Process, free_address};

/// nginx is there after some milliseconds.
const START_MAX: Duration = Duration::from_secs(10);

/// Serves the folder `root`; gives the process and where it listens.
pub fn start(work: &Path, root: &Path) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let file = work.join("nginx.conf");
    fs::write(&file, config(work, root, address))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(work).arg("-c").arg(&file).arg("-e").arg(work.join("nginx-error.log"));
    let process = Process::start(&mut command, &work.join("nginx.log"))
        .context("start nginx (Debian package nginx)")?;
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(begin.elapsed() < START_MAX, "nginx does not start: {}", said(work));
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((process, address))
}

/// Debian's defaults for what matters here: sendfile, one worker a core, no access log as in a
/// hub that does not log each request.
fn config(work: &Path, root: &Path, address: SocketAddr) -> String {
    // Its workers would otherwise be a user who may not read the bench's folder.
    let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
    let (work, root) = (work.display(), root.display());
    format!(
        "{user}daemon off;\nworker_processes auto;\npid {work}/nginx.pid;\n\
         events {{ worker_connections 768; }}\n\
         http {{\n sendfile on;\n tcp_nopush on;\n access_log off;\n keepalive_requests 1000000;\n\
         client_body_temp_path {work}/nginx-body;\n proxy_temp_path {work}/nginx-proxy;\n\
         fastcgi_temp_path {work}/nginx-fastcgi;\n uwsgi_temp_path {work}/nginx-uwsgi;\n\
         scgi_temp_path {work}/nginx-scgi;\n\
         server {{ listen {address}; root {root}; }}\n}}\n"
    )
}

fn said(work: &Path) -> String {
    fs::read_to_string(work.join("nginx-error.log")).unwrap_or_default()
}
