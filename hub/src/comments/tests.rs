use serde_json::json;
use yingxue_sync_core::id::DocId;

use crate::app::trial::TrialHub;
use crate::catalog::{self, NewLesson, collection};

const OP: &str = "000102030405060708090a0b0c0d0e0f";

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_is_added_once_shown_and_deleted_by_its_author() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let lesson = NewLesson {
        title: "课".to_owned(),
        subject: "math".to_owned(),
        grade: "1".to_owned(),
        teacher: String::new(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: 1_000,
    };
    let id = DocId([5; 16]);
    let edits = catalog::lesson_edits(&lesson, 1, None, &[]);
    hub.app.sync.edit_doc(collection(), id, "t".to_owned(), edits).await.unwrap();
    let teacher = hub.log_in_new(&admin, "teacher", "teacher").await;
    let pupil = hub.log_in_new(&admin, "pupil", "pupil").await;
    let path = format!("/api/v1/lessons/{id}/comments");
    let body = json!({"op_id": OP, "text": "好\n课", "at_ms": 1_500});

    assert_eq!(hub.post(&path, &pupil, body.clone()).await.outcome(), "403 not_allowed");
    let added = hub.post(&path, &teacher, body.clone()).await;
    assert_eq!(added.outcome(), "201");
    let again = hub.post(&path, &teacher, body.clone()).await;
    assert_eq!(again.outcome(), "200");
    assert_eq!(again.json(), added.json());
    assert_eq!(hub.post(&path, &admin, body).await.outcome(), "409 conflict");
    for body in [
        json!({"op_id": "x", "text": "a", "at_ms": null}),
        json!({"op_id": OP, "text": " ", "at_ms": null}),
        json!({"op_id": OP, "text": "长".repeat(2_001), "at_ms": null}),
        json!({"op_id": OP, "text": "a", "at_ms": -1}),
    ] {
        assert_eq!(hub.post(&path, &teacher, body).await.outcome(), "422 invalid_input");
    }
    let seen = hub.get(&path, &pupil).await.json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    let first = &seen["items"][0];
    assert_eq!((&first["text"], &first["is_own"]), (&json!("好\n课"), &json!(false)));
    assert_eq!((&first["school"], &first["author"]), (&json!("雪山中学"), &json!("teacher")));

    let one = format!("{path}/{OP}");
    assert_eq!(hub.delete(&one, &admin).await.outcome(), "403 not_allowed");
    assert_eq!(hub.delete(&one, &teacher).await.outcome(), "204");
    assert_eq!(hub.delete(&one, &teacher).await.outcome(), "204");
    assert_eq!(hub.get(&path, &teacher).await.json(), json!({"items": []}));
    let nowhere = format!("/api/v1/lessons/{}/comments", DocId([6; 16]));
    assert_eq!(hub.get(&nowhere, &teacher).await.outcome(), "404 not_found");
}
