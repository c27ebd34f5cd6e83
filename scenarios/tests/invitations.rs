//! Join codes that are used twice, expired, of nobody, malformed: a clear refusal, nothing changed.

use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::World;
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::{check, world::HubIndex};
use yingxue_sync_core::event::{Command, Refusal};
use yingxue_sync_core::membership::invitation::Invitation;

const DAY_MS: u64 = 86_400_000;

/// A lead with an alliance, and two hubs that belong to none yet.
fn lead_and_two() -> World {
    let mut world = World::new(1);
    let lead = world.add_hub(Access::LAN);
    world.found(lead, "萤雪");
    world.add_hub(Access::LAN);
    world.add_hub(Access::LAN);
    world
}

fn assert_refused(world: &mut World, hub: HubIndex, invitation: &str, reason: &Refusal) {
    let epochs = |world: &World, hub: HubIndex| world.hubs[hub].store.given().epochs.clone();
    let before = [0, hub].map(|hub| epochs(world, hub));
    assert_eq!(world.try_join(hub, invitation), Answer::Refused(reason.clone()));
    world.run_for(5_000);
    assert_eq!([0, hub].map(|hub| epochs(world, hub)), before, "the disks are as they were");
}

fn member_count(world: &World, hub: HubIndex) -> usize {
    world.hubs[hub].node().and_then(|node| node.membership()).map_or(0, |it| it.hubs.len())
}

#[test]
fn an_invitation_lets_one_hub_in_and_no_second() {
    let mut world = lead_and_two();
    let invitation = world.invite(0, DAY_MS);
    assert_eq!(world.try_join(1, &invitation), Answer::Done);
    assert_refused(&mut world, 2, &invitation, &Refusal::InvitationUsed);
    assert_eq!((member_count(&world, 0), member_count(&world, 2)), (2, 0));
}

#[test]
fn of_two_hubs_that_show_one_invitation_at_once_one_gets_in() {
    let mut world = lead_and_two();
    let text = world.invite(0, DAY_MS);
    let requests = [1, 2].map(|hub| {
        let (invitation, school) = (text.clone(), format!("school {hub}"));
        world.command(hub, |request| Command::Join { request, invitation, school }).unwrap()
    });
    let both = |world: &World| requests.iter().all(|r| world.ledger.answer(*r).is_some());
    world.must_reach("both are answered", 120_000, both);
    let mut answers = requests.map(|request| world.ledger.answer(request).cloned().unwrap());
    answers.sort_by_key(|answer| *answer != Answer::Done);
    assert_eq!(answers, [Answer::Done, Answer::Refused(Refusal::InvitationUsed)]);
    assert_eq!(member_count(&world, 0), 2);
}

#[test]
fn an_invitation_ends_when_it_says() {
    let mut world = lead_and_two();
    let invitation = world.invite(0, 3_600_000);
    world.run_for(3_700_000);
    assert_refused(&mut world, 1, &invitation, &Refusal::InvitationExpired);
}

#[test]
fn an_invitation_that_was_never_made_lets_nobody_in() {
    let mut world = lead_and_two();
    let real = Invitation::from_text(&world.invite(0, DAY_MS)).unwrap();
    let forged = Invitation { secret: [9; 16], ..real }.to_text();
    assert_refused(&mut world, 1, &forged, &Refusal::InvitationUnknown);
}

#[test]
fn an_invitation_of_another_alliance_is_unknown_here() {
    let mut world = lead_and_two();
    world.found(2, "另一个联盟");
    let theirs = Invitation::from_text(&world.invite(2, DAY_MS)).unwrap();
    let ours = Invitation::from_text(&world.invite(0, DAY_MS)).unwrap();
    let mixed =
        Invitation { registrar: ours.registrar, addresses: ours.addresses, ..theirs }.to_text();
    assert_refused(&mut world, 1, &mixed, &Refusal::InvitationUnknown);
}

#[test]
fn a_text_that_is_no_invitation_is_refused_at_once() {
    let mut world = lead_and_two();
    let good = world.invite(0, DAY_MS);
    let mut misread = good.clone().into_bytes();
    misread[20] = if misread[20] == b'A' { b'B' } else { b'A' };
    let misread = String::from_utf8(misread).unwrap();
    let texts = [
        "",
        "YX1-",
        "https://example.org/",
        "邀请码",
        &good[..good.len() / 2],
        &good[4..],
        &misread,
        &"A".repeat(1 << 20),
    ];
    for text in texts {
        assert_refused(&mut world, 1, text, &Refusal::InvitationMalformed);
    }
    assert_eq!(world.try_join(1, &good), Answer::Done, "the good one still works");
}

#[test]
fn a_lead_that_is_away_is_unreachable_and_the_invitation_works_later() {
    let mut world = lead_and_two();
    let invitation = world.invite(0, DAY_MS);
    world.cut_power(0, Landed::All);
    let answer = world.try_join(1, &invitation);
    assert!(matches!(answer, Answer::Refused(Refusal::Unreachable(_))), "{answer:?}");
    world.power_on(0);
    world.run_for(1_000);
    assert_eq!(world.try_join(1, &invitation), Answer::Done);
}

#[test]
fn a_member_stays_in_its_alliance_and_invites_nobody() {
    let mut world = lead_and_two();
    world.join(0, 1);
    let invitation = world.invite(0, DAY_MS);
    assert_refused(&mut world, 1, &invitation, &Refusal::AlreadyMember);
    let invite = |request| Command::Invite { request, secret: [1; 16], expires_wall_ms: u64::MAX };
    assert_eq!(world.ask(1, invite), Answer::Refused(Refusal::NotRegistrar));
    assert_eq!(world.ask(2, invite), Answer::Refused(Refusal::NoAlliance));
    assert_eq!(world.try_join(2, &invitation), Answer::Done, "refusals used nothing up");
    let all = |world: &World| check::converged(world, &[0, 1, 2]);
    world.must_reach("all know all", 120_000, all);
}

#[test]
fn a_member_that_moves_all_the_time_does_not_fill_the_membership() {
    let mut world = World::new(3);
    let hubs = world.add_alliance(Access::LAN, &[Access::LAN]);
    world.run_for(10_000);
    let epoch =
        |world: &World| world.hubs[hubs[0]].node().and_then(|it| it.membership()).unwrap().epoch;
    let before = epoch(&world);
    for port in 0..40 {
        let address = format!("/ip4/192.0.2.1/tcp/{port}");
        world.command(hubs[1], |_| Command::SetAddresses(vec![address]));
        world.set_path(hubs[0], hubs[1], false);
        world.run_for(1_000);
        world.set_path(hubs[0], hubs[1], true);
        world.run_for(60_000);
    }
    assert!(epoch(&world) > before, "a new address is written down");
    assert!(epoch(&world) <= before + 2, "{} epochs more", epoch(&world) - before);
}
