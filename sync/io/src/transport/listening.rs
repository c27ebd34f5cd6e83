//! Where the transport listens, and that it listens on the same ports again.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};

use libp2p::Multiaddr;
use libp2p::core::multiaddr::Protocol;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::Swarm;

use super::dialing::transport_cause;
use super::gate::Gate;

/// The addresses to listen on, and what has become of them.
pub(super) struct Listening {
    listeners: Vec<Listener>,
    shown: Arc<Mutex<Vec<String>>>,
}

struct Listener {
    /// As configured, and with the port that was given once there was one.
    wanted: Multiaddr,
    id: Option<ListenerId>,
    bound: Vec<Multiaddr>,
}

impl Listening {
    pub(super) fn new(wanted: Vec<Multiaddr>) -> Self {
        let listener = |wanted| Listener { wanted, id: None, bound: Vec::new() };
        let listeners = wanted.into_iter().map(listener).collect();
        Self { listeners, shown: Arc::default() }
    }

    /// Gives the list of actual addresses, kept up to date.
    pub(super) fn shown(&self) -> Arc<Mutex<Vec<String>>> {
        self.shown.clone()
    }

    /// Starts every listener that does not listen, and returns the first that could not.
    pub(super) fn listen(&mut self, swarm: &mut Swarm<Gate>) -> Result<(), (Multiaddr, String)> {
        let mut result = Ok(());
        for listener in self.listeners.iter_mut().filter(|listener| listener.id.is_none()) {
            let wanted = listener.wanted.clone();
            let listened = check_free(&wanted).map_err(|error| error.to_string()).and_then(|()| {
                swarm.listen_on(wanted.clone()).map_err(|error| transport_cause(&error))
            });
            match listened {
                Ok(id) => listener.id = Some(id),
                Err(reason) => result = result.and(Err((wanted, reason))),
            }
        }
        result
    }

    /// Says whether every listener has at least one address.
    pub(super) fn is_complete(&self) -> bool {
        self.listeners.iter().all(|listener| !listener.bound.is_empty())
    }

    /// Says whether a listener has to be started.
    pub(super) fn is_missing(&self) -> bool {
        self.listeners.iter().any(|listener| listener.id.is_none())
    }

    pub(super) fn on_bound(&mut self, id: ListenerId, address: &Multiaddr) {
        if let Some(listener) = self.listener(id) {
            listener.wanted = with_port_of(&listener.wanted, address);
            listener.bound.push(address.clone());
        }
        self.show();
    }

    pub(super) fn on_expired(&mut self, id: ListenerId, address: &Multiaddr) {
        if let Some(listener) = self.listener(id) {
            listener.bound.retain(|bound| bound != address);
        }
        self.show();
    }

    pub(super) fn on_closed(&mut self, id: ListenerId) {
        if let Some(listener) = self.listener(id) {
            listener.id = None;
            listener.bound.clear();
        }
        self.show();
    }

    /// Forgets every listener, because the swarm is gone.
    pub(super) fn on_offline(&mut self) {
        for listener in &mut self.listeners {
            listener.id = None;
            listener.bound.clear();
        }
        self.show();
    }

    fn listener(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.id == Some(id))
    }

    fn show(&self) {
        let bound = self.listeners.iter().flat_map(|listener| &listener.bound);
        let texts = bound.map(Multiaddr::to_string).collect();
        *self.shown.lock().expect("nobody panics while holding the addresses") = texts;
    }
}

/// Puts the port that was given in place of "any port".
fn with_port_of(wanted: &Multiaddr, bound: &Multiaddr) -> Multiaddr {
    let port_of = |protocol| match protocol {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    };
    let Some(given) = bound.iter().find_map(port_of) else {
        return wanted.clone();
    };
    let filled = wanted.iter().map(|protocol| match protocol {
        Protocol::Tcp(0) => Protocol::Tcp(given),
        Protocol::Udp(0) => Protocol::Udp(given),
        other => other,
    });
    filled.collect()
}

/// Fails if another process listens on the TCP port.
///
/// libp2p listens with `SO_REUSEPORT`: without this, two hubs would share a port and each get
/// about half of the connections.
fn check_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_given_is_asked_for_again() {
        let wanted = "/ip4/0.0.0.0/udp/0/quic-v1".parse().unwrap();
        let bound = "/ip4/127.0.0.1/udp/4001/quic-v1".parse().unwrap();
        assert_eq!(with_port_of(&wanted, &bound).to_string(), "/ip4/0.0.0.0/udp/4001/quic-v1");
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        assert_eq!(check_free(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        check_free(&address).unwrap();
    }
}
