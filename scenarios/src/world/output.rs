//! Carries out what a node wants, and checks on the way what must hold at every moment.

use yingxue_sync_core::Node;
use yingxue_sync_core::event::{Command, Event, Input, Output, StoreOp, StoreRequest, Want};
use yingxue_sync_core::id::BlobId;
use yingxue_sync_core::membership::LESSONS;
use yingxue_sync_core::wire::FRAME_BYTES_MAX;

use super::hub::Mind;
use super::{Action, Happening, HubIndex, Scrutiny, World};
use crate::check;

impl World {
    /// Carries out all that a hub's node wants now.
    pub(super) fn drain(&mut self, hub: HubIndex) {
        loop {
            let Mind::Node(node) = &mut self.hubs[hub].mind else {
                return;
            };
            let Some(output) = node.poll_output() else {
                break;
            };
            if self.crosses_crash(hub) {
                return;
            }
            self.trace.line(self.now_us, || format!("hub {hub} {}", brief(&output)));
            self.carry_out_output(hub, output);
        }
        self.schedule_wake(hub);
    }

    /// Sees to it that a hub wakes when its node wants to, or earlier and then looks again.
    pub(super) fn schedule_wake(&mut self, hub: HubIndex) {
        let Some(at_us) = self.wanted_wake_us(hub) else { return };
        if self.hubs[hub].wake_us.is_none_or(|planned| at_us < planned) {
            self.hubs[hub].wake_us = Some(at_us);
            self.happen(at_us, Happening::Wake(hub));
        }
    }

    pub(super) fn wanted_wake_us(&self, hub: HubIndex) -> Option<u64> {
        let wanted = self.hubs[hub].node().and_then(Node::poll_timeout)?;
        let at_ms = self.hubs[hub].booted_ms.saturating_add(wanted.0);
        Some(at_ms.saturating_mul(1000).max(self.now_us))
    }

    /// Counts a boundary, and cuts the power if the plan says: here.
    fn crosses_crash(&mut self, hub: HubIndex) -> bool {
        let it = &mut self.hubs[hub];
        it.boundaries += 1;
        let Some(plan) = it.crash_plan.filter(|plan| plan.at_boundary == it.boundaries) else {
            return false;
        };
        it.crash_plan = None;
        self.cut_power(hub, plan.landed);
        self.plan(plan.off_ms, Action::GivePower { hub });
        true
    }

    fn carry_out_output(&mut self, hub: HubIndex, output: Output) {
        match output {
            Output::Send { contact, frame } => {
                assert!(frame.len() <= FRAME_BYTES_MAX, "hub {hub} sends an oversized frame");
                self.send(hub, contact, frame);
            }
            Output::Close { contact, .. } => self.close(hub, contact),
            Output::Dial { hub: to, addresses } => self.dial(hub, to, &addresses),
            Output::Admit { hubs, are_strangers_admitted } => {
                self.hubs[hub].admitted = hubs.into_iter().collect();
                self.hubs[hub].are_strangers_admitted = are_strangers_admitted;
            }
            Output::Store(request) => self.store(hub, request),
            Output::Event(event) => self.event(hub, event),
        }
    }

    fn store(&mut self, hub: HubIndex, request: StoreRequest) {
        if let StoreOp::AppendEnvelopes { envelopes, .. } = &request.op
            && self.scrutiny == Scrutiny::EachEvent
        {
            check::announced_when_durable(self, hub, envelopes);
        }
        let (boot, id) = (self.hubs[hub].boot, request.id);
        let it = &mut self.hubs[hub];
        let takes_ms = it.store.request(request, &mut self.pool, &mut self.rng);
        let at_us = self.now_us + takes_ms * 1000;
        self.happen(at_us, Happening::Stored { hub, boot, id });
    }

    pub(super) fn stored(&mut self, hub: HubIndex, boot: u32, id: u64) {
        if self.hubs[hub].boot != boot || self.crosses_crash(hub) {
            return;
        }
        let reply = self.hubs[hub].store.answer(id);
        self.trace.line(self.now_us, || format!("hub {hub} stored {id}: {}", reply.result.is_ok()));
        self.tell(hub, Input::Stored(reply));
        self.refresh_wants(hub);
    }

    fn event(&mut self, hub: HubIndex, event: Event) {
        self.ledger.note(&event);
        if self.scrutiny == Scrutiny::EachEvent {
            check::event_is_durable(self, hub, &event);
        } else if !matches!(event, Event::Alarm { .. }) {
            return;
        }
        self.hubs[hub].events.push((self.now_us / 1000, event));
    }

    /// Tells a hub's node what its people want: what documents name and its disk lacks.
    pub fn refresh_wants(&mut self, hub: HubIndex) {
        if !self.hubs[hub].wants_all {
            return;
        }
        let wants = wants_of(self, hub);
        self.set_wants(hub, wants);
    }

    /// Tells a hub's node what to fetch, if that is news to it and its power is on.
    pub fn set_wants(&mut self, hub: HubIndex, wants: Vec<Want>) {
        if self.hubs[hub].is_on() && self.hubs[hub].wants != wants {
            self.hubs[hub].wants.clone_from(&wants);
            self.tell(hub, Input::Command(Command::SetWants(wants)));
        }
    }
}

fn wants_of(world: &World, hub: HubIndex) -> Vec<Want> {
    let disk = world.hubs[hub].store.durable();
    let is_whole = |blob: &BlobId| disk.blobs.get(blob).is_some_and(|file| file.is_whole());
    let mut wants: Vec<Want> = Vec::new();
    for ((collection, _), doc) in &disk.docs {
        for (blob, priority) in doc.blobs.iter().filter(|(blob, _)| !is_whole(blob)) {
            wants.push(Want {
                blob: *blob,
                collection: collection.clone(),
                priority: *priority,
                deadline_wall_ms: None,
            });
        }
    }
    debug_assert!(wants.iter().all(|want| want.collection.0 == LESSONS));
    wants
}

/// Names an output in a line, without what it carries.
fn brief(output: &Output) -> String {
    match output {
        Output::Send { contact, frame } => format!("sends {} B on {}", frame.len(), contact.0),
        Output::Close { contact, reason } => format!("closes {}: {reason}", contact.0),
        Output::Store(StoreRequest { id, op }) => {
            let text = format!("{op:?}");
            let name: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
            format!("store {id}: {name}")
        }
        other => format!("{other:?}").chars().take(160).collect(),
    }
}
