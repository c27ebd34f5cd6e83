//! The evening: the warning at 20:00, what hubs tell of themselves, what a stick should carry.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use rusqlite::Connection;
use yingxue_sync_core::id::HubId;
use yingxue_sync_core::plan::{Forecast, Urgency, Why};

use super::*;
use crate::catalog::readiness::TierName;
use crate::events::HubEvent;
use crate::night::overview::Moment;
use crate::night::reports::Reports;
use crate::night::tonight::{PlannedStep, Tonight};
use crate::timetable::day;

const LACKING: DocId = DocId([8; 16]);
const MINUTE: Duration = Duration::from_secs(60);

/// A moment of a day, with a plan that hopes for little.
fn at(date: Date, hour: u16, minute: u16) -> Moment {
    let forecast = Forecast {
        item: 0,
        step: 0,
        urgency: Urgency::Floor,
        complete_at_wall_ms: None,
        probability: 0.1,
        why: Why::TooMuch,
        from: Some(HubId([2; 32])),
    };
    let tonight = Tonight {
        made_at_ms: 1,
        steps: vec![PlannedStep { lesson: LACKING, tier: TierName::T0, forecast }],
        contacts: std::collections::BTreeSet::from([HubId([2; 32])]),
        ..Tonight::default()
    };
    Moment { now_ms: day::instant(date, hour * 60 + minute, 480), tonight: Arc::new(tonight) }
}

/// A day of the term; reports are kept by months, so one whose morrow is of the same month.
fn today() -> Date {
    let today = day::date_at(now_ms(), 480);
    let tomorrow = today.saturating_add(1.days());
    if today.month() == tomorrow.month() { today } else { tomorrow }
}

/// The day for which it was said last what will not make it.
async fn warned_for(hub: &TrialHub) -> String {
    const WARNED: &str = "select warned_for from night_state";
    hub.app.db.read(|db| db.query_row(WARNED, [], |row| row.get(0))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_eight_is_said_once_which_lessons_will_not_make_it_and_why() {
    let school = School::with(&[LACKING]).await;
    let (hub, app) = (&school.hub, &school.hub.app);
    publish(hub, LACKING, "小数的意义", &[("audio", BlobId([0xee; 32]), 9_000)]).await;
    let today = today();
    let mut heard = app.events.subscribe();
    let mut nights = || {
        let all = std::iter::from_fn(|| heard.try_recv().ok());
        all.filter(|event| matches!(event, HubEvent::Night {})).count()
    };
    warnings::warn(app, &at(today, 19, 59)).await.unwrap();
    assert_eq!((warned_for(hub).await, nights()), (String::new(), 0), "not before its time");
    let unplanned = Moment { tonight: Arc::default(), ..at(today, 20, 0) };
    warnings::warn(app, &unplanned).await.unwrap();
    assert_eq!(warned_for(hub).await, "", "nothing is known before the first plan");
    let eight = at(today, 20, 0);
    warnings::warn(app, &eight).await.unwrap();
    let tomorrow = today.saturating_add(1.days());
    assert_eq!(warned_for(hub).await, tomorrow.to_string());
    assert_eq!(nights(), 1, "pages hear of it");
    for (hour, minute) in [(20, 1), (23, 59)] {
        warnings::warn(app, &at(today, hour, minute)).await.unwrap();
    }
    assert_eq!(nights(), 0, "once a day");
    // The page says it, and a teacher gets the list for a stick with it.
    let shown = overview::view(app, None, &eight).await.unwrap();
    assert_eq!((shown.date, shown.warnings.len()), (tomorrow, 1));
    assert_eq!(shown.warnings[0].reason, readiness::Reason::NotArrived);
    assert_eq!(shown.warnings[0].next_step, readiness::NextStep::Courier);
    let list = hub.get("/api/v1/night/courier_list", &school.admin).await;
    assert_eq!(list.outcome(), "200");
    // A clock that cannot be believed warns of nothing; the next evening it is said again.
    let next = at(tomorrow, 20, 3);
    app.sync.news().policy().set_clock_doubt(true);
    warnings::warn(app, &next).await.unwrap();
    assert_eq!(warned_for(hub).await, tomorrow.to_string());
    app.sync.news().policy().set_clock_doubt(false);
    warnings::warn(app, &next).await.unwrap();
    let after = tomorrow.saturating_add(1.days());
    assert_eq!((warned_for(hub).await, nights()), (after.to_string(), 1));
}

/// What a hub has told of itself: date, ready, not ready, when.
async fn told(hub: &TrialHub) -> Vec<(Date, u32, u32, i64)> {
    let own = hub.app.sync.hub_id();
    let mut days = hub.app.db.read(|db| map::told_days(db, None)).await.unwrap();
    days.retain(|(of, _)| *of == own);
    days.sort_by_key(|(_, day)| day.date);
    days.into_iter().map(|(_, d)| (d.date, d.counts[0], d.counts[2], d.written_at_ms)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_told_at_seven_and_at_twenty_and_in_between_when_it_changes() {
    let school = School::new().await;
    let (_village, _) = join(&school).await;
    let (hub, app) = (&school.hub, &school.hub.app);
    let (today, mut reports, begin) = (today(), Reports::default(), Instant::now());
    let tomorrow = today.saturating_add(1.days());
    let mut tell = async |date: Date, hour: u16, minute: u16| {
        let minutes = u32::from(hour) * 60 + u32::from(minute);
        let days = if date == today { 0 } else { 24 * 60 };
        reports
            .tell(app, &at(date, hour, minute), begin + MINUTE * (days + minutes))
            .await
            .unwrap();
        told(hub).await
    };
    let ms = |date: Date, hour: u16, minute: u16| day::instant(date, hour * 60 + minute, 480);
    let both = |ready, lacking, said| {
        vec![(today, ready, lacking, said), (tomorrow, ready, lacking, said)]
    };
    assert_eq!(tell(today, 10, 0).await, both(1, 0, ms(today, 10, 0)), "nobody knew");
    assert_eq!(tell(today, 10, 40).await, both(1, 0, ms(today, 10, 0)), "nothing is new");
    // Four changes are told at once; then one each half hour.
    let mut audio = school.audio;
    for minute in [41, 43] {
        std::fs::remove_file(app.sync.files().path(audio)).unwrap();
        assert_eq!(tell(today, 10, minute).await, both(0, 1, ms(today, 10, minute)), "at once");
        audio = add_blob(hub, TrackKind::Audio, 3).await.0;
        let healed = tell(today, 10, minute + 1).await;
        assert_eq!(healed, both(1, 0, ms(today, 10, minute + 1)), "at once");
    }
    std::fs::remove_file(app.sync.files().path(audio)).unwrap();
    assert_eq!(tell(today, 10, 45).await, both(1, 0, ms(today, 10, 44)), "the fifth waits");
    assert_eq!(tell(today, 11, 10).await, both(1, 0, ms(today, 10, 44)));
    assert_eq!(tell(today, 11, 11).await, both(0, 1, ms(today, 11, 11)));
    add_blob(hub, TrackKind::Audio, 3).await;
    assert_eq!(tell(today, 11, 40).await, both(0, 1, ms(today, 11, 11)));
    assert_eq!(tell(today, 11, 41).await, both(1, 0, ms(today, 11, 41)));
    assert_eq!(tell(today, 19, 59).await, both(1, 0, ms(today, 11, 41)));
    assert_eq!(tell(today, 20, 0).await, both(1, 0, ms(today, 20, 0)), "in any case");
    assert_eq!(tell(today, 20, 59).await, both(1, 0, ms(today, 20, 0)), "once an hour of it");
    // After midnight the days are others: three at most are told of, and yesterday is forgotten.
    let night = tell(tomorrow, 0, 30).await;
    assert_eq!(night.first().map(|day| day.0), Some(tomorrow));
    assert!(night.iter().all(|day| day.3 == ms(tomorrow, 0, 30)), "{night:?}");
    assert!(tell(tomorrow, 6, 59).await.iter().all(|day| day.3 == ms(tomorrow, 0, 30)));
    assert!(tell(tomorrow, 7, 0).await.iter().all(|day| day.3 == ms(tomorrow, 7, 0)));
    assert!(tell(tomorrow, 7, 59).await.iter().all(|day| day.3 == ms(tomorrow, 7, 0)));
    assert!(told(hub).await.len() <= map::DAYS_MAX);
}

/// A second school in the alliance of the first, which fetches nothing.
async fn join(lead: &School) -> (TrialHub, String) {
    let (village, admin) = TrialHub::start_set_up().await;
    let pause = json!({"until": now_ms() + 20 * 3_600_000});
    assert_eq!(village.post("/api/v1/night/pause", &admin, pause).await.status, 204);
    let made =
        lead.hub.post("/api/v1/alliance/invitations", &lead.admin, json!({"valid_hours": 1}));
    let line = json!({"invitation": made.await.json()["text"]});
    assert_eq!(village.post("/api/v1/alliance/join", &admin, line).await.outcome(), "200");
    (village, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teacher_of_the_lead_sees_what_a_stick_should_carry_for_which_school() {
    let lead = School::new().await;
    let larger = DocId([9; 16]);
    let (blob, bytes) = add_blob(&lead.hub, TrackKind::Audio, 5).await;
    publish(&lead.hub, larger, "小数的意义", &[("audio", blob, bytes)]).await;
    let (village, admin) = join(&lead).await;
    // One lesson that the lead has is needed twice, one once, and one the lead has not either.
    let nobodys = DocId([0xaa; 16]);
    until(&village, "lessons are named here", |db| {
        db.query_row("select count(*) >= 2 from lessons", [], |row| row.get(0))
    })
    .await;
    let needed = [larger, lead.lesson, nobodys, lead.lesson];
    let date: Date = add_timetable(&village, &admin, &needed).await.parse().unwrap();
    let said = at(today(), 20, 0);
    Reports::default().tell(&village.app, &said, Instant::now()).await.unwrap();
    let of_village = village.app.sync.hub_id();
    until(&lead.hub, "the village's report is here", move |db| {
        const TOLD: &str = "select exists (select 1 from hub_readiness where hub = ?1)";
        db.query_row(TOLD, [of_village.as_bytes()], |row| row.get(0))
    })
    .await;
    let path = format!("/api/v1/night/courier_list?date={date}");
    let teacher = lead.hub.log_in_new(&lead.admin, "teacher", "teacher").await;
    let list = lead.hub.get(&path, &teacher).await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    let of = &list[0];
    assert_eq!(of["hub_id"], of_village.to_string());
    assert_eq!(of["written_at"], said.now_ms);
    let floor = (3 + 2) * PIECE as u64;
    let ids: Vec<_> = of["lessons"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(lead.lesson.to_string()), &json!(larger.to_string())]);
    assert_eq!(
        (&of["lessons"][0]["slots"], &of["lessons"][0]["floor_bytes"]),
        (&json!(2), &json!(floor))
    );
    assert_eq!(of["lessons"][1]["title"], "小数的意义");
    assert_eq!(of["bytes"], floor + bytes);
    // The village itself has nothing for others; who may not carry is not told what lacks where.
    assert_eq!(village.get(&path, &admin).await.json(), json!([]));
    assert_eq!(lead.hub.get(&path, "").await.outcome(), "401 not_logged_in");
    let pupil = lead.hub.log_in_new(&lead.admin, "pupil", "pupil").await;
    assert_eq!(lead.hub.get(&path, &pupil).await.outcome(), "403 not_allowed");
    let wrong = lead.hub.get("/api/v1/night/courier_list?date=2026-02-30", &teacher).await;
    assert_eq!(wrong.outcome(), "422 invalid_input");
}

/// A school without a line tells of no day; its receipts come by stick, and its timetable may.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_school_without_a_line_lacks_is_known_from_its_receipt() {
    let lead = School::new().await;
    let (larger, other) = (DocId([9; 16]), DocId([8; 16]));
    for (n, (lesson, title)) in [(larger, "小数的意义"), (other, "圆的面积")].iter().enumerate()
    {
        let (blob, bytes) = add_blob(&lead.hub, TrackKind::Audio, 5 + n as u32).await;
        publish(&lead.hub, *lesson, title, &[("audio", blob, bytes)]).await;
    }
    let (village, admin) = join(&lead).await;
    let of_village = village.app.sync.hub_id();
    until(&village, "lessons are named here", |db| {
        db.query_row("select count(*) >= 3 from lessons", [], |row| row.get(0))
    })
    .await;
    let list = async |date: Date| {
        let path = format!("/api/v1/night/courier_list?date={date}");
        lead.hub.get(&path, &lead.admin).await.json()
    };
    let tomorrow = today().saturating_add(1.days());
    assert_eq!(list(tomorrow).await, json!([]), "it has said nothing");
    crate::courier::tests::give_receipt(&village, &lead.hub).await;
    let of = list(tomorrow).await[0].clone();
    assert_eq!((&of["hub_id"], &of["is_told"]), (&json!(of_village.to_string()), &json!(false)));
    assert_eq!(
        (&of["total"], of["lessons"].as_array().map(Vec::len)),
        (&json!(0), Some(3)),
        "{of}"
    );

    // With its timetable it is known what is needed first.
    let date = add_timetable(&village, &admin, &[larger, lead.lesson, lead.lesson]).await;
    until(&lead.hub, "the village's timetable is here", move |db| {
        const SLOTS: &str = "select exists (select 1 from timetable_terms where school_hub = ?1 \
             and json_array_length(body, '$.slots') = 21)";
        db.query_row(SLOTS, [of_village.as_bytes()], |row| row.get(0))
    })
    .await;
    crate::courier::tests::give_receipt(&village, &lead.hub).await;
    let of = list(date.parse().unwrap()).await[0].clone();
    assert_eq!((&of["total"], &of["teachable"]), (&json!(3), &json!(0)), "{of}");
    let lessons = of["lessons"].as_array().unwrap().iter();
    let lessons: Vec<_> = lessons.map(|one| (one["id"].clone(), one["slots"].clone())).collect();
    let in_order = [(lead.lesson, 2), (larger, 1), (other, 0)];
    assert_eq!(lessons, in_order.map(|(id, slots)| (json!(id.to_string()), json!(slots))));

    // What it tells by a line counts, once it has one.
    let said = at(today(), 20, 0);
    Reports::default().tell(&village.app, &said, Instant::now()).await.unwrap();
    until(&lead.hub, "the village's report is here", move |db| {
        const TOLD: &str = "select exists (select 1 from hub_readiness where hub = ?1)";
        db.query_row(TOLD, [of_village.as_bytes()], |row| row.get(0))
    })
    .await;
    assert_eq!(list(date.parse().unwrap()).await[0]["is_told"], true);
}

/// Waits until a hub's database says so; asks again whenever something has happened.
pub(super) async fn until(
    hub: &TrialHub,
    what: &str,
    is_so: impl Fn(&Connection) -> rusqlite::Result<bool>,
) {
    let mut events = hub.app.events.subscribe();
    let waiting = async {
        while !hub.app.db.read_blocking(&is_so).unwrap() {
            // What was missed is a reason to look again.
            drop(events.recv().await);
        }
    };
    tokio::time::timeout(MINUTE, waiting).await.unwrap_or_else(|_| panic!("not yet: {what}"));
}
