//! Dialling: whom, and when again.

use super::Node;
use super::contact::{DIAL_MS_MAX, DIAL_PAUSE_MS_MAX, DIAL_PAUSE_MS_MIN};
use crate::event::Output;
use crate::id::{HubId, Time};

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
        let met = self.met();
        let (mut due, mut next) = (Vec::new(), None);
        for member in &membership.newest().epoch.hubs {
            if member.hub == self.hub || met.binary_search(&member.hub).is_ok() {
                continue;
            }
            let dial = self.dials.entry(member.hub).or_default();
            let answered_by = dial.since.map(|since| since.after_ms(DIAL_MS_MAX));
            let at = answered_by.unwrap_or(Time(0)).max(dial.next_at);
            if at > now {
                let has_address = [&dial.discovered, &dial.claimed, &member.addresses]
                    .iter()
                    .any(|a| !a.is_empty());
                next = next.into_iter().chain(has_address.then_some(at)).min();
                continue;
            }
            let mut addresses = dial.discovered.clone();
            addresses.extend(dial.claimed.iter().chain(&member.addresses).cloned());
            let mut seen = std::collections::BTreeSet::new();
            addresses.retain(|address| seen.insert(address.clone()));
            if !addresses.is_empty() {
                dial.since = Some(now);
                let answered_by = now.after_ms(DIAL_MS_MAX);
                next = Some(next.map_or(answered_by, |at: Time| at.min(answered_by)));
                due.push(Output::Dial { hub: member.hub, addresses });
            }
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
            let at = dial.since.map_or(dial.next_at, |since| since.after_ms(DIAL_MS_MAX));
            has_address.then_some(at)
        });
        next.min()
    }
}
