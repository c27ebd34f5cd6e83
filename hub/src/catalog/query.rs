//! Lessons as the API shows them, read from the projection.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::readiness::{
    Readiness, Tier, TierName, TrackKind, TrackName, is_needed, is_whole_but_original, readiness,
    tiers,
};
use crate::jobs::Job;

const COLUMNS: &str = "lesson, is_published, title, subject, grade, teacher, school, school_hub, \
     filename, duration_ms, created_at_ms, has_poster, is_deleted";

/// A lesson in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Lesson {
    /// 32 hex characters.
    pub id: String,
    /// Its title.
    pub title: String,
    /// One of the contract's subjects.
    pub subject: String,
    /// `k`, `1` to `12`, or empty if another hub has said something else.
    pub grade: String,
    /// Who teaches.
    pub teacher: String,
    /// Which school has made it.
    pub school: String,
    /// True if that is this school.
    pub is_own_school: bool,
    /// 0 while it is not known.
    pub duration_ms: i64,
    /// Unix milliseconds.
    pub created_at: i64,
    /// What is happening with it here.
    pub status: Status,
    /// Whether it can be taught here and now.
    pub readiness: Readiness,
    /// Verified on this disk, of all tracks.
    pub verified_bytes: i64,
    /// Of all tracks.
    pub total_bytes: i64,
    /// Where its picture is.
    pub poster_url: Option<String>,
    /// Its import, while that is not done; not shown to pupils.
    pub job: Option<Job>,
}

/// What is happening with a lesson here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// This school's hub makes its tracks.
    Importing,
    /// Nothing of it is here yet.
    Waiting,
    /// A part of it is here.
    Receiving,
    /// All that its tiers need is here, or all but an original of which nothing is. In its own
    /// school a `job` may still make more tiers.
    Ready,
    /// Its import has failed.
    Failed,
}

/// One track of a lesson.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Track {
    /// What it holds.
    #[schema(value_type = TrackName)]
    pub kind: TrackKind,
    /// 64 hex characters.
    pub blob_id: String,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels.
    pub width: Option<i64>,
    /// Pixels.
    pub height: Option<i64>,
    /// Of the whole track.
    pub total_bytes: i64,
    /// Verified on this disk.
    pub verified_bytes: i64,
    /// In all; 0 while that is not known.
    pub pieces: i64,
    /// Verified on this disk.
    pub verified_pieces: i64,
    /// True if every piece is verified.
    pub is_complete: bool,
    /// Its media playlist; of captions, the file itself.
    pub url: String,
}

/// A lesson with what its page needs.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LessonDetail {
    /// As in a list.
    #[serde(flatten)]
    pub lesson: Lesson,
    /// As it was uploaded.
    pub filename: String,
    /// Its tracks, in the order in which they are fetched.
    pub tracks: Vec<Track>,
    /// Its qualities, the best first; only those that the lesson has.
    pub tiers: Vec<Tier>,
    /// Its master playlist.
    pub master_url: String,
    /// One MP4 of the best tier with a moving picture, or of the sound as it came in, once that
    /// is wholly here.
    pub download_url: Option<String>,
}

/// What a list of lessons is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Lessons of a page.
    pub limit: u32,
    /// Time and id of the last lesson of the page before.
    pub after: Option<(i64, [u8; 16])>,
    /// Words that title, teacher, school or file name contain; lower case, empty for all.
    pub words: String,
    /// One subject, or all.
    pub subject: Option<String>,
    /// True if jobs, and lessons that are not published, are not shown.
    pub is_pupil: bool,
}

/// A page of lessons, before their jobs are known.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub lessons: Vec<Lesson>,
    /// Time and id of the last one, if there are more.
    pub next: Option<(i64, [u8; 16])>,
    /// Lessons that fit the question, on all pages.
    pub total: i64,
}

/// Reads one page; the disk has no room for some blobs.
pub fn page(
    db: &Connection,
    asked: &Question,
    hub: &HubId,
    without_room: &BTreeSet<BlobId>,
) -> rusqlite::Result<Page> {
    let sql = format!(
        "select {COLUMNS} from lessons where is_deleted = 0 \
         and (created_at_ms, lesson) < (?1, ?2) and {FILTER} \
         order by created_at_ms desc, lesson desc limit ?6"
    );
    // Nothing is as large as a time that is not reached and the largest id.
    let (at_ms, id) = asked.after.unwrap_or((i64::MAX, [0xff; 16]));
    let key = params![at_ms, id, asked.subject, asked.words, asked.is_pupil, asked.limit + 1];
    let mut rows = db
        .prepare_cached(&sql)?
        .query_map(key, LessonRow::read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let has_more = rows.len() > asked.limit as usize;
    rows.truncate(asked.limit as usize);
    let next = rows.last().filter(|_| has_more).map(|row| (row.created_at_ms, row.lesson.0));
    let lessons = rows
        .into_iter()
        .map(|row| Ok(row.shown(&tracks(db, &row.lesson)?, hub, without_room)))
        .collect::<rusqlite::Result<_>>()?;
    Ok(Page { lessons, next, total: total(db, asked)? })
}

/// Parts of the page's and the count's condition.
const FILTER: &str = "is_published >= ?5 and (?3 is null or subject = ?3) and (?4 = '' or \
     instr(lower(title || ' ' || teacher || ' ' || school || ' ' || filename), ?4) > 0)";

fn total(db: &Connection, asked: &Question) -> rusqlite::Result<i64> {
    if asked.subject.is_none() && asked.words.is_empty() {
        const COUNT: &str = "select lessons - iif(?1, (select count(*) from lessons \
             where is_published = 0 and is_deleted = 0), 0) from catalog_count";
        return db.prepare_cached(COUNT)?.query_row([asked.is_pupil], |row| row.get(0));
    }
    // ?1 and ?2 have to be there for SQLite, and say nothing.
    let sql = format!(
        "select count(*) from lessons where is_deleted = 0 and ?1 is null and ?2 is null and {FILTER}"
    );
    let nothing = None::<i64>;
    let key = params![nothing, nothing, asked.subject, asked.words, asked.is_pupil];
    db.prepare_cached(&sql)?.query_row(key, |row| row.get(0))
}

/// Reads one lesson; one that is deleted only for those who may restore it. The disk has no room
/// for some blobs.
pub fn detail(
    db: &Connection,
    lesson: &DocId,
    hub: &HubId,
    is_deleted_shown: bool,
    without_room: &BTreeSet<BlobId>,
) -> rusqlite::Result<Option<LessonDetail>> {
    let Some(row) = row(db, lesson)? else { return Ok(None) };
    if row.is_deleted && !is_deleted_shown {
        return Ok(None);
    }
    let tracks = tracks(db, lesson)?;
    let tiers = tiers(&tracks);
    // Slides are no film: `t0` is for the player.
    let best = tiers.iter().find(|tier| tier.is_complete && tier.name != TierName::T0);
    Ok(Some(LessonDetail {
        lesson: row.shown(&tracks, hub, without_room),
        master_url: format!("/media/{lesson}/master.m3u8"),
        download_url: best
            .map(|tier| format!("/media/{lesson}/download.mp4?tier={}", tier.name.as_str())),
        tiers,
        filename: row.filename,
        tracks,
    }))
}

/// What a handler has to know before it lets somebody change a lesson.
#[derive(Debug, Clone)]
pub struct LessonRow {
    /// Which.
    pub lesson: DocId,
    /// False while only this hub knows of it.
    pub is_published: bool,
    /// True if it was deleted.
    pub is_deleted: bool,
    /// Its title.
    pub title: String,
    /// Unix milliseconds.
    pub created_at_ms: i64,
    school_hub: HubId,
    subject: String,
    grade: String,
    teacher: String,
    /// Name of the school that made it.
    pub school: String,
    filename: String,
    duration_ms: i64,
    /// True if its document has a picture.
    pub has_poster: bool,
}

/// Reads one lesson's row.
pub fn row(db: &Connection, lesson: &DocId) -> rusqlite::Result<Option<LessonRow>> {
    let sql = format!("select {COLUMNS} from lessons where lesson = ?1");
    db.prepare_cached(&sql)?.query_row([lesson.as_bytes()], LessonRow::read).optional()
}

impl LessonRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            lesson: DocId(row.get(0)?),
            is_published: row.get(1)?,
            title: row.get(2)?,
            subject: row.get(3)?,
            grade: row.get(4)?,
            teacher: row.get(5)?,
            school: row.get(6)?,
            school_hub: HubId(row.get(7)?),
            filename: row.get(8)?,
            duration_ms: row.get(9)?,
            created_at_ms: row.get(10)?,
            has_poster: row.get(11)?,
            is_deleted: row.get(12)?,
        })
    }

    /// Says whether the school of this hub has made the lesson.
    pub fn is_own(&self, hub: &HubId) -> bool {
        !self.is_published || self.school_hub == *hub
    }

    /// Gives the lesson's length in milliseconds, 0 while it is not known.
    pub fn duration_ms(&self) -> i64 {
        self.duration_ms
    }

    fn shown(&self, tracks: &[Track], hub: &HubId, without_room: &BTreeSet<BlobId>) -> Lesson {
        let can_be_absent = is_whole_but_original(tracks);
        let is_absent =
            |track: &Track| track.kind == TrackKind::Source && track.verified_bytes == 0;
        let mut needed = tracks.iter().filter(|track| is_needed(track.kind)).peekable();
        let is_complete = needed.peek().is_some()
            && needed.all(|track| track.is_complete || can_be_absent && is_absent(track));
        let verified_bytes = tracks.iter().map(|track| track.verified_bytes).sum();
        let status = match (self.is_published, is_complete, verified_bytes) {
            (false, _, _) => Status::Importing,
            (true, true, _) => Status::Ready,
            (true, false, 0) => Status::Waiting,
            (true, false, _) => Status::Receiving,
        };
        let has_no_room =
            |track: &Track| track.blob_id.parse().is_ok_and(|blob| without_room.contains(&blob));
        Lesson {
            id: self.lesson.to_string(),
            title: self.title.clone(),
            subject: self.subject.clone(),
            grade: self.grade.clone(),
            teacher: self.teacher.clone(),
            school: self.school.clone(),
            is_own_school: self.is_own(hub),
            duration_ms: self.duration_ms,
            created_at: self.created_at_ms,
            status,
            readiness: readiness(tracks, status, has_no_room),
            verified_bytes,
            total_bytes: tracks.iter().map(|track| track.total_bytes).sum(),
            poster_url: self.has_poster.then(|| format!("/media/{}/poster.jpg", self.lesson)),
            job: None,
        }
    }
}

impl Lesson {
    /// Adds the import that is not done yet, and what it means for the lesson.
    pub fn set_job(&mut self, job: Option<Job>, is_shown: bool) {
        use crate::jobs::JobState::Failed;
        if self.status == Status::Importing && job.as_ref().is_some_and(|job| job.state == Failed) {
            self.status = Status::Failed;
            self.readiness = readiness(&[], Status::Failed, |_| false);
        }
        self.job = job.filter(|_| is_shown);
    }
}

/// Reads the tracks that a lesson's document names, of kinds known here or not.
pub fn track_blobs(db: &Connection, lesson: &DocId) -> rusqlite::Result<Vec<(String, BlobId)>> {
    const BLOBS: &str = "select kind, blob from lesson_tracks where lesson = ?1 order by class";
    db.prepare_cached(BLOBS)?
        .query_map([lesson.as_bytes()], |row| Ok((row.get(0)?, BlobId(row.get(1)?))))?
        .collect()
}

fn tracks(db: &Connection, lesson: &DocId) -> rusqlite::Result<Vec<Track>> {
    const TRACKS: &str = "select t.kind, t.blob, t.codecs, t.width, t.height, \
         coalesce(b.total_bytes, t.bytes), coalesce(b.verified_bytes, 0), coalesce(b.pieces, 0), \
         coalesce(b.held_pieces, 0), coalesce(b.is_complete, 0) \
         from lesson_tracks t left join blobs b on b.blob = t.blob \
         where t.lesson = ?1 order by t.class, t.kind";
    db.prepare_cached(TRACKS)?
        .query_map([lesson.as_bytes()], |row| {
            // A newer hub may have made kinds that this one keeps and passes on, no more.
            let Ok(kind) = row.get_ref(0)?.as_str()?.parse::<TrackKind>() else { return Ok(None) };
            let ending = if let TrackKind::Captions(_) = kind { "vtt" } else { "m3u8" };
            Ok(Some(Track {
                url: format!("/media/{lesson}/{kind}.{ending}"),
                kind,
                blob_id: BlobId(row.get(1)?).to_string(),
                codecs: row.get(2)?,
                width: row.get(3)?,
                height: row.get(4)?,
                total_bytes: row.get(5)?,
                verified_bytes: row.get(6)?,
                pieces: row.get(7)?,
                verified_pieces: row.get(8)?,
                is_complete: row.get(9)?,
            }))
        })?
        .filter_map(Result::transpose)
        .collect()
}
