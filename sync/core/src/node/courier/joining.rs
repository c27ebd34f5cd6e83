//! Joining by courier: an answer to an invitation is judged as a request on the wire is, and
//! what comes back with the next parcel as what the wire would have brought.

use super::super::epochs::{EPOCH_CHANGES_MAX, EpochChange};
use super::Node;
use crate::courier::{Answer, CarryError, Keys, Outcome, SignedAnswer};
use crate::event::{Refusal, RequestId};
use crate::id::{ContactId, Time};
use crate::membership::invitation::Invitation;
use crate::membership::is_name;
use crate::wire::{JoinRefusal, JoinRequest, PROTOCOL_VERSION};

impl Node {
    /// Answers an invitation for a courier to take to the registrar; nothing changes here.
    ///
    /// # Errors
    /// If this hub is a member already, or the text is no invitation.
    pub fn answer_invitation(
        &self,
        now: Time,
        text: &str,
        school: &str,
    ) -> Result<SignedAnswer, Refusal> {
        if self.membership.is_some() || self.joining.is_some() {
            return Err(Refusal::AlreadyMember);
        }
        if !is_name(school) {
            return Err(super::super::admission::name_out_of_bounds());
        }
        let invitation = Invitation::from_text(text).ok_or(Refusal::InvitationMalformed)?;
        let written_at = self.wall_ms(now);
        if invitation.expires_wall_ms <= written_at {
            return Err(Refusal::InvitationExpired);
        }
        let keys = Keys::of(self.key.as_bytes());
        let (school, addresses) = (school.to_owned(), self.addresses.clone());
        Ok(Answer::to(&invitation, &keys, school, addresses, written_at).sign(&keys))
    }

    /// Judges an answer to an invitation; whoever sent it is a member when that is durable.
    pub(super) fn carry_answer(&mut self, now: Time, request: RequestId, bytes: &[u8]) {
        let signed = match SignedAnswer::decode(bytes) {
            Ok(signed) => signed,
            Err(error) => return self.carry_refused(request, CarryError::Wrong(error.to_string())),
        };
        let answer = signed.answer;
        if answer.registrar != self.hub {
            let words = "it answers an invitation of another school".to_owned();
            return self.carry_refused(request, CarryError::Wrong(words));
        }
        let (hub, version) = (answer.hub, PROTOCOL_VERSION);
        let Answer { alliance, secret, school, x25519, addresses, .. } = answer;
        let join = JoinRequest { version, alliance, secret, school, x25519, addresses };
        match self.judge_join(now, hub, &join) {
            Ok(Some(EpochChange::Add { member, invitation, .. }))
                if self.epoch_changes.len() < EPOCH_CHANGES_MAX =>
            {
                let contact = self.next_courier();
                self.couriers.answers.insert(contact, request);
                self.epoch_changes.push_back(EpochChange::Add { contact, member, invitation });
            }
            Ok(Some(_)) => self.carry_refused(request, CarryError::Busy),
            // It was admitted before: the stick was read twice.
            Ok(None) => self.carried(request, Outcome::default()),
            Err(refusal) => self.answer_refused(request, refusal),
        }
    }

    fn answer_refused(&mut self, request: RequestId, refusal: JoinRefusal) {
        let error = match refusal {
            JoinRefusal::Busy => CarryError::Busy,
            refusal => CarryError::NotAdmitted(refusal.into()),
        };
        self.carry_refused(request, error);
    }

    /// Takes note that whoever answered by courier may not join; says whether somebody did.
    pub(in crate::node) fn courier_not_admitted(
        &mut self,
        contact: ContactId,
        refusal: JoinRefusal,
    ) -> bool {
        let request = self.couriers.answers.remove(&contact);
        request.map(|request| self.answer_refused(request, refusal)).is_some()
    }

    /// Takes note that whoever answered by courier is a member now, durably; says whether
    /// somebody did.
    pub(in crate::node) fn courier_admitted(&mut self, contact: ContactId) -> bool {
        let Some(request) = self.couriers.answers.remove(&contact) else { return false };
        self.carried(request, Outcome { accepted: 1, ..Outcome::default() });
        true
    }
}
