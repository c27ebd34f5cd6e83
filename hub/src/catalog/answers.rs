//! Answers about lessons that are ready to be sent again, until anything has changed.
//!
//! Whatever changes an answer is followed by an event, so an answer is kept until the next one.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::events::{EventBus, HubEvent};

/// Answers that are kept: the first pages that a school's classes look at, 25 lessons in 15 KiB.
const ANSWERS_KEPT: usize = 128;

/// Says between which two events something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

/// The answers, by the question.
pub struct Answers<Q> {
    inner: Mutex<Inner<Q>>,
}

struct Inner<Q> {
    events: broadcast::Receiver<HubEvent>,
    moment: u64,
    answers: HashMap<Q, Bytes>,
}

impl<Q: std::hash::Hash + Eq> Answers<Q> {
    /// Makes an empty store of answers that listens to what changes.
    pub fn new(events: &EventBus) -> Self {
        let events = events.subscribe();
        Self { inner: Mutex::new(Inner { events, moment: 0, answers: HashMap::new() }) }
    }

    /// Finds an answer that is still right; else says which moment to name when there is one.
    pub fn get(&self, question: &Q) -> Result<Bytes, Moment> {
        let mut inner = self.inner.lock().expect("never held over a panic");
        inner.listen();
        inner.answers.get(question).cloned().ok_or(Moment(inner.moment))
    }

    /// Keeps an answer, unless something has changed since its question was asked.
    pub fn put(&self, question: Q, answer: Bytes, asked: Moment) {
        let mut inner = self.inner.lock().expect("never held over a panic");
        inner.listen();
        if inner.moment == asked.0 {
            if inner.answers.len() >= ANSWERS_KEPT {
                inner.answers.clear();
            }
            inner.answers.insert(question, answer);
        }
    }
}

impl<Q> Inner<Q> {
    fn listen(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(
                    HubEvent::Contact {}
                    | HubEvent::Link { .. }
                    | HubEvent::Timetable {}
                    | HubEvent::Night {},
                ) => {}
                Ok(_) | Err(TryRecvError::Lagged(_)) => {
                    self.moment += 1;
                    self.answers.clear();
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_right_until_the_next_event_even_if_it_was_being_made_then() {
        let events = EventBus::default();
        let answers = Answers::new(&events);
        let asked = answers.get(&1).unwrap_err();
        answers.put(1, Bytes::from_static(b"a"), asked);
        assert_eq!(answers.get(&1).unwrap(), "a");

        let asked = answers.get(&2).unwrap_err();
        events.publish(HubEvent::Alliance {});
        answers.put(2, Bytes::from_static(b"old"), asked);
        assert!(answers.get(&1).is_err());
        assert!(answers.get(&2).is_err());
    }
}
