//! Puts the libp2p stack together: TCP + Noise + Yamux, QUIC, names, bounds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, timeout::TransportTimeout};
use libp2p::core::{Transport, upgrade::Version};
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, Swarm};
use libp2p::{PeerId, dns, mdns, noise, quic, tcp, yamux};
use tracing::warn;

use super::TransportConfig;
use super::bounded_close::BoundedClose;
use super::counters::Counters;
use super::gate::{Admission, Gate};
use super::handshakes::BoundedHandshakes;

/// Streams of one Yamux connection: one is used, the rest is room for one that is being reset.
///
/// The receive window of a stream starts at 256 KiB and Yamux tunes it up to twice the
/// bandwidth-delay product it measures (10 Mbit/s × 600 ms = 750 KB fits), so it neither limits
/// throughput nor grows for somebody who only sends.
const YAMUX_STREAMS_MAX: usize = 8;

/// QUIC gives a silent connection up after 90 s, which is when the node does (DESIGN §16).
const QUIC_IDLE_MS_MAX: u32 = 90_000;

/// Keeps a UDP mapping of a router open; those are forgotten after 30 s at the earliest.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams that may be negotiating at a time on one connection; the protocol needs one.
const NEGOTIATING_STREAMS_MAX: usize = 4;

/// A connection: who is at the other end, and its streams.
type Connection = (PeerId, StreamMuxerBox);

/// Makes a swarm that listens nowhere yet.
pub(super) fn swarm(
    config: &TransportConfig,
    keypair: &Keypair,
    admission: Admission,
    counters: &Arc<Counters>,
) -> io::Result<Swarm<Gate>> {
    let peer = keypair.public().to_peer_id();
    let timeout = Duration::from_millis(config.connect_ms_max);
    let bounded = TransportTimeout::new(named(keypair, timeout)?, timeout)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(BoundedClose::new(muxer))))
        .boxed();
    let pending_max = config.handshakes_pending_max;
    let transport = BoundedHandshakes::new(bounded, pending_max, counters.clone()).boxed();
    let mdns = config.is_mdns_on.then(|| mdns_of(peer)).flatten();
    let gate = Gate::new(admission, config.contacts_max, timeout, mdns, counters.clone());
    let swarm_config = Config::with_tokio_executor()
        .with_idle_connection_timeout(timeout)
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX);
    Ok(Swarm::new(transport, gate, peer, swarm_config))
}

/// Adds names (`/dns4/…`) if this machine has a resolver, else goes on without.
fn named(keypair: &Keypair, timeout: Duration) -> io::Result<Boxed<Connection>> {
    match dns::tokio::Transport::system(sockets(keypair, timeout)?) {
        Ok(transport) => Ok(transport.boxed()),
        Err(error) => {
            warn!(%error, "no resolver: addresses with names cannot be dialled");
            sockets(keypair, timeout)
        }
    }
}

fn sockets(keypair: &Keypair, timeout: Duration) -> io::Result<Boxed<Connection>> {
    let noise = noise::Config::new(keypair).map_err(io::Error::other)?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(YAMUX_STREAMS_MAX);
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .boxed();
    let mut quic_config = quic::Config::new(keypair);
    quic_config.handshake_timeout = timeout;
    quic_config.max_idle_timeout = QUIC_IDLE_MS_MAX;
    quic_config.keep_alive_interval = QUIC_KEEP_ALIVE;
    quic_config.max_concurrent_stream_limit = YAMUX_STREAMS_MAX as u32;
    let quic = quic::tokio::Transport::new(quic_config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    Ok(tcp.or_transport(quic).map(|either, _| either.into_inner()).boxed())
}

fn mdns_of(peer: PeerId) -> Option<mdns::tokio::Behaviour> {
    mdns::tokio::Behaviour::new(mdns::Config::default(), peer)
        .inspect_err(|error| warn!(%error, "no mDNS: hubs on the LAN are not found by themselves"))
        .ok()
}
