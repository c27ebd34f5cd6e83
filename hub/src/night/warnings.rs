//! At 20:00, in time for a stick: which of tomorrow's lessons will not make it. Pages that are open
//! ask again then, and the log keeps it; what a page shows is what is known at its moment.

use jiff::civil::Date;
use rusqlite::Connection;

use super::overview::{self, Moment};
use crate::app::App;
use crate::events::HubEvent;
use crate::problem::ApiError;

const MINUTE_MS: i64 = 60_000;

/// Says once a day, from the configured time on, what will not make it.
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
    let date = view.date;
    for warning in &view.warnings {
        tracing::warn!(slot = warning.slot_id, %date, reason = ?warning.reason,
            "a lesson of tomorrow will not make it");
    }
    app.db.write(move |tx| note(tx, date)).await?;
    app.events.publish(HubEvent::Night {});
    Ok(())
}

fn warned_for(db: &Connection) -> rusqlite::Result<String> {
    db.prepare_cached("select warned_for from night_state")?.query_row([], |row| row.get(0))
}

fn note(db: &Connection, date: Date) -> rusqlite::Result<()> {
    const NOTE: &str = "update night_state set warned_for = ?1";
    db.prepare_cached(NOTE)?.execute([date.to_string()]).map(drop)
}
