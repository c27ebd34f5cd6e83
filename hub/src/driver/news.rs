//! What follows when something durable has changed: caches forget, browsers hear, wants are
//! listed anew. Many changes within a moment are one piece of news.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;
use yingxue_sync_core::id::{BlobId, DocId};

use super::SyncHandle;
use crate::catalog::answers::Answers;
use crate::catalog::query::Question;
use crate::catalog::wants;
use crate::db::Db;
use crate::events::{EventBus, HubEvent};
use crate::media::open_tracks::OpenTracks;
use crate::store::Notice;

/// Pause before wants are listed again: a batch of documents is one change of the list.
const WANTS_PAUSE: Duration = Duration::from_millis(200);
/// Pause between two reports of progress; a bar on a screen moves smoothly enough.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// Hears of changes and passes them on.
pub struct News {
    db: Db,
    events: EventBus,
    tracks: OpenTracks,
    answers: Answers<Question>,
    are_wants_old: Notify,
    moved: Mutex<BTreeSet<BlobId>>,
    has_moved: Notify,
}

impl News {
    pub(super) fn new(db: Db, events: EventBus) -> Self {
        let are_wants_old = Notify::new();
        are_wants_old.notify_one();
        Self {
            answers: Answers::new(&events),
            db,
            events,
            tracks: OpenTracks::default(),
            are_wants_old,
            moved: Mutex::new(BTreeSet::new()),
            has_moved: Notify::new(),
        }
    }

    /// Gives the tracks that are open for serving.
    pub fn tracks(&self) -> &OpenTracks {
        &self.tracks
    }

    /// Gives the lists of lessons that are ready to be sent again.
    pub fn answers(&self) -> &Answers<Question> {
        &self.answers
    }

    /// Tells that lessons changed in another way than through the store, such as an import.
    pub fn lesson_changed(&self, lesson: &DocId) {
        self.publish(HubEvent::Lesson { lesson_id: lesson.to_string() });
    }

    /// Tells browsers.
    pub(super) fn publish(&self, event: HubEvent) {
        self.events.publish(event);
    }

    /// Hears what the store has committed, or has found lost. Not called on async threads.
    pub(crate) fn tell(&self, notice: Notice) {
        match notice {
            Notice::Lesson(lesson) => {
                self.are_wants_old.notify_one();
                self.lesson_changed(&lesson);
            }
            Notice::Thread(lesson) => {
                self.publish(HubEvent::Comment { lesson_id: lesson.to_string() });
            }
            Notice::Timetable => self.publish(HubEvent::Timetable {}),
            Notice::Pieces { blob, is_complete } => {
                self.tracks.forget(&blob);
                if is_complete {
                    self.are_wants_old.notify_one();
                }
                self.moved(blob);
            }
        }
    }

    /// Lists the wants anew.
    pub(super) fn want(&self) {
        self.are_wants_old.notify_one();
    }

    /// Hears that a blob's manifest came, or pieces of it.
    pub(super) fn moved(&self, blob: BlobId) {
        self.moved.lock().expect("never held over a panic").insert(blob);
        self.has_moved.notify_one();
    }
}

/// Lists the wants whenever they have changed, for as long as the driver runs.
pub(super) async fn keep_wants(news: Arc<News>, handle: SyncHandle) {
    loop {
        news.are_wants_old.notified().await;
        match news.db.read(wants::wants).await {
            Ok(wants) => handle.set_wants(wants).await,
            Err(error) => tracing::error!(%error, "the wants cannot be listed"),
        }
        tokio::time::sleep(WANTS_PAUSE).await;
    }
}

/// Tells browsers how far lessons have come, for as long as the driver runs.
pub(super) async fn keep_progress(news: Arc<News>) {
    loop {
        news.has_moved.notified().await;
        let moved = std::mem::take(&mut *news.moved.lock().expect("never held over a panic"));
        match news.db.read(move |db| progress(db, &moved)).await {
            Ok(events) => events.into_iter().for_each(|event| news.publish(event)),
            Err(error) => tracing::error!(%error, "progress cannot be read"),
        }
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

fn progress(db: &Connection, moved: &BTreeSet<BlobId>) -> rusqlite::Result<Vec<HubEvent>> {
    const LESSONS: &str = "select lesson from lesson_tracks where blob = ?1";
    const BYTES: &str = "select coalesce(sum(b.verified_bytes), 0), sum(t.bytes) \
         from lesson_tracks t left join blobs b on b.blob = t.blob where t.lesson = ?1";
    let mut lessons = BTreeSet::new();
    for blob in moved {
        let mut found = db.prepare_cached(LESSONS)?;
        for lesson in found.query_map([blob.as_bytes()], |row| row.get(0).map(DocId))? {
            lessons.insert(lesson?);
        }
    }
    let mut events = Vec::with_capacity(lessons.len());
    for lesson in lessons {
        let (verified_bytes, total_bytes) = db
            .prepare_cached(BYTES)?
            .query_row([lesson.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let lesson_id = lesson.to_string();
        events.push(HubEvent::Progress { lesson_id, verified_bytes, total_bytes });
    }
    Ok(events)
}
