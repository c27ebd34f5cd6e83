//! Timetables as schools upload them, in any encoding: CSES, and texts with a row a line. (What is
//! read of a spreadsheet becomes the same rows; a process of its own opens it.)
#![no_main]

use jiff::civil::date;
use libfuzzer_sys::fuzz_target;
use yingxue_hub::timetable::check;
use yingxue_hub::timetable::import::draft::{Draft, put_into};
use yingxue_hub::timetable::import::layout::{self, Mapping};
use yingxue_hub::timetable::import::problem::PROBLEMS_MAX;
use yingxue_hub::timetable::import::{cses, text};
use yingxue_hub::timetable::term::Term;

fuzz_target!(|bytes: &[u8]| {
    let text = text::decode(bytes);
    for class in [None, Some("七（1）班")] {
        if let Ok(draft) = cses::read(&text, class) {
            look(&draft);
        }
        let table = text::table(&text);
        let mapping = Mapping { class_name: class.map(str::to_owned), ..Mapping::default() };
        let found = layout::find(&table, &mapping);
        look(&layout::read(&table, found.as_ref(), &mapping));
    }
});

/// What is read can be kept.
fn look(draft: &Draft) {
    assert!(draft.problems.shown.len() <= PROBLEMS_MAX);
    let term = Term {
        id: "0".repeat(32),
        name: "秋季学期".to_owned(),
        first_day: date(2026, 9, 1),
        last_day: date(2027, 1, 20),
        cycle_weeks: 1,
        periods: Vec::new(),
        classes: Vec::new(),
        slots: Vec::new(),
        exceptions: Vec::new(),
        follows: Vec::new(),
    };
    if let Ok(term) = put_into(&term, draft) {
        assert_eq!(check::whole(&term), Ok(()));
    }
}
