use axum::body::{Body, Bytes};
use axum::http::{Method, header};
use futures::stream;

use crate::app::now_ms;
use crate::app::trial::{Answer, TrialHub, request};
use crate::config::Config;
use crate::web::encode_base64;

const TYPE: &str = "application/offset+octet-stream";

async fn create(hub: &TrialHub, who: &str, length: &str, metadata: &[(&str, &str)]) -> Answer {
    let encoded = metadata.iter().map(|(k, v)| format!("{k} {}", encode_base64(v.as_bytes())));
    let request = request(Method::POST, "/api/v1/uploads", who)
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        .header("upload-metadata", encoded.collect::<Vec<_>>().join(","));
    hub.send(request, Body::empty()).await
}

async fn begin(hub: &TrialHub, who: &str, length: usize) -> String {
    let answer = create(hub, who, &length.to_string(), &[("filename", "课.mp4")]).await;
    assert_eq!(answer.outcome(), "201");
    answer.header("location").to_owned()
}

async fn append(hub: &TrialHub, path: &str, who: &str, offset: usize, body: Body) -> Answer {
    let request = request(Method::PATCH, path, who)
        .header("tus-resumable", "1.0.0")
        .header(header::CONTENT_TYPE, TYPE)
        .header("upload-offset", offset);
    hub.send(request, body).await
}

async fn offset(hub: &TrialHub, path: &str, who: &str) -> String {
    let answer = hub.send(request(Method::HEAD, path, who), Body::empty()).await;
    assert_eq!(answer.status, 200);
    answer.header("upload-offset").to_owned()
}

/// A body that is cut after `bytes`, as by a Wi-Fi that drops.
fn cut_body(bytes: &'static [u8]) -> Body {
    let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Body::from_stream(stream::iter([Ok(Bytes::from_static(bytes)), Err(cut)]))
}

fn file_of(hub: &TrialHub, path: &str) -> std::path::PathBuf {
    hub.dir.path().join("uploads").join(path.rsplit_once('/').unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_becomes_a_lesson_with_its_import() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let pairs = [
        ("filename", "../一 课/é🧮.mp4"),
        ("title", "分数的加法"),
        ("subject", "math"),
        ("grade", "5"),
        ("teacher", "王老师"),
    ];
    let created = create(&hub, &admin, "11", &pairs).await;
    assert_eq!(created.outcome(), "201");
    let path = created.header("location").to_owned();
    let first = append(&hub, &path, &admin, 0, Body::from("hello ")).await;
    assert_eq!((first.outcome().as_str(), first.header("upload-offset")), ("204", "6"));
    assert_eq!(first.header("yingxue-lesson"), "");
    assert_eq!(offset(&hub, &path, &admin).await, "6");
    let items = hub.get("/api/v1/uploads", &admin).await.json()["items"].clone();
    assert_eq!((&items[0]["offset"], &items[0]["length"]), (&6.into(), &11.into()));
    assert_eq!(items[0]["filename"], "../一 课/é🧮.mp4");
    let last = append(&hub, &path, &admin, 6, Body::from("world")).await;
    assert_eq!(last.outcome(), "204");
    let lesson_id = last.header("yingxue-lesson").to_owned();
    assert_eq!(lesson_id.len(), 32);
    assert_eq!(std::fs::read(file_of(&hub, &path)).unwrap(), b"hello world");
    let job = hub.get("/api/v1/jobs", &admin).await.json()["items"][0].clone();
    assert_eq!(job["lesson_id"], lesson_id.as_str());
    assert_eq!((&job["title"], &job["state"]), (&"分数的加法".into(), &"queued".into()));
    assert_eq!(hub.app.jobs.of_lesson(&lesson_id).unwrap().id, job["id"].as_i64().unwrap());
    // A client that lost the last answer asks again and learns the lesson; nothing happens twice.
    let again = append(&hub, &path, &admin, 11, Body::empty()).await;
    assert_eq!(again.header("yingxue-lesson"), lesson_id);
    assert_eq!(hub.get(&path, &admin).await.json()["lesson_id"], lesson_id.as_str());
    assert_eq!(hub.delete(&path, &admin).await.outcome(), "409 conflict");
    assert_eq!(hub.get("/api/v1/jobs", &admin).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_cut_is_kept_and_the_transfer_goes_on() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let path = begin(&hub, &admin, 10).await;
    let cut = append(&hub, &path, &admin, 0, cut_body(b"0123")).await;
    assert_eq!(cut.status, 408);
    assert_eq!(offset(&hub, &path, &admin).await, "4");
    let wrong = append(&hub, &path, &admin, 0, Body::from("0123456789")).await;
    assert_eq!(wrong.outcome(), "409 upload_offset_mismatch");
    assert_eq!(wrong.json()["params"]["offset"], 4);
    let done = append(&hub, &path, &admin, 4, Body::from("456789")).await;
    assert_ne!(done.header("yingxue-lesson"), "");
    assert_eq!(std::fs::read(file_of(&hub, &path)).unwrap(), b"0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_hangs_gives_way_to_the_next_one_and_keeps_its_bytes() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let hub = std::sync::Arc::new(hub);
    let path = begin(&hub, &admin, 8).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    let hanging = {
        let (hub, path, admin) = (hub.clone(), path.clone(), admin.clone());
        let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
        tokio::spawn(async move { append(&hub, &path, &admin, 0, body).await })
    };
    sender.send(Ok(Bytes::from_static(b"abc"))).await.unwrap();
    // The channel holds one: when the second goes in, the first was taken.
    sender.send(Ok(Bytes::from_static(b"d"))).await.unwrap();
    sender.send(Ok(Bytes::new())).await.unwrap();
    assert_eq!(offset(&hub, &path, &admin).await, "4");
    assert_eq!(hanging.await.unwrap().outcome(), "409 conflict");
    let done = append(&hub, &path, &admin, 4, Body::from("efgh")).await;
    assert_eq!(done.outcome(), "204");
    assert_eq!(std::fs::read(file_of(&hub, &path)).unwrap(), b"abcdefgh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_dropped_still_keeps_what_arrived() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let path = begin(&hub, &admin, 8).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
    {
        let handler = append(&hub, &path, &admin, 0, body);
        let feed = async {
            for part in [&b"ab"[..], b"cd", b""] {
                sender.send(Ok(Bytes::from_static(part))).await.unwrap();
            }
        };
        tokio::select! {
            answer = handler => panic!("the body has not ended: {answer:?}"),
            () = feed => {}
        }
    }
    drop(sender);
    assert_eq!(offset(&hub, &path, &admin).await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_files_and_table_agree_again() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let long = begin(&hub, &admin, 10).await;
    append(&hub, &long, &admin, 0, Body::from("0123")).await;
    let short = begin(&hub, &admin, 10).await;
    append(&hub, &short, &admin, 0, Body::from("0123")).await;
    let gone = begin(&hub, &admin, 10).await;
    // Bytes that were written and not yet acknowledged, bytes that a disk has lost, lost files.
    std::fs::write(file_of(&hub, &long), b"0123xyz").unwrap();
    std::fs::write(file_of(&hub, &short), b"01").unwrap();
    std::fs::remove_file(file_of(&hub, &gone)).unwrap();
    std::fs::write(hub.dir.path().join("uploads/stray"), b"?").unwrap();
    hub.app.sync.shutdown().await;
    let hub = TrialHub::start_in(hub.dir, Config::default()).await;
    assert_eq!(offset(&hub, &long, &admin).await, "4");
    assert_eq!(offset(&hub, &short, &admin).await, "2");
    assert_eq!(offset(&hub, &gone, &admin).await, "0");
    assert!(!hub.dir.path().join("uploads/stray").exists());
    for (path, at, rest) in
        [(&long, 4, "456789"), (&short, 2, "23456789"), (&gone, 0, "0123456789")]
    {
        assert_eq!(append(&hub, path, &admin, at, Body::from(rest)).await.outcome(), "204");
        assert_eq!(std::fs::read(file_of(&hub, path)).unwrap(), b"0123456789");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_versions_types_and_names_outside_their_bounds_are_refused() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let outcome = async |length: &str| create(&hub, &admin, length, &[]).await.outcome();
    assert_eq!(outcome("0").await, "422 invalid_input");
    assert_eq!(outcome("-1").await, "422 invalid_input");
    assert_eq!(outcome("99999999999999999999").await, "422 invalid_input");
    assert_eq!(outcome(&((8_u64 << 30) + 1).to_string()).await, "413 upload_too_large");
    let title = "长".repeat(121);
    let refused = create(&hub, &admin, "5", &[("title", &title)]).await;
    assert_eq!(refused.json()["params"]["field"], "title");
    let long_name = "🧮".repeat(300);
    let long = create(&hub, &admin, "5", &[("filename", &long_name)]).await;
    let shown = hub.get(long.header("location"), &admin).await.json();
    assert_eq!(shown["filename"].as_str().unwrap().chars().count(), 200);

    let path = begin(&hub, &admin, 5).await;
    let plain = request(Method::PATCH, &path, &admin).header("upload-offset", 0);
    let answer = hub.send(plain, Body::from("12345")).await;
    assert_eq!(answer.outcome(), "412 invalid_input");
    let plain = request(Method::PATCH, &path, &admin).header("tus-resumable", "1.0.0");
    let answer = hub.send(plain.header("upload-offset", 0), Body::from("12345")).await;
    assert_eq!(answer.outcome(), "415 unsupported_media");
    let answer = append(&hub, &path, &admin, 0, Body::from("123456")).await;
    assert_eq!(answer.outcome(), "413 upload_too_large");
    assert_eq!(offset(&hub, &path, &admin).await, "0");
    let options = hub.send(request(Method::OPTIONS, "/api/v1/uploads", ""), Body::empty()).await;
    assert_eq!(options.header("tus-extension"), "creation,termination");
    assert_eq!(options.header("tus-max-size"), (8_u64 << 30).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_says_how_much_is_missing() {
    let mut config = Config::default();
    config.uploads.disk_reserve_bytes = 1 << 60;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    let admin = hub.set_up().await;
    let answer = create(&hub, &admin, "5", &[]).await;
    assert_eq!(answer.outcome(), "507 disk_full");
    assert!(answer.json()["params"]["missing_bytes"].as_u64().unwrap() > 1 << 50);
    assert_eq!(std::fs::read_dir(hub.dir.path().join("uploads")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_belongs_to_who_began_it_and_can_be_given_up() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let teacher = hub.log_in_new(&admin, "li", "teacher").await;
    let pupil = hub.log_in_new(&admin, "xiao", "pupil").await;
    assert_eq!(create(&hub, &pupil, "5", &[]).await.outcome(), "403 not_allowed");
    assert_eq!(create(&hub, "", "5", &[]).await.outcome(), "401 not_logged_in");
    let path = begin(&hub, &teacher, 5).await;
    assert_eq!(hub.get(&path, &admin).await.outcome(), "404 not_found");
    let foreign = append(&hub, &path, &admin, 0, Body::from("12345")).await;
    assert_eq!(foreign.outcome(), "404 not_found");
    assert_eq!(hub.get("/api/v1/uploads/..%2F..%2Fhub.key", &teacher).await.status, 404);
    assert_eq!(hub.delete(&path, &teacher).await.outcome(), "204");
    assert!(!file_of(&hub, &path).exists());
    assert_eq!(hub.get(&path, &teacher).await.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_a_bounded_number_of_unfinished_uploads() {
    let mut config = Config::default();
    config.uploads.unfinished_max = 2;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    let admin = hub.set_up().await;
    begin(&hub, &admin, 5).await;
    begin(&hub, &admin, 5).await;
    assert_eq!(create(&hub, &admin, "5", &[]).await.outcome(), "409 conflict");
    assert_eq!(std::fs::read_dir(hub.dir.path().join("uploads")).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_do_not_go_on_are_removed_after_their_days() {
    let mut config = Config::default();
    config.uploads.keep_days = 0;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    let admin = hub.set_up().await;
    let stale = begin(&hub, &admin, 5).await;
    let done = begin(&hub, &admin, 5).await;
    append(&hub, &done, &admin, 0, Body::from("12345")).await;
    // The clock has milliseconds; the row's must be in the past.
    let touched_before = now_ms();
    while now_ms() <= touched_before {
        tokio::task::yield_now().await;
    }
    super::keep_house(&hub.app).await.unwrap();
    assert_eq!(hub.get(&stale, &admin).await.outcome(), "404 not_found");
    assert!(!file_of(&hub, &stale).exists());
    // Its lesson is still to be made.
    assert!(file_of(&hub, &done).exists());
}

const GROUP: &str = "00112233445566778899aabbccddeeff";

async fn begin_part(hub: &TrialHub, who: &str, files: u32, place: u32, name: &str) -> Answer {
    let (files, place) = (files.to_string(), place.to_string());
    let pairs = [
        ("filename", name),
        ("title", "黑板"),
        ("group", GROUP),
        ("group_files", &files),
        ("group_place", &place),
    ];
    create(hub, who, "5", &pairs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_lesson_make_it_when_the_last_has_arrived_in_the_order_of_their_places() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let second = begin_part(&hub, &admin, 3, 1, "2.jpg").await.header("location").to_owned();
    let first = begin_part(&hub, &admin, 3, 0, "1.jpg").await.header("location").to_owned();
    for path in [&second, &first] {
        let arrived = append(&hub, path, &admin, 0, Body::from("12345")).await;
        assert_eq!((arrived.outcome().as_str(), arrived.header("yingxue-lesson")), ("204", ""));
        // A client that lost the answer asks again; nothing happens.
        let again = append(&hub, path, &admin, 5, Body::empty()).await;
        assert_eq!((again.outcome().as_str(), again.header("yingxue-lesson")), ("204", ""));
    }
    let list = hub.get("/api/v1/uploads", &admin).await.json()["items"].clone();
    assert_eq!(list.as_array().unwrap().len(), 2, "they wait for the third");
    assert_eq!(list[0]["group"]["files"], 3);
    let refused = async |files, place| begin_part(&hub, &admin, files, place, "x").await.outcome();
    assert_eq!(refused(3, 1).await, "409 conflict");
    assert_eq!(refused(4, 2).await, "422 invalid_input");

    // The hub is stopped between the second file and the third.
    hub.app.sync.shutdown().await;
    let hub = TrialHub::start_in(hub.dir, Config::default()).await;
    let third = begin_part(&hub, &admin, 3, 2, "声音.m4a").await.header("location").to_owned();
    assert_eq!(hub.get("/api/v1/jobs", &admin).await.json()["items"].as_array().unwrap().len(), 0);
    let done = append(&hub, &third, &admin, 0, Body::from("abcde")).await;
    let lesson_id = done.header("yingxue-lesson").to_owned();
    assert_eq!(lesson_id.len(), 32);
    for path in [&first, &second] {
        assert_eq!(hub.get(path, &admin).await.json()["lesson_id"], lesson_id.as_str());
    }
    let job = hub.app.jobs.of_lesson(&lesson_id).unwrap();
    assert_eq!(job.title, "黑板");
    let payload = |db: &rusqlite::Connection| -> rusqlite::Result<String> {
        db.query_row("select payload from jobs", [], |row| row.get(0))
    };
    let payload = hub.app.db.read(payload).await.unwrap();
    let import: crate::jobs::ImportJob = serde_json::from_str(&payload).unwrap();
    let id = |path: &str| path.rsplit_once('/').unwrap().1.to_owned();
    let expected = [(id(&first), "1.jpg"), (id(&second), "2.jpg"), (id(&third), "声音.m4a")];
    let files: Vec<_> = import.files().map(|(id, name)| (id.to_owned(), name)).collect();
    assert_eq!(files, expected);
    let late = begin_part(&hub, &admin, 3, 0, "1.jpg").await;
    assert_eq!(late.outcome(), "409 conflict", "it is a lesson already");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_one_lesson_are_bounded_and_belong_to_one_teacher() {
    let mut config = Config::default();
    config.uploads.unfinished_max = 1;
    config.uploads.upload_bytes_max = 9;
    let hub = TrialHub::start_in(tempfile::tempdir().unwrap(), config).await;
    let admin = hub.set_up().await;
    let teacher = hub.log_in_new(&admin, "li", "teacher").await;
    assert_eq!(begin_part(&hub, &admin, 2, 0, "1.jpg").await.outcome(), "201");
    // Together they have more bytes than a lesson may have.
    assert_eq!(begin_part(&hub, &admin, 2, 1, "2.jpg").await.outcome(), "413 upload_too_large");
    // The same number of another teacher is another lesson.
    assert_eq!(begin_part(&hub, &teacher, 2, 0, "1.jpg").await.outcome(), "201");
    assert_eq!(create(&hub, &teacher, "4", &[]).await.outcome(), "409 conflict");
    let pairs = [("group", GROUP), ("group_files", "2"), ("group_place", "1")];
    let other = create(&hub, &teacher, "4", &pairs).await;
    assert_eq!(other.outcome(), "201", "the files of one lesson count as one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_waits_for_the_others_is_kept_as_long_as_they_go_on() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let old = begin_part(&hub, &admin, 2, 0, "1.jpg").await.header("location").to_owned();
    append(&hub, &old, &admin, 0, Body::from("12345")).await;
    let new = begin_part(&hub, &admin, 2, 1, "2.jpg").await.header("location").to_owned();
    let age = |id: String, ms: i64| {
        hub.app.db.write(move |tx| {
            tx.execute(
                "update uploads set touched_at = touched_at - ?2 where id = unhex(?1)",
                rusqlite::params![id, ms],
            )
        })
    };
    let id = |path: &str| path.rsplit_once('/').unwrap().1.to_owned();
    age(id(&old), 8 * 86_400_000).await.unwrap();
    super::keep_house(&hub.app).await.unwrap();
    assert_eq!(hub.get(&old, &admin).await.status, 200);
    age(id(&new), 8 * 86_400_000).await.unwrap();
    super::keep_house(&hub.app).await.unwrap();
    assert_eq!(hub.get(&old, &admin).await.status, 404);
    assert!(!file_of(&hub, &old).exists() && !file_of(&hub, &new).exists());
}
