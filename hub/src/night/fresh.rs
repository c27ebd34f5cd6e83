//! Readings that somebody waits for: whoever opens the slip, tonight or today, and whoever begins
//! a lesson, is shown no green light over bytes that nobody has read off the disk just before.
//!
//! One thread reads, as long as something waits. It reads past the system's memory of the file,
//! and at a tenth of a disk's speed while a class plays. What is damaged is taken back; then what
//! makes the light that is left is read too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use jiff::ToSpan as _;
use jiff::civil::Date;
use rusqlite::Connection;
use tokio::sync::Notify;
use yingxue_sync_core::id::{BlobId, DocId};

use super::lesson::{self, HeldLesson};
use super::scrub::{self, DAY_MS, HOUR_MS};
use crate::app::{App, now_ms};
use crate::catalog::readiness::TierName;
use crate::events::HubEvent;
use crate::problem::ApiError;
use crate::timetable::Entry;
use crate::timetable::day::{self, TimetabledLesson};

/// Who opens a page is shown what was read in a round that ended so long ago: a page that is
/// loaded again, and a staff room that opens it together, read the disk once.
pub const OPENED_AGE: Duration = Duration::from_secs(30);
/// A lesson that is about to begin is read without being asked for, once in a quarter of an hour:
/// the last time at most that long before its bell.
pub const BELL_AGE: Duration = Duration::from_secs(15 * 60);
/// From so long before its bell on.
const BELL_MS: i64 = 10 * 60_000;
/// A slip waits so long for its reading; a day's lessons at their floor take less. Then it says
/// how far the reading is, and asks again.
pub const SLIP_WAIT: Duration = Duration::from_secs(4);
/// A report to the alliance, which nobody looks at meanwhile, waits so long.
pub const REPORT_WAIT: Duration = Duration::from_secs(60);
/// Pause after a batch of 8 MiB: at most 400 MB/s, so that pages are answered in between.
const PAUSE: Duration = Duration::from_millis(20);
/// While a class plays: at most 16 MB/s, a tenth of what slow disks read.
const CLASS_PAUSE: Duration = Duration::from_millis(500);
/// School days that are read for whoever opens them: this one and the next, whenever it is…
const SCHOOL_DAYS: usize = 2;
/// …within so many days: what is read before longer holidays says nothing of their end.
const DAYS_AHEAD_MAX: i32 = 14;
/// Lessons that wait to be read; more than a school has in two days.
const WAITING_MAX: usize = 512;
/// Readings that are older say nothing to anybody.
const KEPT: Duration = Duration::from_secs(3_600);

/// A lesson to be read, at the tier that is wanted of it.
pub type Asked = (DocId, TierName);

/// What is read for somebody who waits.
#[derive(Default)]
pub struct Fresh {
    inner: Mutex<Inner>,
    /// Told whenever a lesson was read.
    ended: Notify,
}

#[derive(Default)]
struct Inner {
    /// When the round ended in which a lesson was read; by a clock that does not jump.
    read: BTreeMap<Asked, Instant>,
    waiting: VecDeque<Asked>,
    /// The lessons of the round that were read.
    done: BTreeSet<Asked>,
    /// The blobs of the round that were read.
    blobs: BTreeSet<BlobId>,
    /// Lessons whose bytes the disk did not give.
    failed: BTreeSet<Asked>,
    is_reading: bool,
}

/// How far a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Lessons that were read.
    pub done: usize,
    /// Lessons in all.
    pub total: usize,
}

/// What waited to be read at a moment, and what the disk had not given.
#[derive(Debug, Clone)]
pub struct Readings {
    waiting: BTreeSet<Asked>,
    failed: BTreeSet<Asked>,
}

impl Readings {
    /// Puts it into lights that were read later.
    pub fn mark(&self, entries: &mut [Entry]) {
        for entry in entries {
            let lesson = entry.lesson.as_ref().and_then(|lesson| lesson.id.parse().ok());
            if let (Some(light), Some(lesson)) = (&mut entry.readiness, lesson) {
                let asked = (lesson, light.preferred_tier);
                light.is_checking = self.waiting.contains(&asked);
                if self.failed.contains(&asked) {
                    light.fail();
                }
            }
        }
    }
}

impl Fresh {
    /// Says whether a lesson is waited for.
    pub fn is_waited_for(&self, asked: &Asked) -> bool {
        self.inner().waiting.contains(asked)
    }

    /// Has a lesson wait that no thread reads.
    #[cfg(test)]
    pub fn begin_by_hand(&self, asked: Asked) {
        let mut inner = self.inner();
        inner.waiting.push_back(asked);
        inner.is_reading = true;
    }

    /// Ends that reading.
    #[cfg(test)]
    pub fn end_by_hand(&self, asked: Asked) {
        let mut inner = self.inner();
        inner.take(asked, None);
        inner.end_round(Instant::now());
    }

    /// Says whether a lesson was read within the hour.
    #[cfg(test)]
    pub fn was_read(&self, asked: &Asked) -> bool {
        self.inner().read.contains_key(asked)
    }

    /// Gives how far the round is; none if nothing is being read.
    pub fn progress(&self) -> Option<Progress> {
        let inner = self.inner();
        let (done, left) = (inner.done.len(), inner.waiting.len());
        (left > 0).then_some(Progress { done, total: done + left })
    }

    /// Gives what waits to be read now, and what the disk did not give. Take it before the
    /// database is read for lights: a reading that finds damage and ends in between is then still
    /// shown as under way, and not over the light of before.
    pub fn readings(&self) -> Readings {
        let inner = self.inner();
        let waiting = inner.waiting.iter().copied().collect();
        Readings { waiting, failed: inner.failed.clone() }
    }

    /// Waits until a lesson was read, or all that wait; says whether that is so. Gives up after
    /// `at_most`.
    pub async fn wait(&self, asked: Option<&Asked>, at_most: Duration) -> bool {
        let is_read = || asked.map_or(self.progress().is_none(), |one| !self.is_waited_for(one));
        let quiet = async {
            loop {
                let ended = self.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if is_read() {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(at_most, quiet).await.is_ok()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("never held over a panic")
    }
}

impl Inner {
    /// Adds a lesson, unless it waits already or was read within `age`.
    fn want(&mut self, asked: Asked, age: Duration, clock: Instant) {
        let is_fresh =
            self.read.get(&asked).is_some_and(|at| clock.saturating_duration_since(*at) < age);
        let is_there = self.waiting.contains(&asked) || self.done.contains(&asked);
        if !is_fresh && !is_there && self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(asked);
        }
    }

    /// Has a lesson that waits read next.
    fn hurry(&mut self, asked: &Asked) {
        let place = self.waiting.iter().position(|one| one == asked).filter(|place| *place > 1);
        if let Some(asked) = place.and_then(|place| self.waiting.remove(place)) {
            // The first one is being read.
            self.waiting.insert(1, asked);
        }
    }

    /// Takes note that a lesson was read, or that the disk did not give it.
    fn take(&mut self, asked: Asked, failed: Option<ApiError>) {
        match failed {
            None => drop(self.failed.remove(&asked)),
            Some(error) => {
                tracing::error!(%error, lesson = %asked.0, "the disk does not give a lesson");
                self.failed.insert(asked);
            }
        }
        self.waiting.retain(|one| *one != asked);
        self.done.insert(asked);
    }

    fn end_round(&mut self, clock: Instant) {
        self.read.retain(|_, at| clock.saturating_duration_since(*at) < KEPT);
        let done = std::mem::take(&mut self.done);
        self.read.extend(done.into_iter().map(|asked| (asked, clock)));
        self.blobs.clear();
        self.is_reading = false;
    }
}

/// Has the lessons of a day read that are not over, as far as that was not done within `age`;
/// those that begin first come first. Of days that are past or come after the next school day
/// nothing is. Not for async threads.
///
/// # Errors
/// If the database fails.
pub fn of_day(app: &App, date: Date, now_ms: i64, age: Duration) -> Result<(), ApiError> {
    let offset = app.sync.news().policy().utc_offset_min;
    let today = day::date_at(now_ms, offset);
    let lessons = app.db.read_blocking(|db| {
        let days = day::days(db, today, today.saturating_add(DAYS_AHEAD_MAX.days()))?;
        let mut next = days.iter().filter(|day| day.is_school_day()).take(SCHOOL_DAYS);
        let is_near = next.any(|day| day.date == date);
        if is_near {
            due(db, now_ms, i64::from(DAYS_AHEAD_MAX + 1) * DAY_MS)
        } else {
            Ok(Vec::new())
        }
    })?;
    let of_day = lessons.into_iter().filter(|lesson| lesson.date == date);
    want(app, of_day.filter_map(|it| asked(&it)).collect(), age, Instant::now());
    Ok(())
}

/// Has the lessons read that are about to begin. Not for async threads.
///
/// # Errors
/// If the database fails.
pub fn before_the_bell(app: &App, now_ms: i64) -> Result<(), ApiError> {
    let lessons = app.db.read_blocking(|db| due(db, now_ms, BELL_MS))?;
    // What is being taught is compared as it is played.
    let next = lessons.into_iter().filter(|lesson| lesson.starts_at_ms > now_ms);
    want(app, next.filter_map(|it| asked(&it)).collect(), BELL_AGE, Instant::now());
    Ok(())
}

/// Lists the remote lessons that are not over and begin within a time.
fn due(db: &Connection, now_ms: i64, ahead_ms: i64) -> rusqlite::Result<Vec<TimetabledLesson>> {
    let to = now_ms.saturating_add(ahead_ms);
    let mut lessons = day::remote_between(db, now_ms - 3 * HOUR_MS, to)?;
    lessons.retain(|lesson| lesson.ends_at_ms > now_ms && lesson.starts_at_ms < to);
    Ok(lessons)
}

fn asked(lesson: &TimetabledLesson) -> Option<Asked> {
    Some((lesson.lesson?, lesson.preferred))
}

/// Has lessons read that were not within `age`, and begins a thread if none reads.
pub fn want(app: &App, lessons: Vec<Asked>, age: Duration, clock: Instant) {
    let fresh = &app.fresh;
    let is_begun = {
        let mut inner = fresh.inner();
        lessons.into_iter().for_each(|asked| inner.want(asked, age, clock));
        let is_begun = !inner.is_reading && !inner.waiting.is_empty();
        inner.is_reading |= is_begun;
        is_begun
    };
    if is_begun {
        let worker = app.clone();
        let made = thread::Builder::new().name("fresh".to_owned()).spawn(move || read_all(&worker));
        if let Err(error) = made {
            tracing::warn!(%error, "nothing can be read again now");
            fresh.inner().is_reading = false;
        }
    }
}

/// Reads what a lesson is played from, as far as that was not done just now, before all else;
/// says whether it was done within `at_most`.
pub async fn before_playing(app: &App, lesson: DocId, at_most: Duration) -> bool {
    // The best that is here: panels play that.
    let asked = (lesson, TierName::Source);
    want(app, vec![asked], OPENED_AGE, Instant::now());
    app.fresh.inner().hurry(&asked);
    app.fresh.wait(Some(&asked), at_most).await
}

fn read_all(app: &App) {
    let fresh = &app.fresh;
    loop {
        let next = fresh.inner().waiting.front().copied();
        let read = next.map(|asked| (asked, read(app, &asked)));
        let is_last = {
            let mut inner = fresh.inner();
            match read {
                Some((asked, read)) if !app.shutdown.is_on() => inner.take(asked, read.err()),
                _ => inner.waiting.clear(),
            }
            let is_last = inner.waiting.is_empty();
            if is_last {
                inner.end_round(Instant::now());
            }
            is_last
        };
        fresh.ended.notify_waiters();
        app.events.publish(HubEvent::Night {});
        if is_last {
            return;
        }
    }
}

/// Reads what makes the light of a lesson, until what was read makes it.
fn read(app: &App, (id, preferred): &Asked) -> Result<(), ApiError> {
    loop {
        let held = app.db.read_blocking(|db| lesson::load(db, id))?;
        let Some(held) = held else { return Ok(()) };
        let unread: Vec<BlobId> = {
            let inner = app.fresh.inner();
            lit_by(&held, *preferred).filter(|blob| !inner.blobs.contains(blob)).collect()
        };
        let Some(blob) = unread.first() else { return Ok(()) };
        read_blob(app, *blob)?;
        app.fresh.inner().blobs.insert(*blob);
    }
}

/// Lists the blobs of the tier that makes a lesson's light.
fn lit_by(held: &HeldLesson, preferred: TierName) -> impl Iterator<Item = BlobId> + '_ {
    let tier = held.lit_tier(preferred);
    tier.into_iter().flat_map(|tier| held.needed(tier)).map(|track| track.blob)
}

fn read_blob(app: &App, blob: BlobId) -> Result<(), ApiError> {
    let mut from_piece = 0;
    while let Some(next) = scrub::read_on(app, blob, from_piece, now_ms())? {
        from_piece = next;
        if app.shutdown.is_on() {
            break;
        }
        let is_class = app.playing.is_on(Instant::now());
        thread::sleep(if is_class { CLASS_PAUSE } else { PAUSE });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(n: u8) -> Asked {
        (DocId([n; 16]), TierName::T1)
    }

    #[test]
    fn a_round_counts_what_it_reads_and_what_was_just_read_is_not_read_again() {
        let (fresh, clock) = (Fresh::default(), Instant::now());
        (1..=3).for_each(|n| fresh.inner().want(asked(n), OPENED_AGE, clock));
        fresh.inner().want(asked(2), OPENED_AGE, clock);
        assert_eq!(fresh.progress(), Some(Progress { done: 0, total: 3 }));
        let mut inner = fresh.inner();
        for _ in 0..2 {
            let read = inner.waiting.pop_front().unwrap();
            inner.done.insert(read);
        }
        inner.want(asked(1), OPENED_AGE, clock);
        drop(inner);
        assert_eq!(fresh.progress(), Some(Progress { done: 2, total: 3 }));
        assert!(fresh.is_waited_for(&asked(3)) && !fresh.is_waited_for(&asked(1)));
        let mut inner = fresh.inner();
        let last = inner.waiting.pop_front().unwrap();
        inner.done.insert(last);
        inner.end_round(clock);
        inner.want(asked(1), OPENED_AGE, clock + OPENED_AGE - Duration::from_secs(1));
        assert!(inner.waiting.is_empty());
        inner.want(asked(1), OPENED_AGE, clock + OPENED_AGE);
        assert_eq!(inner.waiting, [asked(1)]);
    }

    #[test]
    fn a_lesson_that_is_about_to_be_taught_is_read_next_and_there_is_a_bound() {
        let (fresh, clock) = (Fresh::default(), Instant::now());
        let mut inner = fresh.inner();
        (1..=4).for_each(|n| inner.want(asked(n), OPENED_AGE, clock));
        inner.hurry(&asked(4));
        assert_eq!(inner.waiting, [1, 4, 2, 3].map(asked));
        [1, 4, 9].iter().for_each(|n| inner.hurry(&asked(*n)));
        assert_eq!(inner.waiting, [1, 4, 2, 3].map(asked));
        for n in 0..=u16::MAX {
            let id = std::array::from_fn(|i| n.to_le_bytes()[i % 2]);
            inner.want((DocId(id), TierName::T0), OPENED_AGE, clock);
        }
        assert_eq!(inner.waiting.len(), WAITING_MAX);
    }
}
