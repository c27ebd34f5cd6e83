//! Two hubs of one alliance, a lead school's and a rural one's, with a link between them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::lab::Lab;
use super::link::Link;
use crate::bench::api::Api;
use crate::bench::process::{Hub, Process};

/// The port on which hubs meet.
const SYNC_PORT: u16 = 8471;
/// Between two looks; 0.05 % of the shortest transfer.
pub const LOOK_DELAY: Duration = Duration::from_millis(50);
/// Two hubs that have not met after this will not: twice the longest pause between dials.
const MEET_MAX: Duration = Duration::from_secs(60);

/// Both hubs, members of one alliance; stopped.
pub struct Pair {
    /// What is between them.
    pub link: Link,
    /// The lead school's, side 0.
    pub lead: Hub,
    /// The rural school's, side 1.
    pub rural: Hub,
}

/// A hub that runs.
pub struct Running {
    /// Its process.
    pub process: Process,
    /// Its API.
    pub api: Api,
}

impl Pair {
    /// Lays a link of `words`, and makes both members while nothing slows it.
    pub fn make(lab: &Lab, folder: &Path, words: &[&str]) -> Result<Self> {
        let mut link = Link::lay(lab, &[words, &["--open"]].concat())?;
        let hub = |n: usize, name: &str| -> Result<Hub> {
            Ok(Hub {
                bin: lab.bin.clone(),
                data: folder.join(name),
                address: link.api(n)?,
                sync_listen: vec![address_of(&link, n)],
                wrapper: link.wrapper(n),
                settings: toml::Table::new(),
            })
        };
        let (lead, rural) = (hub(0, "lead")?, hub(1, "rural")?);
        ally(&lead, &rural)?;
        link.order("shape")?;
        Ok(Self { link, lead, rural })
    }

    /// Gives where the lead is reached by other hubs.
    pub fn lead_addresses(&self) -> [String; 1] {
        [address_of(&self.link, 0)]
    }

    /// Starts both; gives them as soon as they are in contact.
    pub fn meet(&self) -> Result<[Running; 2]> {
        let lead = start(&self.lead)?;
        let rural = start(&self.rural)?;
        wait("the hubs meet", MEET_MAX, || is_in_contact(&rural.api).then_some(()))?;
        Ok([lead, rural])
    }
}

/// Has two new hubs found an alliance and join it; stops them.
pub fn ally(lead: &Hub, rural: &Hub) -> Result<()> {
    let (lead_process, _) = lead.start()?;
    let (rural_process, _) = rural.start()?;
    let lead_api = Api::set_up(&lead.address.to_string(), &lead.data, "城区实验小学")?;
    let rural_api = Api::set_up(&rural.address.to_string(), &rural.data, "石门村小学")?;
    lead_api.post("/alliance", &json!({ "name": "Bench" }))?;
    let made = lead_api.post("/alliance/invitations", &json!({ "valid_hours": 1 }))?;
    rural_api.post("/alliance/join", &json!({ "invitation": made["text"] }))?;
    wait("the new member meets the lead", MEET_MAX, || is_in_contact(&rural_api).then_some(()))?;
    rural_process.stop()?;
    lead_process.stop()
}

/// Starts a hub that was set up, and logs in.
pub fn start(hub: &Hub) -> Result<Running> {
    let (process, _) = hub.start()?;
    let api = Api::log_in(&hub.address.to_string())?;
    Ok(Running { process, api })
}

/// Says whether a hub has a contact with a member.
pub fn is_in_contact(api: &Api) -> bool {
    let contacts = api.get("/contacts").unwrap_or_default();
    let is_connected = |hub: &Value| hub["state"] == "connected";
    contacts["hubs"].as_array().is_some_and(|hubs| hubs.iter().any(is_connected))
}

/// Looks again and again until there is something.
pub fn wait<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begin.elapsed() > bound {
            bail!("after {} s it is not so that {what}", bound.as_secs());
        }
        std::thread::sleep(LOOK_DELAY);
    }
}

/// Gives how many bytes of a lesson are verified.
pub fn verified_bytes(api: &Api, lesson: &str) -> Result<u64> {
    // The lesson itself has to arrive first.
    let seen = api.get(&format!("/lessons/{lesson}")).unwrap_or_default();
    if seen.is_null() {
        return Ok(0);
    }
    seen["verified_bytes"].as_u64().context("a lesson says how much of it is verified")
}

fn address_of(link: &Link, n: usize) -> String {
    format!("/ip4/{}/tcp/{SYNC_PORT}", link.side(n).address)
}
