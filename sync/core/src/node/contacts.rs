//! The live connections, and which of them are to be looked at: those that something was changed
//! at since, and those whose time has come. A hub of a large alliance has sixty contacts, and
//! nearly everything that happens concerns one.

use std::collections::{BTreeMap, BTreeSet};

use super::contact::Contact;
use crate::id::{ContactId, Time};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Contacts {
    by_id: BTreeMap<ContactId, Contact>,
    /// What was changed, or could have been; some more than once.
    stirred: Vec<ContactId>,
    /// Deadlines, right for all but those in `stirred`.
    deadlines: BTreeSet<(Time, ContactId)>,
    deadline_of: BTreeMap<ContactId, Time>,
}

impl Contacts {
    /// Gives a contact to be read.
    pub fn get(&self, id: &ContactId) -> Option<&Contact> {
        self.by_id.get(id)
    }

    /// Gives a contact to be changed.
    pub fn get_mut(&mut self, id: &ContactId) -> Option<&mut Contact> {
        let contact = self.by_id.get_mut(id)?;
        if self.stirred.last() != Some(id) {
            self.stirred.push(*id);
        }
        Some(contact)
    }

    /// Goes through all of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ContactId, &Contact)> {
        self.by_id.iter()
    }

    /// Goes through all of them, in order.
    pub fn values(&self) -> impl Iterator<Item = &Contact> {
        self.by_id.values()
    }

    /// Goes through all of them, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Contact> {
        self.stir_all();
        self.by_id.values_mut()
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Adds a contact.
    pub fn insert(&mut self, id: ContactId, contact: Contact) {
        self.by_id.insert(id, contact);
        self.stirred.push(id);
    }

    /// Forgets a contact.
    pub fn remove(&mut self, id: &ContactId) {
        self.by_id.remove(id);
        self.stirred.push(*id);
    }

    /// Has a contact looked at, though nothing of its own changed.
    pub fn stir(&mut self, id: ContactId) {
        self.stirred.push(id);
    }

    /// Has all of them looked at.
    pub fn stir_all(&mut self) {
        self.stirred.extend(self.by_id.keys());
    }

    /// Gives the contacts that are to be looked at, each once, in order.
    pub fn take_stirred(&mut self) -> Vec<ContactId> {
        let mut stirred = std::mem::take(&mut self.stirred);
        stirred.sort_unstable();
        stirred.dedup();
        stirred.iter().for_each(|id| self.settle(*id));
        stirred
    }

    /// Files a contact's deadline.
    fn settle(&mut self, id: ContactId) {
        let deadline = self.by_id.get(&id).map(Contact::deadline);
        let filed = match deadline {
            Some(at) => self.deadline_of.insert(id, at),
            None => self.deadline_of.remove(&id),
        };
        if filed == deadline {
            return;
        }
        if let Some(at) = filed {
            self.deadlines.remove(&(at, id));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
    }

    /// Says when the first of them is to be looked at.
    pub fn deadline(&self) -> Option<Time> {
        let stirred = self.stirred.iter().filter_map(|id| self.by_id.get(id));
        let settled = self.deadlines.iter().find(|(_, id)| !self.stirred.contains(id));
        stirred.map(Contact::deadline).chain(settled.map(|(at, _)| *at)).min()
    }

    /// Lists those whose time has come.
    pub fn due(&self, now: Time) -> Vec<ContactId> {
        let is_due = |id: &ContactId| self.by_id.get(id).is_some_and(|it| it.deadline() <= now);
        let settled = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id);
        let due: BTreeSet<ContactId> =
            settled.chain(self.stirred.iter().copied()).filter(is_due).collect();
        due.into_iter().collect()
    }
}
