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

mod finer;
mod publication;
mod refusal;
mod several;
mod stopping;

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
