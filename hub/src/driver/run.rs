//! The loop around the node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use yingxue_sync_core::event::{
    Alarm, Command, Event, Input, MembershipView, Output, Refusal, RequestId,
};
use yingxue_sync_core::id::{BlobId, HubId};
use yingxue_sync_core::{Node, Time};
use yingxue_sync_io::transport::{Transport, TransportEvent};

use super::news::{self, News};
use super::{Answer, Ask, ContactsView, DriverConfig, Reply, SyncHandle, history};
use crate::alarms;
use crate::db::Db;
use crate::events::HubEvent;
use crate::store::{StoreThread, identity};

/// How often the node hears the wall clock; it shows times and lets invitations expire.
const CLOCK_EVERY: Duration = Duration::from_secs(60);
/// Inputs taken before outputs are carried out: bounds the delay of an answer.
const INPUTS_AT_ONCE_MAX: usize = 32;
/// Hubs whose dials are remembered; more than an alliance has.
const DIALS_KEPT: usize = 1_024;
/// Blobs remembered as having no room; more than the node fetches at a time.
const STALLED_KEPT: usize = 1_024;

/// What the driver touches on the outside.
pub(super) struct Edge {
    pub(super) transport: Transport,
    pub(super) contacts: mpsc::Receiver<TransportEvent>,
    pub(super) store: StoreThread,
    pub(super) asks: mpsc::Receiver<Ask>,
}

/// Values that handles read without asking.
pub(super) struct Watches {
    pub(super) membership: watch::Sender<Option<Arc<MembershipView>>>,
    pub(super) is_online: watch::Sender<bool>,
    pub(super) is_in_doubt: watch::Sender<bool>,
    pub(super) addresses: watch::Sender<Vec<String>>,
}

/// The node and everything that it is driven with.
pub(super) struct Driver {
    node: Node,
    edge: Edge,
    watches: Watches,
    news: Arc<News>,
    db: Db,
    config: DriverConfig,
    started: Instant,
    next_request: RequestId,
    waiting: BTreeMap<RequestId, Reply<Result<Answer, Refusal>>>,
    dial_errors: BTreeMap<HubId, String>,
    stalled: BTreeSet<BlobId>,
    tasks: JoinSet<()>,
}

impl Driver {
    pub(super) fn new(
        node: Node,
        edge: Edge,
        watches: Watches,
        news: Arc<News>,
        db: Db,
        config: DriverConfig,
    ) -> Self {
        Self {
            node,
            edge,
            watches,
            news,
            db,
            config,
            started: Instant::now(),
            next_request: 1,
            waiting: BTreeMap::new(),
            dial_errors: BTreeMap::new(),
            stalled: BTreeSet::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Runs until a handle says stop.
    pub(super) async fn run(mut self, handle: SyncHandle) {
        self.tasks.spawn(news::keep_wants(Arc::clone(&self.news), handle));
        self.tasks.spawn(news::keep_progress(Arc::clone(&self.news)));
        let mut clock = tokio::time::interval(CLOCK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.input(Input::Clock { wall_ms: wall_ms() });
        self.tell_addresses();
        loop {
            self.carry_out().await;
            let wake_at = self.wake_at();
            tokio::select! {
                Some(ask) = self.edge.asks.recv() => match ask {
                    Ask::Stop(reply) => return self.stop(reply).await,
                    Ask::Evict(chosen, reply) => self.edge.store.evict(chosen, reply).await,
                    ask => self.take(ask),
                },
                Some(event) = self.edge.contacts.recv() => self.hear(event),
                Some(reply) = self.edge.store.reply() => self.input(Input::Stored(reply)),
                () = tokio::time::sleep_until(wake_at) => {
                    let now = self.now();
                    self.node.handle_timeout(now);
                }
                _ = clock.tick() => {
                    self.input(Input::Clock { wall_ms: wall_ms() });
                    self.note_identity();
                }
            }
            self.take_what_is_ready();
        }
    }

    /// Takes a few more inputs that are here already, so that a busy link costs fewer rounds.
    fn take_what_is_ready(&mut self) {
        for _ in 0..INPUTS_AT_ONCE_MAX {
            if let Some(reply) = self.edge.store.try_reply() {
                self.input(Input::Stored(reply));
            } else if let Ok(event) = self.edge.contacts.try_recv() {
                self.hear(event);
            } else {
                return;
            }
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wake_at(&self) -> Instant {
        let idle = self.started + self.started.elapsed() + CLOCK_EVERY;
        let wanted = self.node.poll_timeout().map(|at| Duration::from_millis(at.0));
        wanted.and_then(|after| self.started.checked_add(after)).map_or(idle, |at| at.min(idle))
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        self.node.handle_input(now, input);
    }

    fn hear(&mut self, event: TransportEvent) {
        let input = match event {
            TransportEvent::Opened { contact, hub, is_dialer, address } => {
                self.dial_errors.remove(&hub);
                Input::Opened { contact, hub, is_dialer, address }
            }
            TransportEvent::DialFailed { hub, reason } => {
                if self.dial_errors.len() < DIALS_KEPT {
                    self.dial_errors.insert(hub, reason.clone());
                }
                self.news.publish(HubEvent::Contact {});
                Input::DialFailed { hub, reason }
            }
            TransportEvent::Discovered { hub, address } => Input::Discovered { hub, address },
            TransportEvent::Received { contact, frame } => Input::Received { contact, frame },
            TransportEvent::Closed { contact, reason } => Input::Closed { contact, reason },
            TransportEvent::Listening { .. } => return self.tell_addresses(),
        };
        self.input(input);
    }

    /// Tells the node where others find this hub: what the configuration says, or what is seen.
    fn tell_addresses(&mut self) {
        let seen = self.edge.transport.listen_addresses();
        let told = if self.config.sync.announce.is_empty() {
            seen.clone()
        } else {
            self.config.sync.announce.clone()
        };
        self.input(Input::Command(Command::SetAddresses(told)));
        self.watches.addresses.send_replace(seen);
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Command(command, reply) => {
                let request = self.next_request;
                self.next_request += 1;
                self.waiting.retain(|_, reply| !reply.is_closed());
                self.waiting.insert(request, reply);
                self.input(Input::Command(command(request)));
            }
            Ask::Tell(command) => self.input(Input::Command(command)),
            Ask::Contacts(reply) => {
                let contacts = self.node.contacts(self.now());
                let dial_errors = self.dial_errors.clone().into_iter().collect();
                // Nobody may be waiting any more.
                let stalled = self.stalled.clone();
                drop(reply.send(ContactsView { contacts, dial_errors, stalled }));
            }
            Ask::CourierView(reply) => drop(reply.send(self.node.courier_view())),
            Ask::AnswerInvitation { text, school, reply } => {
                let answer = self.node.answer_invitation(self.now(), &text, &school);
                drop(reply.send(answer));
            }
            Ask::SetOnline(is_online, reply) => {
                self.edge.transport.set_online(is_online);
                if is_online {
                    self.dial_errors.clear();
                    self.input(Input::Command(Command::Reconnect));
                }
                self.watches.is_online.send_replace(is_online);
                self.news.publish(HubEvent::Link { is_online });
                let _ = reply.send(()); // nobody may be waiting any more
            }
            Ask::HasRoom(blobs) => {
                let stalled = self.stalled.len();
                self.stalled.retain(|blob| !blobs.contains(blob));
                if self.stalled.len() < stalled {
                    self.news.publish(HubEvent::Contact {});
                }
            }
            // The loop has taken them.
            Ask::Stop(_) | Ask::Evict(..) => {}
        }
    }

    async fn stop(mut self, reply: Reply<()>) {
        self.edge.transport.shutdown().await;
        drop(self.edge.store);
        let (db, dir, hub) = (self.db.clone(), self.config.data_dir.clone(), self.node.hub_id());
        let noted = tokio::task::spawn_blocking(move || identity::note(&db, &dir, hub)).await;
        if !matches!(noted, Ok(Ok(()))) {
            tracing::warn!("the file beside the database cannot be written");
        }
        self.tasks.abort_all();
        let _ = reply.send(()); // nobody may be waiting any more
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { contact, frame } => self.edge.transport.send(contact, frame),
                Output::Close { contact, reason } => self.edge.transport.close(contact, reason),
                Output::Dial { hub, addresses } => {
                    self.edge.transport.dial(hub, addresses);
                }
                Output::Admit { hubs, are_strangers_admitted } => {
                    let hubs = hubs.into_iter().collect();
                    self.edge.transport.admit(hubs, are_strangers_admitted);
                }
                Output::Store(request) => self.edge.store.submit(request).await,
                Output::Event(event) => self.happened(event),
            }
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Done { request } => self.answer(request, Ok(Answer::Done)),
            Event::Refused { request, reason } => self.answer(request, Err(reason)),
            Event::Invited { request, text } => self.answer(request, Ok(Answer::Invitation(text))),
            Event::Carried { request, outcome } => {
                self.answer(request, Ok(Answer::Carried(outcome)));
            }
            Event::MembershipChanged => {
                self.watches.membership.send_replace(self.node.membership().map(Arc::new));
                self.news.publish(HubEvent::Alliance {});
            }
            Event::BlobProgress { blob, .. } => self.has_moved(blob),
            Event::BlobComplete { blob } => {
                self.has_moved(blob);
                // Pieces that the file lost meanwhile are still to be fetched.
                self.news.want();
            }
            Event::BlobStalled { blob } => {
                tracing::warn!(%blob, "the disk is full; a lesson cannot be fetched");
                if self.stalled.len() < STALLED_KEPT && self.stalled.insert(blob) {
                    self.news.publish(HubEvent::Contact {});
                    self.news.want();
                }
            }
            Event::ContactUp { hub, address, .. } => {
                tracing::info!(hub = %hub.short(), address, "met another school's hub");
                self.remember(history::Entry::met(hub));
                self.news.want();
            }
            Event::ContactDown { hub, reason, received_bytes, sent_bytes, .. } => {
                tracing::info!(hub = %hub.short(), reason, "parted from another school's hub");
                self.remember(history::Entry::left(hub, reason, received_bytes, sent_bytes));
                self.news.want();
            }
            // The node has logged it.
            Event::Alarm(alarm) => self.keep_alarm(alarm),
            Event::DoubtChanged { is_in_doubt } => {
                self.watches.is_in_doubt.send_replace(is_in_doubt);
                self.news.publish(HubEvent::Alarm {});
            }
        }
    }

    fn has_moved(&mut self, blob: BlobId) {
        if self.stalled.remove(&blob) {
            self.news.publish(HubEvent::Contact {});
        }
        self.news.moved(blob);
    }

    fn answer(&mut self, request: RequestId, answer: Result<Answer, Refusal>) {
        if let Some(reply) = self.waiting.remove(&request) {
            // Nobody may be waiting any more.
            drop(reply.send(answer));
        }
    }

    fn keep_alarm(&mut self, alarm: Alarm) {
        let (db, news) = (self.db.clone(), Arc::clone(&self.news));
        let at_ms = i64::try_from(wall_ms()).unwrap_or(i64::MAX);
        self.tasks.spawn(async move {
            if let Err(error) = db.write(move |tx| alarms::keep(tx, &alarm, at_ms)).await {
                tracing::warn!(%error, "an alarm cannot be kept");
            }
            news.publish(HubEvent::Alarm {});
        });
    }

    /// Notes beside the database how much this hub has written; an older database is found out.
    fn note_identity(&mut self) {
        let (db, dir, hub) = (self.db.clone(), self.config.data_dir.clone(), self.node.hub_id());
        self.tasks.spawn_blocking(move || {
            if let Err(error) = identity::note(&db, &dir, hub) {
                tracing::warn!(error, "the file beside the database cannot be written");
            }
        });
    }

    fn remember(&mut self, entry: history::Entry) {
        let (db, news) = (self.db.clone(), Arc::clone(&self.news));
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            if let Err(error) = db.write(move |tx| history::add(tx, &entry)).await {
                tracing::warn!(%error, "the history of links cannot be kept");
            }
            news.publish(HubEvent::Contact {});
        });
    }
}

/// Gives the wall clock in milliseconds since 1970; 0 if it stands before that.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
