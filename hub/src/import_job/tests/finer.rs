//! The finer picture: a job of its own that gives way.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_finer_picture_follows_as_a_job_of_its_own_and_then_the_upload_goes() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| make_video_of("640x480", 2, path)).await;
    let mut events = hub.app.events.subscribe();
    let runner = tokio::spawn(runner::run(hub.app.clone()));
    let job_seen = || hub.app.jobs.of_lesson(&job.lesson_id);
    let is_second = || job_seen().is_some_and(|job| job.kind == JobKind::Import480);
    until("the second job is there", is_second).await;
    assert!(uploads::path(&hub.app, &job.import.upload_id).exists());
    let seen = lesson(&hub, &admin, &job).await;
    assert_eq!((&seen["status"], &seen["job"]["kind"]), (&json!("ready"), &json!("import-480")));
    until("the second job is done", || job_seen().is_none()).await;
    let discarded = || !uploads::path(&hub.app, &job.import.upload_id).exists();
    until("the upload is gone", discarded).await;
    let seen = lesson(&hub, &admin, &job).await;
    assert!(kinds(&seen).contains(&"video-480"), "{seen}");
    assert_eq!((&seen["title"], &seen["readiness"]["state"]), (&json!("光"), &json!("ready")));
    assert!(!seen["poster_url"].is_null());
    let mut stages = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let HubEvent::Job(told) = event {
            stages.extend(told.stage.map(|stage| (told.kind, stage)));
        }
    }
    stages.dedup();
    assert!(stages.contains(&(JobKind::Import480, Stage::Video480)), "{stages:?}");
    assert!(!stages.contains(&(JobKind::Import, Stage::Video480)), "{stages:?}");
    hub.stop.send(true).unwrap();
    runner.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_finer_picture_is_made_where_the_school_does_not_want_it() {
    let mut config = Config::default();
    config.media.video_480 = false;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    hub.set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| make_video_of("640x480", 1, path)).await;
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::Everything));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finer_picture_gives_way_to_a_lesson_that_cannot_be_taught_yet() {
    let (hub, _) = member().await;
    let mut second = claimed(&hub, "光").await;
    upload(&hub, &second, |path| make_video_of("640x480", 8, path)).await;
    second.kind = JobKind::Import480;
    let urgent = claimed(&hub, "急").await;
    let error = crate::import_job::run(&hub.app, &second).await.unwrap_err();
    assert_eq!(error.code, "gives_way");
    assert!(work_folder::path(&hub.app, second.id).exists(), "what is finished is kept");
    // One that waits for an alliance is not urgent.
    let waits = Some(jobs::JobFailure { code: "x".to_owned(), detail: String::new() });
    for id in [urgent.id, second.id] {
        let job = hub.app.jobs.open().into_iter().find(|job| job.id == id).unwrap();
        hub.app.jobs.set(jobs::Job { error: waits.clone(), ..job });
    }
    crate::import_job::run(&hub.app, &second).await.unwrap();
}
