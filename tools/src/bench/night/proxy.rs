//! A TCP proxy that resets connections after as many bytes as it was told, and counts all.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, tcp::ReadHalf, tcp::WriteHalf};
use tokio::time::Instant;

/// Read at a time, so that what a reset catches inside the proxy is little.
const READ_BYTES: usize = 16 << 10;

/// What it has done so far.
#[derive(Default)]
pub struct Moved {
    /// Bytes read of either side.
    pub bytes: AtomicU64,
    /// Connections reset.
    pub resets: AtomicU64,
}

/// A proxy in a thread; gone when dropped.
pub struct Proxy {
    /// What it has done.
    pub moved: Arc<Moved>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What a connection needs to know.
struct Plan {
    target: SocketAddr,
    /// In all, in order: at each a reset.
    resets_at: Vec<u64>,
    bytes_per_s: f64,
    moved: Arc<Moved>,
}

impl Proxy {
    /// Carries connections to `listener` on to `target` at a rate, and resets at those bytes.
    pub fn start(
        listener: TcpListener,
        target: SocketAddr,
        resets_at: Vec<u64>,
        bytes_per_s: f64,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let moved = Arc::<Moved>::default();
        let plan = Arc::new(Plan { target, resets_at, bytes_per_s, moved: moved.clone() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("proxy".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    error = serve(listener, plan) => drop(error),
                }
            });
        });
        let thread = thread.context("start the proxy's thread")?;
        Ok(Self { moved, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, plan: Arc<Plan>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (near, _) = listener.accept().await?;
        let plan = plan.clone();
        tokio::spawn(async move {
            if let Ok(far) = TcpStream::connect(plan.target).await {
                carry(near, far, &plan).await;
            }
        });
    }
}

/// Carries one connection until it ends or is to be reset.
async fn carry(mut near: TcpStream, mut far: TcpStream, plan: &Plan) {
    let begun_at = plan.moved.bytes.load(Ordering::Relaxed);
    let is_reset = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        tokio::select! {
            is_reset = copy(near_read, far_write, plan, begun_at) => is_reset,
            is_reset = copy(far_read, near_write, plan, begun_at) => is_reset,
        }
    };
    if is_reset {
        plan.moved.resets.fetch_add(1, Ordering::Relaxed);
        // Closed so, both are reset; what waits in them is gone.
        for side in [&near, &far] {
            let _ = set_socket_linger(side, Some(Duration::ZERO));
        }
    }
}

/// Carries one direction; true if the connection is to be reset.
async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, plan: &Plan, begun_at: u64) -> bool {
    let mut buffer = vec![0; READ_BYTES];
    let mut next = Instant::now();
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return false };
        let moved = plan.moved.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if plan.resets_at.iter().any(|at| (begun_at + 1..=moved).contains(at)) {
            return true;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return false;
        }
        let takes = Duration::from_secs_f64(count as f64 / plan.bytes_per_s);
        next = next.max(Instant::now()) + takes;
        tokio::time::sleep_until(next).await;
    }
}
