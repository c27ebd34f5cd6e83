use std::time::Duration;

use rusqlite::Transaction;
use serde_json::json;

use super::{ImportJob, JobState, Observer, Stage, enqueue, find, runner};
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
        title: "课".to_owned(),
        subject: "math".to_owned(),
        grade: "5".to_owned(),
        teacher: "王老师".to_owned(),
        author: "0011223344556677".to_owned(),
    }
}

async fn add(app: &App) -> i64 {
    let add = |tx: &Transaction<'_>| enqueue(tx, LESSON, "课", &import());
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_interrupts_waits_again_until_it_was_begun_too_often() {
    let mut hub = TrialHub::start().await;
    let id = add(&hub.app).await;
    for attempt in 1..=3 {
        let claim = |tx: &Transaction<'_>| {
            Ok::<_, ApiError>(tx.query_row(runner::CLAIM, [true], |_| Ok(()))?)
        };
        hub.app.db.write(claim).await.unwrap();
        assert_eq!(state(&hub.app, id).await, JobState::Running);
        hub.app.sync.shutdown().await;
        hub = TrialHub::start_in(hub.dir, Config::default()).await;
        let expected = if attempt < 3 { JobState::Queued } else { JobState::Failed };
        assert_eq!(state(&hub.app, id).await, expected);
    }
    assert_eq!(hub.app.jobs.of_lesson(LESSON).unwrap().error.unwrap().code, "interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_undone_leaves_no_job() {
    let hub = TrialHub::start().await;
    let undone = hub.app.db.write(|tx| {
        enqueue(tx, LESSON, "课", &import())?;
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
