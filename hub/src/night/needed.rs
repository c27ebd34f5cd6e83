//! Which lessons another school needs in the coming days, as far as that is known here: by what it
//! tells of its lights, or else by its timetable and the plans that it follows.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;
use rusqlite::Connection;
use yingxue_sync_core::id::{DocId, HubId};

use super::map;
use crate::catalog::readiness::ReadinessState;
use crate::timetable::day::{self, Day, Here};

/// Days that are looked at: a stick goes to a school without a line about once a week.
const DAYS: i64 = 7;

/// How a school needs a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// On which day first.
    pub first: Date,
    /// For how many lessons of the coming days.
    pub slots: u32,
}

/// Gives the lessons that a school needs from a day on: those that it says it lacks, or, if it says
/// nothing, all that its timetable has.
///
/// # Errors
/// If the database fails.
pub fn by(db: &Connection, hub: &HubId, from: Date) -> rusqlite::Result<BTreeMap<DocId, Need>> {
    let told = map::told_days(db, None)?.into_iter();
    let told: Vec<_> = told.filter(|(of, day)| of == hub && day.date >= from).collect();
    let mut needs = BTreeMap::new();
    for (_, day) in &told {
        for lesson in day.lessons.iter().filter(|it| it.state == ReadinessState::NotReady) {
            if let Some(id) = lesson.lesson_id.as_ref().and_then(|id| id.parse().ok()) {
                count(&mut needs, id, day.date);
            }
        }
    }
    if told.is_empty() {
        for day in timetabled(db, hub, from)? {
            remote(&day).flatten().for_each(|lesson| count(&mut needs, lesson, day.date));
        }
    }
    Ok(needs)
}

/// Gives the coming days of a school, as its timetable has them here.
///
/// # Errors
/// If the database fails.
pub fn timetabled(db: &Connection, hub: &HubId, from: Date) -> rusqlite::Result<Vec<Day>> {
    // At what time of a day does not matter here.
    let there = Here { hub: *hub, utc_offset_min: 0 };
    day::days_of(db, &there, from, from.saturating_add((DAYS - 1).days()))
}

/// Gives what fills each remote lesson of a day; none if nobody has said which lesson.
pub fn remote(day: &Day) -> impl Iterator<Item = Option<DocId>> {
    let remote = day.entries.iter().filter(|entry| entry.mode.is_remote());
    remote.map(|entry| entry.lesson)
}

fn count(needs: &mut BTreeMap<DocId, Need>, lesson: DocId, date: Date) {
    let need = needs.entry(lesson).or_insert(Need { first: date, slots: 0 });
    need.first = need.first.min(date);
    need.slots = need.slots.saturating_add(1);
}
