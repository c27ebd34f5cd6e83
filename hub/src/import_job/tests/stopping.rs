//! Imports that are cancelled, deleted or held up by a class.

use super::*;

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
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::FirstTiers));
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
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::FirstTiers));
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
    assert_eq!(crate::import_job::run(&hub.app, &second).await.unwrap_err().code, "cancelled");
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
    assert_eq!(crate::import_job::run(&hub.app, &second).await, Ok(Made::Everything));
    assert!(kinds(&lesson(&hub, &admin, &job).await).contains(&"video-480"));

    // It is cancelled again, and the lesson is deleted: then nothing is kept for it.
    assert_eq!(hub.delete(&job_path, &admin).await.outcome(), "204");
    let path = format!("/api/v1/lessons/{}", job.lesson_id);
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    work_folder::sweep(&hub.app).await;
    assert!(!folder.exists());
}
