//! Says who gets in, right after the Noise handshake has proved who it is and before any stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, mdns};
use yingxue_sync_core::id::HubId;

use super::counters::Counters;
use super::hub_key::hub_of;
use super::opener::{Opened, Opener};

/// The driver lets a hub have this many contacts: two if both dial at once, and as many again
/// of those that a broken link left behind and the node has not given up yet.
const CONTACTS_PER_HUB_MAX: usize = 8;

/// Strangers that may be connected while an invitation is open; a class of schools joining at
/// one meeting fits, a crowd does not fill the places of members.
const STRANGERS_MAX: usize = 16;

/// Who may have a contact.
#[derive(Debug, Clone, Default)]
pub(super) struct Admission {
    pub(super) hubs: BTreeSet<HubId>,
    pub(super) are_strangers_admitted: bool,
}

impl Admission {
    pub(super) fn admits(&self, hub: HubId) -> bool {
        self.are_strangers_admitted || self.hubs.contains(&hub)
    }
}

/// What the gate reports to the driver.
#[derive(Debug)]
pub(super) enum GateEvent {
    /// A connection has its stream.
    Open { connection: ConnectionId, hub: HubId, endpoint: Connected, stream: Stream },
    /// A connection stays without a stream.
    Failed { connection: ConnectionId, reason: String },
    /// A hub was seen on the LAN.
    Discovered { hub: HubId, address: Multiaddr },
}

/// The far end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    pub(super) is_dialer: bool,
    pub(super) address: Multiaddr,
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("this hub is not admitted")]
    Stranger,
    #[error("there are too many contacts already")]
    Full,
}

/// The network behaviour: admission, bounds, the one stream, and mDNS.
pub(super) struct Gate {
    admission: Admission,
    contacts_max: usize,
    open_timeout: Duration,
    connections: BTreeMap<ConnectionId, (HubId, Connected)>,
    mdns: Option<mdns::tokio::Behaviour>,
    events: VecDeque<GateEvent>,
    counters: Arc<Counters>,
}

impl Gate {
    pub(super) fn new(
        admission: Admission,
        contacts_max: usize,
        open_timeout: Duration,
        mdns: Option<mdns::tokio::Behaviour>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            admission,
            contacts_max,
            open_timeout,
            connections: BTreeMap::new(),
            mdns,
            events: VecDeque::new(),
            counters,
        }
    }

    /// Replaces the admission and returns the connections that it does not cover.
    pub(super) fn admit(&mut self, admission: Admission) -> Vec<ConnectionId> {
        self.admission = admission;
        let refused =
            |(_, (hub, _)): &(&ConnectionId, &(HubId, Connected))| !self.admission.admits(*hub);
        self.connections.iter().filter(refused).map(|(id, _)| *id).collect()
    }

    /// Says whether a hub that has just proved its key gets in.
    fn check(&self, peer: &PeerId) -> Result<HubId, ConnectionDenied> {
        let Some(hub) = hub_of(peer).filter(|hub| self.admission.admits(*hub)) else {
            self.counters.strangers_refused.add(1);
            return Err(ConnectionDenied::new(Denied::Stranger));
        };
        let is_member = |hub: &HubId| self.admission.hubs.contains(hub);
        let held = self.connections.values();
        let of_hub = held.clone().filter(|(other, _)| *other == hub).count();
        let of_strangers = held.filter(|(other, _)| !is_member(other)).count();
        let is_full = self.connections.len() >= self.contacts_max
            || of_hub >= CONTACTS_PER_HUB_MAX
            || (!is_member(&hub) && of_strangers >= STRANGERS_MAX);
        if is_full {
            self.counters.contacts_refused.add(1);
            return Err(ConnectionDenied::new(Denied::Full));
        }
        Ok(hub)
    }

    fn on_discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, address) in found {
            if let Some(hub) = hub_of(&peer) {
                self.events.push_back(GateEvent::Discovered { hub, address });
            }
        }
    }

    fn poll_mdns(&mut self, cx: &mut Context<'_>) {
        let Some(mdns) = &mut self.mdns else { return };
        let mut found = Vec::new();
        while let Poll::Ready(event) = mdns.poll(cx) {
            if let ToSwarm::GenerateEvent(mdns::Event::Discovered(peers)) = event {
                found.extend(peers);
            }
        }
        self.on_discovered(found);
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = Opener;
    type ToSwarm = GateEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Opener, ConnectionDenied> {
        self.check(&peer)?;
        Ok(Opener::new(false, self.open_timeout))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Opener, ConnectionDenied> {
        self.check(&peer)?;
        Ok(Opener::new(true, self.open_timeout))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                let hub = hub_of(peer_id).expect("the gate has let in a hub");
                let address = endpoint.get_remote_address().clone();
                let connected = Connected { is_dialer: endpoint.is_dialer(), address };
                self.connections.insert(*connection_id, (hub, connected));
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.connections.remove(connection_id);
            }
            _ => {}
        }
        if let Some(mdns) = &mut self.mdns {
            mdns.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, connection: ConnectionId, opened: Opened) {
        let Some((hub, endpoint)) = self.connections.get(&connection).cloned() else {
            return;
        };
        self.events.push_back(match opened {
            Opened::Stream(stream) => GateEvent::Open { connection, hub, endpoint, stream },
            Opened::Failed(reason) => GateEvent::Failed { connection, reason },
        });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<GateEvent, THandlerInEvent<Self>>> {
        if self.events.is_empty() {
            self.poll_mdns(cx);
        }
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            None => Poll::Pending,
        }
    }
}
