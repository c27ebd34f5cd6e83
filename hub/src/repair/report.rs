//! What a repair did, kept beside the damaged files, told as an alarm and on the command line.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rows::SESSIONS;
use super::{DAMAGED_FOLDER, write_durably};

/// Name of the file beside the damaged ones.
const FILE: &str = "report.json";
/// Longest report: all tables' names.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Unix milliseconds when the damage was found.
    pub at_ms: i64,
    /// What was found, in SQLite's words.
    pub why: String,
    /// Folder below `damaged` in the data directory with the damaged files.
    pub folder: String,
    /// When the copy was taken that the hub began again from; none: from nothing.
    pub snapshot_at_ms: Option<i64>,
    /// Entries of journals in that copy.
    pub entries_of_snapshot: u64,
    /// Entries written since, read out of the damaged database, verified.
    pub entries_salvaged: u64,
    /// Entries read out of it that wait for those before them.
    pub entries_waiting: u64,
    /// Entries that contradict others or do not count; kept as evidence.
    pub entries_aside: u64,
    /// Lists of members read out of it.
    pub epochs_salvaged: u64,
    /// Tables of this hub alone that read whole.
    pub tables_whole: u32,
    /// Those of which at most a part did: the rest is as old as the copy.
    pub tables_partly: Vec<String>,
    /// Rows read out of them.
    pub rows_salvaged: u64,
    /// Rows that read and did not fit.
    pub rows_refused: u64,
    /// True if no account, role or password is older than the damage.
    pub are_accounts_whole: bool,
    /// Lists of pieces read out of the damaged database.
    pub manifests_salvaged: u64,
    /// Files of lessons that are read again before they count.
    pub blobs_unread: u64,
    /// Files of lessons that nothing names yet; they stay.
    pub files_unknown: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |ms| jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        write!(f, "the database was damaged ({}), found {:.0}. ", self.why, at(self.at_ms))?;
        match self.snapshot_at_ms {
            Some(taken) => write!(f, "Begun again from the copy of {:.0}", at(taken))?,
            None => write!(f, "There was no copy; begun again from nothing")?,
        }
        write!(
            f,
            " with {} entries; {} more read out of the damaged one, {} of them wait for others. ",
            self.entries_of_snapshot,
            self.entries_salvaged + self.entries_waiting,
            self.entries_waiting
        )?;
        match (self.are_accounts_whole, self.snapshot_at_ms) {
            (true, _) => write!(f, "Accounts are as they were. ")?,
            (false, Some(taken)) => write!(f, "Accounts may be as of {:.0}. ", at(taken))?,
            (false, None) => write!(f, "Accounts may be missing. ")?,
        }
        write!(
            f,
            "{} files of lessons are read again before they count, {} are named by nothing yet. \
             The damaged files are kept in {DAMAGED_FOLDER}/{}",
            self.blobs_unread, self.files_unknown, self.folder
        )
    }
}

impl Report {
    /// Keeps the alarm that says it to people.
    pub(super) fn keep(&self, db: &Connection) -> rusqlite::Result<()> {
        let text_code =
            if self.snapshot_at_ms.is_some() { "repaired" } else { "repaired_from_nothing" };
        let named = json!({
            "text": self.to_string(),
            "at": self.at_ms,
            "snapshot": self.snapshot_at_ms,
            "entries": self.entries_salvaged,
            "waiting": self.entries_waiting,
            "accounts_whole": self.are_accounts_whole,
            "files": self.blobs_unread,
            "unknown": self.files_unknown,
            "folder": self.folder,
        });
        keep_alarm(db, self.at_ms, text_code, &named.to_string())
    }
}

/// A repair that could not read who was logged in: everybody has to log in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LoginsEnded {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// True if no account or password is older than the damage.
    pub are_accounts_whole: bool,
}

/// Finds the newest repair that ended all logins.
pub fn logins_ended(data_dir: &Path) -> Option<LoginsEnded> {
    let ended = |report: &Report| report.tables_partly.iter().any(|table| table == SESSIONS);
    let Report { at_ms, are_accounts_whole, .. } = all(data_dir).into_iter().rfind(ended)?;
    Some(LoginsEnded { at_ms, are_accounts_whole })
}

/// Keeps the alarm that the database's log was gone.
pub(super) fn keep_log_gone(db: &Connection) -> rusqlite::Result<()> {
    let text = "the database's log was gone when the hub started: what was written last may be \
         missing; others are asked for it";
    keep_alarm(db, crate::app::now_ms(), "log_gone", &json!({ "text": text }).to_string())
}

pub(super) fn keep_alarm(
    db: &Connection,
    at_ms: i64,
    code: &str,
    named: &str,
) -> rusqlite::Result<()> {
    const ADD: &str = "insert into alarms (at_ms, kind, text_code, hub, params) \
         values (?1, 'damage', ?2, null, ?3)";
    db.execute(ADD, params![at_ms, code, named]).map(drop)
}

/// Keeps a report beside the damaged files.
pub(super) fn write(damaged: &Path, report: &Report) -> io::Result<()> {
    write_durably(&damaged.join(FILE), &serde_json::to_vec_pretty(report)?)
}

/// Reads the report of a repair.
pub(super) fn read(damaged: &Path) -> io::Result<Report> {
    let mut text = String::new();
    File::open(damaged.join(FILE))?.take(REPORT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Reads the reports of every repair whose files are still there, oldest first.
pub fn all(data_dir: &Path) -> Vec<Report> {
    let Ok(entries) = fs::read_dir(data_dir.join(DAMAGED_FOLDER)) else { return Vec::new() };
    let mut reports: Vec<Report> =
        entries.flatten().filter_map(|entry| read(&entry.path()).ok()).collect();
    reports.sort_by_key(|report| report.at_ms);
    reports
}

/// Reads the report of the newest repair.
pub fn newest(data_dir: &Path) -> Option<Report> {
    all(data_dir).pop()
}
