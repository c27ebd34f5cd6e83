//! What was asked of the hubs, and what they have answered: the reference for every check.

use std::collections::{BTreeMap, BTreeSet};

use yingxue_sync_core::courier::Outcome;
use yingxue_sync_core::event::{Event, Refusal, RequestId};
use yingxue_sync_core::id::{BlobId, DocId};

use super::HubIndex;

/// A hub's answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Carried out, and durable.
    Done,
    /// Not carried out, and nothing has changed.
    Refused(Refusal),
    /// The text of an invitation.
    Invited(String),
}

/// Something that a hub's people wrote: under keys that nobody else writes.
#[derive(Debug, Clone)]
pub struct Written {
    /// By which hub.
    pub hub: HubIndex,
    /// With which command.
    pub request: RequestId,
    /// In which document.
    pub doc: DocId,
    /// Under which root keys.
    pub keys: Vec<String>,
    /// The same value under each.
    pub value: String,
    /// Newest `seq` of the hub's own journal when it was asked.
    pub seq_before: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Ledger {
    requests: RequestId,
    answers: BTreeMap<RequestId, Answer>,
    lost: BTreeSet<RequestId>,
    carried: BTreeMap<RequestId, Outcome>,
    /// Everything written, in order.
    pub written: Vec<Written>,
    /// Blobs made, by whom.
    pub blobs: Vec<(HubIndex, BlobId)>,
}

impl Ledger {
    /// Gives a fresh request number.
    pub fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        self.requests
    }

    /// Gives the answer to a command, if there is one.
    pub fn answer(&self, request: RequestId) -> Option<&Answer> {
        self.answers.get(&request)
    }

    /// Gives what became of something that a stick brought, if it was judged.
    pub fn carried(&self, request: RequestId) -> Option<&Outcome> {
        self.carried.get(&request)
    }

    /// Says whether a command was carried out.
    pub fn is_done(&self, request: RequestId) -> bool {
        self.answer(request) == Some(&Answer::Done)
    }

    /// Gives what was written with a command.
    pub fn written_by(&self, request: RequestId) -> Option<&Written> {
        self.written.iter().find(|written| written.request == request)
    }

    /// Takes note of what was on no other disk than one that is gone.
    pub fn lose(&mut self, requests: BTreeSet<RequestId>) {
        self.lost.extend(requests);
    }

    /// Gives what was written and acknowledged, but for what went with the only disk it was on.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Written> {
        let is_kept = |w: &&Written| self.is_done(w.request) && !self.lost.contains(&w.request);
        self.written.iter().filter(is_kept)
    }

    /// Gives what was written and refused.
    pub fn refused(&self) -> impl Iterator<Item = &Written> {
        let is_refused = |w: &&Written| matches!(self.answer(w.request), Some(Answer::Refused(_)));
        self.written.iter().filter(is_refused)
    }

    /// Takes note of an answer.
    ///
    /// # Panics
    /// If a command is answered twice.
    pub(super) fn note(&mut self, event: &Event) {
        let (request, answer) = match event {
            Event::Done { request } => (*request, Answer::Done),
            Event::Refused { request, reason } => (*request, Answer::Refused(reason.clone())),
            Event::Invited { request, text } => (*request, Answer::Invited(text.clone())),
            Event::Carried { request, outcome } => {
                self.carried.insert(*request, outcome.clone());
                return;
            }
            _ => return,
        };
        let before = self.answers.insert(request, answer);
        assert!(before.is_none(), "command {request} was answered twice: {before:?}, {event:?}");
    }
}
