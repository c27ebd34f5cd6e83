use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use yingxue_codec::import::{FinishedTrack, Imported};
use yingxue_codec::track::TrackKind;

use super::publication::Publication;
use super::{Made, work_folder};
use crate::app::trial::TrialHub;
use crate::app::{hex, random};
use crate::config::Config;
use crate::events::HubEvent;
use crate::jobs::runner::{self, ClaimedJob};
use crate::jobs::{self, ImportJob, JobKind, JobState, Observer, Pause, Stage};
use crate::uploads;

async fn claimed(hub: &TrialHub, title: &str) -> ClaimedJob {
    let import = ImportJob {
        upload_id: hex(&random::<16>()),
        filename: "课.mp4".to_owned(),
        others: Vec::new(),
        title: title.to_owned(),
        subject: "math".to_owned(),
        grade: "1".to_owned(),
        teacher: "王老师".to_owned(),
        author: "p1".to_owned(),
    };
    let lesson_id = hex(&random::<16>());
    let (lesson, queued) = (lesson_id.clone(), import.clone());
    let enqueued = hub.app.db.write(move |tx| jobs::enqueue(tx, JobKind::Import, &lesson, &queued));
    let job = enqueued.await.unwrap();
    hub.app.jobs.committed(job.clone());
    let observer = Observer::new(&hub.app, job.id);
    ClaimedJob { id: job.id, kind: JobKind::Import, lesson_id, import, observer }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    // Whole imports run side by side here, on whatever the machine has left.
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("two minutes have passed, but not: {what}");
}

async fn upload(hub: &TrialHub, job: &ClaimedJob, make: impl FnOnce(&std::path::Path)) {
    let path = uploads::path(&hub.app, &job.import.upload_id);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    make(&path);
}

fn make_video(path: &std::path::Path) {
    make_video_of("128x96", 2, path);
}

fn make_video_of(size: &str, seconds: u32, path: &std::path::Path) {
    make_video_with(size, seconds, &[], path);
}

fn make_video_with(size: &str, seconds: u32, how: &[&str], path: &std::path::Path) {
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi"])
        .args(["-i", &format!("testsrc2=s={size}:r=10:d={seconds}")])
        .args(["-f", "lavfi", "-i", &format!("sine=d={seconds}")])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mp4"])
        .args(how)
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

fn kinds(lesson: &Value) -> Vec<&str> {
    let tracks = lesson["tracks"].as_array().unwrap();
    tracks.iter().map(|track| track["kind"].as_str().unwrap()).collect()
}

/// A hub of an alliance, so that what is made is published.
async fn member() -> (TrialHub, String) {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    (hub, admin)
}

async fn lesson(hub: &TrialHub, who: &str, job: &ClaimedJob) -> Value {
    hub.get(&format!("/api/v1/lessons/{}", job.lesson_id), who).await.json()
}

/// Envelopes that this hub has written: what every other hub has to fetch and to keep.
async fn written(hub: &TrialHub) -> i64 {
    let count = |db: &rusqlite::Connection| -> rusqlite::Result<i64> {
        db.query_row("select count(*) from envelopes", [], |row| row.get(0))
    };
    hub.app.db.read(count).await.unwrap()
}

/// Encodes a job's upload and gives what the codec made, unpublished.
async fn encoded(hub: &TrialHub, job: &ClaimedJob) -> Imported {
    let (finished, _unheard) = mpsc::unbounded_channel();
    let work_dir = work_folder::path(&hub.app, job.id);
    super::encode(&hub.app, job, &work_dir, finished).unwrap().await.unwrap().unwrap()
}

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
    let error = super::run(&hub.app, &job).await.unwrap_err();
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
async fn an_import_ends_before_the_disk_is_full_and_leaves_room() {
    let mut config = Config::default();
    config.uploads.disk_reserve_bytes = 1 << 60;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    hub.set_up().await;
    let job = claimed(&hub, "大").await;
    upload(&hub, &job, make_video).await;
    assert_eq!(super::run(&hub.app, &job).await.unwrap_err().code, "disk_full");
    let work_dir = work_folder::path(&hub.app, job.id);
    let left = std::fs::read_dir(work_dir).unwrap().flatten().map(|entry| entry.path());
    let unfinished: Vec<_> =
        left.filter(|path| path.extension() == Some("part".as_ref())).collect();
    assert_eq!(unfinished, Vec::<std::path::PathBuf>::new());
}

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
    assert_eq!(super::run(&hub.app, &job).await.unwrap_err().code, "truncated");
    assert_eq!(written(&hub).await, said);
    assert_eq!(lesson(&hub, &admin, &job).await["status"], "importing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_outcome_a_kill_has_lost_ends_again_and_says_nothing_new() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, make_video).await;
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::Everything));
    let (seen, said) = (lesson(&hub, &admin, &job).await, written(&hub).await);
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::Everything));
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
    let (made, also_made) = tokio::join!(super::run(&hub.app, &one), super::run(&hub.app, &two));
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
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::Everything));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finer_picture_gives_way_to_a_lesson_that_cannot_be_taught_yet() {
    let (hub, _) = member().await;
    let mut second = claimed(&hub, "光").await;
    upload(&hub, &second, |path| make_video_of("640x480", 8, path)).await;
    second.kind = JobKind::Import480;
    let urgent = claimed(&hub, "急").await;
    let error = super::run(&hub.app, &second).await.unwrap_err();
    assert_eq!(error.code, "gives_way");
    assert!(work_folder::path(&hub.app, second.id).exists(), "what is finished is kept");
    // One that waits for an alliance is not urgent.
    let waits = Some(jobs::JobFailure { code: "x".to_owned(), detail: String::new() });
    for id in [urgent.id, second.id] {
        let job = hub.app.jobs.open().into_iter().find(|job| job.id == id).unwrap();
        hub.app.jobs.set(jobs::Job { error: waits.clone(), ..job });
    }
    super::run(&hub.app, &second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_cancelled_at_any_moment_leaves_nothing_and_can_be_tried_again() {
    let (hub, admin) = member().await;
    let runner = tokio::spawn(runner::run(hub.app.clone()));
    // Later than that slides may be finished, and the lesson published with them: it then stays.
    for percent in [0, 3] {
        let mut events = hub.app.events.subscribe();
        let job = claimed(&hub, "光").await;
        upload(&hub, &job, |path| make_video_of("320x240", 6, path)).await;
        // The runner may have tried already, without the file.
        hub.post(&format!("/api/v1/jobs/{}/retry", job.id), &admin, json!({})).await;
        let is_there = |told: &jobs::Job| told.stage.is_some() && told.percent >= percent;
        let begun = async {
            loop {
                match events.recv().await.unwrap() {
                    HubEvent::Job(told) if told.id == job.id && is_there(&told) => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), begun).await.unwrap();
        let cancelled = hub.delete(&format!("/api/v1/jobs/{}", job.id), &admin).await;
        assert_eq!(cancelled.outcome(), "204", "{percent} %");
        let folder = work_folder::path(&hub.app, job.id);
        until("the folder is gone", || !folder.exists()).await;
        let path = format!("/api/v1/lessons/{}", job.lesson_id);
        assert_eq!(hub.get(&path, &admin).await.outcome(), "404 not_found", "{percent} %");
        if percent == 3 {
            hub.post(&format!("/api/v1/jobs/{}/retry", job.id), &admin, json!({})).await;
            let is_done = || hub.app.jobs.of_lesson(&job.lesson_id).is_none();
            until("it is made after all", is_done).await;
            assert_eq!(lesson(&hub, &admin, &job).await["status"], "ready");
        }
    }
    hub.stop.send(true).unwrap();
    runner.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_that_is_deleted_is_not_made_any_further() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| make_video_of("640x480", 1, path)).await;
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::FirstTiers));
    let path = format!("/api/v1/lessons/{}", job.lesson_id);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    assert_eq!(hub.app.jobs.of_lesson(&job.lesson_id).unwrap().state, JobState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_stands_still_while_a_class_is_on_unless_a_teacher_lets_it_go_on() {
    let (hub, admin) = member().await;
    hub.app.playing.note(Instant::now());
    let runner = tokio::spawn(runner::run(hub.app.clone()));
    let mut jobs = Vec::new();
    for title in ["光", "影"] {
        let job = claimed(&hub, title).await;
        upload(&hub, &job, make_video).await;
        hub.post(&format!("/api/v1/jobs/{}/retry", job.id), &admin, json!({})).await;
        jobs.push(job);
    }
    let seen = |n: usize| hub.app.jobs.of_lesson(&jobs[n].lesson_id);
    let stands = |n| move || seen(n).is_some_and(|job| job.paused == Some(Pause::Class));
    until("the first stands still", stands(0)).await;
    let listed = hub.get("/api/v1/jobs", &admin).await.json();
    let first = listed["items"].as_array().unwrap().iter().find(|job| job["id"] == jobs[0].id);
    assert_eq!(first.unwrap()["paused"], "class");
    assert_eq!(first.unwrap()["state"], "running");
    let go_on = format!("/api/v1/jobs/{}/go_on", jobs[0].id);
    let going = hub.post(&go_on, &admin, json!({})).await.json();
    assert_eq!((&going["paused"], &going["state"]), (&Value::Null, &json!("running")));
    until("the first is done", || seen(0).is_none()).await;
    until("the second stands still", stands(1)).await;
    // The class has ended more than a minute ago.
    hub.app.playing.note(Instant::now().checked_sub(Duration::from_secs(61)).unwrap());
    until("the second is done", || seen(1).is_none()).await;
    assert_eq!(hub.post(&go_on, &admin, json!({})).await.outcome(), "409 conflict");
    hub.stop.send(true).unwrap();
    runner.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_becomes_a_lesson_of_slides_whatever_its_name_says() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "图").await;
    upload(&hub, &job, |path| {
        let made = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=640x480:r=1:d=1"])
            .args(["-frames:v", "1", "-f", "image2pipe", "-c:v", "png"])
            .arg(path)
            .status();
        assert!(made.unwrap().success());
    })
    .await;
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::Everything));
    let seen = lesson(&hub, &admin, &job).await;
    assert!(kinds(&seen).contains(&"slides"), "{seen}");
    assert_eq!((&seen["status"], &seen["readiness"]["tier"]), (&json!("ready"), &json!("t0")));
    assert_eq!(seen["download_url"], Value::Null);
    assert!(seen["duration_ms"].as_i64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_without_pictures_is_refused_in_words() {
    let (hub, _) = member().await;
    let job = claimed(&hub, "空").await;
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    upload(&hub, &job, |path| std::fs::write(path, empty).unwrap()).await;
    let error = super::run(&hub.app, &job).await.unwrap_err();
    assert!(["no_pages", "broken_zip"].contains(&error.code.as_str()), "{error}");
    assert!(error.detail.ends_with('.'), "{error}");
}

/// Runs ffmpeg; its arguments are cut at spaces and end before the output.
fn make_with(arguments: &str, path: &std::path::Path) {
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error"])
        .args(arguments.split_whitespace())
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// Adds files to a job's first one, and gives their paths.
fn add_files(hub: &TrialHub, job: &mut ClaimedJob, names: &[&str]) -> Vec<std::path::PathBuf> {
    std::fs::create_dir_all(hub.dir.path().join("uploads")).unwrap();
    for name in names {
        let (upload_id, filename) = (hex(&random::<16>()), (*name).to_owned());
        job.import.others.push(jobs::OtherFile { upload_id, filename });
    }
    job.import.others.iter().map(|file| uploads::path(&hub.app, &file.upload_id)).collect()
}

const SUBTITLES: &str = "1\n00:00:00,500 --> 00:00:01,500\n光合作用\n";

#[tokio::test(flavor = "multi_thread")]
async fn pictures_with_a_sound_and_subtitles_become_one_lesson() {
    let (hub, admin) = member().await;
    let mut job = claimed(&hub, "叶子").await;
    let picture = "-f lavfi -i color=gray:s=64x48 -frames:v 1 -f image2pipe -c:v png";
    upload(&hub, &job, |path| make_with(picture, path)).await;
    let paths = add_files(&hub, &mut job, &["声音.wav", "2.png", "声音.srt"]);
    make_with("-f lavfi -i sine=d=4 -f wav", &paths[0]);
    make_with(picture, &paths[1]);
    std::fs::write(&paths[2], SUBTITLES).unwrap();
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::Everything));
    let seen = lesson(&hub, &admin, &job).await;
    assert_eq!(kinds(&seen), ["audio", "slides", "captions-1", "thumbs"]);
    assert!(seen["duration_ms"].as_i64().unwrap().abs_diff(4_000) <= 60, "{seen}");
    let captions = hub.get(seen["tracks"][2]["url"].as_str().unwrap(), &admin).await;
    assert!(String::from_utf8(captions.bytes).unwrap().contains("光合作用"));
    let timeline = format!("/api/v1/lessons/{}/timeline", job.lesson_id);
    let timeline = hub.get(&timeline, &admin).await.json();
    assert_eq!(timeline["slides"].as_array().map(Vec::len), Some(2), "{timeline}");

    // The teacher listens, and says when the second page appears.
    let path = format!("/api/v1/lessons/{}/page_times", job.lesson_id);
    let set = async |starts_ms: Value| {
        let body = json!({ "starts_ms": starts_ms });
        hub.json(axum::http::Method::PUT, &path, &admin, body).await
    };
    for wrong in [json!([0]), json!([0, 0]), json!([1, 2]), json!([0, 9_000]), json!([0, 1, 2])] {
        assert_eq!(set(wrong).await.outcome(), "422 invalid_input");
    }
    let changed = set(json!([0, 700])).await;
    assert_eq!(changed.outcome(), "200");
    assert_eq!(kinds(&changed.json()), kinds(&seen));
    let timeline = format!("/api/v1/lessons/{}/timeline", job.lesson_id);
    let timeline = hub.get(&timeline, &admin).await.json();
    assert_eq!(timeline["slides"][1], json!({"at_ms": 700, "is_here": true}));
    for picture in ["slides/1.jpg", "thumbs/0.jpg"] {
        let path = format!("/media/{}/{picture}", job.lesson_id);
        let picture = hub.get(&path, &admin).await;
        assert!(picture.bytes.starts_with(&[0xff, 0xd8]), "{path}");
    }
    let pupil = hub.log_in_new(&admin, "xiao", "pupil").await;
    let body = json!({"starts_ms": [0, 1]});
    let refused = hub.json(axum::http::Method::PUT, &path, &pupil, body).await;
    assert_eq!(refused.outcome(), "403 not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_published_lesson_that_is_cancelled_can_go_on_or_the_lesson_goes() {
    let (hub, admin) = member().await;
    let job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| make_video_of("640x480", 2, path)).await;
    let (lesson_id, id) = (job.lesson_id.clone(), job.import.upload_id.clone());
    // What `uploads` does when the file has arrived.
    let row = hub.app.db.write(move |tx| -> rusqlite::Result<usize> {
        let user = "insert into uploads (id, user_id, filename, title, subject, grade, teacher, \
             length, created_at, touched_at, lesson_id) select unhex(?1), id, '', '', '', '', '', \
             1, 0, 0, unhex(?2) from users limit 1";
        tx.execute(user, [id, lesson_id])
    });
    assert_eq!(row.await.unwrap(), 1);
    assert_eq!(super::run(&hub.app, &job).await, Ok(Made::FirstTiers));
    let (lesson_id, import) = (job.lesson_id.clone(), job.import.clone());
    let next = hub.app.db.write(move |tx| {
        tx.execute("update jobs set state = 'done'", [])?;
        jobs::enqueue(tx, JobKind::Import480, &lesson_id, &import)
    });
    let next = next.await.unwrap();
    assert!(next.is_lesson_there);
    let first = hub.app.jobs.of_lesson(&job.lesson_id).unwrap();
    hub.app.jobs.set(jobs::Job { state: JobState::Done, ..first });
    hub.app.jobs.committed(next.clone());
    let claim =
        |observer| ClaimedJob { id: next.id, kind: JobKind::Import480, observer, ..job.clone() };
    let second = claim(Observer::new(&hub.app, next.id));
    let job_path = format!("/api/v1/jobs/{}", next.id);
    assert_eq!(hub.delete(&job_path, &admin).await.outcome(), "204");
    assert_eq!(super::run(&hub.app, &second).await.unwrap_err().code, "cancelled");
    let seen = lesson(&hub, &admin, &job).await;
    assert_eq!((&seen["status"], &seen["job"]["state"]), (&json!("ready"), &json!("cancelled")));
    assert_eq!(seen["job"]["is_lesson_there"], true);
    let folder = work_folder::path(&hub.app, next.id);
    work_folder::sweep(&hub.app).await;
    assert!(folder.exists(), "what is finished is kept");

    // It goes on after all.
    hub.app.jobs.forget_stop_flag(next.id);
    let retry = hub.post(&format!("{job_path}/retry"), &admin, json!({})).await;
    assert_eq!(retry.json()["state"], "queued");
    let second = claim(Observer::new(&hub.app, next.id));
    assert_eq!(super::run(&hub.app, &second).await, Ok(Made::Everything));
    assert!(kinds(&lesson(&hub, &admin, &job).await).contains(&"video-480"));

    // It is cancelled again, and the lesson is deleted: then nothing is kept for it.
    assert_eq!(hub.delete(&job_path, &admin).await.outcome(), "204");
    let path = format!("/api/v1/lessons/{}", job.lesson_id);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    work_folder::sweep(&hub.app).await;
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_beside_a_video_become_captions_and_files_that_do_not_fit_are_named() {
    let (hub, admin) = member().await;
    let mut job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| std::fs::write(path, SUBTITLES).unwrap()).await;
    let paths = add_files(&hub, &mut job, &["光.mp4"]);
    make_video(&paths[0]);
    super::run(&hub.app, &job).await.unwrap();
    let seen = lesson(&hub, &admin, &job).await;
    assert!(kinds(&seen).contains(&"captions-1") && kinds(&seen).contains(&"source"), "{seen}");

    let mut job = claimed(&hub, "影").await;
    upload(&hub, &job, make_video).await;
    let paths = add_files(&hub, &mut job, &["课堂2.mp4"]);
    make_video(&paths[0]);
    let error = super::run(&hub.app, &job).await.unwrap_err();
    assert_eq!(error.code, "many_recordings");
    std::fs::write(&paths[0], "a plan of the lesson").unwrap();
    let error = super::run(&hub.app, &job).await.unwrap_err();
    assert_eq!(error.code, "not_media");
    assert!(error.detail.starts_with("“课堂2.mp4”: "), "{error}");
    std::fs::remove_file(&paths[0]).unwrap();
    assert_eq!(super::run(&hub.app, &job).await.unwrap_err().code, "upload_gone");
}
