//! What one stick carries, and the next one does not any more.

use super::*;
use crate::app::now_ms;

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_carries_what_is_missing_and_the_next_one_no_more() {
    let schools = schools().await;
    let (_, first) = add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    let exported = schools.export(&stick, 1).await;
    assert_eq!((exported.lessons.len(), exported.blobs, exported.left_out), (1, 2, 0));
    let imported = schools.import(&stick).await;
    assert_eq!(imported.refused, []);
    assert_eq!((imported.lessons.len(), imported.blobs), (1, 2));
    assert_eq!(imported.receipt, Some(report::ReceiptLeft::Written));
    assert!(are_whole(&schools.village, &first));

    let again = schools.import(&stick).await;
    assert_eq!((again.envelopes, again.payload_bytes, again.refused.len()), (0, 0, 0));
    let (_, second) = add_lesson(&schools.lead, 2).await;
    let exported = schools.export(&stick, 2).await;
    assert_eq!(exported.lessons.len(), 1, "{exported:?}");
    assert_eq!(exported.lessons[0].title, "第2课");
    assert_eq!(exported.envelopes, 1);
    assert!(!folder_of(&stick, 1).exists(), "what was taken goes");
    schools.import(&stick).await;
    assert!(are_whole(&schools.village, &second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_on_a_stick_already_is_not_written_twice() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    let first = schools.export(&stick, 1).await;
    let second = schools.export(&stick, 2).await;
    assert!(first.payload_bytes > 100_000);
    assert_eq!((second.payload_bytes, second.envelopes), (0, 0));
    let imported = schools.import(&stick).await;
    assert_eq!((imported.lessons.len(), imported.refused.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_schools_share_a_stick_and_a_small_one_holds_the_floor_first() {
    let schools = schools().await;
    for n in 1..=3 {
        add_lesson(&schools.lead, n).await;
    }
    let stick = schools.stick(0);
    let to = schools.village.app.sync.hub_id();
    let small = NewJob { bytes_max: Some(140_000), ..export_to(&stick, to, 1) };
    let (report, outcome) = run(&schools.lead, small, 0).await;
    outcome.unwrap();
    assert_eq!(report.left_out, 3, "sound fits, originals do not: {report:?}");
    let imported = schools.import(&stick).await;
    assert_eq!((imported.lessons.len(), imported.blobs), (3, 3), "{imported:?}");
    let rest = schools.export(&stick, 2).await;
    assert_eq!((rest.blobs, rest.left_out), (3, 0));
    assert_eq!(schools.import(&stick).await.blobs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_not_asked_for_by_a_plan_that_was_made_before() {
    use yingxue_sync_core::event::Want;
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let app = schools.lead.app.clone();
    let want = |blob| Want {
        blob,
        collection: catalog::collection(),
        priority: 0,
        deadline_wall_ms: None,
    };
    let wants = blobs.into_iter().chain([BlobId([9; 32])]).map(want).collect();
    let planned = crate::night::tonight::Tonight { wants, ..Default::default() };
    app.sync.news().policy().set_tonight(planned.into());
    let view = app.sync.courier_view().await.unwrap();
    let made = tokio::task::spawn_blocking(move || receipts::make(&app, &view).unwrap());
    let wants = made.await.unwrap().receipt.wants;
    assert!(wants.iter().all(|want| !blobs.contains(&want.blob)), "{wants:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_named_lessons_carries_these_whatever_the_receipt_says_and_no_other() {
    let schools = schools().await;
    let mut lessons = Vec::new();
    for n in 1..=3 {
        lessons.push(add_lesson(&schools.lead, n).await.0);
    }
    let stick = schools.stick(0);
    let to = schools.village.app.sync.hub_id();
    let named = |parcel| NewJob { lessons: vec![lessons[1]], ..export_to(&stick, to, parcel) };
    let (report, outcome) = run(&schools.lead, named(1), 0).await;
    outcome.unwrap();
    let carried: Vec<&str> = report.lessons.iter().map(|one| one.title.as_str()).collect();
    assert_eq!((carried, report.blobs, report.left_out), (vec!["第2课"], 2, 0));
    let imported = schools.import(&stick).await;
    assert_eq!((imported.lessons.len(), imported.blobs), (1, 2), "{imported:?}");
    let rest = schools.export(&stick, 2).await;
    assert_eq!(rest.blobs, 4, "the others are still lacking: {rest:?}");
    schools.import(&stick).await;
    // Whatever the receipt says, somebody knows better: a disk has lost it since.
    let other = schools.stick(1);
    let again = NewJob { lessons: vec![lessons[1]], ..export_to(&other, to, 3) };
    let (report, outcome) = run(&schools.lead, again, 0).await;
    outcome.unwrap();
    assert_eq!(report.blobs, 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_that_never_left_a_receipt_has_at_least_what_it_made() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    schools.export(&stick, 1).await;
    schools.import(&stick).await;
    let village = &schools.village;
    // As if the lesson had come by the network.
    let forget = |tx: &rusqlite::Transaction<'_>| -> Result<_, crate::problem::ApiError> {
        Ok(tx.execute("delete from courier_receipts", [])?)
    };
    village.app.db.write(forget).await.unwrap();
    let admin = village.log_in("admin").await;
    let targets = village.get("/api/v1/courier/targets", &admin).await.json();
    let lead = schools.lead.app.sync.hub_id().to_string();
    let items = targets["items"].as_array().unwrap();
    let told = items.iter().find(|item| item["hub_id"] == lead.as_str()).unwrap();
    assert_eq!((&told["missing_lessons"], &told["bytes"]), (&json!(0), &json!(0)), "{targets}");
    let other = schools.stick(1);
    let to = schools.lead.app.sync.hub_id();
    let (report, outcome) = run(village, export_to(&other, to, 2), 0).await;
    outcome.unwrap();
    assert_eq!(report.blobs, 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_what_a_school_holds_and_nothing_of_what_came_later() {
    let schools = schools().await;
    let heard = add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    let village = schools.village.app.sync.hub_id();
    let holds = async |(lesson, blobs): (DocId, [BlobId; 2]), after_ms: i64| {
        let says = move |db: &rusqlite::Connection| -> rusqlite::Result<bool> {
            let Some(receipt) = receipts::of(db, &village)? else { return Ok(false) };
            receipts::says_to_hold(db, &receipt, after_ms, &lesson, &blobs)
        };
        schools.lead.app.db.read(says).await.unwrap()
    };
    schools.export(&stick, 1).await;
    schools.import(&stick).await;
    assert!(!holds(heard, 0).await, "nobody has brought the receipt yet");
    let unheard = add_lesson(&schools.lead, 2).await;
    schools.export(&stick, 2).await;
    assert!(holds(heard, 0).await);
    assert!(!holds(heard, now_ms() + 1_000).await, "the school has said something since");
    assert!(!holds(unheard, 0).await, "it wants nothing of what it has not heard of");
}
