use axum::body::Body;
use axum::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::draft::put_into;
use super::problem::{ImportProblemCode as Code, PROBLEMS_MAX};
use super::table::{CELLS_MAX, ROWS_MAX};
use super::*;
use crate::app::trial::{Answer, TrialHub, request};
use crate::timetable::terms::tests::{day, put, with_term};

mod by_class;
mod told;
mod workbook;

use workbook::xlsx;

// The spreadsheets were saved by openpyxl 3.1, xlwt 1.3 and odfpy 1.4.
const XLSX: &[u8] = include_bytes!("fixtures/two-classes.xlsx");
const XLS: &[u8] = include_bytes!("fixtures/by-class.xls");
const ODS: &[u8] = include_bytes!("fixtures/list.ods");
const CSES: &[u8] = include_bytes!("fixtures/two-weeks.cses.yaml");
const VILLAGE: &str = include_str!("fixtures/village.csv");

async fn send(hub: &TrialHub, who: &str, filename: &str, bytes: &[u8]) -> Answer {
    let path = format!("/api/v1/timetable/imports?filename={filename}");
    hub.send(request(Method::POST, &path, who), Body::from(bytes.to_vec())).await
}

fn guessed(text: &str) -> Draft {
    understood_draft(text, &Mapping::default())
}

fn understood_draft(text: &str, mapping: &Mapping) -> Draft {
    let table = text::table(text);
    let found = layout::find(&table, mapping);
    layout::read(&table, found.as_ref(), mapping)
}

fn lessons(preview: &Value) -> Vec<String> {
    let shown = |s: &Value| {
        let text = |key: &str| s[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {}.{} {} {} {} {} {}",
            text("class"),
            s["weekday"],
            s["period"],
            s["weeks"],
            text("subject"),
            text("lead"),
            text("room"),
            text("mode")
        )
    };
    preview["slots"].as_array().unwrap().iter().map(shown).collect()
}

fn slots(draft: &Draft) -> Vec<String> {
    let shown = |s: &DraftSlot| {
        format!("{} {}.{} {:?} {} {}", s.class, s.weekday, s.period, s.weeks, s.subject, s.lead)
    };
    draft.slots.iter().map(shown).collect()
}

fn codes(draft: &Draft) -> Vec<Code> {
    draft.problems.shown.iter().map(|problem| problem.code).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schools_own_spreadsheet_of_two_sheets_is_understood_without_help() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let answer = send(&hub, &admin, "kebiao.xlsx", XLSX).await;
    assert_eq!(answer.outcome(), "201", "{:?}", answer.json());
    let import = answer.json();
    assert_eq!((&import["kind"], &import["layout"]), (&json!("xlsx"), &json!("grid")));
    assert_eq!(import["header_row"], 3);
    let guesses: Vec<&Value> =
        import["columns"].as_array().unwrap().iter().map(|column| &column["guess"]).collect();
    assert_eq!(guesses[1..5], ["period", "start", "end", "monday"]);
    let preview = &import["preview"];
    assert_eq!(preview["problems"], json!([]));
    assert_eq!((&preview["cycle_weeks"], &preview["has_times"]), (&json!(2), &json!(true)));
    assert_eq!(preview["classes"][0], json!({"name": "五年级1班", "grade": "5", "pupils": 0}));
    assert_eq!(preview["classes"].as_array().unwrap().len(), 2);
    let lessons = lessons(preview);
    // 25 cells less one that is empty and plus one that has two lessons; 25 less two.
    assert_eq!(lessons.len(), 25 + 23);
    for expected in [
        "五年级1班 1.1 [] chinese 张老师  local",
        "五年级1班 3.1 [] english 陈老师  live",
        "五年级1班 5.3 [1] art   local",
        "五年级1班 5.3 [2] 书法   local",
        "五年级1班 3.4 [] it 李老师 机房 local",
        "六年级1班 2.5 [] 班会 周老师  local",
    ] {
        assert!(lessons.iter().any(|lesson| lesson == expected), "{expected} in {lessons:#?}");
    }
    let periods = preview["periods"].as_array().unwrap();
    assert_eq!(periods.len(), 5);
    assert_eq!(periods[4], json!({"no": 5, "start": "15:00", "end": "15:40", "name": ""}));
}

#[tokio::test(flavor = "multi_thread")]
async fn older_spreadsheets_and_open_ones_are_understood_too() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let xls = send(&hub, &admin, "zong.xls", XLS).await.json();
    assert_eq!((&xls["kind"], &xls["layout"]), (&json!("xls"), &json!("grid")));
    let all = lessons(&xls["preview"]);
    assert_eq!(all.len(), 5 * 4 * 3, "{all:#?} {:#?}", xls["preview"]["problems"]);
    for expected in [
        "一年级 1.1 [] chinese   local",
        "三、四年级 1.1 [] chinese 李老师  local",
        "三、四年级 1.3 [] english   recorded",
        "二年级 5.4 [] art   local",
    ] {
        assert!(all.iter().any(|lesson| lesson == expected), "{expected} in {all:#?}");
    }
    assert_eq!(xls["preview"]["has_times"], false);
    assert_eq!(xls["preview"]["periods"][2]["start"], "10:30", "a village school's usual times");

    let ods = send(&hub, &admin, "list.ods", ODS).await.json();
    assert_eq!((&ods["kind"], &ods["layout"]), (&json!("ods"), &json!("list")));
    let all = lessons(&ods["preview"]);
    assert_eq!(
        all,
        [
            "五年级 1.1 [] math 陈老师  live",
            "五年级 1.2 [] chinese 王老师  local",
            "五年级 2.1 [1] art 李老师  local",
            "五年级 2.1 [2] music 李老师  local",
            "六年级 2.2 [] math 陈老师  recorded",
        ]
    );
    assert_eq!(ods["preview"]["classes"][1]["pupils"], 9);
    assert_eq!(ods["preview"]["slots"][0]["tutor"], "王老师");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_one_step_that_can_be_undone_and_done_again() {
    let (hub, admin, term) = with_term().await;
    let own = json!({"weekday": 1, "period": 1, "class_id": "a", "subject": "art"});
    put(&hub, &admin, &term, "slots", "own", own).await;
    let before = hub.get("/api/v1/timetable", &admin).await.json()["term"].clone();
    let gbk = encoding_rs::GBK.encode(VILLAGE).0.into_owned();
    let import = send(&hub, &admin, "village.csv", &gbk).await.json();
    assert_eq!(import["preview"]["problems"], json!([]));
    let id = import["import_id"].as_str().unwrap();
    let path = format!("/api/v1/timetable/imports/{id}/apply");
    let applied = hub.post(&path, &admin, json!({"term_id": term})).await;
    assert_eq!(applied.outcome(), "200", "{:?}", applied.json());
    let applied = applied.json();
    assert_eq!(applied["term"]["slots"].as_array().unwrap().len(), 25);
    // The class that was there is the file's; its pupils are still known, the other class stays.
    let classes = &applied["term"]["classes"];
    assert_eq!((&classes[0]["id"], &classes[0]["pupils"]), (&json!("a"), &json!(12)));
    assert_eq!(classes.as_array().unwrap().len(), 2);
    let monday = day(&hub, "2026-09-07").await;
    assert_eq!(monday["entries"].as_array().unwrap().len(), 5);
    assert_eq!(monday["entries"][0]["subject"], "chinese");

    let undo = |id: &Value| format!("/api/v1/timetable/undo/{}", id.as_str().unwrap());
    let undone = hub.post(&undo(&applied["undo_id"]), &admin, json!({})).await.json();
    assert_eq!(undone["term"], before);
    let again = hub.post(&undo(&undone["undo_id"]), &admin, json!({})).await.json();
    assert_eq!(again["term"], applied["term"]);

    // A new term, which the undo takes away.
    let new = json!({"mapping": {"class_name": "五年级"}, "term":
        {"name": "春季", "first_day": "2027-03-01", "last_day": "2027-07-09"}});
    let made = hub.post(&path, &admin, new.clone()).await.json();
    assert_eq!(day(&hub, "2027-03-01").await["entries"].as_array().unwrap().len(), 5);
    let twice = hub.post(&path, &admin, new).await;
    assert_eq!(twice.json()["params"]["field"], "first_day");
    let gone = hub.post(&undo(&made["undo_id"]), &admin, json!({})).await.json();
    assert_eq!(gone["term"], Value::Null);
    assert_eq!(day(&hub, "2027-03-01").await["kind"], "outside_term");
    for (path, body) in [
        (path.clone(), json!({})),
        (
            path.clone(),
            json!({"term_id": term, "term": {"name": "x",
            "first_day": "2027-03-01", "last_day": "2027-07-09"}}),
        ),
    ] {
        assert_eq!(hub.post(&path, &admin, body).await.outcome(), "422 invalid_input");
    }
    let nowhere = hub.post("/api/v1/timetable/undo/x", &admin, json!({})).await;
    assert_eq!(nowhere.outcome(), "404 not_found");
    // After thirty days it is kept no more.
    let old = hub.app.db.write(|tx| -> rusqlite::Result<usize> {
        tx.execute("update timetable_undos set made_at_ms = made_at_ms - 2592000000", [])
    });
    old.await.unwrap();
    let late = hub.post(&undo(&gone["undo_id"]), &admin, json!({})).await;
    assert_eq!(late.outcome(), "404 not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_taken_back_is_listed_for_thirty_days() {
    let (hub, admin, term) = with_term().await;
    let import = send(&hub, &admin, "village.csv", VILLAGE.as_bytes()).await.json();
    let id = import["import_id"].as_str().unwrap();
    let path = format!("/api/v1/timetable/imports/{id}/apply");
    let applied = hub.post(&path, &admin, json!({"term_id": term})).await.json();
    let undos = async || hub.get("/api/v1/timetable/undos", &admin).await.json()["items"].clone();
    let listed = undos().await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let one = &listed[0];
    assert_eq!((&one["undo_id"], &one["title"]), (&applied["undo_id"], &json!("village.csv")));
    assert_eq!((&one["by_name"], &one["is_undo"]), (&json!("管理员"), &json!(false)));
    let left = one["until"].as_i64().unwrap() - one["made_at"].as_i64().unwrap();
    assert_eq!(left, 30 * 24 * 3_600_000);
    let undo = format!("/api/v1/timetable/undo/{}", applied["undo_id"].as_str().unwrap());
    assert_eq!(hub.post(&undo, &admin, json!({})).await.outcome(), "200");
    let listed = undos().await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["is_undo"]), (Some(1), &json!(true)));
    assert_eq!(hub.post(&undo, &admin, json!({})).await.outcome(), "404 not_found");
    let teacher = hub.log_in_new(&admin, "teacher", "teacher").await;
    let refused = hub.get("/api/v1/timetable/undos", &teacher).await;
    assert_eq!(refused.outcome(), "403 not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cses_file_of_two_weeks_becomes_a_term_of_two_weeks() {
    let (hub, admin) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "石门村小学".to_owned()).await.unwrap();
    let import = send(&hub, &admin, "two-weeks.cses.yaml", CSES).await.json();
    assert_eq!((&import["kind"], &import["layout"]), (&json!("cses"), &Value::Null));
    assert_eq!(import["filename"], "two-weeks.cses.yaml");
    let path = format!("/api/v1/timetable/imports/{}", import["import_id"].as_str().unwrap());
    let renamed = hub.post(&path, &admin, json!({"class_name": "五（1）班"})).await.json();
    assert_eq!(renamed["preview"]["classes"][0]["name"], "五（1）班");
    let new = json!({"term":
        {"name": "秋季", "first_day": "2026-09-01", "last_day": "2027-01-20"}});
    let made = hub.post(&format!("{path}/apply"), &admin, new).await.json();
    assert_eq!(made["term"]["cycle_weeks"], 2);
    // The first week has a Saturday, the second has none; its Tuesday is another one.
    assert_eq!(day(&hub, "2026-09-05").await["entries"][0]["subject"], "english");
    assert_eq!(day(&hub, "2026-09-12").await["entries"], json!([]));
    assert_eq!(day(&hub, "2026-09-08").await["entries"][0]["subject"], "math");
    assert_eq!(day(&hub, "2026-09-15").await["entries"][0]["subject"], "english");
    assert_eq!(day(&hub, "2026-09-15").await["entries"][0]["room"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_says_what_columns_hold_and_the_file_is_understood_anew() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let text = "甲,乙,丙,丁\n周一,1,数学,张三\n周二,2,语文,李四\n";
    let import = send(&hub, &admin, "odd.csv", text.as_bytes()).await.json();
    assert_eq!((&import["layout"], &import["header_row"]), (&Value::Null, &Value::Null));
    assert_eq!(import["preview"]["problems"][0]["code"], "no_header");
    let path = format!("/api/v1/timetable/imports/{}", import["import_id"].as_str().unwrap());
    let mapping = json!({"layout": "list", "header_row": 1, "class_name": "四年级",
        "columns": {"1": "weekday", "2": "period", "3": "subject", "4": "ignored"}});
    let import = hub.post(&path, &admin, mapping).await.json();
    let expected = ["四年级 1.1 [] math   local", "四年级 2.2 [] chinese   local"];
    assert_eq!(lessons(&import["preview"]), expected);
    assert_eq!(import["columns"][3]["guess"], Value::Null);
    assert_eq!(import["columns"][0]["samples"], json!(["周一", "周二"]));
    for wrong in [json!({"cycle_weeks": 9}), json!({"class_name": " "}), json!({"rows": 1})] {
        assert_eq!(hub.post(&path, &admin, wrong).await.outcome(), "422 invalid_input");
    }
    let nothing = json!({"mapping": {}, "term_id": "0".repeat(32)});
    let refused = hub.post(&format!("{path}/apply"), &admin, nothing).await;
    assert_eq!(refused.json()["params"]["field"], "mapping");
    let teacher = hub.log_in_new(&admin, "teacher", "teacher").await;
    assert_eq!(send(&hub, &teacher, "a.csv", b"a").await.outcome(), "403 not_allowed");
    assert_eq!(hub.post(&path, &teacher, json!({})).await.outcome(), "403 not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none_or_ask_for_too_much_are_refused_in_words() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let png = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[0; 40]].concat();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("png", &png),
        ("cut.xlsx", &XLSX[..XLSX.len() / 2]),
        ("head.xls", &XLS[..600]),
        ("cut.ods", &ODS[..ODS.len() - 30]),
        ("cycle.yaml", b"version: 2\nconfiguration: {name: a}\nschedules: []\n"),
    ] {
        let refused = send(&hub, &admin, name, bytes).await;
        assert_eq!(refused.outcome(), "422 timetable_unreadable", "{name}");
    }
    let large = send(&hub, &admin, "large", &vec![b'a'; FILE_BYTES_MAX + 1]).await;
    assert_eq!(large.outcome(), "413 body_too_large");
    // Two cells, one of them in the last row of the last column: the reader ends at its bounds.
    let far = far_xlsx();
    let refused = send(&hub, &admin, "far.xlsx", &far).await;
    assert_eq!(refused.outcome(), "422 timetable_unreadable");
    // 20,001 cells are cut, and that is told.
    let wide = vec!["aaaaaa,bbbbbb,cccccc,dddddd,eeeeee"; 4_100].join("\n");
    let import = send(&hub, &admin, "wide.csv", wide.as_bytes()).await.json();
    assert_eq!(import["preview"]["problems"][0]["code"], "file_cut");
}

/// Makes a workbook whose second cell is as far away as the format allows.
fn far_xlsx() -> Vec<u8> {
    xlsx(
        "<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>\
        <row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>",
    )
}

#[test]
fn a_village_schools_day_is_read_with_its_times() {
    let draft = guessed(VILLAGE);
    assert_eq!(codes(&draft), []);
    assert_eq!(draft.slots.len(), 25);
    let periods: Vec<String> =
        draft.periods().iter().map(|p| format!("{} {}-{}", p.no, p.start, p.end)).collect();
    let expected =
        ["1 08:30-09:10", "2 09:20-10:00", "3 10:30-11:10", "4 11:20-12:00", "5 15:00-15:40"];
    assert_eq!(periods, expected);
    let english: Vec<_> = draft.slots.iter().filter(|slot| slot.subject == "english").collect();
    assert!(english.iter().all(|s| s.mode.0 == crate::timetable::term::Mode::Recorded));
    assert_eq!(english.len(), 3);
}

#[test]
fn a_list_is_read_in_english_with_cells_over_several_rows_and_told_what_is_wrong_where() {
    let text = "Weekday,Period,Class,Subject,Teacher,Weeks,Mode\n\
        Mon,1,Class 5班,Math,Chen,,live\n,2-3,,PE,Wu,odd,\n,x,,Art,,,\nFunday,1,,Art,,,\n\
        Tue,1,,Art,Wu,every fifth,cinema\n,,,,,,\nWed,1,,Break,,,\n";
    let draft = guessed(text);
    assert_eq!(
        slots(&draft),
        [
            "Class 5班 1.1 [] math Chen",
            "Class 5班 1.2 [1] pe Wu",
            "Class 5班 1.3 [1] pe Wu",
            "Class 5班 2.1 [] art Wu",
            "Class 5班 3.1 [] Break ",
        ]
    );
    let problems: Vec<_> =
        draft.problems.shown.iter().map(|p| (p.row, p.column, p.code, p.value.as_str())).collect();
    assert_eq!(
        problems,
        [
            (Some(4), Some(2), Code::BadPeriod, "x"),
            (Some(5), Some(1), Code::BadWeekday, "Funday"),
            (Some(6), Some(6), Code::BadWeeks, "every fifth"),
            (Some(6), Some(7), Code::BadMode, "cinema"),
        ]
    );
}

#[test]
fn grids_below_one_another_are_one_class_each_and_teachers_may_stand_below() {
    let text = "一年级课程表\n节次,周一,周二,周三\n1,语文,数学,\n,张老师,王老师,\n2,数学,体育,音乐\n\
        \n二年级课程表\n节次,周一,周二,周三\n1,美术,,语文\n";
    let draft = guessed(text);
    assert_eq!(
        slots(&draft),
        [
            "一年级 1.1 [] chinese 张老师",
            "二年级 1.1 [] art ",
            "一年级 1.2 [] math ",
            "一年级 2.1 [] math 王老师",
            "一年级 2.2 [] pe ",
            "二年级 3.1 [] chinese ",
            "一年级 3.2 [] music ",
        ]
    );
}

#[test]
fn a_class_that_comes_to_a_term_finds_its_times_or_is_refused() {
    let mut term = crate::timetable::calendar::tests::term(1);
    let first = put_into(&term, &guessed(VILLAGE)).unwrap();
    assert_eq!((first.slots.len(), first.periods.len(), first.cycle_weeks), (25, 5, 1));
    // Again: nothing is there twice, and ids are the same.
    assert_eq!(put_into(&first, &guessed(VILLAGE)).unwrap(), first);
    // Another class with the same times, and one more period in odd weeks, joins.
    let other = VILLAGE.replace("五年级", "六年级") + "第六节 15:50-16:30,体育(单),,,,\n";
    let both = put_into(&first, &guessed(&other)).unwrap();
    assert_eq!((both.slots.len(), both.periods.len(), both.cycle_weeks), (51, 6, 2));
    // One with other times does not.
    let early = guessed(&other.replace("8:30-9:10", "8:00-8:40"));
    let misfit = put_into(&both, &early).unwrap_err();
    assert!(matches!(&misfit, Misfit::Times { file, .. } if file.contains("08:00")), "{misfit}");
    let cycle = Draft { cycle_weeks: 3, ..guessed(&other) };
    assert_eq!(put_into(&both, &cycle), Err(Misfit::Cycle { file: 3, term: 2 }));
    // Without times it takes those of the term.
    let plain = "七年级课程表\n节次,周一,周二,周三\n1,语文,数学,\n2,数学,体育,音乐\n";
    let three = put_into(&both, &guessed(plain)).unwrap();
    assert_eq!((three.slots.len(), three.periods), (56, both.periods));
    // Alone in a term that has times, too.
    term.slots.clear();
    let alone = put_into(&term, &guessed(plain)).unwrap();
    assert_eq!(alone.periods, term.periods);
}

proptest! {
    #[test]
    fn whatever_a_text_says_is_read_within_the_bounds(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        words in prop::collection::vec(
            prop::sample::select(vec![
                "星期一", "周三", "节次", "课程", "班级", "第三节", "1-2", "8:30-9:10", "数学(单)",
                "五年级1班", "午休", "直播", "单周", ",", ",", ",", "\n", "\n", "\"", "语文 张老师",
            ]),
            0..120,
        ),
        mapping in (any::<bool>(), 0_u32..6, 0_u8..10),
    ) {
        let layout = if mapping.0 { Layout::List } else { Layout::Grid };
        let mapping = Mapping {
            layout: Some(layout),
            header_row: Some(mapping.1).filter(|row| *row > 0),
            columns: [("1".to_owned(), Field::Weekday), ("999".to_owned(), Field::Room)].into(),
            class_name: None,
            cycle_weeks: Some(mapping.2),
        };
        for text in [text::decode(&bytes), words.concat()] {
            let table = text::table(&text);
            prop_assert!(table.rows.len() <= ROWS_MAX);
            for mapping in [&mapping, &Mapping::default()] {
                let draft = understood_draft(&text, mapping);
                prop_assert!(draft.problems.shown.len() <= PROBLEMS_MAX);
                let term = crate::timetable::calendar::tests::term(1);
                if let Ok(mut term) = put_into(&term, &draft) {
                    // What is read can be kept, up to the number of classes.
                    term.classes.truncate(check::CLASSES_MAX);
                    prop_assert_eq!(check::whole(&term), Ok(()));
                }
            }
        }
    }
}

/// Damaged spreadsheets go through the child process, so there are fewer of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_that_was_damaged_anywhere_is_read_or_refused() {
    use proptest::test_runner::{RngAlgorithm, TestRng};
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    for (i, good) in [XLSX, XLS, ODS].into_iter().cycle().take(24).enumerate() {
        let mut bytes = good.to_vec();
        for _ in 0..=i {
            let at = usize::try_from(random.random_range(0..bytes.len() as u64)).unwrap();
            bytes[at] = random.random::<u8>();
        }
        match spreadsheet::read(bytes).await {
            Ok(table) => {
                let cells: usize = table.rows.iter().map(|row| row.cells.len()).sum();
                assert!(table.rows.len() <= ROWS_MAX && cells <= CELLS_MAX * 2);
            }
            Err(error) => assert_eq!(error, SpreadsheetError::Unreadable),
        }
    }
}
