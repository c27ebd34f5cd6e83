use super::*;
use crate::courier::{Answer, SignedAnswer};
use crate::event::Refusal;
use crate::membership::invitation::Invitation;

const EXPIRES: u64 = 5_000_000;

impl Hub {
    fn told_time(mut self, wall_ms: u64) -> Self {
        self.input(Input::Clock { wall_ms });
        self
    }

    fn invite(&mut self, n: u8) -> String {
        let (secret, expires_wall_ms) = ([n; 16], EXPIRES);
        let command = Command::Invite { request: 2, secret, expires_wall_ms };
        let made = self.input(Input::Command(command)).into_iter().find_map(|event| match event {
            Event::Invited { text, .. } => Some(text),
            _ => None,
        });
        made.expect("the registrar invites")
    }

    fn answer(&self, text: &str) -> SignedAnswer {
        self.node.answer_invitation(NOW, text, "山顶小学").unwrap()
    }

    fn join_by(&mut self, text: &str, epochs: &[Vec<u8>]) -> Event {
        let (invitation, epochs) = (text.to_owned(), epochs.to_vec());
        let command = Command::JoinCarried { request: 3, invitation, epochs };
        let mut events = self.input(Input::Command(command)).into_iter();
        let is_answer = |event: &Event| {
            matches!(event, Event::Done { request: 3 } | Event::Refused { request: 3, .. })
        };
        events.find(is_answer).expect("a join is answered")
    }

    fn members(&self) -> usize {
        self.node.membership().map_or(0, |membership| membership.hubs.len())
    }

    fn epochs(&self) -> Vec<Vec<u8>> {
        self.node.courier_view().unwrap().epochs
    }
}

fn lead() -> Hub {
    Hub::new(1, &epochs()[..1]).told_time(1_000)
}

fn stranger(n: u8) -> Hub {
    Hub::new(n, &[]).told_time(1_000)
}

fn not_admitted(lead: &mut Hub, answer: &SignedAnswer) -> Refusal {
    let before = lead.epochs();
    let outcome = lead.carry(Carried::Answer(answer.bytes.clone()));
    assert_eq!(lead.epochs(), before, "nothing changes by it");
    match outcome.refused {
        Some(CarryError::NotAdmitted(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_school_that_no_wire_reaches_answers_and_is_a_member_when_the_epochs_come_back() {
    let (mut lead, mut village) = (lead(), stranger(5));
    let text = lead.invite(1);
    let answer = village.answer(&text);
    assert_eq!(village.members(), 0, "an answer changes nothing here");
    assert_eq!(lead.carry(Carried::Answer(answer.bytes.clone())), accepted(1));
    assert_eq!(lead.members(), 3);
    assert_eq!(lead.carry(Carried::Answer(answer.bytes)), accepted(0), "read twice");
    assert_eq!(village.join_by(&text, &lead.epochs()), Event::Done { request: 3 });
    assert_eq!((village.members(), lead.members()), (3, 3));
    let membership = village.node.membership().unwrap();
    let own = membership.hubs.iter().find(|member| member.hub == village.node.hub_id()).unwrap();
    assert_eq!(own.school, "山顶小学");
    let again = village.join_by(&text, &lead.epochs());
    assert!(matches!(again, Event::Refused { reason: Refusal::AlreadyMember, .. }), "{again:?}");
}

#[test]
fn an_invitation_lets_one_hub_in_once_and_in_time() {
    let mut lead = lead();
    let text = lead.invite(1);
    let (first, second) = (stranger(5).answer(&text), stranger(6).answer(&text));
    assert_eq!(lead.carry(Carried::Answer(first.bytes.clone())), accepted(1));
    assert_eq!(not_admitted(&mut lead, &second), Refusal::InvitationUsed);
    let hub = first.answer.hub;
    lead.input(Input::Command(Command::Revoke { request: 4, hub }));
    assert_eq!(lead.members(), 2);
    assert_eq!(not_admitted(&mut lead, &first), Refusal::InvitationUsed, "replayed");

    let late = lead.invite(2);
    let answer = stranger(7).answer(&late);
    let mut lead = lead.told_time(EXPIRES);
    assert_eq!(not_admitted(&mut lead, &answer), Refusal::InvitationExpired);
    let refused = stranger(8).told_time(EXPIRES).node.answer_invitation(NOW, &late, "学校");
    assert_eq!(refused, Err(Refusal::InvitationExpired));
}

#[test]
fn an_answer_that_was_changed_forged_or_meant_for_others_admits_nobody() {
    let mut lead = lead();
    let text = lead.invite(1);
    let before = lead.epochs();
    let honest = stranger(5).answer(&text);
    for at in 0..honest.bytes.len() {
        let mut bytes = honest.bytes.clone();
        bytes[at] ^= 1;
        let outcome = lead.carry(Carried::Answer(bytes));
        assert!(matches!(outcome.refused, Some(CarryError::Wrong(_))), "byte {at}: {outcome:?}");
    }
    // Whoever has read an answer cannot put another hub's key into it, or its own name on it.
    let thief = Keys::of(&secret(6));
    let stolen = Answer { x25519: thief.x25519_public(), ..honest.answer.clone() }.sign(&thief);
    assert!(lead.carry(Carried::Answer(stolen.bytes)).refused.is_some());
    let invitation = Invitation::from_text(&text).unwrap();
    let keys = Keys::of(&secret(5));
    let answer = |invitation: &Invitation| {
        Answer::to(invitation, &keys, "学校".into(), vec![], 0).sign(&keys)
    };
    let guessed = answer(&Invitation { secret: [9; 16], ..invitation.clone() });
    assert_eq!(not_admitted(&mut lead, &guessed), Refusal::InvitationUnknown);
    let alliance = crate::id::AllianceId([8; 32]);
    let other = answer(&Invitation { alliance, ..invitation.clone() });
    assert_eq!(not_admitted(&mut lead, &other), Refusal::InvitationUnknown);
    let registrar = Keys::of(&secret(2)).hub();
    let elsewhere = answer(&Invitation { registrar, ..invitation });
    let outcome = lead.carry(Carried::Answer(elsewhere.bytes));
    assert!(matches!(outcome.refused, Some(CarryError::Wrong(_))), "{outcome:?}");
    assert_eq!(lead.epochs(), before);
    assert_eq!(lead.carry(Carried::Answer(honest.bytes)), accepted(1), "the honest one still");
}

#[test]
fn a_member_that_is_not_the_registrar_admits_nobody() {
    let mut lead = lead();
    let text = lead.invite(1);
    let invitation = Invitation::from_text(&text).unwrap();
    let mut member = Hub::new(2, &epochs()[..1]).told_time(1_000);
    let keys = Keys::of(&secret(5));
    let meant_for_it = Invitation { registrar: member.node.hub_id(), ..invitation };
    let answer = Answer::to(&meant_for_it, &keys, "学校".into(), vec![], 0).sign(&keys);
    assert_eq!(not_admitted(&mut member, &answer), Refusal::NotRegistrar);
}

#[test]
fn epochs_that_do_not_fit_the_invitation_make_nobody_a_member() {
    let (mut lead, mut village) = (lead(), stranger(5));
    let text = lead.invite(1);
    let refused = |event: Event| matches!(event, Event::Refused { .. });
    assert!(refused(village.join_by(&text, &[])), "none");
    assert!(refused(village.join_by(&text, &lead.epochs())), "without us");
    lead.carry(Carried::Answer(village.answer(&text).bytes));
    let right = lead.epochs();
    assert!(refused(village.join_by(&text, &right[1..])), "the first is missing");
    let mut edited = right.clone();
    edited[1][20] ^= 1;
    assert!(refused(village.join_by(&text, &edited)), "edited");
    let mut invitation = Invitation::from_text(&text).unwrap();
    invitation.alliance = crate::id::AllianceId([8; 32]);
    assert!(refused(village.join_by(&invitation.to_text(), &right)), "another alliance");
    invitation = Invitation::from_text(&text).unwrap();
    invitation.registrar = Keys::of(&secret(2)).hub();
    assert!(refused(village.join_by(&invitation.to_text(), &right)), "another registrar");
    assert_eq!(village.members(), 0);
    assert_eq!(village.join_by(&text, &right), Event::Done { request: 3 });
}
