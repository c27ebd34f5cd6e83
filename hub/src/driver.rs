//! Drives the sync node: the only place of the hub that touches it (DESIGN §14, invariant 11).
//!
//! The driver feeds the node with the clock, contacts, replies of the store and what the hub
//! asks, carries out its outputs in order, and decides nothing. Everything else of the hub holds
//! a [`SyncHandle`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use yingxue_sync_core::courier::{Carried, CarryError, Keys, Outcome, SignedAnswer, View};
use yingxue_sync_core::event::{
    Command, ContactView, DocEdit, MembershipView, Refusal, RequestId, Restored, StoreError, Want,
};
use yingxue_sync_core::id::{BlobId, CollectionId, DocId, HubId};
use yingxue_sync_core::{Node, NodeConfig};
use yingxue_sync_io::blob_files::BlobFiles;
use yingxue_sync_io::transport::{Transport, TransportConfig};

use crate::config::SyncConfig;
use crate::db::Db;
use crate::events::EventBus;
use crate::night::policy::Policy;
use crate::store::evicted::Evict;
use crate::store::{Notice, Store, identity, lost};
use news::News;

pub mod history;
mod key_file;
pub mod news;
mod run;

/// Requests that may wait for the driver; a request waits for its place beyond that.
const MAILBOX_MAX: usize = 256;
/// Longest wait for the node's answer; below the HTTP time-out, so that a page is told why.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(75);
/// Longest wait for the node to judge what a courier brought: thousands of documents may have to
/// be brought up to date first.
const CARRY_WAIT_MAX: Duration = Duration::from_secs(900);

/// Bytes of the disk that blobs leave free: the database and its log have to go on growing.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// Where the driver keeps things and how it is reached.
#[derive(Clone)]
pub struct DriverConfig {
    /// The hub's data directory; it has to exist.
    pub data_dir: PathBuf,
    /// Addresses and discovery.
    pub sync: SyncConfig,
    /// What may be fetched when.
    pub policy: Arc<Policy>,
}

/// Why the driver could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key file could not be read or made.
    #[error("cannot use the key file {path}: {reason}")]
    Key {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store could not be read.
    #[error("cannot read what the hub has kept: {0}")]
    Store(String),
    /// What the store holds is not what was put there.
    #[error("what the hub has kept is damaged: {0}")]
    Damaged(String),
    /// The node refuses what the store holds.
    #[error("what the hub has kept does not fit together: {0}")]
    Restore(String),
    /// The network could not be used.
    #[error("cannot listen for other hubs: {0}")]
    Transport(String),
}

/// What is happening with other hubs now.
#[derive(Debug, Clone, Default)]
pub struct ContactsView {
    /// Open contacts.
    pub contacts: Vec<ContactView>,
    /// Hubs that were dialled in vain, with the reason, for people.
    pub dial_errors: Vec<(HubId, String)>,
    /// Blobs for which this disk has no room.
    pub stalled: BTreeSet<BlobId>,
}

/// What a carried-out command gives back.
#[derive(Debug)]
enum Answer {
    Done,
    Invitation(String),
    Carried(Outcome),
}

type Reply<T> = oneshot::Sender<T>;

/// What a handle asks the driver.
enum Ask {
    Command(Box<dyn FnOnce(RequestId) -> Command + Send>, Reply<Result<Answer, Refusal>>),
    Tell(Command),
    Contacts(Reply<ContactsView>),
    CourierView(Reply<Option<View>>),
    AnswerInvitation { text: String, school: String, reply: Reply<Result<SignedAnswer, Refusal>> },
    Evict(Vec<Evict>, Reply<Result<Vec<BlobId>, StoreError>>),
    HasRoom(BTreeSet<BlobId>),
    SetOnline(bool, Reply<()>),
    Stop(Reply<()>),
}

/// The way to the node for the rest of the hub. Cheap to clone.
#[derive(Clone)]
pub struct SyncHandle {
    mailbox: mpsc::Sender<Ask>,
    membership: watch::Receiver<Option<Arc<MembershipView>>>,
    is_online: watch::Receiver<bool>,
    is_in_doubt: watch::Receiver<bool>,
    addresses: watch::Receiver<Vec<String>>,
    hub: HubId,
    keys: Arc<Keys>,
    data_dir: Arc<PathBuf>,
    files: Arc<BlobFiles>,
    news: Arc<News>,
}

/// Starts the driver on the current runtime.
///
/// # Errors
/// If a key, the store or the network cannot be used.
pub async fn start(
    config: DriverConfig,
    db: Db,
    events: EventBus,
) -> Result<SyncHandle, StartError> {
    let secret = key_file::load_or_create(&config.data_dir.join("hub.key"))?;
    let hub = yingxue_sync_core::hub_of(&secret);
    let mut files = BlobFiles::open(config.data_dir.join("blobs"), FREE_BYTES_MIN)
        .map_err(|e| StartError::Store(e.to_string()))?;
    if config.policy.storage.lessons_bytes_max > 0 {
        files = files.limited_to(config.policy.storage.lessons_bytes_max);
    }
    let files = Arc::new(files);
    let news = Arc::new(News::new(db.clone(), events, Arc::clone(&config.policy)));
    let (store, restored) = {
        let (db, files, told) = (db.clone(), Arc::clone(&files), Arc::clone(&news));
        let data_dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let checked = identity::check(&db, &data_dir, hub);
            checked.map_err(|e| damage_or(&db, e, StartError::Store))?;
            open_store(db, files, move |notice| told.tell(notice))
        });
        opened.await.map_err(|e| StartError::Store(e.to_string()))??
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| StartError::Store(e.to_string()))?;
    let node = Node::new(NodeConfig::new(secret, seed), restored)
        .map_err(|e| StartError::Restore(e.to_string()))?;

    let told = Arc::clone(&news);
    let store = store
        .start(move |notice| told.tell(notice))
        .map_err(|e| StartError::Store(e.to_string()))?;
    let transport = TransportConfig {
        secret,
        listen: config.sync.listen.clone(),
        is_mdns_on: config.sync.is_mdns,
        ..TransportConfig::default()
    };
    let (transport, contacts) =
        Transport::start(transport).await.map_err(|e| StartError::Transport(e.to_string()))?;

    let (mailbox, asks) = mpsc::channel(MAILBOX_MAX);
    let (membership, membership_seen) = watch::channel(node.membership().map(Arc::new));
    let (is_online, is_online_seen) = watch::channel(true);
    let (is_in_doubt, is_in_doubt_seen) = watch::channel(node.is_in_doubt());
    let (addresses, addresses_seen) = watch::channel(Vec::new());
    let handle = SyncHandle {
        mailbox,
        membership: membership_seen,
        is_online: is_online_seen,
        is_in_doubt: is_in_doubt_seen,
        addresses: addresses_seen,
        hub: node.hub_id(),
        keys: Arc::new(Keys::of(&secret)),
        data_dir: Arc::new(config.data_dir.clone()),
        files,
        news: Arc::clone(&news),
    };
    let watches = run::Watches { membership, is_online, is_in_doubt, addresses };
    let edge = run::Edge { transport, contacts, store, asks };
    let driver = run::Driver::new(node, edge, watches, news, db, config);
    tokio::spawn(driver.run(handle.clone()));
    Ok(handle)
}

/// Tells an error that comes of a damaged database from others.
fn damage_or(db: &Db, error: String, other: fn(String) -> StartError) -> StartError {
    match &*db.watch_damage().borrow() {
        Some(why) => StartError::Damaged(why.clone()),
        None => other(error),
    }
}

/// Opens the store and puts its rows right with its files.
fn open_store(
    db: Db,
    files: Arc<BlobFiles>,
    notify: impl Fn(Notice) + Send + 'static,
) -> Result<(Store, Restored), StartError> {
    let store = Store::new(db.clone(), Arc::clone(&files));
    match store.remove_evicted() {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "files of lessons that were let go were removed"),
        Err(error) => tracing::warn!(%error, "files of lessons that were let go are still there"),
    }
    match store.remove_unnamed() {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "blobs that no lesson names were removed"),
        Err(error) => tracing::warn!(%error, "blobs that no lesson names could not be removed"),
    }
    let checked = lost::check_all(db.clone(), files, notify);
    checked.map_err(|e| damage_or(&db, e, StartError::Store))?;
    let restored = store.restore().map_err(|error| match error {
        StoreError::NoSpace => StartError::Store(error.to_string()),
        error => StartError::Damaged(error.to_string()),
    })?;
    Ok((store, restored))
}

impl SyncHandle {
    /// Gives this hub's key.
    pub fn hub_id(&self) -> HubId {
        self.hub
    }

    /// Gives who belongs to the alliance, or none if this hub belongs to none.
    pub fn membership(&self) -> Option<Arc<MembershipView>> {
        self.membership.borrow().clone()
    }

    /// Says whether this hub was restored or copied and writes nothing yet.
    pub fn is_in_doubt(&self) -> bool {
        *self.is_in_doubt.borrow()
    }

    /// Writes on although nobody has said what this hub wrote before it was restored.
    pub async fn end_doubt(&self) -> Result<(), Refusal> {
        self.done(move |request| Command::EndDoubt { request }).await
    }

    /// Makes this hub the registrar, by the alliance's root key.
    pub async fn take_over(&self, root_secret: [u8; 32]) -> Result<(), Refusal> {
        self.done(move |request| Command::TakeOver { request, root_secret }).await
    }

    /// Watches the membership; the value changes when it is durable.
    pub fn watch_membership(&self) -> watch::Receiver<Option<Arc<MembershipView>>> {
        self.membership.clone()
    }

    /// Watches the multiaddresses on which this hub listens.
    pub fn watch_addresses(&self) -> watch::Receiver<Vec<String>> {
        self.addresses.clone()
    }

    /// Gives the files of blobs.
    pub fn files(&self) -> &Arc<BlobFiles> {
        &self.files
    }

    /// Gives the place that hears what has changed.
    pub fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// Founds an alliance; the root key is left in `alliance-root.key`, to be put on paper.
    pub async fn found(&self, name: String, school: String) -> Result<(), Refusal> {
        if self.membership().is_some() {
            return Err(Refusal::AlreadyMember);
        }
        let path = self.data_dir.join("alliance-root.key");
        let root_secret = tokio::task::spawn_blocking(move || key_file::load_or_create(&path))
            .await
            .map_err(|e| Refusal::Store(e.to_string()))?
            .map_err(|e| Refusal::Store(e.to_string()))?;
        self.done(move |request| Command::Found { request, name, school, root_secret }).await
    }

    /// Makes an invitation and gives its line of text.
    pub async fn invite(&self, expires_wall_ms: u64) -> Result<String, Refusal> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|e| Refusal::Store(e.to_string()))?;
        let invite = move |request| Command::Invite { request, secret, expires_wall_ms };
        match self.ask(invite).await? {
            Answer::Invitation(text) => Ok(text),
            _ => Err(Refusal::Store("the invitation has no text".to_owned())),
        }
    }

    /// Joins an alliance; returns when this hub is a member, durably.
    pub async fn join(&self, invitation: String, school: String) -> Result<(), Refusal> {
        self.done(move |request| Command::Join { request, invitation, school }).await
    }

    /// Answers an invitation for a courier to take along; nothing changes by it.
    pub async fn answer_invitation(
        &self,
        text: String,
        school: String,
    ) -> Result<SignedAnswer, Refusal> {
        let answer = self.ask_driver(|reply| Ask::AnswerInvitation { text, school, reply }).await;
        answer.unwrap_or_else(|| Err(Refusal::Store("the hub is stopping".to_owned())))
    }

    /// Joins by the epochs that a courier brought, of the alliance whose invitation was answered;
    /// returns when this hub is a member, durably.
    pub async fn join_carried(
        &self,
        invitation: String,
        epochs: Vec<Vec<u8>>,
    ) -> Result<(), Refusal> {
        self.done(move |request| Command::JoinCarried { request, invitation, epochs }).await
    }

    /// Takes a hub out of the alliance.
    pub async fn revoke(&self, hub: HubId) -> Result<(), Refusal> {
        self.done(move |request| Command::Revoke { request, hub }).await
    }

    /// Changes a document, all or nothing; returns when that is durable.
    pub async fn edit_doc(
        &self,
        collection: CollectionId,
        doc: DocId,
        author: String,
        edits: Vec<DocEdit>,
    ) -> Result<(), Refusal> {
        self.done(move |request| Command::EditDoc { request, collection, doc, author, edits }).await
    }

    /// Tells that a blob made here is whole and durable.
    pub async fn blob_added(&self, blob: BlobId) {
        self.tell(Command::BlobAdded(blob)).await;
    }

    /// Replaces the list of blobs to fetch.
    pub async fn set_wants(&self, wants: Vec<Want>) {
        self.tell(Command::SetWants(wants)).await;
    }

    /// Lets go of blobs to make room; gives those that have gone, durably. They must not be among
    /// the wants.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn evict(&self, chosen: Vec<Evict>) -> Result<Vec<BlobId>, StoreError> {
        let stopping = || Err(StoreError::Failed("the hub is stopping".to_owned()));
        let evicted = self.ask_driver(|reply| Ask::Evict(chosen, reply)).await;
        let evicted = evicted.unwrap_or_else(stopping)?;
        for blob in &evicted {
            self.tell(Command::BlobGone(*blob)).await;
        }
        Ok(evicted)
    }

    /// Tells that blobs for which the disk had no room would find it now.
    pub(crate) async fn has_room(&self, blobs: BTreeSet<BlobId>) {
        drop(self.mailbox.send(Ask::HasRoom(blobs)).await);
    }

    /// Gives the keys that sign and open what couriers carry.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Gives what decides what a courier carries; none without an alliance.
    pub async fn courier_view(&self) -> Option<View> {
        self.ask_driver(Ask::CourierView).await.flatten()
    }

    /// Has the node judge something that a courier brought; what it accepts is durable.
    pub async fn carry(&self, carried: Carried) -> Outcome {
        let carry = move |request| Command::Carry { request, carried };
        let asked = self.ask_driver(|reply| Ask::Command(Box::new(carry), reply));
        let failed = |reason: String| Outcome {
            refused: Some(CarryError::Store(StoreError::Failed(reason))),
            ..Outcome::default()
        };
        match tokio::time::timeout(CARRY_WAIT_MAX, asked).await {
            Ok(Some(Ok(Answer::Carried(outcome)))) => outcome,
            Ok(Some(Err(refusal))) => failed(refusal.to_string()),
            Ok(Some(Ok(_))) => failed("an answer of another kind".to_owned()),
            Ok(None) => failed("the hub is stopping".to_owned()),
            Err(_) => failed("the node gave no answer in time".to_owned()),
        }
    }

    /// Says what is happening with other hubs now.
    pub async fn contacts(&self) -> ContactsView {
        self.ask_driver(Ask::Contacts).await.unwrap_or_default()
    }

    /// Cuts every connection to other hubs, or allows them again; not kept over a restart.
    pub async fn set_online(&self, is_online: bool) {
        self.ask_driver(|reply| Ask::SetOnline(is_online, reply)).await;
    }

    /// Says whether connections to other hubs are allowed.
    pub fn is_online(&self) -> bool {
        *self.is_online.borrow()
    }

    /// Stops the driver and closes its connections; what was acknowledged is durable anyway.
    pub async fn shutdown(&self) {
        self.ask_driver(Ask::Stop).await;
    }

    async fn tell(&self, command: Command) {
        // A driver that has stopped needs to hear nothing.
        drop(self.mailbox.send(Ask::Tell(command)).await);
    }

    async fn ask_driver<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn done(
        &self,
        command: impl FnOnce(RequestId) -> Command + Send + 'static,
    ) -> Result<(), Refusal> {
        self.ask(command).await.map(drop)
    }

    async fn ask(
        &self,
        command: impl FnOnce(RequestId) -> Command + Send + 'static,
    ) -> Result<Answer, Refusal> {
        let asked = self.ask_driver(|reply| Ask::Command(Box::new(command), reply));
        match tokio::time::timeout(ANSWER_WAIT_MAX, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Refusal::Store("the hub is stopping".to_owned())),
            Err(_) => Err(Refusal::Store("the node gave no answer in time".to_owned())),
        }
    }
}

/// Says whether a node starts with what a store holds.
///
/// # Errors
/// What the node says of it.
#[cfg(test)]
pub(crate) fn try_node(
    secret: [u8; 32],
    restored: yingxue_sync_core::event::Restored,
) -> Result<(), yingxue_sync_core::RestoreError> {
    Node::new(NodeConfig::new(secret, [1; 32]), restored).map(drop)
}

#[cfg(test)]
mod tests;
