//! `yingxue demo`: an alliance of three schools on this computer, three real hub processes.
//!
//! Nothing is staged: each hub is this same program with its own data directory, set up, joined
//! and filled through the API that a school uses. A hub that is killed is started again.

mod hubs;
mod set_up;
mod table;
mod timetable;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accounts::Role;
use crate::config::{DemoHub, DemoLogin};
use hubs::{Hub, Hubs};

/// What `yingxue demo` takes.
#[derive(Args)]
pub struct DemoArgs {
    /// Where the three schools' data lie
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The first of six ports: three for browsers, three between the hubs
    #[arg(long, default_value_t = 8100, value_parser = clap::value_parser!(u16).range(1..65530))]
    port: u16,
    /// The lesson that the lead school adds; made at the first start if it is left out
    #[arg(long, value_name = "FILE")]
    lesson: Option<PathBuf>,
}

/// Names and roles of the three schools; the first is the lead.
const SCHOOLS: [&str; 3] = ["城区实验小学", "石门村小学", "云岭教学点"];
/// What can be typed at each of them. They are shown on the demo page, so they protect nothing.
const LOGINS: [(&str, &str, Role); 3] = [
    ("teacher", "firefly-2026", Role::Teacher),
    ("pupil", "1234", Role::Pupil),
    ("admin", "snowlight-2026", Role::Admin),
];
/// Who teaches in each of the schools, so that a discussion shows who said what.
const TEACHERS: [&str; 3] = ["陈老师", "李老师", "王老师"];

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// If a hub cannot be started or set up.
pub fn run(args: &DemoArgs) -> Result<ExitCode> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => crate::cli::data_home("yingxue-demo")?,
    };
    std::fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
    let data = data.canonicalize().context("find the data directory")?;
    let lesson = args.lesson.clone().unwrap_or_else(|| data.join("demo-lesson.mp4"));
    let plans = plans(&data, args.port);
    // On one thread: the kernel ends the hubs when the thread that started them ends.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(watch(plans, lesson));
    // A set-up that is still talking to its hub is not waited for.
    runtime.shutdown_background();
    result
}

async fn watch(plans: Vec<Hub>, lesson: PathBuf) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    println!("Starting three hubs; their data and logs are in {}", plans[0].folder().display());
    let mut hubs = Hubs::start(plans.clone())?;
    let mut set_up = tokio::task::spawn_blocking(move || set_up::run(&plans, &lesson));
    let mut is_set_up = false;
    let result = loop {
        tokio::select! {
            done = &mut set_up, if !is_set_up => match done.context("the set-up ended early") {
                Ok(Ok(())) => is_set_up = true,
                Ok(Err(error)) | Err(error) => break Err(error),
            },
            ended = hubs.next_ended() => {
                if let Err(error) = hubs.restart(ended).await {
                    break Err(error);
                }
            }
            () = first(&mut interrupt, &mut terminate) => break Ok(ExitCode::SUCCESS),
        }
    };
    println!("Stopping the three hubs …");
    hubs.stop().await;
    result
}

async fn first(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn plans(data: &std::path::Path, port: u16) -> Vec<Hub> {
    let plan = |i: u16| Hub {
        school: SCHOOLS[usize::from(i)].to_owned(),
        teacher: TEACHERS[usize::from(i)],
        data: data.join(format!("hub-{}", i + 1)),
        port: port + i,
        sync_port: port + 3 + i,
        is_lead: i == 0,
    };
    (0..3).map(plan).collect()
}

/// Gives what the demo page of `own` shows.
fn demo_hubs(plans: &[Hub], own: &Hub) -> Vec<DemoHub> {
    let shown = |hub: &Hub| DemoHub {
        school: hub.school.clone(),
        url: hub.url(),
        is_self: hub.port == own.port,
        is_lead: hub.is_lead,
    };
    plans.iter().map(shown).collect()
}

/// Gives the logins that the demo page of `own` shows.
fn demo_logins(own: &Hub) -> Vec<DemoLogin> {
    let login = |(login, password, role): (&str, &str, Role)| DemoLogin {
        login: login.to_owned(),
        password: password.to_owned(),
        role,
        name: own.name_of(role).to_owned(),
    };
    LOGINS.into_iter().map(login).collect()
}
