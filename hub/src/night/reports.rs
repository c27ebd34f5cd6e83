//! Tells the alliance how this hub's lessons stand: at 20:00 and 07:00, and when it changes.
//!
//! A light that goes out on this disk is on the map of others until they are told, so the first
//! changes are told at once; what goes on changing waits.

use std::time::{Duration, Instant};

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::fresh;
use super::map::{self, DAYS_MAX, ToldDay, ToldLesson};
use super::overview::{self, Moment, state_of};
use crate::alliance::refused;
use crate::app::App;
use crate::catalog::readiness::ReadinessState;
use crate::problem::ApiError;
use crate::timetable::{self, Entry, day};

/// Time after which one more report may be written because something has changed: a report is an
/// entry in a journal that every hub keeps, and a busy night would write hundreds.
const CHANGE_EVERY: Duration = Duration::from_secs(30 * 60);
/// Changes that are told at once after a quiet time.
const CHANGES_AT_ONCE: u32 = 4;
/// Hours, local, at which a report is written in any case: before the night and after it.
const FIXED_HOURS: [i64; 2] = [7, 20];
const HOUR_MS: i64 = 3_600_000;
/// Who writes it: no person.
const AUTHOR: &str = "hub";

/// What was told last.
#[derive(Debug, Default)]
pub struct Reports {
    told: Vec<(Date, [u32; 3], Vec<ToldLesson>)>,
    /// When all changes that are allowed at once are allowed again.
    rested_at: Option<Instant>,
    fixed_hour: Option<i64>,
}

impl Reports {
    /// Tells the others what they do not know, if it is time; `clock` is one that does not jump.
    pub async fn tell(&mut self, app: &App, at: &Moment, clock: Instant) -> Result<(), ApiError> {
        if app.sync.membership().is_none() || super::other_members(app).is_empty() {
            return Ok(());
        }
        let policy = app.sync.news().policy();
        let now = at.now_ms;
        let hour = (now + i64::from(policy.utc_offset_min) * 60_000).div_euclid(HOUR_MS);
        let is_fixed = FIXED_HOURS.contains(&hour.rem_euclid(24)) && self.fixed_hour != Some(hour);
        if is_fixed {
            // The others believe what is told for hours: it is read off the disk before.
            overview::read_now(app, None, at).await?;
            app.fresh.wait(None, fresh::REPORT_WAIT).await;
        }
        let days = self.days(app, at.clone(), policy.utc_offset_min).await?;
        let what = |day: &ToldDay| (day.date, day.counts, day.lessons.clone());
        let is_changed = days.iter().map(what).ne(self.told.iter().cloned());
        let rested_at = self.rested_at.map_or(clock, |at| at.max(clock));
        let is_early = rested_at - clock > CHANGE_EVERY * (CHANGES_AT_ONCE - 1);
        let has_lessons = days.iter().any(|day| !day.lessons.is_empty());
        if !(is_fixed || is_changed && !is_early) || !has_lessons && self.told.is_empty() {
            return Ok(());
        }
        if is_changed {
            app.events.publish(crate::events::HubEvent::Night {});
        }
        self.write(app, &days).await?;
        if is_fixed {
            self.fixed_hour = Some(hour);
        }
        self.rested_at = Some(rested_at + CHANGE_EVERY);
        self.told = days.iter().map(what).collect();
        Ok(())
    }

    /// Reads the days to tell of: today, and the next school day.
    async fn days(&self, app: &App, at: Moment, offset: i32) -> Result<Vec<ToldDay>, ApiError> {
        let (seen, now) = (app.clone(), at.now_ms);
        let task = move || -> Result<Vec<ToldDay>, ApiError> {
            let today = day::date_at(now, offset);
            let mut dates = vec![today];
            let next = seen.db.read_blocking(|db| overview::default_date(db, now, offset))?;
            let tomorrow = today.saturating_add(1.days());
            dates.extend([tomorrow, next].into_iter().filter(|date| *date != today));
            dates.dedup();
            let read = |date| -> Result<ToldDay, ApiError> {
                Ok(told(date, &overview::light(&seen, date, &at.tonight)?, now))
            };
            dates.into_iter().take(DAYS_MAX).map(read).collect()
        };
        tokio::task::spawn_blocking(task).await.map_err(ApiError::internal)?
    }

    async fn write(&self, app: &App, days: &[ToldDay]) -> Result<(), ApiError> {
        let hub = app.sync.hub_id();
        let mut months: Vec<String> = days.iter().map(|day| month_of(day.date)).collect();
        months.dedup();
        for month in months {
            let of_month: Vec<ToldDay> =
                days.iter().filter(|day| month_of(day.date) == month).cloned().collect();
            let known = app.db.read(move |db| map::told_days(db, None)).await?;
            let is_old = |date: &Date| days.iter().all(|day| day.date != *date);
            let forgotten = known.into_iter().filter(|(of, _)| *of == hub).map(|(_, d)| d.date);
            let forgotten: Vec<Date> =
                forgotten.filter(|d| month_of(*d) == month && is_old(d)).collect();
            let edits = map::edits(&month, &of_month, &forgotten);
            let (collection, doc) = (timetable::collection(), map::document_of(&hub, &month));
            let told = app.sync.edit_doc(collection, doc, AUTHOR.to_owned(), edits).await;
            told.map_err(refused)?;
        }
        Ok(())
    }
}

fn month_of(date: Date) -> String {
    date.to_string().chars().take(7).collect()
}

/// Gives what is told of a day.
pub(super) fn told(date: Date, entries: &[Entry], now: i64) -> ToldDay {
    let count = |state| {
        let of_state = entries.iter().filter(|entry| state_of(entry) == Some(state));
        u32::try_from(of_state.count()).unwrap_or(u32::MAX)
    };
    let lesson = |entry: &Entry| {
        let light = entry.readiness.as_ref()?;
        let lesson_id = entry.lesson.as_ref().map(|lesson| lesson.id.clone());
        Some(ToldLesson { lesson_id, state: light.state, tier: light.tier })
    };
    ToldDay {
        date,
        counts: [
            count(ReadinessState::Ready),
            count(ReadinessState::ReadyAt),
            count(ReadinessState::NotReady),
        ],
        lessons: entries.iter().filter_map(lesson).collect(),
        written_at_ms: now,
    }
}
