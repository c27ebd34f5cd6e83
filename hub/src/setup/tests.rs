use serde_json::json;

use super::new_code;
use crate::app::trial::{PASSWORD, TrialHub};

fn words(code: &str, school: &str) -> serde_json::Value {
    json!({"code": code, "school": school, "name": "校长", "login": "admin", "password": PASSWORD})
}

#[test]
fn codes_are_eight_digits_with_a_dash() {
    let code = new_code();
    let (left, right) = code.split_once('-').unwrap();
    assert!([left, right].iter().all(|part| part.len() == 4 && part.parse::<u32>().is_ok()));
    assert_ne!(new_code(), new_code());
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_works_once_and_with_the_code_alone() {
    let hub = TrialHub::start().await;
    let state = hub.get("/api/v1/state", "").await.json();
    assert_eq!((&state["phase"], &state["school"]), (&json!("setup"), &json!(null)));
    let code = hub.app.setup_code.read().unwrap().clone().unwrap();
    let wrong = hub.post("/api/v1/setup", "", words("x", "学校")).await;
    assert_eq!(wrong.outcome(), "403 wrong_setup_code");
    for school in ["", "\n", &"校".repeat(61)] {
        let refused = hub.post("/api/v1/setup", "", words(&code, school)).await;
        assert_eq!(refused.outcome(), "422 invalid_input");
    }
    let plain = code.replace('-', "");
    let done = hub.post("/api/v1/setup", "", words(&plain, " 山村小学 ")).await;
    assert_eq!(done.outcome(), "201");
    let state = hub.get("/api/v1/state", &done.cookie()).await.json();
    assert_eq!(state["phase"], "alliance");
    assert_eq!(state["school"]["name"], "山村小学");
    assert_eq!(state["school"]["hub_id"].as_str().unwrap().len(), 64);
    assert_eq!(state["user"]["name"], "校长");
    assert_eq!(state["language_default"], "zh");
    let again = hub.post("/api/v1/setup", "", words(&code, "别的学校")).await;
    assert_eq!(again.outcome(), "409 already_set_up");
    hub.app.sync.shutdown().await;
    let hub = TrialHub::start_in(hub.dir, Default::default()).await;
    let again = hub.post("/api/v1/setup", "", words(&code, "别的学校")).await;
    assert_eq!(again.outcome(), "409 already_set_up");
    assert_eq!(hub.app.school_name().unwrap(), "山村小学");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_the_code_is_stopped() {
    let hub = TrialHub::start().await;
    for _ in 0..super::WRONG_CODES_MAX {
        let wrong = hub.post("/api/v1/setup", "", words("1", "学校")).await;
        assert_eq!(wrong.outcome(), "403 wrong_setup_code");
    }
    let code = hub.app.setup_code.read().unwrap().clone().unwrap();
    let stopped = hub.post("/api/v1/setup", "", words(&code, "学校")).await;
    assert_eq!(stopped.outcome(), "429 too_many_tries");
}
