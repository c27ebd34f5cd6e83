//! Dialling: whom, and when again.

use std::collections::BTreeSet;

use super::Node;
use super::contact::{DIAL_MS_MAX, DIAL_PAUSE_MS_MAX, DIAL_PAUSE_MS_MIN, Dial};
use crate::event::Output;
use crate::id::{HubId, Time};

impl Dial {
    /// Says when it is this hub's turn: after a pause, or when a dial was not answered for long.
    fn at(&self) -> Time {
        self.since.map_or(self.next_at, |since| since.after_ms(DIAL_MS_MAX))
    }

    /// Lists where the hub may be reached, each once, what was seen last first.
    fn addresses(&self, of_member: &[String]) -> Vec<String> {
        let all = self.discovered.iter().chain(&self.claimed).chain(of_member);
        let mut seen = BTreeSet::new();
        all.filter(|address| seen.insert(*address)).cloned().collect()
    }
}

impl Node {
    /// Forgets pauses and dials whoever is not in contact.
    pub(super) fn reconnect(&mut self, now: Time) {
        self.next_dial_known.set(None);
        for dial in self.dials.values_mut() {
            (dial.pause_ms, dial.next_at, dial.since) = (0, now, None);
        }
        self.dial_members(now);
    }

    /// Plans the next dial after a contact: at once if it was of use, else after longer and
    /// longer pauses (it does not know us yet; or two hubs have one key and part us again).
    pub(super) fn dial_after(&mut self, now: Time, hub: HubId, was_useful: bool) {
        let pause_ms = self.dials.get(&hub).map_or(0, |dial| dial.pause_ms);
        let longer_ms = (pause_ms * 2).clamp(DIAL_PAUSE_MS_MIN, DIAL_PAUSE_MS_MAX);
        self.dial_later(now, hub, if was_useful { 0 } else { longer_ms });
    }

    pub(super) fn dial_later(&mut self, now: Time, hub: HubId, pause_ms: u64) {
        if !self.is_member(&hub) {
            return;
        }
        // A third of chance keeps 36 hubs from knocking at the same moment after a cut.
        let jitter_ms = self.rng.below(pause_ms / 3 + 1);
        let dial = self.dials.entry(hub).or_default();
        dial.since = None;
        dial.pause_ms = pause_ms;
        dial.next_at = now.after_ms(pause_ms + jitter_ms);
        // If it comes out too early, it is found out then.
        let earlier = |next: Option<Time>| next.map_or(dial.next_at, |at| at.min(dial.next_at));
        self.next_dial_known.set(self.next_dial_known.get().map(|next| Some(earlier(next))));
    }

    /// Dials members that are not in contact and whose turn it is.
    pub(super) fn dial_members(&mut self, now: Time) {
        let Some(membership) = &self.membership else { return };
        let newest = membership.newest();
        if self.dials_of.replace(newest.hash) != Some(newest.hash) {
            for member in &newest.epoch.hubs {
                self.dials.entry(member.hub).or_default();
            }
        }
        let mut met = self.met().into_iter().peekable();
        let (mut due, mut next) = (Vec::new(), None);
        // A hub whose neighbours are off at night comes here a million times: both lists are in
        // order, and members are looked up for what is due only.
        for (hub, dial) in &mut self.dials {
            while met.next_if(|it| it < hub).is_some() {}
            if met.peek() == Some(hub) || *hub == self.hub {
                continue;
            }
            if dial.at() <= now {
                let Some(member) = newest.epoch.member(hub) else { continue };
                let addresses = dial.addresses(&member.addresses);
                if addresses.is_empty() {
                    continue;
                }
                dial.since = Some(now);
                due.push(Output::Dial { hub: *hub, addresses });
            }
            next = Some(next.map_or(dial.at(), |next: Time| next.min(dial.at())));
        }
        self.outputs.extend(due);
        self.next_dial_known.set(Some(next));
    }

    /// Lists in order the hubs that there is a contact with.
    fn met(&self) -> Vec<HubId> {
        let mut met: Vec<HubId> = self.contacts.values().map(|contact| contact.hub).collect();
        met.sort_unstable();
        met
    }

    /// Says when the next member is to be dialled; asked after each input, so it is kept.
    pub(super) fn next_dial(&self) -> Option<Time> {
        if let Some(known) = self.next_dial_known.get() {
            return known;
        }
        let next = self.find_next_dial();
        self.next_dial_known.set(Some(next));
        next
    }

    fn find_next_dial(&self) -> Option<Time> {
        let met = self.met();
        let epoch = &self.membership.as_ref()?.newest().epoch;
        let due =
            epoch.hubs.iter().filter(|m| m.hub != self.hub && met.binary_search(&m.hub).is_err());
        let next = due.filter_map(|member| {
            let Some(dial) = self.dials.get(&member.hub) else {
                return (!member.addresses.is_empty()).then_some(Time(0));
            };
            let has_address =
                [&dial.discovered, &dial.claimed, &member.addresses].iter().any(|a| !a.is_empty());
            has_address.then_some(dial.at())
        });
        next.min()
    }
}
