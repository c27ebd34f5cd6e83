use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Transaction;
use serde_json::json;

use super::table::find;
use super::{ImportJob, Job, JobKind, JobState, Observer, Pause, Stage, enqueue, runner};
use crate::app::App;
use crate::app::trial::TrialHub;
use crate::config::Config;
use crate::events::HubEvent;
use crate::problem::ApiError;

const LESSON: &str = "00112233445566778899aabbccddeeff";

fn import() -> ImportJob {
    ImportJob {
        upload_id: "ffeeddccbbaa99887766554433221100".to_owned(),
        filename: "课.mp4".to_owned(),
        others: Vec::new(),
        title: "课".to_owned(),
        subject: "math".to_owned(),
        grade: "5".to_owned(),
        teacher: "王老师".to_owned(),
        author: "0011223344556677".to_owned(),
    }
}

async fn add(app: &App) -> i64 {
    let add = |tx: &Transaction<'_>| enqueue(tx, JobKind::Import, LESSON, &import());
    let job = app.db.write(add).await.unwrap();
    let id = job.id;
    app.jobs.committed(job);
    id
}

async fn state(app: &App, id: i64) -> JobState {
    app.db.read(move |c| find(c, id)).await.unwrap().unwrap().state
}

async fn wait_for(app: &App, id: i64, wanted: JobState) {
    for _ in 0..500 {
        if state(app, id).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("job {id} is {:?}, not {wanted:?}", state(app, id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_file_is_gone_fails_in_words_and_can_be_tried_again() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let id = add(&hub.app).await;
    let runner = tokio::spawn(runner::run(hub.app.clone()));
    wait_for(&hub.app, id, JobState::Failed).await;
    let job = hub.get("/api/v1/jobs", &admin).await.json()["items"][0].clone();
    assert_eq!(job["state"], "failed");
    assert_ne!(job["error"]["detail"], "");
    let retry = hub.post(&format!("/api/v1/jobs/{id}/retry"), &admin, json!({})).await;
    assert_eq!(retry.json()["state"], "queued");
    wait_for(&hub.app, id, JobState::Failed).await;
    hub.stop.send(true).unwrap();
    runner.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_retry_need_a_job_in_the_right_state() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let pupil = hub.log_in_new(&admin, "xiao", "pupil").await;
    let id = add(&hub.app).await;
    let (one, retry) = (format!("/api/v1/jobs/{id}"), format!("/api/v1/jobs/{id}/retry"));
    assert_eq!(hub.delete(&one, &pupil).await.outcome(), "403 not_allowed");
    assert_eq!(hub.post(&retry, &admin, json!({})).await.outcome(), "409 conflict");
    assert_eq!(hub.delete(&one, &admin).await.outcome(), "204");
    assert_eq!(state(&hub.app, id).await, JobState::Cancelled);
    assert_eq!(hub.delete(&one, &admin).await.outcome(), "409 conflict");
    assert_eq!(hub.post(&retry, &admin, json!({})).await.outcome(), "200");
    assert_eq!(hub.delete("/api/v1/jobs/999", &admin).await.outcome(), "404 not_found");
    assert_eq!(hub.app.jobs.of_lesson(LESSON).unwrap().state, JobState::Queued);
}

/// A hub whose power goes while it makes a lesson, and comes back.
async fn interrupted(hub: TrialHub, id: i64) -> TrialHub {
    let claim = |tx: &Transaction<'_>| {
        Ok::<_, ApiError>(tx.query_row(runner::CLAIM, [true], |_| Ok(()))?)
    };
    hub.app.db.write(claim).await.unwrap();
    assert_eq!(state(&hub.app, id).await, JobState::Running);
    hub.app.sync.shutdown().await;
    TrialHub::start_in(hub.dir, Config::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_count_against_a_lesson_that_got_on() {
    let mut hub = TrialHub::start().await;
    let id = add(&hub.app).await;
    let work = hub.dir.path().join(format!("work/{id}"));
    let segments = work.join("video-360.segments");
    std::fs::create_dir_all(&segments).unwrap();
    for n in 0..5 {
        std::fs::write(segments.join(format!("{n:05}")), "durable").unwrap();
        hub = interrupted(hub, id).await;
        assert_eq!(state(&hub.app, id).await, JobState::Queued, "after segment {n}");
    }
    for n in 0..3 {
        std::fs::write(work.join("slides.found"), format!("minute {n}")).unwrap();
        hub = interrupted(hub, id).await;
        assert_eq!(state(&hub.app, id).await, JobState::Queued, "after minute {n}");
    }
    for expected in [JobState::Queued, JobState::Queued, JobState::Failed] {
        // What is being written is nothing yet.
        std::fs::write(work.join("audio.part"), format!("{expected:?}")).unwrap();
        std::fs::create_dir_all(work.join(format!("office/{expected:?}"))).unwrap();
        hub = interrupted(hub, id).await;
        assert_eq!(state(&hub.app, id).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_interrupts_waits_again_until_it_was_begun_too_often() {
    let mut hub = TrialHub::start().await;
    let id = add(&hub.app).await;
    for attempt in 1..=3 {
        hub = interrupted(hub, id).await;
        let expected = if attempt < 3 { JobState::Queued } else { JobState::Failed };
        assert_eq!(state(&hub.app, id).await, expected);
    }
    assert_eq!(hub.app.jobs.of_lesson(LESSON).unwrap().error.unwrap().code, "interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_undone_leaves_no_job() {
    let hub = TrialHub::start().await;
    let undone = hub.app.db.write(|tx| {
        enqueue(tx, JobKind::Import, LESSON, &import())?;
        Err::<(), _>(ApiError::conflict("on purpose"))
    });
    assert_eq!(undone.await.unwrap_err().code, "conflict");
    assert!(hub.app.db.read(|c| find(c, 1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_at_each_stage_and_not_at_each_percent() {
    let hub = TrialHub::start().await;
    let id = add(&hub.app).await;
    let mut events = hub.app.events.subscribe();
    let observer = Observer::new(&hub.app, id);
    observer.report(Stage::Probe, 1, None);
    for percent in 2..90 {
        observer.report(Stage::Video, percent, Some(60));
    }
    let mut told = Vec::new();
    while let Ok(HubEvent::Job(job)) = events.try_recv() {
        told.push((job.stage, job.percent));
    }
    assert_eq!(told[..2], [(Some(Stage::Probe), 1), (Some(Stage::Video), 2)]);
    assert!(told.len() < 10, "{told:?}");
    assert_eq!(hub.app.jobs.of_lesson(LESSON).unwrap().percent, 89);
    assert!(!observer.is_cancelled());
    hub.stop.send(true).unwrap();
    assert!(observer.is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finer_picture_waits_until_no_lesson_waits_that_cannot_be_taught_yet() {
    let hub = TrialHub::start().await;
    let second =
        hub.app.db.write(|tx| enqueue(tx, JobKind::Import480, LESSON, &import())).await.unwrap();
    hub.app.jobs.committed(second.clone());
    assert!(!hub.app.jobs.is_import_waiting());
    let first = add(&hub.app).await;
    assert!(hub.app.jobs.is_import_waiting());
    let claim = |tx: &Transaction<'_>| -> Result<i64, ApiError> {
        Ok(tx.query_row(runner::CLAIM, [true], |row| row.get(0))?)
    };
    assert_eq!(hub.app.db.write(claim).await.unwrap(), first);
    assert_eq!(hub.app.db.write(claim).await.unwrap(), second.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_may_go_on_in_spite_of_a_class_still_may_after_a_restart() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let id = add(&hub.app).await;
    hub.app.playing.note(Instant::now());
    let mut events = hub.app.events.subscribe();
    let observer = Observer::new(&hub.app, id);
    observer.report(Stage::Video, 40, Some(60));
    assert!(observer.is_paused() && observer.is_paused());
    let shown = hub.app.jobs.of_lesson(LESSON).unwrap();
    assert_eq!((shown.paused, shown.percent), (Some(Pause::Class), 40));
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let paused: Vec<bool> = told
        .filter_map(|event| match event {
            HubEvent::Job(job) => Some(job.paused.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(paused, [false, true], "a change is told once");

    let pupil = hub.log_in_new(&admin, "xiao", "pupil").await;
    let go_on = format!("/api/v1/jobs/{id}/go_on");
    assert_eq!(hub.post(&go_on, &pupil, json!({})).await.outcome(), "403 not_allowed");
    assert_eq!(
        hub.post("/api/v1/jobs/99/go_on", &admin, json!({})).await.outcome(),
        "404 not_found"
    );
    let going: Job = hub.app.jobs.of_lesson(LESSON).unwrap();
    assert!(!going.goes_on);
    let answer = hub.post(&go_on, &admin, json!({})).await.json();
    assert_eq!((&answer["paused"], &answer["percent"]), (&json!(null), &json!(40)));
    assert!(!observer.is_paused());
    drop(observer);
    hub.app.sync.shutdown().await;
    let hub = TrialHub::start_in(hub.dir, Config::default()).await;
    hub.app.playing.note(Instant::now());
    assert!(!Observer::new(&hub.app, id).is_paused());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stands_still_where_the_school_does_not_want_it() {
    let mut config = Config::default();
    config.media.pause_while_playing = false;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    let id = add(&hub.app).await;
    hub.app.playing.note(Instant::now());
    assert!(!Observer::new(&hub.app, id).is_paused());
}

fn source(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The codes that follow one of `before` in some files of a folder, and have no words in `words`.
fn unsaid(folder: &str, files: &[&str], before: &[&str], words: &str) -> Vec<String> {
    let is_code = |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut codes = Vec::new();
    for file in files {
        // However it is set in lines.
        let source =
            source(&format!("{folder}/{file}.rs")).split_whitespace().collect::<Vec<_>>().join(" ");
        for before in before {
            let after = source.replace("( \"", "(\"");
            let after =
                after.split(before).skip(1).filter_map(|rest| rest.split(['"', '\'']).next());
            codes.extend(after.filter(|text| is_code(text)).map(str::to_owned));
        }
    }
    assert!(codes.len() > 3, "{folder}: {codes:?}");
    codes.retain(|code| !words.contains(&format!("  {code}: m.")));
    codes
}

#[test]
fn every_code_that_a_job_can_fail_with_has_words_on_the_screen() {
    let words = source("web-ui/src/lib/upload/job_words.ts")
        + &source("web-ui/src/lib/api/problem.ts")
        // Neither is a failure.
        + "  cancelled: m.  gives_way: m.";
    // Those of `codec` are compared beside the words.
    let files = [
        "import_job",
        "import_job/blobs",
        "import_job/encoding",
        "import_job/publication",
        "jobs/runner",
    ];
    let before = ["JobError::new(\"", "=> \"", "error_code = '", "&str = \""];
    assert_eq!(unsaid("hub/src", &files, &before, &words), Vec::<String>::new());
}

#[test]
fn everything_that_an_import_keeps_or_leaves_out_has_words_on_the_screen() {
    let words = source("web-ui/src/lib/upload/note_words.ts");
    let files = ["document", "document/pages", "import/captions", "import/notes", "subtitles"];
    let unsaid = unsaid("codec/src", &files, &["Note::new(\"", " note(\""], &words);
    assert_eq!(unsaid, Vec::<String>::new());
}
