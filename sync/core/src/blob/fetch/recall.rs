//! What somebody needs now: while it comes, nothing else is asked for, and what was asked for
//! before is taken back as far as its holders have not begun to send it.

use super::one::{Asked, Fetch};
use super::{Action, Fetches, Source};
use crate::id::{ContactId, Time};
use crate::plan::Urgency;
use crate::wire::Message;

/// What is needed now comes, if something of it came within so long: five round trips of a
/// satellite. If it does not, other things use the line meanwhile.
const MOVING_MS: u64 = 3_000;

impl Fetches {
    /// Says whether something that is needed now was asked for, and comes.
    pub(super) fn is_pressing(&self, now: Time) -> bool {
        let moves = |asked: &Asked| {
            let contact = self.contacts.get(&asked.contact).map_or(Time(0), |it| it.moved_at);
            now.since_ms(asked.moved_at.max(contact)) < MOVING_MS
        };
        let pressing = self.active.values().filter(|fetch| fetch.urgency == Urgency::Now);
        pressing.flat_map(|fetch| fetch.asked.values()).any(moves)
    }

    /// Takes back what presses less than now and of which nothing has come yet.
    pub(super) fn recall(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let others = self.active.iter_mut().filter(|(_, fetch)| fetch.urgency != Urgency::Now);
        for (blob, fetch) in others {
            let waits = |(piece, asked): (&u32, &Asked)| (!asked.has_begun).then_some(*piece);
            let waiting: Vec<u32> = fetch.asked.iter().filter_map(waits).collect();
            for piece in waiting {
                let Some(asked) = fetch.asked.remove(&piece) else { continue };
                if let Some(source) = self.contacts.get_mut(&asked.contact) {
                    source.give_back(&asked);
                }
                fetch.free.insert(piece);
                fetch.recalled.insert(piece, asked.contact);
                let cancel = Message::Cancel { blob: *blob, piece };
                actions.push(Action::Send(asked.contact, cancel));
            }
        }
        actions
    }
}

/// Takes note that a piece comes after all: it was on its way when it was taken back.
pub(super) fn comes_after_all(
    fetch: &mut Fetch,
    source: &mut Source,
    now: Time,
    (contact, piece): (ContactId, u32),
) {
    if fetch.recalled.get(&piece) != Some(&contact) || !fetch.free.contains(&piece) {
        return;
    }
    let Some(info) = fetch.manifest.as_ref().and_then(|m| m.pieces.get(piece as usize)) else {
        return;
    };
    let here = fetch.partial.get(&piece).map_or(0, Vec::len) as u64;
    let bytes = u64::from(info.bytes).saturating_sub(here);
    fetch.recalled.remove(&piece);
    fetch.free.remove(&piece);
    let asked = Asked { contact, moved_at: now, bytes, urgency: fetch.urgency, has_begun: true };
    source.take(&asked);
    fetch.asked.insert(piece, asked);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::fetch::tests::{A, B, NOW, content, fetching, other, requests};
    use crate::event::{StoredBlob, Want};
    use crate::id::BlobId;

    fn cancels(actions: &[Action]) -> Vec<(ContactId, BlobId, u32)> {
        let cancel = |action: &Action| match action {
            Action::Send(contact, Message::Cancel { blob, piece }) => {
                Some((*contact, *blob, *piece))
            }
            _ => None,
        };
        actions.iter().filter_map(cancel).collect()
    }

    /// Two pieces were asked of two neighbours; then a second blob is needed now.
    fn pressed() -> (Fetches, [BlobId; 2], Vec<Action>) {
        let (mut fetches, blob) = fetching(&[A, B]);
        let mut rest = fetches.wants[0].clone();
        rest.priority = Urgency::Rest.priority(0);
        fetches.set_wants(vec![rest.clone()]);
        assert_eq!(requests(&fetches.ask(NOW, u64::MAX, |_| 500)).len(), 2);
        fetches.piece_data(NOW, B, blob, (1, 0), &content()[1_000..1_500]);
        let (manifest, other) = other();
        let urgent = Want { blob: other, priority: Urgency::Now.priority(0), ..rest.clone() };
        fetches.set_wants(vec![rest, urgent]);
        fetches.loaded(NOW, other, &StoredBlob::default());
        fetches.holding(A, other, Some(&manifest.encode()), &[0b1]);
        fetches.reserved(NOW, other, Ok(()), &[]);
        let actions = fetches.ask(NOW, u64::MAX, |_| 5_000);
        (fetches, [blob, other], actions)
    }

    #[test]
    fn what_waits_at_neighbours_is_taken_back_when_something_is_needed_now() {
        let (mut fetches, [blob, other], actions) = pressed();
        assert_eq!(requests(&actions), [(A, 0, 0, false)], "what is needed now is asked for");
        assert_eq!(cancels(&actions), [(A, blob, 0)], "and of the others what has not begun");
        assert_eq!(fetches.asked_of(B), 2_000, "what has begun goes on");
        fetches.is_changed = true;
        assert_eq!(fetches.ask(NOW, u64::MAX, |_| 5_000), [], "nothing else is asked for");
        fetches.is_changed = true;
        let later = NOW.after_ms(MOVING_MS);
        let asked = fetches.ask(later, u64::MAX, |_| 5_000);
        assert_eq!(requests(&asked).len(), 1, "unless it does not come: {asked:?}");
        assert_eq!(cancels(&asked), []);
        assert!(fetches.active.contains_key(&other));
    }

    #[test]
    fn a_piece_that_was_on_its_way_when_it_was_taken_back_is_kept() {
        let (mut fetches, [blob, _], _) = pressed();
        let actions = fetches.piece_data(NOW, A, blob, (0, 0), &content()[..1_000]);
        assert_eq!(actions, [Action::Write(blob, 0, content()[..1_000].to_vec())]);
        assert_eq!(fetches.piece_data(NOW, B, blob, (0, 0), &content()[..1_000]), []);
    }
}
