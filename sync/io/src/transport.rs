//! Connections to other hubs: libp2p over TCP (Noise, Yamux), QUIC as the fallback, mDNS.
//!
//! One contact is one connection with one stream of frames, opened by the dialler. A hub gets in
//! if it is admitted, and is cut when it no longer is. Nothing here knows what a frame means.
//!
//! Bounds: handshakes that are not finished, contacts in all and per hub, bytes queued for a
//! contact ([`TransportConfig::queued_bytes_max`]), and events that nobody has taken yet: a
//! driver that falls behind stops the reading, which stops the other side's sending.
//!
//! The stream is opened lazily (one round trip less), so a dial to a hub that does not admit us
//! may show as [`Opened`](TransportEvent::Opened) and then [`Closed`](TransportEvent::Closed).

mod bounded_close;
mod contact;
mod counters;
mod dialing;
mod driver;
mod gate;
mod handshakes;
mod hub_key;
mod listening;
mod opener;
mod stack;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use yingxue_sync_core::id::{ContactId, HubId};

pub use counters::TransportCounters;

use contact::Contacts;
use counters::Counters;
use driver::{Command, Driver};
use gate::Admission;
use listening::Listening;

/// Binding a local port takes microseconds; this is for a machine that is still booting.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(10);

/// Says where to listen and what to bound.
#[derive(Clone)]
pub struct TransportConfig {
    /// The hub's Ed25519 seed. There is no useful default: all zeros.
    pub secret: [u8; 32],
    /// Multiaddresses to listen on. Default: any IPv4 address, TCP and QUIC, ports of the
    /// system's choice; a hub that others dial sets its ports.
    pub listen: Vec<String>,
    /// Finds hubs on the LAN. Default off: only a hub that serves a school should speak there.
    pub is_mdns_on: bool,
    /// Contacts at a time. Default 256: a lead school has 36 members, a county's anchor 200.
    pub contacts_max: usize,
    /// Inbound connections that have not finished the handshake. Default 64: all hubs of an
    /// alliance that come back after a power cut fit, and each costs a socket and a few KiB.
    pub handshakes_pending_max: usize,
    /// Milliseconds for connecting, for the handshake, and until the stream must be open.
    /// Default 30,000: with 2 % burst loss a handshake was seen to take 16 s.
    pub connect_ms_max: u64,
    /// Bytes of frames that may wait to be sent to one contact; one more cuts it. Default
    /// 16 MiB: credit is for six bandwidth-delay products, 4.5 MB at 10 Mbit/s × 600 ms.
    pub queued_bytes_max: usize,
    /// Events that may wait for the driver. Default 256, so at most 4 MiB of frames: enough to
    /// keep the links busy while the driver is in its database.
    pub events_max: usize,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            secret: [0; 32],
            listen: vec!["/ip4/0.0.0.0/tcp/0".into(), "/ip4/0.0.0.0/udp/0/quic-v1".into()],
            is_mdns_on: false,
            contacts_max: 256,
            handshakes_pending_max: 64,
            connect_ms_max: 30_000,
            queued_bytes_max: 16 << 20,
            events_max: 256,
        }
    }
}

/// What happened. The events of one contact come in order: opened, received, closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// A contact is open; the other side has proved that it holds `hub`'s key.
    Opened {
        /// A fresh number.
        contact: ContactId,
        /// The other side.
        hub: HubId,
        /// True if this side dialled.
        is_dialer: bool,
        /// The other side's multiaddress.
        address: String,
    },
    /// A dial has led nowhere.
    DialFailed {
        /// Who was dialled.
        hub: HubId,
        /// In a few words, for people.
        reason: String,
    },
    /// A hub was seen on the LAN.
    Discovered {
        /// Who.
        hub: HubId,
        /// A multiaddress.
        address: String,
    },
    /// A frame arrived.
    Received {
        /// From whom.
        contact: ContactId,
        /// As it was sent: 1 to [`FRAME_BYTES_MAX`](yingxue_sync_core::wire::FRAME_BYTES_MAX).
        frame: Vec<u8>,
    },
    /// A contact is gone.
    Closed {
        /// Which.
        contact: ContactId,
        /// In a few words, for people.
        reason: String,
    },
    /// The hub can be reached at a new address.
    Listening {
        /// A multiaddress, with its port.
        address: String,
    },
}

/// Why a transport did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A text is not a multiaddress.
    #[error("{address} is not an address to listen on: expected one like /ip4/0.0.0.0/tcp/4001")]
    Address {
        /// The text.
        address: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// No address came up in time.
    #[error("not every listening address came up within {} s", LISTEN_TIME_MAX.as_secs())]
    Timeout,
    /// The stack could not be put together.
    #[error("the network stack did not start: {0}")]
    Stack(#[from] std::io::Error),
}

/// The handle of the running transport. Dropping it cuts everything; see
/// [`shutdown`](Self::shutdown) for the polite way.
pub struct Transport {
    hub: HubId,
    commands: mpsc::UnboundedSender<Command>,
    contacts: Contacts,
    addresses: Arc<Mutex<Vec<String>>>,
    counters: Arc<Counters>,
}

impl Transport {
    /// Listens, and runs a task on the current tokio runtime. Nobody is admitted yet.
    ///
    /// Returns the handle and the events, which have to be taken: what waits is bounded.
    ///
    /// # Errors
    /// [`StartError`] if an address is malformed or cannot be listened on.
    pub async fn start(
        config: TransportConfig,
    ) -> Result<(Self, mpsc::Receiver<TransportEvent>), StartError> {
        let parse = |address: &String| {
            let malformed = |_| StartError::Address { address: address.clone() };
            address.parse::<Multiaddr>().map_err(malformed)
        };
        let listening = Listening::new(config.listen.iter().map(parse).collect::<Result<_, _>>()?);
        let keypair = hub_key::keypair(config.secret);
        let hub = hub_key::hub_of(&keypair.public().to_peer_id()).expect("an Ed25519 key");
        let (commands, commands_taken) = mpsc::unbounded_channel();
        let (events, events_taken) = mpsc::channel(config.events_max.max(1));
        let (contacts, counters) = (Contacts::default(), Arc::<Counters>::default());
        let addresses = listening.shown();
        let mut driver = Driver::new(
            config,
            keypair,
            listening,
            contacts.clone(),
            commands_taken,
            events,
            counters.clone(),
        )?;
        timeout(LISTEN_TIME_MAX, driver.listen_first())
            .await
            .map_err(|_| StartError::Timeout)?
            .map_err(|(address, reason)| StartError::Listen { address, reason })?;
        tokio::spawn(driver.run());
        Ok((Self { hub, commands, contacts, addresses, counters }, events_taken))
    }

    /// Gives this hub's key, as the secret makes it.
    pub fn hub(&self) -> HubId {
        self.hub
    }

    /// Gives the multiaddresses that are listened on, with their ports; none while offline.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.addresses.lock().expect("nobody panics while holding the addresses").clone()
    }

    /// Gives what was counted so far.
    pub fn counters(&self) -> TransportCounters {
        self.counters.snapshot()
    }

    /// Queues one frame; never blocks. Nothing happens if the contact is gone or closing.
    ///
    /// A frame of a wrong size, or more than [`TransportConfig::queued_bytes_max`] in the queue,
    /// cuts the contact.
    pub fn send(&self, contact: ContactId, frame: Vec<u8>) {
        if let Some(handle) = self.contacts.lock().get(&contact) {
            handle.send(frame);
        }
    }

    /// Closes a contact; what was sent before goes out first, for at most two seconds.
    pub fn close(&self, contact: ContactId, reason: String) {
        if let Some(handle) = self.contacts.lock().get(&contact) {
            handle.close(reason);
        }
    }

    /// Dials a hub: its TCP addresses all at once, and if none answers its QUIC addresses.
    ///
    /// Answered by one [`TransportEvent::Opened`] or one [`TransportEvent::DialFailed`]. The hub
    /// has to be admitted.
    pub fn dial(&self, hub: HubId, addresses: Vec<String>) {
        self.command(Command::Dial { hub, addresses });
    }

    /// Replaces the set of hubs that get in; contacts with others are cut.
    pub fn admit(&self, hubs: BTreeSet<HubId>, are_strangers_admitted: bool) {
        self.command(Command::Admit(Admission { hubs, are_strangers_admitted }));
    }

    /// Takes the hub off the network at once, or brings it back on the same ports.
    ///
    /// Offline, every connection is cut without a goodbye, nothing is accepted, and dials fail.
    pub fn set_online(&self, is_online: bool) {
        self.command(Command::SetOnline(is_online));
    }

    /// Closes every contact politely and stops; takes a few seconds at most.
    pub async fn shutdown(self) {
        let (done, is_done) = oneshot::channel();
        self.command(Command::Shutdown(done));
        let _ = is_done.await; // an error means that the driver has stopped already
    }

    fn command(&self, command: Command) {
        let _ = self.commands.send(command); // the driver stops only with the runtime
    }
}
