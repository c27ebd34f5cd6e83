//! What goes on a stick that has no room for everything.

use jiff::ToSpan as _;

use super::*;

/// Gives the titles that a stick of so many bytes carries, floors only.
async fn carried(schools: &Schools, n: u32, to: Vec<HubId>, bytes_max: u64) -> Vec<String> {
    let stick = schools.stick(u64::from(n));
    let bytes_max = Some(bytes_max);
    let job = NewJob { bytes_max, targets: to, ..export_to(&stick, HubId([0; 32]), n) };
    let (report, outcome) = run(&schools.lead, job, 0).await;
    outcome.unwrap();
    assert!(report.left_out > 0, "it had to choose: {report:?}");
    let mut titles: Vec<String> = report.lessons.into_iter().map(|one| one.title).collect();
    titles.sort();
    titles
}

/// Gives the bytes of the first track of a lesson and what they take beside.
fn room_for(hub: &TrialHub, audio: BlobId) -> u64 {
    let bytes = "select total_bytes from blobs where blob = ?1";
    let read = |db: &rusqlite::Connection| db.query_row(bytes, [audio.as_bytes()], |r| r.get(0));
    hub.app.db.read_blocking(read).map(|bytes: u64| bytes + 10_000).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_stick_takes_two_short_lessons_rather_than_the_newest_long_one() {
    let schools = schools().await;
    let (lead, village) = (&schools.lead, schools.village.app.sync.hub_id());
    for n in [1, 2] {
        add_lesson_of(lead, n, 5).await;
    }
    let (long, [audio, _]) = add_lesson_of(lead, 3, 14).await;
    let room = room_for(lead, audio);
    assert_eq!(carried(&schools, 1, vec![village], room).await, ["第1课", "第2课"]);
    // The day that it is needed comes first.
    let tomorrow = crate::timetable::today(&lead.app).saturating_add(1.days()).to_string();
    let lessons = json!([{"lesson_id": long.to_string(), "state": "not_ready", "tier": null}]);
    let tell = move |tx: &rusqlite::Transaction<'_>| -> Result<_, crate::problem::ApiError> {
        let told = "insert into hub_readiness (hub, date, ready, ready_at, not_ready, lessons, \
             written_at_ms) values (?1, ?2, 0, 0, 1, ?3, 1)";
        Ok(tx.execute(told, rusqlite::params![village.as_bytes(), tomorrow, lessons.to_string()])?)
    };
    lead.app.db.write(tell).await.unwrap();
    assert_eq!(carried(&schools, 2, vec![village], room).await, ["第3课"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_that_two_schools_on_the_stick_lack_goes_before_one_that_only_one_lacks() {
    let schools = schools().await;
    let third = TrialHub::start_set_up().await;
    let text = schools.lead.app.sync.invite(u64::MAX / 2).await.unwrap();
    let answer = third.0.app.sync.answer_invitation(text, "山顶".to_owned()).await.unwrap();
    let answer = courier::Carried::Answer(answer.bytes);
    assert_eq!(schools.lead.app.sync.carry(answer).await.accepted, 1);
    let (lead, third) = (&schools.lead, third.0.app.sync.hub_id());
    add_lesson_of(lead, 1, 6).await;
    // Shorter and newer; but the third school has made it.
    let (lesson, [audio, _]) = add_lesson_of(lead, 2, 5).await;
    let made = move |tx: &rusqlite::Transaction<'_>| -> Result<_, crate::problem::ApiError> {
        let of_third = "update lessons set school_hub = ?1 where lesson = ?2";
        Ok(tx.execute(of_third, [third.as_bytes().as_slice(), lesson.as_bytes()])?)
    };
    lead.app.db.write(made).await.unwrap();
    let village = schools.village.app.sync.hub_id();
    let room = 20_000 + room_for(lead, audio);
    assert_eq!(carried(&schools, 1, vec![village], room).await, ["第2课"]);
    assert_eq!(carried(&schools, 2, vec![village, third], room).await, ["第1课"]);
}
