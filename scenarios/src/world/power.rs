//! Power: starting a hub from its disk, and taking the power away at any place.

use std::collections::{BTreeMap, BTreeSet};

use yingxue_sync_core::event::{Command, DocValue, Input};
use yingxue_sync_core::id::Hash;
use yingxue_sync_core::{Node, NodeConfig};

use super::alliance::keys_of;
use super::hub::{Mind, address_of};
use super::ledger::Written;
use super::{Happening, HubIndex, World};
use crate::disk::Disk;
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
        let config = NodeConfig { blob_scale: self.blob_scale, ..NodeConfig::new(it.secret, seed) };
        let node = Node::new(config, restored)
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

    /// Keeps a copy of a hub's disk as a power cut now would leave it.
    pub fn back_up(&mut self, hub: HubIndex) {
        self.hubs[hub].backup = Some(self.hubs[hub].store.durable().clone());
    }

    /// Puts the copy of a hub's disk in the place of the disk, and starts the hub. Blobs stay: a
    /// backup is of the database, and what only one disk has ever held cannot come back.
    pub fn restore_backup(&mut self, hub: HubIndex, is_noticed: bool) {
        let Some(mut backup) = self.hubs[hub].backup.clone() else { return };
        self.cut_power(hub, Landed::Some);
        self.note_loss(hub, &backup);
        backup.blobs.clone_from(&self.hubs[hub].store.durable().blobs);
        if is_noticed {
            (backup.is_in_doubt, backup.store_id) = (true, self.rng.array());
        }
        self.hubs[hub].store.replace(backup);
        self.power_on(hub);
    }

    /// Takes note of what only the disk had that is replaced: it is lost for good.
    fn note_loss(&mut self, hub: HubIndex, backup: &Disk) {
        let id = self.hubs[hub].id;
        let held = |disk: &Disk| -> BTreeSet<Hash> {
            let own = disk.journals.iter().filter(|((_, author), _)| *author == id);
            own.flat_map(|(_, journal)| journal.values()).map(|it| it.hash).collect()
        };
        let before = held(self.hubs[hub].store.durable());
        let kept = held(backup);
        self.hubs[hub].lost.extend(before.difference(&kept));
        let is_elsewhere = |written: &Written| {
            let has = |document: BTreeMap<String, DocValue>| {
                written.keys.iter().all(|key| document.contains_key(key))
            };
            (0..self.hubs.len()).any(|other| match other == hub {
                true => has(keys_of(backup, written.doc)),
                false => has(self.document(other, written.doc)),
            })
        };
        let mine = self.ledger.written.iter().filter(|written| written.hub == hub);
        let gone = mine.filter(|written| !is_elsewhere(written)).map(|it| it.request).collect();
        self.ledger.lose(gone);
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
