//! What a file says, before it is a term: lessons by the names of their classes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::timetable::check::{self, CYCLE_WEEKS_MAX, WORD_CHARS_MAX};
use crate::timetable::term::{Class, ClockTime, Mode, Period, Slot, SlotLesson, Source, Term};

/// Most problems that are told; a person sees at twenty that the columns are wrong.
pub const PROBLEMS_MAX: usize = 100;
/// Where a school's lessons begin, if nothing says it: a village school's day, two lessons before
/// and two after the long break, the afternoon from 15:00; then the evening of a boarding school.
const USUAL_STARTS: [(u16, u16); 12] = [
    (8, 30),
    (9, 20),
    (10, 30),
    (11, 20),
    (15, 0),
    (15, 50),
    (16, 40),
    (17, 30),
    (19, 0),
    (19, 50),
    (20, 40),
    (21, 30),
];
/// Minutes of a lesson in a primary school.
const LESSON_MIN: u16 = 40;

/// Something that could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImportProblem {
    /// Name of the sheet, or empty.
    pub sheet: String,
    /// As a spreadsheet counts, from 1.
    pub row: Option<u32>,
    /// As a spreadsheet counts, from 1.
    pub column: Option<u32>,
    /// Stable; the web UI translates it.
    pub code: &'static str,
    /// One English sentence: what was wrong, and what was done.
    pub what: &'static str,
    /// What was found there.
    pub value: String,
}

/// A lesson of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct DraftSlot {
    /// Name of its class.
    pub class: String,
    /// 1 is Monday.
    pub weekday: u8,
    /// Number of the period.
    pub period: u8,
    /// Weeks of the cycle; none means every week.
    pub weeks: Vec<u8>,
    /// A subject as lessons have it, or the file's text.
    pub subject: String,
    /// Who teaches, or empty.
    pub lead: String,
    /// Who is in the room, or empty.
    pub tutor: String,
    /// Where, or empty.
    pub room: String,
    /// How it is taught.
    #[schema(value_type = Mode)]
    pub mode: ModeWord,
}

/// A mode with an order, so that lessons have one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ModeWord(pub Mode);

impl PartialOrd for ModeWord {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ModeWord {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0 as u8).cmp(&(other.0 as u8))
    }
}

/// A class of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DraftClass {
    /// As it is there.
    pub name: String,
    /// As lessons have it, or empty.
    pub grade: String,
    /// 0 if it is not said.
    pub pupils: u32,
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Name of the term, if it says one.
    pub name: Option<String>,
    /// Weeks until it repeats.
    pub cycle_weeks: u8,
    /// When each period is, as far as the file says.
    pub times: BTreeMap<u8, (ClockTime, ClockTime)>,
    /// The classes, in the order of the file.
    pub classes: Vec<DraftClass>,
    /// The lessons.
    pub slots: Vec<DraftSlot>,
    /// What could not be read.
    pub problems: Vec<ImportProblem>,
}

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// Name of the sheet, or empty.
    pub sheet: &'a str,
    /// From 1; 0 for the whole file.
    pub row: u32,
    /// From 0, if it is one cell.
    pub column: Option<usize>,
}

impl Draft {
    /// Tells a problem.
    pub fn tell(&mut self, at: Place<'_>, code: &'static str, what: &'static str, value: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(ImportProblem {
                sheet: at.sheet.to_owned(),
                row: (at.row > 0).then_some(at.row),
                column: at.column.and_then(|column| u32::try_from(column + 1).ok()),
                code,
                what,
                value: crate::catalog::bounds::line(value, 60),
            });
        }
    }

    /// Takes a class, if it is a new one.
    pub fn class(&mut self, name: &str, grade: &str, pupils: u32) {
        let known = self.classes.iter_mut().find(|class| class.name == name);
        match known {
            Some(class) => class.pupils = class.pupils.max(pupils),
            None => self.classes.push(DraftClass {
                name: name.to_owned(),
                grade: grade.to_owned(),
                pupils,
            }),
        }
    }

    /// Takes a lesson; what is longer than a timetable allows is cut, and told.
    pub fn slot(&mut self, at: Place<'_>, mut slot: DraftSlot) {
        if self.slots.len() >= check::SLOTS_MAX {
            let what = "the file has more lessons than a timetable may have; the rest is left out";
            return self.tell(at, "too_many_lessons", what, "");
        }
        let mut is_cut = false;
        let fields = [&mut slot.subject, &mut slot.room, &mut slot.class];
        for text in fields.into_iter().chain([&mut slot.lead, &mut slot.tutor]) {
            let short = crate::catalog::bounds::line(text, WORD_CHARS_MAX);
            is_cut |= short != *text;
            *text = short;
        }
        if is_cut {
            let what = "a text was too long for a line of a timetable, and was cut";
            self.tell(at, "text_cut", what, &slot.subject);
        }
        if slot.subject.is_empty() || slot.class.is_empty() {
            let what = "the lesson has no subject or no class; it is left out";
            return self.tell(at, "incomplete", what, &slot.class);
        }
        self.slots.push(slot);
    }

    /// Joins lessons that differ in their weeks alone, and tells those that are there twice.
    pub fn finish(&mut self) {
        self.cycle_weeks = self.cycle_weeks.clamp(1, CYCLE_WEEKS_MAX);
        let every: Vec<u8> = (1..=self.cycle_weeks).collect();
        let mut by_lesson: BTreeMap<DraftSlot, Vec<u8>> = BTreeMap::new();
        let mut twice = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            let weeks = if slot.weeks.is_empty() { every.clone() } else { slot.weeks.clone() };
            let known = by_lesson.entry(DraftSlot { weeks: Vec::new(), ..slot.clone() });
            let known = known.or_default();
            if weeks.iter().any(|week| known.contains(week)) {
                twice.push(slot.subject);
            }
            known.extend(weeks);
        }
        for subject in twice {
            let what = "the same lesson is there twice; it is taken once";
            self.tell(Place::default(), "twice", what, &subject);
        }
        for (slot, mut weeks) in by_lesson {
            weeks.sort_unstable();
            weeks.dedup();
            let weeks = if weeks == every { Vec::new() } else { weeks };
            self.slots.push(DraftSlot { weeks, ..slot });
        }
        self.slots.sort_by(|a, b| {
            let key = |slot: &DraftSlot| (slot.weekday, slot.period, slot.weeks.clone());
            key(a).cmp(&key(b)).then_with(|| a.cmp(b))
        });
    }

    /// Gives the periods that the lessons need: with the file's times, or the usual ones if it
    /// has none that fit together.
    pub fn periods(&self) -> Vec<Period> {
        let mut numbers: Vec<u8> = self.slots.iter().map(|slot| slot.period).collect();
        numbers.extend(self.times.keys());
        numbers.sort_unstable();
        numbers.dedup();
        let said: Vec<Period> = numbers
            .iter()
            .filter_map(|no| self.times.get(no).map(|(start, end)| period(*no, *start, *end)))
            .collect();
        let rises = said.windows(2).all(|pair| pair[0].end <= pair[1].start);
        if said.len() == numbers.len() && rises { said } else { usual(&numbers) }
    }

    /// Says whether the file gives each period's times.
    pub fn has_times(&self) -> bool {
        let all = self.slots.iter().all(|slot| self.times.contains_key(&slot.period));
        all && self.periods().iter().all(|p| self.times.get(&p.no) == Some(&(p.start, p.end)))
    }
}

fn period(no: u8, start: ClockTime, end: ClockTime) -> Period {
    Period { no, start, end, name: String::new() }
}

/// Gives the usual times of periods; numbers beyond a boarding school's evening have none.
fn usual(numbers: &[u8]) -> Vec<Period> {
    let of = |no: &u8| {
        let (hour, minute) = *USUAL_STARTS.get(usize::from(*no).checked_sub(1)?)?;
        let start = ClockTime::of_minutes(hour * 60 + minute)?;
        Some(period(*no, start, ClockTime::of_minutes(start.minutes() + LESSON_MIN)?))
    };
    numbers.iter().filter_map(of).collect()
}

/// Why a file does not fit a term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: allowed is {allowed}")]
pub struct Misfit {
    /// The term's field.
    pub field: &'static str,
    /// A few English words.
    pub allowed: String,
}

/// Puts the lessons of a file into a term, in place of those that its classes have there; other
/// classes keep theirs.
///
/// # Errors
/// If other classes stay, and the file has other times or another cycle than they.
pub fn put_into(term: &Term, draft: &Draft) -> Result<Term, Misfit> {
    let mut term = term.clone();
    let names: Vec<&str> = draft.classes.iter().map(|class| class.name.as_str()).collect();
    let replaced: Vec<String> = term
        .classes
        .iter()
        .filter(|class| names.contains(&class.name.as_str()))
        .map(|class| class.id.clone())
        .collect();
    term.slots.retain(|slot| !replaced.contains(&slot.lesson.class_id));
    let places = if term.slots.is_empty() {
        term.cycle_weeks = draft.cycle_weeks;
        fresh_periods(&mut term, draft)
    } else {
        if draft.cycle_weeks > 1 && term.cycle_weeks > 1 && draft.cycle_weeks != term.cycle_weeks {
            let allowed = format!("1 or {}, as other classes of the term have", term.cycle_weeks);
            return Err(Misfit { field: "cycle_weeks", allowed });
        }
        term.cycle_weeks = term.cycle_weeks.max(draft.cycle_weeks);
        shared_periods(&mut term, draft)?
    };
    for class in &draft.classes {
        put_class(&mut term, class);
    }
    let slots: Vec<Slot> =
        draft.slots.iter().filter_map(|slot| new_slot(&term, slot, &places)).collect();
    for slot in slots {
        if term.slots.iter().all(|known| known.id != slot.id) {
            term.slots.push(slot);
        }
    }
    crate::timetable::document::sort(&mut term);
    Ok(term)
}

/// Replaces the periods; keeps the times of the term where the file says none.
fn fresh_periods(term: &mut Term, draft: &Draft) -> BTreeMap<u8, u8> {
    let mut periods = draft.periods();
    if !draft.has_times() {
        let known: Vec<Period> = std::mem::take(&mut term.periods);
        let covers = periods.iter().all(|period| known.iter().any(|k| k.no == period.no));
        if covers && !known.is_empty() {
            periods = known;
        }
    }
    term.periods = periods;
    term.periods.iter().map(|period| (period.no, period.no)).collect()
}

/// Finds the periods of the file among those of the term, by their times or, if it says none, by
/// their numbers; later ones are added.
fn shared_periods(term: &mut Term, draft: &Draft) -> Result<BTreeMap<u8, u8>, Misfit> {
    let has_times = draft.has_times();
    let mut places = BTreeMap::new();
    for period in draft.periods() {
        let known = term.periods.iter().find(|known| {
            let is_then = (known.start, known.end) == (period.start, period.end);
            is_then || (!has_times && known.no == period.no)
        });
        if let Some(known) = known {
            places.insert(period.no, known.no);
            continue;
        }
        let last = term.periods.last();
        if last.is_some_and(|last| last.no < period.no && last.end <= period.start) {
            places.insert(period.no, period.no);
            term.periods.push(period);
            continue;
        }
        let shown = |p: &Period| format!("{} {}–{}", p.no, p.start, p.end);
        let times: Vec<String> = term.periods.iter().map(shown).collect();
        let allowed = format!(
            "the times that other classes of the term have ({}); the file has {}",
            times.join(", "),
            shown(&period)
        );
        return Err(Misfit { field: "periods", allowed });
    }
    Ok(places)
}

fn put_class(term: &mut Term, draft: &DraftClass) {
    match term.classes.iter_mut().find(|class| class.name == draft.name) {
        Some(class) => {
            class.pupils = if draft.pupils > 0 { draft.pupils } else { class.pupils };
            if class.grade.is_empty() {
                class.grade.clone_from(&draft.grade);
            }
        }
        None => term.classes.push(Class {
            id: id("c", &[&draft.name]),
            name: draft.name.clone(),
            grade: draft.grade.clone(),
            pupils: draft.pupils,
            room: String::new(),
        }),
    }
}

fn new_slot(term: &Term, draft: &DraftSlot, places: &BTreeMap<u8, u8>) -> Option<Slot> {
    let class = term.classes.iter().find(|class| class.name == draft.class)?;
    let period = *places.get(&draft.period)?;
    let weeks: Vec<String> = draft.weeks.iter().map(ToString::to_string).collect();
    let time = format!("{}.{period}.{}", draft.weekday, weeks.join("."));
    let words = [&draft.lead, &draft.tutor, &draft.room].map(String::as_str);
    let words = [&class.id, time.as_str(), &draft.subject, words[0], words[1], words[2]];
    Some(Slot {
        id: id("s", &words),
        weekday: draft.weekday,
        weeks: draft.weeks.clone(),
        lesson: SlotLesson {
            period,
            class_id: class.id.clone(),
            room: draft.room.clone(),
            subject: draft.subject.clone(),
            lead: draft.lead.clone(),
            tutor: draft.tutor.clone(),
            mode: draft.mode.0,
            source: Source::None,
        },
    })
}

/// Gives an id that the same entry has whenever it is imported, so that what was noted for it on
/// some day is found again.
fn id(prefix: &str, words: &[&str]) -> String {
    let hash = blake3::hash(words.join("\n").as_bytes());
    format!("{prefix}-{}", &hash.to_hex()[..12])
}
