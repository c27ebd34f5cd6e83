//! The night on a real hub: real router, real database, real files.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use serde_json::{Value, json};
use yingxue_codec::track::{SegmentInfo, TrackInfo, TrackKind};
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::id::{BlobId, DocId};

use jiff::ToSpan as _;

use super::*;
use crate::app::trial::TrialHub;
use crate::catalog::{self, NewLesson, NewTrack, collection};
use crate::store::blobs;

mod budgets;
mod evening;
mod false_green;
mod fresh;
mod reading_again;
mod room;

const PIECE: usize = 4_096;

/// A hub whose school has a lesson with sound and slides, and a timetable that needs it.
pub(super) struct School {
    pub hub: TrialHub,
    pub admin: String,
    pub audio: BlobId,
    pub slides: BlobId,
    pub lesson: DocId,
    pub date: String,
}

impl School {
    pub(super) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more lessons each day, in the periods after that of its own.
    pub(super) async fn with(more: &[DocId]) -> Self {
        let (hub, admin) = TrialHub::start_set_up().await;
        let founded = hub.post("/api/v1/alliance", &admin, json!({"name": "萤雪"})).await;
        assert_eq!(founded.outcome(), "201");
        let (audio, audio_bytes) = add_blob(&hub, TrackKind::Audio, 3).await;
        let (slides, slides_bytes) = add_blob(&hub, TrackKind::Slides, 2).await;
        let lesson = DocId([7; 16]);
        let tracks = [("audio", audio, audio_bytes), ("slides", slides, slides_bytes)];
        publish(&hub, lesson, "分数的意义", &tracks).await;
        let date = add_timetable(&hub, &admin, &[&[lesson], more].concat()).await;
        let school = Self { hub, admin, audio, slides, lesson, date };
        school.check_all().await;
        school
    }

    pub(super) async fn night(&self) -> Value {
        let answer = self.hub.get(&format!("/api/v1/night?date={}", self.date), "").await;
        assert_eq!(answer.outcome(), "200", "no login is needed");
        answer.json()
    }

    /// Gives the light of the first entry: state, reason.
    pub(super) async fn light(&self) -> (String, String) {
        let night = self.night().await;
        let light = &night["entries"][0]["readiness"];
        let word = |key: &str| light[key].as_str().unwrap_or("").to_owned();
        (word("state"), word("reason"))
    }

    /// Reads again all that is due, as the night does.
    pub(super) async fn check_all(&self) {
        let app = self.hub.app.clone();
        let read_all = move || while scrub::batch(&app, now_ms(), Instant::now()).unwrap() {};
        tokio::task::spawn_blocking(read_all).await.unwrap();
    }

    /// Makes everything due.
    pub(super) async fn ask_scrub(&self) {
        let begun = self.hub.post("/api/v1/night/scrub", &self.admin, json!({})).await;
        assert_eq!(begun.outcome(), "202");
    }

    fn file(&self, blob: BlobId) -> std::fs::File {
        let path = self.hub.app.sync.files().path(blob);
        OpenOptions::new().write(true).read(true).open(path).unwrap()
    }
}

/// Makes a whole blob of a track, as an import does; gives its length.
async fn add_blob(hub: &TrialHub, kind: TrackKind, pieces: u32) -> (BlobId, u64) {
    add_blob_of(hub, kind, pieces, PIECE).await
}

/// Likewise, of pieces of a size.
async fn add_blob_of(
    hub: &TrialHub,
    kind: TrackKind,
    pieces: u32,
    piece_bytes: usize,
) -> (BlobId, u64) {
    let count = pieces as usize;
    let content: Vec<u8> =
        (0..piece_bytes * count).map(|i| (i * 7 + count) as u8 ^ (i >> 8) as u8).collect();
    let info = track_info(kind, pieces).encode();
    let lengths = vec![piece_bytes as u32; count];
    let manifest = Manifest::of(&lengths, &content, info).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join(format!("made-{blob}"));
    std::fs::write(&path, &content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    let kept = hub.app.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest)).await;
    kept.unwrap();
    hub.app.sync.blob_added(blob).await;
    (blob, content.len() as u64)
}

pub(super) async fn publish(
    hub: &TrialHub,
    lesson: DocId,
    title: &str,
    tracks: &[(&str, BlobId, u64)],
) {
    let new = NewLesson {
        title: title.to_owned(),
        subject: "math".to_owned(),
        grade: "4".to_owned(),
        teacher: "张老师".to_owned(),
        school: "泉州实小".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: 1_000,
    };
    let track = |(kind, blob, bytes): &(&str, BlobId, u64)| NewTrack {
        kind: (*kind).to_owned(),
        blob: *blob,
        bytes: *bytes,
        codecs: String::new(),
        width: None,
        height: None,
    };
    let tracks: Vec<NewTrack> = tracks.iter().map(track).collect();
    let edits = catalog::lesson_edits(&new, 60_000, None, &tracks);
    hub.app.sync.edit_doc(collection(), lesson, "t1".to_owned(), edits).await.unwrap();
}

fn track_info(kind: TrackKind, pieces: u32) -> TrackInfo {
    let segment = SegmentInfo { duration_ticks: 4_000, bytes: PIECE as u32 };
    TrackInfo {
        kind,
        codecs: "opus".to_owned(),
        width: None,
        height: None,
        frame_rate: None,
        language: None,
        timescale: 1_000,
        bandwidth_avg_bits_per_s: 1,
        bandwidth_peak_bits_per_s: 1,
        init_bytes: PIECE as u32,
        segments: vec![segment; pieces as usize - 1],
    }
}

/// Makes a term of these days, with these lessons each day; gives the date of tomorrow.
pub(super) async fn add_timetable(hub: &TrialHub, admin: &str, lessons: &[DocId]) -> String {
    let today = crate::timetable::day::date_at(now_ms(), 480);
    let (first, last) = (today.saturating_sub(3.days()), today.saturating_add(30.days()));
    let periods: Vec<Value> = (1..=lessons.len())
        .map(|no| {
            let minute = 480 + 30 * (no as u64 - 1);
            let at = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
            json!({"no": no, "start": at(minute), "end": at(minute + 25)})
        })
        .collect();
    let term = json!({"name": "秋季", "first_day": first.to_string(),
        "last_day": last.to_string(), "cycle_weeks": 1, "periods": periods});
    let made = hub.post("/api/v1/timetable/terms", admin, term).await;
    assert_eq!(made.outcome(), "201", "{:?}", made.json());
    let term = made.json()["term"]["id"].as_str().unwrap().to_owned();
    let put = async |part: &str, id: &str, body: Value| {
        let path = format!("/api/v1/timetable/terms/{term}/{part}/{id}");
        let answer = hub.json(axum::http::Method::PUT, &path, admin, body).await;
        assert_eq!(answer.outcome(), "200", "{:?}", answer.json());
    };
    put("classes", "a", json!({"name": "四(2)班", "grade": "4", "pupils": 45, "room": "101"}))
        .await;
    for weekday in 1..=7 {
        for (no, lesson) in (1..).zip(lessons) {
            let slot = json!({"weekday": weekday, "period": no, "weeks": [], "class_id": "a",
                "subject": "math", "lead": "张老师", "tutor": "李老师", "room": "",
                "mode": "recorded",
                "source": {"kind": "lesson", "lesson_id": lesson.to_string()}});
            put("slots", &format!("s{weekday}-{no}"), slot).await;
        }
    }
    today.saturating_add(1.days()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_on_the_lan_sees_that_tomorrow_can_be_taught_and_since_when_that_is_known() {
    let school = School::new().await;
    let night = school.night().await;
    let summary = &night["summary"];
    assert_eq!((&summary["total"], &summary["ready"]), (&json!(1), &json!(1)), "{night}");
    assert_eq!((&summary["needs_nothing"], &summary["clock_doubt"]), (&json!(true), &json!(false)));
    let entry = &night["entries"][0];
    assert_eq!(entry["lesson"]["title"], "分数的意义");
    assert_eq!(entry["readiness"]["tier"], "t0");
    assert!(entry["readiness"]["checked_at"].as_i64().unwrap() > 0);
    assert_eq!(night["warnings"], json!([]));
    let number = night["number_for_support"].as_str().unwrap();
    assert!(number.len() == 9 && number.chars().all(|c| c.is_ascii_digit() || c == '-'));
    let wrong = school.hub.get("/api/v1/night?date=tomorrow", "").await;
    assert_eq!(wrong.outcome(), "422 invalid_input");
    let day = school.hub.get(&format!("/api/v1/timetable/day?date={}", school.date), "").await;
    assert_eq!(day.json()["entries"][0]["readiness"]["state"], "ready", "one light everywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_or_cut_turns_the_light_off_at_the_next_look() {
    let school = School::new().await;
    assert_eq!(school.light().await.0, "ready");
    school.file(school.audio).set_len(PIECE as u64 * 3 - 1).unwrap();
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
    let school = School::new().await;
    std::fs::remove_file(school.hub.app.sync.files().path(school.slides)).unwrap();
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
    let scrub = school.hub.get("/api/v1/night/scrub", &school.admin).await.json();
    assert_eq!(scrub["damaged"][0]["pieces"], 2, "{scrub}");
    assert_eq!(scrub["damaged"][0]["title"], "分数的意义");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_and_a_zeroed_page_turn_the_light_off_when_they_are_read_again() {
    for damage in [&[0xff_u8][..], &[0; PIECE]] {
        let school = School::new().await;
        school.file(school.audio).write_all_at(damage, PIECE as u64).unwrap();
        school.ask_scrub().await;
        school.check_all().await;
        assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
        let scrub = school.hub.get("/api/v1/night/scrub", &school.admin).await.json();
        assert_eq!(scrub["damaged"].as_array().unwrap().len(), 1, "{scrub}");
        assert_eq!(scrub["damaged"][0]["pieces"], 1, "the piece alone is lost");
        assert_eq!(scrub["checked_bytes"], scrub["total_bytes"]);
        assert!(scrub["last_finished_at"].as_i64().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_class_trips_on_is_not_shown_as_ready_any_more() {
    let school = School::new().await;
    school.file(school.audio).write_all_at(&[0xff], 2 * PIECE as u64 + 9).unwrap();
    assert_eq!(school.light().await.0, "ready", "nobody can know yet");
    let path = format!("/media/blob/{}", school.audio);
    let whole = school.hub.get(&path, &school.admin).await;
    assert_eq!(whole.outcome(), "404 not_found");
    assert_eq!(school.light().await, ("not_ready".to_owned(), "damaged".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_that_its_school_takes_back_is_not_ready() {
    let school = School::new().await;
    let path = format!("/api/v1/lessons/{}", school.lesson);
    assert_eq!(school.hub.delete(&path, &school.admin).await.status, 204);
    assert_eq!(school.light().await, ("not_ready".to_owned(), "deleted".to_owned()));
    let night = school.night().await;
    assert_eq!(night["warnings"][0]["next_step"], "ask_lead", "{night}");
    assert_eq!(night["summary"]["needs_nothing"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teacher_pauses_and_goes_on_and_a_pupil_does_not() {
    let school = School::new().await;
    let hub = &school.hub;
    let teacher = hub.log_in_new(&school.admin, "teacher", "teacher").await;
    let pupil = hub.log_in_new(&school.admin, "pupil", "pupil").await;
    let until = now_ms() + 3_600_000;
    for (path, body) in
        [("pause", json!({"until": until})), ("sync_now", json!({})), ("scrub", json!({}))]
    {
        let path = format!("/api/v1/night/{path}");
        assert_eq!(hub.post(&path, "", body.clone()).await.outcome(), "401 not_logged_in");
        assert_eq!(hub.post(&path, &pupil, body).await.outcome(), "403 not_allowed");
    }
    let pause = |until: i64| hub.post("/api/v1/night/pause", &teacher, json!({"until": until}));
    for wrong in [now_ms() - 1, now_ms() + 25 * 3_600_000, i64::MAX, i64::MIN] {
        assert_eq!(pause(wrong).await.outcome(), "422 invalid_input", "{wrong}");
    }
    assert_eq!(pause(until).await.status, 204);
    assert_eq!(school.night().await["paused_until"], until);
    assert_eq!(hub.delete("/api/v1/night/pause", &teacher).await.status, 204);
    assert_eq!(school.night().await["paused_until"], Value::Null);
    assert_eq!(pause(until).await.status, 204);
    assert_eq!(hub.post("/api/v1/night/sync_now", &teacher, json!({})).await.status, 204);
    assert_eq!(school.night().await["paused_until"], Value::Null, "now means now");
    let unknown = format!("/api/v1/night/pins/{}", "0".repeat(32));
    let put = axum::http::Method::PUT;
    let pin = hub.json(put.clone(), &unknown, &teacher, json!({"is_urgent": true})).await;
    assert_eq!(pin.outcome(), "404 not_found");
    let known = format!("/api/v1/night/pins/{}", school.lesson);
    let pins = async |who: &str| hub.get("/api/v1/night/pins", who).await;
    for is_urgent in [true, false] {
        let pin = json!({"is_urgent": is_urgent});
        assert_eq!(hub.json(put.clone(), &known, &teacher, pin).await.status, 204);
        let listed = pins(&teacher).await.json()["items"].clone();
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
        assert_eq!(listed[0]["lesson_id"], school.lesson.to_string());
        assert_eq!(
            (&listed[0]["title"], &listed[0]["is_urgent"]),
            (&json!("分数的意义"), &json!(is_urgent))
        );
    }
    assert_eq!(pins("").await.outcome(), "401 not_logged_in");
    assert_eq!(pins(&pupil).await.outcome(), "403 not_allowed");
    assert_eq!(hub.json(put, &known, &pupil, json!({})).await.outcome(), "403 not_allowed");
    assert_eq!(hub.delete(&known, &teacher).await.status, 204);
    assert_eq!(pins(&teacher).await.json(), json!({"items": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slip_is_a_page_without_scripts_in_two_languages() {
    let school = School::new().await;
    let path = format!("/api/v1/night/slip?date={}", school.date);
    let slip = school.hub.get(&path, "").await;
    assert_eq!(slip.outcome(), "200");
    assert!(slip.header("content-type").starts_with("text/html"));
    assert!(slip.header("content-security-policy").contains("default-src 'none'"));
    let text = String::from_utf8(slip.bytes).unwrap();
    for part in ["早间就绪单", "雪山中学", "分数的意义", "四(2)班", "已就绪", "核对于"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("<script"));
    let english = school.hub.get(&format!("{path}&lang=en"), "").await;
    assert!(String::from_utf8(english.bytes).unwrap().contains("Morning slip"));
    let other = school.hub.get(&format!("{path}&lang=fr"), "").await;
    assert_eq!(other.outcome(), "422 invalid_input");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_hub_tells_of_itself_is_on_its_own_map_and_other_documents_are_not() {
    let school = School::new().await;
    let app = &school.hub.app;
    let night = school.night().await;
    let date: jiff::civil::Date = school.date.parse().unwrap();
    let month: String = school.date.chars().take(7).collect();
    let lessons = vec![map::ToldLesson {
        lesson_id: night["entries"][0]["lesson"]["id"].as_str().map(str::to_owned),
        state: crate::catalog::readiness::ReadinessState::Ready,
        tier: Some(crate::catalog::readiness::TierName::T0),
    }];
    let told = map::ToldDay { date, counts: [1, 0, 0], lessons, written_at_ms: 77 };
    let edits = map::edits(&month, std::slice::from_ref(&told), &[]);
    let collection = crate::timetable::collection;
    // Under an id that is not this hub's own it is not believed.
    let author = || "hub".to_owned();
    app.sync.edit_doc(collection(), DocId([9; 16]), author(), edits.clone()).await.unwrap();
    let days = async || app.db.read(|db| map::told_days(db, None)).await.unwrap();
    assert_eq!(days().await, []);
    let own = map::document_of(&app.sync.hub_id(), &month);
    app.sync.edit_doc(collection(), own, author(), edits).await.unwrap();
    assert_eq!(days().await, [(app.sync.hub_id(), told)]);
    let holders = app.db.read(map::holders).await.unwrap();
    assert_eq!(holders[&school.lesson].len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_school_is_on_the_map_as_it_is_now_before_it_has_told_anybody() {
    let school = School::new().await;
    let path = format!("/api/v1/night/map?date={}", school.date);
    assert_eq!(school.hub.get(&path, "").await.outcome(), "401 not_logged_in");
    let show = async || school.hub.get(&path, &school.admin).await.json()["items"][0].clone();
    let shown = show().await;
    assert_eq!((&shown["is_own"], &shown["link"]), (&json!(true), &Value::Null), "{shown}");
    assert_eq!((&shown["ready"], &shown["not_ready"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&shown["date"], &shown["lessons"][0]["title"]),
        (&json!(school.date), &json!("分数的意义"))
    );
    let began = shown["written_at"].as_i64().unwrap();
    std::fs::remove_file(school.hub.app.sync.files().path(school.audio)).unwrap();
    let shown = show().await;
    assert_eq!((&shown["ready"], &shown["not_ready"]), (&json!(0), &json!(1)), "at once");
    assert!(shown["written_at"].as_i64().unwrap() >= began);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timetable_of_lessons_that_nobody_has_says_what_to_do() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let founded = hub.post("/api/v1/alliance", &admin, json!({"name": "萤雪"})).await;
    assert_eq!(founded.outcome(), "201");
    let date = add_timetable(&hub, &admin, &[DocId([1; 16])]).await;
    let night = hub.get(&format!("/api/v1/night?date={date}"), "").await.json();
    assert_eq!(night["entries"][0]["readiness"]["state"], "not_ready", "{night}");
    assert_eq!(night["warnings"][0]["next_step"], "ask_lead");
    let list = hub.get(&format!("/api/v1/night/courier_list?date={date}"), &admin).await;
    assert_eq!(list.json(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_says_that_the_time_is_right_and_nobody_else_does() {
    let school = School::new().await;
    let teacher = school.hub.log_in_new(&school.admin, "teacher", "teacher").await;
    let policy = school.hub.app.sync.news().policy();
    policy.set_clock_doubt(true);
    assert_eq!(school.night().await["summary"]["clock_doubt"], true);
    let (path, begin) = ("/api/v1/night/clock/right", now_ms());
    for (who, outcome) in
        [("", "401 not_logged_in"), (teacher.as_str(), "403 not_allowed"), (&school.admin, "204")]
    {
        assert_eq!(school.night().await["summary"]["clock_doubt"], true);
        assert_eq!(school.hub.post(path, who, json!({})).await.outcome(), outcome);
    }
    assert_eq!(school.night().await["summary"]["clock_doubt"], false);
    assert!(policy.take_clock_said_right() && !policy.take_clock_said_right());
    let kept = school.hub.app.db.read(clock::Kept::load).await.unwrap();
    assert!((begin..=now_ms()).contains(&kept.seen_at_ms), "{kept:?}");
}
