//! What could not be read of a file, and where. Whatever is left out is told.

use serde::Serialize;

/// Most problems that are told one by one; a person sees at twenty that the columns are wrong.
pub const PROBLEMS_MAX: usize = 100;
/// Most characters of a text that is quoted.
const VALUE_CHARS_MAX: usize = 60;

/// What is wrong; the web UI has a sentence for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportProblemCode {
    /// A class beyond those that a timetable may have.
    TooManyClasses,
    /// Lessons beyond those that a timetable may have.
    TooManyLessons,
    /// A text was shortened.
    TextCut,
    /// A lesson without a subject or a class.
    Incomplete,
    /// The same lesson twice.
    Twice,
    /// A lesson in a period that neither the file nor custom gives a time.
    NoTime,
    /// No weekday.
    BadWeekday,
    /// No period, or one beyond those of a day.
    BadPeriod,
    /// No week of a cycle.
    BadWeeks,
    /// A period has two times.
    TimesDiffer,
    /// Nothing names the class.
    ClassMissing,
    /// No way of teaching.
    BadMode,
    /// More than is looked at.
    FileCut,
    /// No row has headers that are known.
    NoHeader,
    /// Times of different days overlap.
    TimesOverlap,
    /// A day that the cycle does not have.
    NoSuchDay,
    /// No time of the day.
    BadTime,
    /// A subject that the file does not list.
    UnknownSubject,
    /// A row or column of lessons without a period.
    NoLabel,
    /// A row is a break, and has texts that are none.
    InBreak,
    /// A text of which no lesson came.
    NoLesson,
    /// More words in a cell than a lesson has places for.
    WordsLeft,
    /// A column that holds the same as one before it.
    ColumnTwice,
    /// A cell that shows an error.
    CellError,
    /// A sheet that cannot be read.
    SheetUnread,
}

impl ImportProblemCode {
    /// Says whether it is the same of every lesson that it meets, and would drown the others.
    const fn is_told_once(self) -> bool {
        use ImportProblemCode::{ClassMissing, TimesDiffer, TooManyClasses, TooManyLessons};
        matches!(self, ClassMissing | TimesDiffer | TooManyClasses | TooManyLessons)
    }
}

/// Something that could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImportProblem {
    /// Name of the sheet, or empty.
    pub sheet: String,
    /// As a spreadsheet counts, from 1.
    pub row: Option<u32>,
    /// As a spreadsheet counts, from 1.
    pub column: Option<u32>,
    /// What is wrong.
    pub code: ImportProblemCode,
    /// One English sentence: what was wrong, and what was done.
    pub what: &'static str,
    /// What was found there.
    pub value: String,
}

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// Name of the sheet, or empty.
    pub sheet: &'a str,
    /// From 1; 0 for the whole file.
    pub row: u32,
    /// From 0, if it is one cell.
    pub column: Option<usize>,
}

/// What is told of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub shown: Vec<ImportProblem>,
    /// How many there are, those too that are not among the first.
    pub count: usize,
}

impl Problems {
    /// Tells one.
    pub fn tell(
        &mut self,
        at: Place<'_>,
        code: ImportProblemCode,
        what: &'static str,
        value: &str,
    ) {
        let value = crate::catalog::bounds::line(value, VALUE_CHARS_MAX);
        let same = |told: &ImportProblem| {
            (told.code, &told.value, told.sheet.as_str()) == (code, &value, at.sheet)
        };
        if code.is_told_once() && self.shown.iter().any(same) {
            return;
        }
        self.count += 1;
        if self.shown.len() < PROBLEMS_MAX {
            self.shown.push(ImportProblem {
                sheet: at.sheet.to_owned(),
                row: (at.row > 0).then_some(at.row),
                column: at.column.and_then(|column| u32::try_from(column + 1).ok()),
                code,
                what,
                value,
            });
        }
    }
}
