use jiff::civil::date;

use super::*;
use crate::timetable::calendar::tests::{exception, lesson, slot, term};
use crate::timetable::term::{Change, Mode};

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
