use axum::http::Method;
use serde_json::{Value, json};

use crate::app::trial::{Answer, TrialHub};

/// A village school's day (DOMAIN §3.4), two classes.
pub(crate) async fn with_term() -> (TrialHub, String, String) {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "石门村小学".to_owned()).await.unwrap();
    let made = hub.post("/api/v1/timetable/terms", &admin, new_term()).await;
    assert_eq!(made.outcome(), "201");
    let term = made.json()["term"]["id"].as_str().unwrap().to_owned();
    for (id, name, grade, pupils) in [("a", "五年级", "5", 12), ("b", "六年级", "6", 9)] {
        let class = json!({"name": name, "grade": grade, "pupils": pupils, "room": ""});
        let put = put(&hub, &admin, &term, "classes", id, class).await;
        assert_eq!(put.outcome(), "200");
    }
    (hub, admin, term)
}

fn new_term() -> Value {
    json!({"name": "2026年秋季", "first_day": "2026-09-01", "last_day": "2027-01-20",
        "cycle_weeks": 2, "periods": [
            {"no": 1, "start": "8:30", "end": "9:10"},
            {"no": 2, "start": "9:20", "end": "10:00"},
            {"no": 3, "start": "10:30", "end": "11:10"},
            {"no": 4, "start": "11:20", "end": "12:00"},
            {"no": 5, "start": "15:00", "end": "15:40"}]})
}

pub(crate) async fn put(
    hub: &TrialHub,
    who: &str,
    term: &str,
    part: &str,
    id: &str,
    body: Value,
) -> Answer {
    let path = format!("/api/v1/timetable/terms/{term}/{part}/{id}");
    hub.json(Method::PUT, &path, who, body).await
}

fn slot(weekday: u8, period: u8, class: &str, subject: &str) -> Value {
    json!({"weekday": weekday, "period": period, "weeks": [], "class_id": class,
        "subject": subject, "lead": "", "tutor": "", "room": ""})
}

pub(crate) async fn day(hub: &TrialHub, date: &str) -> Value {
    let answer = hub.get(&format!("/api/v1/timetable/day?date={date}"), "").await;
    assert_eq!(answer.outcome(), "200");
    answer.json()
}

fn field(answer: &Answer) -> String {
    assert_eq!(answer.outcome(), "422 invalid_input", "{:?}", answer.json());
    answer.json()["params"]["field"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_needs_no_login_and_shows_what_the_administrator_has_written() {
    let (hub, admin, term) = with_term().await;
    let mut odd = slot(1, 1, "a", "math");
    odd["weeks"] = json!([1]);
    odd["lead"] = json!("陈老师");
    odd["mode"] = json!("recorded");
    assert_eq!(put(&hub, &admin, &term, "slots", "s1", odd).await.outcome(), "200");
    let even = slot(1, 2, "b", "班会");
    assert_eq!(put(&hub, &admin, &term, "slots", "s2", even).await.outcome(), "200");

    // 7 September 2026 is the Monday of the second week.
    let monday = day(&hub, "2026-09-07").await;
    assert_eq!((&monday["week"], &monday["cycle_week"]), (&json!(2), &json!(2)));
    assert_eq!(monday["entries"].as_array().unwrap().len(), 1);
    assert_eq!(monday["entries"][0]["readiness"], Value::Null, "the own teacher's lesson");
    let monday = day(&hub, "2026-09-14").await;
    let first = &monday["entries"][0];
    assert_eq!(first["class"], json!({"id": "a", "name": "五年级", "grade": "5", "pupils": 12}));
    assert_eq!((&first["lead"], &first["mode"]), (&json!("陈老师"), &json!("recorded")));
    assert_eq!(first["readiness"]["state"], "not_ready");
    assert_eq!(first["readiness"]["reason"], "no_lesson");
    // 08:30 at UTC+8.
    assert_eq!(first["starts_at"], json!(1_789_345_800_000_i64));
    assert_eq!(day(&hub, "2026-09-13").await["is_school_day"], false);
    assert_eq!(day(&hub, "2025-09-13").await["kind"], "outside_term");

    let week = hub.get("/api/v1/timetable/week?date=2026-09-16", "").await.json();
    let days = week["days"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]), (7, &monday));
    for date in ["x", "2026-13-01", "20260901", "1999-12-31", "2026-9-1"] {
        let answer = hub.get(&format!("/api/v1/timetable/day?date={date}"), "").await;
        assert_eq!(field(&answer), "date", "{date}");
    }
    assert_eq!(hub.get("/api/v1/timetable", "").await.outcome(), "401 not_logged_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_change_a_timetable_and_an_alliance_is_needed() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let alone = hub.post("/api/v1/timetable/terms", &admin, new_term()).await;
    assert_eq!(alone.outcome(), "404 no_alliance");
    let empty = hub.get("/api/v1/timetable", &admin).await.json();
    assert_eq!((&empty["term"], &empty["terms"]), (&Value::Null, &json!([])));
    let teacher = hub.log_in_new(&admin, "teacher", "teacher").await;
    let refused = hub.post("/api/v1/timetable/terms", &teacher, new_term()).await;
    assert_eq!(refused.outcome(), "403 not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_the_field_is_named() {
    let (hub, admin, term) = with_term().await;
    for (wrong, expected) in [
        (json!({"name": " "}), "name"),
        (json!({"last_day": "2026-08-31"}), "last_day"),
        (json!({"last_day": "2028-08-31"}), "last_day"),
        (json!({"cycle_weeks": 9}), "cycle_weeks"),
        (json!({"periods": [{"no": 1, "start": "9:10", "end": "8:30"}]}), "periods.end"),
        (
            json!({"periods": [{"no": 1, "start": "8:00", "end": "9:00"},
                {"no": 2, "start": "8:50", "end": "9:40"}]}),
            "periods",
        ),
        (json!({"periods": [{"no": 1, "start": "25:00", "end": "26:00"}]}), "body"),
        (json!({"weeks": 1}), "body"),
    ] {
        let answer =
            hub.patch(&format!("/api/v1/timetable/terms/{term}"), &admin, wrong.clone()).await;
        assert_eq!(field(&answer), expected, "{wrong}");
    }
    let overlapping = hub.post("/api/v1/timetable/terms", &admin, new_term()).await;
    assert_eq!(field(&overlapping), "first_day");

    let right = slot(1, 1, "a", "math");
    for (key, value, expected) in [
        ("weekday", json!(0), "weekday"),
        ("weekday", json!(8), "weekday"),
        ("period", json!(9), "period"),
        ("weeks", json!([3]), "weeks"),
        ("weeks", json!([2, 1]), "weeks"),
        ("class_id", json!("zz"), "class_id"),
        ("subject", json!(""), "subject"),
        ("subject", json!("长".repeat(21)), "subject"),
        ("lead", json!("a\u{202e}b"), "lead"),
        ("source", json!({"kind": "lesson", "lesson_id": "x"}), "source.lesson_id"),
        ("source", json!({"kind": "film"}), "body"),
        ("teacher", json!("陈老师"), "teacher"),
    ] {
        let mut wrong = right.clone();
        wrong[key] = value;
        let answer = put(&hub, &admin, &term, "slots", "s1", wrong.clone()).await;
        assert_eq!(field(&answer), expected, "{wrong}");
    }
    assert_eq!(field(&put(&hub, &admin, &term, "slots", "S_1", right.clone()).await), "id");
    assert_eq!(put(&hub, &admin, &term, "slots", "s1", right).await.outcome(), "200");
    let nowhere = put(&hub, &admin, &"0".repeat(32), "slots", "s1", slot(1, 1, "a", "math")).await;
    assert_eq!(nowhere.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_does_not_change_under_lessons_that_need_what_it_has() {
    let (hub, admin, term) = with_term().await;
    let mut even = slot(1, 5, "a", "math");
    even["weeks"] = json!([2]);
    put(&hub, &admin, &term, "slots", "s1", even).await;
    let holiday = json!({"date": "2026-10-01", "kind": "holiday", "until": "2026-10-07"});
    assert_eq!(put(&hub, &admin, &term, "exceptions", "h", holiday).await.outcome(), "200");
    let path = format!("/api/v1/timetable/terms/{term}");
    for (change, expected) in [
        (json!({"cycle_weeks": 1}), "cycle_weeks"),
        (json!({"periods": []}), "periods"),
        (json!({"first_day": "2026-10-02"}), "first_day"),
    ] {
        assert_eq!(field(&hub.patch(&path, &admin, change).await), expected);
    }
    let changed = hub.patch(&path, &admin, json!({"name": "新", "cycle_weeks": 3})).await;
    assert_eq!(changed.json()["term"]["cycle_weeks"], 3);
    let class = hub.delete(&format!("{path}/classes/a"), &admin).await;
    assert_eq!(class.outcome(), "409 conflict");
    assert_eq!(hub.delete(&format!("{path}/slots/s1"), &admin).await.outcome(), "200");
    let left = hub.delete(&format!("{path}/classes/a"), &admin).await;
    assert_eq!(left.json()["term"]["classes"].as_array().unwrap().len(), 1);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    assert_eq!(hub.get("/api/v1/timetable", &admin).await.json()["term"], Value::Null);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_twice_at_one_time_is_told_and_kept() {
    let (hub, admin, term) = with_term().await;
    let lesson = |class: &str, subject: &str, tutor: &str, room: &str, weeks: Value| {
        json!({"weekday": 2, "period": 1, "weeks": weeks, "class_id": class, "subject": subject,
            "tutor": tutor, "room": room})
    };
    let conflicts = |answer: &Answer| -> Vec<String> {
        let all = answer.json()["conflicts"].as_array().unwrap().clone();
        all.iter().map(|c| format!("{} {} {}", c["kind"], c["name"], c["date"])).collect()
    };
    let s1 = lesson("a", "math", "王老师", "101", json!([]));
    assert_eq!(conflicts(&put(&hub, &admin, &term, "slots", "s1", s1).await), [""; 0]);
    // Another room and nobody in both; then the same person; then the same room; then the class.
    let s2 = lesson("b", "art", "李老师", "102", json!([]));
    assert_eq!(conflicts(&put(&hub, &admin, &term, "slots", "s2", s2).await), [""; 0]);
    let s2 = lesson("b", "art", "王老师", "102", json!([]));
    let told = put(&hub, &admin, &term, "slots", "s2", s2).await;
    assert_eq!(conflicts(&told), ["\"teacher\" \"王老师\" null"]);
    let s2 = lesson("b", "art", "李老师", "101", json!([2]));
    let told = put(&hub, &admin, &term, "slots", "s2", s2).await;
    assert_eq!(conflicts(&told), ["\"room\" \"101\" null"]);
    assert_eq!(told.json()["conflicts"][0]["weeks"], json!([2]));
    let s2 = lesson("a", "art", "李老师", "102", json!([]));
    let told = put(&hub, &admin, &term, "slots", "s2", s2).await;
    assert_eq!(conflicts(&told), ["\"class\" \"五年级\" null"]);
    // Apart again, but not on the day on which one of them moves.
    let mut s2 = lesson("b", "art", "王老师", "102", json!([]));
    s2["period"] = json!(2);
    assert_eq!(conflicts(&put(&hub, &admin, &term, "slots", "s2", s2).await), [""; 0]);
    let moved = json!({"date": "2026-09-08", "kind": "swap", "slot_id": "s2", "to_period": 1});
    let told = put(&hub, &admin, &term, "exceptions", "e", moved).await;
    assert_eq!(conflicts(&told), ["\"teacher\" \"王老师\" \"2026-09-08\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_that_contradict_one_another_or_the_day_are_refused() {
    let (hub, admin, term) = with_term().await;
    put(&hub, &admin, &term, "slots", "s1", slot(4, 1, "a", "math")).await;
    put(&hub, &admin, &term, "slots", "s2", slot(4, 2, "a", "art")).await;
    let put = |id: &'static str, body: Value| put(&hub, &admin, &term, "exceptions", id, body);
    let holiday = json!({"date": "2026-10-01", "kind": "holiday", "until": "2026-10-07"});
    assert_eq!(put("h", holiday).await.outcome(), "200");
    let makeup = |date: &str, of: &str| json!({"date": date, "kind": "makeup", "follows_date": of, "note": "补10月1日的课"});
    assert_eq!(put("m", makeup("2026-10-10", "2026-10-01")).await.outcome(), "200");
    let saturday = day(&hub, "2026-10-10").await;
    assert_eq!((&saturday["kind"], &saturday["note"]), (&json!("makeup"), &json!("补10月1日的课")));
    assert_eq!(saturday["entries"].as_array().unwrap().len(), 2);
    assert_eq!(day(&hub, "2026-10-01").await["kind"], "holiday");

    for (id, body, expected) in [
        ("x", makeup("2026-10-11", "2026-10-10"), "follows_date"),
        ("x", makeup("2026-10-01", "2026-09-03"), "date"),
        ("x", makeup("2026-10-10", "2026-09-03"), "date"),
        ("x", makeup("2026-10-11", "2026-10-11"), "follows_date"),
        ("x", makeup("2026-10-11", "2026-08-31"), "follows_date"),
        ("m", makeup("2026-10-10", "2026-10-10"), "follows_date"),
        ("x", json!({"date": "2026-10-11", "kind": "makeup"}), "follows_date"),
        ("x", json!({"date": "2026-10-11", "kind": "makeup", "weekday": 8}), "weekday"),
        ("x", json!({"date": "2026-10-11", "kind": "makeup", "weekday": 1, "week": 3}), "week"),
        ("x", json!({"date": "2026-10-07", "kind": "exam"}), "date"),
        ("x", json!({"date": "2026-10-10", "kind": "holiday"}), "date"),
        ("x", json!({"date": "2026-12-10", "kind": "holiday", "until": "2026-12-09"}), "until"),
        ("x", json!({"date": "2026-12-10", "kind": "exam", "class_ids": ["zz"]}), "class_ids"),
        ("x", json!({"date": "2027-02-10", "kind": "exam"}), "date"),
        ("x", json!({"date": "2026-09-04", "kind": "cancel", "slot_id": "s1"}), "slot_id"),
        ("x", json!({"date": "2026-10-01", "kind": "cancel", "slot_id": "s1"}), "slot_id"),
        ("x", json!({"date": "2026-09-03", "kind": "swap", "slot_id": "s1"}), "with_slot_id"),
        (
            "x",
            json!({"date": "2026-09-03", "kind": "swap", "slot_id": "s1", "with_slot_id": "s1"}),
            "with_slot_id",
        ),
        (
            "x",
            json!({"date": "2026-09-03", "kind": "swap", "slot_id": "s1", "to_period": 9}),
            "to_period",
        ),
        ("x", json!({"date": "2026-09-03", "kind": "dance"}), "body"),
    ] {
        assert_eq!(field(&put(id, body.clone()).await), expected, "{body}");
    }
    // The day that a make-up follows cannot itself become one.
    assert_eq!(put("m2", makeup("2026-10-11", "2026-10-08")).await.outcome(), "200");
    assert_eq!(field(&put("x", makeup("2026-10-08", "2026-09-03")).await), "date");
    // One lesson is cancelled or replaced once a day.
    let cancel = json!({"date": "2026-09-03", "kind": "cancel", "slot_id": "s1"});
    assert_eq!(put("c", cancel.clone()).await.outcome(), "200");
    assert_eq!(field(&put("c2", cancel).await), "slot_id");
    assert_eq!(day(&hub, "2026-09-03").await["entries"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/timetable/terms/{term}/exceptions/c");
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "200");
    assert_eq!(day(&hub, "2026-09-03").await["entries"].as_array().unwrap().len(), 2);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_term_begins_with_the_lessons_of_the_one_before() {
    let (hub, admin, term) = with_term().await;
    put(&hub, &admin, &term, "slots", "s1", slot(1, 1, "a", "math")).await;
    let holiday = json!({"date": "2026-10-01", "kind": "holiday"});
    put(&hub, &admin, &term, "exceptions", "h", holiday).await;
    let next = json!({"name": "2027年春季", "first_day": "2027-03-01", "last_day": "2027-07-09",
        "copy_from": term});
    let made = hub.post("/api/v1/timetable/terms", &admin, next).await.json();
    assert_eq!(made["term"]["slots"].as_array().unwrap().len(), 1);
    assert_eq!(made["term"]["exceptions"], json!([]));
    assert_eq!(
        (&made["term"]["cycle_weeks"], made["term"]["id"] != json!(term)),
        (&json!(2), true)
    );
    assert_eq!(day(&hub, "2027-03-01").await["entries"][0]["subject"], "math");
    let all = hub.get("/api/v1/timetable", &admin).await.json();
    assert_eq!(all["terms"].as_array().unwrap().len(), 2);
    let path = format!("/api/v1/timetable?term={}", made["term"]["id"].as_str().unwrap());
    assert_eq!(hub.get(&path, &admin).await.json()["term"]["name"], "2027年春季");
    let nowhere = hub.get("/api/v1/timetable?term=x", &admin).await;
    assert_eq!(nowhere.outcome(), "404 not_found");
}
