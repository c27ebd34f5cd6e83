//! Only admitted hubs get in, and only as long as they are.

use std::collections::BTreeSet;

use yingxue_sync_io::transport::TransportEvent;

use crate::lone_hub::{Dialled, LoneHub, config, connect, two_hubs};

/// Fails if anything but a listening address has been reported.
fn assert_nothing_opened(hub: &mut LoneHub) {
    while let Ok(event) = hub.events.try_recv() {
        assert!(matches!(event, TransportEvent::Listening { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_stream_and_gets_in_once_it_is_admitted() {
    let (mut member, mut stranger) = two_hubs().await;
    member.admit(&[]);
    for addresses in [member.tcp(), member.quic()] {
        stranger.dial_in_vain(member.hub(), addresses).await;
    }
    assert_nothing_opened(&mut member);
    assert_eq!(member.transport.counters().strangers_refused, 2);
    assert_eq!(member.transport.counters().contacts_opened, 0);

    member.admit(&[stranger.hub()]);
    let (at_stranger, _) = connect(&mut stranger, &mut member).await;
    stranger.transport.send(at_stranger, vec![1]);
    assert_eq!(member.received().await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_revoked_while_connected_is_cut() {
    let (mut member, mut revoked) = two_hubs().await;
    let (at_revoked, at_member) = connect(&mut revoked, &mut member).await;
    member.admit(&[]);
    assert_eq!(member.closed(at_member).await, "no longer admitted");
    revoked.closed(at_revoked).await;
    revoked.dial_in_vain(member.hub(), member.tcp()).await;
    assert_eq!(member.transport.counters().contacts_opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hub_is_revoked_and_the_others_stay() {
    let (mut a, mut b) = two_hubs().await;
    let mut c = LoneHub::start(config(3)).await;
    c.admit(&[a.hub()]);
    a.admit(&[b.hub(), c.hub()]);
    let (_, a_with_b) = connect(&mut b, &mut a).await;
    let (_, a_with_c) = connect(&mut c, &mut a).await;
    a.admit(&[c.hub()]);
    a.closed(a_with_b).await;
    a.transport.send(a_with_c, vec![5]);
    assert_eq!(c.received().await, [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_in_while_strangers_are_admitted_and_not_longer() {
    let (mut lead, mut stranger) = two_hubs().await;
    lead.transport.admit(BTreeSet::new(), true);
    let (at_stranger, at_lead) = connect(&mut stranger, &mut lead).await;
    stranger.transport.send(at_stranger, vec![1]);
    assert_eq!(lead.received().await, [1]);
    lead.transport.admit(BTreeSet::new(), false);
    assert_eq!(lead.closed(at_lead).await, "no longer admitted");
    stranger.closed(at_stranger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_admitted_is_not_dialled_either() {
    let (mut a, b) = two_hubs().await;
    a.admit(&[]);
    match a.dial(b.hub(), b.tcp()).await {
        Dialled::Failed(reason) => assert_eq!(reason, "this hub is not admitted"),
        Dialled::Opened(_) => panic!("opened a contact with a hub that is not admitted"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_bounded() {
    let mut full = LoneHub::start(yingxue_sync_io::transport::TransportConfig {
        contacts_max: 1,
        ..config(1)
    })
    .await;
    let mut first = LoneHub::start(config(2)).await;
    let mut second = LoneHub::start(config(3)).await;
    full.admit(&[first.hub(), second.hub()]);
    first.admit(&[full.hub()]);
    second.admit(&[full.hub()]);
    let (at_first, at_full) = connect(&mut first, &mut full).await;
    second.dial_in_vain(full.hub(), full.tcp()).await;
    assert_eq!(full.transport.counters().contacts_refused, 1);
    full.transport.send(at_full, vec![3]);
    assert_eq!(first.received().await, [3]);
    first.transport.close(at_first, "place for another".to_owned());
    full.closed(at_full).await;
}
