use jiff::civil::date;

use super::*;
use crate::timetable::calendar::tests::{exception, lesson, slot, term};
use crate::timetable::term::{Change, Mode, Pause};

fn told(term: &Term) -> Vec<(ConflictKind, String, Option<Date>, Vec<u8>)> {
    conflicts(term).into_iter().map(|c| (c.kind, c.name, c.date, c.weeks)).collect()
}

#[test]
fn lessons_meet_only_in_weeks_that_both_have() {
    let mut term = term(3);
    let of = |tutor: &str| {
        let mut lesson = lesson("a", 1, "math");
        lesson.tutor = tutor.to_owned();
        lesson
    };
    term.slots = vec![slot("x", 1, &[1, 2], of("")), slot("y", 1, &[3], of(""))];
    assert_eq!(told(&term), []);
    term.slots[1].weeks = vec![2, 3];
    assert_eq!(told(&term), [(ConflictKind::Class, "a".to_owned(), None, vec![2])]);
    term.slots[1].weeks = Vec::new();
    assert_eq!(told(&term)[0].3, [1, 2]);
    term.slots[1].weekday = 2;
    assert_eq!(told(&term), []);
}

#[test]
fn a_remote_lead_teaches_many_classes_at_once_and_a_room_of_two_grades_is_told() {
    let mut term = term(1);
    let of = |class: &str, mode: Mode| {
        let mut lesson = lesson(class, 1, "math");
        lesson.lead = "陈老师".to_owned();
        lesson.mode = mode;
        lesson
    };
    term.slots =
        vec![slot("x", 1, &[], of("a", Mode::Live)), slot("y", 1, &[], of("b", Mode::Live))];
    assert_eq!(told(&term), []);
    term.slots.iter_mut().for_each(|slot| slot.lesson.mode = Mode::Local);
    assert_eq!(told(&term), [(ConflictKind::Teacher, "陈老师".to_owned(), None, vec![1])]);
    term.slots.iter_mut().for_each(|slot| slot.lesson.lead.clear());
    term.classes.iter_mut().for_each(|class| class.room = "1".to_owned());
    assert_eq!(told(&term), [(ConflictKind::Room, "1".to_owned(), None, vec![1])]);
}

#[test]
fn a_day_that_an_exception_makes_crowded_is_named_and_the_list_has_an_end() {
    let mut term = term(1);
    term.slots =
        vec![slot("x", 1, &[], lesson("a", 1, "math")), slot("y", 1, &[], lesson("a", 2, "art"))];
    let monday = date(2026, 9, 7);
    let moved = Change::Swap {
        slot_id: "y".to_owned(),
        with_slot_id: None,
        to_period: Some(1),
        with_date: None,
    };
    term.exceptions = vec![exception("e", monday, moved)];
    assert_eq!(told(&term), [(ConflictKind::Class, "a".to_owned(), Some(monday), vec![1])]);
    term.slots = (0..60).map(|n| slot(&format!("s{n}"), 1, &[], lesson("a", 1, "math"))).collect();
    assert_eq!(conflicts(&term).len(), CONFLICTS_MAX);
}

#[test]
fn an_exchange_of_two_days_beside_another_change_of_the_same_lesson_is_told() {
    let mut term = term(1);
    term.slots = vec![
        slot("math", 1, &[], lesson("a", 1, "math")),
        slot("art", 2, &[], lesson("a", 2, "art")),
    ];
    let (monday, tuesday) = (date(2026, 9, 7), date(2026, 9, 8));
    let exchange = exception("x", monday, swap("math", "art", tuesday));
    term.exceptions = vec![exchange.clone()];
    assert_eq!(told(&term), []);
    let cancel = |id: &str| Change::Cancel { slot_id: id.to_owned() };
    let replaced = lesson("a", 1, "music");
    let replace = Change::Replace { slot_id: "math".to_owned(), slot: replaced };
    for (day, change) in [(monday, cancel("math")), (tuesday, cancel("art")), (monday, replace)] {
        for id in ["before", "z-after"] {
            term.exceptions = vec![exchange.clone(), exception(id, day, change.clone())];
            term.exceptions.sort_by(|a, b| a.id.cmp(&b.id));
            let expected = (ConflictKind::Change, "a".to_owned(), Some(day), vec![1]);
            assert_eq!(told(&term), [expected], "{id} {change:?}");
        }
    }
    // What is cancelled in another week has nothing to do with it.
    let later = exception("e", date(2026, 9, 14), cancel("math"));
    term.exceptions = vec![exchange.clone(), later];
    assert_eq!(told(&term), []);
    // An examination of the class on one of the two days leaves half of the exchange.
    let pause = Pause { until: None, class_ids: vec!["a".to_owned()], holds_cycle: false };
    let exam = |id: &str, day| exception(id, day, Change::Exam(pause.clone()));
    term.exceptions = vec![exchange.clone(), exam("e", monday)];
    assert_eq!(told(&term)[0].0, ConflictKind::Change);
    term.exceptions = vec![exchange, exam("e", monday), exam("f", tuesday)];
    assert_eq!(told(&term), [], "nothing is left of it");
}

#[test]
fn a_lesson_that_is_exchanged_twice_is_told() {
    let mut term = term(1);
    term.slots = vec![
        slot("math", 1, &[], lesson("a", 1, "math")),
        slot("art", 2, &[], lesson("a", 2, "art")),
        slot("pe", 3, &[], lesson("a", 3, "pe")),
    ];
    let monday = date(2026, 9, 7);
    term.exceptions = vec![
        exception("x", monday, swap("math", "art", date(2026, 9, 8))),
        exception("y", monday, swap("math", "pe", date(2026, 9, 9))),
    ];
    let told = told(&term);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|one| (one.0, one.2) == (ConflictKind::Change, Some(monday))));
}

fn swap(id: &str, with: &str, with_date: Date) -> Change {
    Change::Swap {
        slot_id: id.to_owned(),
        with_slot_id: Some(with.to_owned()),
        to_period: None,
        with_date: Some(with_date),
    }
}
