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
