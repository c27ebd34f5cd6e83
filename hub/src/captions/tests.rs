use axum::body::Body;
use axum::http::Method;
use serde_json::json;
use yingxue_sync_core::id::DocId;

use crate::app::trial::{Answer, TrialHub, request};
use crate::catalog::{self, NewLesson, collection};

const LESSON: DocId = DocId([7; 16]);
const SRT: &str = "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}光合作用\n";

/// A hub with a lesson of ten seconds of its own school.
async fn with_lesson() -> (TrialHub, String) {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let lesson = NewLesson {
        title: "光".to_owned(),
        subject: "math".to_owned(),
        grade: "1".to_owned(),
        teacher: String::new(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "光.mp4".to_owned(),
        created_at_ms: 1,
    };
    let edits = catalog::lesson_edits(&lesson, 10_000, None, &[]);
    hub.app.sync.edit_doc(collection(), LESSON, "p1".to_owned(), edits).await.unwrap();
    (hub, admin)
}

async fn add(hub: &TrialHub, who: &str, query: &str, body: impl Into<Body>) -> Answer {
    let path = format!("/api/v1/lessons/{LESSON}/captions{query}");
    hub.send(request(Method::POST, &path, who), body.into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_are_added_to_a_lesson_up_to_four_and_taken_away_again() {
    let (hub, admin) = with_lesson().await;
    let added = add(&hub, &admin, "?filename=lesson.en.srt", SRT).await;
    assert_eq!(added.outcome(), "201");
    assert_eq!(added.json()["tracks"][0]["kind"], "captions-1");
    let text = hub.get(&format!("/media/{LESSON}/captions-1.vtt"), &admin).await;
    assert_eq!(
        String::from_utf8(text.bytes).unwrap(),
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n光合作用\n\n"
    );
    let timeline = format!("/api/v1/lessons/{LESSON}/timeline");
    let captions = hub.get(&timeline, &admin).await.json()["captions"].clone();
    assert_eq!(captions[0]["language"], "en");
    for n in 2..=4 {
        let srt = SRT.replace("光合作用", &format!("第{n}种"));
        assert_eq!(add(&hub, &admin, "?language=zh", srt).await.outcome(), "201");
    }
    assert_eq!(add(&hub, &admin, "", SRT).await.outcome(), "409 conflict");
    let second = format!("/api/v1/lessons/{LESSON}/captions/captions-2");
    let left = hub.delete(&second, &admin).await.json()["tracks"].clone();
    let kinds: Vec<_> = left.as_array().unwrap().iter().map(|track| &track["kind"]).collect();
    assert_eq!(kinds, ["captions-1", "captions-3", "captions-4"]);
    assert_eq!(hub.delete(&second, &admin).await.outcome(), "404 not_found");
    assert_eq!(add(&hub, &admin, "", SRT).await.json()["tracks"][1]["kind"], "captions-2");
    let work = std::fs::read_dir(hub.dir.path().join("work")).unwrap().count();
    assert_eq!(work, 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_subtitles_or_not_ones_own_is_refused() {
    let (hub, admin) = with_lesson().await;
    let pupil = hub.log_in_new(&admin, "xiao", "pupil").await;
    assert_eq!(add(&hub, &pupil, "", SRT).await.outcome(), "403 not_allowed");
    assert_eq!(add(&hub, &admin, "", "a plan").await.outcome(), "422 no_subtitles");
    let late = SRT.replace("00:00:0", "00:00:4");
    assert_eq!(add(&hub, &admin, "", late).await.outcome(), "422 no_subtitles");
    let large = vec![b'a'; (4 << 20) + 1];
    assert_eq!(add(&hub, &admin, "", large).await.outcome(), "413 upload_too_large");
    let audio = format!("/api/v1/lessons/{LESSON}/captions/audio");
    assert_eq!(hub.delete(&audio, &admin).await.outcome(), "404 not_found");
    let nowhere = format!("/api/v1/lessons/{}/captions", DocId([9; 16]));
    assert_eq!(hub.post(&nowhere, &admin, json!({})).await.outcome(), "404 not_found");
}
