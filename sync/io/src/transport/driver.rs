//! The task that owns the swarm: carries out commands, reports what happened.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, warn};
use yingxue_sync_core::id::{ContactId, HubId};

use super::contact::{Contact, Contacts};
use super::counters::Counters;
use super::dialing::{Dialing, Failed, explain, without_peer};
use super::gate::{Admission, Gate, GateEvent};
use super::listening::Listening;
use super::{TransportConfig, TransportEvent, stack};

/// How soon a listener that failed (port still taken, no interface yet) is tried again.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Sightings on the LAN that wait to be reported; more are dropped, mDNS repeats them.
const DISCOVERED_WAITING_MAX: usize = 256;

/// Contacts get this long to end at shutdown: twice two seconds, and a little.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);

/// What the handle asks of the driver.
pub(super) enum Command {
    Dial { hub: HubId, addresses: Vec<String> },
    Admit(Admission),
    SetOnline(bool),
    Shutdown(oneshot::Sender<()>),
}

/// The state of the transport.
pub(super) struct Driver {
    config: TransportConfig,
    keypair: Keypair,
    admission: Admission,
    /// None while offline: dropping the swarm is what cuts every connection at once.
    swarm: Option<Swarm<Gate>>,
    pub(super) listening: Listening,
    dialing: Dialing,
    contacts: Contacts,
    by_connection: BTreeMap<ConnectionId, ContactId>,
    contacts_numbered: u64,
    tasks: JoinSet<()>,
    ended: (mpsc::UnboundedSender<ConnectionId>, mpsc::UnboundedReceiver<ConnectionId>),
    /// When a listener that failed is tried again.
    listen_at: Instant,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<TransportEvent>,
    waiting: VecDeque<TransportEvent>,
    counters: Arc<Counters>,
}

/// What the loop does next.
enum Step {
    Command(Option<Command>),
    Swarm(Box<SwarmEvent<GateEvent>>),
    Ended(ConnectionId),
    Report,
    Listen,
    Reaped,
}

impl Driver {
    pub(super) fn new(
        config: TransportConfig,
        keypair: Keypair,
        listening: Listening,
        contacts: Contacts,
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::Sender<TransportEvent>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let admission = Admission::default();
        let swarm = stack::swarm(&config, &keypair, admission.clone(), &counters)?;
        Ok(Self {
            config,
            keypair,
            admission,
            swarm: Some(swarm),
            listening,
            dialing: Dialing::default(),
            contacts,
            by_connection: BTreeMap::new(),
            contacts_numbered: 0,
            tasks: JoinSet::new(),
            ended: mpsc::unbounded_channel(),
            listen_at: Instant::now(),
            commands,
            events,
            waiting: VecDeque::new(),
            counters,
        })
    }

    /// Starts to listen and waits until every listener has an address.
    pub(super) async fn listen_first(&mut self) -> Result<(), (String, String)> {
        let swarm = self.swarm.as_mut().expect("a transport starts online");
        let refused = |(address, reason): (libp2p::Multiaddr, _)| (address.to_string(), reason);
        self.listening.listen(swarm).map_err(refused)?;
        while !self.listening.is_complete() {
            match next_event(&mut self.swarm).await {
                SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                    let address = addresses.first().map(ToString::to_string);
                    let reason = reason.err().map(|error| error.to_string());
                    return Err((address.unwrap_or_default(), reason.unwrap_or_default()));
                }
                event => self.on_swarm_event(event),
            }
        }
        Ok(())
    }

    /// Runs until the handle is dropped or says shutdown.
    pub(super) async fn run(mut self) {
        loop {
            match self.next_step().await {
                Step::Command(Some(Command::Shutdown(done))) => {
                    self.shutdown().await;
                    let _ = done.send(()); // nobody has to wait for it
                    return;
                }
                Step::Command(None) => return,
                Step::Command(Some(command)) => self.on_command(command),
                Step::Swarm(event) => self.on_swarm_event(*event),
                Step::Ended(connection) => self.on_contact_ended(connection),
                Step::Listen => self.listen(),
                Step::Report | Step::Reaped => {}
            }
        }
    }

    async fn next_step(&mut self) -> Step {
        let has_waiting = !self.waiting.is_empty();
        let is_listener_missing = self.swarm.is_some() && self.listening.is_missing();
        tokio::select! {
            command = self.commands.recv() => Step::Command(command),
            Some(connection) = self.ended.1.recv() => Step::Ended(connection),
            Ok(permit) = self.events.reserve(), if has_waiting => {
                permit.send(self.waiting.pop_front().expect("something waits"));
                Step::Report
            }
            Some(ended) = self.tasks.join_next() => {
                if let Err(error) = ended {
                    error!(%error, "a contact's task has failed");
                }
                Step::Reaped
            }
            () = sleep_until(self.listen_at), if is_listener_missing => Step::Listen,
            event = next_event(&mut self.swarm) => Step::Swarm(Box::new(event)),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { hub, addresses } => self.dial(hub, &addresses),
            Command::Admit(admission) => self.admit(admission),
            Command::SetOnline(true) => self.go_online(),
            Command::SetOnline(false) => self.go_offline(),
            Command::Shutdown(_) => unreachable!("the loop ends with it"),
        }
    }

    fn dial(&mut self, hub: HubId, addresses: &[String]) {
        let started = match &mut self.swarm {
            Some(swarm) => self.dialing.start(swarm, hub, addresses),
            None => Err(Failed { hub, reason: "this hub is offline".to_owned() }),
        };
        self.report_failed(started);
    }

    fn report_failed(&mut self, result: Result<(), Failed>) {
        if let Err(Failed { hub, reason }) = result {
            debug!(hub = %hub.short(), reason, "dial failed");
            self.counters.dials_failed.add(1);
            self.waiting.push_back(TransportEvent::DialFailed { hub, reason });
        }
    }

    fn admit(&mut self, admission: Admission) {
        self.admission = admission.clone();
        let Some(swarm) = &mut self.swarm else { return };
        for connection in swarm.behaviour_mut().admit(admission) {
            match self.by_connection.get(&connection) {
                Some(contact) => {
                    if let Some(handle) = self.contacts.lock().get(contact) {
                        handle.cut("no longer admitted");
                    }
                }
                None => drop(swarm.close_connection(connection)),
            }
        }
    }

    fn go_offline(&mut self) {
        self.listening.on_offline();
        self.contacts.lock().values().for_each(|handle| handle.reset("this hub went offline"));
        self.swarm = None;
        self.by_connection.clear();
        for failed in self.dialing.abandon("this hub went offline") {
            self.report_failed(Err(failed));
        }
    }

    fn go_online(&mut self) {
        if self.swarm.is_some() {
            return;
        }
        match stack::swarm(&self.config, &self.keypair, self.admission.clone(), &self.counters) {
            Ok(swarm) => self.swarm = Some(swarm),
            Err(error) => return warn!(%error, "this hub cannot go online"),
        }
        self.listen();
    }

    fn listen(&mut self) {
        let Some(swarm) = &mut self.swarm else { return };
        self.listen_at = Instant::now() + LISTEN_AGAIN_AFTER;
        if let Err((address, reason)) = self.listening.listen(swarm) {
            debug!(%address, reason, "cannot listen yet");
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<GateEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_gate_event(event),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_failed(connection_id, explain(&error));
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                let reason = cause.map_or("refused by the other side".to_owned(), |cause| {
                    format!("refused by the other side, or broken: {cause}")
                });
                self.on_dial_failed(connection_id, reason);
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                debug!(%error, %send_back_addr, "refused");
                if !matches!(error, libp2p::swarm::ListenError::Denied { .. }) {
                    self.counters.handshakes_failed.add(1);
                }
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listening.on_bound(listener_id, &address);
                let address = address.to_string();
                self.waiting.push_back(TransportEvent::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                self.listening.on_expired(listener_id, &address);
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                warn!(?reason, "a listener has closed; it is started again");
                self.listening.on_closed(listener_id);
            }
            SwarmEvent::ListenerError { error, .. } => debug!(%error, "accepting failed"),
            _ => {}
        }
    }

    fn on_dial_failed(&mut self, connection: ConnectionId, reason: String) {
        let Some(swarm) = &mut self.swarm else { return };
        let result = self.dialing.fail(swarm, connection, reason);
        self.report_failed(result);
    }

    fn on_gate_event(&mut self, event: GateEvent) {
        match event {
            GateEvent::Open { connection, hub, endpoint, stream } => {
                self.dialing.succeed(connection);
                self.contacts_numbered += 1;
                let contact = Contact {
                    id: ContactId(self.contacts_numbered),
                    hub,
                    connection,
                    is_dialer: endpoint.is_dialer,
                    address: without_peer(endpoint.address).to_string(),
                    events: self.events.clone(),
                    ended: self.ended.0.clone(),
                    counters: self.counters.clone(),
                };
                self.by_connection.insert(connection, contact.id);
                let queued_bytes_max = self.config.queued_bytes_max;
                self.tasks.spawn(contact.start(stream, &self.contacts, queued_bytes_max));
            }
            GateEvent::Failed { connection, reason } => {
                self.on_dial_failed(connection, reason);
                self.close_connection(connection);
            }
            GateEvent::Discovered { hub, address } => {
                if self.waiting.len() < DISCOVERED_WAITING_MAX {
                    let address = without_peer(address).to_string();
                    self.waiting.push_back(TransportEvent::Discovered { hub, address });
                }
            }
        }
    }

    fn on_contact_ended(&mut self, connection: ConnectionId) {
        self.by_connection.remove(&connection);
        self.close_connection(connection);
    }

    fn close_connection(&mut self, connection: ConnectionId) {
        if let Some(swarm) = &mut self.swarm {
            swarm.close_connection(connection); // false if it is gone already
        }
    }

    /// Closes every contact politely, within a bound.
    async fn shutdown(mut self) {
        let reason = "this hub is shutting down";
        self.contacts.lock().values().for_each(|handle| handle.close(reason.to_owned()));
        let ended = async {
            while !self.contacts.lock().is_empty() {
                tokio::select! {
                    Some(_) = self.ended.1.recv() => {}
                    _ = next_event(&mut self.swarm) => {}
                }
            }
        };
        if timeout(SHUTDOWN_TIME_MAX, ended).await.is_err() {
            debug!("some contacts did not end in time");
        }
    }
}

/// Waits for the next event of the swarm; for ever while offline.
async fn next_event(swarm: &mut Option<Swarm<Gate>>) -> SwarmEvent<GateEvent> {
    match swarm {
        Some(swarm) => swarm.select_next_some().await,
        None => std::future::pending().await,
    }
}
