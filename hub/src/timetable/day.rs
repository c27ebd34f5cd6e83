//! What this school teaches on a day, for screens and for the night plan.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use rusqlite::{Connection, OptionalExtension, params};
use yingxue_sync_core::id::{DocId, HubId};

use super::calendar::{Calendar, DayKind, days_between, weekday_of};
use super::following::{FilledDay, Filling, Notice, Planned, filled};
use super::term::{Class, Mode, Period, Source, Term};
use crate::catalog::query;
use crate::catalog::readiness::TierName;
use crate::offers::document as offers;

/// Longest look ahead for remote lessons; the plan of the night looks at a few days.
const LOOK_AHEAD_DAYS_MAX: i64 = 62;
/// Most remote lessons of one look: 60 classes with six a day, for a week of five days.
const REMOTE_LESSONS_MAX: usize = 2_000;
const DAY_MS: i64 = 24 * 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// This hub, as far as its school's days need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    /// Its key: terms that it wrote first are its school's.
    pub hub: HubId,
    /// Minutes that the school's clocks are ahead of UTC.
    pub utc_offset_min: i32,
}

/// A day of this school.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Which day.
    pub date: Date,
    /// 1 is Monday.
    pub weekday: u8,
    /// Number of its week in the term, from 1.
    pub week: Option<u32>,
    /// The week of the cycle whose lessons it has.
    pub cycle_week: Option<u8>,
    /// What it is.
    pub kind: DayKind,
    /// What people have noted for it.
    pub note: String,
    /// Id and name of the term.
    pub term: Option<(String, String)>,
    /// Its lessons, by period and class.
    pub entries: Vec<DayEntry>,
}

impl Day {
    /// Says whether any class has a lesson.
    pub fn is_school_day(&self) -> bool {
        !self.entries.is_empty()
    }
}

/// A lesson of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayEntry {
    /// The lesson of the cycle, or the exception that adds it.
    pub slot_id: String,
    /// When.
    pub period: Period,
    /// Who learns.
    pub class: Class,
    /// Where, or empty.
    pub room: String,
    /// A subject as lessons have it, or a text of this school.
    pub subject: String,
    /// Who teaches, or empty.
    pub lead: String,
    /// Who is in the room, or empty.
    pub tutor: String,
    /// How it is taught.
    pub mode: Mode,
    /// The quality that is wanted for it.
    pub preferred: TierName,
    /// What fills it.
    pub lesson: Option<DocId>,
    /// Its place in the plan of lessons that the class follows.
    pub planned: Option<Planned>,
    /// What people should know of that.
    pub notice: Option<Notice>,
    /// Unix milliseconds.
    pub starts_at_ms: i64,
    /// Unix milliseconds.
    pub ends_at_ms: i64,
    /// True if the cycle has something else at that time.
    pub is_exception: bool,
}

/// A lesson of the coming days that needs something of another school, or a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimetabledLesson {
    /// The day's entry.
    pub slot: String,
    /// Which day.
    pub date: Date,
    /// What fills it; none is a lesson that somebody has to choose.
    pub lesson: Option<DocId>,
    /// Title of the lesson, or of its place in a plan, or empty.
    pub title: String,
    /// Unix milliseconds.
    pub starts_at_ms: i64,
    /// Unix milliseconds.
    pub ends_at_ms: i64,
    /// How many learn.
    pub pupils: u32,
    /// Name of the class.
    pub class: String,
    /// As the timetable has it.
    pub subject: String,
    /// How it is taught.
    pub mode: Mode,
    /// The quality that is wanted for it.
    pub preferred: TierName,
    /// What people should know of what fills it.
    pub notice: Option<Notice>,
}

/// Reads which hub this is; none before its first start has come that far.
///
/// # Errors
/// If the database fails.
pub fn here(db: &Connection) -> rusqlite::Result<Option<Here>> {
    const HERE: &str = "select hub, utc_offset_min from timetable_hub";
    let read =
        |row: &rusqlite::Row<'_>| Ok(Here { hub: HubId(row.get(0)?), utc_offset_min: row.get(1)? });
    db.prepare_cached(HERE)?.query_row([], read).optional()
}

/// Gives the day of a school whose clocks are `utc_offset_min` ahead.
pub fn date_at(at_ms: i64, utc_offset_min: i32) -> Date {
    let local_ms = at_ms.saturating_add(i64::from(utc_offset_min) * MINUTE_MS);
    // A clock that is wrong by a thousand years still gives some day.
    let days = local_ms.div_euclid(DAY_MS).clamp(-700_000, 2_900_000);
    EPOCH.checked_add(days.days()).unwrap_or(EPOCH)
}

/// Gives the unix milliseconds of a minute of a day.
pub fn instant(date: Date, minutes: u16, utc_offset_min: i32) -> i64 {
    let local = days_between(EPOCH, date) * DAY_MS + i64::from(minutes) * MINUTE_MS;
    local - i64::from(utc_offset_min) * MINUTE_MS
}

const EPOCH: Date = date(1970, 1, 1);

/// Gives what this school teaches on a day.
///
/// # Errors
/// If the database fails.
pub fn of(db: &Connection, date: Date) -> rusqlite::Result<Day> {
    Ok(days(db, date, date)?.pop().unwrap_or_else(|| outside(date)))
}

/// Gives what this school teaches on each day from `first` to `last`, at most two months.
///
/// # Errors
/// If the database fails.
pub fn days(db: &Connection, first: Date, last: Date) -> rusqlite::Result<Vec<Day>> {
    match here(db)? {
        Some(here) => days_of(db, &here, first, last),
        None => Ok(outside_from(first, last)),
    }
}

/// Gives what a school teaches, as far as its timetable is known here.
///
/// # Errors
/// If the database fails.
pub fn days_of(
    db: &Connection,
    here: &Here,
    first: Date,
    last: Date,
) -> rusqlite::Result<Vec<Day>> {
    let mut days = outside_from(first, last);
    let Some(last) = days.last().map(|day| day.date) else { return Ok(days) };
    for term in terms_between(db, &here.hub, first, last)? {
        let plans = plans(db, &term)?;
        let calendar = Calendar::new(&term);
        for filled in filled(&calendar, &term, &plans, first, last) {
            let place = usize::try_from(days_between(first, filled.0)).unwrap_or(usize::MAX);
            if let Some(day) = days.get_mut(place).filter(|day| term.has(day.date)) {
                *day = of_term(db, here, &term, filled)?;
            }
        }
    }
    Ok(days)
}

/// Lists the remote lessons that begin from `from_ms` until before `to_ms`, in order of time.
///
/// # Errors
/// If the database fails.
pub fn remote_between(
    db: &Connection,
    from_ms: i64,
    to_ms: i64,
) -> rusqlite::Result<Vec<TimetabledLesson>> {
    let Some(here) = here(db)? else { return Ok(Vec::new()) };
    let first = date_at(from_ms, here.utc_offset_min);
    let last = date_at(to_ms, here.utc_offset_min);
    let mut lessons = Vec::new();
    for day in days(db, first, last)? {
        for entry in day.entries {
            let is_then = (from_ms..to_ms).contains(&entry.starts_at_ms);
            if is_then && entry.mode.is_remote() && lessons.len() < REMOTE_LESSONS_MAX {
                lessons.push(entry.remote(db, day.date)?);
            }
        }
    }
    lessons.sort_by(|a, b| (a.starts_at_ms, &a.slot).cmp(&(b.starts_at_ms, &b.slot)));
    Ok(lessons)
}

/// Gives the terms of a school that have any of the days, by their first day.
///
/// # Errors
/// If the database fails.
pub fn terms_between(
    db: &Connection,
    hub: &HubId,
    first: Date,
    last: Date,
) -> rusqlite::Result<Vec<Term>> {
    const BETWEEN: &str = "select body from timetable_terms where school_hub = ?1 \
         and is_deleted = 0 and first_day <= ?3 and last_day >= ?2 order by first_day desc, term";
    let mut statement = db.prepare_cached(BETWEEN)?;
    let days = params![hub.as_bytes(), first.to_string(), last.to_string()];
    let bodies = statement.query_map(days, |row| {
        // The projection has written it.
        Ok(serde_json::from_str(row.get_ref(0)?.as_str()?).ok())
    })?;
    bodies.filter_map(Result::transpose).collect()
}

/// Reads the plans of lessons that a term's lessons name, by id.
fn plans(db: &Connection, term: &Term) -> rusqlite::Result<BTreeMap<String, offers::Plan>> {
    let named = term.slots.iter().filter_map(|slot| match &slot.lesson.source {
        Source::Offer { offer_id } => Some(offer_id),
        _ => None,
    });
    let replaced = term.exceptions.iter().filter_map(|exception| match exception.lesson() {
        Some(lesson) => match &lesson.source {
            Source::Offer { offer_id } => Some(offer_id),
            _ => None,
        },
        None => None,
    });
    let followed = term.follows.iter().map(|follow| &follow.offer_id);
    let mut plans = BTreeMap::new();
    for id in named.chain(replaced).chain(followed) {
        if !plans.contains_key(id)
            && let Ok(doc) = id.parse::<DocId>()
            && let Some(plan) = offers::find(db, &doc)?
        {
            plans.insert(id.clone(), plan);
        }
    }
    Ok(plans)
}

fn outside_from(first: Date, last: Date) -> Vec<Day> {
    let count = (days_between(first, last) + 1).clamp(0, LOOK_AHEAD_DAYS_MAX);
    (0..count).map(|n| outside(first + n.days())).collect()
}

fn outside(date: Date) -> Day {
    Day {
        date,
        weekday: weekday_of(date),
        week: None,
        cycle_week: None,
        kind: DayKind::OutsideTerm,
        note: String::new(),
        term: None,
        entries: Vec::new(),
    }
}

fn of_term(
    db: &Connection,
    here: &Here,
    term: &Term,
    (date, plan, fillings): FilledDay<'_>,
) -> rusqlite::Result<Day> {
    let mut entries = Vec::with_capacity(plan.lessons.len());
    for (placed, filling) in plan.lessons.iter().zip(fillings) {
        let lesson = &placed.lesson;
        // A term's checks have made sure of both.
        let found = term.class(&lesson.class_id).zip(term.period(lesson.period));
        let Some((class, period)) = found else { continue };
        let notice = notice(db, &filling)?;
        let mode = filling.mode.unwrap_or(lesson.mode);
        let at = |minutes| instant(date, minutes, here.utc_offset_min);
        entries.push(DayEntry {
            slot_id: placed.slot_id.to_owned(),
            period: period.clone(),
            class: class.clone(),
            room: if lesson.room.is_empty() { &class.room } else { &lesson.room }.clone(),
            subject: lesson.subject.clone(),
            lead: lesson.lead.clone(),
            tutor: lesson.tutor.clone(),
            mode,
            preferred: mode.preferred(),
            lesson: filling.lesson,
            planned: filling.planned,
            notice,
            starts_at_ms: at(period.start.minutes()),
            ends_at_ms: at(period.end.minutes()),
            is_exception: placed.is_exception,
        });
    }
    Ok(Day {
        week: plan.week,
        cycle_week: plan.cycle_week,
        kind: plan.kind,
        note: plan.note,
        term: Some((term.id.clone(), term.name.clone())),
        entries,
        ..outside(date)
    })
}

fn notice(db: &Connection, filling: &Filling) -> rusqlite::Result<Option<Notice>> {
    let Some(lesson) = filling.lesson else { return Ok(filling.notice) };
    let is_deleted = query::row(db, &lesson)?.is_some_and(|row| row.is_deleted);
    Ok(if is_deleted { Some(Notice::LessonDeleted) } else { filling.notice })
}

impl DayEntry {
    fn remote(self, db: &Connection, date: Date) -> rusqlite::Result<TimetabledLesson> {
        let row = self.lesson.map(|lesson| query::row(db, &lesson)).transpose()?.flatten();
        let planned = self.planned.map(|planned| planned.title);
        Ok(TimetabledLesson {
            slot: self.slot_id,
            date,
            lesson: self.lesson,
            title: row.map(|row| row.title).or(planned).unwrap_or_default(),
            starts_at_ms: self.starts_at_ms,
            ends_at_ms: self.ends_at_ms,
            pupils: self.class.pupils,
            class: self.class.name,
            subject: self.subject,
            mode: self.mode,
            preferred: self.preferred,
            notice: self.notice,
        })
    }
}

#[cfg(test)]
mod tests;
