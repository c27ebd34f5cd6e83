//! The first start, through the API: set-up, alliance, logins, lesson. Each step looks first
//! whether it was done, so a start that was cut off goes on, and a later one only looks.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::hubs::{Hub, last_lines};
use super::{LOGINS, table, timetable};
use crate::accounts::Role;
use crate::cli::client::HubClient;
use crate::cli::upload::{Lesson, upload};
use crate::setup::CODE_FILE;

/// A hub answers after a third of a second; three of them on a small, busy computer later.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_DELAY: Duration = Duration::from_millis(50);
const ALLIANCE: &str = "萤雪示范联盟";

/// Brings the hubs to where a newcomer can begin, and says where that is.
pub(super) fn run(plans: &[Hub], lesson: &Path) -> Result<()> {
    let hubs: Vec<HubClient> = plans.iter().map(wait_until_up).collect::<Result<_>>()?;
    for (plan, hub) in plans.iter().zip(&hubs) {
        make_logins(plan, hub)?;
    }
    make_alliance(plans, &hubs)?;
    add_lesson(&hubs[0], lesson)?;
    timetable::make(plans, &hubs)?;
    table::print(plans);
    println!("READY {}", HubClient::at(&plans[0].url()).get("/demo")?);
    Ok(())
}

/// Waits for a hub, sets it up if it is new, and gives a client that may do everything.
fn wait_until_up(plan: &Hub) -> Result<HubClient> {
    let visitor = HubClient::at(&plan.url());
    let log = plan.log();
    wait_for(START_MAX, &log, || visitor.healthz().ok())?;
    let state = visitor.get("/state")?;
    if state["phase"] == "setup" {
        println!("{}: setting up", plan.school);
        let code = plan.data.join(CODE_FILE);
        let code = wait_for(START_MAX, &log, || fs::read_to_string(&code).ok())?;
        let (login, password, role) = *admin();
        visitor.post(
            "/setup",
            &json!({
                "code": code.trim(), "school": plan.school,
                "name": plan.name_of(role), "login": login, "password": password,
            }),
        )?;
    } else {
        let school = state["school"]["name"].as_str().unwrap_or_default();
        ensure!(school == plan.school, "{} holds another school: {school}", plan.data.display());
    }
    wait_for(START_MAX, &log, || HubClient::of_data_dir(&plan.data).ok())
}

fn wait_for<T>(max: Duration, log: &Path, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begin.elapsed() > max {
            bail!("a hub does not start; {} ends with\n{}", log.display(), last_lines(log));
        }
        std::thread::sleep(LOOK_DELAY);
    }
}

fn admin() -> &'static (&'static str, &'static str, Role) {
    LOGINS.iter().find(|login| login.2 == Role::Admin).expect("one of the logins is the admin's")
}

fn make_logins(plan: &Hub, hub: &HubClient) -> Result<()> {
    let users = hub.get("/users")?;
    let is_there = |login: &str| items(&users).any(|user| user["login"] == login);
    for (login, password, role) in LOGINS {
        if !is_there(login) {
            println!("{}: making the login {login}", plan.school);
            let name = plan.name_of(role);
            let user = json!({ "login": login, "name": name, "role": role, "password": password });
            hub.post("/users", &user)?;
        }
    }
    Ok(())
}

fn make_alliance(plans: &[Hub], hubs: &[HubClient]) -> Result<()> {
    let is_member = |hub: &HubClient| hub.get("/state").map(|state| !state["alliance"].is_null());
    if !is_member(&hubs[0])? {
        println!("{}: founding the alliance {ALLIANCE}", plans[0].school);
        hubs[0].post("/alliance", &json!({ "name": ALLIANCE }))?;
    }
    for (plan, hub) in plans.iter().zip(hubs).skip(1) {
        if !is_member(hub)? {
            println!("{}: joining with an invitation of {}", plan.school, plans[0].school);
            let made = hubs[0].post("/alliance/invitations", &json!({ "valid_hours": 1 }))?;
            hub.post("/alliance/join", &json!({ "invitation": made["text"] }))?;
        }
    }
    Ok(())
}

fn add_lesson(lead: &HubClient, file: &Path) -> Result<()> {
    let lessons = lead.get("/lessons?limit=1")?;
    let is_empty = lessons["total"].as_u64() == Some(0) && items(&lessons).next().is_none();
    if !is_empty {
        return Ok(());
    }
    if !file.exists() {
        make_lesson(file)?;
    }
    let lesson = Lesson {
        file,
        title: "分数的意义 The meaning of fractions",
        subject: "math",
        grade: "5",
        teacher: super::TEACHERS[0],
    };
    println!("{}: uploading the demo lesson", super::SCHOOLS[0]);
    upload(lead, &lesson, &mut |sent, all| {
        println!("  {:.1} of {:.1} MB", sent as f64 / 1e6, all as f64 / 1e6);
    })?;
    println!("  It is being encoded now, and reaches the other schools when that is done.");
    Ok(())
}

fn make_lesson(file: &Path) -> Result<()> {
    let program = std::env::current_exe().context("find this program")?;
    let tools = program.with_file_name("yingxue-tools");
    ensure!(
        tools.exists(),
        "there is no demo lesson at {}; say --lesson FILE with any video, or start by tools/run",
        file.display()
    );
    println!("Making the demo lesson (slides and speech), half a minute …");
    let status = Command::new(tools).arg("demo-lesson").arg(file).status();
    let status = status.context("start yingxue-tools")?;
    ensure!(status.success(), "yingxue-tools demo-lesson ended with {status}");
    Ok(())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}
