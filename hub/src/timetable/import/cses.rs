//! CSES, the Course Schedule Exchange Schema that classroom programs in China share: version 2
//! (SmartTeachCN/CSES, `cses.schema.json` and `example.yaml`), and version 1 before it.
//!
//! A file of version 2 counts working days: its cycle is a list of spans of work and rest, and a
//! day's plan names the working days on which it applies, rest not counted. The first day of a
//! cycle is a Monday; a cycle that is no whole number of weeks cannot be a timetable here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::draft::{Draft, DraftSlot};
use super::problem::{ImportProblemCode as Code, Place};
use super::words;
use crate::timetable::check::CYCLE_WEEKS_MAX;
use crate::timetable::term::ClockTime;

/// Largest file: a class's cycle has 10 KiB.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Days of the longest cycle.
const CYCLE_DAYS_MAX: u32 = CYCLE_WEEKS_MAX as u32 * 7;

/// A file of either version.
#[derive(Debug, Deserialize)]
struct File {
    version: u32,
    configuration: Option<Configuration>,
    #[serde(default)]
    subjects: Vec<Subject>,
    #[serde(default)]
    schedules: Vec<Schedule>,
}

#[derive(Debug, Deserialize)]
struct Configuration {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    cycle: Option<Cycle>,
}

#[derive(Debug, Deserialize)]
struct Cycle {
    work_count: u32,
    rest_count: u32,
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
struct Span {
    activity: Activity,
    count: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Activity {
    Work,
    Rest,
}

#[derive(Debug, Deserialize)]
struct Subject {
    name: String,
    #[serde(default)]
    teacher: Option<String>,
    /// Version 2.
    #[serde(default)]
    location: Option<String>,
    /// Version 1.
    #[serde(default)]
    room: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Schedule {
    #[serde(default)]
    name: String,
    enable_day: EnableDay,
    /// Version 1: all, odd, even.
    #[serde(default)]
    weeks: Option<String>,
    #[serde(default)]
    classes: Vec<Lesson>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum EnableDay {
    WorkingDays(Vec<u32>),
    Weekday(u32),
    Named(String),
}

#[derive(Debug, Deserialize)]
struct Lesson {
    subject: String,
    start_time: String,
    end_time: String,
}

/// Why a file is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsesError {
    /// The text is no YAML, or lacks what CSES asks for.
    #[error("this is no CSES file: {0}")]
    Malformed(String),
    /// The cycle contradicts itself, or does not fit into weeks.
    #[error("the cycle of this CSES file cannot be used: {0}")]
    Cycle(String),
}

/// Says whether a text may be such a file.
pub fn is_cses(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.trim_start().starts_with(key));
    has("version:") && has("schedules:")
}

/// Reads a file; `class_name` names its class, if the file's own name for it is not wanted.
///
/// # Errors
/// If it is no CSES file, or its cycle cannot be used.
pub fn read(text: &str, class_name: Option<&str>) -> Result<Draft, CsesError> {
    if text.len() > FILE_BYTES_MAX {
        let reason = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(CsesError::Malformed(reason));
    }
    // Its default budget bounds depth, aliases and events.
    let file: File =
        serde_saphyr::from_str(text).map_err(|error| CsesError::Malformed(first_line(&error)))?;
    let named = file.configuration.as_ref().map(|configuration| configuration.name.as_str());
    let mut draft = Draft { cycle_weeks: 1, ..Draft::default() };
    let term = file.configuration.as_ref().map(|c| c.description.as_str()).unwrap_or_default();
    let term = crate::catalog::bounds::line(term, crate::timetable::check::NAME_CHARS_MAX);
    draft.name = Some(term).filter(|term| !term.is_empty());
    let class = class_of(&mut draft, class_name, named);
    draft.class(&class, words::grade_of(&class).unwrap_or_default(), 0);
    let days = match file.version {
        1 => None,
        2 => {
            let cycle = file.configuration.as_ref().and_then(|c| c.cycle.as_ref());
            let cycle = cycle.ok_or_else(|| CsesError::Cycle("there is none".to_owned()))?;
            Some(working_days(cycle)?)
        }
        other => {
            let reason = format!("its version is {other}; 1 and 2 are known");
            return Err(CsesError::Malformed(reason));
        }
    };
    if let Some(days) = &days {
        draft.cycle_weeks = days.last().map_or(1, |(week, _)| *week).max(1);
    }
    let subjects: BTreeMap<&str, &Subject> =
        file.subjects.iter().map(|subject| (subject.name.as_str(), subject)).collect();
    number_periods(&mut draft, &file.schedules);
    for schedule in &file.schedules {
        let days = days_of(&mut draft, schedule, days.as_deref());
        for lesson in &schedule.classes {
            take(&mut draft, &class, &subjects, lesson, &days);
        }
    }
    draft.finish();
    Ok(draft)
}

fn first_line(error: &impl std::fmt::Display) -> String {
    crate::catalog::bounds::line(error.to_string().lines().next().unwrap_or_default(), 160)
}

fn class_of(draft: &mut Draft, asked: Option<&str>, named: Option<&str>) -> String {
    let own = named.unwrap_or_default();
    if let Some(class) = asked.map(str::to_owned).or_else(|| words::class_in(own)) {
        return class;
    }
    let what = "the file does not say which class it is for; name it";
    draft.tell(Place::default(), Code::ClassMissing, what, own);
    let name = crate::catalog::bounds::line(own, crate::timetable::check::WORD_CHARS_MAX);
    if name.is_empty() { "本班".to_owned() } else { name }
}

/// Gives the week of the cycle and the weekday of each working day.
fn working_days(cycle: &Cycle) -> Result<Vec<(u8, u8)>, CsesError> {
    let sum = |activity: Activity| -> u32 {
        let spans = cycle.spans.iter().filter(|span| span.activity == activity);
        spans.fold(0, |sum, span| sum.saturating_add(span.count))
    };
    let (work, rest) = (sum(Activity::Work), sum(Activity::Rest));
    if (work, rest) != (cycle.work_count, cycle.rest_count) {
        return Err(CsesError::Cycle(format!(
            "its spans have {work} working days and {rest} days of rest, work_count says {} and \
             rest_count {}",
            cycle.work_count, cycle.rest_count
        )));
    }
    let total = work.saturating_add(rest);
    if work == 0 || total % 7 != 0 || total > CYCLE_DAYS_MAX {
        return Err(CsesError::Cycle(format!(
            "it has {total} days; allowed are whole weeks from Monday on, at most \
             {CYCLE_WEEKS_MAX}"
        )));
    }
    let mut days = Vec::new();
    let mut day = 0_u8;
    for span in &cycle.spans {
        for _ in 0..span.count {
            if span.activity == Activity::Work {
                days.push((day / 7 + 1, day % 7 + 1));
            }
            day += 1;
        }
    }
    Ok(days)
}

/// Numbers the periods by their times of the day.
fn number_periods(draft: &mut Draft, schedules: &[Schedule]) {
    let lessons = schedules.iter().flat_map(|schedule| &schedule.classes);
    let mut times: Vec<(ClockTime, ClockTime)> = lessons.filter_map(times_of).collect();
    times.sort_unstable();
    times.dedup();
    let overlaps = times.windows(2).any(|pair| pair[1].0 < pair[0].1);
    if overlaps {
        let what = "lessons of different days overlap in time; later ones count as later periods";
        draft.tell(Place::default(), Code::TimesOverlap, what, "");
    }
    let numbers = 1..=u8::try_from(crate::timetable::check::PERIODS_MAX).unwrap_or(u8::MAX);
    draft.times = numbers.zip(times).collect();
}

fn times_of(lesson: &Lesson) -> Option<(ClockTime, ClockTime)> {
    let (start, end) = (lesson.start_time.parse().ok()?, lesson.end_time.parse().ok()?);
    (start < end).then_some((start, end))
}

/// Gives weeks and weekdays of a day's plan.
fn days_of(
    draft: &mut Draft,
    schedule: &Schedule,
    days: Option<&[(u8, u8)]>,
) -> Vec<(Vec<u8>, u8)> {
    let mut found = Vec::new();
    let what = "the day's plan names a day that the cycle does not have; that day is left out";
    match (&schedule.enable_day, days) {
        (EnableDay::WorkingDays(numbers), Some(days)) => {
            for number in numbers {
                let day = usize::try_from(*number).ok().and_then(|n| days.get(n.checked_sub(1)?));
                match day.map(|(week, weekday)| (vec![*week], *weekday)) {
                    Some(day) if found.contains(&day) => {}
                    Some(day) => found.push(day),
                    None => draft.tell(Place::default(), Code::NoSuchDay, what, &schedule.name),
                }
            }
        }
        (day, _) => {
            let named = match day {
                EnableDay::Named(name) => words::weekday(name),
                EnableDay::Weekday(n) => u8::try_from(*n).ok().filter(|n| (1..=7).contains(n)),
                EnableDay::WorkingDays(_) => None,
            };
            let weeks = words::weeks(schedule.weeks.as_deref().unwrap_or("all"));
            match (named, weeks) {
                (Some(weekday), Some((weeks, cycle))) => {
                    draft.cycle_weeks = draft.cycle_weeks.max(cycle);
                    found.push((weeks, weekday));
                }
                _ => draft.tell(Place::default(), Code::NoSuchDay, what, &schedule.name),
            }
        }
    }
    found
}

fn take(
    draft: &mut Draft,
    class: &str,
    subjects: &BTreeMap<&str, &Subject>,
    lesson: &Lesson,
    days: &[(Vec<u8>, u8)],
) {
    let place = Place::default();
    let times = times_of(lesson);
    let period = times.and_then(|times| {
        draft.times.iter().find(|(_, known)| **known == times).map(|(no, _)| *no)
    });
    let Some(period) = period else {
        let what = "the lesson's times are none that can be used; it is left out";
        return draft.tell(place, Code::BadTime, what, &lesson.start_time);
    };
    let subject = subjects.get(lesson.subject.as_str());
    if subject.is_none() {
        let what = "the lesson's subject is not among the file's subjects; it is taken as it is";
        draft.tell(place, Code::UnknownSubject, what, &lesson.subject);
    }
    let known = words::known_subject(&lesson.subject).map(str::to_owned);
    let text = |text: Option<&String>| text.map(|text| text.trim().to_owned()).unwrap_or_default();
    for (weeks, weekday) in days {
        let slot = DraftSlot {
            class: class.to_owned(),
            weekday: *weekday,
            period,
            weeks: weeks.clone(),
            subject: known.clone().unwrap_or_else(|| lesson.subject.trim().to_owned()),
            lead: text(subject.and_then(|subject| subject.teacher.as_ref())),
            tutor: String::new(),
            room: text(subject.and_then(|s| s.location.as_ref().or(s.room.as_ref()))),
            mode: super::draft::ModeWord::default(),
        };
        draft.slot(place, slot);
    }
}

#[cfg(test)]
mod tests;
