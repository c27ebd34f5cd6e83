//! The command line: starts a hub, or speaks to the one that runs on this data directory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::config::{self, Config};
use crate::serve::{ServeOptions, serve};
use client::HubClient;

mod add;
mod alliance;
pub(crate) mod client;
mod courier;
mod doctor;
mod media;
mod restore;
pub(crate) mod upload;
mod verify;

#[derive(Parser)]
#[command(name = "yingxue", version, about = "萤雪 Yingxue: lessons reach schools far away")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs this school's hub until Ctrl-C
    Serve(ServeArgs),
    /// Runs an alliance of three schools on this computer, to try things out
    Demo(crate::demo::DemoArgs),
    /// Adds a lesson: uploads the file and follows it until it can be watched
    Add(add::AddArgs),
    /// Makes an invitation for another school (at the lead school)
    Invite {
        /// Hours until it stops working, 1 to 720
        #[arg(long, default_value_t = 72)]
        valid_hours: u32,
        #[command(flatten)]
        hub: DataDir,
    },
    /// Joins an alliance
    Join {
        /// The line of text that the lead school gave
        invitation: String,
        /// Answers on a stick, if there is no wire to the lead school; the stick's folder
        #[arg(long, value_name = "FOLDER")]
        stick: Option<PathBuf>,
        #[command(flatten)]
        hub: DataDir,
    },
    /// Founds an alliance, with this school as its lead
    Found {
        /// The alliance's name
        name: String,
        #[command(flatten)]
        hub: DataDir,
    },
    /// Lists the schools of the alliance
    Members {
        #[command(flatten)]
        hub: DataDir,
    },
    /// The alliance's root key, its registrar, and a hub that was restored
    #[command(subcommand)]
    Alliance(alliance::AllianceCommand),
    /// Logins of this school
    #[command(subcommand)]
    User(UserCommand),
    /// Reads a spreadsheet from standard input: a child process of the hub
    #[command(hide = true)]
    ReadSpreadsheet,
    /// Files, and the files of lessons
    #[command(subcommand)]
    Media(media::MediaCommand),
    /// Carries lessons and comments by stick
    #[command(subcommand)]
    Courier(courier::CourierCommand),
    /// Says whether the hub runs, and how it is
    Status {
        #[command(flatten)]
        hub: DataDir,
    },
    /// Takes a copy of the database now, if no class is on
    Snapshot {
        #[command(flatten)]
        hub: DataDir,
    },
    /// Lists the copies of the database, or begins again from one; the hub has to be stopped
    Restore(restore::RestoreArgs),
    /// Looks for what would keep a hub from working well on this computer
    Doctor {
        #[command(flatten)]
        hub: DataDir,
    },
}

/// Which hub is meant.
#[derive(Args, Clone)]
pub(crate) struct DataDir {
    /// The hub's data directory
    #[arg(long, env = "YINGXUE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataDir {
    fn path(&self) -> Result<PathBuf> {
        self.data.clone().map_or_else(|| data_home("yingxue"), Ok)
    }

    fn client(&self) -> Result<HubClient> {
        Ok(HubClient::of_data_dir(&self.path()?)?)
    }
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    hub: DataDir,
    /// Address and port of the web pages, instead of the configuration's
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// A configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints the configuration, every field explained, and ends
    #[arg(long)]
    print_config: bool,
    /// Ends when the process of this number, which started this one, ends
    #[arg(long, hide = true, value_name = "PID")]
    exit_with: Option<i32>,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Makes a login
    Add {
        /// What is typed to log in: 2 to 32 of a-z, 0-9, `.`, `_`, `-`
        login: String,
        /// The name shown; the login if it is left out
        #[arg(long)]
        name: Option<String>,
        /// What the user may do
        #[arg(long, value_enum, default_value_t = RoleArg::Teacher)]
        role: RoleArg,
        /// The first password; asked for if it is left out
        #[arg(long, env = "YINGXUE_PASSWORD", hide_env_values = true)]
        password: Option<String>,
        #[command(flatten)]
        hub: DataDir,
    },
    /// Lists the logins
    List {
        #[command(flatten)]
        hub: DataDir,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleArg {
    Admin,
    Teacher,
    Pupil,
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("yingxue: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(args) => run_serve(&args)?,
        Command::Demo(args) => return crate::demo::run(&args),
        Command::Add(args) => add::run(&args)?,
        Command::Invite { valid_hours, hub } => invite(&hub.client()?, valid_hours)?,
        Command::Join { invitation, stick: None, hub } => join(&hub.client()?, &invitation)?,
        Command::Join { invitation, stick: Some(stick), hub } => {
            courier::answer(&hub.client()?, &invitation, &stick)?;
        }
        Command::Found { name, hub } => found(&hub.client()?, &name)?,
        Command::Alliance(command) => alliance::run(&command)?,
        Command::Members { hub } => members(&hub.client()?.get("/alliance")?),
        Command::User(UserCommand::Add { login, name, role, password, hub }) => {
            add_user(&hub.client()?, &login, name.as_deref(), role, password)?;
        }
        Command::User(UserCommand::List { hub }) => list_users(&hub.client()?)?,
        Command::ReadSpreadsheet => crate::timetable::import::spreadsheet::run_child()?,
        Command::Media(command) => return media::run(&command),
        Command::Courier(command) => return courier::run(&command),
        Command::Status { hub } => status(&hub.client()?)?,
        Command::Snapshot { hub } => {
            hub.client()?.post("/snapshots", &json!({}))?;
            println!("The hub takes a copy of its database as soon as no class is on.");
        }
        Command::Restore(args) => restore::run(&args)?,
        Command::Doctor { hub } => return Ok(doctor::run(&hub.path()?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn run_serve(args: &ServeArgs) -> Result<()> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(listen) = &args.listen {
        config.http.listen.clone_from(listen);
    }
    if args.print_config {
        print!("{}", config.to_documented_toml());
        return Ok(());
    }
    if let Some(parent) = args.exit_with {
        end_with_parent(parent)?;
    }
    serve(ServeOptions { data_dir: args.hub.path()?, config })?;
    Ok(())
}

/// Has the kernel end this process when its parent ends, however that comes about.
fn end_with_parent(parent: i32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM)).context("watch the parent process")?;
    // It may have ended before the kernel was told.
    let is_there = getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent);
    anyhow::ensure!(is_there, "the process {parent} that started this hub has ended");
    Ok(())
}

/// Gives the folder for a program's data when the command line names none.
pub(crate) fn data_home(name: &str) -> Result<PathBuf> {
    config::data_home(name).context("there is no home directory; say --data DIR")
}

fn invite(hub: &HubClient, valid_hours: u32) -> Result<()> {
    let made = hub.post("/alliance/invitations", &json!({ "valid_hours": valid_hours }))?;
    eprintln!("One school can join with this line, within {valid_hours} hours:");
    println!("{}", made["text"].as_str().context("the hub gave no invitation")?);
    Ok(())
}

fn join(hub: &HubClient, invitation: &str) -> Result<()> {
    eprintln!("Asking the lead school; this can take a minute on a slow link …");
    let alliance = hub.post("/alliance/join", &json!({ "invitation": invitation.trim() }))?;
    println!("This school belongs to {} now.", word(&alliance, "name"));
    members(&alliance);
    Ok(())
}

fn found(hub: &HubClient, name: &str) -> Result<()> {
    let alliance = hub.post("/alliance", &json!({ "name": name }))?;
    println!("Founded {}. Next: yingxue invite", word(&alliance, "name"));
    Ok(())
}

fn members(alliance: &Value) {
    println!("{} (epoch {})", word(alliance, "name"), alliance["epoch"]);
    for member in alliance["members"].as_array().into_iter().flatten() {
        let is = |key: &str| member[key].as_bool().unwrap_or(false);
        let link = match (is("is_self"), is("is_connected")) {
            (true, _) => "this hub",
            (false, true) => "connected",
            (false, false) => "not connected",
        };
        let lead = if is("is_lead") { ", lead school" } else { "" };
        let id = word(member, "hub_id").get(..8).unwrap_or_default();
        println!("  {id}  {} ({link}{lead})", word(member, "school"));
    }
}

fn add_user(
    hub: &HubClient,
    login: &str,
    name: Option<&str>,
    role: RoleArg,
    password: Option<String>,
) -> Result<()> {
    let password = password.map_or_else(|| ask("Password (it is shown): "), Ok)?;
    let role = role.to_possible_value().expect("no role is skipped").get_name().to_owned();
    let name = name.unwrap_or(login);
    let user = json!({ "login": login, "name": name, "role": role, "password": password });
    hub.post("/users", &user)?;
    println!("Made the login {login} ({role}).");
    Ok(())
}

fn ask(question: &str) -> Result<String> {
    eprint!("{question}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("read the password")?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => bail!("a password is needed"),
        password => Ok(password.to_owned()),
    }
}

fn list_users(hub: &HubClient) -> Result<()> {
    for user in hub.get("/users")?["items"].as_array().into_iter().flatten() {
        println!("{:<32} {:<8} {}", word(user, "login"), word(user, "role"), word(user, "name"));
    }
    Ok(())
}

fn status(hub: &HubClient) -> Result<()> {
    let state = hub.get("/state")?;
    println!("The hub runs at {} (version {}).", hub.url(), word(&state, "version"));
    match word(&state, "phase") {
        "setup" => println!("It waits for its set-up: open {} in a browser.", hub.url()),
        "alliance" => println!("School: {}; in no alliance yet.", word(&state["school"], "name")),
        _ => println!(
            "School: {}; alliance: {}.",
            word(&state["school"], "name"),
            word(&state["alliance"], "name")
        ),
    }
    if word(&state, "phase") == "ready" {
        println!("Lessons: {}.", hub.get("/lessons?limit=1")?["total"]);
    }
    Ok(())
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Names the file beside another, for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_readme_are_understood() {
        for line in [
            "yingxue serve --data d --listen 127.0.0.1:0",
            "yingxue serve --print-config",
            "yingxue demo --port 8100",
            "yingxue add lesson.mp4 --title Fractions --subject math --grade 5 --teacher Chen",
            "yingxue invite --valid-hours 24",
            "yingxue join abc",
            "yingxue user add chen --role teacher --password secret12",
            "yingxue doctor",
            "yingxue courier export /media/usb --for 山村小学 --max-bytes 30GB",
            "yingxue courier export /media/usb --all",
            "yingxue courier import /media/usb",
            "yingxue join abc --stick /media/usb",
            "yingxue alliance root-key",
            "yingxue alliance hand-over --root-key f",
            "yingxue alliance write-anyway",
            "yingxue media check lesson.mp4",
            "yingxue snapshot",
            "yingxue restore --list",
            "yingxue restore --from hub-1.sqlite",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap();
        }
        assert!(Cli::try_parse_from(["yingxue", "add"]).is_err());
    }
}
