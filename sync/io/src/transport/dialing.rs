//! Dials in the right order, TCP before QUIC, and says in words why one failed.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use libp2p::core::multiaddr::Protocol;
use libp2p::core::transport::TransportError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Swarm};
use yingxue_sync_core::id::HubId;

use super::gate::Gate;
use super::hub_key::peer_of;

/// Addresses tried for one hub; a hub has a handful, and a list from outside may have any number.
const ADDRESSES_MAX: usize = 16;

/// Dials at a time; more than a county has schools.
const DIALS_MAX: usize = 256;

/// Characters of a reason; it is shown on a screen.
const REASON_CHARS_MAX: usize = 300;

/// The dials that have no result yet.
#[derive(Default)]
pub(super) struct Dialing(BTreeMap<ConnectionId, Dial>);

struct Dial {
    hub: HubId,
    /// To be tried if what is being tried fails.
    fallback: Vec<Multiaddr>,
    /// Why what was tried before has failed.
    reason_before: Option<String>,
}

/// A dial that led nowhere.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) hub: HubId,
    pub(super) reason: String,
}

impl Dialing {
    /// Starts a dial.
    pub(super) fn start(
        &mut self,
        swarm: &mut Swarm<Gate>,
        hub: HubId,
        addresses: &[String],
    ) -> Result<(), Failed> {
        let failed = |reason: &str| Failed { hub, reason: reason.to_owned() };
        if self.0.len() >= DIALS_MAX {
            return Err(failed("too many dials at once"));
        }
        let parsed = addresses.iter().filter_map(|text| text.parse().ok()).map(without_peer);
        let (quic, tcp): (Vec<_>, Vec<_>) = parsed.take(ADDRESSES_MAX).partition(is_quic);
        if tcp.is_empty() && quic.is_empty() {
            return Err(failed("no usable address"));
        }
        let (first, fallback) = if tcp.is_empty() { (quic, tcp) } else { (tcp, quic) };
        self.attempt(swarm, first, Dial { hub, fallback, reason_before: None })
    }

    fn attempt(
        &mut self,
        swarm: &mut Swarm<Gate>,
        addresses: Vec<Multiaddr>,
        dial: Dial,
    ) -> Result<(), Failed> {
        let hub = dial.hub;
        let failed = |reason| Failed { hub, reason };
        let peer = peer_of(hub).ok_or_else(|| failed("its key is not valid".to_owned()))?;
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(addresses)
            // Reusing the listening port makes a second dial to the same address fail.
            .allocate_new_port()
            .build();
        let connection = options.connection_id();
        swarm.dial(options).map_err(|error| failed(explain(&error)))?;
        self.0.insert(connection, dial);
        Ok(())
    }

    /// Ends a dial that has led to a contact.
    pub(super) fn succeed(&mut self, connection: ConnectionId) {
        self.0.remove(&connection);
    }

    /// Goes on with the fallback; fails if there is none left, or it cannot start.
    pub(super) fn fail(
        &mut self,
        swarm: &mut Swarm<Gate>,
        connection: ConnectionId,
        reason: String,
    ) -> Result<(), Failed> {
        let Some(dial) = self.0.remove(&connection) else {
            return Ok(());
        };
        let reason = dial.reason_before.into_iter().chain([reason]).collect::<Vec<_>>().join("; ");
        if dial.fallback.is_empty() {
            return Err(Failed { hub: dial.hub, reason });
        }
        let next = Dial { hub: dial.hub, fallback: Vec::new(), reason_before: Some(reason) };
        self.attempt(swarm, dial.fallback, next)
    }

    /// Ends every dial, because the swarm is gone.
    pub(super) fn abandon(&mut self, reason: &str) -> Vec<Failed> {
        let dials = std::mem::take(&mut self.0).into_values();
        dials.map(|dial| Failed { hub: dial.hub, reason: reason.to_owned() }).collect()
    }
}

fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|protocol| matches!(protocol, Protocol::Udp(_)))
}

/// Takes a trailing `/p2p/…` away: whom we expect is said by the hub's key alone.
pub(super) fn without_peer(address: Multiaddr) -> Multiaddr {
    address.iter().filter(|protocol| !matches!(protocol, Protocol::P2p(_))).collect()
}

/// Says in words why a dial failed.
pub(super) fn explain(error: &DialError) -> String {
    let text = match error {
        DialError::LocalPeerId { .. } => "this address is our own".to_owned(),
        DialError::WrongPeerId { address, .. } => {
            format!("another hub answers at {}", without_peer(address.clone()))
        }
        DialError::Denied { cause } => root_cause(cause),
        DialError::Transport(errors) => {
            let words = errors.iter().map(|(address, error)| {
                format!("{}: {}", without_peer(address.clone()), transport_cause(error))
            });
            words.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    text.chars().take(REASON_CHARS_MAX).collect()
}

/// Says in words why a transport refused an address.
pub(super) fn transport_cause(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "this kind of address is not supported".into(),
        TransportError::Other(error) => root_cause(error),
    }
}

/// Gives the text of the innermost error; the ones around it only name libp2p's layers.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // The resolver's layer lists what it tried under a heading; the last line is the cause.
    let text = innermost.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches([' ', '-']).to_owned()
}
