use serde_json::{Value, json};

use crate::app::trial::{Answer, TrialHub};
use crate::timetable::terms::tests::{day, put, with_term};

fn titles(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    let shown = |item: &Value| {
        let mark = if item["is_withdrawn"] == true { " withdrawn" } else { "" };
        format!("{}{mark}", item["title"].as_str().unwrap())
    };
    items.iter().map(shown).collect()
}

fn field(answer: &Answer) -> String {
    assert_eq!(answer.outcome(), "422 invalid_input", "{:?}", answer.json());
    answer.json()["params"]["field"].as_str().unwrap().to_owned()
}

async fn made(hub: &TrialHub, who: &str) -> Value {
    let body = json!({"title": "五年级数学", "subject": "math", "grade": "5", "items": [
        {"key": "k1", "title": "第一课", "lesson_id": "05050505050505050505050505050505"},
        {"key": "k2", "title": "第二课"}, {"key": "k3", "title": "第三课"}]});
    let made = hub.post("/api/v1/offers", who, body).await;
    assert_eq!(made.outcome(), "201");
    made.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn teachers_offer_plans_everybody_sees_them_and_pupils_do_not_make_them() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "城区实验小学".to_owned()).await.unwrap();
    let teacher = hub.log_in_new(&admin, "teacher", "teacher").await;
    let pupil = hub.log_in_new(&admin, "pupil", "pupil").await;
    let offer = made(&hub, &teacher).await;
    assert_eq!((&offer["school"], &offer["is_own_school"]), (&json!("雪山中学"), &json!(true)));
    let listed = hub.get("/api/v1/offers", &pupil).await.json();
    assert_eq!(listed["items"], json!([offer]));
    let refused =
        hub.post("/api/v1/offers", &pupil, json!({"title": "a", "subject": "math"})).await;
    assert_eq!(refused.outcome(), "403 not_allowed");
    assert_eq!(hub.get("/api/v1/offers", "").await.outcome(), "401 not_logged_in");

    let path = format!("/api/v1/offers/{}", offer["id"].as_str().unwrap());
    for (wrong, expected) in [
        (json!({"title": " "}), "title"),
        (json!({"subject": "magic"}), "subject"),
        (json!({"grade": "13"}), "grade"),
        (json!({"items": [{"title": ""}]}), "items.0.title"),
        (json!({"items": [{"title": "a", "lesson_id": "x"}]}), "items.0.lesson_id"),
        (json!({"items": [{"title": "a", "key": "K"}]}), "items.0.key"),
        (json!({"items": [{"title": "a", "key": "k"}, {"title": "b", "key": "k"}]}), "items.1.key"),
        (json!({"items": [{"title": "a", "date": "1999-01-01"}]}), "items.0.date"),
        (json!({"items": vec![json!({"title": "a"}); 301]}), "items"),
        (json!({"lessons": []}), "body"),
    ] {
        assert_eq!(field(&hub.patch(&path, &teacher, wrong.clone()).await), expected, "{wrong}");
    }
    // One that is left out keeps its place; one that comes back is as before.
    let without = json!({"items": [{"key": "k3", "title": "第三课"}, {"title": "第四课"},
        {"key": "k1", "title": "第一课"}]});
    let changed = hub.patch(&path, &teacher, without).await.json();
    assert_eq!(titles(&changed), ["第三课", "第四课", "第一课", "第二课 withdrawn"]);
    let back = json!({"items": [{"key": "k1", "title": "第一课"}, {"key": "k2", "title": "二"}]});
    let changed = hub.patch(&path, &teacher, back).await.json();
    assert_eq!(titles(&changed), ["第三课 withdrawn", "第四课 withdrawn", "第一课", "二"]);
    assert_eq!(hub.delete(&path, &teacher).await.outcome(), "204");
    let listed = hub.get("/api/v1/offers", &teacher).await.json();
    assert_eq!(listed["items"][0]["is_withdrawn"], true);
    let again = hub.patch(&path, &teacher, json!({"is_withdrawn": false})).await;
    assert_eq!(again.json()["is_withdrawn"], false);
    assert_eq!(hub.delete("/api/v1/offers/x", &teacher).await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_follows_a_plan_that_its_school_chooses_and_is_told_when_it_is_withdrawn() {
    let (hub, admin, term) = with_term().await;
    let slot =
        |weekday: u8| json!({"weekday": weekday, "period": 1, "class_id": "a", "subject": "math"});
    put(&hub, &admin, &term, "slots", "mon", slot(1)).await;
    put(&hub, &admin, &term, "slots", "wed", slot(3)).await;
    let offer = made(&hub, &admin).await;
    let id = offer["id"].as_str().unwrap();
    let follow = |offer: &str, subject: &str| {
        let from = "2026-09-07";
        json!({"class_id": "a", "subject": subject, "offer_id": offer, "from": from})
    };
    let nothing = put(&hub, &admin, &term, "follows", "f", follow(&"0".repeat(32), "math")).await;
    assert_eq!(field(&nothing), "offer_id");
    let mut own = follow(id, "math");
    own["mode"] = json!("local");
    assert_eq!(field(&put(&hub, &admin, &term, "follows", "f", own).await), "mode");
    let chosen = put(&hub, &admin, &term, "follows", "f", follow(id, "math")).await;
    assert_eq!(chosen.outcome(), "200");
    let twice = put(&hub, &admin, &term, "follows", "g", follow(id, "math")).await;
    assert_eq!(field(&twice), "from");

    let monday = day(&hub, "2026-09-07").await;
    let entry = &monday["entries"][0];
    assert_eq!(entry["mode"], "recorded");
    assert_eq!(
        entry["planned"],
        json!({"offer_id": id, "offer_title": "五年级数学", "key": "k1", "title": "第一课",
            "no": 1, "total": 3, "school": "雪山中学"})
    );
    // The lesson is not in the library yet; its place in the plan has a title.
    assert_eq!((&entry["lesson"]["title"], &entry["notice"]), (&json!("第一课"), &Value::Null));
    assert_eq!(entry["readiness"]["reason"], "not_arrived");
    let wednesday = day(&hub, "2026-09-09").await;
    let entry = &wednesday["entries"][0];
    assert_eq!((&entry["planned"]["title"], &entry["lesson"]), (&json!("第二课"), &Value::Null));
    assert_eq!(entry["readiness"]["next_step"], "ask_lead");

    assert_eq!(hub.delete(&format!("/api/v1/offers/{id}"), &admin).await.outcome(), "204");
    let entry = &day(&hub, "2026-09-07").await["entries"][0];
    assert_eq!(
        (&entry["planned"]["title"], &entry["notice"]),
        (&json!("第一课"), &json!("offer_withdrawn"))
    );
    // Who follows it may change the day from which it does, and nobody else begins with it.
    let mut later = follow(id, "math");
    later["from"] = json!("2026-09-09");
    assert_eq!(put(&hub, &admin, &term, "follows", "f", later).await.outcome(), "200");
    assert_eq!(day(&hub, "2026-09-09").await["entries"][0]["planned"]["title"], "第一课");
    let path = format!("/api/v1/timetable/terms/{term}/follows/f");
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "200");
    assert_eq!(day(&hub, "2026-09-09").await["entries"][0]["planned"], Value::Null);
    let late = put(&hub, &admin, &term, "follows", "f", follow(id, "math")).await;
    assert_eq!(field(&late), "offer_id");
}
