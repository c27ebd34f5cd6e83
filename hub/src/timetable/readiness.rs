//! Whether a lesson of the timetable can be taught here: the night's light.

use rusqlite::Connection;

use super::day::DayEntry;
use crate::night::overview;
pub use crate::night::readiness::EntryReadiness;
use crate::night::tonight::Tonight;

/// Says whether a lesson of a day can be taught; none for a lesson of the own teacher alone.
///
/// # Errors
/// If the database fails.
pub fn entry_readiness(
    db: &Connection,
    entry: &DayEntry,
    tonight: &Tonight,
) -> rusqlite::Result<Option<EntryReadiness>> {
    if !entry.mode.is_remote() {
        return Ok(None);
    }
    overview::of_entry(db, entry, tonight).map(|(_, light)| Some(light))
}
