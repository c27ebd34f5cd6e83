use proptest::prelude::*;

use super::super::problem::PROBLEMS_MAX;
use super::*;
use crate::timetable::term::Mode;

const TWO_WEEKS: &str = include_str!("../fixtures/two-weeks.cses.yaml");

fn shown(draft: &Draft) -> Vec<String> {
    let shown = |s: &DraftSlot| {
        assert_eq!(s.mode.0, Mode::Local);
        format!("{} {} {:?} {} {} {}", s.weekday, s.period, s.weeks, s.subject, s.lead, s.room)
    };
    draft.slots.iter().map(shown).collect()
}

#[test]
fn working_days_are_counted_without_the_days_of_rest() {
    let draft = read(TWO_WEEKS, None).unwrap();
    assert_eq!(draft.cycle_weeks, 2);
    assert_eq!(draft.classes[0].name, "五年级1班");
    assert_eq!(draft.classes[0].grade, "5");
    assert_eq!(draft.problems.shown, []);
    assert_eq!(draft.name.as_deref(), Some("2026年秋季学期"));
    assert_eq!(
        shown(&draft),
        [
            "1 1 [] chinese 张老师 501",
            "1 2 [] math 王老师 501",
            "1 3 [] pe  操场",
            "2 1 [1] english 陈老师 ",
            "2 1 [2] math 王老师 501",
            "6 2 [1] english 陈老师 ",
        ]
    );
    let periods = draft.periods();
    let times: Vec<String> = periods.iter().map(|p| format!("{} {}", p.no, p.start)).collect();
    assert_eq!(times, ["1 08:30", "2 09:20", "3 15:00"]);
    assert_eq!(read(TWO_WEEKS, Some("六年级")).unwrap().classes[0].name, "六年级");
}

#[test]
fn version_1_has_weekdays_and_odd_and_even_weeks() {
    let text = "version: 1\nsubjects:\n  - {name: 数学, teacher: 李梅, room: '101'}\nschedules:\n  \
        - name: a\n    enable_day: 1\n    weeks: odd\n    classes:\n      \
        - {subject: 数学, start_time: '08:00:00', end_time: '08:45:00'}\n  \
        - name: b\n    enable_day: fri\n    weeks: all\n    classes:\n      \
        - {subject: 班会, start_time: '08:00', end_time: '08:45'}\n";
    let draft = read(text, Some("一班")).unwrap();
    assert_eq!(draft.cycle_weeks, 2);
    assert_eq!(shown(&draft), ["1 1 [1] math 李梅 101", "5 1 [] 班会  "]);
    assert_eq!(draft.problems.shown[0].code, Code::UnknownSubject);
}

#[test]
fn cycles_that_contradict_themselves_or_are_no_weeks_are_refused_in_words() {
    for (from, to, said) in [
        ("work_count: 11", "work_count: 12", "11 working days"),
        ("{ activity: rest, count: 2 }", "{ activity: rest, count: 3 }", "4 days of rest"),
        ("version: 2", "version: 3", "version is 3"),
        ("schedules:", "schedules: 7\nx:", "no CSES file"),
    ] {
        let error = read(&TWO_WEEKS.replace(from, to), None).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let six = TWO_WEEKS
        .replace("{ activity: rest, count: 2 }", "{ activity: rest, count: 1 }")
        .replace("rest_count: 3", "rest_count: 2");
    let error = read(&six, None).unwrap_err();
    assert_eq!(
        error,
        CsesError::Cycle(
            "it has 13 days; allowed are whole weeks from Monday on, at most 8".to_owned()
        )
    );
    let endless = TWO_WEEKS.replace("count: 6 }", "count: 4294967295 }");
    assert!(read(&endless, None).is_err());
}

#[test]
fn days_and_times_that_the_cycle_has_not_are_left_out_and_told() {
    let text = TWO_WEEKS.replace("enable_day: [6]", "enable_day: [12, 0]").replacen(
        "end_time: \"09:10:00\"",
        "end_time: \"08:10:00\"",
        1,
    );
    let draft = read(&text, None).unwrap();
    let codes: Vec<Code> = draft.problems.shown.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [Code::BadTime, Code::NoSuchDay, Code::NoSuchDay]);
    assert_eq!(draft.slots.len(), 4);
}

#[test]
fn aliases_that_unfold_without_end_are_refused() {
    let mut text = String::from("version: 2\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        text += &format!("a{n}: &a{n} [{}]\n", vec![before; 9].join(", "));
    }
    text += "schedules: *a11\n";
    assert!(is_cses(&text));
    assert!(read(&text, None).is_err());
    let deep = format!("version: 2\nschedules: {}\n", "[".repeat(100_000));
    assert!(read(&deep, None).is_err());
}

proptest! {
    #[test]
    fn a_file_that_was_damaged_anywhere_never_panics(
        at in 0_usize..1_600,
        with in prop::collection::vec(any::<u8>(), 0..12),
        take in 0_usize..40,
    ) {
        let mut bytes = TWO_WEEKS.as_bytes().to_vec();
        let at = at.min(bytes.len());
        let end = (at + take).min(bytes.len());
        bytes.splice(at..end, with);
        let text = crate::timetable::import::text::decode(&bytes);
        if let Ok(draft) = read(&text, None) {
            prop_assert!((1..=CYCLE_WEEKS_MAX).contains(&draft.cycle_weeks));
            prop_assert!(draft.problems.shown.len() <= PROBLEMS_MAX);
        }
    }
}
