//! The plan of the night for this hub: lessons of the timetable, then what is pinned, then the
//! rest, given to the core's plan as items, and its answer as wants and as words.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use yingxue_sync_core::event::{ContactView, Want};
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_core::plan::{
    self, Budget, Claim, Forecast, Item, Link, MissingBlob, Night, Step, Urgency, Why,
};
use yingxue_sync_io::blob_files::BlobFiles;

use super::lesson::{self, HeldLesson};
use super::policy::{Allowance, Asked, Policy};
use super::readiness::{EntryForecast, percent, rank};
use super::space::{self, Space};
use super::{links, map};
use crate::catalog::readiness::{TierName, TrackKind};
use crate::catalog::{self, wants};
use crate::playing::Played;
use crate::timetable::day;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// A lesson is to be here so long before it begins: the tutor looks at it in the break before.
const BEFORE_CLASS_MS: i64 = 15 * MINUTE_MS;
/// Lessons outside the timetable that may be urgent at once; a school has no more classes. Others
/// are wanted like pinned ones, or they would push tomorrow's out of the plan.
const URGENT_MAX: usize = 128;

/// A plan, and what was believed when it was made.
#[derive(Debug, Clone, Default)]
pub struct Tonight {
    /// Milliseconds since 1970; 0 before the first plan.
    pub made_at_ms: i64,
    /// What may be fetched of it now.
    pub allowance: Option<Allowance>,
    /// The steps of lessons, in the order in which they are fetched.
    pub steps: Vec<PlannedStep>,
    /// What the node was given.
    pub wants: Vec<Want>,
    /// Hubs from which something is wanted.
    pub sources: BTreeSet<HubId>,
    /// Hubs in contact.
    pub contacts: BTreeSet<HubId>,
    /// Blobs for which the disk has no room.
    pub stalled: BTreeSet<BlobId>,
    /// The disk.
    pub space: Space,
}

/// One step of a lesson in the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// Which lesson.
    pub lesson: DocId,
    /// The tier that is here after it.
    pub tier: TierName,
    /// What is believed of it.
    pub forecast: Forecast,
}

/// What a plan is made from, apart from the database.
pub struct Given<'a> {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// This hub.
    pub hub: HubId,
    /// The other members.
    pub members: Vec<HubId>,
    /// Open contacts.
    pub contacts: &'a [ContactView],
    /// Blobs for which the disk had no room.
    pub stalled: BTreeSet<BlobId>,
    /// The disk; none if it has room for everything.
    pub files: Option<&'a BlobFiles>,
}

/// A lesson that somebody needs or wants.
struct Claimed {
    lesson: HeldLesson,
    claim: Claim,
    preferred: TierName,
    deadline_ms: Option<i64>,
    weight: u32,
}

/// Makes the plan.
///
/// # Errors
/// If the database fails.
pub fn make(db: &Connection, policy: &Policy, given: &Given<'_>) -> rusqlite::Result<Tonight> {
    let asked = Asked::load(db)?;
    let claimed = claimed(db, policy, given.now_ms)?;
    let others = map::holders(db)?;
    let mut items = Vec::new();
    let mut tiers: Vec<(DocId, Vec<TierName>)> = Vec::new();
    for it in &claimed {
        let (item, of_item) = item(tiers.len() as u64, it, &given.hub, &others);
        items.push(item);
        tiers.push((it.lesson.lesson, of_item));
    }
    let left_over = wants::unclaimed(db, plan::ITEMS_MAX.saturating_sub(items.len()))?;
    let originals = left_over.iter().filter(|it| it.is_original).map(|it| it.blob).collect();
    items.extend(rest(tiers.len() as u64, left_over));
    let wall_ms = u64::try_from(given.now_ms).unwrap_or(0);
    let day = links::budget_day(policy, wall_ms);
    let received = links::received(db, day)?;
    let budget = budget(policy, &received, &given.hub);
    let night = Night {
        now_wall_ms: wall_ms,
        utc_offset_min: policy.utc_offset_min,
        items,
        links: ways(db, policy, given, &received)?,
        line: Some(links::load(db, &given.hub)?),
        window: policy.window(given.now_ms, &asked),
        budget,
    };
    let mut made = plan::make(&night);
    let stalled = &given.stalled;
    let floors = claimed.iter().filter_map(missing_floor).collect();
    let asked_of_disk =
        space::Asked { items: &night.items, originals: &originals, floors, stalled };
    let fit = |files| space::fit(&mut made.order, &asked_of_disk, files, &policy.storage);
    let space = given.files.map(fit).unwrap_or_default();
    let has_none = |blob: &&BlobId| !space.with_room_again.contains(*blob);
    let stalled = stalled.iter().filter(has_none).chain(&space.without_room).copied().collect();
    let allowance =
        policy.allowance(given.now_ms, &asked, budget.left_today_bytes.is_none_or(|left| left > 0));
    let spent: BTreeSet<HubId> = night
        .links
        .iter()
        .filter(|link| link.left_today_bytes == Some(0))
        .map(|link| link.hub)
        .collect();
    let wants = allowed(policy, given.now_ms, allowance, made.order, &night, &spent);
    Ok(Tonight {
        made_at_ms: given.now_ms,
        allowance: Some(allowance),
        steps: steps(&made.forecasts, &tiers),
        sources: sources(&night, &wants),
        contacts: given.contacts.iter().map(|contact| contact.hub).collect(),
        stalled,
        wants,
        space,
    })
}

impl Tonight {
    /// Gives what is believed of the first step of a lesson that is missing and brings it to a
    /// tier, or near it.
    pub fn forecast(&self, lesson: &DocId, has_floor: bool) -> Option<EntryForecast> {
        let is_missing = |step: &&PlannedStep| step.forecast.why != Why::Here;
        let mut of_lesson =
            self.steps.iter().filter(|step| step.lesson == *lesson).filter(is_missing);
        let step = if has_floor { of_lesson.next_back() } else { of_lesson.next() }?;
        Some(EntryForecast {
            complete_at: step.forecast.complete_at_wall_ms.and_then(|at| i64::try_from(at).ok()),
            probability_percent: percent(step.forecast.probability),
            tier: step.tier,
            why: step.forecast.why,
        })
    }
}

/// Lists the lessons of the timetable and those that are pinned; each once, by its first need.
fn claimed(db: &Connection, policy: &Policy, now_ms: i64) -> rusqlite::Result<Vec<Claimed>> {
    const PINS: &str = "select lesson, is_urgent from pins order by is_urgent desc, pinned_at_ms";
    let until_ms = now_ms.saturating_add(i64::from(policy.config.days_ahead) * DAY_MS);
    let mut claimed: BTreeMap<DocId, Claimed> = BTreeMap::new();
    // A lesson that has begun is needed until it ends; none is longer than three hours.
    for it in day::remote_between(db, now_ms.saturating_sub(DAY_MS / 8), until_ms)? {
        let Some(id) = it.lesson.filter(|_| it.ends_at_ms > now_ms) else { continue };
        let deadline_ms = it.starts_at_ms - BEFORE_CLASS_MS;
        if let Some(known) = claimed.get_mut(&id) {
            known.deadline_ms = known.deadline_ms.min(Some(deadline_ms));
            known.weight = known.weight.saturating_add(it.pupils);
            if rank(it.preferred) < rank(known.preferred) {
                known.preferred = it.preferred;
            }
        } else if let Some(lesson) = lesson::load(db, &id)? {
            let (claim, deadline_ms) = (Claim::Due, Some(deadline_ms));
            let (preferred, weight) = (it.preferred, it.pupils);
            claimed.insert(id, Claimed { lesson, claim, preferred, deadline_ms, weight });
        }
    }
    let pins: Vec<(DocId, bool)> = db
        .prepare_cached(PINS)?
        .query_map([], |row| Ok((DocId(row.get(0)?), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut in_order: Vec<Claimed> = Vec::new();
    for (id, is_urgent) in pins {
        let preferred = policy.config.pinned_tier;
        match (claimed.get_mut(&id), is_urgent) {
            (Some(known), true) => known.claim = Claim::Urgent,
            (Some(_), false) => {}
            (None, _) => {
                let is_urgent = is_urgent && in_order.len() < URGENT_MAX;
                let claim = if is_urgent { Claim::Urgent } else { Claim::Pinned };
                if let Some(lesson) = lesson::load(db, &id)? {
                    let (deadline_ms, weight) = (None, 1);
                    in_order.push(Claimed { lesson, claim, preferred, deadline_ms, weight });
                }
            }
        }
    }
    for (id, preferred) in played(db, policy)? {
        // What somebody is watching cannot wait for a window.
        in_order.retain(|it| it.lesson.lesson != id);
        if let Some(known) = claimed.get_mut(&id) {
            known.claim = Claim::Urgent;
        } else if let Some(lesson) = lesson::load(db, &id)? {
            let (claim, deadline_ms, weight) = (Claim::Urgent, None, 1);
            in_order.push(Claimed { lesson, claim, preferred, deadline_ms, weight });
        }
    }
    for known in claimed.values_mut() {
        // The class is about to begin, or has: it is not given up for tomorrow's.
        if known.deadline_ms.is_some_and(|at| at <= now_ms) {
            known.claim = Claim::Urgent;
        }
    }
    let mut due: Vec<Claimed> = claimed.into_values().collect();
    due.sort_by_key(|it| (it.deadline_ms, it.lesson.lesson));
    due.extend(in_order);
    // Of more than a plan looks at, what presses least is left out.
    due.sort_by_key(|it| it.claim);
    due.truncate(plan::ITEMS_MAX);
    Ok(due)
}

/// Gives what a lesson of the timetable lacks of its floor.
fn missing_floor(it: &Claimed) -> Option<Vec<(BlobId, u64)>> {
    it.deadline_ms?;
    let lesson = Some(&it.lesson).filter(|lesson| lesson.stage == lesson::Stage::Published)?;
    let missing = lesson.needed(lesson.floor()?).filter(|track| !track.is_complete);
    let bytes = |track: &lesson::HeldTrack| track.total_bytes.saturating_sub(track.verified_bytes);
    Some(missing.map(|track| (track.blob, bytes(track))).collect())
}

/// Lists the lessons that are being played, with the tier that is.
fn played(db: &Connection, policy: &Policy) -> rusqlite::Result<BTreeMap<DocId, TierName>> {
    const LESSONS: &str = "select lesson, kind from lesson_tracks where blob = ?1";
    let mut lessons: BTreeMap<DocId, TierName> = BTreeMap::new();
    let mut add = |lesson, tier| {
        let known = lessons.entry(lesson).or_insert(tier);
        if rank(tier) < rank(*known) {
            *known = tier;
        }
    };
    for what in policy.played() {
        match what {
            Played::Lesson(lesson) => add(lesson, TierName::T0),
            Played::Blob(blob) => {
                let mut statement = db.prepare_cached(LESSONS)?;
                let mut rows = statement.query([blob.as_bytes()])?;
                while let Some(row) = rows.next()? {
                    let kind = row.get_ref(1)?.as_str()?.parse().ok();
                    add(DocId(row.get(0)?), kind.map_or(TierName::T0, tier_of));
                }
            }
        }
    }
    Ok(lessons)
}

/// Gives the least tier that shows a track.
fn tier_of(kind: TrackKind) -> TierName {
    let needs = |tier: &TierName| tier.needs().contains(&kind);
    TierName::ALL.into_iter().rev().find(needs).unwrap_or(TierName::T0)
}

/// Makes the item of a lesson: its floor, then what brings it to the preferred tier, then what
/// is nice to have with it.
fn item(
    id: u64,
    it: &Claimed,
    hub: &HubId,
    others: &BTreeMap<DocId, Vec<(HubId, TierName)>>,
) -> (Item, Vec<TierName>) {
    let lesson = &it.lesson;
    let floor = lesson.floor();
    let target = lesson.target(it.preferred);
    let tiers: Vec<TierName> =
        floor.into_iter().chain(target.filter(|t| floor != Some(*t))).collect();
    let is_wanted = lesson.stage == lesson::Stage::Published;
    let step = |tier: &TierName| {
        let missing = lesson.needed(*tier).filter(|track| !track.is_complete && is_wanted);
        let blobs = missing.map(|track| MissingBlob {
            blob: track.blob,
            collection: catalog::collection(),
            missing_bytes: track.total_bytes.saturating_sub(track.verified_bytes).max(1),
            holders: holders(lesson, *tier, hub, others),
        });
        Step { blobs: blobs.collect() }
    };
    let item = Item {
        id,
        claim: it.claim,
        steps: tiers.iter().map(step).collect(),
        deadline_wall_ms: it.deadline_ms.and_then(|at| u64::try_from(at).ok()),
        weight: it.weight,
    };
    (item, tiers)
}

/// Gives who is believed to have a tier: the school that made it, and who says so.
fn holders(
    lesson: &HeldLesson,
    tier: TierName,
    hub: &HubId,
    others: &BTreeMap<DocId, Vec<(HubId, TierName)>>,
) -> Vec<HubId> {
    let has_it = |(_, held): &&(HubId, TierName)| rank(*held) <= rank(tier);
    let others = others.get(&lesson.lesson).into_iter().flatten().filter(has_it);
    let mut holders: Vec<HubId> = others.map(|(holder, _)| *holder).collect();
    holders.push(lesson.school_hub);
    holders.sort_unstable();
    holders.dedup();
    holders.retain(|holder| holder != hub);
    holders
}

/// Makes the items of everything else that is not whole here, a track each, in its own order.
fn rest(first: u64, rows: Vec<wants::Unclaimed>) -> impl Iterator<Item = Item> {
    let item = |(id, row): (u64, wants::Unclaimed)| Item {
        id,
        claim: Claim::Rest,
        steps: vec![Step {
            blobs: vec![MissingBlob {
                blob: row.blob,
                collection: catalog::collection(),
                missing_bytes: row.missing_bytes.max(1),
                holders: vec![row.school_hub],
            }],
        }],
        deadline_wall_ms: None,
        weight: 1,
    };
    (first..).zip(rows).map(item)
}

fn budget(policy: &Policy, received: &BTreeMap<HubId, u64>, hub: &HubId) -> Budget {
    let limit = |bytes: u64| (bytes > 0).then_some(bytes);
    let day_bytes = limit(policy.config.bytes_per_day_max);
    let used = received.get(hub).copied().unwrap_or(0);
    Budget {
        day_bytes,
        left_today_bytes: day_bytes.map(|bytes| bytes.saturating_sub(used)),
        link_day_bytes: limit(policy.config.bytes_per_link_per_day_max),
    }
}

fn ways(
    db: &Connection,
    policy: &Policy,
    given: &Given<'_>,
    received: &BTreeMap<HubId, u64>,
) -> rusqlite::Result<Vec<Link>> {
    let limit = policy.config.bytes_per_link_per_day_max;
    // Of more than the plan looks at, those in contact count.
    let is_up = |hub: &HubId| given.contacts.iter().any(|contact| contact.hub == *hub);
    let mut members = given.members.clone();
    members.sort_by_key(|hub| !is_up(hub));
    members.truncate(plan::LINKS_MAX);
    let link = |hub: HubId| {
        let used = received.get(&hub).copied().unwrap_or(0);
        Ok(Link {
            hub,
            history: links::load(db, &hub)?,
            is_up: is_up(&hub),
            left_today_bytes: (limit > 0).then(|| limit.saturating_sub(used)),
        })
    };
    members.into_iter().map(link).collect()
}

/// Gives what of the order may be fetched now.
fn allowed(
    policy: &Policy,
    now_ms: i64,
    allowance: Allowance,
    order: Vec<Want>,
    night: &Night,
    spent: &BTreeSet<HubId>,
) -> Vec<Want> {
    let opens_at_ms = u64::try_from(policy.opens_at_ms(now_ms)).unwrap_or(0);
    let is_allowed = |want: &Want| match allowance {
        Allowance::Open => true,
        Allowance::Paused | Allowance::Budget => false,
        // What the window cannot bring any more in time.
        Allowance::Window | Allowance::Class => match Urgency::of(want.priority) {
            Urgency::Now => true,
            Urgency::Floor => want.deadline_wall_ms.is_some_and(|at| at <= opens_at_ms),
            _ => false,
        },
    };
    let only_spent = |blob: &BlobId| {
        let of_blob = night.items.iter().flat_map(|item| &item.steps).flat_map(|step| &step.blobs);
        let mut holders =
            of_blob.filter(|it| it.blob == *blob).flat_map(|it| &it.holders).peekable();
        holders.peek().is_some() && holders.all(|holder| spent.contains(holder))
    };
    let mut wants: Vec<Want> = order.into_iter().filter(is_allowed).collect();
    if !spent.is_empty() {
        wants.retain(|want| !only_spent(&want.blob));
    }
    wants.truncate(wants::WANTS_MAX);
    if let Some(left) = night.budget.left_today_bytes {
        cut_to(left, &mut wants, night);
    }
    wants
}

/// Leaves out what comes after the bytes of the day are used up: what is asked for arrives.
fn cut_to(bytes: u64, wants: &mut Vec<Want>, night: &Night) {
    let of_items = night.items.iter().flat_map(|item| &item.steps).flat_map(|step| &step.blobs);
    let missing: BTreeMap<BlobId, u64> = of_items.map(|it| (it.blob, it.missing_bytes)).collect();
    let mut left = bytes;
    wants.retain(|want| {
        let is_begun = left > 0;
        left = left.saturating_sub(missing.get(&want.blob).copied().unwrap_or(0));
        is_begun
    });
}

fn sources(night: &Night, wants: &[Want]) -> BTreeSet<HubId> {
    let wanted: BTreeSet<BlobId> = wants.iter().map(|want| want.blob).collect();
    let of_items = night.items.iter().flat_map(|item| &item.steps).flat_map(|step| &step.blobs);
    of_items
        .filter(|missing| wanted.contains(&missing.blob))
        .flat_map(|missing| missing.holders.iter().copied())
        .collect()
}

fn steps(forecasts: &[Forecast], tiers: &[(DocId, Vec<TierName>)]) -> Vec<PlannedStep> {
    let step = |forecast: &Forecast| {
        let (lesson, tiers) = tiers.get(usize::try_from(forecast.item).ok()?)?;
        let tier = *tiers.get(forecast.step)?;
        Some(PlannedStep { lesson: *lesson, tier, forecast: *forecast })
    };
    forecasts.iter().filter_map(step).collect()
}
