//! Tables with one row a lesson.

use super::draft::{Draft, DraftSlot, ModeWord};
use super::layout::{Found, Mapping};
use super::problem::{ImportProblemCode as Code, Place};
use super::table::{Row, Table};
use super::words::{self, Field};
use crate::timetable::check::PERIODS_MAX;
use crate::timetable::term::{ClockTime, Mode};

/// Reads the rows below the header.
pub(super) fn read(table: &Table, found: &Found, mapping: &Mapping, draft: &mut Draft) {
    let rows = &table.rows[found.header + 1..];
    let by_time = found.column(Field::Period).is_none();
    if by_time {
        let mut times: Vec<_> = rows.iter().filter_map(|row| times_of(row, found)).collect();
        times.sort_unstable();
        times.dedup();
        draft.times = (1..=u8::try_from(PERIODS_MAX).unwrap_or(u8::MAX)).zip(times).collect();
    }
    let ranges = rows.iter().filter_map(|row| words::week_range(text(row, found, Field::Weeks)));
    let term_weeks = ranges.max_by_key(|(from, to)| to.saturating_sub(*from));
    let (weekday, class) = (String::new(), String::new());
    let mut reader = Reader { found, mapping, by_time, term_weeks, weekday, class };
    for row in rows {
        reader.row(row, draft);
    }
}

struct Reader<'a> {
    found: &'a Found,
    mapping: &'a Mapping,
    by_time: bool,
    /// The longest range of weeks that a row names: a term, which has no shorter ones here.
    term_weeks: Option<(u8, u8)>,
    /// Of the row above: a cell over several rows is filled in the first of them.
    weekday: String,
    class: String,
}

impl Reader<'_> {
    fn row(&mut self, row: &Row, draft: &mut Draft) {
        let subject = text(row, self.found, Field::Subject);
        if Field::of_header(subject) == Some(Field::Subject) {
            return;
        }
        // A cell over several rows may begin in one without a lesson.
        keep(&mut self.weekday, text(row, self.found, Field::Weekday));
        keep(&mut self.class, text(row, self.found, Field::Class));
        let at =
            |field| Place { sheet: &row.sheet, row: row.number, column: self.found.column(field) };
        let teacher = [Field::Lead, Field::Tutor].map(|field| text(row, self.found, field));
        if subject.is_empty() && teacher.iter().any(|name| !words::is_none(name)) {
            let what = "the lesson has no subject or no class; it is left out";
            return draft.tell(at(Field::Subject), Code::Incomplete, what, &teacher.join(" "));
        }
        if words::is_none(subject) {
            return;
        }
        let Some(weekday) = words::weekday(&self.weekday) else {
            let what = "this is no weekday such as 星期一 or Monday; the lesson is left out";
            return draft.tell(at(Field::Weekday), Code::BadWeekday, what, &self.weekday);
        };
        let periods = self.periods(row, draft);
        if periods.is_empty() {
            let what = "this is no period such as 第3节 or 3, and no time; the lesson is left out";
            let field = if self.by_time { Field::Start } else { Field::Period };
            let value = text(row, self.found, field);
            return draft.tell(at(Field::Period), Code::BadPeriod, what, value);
        }
        let (weeks, cycle) = self.weeks(row, draft);
        draft.cycle_weeks = draft.cycle_weeks.max(cycle);
        let class = self.class_of(row, draft);
        let mode = self.mode(row, draft);
        for period in periods {
            let slot = DraftSlot {
                class: class.clone(),
                weekday,
                period,
                weeks: weeks.clone(),
                subject: words::known_subject(subject).unwrap_or(subject).to_owned(),
                lead: text(row, self.found, Field::Lead).to_owned(),
                tutor: text(row, self.found, Field::Tutor).to_owned(),
                room: text(row, self.found, Field::Room).to_owned(),
                mode: ModeWord(mode),
            };
            draft.slot(at(Field::Subject), slot);
        }
    }

    /// Gives in which weeks of a cycle the row's lesson is, and how many the cycle has.
    fn weeks(&self, row: &Row, draft: &mut Draft) -> (Vec<u8>, u8) {
        let said = text(row, self.found, Field::Weeks);
        let column = self.found.column(Field::Weeks);
        let at = || Place { sheet: &row.sheet, row: row.number, column };
        let Some(read) = words::weeks(said) else {
            let what = "this is no week such as 单周, 双周 or 1/2; the lesson is in every week";
            draft.tell(at(), Code::BadWeeks, what, said);
            return (Vec::new(), 1);
        };
        if words::week_range(said).is_some_and(|weeks| Some(weeks) != self.term_weeks) {
            let what = "a lesson has no range of weeks; it is in all weeks of the term";
            draft.tell(at(), Code::BadWeeks, what, said);
        }
        read
    }

    /// Gives the numbers of the row's periods, and notes when they are.
    fn periods(&self, row: &Row, draft: &mut Draft) -> Vec<u8> {
        let times = times_of(row, self.found);
        if self.by_time {
            let known = draft.times.iter().find(|(_, known)| Some(**known) == times);
            return known.map(|(no, _)| *no).into_iter().collect();
        }
        let numbers = words::periods(text(row, self.found, Field::Period));
        // All of them, or none: half of a lesson is no lesson.
        if numbers.iter().any(|no| usize::from(*no) > PERIODS_MAX) {
            return Vec::new();
        }
        if let ([no], Some(times)) = (numbers.as_slice(), times) {
            let column = self.found.column(Field::Start);
            draft.time(Place { sheet: &row.sheet, row: row.number, column }, *no, times);
        }
        numbers
    }

    fn class_of(&self, row: &Row, draft: &mut Draft) -> String {
        let asked = self.mapping.class_name.clone();
        let name = Some(self.class.clone()).filter(|class| !class.is_empty());
        let name = name.or(asked).or_else(|| words::class_in(&row.sheet)).unwrap_or_else(|| {
            let what = "the row names no class; say which class the file is for";
            let at = Place { sheet: &row.sheet, row: row.number, column: None };
            draft.tell(at, Code::ClassMissing, what, "");
            "本班".to_owned()
        });
        let name = crate::catalog::bounds::line(&name, crate::timetable::check::WORD_CHARS_MAX);
        let said = text(row, self.found, Field::Grade);
        let grade = words::grade_of(said).or_else(|| words::grade_of(&format!("{said}年级")));
        let pupils = words::plain(text(row, self.found, Field::Pupils)).parse().unwrap_or(0);
        let pupils = u32::min(pupils, crate::timetable::check::PUPILS_MAX);
        draft.class(&name, grade.or(words::grade_of(&name)).unwrap_or_default(), pupils);
        name
    }

    fn mode(&self, row: &Row, draft: &mut Draft) -> Mode {
        let said = text(row, self.found, Field::Mode);
        if said.is_empty() {
            return Mode::Local;
        }
        words::mode(said).unwrap_or_else(|| {
            let what = "this is none of 直播 录播 植入 观摩 本校; the lesson is the school's own";
            let column = self.found.column(Field::Mode);
            let at = Place { sheet: &row.sheet, row: row.number, column };
            draft.tell(at, Code::BadMode, what, said);
            Mode::Local
        })
    }
}

fn keep(last: &mut String, text: &str) {
    if !text.is_empty() {
        text.clone_into(last);
    }
}

fn text<'a>(row: &'a Row, found: &Found, field: Field) -> &'a str {
    found.column(field).map_or("", |column| row.cell(column))
}

/// Finds when the row's lesson is: in two columns, or in one of them as `8:30-9:10`.
fn times_of(row: &Row, found: &Found) -> Option<(ClockTime, ClockTime)> {
    let [start, end, period] =
        [Field::Start, Field::End, Field::Period].map(|field| text(row, found, field));
    let (first, last) = (words::clock_times(start).next(), words::clock_times(end).next());
    words::times(start)
        .or_else(|| words::times(period))
        .or_else(|| first.zip(last).filter(|(start, end)| start < end))
}
