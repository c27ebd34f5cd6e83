use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;
use crate::timetable::check;
use crate::timetable::term::{Class, ClockTime, Mode, Pause, Period, Source};

/// A term that begins on a Tuesday: its first week counts as a whole one.
pub(crate) fn term(cycle_weeks: u8) -> Term {
    let period = |no: u8| Period {
        no,
        start: ClockTime::of_minutes(480 + u16::from(no) * 50).unwrap(),
        end: ClockTime::of_minutes(520 + u16::from(no) * 50).unwrap(),
        name: String::new(),
    };
    let class = |id: &str| Class {
        id: id.to_owned(),
        name: id.to_owned(),
        grade: String::new(),
        pupils: 20,
        room: String::new(),
    };
    Term {
        id: "0".repeat(32),
        name: "秋季学期".to_owned(),
        first_day: date(2026, 9, 1),
        last_day: date(2027, 1, 20),
        cycle_weeks,
        periods: (1..=4).map(period).collect(),
        classes: vec![class("a"), class("b")],
        slots: Vec::new(),
        exceptions: Vec::new(),
        follows: Vec::new(),
    }
}

pub(crate) fn lesson(class_id: &str, period: u8, subject: &str) -> SlotLesson {
    SlotLesson {
        period,
        class_id: class_id.to_owned(),
        room: String::new(),
        subject: subject.to_owned(),
        lead: String::new(),
        tutor: String::new(),
        mode: Mode::Local,
        source: Source::None,
    }
}

pub(crate) fn slot(id: &str, weekday: u8, weeks: &[u8], lesson: SlotLesson) -> Slot {
    Slot { id: id.to_owned(), weekday, weeks: weeks.to_vec(), lesson }
}

pub(crate) fn exception(id: &str, date: Date, change: Change) -> Exception {
    Exception {
        id: id.to_owned(),
        date,
        note: String::new(),
        written_at: 0,
        written_by: String::new(),
        change,
    }
}

fn subjects(term: &Term, date: Date) -> Vec<String> {
    let plan = Calendar::new(term).day(date);
    plan.lessons.iter().map(|p| format!("{} {}", p.lesson.period, p.lesson.subject)).collect()
}

fn pause(until: Option<Date>, holds_cycle: bool) -> Pause {
    Pause { until, class_ids: Vec::new(), holds_cycle }
}

#[test]
fn odd_and_even_weeks_are_counted_from_the_monday_of_the_first_week() {
    let term = term(2);
    let calendar = Calendar::new(&term);
    let weeks = [
        (date(2026, 9, 1), (1, 1)),
        (date(2026, 9, 6), (1, 1)),
        (date(2026, 9, 7), (2, 2)),
        (date(2026, 9, 14), (3, 1)),
    ];
    for (date, expected) in weeks {
        assert_eq!(calendar.week_of(date), Some(expected), "{date}");
    }
    assert_eq!(calendar.week_of(date(2026, 8, 31)), None);
    assert_eq!(calendar.week_of(date(2027, 1, 21)), None);
}

#[test]
fn a_week_of_holidays_is_counted_unless_the_school_says_that_the_cycle_stands_still() {
    // 1 to 7 October 2026 is Thursday to Wednesday; the examinations are a whole week.
    let mut term = term(2);
    let exams = Change::Exam(pause(Some(date(2026, 11, 13)), false));
    term.exceptions = vec![exception("x", date(2026, 11, 9), exams)];
    let week = |term: &Term, date| Calendar::new(term).week_of(date).unwrap();
    assert_eq!(week(&term, date(2026, 11, 16)), (12, 2));
    let exams = Change::Exam(pause(Some(date(2026, 11, 13)), true));
    term.exceptions = vec![exception("x", date(2026, 11, 9), exams)];
    assert_eq!(week(&term, date(2026, 11, 9)), (11, 1));
    assert_eq!(week(&term, date(2026, 11, 16)), (12, 1), "the odd week that was due comes now");
    // A week of which some days are taught is counted.
    let some = Change::Holiday(pause(Some(date(2026, 10, 7)), true));
    term.exceptions = vec![exception("y", date(2026, 10, 1), some)];
    assert_eq!(week(&term, date(2026, 11, 16)), (12, 2));
}

#[test]
fn a_make_up_saturday_has_the_lessons_of_the_day_that_it_makes_up_for() {
    let mut term = term(2);
    term.slots = vec![
        slot("odd", 4, &[1], lesson("a", 1, "math")),
        slot("even", 4, &[2], lesson("a", 1, "art")),
        slot("fri", 5, &[], lesson("a", 2, "music")),
    ];
    let saturday = date(2026, 10, 10);
    let makeup = |follows_date, weekday, week| {
        exception("m", saturday, Change::Makeup { follows_date, weekday, week })
    };
    assert_eq!(subjects(&term, saturday), Vec::<String>::new());
    // 1 October is the Thursday of the odd fifth week, the Saturday is in the even sixth.
    term.exceptions = vec![makeup(Some(date(2026, 10, 1)), None, None)];
    assert_eq!(subjects(&term, saturday), ["1 math"]);
    let plan = Calendar::new(&term).day(saturday);
    assert_eq!((plan.kind, plan.week, plan.cycle_week), (DayKind::Makeup, Some(6), Some(1)));
    assert!(plan.lessons[0].is_exception);
    term.exceptions = vec![makeup(None, Some(4), None)];
    assert_eq!(subjects(&term, saturday), ["1 art"]);
    term.exceptions = vec![makeup(None, Some(4), Some(1))];
    assert_eq!(subjects(&term, saturday), ["1 math"]);
}

#[test]
fn holidays_of_some_classes_swaps_replacements_and_additions_meet_only_what_they_name() {
    let mut term = term(1);
    term.slots = vec![
        slot("a1", 1, &[], lesson("a", 1, "math")),
        slot("a2", 1, &[], lesson("a", 2, "art")),
        slot("b1", 1, &[], lesson("b", 1, "chinese")),
    ];
    let monday = date(2026, 9, 7);
    let with = |changes: Vec<Change>| {
        let mut term = term.clone();
        let exceptions = changes.into_iter().enumerate();
        term.exceptions = exceptions.map(|(i, c)| exception(&i.to_string(), monday, c)).collect();
        subjects(&term, monday)
    };
    let of_b = Pause { class_ids: vec!["b".to_owned()], ..Pause::default() };
    assert_eq!(with(vec![Change::Exam(of_b)]), ["1 math", "2 art"]);
    let swap = Change::Swap {
        slot_id: "a1".to_owned(),
        with_slot_id: Some("a2".to_owned()),
        to_period: None,
        with_date: None,
    };
    assert_eq!(with(vec![swap]), ["1 art", "1 chinese", "2 math"]);
    let later = Change::Swap {
        slot_id: "b1".to_owned(),
        with_slot_id: None,
        to_period: Some(4),
        with_date: None,
    };
    assert_eq!(with(vec![later]), ["1 math", "2 art", "4 chinese"]);
    let replaced = Change::Replace { slot_id: "a2".to_owned(), slot: lesson("a", 2, "班会") };
    let cancelled = Change::Cancel { slot_id: "b1".to_owned() };
    let added = Change::Add { slot: lesson("b", 3, "pe") };
    assert_eq!(with(vec![replaced, cancelled, added]), ["1 math", "2 班会", "3 pe"]);
    let nowhere = Change::Cancel { slot_id: "zz".to_owned() };
    assert_eq!(with(vec![nowhere]), ["1 math", "1 chinese", "2 art"]);
}

fn any_pause() -> impl Strategy<Value = (i64, i64, bool)> {
    (0_i64..142, 0_i64..14, any::<bool>())
}

proptest! {
    #[test]
    fn every_day_of_a_term_has_one_week_of_the_cycle(
        cycle in 1_u8..=8,
        first in 0_i64..400,
        days in 0_i64..366,
        pauses in prop::collection::vec(any_pause(), 0..12),
    ) {
        let mut term = term(cycle);
        term.first_day = date(2026, 1, 1) + first.days();
        term.last_day = term.first_day + days.days();
        for (i, (from, more, holds)) in pauses.into_iter().enumerate() {
            let from = term.first_day + from.days();
            let change = Change::Holiday(pause(Some(from + more.days()), holds));
            term.exceptions.push(exception(&i.to_string(), from, change));
        }
        let calendar = Calendar::new(&term);
        let mut before: Option<(u32, u8)> = None;
        for n in -3..days + 3 {
            let day = term.first_day + n.days();
            let week = calendar.week_of(day);
            prop_assert_eq!(week.is_some(), (0..=days).contains(&n));
            let Some((no, of_cycle)) = week else { continue };
            prop_assert!((1..=cycle).contains(&of_cycle));
            if let Some((no_before, cycle_before)) = before {
                let is_monday = weekday_of(day) == 1;
                prop_assert_eq!(no, no_before + u32::from(is_monday));
                let next = cycle_before % cycle + 1;
                let is_next = is_monday && of_cycle == next;
                prop_assert!(of_cycle == cycle_before || is_next);
            }
            before = Some((no, of_cycle));
        }
    }

    #[test]
    fn a_swap_that_is_made_twice_is_none(
        periods in prop::collection::vec(1_u8..=4, 2..8),
        swaps in prop::collection::vec((0_usize..8, 0_usize..8), 1..6),
    ) {
        let mut term = term(1);
        let monday = date(2026, 9, 7);
        let slots = periods.iter().enumerate();
        term.slots = slots
            .map(|(i, period)| slot(&i.to_string(), 1, &[], lesson("a", *period, "math")))
            .collect();
        let before = Calendar::new(&term).day(monday);
        let before: Vec<_> =
            before.lessons.iter().map(|p| (p.slot_id.to_owned(), p.lesson.period)).collect();
        let there_and_back = swaps.iter().chain(swaps.iter().rev());
        for (i, (a, b)) in there_and_back.enumerate() {
            let (a, b) = ((a % periods.len()).to_string(), (b % periods.len()).to_string());
            let (slot_id, with_slot_id) = (a, Some(b));
            let change =
                Change::Swap { slot_id, with_slot_id, to_period: None, with_date: None };
            term.exceptions.push(exception(&i.to_string(), monday, change));
        }
        let after = Calendar::new(&term).day(monday);
        let placed: Vec<_> =
            after.lessons.iter().map(|p| (p.slot_id.to_owned(), p.lesson.period)).collect();
        prop_assert_eq!(placed, before);
        prop_assert!(after.lessons.iter().all(|placed| !placed.is_exception));
    }

    #[test]
    fn no_day_that_is_made_up_follows_another_one(
        makeups in prop::collection::vec((0_i64..142, 0_i64..142), 1..40),
    ) {
        let mut term = term(2);
        for (i, (on, of)) in makeups.into_iter().enumerate() {
            let follows_date = Some(term.first_day + of.days());
            let change = Change::Makeup { follows_date, weekday: None, week: None };
            let asked = exception(&i.to_string(), term.first_day + on.days(), change);
            if check::exception(&term, &asked).is_ok() {
                term.exceptions.push(asked);
            }
        }
        prop_assert!(!term.exceptions.is_empty() || term.first_day.year() == 2026);
        let made_up: Vec<Date> = term.exceptions.iter().map(|e| e.date).collect();
        for exception in &term.exceptions {
            let Change::Makeup { follows_date: Some(followed), .. } = exception.change else {
                unreachable!("only those are there")
            };
            prop_assert!(!made_up.contains(&followed));
            prop_assert_eq!(made_up.iter().filter(|date| **date == exception.date).count(), 1);
        }
    }
}
