//! The demo's timetables, through the API as a school makes them: the lead offers a plan whose
//! first lessons are the demo lesson, and a class of each school follows it from today on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};
use ureq::SendBody;
use ureq::http::Method;

use super::hubs::Hub;
use crate::app::now_ms;
use crate::cli::client::HubClient;
use crate::config::TimetableConfig;
use crate::timetable::calendar::monday_of;
use crate::timetable::day::date_at;

/// A plan reaches another hub of this computer in less than a second; a busy one takes longer.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_DELAY: Duration = Duration::from_millis(100);
/// Weeks of the demo's term, from the one in which it is first started.
const TERM_WEEKS: i64 = 20;
/// The plan; the first two are the demo lesson, the others are not made yet.
const LESSONS: [&str; 5] = [
    "分数的意义 第一课时",
    "分数的意义 第二课时",
    "分数与除法",
    "真分数和假分数",
    "分数的基本性质",
];
/// A village school's day (m.dcrkj.com): times of its lessons.
const PERIODS: [(&str, &str); 5] = [
    ("08:30", "09:10"),
    ("09:20", "10:00"),
    ("10:30", "11:10"),
    ("11:20", "12:00"),
    ("15:00", "15:40"),
];
/// What else the class has, by period and weekday; the first period is mathematics.
const OTHERS: [[&str; 5]; 4] = [
    ["chinese", "chinese", "english", "chinese", "chinese"],
    ["english", "science", "chinese", "music", "english"],
    ["pe", "politics", "pe", "science", "pe"],
    ["art", "labour", "music", "it", "班会"],
];
/// Classes of the three schools: name, grade, pupils.
const CLASSES: [(&str, &str, u32); 3] =
    [("五年级2班", "5", 42), ("五年级", "5", 12), ("四、五年级", "5", 7)];

/// Gives each school a timetable, if it has none.
pub(super) fn make(plans: &[Hub], hubs: &[HubClient]) -> Result<()> {
    let offer = offer(&hubs[0])?;
    for ((plan, hub), class) in plans.iter().zip(hubs).zip(CLASSES) {
        let known = hub.get("/timetable")?;
        if known["term"].is_null() {
            println!("{}: making a timetable", plan.school);
            wait_for_offer(hub, &offer)?;
            let lead = plans[0].teacher;
            let tutor = if plan.is_lead { "" } else { plan.teacher };
            make_term(hub, &offer, class, lead, tutor)?;
        }
    }
    Ok(())
}

/// Finds or makes the lead's plan of lessons; gives its id.
fn offer(lead: &HubClient) -> Result<String> {
    let known = lead.get("/offers")?;
    if let Some(offer) = known["items"].as_array().and_then(|offers| offers.first()) {
        return text(&offer["id"]);
    }
    let lessons = lead.get("/lessons?limit=1")?;
    let lesson = &lessons["items"][0]["id"];
    let item = |(i, title): (usize, &&str)| {
        let lesson = if i < 2 { lesson } else { &Value::Null };
        json!({ "title": title, "lesson_id": lesson })
    };
    let items: Vec<Value> = LESSONS.iter().enumerate().map(item).collect();
    let made = lead.post(
        "/offers",
        &json!({ "title": "五年级数学 分数", "subject": "math", "grade": "5",
            "textbook": "人教版五年级下册", "items": items }),
    )?;
    text(&made["id"])
}

fn wait_for_offer(hub: &HubClient, offer: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        let known = hub.get("/offers")?;
        let offers = known["items"].as_array().into_iter().flatten();
        if offers.into_iter().any(|known| known["id"] == offer) {
            return Ok(());
        }
        if begin.elapsed() > ARRIVAL_MAX {
            bail!("the lead's plan of lessons does not arrive at {}", hub.url());
        }
        std::thread::sleep(LOOK_DELAY);
    }
}

fn make_term(
    hub: &HubClient,
    offer: &str,
    (class, grade, pupils): (&str, &str, u32),
    lead: &str,
    tutor: &str,
) -> Result<()> {
    let today = date_at(now_ms(), TimetableConfig::default().utc_offset_min);
    let first_day = monday_of(today);
    let numbered = PERIODS.iter().enumerate();
    let periods: Vec<Value> = numbered
        .map(|(i, (start, end))| json!({ "no": i + 1, "start": start, "end": end }))
        .collect();
    let made = hub.post(
        "/timetable/terms",
        &json!({ "name": "本学期", "first_day": first_day, "periods": periods,
            "last_day": first_day + (TERM_WEEKS * 7 - 1).days() }),
    )?;
    let term = text(&made["term"]["id"])?;
    let put = |part: &str, id: &str, entry: Value| put(hub, &term, part, id, &entry);
    put("classes", "c1", json!({ "name": class, "grade": grade, "pupils": pupils }))?;
    for weekday in 1..=5 {
        let mathematics = json!({ "weekday": weekday, "period": 1, "class_id": "c1",
            "subject": "math", "lead": lead, "tutor": tutor });
        put("slots", &format!("s{weekday}-1"), mathematics)?;
        for (row, period) in OTHERS.iter().zip(2..) {
            let own = json!({ "weekday": weekday, "period": period, "class_id": "c1",
                "subject": row[weekday - 1], "lead": if tutor.is_empty() { lead } else { tutor } });
            put("slots", &format!("s{weekday}-{period}"), own)?;
        }
    }
    let follow = json!({ "class_id": "c1", "subject": "math", "offer_id": offer,
        "from": begin_of(today) });
    put("follows", "math", follow)
}

/// Gives the day on which the first lesson is taught: today, or Monday if this is a weekend.
fn begin_of(today: Date) -> Date {
    let monday = monday_of(today);
    if today <= monday + 4.days() { today } else { monday + 7.days() }
}

fn put(hub: &HubClient, term: &str, part: &str, id: &str, entry: &Value) -> Result<()> {
    let path = format!("/timetable/terms/{term}/{part}/{id}");
    let json = [("content-type", "application/json".to_owned())];
    let body = SendBody::from_owned_reader(std::io::Cursor::new(entry.to_string()));
    hub.api(Method::PUT, &path, &json, body).map(drop).with_context(|| format!("write {part}"))
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(ToOwned::to_owned).context("the hub's answer has no id")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_plan_begins_on_a_day_with_lessons() {
        for (today, begin) in [(23, 23), (27, 27), (28, 30), (29, 30)] {
            assert_eq!(begin_of(date(2026, 11, today)), date(2026, 11, begin));
        }
    }
}
