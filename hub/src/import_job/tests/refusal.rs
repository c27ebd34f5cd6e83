//! Uploads that wait, or that do not become lessons, and what is said of them.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_an_alliance_and_becomes_a_lesson_that_is_not_made_twice() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let job = claimed(&hub, "光").await;
    let listed = hub.get("/api/v1/lessons", &admin).await.json();
    assert_eq!(listed["items"][0]["status"], "importing");
    assert_eq!(listed["items"][0]["is_own_school"], true);
    upload(&hub, &job, make_video).await;
    let runner = tokio::spawn(runner::run(hub.app.clone()));
    let job_seen = || hub.app.jobs.of_lesson(&job.lesson_id);
    until("the import waits", || job_seen().is_some_and(|job| job.error.is_some())).await;
    let waiting = hub.get("/api/v1/jobs", &admin).await.json()["items"][0].clone();
    assert_eq!(waiting["state"], "queued");
    assert_eq!(waiting["error"]["code"], "waiting_for_alliance");
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    until("the import is done", || job_seen().is_none()).await;
    let path = format!("/api/v1/lessons/{}", job.lesson_id);
    let lesson = hub.get(&path, &admin).await.json();
    assert_eq!((&lesson["status"], &lesson["title"]), (&"ready".into(), &"光".into()));
    let kinds = kinds(&lesson);
    for kind in ["audio", "video-360", "source"] {
        assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
    }
    assert_eq!(lesson["readiness"]["tier"], "source");
    for track in lesson["tracks"].as_array().unwrap() {
        let playlist = hub.get(track["url"].as_str().unwrap(), &admin).await;
        assert_eq!(playlist.outcome(), "200");
    }
    assert_eq!(hub.get(lesson["download_url"].as_str().unwrap(), &admin).await.outcome(), "200");
    // Once the outcome is kept, what was needed for it goes.
    let (folder, upload) =
        (work_folder::path(&hub.app, job.id), uploads::path(&hub.app, &job.import.upload_id));
    until("both are gone", || !folder.exists() && !upload.exists()).await;
    hub.stop.send(true).unwrap();
    runner.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_the_name_of_a_video_fails_with_a_reason() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let job = claimed(&hub, "文").await;
    upload(&hub, &job, |path| std::fs::write(path, "not a video").unwrap()).await;
    let error = crate::import_job::run(&hub.app, &job).await.unwrap_err();
    assert_ne!(error.code, "internal");
    assert!(error.detail.ends_with('.'), "{error}");
    assert!(!work_folder::path(&hub.app, job.id).exists());
    let path = format!("/api/v1/lessons/{}", job.lesson_id);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "409 conflict", "it may still run");
    let failed = hub.app.db.write(|tx| tx.execute("update jobs set state = 'failed'", []));
    failed.await.unwrap();
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    assert_eq!(hub.get("/api/v1/lessons", &admin).await.json()["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_in_the_middle_costs_nothing_that_is_made() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "满").await;
    upload(&hub, &job, |path| make_video_of("160x96", 9, path)).await;
    let work_dir = work_folder::path(&hub.app, job.id);
    std::fs::create_dir_all(&work_dir).unwrap();
    // The kernel's own full disk takes the place of the pictures' file.
    std::os::unix::fs::symlink("/dev/full", work_dir.join("video-360.part")).unwrap();
    assert_eq!(crate::import_job::run(&hub.app, &job).await.unwrap_err().code, "disk_full");
    let sound = work_dir.join("audio.track");
    let made = std::fs::metadata(&sound).unwrap().modified().unwrap();
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::Everything));
    assert_eq!(std::fs::metadata(&sound).unwrap().modified().unwrap(), made);
    assert_eq!(lesson(&hub, &admin, &job).await["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_ends_before_the_disk_is_full_and_leaves_room() {
    let mut config = Config::default();
    config.uploads.disk_reserve_bytes = 1 << 60;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    hub.set_up().await;
    let job = claimed(&hub, "大").await;
    upload(&hub, &job, make_video).await;
    assert_eq!(crate::import_job::run(&hub.app, &job).await.unwrap_err().code, "disk_full");
    let work_dir = work_folder::path(&hub.app, job.id);
    let left = std::fs::read_dir(work_dir).unwrap().flatten().map(|entry| entry.path());
    let unfinished: Vec<_> =
        left.filter(|path| path.extension() == Some("part".as_ref())).collect();
    assert_eq!(unfinished, Vec::<std::path::PathBuf>::new());
}
