//! Lessons of pictures, archives and several files.

use super::*;

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
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::Everything));
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
    let error = crate::import_job::run(&hub.app, &job).await.unwrap_err();
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
    assert_eq!(crate::import_job::run(&hub.app, &job).await, Ok(Made::Everything));
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
async fn subtitles_beside_a_video_become_captions_and_files_that_do_not_fit_are_named() {
    let (hub, admin) = member().await;
    let mut job = claimed(&hub, "光").await;
    upload(&hub, &job, |path| std::fs::write(path, SUBTITLES).unwrap()).await;
    let paths = add_files(&hub, &mut job, &["光.mp4"]);
    make_video(&paths[0]);
    crate::import_job::run(&hub.app, &job).await.unwrap();
    let seen = lesson(&hub, &admin, &job).await;
    assert!(kinds(&seen).contains(&"captions-1") && kinds(&seen).contains(&"source"), "{seen}");

    let mut job = claimed(&hub, "影").await;
    upload(&hub, &job, make_video).await;
    let paths = add_files(&hub, &mut job, &["课堂2.mp4"]);
    make_video(&paths[0]);
    let error = crate::import_job::run(&hub.app, &job).await.unwrap_err();
    assert_eq!(error.code, "many_recordings");
    std::fs::write(&paths[0], "a plan of the lesson").unwrap();
    let error = crate::import_job::run(&hub.app, &job).await.unwrap_err();
    assert_eq!(error.code, "not_media");
    assert!(error.detail.starts_with("“课堂2.mp4”: "), "{error}");
    std::fs::remove_file(&paths[0]).unwrap();
    assert_eq!(crate::import_job::run(&hub.app, &job).await.unwrap_err().code, "upload_gone");
}
