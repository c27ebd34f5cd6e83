//! What the transport has counted since it started, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// A snapshot of what was counted since the transport started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct TransportCounters { $($(#[$doc])* pub $name: u64,)* }

        /// The counters themselves, shared by all parts of the transport.
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: Counter,)* }

        impl Counters {
            pub(super) fn snapshot(&self) -> TransportCounters {
                TransportCounters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Contacts that were opened.
    contacts_opened,
    /// Contacts that are gone again.
    contacts_closed,
    /// Hubs that proved their key, and are not admitted.
    strangers_refused,
    /// Admitted hubs that were refused because there were too many contacts.
    contacts_refused,
    /// Inbound connections that did not finish the handshake: garbage, silence, a broken link.
    handshakes_failed,
    /// Those of them that were dropped to make room for newer ones.
    handshakes_evicted,
    /// Dials that led nowhere.
    dials_failed,
    /// Frames received, and handed on.
    received_frames,
    /// Bytes of those frames.
    received_bytes,
    /// Frames written to connections.
    sent_frames,
    /// Bytes of those frames.
    sent_bytes,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}
