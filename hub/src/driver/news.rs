//! What follows when something durable has changed: caches forget, browsers hear, wants are
//! listed anew. Many changes within a moment are one piece of news.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::SyncHandle;
use crate::catalog::answers::Answers;
use crate::catalog::query::Question;
use crate::db::Db;
use crate::events::{EventBus, HubEvent};
use crate::media::open_tracks::OpenTracks;
use crate::night::policy::Policy;
use crate::night::tonight;
use crate::store::Notice;
use crate::{repair, room};

/// Pause before wants are listed again: a batch of documents is one change of the list.
const WANTS_PAUSE: Duration = Duration::from_millis(200);
/// How often the plan is made anew when nothing has changed.
const PLAN_EVERY: Duration = Duration::from_secs(60);
/// Pause between two reports of progress; a bar on a screen moves smoothly enough.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// Hears of changes and passes them on.
pub struct News {
    db: Db,
    events: EventBus,
    tracks: OpenTracks,
    answers: Answers<Question>,
    policy: Arc<Policy>,
    are_wants_old: Notify,
    moved: Mutex<BTreeSet<BlobId>>,
    has_moved: Notify,
}

impl News {
    pub(super) fn new(db: Db, events: EventBus, policy: Arc<Policy>) -> Self {
        let are_wants_old = Notify::new();
        are_wants_old.notify_one();
        Self {
            answers: Answers::new(&events),
            db,
            events,
            tracks: OpenTracks::default(),
            policy,
            are_wants_old,
            moved: Mutex::new(BTreeSet::new()),
            has_moved: Notify::new(),
        }
    }

    /// Gives what may be fetched when, and the newest plan.
    pub fn policy(&self) -> &Policy {
        &self.policy
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
            Notice::Timetable => {
                self.are_wants_old.notify_one();
                self.publish(HubEvent::Timetable {});
            }
            Notice::Alarm => self.publish(HubEvent::Alarm {}),
            Notice::Pieces { blob, is_complete } => {
                self.tracks.forget(&blob);
                if is_complete {
                    self.are_wants_old.notify_one();
                }
                self.moved(blob);
            }
        }
    }

    /// Tells of the lessons of blobs that have room on the disk now, or have none any more.
    async fn room_changed(&self, blobs: BTreeSet<BlobId>) {
        if blobs.is_empty() {
            return;
        }
        match self.db.read(move |db| lessons_of(db, &blobs)).await {
            Ok(lessons) => lessons.iter().for_each(|lesson| self.lesson_changed(lesson)),
            Err(error) => tracing::error!(%error, "the lessons without room cannot be read"),
        }
    }

    /// Makes the plan of the night anew.
    pub(crate) fn want(&self) {
        self.are_wants_old.notify_one();
    }

    /// Hears that a blob's manifest came, or pieces of it.
    pub(super) fn moved(&self, blob: BlobId) {
        self.moved.lock().expect("never held over a panic").insert(blob);
        self.has_moved.notify_one();
    }
}

/// Makes the plan of the night whenever something has changed, and each minute: windows open,
/// deadlines come near. For as long as the driver runs.
pub(super) async fn keep_wants(news: Arc<News>, handle: SyncHandle) {
    let mut freeing = room::Freeing::default();
    loop {
        // A minute that is over is as good as a change.
        drop(tokio::time::timeout(PLAN_EVERY, news.are_wants_old.notified()).await);
        let view = handle.contacts().await;
        let hub = handle.hub_id();
        let members = handle.membership();
        let members = members.iter().flat_map(|m| &m.hubs).map(|member| member.hub);
        let members: Vec<HubId> = members.filter(|member| *member != hub).collect();
        let (policy, files) = (Arc::clone(&news.policy), Arc::clone(handle.files()));
        let around = room::around(&policy, hub, members.clone());
        let made = news.db.read(move |db| {
            let now_ms = crate::app::now_ms();
            let (contacts, stalled) = (view.contacts.as_slice(), view.stalled.clone());
            let files = Some(&*files);
            let given = tonight::Given { now_ms, hub, members, contacts, stalled, files };
            let mut made = tonight::make(db, &policy, &given)?;
            let unread = repair::after::unread(db)?;
            made.wants.retain(|want| !unread.contains(&want.blob));
            Ok(made)
        });
        let made: rusqlite::Result<tonight::Tonight> = made.await;
        match made {
            Ok(made) => {
                let wants = made.wants.clone();
                let space = made.space.clone();
                let before = news.policy.tonight();
                let changed = &before.stalled ^ &made.stalled;
                let has_met = before.contacts != made.contacts;
                news.policy.set_tonight(Arc::new(made));
                news.room_changed(changed).await;
                if has_met {
                    news.publish(HubEvent::Night {});
                }
                handle.set_wants(wants).await;
                handle.has_room(space.with_room_again).await;
                if freeing.is_due(space.bytes_to_free) {
                    let freed = room::free(&news.db, &handle, around, space.bytes_to_free).await;
                    freeing.note(freed);
                }
                if news.policy.set_full(freeing.is_in_vain(space.bytes_to_free)) {
                    news.publish(HubEvent::Night {});
                }
            }
            Err(error) => tracing::error!(%error, "the plan of the night cannot be made"),
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

fn lessons_of(db: &Connection, blobs: &BTreeSet<BlobId>) -> rusqlite::Result<BTreeSet<DocId>> {
    const LESSONS: &str = "select lesson from lesson_tracks where blob = ?1";
    let mut lessons = BTreeSet::new();
    for blob in blobs {
        let mut found = db.prepare_cached(LESSONS)?;
        for lesson in found.query_map([blob.as_bytes()], |row| row.get(0).map(DocId))? {
            lessons.insert(lesson?);
        }
    }
    Ok(lessons)
}

fn progress(db: &Connection, moved: &BTreeSet<BlobId>) -> rusqlite::Result<Vec<HubEvent>> {
    const BYTES: &str = "select coalesce(sum(b.verified_bytes), 0), sum(t.bytes) \
         from lesson_tracks t left join blobs b on b.blob = t.blob where t.lesson = ?1";
    let lessons = lessons_of(db, moved)?;
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
