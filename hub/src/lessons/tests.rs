use serde_json::{Value, json};
use yingxue_sync_core::id::DocId;

use crate::app::trial::TrialHub;
use crate::catalog::{self, NewLesson, collection};

async fn with_rows(count: u8) -> (TrialHub, String) {
    let (hub, admin) = TrialHub::start_set_up().await;
    let inserted = hub.app.db.write(move |tx| -> rusqlite::Result<()> {
        for n in 0..count {
            tx.execute(
                "insert into lessons values (?1, 1, 0, ?2, ?3, '1', '', '别校', zeroblob(32), \
                 'a.mp4', 0, ?4, 0)",
                // Pairs share a time, so that the order needs the id too.
                (&[n; 16], format!("Lesson {n}"), ["math", "art"][usize::from(n % 2)], n / 2),
            )?;
        }
        Ok(())
    });
    inserted.await.unwrap();
    (hub, admin)
}

async fn list(hub: &TrialHub, who: &str, query: &str) -> Value {
    let answer = hub.get(&format!("/api/v1/lessons{query}"), who).await;
    assert_eq!(answer.outcome(), "200", "{query}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_newest_first_without_gaps_or_repeats() {
    let (hub, who) = with_rows(23).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&hub, &who, &format!("?limit=5&after={after}")).await;
        assert_eq!(page["total"], 23);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["title"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> = (0..23).rev().map(|n| format!("Lesson {n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_counts_what_it_finds_and_bad_questions_are_refused() {
    let (hub, who) = with_rows(10).await;
    let page = list(&hub, &who, "?q=LESSON%209").await;
    assert_eq!((&page["total"], &page["items"][0]["title"]), (&json!(1), &json!("Lesson 9")));
    assert_eq!(list(&hub, &who, "?subject=art&limit=2").await["total"], 5);
    assert_eq!(list(&hub, &who, "?q=%25").await["total"], 0);
    for query in ["?limit=0", "?limit=101", "?limit=x", "?after=x", "?subject=magic"] {
        let refused = hub.get(&format!("/api/v1/lessons{query}"), &who).await;
        assert_eq!(refused.outcome(), "422 invalid_input", "{query}");
    }
    assert_eq!(hub.get("/api/v1/lessons", "").await.outcome(), "401 not_logged_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn teachers_change_lessons_of_their_school_alone() {
    let (hub, admin) = with_rows(1).await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let lesson = NewLesson {
        title: "旧".to_owned(),
        subject: "math".to_owned(),
        grade: "1".to_owned(),
        teacher: String::new(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: 1_000,
    };
    let own = DocId([0xaa; 16]);
    let edits = catalog::lesson_edits(&lesson, 1, None, &[]);
    hub.app.sync.edit_doc(collection(), own, "t".to_owned(), edits).await.unwrap();
    let path = format!("/api/v1/lessons/{own}");
    assert_eq!(list(&hub, &admin, "").await["items"][0]["title"], "旧");

    let changed = hub.patch(&path, &admin, json!({"title": " 新 ", "grade": "k"})).await;
    assert_eq!(changed.outcome(), "200");
    assert_eq!((&changed.json()["title"], &changed.json()["grade"]), (&json!("新"), &json!("k")));
    assert_eq!(list(&hub, &admin, "").await["items"][0]["title"], "新");
    for body in [json!({"title": " "}), json!({"subject": "x"}), json!({"grade": "13"})] {
        assert_eq!(hub.patch(&path, &admin, body).await.outcome(), "422 invalid_input");
    }
    let other = format!("/api/v1/lessons/{}", DocId([0; 16]));
    let refused = hub.patch(&other, &admin, json!({"title": "x"})).await;
    assert_eq!(refused.outcome(), "403 not_allowed");
    let pupil = hub.log_in_new(&admin, "pupil", "pupil").await;
    assert_eq!(hub.delete(&path, &pupil).await.outcome(), "403 not_allowed");

    assert_eq!(hub.delete(&path, &admin).await.outcome(), "204");
    assert_eq!(hub.get(&path, &admin).await.outcome(), "404 not_found");
    assert_eq!(list(&hub, &admin, "").await["total"], 1);
    let restored = hub.post(&format!("{path}/restore"), &admin, json!({})).await;
    assert_eq!(restored.json()["title"], "新");
    assert_eq!(list(&hub, &admin, "").await["total"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pupils_do_not_see_lessons_that_are_being_made_or_could_not_be() {
    let (hub, admin) = with_rows(3).await;
    let made = hub.app.db.write(|tx| {
        tx.execute("update lessons set is_published = 0 where lesson = ?1", [&[1; 16]])
    });
    let made: Result<usize, rusqlite::Error> = made.await;
    assert_eq!(made.unwrap(), 1);
    let pupil = hub.log_in_new(&admin, "pupil", "pupil").await;
    let path = format!("/api/v1/lessons/{}", DocId([1; 16]));
    for (who, lessons, outcome) in [(&admin, 3, "200"), (&pupil, 2, "404 not_found")] {
        for query in ["", "?q=lesson"] {
            let page = list(&hub, who, query).await;
            assert_eq!(
                (&page["total"], page["items"].as_array().unwrap().len()),
                (&json!(lessons), lessons)
            );
        }
        assert_eq!(hub.get(&path, who).await.outcome(), outcome);
    }
}
