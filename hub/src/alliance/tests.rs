use serde_json::json;

use crate::app::trial::TrialHub;

#[tokio::test(flavor = "multi_thread")]
async fn a_school_is_invited_joins_and_is_taken_out_again() {
    let (lead, lead_admin) = TrialHub::start_set_up().await;
    let (member, admin) = TrialHub::start_set_up().await;
    let none = lead.get("/api/v1/alliance", &lead_admin).await;
    assert_eq!(none.outcome(), "404 no_alliance");
    let bad = lead.post("/api/v1/alliance", &lead_admin, json!({"name": " "})).await;
    assert_eq!(bad.outcome(), "422 invalid_input");
    let founded = lead.post("/api/v1/alliance", &lead_admin, json!({"name": "萤雪"})).await;
    assert_eq!(founded.outcome(), "201");
    assert_eq!(
        (&founded.json()["role"], &founded.json()["name"]),
        (&json!("lead"), &json!("萤雪"))
    );
    let again = lead.post("/api/v1/alliance", &lead_admin, json!({"name": "萤雪"})).await;
    assert_eq!(again.outcome(), "409 already_member");

    let invitations = "/api/v1/alliance/invitations";
    let bad = lead.post(invitations, &lead_admin, json!({"valid_hours": 721})).await;
    assert_eq!(bad.outcome(), "422 invalid_input");
    let invited = lead.post(invitations, &lead_admin, json!({"valid_hours": 1})).await.json();
    assert!(invited["qr_svg"].as_str().unwrap().contains("<svg"));
    let broken = member.post("/api/v1/alliance/join", &admin, json!({"invitation": "x"})).await;
    assert_eq!(broken.outcome(), "422 invitation_malformed");
    let body = json!({"invitation": invited["text"]});
    let joined = member.post("/api/v1/alliance/join", &admin, body).await;
    assert_eq!(joined.outcome(), "200");
    let joined = joined.json();
    assert_eq!(joined["role"], "member");
    assert_eq!(joined["members"].as_array().unwrap().len(), 2);
    let refused = member.post(invitations, &admin, json!({"valid_hours": 1})).await;
    assert_eq!(refused.outcome(), "403 not_registrar");
    let contacts = member.get("/api/v1/contacts", &admin).await.json();
    assert_eq!(contacts["hubs"].as_array().unwrap().len(), 1);
    assert_eq!(contacts["is_online"], true);

    let own = lead.app.sync.hub_id();
    let path = |id: &str| format!("/api/v1/alliance/members/{id}");
    let stays = lead.delete(&path(&own.to_string()), &lead_admin).await;
    assert_eq!(stays.outcome(), "409 conflict");
    let nobody = lead.delete(&path(&"0".repeat(64)), &lead_admin).await;
    assert_eq!(nobody.outcome(), "404 not_found");
    let gone = member.app.sync.hub_id().to_string();
    assert_eq!(lead.delete(&path(&gone), &lead_admin).await.outcome(), "204");
    let left = lead.get("/api/v1/alliance", &lead_admin).await.json();
    assert_eq!(left["revoked"][0]["hub_id"], gone);
}
