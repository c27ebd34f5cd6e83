//! Nothing of a file vanishes without a word: whatever is left out is among the problems.

use super::super::problem::Problems;
use super::super::table::{CELL_CHARS_MAX, COLUMNS_MAX, NoteKind, TableMaker};
use super::*;

fn told(problems: &Problems) -> Vec<(Option<u32>, Code, &str)> {
    problems.shown.iter().map(|p| (p.row, p.code, p.value.as_str())).collect()
}

#[test]
fn a_lesson_in_a_period_without_a_time_is_named_and_not_lost() {
    let text = "星期,节次,班级,课程\n周一,12,四(2)班,数学\n周二,13,四(2)班,晚自习\n";
    let draft = guessed(text);
    assert_eq!(told(&draft.problems), [(None, Code::NoTime, "四(2)班 周二13 晚自习")]);
    let mut term = crate::timetable::calendar::tests::term(1);
    term.slots.clear();
    let lost = Misfit::NoTime { lessons: "四(2)班 周二13 晚自习".to_owned() };
    assert_eq!(put_into(&term, &draft), Err(lost.clone()), "it is refused, not left out");
    term.periods.clear();
    assert_eq!(put_into(&term, &draft), Err(lost));
    // A term that has this period gives it its time.
    let period = |no, start: &str, end: &str| Period {
        no,
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
        name: String::new(),
    };
    term.periods = vec![period(12, "20:00", "20:40"), period(13, "20:50", "21:30")];
    let put = put_into(&term, &draft).unwrap();
    assert_eq!((put.slots.len(), &put.periods), (2, &term.periods));
    // So does the file itself.
    let timed = "星期,节次,班级,课程,开始,结束\n周一,12,四(2)班,数学,20:00,20:40\n\
        周二,13,四(2)班,晚自习,20:50,21:30\n";
    let draft = guessed(timed);
    assert_eq!(codes(&draft), []);
    term.periods.clear();
    assert_eq!(put_into(&term, &draft).unwrap().slots.len(), 2);
}

#[test]
fn lessons_that_come_to_a_term_with_fewer_periods_are_named() {
    let mut term = crate::timetable::calendar::tests::term(1);
    term.slots.clear();
    let one = guessed("一年级课程表\n节次,周一,周二,周三\n1,语文,数学,美术\n");
    let term = put_into(&term, &one).unwrap();
    let many = (1..=14).map(|no| format!("{no},语文,,\n")).collect::<String>();
    let many = guessed(&format!("二年级课程表\n节次,周一,周二,周三\n{many}"));
    let Err(Misfit::NoTime { lessons }) = put_into(&term, &many) else { panic!("not refused") };
    assert!(lessons.contains("二年级 周一13"), "{lessons}");
}

#[test]
fn one_lesson_in_two_ways_of_teaching_is_told_as_twice() {
    let text = "星期,节次,班级,课程,方式\n周一,1,四班,数学,录播\n周一,1,四班,数学,本校\n";
    let draft = guessed(text);
    assert_eq!(draft.slots.len(), 1);
    assert_eq!(told(&draft.problems), [(None, Code::Twice, "四班 周一1 math")]);
}

#[test]
fn a_list_tells_each_row_that_it_leaves_out() {
    let text = "星期,节次,班级,课程,教师\n周一,1,四班,数学,\n周二,1,,,\n,2,,语文,\n\
        ,3,,,王老师\n,19-21,,美术,\n,\"1、2、3、4、5、6\",,音乐,\n,1-9,,体育,\n";
    let draft = guessed(text);
    assert_eq!(
        slots(&draft),
        ["四班 1.1 [] math ", "四班 2.2 [] chinese "],
        "a cell over several rows counts from an empty row on, too"
    );
    assert_eq!(
        told(&draft.problems),
        [
            (Some(5), Code::Incomplete, "王老师"),
            (Some(6), Code::BadPeriod, "19-21"),
            (Some(7), Code::BadPeriod, "1、2、3、4、5、6"),
            (Some(8), Code::BadPeriod, "1-9"),
        ]
    );
    let by_time = "星期,开始,结束,班级,课程\n周一,8:30,9:10,四班,数学\n周一,早上,,四班,语文\n";
    assert_eq!(told(&guessed(by_time).problems), [(Some(3), Code::BadPeriod, "早上")]);
}

#[test]
fn a_grid_tells_rows_cells_and_columns_that_it_leaves_out() {
    let text = "四年级课程表\n节次,周一,周二,周三,周一\n,早读,,,\n\
        1 8:30-9:10,语文,单周,数学 王老师 201 带书,美术\n课间,阳光体育,,,\n2,体育,,,\n\
        \n,,音乐,,\n五年级课程表\n节次,周一,周二,周三\n1 8:00-8:40,语文,,\n";
    let draft = guessed(text);
    assert_eq!(
        told(&draft.problems),
        [
            (Some(2), Code::ColumnTwice, "周一"),
            (Some(3), Code::NoLabel, "早读"),
            (Some(8), Code::NoLabel, "音乐"),
            (Some(5), Code::InBreak, "阳光体育"),
            (Some(4), Code::NoLesson, "单周"),
            (Some(4), Code::WordsLeft, "带书"),
            (Some(11), Code::TimesDiffer, "1"),
        ]
    );
    assert_eq!(draft.slots.len(), 4);
}

#[test]
fn a_whole_schools_table_tells_columns_without_a_period() {
    let text = "班级,星期一,,,星期二,,,星期三,,\n,1,2,午,1,2,,1,2,\n\
        一年级1班,语,数,书法,体,,,音,美,劳\n一年级2班,数,语,,语,数,,语,数,\n";
    let draft = guessed(text);
    let shown: Vec<_> =
        draft.problems.shown.iter().map(|p| (p.column, p.code, p.value.as_str())).collect();
    let expected = [(Some(4), Code::NoLabel, "书法"), (Some(10), Code::NoLabel, "劳")];
    assert_eq!(shown, expected);
}

#[test]
fn classes_and_lessons_beyond_the_bounds_are_counted_out_and_told_once() {
    let row = |day: &str, n: usize| format!("{day},1,{}年级{n}班,数学\n", 1 + n % 6);
    let rows: String = (0..=check::CLASSES_MAX).map(|n| row("周一", n) + &row("周二", n)).collect();
    let draft = guessed(&format!("星期,节次,班级,课程\n{rows}"));
    assert_eq!(told(&draft.problems), [(None, Code::TooManyClasses, "5年级100班")]);
    assert_eq!(draft.slots.len(), 2 * check::CLASSES_MAX, "the preview counts what is put in");
    let rows = "周一,1,四班,,王老师\n".repeat(PROBLEMS_MAX + 7);
    let Problems { shown, count } = guessed(&format!("星期,节次,班级,课程,教师\n{rows}")).problems;
    assert_eq!((shown.len(), count), (PROBLEMS_MAX, PROBLEMS_MAX + 7));
}

#[test]
fn cells_and_sheets_that_are_not_read_whole_are_told() {
    let mut maker = TableMaker::default();
    let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    maker.note(NoteKind::Unread, "图", 0, 0);
    let long = "长".repeat(CELL_CHARS_MAX + 1);
    assert!(maker.push("课表", 1, row(&[&long])));
    assert!(maker.push("课表", 2, row(&["星期", "节次", "班级", "课程", "备注"])));
    maker.note(NoteKind::Error, "课表", 3, 3);
    maker.note(NoteKind::Error, "课表", 3, 4);
    assert!(maker.push("课表", 3, row(&["周一", "1", "四班", &long])));
    let table = maker.finish();
    let found = layout::find(&table, &Mapping::default());
    let draft = layout::read(&table, found.as_ref(), &Mapping::default());
    let shown: Vec<_> = draft.problems.shown.iter().map(|p| (p.row, p.column, p.code)).collect();
    let of_lesson = (Some(3), Some(4), Code::TextCut);
    let of_cell = (Some(3), Some(4), Code::CellError);
    // A title and a column that nobody reads are left alone.
    assert_eq!(shown, [of_lesson, (None, None, Code::SheetUnread), of_cell, of_lesson]);
    // One more column than is looked at.
    let mut maker = TableMaker::default();
    assert!(maker.push("", 1, vec!["x".to_owned(); COLUMNS_MAX + 1]));
    assert!(maker.finish().is_cut);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_wider_or_longer_than_is_looked_at_is_cut_and_told() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let text = |at: &str, text: &str| format!("<c r=\"{at}\" t=\"str\"><v>{text}</v></c>");
    let (first, right, below) = (text("A1", "a"), text("EA1", "a"), text("A4100", "a"));
    let wide = format!("<row r=\"1\">{first}{right}</row>");
    let long = format!("<row r=\"1\">{first}</row><row r=\"4100\">{below}</row>");
    for rows in [wide, long] {
        let import = send(&hub, &admin, "large.xlsx", &xlsx(&rows)).await.json();
        assert_eq!(import["preview"]["problems"][0]["code"], "file_cut", "{import}");
    }
    let header = [("A1", "星期"), ("B1", "节次"), ("C1", "班级"), ("D1", "课程")];
    let header: String = header.iter().map(|(at, word)| text(at, word)).collect();
    let row = [text("A2", "周一"), text("B2", "1"), text("C2", "四班")].concat();
    let wrong = format!(
        "<row r=\"1\">{header}</row>\
         <row r=\"2\">{row}<c r=\"D2\" t=\"e\"><v>#REF!</v></c></row>"
    );
    let import = send(&hub, &admin, "wrong.xlsx", &xlsx(&wrong)).await.json();
    let problem = &import["preview"]["problems"][0];
    let found = (&problem["row"], &problem["column"], &problem["code"]);
    assert_eq!(found, (&json!(2), &json!(4), &json!("cell_error")));
}

#[test]
fn a_part_of_a_term_is_not_taken_for_the_term_without_a_word() {
    let text = "Weekday,Period,Class,Subject,Weeks\nMon,1,Class 5,Math,1-16周\n\
        Tue,1,Class 5,Art,1-8周\nWed,1,Class 5,PE,1-16单周\nThu,1,Class 5,Art,9-16\n";
    let draft = guessed(text);
    assert_eq!(slots(&draft).len(), 4);
    let expected = [(Some(3), Code::BadWeeks, "1-8周"), (Some(5), Code::BadWeeks, "9-16")];
    assert_eq!(told(&draft.problems), expected);
}
