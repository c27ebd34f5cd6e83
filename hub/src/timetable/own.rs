//! What teachers change of a timetable without being administrators: of the lessons that name
//! them as lead or tutor how and with what they are taught, and what is otherwise on one day.
//!
//! A lesson names people by their names, so a name that two accounts of the school share is
//! nobody's: the administrator has to tell them apart first.

use jiff::civil::Date;
use rusqlite::Connection;
use serde::Serialize;

use super::term::{Change, Exception, Slot, SlotLesson, Term};
use crate::accounts::{Role, User};
use crate::app::App;
use crate::problem::ApiError;

/// What follows a name where people are addressed.
const TITLE: &str = "老师";

/// Whose lessons somebody may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Everybody's.
    All,
    /// Those of one teacher, by a name that is nobody else's.
    Teacher {
        /// As lessons have it, but for the title.
        name: String,
        /// As entries of the document have it.
        pseudonym: String,
    },
    /// Nobody's: a pupil, or a name that two accounts share.
    Nothing {
        /// True if it is for the name.
        is_name_shared: bool,
    },
}

/// What of a term the one who asks may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MayChange {
    /// True if everything.
    pub all: bool,
    /// Else these lessons: how they are taught, with what, and single days.
    pub slot_ids: Vec<String>,
    /// And these exceptions, which the same person has written.
    pub exception_ids: Vec<String>,
    /// True if it is nothing because another account has the same name.
    pub is_name_shared: bool,
}

impl Rights {
    /// Finds out what a user may change.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of(app: &App, user: &User) -> Result<Self, ApiError> {
        match user.role {
            Role::Admin => return Ok(Self::All),
            Role::Pupil => return Ok(Self::Nothing { is_name_shared: false }),
            Role::Teacher => {}
        }
        let names = app.db.read(staff).await?;
        let name = plain(&user.name);
        let is_name_shared = names.iter().filter(|other| plain(other) == name).count() > 1;
        if is_name_shared || name.is_empty() {
            return Ok(Self::Nothing { is_name_shared });
        }
        Ok(Self::Teacher { name, pseudonym: user.pseudonym.clone() })
    }

    /// Says whether a lesson is the user's.
    pub fn has(&self, lesson: &SlotLesson) -> bool {
        match self {
            Self::All => true,
            Self::Teacher { name, .. } => {
                [&lesson.lead, &lesson.tutor].into_iter().any(|person| plain(person) == *name)
            }
            Self::Nothing { .. } => false,
        }
    }

    /// Lists what of a term may be changed.
    pub fn in_term(&self, term: &Term) -> MayChange {
        let Self::Teacher { pseudonym, .. } = self else {
            let is_name_shared = matches!(self, Self::Nothing { is_name_shared: true });
            return MayChange { all: *self == Self::All, is_name_shared, ..MayChange::default() };
        };
        let slots = term.slots.iter().filter(|slot| self.has(&slot.lesson));
        let written = term.exceptions.iter().filter(|one| one.written_by == *pseudonym);
        MayChange {
            slot_ids: slots.map(|slot| slot.id.clone()).collect(),
            exception_ids: written.map(|one| one.id.clone()).collect(),
            ..MayChange::default()
        }
    }

    /// Checks that a lesson of the cycle may be written: a teacher's own, as it was but for how and
    /// with what it is taught.
    ///
    /// # Errors
    /// If it may not.
    pub fn slot(&self, term: &Term, slot: &Slot) -> Result<(), ApiError> {
        if *self == Self::All {
            return Ok(());
        }
        let known = term.slot(&slot.id).filter(|known| self.has(&known.lesson));
        let known = known.ok_or_else(ApiError::not_allowed)?;
        let mut as_it_was = slot.clone();
        as_it_was.lesson.mode = known.lesson.mode;
        as_it_was.lesson.source = known.lesson.source.clone();
        if as_it_was == *known {
            return Ok(());
        }
        let allowed = "what it was but for mode and source; ask the academic office for the rest";
        Err(ApiError::invalid_input("slot", allowed))
    }

    /// Checks that an exception may be written: a teacher's, from today on, about a lesson of
    /// their own; with others of the same class it may change places.
    ///
    /// # Errors
    /// If it may not.
    pub fn exception(&self, term: &Term, one: &Exception, today: Date) -> Result<(), ApiError> {
        if *self == Self::All {
            return Ok(());
        }
        if let Some(known) = term.exceptions.iter().find(|known| known.id == one.id) {
            self.removal(known, today)?;
        }
        let lesson = |id: &String| term.slot(id).map(|slot| &slot.lesson);
        let class = |id: &String| lesson(id).map(|lesson| lesson.class_id.as_str());
        let is_own = |id: &String| lesson(id).is_some_and(|lesson| self.has(lesson));
        let is_allowed = match &one.change {
            Change::Cancel { slot_id } => is_own(slot_id),
            Change::Replace { slot_id, slot } => {
                let stays = lesson(slot_id).is_some_and(|was| {
                    (was.period, &was.class_id) == (slot.period, &slot.class_id)
                });
                is_own(slot_id) && stays
            }
            Change::Swap { slot_id, with_slot_id: Some(other), .. } => {
                (is_own(slot_id) || is_own(other)) && class(slot_id) == class(other)
            }
            Change::Swap { slot_id, .. } => is_own(slot_id),
            _ => false,
        };
        if !is_allowed {
            return Err(ApiError::not_allowed());
        }
        from_today(one, today)
    }

    /// Checks that an exception may be taken back: a teacher's own, from today on.
    ///
    /// # Errors
    /// If it may not.
    pub fn removal(&self, one: &Exception, today: Date) -> Result<(), ApiError> {
        match self {
            Self::All => Ok(()),
            Self::Teacher { pseudonym, .. } if one.written_by == *pseudonym => {
                from_today(one, today)
            }
            _ => Err(ApiError::not_allowed()),
        }
    }
}

fn from_today(one: &Exception, today: Date) -> Result<(), ApiError> {
    let dates = one.dates();
    let is_to_come = dates.iter().all(|date| *date >= today);
    let allowed = format!("{today} or a later day; what was taught stays");
    if is_to_come { Ok(()) } else { Err(ApiError::invalid_input("date", allowed)) }
}

/// Lists the names of those who may teach at this school.
fn staff(db: &Connection) -> rusqlite::Result<Vec<String>> {
    const STAFF: &str = "select name from users where role in ('admin', 'teacher')";
    db.prepare_cached(STAFF)?.query_map([], |row| row.get(0))?.collect()
}

/// Gives a name without spaces and without a title; 张老师 alone is a name.
fn plain(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_whitespace()).collect();
    match name.strip_suffix(TITLE) {
        Some(short) if short.chars().count() >= 2 => short.to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests;
