//! At 20:00, in time for a stick: which of tomorrow's lessons will not make it.

use jiff::civil::Date;
use rusqlite::{Connection, Transaction, params};

use super::overview::{self, Moment, NightWarning};
use crate::app::App;
use crate::events::HubEvent;
use crate::problem::ApiError;
use crate::timetable::Entry;

const MINUTE_MS: i64 = 60_000;

/// Writes the evening's warnings once a day, from the configured time on.
pub async fn warn(app: &App, at: &Moment) -> Result<(), ApiError> {
    let policy = app.sync.news().policy();
    let (now, offset) = (at.now_ms, policy.utc_offset_min);
    let minute = (now.div_euclid(MINUTE_MS) + i64::from(offset)).rem_euclid(24 * 60);
    if minute < i64::from(policy.config.warn_at.minutes()) || policy.is_clock_doubtful() {
        return Ok(());
    }
    // Before the first plan nothing is known of what will come.
    if at.tonight.made_at_ms == 0 {
        return Ok(());
    }
    let is_given = app.db.read(move |db| -> rusqlite::Result<bool> {
        let date = overview::default_date(db, now, offset)?;
        Ok(warned_for(db)? == date.to_string())
    });
    if is_given.await? {
        return Ok(());
    }
    let view = overview::view(app, None, at).await?;
    let (date, entries, warnings) = (view.date, view.entries, view.warnings);
    for warning in &warnings {
        tracing::warn!(slot = warning.slot_id, date = %date, reason = ?warning.reason,
            "a lesson of tomorrow will not make it");
    }
    app.db.write(move |tx| keep(tx, date, &entries, &warnings, now)).await?;
    app.events.publish(HubEvent::Night {});
    Ok(())
}

fn warned_for(db: &Connection) -> rusqlite::Result<String> {
    db.prepare_cached("select warned_for from night_state")?.query_row([], |row| row.get(0))
}

/// Keeps the warnings of a day.
///
/// # Errors
/// If the database fails.
pub fn keep(
    tx: &Transaction<'_>,
    date: Date,
    entries: &[Entry],
    warnings: &[NightWarning],
    now_ms: i64,
) -> rusqlite::Result<()> {
    const KEEP: &str = "insert or replace into night_warnings (date, slot, title, reason, \
         next_step, probability, warned_at_ms) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    // Warnings of a term say how often the plan was right.
    const FORGET: &str = "delete from night_warnings where date < date(?1, '-200 days')";
    for warning in warnings {
        let entry = entries.iter().find(|entry| entry.slot_id == warning.slot_id);
        let title = entry.and_then(|e| e.lesson.as_ref()).map(|lesson| lesson.title.clone());
        tx.prepare_cached(KEEP)?.execute(params![
            date.to_string(),
            warning.slot_id,
            title.unwrap_or_default(),
            word(&warning.reason),
            word(&warning.next_step),
            f64::from(warning.probability_percent) / 100.0,
            now_ms,
        ])?;
    }
    tx.prepare_cached(FORGET)?.execute([date.to_string()])?;
    tx.prepare_cached("update night_state set warned_for = ?1")?
        .execute([date.to_string()])
        .map(drop)
}

/// Gives the word by which the API names a value.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
