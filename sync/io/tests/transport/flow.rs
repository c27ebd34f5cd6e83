//! What a slow or a fast receiver does to its sender, and to nobody else.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use yingxue_sync_core::wire::FRAME_BYTES_MAX;
use yingxue_sync_io::transport::TransportConfig;

use crate::lone_hub::{Dialled, LoneHub, PATIENCE, config, connect, connect_at, two_hubs};

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_drain_is_cut_at_the_cap_and_the_others_go_on() {
    let capped = TransportConfig { queued_bytes_max: 4 << 20, ..config(1) };
    let mut sender = LoneHub::start(capped).await;
    let mut stuck = LoneHub::start(config(2)).await;
    let mut lively = LoneHub::start(config(3)).await;
    sender.admit(&[stuck.hub(), lively.hub()]);
    stuck.admit(&[sender.hub()]);
    lively.admit(&[sender.hub()]);
    let (to_stuck, _) = connect(&mut sender, &mut stuck).await;
    let (to_lively, _) = connect(&mut sender, &mut lively).await;
    // 64 MiB in portions of 1 MiB; the lively one takes a frame between any two portions.
    for portion in 0..64_u8 {
        for _ in 0..64 {
            sender.transport.send(to_stuck, vec![0; FRAME_BYTES_MAX]);
        }
        sender.transport.send(to_lively, vec![portion]);
        assert_eq!(lively.received().await, [portion]);
    }
    let reason = sender.closed(to_stuck).await;
    assert!(reason.contains("too slow"), "{reason}");
    let events_bytes_max = (256 + 1) * FRAME_BYTES_MAX as u64;
    assert!(stuck.transport.counters().received_bytes <= events_bytes_max);
    sender.transport.send(to_lively, vec![65]);
    assert_eq!(lively.received().await, [65]);
}

/// Starts a link to a hub that lets through what a handshake needs, and then nothing more.
async fn clogged_link(hub: &LoneHub) -> String {
    const BYTES_MAX: u64 = 100_000;
    let port = hub.tcp()[0].rsplit('/').next().expect("a port").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let near = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("a connection");
        let far = TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("a connection");
        let ((near_in, mut near_out), (mut far_in, mut far_out)) =
            (near.into_split(), far.into_split());
        let mut near_limited = near_in.take(BYTES_MAX);
        let there = tokio::io::copy(&mut near_limited, &mut far_out);
        let back = tokio::io::copy(&mut far_in, &mut near_out);
        let _ = tokio::join!(there, back);
        std::future::pending::<()>().await; // holds the sockets open
    });
    format!("/ip4/127.0.0.1/tcp/{near}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_over_a_clogged_link_is_closed_in_time_and_leaves_its_place() {
    let single = TransportConfig { contacts_max: 1, ..config(1) };
    let mut a = LoneHub::start(single).await;
    let mut b = LoneHub::start(config(2)).await;
    a.admit(&[b.hub()]);
    b.admit(&[a.hub()]);
    let address = clogged_link(&b).await;
    let (at_a, _) = connect_at(&mut a, &mut b, vec![address]).await;
    for _ in 0..15 * 64 {
        a.transport.send(at_a, vec![0; FRAME_BYTES_MAX]);
    }
    a.transport.close(at_a, "nothing moves".to_owned());
    assert_eq!(a.closed(at_a).await, "nothing moves");
    let placed = async {
        // Each dial is refused until the connection has really gone.
        while let Dialled::Failed(_) = a.dial(b.hub(), b.tcp()).await {}
    };
    tokio::time::timeout(PATIENCE, placed).await.expect("the place is free again");
}

/// One way of a satellite link: 300 ms.
const DELAY: Duration = Duration::from_millis(300);

/// Copies bytes after [`DELAY`], with no bound on the rate.
async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            let due = tokio::time::Instant::now() + DELAY;
            if sender.send((due, buffer[..bytes].to_vec())).is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}

/// Starts a link with a delay to a hub; returns the multiaddress of its near end.
async fn long_link(hub: &LoneHub) -> String {
    let port = hub.tcp()[0].rsplit('/').next().expect("a port").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let near = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("a connection");
        let far = TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("a connection");
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::join!(delay(near_in, far_out), delay(far_in, near_out));
    });
    format!("/ip4/127.0.0.1/tcp/{near}")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: half a minute at a round trip of 600 ms"]
async fn how_much_the_window_lets_through_at_a_round_trip_of_600_ms() {
    const MIB: u32 = (1 << 20) / FRAME_BYTES_MAX as u32;
    let (mut a, mut b) = two_hubs().await;
    let address = long_link(&b).await;
    let (at_a, _) = connect_at(&mut a, &mut b, vec![address]).await;
    for _ in 0..12 * MIB {
        a.transport.send(at_a, vec![1; FRAME_BYTES_MAX]);
    }
    for mib in 1..=12 {
        let started = Instant::now();
        for _ in 0..MIB {
            b.received().await;
        }
        let mbit_per_s = 8.4 / started.elapsed().as_secs_f64();
        println!("MiB {mib} at {mbit_per_s:.1} Mbit/s");
    }
}

/// Frames that may be under way; the receiver grants as many again when it has half of them.
const WINDOW_FRAMES: u32 = 256;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_cross_the_loopback() {
    const FRAMES: u32 = 200_000_000 / FRAME_BYTES_MAX as u32;
    let (mut a, mut b) = two_hubs().await;
    let (at_a, at_b) = connect(&mut a, &mut b).await;
    let started = Instant::now();
    let sending = async {
        let mut granted = WINDOW_FRAMES;
        for _ in 0..FRAMES {
            if granted == 0 {
                a.received().await;
                granted += WINDOW_FRAMES / 2;
            }
            granted -= 1;
            a.transport.send(at_a, vec![1; FRAME_BYTES_MAX]);
        }
    };
    let receiving = async {
        for n in 1..=FRAMES {
            assert_eq!(b.received().await.len(), FRAME_BYTES_MAX);
            if n % (WINDOW_FRAMES / 2) == 0 {
                b.transport.send(at_b, vec![0]);
            }
        }
    };
    tokio::join!(sending, receiving);
    let mb_per_s = 200.0 / started.elapsed().as_secs_f64();
    println!("200 MB over loopback, TCP + Noise + Yamux: {mb_per_s:.0} MB/s");
}
