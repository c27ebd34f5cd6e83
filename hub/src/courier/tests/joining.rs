//! A school that no wire reaches joins by stick.

use axum::http::Method;
use serde_json::Value;

use super::*;

/// A lead school with a lesson, and a school of no alliance, whose wires are cut for good.
struct Apart {
    lead: TrialHub,
    lead_admin: String,
    mountain: TrialHub,
    admin: String,
    sticks: tempfile::TempDir,
}

async fn apart() -> Apart {
    let ((lead, lead_admin), (mountain, admin)) =
        (TrialHub::start_set_up().await, TrialHub::start_set_up().await);
    for hub in [&lead, &mountain] {
        hub.app.sync.set_online(false).await;
    }
    lead.post("/api/v1/alliance", &lead_admin, json!({"name": "萤雪"})).await;
    Apart { lead, lead_admin, mountain, admin, sticks: tempfile::tempdir().unwrap() }
}

impl Apart {
    fn stick(&self, name: &str) -> PathBuf {
        let stick = self.sticks.path().join(name);
        fs::create_dir(&stick).unwrap();
        stick
    }

    async fn invite(&self) -> String {
        let hours = json!({"valid_hours": 1});
        let url = "/api/v1/alliance/invitations";
        let made = self.lead.post(url, &self.lead_admin, hours).await.json();
        made["text"].as_str().unwrap().to_owned()
    }

    async fn answer(&self, invitation: &str, stick: Option<&Path>) -> crate::app::trial::Answer {
        let body = json!({"invitation": invitation, "folder": stick});
        self.mountain.post("/api/v1/courier/answers", &self.admin, body).await
    }

    /// Answers an invitation on a new stick.
    async fn answered(&self, name: &str) -> PathBuf {
        let stick = self.stick(name);
        let invitation = self.invite().await;
        assert_eq!(self.answer(&invitation, Some(&stick)).await.outcome(), "201");
        stick
    }

    async fn members(&self) -> usize {
        self.lead.app.sync.membership().unwrap().hubs.len()
    }

    fn to(&self) -> HubId {
        self.mountain.app.sync.hub_id()
    }
}

async fn import(hub: &TrialHub, stick: &Path) -> Report {
    let (report, outcome) = run(hub, import_from(stick), 0).await;
    outcome.unwrap();
    report
}

async fn failed(hub: &TrialHub, stick: &Path) -> JobError {
    run(hub, import_from(stick), 0).await.1.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_without_a_wire_joins_and_has_the_lessons_by_one_stick_that_goes_twice() {
    let apart = apart().await;
    let (_, blobs) = add_lesson(&apart.lead, 1).await;
    let stick = apart.answered("usb").await;
    let waiting = apart.mountain.get("/api/v1/courier/answers", &apart.admin).await.json();
    assert!(waiting["answer"]["expires_at"].as_i64().unwrap() > 0, "{waiting}");
    let early = failed(&apart.mountain, &stick).await;
    assert_eq!(early.code, "not_admitted_yet");

    let admitted = import(&apart.lead, &stick).await;
    assert_eq!(
        (&admitted.admitted[..], &admitted.refused[..]),
        (&["雪山中学".to_owned()][..], &[][..])
    );
    assert_eq!(apart.members().await, 2);
    assert!(!stick.join("yingxue-courier/join").read_dir().unwrap().any(|_| true), "it is done");
    let (report, outcome) = run(&apart.lead, export_to(&stick, apart.to(), 1), 0).await;
    outcome.unwrap();
    assert_eq!(report.blobs, 2);

    let joined = import(&apart.mountain, &stick).await;
    assert_eq!((joined.joined.as_deref(), joined.blobs), (Some("萤雪"), 2), "{joined:?}");
    assert_eq!(joined.refused, []);
    assert!(are_whole(&apart.mountain, &blobs));
    assert_eq!(apart.mountain.app.sync.membership().unwrap().hubs.len(), 2);
    let waiting = apart.mountain.get("/api/v1/courier/answers", &apart.admin).await.json();
    assert_eq!(waiting["answer"], Value::Null);

    // What it writes goes back, and its receipt: the next stick carries no more than is new.
    add_lesson(&apart.mountain, 9).await;
    let back = export_to(&stick, apart.lead.app.sync.hub_id(), 2);
    run(&apart.mountain, back, 0).await.1.unwrap();
    assert_eq!(import(&apart.lead, &stick).await.lessons.len(), 1);
    let (again, outcome) = run(&apart.lead, export_to(&stick, apart.to(), 3), 0).await;
    outcome.unwrap();
    assert_eq!(again.payload_bytes, 0, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_used_forged_late_or_for_another_alliance_admits_nobody_and_says_why() {
    let (ours, others) = (apart().await, apart().await);
    let invitation = ours.invite().await;
    let (stick, copy) = (ours.stick("usb"), ours.stick("copy"));
    assert_eq!(ours.answer(&invitation, Some(&stick)).await.outcome(), "201");
    // A second school answers the same invitation.
    assert_eq!(others.answer(&invitation, Some(&copy)).await.outcome(), "201");
    assert_eq!(import(&others.lead, &copy).await.refused, [], "not for that alliance's eyes");
    assert_eq!((others.members().await, ours.members().await), (1, 1));

    let file = only_answer(&stick);
    let bytes = fs::read(&file).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        fs::write(&file, forged).unwrap();
        assert_eq!(import(&ours.lead, &stick).await.refused.len(), 1, "byte {at}");
    }
    assert_eq!(ours.members().await, 1);
    fs::write(&file, &bytes).unwrap();
    assert_eq!(import(&ours.lead, &stick).await.admitted.len(), 1);
    let used = import(&ours.lead, &copy).await;
    assert_eq!(used.refused[0].why, "this invitation was used already");
    // The first answer is replayed: while its hub is a member it says nothing new, and once it
    // was taken out it is no way back.
    fs::write(&file, &bytes).unwrap();
    let replayed = import(&ours.lead, &stick).await;
    assert_eq!((replayed.admitted.len(), replayed.refused.len()), (0, 0));
    ours.lead.app.sync.revoke(ours.to()).await.unwrap();
    fs::write(&file, &bytes).unwrap();
    let replayed = import(&ours.lead, &stick).await;
    assert_eq!(replayed.refused[0].why, "this invitation was used already");
    assert_eq!(ours.members().await, 1);
}

fn only_answer(stick: &Path) -> PathBuf {
    let mut files = fs::read_dir(stick.join("yingxue-courier/join")).unwrap();
    files.next().unwrap().unwrap().path()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_has_expired_is_not_answered_and_its_answer_not_taken() {
    let apart = apart().await;
    let long_ago = apart.lead.app.sync.invite(1_000).await.unwrap();
    let stick = apart.stick("usb");
    let refused = apart.answer(&long_ago, Some(&stick)).await;
    assert_eq!(refused.outcome(), "422 invitation_expired");
    assert!(!stick.join("yingxue-courier").exists(), "nothing was written");
    // One that was answered in time by a clock that is wrong, or that took too long to come.
    use yingxue_sync_core::courier::Answer;
    use yingxue_sync_core::membership::invitation::Invitation;
    let invitation = Invitation::from_text(&long_ago).unwrap();
    let keys = apart.mountain.app.sync.keys();
    let late = Answer::to(&invitation, keys, "山顶".to_owned(), vec![], 1).sign(keys);
    let opened = yingxue_sync_io::courier::Stick::open_or_make(&stick).unwrap();
    opened.write_answer(&late).unwrap();
    let report = import(&apart.lead, &stick).await;
    assert_eq!(report.refused[0].why, "this invitation has expired");
    assert_eq!(apart.members().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_through_browsers_too_and_only_an_administrator_makes_it() {
    let apart = apart().await;
    let invitation = apart.invite().await;
    let made = apart.answer(&invitation, None).await;
    assert_eq!(made.outcome(), "201");
    let made = made.json();
    assert!(made["file"]["name"].as_str().unwrap().ends_with(".yxc"), "{made}");
    let bytes = crate::uploads::decode_base64(made["file"]["base64"].as_str().unwrap()).unwrap();
    let file = apart.sticks.path().join("join.yxc");
    fs::write(&file, bytes).unwrap();
    assert_eq!(import(&apart.lead, &file).await.admitted.len(), 1);
    let job = failed(&apart.mountain, &file).await;
    assert_eq!(job.code, "courier_damaged", "it is encrypted to the lead school: {job:?}");
    assert_eq!(apart.answer("YX1-NONSENSE", None).await.outcome(), "422 invitation_malformed");

    let teacher = apart.mountain.log_in_new(&apart.admin, "chen", "teacher").await;
    let body = json!({"invitation": invitation});
    let refused = apart.mountain.json(Method::POST, "/api/v1/courier/answers", &teacher, body);
    assert_eq!(refused.await.outcome(), "403 not_allowed");
    let member = json!({"invitation": invitation});
    let url = "/api/v1/courier/answers";
    let refused = apart.lead.post(url, &apart.lead_admin, member).await;
    assert_eq!(refused.outcome(), "409 already_member");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_bring_the_membership_makes_nobody_a_member() {
    let (ours, others) = (apart().await, apart().await);
    let nobody = apart().await;
    let stick = ours.answered("usb").await;
    // Nothing was answered by this one.
    assert_eq!(failed(&nobody.mountain, &stick).await.code, "no_alliance");
    // Another alliance has admitted and writes for it: what was answered counts.
    let elsewhere = others.stick("elsewhere");
    let invitation = others.invite().await;
    let body = json!({"invitation": invitation, "folder": elsewhere});
    let made = nobody.mountain.post("/api/v1/courier/answers", &nobody.admin, body).await;
    assert_eq!(made.outcome(), "201");
    import(&others.lead, &elsewhere).await;
    run(&others.lead, export_to(&elsewhere, nobody.to(), 1), 0).await.1.unwrap();
    assert_eq!(failed(&ours.mountain, &elsewhere).await.code, "not_admitted_yet");
    assert!(ours.mountain.app.sync.membership().is_none());
    // A parcel that was cut off after it was written is refused, and whole it is taken.
    let segment = folder_of(&elsewhere, 1).join("0000.seg");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    let cut = failed(&nobody.mountain, &elsewhere).await;
    assert_eq!(cut.code, "not_admitted_yet");
    fs::write(&segment, &bytes).unwrap();
    assert_eq!(import(&nobody.mountain, &elsewhere).await.joined.as_deref(), Some("萤雪"));
}
