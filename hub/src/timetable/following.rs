//! What fills the lessons of a day: the lesson that the timetable names, or the next one of the
//! plan that the class follows. Counted from the beginning of the term each time, so that nothing
//! is kept that could be wrong.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;
use yingxue_sync_core::id::DocId;

use super::calendar::{Calendar, DayPlan};
use super::term::{Mode, SlotLesson, Source, Term};
use crate::offers::document::Plan;

/// What a lesson of a day is filled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filling {
    /// The lesson, if one is known.
    pub lesson: Option<DocId>,
    /// Its place in a plan of lessons, if it comes from one.
    pub planned: Option<Planned>,
    /// What people should know.
    pub notice: Option<Notice>,
    /// How it is taught, if not as the timetable says.
    pub mode: Option<Mode>,
}

/// A place in a plan of lessons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Planned {
    /// The plan.
    pub offer_id: String,
    /// Title of the plan.
    pub offer_title: String,
    /// The lesson's key in the plan.
    pub key: String,
    /// Its title there.
    pub title: String,
    /// Its number there, from 1.
    pub no: u32,
    /// Lessons of the plan.
    pub total: u32,
    /// Which school offers it.
    pub school: String,
}

/// What people should know of how a lesson is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The lesson was deleted by its school; what is here of it stays.
    LessonDeleted,
    /// The plan is not offered any more; it is followed on to the end of the term.
    OfferWithdrawn,
    /// The lesson was taken out of the plan; it keeps its place to the end of the term.
    ItemWithdrawn,
    /// The plan has not arrived here.
    OfferMissing,
    /// The plan has no more lessons.
    PlanEnded,
}

/// A day and what fills its lessons.
pub type FilledDay<'a> = (Date, DayPlan<'a>, Vec<Filling>);

/// Gives the days from `first` to `last` with what fills their lessons.
pub fn filled<'a>(
    calendar: &Calendar<'a>,
    term: &'a Term,
    plans: &BTreeMap<String, Plan>,
    first: Date,
    last: Date,
) -> Vec<FilledDay<'a>> {
    let mut cursors: BTreeMap<(String, String, Date), Cursor> = BTreeMap::new();
    let mut days = Vec::new();
    let mut date = first.min(term.first_day);
    while date <= last {
        let plan = calendar.day(date);
        let fillings = plan.lessons.iter().map(|placed| {
            let lesson = &placed.lesson;
            let Some((offer, from, mode)) = followed(term, lesson, date) else {
                return direct(lesson);
            };
            let key = (lesson.class_id.clone(), offer.to_owned(), from);
            let cursor = cursors.entry(key).or_default();
            let is_local = lesson.mode == Mode::Local;
            Filling { mode: is_local.then_some(mode), ..cursor.next(plans.get(offer), date) }
        });
        let fillings: Vec<Filling> = fillings.collect();
        if date >= first {
            days.push((date, plan, fillings));
        }
        date = date + 1.day();
    }
    days
}

/// Says which plan a lesson follows, from when on, and how it is taught.
fn followed<'a>(
    term: &'a Term,
    lesson: &'a SlotLesson,
    date: Date,
) -> Option<(&'a str, Date, Mode)> {
    match &lesson.source {
        Source::Offer { offer_id } => Some((offer_id, term.first_day, Mode::Recorded)),
        Source::Lesson { .. } => None,
        Source::None => term
            .follows
            .iter()
            .filter(|follow| follow.class_id == lesson.class_id)
            .filter(|follow| follow.subject == lesson.subject && follow.from <= date)
            .max_by_key(|follow| follow.from)
            .map(|follow| (follow.offer_id.as_str(), follow.from, follow.mode)),
    }
}

fn direct(lesson: &SlotLesson) -> Filling {
    match &lesson.source {
        Source::Lesson { lesson_id } => Filling {
            lesson: lesson_id.parse().ok(),
            mode: (lesson.mode == Mode::Local).then_some(Mode::Recorded),
            ..Filling::default()
        },
        Source::None | Source::Offer { .. } => Filling::default(),
    }
}

/// How far a class has come in a plan.
#[derive(Default)]
struct Cursor {
    taken: BTreeSet<usize>,
}

impl Cursor {
    /// Takes the lesson of that date, or else the next one that has no date.
    fn next(&mut self, plan: Option<&Plan>, date: Date) -> Filling {
        let Some(plan) = plan else {
            return Filling { notice: Some(Notice::OfferMissing), ..Filling::default() };
        };
        let find = |wanted: Option<Date>| {
            let mut items = plan.items.iter().enumerate();
            items.find(|(i, item)| item.date == wanted && !self.taken.contains(i))
        };
        let Some((i, item)) = find(Some(date)).or_else(|| find(None)) else {
            return Filling { notice: Some(Notice::PlanEnded), ..Filling::default() };
        };
        self.taken.insert(i);
        let notice = match (plan.is_withdrawn, item.is_withdrawn) {
            (true, _) => Some(Notice::OfferWithdrawn),
            (_, true) => Some(Notice::ItemWithdrawn),
            _ => None,
        };
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Filling {
            lesson: item.lesson_id.as_ref().and_then(|id| id.parse().ok()),
            planned: Some(Planned {
                offer_id: plan.id.to_string(),
                offer_title: plan.title.clone(),
                key: item.key.clone(),
                title: item.title.clone(),
                no: number(i + 1),
                total: number(plan.items.len()),
                school: plan.school.clone(),
            }),
            notice,
            mode: None,
        }
    }
}

#[cfg(test)]
mod tests;
