//! What links carried, from the counters of contacts: kept by hour of the week, and day by day.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction, params};
use yingxue_sync_core::event::ContactView;
use yingxue_sync_core::id::{ContactId, HubId};
use yingxue_sync_core::plan::history::{DAYS_KEPT, HourStats, LinkHistory, SeenHour, Today};
use yingxue_sync_core::plan::{hour_of_week, local_day};

use super::policy::Policy;
use crate::config::NightConfig;

/// Least time of an hour that says something about it.
const OBSERVED_MS_MIN: u64 = 600_000;
/// Least time of a download in an hour that says what a link carries.
const BUSY_MS_MIN: u64 = 30_000;
/// Time of running after which a hub with a doubtful clock has its budgets again.
const RUNNING_DAY_MS: u64 = 24 * 3_600_000;
/// Days of bytes that are kept: a month's bill, and some more.
const DAYS_OF_BYTES: i64 = 40;
/// Days of ratios that are kept for each link; the plan looks at the last 28 that are there.
const DAYS_OF_RATIOS: i64 = 90;

/// What is counted of the hour that is not over yet.
#[derive(Debug, Default)]
pub struct Meter {
    hour: Option<(u16, i64)>,
    hubs: BTreeMap<HubId, Counted>,
    contacts: BTreeMap<ContactId, u64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    observed_ms: u64,
    up_ms: u64,
    busy_ms: u64,
    busy_bytes: u64,
    is_wanted: bool,
    received_bytes: u64,
}

/// One look at the contacts.
pub struct Look<'a> {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Minutes that the local clock is ahead of UTC.
    pub utc_offset_min: i32,
    /// Since the last look, by a clock that does not jump.
    pub elapsed_ms: u64,
    /// This hub: what all links carry together is counted as its own.
    pub hub: HubId,
    /// The other members.
    pub members: &'a [HubId],
    /// Hubs from which something is wanted.
    pub wanted: &'a BTreeSet<HubId>,
    /// Open contacts.
    pub contacts: &'a [ContactView],
}

/// What a look has found that is to be kept.
#[derive(Debug, Default)]
pub struct Found {
    /// Bytes that arrived since they were kept last, by hub.
    pub received: Vec<(HubId, u64)>,
    /// The local day on which they did.
    pub day: i64,
    /// Hours that are over: hub, hour of the week, day, what was seen.
    pub hours: Vec<(HubId, u16, i64, SeenHour)>,
}

impl Meter {
    /// Takes note of what contacts did since the last look.
    pub fn look(&mut self, look: &Look<'_>) -> Found {
        let wall_ms = u64::try_from(look.now_ms).unwrap_or(0);
        let hour = hour_of_week(wall_ms, look.utc_offset_min);
        let day = local_day(wall_ms, look.utc_offset_min);
        let mut found = Found { day, ..Found::default() };
        if self.hour != Some((hour, day)) {
            let before = std::mem::take(&mut self.hubs);
            if let Some((hour, day)) = self.hour.replace((hour, day)) {
                let seen = |(hub, it): (HubId, Counted)| Some((hub, hour, day, it.seen()?));
                found.hours = before.into_iter().filter_map(seen).collect();
            }
        }
        self.count(look);
        for (hub, it) in &mut self.hubs {
            let received = std::mem::take(&mut it.received_bytes);
            if received > 0 {
                found.received.push((*hub, received));
            }
        }
        found
    }

    fn count(&mut self, look: &Look<'_>) {
        let last = std::mem::take(&mut self.contacts);
        for hub in look.members.iter().chain([&look.hub]) {
            let it = self.hubs.entry(*hub).or_default();
            it.observed_ms += look.elapsed_ms;
            it.is_wanted |= look.wanted.contains(hub);
        }
        let mut all = Counted { is_wanted: !look.wanted.is_empty(), ..Counted::default() };
        for contact in look.contacts {
            self.contacts.insert(contact.contact, contact.received_bytes);
            let Some(before) = last.get(&contact.contact) else { continue };
            let bytes = contact.received_bytes.saturating_sub(*before);
            let it = self.hubs.entry(contact.hub).or_default();
            it.up_ms += look.elapsed_ms;
            it.received_bytes += bytes;
            all.received_bytes += bytes;
            all.up_ms = look.elapsed_ms;
            if contact.asked_bytes > 0 {
                it.busy_ms += look.elapsed_ms;
                it.busy_bytes += bytes;
                all.busy_ms = look.elapsed_ms;
                all.busy_bytes += bytes;
            }
        }
        let own = self.hubs.entry(look.hub).or_default();
        own.is_wanted |= all.is_wanted;
        own.up_ms += all.up_ms;
        own.busy_ms += all.busy_ms;
        own.busy_bytes += all.busy_bytes;
        own.received_bytes += all.received_bytes;
    }
}

impl Counted {
    fn seen(&self) -> Option<SeenHour> {
        if self.observed_ms < OBSERVED_MS_MIN {
            return None;
        }
        let is_busy = self.busy_ms >= BUSY_MS_MIN;
        Some(SeenHour {
            up_share: (self.up_ms as f64 / self.observed_ms as f64).min(1.0),
            busy_bytes_per_s: is_busy
                .then(|| self.busy_bytes as f64 * 1000.0 / self.busy_ms as f64),
            is_wanted: self.is_wanted,
        })
    }
}

/// The days by which budgets are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetDay {
    /// A local day, from 1970-01-01.
    Local(i64),
    /// 24 hours in which the hub runs: its clock is doubtful.
    Running,
}

/// Gives the day by which budgets are counted now.
pub fn budget_day(policy: &Policy, wall_ms: u64) -> BudgetDay {
    if policy.is_clock_doubtful() {
        return BudgetDay::Running;
    }
    BudgetDay::Local(local_day(wall_ms, policy.utc_offset_min))
}

/// Keeps how many bytes a look has found, and that the hub has run on for `elapsed_ms` since the
/// last ones were kept.
///
/// # Errors
/// If the database fails.
pub fn keep_bytes(tx: &Transaction<'_>, found: &Found, elapsed_ms: u64) -> rusqlite::Result<()> {
    const ADD: &str = "insert into day_bytes (day, hub, received_bytes) values (?1, ?2, ?3) \
         on conflict (day, hub) do update set received_bytes = received_bytes + ?3";
    const ADD_RUNNING: &str = "insert into running_bytes (hub, received_bytes) values (?1, ?2) \
         on conflict (hub) do update set received_bytes = received_bytes + ?2";
    const RUN_ON: &str = "update night_state set running_ms = running_ms + ?1";
    const IS_OVER: &str = "select running_ms >= ?1 from night_state";
    tx.prepare_cached(RUN_ON)?.execute([elapsed_ms])?;
    if tx.prepare_cached(IS_OVER)?.query_row([RUNNING_DAY_MS], |row| row.get(0))? {
        tx.execute_batch("delete from running_bytes; update night_state set running_ms = 0")?;
    }
    for (hub, bytes) in &found.received {
        tx.prepare_cached(ADD)?.execute(params![found.day, hub.as_bytes(), bytes])?;
        tx.prepare_cached(ADD_RUNNING)?.execute(params![hub.as_bytes(), bytes])?;
    }
    Ok(())
}

/// Keeps what the hours that are over have carried.
///
/// # Errors
/// If the database fails.
pub fn keep_hours(tx: &Transaction<'_>, found: &Found) -> rusqlite::Result<()> {
    for (hub, hour, day, seen) in &found.hours {
        let (mut history, known_day) = load_one(tx, hub)?;
        if let Some(ended) = known_day.filter(|known| known != day)
            && let Some(ratio) = history.end_day()
        {
            keep_day(tx, hub, ended, ratio)?;
        }
        history.observe(*hour, *seen);
        store_one(tx, hub, *hour, *day, &history)?;
    }
    if !found.hours.is_empty() {
        tx.prepare_cached("delete from day_bytes where day < ?1")?
            .execute([found.day - DAYS_OF_BYTES])?;
        tx.prepare_cached("delete from link_days where day < ?1")?
            .execute([found.day - DAYS_OF_RATIOS])?;
    }
    Ok(())
}

fn keep_day(tx: &Transaction<'_>, hub: &HubId, day: i64, ratio: f64) -> rusqlite::Result<()> {
    const KEEP: &str = "insert or replace into link_days (hub, day, ratio) values (?1, ?2, ?3)";
    tx.prepare_cached(KEEP)?.execute(params![hub.as_bytes(), day, ratio]).map(drop)
}

fn store_one(
    tx: &Transaction<'_>,
    hub: &HubId,
    hour: u16,
    day: i64,
    history: &LinkHistory,
) -> rusqlite::Result<()> {
    const HOUR: &str = "insert or replace into link_hours (hub, hour, seen, mean, variance) \
         values (?1, ?2, ?3, ?4, ?5)";
    const RATES: &str = "insert or replace into link_rates (hub, up_seen, up_mean, up_variance, \
         day, today_hours, today_carried, today_expected) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (stats, up, today) = (history.hour(hour), history.up(), history.today());
    tx.prepare_cached(HOUR)?.execute(params![
        hub.as_bytes(),
        hour,
        stats.seen,
        stats.mean,
        stats.variance
    ])?;
    tx.prepare_cached(RATES)?
        .execute(params![
            hub.as_bytes(),
            up.seen,
            up.mean,
            up.variance,
            day,
            today.hours,
            today.carried,
            today.expected
        ])
        .map(drop)
}

/// Says whether what a look has found, and was kept, uses up a budget that was not before: then
/// nothing more is to be fetched, and not only when the plan is made anew anyway.
///
/// # Errors
/// If the database fails.
pub fn uses_up(
    db: &Connection,
    own: &HubId,
    config: &NightConfig,
    day: BudgetDay,
    found: &Found,
) -> rusqlite::Result<bool> {
    let received = received(db, day)?;
    let is_used_up = |(hub, bytes): &(HubId, u64)| {
        let is_all = hub == own;
        let limit =
            if is_all { config.bytes_per_day_max } else { config.bytes_per_link_per_day_max };
        let now = received.get(hub).copied().unwrap_or(0);
        limit > 0 && now >= limit && now.saturating_sub(*bytes) < limit
    };
    Ok(found.received.iter().any(is_used_up))
}

/// Reads what the way to a hub carried.
///
/// # Errors
/// If the database fails.
pub fn load(db: &Connection, hub: &HubId) -> rusqlite::Result<LinkHistory> {
    load_one(db, hub).map(|(history, _)| history)
}

fn load_one(db: &Connection, hub: &HubId) -> rusqlite::Result<(LinkHistory, Option<i64>)> {
    const HOURS: &str = "select hour, seen, mean, variance from link_hours where hub = ?1";
    const DAYS: &str = "select ratio from (select day, ratio from link_days where hub = ?1 \
         order by day desc limit ?2) order by day";
    const RATES: &str = "select up_seen, up_mean, up_variance, day, today_hours, today_carried, \
         today_expected from link_rates where hub = ?1";
    let hours: Vec<(u16, HourStats)> = db
        .prepare_cached(HOURS)?
        .query_map([hub.as_bytes()], |row| {
            let stats = HourStats { seen: row.get(1)?, mean: row.get(2)?, variance: row.get(3)? };
            Ok((row.get(0)?, stats))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let ratios: Vec<f64> = db
        .prepare_cached(DAYS)?
        .query_map(params![hub.as_bytes(), DAYS_KEPT], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = db.prepare_cached(RATES)?;
    let mut rows = statement.query([hub.as_bytes()])?;
    let (mut up, mut today, mut day) = (HourStats::default(), Today::default(), None);
    if let Some(row) = rows.next()? {
        up = HourStats { seen: row.get(0)?, mean: row.get(1)?, variance: row.get(2)? };
        day = Some(row.get(3)?);
        today = Today { hours: row.get(4)?, carried: row.get(5)?, expected: row.get(6)? };
    }
    Ok((LinkHistory::restore(hours, up, ratios, today), day))
}

/// Reads what arrived on a day, by hub; from the hub itself: in all.
///
/// # Errors
/// If the database fails.
pub fn received(db: &Connection, day: BudgetDay) -> rusqlite::Result<BTreeMap<HubId, u64>> {
    const LOCAL: &str = "select hub, received_bytes from day_bytes where day = ?1";
    const RUNNING: &str = "select hub, received_bytes from running_bytes where ?1 is null";
    let (sql, day) = match day {
        BudgetDay::Local(day) => (LOCAL, Some(day)),
        BudgetDay::Running => (RUNNING, None),
    };
    db.prepare_cached(sql)?.query_map([day], |row| Ok((HubId(row.get(0)?), row.get(1)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    /// 2026-11-23 00:00 in China, a Monday.
    const MIDNIGHT: i64 = 1_795_363_200_000;
    const HUB: HubId = HubId([1; 32]);
    const LEAD: HubId = HubId([2; 32]);
    const STEP_MS: i64 = 10_000;

    /// What the way to the lead does at a moment: bytes it has brought in all, and whether more
    /// was asked for; none if there is no contact.
    type Way<'a> = &'a dyn Fn(i64) -> Option<(u64, bool)>;

    /// Looks every ten seconds from an hour on until another, and keeps what is found.
    fn watch(db: &Db, hours: std::ops::Range<i64>, way: Way<'_>) {
        let mut meter = Meter::default();
        let mut now_ms = MIDNIGHT + hours.start * 3_600_000;
        while now_ms <= MIDNIGHT + hours.end * 3_600_000 {
            let contact = way(now_ms).map(|(received_bytes, is_busy)| ContactView {
                contact: ContactId(1),
                hub: LEAD,
                address: String::new(),
                age_ms: 0,
                received_bytes,
                sent_bytes: 0,
                receive_bytes_per_s: 0,
                send_bytes_per_s: 0,
                rtt_ms: None,
                waiting_envelopes: 0,
                queued_bytes: 0,
                asked_bytes: u64::from(is_busy),
                clock_ahead_ms: None,
            });
            let found = meter.look(&Look {
                now_ms,
                utc_offset_min: 480,
                elapsed_ms: STEP_MS as u64,
                hub: HUB,
                members: &[LEAD],
                wanted: &BTreeSet::from([LEAD]),
                contacts: contact.as_slice(),
            });
            let keep = move |tx: &Transaction<'_>| {
                keep_bytes(tx, &found, STEP_MS as u64).and_then(|()| keep_hours(tx, &found))
            };
            db.write_blocking(keep).unwrap();
            now_ms += STEP_MS;
        }
    }

    fn database() -> (tempfile::TempDir, Db) {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
        (dir, db)
    }

    /// 100 kB each second since midnight.
    fn brought(now_ms: i64) -> u64 {
        u64::try_from(now_ms - MIDNIGHT).unwrap() * 100
    }

    #[test]
    fn what_a_link_carried_is_kept_by_the_hour_and_what_arrived_by_the_day() {
        let (_dir, db) = database();
        watch(&db, 0..3, &|now| Some((brought(now), true)));
        let lead = db.read_blocking(|db| load(db, &LEAD)).unwrap();
        assert!((lead.hour(1).mean - 100_000.0).abs() < 1_000.0, "{:?}", lead.hour(1));
        assert_eq!((lead.hour(2).seen, lead.hour(3).seen), (1.0, 0.0));
        let own = db.read_blocking(|db| load(db, &HUB)).unwrap();
        assert!((own.hour(1).mean - lead.hour(1).mean).abs() < 1.0, "the line is all ways");
        let day = BudgetDay::Local(local_day(MIDNIGHT as u64, 480));
        let received = db.read_blocking(|db| received(db, day)).unwrap();
        assert!(received[&LEAD] > 1_070_000_000, "{received:?}");
        assert_eq!(received[&LEAD], received[&HUB]);
    }

    #[test]
    fn a_cut_is_a_part_of_what_an_hour_carries_and_an_idle_hour_is_not() {
        let (_dir, db) = database();
        // In contact for half of each hour, and busy then.
        let half = |now: i64| (now.rem_euclid(3_600_000) < 1_800_000).then(|| (brought(now), true));
        watch(&db, 0..3, &half);
        let cut = db.read_blocking(|db| load(db, &LEAD)).unwrap();
        assert!((cut.hour(1).mean - 50_000.0).abs() < 2_000.0, "{:?}", cut.hour(1));
        assert!((cut.up().mean - 100_000.0).abs() < 2_000.0, "{:?}", cut.up());
        watch(&db, 3..5, &|_| Some((0, false)));
        let idle = db.read_blocking(|db| load(db, &LEAD)).unwrap();
        assert!((idle.hour(4).mean - 100_000.0).abs() < 5_000.0, "{:?}", idle.hour(4));
    }

    #[test]
    fn a_day_that_is_over_leaves_how_it_differed() {
        let (_dir, db) = database();
        for day in 0..3 {
            watch(&db, day * 24..day * 24 + 4, &|now| Some((brought(now), true)));
        }
        let lead = db.read_blocking(|db| load(db, &LEAD)).unwrap();
        let ratios: Vec<f64> = lead.ratios().collect();
        assert_eq!(ratios.len(), 2, "{ratios:?}");
        assert!(ratios[0] > 1.2, "it was better than an unknown link: {ratios:?}");
        assert!((ratios[1] - 1.0).abs() < 0.6, "{ratios:?}");
    }
}
