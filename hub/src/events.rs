//! Server-sent events: what has changed, told to every browser that is open.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::{Anyone, Role};
use crate::app::App;
use crate::jobs::Job;

/// Events that a slow browser may lag behind; beyond it is told to fetch everything again.
const EVENTS_KEPT: usize = 256;
/// Shorter than the time-outs of the proxies that schools have (30–60 s).
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Something has changed that a screen may show.
#[derive(Debug, Clone, Serialize, PartialEq)]
#[serde(untagged)]
pub enum HubEvent {
    /// A lesson came, changed, or went.
    Lesson {
        /// Which.
        lesson_id: String,
    },
    /// A lesson's comments changed.
    Comment {
        /// Of which lesson.
        lesson_id: String,
    },
    /// More of a lesson's bytes are verified on this disk.
    Progress {
        /// Which.
        lesson_id: String,
        /// Bytes verified and durable, of all tracks.
        verified_bytes: u64,
        /// Bytes of all tracks.
        total_bytes: u64,
    },
    /// A job began, moved on, or ended. Not told to pupils.
    Job(Box<Job>),
    /// Something about the contacts changed.
    Contact {},
    /// An export to a stick or an import from one moved on. Not told to pupils.
    Courier {},
    /// Something has to be looked at, or was. Not told to pupils.
    Alarm {},
    /// Something about the alliance changed.
    Alliance {},
    /// A timetable or a plan of lessons changed.
    Timetable {},
    /// What is fetched tonight changed, or there are warnings.
    Night {},
    /// The demo's link was cut or restored.
    Link {
        /// True if it is restored.
        is_online: bool,
    },
}

impl HubEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::Lesson { .. } => "lesson",
            Self::Comment { .. } => "comment",
            Self::Progress { .. } => "progress",
            Self::Job(_) => "job",
            Self::Contact {} => "contact",
            Self::Courier {} => "courier",
            Self::Alarm {} => "alarm",
            Self::Alliance {} => "alliance",
            Self::Timetable {} => "timetable",
            Self::Night {} => "night",
            Self::Link { .. } => "link",
        }
    }
}

/// Where the parts of the hub say what has changed. Cheap to clone; publishing never waits.
#[derive(Clone)]
pub struct EventBus {
    sender: broadcast::Sender<HubEvent>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self { sender: broadcast::channel(EVENTS_KEPT).0 }
    }
}

impl EventBus {
    /// Tells everybody who listens now.
    pub fn publish(&self, event: HubEvent) {
        // No listener is no error.
        drop(self.sender.send(event));
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<HubEvent> {
        self.sender.subscribe()
    }
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(listen))
}

/// Streams what changes on this hub.
#[utoipa::path(get, path = "/events", tag = "events", responses(
    (status = 200, content_type = "text/event-stream",
        description = "event: lesson, comment, progress, job, contact, courier, alarm, alliance, \
            timetable, night, link, resync"),
    (status = 401, body = crate::problem::Problem),
))]
async fn listen(
    State(app): State<App>,
    anyone: Anyone,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let is_pupil = anyone.user().role == Role::Pupil;
    let start = (app.events.subscribe(), app.shutdown.clone());
    let events = stream::unfold(start, move |(mut receiver, mut shutdown)| async move {
        let event = tokio::select! {
            // What was published before the stop is still told.
            biased;
            event = next(&mut receiver, is_pupil) => event?,
            () = shutdown.wait() => return None,
        };
        Some((Ok(event), (receiver, shutdown)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn next(receiver: &mut broadcast::Receiver<HubEvent>, is_pupil: bool) -> Option<Event> {
    loop {
        match receiver.recv().await {
            Ok(
                HubEvent::Job(_) | HubEvent::Contact {} | HubEvent::Courier {} | HubEvent::Alarm {},
            ) if is_pupil => {}
            Ok(event) => {
                let data = serde_json::to_string(&event).expect("events are plain JSON");
                return Some(Event::default().event(event.name()).data(data));
            }
            Err(RecvError::Lagged(_)) => return Some(Event::default().event("resync").data("{}")),
            Err(RecvError::Closed) => return None,
        }
    }
}
