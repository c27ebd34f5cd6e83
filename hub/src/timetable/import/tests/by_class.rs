//! Whole timetables of a school: rows are classes, columns are weekdays and their periods.

use super::*;

/// Saved by openpyxl 3.1: merged cells for the title, the weekdays, the grade of two classes and
/// a note below.
const ROWS_OF_CLASSES: &[u8] = include_bytes!("../fixtures/rows-of-classes.xlsx");

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_schools_spreadsheet_with_merged_headers_is_understood_without_help() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let import = send(&hub, &admin, "zong.xlsx", ROWS_OF_CLASSES).await.json();
    assert_eq!((&import["layout"], &import["header_row"]), (&json!("rows"), &json!(2)), "{import}");
    let columns = import["columns"].as_array().unwrap();
    let shown: Vec<(&str, &Value)> = [0, 1, 2, 3, 4, 9, 32]
        .map(|at: usize| (columns[at]["header"].as_str().unwrap(), &columns[at]["guess"]))
        .to_vec();
    let expected = [
        ("年级", json!("grade")),
        ("班级", json!("class")),
        ("班主任", Value::Null),
        ("周一 1", json!("monday")),
        ("周一 2", json!("monday")),
        ("周二 1", json!("tuesday")),
        ("周五 6", json!("friday")),
    ];
    for ((header, guess), (wanted, field)) in shown.into_iter().zip(&expected) {
        assert_eq!((header, guess), (*wanted, field));
    }
    assert_eq!(columns[3]["samples"], json!(["语文", "语文\n李老师", "英语"]));
    let preview = &import["preview"];
    assert_eq!(preview["problems"], json!([]));
    let classes: Vec<&str> = preview["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(classes, ["三年级1班", "三年级2班", "四年级1班"]);
    assert_eq!(preview["classes"][2]["grade"], "4");
    assert_eq!(preview["cycle_weeks"], 2);
    let all = lessons(preview);
    // 90 cells, one of them empty and one with two lessons.
    assert_eq!(all.len(), 90, "{all:#?}");
    for expected in [
        "三年级1班 5.6 [1] math   local",
        "三年级1班 5.6 [2] art   local",
        "三年级2班 1.1 [] chinese 李老师  local",
        "四年级1班 2.2 [] english 陈老师  live",
    ] {
        assert!(all.iter().any(|lesson| lesson == expected), "{expected} in {all:#?}");
    }
    assert!(!all.iter().any(|lesson| lesson.starts_with("四年级1班 3.4")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_applied_to_a_term_and_its_weeks_alternate() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "石门村小学".to_owned()).await.unwrap();
    let import = send(&hub, &admin, "zong.xlsx", ROWS_OF_CLASSES).await.json();
    let path = format!("/api/v1/timetable/imports/{}/apply", import["import_id"].as_str().unwrap());
    let new = json!({"mapping": {"layout": "rows", "header_row": 2}, "term":
        {"name": "秋季", "first_day": "2026-09-07", "last_day": "2027-01-20"}});
    let made = hub.post(&path, &admin, new).await.json();
    assert_eq!(made["term"]["cycle_weeks"], 2, "{made}");
    let last_of = async |date: &str| {
        let entries = day(&hub, date).await["entries"].as_array().unwrap().clone();
        let mut of_class = entries.into_iter().filter(|e| e["class"]["name"] == "三年级1班");
        of_class.next_back().unwrap()["subject"].clone()
    };
    assert_eq!(last_of("2026-09-11").await, "math");
    assert_eq!(last_of("2026-09-18").await, "art");
}

#[test]
fn other_ways_of_writing_the_same_are_understood_alike() {
    let expected = [
        "三1班 1.1 [] chinese ",
        "三1班 1.2 [] math ",
        "三1班 2.1 [] art ",
        "三1班 2.2 [] pe ",
        "三1班 3.1 [] music ",
        "三1班 3.2 [] it ",
    ];
    let body = "三1班,语文,数学,美术,体育,音乐,信息\n";
    let heads = [
        // Weekdays over their periods, as merged cells come out of a file.
        "班级,星期一,,星期二,,星期三,\n,1,2,1,2,1,2\n",
        // The weekday is there each time, and times with the periods.
        "班级,周一,周一,周二,周二,周三,周三\n,第1节,第2节,第1节,第2节,第1节,第2节\n",
        // Both in one cell.
        ",周一1,周一2,周二1,周二2,周三1,周三2\n",
        "班级,星期一第一节,星期一第二节,星期二第一节,星期二第二节,星期三第一节,星期三第二节\n",
    ];
    for head in heads {
        let draft = guessed(&format!("石门小学总课表\n{head}{body}"));
        assert_eq!(slots(&draft), expected, "{head}");
        assert_eq!(codes(&draft), [], "{head}");
    }
    // Without numbers it takes two classes to see it.
    let two = "班级,星期一,,星期二,,星期三,\n三1班,语文,数学,美术,体育,音乐,信息\n\
        三2班,数学,语文,体育,美术,信息,音乐\n";
    let draft = guessed(two);
    assert_eq!(slots(&draft).iter().filter(|s| s.starts_with("三1班")).count(), 6);
    assert!(slots(&draft).contains(&"三2班 2.2 [] art ".to_owned()), "{:?}", slots(&draft));
}

#[test]
fn teachers_below_the_subjects_times_and_what_has_no_period_are_seen() {
    let text = "班级,星期一,,,星期二,,,星期三,,\n\
        ,早读,1 8:30-9:10,2 9:20-10:00,早读,1,2,早读,1,2\n\
        三1班,语文,语文,数学,语文,美术,体育,英语,音乐,信息\n\
        ,王老师,王老师,李老师,,,,,,\n\
        三2班,,数学,,,,,,,\n";
    let draft = guessed(text);
    assert_eq!(
        slots(&draft),
        [
            "三1班 1.1 [] chinese 王老师",
            "三2班 1.1 [] math ",
            "三1班 1.2 [] math 李老师",
            "三1班 2.1 [] art ",
            "三1班 2.2 [] pe ",
            "三1班 3.1 [] music ",
            "三1班 3.2 [] it ",
        ]
    );
    assert!(draft.has_times());
    let times: Vec<String> = draft.periods().iter().map(|p| p.start.to_string()).collect();
    assert_eq!(times, ["08:30", "09:20"]);
    // Somebody says that the column of 早读 is a lesson's: nothing says which period it is.
    let columns = std::collections::BTreeMap::from([("2".to_owned(), Field::Monday)]);
    let told = understood_draft(text, &Mapping { columns, ..Mapping::default() });
    let columns = told.problems.shown.iter().map(|problem| problem.column);
    assert_eq!(codes(&told), [Code::NoLabel; 3], "of each day");
    assert_eq!(columns.collect::<Vec<_>>(), [Some(5), Some(8), Some(2)]);
    let none = std::collections::BTreeMap::from([("4".to_owned(), Field::Ignored)]);
    let less = understood_draft(text, &Mapping { columns: none, ..Mapping::default() });
    assert_eq!(slots(&less).len(), 6, "a column that is not used");
}

#[test]
fn a_table_of_one_class_is_none_of_classes() {
    // Weekdays over a subject and its teacher; the periods are rows.
    let text = "五年级1班课程表\n节次,星期一,,星期二,,星期三,\n1,语文,王,数学,李,英语,陈\n2,数学,李,语文,王,体育,周\n";
    let found = layout::find(&text::table(text), &Mapping::default()).unwrap();
    assert_eq!(found.layout, layout::Layout::Grid);
}
