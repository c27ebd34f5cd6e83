//! What somebody needs now: while it comes, nothing else is asked for, and what was asked for
//! before is taken back.

use super::one::Asked;
use super::{Action, Fetches};
use crate::id::Time;
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

    /// Takes back what presses less than now. What came of it is kept, and what is on its way.
    pub(super) fn recall(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let others = self.active.iter_mut().filter(|(_, fetch)| fetch.urgency != Urgency::Now);
        for (blob, fetch) in others {
            for (piece, asked) in std::mem::take(&mut fetch.asked) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::fetch::tests::{A, B, NOW, content, fetching, other, requests};
    use crate::event::{StoredBlob, Want};
    use crate::id::{BlobId, ContactId};

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
    fn what_was_asked_of_neighbours_is_taken_back_when_something_is_needed_now() {
        let (mut fetches, [blob, other], actions) = pressed();
        assert_eq!(requests(&actions), [(A, 0, 0, false)], "what is needed now is asked for");
        assert_eq!(cancels(&actions), [(A, blob, 0), (B, blob, 1)]);
        assert_eq!(fetches.asked_of(B), 0);
        fetches.is_changed = true;
        assert_eq!(fetches.ask(NOW, u64::MAX, |_| 5_000), [], "nothing else is asked for");
        fetches.is_changed = true;
        let later = NOW.after_ms(MOVING_MS);
        let asked = requests(&fetches.ask(later, u64::MAX, |_| 5_000));
        assert_eq!(asked.len(), 2, "unless it does not come: {asked:?}");
        assert!(asked.iter().any(|(_, piece, offset, _)| (*piece, *offset) == (1, 500)));
        assert!(fetches.active.contains_key(&other));
    }

    #[test]
    fn parts_that_were_on_their_way_when_a_piece_was_taken_back_are_kept() {
        let (mut fetches, [blob, _], _) = pressed();
        let actions = fetches.piece_data(NOW, A, blob, (0, 0), &content()[..1_000]);
        assert_eq!(actions, [Action::Write(blob, 0, content()[..1_000].to_vec())]);
        assert_eq!(fetches.piece_data(NOW, A, blob, (1, 500), &content()[1_500..2_000]), []);
        fetches.piece_data(NOW, B, blob, (1, 500), &content()[1_500..2_000]);
        fetches.is_changed = true;
        let later = NOW.after_ms(MOVING_MS);
        let asked = requests(&fetches.ask(later, u64::MAX, |_| 5_000));
        assert!(asked.iter().any(|(_, piece, offset, _)| (*piece, *offset) == (1, 1_000)));
    }
}
