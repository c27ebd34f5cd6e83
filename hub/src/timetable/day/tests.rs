use jiff::civil::date;
use proptest::prelude::*;
use serde_json::json;
use yingxue_sync_core::id::DocId;

use super::*;
use crate::catalog::{self, NewLesson};
use crate::timetable::terms::tests::{put, with_term};

#[test]
fn a_schools_day_begins_at_its_own_midnight() {
    // 2026-09-13T15:59:59.999Z is still the 13th in China, a millisecond later the 14th begins.
    let midnight = 1_789_315_200_000;
    assert_eq!(date_at(midnight - 1, 480), date(2026, 9, 13));
    assert_eq!(date_at(midnight, 480), date(2026, 9, 14));
    assert_eq!(instant(date(2026, 9, 14), 0, 480), midnight);
    assert_eq!(instant(date(2026, 9, 14), 510, 480), midnight + 510 * 60_000);
    // Clocks that are wrong by any time give some day.
    assert!(date_at(i64::MAX, 840) > date_at(i64::MIN, -720));
}

proptest! {
    #[test]
    fn the_minute_of_a_day_is_on_that_day(
        days in 0_i64..36_000,
        minutes in 0_u16..1_440,
        offset in -720_i32..=840,
    ) {
        let day = date(2000, 1, 1) + days.days();
        prop_assert_eq!(date_at(instant(day, minutes, offset), offset), day);
    }
}

/// Publishes a lesson as another school would.
async fn with_lesson(hub: &crate::app::trial::TrialHub) -> DocId {
    let lesson = NewLesson {
        title: "分数的意义".to_owned(),
        subject: "math".to_owned(),
        grade: "5".to_owned(),
        teacher: "陈老师".to_owned(),
        school: "城区实验小学".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: 1,
    };
    let id = DocId([5; 16]);
    let edits = catalog::lesson_edits(&lesson, 1, None, &[]);
    hub.app.sync.edit_doc(catalog::collection(), id, "t".into(), edits).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_lessons_of_the_coming_days_are_listed_in_order_of_time() {
    let (hub, admin, term) = with_term().await;
    let id = with_lesson(&hub).await;
    let slot = |weekday: u8, period: u8, class: &str, mode: &str| {
        json!({"weekday": weekday, "period": period, "class_id": class, "subject": "math",
            "mode": mode, "source": {"kind": "lesson", "lesson_id": id.to_string()}})
    };
    put(&hub, &admin, &term, "slots", "tue", slot(2, 1, "b", "embedded")).await;
    put(&hub, &admin, &term, "slots", "mon", slot(1, 2, "a", "recorded")).await;
    let mut own = slot(1, 1, "a", "local");
    own["source"] = json!({"kind": "none"});
    put(&hub, &admin, &term, "slots", "own", own).await;
    let monday = date(2026, 9, 14);
    let read = |from: i64, to: i64| {
        hub.app.db.read_blocking(move |db| remote_between(db, from, to)).unwrap()
    };
    let begin = instant(monday, 0, 480);
    let lessons = read(begin, begin + 2 * DAY_MS);
    let seen: Vec<_> =
        lessons.iter().map(|l| (l.slot.as_str(), l.pupils, l.preferred, l.lesson)).collect();
    let expected = [("mon", 12, TierName::T1, Some(id)), ("tue", 9, TierName::T0, Some(id))];
    assert_eq!(seen, expected);
    assert_eq!(lessons[0].title, "分数的意义");
    assert_eq!(lessons[0].starts_at_ms, instant(monday, 560, 480));
    // From the minute on, and not the minute at which it ends.
    assert_eq!(read(lessons[0].starts_at_ms, lessons[0].starts_at_ms + 1).len(), 1);
    assert_eq!(read(begin, lessons[0].starts_at_ms).len(), 0);
    assert_eq!(read(begin, begin - 1).len(), 0);
    assert!(read(i64::MIN, i64::MAX).len() <= REMOTE_LESSONS_MAX);

    // A lesson that its school deletes stays where it is, and is said to be gone.
    hub.app
        .sync
        .edit_doc(catalog::collection(), id, "t".into(), vec![catalog::deleted_edit(true)])
        .await
        .unwrap();
    let day = hub.app.db.read_blocking(move |db| of(db, monday)).unwrap();
    let entry = day.entries.iter().find(|entry| entry.slot_id == "mon").unwrap();
    assert_eq!((entry.lesson, entry.notice), (Some(id), Some(Notice::LessonDeleted)));
    let shown = hub.get("/api/v1/timetable/day?date=2026-09-14", "").await.json();
    let shown = shown["entries"].as_array().unwrap();
    let shown = shown.iter().find(|entry| entry["slot_id"] == "mon").unwrap();
    assert_eq!(shown["lesson"]["title"], "分数的意义");
    assert_eq!(shown["readiness"]["reason"], "deleted");
    assert_eq!(shown["readiness"]["next_step"], "ask_lead");
    // As long as the timetable has it, its page is there too.
    let page = format!("/api/v1/lessons/{id}");
    let read = |today: Date| {
        hub.app.db.read_blocking(move |db| crate::timetable::names(db, &id, today)).unwrap()
    };
    assert!(read(date(2027, 1, 20)) && !read(date(2027, 1, 21)));
    let today = crate::timetable::today(&hub.app);
    let change = json!({"first_day": today, "last_day": today + 30.days()});
    let changed = hub.patch(&format!("/api/v1/timetable/terms/{term}"), &admin, change).await;
    assert_eq!(changed.outcome(), "200");
    assert_eq!(hub.get(&page, &admin).await.outcome(), "200");
    for slot in ["mon", "tue"] {
        hub.delete(&format!("/api/v1/timetable/terms/{term}/slots/{slot}"), &admin).await;
    }
    assert_eq!(hub.get(&page, &admin).await.outcome(), "404 not_found");
}
