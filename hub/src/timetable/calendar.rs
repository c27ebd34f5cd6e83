//! Which lessons a day has: weeks of the cycle, and what is otherwise on that day. No clock.
//!
//! Weeks are counted from the Monday of the term's first week. Holidays and examinations do not
//! change the count, so that the odd week stays odd, unless one says that it holds the cycle:
//! then a week without any other working day is left out, and what was due comes after it.

use std::borrow::Cow;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;

use super::term::{Change, Exception, Slot, SlotLesson, Term};

/// Working days of a week, for the question whether any is left: Monday to Friday.
const WORKING_DAYS: i64 = 5;

/// What a day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// A day with lessons.
    School,
    /// A day of the term on which the timetable has nothing, such as a Sunday.
    Free,
    /// The whole school has no lessons.
    Holiday,
    /// The whole school has examinations.
    Exam,
    /// The day has the lessons of another one.
    Makeup,
    /// No term has the day.
    OutsideTerm,
}

/// What a day has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayPlan<'a> {
    /// What it is.
    pub kind: DayKind,
    /// Number of its week in the term, from 1.
    pub week: Option<u32>,
    /// The week of the cycle whose lessons it has.
    pub cycle_week: Option<u8>,
    /// What people have noted for it.
    pub note: String,
    /// Its lessons, by period and class.
    pub lessons: Vec<Placed<'a>>,
}

/// A lesson on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<'a> {
    /// The lesson of the cycle, or the exception that adds it.
    pub slot_id: &'a str,
    /// What is taught, as it is on this day.
    pub lesson: Cow<'a, SlotLesson>,
    /// True if the cycle has something else at that time.
    pub is_exception: bool,
}

/// A term's days.
pub struct Calendar<'a> {
    term: &'a Term,
    first_monday: Date,
    /// The week of the cycle, by week of the term.
    cycle: Vec<u8>,
}

impl<'a> Calendar<'a> {
    /// Counts the weeks of a term.
    pub fn new(term: &'a Term) -> Self {
        let first_monday = monday_of(term.first_day);
        let weeks = days_between(first_monday, monday_of(term.last_day)).max(0) / 7 + 1;
        let holding: Vec<&Exception> = term.exceptions.iter().filter(|e| holds_cycle(e)).collect();
        let mut counted = 0_u64;
        let cycle_weeks = u64::from(term.cycle_weeks.max(1));
        let mut cycle = Vec::new();
        for week in 0..weeks {
            cycle.push(u8::try_from(counted % cycle_weeks + 1).unwrap_or(1));
            counted += u64::from(!is_held(term, &holding, first_monday + (week * 7).days()));
        }
        Self { term, first_monday, cycle }
    }

    /// Gives the number of a day's week in the term, from 1, and its week of the cycle; none
    /// outside the term.
    pub fn week_of(&self, date: Date) -> Option<(u32, u8)> {
        if !self.term.has(date) {
            return None;
        }
        let week = usize::try_from(days_between(self.first_monday, date) / 7).ok()?;
        Some((u32::try_from(week).ok()? + 1, *self.cycle.get(week)?))
    }

    /// Gives the weekday, 1 to 7, and the week of the cycle whose lessons a day has.
    fn followed(&self, date: Date) -> Option<(u8, u8)> {
        let (_, own_week) = self.week_of(date)?;
        let makeup = self.on(date).find_map(|exception| match exception.change {
            Change::Makeup { follows_date: Some(followed), .. } => {
                Some((weekday_of(followed), self.week_of(followed)?.1))
            }
            Change::Makeup { weekday: Some(weekday), week, .. } => {
                Some((weekday, week.unwrap_or(own_week)))
            }
            _ => None,
        });
        Some(makeup.unwrap_or((weekday_of(date), own_week)))
    }

    /// Gives the lessons that the cycle has for a day, before what is otherwise on it; those of
    /// classes that have a holiday or an examination are left out.
    pub fn regular(&self, date: Date) -> Vec<&'a Slot> {
        let Some((weekday, week)) = self.followed(date) else { return Vec::new() };
        let pauses: Vec<_> = self
            .on(date)
            .filter_map(|exception| match &exception.change {
                Change::Holiday(pause) | Change::Exam(pause) => Some(pause),
                _ => None,
            })
            .collect();
        let is_free = |slot: &Slot| pauses.iter().any(|pause| pause.is_of(&slot.lesson.class_id));
        let slots = self.term.slots.iter();
        slots.filter(|s| s.weekday == weekday && s.is_in_week(week) && !is_free(s)).collect()
    }

    /// Says what a day is and has.
    pub fn day(&self, date: Date) -> DayPlan<'a> {
        let Some((week, own_cycle_week)) = self.week_of(date) else {
            let kind = DayKind::OutsideTerm;
            let note = String::new();
            return DayPlan { kind, week: None, cycle_week: None, note, lessons: Vec::new() };
        };
        let cycle_week = self.followed(date).map_or(own_cycle_week, |(_, week)| week);
        let lessons = self.lessons(date);
        DayPlan {
            kind: self.kind(date, lessons.is_empty()),
            week: Some(week),
            cycle_week: Some(cycle_week),
            note: self.note(date),
            lessons,
        }
    }

    fn lessons(&self, date: Date) -> Vec<Placed<'a>> {
        let regular = self.regular(date);
        let is_makeup = self.on(date).any(|e| matches!(e.change, Change::Makeup { .. }));
        let place = |slot: &'a Slot| Placed {
            slot_id: &slot.id,
            lesson: Cow::Borrowed(&slot.lesson),
            is_exception: is_makeup,
        };
        let mut placed: Vec<Placed<'a>> = regular.iter().copied().map(place).collect();
        self.on(date).for_each(|exception| apply(exception, self.term, date, &mut placed));
        // What was changed and changed back is as the cycle has it.
        for one in placed.iter_mut().filter(|one| matches!(one.lesson, Cow::Owned(_))) {
            let is_regular = regular.iter().any(|s| s.id == one.slot_id && s.lesson == *one.lesson);
            one.is_exception = is_makeup || !is_regular;
        }
        let place = |id: &str| self.term.classes.iter().position(|class| class.id == id);
        placed.sort_by_key(|one| (one.lesson.period, place(&one.lesson.class_id)));
        placed
    }

    fn kind(&self, date: Date, is_empty: bool) -> DayKind {
        let whole = self.on(date).find_map(|exception| match &exception.change {
            Change::Holiday(pause) if pause.class_ids.is_empty() => Some(DayKind::Holiday),
            Change::Exam(pause) if pause.class_ids.is_empty() => Some(DayKind::Exam),
            Change::Makeup { .. } => Some(DayKind::Makeup),
            _ => None,
        });
        whole.unwrap_or(if is_empty { DayKind::Free } else { DayKind::School })
    }

    /// Joins the notes that are about the day as a whole.
    fn note(&self, date: Date) -> String {
        let notes = self.on(date).filter(|exception| is_of_the_day(&exception.change));
        let notes: Vec<&str> = notes.map(|e| e.note.as_str()).filter(|n| !n.is_empty()).collect();
        notes.join("；")
    }

    fn on(&self, date: Date) -> impl Iterator<Item = &'a Exception> {
        self.term.exceptions.iter().filter(move |exception| exception.is_on(date))
    }
}

/// Says whether an exception is about a day as a whole, not about one of its lessons.
pub fn is_of_the_day(change: &Change) -> bool {
    matches!(change, Change::Holiday(_) | Change::Exam(_) | Change::Makeup { .. })
}

/// Carries out one exception; one that names a lesson that the day has not changes nothing.
fn apply<'a>(exception: &'a Exception, term: &'a Term, date: Date, placed: &mut Vec<Placed<'a>>) {
    let find = |placed: &[Placed<'_>], id: &str| placed.iter().position(|one| one.slot_id == id);
    match &exception.change {
        Change::Holiday(_) | Change::Exam(_) | Change::Makeup { .. } => {}
        Change::Swap { slot_id, with_slot_id: Some(other), with_date: Some(_), .. } => {
            let (goes, comes) =
                if date == exception.date { (slot_id, other) } else { (other, slot_id) };
            if let (Some(a), Some(slot)) = (find(placed, goes), term.slot(comes)) {
                let period = placed[a].lesson.period;
                let lesson = Cow::Owned(SlotLesson { period, ..slot.lesson.clone() });
                placed[a] = Placed { slot_id: &slot.id, lesson, is_exception: true };
            }
        }
        Change::Swap { slot_id, with_slot_id: Some(other), .. } => {
            if let (Some(a), Some(b)) = (find(placed, slot_id), find(placed, other)) {
                let period = placed[a].lesson.period;
                placed[a].lesson.to_mut().period = placed[b].lesson.period;
                placed[b].lesson.to_mut().period = period;
            }
        }
        Change::Swap { slot_id, to_period, .. } => {
            if let (Some(a), Some(period)) = (find(placed, slot_id), to_period) {
                placed[a].lesson.to_mut().period = *period;
            }
        }
        Change::Replace { slot_id, slot } => {
            if let Some(a) = find(placed, slot_id) {
                placed[a].lesson = Cow::Owned(slot.clone());
            }
        }
        Change::Cancel { slot_id } => placed.retain(|one| one.slot_id != *slot_id),
        Change::Add { slot } => placed.push(Placed {
            slot_id: &exception.id,
            lesson: Cow::Borrowed(slot),
            is_exception: true,
        }),
    }
}

/// Says whether the cycle stands still in the week that begins on `monday`: each of its working
/// days in the term is covered by something that holds the cycle, and none is made up.
fn is_held(term: &Term, holding: &[&Exception], monday: Date) -> bool {
    if holding.is_empty() {
        return false;
    }
    let sunday = monday + 6.days();
    let is_made_up = term.exceptions.iter().any(|exception| {
        matches!(exception.change, Change::Makeup { .. })
            && (monday..=sunday).contains(&exception.date)
    });
    let working: Vec<Date> =
        (0..WORKING_DAYS).map(|day| monday + day.days()).filter(|date| term.has(*date)).collect();
    let is_covered = |date: &Date| holding.iter().any(|exception| exception.is_on(*date));
    !is_made_up && !working.is_empty() && working.iter().all(is_covered)
}

fn holds_cycle(exception: &Exception) -> bool {
    match &exception.change {
        Change::Holiday(pause) | Change::Exam(pause) => {
            pause.holds_cycle && pause.class_ids.is_empty()
        }
        _ => false,
    }
}

/// Gives the Monday of a day's week.
pub fn monday_of(date: Date) -> Date {
    date - i64::from(weekday_of(date) - 1).days()
}

/// Gives the weekday, 1 for Monday to 7 for Sunday.
pub fn weekday_of(date: Date) -> u8 {
    date.weekday().to_monday_one_offset().unsigned_abs()
}

/// Counts the days from one date to another, negative if that is earlier.
pub fn days_between(from: Date, to: Date) -> i64 {
    i64::from((to - from).get_days())
}

#[cfg(test)]
pub(crate) mod tests;
