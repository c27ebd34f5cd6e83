//! Cells of a file, as texts, within bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most cells of a file that are looked at: 60 classes of 50 lessons with six columns each.
pub const CELLS_MAX: usize = 20_000;
/// Most rows, empty ones too: a list of a school's lessons has 3,000.
pub const ROWS_MAX: usize = 4_000;
/// Most columns of a row; the widest layout has a column a class.
pub const COLUMNS_MAX: usize = 128;
/// Longest text of a cell: a subject, a teacher and a room on three lines.
pub const CELL_CHARS_MAX: usize = 120;
/// Most notes that are kept: as many as are told.
pub const NOTES_MAX: usize = super::problem::PROBLEMS_MAX;
/// Longest name of a sheet, as spreadsheets allow.
pub const SHEET_CHARS_MAX: usize = 31;

/// The cells of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Rows with anything in them, in order.
    pub rows: Vec<Row>,
    /// True if the file has more than is looked at.
    pub is_cut: bool,
    /// What was not read as it stands there, at most [`NOTES_MAX`].
    #[serde(default)]
    pub notes: Vec<TableNote>,
}

/// A cell or a sheet that was not read as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableNote {
    /// What became of it.
    pub kind: NoteKind,
    /// Name of its sheet; empty in a file without sheets.
    pub sheet: String,
    /// As a spreadsheet counts, from 1; 0 for a whole sheet.
    pub row: u32,
    /// From 0.
    pub column: usize,
}

/// What became of a cell or a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Its text was shortened.
    Cut,
    /// It shows an error of its formula, and counts as empty.
    Error,
    /// The sheet could not be read.
    Unread,
}

/// A row with anything in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name of its sheet; empty in a file without sheets.
    pub sheet: String,
    /// As a spreadsheet counts, from 1.
    pub number: u32,
    /// Its texts; an empty one is an empty cell.
    pub cells: Vec<String>,
}

impl Row {
    /// Gives a cell's text, empty if the row is not that long.
    pub fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

/// Rows that say one thing: the first, and those right below it that only go on with its cells,
/// such as teachers below their subjects.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    /// The first.
    pub row: &'a Row,
    /// What their cells say together, by column.
    pub cells: BTreeMap<usize, String>,
    last_number: u32,
}

impl<'a> Joined<'a> {
    /// Begins with a row, and those of its cells that `is_wanted` names by their columns.
    pub fn new(row: &'a Row, is_wanted: impl Fn(usize) -> bool) -> Self {
        let cells = row.cells.iter().enumerate();
        let cells = cells.filter(|(column, text)| !text.is_empty() && is_wanted(*column));
        let cells = cells.map(|(column, text)| (column, text.clone())).collect();
        Self { row, cells, last_number: row.number }
    }

    /// Says whether a row lies right below.
    pub fn is_above(&self, row: &Row) -> bool {
        row.sheet == self.row.sheet && row.number == self.last_number + 1
    }

    /// Takes what goes on.
    pub fn join(&mut self, more: Self) {
        self.last_number = more.last_number;
        for (column, text) in more.cells {
            let known = self.cells.entry(column).or_default();
            *known = format!("{known}\n{text}");
        }
    }
}

/// Takes cells until a bound is met.
#[derive(Debug, Default)]
pub struct TableMaker {
    table: Table,
    cells: usize,
}

impl TableMaker {
    /// Takes a row; gives false once no more is taken.
    pub fn push(
        &mut self,
        sheet: &str,
        number: u32,
        cells: impl IntoIterator<Item = String>,
    ) -> bool {
        let mut row = Vec::new();
        for (column, text) in cells.into_iter().enumerate() {
            if column >= COLUMNS_MAX {
                self.table.is_cut = true;
                break;
            }
            let lines = visible_lines(&text);
            if lines.chars().count() > CELL_CHARS_MAX {
                self.note(NoteKind::Cut, sheet, number, column);
            }
            row.push(crate::catalog::bounds::paragraph(&lines, CELL_CHARS_MAX));
        }
        while row.last().is_some_and(String::is_empty) {
            row.pop();
        }
        let filled = row.iter().filter(|text| !text.is_empty()).count();
        if filled == 0 {
            return true;
        }
        if self.cells + filled > CELLS_MAX || self.table.rows.len() >= ROWS_MAX {
            self.table.is_cut = true;
            return false;
        }
        self.cells += filled;
        let sheet = sheet.chars().take(SHEET_CHARS_MAX).collect();
        self.table.rows.push(Row { sheet, number, cells: row });
        true
    }

    /// Notes that something was not read as it stands there.
    pub fn note(&mut self, kind: NoteKind, sheet: &str, row: u32, column: usize) {
        if self.table.notes.len() < NOTES_MAX {
            let sheet = sheet.chars().take(SHEET_CHARS_MAX).collect();
            self.table.notes.push(TableNote { kind, sheet, row, column });
        }
    }

    /// Notes that the file has more than is looked at.
    pub fn cut(&mut self) {
        self.table.is_cut = true;
    }

    /// Gives what was taken.
    pub fn finish(self) -> Table {
        self.table
    }
}

/// Gives a cell's text without what is not to be seen; its lines stay lines.
fn visible_lines(text: &str) -> String {
    // What Excel writes between lines of a cell, and spaces of every width.
    let text = text.replace("_x000D_", "").replace(['\u{3000}', '\u{a0}', '\t', '\u{feff}'], " ");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
