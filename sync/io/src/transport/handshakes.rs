//! A bound on inbound connections that have not finished their handshake.
//!
//! Whoever can reach the port can open connections and say nothing. When there are too many of
//! those, the oldest one of the address that holds the most is dropped: members finish in a few
//! round trips, so silence makes room for them and never the other way round.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use libp2p::Multiaddr;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::{Transport, multiaddr::Protocol};

use super::counters::Counters;

/// A transport that holds at most `pending_max` inbound handshakes at a time.
pub(super) struct BoundedHandshakes<O> {
    inner: Boxed<O>,
    pending: Vec<Pending>,
    pending_max: usize,
    counters: Arc<Counters>,
}

/// One inbound handshake, oldest first in the list.
struct Pending {
    source: Multiaddr,
    abort: AbortHandle,
    /// Gone when the handshake has ended.
    alive: Weak<()>,
}

impl<O> BoundedHandshakes<O> {
    pub(super) fn new(inner: Boxed<O>, pending_max: usize, counters: Arc<Counters>) -> Self {
        Self { inner, pending: Vec::new(), pending_max, counters }
    }

    /// Makes room for one more handshake, and returns what ends it and what tells its end.
    fn enter(&mut self, address: &Multiaddr) -> (futures::future::AbortRegistration, Arc<()>) {
        self.pending.retain(|pending| pending.alive.strong_count() > 0);
        if self.pending.len() >= self.pending_max {
            self.evict();
        }
        let (abort, registration) = AbortHandle::new_pair();
        let alive = Arc::new(());
        let pending = Pending { source: source_of(address), abort, alive: Arc::downgrade(&alive) };
        self.pending.push(pending);
        (registration, alive)
    }

    fn evict(&mut self) {
        let held_by =
            |source: &Multiaddr| self.pending.iter().filter(|p| p.source == *source).count();
        let most = self.pending.iter().map(|p| held_by(&p.source)).max().unwrap_or(0);
        let oldest = self.pending.iter().position(|p| held_by(&p.source) == most);
        if let Some(position) = oldest {
            self.pending.remove(position).abort.abort();
            self.counters.handshakes_evicted.add(1);
        }
    }
}

/// Gives the address without its port, so that one machine counts as one.
fn source_of(address: &Multiaddr) -> Multiaddr {
    let is_host = |p: &Protocol<'_>| matches!(p, Protocol::Ip4(_) | Protocol::Ip6(_));
    address.iter().filter(is_host).collect()
}

impl<O: Send + 'static> Transport for BoundedHandshakes<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<O>>;
    type Dial = <Boxed<O> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = futures::ready!(Pin::new(&mut self.inner).poll(cx));
        let source = match &event {
            TransportEvent::Incoming { send_back_addr, .. } => send_back_addr.clone(),
            _ => Multiaddr::empty(),
        };
        Poll::Ready(event.map_upgrade(|upgrade| {
            let (registration, alive) = self.enter(&source);
            async move {
                let _alive = alive;
                let ended = Abortable::new(upgrade, registration).await;
                ended.unwrap_or_else(|_| Err(io::Error::other("too many unfinished handshakes")))
            }
            .boxed()
        }))
    }
}
