//! Tables whose rows are classes and whose columns are weekdays and periods, as a school's whole
//! timetable hangs in the office (总课表): 班级 | 星期一 1 2 3 … | 星期二 1 2 3 …

use std::collections::BTreeMap;

use super::draft::Draft;
use super::grid;
use super::layout::{Found, Layout, Mapping};
use super::problem::{ImportProblemCode as Code, Place};
use super::table::{Joined, Row, Table};
use super::words::{self, Field};
use crate::timetable::check::PERIODS_MAX;

/// Weekdays that make a row the header of such a table.
const DAYS_MIN: usize = 3;
/// Periods of each of them, at least: a table with fewer columns is one of a single class.
const PERIODS_MIN: usize = 2;

/// Where the lessons of such a table are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Rows that it takes: weekdays, and below them the periods.
    pub rows: usize,
    /// Weekday and period, by column.
    pub lessons: BTreeMap<usize, (u8, u8)>,
}

/// Finds such a table whose header begins in a row.
pub(super) fn at(table: &Table, header: usize) -> Option<Found> {
    let head = in_one_row(table, header)
        .or_else(|| over_two_rows(table, header))
        .or_else(|| merged(table, header))?;
    let fields = fields(table, header, &head);
    Some(Found { layout: Layout::Rows, header, fields, head })
}

/// 周一1, 周一2, … in a row.
fn in_one_row(table: &Table, header: usize) -> Option<Head> {
    let row = table.rows.get(header)?;
    let cells = row.cells.iter().enumerate();
    let lessons = cells.filter_map(|(column, text)| Some((column, words::day_and_period(text)?)));
    checked(Head { rows: 1, lessons: lessons.collect() })
}

/// Weekdays, each over its periods, and the numbers of the periods below.
fn over_two_rows(table: &Table, header: usize) -> Option<Head> {
    let (row, below) = (table.rows.get(header)?, table.rows.get(header + 1)?);
    if below.sheet != row.sheet || below.number != row.number + 1 {
        return None;
    }
    let mut day = None;
    let lessons = below.cells.iter().enumerate().filter_map(|(column, text)| {
        day = words::weekday_of_header(row.cell(column)).or(day);
        Some((column, (day?, one_period(text)?)))
    });
    checked(Head { rows: 2, lessons: lessons.collect() })
}

/// Weekdays, each over its periods, which have no numbers.
fn merged(table: &Table, header: usize) -> Option<Head> {
    let row = table.rows.get(header)?;
    let cells = row.cells.iter().enumerate();
    let days: Vec<(usize, u8)> = cells
        .filter_map(|(column, text)| Some((column, words::weekday_of_header(text)?)))
        .collect();
    let width = days.windows(2).map(|pair| pair[1].0 - pair[0].0).min()?;
    let below = table.rows.get(header + 1..)?.iter().take_while(|below| below.sheet == row.sheet);
    let first = days.first()?.0;
    let names_class =
        |row: &Row| row.cells.iter().take(first).any(|text| words::class_in(text).is_some());
    // In a table of one class periods stand there.
    if width < PERIODS_MIN || below.take(2).filter(|row| names_class(row)).count() < 2 {
        return None;
    }
    let of_day = |(column, day): (usize, u8)| {
        (1..=u8::try_from(width).unwrap_or(u8::MAX))
            .map(move |period| (column + usize::from(period) - 1, (day, period)))
    };
    checked(Head { rows: 1, lessons: days.into_iter().flat_map(of_day).collect() })
}

fn checked(head: Head) -> Option<Head> {
    let mut days: Vec<u8> = head.lessons.values().map(|(day, _)| *day).collect();
    days.sort_unstable();
    days.dedup();
    let is_enough = days.len() >= DAYS_MIN && head.lessons.len() >= days.len() * PERIODS_MIN;
    let are_periods = head.lessons.values().all(|(_, no)| usize::from(*no) <= PERIODS_MAX);
    (is_enough && are_periods).then_some(head)
}

fn one_period(text: &str) -> Option<u8> {
    let words = text.split_whitespace().filter(|word| !word.contains([':', '：']));
    match words::periods(&words.collect::<String>())[..] {
        [period] => Some(period),
        _ => None,
    }
}

fn fields(table: &Table, header: usize, head: &Head) -> Vec<Option<Field>> {
    let first = head.lessons.keys().next().copied().unwrap_or(0);
    let mut fields: Vec<Option<Field>> = Vec::new();
    for column in 0..first {
        let texts = (header..header + head.rows).map(|row| table.rows[row].cell(column));
        let field = texts.filter_map(Field::of_header).next();
        fields.push(field.filter(|field| field.day().is_none() && !fields.contains(&Some(*field))));
    }
    if !fields.contains(&Some(Field::Class)) {
        let classes = |column: &usize| {
            let rows = table.rows[header + head.rows..].iter();
            rows.filter(|row| words::class_in(row.cell(*column)).is_some()).count()
        };
        let free = (0..first).filter(|column| fields[*column].is_none());
        // Of two that name as many the left one.
        if let Some(column) = free.rev().max_by_key(classes) {
            fields[column] = Some(Field::Class);
        }
    }
    let last = head.lessons.keys().next_back().copied().unwrap_or(0);
    fields.extend((first..=last).map(|column| Field::of_day(head.lessons.get(&column)?.0)));
    fields
}

/// Reads each such table, one below the other or on sheets.
pub(super) fn read(table: &Table, found: &Found, mapping: &Mapping, draft: &mut Draft) {
    let mut own = found.clone();
    let mut begin = found.header;
    while begin < table.rows.len() {
        let next = (begin + own.head.rows.max(1)..table.rows.len())
            .find_map(|row| at(table, row).map(|found| (row, found)));
        let end = next.as_ref().map_or(table.rows.len(), |(row, _)| *row);
        block(table, &own, begin + own.head.rows.max(1)..end, mapping, draft);
        begin = end;
        // The next one has its own columns, unless somebody has said what they are.
        if let Some((row, found)) = next {
            own = if mapping.columns.is_empty() {
                found
            } else {
                Found { header: row, head: found.head, ..own }
            };
        }
    }
}

fn block(
    table: &Table,
    found: &Found,
    rows: std::ops::Range<usize>,
    mapping: &Mapping,
    draft: &mut Draft,
) {
    let text = |row: &Row, field| found.column(field).map_or(String::new(), |c| row.cell(c).into());
    note_times(table, found, draft);
    tell_columns(table, found, &rows, draft);
    let (mut grade, mut class) = (String::new(), String::new());
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in table.rows.get(rows).unwrap_or_default() {
        let joined = Joined::new(row, |column| day_of(found, column).is_some());
        let named = text(row, Field::Class);
        if let Some(last) = lines.last_mut()
            && named.is_empty()
            && last.joined.is_above(row)
        {
            last.joined.join(joined);
            continue;
        }
        let said = text(row, Field::Grade);
        if !said.is_empty() {
            grade = said;
        }
        if !named.is_empty() {
            class = name_of(&named, &grade);
        }
        if !joined.cells.is_empty() {
            let pupils = words::plain(&text(row, Field::Pupils)).parse().unwrap_or(0);
            let class = class_of(&class, row, mapping, draft);
            lines.push(Line { joined, class, pupils });
        }
    }
    for line in &lines {
        take(line, found, draft);
    }
}

/// The rows of one class.
struct Line<'a> {
    joined: Joined<'a>,
    class: String,
    pupils: u32,
}

fn day_of(found: &Found, column: usize) -> Option<u8> {
    found.fields.get(column).copied().flatten().and_then(Field::day)
}

fn take(line: &Line<'_>, found: &Found, draft: &mut Draft) {
    let pupils = line.pupils.min(crate::timetable::check::PUPILS_MAX);
    draft.class(&line.class, words::grade_of(&line.class).unwrap_or_default(), pupils);
    let row = line.joined.row;
    for (column, text) in &line.joined.cells {
        let at = Place { sheet: &row.sheet, row: row.number, column: Some(*column) };
        let Some((_, period)) = found.head.lessons.get(column).copied() else {
            let what = "nothing says which period the column is; its lessons are left out";
            draft.tell(at, Code::NoLabel, what, text);
            continue;
        };
        if let Some(day) = day_of(found, *column) {
            grid::take(draft, at, &line.class, day, &[period], text);
        }
    }
}

/// Tells columns among the lessons, or right of them without a header, of which nothing says which
/// period they are.
fn tell_columns(table: &Table, found: &Found, rows: &std::ops::Range<usize>, draft: &mut Draft) {
    let keys = || found.head.lessons.keys().copied();
    let (Some(first), Some(last)) = (keys().next(), keys().next_back()) else { return };
    let rows = table.rows.get(rows.clone()).unwrap_or_default();
    let width = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    for column in first..width {
        let header = found.header_of(table, column);
        let is_read = found.fields.get(column).copied().flatten().is_some();
        let is_lessons = column < last || header.is_empty();
        let says = |row: &&Row| !grid::is_none(row.cell(column));
        if let Some(row) = rows.iter().find(says).filter(|_| !is_read && is_lessons) {
            let what = "nothing says which period the column is; its lessons are left out";
            let at = Place { sheet: &row.sheet, row: row.number, column: Some(column) };
            draft.tell(at, Code::NoLabel, what, row.cell(column));
        }
    }
}

/// Notes when periods are, where the header says it.
fn note_times(table: &Table, found: &Found, draft: &mut Draft) {
    for (column, (_, period)) in &found.head.lessons {
        for row in found.header..found.header + found.head.rows {
            let text = table.rows.get(row).map_or("", |row| row.cell(*column));
            if let Some(times) = words::times(text) {
                let (sheet, number) =
                    table.rows.get(row).map_or(("", 0), |row| (row.sheet.as_str(), row.number));
                draft.time(Place { sheet, row: number, column: Some(*column) }, *period, times);
            }
        }
    }
}

/// Gives the name of a class; where its grade has a column of its own it is put before it.
fn name_of(named: &str, grade: &str) -> String {
    let name = words::class_in(named).unwrap_or_else(|| named.lines().collect());
    if words::grade_of(&name).is_some() || grade.is_empty() {
        return name;
    }
    let is_number = words::grade_of(grade).is_none();
    let grade = if is_number { format!("{grade}年级") } else { grade.to_owned() };
    // 三（1）班 in the grade 三年级 says it by itself.
    let short = grade.trim_end_matches("年级");
    if name.starts_with(short) { name } else { format!("{grade}{name}") }
}

fn class_of(class: &str, row: &Row, mapping: &Mapping, draft: &mut Draft) -> String {
    let said = Some(class).filter(|class| !class.is_empty()).map(str::to_owned);
    let name = said.or_else(|| mapping.class_name.clone()).unwrap_or_else(|| {
        let what = "the row names no class; say which class the file is for";
        let at = Place { sheet: &row.sheet, row: row.number, column: None };
        draft.tell(at, Code::ClassMissing, what, "");
        "本班".to_owned()
    });
    crate::catalog::bounds::line(&name, crate::timetable::check::WORD_CHARS_MAX)
}
