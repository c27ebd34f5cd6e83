//! Power: starting a hub from its disk, and taking the power away at any place.

use yingxue_sync_core::event::{Command, Input};
use yingxue_sync_core::{Node, NodeConfig};

use super::hub::{Mind, address_of};
use super::{Happening, HubIndex, World};
use crate::store::Landed;

impl World {
    /// Starts a hub from what its disk holds; nothing happens if it runs.
    ///
    /// # Panics
    /// If the node does not start: whatever a power cut leaves has to be good.
    pub fn power_on(&mut self, hub: HubIndex) {
        if self.hubs[hub].is_on() {
            return;
        }
        let seed = self.rng.array();
        let it = &mut self.hubs[hub];
        let restored = it.store.durable().restored();
        let node = Node::new(NodeConfig::new(it.secret, seed), restored)
            .unwrap_or_else(|error| panic!("hub {hub} does not start from its disk: {error}"));
        assert_eq!(node.hub_id(), it.id);
        it.mind = Mind::Node(Box::new(node));
        it.boot += 1;
        it.wake_us = None;
        it.wants.clear();
        self.hubs[hub].booted_ms = self.now_ms();
        let boot = self.hubs[hub].boot;
        self.happen(self.now_us, Happening::Clock { hub, boot });
        let addresses = if self.hubs[hub].is_reachable { vec![address_of(hub)] } else { vec![] };
        self.tell_clock(hub);
        self.tell(hub, Input::Command(Command::SetAddresses(addresses)));
        self.refresh_wants(hub);
    }

    /// Takes a hub's power away; of the writes under way, `landed` says what is left.
    pub fn cut_power(&mut self, hub: HubIndex, landed: Landed) {
        if !self.hubs[hub].is_on() {
            return;
        }
        self.trace.line(self.now_us, || format!("hub {hub} loses power, landed: {landed:?}"));
        let it = &mut self.hubs[hub];
        it.mind = Mind::Off;
        it.boot += 1;
        it.admitted.clear();
        it.are_strangers_admitted = false;
        it.store.cut_power(landed, &mut self.rng);
        self.lose_connections(hub);
    }
}
