//! Frames arrive whole and in order, and an end is said in order too.

use yingxue_sync_core::id::ContactId;
use yingxue_sync_core::wire::FRAME_BYTES_MAX;
use yingxue_sync_io::transport::TransportEvent;

use crate::lone_hub::{LoneHub, connect, two_hubs};

/// Makes the `n`th frame of an exchange; its length differs from its neighbours'.
fn frame(n: u32) -> Vec<u8> {
    let mut frame = n.to_be_bytes().to_vec();
    frame.resize(4 + (n as usize * 37) % 700, n as u8);
    frame
}

async fn expect_frames(hub: &mut LoneHub, count: u32) {
    for n in 0..count {
        assert_eq!(hub.received().await, frame(n), "frame {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_frames_cross_both_ways_in_order() {
    const FRAMES: u32 = 20_000;
    let (mut a, mut b) = two_hubs().await;
    let (at_a, at_b) = connect(&mut a, &mut b).await;
    for n in 0..FRAMES {
        a.transport.send(at_a, frame(n));
        b.transport.send(at_b, frame(n));
    }
    tokio::join!(expect_frames(&mut a, FRAMES), expect_frames(&mut b, FRAMES));
    assert_eq!(a.transport.counters().received_frames, u64::from(FRAMES));
    assert_eq!(a.transport.counters().received_bytes, b.transport.counters().received_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_side_that_was_dialled_may_speak_first() {
    let (mut a, mut b) = two_hubs().await;
    let (_, at_b) = connect(&mut a, &mut b).await;
    b.transport.send(at_b, vec![1]);
    assert_eq!(a.received().await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_tells_who_dialled_and_from_where() {
    let (mut a, mut b) = two_hubs().await;
    a.transport.dial(b.hub(), b.tcp());
    let (b_hub, b_address) = (b.hub(), b.tcp().remove(0));
    let opened = |event| match event {
        TransportEvent::Opened { hub, is_dialer, address, .. } => Some((hub, is_dialer, address)),
        _ => None,
    };
    assert_eq!(a.until("opened", opened).await, (b_hub, true, b_address));
    let (hub, is_dialer, address) = b.until("opened", opened).await;
    assert_eq!((hub, is_dialer), (a.hub(), false));
    assert!(address.starts_with("/ip4/127.0.0.1/tcp/"), "{address}");
}

/// Takes frames of `b` until its contact is closed; returns their number and the reason.
async fn drain(b: &mut LoneHub, at_b: ContactId) -> (u32, String) {
    let mut frames = 0;
    let reason = b
        .until("the end", |event| match event {
            TransportEvent::Received { .. } => {
                frames += 1;
                None
            }
            TransportEvent::Closed { contact, reason } if contact == at_b => Some(reason),
            _ => None,
        })
        .await;
    (frames, reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_flushes_what_was_sent_before() {
    let (mut a, mut b) = two_hubs().await;
    let (at_a, at_b) = connect(&mut a, &mut b).await;
    for _ in 0..500 {
        a.transport.send(at_a, vec![7; FRAME_BYTES_MAX]);
    }
    a.transport.close(at_a, "that was all".to_owned());
    a.transport.send(at_a, vec![8]); // too late: not sent
    assert_eq!(drain(&mut b, at_b).await, (500, "the other side closed the contact".to_owned()));
    assert_eq!(a.closed(at_a).await, "that was all");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_flushes_what_was_sent_before() {
    let (mut a, mut b) = two_hubs().await;
    let (at_a, at_b) = connect(&mut a, &mut b).await;
    for _ in 0..100 {
        a.transport.send(at_a, vec![7; 1000]);
    }
    a.transport.shutdown().await;
    assert_eq!(drain(&mut b, at_b).await.0, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_a_wrong_size_ends_the_contact_here_and_reaches_nobody() {
    let (mut a, mut b) = two_hubs().await;
    for size in [0, FRAME_BYTES_MAX + 1] {
        let (at_a, at_b) = connect(&mut a, &mut b).await;
        a.transport.send(at_a, vec![0; size]);
        assert!(a.closed(at_a).await.contains("1 to 16384"), "size {size}");
        assert_eq!(drain(&mut b, at_b).await.0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_that_dial_each_other_at_once_have_two_contacts() {
    let (mut a, mut b) = two_hubs().await;
    a.transport.dial(b.hub(), b.tcp());
    b.transport.dial(a.hub(), a.tcp());
    let (first, second) = (a.opened(b.hub()).await, a.opened(b.hub()).await);
    assert_ne!(first, second);
    let contacts = [b.opened(a.hub()).await, b.opened(a.hub()).await];
    for contact in contacts {
        b.transport.send(contact, vec![1]);
        assert_eq!(a.received().await, [1]);
    }
}
