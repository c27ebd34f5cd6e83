//! A disk that is full of lessons that nobody has asked for: what tomorrow needs arrives all the
//! same.

use super::evening::until;
use super::*;
use crate::config::{ByDay, Config, StorageConfig};

const KIB: u64 = 1 << 10;
const TOMORROWS: DocId = DocId([9; 16]);

/// A lead school, and in its alliance a village whose disk has room for so many bytes of lessons,
/// with its keeper.
async fn lead_and_village(lessons_bytes_max: u64) -> (TrialHub, TrialHub, String) {
    let (lead, admin) = TrialHub::start_set_up().await;
    let founded = lead.post("/api/v1/alliance", &admin, json!({"name": "萤雪"})).await;
    assert_eq!(founded.outcome(), "201");
    let mut config = Config::default();
    config.night.by_day = ByDay::Always;
    config.storage = StorageConfig {
        lessons_bytes_max,
        reserve_bytes: 32 * KIB,
        freed_bytes: 32 * KIB,
        originals_free_bytes_min: 0,
    };
    let village = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    let keeper = village.set_up().await;
    let made = lead.post("/api/v1/alliance/invitations", &admin, json!({"valid_hours": 1})).await;
    let line = json!({"invitation": made.json()["text"]});
    let joined = village.post("/api/v1/alliance/join", &keeper, line).await;
    assert_eq!(joined.outcome(), "200");
    (lead, village, keeper)
}

/// A lesson of sound and slides, of so many pieces each.
async fn add_lesson(lead: &TrialHub, lesson: DocId, pieces: [u32; 2]) -> [BlobId; 2] {
    let (audio, audio_bytes) = add_blob(lead, TrackKind::Audio, pieces[0]).await;
    let (slides, slides_bytes) = add_blob(lead, TrackKind::Slides, pieces[1]).await;
    let tracks = [("audio", audio, audio_bytes), ("slides", slides, slides_bytes)];
    publish(lead, lesson, "分数的意义", &tracks).await;
    [audio, slides]
}

async fn state_of(hub: &TrialHub, who: &str, lesson: DocId) -> String {
    let shown = hub.get(&format!("/api/v1/lessons/{lesson}"), who).await.json();
    shown["readiness"]["state"].as_str().unwrap().to_owned()
}

/// Counts the tracks of a lesson that are wanted by themselves.
async fn wanted_of(hub: &TrialHub, lesson: DocId) -> i64 {
    let sql = "select count(*) from lesson_tracks where lesson = ?1 and is_wanted = 1";
    let count = hub.app.db.read(move |db| db.query_row(sql, [lesson.as_bytes()], |row| row.get(0)));
    let count: rusqlite::Result<i64> = count.await;
    count.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_full_of_lessons_that_nobody_asked_for_makes_room_for_what_tomorrow_needs() {
    let (lead, village, keeper) = lead_and_village(400 * KIB).await;
    let room = async || village.get("/api/v1/room", &keeper).await.json();
    assert_eq!(room().await["state"], "enough");
    assert_eq!((&room().await["uses"], &room().await["evicted"]), (&json!([]), &json!([])));

    // 104, 112 and 120 KiB fill it, but for 64; the fourth would touch the reserve.
    let mut old = Vec::new();
    for n in 1..=3u8 {
        old.push(add_lesson(&lead, DocId([n; 16]), [24 + u32::from(n), u32::from(n)]).await);
        until(&village, "an old lesson is here", move |db| {
            let whole = "select count(*) = ?1 from blobs where is_complete = 1";
            db.query_row(whole, [2 * i64::from(n)], |row| row.get(0))
        })
        .await;
    }
    add_lesson(&lead, DocId([4; 16]), [40, 10]).await;
    until(&village, "the fourth is known", |db| {
        db.query_row("select count(*) = 4 from lessons", [], |row| row.get(0))
    })
    .await;
    assert_eq!(state_of(&village, &keeper, DocId([1; 16])).await, "ready");

    // 104 KiB, for which there is no room: with the reserve as many are to be freed.
    add_lesson(&lead, TOMORROWS, [21, 5]).await;
    let date = add_timetable(&village, &keeper, &[TOMORROWS]).await;
    until(&village, "tomorrow's lesson is here", |db| {
        let whole = "select count(*) = 2 from blobs join lesson_tracks t using (blob) \
             where is_complete = 1 and t.lesson = ?1";
        db.query_row(whole, [TOMORROWS.as_bytes()], |row| row.get(0))
    })
    .await;
    let night = village.get(&format!("/api/v1/night?date={date}"), "").await.json();
    let light = &night["entries"][0]["readiness"];
    assert_eq!((&light["state"], &light["tier"]), (&json!("ready"), &json!("t0")), "{night}");
    assert_eq!(night["warnings"], json!([]));

    // The oldest went, and nothing says that it is here.
    let [first, ..] = &old[..] else { panic!("three lessons") };
    assert_eq!(state_of(&village, &keeper, DocId([1; 16])).await, "not_ready");
    assert!(first.iter().all(|blob| !village.app.sync.files().exists(*blob)));
    let media = village.get(&format!("/media/blob/{}", first[0]), &keeper).await;
    assert_eq!(media.outcome(), "404 not_found");
    for kept in [2, 3] {
        assert_eq!(state_of(&village, &keeper, DocId([kept; 16])).await, "ready");
    }
    let shown = room().await;
    assert_eq!(shown["evicted"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["evicted"][0]["lesson_id"], DocId([1; 16]).to_string());
    assert_eq!(shown["evicted"][0]["bytes"], 26 * PIECE as u64);
    let uses: Vec<_> = shown["uses"].as_array().unwrap().iter().map(|it| &it["use"]).collect();
    assert_eq!(uses, [&json!("timetabled"), &json!("rest")]);
    // It is not fetched again by itself, but when somebody asks for it.
    assert_eq!(wanted_of(&village, DocId([1; 16])).await, 0);
    assert_eq!(village.get("/api/v1/room", "").await.outcome(), "401 not_logged_in");
    let teacher = village.log_in_new(&keeper, "teacher", "teacher").await;
    assert_eq!(village.get("/api/v1/room", &teacher).await.outcome(), "403 not_allowed");
    let pin = format!("/api/v1/night/pins/{}", DocId([1; 16]));
    let put = axum::http::Method::PUT;
    assert_eq!(village.json(put, &pin, &teacher, json!({})).await.status, 204);
    assert_eq!(wanted_of(&village, DocId([1; 16])).await, 2);
    assert_eq!(room().await["evicted"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_with_room_for_nothing_says_so_on_the_lesson_and_tonight() {
    // Less than the reserve.
    let (lead, village, keeper) = lead_and_village(24 * KIB).await;
    let night = async || village.get("/api/v1/night", "").await.json()["summary"].clone();
    let listed = async || village.get("/api/v1/lessons", &keeper).await.json()["items"].clone();
    assert_eq!(listed().await, json!([]));
    add_lesson(&lead, DocId([1; 16]), [1, 1]).await;
    let policy = || village.app.sync.news().policy();
    until(&village, "it has no room", |_| Ok(policy().tonight().stalled.len() == 2)).await;
    until(&village, "nothing may be let go", |_| Ok(policy().is_full())).await;
    let light = json!({"state": "not_ready", "tier": null, "reason": "disk_full"});
    assert_eq!(listed().await[0]["readiness"], light);
    let shown = village.get(&format!("/api/v1/lessons/{}", DocId([1; 16])), &keeper).await;
    assert_eq!(shown.json()["readiness"], light);
    let summary = night().await;
    assert_eq!((&summary["total"], &summary["needs_nothing"]), (&json!(0), &json!(false)));
    assert_eq!(summary["is_disk_full"], true, "{summary}");
}
