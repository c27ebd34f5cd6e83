//! What it costs two hubs to find out what has changed since they parted (DESIGN §6): the real
//! nodes, a link whose delay is far longer than anything else, bytes of frames both ways.

use yingxue_sync_core::event::{Command, DocEdit, DocValue};
use yingxue_sync_core::id::DocId;

use crate::check;
use crate::link::Access;
use crate::world::alliance::lessons;
use crate::world::{Scrutiny, World};

/// One way, so that stores and timers do not show in round trips.
const DELAY_MS: u64 = 5_000;
/// Fast enough that bytes do not show in round trips.
const BYTES_PER_S: u64 = 125_000_000;
/// Edits given to a hub at once; fewer than it queues.
const EDITS_AT_ONCE: u64 = 500;
/// How long a step may take in the world's time.
const STEP_MS_MAX: u64 = 100_000_000;
/// Until both have noticed that the path is cut.
const NOTICE_MS: u64 = 120_000;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Bytes of frames, both ways, from the first of the contact on.
    pub bytes: u64,
    /// From when the contact is open at both ends until both have everything, durably and in
    /// their documents; a half is one way.
    pub round_trips: f64,
}

/// Two hubs of an alliance that hold the same.
pub struct Apart {
    world: World,
    documents: u64,
    writes: u64,
}

impl Apart {
    /// Makes an alliance of `hubs` hubs in which the first two hold `documents` documents, and
    /// something of each of the others.
    pub fn new(hubs: usize, documents: u64) -> Self {
        // What must hold at each event is looked at in other scenarios; it takes as long as
        // everything else here.
        let mut world = World::with_scrutiny(1, Scrutiny::OnDemand);
        let all = world.add_alliance(Access::LAN, &vec![Access::LAN; hubs - 1]);
        let mut apart = Self { world, documents, writes: 0 };
        for hub in &all {
            apart.edit(*hub, 0, 1);
        }
        let (all, world) = (&all, &mut apart.world);
        world.must_reach("all know all", STEP_MS_MAX, |it| check::converged(it, all));
        for hub in all.iter().skip(2) {
            world.cut_power(*hub, crate::store::Landed::All);
        }
        // As behind a router: else both dial at once, and what one contact has said is said again
        // on the other.
        world.hubs[1].is_reachable = false;
        apart.part();
        for first in (0..documents).step_by(EDITS_AT_ONCE as usize) {
            apart.edit(0, first, EDITS_AT_ONCE.min(documents - first));
        }
        apart.meet(10_000);
        apart.part();
        apart
    }

    /// Changes `changed` documents, half at each hub, and lets the hubs meet.
    pub fn reconnect(&mut self, changed: u64) -> Cost {
        let step = (self.documents / changed.max(1)).max(1);
        for i in 0..changed {
            self.edit((i % 2) as usize, i * step % self.documents, 1);
        }
        let cost = self.meet(5);
        self.part();
        cost
    }

    /// Lets a hub change documents, and waits until they are durable.
    fn edit(&mut self, hub: usize, first: u64, count: u64) {
        let mut requests = Vec::new();
        for n in first..first + count {
            self.writes += 1;
            let value = DocValue::Str(format!("第{n}课，第{}次改动", self.writes));
            let edits = vec![DocEdit::Put { path: vec!["title".to_owned()], value }];
            let (collection, author) = (lessons(), "teacher 1".to_owned());
            let doc = DocId((u128::from(n) + 1).to_be_bytes());
            let command = |request| Command::EditDoc { request, collection, doc, author, edits };
            requests.extend(self.world.command(hub, command));
        }
        let are_done = |world: &World| requests.iter().all(|it| world.ledger.is_done(*it));
        while !are_done(&self.world) {
            self.world.run_for(1_000);
        }
        // The document follows its envelope.
        self.world.run_for(1_000);
    }

    fn part(&mut self) {
        self.world.set_path(0, 1, false);
        self.world.run_for(NOTICE_MS);
    }

    /// Lets the two meet; looks every so often whether they have the same.
    fn meet(&mut self, look_every_ms: u64) -> Cost {
        let before = self.sent_bytes();
        self.world.describe_path(0, 1, BYTES_PER_S, DELAY_MS);
        // The side that was called has greeted one way earlier.
        let is_open = |it: &World| (0..2).all(|hub| !it.hubs[hub].open_contacts().is_empty());
        self.world.must_reach("a contact", STEP_MS_MAX, is_open);
        let from_ms = self.world.now_ms();
        let are_greeted = |it: &World| (0..2).all(|hub| is_ready(it, hub));
        self.world.must_reach("greetings", STEP_MS_MAX, are_greeted);
        while !check::converged(&self.world, &[0, 1]) {
            self.world.run_for(look_every_ms);
        }
        let took_ms = self.world.now_ms() - from_ms;
        // Acknowledgements, and whatever else is said because of it.
        self.world.run_for(4 * DELAY_MS);
        let bytes = self.sent_bytes() - before;
        Cost { bytes, round_trips: took_ms as f64 / (2 * DELAY_MS) as f64 }
    }

    fn sent_bytes(&self) -> u64 {
        let sent =
            |hub: usize, to: usize| self.world.hubs[hub].sent_bytes.get(&to).copied().unwrap_or(0);
        sent(0, 1) + sent(1, 0)
    }
}

fn is_ready(world: &World, hub: usize) -> bool {
    let now = world.hub_time(hub);
    world.hubs[hub].node().is_some_and(|node| !node.contacts(now).is_empty())
}
