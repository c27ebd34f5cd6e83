//! Reading for somebody who looks: a green light was true when it was shown.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::*;
use crate::catalog::readiness::TierName;
use crate::night::fresh::{self, OPENED_AGE};

const MIB: usize = 1 << 20;
/// Longer than any reading here takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);

impl School {
    /// The slip as somebody sees it who opens it.
    async fn slip(&self) -> String {
        let path = format!("/api/v1/night/slip?date={}", self.date);
        String::from_utf8(self.hub.get(&path, "").await.bytes).unwrap()
    }

    /// A night as somebody sees it who opens it, once the reading has ended.
    async fn opened(&self) -> Value {
        let path = format!("/api/v1/night?check=true&date={}", self.date);
        assert_eq!(self.hub.get(&path, "").await.outcome(), "200");
        assert!(self.hub.app.fresh.wait(None, LONG).await);
        self.night().await
    }

    /// Reads the lesson now, whoever has looked just before.
    async fn read_again(&self) {
        let asked = vec![(self.lesson, TierName::T1)];
        fresh::want(&self.hub.app, asked, OPENED_AGE, Instant::now() + OPENED_AGE);
        assert!(self.hub.app.fresh.wait(None, LONG).await);
    }

    /// Makes days holidays.
    async fn close(&self, first: jiff::civil::Date, last: jiff::civil::Date) {
        let terms = self.hub.get("/api/v1/timetable", &self.admin).await.json();
        let term = terms["terms"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/timetable/terms/{term}/exceptions/holiday");
        let (date, until) = (first.to_string(), last.to_string());
        let body = json!({"kind": "holiday", "date": date, "until": until});
        let put = self.hub.json(axum::http::Method::PUT, &path, &self.admin, body).await;
        assert_eq!(put.outcome(), "200", "{:?}", put.json());
    }

    fn spoil(&self, blob: BlobId) {
        self.file(blob).write_all_at(b"rot", PIECE as u64 + 7).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rots_after_the_last_reading_is_not_green_on_the_slip() {
    let school = School::new().await;
    school.check_all().await;
    school.spoil(school.audio);
    assert_eq!(
        school.light().await.0,
        "ready",
        "who only looks sees what was known, and since when"
    );
    let slip = school.slip().await;
    assert!(slip.contains("✘ 未就绪") && slip.contains("文件损坏"), "{slip}");
    assert!(!slip.contains("✔ 已就绪"));
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_tonight_or_today_has_the_day_read_beside_a_class_too() {
    for path in ["night", "timetable/day"] {
        let school = School::new().await;
        school.spoil(school.slides);
        school.hub.app.playing.note(Instant::now());
        let path = format!("/api/v1/{path}?check=true&date={}", school.date);
        assert_eq!(school.hub.get(&path, "").await.outcome(), "200", "no login is needed");
        assert!(school.hub.app.fresh.wait(None, LONG).await);
        assert_eq!(school.light().await.1, "damaged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_light_falls_to_what_is_left_and_that_is_read_too() {
    let school = School::new().await;
    let (video, bytes) = add_blob(&school.hub, TrackKind::Video360, 4).await;
    let tracks = [
        ("audio", school.audio, 3 * PIECE as u64),
        ("slides", school.slides, 2 * PIECE as u64),
        ("video-360", video, bytes),
    ];
    publish(&school.hub, school.lesson, "分数的意义", &tracks).await;
    let light = |night: &Value| {
        let light = &night["entries"][0]["readiness"];
        (light["state"].clone(), light["tier"].clone())
    };
    assert_eq!(light(&school.opened().await), (json!("ready"), json!("t1")));
    school.spoil(video);
    school.read_again().await;
    assert_eq!(light(&school.night().await), (json!("ready_at"), json!("t0")));
    let (video, _) = add_blob_of(&school.hub, TrackKind::Video480, 3, PIECE).await;
    let finer = [tracks[0], tracks[1], ("video-480", video, 3 * PIECE as u64)];
    publish(&school.hub, school.lesson, "分数的意义", &finer).await;
    school.spoil(video);
    school.spoil(school.audio);
    school.read_again().await;
    assert_eq!(light(&school.night().await), (json!("not_ready"), Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_give_the_bytes_makes_no_green_light() {
    let school = School::new().await;
    let path = school.hub.app.sync.files().path(school.audio);
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    symlink(&path, &path).unwrap();
    let night = school.opened().await;
    let light = &night["entries"][0]["readiness"];
    let told = ["state", "reason"].map(|key| light[key].as_str().unwrap());
    assert_eq!(told, ["not_ready", "damaged"]);
    assert_eq!(night["summary"]["needs_nothing"], false, "somebody has to see to it");
    let alarms = school.hub.get("/api/v1/alarms", &school.admin).await.json();
    assert_eq!(alarms["items"][0]["text_code"], "disk_unreadable", "{alarms}");
    // It may come back: then all that it has is fetched or read again before it counts.
    std::fs::rename(&aside, &path).unwrap();
    school.read_again().await;
    assert_eq!(school.light().await.0, "not_ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_finds_damage_while_the_page_is_made_shows_no_green_light() {
    let school = School::new().await;
    school.spoil(school.audio);
    let (app, date, audio) = (school.hub.app.clone(), school.date.parse().unwrap(), school.audio);
    let asked = (school.lesson, TierName::T1);
    let made = move || {
        app.fresh.begin_by_hand(asked);
        let end = || {
            assert_eq!(scrub::read_on(&app, audio, 0, now_ms()).unwrap(), None);
            app.fresh.end_by_hand(asked);
        };
        let tonight = app.sync.news().policy().tonight();
        let lit = overview::light_beside(&app, date, &tonight, end).unwrap();
        lit[0].readiness.clone().unwrap()
    };
    let light = tokio::task::spawn_blocking(made).await.unwrap();
    assert!(light.is_checking, "{light:?}");
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_on_which_a_lesson_is_being_checked_asks_again_although_the_round_has_ended() {
    let school = School::new().await;
    let asked = (school.lesson, TierName::T1);
    school.hub.app.fresh.begin_by_hand(asked);
    let app = school.hub.app.clone();
    let date = school.date.parse().unwrap();
    let at = overview::Moment::now(&app);
    let view = overview::view(&app, Some(date), &at).await.unwrap();
    app.fresh.end_by_hand(asked);
    let slip = slip::of(&app, &view, "zh").unwrap();
    assert!(slip.contains("正在核对") && slip.contains("http-equiv=\"refresh\""), "{slip}");
    let view = overview::view(&app, Some(date), &at).await.unwrap();
    assert!(!slip::of(&app, &view, "zh").unwrap().contains("http-equiv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_the_next_school_day_before_a_weekend_has_it_read() {
    let school = School::new().await;
    // The timetable has lessons each day; tomorrow and the day after become holidays.
    let tomorrow: jiff::civil::Date = school.date.parse().unwrap();
    school.close(tomorrow, tomorrow.saturating_add(1.days())).await;
    let evening = crate::timetable::day::instant(tomorrow.yesterday().unwrap(), 20 * 60, 480);
    let asked = (school.lesson, TierName::T1);
    for (days, is_read) in [(0, false), (3, false), (2, true)] {
        let (app, date) = (school.hub.app.clone(), tomorrow.saturating_add(days.days()));
        let read = move || fresh::of_day(&app, date, evening, OPENED_AGE).unwrap();
        tokio::task::spawn_blocking(read).await.unwrap();
        assert!(school.hub.app.fresh.wait(None, LONG).await);
        assert_eq!(school.hub.app.fresh.was_read(&asked), is_read, "{days} days after tomorrow");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_is_read_before_it_is_taught() {
    let school = School::new().await;
    let path = format!("/api/v1/lessons/{}/begin", school.lesson);
    assert_eq!(school.hub.post(&path, "", json!({})).await.outcome(), "401 not_logged_in");
    school.spoil(school.audio);
    let begun = school.hub.post(&path, &school.admin, json!({})).await;
    assert_eq!(begun.json(), json!({"is_checked": true}));
    let path = format!("/api/v1/lessons/{}", school.lesson);
    let shown = school.hub.get(&path, &school.admin).await.json();
    assert_eq!(shown["readiness"]["state"], "not_ready", "{shown}");
    let path = format!("/api/v1/lessons/{}/begin", "0".repeat(32));
    let none = school.hub.post(&path, &school.admin, json!({})).await;
    assert_eq!(none.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_again_at_once_is_shown_the_same_reading_and_later_a_new_one() {
    let school = School::new().await;
    assert!(school.slip().await.contains("✔ 已就绪"));
    let read_at = || async {
        let night = school.night().await;
        night["entries"][0]["readiness"]["checked_at"].as_i64().unwrap()
    };
    let first = read_at().await;
    school.slip().await;
    assert_eq!(read_at().await, first);
    school.read_again().await;
    assert!(read_at().await > first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_a_class_interrupts_is_as_old_as_its_beginning() {
    let school = School::new().await;
    let (large, _) = add_blob_of(&school.hub, TrackKind::Source, 10, MIB).await;
    let app = school.hub.app.clone();
    let read_in_parts = move || {
        let checked = || {
            const CHECKED: &str = "select checked_at_ms from blob_checks where blob = ?1";
            let row = |db: &rusqlite::Connection| {
                db.query_row(CHECKED, [large.as_bytes()], |row| row.get::<_, i64>(0))
            };
            app.db.read_blocking(row).unwrap()
        };
        let read = |from, now| scrub::read_on(&app, large, from, now).unwrap();
        let begin = now_ms() + 1_000;
        assert_eq!(read(0, begin), Some(8));
        assert_eq!(read(8, begin + 3_600_000), None);
        assert_eq!(checked(), begin);
        assert_eq!(read(0, begin + 7_200_000), Some(8));
        assert_eq!(checked(), begin, "half a reading says nothing");
    };
    tokio::task::spawn_blocking(read_in_parts).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_is_read_before_its_bell_and_not_while_it_is_taught() {
    let school = School::new().await;
    let date: jiff::civil::Date = school.date.parse().unwrap();
    let bell = crate::timetable::day::instant(date, 8 * 60, 480);
    for (minutes, is_read) in [(-11, false), (5, false), (30, false), (-9, true)] {
        let app = school.hub.app.clone();
        let at = bell + minutes * 60_000;
        let read = move || fresh::before_the_bell(&app, at).unwrap();
        tokio::task::spawn_blocking(read).await.unwrap();
        // What is wanted is read, or waits, from then on.
        assert!(school.hub.app.fresh.wait(None, LONG).await);
        let asked = (school.lesson, TierName::T1);
        assert_eq!(school.hub.app.fresh.was_read(&asked), is_read, "{minutes} minutes");
    }
}

/// What the slip costs: `cargo test --release -p yingxue-hub --lib -- --ignored --nocapture
/// reading_of_a_day`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn the_reading_of_a_day_of_six_lessons_of_60_mb() {
    let more: Vec<DocId> = (1..=5).map(|n| DocId([0x20 + n; 16])).collect();
    let school = School::with(&more).await;
    for (n, lesson) in (1..).zip([school.lesson].iter().chain(&more)) {
        let (audio, bytes) = add_blob_of(&school.hub, TrackKind::Audio, 6 + n, MIB).await;
        let (video, more) = add_blob_of(&school.hub, TrackKind::Video360, 52 + n, MIB).await;
        let tracks = [("audio", audio, bytes), ("video-360", video, more)];
        publish(&school.hub, *lesson, "一节课", &tracks).await;
    }
    for round in 1..=3 {
        let begun = Instant::now();
        let asked = school.opened().await;
        println!("round {round}: {:?}, {}", begun.elapsed(), asked["summary"]);
        let all = [school.lesson].iter().chain(&more).map(|id| (*id, TierName::T1)).collect();
        let begun = Instant::now();
        fresh::want(&school.hub.app, all, Duration::ZERO, Instant::now());
        assert!(school.hub.app.fresh.wait(None, LONG).await);
        println!("again: {:?}", begun.elapsed());
    }
}
