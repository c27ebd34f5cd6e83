//! What is not taken, and that nothing has changed then.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_of_another_alliance_is_refused_with_words_and_nothing_has_changed() {
    let (ours, others) = (schools().await, schools().await);
    add_lesson(&others.lead, 1).await;
    let stick = ours.stick(0);
    others.export(&stick, 1).await;
    let before = state_of(&ours.village);
    let report = ours.import(&stick).await;
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.refused[0].why, "it is of another alliance");
    assert_eq!(report.refused[0].file, "outbox/00000001/manifest");
    assert_eq!(state_of(&ours.village), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hub_that_was_taken_out_nothing_is_taken() {
    let schools = schools().await;
    add_lesson(&schools.village, 1).await;
    let stick = schools.stick(0);
    let to = schools.lead.app.sync.hub_id();
    run(&schools.village, export_to(&stick, to, 1), 0).await.1.unwrap();
    schools.lead.app.sync.revoke(schools.village.app.sync.hub_id()).await.unwrap();
    let before = state_of(&schools.lead);
    let (report, outcome) = run(&schools.lead, import_from(&stick), 0).await;
    outcome.unwrap();
    let words = "the hub that wrote it does not belong to the alliance";
    assert_eq!(report.refused[0].why, words, "{report:?}");
    assert_eq!(state_of(&schools.lead), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_claims_a_later_epoch_brings_nothing() {
    let schools = schools().await;
    let village = &schools.village;
    let (stick, stranger) = (schools.stick(0), Keys::of(&[99; 32]));
    let piece = Frame::Piece { blob: BlobId([1; 32]), piece: 0, bytes: vec![1; 1_000] };
    let parts = [vec![Frame::Epochs(vec![vec![0; 100]])], vec![piece; 300]];
    write_by_hand(&schools, &stick, &stranger, u64::MAX, &parts);
    let before = state_of(village);
    let report = schools.import(&stick).await;
    assert_eq!(report.refused.len(), 2, "{report:?}");
    assert!(report.refused[0].why.contains("epoch"), "{report:?}");
    assert!(report.refused[1].why.contains("does not belong"), "{report:?}");
    assert_eq!(state_of(village), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teacher_names_sticks_alone_and_nobody_the_hubs_own_folder() {
    let schools = schools().await;
    let lead = &schools.lead;
    let admin = lead.log_in("admin").await;
    let teacher = lead.log_in_new(&admin, "chen", "teacher").await;
    let pupil = lead.log_in_new(&admin, "xiaoming", "pupil").await;
    let (stick, own) = (schools.stick(0), lead.dir.path().join("blobs"));
    let import = |folder: &Path| json!({"folder": folder.to_str().unwrap()});
    let url = "/api/v1/courier/imports";
    assert_eq!(lead.post(url, &pupil, import(&stick)).await.outcome(), "403 not_allowed");
    assert_eq!(lead.post(url, &teacher, import(&stick)).await.outcome(), "422 invalid_input");
    assert_eq!(lead.post(url, &admin, import(&stick)).await.outcome(), "202");
    assert_eq!(lead.post(url, &admin, import(&own)).await.outcome(), "422 invalid_input");
    let relative = lead.post(url, &admin, json!({"folder": "../usb"})).await;
    assert_eq!(relative.outcome(), "422 invalid_input");
    let nobody = json!({"to": ["00".repeat(32)], "folder": stick.to_str().unwrap()});
    let refused = lead.post("/api/v1/courier/exports", &admin, nobody).await;
    assert_eq!(refused.outcome(), "422 invalid_input");
    let targets = lead.get("/api/v1/courier/targets", &teacher).await.json();
    assert_eq!(targets["items"].as_array().unwrap().len(), 1);
}
