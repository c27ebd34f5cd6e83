//! One contact: a framed stream, read and written by one task.
//!
//! On the wire a frame is its length (16 bits, big-endian, 1 to [`FRAME_BYTES_MAX`]) and its
//! bytes. Length 0 says goodbye: an orderly end is told apart from a broken connection.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use yingxue_sync_core::id::{ContactId, HubId};
use yingxue_sync_core::wire::FRAME_BYTES_MAX;

use super::TransportEvent;
use super::counters::Counters;

/// Two frames: enough that a read seldom waits for the second half of a frame.
const READ_BUFFER_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// Frames are written together up to this size, so that small ones do not each cost a packet.
const WRITE_BATCH_BYTES: usize = 4 * FRAME_BYTES_MAX;

/// Writing the rest, and then waiting for the other side to end, may each take this long.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// The open contacts.
#[derive(Debug, Clone, Default)]
pub(super) struct Contacts(Arc<Mutex<BTreeMap<ContactId, ContactHandle>>>);

impl Contacts {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<ContactId, ContactHandle>> {
        self.0.lock().expect("nobody panics while holding the contacts")
    }
}

/// The near end of a contact.
#[derive(Debug)]
pub(super) struct ContactHandle {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    queued_bytes: Arc<AtomicUsize>,
    queued_bytes_max: usize,
    ending: watch::Sender<Ending>,
}

#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    Goodbye,
}

/// How far the near side has ended a contact.
#[derive(Debug, Clone)]
enum Ending {
    Open,
    /// What was sent before goes out first.
    Close(String),
    /// At once.
    Cut(String),
}

impl ContactHandle {
    /// Queues a frame; one too many, or one of a wrong size, cuts the contact.
    pub(super) fn send(&self, frame: Vec<u8>) {
        if !matches!(*self.ending.borrow(), Ending::Open) {
            return;
        }
        let bytes = frame.len();
        if bytes == 0 || bytes > FRAME_BYTES_MAX {
            return self
                .cut(&format!("a frame of {bytes} bytes: 1 to {FRAME_BYTES_MAX} may be sent"));
        }
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if queued > self.queued_bytes_max {
            let bytes_max = self.queued_bytes_max;
            return self.cut(&format!("too slow: more than {bytes_max} bytes wait to be sent"));
        }
        let _ = self.outgoing.send(Outgoing::Frame(frame)); // a contact that is gone has said so
    }

    /// Ends the contact after what was sent before.
    pub(super) fn close(&self, reason: String) {
        if self.end(Ending::Close(reason)) {
            let _ = self.outgoing.send(Outgoing::Goodbye);
        }
    }

    /// Ends the contact at once, unless it is ending already.
    pub(super) fn cut(&self, reason: &str) {
        self.end(Ending::Cut(reason.to_owned()));
    }

    /// Ends the contact at once, even while it is closing.
    pub(super) fn reset(&self, reason: &str) {
        self.ending.send_replace(Ending::Cut(reason.to_owned()));
    }

    fn end(&self, ending: Ending) -> bool {
        self.ending.send_if_modified(|now| {
            let is_open = matches!(now, Ending::Open);
            if is_open {
                *now = ending;
            }
            is_open
        })
    }
}

/// What a contact needs to run.
pub(super) struct Contact {
    pub(super) id: ContactId,
    pub(super) hub: HubId,
    pub(super) connection: ConnectionId,
    pub(super) is_dialer: bool,
    pub(super) address: String,
    pub(super) events: mpsc::Sender<TransportEvent>,
    pub(super) ended: mpsc::UnboundedSender<ConnectionId>,
    pub(super) counters: Arc<Counters>,
}

impl Contact {
    /// Registers the contact and returns the task that runs it until it ends.
    pub(super) fn start(
        self,
        stream: Stream,
        contacts: &Contacts,
        queued_bytes_max: usize,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let (ending, ending_seen) = watch::channel(Ending::Open);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let handle = ContactHandle {
            outgoing,
            queued_bytes: queued_bytes.clone(),
            queued_bytes_max,
            ending,
        };
        contacts.lock().insert(self.id, handle);
        self.counters.contacts_opened.add(1);
        let queue = Queue { frames: queue, queued_bytes, counters: self.counters.clone() };
        self.run(stream, queue, ending_seen, contacts.clone())
    }

    async fn run(
        self,
        stream: Stream,
        queue: Queue,
        ending: watch::Receiver<Ending>,
        contacts: Contacts,
    ) {
        let opened = TransportEvent::Opened {
            contact: self.id,
            hub: self.hub,
            is_dialer: self.is_dialer,
            address: self.address.clone(),
        };
        let mut unreported = Some(opened);
        let reason = tokio::select! {
            biased;
            reason = until_cut(ending.clone()) => reason,
            reason = self.converse(stream, queue, ending.clone(), &mut unreported) => reason,
        };
        contacts.lock().remove(&self.id);
        let _ = self.ended.send(self.connection); // the driver is gone when the hub stops
        if let Some(opened) = unreported {
            let _ = self.events.send(opened).await;
        }
        let _ = self.events.send(TransportEvent::Closed { contact: self.id, reason }).await;
        self.counters.contacts_closed.add(1);
    }

    /// Exchanges frames until one side ends; returns why.
    async fn converse(
        &self,
        stream: Stream,
        mut queue: Queue,
        ending: watch::Receiver<Ending>,
        unreported: &mut Option<TransportEvent>,
    ) -> String {
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
        let result = tokio::select! {
            biased;
            reason = until_overdue(ending.clone()) => return reason,
            result = queue.transmit(&mut writer) => result,
            end = self.receive(&mut reader, unreported) => {
                // After a failed read the stream must not be touched: if the failure came before
                // the lazy negotiation was confirmed, multistream-select panics on a write.
                if end.is_orderly {
                    let _ = timeout(CLOSE_TIME_MAX, writer.close()).await;
                }
                return end.reason;
            }
        };
        match result {
            Ok(()) => {
                let mut rest = futures::io::sink();
                let _ = timeout(CLOSE_TIME_MAX, futures::io::copy(&mut reader, &mut rest)).await;
                until_closed(ending).await
            }
            // What the other side has said before the connection broke is still worth hearing.
            Err(error) => timeout(CLOSE_TIME_MAX, self.receive(&mut reader, unreported))
                .await
                .map_or_else(|_| broken(&error), |end| end.reason),
        }
    }

    /// Hands on what arrives. Waits while nobody takes it, and so stops the sender.
    async fn receive(
        &self,
        reader: &mut (impl futures::AsyncRead + Unpin),
        unreported: &mut Option<TransportEvent>,
    ) -> End {
        let stopped = || End::broken("the hub stopped".to_owned());
        let Ok(permit) = self.events.reserve().await else {
            return stopped();
        };
        if let Some(opened) = unreported.take() {
            permit.send(opened);
        }
        loop {
            let frame = match read_frame(reader).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return End::goodbye(),
                Err(error) => return End::broken(broken(&error)),
            };
            self.counters.received_frames.add(1);
            self.counters.received_bytes.add(frame.len() as u64);
            let received = TransportEvent::Received { contact: self.id, frame };
            if self.events.send(received).await.is_err() {
                return stopped();
            }
        }
    }
}

/// How the other side has ended a contact.
struct End {
    reason: String,
    /// True if it said goodbye.
    is_orderly: bool,
}

impl End {
    fn goodbye() -> Self {
        Self { reason: "the other side closed the contact".to_owned(), is_orderly: true }
    }

    fn broken(reason: String) -> Self {
        Self { reason, is_orderly: false }
    }
}

/// Reads one frame; nothing is the goodbye.
async fn read_frame(reader: &mut (impl futures::AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    reader.read_exact(&mut length).await?;
    let length = usize::from(u16::from_be_bytes(length));
    if length == 0 {
        return Ok(None);
    }
    if length > FRAME_BYTES_MAX {
        let text = format!("a frame of {length} bytes: at most {FRAME_BYTES_MAX} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

/// Frames on their way out.
struct Queue {
    frames: mpsc::UnboundedReceiver<Outgoing>,
    queued_bytes: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

impl Queue {
    /// Writes frames until the goodbye has been written.
    async fn transmit(
        &mut self,
        writer: &mut (impl futures::AsyncWrite + Unpin),
    ) -> io::Result<()> {
        // The stream was opened lazily; this is what tells the other side of it.
        writer.flush().await?;
        let mut batch = Vec::with_capacity(WRITE_BATCH_BYTES + FRAME_BYTES_MAX + 2);
        while let Some(first) = self.frames.recv().await {
            let (frames, bytes, is_last) = self.fill(&mut batch, first);
            writer.write_all(&batch).await?;
            writer.flush().await?;
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counters.sent_frames.add(frames);
            self.counters.sent_bytes.add(bytes as u64);
            if is_last {
                return writer.close().await;
            }
        }
        Err(io::Error::other("the hub stopped"))
    }

    /// Puts `first` and what waits behind it into `batch`; counts frames and their bytes.
    fn fill(&mut self, batch: &mut Vec<u8>, first: Outgoing) -> (u64, usize, bool) {
        batch.clear();
        let (mut frames, mut bytes, mut next) = (0, 0, Some(first));
        while let Some(outgoing) = next.take() {
            let Outgoing::Frame(frame) = outgoing else {
                batch.extend_from_slice(&[0, 0]);
                return (frames, bytes, true);
            };
            let length = u16::try_from(frame.len()).expect("send has checked the length");
            batch.extend_from_slice(&length.to_be_bytes());
            batch.extend_from_slice(&frame);
            (frames, bytes) = (frames + 1, bytes + frame.len());
            if batch.len() < WRITE_BATCH_BYTES {
                next = self.frames.try_recv().ok();
            }
        }
        (frames, bytes, false)
    }
}

/// Waits until the contact is cut; returns why.
async fn until_cut(ending: watch::Receiver<Ending>) -> String {
    let cut = |ending: &Ending| match ending {
        Ending::Cut(reason) => Some(reason.clone()),
        Ending::Open | Ending::Close(_) => None,
    };
    until(ending, cut).await
}

/// Waits until the contact is closed or cut; returns why.
async fn until_closed(ending: watch::Receiver<Ending>) -> String {
    let closed = |ending: &Ending| match ending {
        Ending::Cut(reason) | Ending::Close(reason) => Some(reason.clone()),
        Ending::Open => None,
    };
    until(ending, closed).await
}

async fn until(
    mut ending: watch::Receiver<Ending>,
    reason_of: impl Fn(&Ending) -> Option<String>,
) -> String {
    loop {
        let reason = reason_of(&ending.borrow_and_update());
        if let Some(reason) = reason {
            return reason;
        }
        if ending.changed().await.is_err() {
            // The handle lives as long as the contact; without it nobody can end it from here.
            return std::future::pending().await;
        }
    }
}

/// Waits until closing has taken too long; returns why it was closed.
async fn until_overdue(ending: watch::Receiver<Ending>) -> String {
    let reason = until_closed(ending).await;
    sleep(CLOSE_TIME_MAX).await;
    reason
}

/// Says in words that a connection broke.
fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => format!("the other side broke the rules: {error}"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => {
            "the connection broke".to_owned()
        }
        _ => format!("the connection broke: {error}"),
    }
}
