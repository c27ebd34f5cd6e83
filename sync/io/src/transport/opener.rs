//! Opens the one stream of a connection: the dialler asks for it, the other side waits for it.
//!
//! Written for the purpose rather than taken from `libp2p-stream`, which addresses peers and not
//! connections (two connections to one hub are two contacts here) and drops streams that arrive
//! together.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
};
use libp2p::{Stream, StreamProtocol};

/// The protocol between hubs, version 1.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/yingxue/hub/1");

/// The handler of one connection.
pub(super) struct Opener {
    is_dialer: bool,
    is_asked: bool,
    is_open: bool,
    timeout: Duration,
    outcome: Option<Opened>,
}

/// What came of opening the stream.
#[derive(Debug)]
pub(super) enum Opened {
    /// Here it is.
    Stream(Stream),
    /// The other side does not open it.
    Failed(String),
}

impl Opener {
    pub(super) fn new(is_dialer: bool, timeout: Duration) -> Self {
        Self { is_dialer, is_asked: false, is_open: false, timeout, outcome: None }
    }

    fn protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()).with_timeout(self.timeout)
    }

    /// Takes the first stream; any other is dropped, which resets it.
    fn open(&mut self, stream: Stream) {
        if !self.is_open {
            self.is_open = true;
            self.outcome = Some(Opened::Stream(stream));
        }
    }

    fn fail<E: std::error::Error + 'static>(&mut self, error: StreamUpgradeError<E>) {
        self.outcome = Some(Opened::Failed(match error {
            StreamUpgradeError::Timeout => "no answer in time".to_owned(),
            StreamUpgradeError::NegotiationFailed => {
                format!("the other side does not speak {PROTOCOL}")
            }
            other => other.to_string(),
        }));
    }
}

impl ConnectionHandler for Opener {
    type FromBehaviour = std::convert::Infallible;
    type ToBehaviour = Opened;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.protocol()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Opened>> {
        if let Some(outcome) = self.outcome.take() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
        }
        if self.is_dialer && !self.is_asked {
            self.is_asked = true;
            let protocol = self.protocol();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => self.open(protocol),
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) if !self.is_dialer => self.open(protocol),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => self.fail(error),
            _ => {}
        }
    }
}
