//! Garbage, silence and broken rules on the port: the hub stays up and serves the others.

use std::collections::BTreeSet;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::{Config, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, noise, tcp, yamux};
use libp2p_stream::Behaviour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use yingxue_sync_io::transport::TransportConfig;

use crate::lone_hub::{LoneHub, PATIENCE, config, connect};

/// Gives the socket address of a hub's TCP port.
fn socket_address(hub: &LoneHub) -> String {
    let address = hub.tcp().remove(0);
    format!("127.0.0.1:{}", address.rsplit('/').next().expect("a port"))
}

async fn assert_serves(hub: &mut LoneHub) {
    let mut member = LoneHub::start(config(99)).await;
    member.admit(&[hub.hub()]);
    hub.admit(&[member.hub()]);
    let (at_member, _) = connect(&mut member, hub).await;
    member.transport.send(at_member, b"still there?".to_vec());
    assert_eq!(hub.received().await, b"still there?");
}

/// Waits until the other side has closed the connection.
async fn assert_is_dropped(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good as an end; what counts is that the socket is let go.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("dropped in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_dropped_and_counted() {
    // Some garbage reads like the beginning of something long, and ends with the time for it.
    let hasty = TransportConfig { connect_ms_max: 5_000, ..config(1) };
    let mut hub = LoneHub::start(hasty).await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 4096],
        &[0; 4096],
        b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\x0f",
    ];
    for bytes in garbage {
        let mut socket = TcpStream::connect(socket_address(&hub)).await.expect("accepted");
        socket.write_all(bytes).await.expect("written");
        assert_is_dropped(&mut socket).await;
    }
    assert_serves(&mut hub).await;
    assert_eq!(hub.transport.counters().handshakes_failed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room_for_those_that_speak() {
    let few = TransportConfig { handshakes_pending_max: 8, ..config(1) };
    let mut hub = LoneHub::start(few).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(socket_address(&hub)).await.expect("accepted"));
    }
    assert_serves(&mut hub).await;
    // The oldest ones were let go at once, long before the time for a handshake was over.
    for socket in &mut silent[..32] {
        assert_is_dropped(socket).await;
    }
    assert!(hub.transport.counters().handshakes_evicted >= 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_never_finished_ends_in_time() {
    let hasty = TransportConfig { connect_ms_max: 2_000, ..config(1) };
    let hub = LoneHub::start(hasty).await;
    let mut socket = TcpStream::connect(socket_address(&hub)).await.expect("accepted");
    socket.write_all(b"\x13/multistream").await.expect("written");
    assert_is_dropped(&mut socket).await;
    assert_eq!(hub.transport.counters().contacts_opened, 0);
    // The socket is let go a moment before the transport hears of it; a member comes after it.
    let (mut rogue, _) = connected_rogue(&hub).await;
    until_closed(&mut rogue).await;
    assert_eq!(hub.transport.counters().handshakes_failed, 1);
}

/// Makes a libp2p peer that is not one of our hubs' transports.
fn rogue() -> Swarm<Behaviour> {
    libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| Behaviour::new())
        .expect("a behaviour")
        .with_swarm_config(|config: Config| config.with_idle_connection_timeout(PATIENCE))
        .build()
}

/// Connects a rogue peer to a hub that lets strangers in; returns it with the hub's peer id.
async fn connected_rogue(hub: &LoneHub) -> (Swarm<Behaviour>, PeerId) {
    hub.transport.admit(BTreeSet::new(), true);
    let mut rogue = rogue();
    rogue.dial(hub.tcp()[0].parse::<Multiaddr>().expect("an address")).expect("dialled");
    let connected = async {
        loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } =
                rogue.select_next_some().await
            {
                return peer_id;
            }
        }
    };
    let peer = timeout(PATIENCE, connected).await.expect("connected");
    (rogue, peer)
}

/// Runs a rogue peer until its connection is closed.
async fn until_closed(rogue: &mut Swarm<Behaviour>) {
    let closed = async {
        loop {
            if let SwarmEvent::ConnectionClosed { .. } = rogue.select_next_some().await {
                return;
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("closed in time");
}

/// Has a rogue peer write raw bytes on the stream; returns the hub's reason for closing.
async fn reason_after(bytes: &[u8]) -> String {
    let mut hub = LoneHub::start(config(1)).await;
    let (mut rogue, peer) = connected_rogue(&hub).await;
    let hub_id = *rogue.local_peer_id();
    let mut control = rogue.behaviour().new_control();
    let running = tokio::spawn(async move { until_closed(&mut rogue).await });
    let protocol = StreamProtocol::new("/yingxue/hub/1");
    let mut stream = control.open_stream(peer, protocol).await.expect("a stream");
    stream.write_all(bytes).await.expect("written");
    stream.flush().await.expect("flushed");
    let contact = hub
        .until("opened", |event| match event {
            yingxue_sync_io::transport::TransportEvent::Opened { contact, .. } => Some(contact),
            _ => None,
        })
        .await;
    if bytes.len() < 2 {
        stream.close().await.expect("closed");
    }
    let reason = hub.closed(contact).await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await; // the hub lets go of the stream
    drop(stream);
    running.await.unwrap_or_else(|error| panic!("{hub_id}: {error}"));
    assert_serves(&mut hub).await;
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_long_closes_the_contact_with_a_reason() {
    let reason = reason_after(&[0xff, 0xff, 1, 2, 3]).await;
    assert!(reason.contains("65535 bytes: at most 16384"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_inside_a_frame_is_a_broken_connection() {
    assert_eq!(reason_after(&[0]).await, "the connection broke");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_an_orderly_end() {
    assert_eq!(reason_after(&[0, 0]).await, "the other side closed the contact");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_stream_is_closed_in_time() {
    let hasty = TransportConfig { connect_ms_max: 1_000, ..config(1) };
    let hub = LoneHub::start(hasty).await;
    let (mut rogue, _) = connected_rogue(&hub).await;
    until_closed(&mut rogue).await;
    assert_eq!(hub.transport.counters().contacts_opened, 0);
}
