//! Where in a table the lessons are: guessed from its headers, or as somebody says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::by_class::{self, Head};
use super::draft::Draft;
use super::problem::{ImportProblemCode as Code, Place};
use super::table::{NoteKind, Row, Table};
use super::words::{self, Field};
use super::{grid, list};

/// How far down the header may stand; above it are a title and notes.
const HEADER_ROWS_MAX: usize = 30;
/// Weekdays that make a row the header of a grid.
const DAYS_MIN: usize = 3;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One row a lesson.
    List,
    /// Columns are weekdays, or classes; rows are periods.
    Grid,
    /// Rows are classes; columns are weekdays, and below each its periods.
    Rows,
}

/// What somebody says of a table; what is not said is guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// How it is laid out.
    pub layout: Option<Layout>,
    /// The row with the headers, from 1, on the first sheet that has it.
    pub header_row: Option<u32>,
    /// What columns hold, by their index from 1.
    pub columns: BTreeMap<String, Field>,
    /// The class, where the file names none.
    pub class_name: Option<String>,
    /// Weeks until it repeats, if lessons of single weeks do not show it.
    pub cycle_weeks: Option<u8>,
}

/// Where the lessons of a table are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How it is laid out.
    pub layout: Layout,
    /// Place of the header among the rows.
    pub header: usize,
    /// What each column holds.
    pub fields: Vec<Option<Field>>,
    /// Of [`Layout::Rows`], which columns are which periods.
    pub head: Head,
}

impl Found {
    /// Gives the first column that holds something.
    pub fn column(&self, field: Field) -> Option<usize> {
        self.fields.iter().position(|known| *known == Some(field))
    }

    /// Gives how many rows the header takes.
    pub fn rows(&self) -> usize {
        self.head.rows.max(1)
    }

    /// Gives what stands above a column.
    pub fn header_of(&self, table: &Table, column: usize) -> String {
        let text = |row: usize| table.rows.get(row).map_or("", |row| row.cell(column));
        let texts: Vec<&str> =
            (self.header..self.header + self.rows()).map(text).filter(|t| !t.is_empty()).collect();
        match self.head.lessons.get(&column) {
            // The weekday stands over the first of its columns only.
            Some((day, period)) if self.rows() > 1 || texts.is_empty() => {
                format!("{} {period}", words::weekday_name(*day))
            }
            _ => texts.join(" "),
        }
    }
}

/// Finds where the lessons are; none if no row looks like a header.
pub fn find(table: &Table, mapping: &Mapping) -> Option<Found> {
    let mut found = match mapping.header_row {
        Some(number) => {
            let header = table.rows.iter().position(|row| row.number == number)?;
            let may_be_rows = mapping.layout.is_none_or(|layout| layout == Layout::Rows);
            by_class::at(table, header).filter(|_| may_be_rows).unwrap_or_else(|| {
                let fields = fields(table, header);
                let is_grid = lesson_columns(&fields) > 0;
                let layout = if is_grid { Layout::Grid } else { Layout::List };
                Found { layout, header, fields, head: Head::default() }
            })
        }
        None => guess(table, mapping.layout)?,
    };
    found.layout = mapping.layout.unwrap_or(found.layout);
    if found.layout == Layout::Grid {
        label_rows(&mut found.fields);
    }
    for (index, field) in &mapping.columns {
        let place = index.parse::<usize>().ok().and_then(|index| index.checked_sub(1));
        let place = place.filter(|place| *place < super::table::COLUMNS_MAX);
        if let Some(place) = place {
            if place >= found.fields.len() {
                found.fields.resize(place + 1, None);
            }
            found.fields[place] = Some(*field).filter(|field| *field != Field::Ignored);
        }
    }
    Some(found)
}

/// Reads the lessons.
pub fn read(table: &Table, found: Option<&Found>, mapping: &Mapping) -> Draft {
    let mut draft = Draft { cycle_weeks: 1, ..Draft::default() };
    if table.is_cut {
        let what = "the file is larger than what is looked at; the rest is left out";
        draft.tell(Place::default(), Code::FileCut, what, "");
    }
    match found {
        None => {
            let what = "no row has headers that are known; say which row and what its columns hold";
            draft.tell(Place::default(), Code::NoHeader, what, "");
        }
        Some(found) => {
            tell_columns(table, found, mapping, &mut draft);
            match found.layout {
                Layout::List => list::read(table, found, mapping, &mut draft),
                Layout::Grid => grid::read(table, found, mapping, &mut draft),
                Layout::Rows => by_class::read(table, found, mapping, &mut draft),
            }
        }
    }
    tell_notes(table, found, &mut draft);
    draft.cycle_weeks = draft.cycle_weeks.max(mapping.cycle_weeks.unwrap_or(1));
    draft.finish();
    draft
}

/// Tells columns that seem to hold what one before them does, unless somebody says what they hold.
fn tell_columns(table: &Table, found: &Found, mapping: &Mapping, draft: &mut Draft) {
    if found.layout == Layout::Rows {
        return;
    }
    let header = &table.rows[found.header];
    let below = || table.rows[found.header + 1..].iter().take_while(|r| r.sheet == header.sheet);
    for (column, text) in header.cells.iter().enumerate() {
        let is_said = mapping.columns.contains_key(&(column + 1).to_string());
        let is_read = found.fields.get(column).copied().flatten().is_some();
        let is_known = Field::of_header(text).is_some_and(|f| found.fields.contains(&Some(f)));
        let is_filled = below().any(|row| !words::is_none(row.cell(column)));
        if is_known && is_filled && !is_said && !is_read {
            let what = "a column before this one holds the same; this one is left out";
            let at = Place { sheet: &header.sheet, row: header.number, column: Some(column) };
            draft.tell(at, Code::ColumnTwice, what, text);
        }
    }
}

/// Tells sheets that cannot be read, and cells of what was looked at that were not read whole.
fn tell_notes(table: &Table, found: Option<&Found>, draft: &mut Draft) {
    let header = found.and_then(|found| table.rows.get(found.header));
    for note in &table.notes {
        let fields = found.map_or(&[][..], |found| found.fields.as_slice());
        let field = fields.get(note.column).copied().flatten();
        let is_below = header.is_some_and(|h| h.sheet != note.sheet || h.number < note.row);
        let is_looked_at = is_below && field.is_some();
        let at = Place { sheet: &note.sheet, row: note.row, column: Some(note.column) };
        match note.kind {
            NoteKind::Unread => {
                let what = "this sheet cannot be read; it is left out";
                draft.tell(Place { column: None, ..at }, Code::SheetUnread, what, &note.sheet);
            }
            NoteKind::Error if is_looked_at => {
                let what = "the cell shows an error of its formula; it counts as empty";
                draft.tell(at, Code::CellError, what, "");
            }
            NoteKind::Cut if is_looked_at => {
                let what = "a text was too long for a line of a timetable, and was cut";
                let is_row = |row: &&Row| (&row.sheet, row.number) == (&note.sheet, note.row);
                let text = table.rows.iter().find(is_row).map_or("", |row| row.cell(note.column));
                draft.tell(at, Code::TextCut, what, text);
            }
            NoteKind::Error | NoteKind::Cut => {}
        }
    }
}

fn guess(table: &Table, layout: Option<Layout>) -> Option<Found> {
    let may_be = |wanted| layout.is_none_or(|layout| layout == wanted);
    (0..table.rows.len().min(HEADER_ROWS_MAX)).find_map(|header| {
        if may_be(Layout::Rows)
            && let Some(found) = by_class::at(table, header)
        {
            return Some(found);
        }
        let mut fields = fields(table, header);
        let head = Head::default;
        let has = |field| fields.contains(&Some(field));
        let days = lesson_columns(&fields);
        let is_list =
            has(Field::Subject) && (has(Field::Weekday) || has(Field::Class) || has(Field::Period));
        if days >= DAYS_MIN && may_be(Layout::Grid) {
            return Some(Found { layout: Layout::Grid, header, fields, head: head() });
        }
        if is_list && may_be(Layout::List) {
            return Some(Found { layout: Layout::List, header, fields, head: head() });
        }
        let cells = &table.rows[header].cells;
        let classes = cells.iter().filter(|text| words::class_in(text).is_some()).count();
        let is_by_class = classes >= 2 && days == 0 && !has(Field::Subject);
        if is_by_class && may_be(Layout::Grid) {
            for (field, text) in fields.iter_mut().zip(cells) {
                *field = field.or(words::class_in(text).map(|_| Field::Lessons));
            }
            return Some(Found { layout: Layout::Grid, header, fields, head: head() });
        }
        None
    })
}

/// Gives a grid whose header is a row that looks like one.
pub(super) fn grid_at(table: &Table, header: usize) -> Found {
    let mut fields = fields(table, header);
    label_rows(&mut fields);
    Found { layout: Layout::Grid, header, fields, head: Head::default() }
}

/// Guesses what columns hold; of two that seem to hold the same only the first does.
pub(super) fn fields(table: &Table, row: usize) -> Vec<Option<Field>> {
    let mut fields: Vec<Option<Field>> = Vec::new();
    for text in &table.rows[row].cells {
        let field = Field::of_header(text).filter(|field| !fields.contains(&Some(*field)));
        fields.push(field);
    }
    fields
}

fn lesson_columns(fields: &[Option<Field>]) -> usize {
    fields.iter().flatten().filter(|field| field.day().is_some()).count()
}

/// Finds the columns that name a grid's rows: those before the lessons, the period next to them.
fn label_rows(fields: &mut [Option<Field>]) {
    let is_lessons =
        |f: &Option<Field>| f.is_some_and(|f| f.day().is_some() || f == Field::Lessons);
    let Some(first) = fields.iter().position(is_lessons) else { return };
    let is_by_class = fields[first] == Some(Field::Lessons);
    for wanted in [Field::Period, Field::Weekday] {
        let is_needed = wanted == Field::Period || is_by_class;
        if is_needed && !fields.contains(&Some(wanted)) {
            let free = fields[..first].iter().rposition(Option::is_none);
            if let Some(place) = free {
                fields[place] = Some(wanted);
            }
        }
    }
}
