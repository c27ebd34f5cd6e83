//! What cannot be at the same time: told, not refused. One room may hold two grades on purpose
//! (复式教学), and a plan is often wrong for an hour while somebody changes it.

use jiff::civil::Date;
use serde::Serialize;

use super::calendar::{Calendar, weekday_of};
use super::term::{Change, Exception, SlotLesson, Term};

/// Most conflicts that are told; a person sees at twenty that a plan is wrong.
const CONFLICTS_MAX: usize = 200;

/// What is twice at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// A class.
    Class,
    /// Somebody of this school.
    Teacher,
    /// A room.
    Room,
    /// A lesson is exchanged with one of another day, and changed otherwise, too.
    Change,
}

/// Two lessons that are at the same time and should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Conflict {
    /// What is twice.
    pub kind: ConflictKind,
    /// Name of the class, the person or the room; of a change, of the class.
    pub name: String,
    /// The day, if only an exception makes the conflict.
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<Date>,
    /// 1 is Monday.
    pub weekday: u8,
    /// Number of the period.
    pub period: u8,
    /// Weeks of the cycle in which it is so.
    pub weeks: Vec<u8>,
    /// The two lessons; of a change first the one that is changed twice.
    pub slot_ids: [String; 2],
}

/// Finds the conflicts of a term's cycle, then those that only some day has.
pub fn conflicts(term: &Term) -> Vec<Conflict> {
    let mut found = of_cycle(term);
    let calendar = Calendar::new(term);
    let mut dates: Vec<Date> = term.exceptions.iter().flat_map(days).collect();
    dates.sort_unstable();
    dates.dedup();
    for date in dates {
        if found.len() >= CONFLICTS_MAX {
            break;
        }
        let changes = of_changes(term, &calendar, date);
        let of_day = changes.into_iter().chain(of_day(term, &calendar, date));
        let is_new = |one: &Conflict| {
            !found.iter().any(|known| {
                known.date.is_none() && known.kind == one.kind && known.slot_ids == one.slot_ids
            })
        };
        let new: Vec<Conflict> = of_day.filter(is_new).collect();
        found.extend(new);
    }
    found.truncate(CONFLICTS_MAX);
    found
}

/// Gives the days on which an exception may make lessons meet; days without any are none.
fn days(exception: &Exception) -> Vec<Date> {
    let is_free = matches!(exception.change, Change::Holiday(_) | Change::Exam(_));
    if is_free { Vec::new() } else { exception.dates() }
}

fn of_cycle(term: &Term) -> Vec<Conflict> {
    let mut slots: Vec<_> = term.slots.iter().collect();
    slots.sort_by_key(|slot| (slot.weekday, slot.lesson.period));
    let mut found = Vec::new();
    for same in slots.chunk_by(|a, b| (a.weekday, a.lesson.period) == (b.weekday, b.lesson.period))
    {
        for (i, a) in same.iter().enumerate() {
            for b in &same[i + 1..] {
                if found.len() >= CONFLICTS_MAX {
                    return found;
                }
                let both = |week: &u8| a.is_in_week(*week) && b.is_in_week(*week);
                let weeks: Vec<u8> = (1..=term.cycle_weeks).filter(both).collect();
                if weeks.is_empty() {
                    continue;
                }
                let twice = twice(term, &a.lesson, &b.lesson);
                found.extend(twice.into_iter().map(|(kind, name)| Conflict {
                    kind,
                    name,
                    date: None,
                    weekday: a.weekday,
                    period: a.lesson.period,
                    weeks: weeks.clone(),
                    slot_ids: sorted(&a.id, &b.id),
                }));
            }
        }
    }
    found
}

fn of_day(term: &Term, calendar: &Calendar<'_>, date: Date) -> Vec<Conflict> {
    let plan = calendar.day(date);
    let mut found = Vec::new();
    for (i, a) in plan.lessons.iter().enumerate() {
        for b in plan.lessons[i + 1..].iter().take_while(|b| b.lesson.period == a.lesson.period) {
            let twice = twice(term, &a.lesson, &b.lesson);
            found.extend(twice.into_iter().map(|(kind, name)| Conflict {
                kind,
                name,
                date: Some(date),
                weekday: weekday_of(date),
                period: a.lesson.period,
                weeks: plan.cycle_week.into_iter().collect(),
                slot_ids: sorted(a.slot_id, b.slot_id),
            }));
        }
    }
    found
}

/// Finds lessons of a day that an exchange with another day takes away, and that the day has not
/// or has otherwise: then one of the changes counts for nothing, and a lesson may be nowhere.
fn of_changes(term: &Term, calendar: &Calendar<'_>, date: Date) -> Vec<Conflict> {
    let mut found = Vec::new();
    for exchange in &term.exceptions {
        let Some((goes, comes, other_date)) = exchanged(exchange, date) else { continue };
        let (Some(lesson), Some(_)) = (term.slot(goes), term.slot(comes)) else { continue };
        let has = |date: Date, id: &str| calendar.regular(date).iter().any(|slot| slot.id == id);
        let is_half = !has(date, goes) && has(other_date, comes);
        let is_twice = term.exceptions.iter().any(|other| {
            let is_same = match &other.change {
                Change::Replace { slot_id, .. } | Change::Cancel { slot_id } => {
                    slot_id == goes && other.date == date
                }
                _ => exchanged(other, date).is_some_and(|(id, ..)| id == goes),
            };
            is_same && other.id != exchange.id
        });
        if is_half || is_twice {
            let class = term.class(&lesson.lesson.class_id);
            found.push(Conflict {
                kind: ConflictKind::Change,
                name: class.map_or(&lesson.lesson.class_id, |class| &class.name).clone(),
                date: Some(date),
                weekday: weekday_of(date),
                period: lesson.lesson.period,
                weeks: calendar.week_of(date).map(|(_, week)| week).into_iter().collect(),
                slot_ids: [goes.to_owned(), comes.to_owned()],
            });
        }
    }
    found
}

/// Gives which lesson an exchange with another day takes from a day, which it brings, and from
/// when; none if it is no such exchange, or of other days.
fn exchanged(exception: &Exception, date: Date) -> Option<(&str, &str, Date)> {
    let Change::Swap { slot_id, with_slot_id: Some(other), with_date: Some(other_date), .. } =
        &exception.change
    else {
        return None;
    };
    if date == exception.date {
        Some((slot_id, other, *other_date))
    } else {
        (date == *other_date).then_some((other.as_str(), slot_id.as_str(), exception.date))
    }
}

fn sorted(a: &str, b: &str) -> [String; 2] {
    if a <= b { [a.to_owned(), b.to_owned()] } else { [b.to_owned(), a.to_owned()] }
}

/// Says what two lessons of the same time have in common.
fn twice(term: &Term, a: &SlotLesson, b: &SlotLesson) -> Vec<(ConflictKind, String)> {
    let mut found = Vec::new();
    if a.class_id == b.class_id {
        let name = term.class(&a.class_id).map_or(&a.class_id, |class| &class.name);
        found.push((ConflictKind::Class, name.clone()));
    }
    let people = people(b);
    for person in self::people(a) {
        if people.contains(&person) {
            found.push((ConflictKind::Teacher, person.to_owned()));
        }
    }
    let rooms = [a, b].map(|lesson| room(term, lesson));
    if a.class_id != b.class_id && !rooms[0].is_empty() && rooms[0] == rooms[1] {
        found.push((ConflictKind::Room, rooms[0].to_owned()));
    }
    found
}

/// Gives who has to be in the room: of a remote lesson the lead is elsewhere, and may teach many
/// classes at once.
fn people(lesson: &SlotLesson) -> Vec<&str> {
    let lead = Some(lesson.lead.as_str()).filter(|_| !lesson.mode.is_remote());
    let mut people: Vec<&str> = lead.into_iter().chain([lesson.tutor.as_str()]).collect();
    people.retain(|person| !person.is_empty());
    people.dedup();
    people
}

fn room<'a>(term: &'a Term, lesson: &'a SlotLesson) -> &'a str {
    let own = term.class(&lesson.class_id).map_or("", |class| class.room.as_str());
    if lesson.room.is_empty() { own } else { &lesson.room }
}

#[cfg(test)]
mod tests;
