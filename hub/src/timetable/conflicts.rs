//! What cannot be at the same time: told, not refused. One room may hold two grades on purpose
//! (复式教学), and a plan is often wrong for an hour while somebody changes it.

use jiff::civil::Date;
use serde::Serialize;

use super::calendar::{Calendar, weekday_of};
use super::term::{Exception, SlotLesson, Term};

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
}

/// Two lessons that are at the same time and should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Conflict {
    /// What is twice.
    pub kind: ConflictKind,
    /// Name of the class, the person or the room.
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
    /// The two lessons.
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
        let of_day = of_day(term, &calendar, date);
        let is_new = |one: &Conflict| {
            !found.iter().any(|known| {
                known.date.is_none() && known.kind == one.kind && known.slot_ids == one.slot_ids
            })
        };
        let new: Vec<Conflict> = of_day.into_iter().filter(is_new).collect();
        found.extend(new);
    }
    found.truncate(CONFLICTS_MAX);
    found
}

/// Gives the days on which an exception may make lessons meet; days without any are none.
fn days(exception: &Exception) -> Vec<Date> {
    use super::term::Change::{Exam, Holiday};
    let is_free = matches!(exception.change, Holiday(_) | Exam(_));
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
