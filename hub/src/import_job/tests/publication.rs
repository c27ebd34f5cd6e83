//! What is published of a lesson, and when.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_is_published_with_its_first_picture_and_what_follows_is_added() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, make_video).await;
    let imported = encoded(&hub, &job).await;
    let of = |kind: TrackKind| -> FinishedTrack {
        imported.tracks.iter().find(|track| track.info.kind == kind).unwrap().clone()
    };
    let work_dir = work_folder::path(&hub.app, job.id);
    let id = job.lesson_id.parse().unwrap();

    let mut publication = Publication::new(&hub.app, &job, id, &work_dir);
    publication.take(of(TrackKind::Source)).await;
    publication.take(of(TrackKind::Audio)).await;
    let seen = lesson(&hub, &admin, &job).await;
    assert_eq!((&seen["status"], &seen["tracks"]), (&json!("importing"), &json!([])));
    publication.take(of(TrackKind::Video360)).await;
    let seen = lesson(&hub, &admin, &job).await;
    assert_eq!((&seen["status"], &seen["readiness"]["state"]), (&json!("ready"), &json!("ready")));
    assert_eq!(kinds(&seen), ["audio", "video-360", "source"]);
    assert_eq!(seen["job"]["id"], job.id, "it says that more is being made");
    assert!(seen["duration_ms"].as_i64().unwrap() > 1_500);

    // A teacher changes it, the hub is killed, and the same import begins again.
    let path = format!("/api/v1/lessons/{}", job.lesson_id);
    hub.patch(&path, &admin, json!({"title": "影"})).await;
    let said = written(&hub).await;
    let mut publication = Publication::new(&hub.app, &job, id, &work_dir);
    for kind in [TrackKind::Source, TrackKind::Audio, TrackKind::Video360] {
        publication.take(of(kind)).await;
    }
    assert_eq!(written(&hub).await, said, "what is known is not said again");
    publication.finish(&imported).await.unwrap();
    let seen = lesson(&hub, &admin, &job).await;
    assert_eq!(seen["title"], "影");
    assert!(!seen["poster_url"].is_null());
    assert_eq!(seen["duration_ms"], imported.duration_ms);
    assert_eq!(seen["tracks"].as_array().unwrap().len(), imported.tracks.len());
    let said = written(&hub).await;
    Publication::new(&hub.app, &job, id, &work_dir).finish(&imported).await.unwrap();
    assert_eq!(written(&hub).await, said, "what is known is not said again");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_file_is_never_published_not_even_early() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| {
        let whole = path.with_extension("whole");
        // The index comes first, so that the file opens.
        make_video_with("320x240", 20, &["-movflags", "+faststart"], &whole);
        let bytes = std::fs::read(&whole).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    })
    .await;
    let said = written(&hub).await;
    assert_eq!(crate::import_job::run(&hub.app, &job).await.unwrap_err().code, "truncated");
    assert_eq!(written(&hub).await, said);
    assert_eq!(lesson(&hub, &admin, &job).await["status"], "importing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_outcome_a_kill_has_lost_ends_again_and_says_nothing_new() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, make_video).await;
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::Everything));
    let (seen, said) = (lesson(&hub, &admin, &job).await, written(&hub).await);
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::Everything));
    assert_eq!(lesson(&hub, &admin, &job).await, seen);
    assert_eq!(written(&hub).await, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_uploaded_twice_at_once_becomes_two_lessons_that_share_their_blobs() {
    let (hub, admin) = member().await;
    let (one, two) = (claimed(&hub, "一班").await, claimed(&hub, "二班").await);
    for job in [&one, &two] {
        upload(&hub, job, make_video).await;
    }
    let (made, also_made) = tokio::join!(
        crate::import_job::run(&hub.app, &one),
        crate::import_job::run(&hub.app, &two)
    );
    assert_eq!((made, also_made), (Ok(Made::Everything), Ok(Made::Everything)));
    let blobs = |lesson: &Value| -> Vec<Value> {
        let tracks = lesson["tracks"].as_array().unwrap();
        tracks.iter().map(|track| track["blob_id"].clone()).collect()
    };
    let (first, second) = (lesson(&hub, &admin, &one).await, lesson(&hub, &admin, &two).await);
    assert_eq!((&first["title"], &second["title"]), (&json!("一班"), &json!("二班")));
    assert_eq!(blobs(&first), blobs(&second));
    let count = |db: &rusqlite::Connection| -> rusqlite::Result<usize> {
        db.query_row("select count(*) from blobs", [], |row| row.get(0))
    };
    assert_eq!(hub.app.db.read(count).await.unwrap(), blobs(&first).len());

    // One of them goes; a start looks for blobs that nothing names. The other stays whole.
    let path = format!("/api/v1/lessons/{}", one.lesson_id);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    hub.app.sync.shutdown().await;
    let hub = TrialHub::start_in(hub.dir, Config::default()).await;
    let seen = hub.get(&format!("/api/v1/lessons/{}", two.lesson_id), &admin).await.json();
    assert_eq!(seen["readiness"]["state"], "ready");
    for track in seen["tracks"].as_array().unwrap() {
        let blob = format!("/media/blob/{}", track["blob_id"].as_str().unwrap());
        let bytes = hub.get(&blob, &admin).await.bytes.len();
        assert_eq!(track["total_bytes"], bytes, "{blob}");
    }
}
