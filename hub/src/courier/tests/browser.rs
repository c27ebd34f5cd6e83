//! Parcels that go through a browser, as one file each.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_for_a_browser_is_downloaded_in_parts_and_uploaded_elsewhere() {
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let [lead, village] = [&schools.lead, &schools.village];
    for hub in [lead, village] {
        tokio::spawn(runner::run(hub.app.clone()));
    }
    let [lead_admin, admin] = [lead.log_in("admin").await, village.log_in("admin").await];
    let to = json!({"to": [village.app.sync.hub_id().to_string()]});
    let begun = lead.post("/api/v1/courier/exports", &lead_admin, to).await;
    assert_eq!(begun.outcome(), "202");
    let path = format!("/api/v1/courier/exports/{}", begun.json()["id"]);
    let export = ended(lead, &path, &lead_admin).await;
    assert_eq!(export["state"], "done", "{export}");
    let file = &export["files"][0];
    let (url, bytes) = (file["url"].as_str().unwrap(), file["bytes"].as_u64().unwrap());
    let mut whole = Vec::new();
    for range in [format!("bytes=0-{}", bytes / 2), format!("bytes={}-", bytes / 2 + 1)] {
        let request = crate::app::trial::request(axum::http::Method::GET, url, &lead_admin);
        let part = lead.send(request.header("range", range), axum::body::Body::empty()).await;
        assert_eq!(part.status, 206);
        whole.extend(part.bytes);
    }
    assert_eq!(whole.len() as u64, bytes);

    let kind = crate::web::encode_base64(b"courier");
    let request = crate::app::trial::request(axum::http::Method::POST, "/api/v1/uploads", &admin)
        .header("tus-resumable", "1.0.0")
        .header("upload-length", bytes)
        .header("upload-metadata", format!("kind {kind}"));
    let created = village.send(request, axum::body::Body::empty()).await;
    let request =
        crate::app::trial::request(axum::http::Method::PATCH, created.header("location"), &admin)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", 0);
    let done = village.send(request, axum::body::Body::from(whole)).await;
    assert_eq!(done.status, 204);
    let path = format!("/api/v1/courier/imports/{}", done.header("yingxue-import"));
    let import = ended(village, &path, &admin).await;
    assert_eq!((&import["state"], &import["accepted"]["blobs"]), (&json!("done"), &json!(2)));
    assert_eq!(import["receipt"], "with_next_export");
    assert!(are_whole(village, &blobs));
}

async fn ended(hub: &TrialHub, path: &str, who: &str) -> serde_json::Value {
    let mut events = hub.app.events.subscribe();
    loop {
        let job = hub.get(path, who).await.json();
        if job["state"] != "queued" && job["state"] != "running" {
            return job;
        }
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), events.recv());
        next.await.expect("it ends within a minute").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_may_name_is_bounded() {
    let schools = schools().await;
    let lead = &schools.lead;
    let admin = lead.log_in("admin").await;
    let to = [schools.village.app.sync.hub_id().to_string()];
    for wrong in [vec!["7".to_owned()], vec!["0".repeat(32); 1_001]] {
        let body = json!({"to": to, "lessons": wrong});
        let answer = lead.post("/api/v1/courier/exports", &admin, body).await;
        assert_eq!(answer.outcome(), "422 invalid_input");
    }
}

/// Makes the village's file.
async fn make_file(schools: &Schools, parcel: u32) -> Row {
    let app = schools.lead.app.clone();
    let to = schools.village.app.sync.hub_id();
    let job = NewJob { folder: None, ..export_to(Path::new(""), to, parcel) };
    let row = app.db.write(move |tx| -> Result<Row, crate::problem::ApiError> {
        table::insert(tx, &job, u32::MAX)?;
        Ok(table::claim(tx)?.expect("it was just made"))
    });
    let row = row.await.unwrap();
    let (worker, begun) = (app.clone(), row.clone());
    let work = move || runner::work(&worker, &begun, &Live::default());
    let (report, outcome) = tokio::task::spawn_blocking(work).await.unwrap();
    outcome.unwrap();
    let done = Row { report, state: crate::jobs::JobState::Done, ..row };
    let kept = done.clone();
    app.db.write(move |tx| table::finish(tx, &kept)).await.unwrap();
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_kept_for_a_week_or_until_the_next_one_for_the_same_school() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let (lead, admin) = (&schools.lead, schools.lead.log_in("admin").await);
    let all = lead.app.data_dir.join("courier");
    let shown = async |row: &Row| {
        lead.get(&format!("/api/v1/courier/exports/{}", row.id), &admin).await.json()
    };
    let is_there = async |row: &Row| {
        let answer = lead.get(&row.report.files[0].url, &admin).await;
        assert_eq!(answer.status == 200, all.join(row.id.to_string()).exists());
        answer.status == 200
    };
    let first = make_file(&schools, 1).await;
    // What no export names, and what is no export's.
    for stray in ["999/deadbeef", "notes"] {
        fs::create_dir_all(all.join(stray)).unwrap();
    }
    files::sweep(&lead.app).await;
    assert!(is_there(&first).await);
    assert!(!all.join("999").exists() && all.join("notes").exists());
    let export = shown(&first).await;
    let until = export["finished_at"].as_i64().unwrap() + files::KEPT_MS;
    assert_eq!(export["files_until"], until, "{export}");

    let second = make_file(&schools, 2).await;
    files::sweep(&lead.app).await;
    assert!(!is_there(&first).await && is_there(&second).await);
    let export = shown(&first).await;
    assert_eq!((&export["files"], &export["files_until"]), (&json!([]), &json!(null)));

    let age = |tx: &rusqlite::Transaction<'_>| -> Result<_, crate::problem::ApiError> {
        let older = "update courier_jobs set finished_at = finished_at - ?1";
        Ok(tx.execute(older, [files::KEPT_MS + 1])?)
    };
    lead.app.db.write(age).await.unwrap();
    files::sweep(&lead.app).await;
    assert!(!is_there(&second).await);
    assert_eq!(shown(&second).await["files"], json!([]));
}
