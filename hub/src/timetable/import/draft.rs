//! What a file says, before it is a term: lessons by the names of their classes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::problem::{ImportProblemCode as Code, Place, Problems};
use super::words;
use crate::timetable::check::{self, CYCLE_WEEKS_MAX, WORD_CHARS_MAX};
use crate::timetable::term::{Class, ClockTime, Mode, Period, Slot, SlotLesson, Source, Term};

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
/// Lessons that are named when a file does not fit: a line.
const LOST_SHOWN_MAX: usize = 6;
/// Minutes of a lesson in a primary school.
const LESSON_MIN: u16 = 40;

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

impl DraftSlot {
    /// Names it: 五年级1班 周一13 math.
    fn shown(&self) -> String {
        let day = words::weekday_name(self.weekday);
        format!("{} {day}{} {}", self.class, self.period, self.subject)
    }
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
    pub problems: Problems,
}

impl Draft {
    /// Tells a problem.
    pub fn tell(&mut self, at: Place<'_>, code: Code, what: &'static str, value: &str) {
        self.problems.tell(at, code, what, value);
    }

    /// Takes a class, if it is a new one.
    pub fn class(&mut self, name: &str, grade: &str, pupils: u32) {
        let is_full = self.classes.len() >= check::CLASSES_MAX;
        match self.classes.iter_mut().find(|class| class.name == name) {
            Some(class) => class.pupils = class.pupils.max(pupils),
            None if is_full => {
                let what = "the file has more classes than a timetable may have; it is left out";
                self.tell(Place::default(), Code::TooManyClasses, what, name);
            }
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
            return self.tell(at, Code::TooManyLessons, what, "");
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
            self.tell(at, Code::TextCut, what, &slot.subject);
        }
        if slot.subject.is_empty() || slot.class.is_empty() {
            let what = "the lesson has no subject or no class; it is left out";
            return self.tell(at, Code::Incomplete, what, &slot.class);
        }
        // Of a class that there is no room for it was told when the class came.
        if self.classes.iter().any(|class| class.name == slot.class) {
            self.slots.push(slot);
        }
    }

    /// Notes when a period is; of two times that differ the first counts, and that is told.
    pub fn time(&mut self, at: Place<'_>, no: u8, times: (ClockTime, ClockTime)) {
        let known = *self.times.entry(no).or_insert(times);
        if known != times {
            let what = "the period has another time than above; that one counts";
            self.tell(at, Code::TimesDiffer, what, &no.to_string());
        }
    }

    /// Joins lessons that differ in their weeks alone, and tells those that are there twice or
    /// have no time.
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
                twice.push(slot.shown());
            }
            known.extend(weeks);
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
        // A lesson is the same one whichever way it is taught.
        self.slots.dedup_by(|b, a| {
            let is_same = DraftSlot { mode: a.mode, ..b.clone() } == *a;
            if is_same {
                twice.push(b.shown());
            }
            is_same
        });
        for lesson in twice {
            let what = "the same lesson is there twice; it is taken once";
            self.tell(Place::default(), Code::Twice, what, &lesson);
        }
        for lesson in self.without_time().map(DraftSlot::shown).collect::<Vec<_>>() {
            let what = "nothing says when the period is; write its times into the file, or import \
                into a term that has this period";
            self.tell(Place::default(), Code::NoTime, what, &lesson);
        }
    }

    /// Gives the lessons in periods that [`Self::periods`] cannot time.
    fn without_time(&self) -> impl Iterator<Item = &DraftSlot> {
        let periods = self.periods();
        self.slots.iter().filter(move |slot| periods.iter().all(|period| period.no != slot.period))
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
pub enum Misfit {
    /// Other classes of the term have another cycle.
    #[error(
        "The file's cycle has {file} weeks, and that of the term's other classes {term}: import it \
         into a term of its own, or say that its cycle has {term} weeks."
    )]
    Cycle {
        /// Weeks of the file's cycle.
        file: u8,
        /// Weeks of the term's cycle.
        term: u8,
    },
    /// Other classes of the term have their periods at other times.
    #[error(
        "The file has a period at {file}, and the term's other classes have theirs at {term}: \
         correct the file or the term's periods."
    )]
    Times {
        /// The file's period.
        file: String,
        /// The periods of the term.
        term: String,
    },
    /// Nothing says when some of its lessons are.
    #[error(
        "Nothing says when these lessons are: {lessons}. Write the times of their periods into the \
         file, or add these periods to the term."
    )]
    NoTime {
        /// Some of them.
        lessons: String,
    },
}

/// Puts the lessons of a file into a term, in place of those that its classes have there; other
/// classes keep theirs.
///
/// # Errors
/// If other classes stay, and the file has other times or another cycle than they; or if a lesson
/// is in a period that has no time.
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
            return Err(Misfit::Cycle { file: draft.cycle_weeks, term: term.cycle_weeks });
        }
        term.cycle_weeks = term.cycle_weeks.max(draft.cycle_weeks);
        shared_periods(&mut term, draft)?
    };
    let is_lost = |slot: &&DraftSlot| !places.contains_key(&slot.period);
    let lost: Vec<String> = draft.slots.iter().filter(is_lost).map(DraftSlot::shown).collect();
    if !lost.is_empty() {
        let named = lost.iter().take(LOST_SHOWN_MAX).map(String::as_str);
        let rest = (lost.len() > LOST_SHOWN_MAX).then_some("…");
        return Err(Misfit::NoTime { lessons: named.chain(rest).collect::<Vec<_>>().join(", ") });
    }
    for class in &draft.classes {
        put_class(&mut term, class);
    }
    let slots: Vec<Slot> =
        draft.slots.iter().filter_map(|slot| new_slot(&term, slot, &places)).collect();
    term.slots.extend(slots);
    crate::timetable::document::sort(&mut term);
    Ok(term)
}

/// Replaces the periods; keeps the times of the term where the file says none.
fn fresh_periods(term: &mut Term, draft: &Draft) -> BTreeMap<u8, u8> {
    let mut periods = draft.periods();
    if !draft.has_times() {
        let known: Vec<Period> = std::mem::take(&mut term.periods);
        let is_known = |no: u8| known.iter().any(|known| known.no == no);
        let covers = draft.slots.iter().map(|slot| slot.period).all(is_known);
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
    let numbers = draft.slots.iter().map(|slot| slot.period);
    let is_known = |no: &u8| term.periods.iter().any(|known| known.no == *no);
    places.extend(numbers.filter(|no| !has_times && is_known(no)).map(|no| (no, no)));
    for period in draft.periods() {
        if places.contains_key(&period.no) {
            continue;
        }
        let is_then = |known: &&Period| (known.start, known.end) == (period.start, period.end);
        if let Some(known) = term.periods.iter().find(is_then).filter(|_| has_times) {
            places.insert(period.no, known.no);
            continue;
        }
        let last = term.periods.last();
        if last.is_some_and(|last| last.no < period.no && last.end <= period.start) {
            places.insert(period.no, period.no);
            term.periods.push(period);
            continue;
        }
        if !has_times {
            // Its lessons are named by whoever looks for their place.
            continue;
        }
        let shown = |p: &Period| format!("{} {}–{}", p.no, p.start, p.end);
        let times: Vec<String> = term.periods.iter().map(shown).collect();
        return Err(Misfit::Times { file: shown(&period), term: times.join(", ") });
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
