//! The plan of the night: which wants come first, when each will be here, and how sure that is.
//!
//! Pure functions over plain data. There are no lessons here, only items that have steps: step 0
//! is the floor, without which the item is of no use; the others make it better. The floor of
//! whatever has a deadline comes before every other step, as many of them in time as the links
//! carry; then steps that make better, by earliest deadline and largest weight; then what
//! somebody has pinned; then the rest (DESIGN §7).

use crate::event::Want;
use crate::id::{BlobId, CollectionId, HubId};

mod cells;
mod choice;
mod flow;
mod forecast;
pub mod history;
mod piece;
#[cfg(test)]
mod tests;

pub use cells::{Window, hour_of_week, local_day};
pub use history::LinkHistory;
pub use piece::{ASKED_BYTES_MAX, ASKED_BYTES_MIN, asked_bytes, asked_of_all_bytes, choose_piece};

/// Most links that a plan looks at: an alliance has 37 hubs, and a set of links is one word.
pub const LINKS_MAX: usize = 64;
/// Most items that a plan looks at: three days of 54 lessons, and 350 that are pinned or left.
pub const ITEMS_MAX: usize = 512;
/// How far a plan looks: a week, after which the same hours come again.
pub const HORIZON_HOURS_MAX: u64 = 168;
/// Priorities of one urgency: the upper 8 bits say the urgency, the others the place in it.
const PLACE_BITS: u32 = 24;

/// How much something presses, the most pressing first. Hubs compare it between contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody needs it as soon as can be.
    Now = 0,
    /// The floor of something that has a deadline.
    Floor = 1,
    /// Makes something better that has a deadline.
    Upgrade = 2,
    /// Somebody wants to have it.
    Pin = 3,
    /// Everything else.
    Rest = 4,
}

impl Urgency {
    /// All of them, the most pressing first.
    pub const ALL: [Self; 5] = [Self::Now, Self::Floor, Self::Upgrade, Self::Pin, Self::Rest];

    /// Gives the priority of the want at a place among those of the same urgency.
    pub fn priority(self, place: usize) -> u32 {
        let last = (1 << PLACE_BITS) - 1;
        ((self as u32) << PLACE_BITS) | u32::try_from(place).map_or(last, |place| place.min(last))
    }

    /// Gives the urgency that a priority has.
    pub fn of(priority: u32) -> Self {
        Self::ALL.get((priority >> PLACE_BITS) as usize).copied().unwrap_or(Self::Rest)
    }
}

/// Why an item is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Somebody needs it as soon as can be.
    Urgent,
    /// It is needed at its deadline.
    Due,
    /// Somebody wants to have it.
    Pinned,
    /// Nobody has asked for it.
    Rest,
}

/// Something to have here, in steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The hub's number for it.
    pub id: u64,
    /// Why it is wanted.
    pub claim: Claim,
    /// What to fetch; step 0 is the floor. A blob counts at the first step that names it.
    pub steps: Vec<Step>,
    /// Wall time by which it is needed, milliseconds since 1970.
    pub deadline_wall_ms: Option<u64>,
    /// How many people it is for; 0 counts as 1.
    pub weight: u32,
}

/// One step of an item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The blobs that it needs and that are not whole here, in the order in which they help.
    pub blobs: Vec<MissingBlob>,
}

/// A blob that is not whole here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingBlob {
    /// Which.
    pub blob: BlobId,
    /// The collection that names it.
    pub collection: CollectionId,
    /// Bytes that are not verified here.
    pub missing_bytes: u64,
    /// Hubs that are believed to have it.
    pub holders: Vec<HubId>,
}

/// The way to another hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The other end.
    pub hub: HubId,
    /// What it carried.
    pub history: LinkHistory,
    /// True if there is a contact now.
    pub is_up: bool,
    /// Bytes that it may still carry today, if that is limited.
    pub left_today_bytes: Option<u64>,
}

/// Limits of what may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// On each local day, over all links.
    pub day_bytes: Option<u64>,
    /// Of that, what is left of today.
    pub left_today_bytes: Option<u64>,
    /// On each local day, on each link.
    pub link_day_bytes: Option<u64>,
}

/// Everything that a plan is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Night {
    /// Milliseconds since 1970.
    pub now_wall_ms: u64,
    /// Minutes that the local clock is ahead of UTC.
    pub utc_offset_min: i32,
    /// What is wanted, at most [`ITEMS_MAX`]; more are left out.
    pub items: Vec<Item>,
    /// Ways to fetch it, at most [`LINKS_MAX`]; more are left out.
    pub links: Vec<Link>,
    /// What all links together carried: the hub's own line, which they share.
    pub line: Option<LinkHistory>,
    /// When things may be fetched.
    pub window: Window,
    /// How much may be fetched.
    pub budget: Budget,
}

/// What to fetch in which order, and what is believed of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// For [`Command::SetWants`](crate::event::Command::SetWants).
    pub order: Vec<Want>,
    /// One for each step of each item, in the order in which they are fetched.
    pub forecasts: Vec<Forecast>,
}

/// What is believed of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// [`Item::id`].
    pub item: u64,
    /// Place in [`Item::steps`].
    pub step: usize,
    /// How much it presses.
    pub urgency: Urgency,
    /// When it is as likely as not to be whole here; none if not within the horizon.
    pub complete_at_wall_ms: Option<u64>,
    /// How likely it is to be whole here by its deadline, or within the horizon, 0 to 1.
    pub probability: f64,
    /// What its time depends on.
    pub why: Why,
    /// The hub that most of it will come from.
    pub from: Option<HubId>,
}

/// What the time of a step depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is whole here.
    Here,
    /// It is being fetched, or is next.
    Next,
    /// Others come before it.
    InTurn,
    /// Nothing is fetched before the window opens.
    Window,
    /// No hub that may have it is in contact.
    NoContact,
    /// No hub is known to have it.
    NoHolder,
    /// The bytes that may be fetched do not suffice.
    Budget,
    /// The links do not carry it in time.
    TooMuch,
}

/// Makes the plan.
pub fn make(night: &Night) -> Plan {
    let parts = choice::parts(night);
    let cells = cells::cells(night, &parts);
    let expected = flow::Capacity::expected(night, &cells);
    let order = choice::order(night, &cells, &expected, &parts);
    let ordered: Vec<&choice::Part> = order.iter().map(|place| &parts[*place]).collect();
    let forecasts = forecast::forecasts(night, &cells, &expected, &ordered);
    Plan { order: wants(night, &ordered), forecasts }
}

/// Puts wants into the order in which they are served, and drops repeated ones.
pub fn order(mut wants: Vec<Want>) -> Vec<Want> {
    let key = |want: &Want| (want.priority, want.deadline_wall_ms.unwrap_or(u64::MAX), want.blob);
    wants.sort_by_key(key);
    let mut seen = std::collections::BTreeSet::new();
    wants.retain(|want| seen.insert(want.blob));
    wants
}

fn wants(night: &Night, ordered: &[&choice::Part]) -> Vec<Want> {
    let mut wants: Vec<Want> = Vec::new();
    for part in ordered {
        let item = &night.items[part.item];
        for missing in part.blobs(night) {
            wants.push(Want {
                blob: missing.blob,
                collection: missing.collection.clone(),
                priority: part.urgency.priority(wants.len()),
                deadline_wall_ms: item.deadline_wall_ms,
            });
        }
    }
    order(wants)
}
