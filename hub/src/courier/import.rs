//! Reads parcels from a stick, or from a file that came through a browser.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;
use tokio::runtime::Handle;
use yingxue_sync_core::courier::{CarryError, Manifest, View};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_io::courier::{Parcel, Stick, StickError};

use super::report::{ReceiptLeft, RefusedCode, Report, Why, job_error};
use super::table::Row;
use super::taker::{Stop, Taken, Taker};
use super::{Live, joining, receipts, table, taker};
use crate::app::App;
use crate::jobs::JobError;
use crate::problem::ApiError;
use crate::uploads;

pub(crate) const SELECT_LESSONS: &str = "select l.lesson, l.title from lesson_tracks t \
    join lessons l on l.lesson = t.lesson where t.blob = ?1 and l.is_deleted = 0";

/// A parcel with the name that people know it by.
pub(super) struct Found {
    pub name: String,
    pub parcel: Parcel,
}

/// Where an import reads from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub app: &'a App,
    row: &'a Row,
}

impl Source<'_> {
    /// Says whether the stick was pulled out. If its folder can be opened again, only a place on it
    /// cannot be read.
    pub(super) fn is_gone(self) -> bool {
        if let Some(upload) = &self.row.upload_id {
            return Parcel::of_file(&uploads::path(self.app, upload)).is_err();
        }
        let path = Path::new(self.row.folder.as_deref().unwrap_or_default());
        Stick::open(path).is_err() && Parcel::of_file(path).is_err()
    }
}

/// Runs an import. What was accepted when it ends, however it ends, stays.
pub(super) fn run(
    app: &App,
    row: &Row,
    live: &Live,
    runtime: &Handle,
    report: &mut Report,
) -> Result<(), JobError> {
    if let Some(answer) = joining::answer_of(app, row)? {
        return joining::admit(app, runtime, &answer, "file", report).map(drop);
    }
    let (stick, parcels) = open(app, row, report)?;
    let source = Source { app, row };
    if app.sync.membership().is_none() {
        joining::join(source, live, runtime, &parcels, report)?;
    }
    if let Some(stick) = &stick {
        joining::take_answers(app, runtime, stick, report)?;
        receipts::collect(app, stick, report)?;
    }
    let wanted: Vec<Found> =
        parcels.into_iter().filter(|found| is_wanted(app, found, report)).collect();
    let expected = wanted.iter().map(|found| own_bytes(app, found.parcel.manifest()));
    live.expect(expected.sum());
    let mut taken = Taken::default();
    let mut outcome = Ok(());
    for found in &wanted {
        outcome = take_parcel(source, live, runtime, found, (&mut taken, &mut *report));
        if outcome.is_err() {
            break;
        }
    }
    tell(app, &taken, report)?;
    match outcome {
        Ok(()) => {}
        Err(Stop::Stick(error)) => return Err(job_error(&error)),
        Err(Stop::Hub(error)) => return Err(error),
    }
    leave_receipt(app, runtime, stick.as_ref(), report)
}

fn open(
    app: &App,
    row: &Row,
    report: &mut Report,
) -> Result<(Option<Stick>, Vec<Found>), JobError> {
    let failed = |error: StickError| job_error(&error);
    if let Some(upload) = &row.upload_id {
        let parcel = Parcel::of_file(&uploads::path(app, upload)).map_err(failed)?;
        return Ok((None, vec![Found { name: "file".to_owned(), parcel }]));
    }
    let folder = row.folder.as_deref().unwrap_or_default();
    let path = Path::new(folder);
    if path.is_file() {
        let parcel = Parcel::of_file(path).map_err(failed)?;
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        return Ok((None, vec![Found { name, parcel }]));
    }
    let stick = Stick::open(path).map_err(failed)?;
    let mut parcels = Vec::new();
    for (id, opened) in stick.parcels().map_err(failed)? {
        let name = format!("outbox/{}", id.folder());
        match opened {
            Ok(parcel) => parcels.push(Found { name, parcel }),
            Err(error) => report.refuse(format!("{name}/manifest"), error),
        }
    }
    Ok((Some(stick), parcels))
}

/// Says whether a parcel is for this hub, from a hub of its alliance; tells why not.
fn is_wanted(app: &App, found: &Found, report: &mut Report) -> bool {
    let manifest = found.parcel.manifest();
    let (me, file) = (app.sync.hub_id(), format!("{}/manifest", found.name));
    let Some(membership) = app.sync.membership() else {
        report.refuse(file, CarryError::NoAlliance);
        return false;
    };
    if manifest.author == me {
        return false;
    }
    if manifest.alliance != membership.alliance {
        report.refuse(file, Why::new(RefusedCode::OtherAlliance, "it is of another alliance"));
        return false;
    }
    let is_member = membership.hubs.iter().any(|member| member.hub == manifest.author);
    if !is_member && manifest.epoch <= membership.epoch {
        report.refuse(file, taker::unknown_sender());
        return false;
    }
    if !manifest.is_target(&me) {
        report.note("Some of what is on the stick is for other schools.");
        return false;
    }
    if !manifest.is_finished {
        report.note("The stick was full or pulled out when it was written; more may follow.");
    }
    true
}

fn own_bytes(app: &App, manifest: &Manifest) -> u64 {
    let me = app.sync.hub_id();
    let own = manifest.segments.iter().filter(|segment| manifest.is_for(segment, &me));
    own.map(|segment| segment.bytes).sum()
}

fn take_parcel(
    source: Source<'_>,
    live: &Live,
    runtime: &Handle,
    found: &Found,
    (all, report): (&mut Taken, &mut Report),
) -> Result<(), Stop> {
    let (app, manifest) = (source.app, found.parcel.manifest());
    let mut taker = Taker::new(app, live, runtime, (manifest.author, manifest.alliance));
    let mut is_whole = manifest.is_finished;
    let mut outcome = Ok(());
    for (number, segment) in manifest.segments.iter().enumerate() {
        if !manifest.is_for(segment, &app.sync.hub_id()) {
            continue;
        }
        match take_segment(source, live, found, number, &mut taker) {
            Ok(None) => {}
            Ok(Some(why)) => {
                is_whole = false;
                report.refuse(format!("{}/{number:04}.seg", found.name), why);
            }
            Err(stop) => {
                outcome = Err(stop);
                break;
            }
        }
        live.add(segment.bytes);
    }
    all.add(taker.taken);
    outcome?;
    if is_whole {
        let (author, parcel) = (manifest.author, manifest.parcel);
        let kept = app.db.write_blocking(move |tx| table::remember_parcel(tx, &author, parcel));
        kept.map_err(|error| Stop::Hub(ApiError::from(error).into()))?;
    }
    Ok(())
}

/// Takes a segment; gives why something of it was not taken.
fn take_segment(
    source: Source<'_>,
    live: &Live,
    found: &Found,
    number: usize,
    taker: &mut Taker<'_>,
) -> Result<Option<Why>, Stop> {
    let app = source.app;
    let hash = found.parcel.manifest().segments[number].hash;
    let is_taken = app.db.read_blocking(|db| table::is_taken(db, &hash)).unwrap_or(false);
    if is_taken {
        return Ok(None);
    }
    let opened = live
        .check(app, &found.parcel, number)
        .and_then(|()| found.parcel.frames(number, app.sync.keys()));
    let frames = match opened {
        Ok(frames) => frames,
        Err(error @ StickError::Cancelled) => return Err(Stop::Stick(error)),
        Err(error) if error.is_stick_failing() && source.is_gone() => {
            return Err(Stop::Stick(error));
        }
        Err(error) => return Ok(Some(error.into())),
    };
    let taken = taker.take(frames)?;
    if taken.refused.is_some() && source.is_gone() {
        return Err(Stop::Stick(StickError::Io(std::io::ErrorKind::NotFound.into())));
    }
    if taken.refused.is_none() {
        let blobs = taken.blobs;
        let kept = app.db.write_blocking(move |tx| table::remember_taken(tx, &hash, &blobs));
        kept.map_err(|error| Stop::Hub(ApiError::from(error).into()))?;
    }
    Ok(taken.refused)
}

impl Taken {
    fn add(&mut self, other: Self) {
        self.epochs += other.epochs;
        self.envelopes += other.envelopes;
        self.payload_bytes += other.payload_bytes;
        self.whole.extend(other.whole);
        self.grown.extend(other.grown);
    }
}

/// Says what is new here.
fn tell(app: &App, taken: &Taken, report: &mut Report) -> Result<(), JobError> {
    report.envelopes += taken.envelopes;
    report.payload_bytes += taken.payload_bytes;
    report.blobs += taken.whole.len() as u64;
    if taken.epochs > 0 {
        report.note("The list of the alliance's schools was brought up to date.");
    }
    let lessons = app.db.read_blocking(|db| lessons_of(db, &taken.grown));
    for (lesson, title) in lessons.map_err(ApiError::from)? {
        report.add_lesson(lesson.to_string(), &title);
    }
    Ok(())
}

fn lessons_of(
    db: &Connection,
    blobs: &BTreeSet<BlobId>,
) -> rusqlite::Result<BTreeSet<(DocId, String)>> {
    let mut statement = db.prepare_cached(SELECT_LESSONS)?;
    let mut lessons = BTreeSet::new();
    for blob in blobs {
        let rows =
            statement.query_map([blob.as_bytes()], |row| Ok((DocId(row.get(0)?), row.get(1)?)))?;
        for row in rows {
            lessons.insert(row?);
        }
    }
    Ok(lessons)
}

/// Says on the stick what is held here now.
fn leave_receipt(
    app: &App,
    runtime: &Handle,
    stick: Option<&Stick>,
    report: &mut Report,
) -> Result<(), JobError> {
    let view: Option<View> = runtime.block_on(app.sync.courier_view());
    match (stick, view) {
        (Some(stick), Some(view)) => receipts::leave(app, stick, &view, report)?,
        (None, Some(_)) => report.receipt = Some(ReceiptLeft::WithNextExport),
        (_, None) => {}
    }
    Ok(())
}
