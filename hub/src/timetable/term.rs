//! What a timetable says: a term with its periods, classes, lessons and exceptions.
//!
//! These are the shapes of the API and, entry by entry, of the documents.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::catalog::readiness::TierName;

/// A school's timetable of one term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Term {
    /// 32 hex characters; the document's.
    pub id: String,
    /// Such as 2026年秋季学期.
    pub name: String,
    /// The first day of the term.
    #[schema(value_type = String, format = Date)]
    pub first_day: Date,
    /// The last day of the term.
    #[schema(value_type = String, format = Date)]
    pub last_day: Date,
    /// Weeks until the timetable repeats, 1 to 8; 2 for odd and even weeks.
    pub cycle_weeks: u8,
    /// The times of the day, by number.
    pub periods: Vec<Period>,
    /// The school's classes, by name.
    pub classes: Vec<Class>,
    /// The lessons of the cycle.
    pub slots: Vec<Slot>,
    /// What is otherwise on some day, in the order in which it applies.
    pub exceptions: Vec<Exception>,
    /// Which plan of lessons a class follows in a subject.
    pub follows: Vec<Follow>,
}

/// One of the day's times for a lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// 1 to 20, rising with time.
    pub no: u8,
    /// `HH:MM`, local time.
    #[schema(value_type = String, example = "08:30")]
    pub start: ClockTime,
    /// `HH:MM`, local time.
    #[schema(value_type = String, example = "09:10")]
    pub end: ClockTime,
    /// Such as 第一节, or empty.
    #[serde(default)]
    pub name: String,
}

/// A class of this school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Class {
    /// 1 to 32 letters, digits and hyphens.
    pub id: String,
    /// Such as 五年级1班.
    pub name: String,
    /// As lessons have it, or empty.
    #[serde(default)]
    pub grade: String,
    /// How many; their names are nowhere in a timetable.
    #[serde(default)]
    pub pupils: u32,
    /// Where it usually is, or empty.
    #[serde(default)]
    pub room: String,
}

/// A lesson of the cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Slot {
    /// 1 to 32 letters, digits and hyphens.
    pub id: String,
    /// 1 is Monday, 7 Sunday.
    pub weekday: u8,
    /// Weeks of the cycle, from 1; none means every week.
    #[serde(default)]
    pub weeks: Vec<u8>,
    /// What is taught, and how.
    #[serde(flatten)]
    pub lesson: SlotLesson,
}

/// What is taught at some time, apart from the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SlotLesson {
    /// Number of the period.
    pub period: u8,
    /// Which class.
    pub class_id: String,
    /// Where, if not in the class's own room.
    #[serde(default)]
    pub room: String,
    /// A subject as lessons have it, or a text of this school such as 班会.
    pub subject: String,
    /// Who teaches: of a remote lesson, somebody of the lead school (主讲).
    #[serde(default)]
    pub lead: String,
    /// Who is in the room (辅导), or empty.
    #[serde(default)]
    pub tutor: String,
    /// How it is taught.
    #[serde(default)]
    pub mode: Mode,
    /// What fills it.
    #[serde(default)]
    pub source: Source,
}

/// How a lesson is taught.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By this school's own teacher alone.
    #[default]
    Local,
    /// 直播.
    Live,
    /// 录播.
    Recorded,
    /// 植入: parts of a recorded lesson inside the own one.
    Embedded,
    /// 观摩.
    Observe,
}

impl Mode {
    /// Says whether it needs something of another school, or a recording.
    pub fn is_remote(self) -> bool {
        self != Self::Local
    }

    /// Gives the quality that is fetched for it, if nothing better is known: the teacher's face
    /// matters where a class follows the whole lesson, less where parts are shown.
    pub fn preferred(self) -> TierName {
        match self {
            Self::Live | Self::Recorded | Self::Observe => TierName::T1,
            Self::Embedded | Self::Local => TierName::T0,
        }
    }
}

/// What fills a lesson of the timetable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Nothing of its own: what the class follows in the subject, if it follows anything.
    #[default]
    None,
    /// This lesson, whenever it is taught.
    Lesson {
        /// 32 hex characters.
        lesson_id: String,
    },
    /// The next lesson of this plan.
    Offer {
        /// 32 hex characters.
        offer_id: String,
    },
}

/// Something that is otherwise on one day, or on some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Exception {
    /// 1 to 32 letters, digits and hyphens.
    pub id: String,
    /// Which day; the first of them.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// In a few words, or empty.
    #[serde(default)]
    pub note: String,
    /// Unix milliseconds; of two for one day the one that was written earlier applies first.
    #[serde(default)]
    pub written_at: i64,
    /// Pseudonym of who wrote it; set by the hub.
    #[serde(default)]
    pub written_by: String,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// What an [`Exception`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// No lessons.
    Holiday(Pause),
    /// No lessons, because there is an examination.
    Exam(Pause),
    /// The day has the lessons of another one: a make-up Saturday, or a whole day replaced. Either
    /// `follows_date` or `weekday` is said.
    Makeup {
        /// That date's weekday and week of the cycle; not what is otherwise on that date.
        #[serde(default)]
        #[schema(value_type = Option<String>, format = Date)]
        follows_date: Option<Date>,
        /// 1 is Monday.
        #[serde(default)]
        weekday: Option<u8>,
        /// Week of the cycle; that of the day itself if it is not said.
        #[serde(default)]
        week: Option<u8>,
    },
    /// Two lessons change places, of the day or of two days, or one moves to a period. Either
    /// `with_slot_id` or `to_period` is said.
    Swap {
        /// A lesson of that day.
        slot_id: String,
        /// Another one.
        #[serde(default)]
        with_slot_id: Option<String>,
        /// A period.
        #[serde(default)]
        to_period: Option<u8>,
        /// The day of the other lesson, if it is another day.
        #[serde(default)]
        #[schema(value_type = Option<String>, format = Date)]
        with_date: Option<Date>,
    },
    /// Something else is taught in place of a lesson of the day.
    Replace {
        /// A lesson of that day.
        slot_id: String,
        /// What is taught.
        slot: SlotLesson,
    },
    /// A lesson of the day is not taught.
    Cancel {
        /// A lesson of that day.
        slot_id: String,
    },
    /// A lesson that the cycle does not have.
    Add {
        /// What is taught.
        slot: SlotLesson,
    },
}

/// Days without lessons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// The last of the days, if there is more than one.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    pub until: Option<Date>,
    /// Classes that have none; every class if there is none.
    #[serde(default)]
    pub class_ids: Vec<String>,
    /// True if the cycle stands still: a week that has no other working days is not counted, and
    /// the odd week that was due comes after it.
    #[serde(default)]
    pub holds_cycle: bool,
}

/// The receiver's choice of a plan of lessons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Follow {
    /// 1 to 32 letters, digits and hyphens.
    pub id: String,
    /// Which class.
    pub class_id: String,
    /// In which subject, as its lessons in the timetable have it.
    pub subject: String,
    /// The plan's document, 32 hex characters.
    pub offer_id: String,
    /// From which day on; the plan's first lesson is taught then.
    #[schema(value_type = String, format = Date)]
    pub from: Date,
    /// How those lessons are taught that the timetable has as the own teacher's.
    #[serde(default = "recorded")]
    pub mode: Mode,
}

fn recorded() -> Mode {
    Mode::Recorded
}

/// A time of the day in minutes, `HH:MM` in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime(u16);

impl ClockTime {
    /// Makes a time of minutes since midnight; none from 24:00 on.
    pub fn of_minutes(minutes: u16) -> Option<Self> {
        (minutes < 24 * 60).then_some(Self(minutes))
    }

    /// Makes a full hour of the day; hours after 23 begin the next one.
    pub const fn of_hour(hour: u16) -> Self {
        Self(hour % 24 * 60)
    }

    /// Gives the minutes since midnight.
    pub fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for ClockTime {
    type Err = &'static str;

    /// Reads `8:30`, `08:30` and `08:30:00`, with the colons of either width.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "HH:MM from 00:00 to 23:59";
        let mut parts = text.trim().split([':', '：']);
        let mut number = |max: u16| -> Result<u16, &'static str> {
            let digits = parts.next().ok_or(ALLOWED)?;
            let is_digits = digits.bytes().all(|b| b.is_ascii_digit());
            let is_number = is_digits && (1..=2).contains(&digits.len());
            let value: u16 = digits.parse().ok().filter(|_| is_number).ok_or(ALLOWED)?;
            if value <= max { Ok(value) } else { Err(ALLOWED) }
        };
        let (hours, minutes) = (number(23)?, number(59)?);
        match parts.next() {
            None => Ok(Self(hours * 60 + minutes)),
            Some(seconds) if parts.next().is_none() && seconds.parse::<u8>().is_ok() => {
                Ok(Self(hours * 60 + minutes))
            }
            Some(_) => Err(ALLOWED),
        }
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Term {
    /// Finds a class.
    pub fn class(&self, id: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    /// Finds a period.
    pub fn period(&self, no: u8) -> Option<&Period> {
        self.periods.iter().find(|period| period.no == no)
    }

    /// Finds a lesson of the cycle.
    pub fn slot(&self, id: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.id == id)
    }

    /// Says whether a day belongs to the term.
    pub fn has(&self, date: Date) -> bool {
        (self.first_day..=self.last_day).contains(&date)
    }
}

impl Slot {
    /// Says whether the lesson is taught in a week of the cycle.
    pub fn is_in_week(&self, week: u8) -> bool {
        self.weeks.is_empty() || self.weeks.contains(&week)
    }
}

impl Pause {
    /// Says whether a class has no lessons.
    pub fn is_of(&self, class_id: &str) -> bool {
        self.class_ids.is_empty() || self.class_ids.iter().any(|id| id == class_id)
    }
}

impl Exception {
    /// Gives the last day to which it applies.
    pub fn last_date(&self) -> Date {
        match &self.change {
            Change::Holiday(pause) | Change::Exam(pause) => pause.until.unwrap_or(self.date),
            _ => self.date,
        }
    }

    /// Gives what is taught instead, or in addition.
    pub fn lesson(&self) -> Option<&SlotLesson> {
        match &self.change {
            Change::Replace { slot, .. } | Change::Add { slot } => Some(slot),
            _ => None,
        }
    }

    /// Says whether it applies to a day.
    pub fn is_on(&self, date: Date) -> bool {
        (self.date..=self.last_date()).contains(&date) || self.other_date() == Some(date)
    }

    /// Gives the second day of lessons that change places over two.
    pub fn other_date(&self) -> Option<Date> {
        match self.change {
            Change::Swap { with_date, .. } => with_date,
            _ => None,
        }
    }

    /// Gives its first day, and the second one if lessons change places over two.
    pub fn dates(&self) -> Vec<Date> {
        [Some(self.date), self.other_date()].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them_and_nothing_else_is() {
        let minutes = |text: &str| text.parse::<ClockTime>().map(ClockTime::minutes);
        for (text, expected) in
            [("8:30", 510), ("08:30", 510), (" 23：59 ", 1_439), ("00:00:00", 0)]
        {
            assert_eq!(minutes(text), Ok(expected), "{text}");
        }
        for text in ["", "8", "24:00", "8:60", "8:30:", "8:30:0:0", "+8:30", "８:30", "123:00"] {
            assert!(minutes(text).is_err(), "{text}");
        }
        assert_eq!("8:05".parse::<ClockTime>().unwrap().to_string(), "08:05");
    }

    #[test]
    fn an_exception_is_one_flat_object_and_says_no_unknown_field() {
        let json = r#"{"id": "a", "date": "2026-10-10", "kind": "makeup", "weekday": 4}"#;
        let read: Exception = serde_json::from_str(json).unwrap();
        let expected = Change::Makeup { follows_date: None, weekday: Some(4), week: None };
        assert_eq!(read.change, expected);
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Exception>(&written).unwrap(), read);
        let wrong = json.replace("weekday", "week_day");
        let error = serde_json::from_str::<Exception>(&wrong).unwrap_err().to_string();
        assert!(error.contains("week_day"), "{error}");
    }
}
