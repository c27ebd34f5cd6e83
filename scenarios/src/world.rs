//! The world: hubs, what lies between them, one heap of happenings, virtual time.
//!
//! It decides nothing that a node decides. The same seed gives the same run, byte for byte:
//! happenings are ordered by time and then by number, and all randomness is [`Rng`].

use std::collections::BTreeMap;

use yingxue_sync_core::Time;
use yingxue_sync_core::event::{Command, Input, RequestId, StoreId};
use yingxue_sync_core::id::HubId;

use crate::check;
use crate::link::{Access, AccessLanes, Path};
use crate::logged;
use crate::rng::Rng;
use crate::store::PiecePool;
use crate::trace::Trace;
use crate::world::contact::Connection;
use crate::world::hub::{Mind, SimHub};
use crate::world::ledger::Ledger;

pub mod alliance;
pub mod contact;
pub mod hub;
pub mod ledger;
pub mod output;
pub mod power;
pub mod stick;

/// Number of a hub in its world, in order of [`World::add_hub`].
pub type HubIndex = usize;

/// Wall clock when a world starts: 2026-11-22 00:00 UTC in milliseconds since 1970.
const WALL_MS_AT_START: u64 = 1_795_305_600_000;
/// How often a hub is told the wall clock, as its driver does.
const CLOCK_PERIOD_MS: u64 = 60_000;
/// Most happenings without a millisecond passing; beyond it, hubs chase one another for ever.
const HAPPENINGS_PER_MS_MAX: u64 = 200_000;
/// How often a condition is looked at; small beside any limit that is asserted.
const LOOK_EVERY_MS: u64 = 50;
/// How often queues and journals are looked at: they change slowly beside it.
const SURVEY_PERIOD_MS: u64 = 5_000;
/// Rate and one-way delay of a path that nobody has described.
const PATH_DEFAULT: (u64, u64) = (12_500_000, 5);

/// What happens at a moment.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A hub's timer, if it still wants it.
    Wake(HubIndex),
    /// A hub is told the wall clock.
    Clock { hub: HubIndex, boot: u32 },
    /// A store's answer is due.
    Stored { hub: HubIndex, boot: u32, id: StoreId },
    /// A dial reaches the other side.
    Knock { from: HubIndex, boot: u32, to: HubIndex },
    /// A dial has come to nothing.
    DialFailed { from: HubIndex, boot: u32, to: HubId, reason: &'static str },
    /// One side of a connection is open.
    Opened { connection: usize, side: usize },
    /// A frame has come to the receiver's downlink.
    AtDownlink { connection: usize, side: usize, frame: Vec<u8> },
    /// A frame has come.
    Frame { connection: usize, side: usize, frame: Vec<u8> },
    /// The other side's close has come to the receiver's downlink, behind all it sent.
    FinAtDownlink { connection: usize, side: usize },
    /// One side notices that a connection is gone.
    Closed { connection: usize, side: usize, reason: &'static str },
    /// What must hold at every moment, and is too much to look at so often, is looked at.
    Survey,
    /// Something that a scenario has planned.
    Planned(Action),
}

/// What a scenario does to its world, now or at a moment.
#[derive(Debug, Clone)]
pub enum Action {
    /// Lets a path go up or down.
    SetPath { a: HubIndex, b: HubIndex, is_up: bool },
    /// Cuts the power of a hub, for a while.
    CutPower { hub: HubIndex, for_ms: u64 },
    /// Gives the power back.
    GivePower { hub: HubIndex },
    /// Sets a hub's wall clock wrong by so much.
    SkewClock { hub: HubIndex, skew_ms: i64 },
    /// Leaves so many bytes on a hub's disk, or enough for ever.
    SetFreeBytes { hub: HubIndex, free_bytes: Option<u64> },
    /// Keeps a copy of a hub's disk.
    BackUp { hub: HubIndex },
    /// Cuts the power and puts the copy back, if there is one; the driver notices it, or not.
    Restore { hub: HubIndex, is_noticed: bool },
    /// Lets a registrar take a hub out.
    Revoke { by: HubIndex, hub: HubIndex },
    /// Lets a hub's people write something in one of the world's documents.
    Write { hub: HubIndex, doc: u8 },
    /// Adds a blob made by a hub, and names it in a document.
    AddBlob { hub: HubIndex, piece_bytes: Vec<u32> },
    /// Lets a hub's line to everybody go up or down.
    SetLine { hub: HubIndex, is_up: bool },
    /// Flips one bit of one piece on a hub's disk, if it holds any.
    RotSomething { hub: HubIndex },
}

/// How closely a world looks at what must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// At every event and every few seconds.
    EachEvent,
    /// Only where its scenario looks: a province has a hundred million events.
    OnDemand,
}

/// See the [module](self).
pub struct World {
    /// Gives all randomness.
    pub rng: Rng,
    /// The hubs.
    pub hubs: Vec<SimHub>,
    /// What was asked of hubs and what they answered.
    pub ledger: Ledger,
    /// Whether a hub may write two entries at one place, because its disk goes back in time.
    pub may_fork: bool,
    /// What happened, for people.
    pub trace: Trace,
    /// One byte of a blob stands for so many, on lines as well; all others are as many as they are.
    pub blob_scale: u64,
    now_us: u64,
    heap: BTreeMap<(u64, u64), Happening>,
    happenings: u64,
    happenings_in_ms: u64,
    paths: BTreeMap<(HubIndex, HubIndex), Path>,
    path_default: (u64, u64),
    connections: Vec<Connection>,
    pool: PiecePool,
    scrutiny: Scrutiny,
}

impl World {
    /// Makes an empty world.
    pub fn new(seed: u64) -> Self {
        Self::with_scrutiny(seed, Scrutiny::EachEvent)
    }

    /// Makes an empty world that is looked at as closely as asked.
    pub fn with_scrutiny(seed: u64, scrutiny: Scrutiny) -> Self {
        logged::listen();
        let mut world = Self {
            rng: Rng::new(seed),
            hubs: Vec::new(),
            ledger: Ledger::default(),
            may_fork: false,
            trace: Trace::from_environment(),
            blob_scale: 1,
            now_us: 0,
            heap: BTreeMap::new(),
            happenings: 0,
            happenings_in_ms: 0,
            paths: BTreeMap::new(),
            path_default: PATH_DEFAULT,
            connections: Vec::new(),
            pool: PiecePool::new(),
            scrutiny,
        };
        if scrutiny == Scrutiny::EachEvent {
            world.survey();
        }
        world
    }

    /// Gives the virtual time in milliseconds since the world started.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// Gives the true wall clock, which a hub sees with its own skew.
    pub fn wall_ms(&self) -> u64 {
        WALL_MS_AT_START + self.now_ms()
    }

    /// Adds a hub with an empty disk and starts it.
    pub fn add_hub(&mut self, access: Access) -> HubIndex {
        let hub = self.hubs.len();
        let secret = self.rng.array();
        self.hubs.push(SimHub::new(hub, secret, AccessLanes::from(access)));
        self.power_on(hub);
        hub
    }

    /// Adds a stranger: a key and a network, but no node; a scenario moves its hands.
    pub fn add_puppet(&mut self) -> HubIndex {
        let hub = self.hubs.len();
        let secret = self.rng.array();
        let mut puppet = SimHub::new(hub, secret, AccessLanes::from(Access::LAN));
        puppet.mind = Mind::Puppet(Vec::new());
        puppet.are_strangers_admitted = true;
        self.hubs.push(puppet);
        hub
    }

    /// Describes the paths that nothing else describes, before hubs are added.
    pub fn set_path_default(&mut self, bytes_per_s: u64, delay_ms: u64) {
        self.path_default = (bytes_per_s, delay_ms);
    }

    /// Does something now.
    pub fn act(&mut self, action: Action) {
        self.trace.line(self.now_us, || format!("{action:?}"));
        match action {
            Action::SetPath { a, b, is_up } => self.set_path(a, b, is_up),
            Action::CutPower { hub, for_ms } => {
                self.cut_power(hub, crate::store::Landed::Some);
                self.plan(for_ms, Action::GivePower { hub });
            }
            Action::GivePower { hub } => self.power_on(hub),
            Action::SkewClock { hub, skew_ms } => {
                self.hubs[hub].skew_ms = skew_ms;
                self.tell_clock(hub);
            }
            Action::Revoke { by, hub } => {
                let id = self.hubs[hub].id;
                self.command(by, |request| Command::Revoke { request, hub: id });
            }
            Action::BackUp { hub } => self.back_up(hub),
            Action::Restore { hub, is_noticed } => self.restore_backup(hub, is_noticed),
            Action::SetFreeBytes { hub, free_bytes } => {
                self.hubs[hub].store.set_free_bytes(free_bytes);
            }
            Action::Write { hub, doc } => drop(self.write(hub, doc)),
            Action::AddBlob { hub, piece_bytes } => drop(self.add_blob(hub, &piece_bytes, 0)),
            Action::SetLine { hub, is_up } => self.set_line(hub, is_up),
            Action::RotSomething { hub } => self.rot_something(hub),
        }
    }

    /// Does something in `in_ms` milliseconds.
    pub fn plan(&mut self, in_ms: u64, action: Action) {
        self.happen(self.now_us + in_ms * 1000, Happening::Planned(action));
    }

    /// Gives a hub a command that carries a request number; none if its power is off.
    pub fn command(
        &mut self,
        hub: HubIndex,
        command: impl FnOnce(RequestId) -> Command,
    ) -> Option<RequestId> {
        let request = self.ledger.next_request();
        let command = command(request);
        self.tell(hub, Input::Command(command)).then_some(request)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, ms: u64) {
        let until_us = self.now_us + ms * 1000;
        while self.step(until_us) {}
        self.now_us = until_us;
    }

    /// Lets time pass until a condition holds; says whether it does within `limit_ms`.
    pub fn run_until(&mut self, limit_ms: u64, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let until_us = self.now_us + limit_ms * 1000;
        loop {
            if holds(self) {
                return true;
            }
            let look_us = (self.now_us + LOOK_EVERY_MS * 1000).min(until_us);
            while self.step(look_us) {}
            self.now_us = look_us;
            if look_us == until_us {
                return holds(self);
            }
        }
    }

    /// Lets time pass until a condition holds; fails if it does not within `limit_ms`.
    ///
    /// # Panics
    /// If the condition does not hold in time.
    pub fn must_reach(&mut self, what: &str, limit_ms: u64, holds: impl FnMut(&Self) -> bool) {
        let from_ms = self.now_ms();
        if !self.run_until(limit_ms, holds) {
            let summary = check::summary(self);
            panic!("after {limit_ms} ms from {from_ms} ms, still not: {what}\n{summary}");
        }
    }

    /// Puts a happening on the heap.
    fn happen(&mut self, at_us: u64, happening: Happening) {
        self.happenings += 1;
        self.heap.insert((at_us.max(self.now_us), self.happenings), happening);
    }

    /// Carries out the next happening, if it is not later than `until_us`.
    fn step(&mut self, until_us: u64) -> bool {
        let Some(entry) = self.heap.first_entry() else {
            return false;
        };
        let at_us = entry.key().0;
        if at_us > until_us {
            return false;
        }
        let happening = entry.remove();
        if at_us / 1000 == self.now_us / 1000 {
            self.happenings_in_ms += 1;
            assert!(self.happenings_in_ms < HAPPENINGS_PER_MS_MAX, "time stands still");
        } else {
            self.happenings_in_ms = 0;
        }
        self.now_us = at_us;
        self.carry_out(happening);
        logged::fail_on_error();
        true
    }

    fn carry_out(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(hub) => self.wake(hub),
            Happening::Clock { hub, boot } => self.tick_clock(hub, boot),
            Happening::Stored { hub, boot, id } => self.stored(hub, boot, id),
            Happening::Knock { from, boot, to } => self.knock(from, boot, to),
            Happening::DialFailed { from, boot, to, reason } => {
                self.dial_failed(from, boot, to, reason);
            }
            Happening::Opened { connection, side } => self.opened(connection, side),
            Happening::AtDownlink { connection, side, frame } => {
                self.at_downlink(connection, side, frame);
            }
            Happening::Frame { connection, side, frame } => {
                self.frame_arrived(connection, side, frame);
            }
            Happening::FinAtDownlink { connection, side } => {
                self.fin_at_downlink(connection, side);
            }
            Happening::Closed { connection, side, reason } => {
                self.closed(connection, side, reason);
            }
            Happening::Survey => self.survey(),
            Happening::Planned(action) => self.act(action),
        }
    }

    fn survey(&mut self) {
        check::queues_bounded(self);
        if !self.may_fork {
            check::journals_unforked(self);
        }
        self.happen(self.now_us + SURVEY_PERIOD_MS * 1000, Happening::Survey);
    }

    /// Tells a hub something and carries out what it answers; false if its power is off.
    fn tell(&mut self, hub: HubIndex, input: Input) -> bool {
        let now = self.hub_time(hub);
        match &mut self.hubs[hub].mind {
            Mind::Off => return false,
            Mind::Puppet(heard) => heard.push(input),
            Mind::Node(node) => {
                node.handle_input(now, input);
                self.drain(hub);
            }
        }
        true
    }

    /// Gives the time as this hub's driver counts it: since its start.
    pub fn hub_time(&self, hub: HubIndex) -> Time {
        Time(self.now_ms() - self.hubs[hub].booted_ms)
    }

    fn wake(&mut self, hub: HubIndex) {
        if self.hubs[hub].wake_us != Some(self.now_us) {
            return;
        }
        self.hubs[hub].wake_us = None;
        let is_due = self.wanted_wake_us(hub).is_some_and(|at_us| at_us <= self.now_us);
        let now = self.hub_time(hub);
        match &mut self.hubs[hub].mind {
            Mind::Node(node) if is_due => {
                node.handle_timeout(now);
                self.drain(hub);
            }
            _ => self.schedule_wake(hub),
        }
    }

    fn tick_clock(&mut self, hub: HubIndex, boot: u32) {
        if self.hubs[hub].boot == boot && self.tell_clock(hub) {
            let at_us = self.now_us + CLOCK_PERIOD_MS * 1000;
            self.happen(at_us, Happening::Clock { hub, boot });
        }
    }

    fn tell_clock(&mut self, hub: HubIndex) -> bool {
        let wall_ms = self.wall_ms().saturating_add_signed(self.hubs[hub].skew_ms);
        self.tell(hub, Input::Clock { wall_ms })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.trace.print();
        }
    }
}
