//! What it is worth to carry a lesson: how soon it is needed, and how many lessons become teachable
//! by a byte of it. One order for what an export writes and for what a screen proposes.

use std::cmp::{Ordering, Reverse};

use jiff::civil::Date;

/// Places of a receipt that count as equally soon: about a day's lessons, of four tracks each.
const SOON_PLACES: usize = 32;

/// How soon a lesson is needed, the soonest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// On this day for the first time.
    Day(Date),
    /// Nobody here knows the day; a school asks for it in this part of its receipt.
    Asked(usize),
    /// Nobody knows.
    Unknown,
}

impl When {
    /// Gives what a place in a receipt says.
    pub(crate) const fn of_place(place: usize) -> Self {
        Self::Asked(place / SOON_PLACES)
    }
}

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worth {
    /// The soonest of all schools that it is carried to.
    pub when: When,
    /// Lessons that become teachable in them, added up.
    pub lessons: u32,
    /// What it takes.
    pub bytes: u64,
}

impl Worth {
    /// Of nothing.
    pub(crate) const NONE: Self = Self { when: When::Unknown, lessons: 0, bytes: 0 };

    /// Adds what it is worth for one more school: the bytes are carried once.
    pub(crate) fn add(&mut self, when: When, lessons: u32) {
        self.when = self.when.min(when);
        self.lessons = self.lessons.saturating_add(lessons);
    }

    /// Compares: what is to be carried first is less.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        // Lessons a byte, without a division.
        let more = |a: &Self, b: &Self| u128::from(a.lessons) * u128::from(b.bytes.max(1));
        let by_byte = Reverse(more(self, other)).cmp(&Reverse(more(other, self)));
        self.when.cmp(&other.when).then(by_byte)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const MONDAY: Date = date(2026, 9, 7);

    fn worth(when: When, lessons: u32, bytes: u64) -> Worth {
        Worth { when, lessons, bytes }
    }

    #[test]
    fn nearer_days_come_first_and_in_a_day_what_makes_more_lessons_teachable_a_byte() {
        let tuesday = When::Day(MONDAY.tomorrow().unwrap());
        let in_order = [
            worth(When::Day(MONDAY), 2, 100),
            worth(When::Day(MONDAY), 3, 200),
            worth(When::Day(MONDAY), 0, 1),
            worth(tuesday, 9, 1),
            worth(When::of_place(SOON_PLACES - 1), 1, 10),
            worth(When::of_place(0), 1, 11),
            worth(When::of_place(SOON_PLACES), 9, 1),
            worth(When::Unknown, u32::MAX, 1),
            worth(When::Unknown, 1, u64::MAX),
        ];
        for (place, better) in in_order.iter().enumerate() {
            for worse in &in_order[place + 1..] {
                assert_eq!(better.order(worse), Ordering::Less, "{better:?} {worse:?}");
                assert_eq!(worse.order(better), Ordering::Greater, "{worse:?} {better:?}");
            }
        }
    }

    #[test]
    fn what_two_schools_need_counts_twice_and_is_carried_once() {
        let mut both = Worth { bytes: 100, ..Worth::NONE };
        both.add(When::Unknown, 1);
        both.add(When::Day(MONDAY), 1);
        assert_eq!(both, worth(When::Day(MONDAY), 2, 100));
        assert_eq!(both.order(&worth(When::Day(MONDAY), 1, 60)), Ordering::Less);
    }
}
