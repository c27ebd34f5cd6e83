use std::collections::BTreeMap;

use jiff::civil::date;
use proptest::prelude::*;
use rusqlite::Connection;
use yingxue_sync_core::doc::Doc;
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::{DocId, HubId};

use super::*;
use crate::catalog::projection::{project as project_any, rebuild};
use crate::db::MIGRATIONS;
use crate::timetable::calendar::tests::{exception, lesson, slot, term};
use crate::timetable::term::{Change, Mode, Source};
use crate::timetable::{COLLECTION, collection, terms};

const TERM: DocId = DocId([1; 16]);
const HUB: HubId = HubId([9; 32]);

fn database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    MIGRATIONS.iter().for_each(|migration| db.execute_batch(migration.sql).unwrap());
    db
}

/// Saves edits as the store does, as an envelope of `author`.
fn save(db: &Connection, author: &HubId, edits: &[DocEdit]) -> Projected {
    let sql = "insert into envelopes (collection, author, seq, hash, doc, bytes) values (?1, ?2, \
         (select count(*) + 1 from envelopes), x'', ?3, x'')";
    db.execute(sql, (COLLECTION, author.as_bytes(), TERM.as_bytes())).unwrap();
    let sql = "select snapshot from docs where doc = ?1";
    let before: Option<Vec<u8>> = db.query_row(sql, [TERM.as_bytes()], |row| row.get(0)).ok();
    let mut doc = Doc::load(before.as_deref()).unwrap();
    doc.edit([1; 16], 0, edits).unwrap();
    let snapshot = doc.save();
    let sql = "insert or replace into docs (collection, doc, snapshot) values (?1, ?2, ?3)";
    db.execute(sql, (COLLECTION, TERM.as_bytes(), &snapshot)).unwrap();
    project_any(db, &collection(), &TERM, &snapshot).unwrap()
}

fn own(db: &Connection) -> Option<Term> {
    terms::one(db, &HUB, &TERM).unwrap()
}

fn whole() -> Term {
    let mut term = Term { id: TERM.to_string(), ..term(2) };
    term.slots = vec![
        slot("s1", 1, &[1], lesson("a", 1, "math")),
        slot("s2", 1, &[], lesson("b", 2, "班会")),
    ];
    term.slots[0].lesson.mode = Mode::Live;
    term.slots[0].lesson.source = Source::Lesson { lesson_id: DocId([3; 16]).to_string() };
    term
}

fn edits(term: &Term) -> Vec<DocEdit> {
    let mut edits = head_edits(term);
    edits.extend(cycle_edits(term));
    edits
}

#[test]
fn a_term_is_read_back_as_it_was_written_and_so_are_rows_made_again() {
    let db = database();
    let mut term = whole();
    assert_eq!(save(&db, &HUB, &edits(&term)), Projected::Timetable);
    assert_eq!(own(&db), Some(term.clone()));
    let makeup = Change::Makeup { follows_date: None, weekday: Some(1), week: Some(1) };
    term.exceptions = vec![exception("m", date(2026, 9, 12), makeup)];
    save(&db, &HUB, &[entry_edit(Part::Exceptions, "m", &term.exceptions[0])]);
    assert_eq!(own(&db), Some(term.clone()));
    rebuild(&db).unwrap();
    assert_eq!(own(&db), Some(term.clone()));
    save(&db, &HUB, &[removal_edit(Part::Slots, "s2"), removal_edit(Part::Slots, "zz")]);
    assert_eq!(own(&db).unwrap().slots.len(), 1);
    save(&db, &HUB, &[deleted_edit(true)]);
    assert_eq!(own(&db), None);
    save(&db, &HUB, &[deleted_edit(false)]);
    assert!(own(&db).is_some());
}

#[test]
fn a_term_is_that_schools_whose_hub_wrote_it_first() {
    let db = database();
    save(&db, &HubId([7; 32]), &edits(&whole()));
    save(&db, &HUB, &edits(&whole()));
    assert_eq!(own(&db), None);
    assert!(terms::one(&db, &HubId([7; 32]), &TERM).unwrap().is_some());
}

#[test]
fn entries_of_another_hub_that_break_a_bound_are_left_out() {
    let db = database();
    let term = whole();
    save(&db, &HUB, &edits(&term));
    let put = |path: &[&str], value| DocEdit::Put {
        path: path.iter().map(ToString::to_string).collect(),
        value,
    };
    let long = Slot { id: "x1".to_owned(), ..slot("", 1, &[], lesson("a", 1, &"长".repeat(21))) };
    let nobody = Slot { id: "x2".to_owned(), ..slot("", 1, &[], lesson("zz", 1, "math")) };
    let other_id = slot("s9", 1, &[], lesson("a", 1, "math"));
    let own_makeup =
        Change::Makeup { follows_date: Some(date(2026, 9, 12)), weekday: None, week: None };
    save(
        &db,
        &HubId([7; 32]),
        &[
            entry_edit(Part::Slots, "x1", &long),
            entry_edit(Part::Slots, "x2", &nobody),
            entry_edit(Part::Slots, "x3", &other_id),
            put(&["slots", "x4"], DocValue::Int(4)),
            put(&["slots", "x5"], DocValue::Str("{".repeat(5_000))),
            put(&["exceptions"], DocValue::Str("x".into())),
            entry_edit_of("follows", "f", "{\"id\": \"f\"}"),
            entry_edit_of("classes", "c", "{\"id\": \"c\", \"name\": \"\"}"),
        ],
    );
    assert_eq!(own(&db), Some(term.clone()));
    save(&db, &HubId([7; 32]), &[put(&["exceptions"], DocValue::Map(BTreeMap::new()))]);
    // Two make-up days that follow one another: one of them counts.
    let [a, b] = [(12, 13), (13, 12)].map(|(on, of)| {
        let follows_date = Some(date(2026, 9, of));
        let change = Change::Makeup { follows_date, weekday: None, week: None };
        exception(&format!("m{on}"), date(2026, 9, on), change)
    });
    let own = own(&db).unwrap();
    assert_eq!(own.exceptions, []);
    save(
        &db,
        &HubId([7; 32]),
        &[
            entry_edit(Part::Exceptions, "m12", &a),
            entry_edit(Part::Exceptions, "m13", &b),
            entry_edit(Part::Exceptions, "m", &exception("m", date(2026, 9, 12), own_makeup)),
        ],
    );
    assert_eq!(super::tests::own(&db).unwrap().exceptions, [a]);
    // Without a name it has one; without dates it is none.
    save(&db, &HUB, &[put(&["name"], DocValue::Int(1)), put(&["periods"], DocValue::Null)]);
    let term = super::tests::own(&db).unwrap();
    assert_eq!((term.name, term.periods.len(), term.slots.len()), (TERM.short(), 0, 0));
    let before = own_rows(&db);
    save(&db, &HUB, &[put(&["first_day"], DocValue::Str("2026-99-99".into()))]);
    assert_eq!(own_rows(&db), before, "what cannot be read leaves what was there");
}

fn own_rows(db: &Connection) -> String {
    db.query_row("select body from timetable_terms", [], |row| row.get(0)).unwrap()
}

fn entry_edit_of(part: &str, id: &str, json: &str) -> DocEdit {
    let path = vec![part.to_owned(), id.to_owned()];
    DocEdit::Put { path, value: DocValue::Str(json.to_owned()) }
}

#[test]
fn the_largest_timetable_is_one_edit_and_fits_an_envelope() {
    let mut term = whole();
    term.classes = (0..60)
        .map(|n| Class {
            id: format!("c-{n:012x}"),
            name: format!("{n}班"),
            ..term.classes[0].clone()
        })
        .collect();
    let classes = term.classes.clone();
    let random = |n: usize| blake3::hash(&n.to_le_bytes()).to_hex()[..12].to_owned();
    term.slots = (0..check::SLOTS_MAX)
        .map(|n| {
            let mut lesson = lesson(&classes[n % 60].id, 1 + (n / 300 % 4) as u8, "chinese");
            lesson.lead = format!("{}老师", ["张", "王", "李", "赵"][n % 4]);
            slot(&format!("s-{}", random(n)), 1 + (n / 60 % 5) as u8, &[], lesson)
        })
        .collect();
    let edits = edits(&term);
    assert!(edits.len() <= yingxue_sync_core::doc::EDITS_MAX);
    let change = Doc::load(None).unwrap().edit([1; 16], 0, &edits).unwrap().unwrap();
    let packed = zstd::bulk::compress(&change, 3).unwrap().len();
    let max = yingxue_sync_core::journal::ENVELOPE_BYTES_MAX;
    assert!(packed < max * 4 / 5, "{packed} bytes of {max}");
    assert!(change.len() < yingxue_sync_core::journal::CHANGES_BYTES_MAX, "{}", change.len());
}

proptest! {
    #[test]
    fn whatever_a_document_says_becomes_a_term_that_passes_every_check_or_none(
        slots in prop::collection::vec((0_u8..10, 0_u8..12, prop::collection::vec(0_u8..10, 0..4)), 0..12),
        cycle in -1_i64..12,
        dates in (0_i64..500, 0_i64..500),
        text in ".{0,30}",
    ) {
        use jiff::ToSpan as _;
        let db = database();
        let mut term = whole();
        term.slots = slots
            .into_iter()
            .enumerate()
            .map(|(i, (day, period, weeks))| slot(&format!("s{i}"), day, &weeks, lesson("a", period, &text)))
            .collect();
        let makeup = Change::Makeup {
            follows_date: Some(term.first_day + dates.1.days()),
            weekday: None,
            week: None,
        };
        let makeup = exception("m", term.first_day + dates.0.days(), makeup);
        let mut all = edits(&term);
        all.push(entry_edit(Part::Exceptions, "m", &makeup));
        all.push(DocEdit::Put { path: vec!["cycle_weeks".into()], value: DocValue::Int(cycle) });
        save(&db, &HUB, &all);
        if let Some(term) = own(&db) {
            prop_assert!(check::whole(&term).is_ok());
            prop_assert!(check::entries(&term).is_ok());
        }
    }
}
