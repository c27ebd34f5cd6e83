//! Addresses that work, that do not, and that work again.

use std::net::{TcpListener, UdpSocket};

use yingxue_sync_io::transport::{StartError, Transport, TransportConfig, TransportEvent};

use crate::lone_hub::{Dialled, LoneHub, config, connect, connect_at, two_hubs};

/// Gives an address at which nobody listens.
fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().expect("an address").port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_a_quic_address_alone_is_reached() {
    let (mut a, mut b) = two_hubs().await;
    let quic = b.quic();
    let (at_a, _) = connect_at(&mut a, &mut b, quic).await;
    for n in 0..200_u8 {
        a.transport.send(at_a, vec![n; 16_000]);
    }
    for n in 0..200_u8 {
        assert_eq!(b.received().await, [n; 16_000]);
    }
    a.transport.close(at_a, "done".to_owned());
    assert_eq!(a.closed(at_a).await, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_is_preferred_and_quic_is_the_fallback() {
    let (mut a, b) = two_hubs().await;
    let address = |event| match event {
        TransportEvent::Opened { address, .. } => Some(address),
        TransportEvent::DialFailed { reason, .. } => panic!("the dial failed: {reason}"),
        _ => None,
    };
    a.transport.dial(b.hub(), [b.quic(), b.tcp()].concat());
    assert_eq!(a.until("opened", address).await, b.tcp()[0]);
    a.transport.dial(b.hub(), [vec![dead_address()], b.quic()].concat());
    assert_eq!(a.until("opened", address).await, b.quic()[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_that_leads_nowhere_says_why_once() {
    let (mut a, mut b) = two_hubs().await;
    let cases = [
        (vec![dead_address()], "refused"),
        (vec!["nonsense".to_owned()], "no usable address"),
        (vec![], "no usable address"),
        (vec!["/ip4/127.0.0.1/tcp/1/ws".to_owned()], "Unsupported"),
    ];
    for (addresses, expected) in cases {
        match a.dial(b.hub(), addresses.clone()).await {
            Dialled::Failed(reason) => {
                assert!(reason.contains(expected), "{addresses:?}: {reason}");
            }
            Dialled::Opened(_) => panic!("{addresses:?} led to a contact"),
        }
    }
    assert_eq!(a.transport.counters().dials_failed, 4);
    connect(&mut a, &mut b).await; // and no late result of those dials is in between
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_at_which_another_hub_answers_is_a_failure() {
    let (mut a, b) = two_hubs().await;
    let c = LoneHub::start(config(3)).await;
    a.admit(&[b.hub(), c.hub()]);
    match a.dial(b.hub(), c.tcp()).await {
        Dialled::Failed(reason) => assert!(reason.contains("another hub answers"), "{reason}"),
        Dialled::Opened(_) => panic!("took one hub for another"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_closes_both_sides_and_works_again_on_the_same_ports() {
    let (mut a, mut b) = two_hubs().await;
    for round in 0..3 {
        let (tcp, quic) = (b.tcp(), b.quic());
        let (at_a, at_b) = connect(&mut a, &mut b).await;
        let (quic_at_a, quic_at_b) = connect_at(&mut a, &mut b, quic.clone()).await;
        a.transport.close(quic_at_a, "one is enough".to_owned());
        b.closed(quic_at_b).await;
        b.transport.set_online(false);
        assert_eq!(b.closed(at_b).await, "this hub went offline");
        assert!(a.closed(at_a).await.contains("broke"), "round {round}");
        assert_eq!(b.transport.listen_addresses(), Vec::<String>::new());
        assert!(matches!(a.dial(b.hub(), tcp.clone()).await, Dialled::Failed(_)));
        match b.dial(a.hub(), a.tcp()).await {
            Dialled::Failed(reason) => assert_eq!(reason, "this hub is offline"),
            Dialled::Opened(_) => panic!("dialled while offline"),
        }
        b.transport.set_online(true);
        for _ in 0..2 {
            let listening = |event| matches!(event, TransportEvent::Listening { .. }).then_some(());
            b.until("listening", listening).await;
        }
        assert_eq!((b.tcp(), b.quic()), (tcp, quic));
    }
    let (at_a, _) = connect(&mut a, &mut b).await;
    a.transport.send(at_a, vec![9]);
    assert_eq!(b.received().await, [9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let tcp_port = tcp.local_addr().expect("an address").port();
    let udp_port = udp.local_addr().expect("an address").port();
    let taken = [
        format!("/ip4/127.0.0.1/tcp/{tcp_port}"),
        format!("/ip4/127.0.0.1/udp/{udp_port}/quic-v1"),
    ];
    for address in taken {
        let config = TransportConfig { listen: vec![address.clone()], ..config(1) };
        match Transport::start(config).await {
            Err(StartError::Listen { address: named, reason }) => {
                assert_eq!(named, address);
                assert!(reason.contains("in use"), "{reason}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("listens on a port that is taken"),
        }
    }
    let config = TransportConfig { listen: vec!["0.0.0.0:4001".to_owned()], ..config(1) };
    assert!(matches!(Transport::start(config).await, Err(StartError::Address { .. })));
}

/// Speaks on every interface, so it has a network of its own:
/// `unshare -n sh -c 'ip link set lo up multicast on; ip addr add 10.9.9.1/24 dev lo;
/// ip route add 224.0.0.0/4 dev lo; <this test> --ignored discover'`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network namespace of its own, see its comment"]
async fn hubs_on_one_lan_discover_one_another() {
    let speaking = |seed| TransportConfig {
        listen: vec!["/ip4/10.9.9.1/tcp/0".to_owned()],
        is_mdns_on: true,
        ..config(seed)
    };
    let mut a = LoneHub::start(speaking(1)).await;
    let b = LoneHub::start(speaking(2)).await;
    a.admit(&[b.hub()]);
    b.admit(&[a.hub()]);
    let found = a
        .until("discovered", |event| match event {
            TransportEvent::Discovered { hub, address } => Some((hub, address)),
            _ => None,
        })
        .await;
    assert_eq!(found, (b.hub(), b.tcp().remove(0)));
    assert!(matches!(a.dial(found.0, vec![found.1]).await, Dialled::Opened(_)));
}
