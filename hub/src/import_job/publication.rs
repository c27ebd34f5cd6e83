//! What a lesson's document is told while the lesson is being made.
//!
//! A lesson is published as soon as it can be taught: with the first finished track that shows a
//! picture, because the codec never finishes one before the sound, if all of the file was in it:
//! half a lesson called ready would be found out in class. It then names all that is finished;
//! what is finished later is added, and nothing that people have changed meanwhile is said again.
//! A document names a track only once its blob is durable, so that a hub which is
//! killed in between goes on without a trace.

use std::path::{Path, PathBuf};

use yingxue_codec::Limits;
use yingxue_codec::import::{FinishedTrack, Imported, is_cut_off};
use yingxue_codec::probe::probe;
use yingxue_codec::track::TrackKind;
use yingxue_sync_core::event::DocEdit;
use yingxue_sync_core::id::DocId;

use super::{blobs, internal};
use crate::alliance::refused;
use crate::app::App;
use crate::catalog::outline::{self, Chapter, Outline};
use crate::catalog::query::{self, LessonRow};
use crate::catalog::{self, NewLesson, NewTrack, bounds, collection};
use crate::jobs::runner::ClaimedJob;
use crate::jobs::{JobError, JobKind};
use crate::problem::ApiError;
use crate::uploads;

/// Publishes one lesson, step by step.
pub(super) struct Publication<'a> {
    app: &'a App,
    job: &'a ClaimedJob,
    lesson: DocId,
    work_dir: PathBuf,
    /// Finished, not yet in the document.
    waiting: Vec<FinishedTrack>,
    /// Durable as blobs, whether or not the document names them.
    made: Vec<MadeTrack>,
}

struct MadeTrack {
    kind: TrackKind,
    duration_ms: u64,
    track: NewTrack,
}

impl<'a> Publication<'a> {
    pub(super) fn new(app: &'a App, job: &'a ClaimedJob, lesson: DocId, work_dir: &Path) -> Self {
        let work_dir = work_dir.to_owned();
        Self { app, job, lesson, work_dir, waiting: Vec::new(), made: Vec::new() }
    }

    /// Takes a track that is finished while others are still being made.
    pub(super) async fn take(&mut self, track: FinishedTrack) {
        self.waiting.push(track);
        if let Err(error) = self.publish_early().await {
            // At the end it is tried again, and then the teacher is told.
            tracing::debug!(job = self.job.id, %error, "a lesson cannot be published early");
        }
    }

    async fn publish_early(&mut self) -> Result<(), JobError> {
        let shows = |track: &FinishedTrack| can_be_taught_from(track.info.kind);
        let row = self.row().await?;
        if self.app.sync.membership().is_none()
            || !(row.is_published || self.waiting.iter().any(shows))
        {
            return Ok(());
        }
        if !row.is_published && !self.is_whole().await? {
            return Ok(());
        }
        self.store_waiting().await?;
        if !row.is_published && self.job.observer.is_cancelled() {
            // What nobody has seen yet goes as a whole.
            return Ok(());
        }
        let edits = self.edits(&row, None).await?;
        self.say(edits).await
    }

    /// Says whether what is finished is as long as the file says that it is.
    async fn is_whole(&self) -> Result<bool, JobError> {
        let Some(ffmpeg) = self.app.ffmpeg.clone() else { return Ok(false) };
        let files = self.job.import.files();
        let files: Vec<_> = files.map(|(id, _)| uploads::path(self.app, id)).collect();
        // Of several files, the recording alone has a length.
        let longest = move || {
            let limits = Limits::default();
            let probed = files.iter().filter_map(|file| probe(&ffmpeg, file, &limits).ok());
            probed.map(|probed| probed.duration_ms).max()
        };
        let declared_ms = tokio::task::spawn_blocking(longest).await.map_err(internal)?;
        let Some(declared_ms) = declared_ms else { return Ok(false) };
        let decoded = self.waiting.iter().filter(|track| track.info.kind != TrackKind::Source);
        let decoded_ms = decoded.map(|track| track.info.duration_ms()).max().unwrap_or(0);
        Ok(!is_cut_off(declared_ms, decoded_ms))
    }

    /// Publishes what is not published yet, of an import that has ended.
    pub(super) async fn finish(mut self, imported: &Imported) -> Result<(), JobError> {
        self.waiting.clone_from(&imported.tracks);
        self.store_waiting().await?;
        if self.job.observer.is_cancelled() {
            return Err(JobError::new("cancelled", "The import was cancelled."));
        }
        let row = self.row().await?;
        let is_first = self.job.kind == JobKind::Import;
        let edits = self.edits(&row, is_first.then_some(imported)).await?;
        self.say(edits).await
    }

    async fn row(&self) -> Result<LessonRow, JobError> {
        let lesson = self.lesson;
        let row = self.app.db.read(move |db| query::row(db, &lesson)).await;
        let row = row.map_err(ApiError::from)?;
        row.ok_or_else(|| internal("the lesson of an import is not there"))
    }

    async fn store_waiting(&mut self) -> Result<(), JobError> {
        while let Some(track) = self.waiting.pop() {
            let (kind, duration_ms) = (track.info.kind, track.info.duration_ms());
            if self.made.iter().any(|made| made.kind == kind) {
                continue;
            }
            match blobs::store(self.app, &track, &self.work_dir).await {
                Ok(track) => self.made.push(MadeTrack { kind, duration_ms, track }),
                Err(error) => {
                    self.waiting.push(track);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives what the document does not say yet. `imported` is what only the end tells.
    async fn edits(
        &self,
        row: &LessonRow,
        imported: Option<&Imported>,
    ) -> Result<Vec<DocEdit>, JobError> {
        if !row.is_published {
            let tracks: Vec<NewTrack> = self.made.iter().map(|made| made.track.clone()).collect();
            let seen_ms = self.made.iter().map(|made| made.duration_ms).max().unwrap_or(0);
            let duration_ms = imported.map_or(seen_ms, |imported| imported.duration_ms);
            let poster = imported.and_then(poster);
            let lesson = self.new_lesson(row)?;
            let mut edits = catalog::lesson_edits(&lesson, duration_ms, poster, &tracks);
            edits.extend(imported.map(outline_of).unwrap_or_default().edits());
            return Ok(edits);
        }
        let mut edits = self.new_tracks().await?;
        if let Some(imported) = imported {
            edits.extend(self.what_the_end_tells(row, imported).await?);
        }
        Ok(edits)
    }

    async fn new_tracks(&self) -> Result<Vec<DocEdit>, JobError> {
        let lesson = self.lesson;
        let known = self.app.db.read(move |db| query::track_blobs(db, &lesson)).await;
        let known = known.map_err(ApiError::from)?;
        let is_known = |new: &NewTrack| known.iter().any(|(k, b)| *k == new.kind && *b == new.blob);
        let new = self.made.iter().filter(|made| !is_known(&made.track));
        Ok(new.map(|made| catalog::track_edit(&made.track)).collect())
    }

    async fn what_the_end_tells(
        &self,
        row: &LessonRow,
        imported: &Imported,
    ) -> Result<Vec<DocEdit>, JobError> {
        let lesson = self.lesson;
        let said = self.app.db.read(move |db| outline::find(db, &lesson)).await;
        let said = said.map_err(ApiError::from)?;
        let mut edits = Vec::new();
        if i64::try_from(imported.duration_ms) != Ok(row.duration_ms()) {
            edits.push(catalog::duration_edit(imported.duration_ms));
        }
        if !row.has_poster {
            edits.extend(poster(imported).map(catalog::poster_edit));
        }
        let outline = outline_of(imported);
        if outline != said {
            edits.extend(outline.edits());
        }
        Ok(edits)
    }

    fn new_lesson(&self, row: &LessonRow) -> Result<NewLesson, JobError> {
        let import = &self.job.import;
        Ok(NewLesson {
            title: import.title.clone(),
            subject: import.subject.clone(),
            grade: import.grade.clone(),
            teacher: import.teacher.clone(),
            school: self.app.school_name()?,
            school_hub: self.app.sync.hub_id(),
            filename: import.filename.clone(),
            created_at_ms: row.created_at_ms,
        })
    }

    async fn say(&self, edits: Vec<DocEdit>) -> Result<(), JobError> {
        if edits.is_empty() {
            return Ok(());
        }
        let author = self.job.import.author.clone();
        self.app.sync.edit_doc(collection(), self.lesson, author, edits).await.map_err(refused)?;
        for made in &self.made {
            self.app.sync.blob_added(made.track.blob).await;
        }
        Ok(())
    }
}

/// Adds finished tracks to a lesson that is published, or puts them in the place of others.
///
/// # Errors
/// If the disk is full, or the document cannot be changed.
pub async fn add_tracks(
    app: &App,
    lesson: DocId,
    author: String,
    tracks: &[FinishedTrack],
    folder: &Path,
) -> Result<(), ApiError> {
    let mut made = Vec::with_capacity(tracks.len());
    for track in tracks {
        let stored = blobs::store(app, track, folder).await;
        made.push(stored.map_err(|error| match error.code.as_str() {
            "disk_full" => ApiError::disk_full(None),
            _ => ApiError::internal(error),
        })?);
    }
    let edits = made.iter().map(catalog::track_edit).collect();
    app.sync.edit_doc(collection(), lesson, author, edits).await.map_err(refused)?;
    for track in &made {
        app.sync.blob_added(track.blob).await;
    }
    Ok(())
}

fn can_be_taught_from(kind: TrackKind) -> bool {
    matches!(kind, TrackKind::Slides | TrackKind::Video360 | TrackKind::Video480)
}

fn poster(imported: &Imported) -> Option<Vec<u8>> {
    let poster = imported.poster_jpeg.clone();
    poster.filter(|jpeg| jpeg.len() <= bounds::POSTER_BYTES_MAX)
}

fn outline_of(imported: &Imported) -> Outline {
    let chapters = imported.chapters.iter().map(|chapter| Chapter {
        at_ms: i64::try_from(chapter.at_ms).unwrap_or(i64::MAX),
        title: chapter.title.clone(),
    });
    Outline::new(chapters, imported.peaks.clone())
}
