//! `linkem`: a link between two network namespaces as bad as a real one.
//!
//! Each namespace gets one end of a TUN device pair, and this process moves the packets between
//! them: rate, delay, jitter, loss in bursts, a queue that drops what does not fit, cuts. For
//! kernels without `netem`, and because a model of a few lines can be checked against theory.
//!
//! It lives as long as its standard input is open and obeys it, a word a line ([`Order`]); each
//! order is answered by one JSON line. What it made goes when it ends; what a killed one left is
//! swept at the next start.

pub mod counters;
pub mod loss;
mod model;
pub mod namespaces;
mod pump;
mod shape;
mod tun;

use std::io::Write;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use namespaces::Namespaces;
use pump::{Order, Pump};
use shape::ShapeArgs;

/// What `linkem` takes.
#[derive(Args)]
pub struct LinkemArgs {
    #[command(flatten)]
    shape: ShapeArgs,
    /// Congestion control of TCP in both namespaces: bbr, cubic, reno
    #[arg(long, default_value = "bbr")]
    congestion: String,
    /// Begins without limits; `shape` on standard input puts them on
    #[arg(long)]
    open: bool,
}

/// Makes the link, says where it is, and runs it until standard input or a signal ends it.
pub fn run(args: &LinkemArgs) -> Result<()> {
    ensure!(rustix::process::getuid().is_root(), "TUN devices and network namespaces need root");
    let shape = args.shape.shape()?;
    let wake = signals().context("listen for signals")?;
    let (namespaces, tuns) = Namespaces::make(&args.congestion)?;
    answer(&json!({ "ready": true, "sides": namespaces.sides(), "shape": shape }))?;
    let mut pump = Pump::new(tuns, shape, args.open);
    loop {
        match pump.run(&wake)? {
            Order::Counters => answer(&json!(pump.counters()))?,
            Order::Done => answer(&json!({ "done": true }))?,
            Order::Unknown(word) => answer(&json!({
                "error": format!("{word:?}: the orders are {}", pump::ORDERS.join(", ")),
            }))?,
            Order::End => break,
        }
    }
    // Nobody may be there to read it any more.
    let _ = answer(&json!(pump.counters()));
    drop(namespaces);
    Ok(())
}

fn answer(value: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).context("write to standard output")
}

/// Gives a socket that is readable when the process is asked to end.
fn signals() -> Result<std::os::unix::net::UnixStream> {
    use tokio::signal::unix::{SignalKind, signal};
    let (wake, told) = std::os::unix::net::UnixStream::pair()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
        });
        drop(told);
    })?;
    Ok(wake)
}
