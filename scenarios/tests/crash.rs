//! A crash between any output and its store reply loses nothing acknowledged.
//!
//! One story is told again and again, and each time the power of one hub goes at another place:
//! before its first output, before its second, …, before each store reply; with the writes under
//! way on the disk, and without them.

use yingxue_scenarios::link::Access;
use yingxue_scenarios::store::Landed;
use yingxue_scenarios::world::hub::CrashPlan;
use yingxue_scenarios::world::ledger::Answer;
use yingxue_scenarios::world::{Action, HubIndex, World};
use yingxue_scenarios::{check, seed};
use yingxue_sync_core::event::{Command, Refusal};

/// From the crash to the same on both hubs, with the power off for some seconds meanwhile.
const SETTLE_MS_MAX: u64 = 600_000;
/// How long a person waits for an answer before trying again.
const PATIENCE_MS: u64 = 60_000;
/// Boundaries swept, every one of them: more than the stories below have.
const BOUNDARIES: u64 = 160;

/// Unpacks a number of the sweep: where, whose power, and what is left of writes under way.
fn crash_of(seed: u64) -> (HubIndex, CrashPlan) {
    let hub = (seed % 2) as HubIndex;
    let landed = if (seed / 2).is_multiple_of(2) { Landed::None } else { Landed::All };
    (hub, CrashPlan { at_boundary: seed / 4 + 1, landed, off_ms: 3_000 })
}

fn arm(world: &mut World, hub: HubIndex, plan: CrashPlan) {
    let at_boundary = world.hubs[hub].boundaries + plan.at_boundary;
    world.hubs[hub].crash_plan = Some(CrashPlan { at_boundary, ..plan });
}

fn settle(world: &mut World) {
    let has_all = |it: &World| {
        it.hubs.iter().all(|hub| hub.is_on())
            && check::converged(it, &[0, 1])
            && check::all_blobs_whole(it, &[0, 1])
    };
    world.must_reach("both hubs have the same", SETTLE_MS_MAX, has_all);
    check::same_where_converged(world, &[0, 1]);
    check::all_acknowledged_everywhere(world, &[0, 1]);
    check::refused_nowhere(world);
    check::pieces_right(world, &[0, 1]);
    check::journals_unforked(world);
    check::no_alarms(world);
}

/// Both write in the same documents, and a blob goes from one to the other.
fn a_morning(world: &mut World) {
    for (in_ms, hub, doc) in [(0, 0, 1), (100, 1, 1), (900, 0, 2), (1_000, 1, 1), (5_000, 1, 2)] {
        world.plan(in_ms, Action::Write { hub, doc });
    }
    world.plan(500, Action::AddBlob { hub: 0, piece_bytes: vec![3_000, 20_000, 1] });
    world.plan(8_000, Action::Write { hub: 0, doc: 1 });
    world.plan(8_000, Action::Write { hub: 1, doc: 1 });
    world.run_for(10_000);
}

fn a_crash_on_a_morning(seed: u64) {
    let mut world = World::new(1);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    let (hub, plan) = crash_of(seed);
    arm(&mut world, hub, plan);
    a_morning(&mut world);
    settle(&mut world);
    world.write(hub, 1); // its journal goes on where it was
    settle(&mut world);
}

#[test]
fn a_crash_at_any_place_of_a_morning_loses_nothing_acknowledged() {
    let mut world = World::new(1);
    world.add_alliance(Access::LAN, &[Access::LAN]);
    let before = [0, 1].map(|hub| world.hubs[hub].boundaries);
    a_morning(&mut world);
    settle(&mut world);
    let swept = [0, 1].map(|hub: usize| world.hubs[hub].boundaries - before[hub]);
    println!("boundaries of the story: {swept:?}");
    let count = swept[0].max(swept[1]).max(BOUNDARIES) * 4;
    seed::for_each("crash::a_crash_at_any_place_of_a_morning", count, a_crash_on_a_morning);
}

/// Asks again until it is carried out, as a person does whose hub restarts.
fn insist(world: &mut World, hub: HubIndex, command: impl Fn(u64) -> Command) -> Answer {
    for _ in 0..5 {
        world.must_reach("power", PATIENCE_MS, |world| world.hubs[hub].is_on());
        let Some(request) = world.command(hub, &command) else {
            continue;
        };
        world.run_until(PATIENCE_MS, |world| world.ledger.answer(request).is_some());
        match world.ledger.answer(request).cloned() {
            None | Some(Answer::Refused(Refusal::Unreachable(_))) => world.run_for(2_000),
            Some(answer) => return answer,
        }
    }
    panic!("hub {hub} answers none of five commands");
}

fn is_in(answer: &Answer) -> bool {
    matches!(answer, Answer::Done | Answer::Refused(Refusal::AlreadyMember))
}

fn a_crash_while_founding_and_joining(seed: u64) {
    let mut world = World::new(2);
    world.add_hub(Access::LAN);
    world.add_hub(Access::LAN);
    let (hub, plan) = crash_of(seed);
    arm(&mut world, hub, plan);
    let root_secret = [7; 32];
    let found = |request| {
        let (name, school) = ("萤雪".to_owned(), "中心校".to_owned());
        Command::Found { request, name, school, root_secret }
    };
    assert!(is_in(&insist(&mut world, 0, found)));
    let expires_wall_ms = world.wall_ms() + 3_600_000;
    let invite = |request| Command::Invite { request, secret: [8; 16], expires_wall_ms };
    let Answer::Invited(invitation) = insist(&mut world, 0, invite) else {
        panic!("no invitation");
    };
    let join = |request| {
        let (invitation, school) = (invitation.clone(), "村小".to_owned());
        Command::Join { request, invitation, school }
    };
    // The same invitation again, if a crash came between: it is the same hub that joins.
    let answer = insist(&mut world, 1, join);
    assert!(is_in(&answer), "{answer:?}");
    world.must_reach("power", PATIENCE_MS, |world| world.hubs.iter().all(|hub| hub.is_on()));
    world.write(0, 1);
    world.write(1, 1);
    settle(&mut world);
    let hubs = world.hubs[0].node().and_then(|node| node.membership()).map(|it| it.hubs.len());
    assert_eq!(hubs, Some(2));
}

#[test]
fn a_crash_at_any_place_of_founding_and_joining_can_be_got_over_by_asking_again() {
    let test = "crash::a_crash_at_any_place_of_founding_and_joining";
    seed::for_each(test, 50 * 4, a_crash_while_founding_and_joining);
}
