//! One hub's transport under test, and how to wait for what it reports.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use yingxue_sync_core::id::{ContactId, HubId};
use yingxue_sync_io::transport::{Transport, TransportConfig, TransportEvent};

/// Longer than anything takes on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A transport with its events.
pub struct LoneHub {
    pub transport: Transport,
    pub events: mpsc::Receiver<TransportEvent>,
}

/// What a dial came to.
#[derive(Debug)]
pub enum Dialled {
    Opened(ContactId),
    Failed(String),
}

/// The configuration of a test hub: TCP and QUIC on loopback, ports of the system's choice.
pub fn config(seed: u8) -> TransportConfig {
    TransportConfig {
        secret: [seed; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".into(), "/ip4/127.0.0.1/udp/0/quic-v1".into()],
        ..TransportConfig::default()
    }
}

impl LoneHub {
    pub async fn start(config: TransportConfig) -> Self {
        let (transport, events) = Transport::start(config).await.expect("the transport starts");
        Self { transport, events }
    }

    pub fn hub(&self) -> HubId {
        self.transport.hub()
    }

    /// Gives the TCP address.
    pub fn tcp(&self) -> Vec<String> {
        let is_tcp = |address: &String| address.contains("/tcp/");
        self.transport.listen_addresses().into_iter().filter(is_tcp).collect()
    }

    /// Gives the QUIC address.
    pub fn quic(&self) -> Vec<String> {
        let is_quic = |address: &String| address.contains("/quic-v1");
        self.transport.listen_addresses().into_iter().filter(is_quic).collect()
    }

    pub fn admit(&self, hubs: &[HubId]) {
        self.transport.admit(hubs.iter().copied().collect::<BTreeSet<_>>(), false);
    }

    /// Waits for the first event of which `pick` makes something.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(TransportEvent) -> Option<T>,
    ) -> T {
        let picked = async {
            loop {
                let event = self.events.recv().await.expect("the transport runs");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        };
        timeout(PATIENCE, picked).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }

    /// Waits for a contact with `hub`.
    pub async fn opened(&mut self, hub: HubId) -> ContactId {
        self.until("opened", |event| match event {
            TransportEvent::Opened { contact, hub: other, .. } if other == hub => Some(contact),
            _ => None,
        })
        .await
    }

    /// Waits until a contact is gone; returns the reason.
    pub async fn closed(&mut self, contact: ContactId) -> String {
        self.until("closed", |event| match event {
            TransportEvent::Closed { contact: other, reason } if other == contact => Some(reason),
            _ => None,
        })
        .await
    }

    /// Waits for the next frame.
    pub async fn received(&mut self) -> Vec<u8> {
        self.until("received", |event| match event {
            TransportEvent::Received { frame, .. } => Some(frame),
            TransportEvent::Closed { reason, .. } => panic!("closed: {reason}"),
            _ => None,
        })
        .await
    }

    /// Dials and waits for the result.
    pub async fn dial(&mut self, hub: HubId, addresses: Vec<String>) -> Dialled {
        self.transport.dial(hub, addresses);
        self.until("a dial's result", |event| match event {
            TransportEvent::Opened { contact, is_dialer: true, .. } => {
                Some(Dialled::Opened(contact))
            }
            TransportEvent::DialFailed { hub: other, reason } if other == hub => {
                Some(Dialled::Failed(reason))
            }
            _ => None,
        })
        .await
    }

    /// Dials a hub that lets nobody in: waits until it is clear that nothing came of it.
    pub async fn dial_in_vain(&mut self, hub: HubId, addresses: Vec<String>) -> String {
        match self.dial(hub, addresses).await {
            Dialled::Failed(reason) => reason,
            Dialled::Opened(contact) => self.closed(contact).await,
        }
    }
}

/// Starts two hubs that admit one another.
pub async fn two_hubs() -> (LoneHub, LoneHub) {
    let (a, b) = (LoneHub::start(config(1)).await, LoneHub::start(config(2)).await);
    a.admit(&[b.hub()]);
    b.admit(&[a.hub()]);
    (a, b)
}

/// Opens a contact from `a` to `b`.
pub async fn connect(a: &mut LoneHub, b: &mut LoneHub) -> (ContactId, ContactId) {
    connect_at(a, b, b.tcp()).await
}

/// Opens a contact from `a` to `b` at the addresses given.
pub async fn connect_at(
    a: &mut LoneHub,
    b: &mut LoneHub,
    addresses: Vec<String>,
) -> (ContactId, ContactId) {
    match a.dial(b.hub(), addresses).await {
        Dialled::Opened(contact) => (contact, b.opened(a.hub()).await),
        Dialled::Failed(reason) => panic!("the dial failed: {reason}"),
    }
}
