use jiff::civil::date;
use proptest::prelude::*;
use yingxue_sync_core::id::HubId;

use super::*;
use crate::offers::document::Item;
use crate::timetable::calendar::tests::{exception, lesson, slot, term};
use crate::timetable::term::{Change, Follow};

const OFFER: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

fn plan(items: Vec<Item>) -> Plan {
    Plan {
        id: OFFER.parse().unwrap(),
        school_hub: HubId([1; 32]),
        is_withdrawn: false,
        title: "五年级数学".to_owned(),
        subject: "math".to_owned(),
        grade: "5".to_owned(),
        textbook: String::new(),
        school: "城区实验小学".to_owned(),
        items,
    }
}

fn item(n: u8, date: Option<Date>) -> Item {
    Item {
        key: format!("k{n}"),
        lesson_id: Some(DocId([n; 16]).to_string()),
        title: format!("第{n}课"),
        date,
        is_withdrawn: false,
    }
}

fn follow(from: Date) -> Follow {
    Follow {
        id: "f".to_owned(),
        class_id: "a".to_owned(),
        subject: "math".to_owned(),
        offer_id: OFFER.to_owned(),
        from,
        mode: Mode::Recorded,
    }
}

/// Two lessons of mathematics a week, Mondays and Thursdays, and one of another subject.
fn followed_term() -> Term {
    let mut term = term(1);
    term.slots = vec![
        slot("mon", 1, &[], lesson("a", 1, "math")),
        slot("thu", 4, &[], lesson("a", 2, "math")),
        slot("art", 4, &[], lesson("a", 1, "art")),
        slot("b", 1, &[], lesson("b", 1, "math")),
    ];
    term.follows = vec![follow(date(2026, 9, 7))];
    term
}

fn titles(term: &Term, plan: &Plan, first: Date, last: Date) -> Vec<String> {
    let plans = BTreeMap::from([(OFFER.to_owned(), plan.clone())]);
    let calendar = Calendar::new(term);
    let mut titles = Vec::new();
    for (date, day, fillings) in filled(&calendar, term, &plans, first, last) {
        for (placed, filling) in day.lessons.iter().zip(fillings) {
            let said =
                filling.planned.map(|p| p.title).or(filling.notice.map(|n| format!("{n:?}")));
            titles.extend(
                said.map(|said| format!("{} {} {said}", date.strftime("%m-%d"), placed.slot_id)),
            );
        }
    }
    titles
}

#[test]
fn the_nth_lesson_of_the_subject_gets_the_nth_of_the_plan_from_the_chosen_day_on() {
    let (term, plan) = (followed_term(), plan((1..=3).map(|n| item(n, None)).collect()));
    let seen = titles(&term, &plan, date(2026, 9, 1), date(2026, 9, 20));
    let expected = ["09-07 mon 第1课", "09-10 thu 第2课", "09-14 mon 第3课", "09-17 thu PlanEnded"];
    assert_eq!(seen, expected);
    // One day says the same as the whole term.
    assert_eq!(titles(&term, &plan, date(2026, 9, 14), date(2026, 9, 14)), ["09-14 mon 第3课"]);
}

#[test]
fn lessons_that_are_not_taught_use_up_none_and_made_up_ones_do() {
    let (mut term, plan) = (followed_term(), plan((1..=3).map(|n| item(n, None)).collect()));
    let cancel = Change::Cancel { slot_id: "mon".to_owned() };
    let makeup = Change::Makeup { follows_date: None, weekday: Some(1), week: None };
    term.exceptions =
        vec![exception("m", date(2026, 9, 12), makeup), exception("c", date(2026, 9, 7), cancel)];
    let seen = titles(&term, &plan, date(2026, 9, 1), date(2026, 9, 16));
    assert_eq!(seen, ["09-10 thu 第1课", "09-12 mon 第2课", "09-14 mon 第3课"]);
}

#[test]
fn a_lesson_with_a_date_is_for_that_day_and_the_others_go_round_it() {
    let mut items: Vec<Item> = (1..=3).map(|n| item(n, None)).collect();
    items[0].date = Some(date(2026, 9, 10));
    let seen = titles(&followed_term(), &plan(items), date(2026, 9, 1), date(2026, 9, 14));
    assert_eq!(seen, ["09-07 mon 第2课", "09-10 thu 第1课", "09-14 mon 第3课"]);
}

#[test]
fn what_was_withdrawn_keeps_its_place_and_is_told() {
    let mut plan = plan((1..=3).map(|n| item(n, None)).collect());
    plan.items[0].is_withdrawn = true;
    let term = followed_term();
    let calendar = Calendar::new(&term);
    let first = |plan: Option<&Plan>| {
        let plans = plan.map(|plan| (OFFER.to_owned(), plan.clone())).into_iter().collect();
        let days = filled(&calendar, &term, &plans, date(2026, 9, 7), date(2026, 9, 7));
        days[0].2[0].clone()
    };
    let filling = first(Some(&plan));
    assert_eq!(filling.notice, Some(Notice::ItemWithdrawn));
    assert_eq!(filling.lesson, Some(DocId([1; 16])));
    assert_eq!(filling.mode, Some(Mode::Recorded));
    plan.is_withdrawn = true;
    let filling = first(Some(&plan));
    assert_eq!(
        (filling.notice, filling.lesson),
        (Some(Notice::OfferWithdrawn), Some(DocId([1; 16])))
    );
    let filling = first(None);
    assert_eq!((filling.notice, filling.lesson), (Some(Notice::OfferMissing), None));
}

#[test]
fn a_newer_choice_replaces_the_older_one_from_its_day_on_and_begins_at_the_first_lesson() {
    let mut term = followed_term();
    let newer = Follow { id: "g".to_owned(), ..follow(date(2026, 9, 14)) };
    term.follows.push(newer);
    let plan = plan((1..=3).map(|n| item(n, None)).collect());
    let seen = titles(&term, &plan, date(2026, 9, 1), date(2026, 9, 17));
    let expected = ["09-07 mon 第1课", "09-10 thu 第2课", "09-14 mon 第1课", "09-17 thu 第2课"];
    assert_eq!(seen, expected);
}

#[test]
fn a_lesson_that_the_timetable_names_is_that_lesson() {
    let mut term = followed_term();
    let lesson_id = DocId([7; 16]).to_string();
    term.slots[0].lesson.source = Source::Lesson { lesson_id };
    let calendar = Calendar::new(&term);
    let monday = date(2026, 9, 7);
    let days = filled(&calendar, &term, &BTreeMap::new(), monday, monday);
    let filling = &days[0].2[0];
    assert_eq!((filling.lesson, filling.mode), (Some(DocId([7; 16])), Some(Mode::Recorded)));
    // The other class follows nothing.
    assert_eq!(days[0].2[1], Filling::default());
}

proptest! {
    #[test]
    fn no_lesson_of_a_plan_is_taught_twice_and_none_is_left_out(
        count in 1_u8..20,
        dated in prop::collection::vec((0_u8..20, 0_i64..60), 0..5),
    ) {
        let mut items: Vec<Item> = (1..=count).map(|n| item(n, None)).collect();
        for (place, day) in dated {
            let place = usize::from(place) % items.len();
            items[place].date = Some(date(2026, 9, 7) + day.days());
        }
        let (term, plan) = (followed_term(), plan(items.clone()));
        let seen = titles(&term, &plan, term.first_day, term.last_day);
        let taught: Vec<&String> = seen.iter().filter(|said| said.contains("课")).collect();
        let mut names: Vec<&str> = taught.iter().filter_map(|s| s.rsplit(' ').next()).collect();
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), before);
        // The term has more lessons than the plan: all without a date are taught, in order.
        let undated: Vec<&str> =
            items.iter().filter(|i| i.date.is_none()).map(|i| i.title.as_str()).collect();
        let order: Vec<&str> = taught
            .iter()
            .filter_map(|s| s.rsplit(' ').next())
            .filter(|title| undated.contains(title))
            .collect();
        prop_assert_eq!(order, undated);
    }
}
