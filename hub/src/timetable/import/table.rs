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
/// Longest name of a sheet, as spreadsheets allow.
pub const SHEET_CHARS_MAX: usize = 31;

/// The cells of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Rows with anything in them, in order.
    pub rows: Vec<Row>,
    /// True if the file has more than is looked at.
    pub is_cut: bool,
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
            row.push(clean(&text));
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

    /// Gives what was taken.
    pub fn finish(self) -> Table {
        self.table
    }
}

/// Gives a cell's text without what is not to be seen; its lines stay lines.
fn clean(text: &str) -> String {
    // What Excel writes between lines of a cell, and spaces of every width.
    let text = text.replace("_x000D_", "").replace(['\u{3000}', '\u{a0}', '\t', '\u{feff}'], " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    crate::catalog::bounds::paragraph(&lines.collect::<Vec<_>>().join("\n"), CELL_CHARS_MAX)
}
