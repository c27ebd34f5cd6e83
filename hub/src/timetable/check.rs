//! What a timetable may say. Each refusal names the field and what is allowed.
//!
//! The same checks meet what people ask for and what a document from outside holds: there an entry
//! that does not pass is left out.

use jiff::civil::{Date, date};

use super::calendar::Calendar;
use super::term::{
    Change, Class, Exception, Follow, Pause, Period, Slot, SlotLesson, Source, Term,
};
use crate::catalog::bounds::{GRADES, TEACHER_CHARS_MAX, is_line};
use yingxue_sync_core::id::DocId;

/// Longest term: a school year with its holidays.
pub const TERM_DAYS_MAX: i64 = 366;
/// Longest cycle in weeks; schools have one or two, ClassIsland's users ask for three.
pub const CYCLE_WEEKS_MAX: u8 = 8;
/// Most periods of a day: a boarding school with morning reading and evening study has fourteen.
pub const PERIODS_MAX: usize = 20;
/// Most classes of a school; one with 5,000 pupils has 100.
pub const CLASSES_MAX: usize = 100;
/// Most lessons of a cycle: 60 classes of 50. All of them in one edit have about 150 KiB as an
/// envelope, which may have 256.
pub const SLOTS_MAX: usize = 3_000;
/// Most exceptions of a term: four a school day.
pub const EXCEPTIONS_MAX: usize = 500;
/// Most plans of lessons that a school's classes follow: each class in five subjects.
pub const FOLLOWS_MAX: usize = 500;
/// Longest name of a term, a note, a room, as on a door.
pub const NAME_CHARS_MAX: usize = 60;
/// Longest name of a class, a period, a room or a subject, so that a line on a panel holds it.
pub const WORD_CHARS_MAX: usize = 20;
/// Most pupils of one class; the largest known have 90.
pub const PUPILS_MAX: u32 = 500;
/// Longest id; 16 random bytes in hex.
pub const ID_CHARS_MAX: usize = 32;
/// Dates outside these years are a wrong clock or a slip.
const DATES: std::ops::Range<Date> = date(2000, 1, 1)..date(2101, 1, 1);

/// Why something cannot be part of a timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: allowed is {allowed}")]
pub struct Invalid {
    /// The field, as the API names it.
    pub field: String,
    /// A few English words.
    pub allowed: String,
}

type Checked = Result<(), Invalid>;

fn ensure(is_allowed: bool, field: &str, allowed: impl Into<String>) -> Checked {
    if is_allowed {
        Ok(())
    } else {
        Err(Invalid { field: field.to_owned(), allowed: allowed.into() })
    }
}

/// Says whether a day can be part of any term.
pub fn is_date(date: Date) -> bool {
    DATES.contains(&date)
}

/// Checks everything but the entries of a term.
///
/// # Errors
/// If a field is outside its bounds, or periods overlap.
pub fn head(term: &Term) -> Checked {
    name(&term.name, "name", NAME_CHARS_MAX)?;
    ensure(DATES.contains(&term.first_day), "first_day", "a day from 2000-01-01 to 2100-12-31")?;
    let days = super::calendar::days_between(term.first_day, term.last_day);
    let allowed = format!("first_day to {TERM_DAYS_MAX} days after it");
    ensure((0..TERM_DAYS_MAX).contains(&days), "last_day", allowed)?;
    let allowed = format!("1 to {CYCLE_WEEKS_MAX}");
    ensure((1..=CYCLE_WEEKS_MAX).contains(&term.cycle_weeks), "cycle_weeks", allowed)?;
    periods(&term.periods)
}

fn periods(periods: &[Period]) -> Checked {
    ensure(periods.len() <= PERIODS_MAX, "periods", format!("at most {PERIODS_MAX}"))?;
    for period in periods {
        let max = u8::try_from(PERIODS_MAX).unwrap_or(u8::MAX);
        ensure((1..=max).contains(&period.no), "periods.no", format!("1 to {max}"))?;
        ensure(period.start < period.end, "periods.end", "a time after its start")?;
        optional(&period.name, "periods.name", WORD_CHARS_MAX)?;
    }
    let mut pairs = periods.windows(2);
    let rises = |pair: &[Period]| pair[0].no < pair[1].no && pair[0].end <= pair[1].start;
    let allowed = "numbers that rise with time, and times that do not overlap";
    ensure(pairs.all(rises), "periods", allowed)
}

/// Checks a whole term, as an import makes one.
///
/// # Errors
/// If anything of it but its exceptions and plans is not as it should be; those that do not fit
/// any more count for nothing.
pub fn whole(term: &Term) -> Checked {
    head(term)?;
    ensure(term.classes.len() <= CLASSES_MAX, "classes", format!("at most {CLASSES_MAX}"))?;
    ensure(term.slots.len() <= SLOTS_MAX, "slots", format!("at most {SLOTS_MAX}"))?;
    term.classes.iter().try_for_each(class)?;
    term.slots.iter().try_for_each(|one| slot(term, one))
}

/// Checks the entries of a term against it, after its days, periods or cycle were changed; names
/// the field of the term that an entry does not fit any more.
///
/// # Errors
/// If an entry does not fit.
pub fn entries(term: &Term) -> Checked {
    let named = |invalid: Invalid, entry: &str| {
        let field = match invalid.field.as_str() {
            "weeks" | "week" => "cycle_weeks",
            "period" | "slot.period" | "to_period" => "periods",
            _ => "first_day",
        };
        let allowed = format!("what {entry} fits; change or remove that first");
        Invalid { field: field.to_owned(), allowed }
    };
    for one in &term.slots {
        let at = format!("the lesson {} on weekday {}", one.lesson.subject, one.weekday);
        slot(term, one).map_err(|invalid| named(invalid, &at))?;
    }
    for one in &term.exceptions {
        let at = format!("the exception on {}", one.date);
        exception(term, one).map_err(|invalid| named(invalid, &at))?;
    }
    for one in &term.follows {
        let at = format!("the plan of lessons that is followed from {}", one.from);
        follow(term, one).map_err(|invalid| named(invalid, &at))?;
    }
    Ok(())
}

/// Checks a class by itself.
///
/// # Errors
/// If a field is outside its bounds.
pub fn class(class: &Class) -> Checked {
    id(&class.id)?;
    name(&class.name, "name", WORD_CHARS_MAX)?;
    let is_grade = class.grade.is_empty() || GRADES.contains(&class.grade.as_str());
    ensure(is_grade, "grade", GRADES.join(", "))?;
    ensure(class.pupils <= PUPILS_MAX, "pupils", format!("0 to {PUPILS_MAX}"))?;
    optional(&class.room, "room", WORD_CHARS_MAX)
}

/// Checks a lesson of the cycle against its term.
///
/// # Errors
/// If a field is outside its bounds, or names something that the term has not.
pub fn slot(term: &Term, slot: &Slot) -> Checked {
    id(&slot.id)?;
    ensure((1..=7).contains(&slot.weekday), "weekday", "1 (Monday) to 7 (Sunday)")?;
    let is_week = |week: &u8| (1..=term.cycle_weeks).contains(week);
    let rises = slot.weeks.windows(2).all(|pair| pair[0] < pair[1]);
    let allowed = format!("weeks of the cycle, 1 to {}, each once and in order", term.cycle_weeks);
    ensure(rises && slot.weeks.iter().all(is_week), "weeks", allowed)?;
    lesson(term, &slot.lesson)
}

/// Checks what is taught at some time.
///
/// # Errors
/// If a field is outside its bounds, or names something that the term has not.
pub fn lesson(term: &Term, lesson: &SlotLesson) -> Checked {
    ensure(term.period(lesson.period).is_some(), "period", "the number of one of the periods")?;
    ensure(term.class(&lesson.class_id).is_some(), "class_id", "the id of one of the classes")?;
    name(&lesson.subject, "subject", WORD_CHARS_MAX)?;
    optional(&lesson.room, "room", WORD_CHARS_MAX)?;
    optional(&lesson.lead, "lead", TEACHER_CHARS_MAX)?;
    optional(&lesson.tutor, "tutor", TEACHER_CHARS_MAX)?;
    match &lesson.source {
        Source::None => Ok(()),
        Source::Lesson { lesson_id } => doc_id(lesson_id, "source.lesson_id"),
        Source::Offer { offer_id } => doc_id(offer_id, "source.offer_id"),
    }
}

/// Checks a choice of a plan of lessons against its term.
///
/// # Errors
/// If a field is outside its bounds, or the class has another plan in the subject from that day.
pub fn follow(term: &Term, follow: &Follow) -> Checked {
    id(&follow.id)?;
    ensure(term.class(&follow.class_id).is_some(), "class_id", "the id of one of the classes")?;
    name(&follow.subject, "subject", WORD_CHARS_MAX)?;
    doc_id(&follow.offer_id, "offer_id")?;
    in_term(term, follow.from, "from")?;
    ensure(follow.mode.is_remote(), "mode", "live, recorded, embedded, observe")?;
    let is_same = |other: &Follow| {
        other.id != follow.id
            && (&other.class_id, &other.subject, other.from)
                == (&follow.class_id, &follow.subject, follow.from)
    };
    let allowed = "a day from which the class follows no other plan in this subject";
    ensure(!term.follows.iter().any(is_same), "from", allowed)
}

/// Checks an exception against its term, whose own entry of the same id counts for nothing.
///
/// # Errors
/// If a field is outside its bounds, names something that the day has not, or contradicts another
/// exception; a day that is made up must not be followed by another one that is.
pub fn exception(term: &Term, exception: &Exception) -> Checked {
    id(&exception.id)?;
    in_term(term, exception.date, "date")?;
    optional(&exception.note, "note", NAME_CHARS_MAX)?;
    optional(&exception.written_by, "written_by", ID_CHARS_MAX)?;
    match &exception.change {
        Change::Holiday(pause) | Change::Exam(pause) => paused(term, exception, pause),
        Change::Makeup { .. } => makeup(term, exception),
        Change::Swap { with_date: Some(_), .. } => swap_over_days(term, exception),
        Change::Swap { slot_id, with_slot_id, to_period, with_date: None } => {
            taught(term, exception, slot_id, "slot_id")?;
            ensure(
                with_slot_id.is_some() != to_period.is_some(),
                "with_slot_id",
                "another lesson of that day, or to_period instead",
            )?;
            if let Some(other) = with_slot_id {
                ensure(other != slot_id, "with_slot_id", "another lesson than slot_id")?;
                taught(term, exception, other, "with_slot_id")?;
            }
            let is_period = to_period.is_none_or(|no| term.period(no).is_some());
            ensure(is_period, "to_period", "the number of one of the periods")
        }
        Change::Replace { slot_id, slot } => {
            taught(term, exception, slot_id, "slot_id")?;
            alone(term, exception, slot_id)?;
            lesson(term, slot).map_err(|invalid| within("slot", invalid))
        }
        Change::Cancel { slot_id } => {
            taught(term, exception, slot_id, "slot_id")?;
            alone(term, exception, slot_id)
        }
        Change::Add { slot } => {
            let is_free = term.slot(&exception.id).is_none();
            ensure(is_free, "id", "an id that no lesson of the timetable has")?;
            lesson(term, slot).map_err(|invalid| within("slot", invalid))
        }
    }
}

/// Checks two lessons of the cycle that change places over two days: each is taught on its own day
/// and not on the other's.
fn swap_over_days(term: &Term, own: &Exception) -> Checked {
    let Change::Swap { slot_id, with_slot_id, to_period, with_date: Some(other_date) } =
        &own.change
    else {
        return Ok(());
    };
    in_term(term, *other_date, "with_date")?;
    ensure(*other_date != own.date, "with_date", "another day than date, or nothing")?;
    ensure(to_period.is_none(), "to_period", "nothing, if with_date is said")?;
    let Some(other) = with_slot_id else {
        return ensure(false, "with_slot_id", "a lesson of with_date");
    };
    let calendar = Calendar::new(term);
    let has = |date: Date, id: &str| calendar.regular(date).iter().any(|slot| slot.id == id);
    let is_first = has(own.date, slot_id) && !has(*other_date, slot_id);
    ensure(is_first, "slot_id", "a lesson of the cycle that date has and with_date has not")?;
    let is_second = has(*other_date, other) && !has(own.date, other);
    ensure(is_second, "with_slot_id", "a lesson of the cycle that with_date has and date has not")
}

fn within(outer: &str, invalid: Invalid) -> Invalid {
    Invalid { field: format!("{outer}.{}", invalid.field), ..invalid }
}

fn others<'a>(term: &'a Term, own: &'a Exception) -> impl Iterator<Item = &'a Exception> {
    term.exceptions.iter().filter(move |other| other.id != own.id)
}

fn paused(term: &Term, own: &Exception, pause: &Pause) -> Checked {
    if let Some(until) = pause.until {
        in_term(term, until, "until")?;
        ensure(own.date <= until, "until", "a day from date on")?;
    }
    let has = |id: &String| term.class(id).is_some();
    ensure(pause.class_ids.iter().all(has), "class_ids", "ids of the classes")?;
    let shares = |other: &Pause| {
        pause.class_ids.is_empty()
            || other.class_ids.is_empty()
            || other.class_ids.iter().any(|id| pause.class_ids.contains(id))
    };
    for other in others(term, own) {
        let overlaps = own.date <= other.last_date() && other.date <= own.last_date();
        match &other.change {
            Change::Holiday(pause) | Change::Exam(pause) if overlaps && shares(pause) => {
                return ensure(false, "date", "days that no other holiday or examination has");
            }
            Change::Makeup { .. } if overlaps && pause.class_ids.is_empty() => {
                return ensure(false, "date", "days that make up for no other day");
            }
            _ => {}
        }
    }
    Ok(())
}

fn makeup(term: &Term, own: &Exception) -> Checked {
    let Change::Makeup { follows_date, weekday, week } = &own.change else { return Ok(()) };
    let allowed = "the day whose lessons are taught, or weekday instead";
    ensure(follows_date.is_some() != weekday.is_some(), "follows_date", allowed)?;
    ensure(
        weekday.is_none_or(|day| (1..=7).contains(&day)),
        "weekday",
        "1 (Monday) to 7 (Sunday)",
    )?;
    ensure(week.is_none() || weekday.is_some(), "week", "nothing, if follows_date is said")?;
    let allowed = format!("1 to {}", term.cycle_weeks);
    ensure(week.is_none_or(|week| (1..=term.cycle_weeks).contains(&week)), "week", allowed)?;
    if let Some(followed) = follows_date {
        in_term(term, *followed, "follows_date")?;
        ensure(*followed != own.date, "follows_date", "another day than date")?;
    }
    for other in others(term, own) {
        match &other.change {
            Change::Makeup { .. } if other.date == own.date => {
                return ensure(false, "date", "a day that makes up for no other day yet");
            }
            Change::Makeup { .. } if Some(other.date) == *follows_date => {
                return ensure(false, "follows_date", "a day that does not itself make up for one");
            }
            Change::Makeup { follows_date: Some(followed), .. } if *followed == own.date => {
                let allowed = "a day that no other day makes up for; change that one first";
                return ensure(false, "date", allowed);
            }
            Change::Holiday(pause) | Change::Exam(pause)
                if pause.class_ids.is_empty() && other.is_on(own.date) =>
            {
                return ensure(false, "date", "a day that is no holiday and no examination");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a day has a lesson, as the cycle and whole-day exceptions make it.
fn taught(term: &Term, own: &Exception, slot_id: &str, field: &str) -> Checked {
    let is_taught = Calendar::new(term).regular(own.date).iter().any(|slot| slot.id == slot_id);
    let added = others(term, own).any(|other| {
        other.id == slot_id && other.date == own.date && matches!(other.change, Change::Add { .. })
    });
    ensure(is_taught || added, field, "the id of a lesson that is taught on that day")
}

/// Checks that a lesson is not replaced and cancelled, or either twice, on one day.
fn alone(term: &Term, own: &Exception, id: &str) -> Checked {
    let is_same = |other: &Exception| match &other.change {
        Change::Replace { slot_id, .. } | Change::Cancel { slot_id } => {
            slot_id == id && other.date == own.date
        }
        _ => false,
    };
    let allowed = "a lesson that is not replaced or cancelled on that day already";
    ensure(!others(term, own).any(is_same), "slot_id", allowed)
}

fn in_term(term: &Term, date: Date, field: &str) -> Checked {
    let allowed = format!("a day of the term, {} to {}", term.first_day, term.last_day);
    ensure(term.has(date), field, allowed)
}

fn id(id: &str) -> Checked {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_id = (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_plain);
    let allowed = format!("1 to {ID_CHARS_MAX} of the characters a to z, 0 to 9 and -");
    ensure(is_id, "id", allowed)
}

fn doc_id(id: &str, field: &str) -> Checked {
    ensure(id.parse::<DocId>().is_ok(), field, "32 hexadecimal characters")
}

fn name(text: &str, field: &str, chars_max: usize) -> Checked {
    let is_trimmed = text.trim() == text;
    ensure(is_trimmed && is_line(text, chars_max), field, format!("1 to {chars_max} characters"))
}

fn optional(text: &str, field: &str, chars_max: usize) -> Checked {
    if text.is_empty() { Ok(()) } else { name(text, field, chars_max) }
}
