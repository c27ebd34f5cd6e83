//! Bytes of a day and of a link: what is asked for stays within them, and is asked for again on
//! the next day.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use yingxue_sync_core::event::Want;
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_core::plan::{Urgency, local_day};

use crate::config::{ByDay, NightConfig};
use crate::db::Db;
use crate::night::links::{self, BudgetDay, Found};
use crate::night::policy::{Allowance, Policy};
use crate::night::tonight::{self, Given, Tonight};
use crate::playing::Played;

/// 2026-11-23 00:00 in China.
const MIDNIGHT: i64 = 1_795_363_200_000;
const DAY_MS: i64 = 24 * 3_600_000;
const OWN: HubId = HubId([1; 32]);
const LEAD: HubId = HubId([2; 32]);
const OTHER: HubId = HubId([3; 32]);
const LESSON_BYTES: u64 = 1_000;

/// A hub that lacks three lessons of the lead and one of another school, 1,000 bytes each.
fn hub() -> (tempfile::TempDir, Db) {
    const LESSON: &str =
        "insert into lessons values (?1, 1, 0, '', '', '', '', '', ?2, '', 0, ?3, 0)";
    const TRACK: &str =
        "insert into lesson_tracks values (?1, 'audio', ?2, '', null, null, ?3, ?4, 0, 1, ?5)";
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
    db.write_blocking(|tx| -> rusqlite::Result<()> {
        for (n, school) in [(1, LEAD), (2, LEAD), (3, LEAD), (4, OTHER)] {
            let (lesson, blob) = (DocId([n; 16]), BlobId([n; 32]));
            tx.execute(LESSON, params![lesson.as_bytes(), school.as_bytes(), n])?;
            // The newest comes first.
            let (lesson, blob) = (lesson.as_bytes(), blob.as_bytes());
            let row = params![lesson, blob, LESSON_BYTES, 10 - n, school.as_bytes()];
            tx.execute(TRACK, row)?;
        }
        Ok(())
    })
    .unwrap();
    (dir, db)
}

fn policy(bytes_per_day_max: u64, bytes_per_link_per_day_max: u64) -> Policy {
    let by_day = ByDay::Always;
    let config = NightConfig {
        by_day,
        bytes_per_day_max,
        bytes_per_link_per_day_max,
        ..NightConfig::default()
    };
    Policy::new(config, 480)
}

/// Counts bytes as arrived from a hub, and so in all.
fn arrive(db: &Db, now_ms: i64, from: HubId, bytes: u64) -> Found {
    arrive_after(db, now_ms, from, bytes, 0)
}

/// Likewise, after the hub has run on for so many hours.
fn arrive_after(db: &Db, now_ms: i64, from: HubId, bytes: u64, hours: u64) -> Found {
    let day = local_day(u64::try_from(now_ms).unwrap(), 480);
    let received = vec![(from, bytes), (OWN, bytes)];
    let found = || Found { received: received.clone(), day, ..Found::default() };
    let kept = found();
    db.write_blocking(move |tx| links::keep_bytes(tx, &kept, hours * 3_600_000)).unwrap();
    found()
}

fn plan(db: &Db, policy: &Policy, now_ms: i64) -> Tonight {
    let made = |db: &Connection| {
        let members = vec![LEAD, OTHER];
        let stalled = BTreeSet::new();
        let given = Given { now_ms, hub: OWN, members, contacts: &[], stalled, files: None };
        tonight::make(db, policy, &given)
    };
    db.read_blocking(made).unwrap()
}

/// Which blobs are asked for, by their first byte.
fn wanted(tonight: &Tonight) -> Vec<u8> {
    tonight.wants.iter().map(|want| want.blob.0[0]).collect()
}

#[test]
fn no_more_is_asked_for_than_the_day_has_left_and_the_next_day_begins_at_midnight() {
    let (_dir, db) = hub();
    let policy = policy(2_500, 0);
    let evening = MIDNIGHT + 23 * 3_600_000;
    let made = plan(&db, &policy, evening);
    // Schools take turns.
    assert_eq!((wanted(&made), made.allowance), (vec![1, 4, 2], Some(Allowance::Open)));
    arrive(&db, evening, LEAD, 2_000);
    assert_eq!(wanted(&plan(&db, &policy, evening)), [1], "500 bytes are left");
    arrive(&db, evening, LEAD, 499);
    assert_eq!(wanted(&plan(&db, &policy, evening)), [1]);
    arrive(&db, evening, LEAD, 1);
    let spent = plan(&db, &policy, evening);
    assert_eq!((wanted(&spent), spent.allowance), (vec![], Some(Allowance::Budget)));
    let last_minute = MIDNIGHT + DAY_MS - 1;
    assert!(wanted(&plan(&db, &policy, last_minute)).is_empty());
    assert_eq!(wanted(&plan(&db, &policy, last_minute + 1)), [1, 4, 2], "a new day");
}

#[test]
fn what_somebody_needs_now_is_in_the_plan_however_many_lessons_are_pinned_before() {
    const PIN: &str = "insert into pins values (?1, ?2, ?3)";
    const LESSON: &str =
        "insert into lessons values (?1, 1, 0, '', '', '', '', '', ?2, '', 0, 0, 0)";
    const TRACK: &str = "insert into lesson_tracks \
         values (?1, 'audio', ?2, '', null, null, 10, 0, 0, 1, ?3)";
    let (_dir, db) = hub();
    let id = |n: u16| {
        let mut id = [0xaa; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        id
    };
    db.write_blocking(move |tx| -> rusqlite::Result<()> {
        for n in 0..700u16 {
            let (lesson, blob) = (&id(n)[..16], id(n));
            tx.execute(LESSON, params![lesson, LEAD.as_bytes()])?;
            tx.execute(TRACK, params![lesson, blob, LEAD.as_bytes()])?;
            // The first half without end are urgent, the last one too.
            tx.execute(PIN, params![lesson, n < 300 || n == 699, n])?;
        }
        Ok(())
    })
    .unwrap();
    let policy = policy(0, 0);
    let urgent = |tonight: &Tonight| {
        let now = |want: &&Want| Urgency::of(want.priority) == Urgency::Now;
        tonight.wants.iter().filter(now).count()
    };
    let made = plan(&db, &policy, MIDNIGHT);
    assert_eq!(urgent(&made), 128, "more than classes a school has are not urgent");
    // What is being played is first, although it was asked for last.
    policy.set_played(vec![Played::Blob(BlobId(id(650)))]);
    let made = plan(&db, &policy, MIDNIGHT);
    assert_eq!((urgent(&made), made.wants.len()), (129, 512));
    assert!(made.wants.iter().take(129).any(|want| want.blob == BlobId(id(650))));
}

#[test]
fn a_link_that_is_used_up_rests_until_midnight_and_the_others_do_not() {
    let (_dir, db) = hub();
    let policy = policy(0, 2_500);
    let noon = MIDNIGHT + 12 * 3_600_000;
    assert_eq!(wanted(&plan(&db, &policy, noon)), [1, 4, 2, 3]);
    arrive(&db, noon, LEAD, 2_499);
    assert_eq!(wanted(&plan(&db, &policy, noon)), [1, 4, 2, 3]);
    arrive(&db, noon, LEAD, 1);
    let made = plan(&db, &policy, noon);
    assert_eq!((wanted(&made), made.allowance), (vec![4], Some(Allowance::Open)));
    assert_eq!(made.sources, BTreeSet::from([OTHER]));
    assert_eq!(wanted(&plan(&db, &policy, MIDNIGHT + DAY_MS)), [1, 4, 2, 3]);
}

#[test]
fn the_plan_is_made_anew_as_soon_as_a_budget_is_used_up_and_only_then() {
    let (_dir, db) = hub();
    let is_used_up = |config: &NightConfig, found: &Found| {
        let day = BudgetDay::Local(found.day);
        db.read_blocking(|db| links::uses_up(db, &OWN, config, day, found)).unwrap()
    };
    let (day, link) = (policy(1_000, 0).config, policy(0, 600).config);
    let first = arrive(&db, MIDNIGHT, LEAD, 599);
    assert!(!is_used_up(&day, &first) && !is_used_up(&link, &first));
    let second = arrive(&db, MIDNIGHT, LEAD, 1);
    assert!(!is_used_up(&day, &second) && is_used_up(&link, &second));
    let third = arrive(&db, MIDNIGHT, OTHER, 400);
    assert!(is_used_up(&day, &third) && !is_used_up(&link, &third));
    let fourth = arrive(&db, MIDNIGHT, OTHER, 1);
    assert!(!is_used_up(&day, &fourth) && !is_used_up(&link, &fourth), "that was known");
    assert!(!is_used_up(&NightConfig::default(), &fourth), "0 is no limit");
}

#[test]
fn a_doubtful_clock_lifts_no_budget_and_the_next_day_begins_after_24_hours_of_running() {
    let (_dir, db) = hub();
    let (policy, of_link) = (policy(2_500, 0), policy(0, 2_500));
    policy.set_clock_doubt(true);
    of_link.set_clock_doubt(true);
    assert_eq!(wanted(&plan(&db, &policy, MIDNIGHT)), [1, 4, 2], "what the budget has left");
    arrive(&db, MIDNIGHT, LEAD, 2_499);
    let last = arrive_after(&db, MIDNIGHT + 3_650 * DAY_MS, LEAD, 1, 23);
    let config = &policy.config;
    let uses_up = |db: &Connection| links::uses_up(db, &OWN, config, BudgetDay::Running, &last);
    assert!(db.read_blocking(uses_up).unwrap());
    for now_ms in [0, MIDNIGHT, MIDNIGHT + 3_650 * DAY_MS, MIDNIGHT + 4_000 * DAY_MS] {
        let spent = plan(&db, &policy, now_ms);
        assert_eq!((wanted(&spent), spent.allowance), (vec![], Some(Allowance::Budget)));
        assert_eq!(wanted(&plan(&db, &of_link, now_ms)), [4], "the other link has its own");
    }
    arrive_after(&db, MIDNIGHT, OTHER, 10, 1);
    assert_eq!(wanted(&plan(&db, &policy, MIDNIGHT)), [1, 4, 2], "24 hours of running");
    policy.set_clock_doubt(false);
    let spent = plan(&db, &policy, MIDNIGHT);
    assert_eq!(spent.allowance, Some(Allowance::Budget), "of the day as it is believed again");
}
