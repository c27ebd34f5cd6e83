use jiff::ToSpan as _;
use serde_json::{Value, json};

use crate::app::trial::TrialHub;
use crate::timetable::terms::tests::{day, put};

/// A school whose class has maths on each first period and art on each second, each by a teacher.
struct Office {
    hub: TrialHub,
    admin: String,
    math: String,
    term: String,
    today: jiff::civil::Date,
}

impl Office {
    async fn new() -> Self {
        let (hub, admin) = TrialHub::start_set_up().await;
        hub.app.sync.found("萤雪".to_owned(), "石门村小学".to_owned()).await.unwrap();
        let today = crate::timetable::today(&hub.app);
        let day = |n: i64| today.saturating_add(n.days()).to_string();
        let term = json!({"name": "秋季", "first_day": day(-3), "last_day": day(30),
            "periods": [{"no": 1, "start": "08:30", "end": "09:10"},
                {"no": 2, "start": "09:20", "end": "10:00"},
                {"no": 3, "start": "10:30", "end": "11:10"}]});
        let made = hub.post("/api/v1/timetable/terms", &admin, term).await;
        let term = made.json()["term"]["id"].as_str().unwrap().to_owned();
        for class in ["a", "b"] {
            let named = json!({"name": class, "grade": "5", "pupils": 12, "room": ""});
            put(&hub, &admin, &term, "classes", class, named).await;
        }
        let slot = async |id: String, body: Value| {
            let answer = put(&hub, &admin, &term, "slots", &id, body).await;
            assert_eq!(answer.outcome(), "200", "{:?}", answer.json());
        };
        for weekday in 1..=7 {
            slot(format!("m{weekday}"), lesson(weekday, 1, "a", "math", "王小明老师")).await;
            slot(format!("a{weekday}"), lesson(weekday, 2, "a", "art", "李红")).await;
            slot(format!("b{weekday}"), lesson(weekday, 2, "b", "art", "李红")).await;
        }
        let user = json!({"login": "wang", "name": "王 小明", "role": "teacher",
            "password": crate::app::trial::PASSWORD});
        assert_eq!(hub.post("/api/v1/users", &admin, user).await.outcome(), "201");
        let math = hub.log_in("wang").await;
        Self { hub, admin, math, term, today }
    }

    fn date(&self, days: i64) -> jiff::civil::Date {
        self.today.saturating_add(days.days())
    }

    /// The id of a lesson of a subject on a day.
    fn of(&self, subject: char, days: i64) -> String {
        format!("{subject}{}", self.date(days).weekday().to_monday_one_offset())
    }

    async fn put(&self, who: &str, part: &str, id: &str, body: Value) -> String {
        put(&self.hub, who, &self.term, part, id, body).await.outcome()
    }

    async fn remove(&self, who: &str, id: &str) -> String {
        let path = format!("/api/v1/timetable/terms/{}/exceptions/{id}", self.term);
        self.hub.delete(&path, who).await.outcome()
    }

    /// What class a has on a day: period and subject.
    async fn taught(&self, days: i64) -> Vec<String> {
        let day = day(&self.hub, &self.date(days).to_string()).await;
        let entries = day["entries"].as_array().unwrap().clone();
        let of_a = entries.into_iter().filter(|entry| entry["class"]["id"] == "a");
        of_a.map(|e| format!("{} {}", e["period"]["no"], e["subject"].as_str().unwrap())).collect()
    }

    async fn may_change(&self, who: &str) -> Value {
        self.hub.get("/api/v1/timetable", who).await.json()["may_change"].clone()
    }
}

fn lesson(weekday: i8, period: u8, class: &str, subject: &str, lead: &str) -> Value {
    json!({"weekday": weekday, "period": period, "class_id": class, "subject": subject,
        "lead": lead})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teacher_sets_how_and_with_what_the_own_lessons_are_taught_and_nothing_else() {
    let office = Office::new().await;
    let weekday = office.today.weekday().to_monday_one_offset();
    let own = office.of('m', 0);
    let mut body = lesson(weekday, 1, "a", "math", "王小明老师");
    body["mode"] = json!("recorded");
    body["source"] = json!({"kind": "lesson", "lesson_id": "0".repeat(32)});
    assert_eq!(office.put(&office.math, "slots", &own, body.clone()).await, "200");
    let today = day(&office.hub, &office.today.to_string()).await;
    assert_eq!(today["entries"][0]["mode"], "recorded");
    for (field, value) in [
        ("period", json!(3)),
        ("class_id", json!("b")),
        ("subject", json!("pe")),
        ("lead", json!("王小明")),
        ("tutor", json!("王小明")),
        ("weeks", json!([1])),
        ("room", json!("201")),
    ] {
        let mut other = body.clone();
        other[field] = value;
        let refused = office.put(&office.math, "slots", &own, other).await;
        assert_eq!(refused, "422 invalid_input", "{field}");
    }
    // Neither another teacher's lesson, nor a new one that names oneself.
    let arts = lesson(weekday, 2, "a", "art", "李红");
    let theirs = office.put(&office.math, "slots", &office.of('a', 0), arts).await;
    assert_eq!(theirs, "403 not_allowed");
    assert_eq!(office.put(&office.math, "slots", "new", body.clone()).await, "403 not_allowed");
    let pupil = office.hub.log_in_new(&office.admin, "pupil", "pupil").await;
    assert_eq!(office.put(&pupil, "slots", &own, body.clone()).await, "403 not_allowed");
    assert_eq!(office.put("", "slots", &own, body).await, "401 not_logged_in");
    let path = format!("/api/v1/timetable/terms/{}/slots/{own}", office.term);
    assert_eq!(office.hub.delete(&path, &office.math).await.outcome(), "403 not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_day_can_be_cancelled_replaced_and_swapped_and_only_taken_back_by_who_wrote_it() {
    let office = Office::new().await;
    let (math, own) = (&office.math, office.of('m', 1));
    let on = |days: i64, change: Value| {
        let mut one = json!({"date": office.date(days).to_string()});
        one.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        one
    };
    let cancel = |id: &str| json!({"kind": "cancel", "slot_id": id});
    assert_eq!(office.put(math, "exceptions", "x", on(1, cancel(&own))).await, "200");
    assert_eq!(office.taught(1).await, ["2 art"]);
    assert_eq!(office.may_change(math).await["exception_ids"], json!(["x"]));
    assert_eq!(office.remove(math, "x").await, "200");
    assert_eq!(office.taught(1).await, ["1 math", "2 art"]);
    // Somebody else takes the lesson; it stays where it is and whose it is.
    let taken = json!({"period": 1, "class_id": "a", "subject": "pe", "lead": "赵强"});
    let replace = |slot: Value| json!({"kind": "replace", "slot_id": own, "slot": slot});
    assert_eq!(office.put(math, "exceptions", "y", on(1, replace(taken.clone()))).await, "200");
    assert_eq!(office.taught(1).await, ["1 pe", "2 art"]);
    for (field, value) in [("period", json!(3)), ("class_id", json!("b"))] {
        let mut moved = taken.clone();
        moved[field] = value;
        let refused = office.put(math, "exceptions", "y", on(1, replace(moved))).await;
        assert_eq!(refused, "403 not_allowed", "{field}");
    }
    assert_eq!(office.remove(math, "y").await, "200");
    // What is not one's own: others' lessons, other classes, whole days, the past, others' changes.
    let day_off = json!({"kind": "holiday"});
    let swap = |with: String| json!({"kind": "swap", "slot_id": own, "with_slot_id": with});
    for (days, change) in [
        (1, cancel(&office.of('a', 1))),
        (1, swap(office.of('b', 1))),
        (1, day_off),
        (1, json!({"kind": "add", "slot": taken})),
    ] {
        let refused = office.put(math, "exceptions", "z", on(days, change.clone())).await;
        assert_eq!(refused, "403 not_allowed", "{change}");
    }
    let past = on(-1, cancel(&office.of('m', -1)));
    assert_eq!(office.put(math, "exceptions", "z", past).await, "422 invalid_input");
    let office_says = on(1, cancel(&own));
    assert_eq!(office.put(&office.admin, "exceptions", "o", office_says).await, "200");
    assert_eq!(office.remove(math, "o").await, "403 not_allowed");
    let over = on(1, json!({"kind": "swap", "slot_id": own, "to_period": 3}));
    assert_eq!(office.put(math, "exceptions", "o", over).await, "403 not_allowed");
    assert_eq!(office.remove(&office.admin, "o").await, "200");
    assert_eq!(office.put(math, "exceptions", "s", on(1, swap(office.of('a', 1)))).await, "200");
    assert_eq!(office.taught(1).await, ["1 art", "2 math"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_over_two_days_is_one_change_and_one_undo() {
    let office = Office::new().await;
    let body = |from: i64, to: i64| {
        json!({"kind": "swap", "date": office.date(from).to_string(),
            "slot_id": office.of('m', from), "with_slot_id": office.of('a', to),
            "with_date": office.date(to).to_string()})
    };
    assert_eq!(office.put(&office.math, "exceptions", "s", body(1, 3)).await, "200");
    assert_eq!(office.taught(1).await, ["1 art", "2 art"]);
    assert_eq!(office.taught(3).await, ["1 math", "2 math"]);
    let moved = day(&office.hub, &office.date(1).to_string()).await["entries"][0].clone();
    assert_eq!((&moved["lead"], &moved["is_exception"]), (&json!("李红"), &json!(true)));
    assert_eq!((office.taught(2).await, office.taught(4).await).0, ["1 math", "2 art"]);
    // Who is twice at one time because of it is told, on both days.
    let shown = office.hub.get("/api/v1/timetable", &office.admin).await.json();
    let dates: Vec<&str> =
        shown["conflicts"].as_array().unwrap().iter().filter_map(|c| c["date"].as_str()).collect();
    assert!(!dates.contains(&office.date(1).to_string().as_str()), "李红 has another period");
    assert_eq!(office.remove(&office.math, "s").await, "200");
    for days in [1, 3] {
        assert_eq!(office.taught(days).await, ["1 math", "2 art"]);
    }
    // What cannot be: a lesson that the other day has not, the same day twice, a day outside.
    let mut wrong = body(1, 3);
    wrong["with_slot_id"] = json!(office.of('a', 2));
    assert_eq!(office.put(&office.admin, "exceptions", "s", wrong).await, "422 invalid_input");
    let mut same = body(1, 3);
    same["with_date"] = same["date"].clone();
    assert_eq!(office.put(&office.admin, "exceptions", "s", same).await, "422 invalid_input");
    let mut far = body(1, 3);
    far["with_date"] = json!("2199-01-01");
    assert_eq!(office.put(&office.admin, "exceptions", "s", far).await, "422 invalid_input");
    let mut alone = body(1, 3);
    alone.as_object_mut().unwrap().remove("with_slot_id");
    assert_eq!(office.put(&office.admin, "exceptions", "s", alone).await, "422 invalid_input");
    // A teacher does not move what is over by naming it second.
    let back = office.put(&office.math, "exceptions", "s", body(1, -1)).await;
    assert_eq!(back, "422 invalid_input");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_accounts_share_is_nobodys() {
    let office = Office::new().await;
    let mine = office.may_change(&office.math).await;
    assert_eq!((&mine["all"], &mine["is_name_shared"]), (&json!(false), &json!(false)));
    assert_eq!(mine["slot_ids"].as_array().unwrap().len(), 7, "{mine}");
    assert_eq!(office.may_change(&office.admin).await["all"], true);
    let twin = json!({"login": "wang2", "name": "王小明", "role": "teacher",
        "password": crate::app::trial::PASSWORD});
    assert_eq!(office.hub.post("/api/v1/users", &office.admin, twin).await.outcome(), "201");
    let twin = office.hub.log_in("wang2").await;
    for who in [&office.math, &twin] {
        let mine = office.may_change(who).await;
        assert_eq!((&mine["slot_ids"], &mine["is_name_shared"]), (&json!([]), &json!(true)));
    }
    let own = office.of('m', 1);
    let cancel = json!({"date": office.date(1).to_string(), "kind": "cancel", "slot_id": own});
    assert_eq!(office.put(&twin, "exceptions", "x", cancel).await, "403 not_allowed");
}
