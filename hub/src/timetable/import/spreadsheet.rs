//! Spreadsheets: xlsx, xls and ods. They are read by a child process of this same program, with
//! little memory and little time: a file of some KiB can say that it has a cell in row 1,048,576
//! and column 16,384, or unpack to gigabytes, and a crash of the reader must cost nothing else.

use std::io::{Cursor, Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use calamine::{Data, Reader as _, Sheets};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::table::{COLUMNS_MAX, NoteKind, ROWS_MAX, Table, TableMaker};

/// Memory of the child, this program's own code included: a school's timetable needs 20 MiB.
const MEMORY_BYTES_MAX: u64 = 768 << 20;
/// Processor time of the child; a school's timetable takes a tenth of a second.
const CPU_S_MAX: u64 = 10;
/// Time of the child in all, on a computer that encodes a lesson meanwhile.
const READ_MAX: Duration = Duration::from_secs(40);
/// What the child may answer: every cell at its bound, escaped.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Sheets that are looked at: one a class.
const SHEETS_MAX: usize = 100;
/// Begins the answer, so that whatever else is printed does not matter.
const MARK: &str = "yingxue-table:";

/// Why a spreadsheet could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpreadsheetError {
    /// The child could not be started or fed.
    #[error("the reader of spreadsheets cannot run: {0}")]
    Start(String),
    /// It gave up, or was stopped because the file asks for too much.
    #[error(
        "this spreadsheet is damaged, locked with a password, or larger than {ROWS_MAX} rows and \
         {COLUMNS_MAX} columns; save it anew as xlsx or csv"
    )]
    Unreadable,
}

/// What a spreadsheet's first bytes say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpreadsheetKind {
    /// Office Open XML.
    Xlsx,
    /// The format of before 2007.
    Xls,
    /// Open Document.
    Ods,
}

/// Says which spreadsheet bytes are, if they are one.
pub fn kind_of(bytes: &[u8]) -> Option<SpreadsheetKind> {
    const ODS: &[u8] = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet";
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Some(SpreadsheetKind::Xls);
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return None;
    }
    // The first entry of an Open Document file is its type, and is not packed.
    let is_ods = bytes.get(30..30 + ODS.len()).is_some_and(|head| head == ODS);
    Some(if is_ods { SpreadsheetKind::Ods } else { SpreadsheetKind::Xlsx })
}

/// Reads a spreadsheet in a child process.
///
/// # Errors
/// If the child cannot run, or cannot read the file within its bounds.
pub async fn read(bytes: Vec<u8>) -> Result<Table, SpreadsheetError> {
    let start = |error: std::io::Error| SpreadsheetError::Start(error.to_string());
    let mut child = reader()
        .map_err(start)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let missing = || SpreadsheetError::Start("it has no pipes".to_owned());
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let feed = async move {
        // A child that has ended early says so by its answer.
        drop(stdin.write_all(&bytes).await);
        drop(stdin);
    };
    let mut answer = Vec::new();
    let mut limited = stdout.take(ANSWER_BYTES_MAX);
    let talk = async { tokio::join!(feed, limited.read_to_end(&mut answer)).1 };
    let talked = tokio::time::timeout(READ_MAX, talk).await;
    // Dropping the child kills it, if it has not ended.
    drop(child);
    match talked {
        Ok(Ok(_)) => parse(&answer).ok_or(SpreadsheetError::Unreadable),
        Ok(Err(error)) => Err(start(error)),
        Err(_) => Err(SpreadsheetError::Unreadable),
    }
}

/// Gives this same program as a reader of spreadsheets.
#[cfg(not(test))]
fn reader() -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("read-spreadsheet").env_clear();
    Ok(command)
}

/// A test's program is not `yingxue`: one of its tests is the reader.
#[cfg(test)]
fn reader() -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let test = "timetable::import::spreadsheet::tests::read_for_another_test";
    command.args([test, "--exact", "--ignored", "--nocapture"]).env_clear();
    Ok(command)
}

fn parse(answer: &[u8]) -> Option<Table> {
    let text = std::str::from_utf8(answer).ok()?;
    let json = text.split_once(MARK)?.1.lines().next()?;
    serde_json::from_str(json).ok()
}

/// Reads a spreadsheet from standard input and prints its cells: what the child process does.
///
/// # Errors
/// If the bounds cannot be set, or the bytes cannot be read.
pub fn run_child() -> anyhow::Result<()> {
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, limit(MEMORY_BYTES_MAX))?;
    setrlimit(Resource::Cpu, limit(CPU_S_MAX))?;
    setrlimit(Resource::Core, limit(0))?;
    let mut bytes = Vec::new();
    let bytes_max = u64::try_from(super::FILE_BYTES_MAX)?;
    std::io::stdin().take(bytes_max).read_to_end(&mut bytes)?;
    let table = cells(bytes)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{}", serde_json::to_string(&table)?)?;
    Ok(())
}

/// Reads every cell, on the assumption that somebody watches memory and time.
fn cells(bytes: Vec<u8>) -> anyhow::Result<Table> {
    let mut book: Sheets<Cursor<Vec<u8>>> =
        calamine::open_workbook_auto_from_rs(Cursor::new(bytes))?;
    let names = book.sheet_names();
    let mut maker = TableMaker::default();
    if names.len() > SHEETS_MAX {
        maker.cut();
    }
    for name in names.iter().take(SHEETS_MAX) {
        // A sheet that is a chart, or is damaged, does not cost the others.
        let Ok(range) = book.worksheet_range(name) else {
            maker.note(NoteKind::Unread, name, 0, 0);
            continue;
        };
        let Some((first, _)) = range.start() else { continue };
        let shown = if names.len() == 1 && is_default_name(name) { "" } else { name };
        let left = range.start().map_or(0, |(_, column)| column as usize);
        if range.height() > ROWS_MAX || left + range.width() > COLUMNS_MAX {
            maker.cut();
        }
        for (i, row) in range.rows().enumerate().take(ROWS_MAX) {
            let number = u32::try_from(i).unwrap_or(u32::MAX).saturating_add(first + 1);
            let before = std::iter::repeat_n(String::new(), left.min(COLUMNS_MAX));
            for (column, cell) in row.iter().enumerate().take(COLUMNS_MAX) {
                if matches!(cell, Data::Error(_)) {
                    maker.note(NoteKind::Error, shown, number, left + column);
                }
            }
            let cells = row.iter().take(COLUMNS_MAX).map(shown_as_text);
            if !maker.push(shown, number, before.chain(cells)) {
                return Ok(maker.finish());
            }
        }
    }
    Ok(maker.finish())
}

/// Says whether a sheet has the name that a spreadsheet gives to a new one.
fn is_default_name(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    ["Sheet", "工作表", "Sheet "].contains(&name)
}

fn shown_as_text(cell: &Data) -> String {
    match cell {
        Data::Empty | Data::Error(_) => String::new(),
        Data::String(text) | Data::DateTimeIso(text) => text.clone(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => number.to_string(),
        Data::Bool(is) => is.to_string(),
        Data::DateTime(time) => time_of_day(time.as_f64()),
        Data::DurationIso(text) => iso_time(text).unwrap_or_else(|| text.clone()),
    }
}

/// Gives the time of day of a spreadsheet's number of days.
fn time_of_day(days: f64) -> String {
    let minutes = (days.fract().abs() * 1_440.0).round();
    // Below 1,441 by the line above.
    let minutes = minutes as u16;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

/// Gives the time of day of `PT08H30M00S`, as Open Document has it.
fn iso_time(text: &str) -> Option<String> {
    let (hours, rest) = text.strip_prefix("PT")?.split_once('H')?;
    let (minutes, _) = rest.split_once('M')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| format!("{hours:02}:{minutes:02}"))
}

#[cfg(test)]
mod tests {
    /// Not a test: what the child process of the tests does.
    #[test]
    #[ignore = "run by other tests, as their child"]
    fn read_for_another_test() {
        super::run_child().unwrap();
    }
}
