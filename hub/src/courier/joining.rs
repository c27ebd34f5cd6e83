//! Joining by courier, for a school that no wire reaches.
//!
//! Its hub answers an invitation on a stick; the registrar's import admits it, under the checks
//! of a request on the wire; the registrar's next export carries the membership back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use yingxue_sync_core::courier::{Carried, CarryError, Frame, SignedAnswer};
use yingxue_sync_core::event::{Refusal, StoreError};
use yingxue_sync_core::membership::SignedEpoch;
use yingxue_sync_core::membership::invitation::Invitation;
use yingxue_sync_io::courier::{
    Parcel, Stick, StickError, answer_file, is_answer_file, read_answer_file,
};

use super::import::{Found, Source};
use super::report::{Report, job_error, stick_problem};
use super::table::Row;
use super::{Live, drives};
use crate::accounts::Admin;
use crate::alliance::refused;
use crate::app::{App, now_ms};
use crate::jobs::JobError;
use crate::problem::{ApiError, Body, Problem};
use crate::uploads;

/// Longest text that is tried as an invitation; real ones have some 500 characters.
const INVITATION_CHARS_MAX: usize = 8_192;
/// Bytes of epochs that are kept in memory until all are here: 60,000 of a small alliance.
const EPOCHS_BYTES_MAX: usize = 64 << 20;

pub(crate) const KEEP: &str = "insert or replace into courier_joining \
    (id, invitation, answered_at, file) values (1, ?1, ?2, ?3)";
pub(crate) const SELECT: &str = "select invitation, answered_at, file from courier_joining";
pub(crate) const FORGET: &str = "delete from courier_joining";

/// An invitation to be answered.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerToMake {
    /// The line of text of an invitation.
    invitation: String,
    /// A stick's folder on the hub; none to download the answer with a browser.
    #[serde(default)]
    folder: Option<String>,
}

/// An answer that goes by courier.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierAnswer {
    /// 64 hex characters: who has to read it.
    pub registrar: String,
    /// Unix milliseconds after which it is not taken any more.
    pub expires_at: i64,
    /// Unix milliseconds at which it was made.
    pub answered_at: i64,
    /// To be put on a stick, if no folder was named.
    pub file: Option<AnswerFile>,
}

/// An answer as a file.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AnswerFile {
    /// Its name.
    pub name: String,
    /// Its bytes; some hundred.
    pub base64: String,
}

/// The answer that waits for the lead school's stick.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CourierJoining {
    /// None if there is none.
    pub answer: Option<CourierAnswer>,
}

/// Answers an invitation on a stick, for a school that no wire reaches. An answer to another
/// invitation that waits is forgotten.
#[utoipa::path(post, path = "/courier/answers", tag = "courier", request_body = AnswerToMake,
    responses((status = 201, body = CourierAnswer), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(super) async fn answer(
    State(app): State<App>,
    admin: Admin,
    Body(asked): Body<AnswerToMake>,
) -> Result<(StatusCode, Json<CourierAnswer>), ApiError> {
    let text = asked.invitation.trim().to_owned();
    if text.len() > INVITATION_CHARS_MAX {
        return Err(ApiError::invitation_malformed());
    }
    let school = app.school_name()?;
    let signed = app.sync.answer_invitation(text.clone(), school).await.map_err(refused)?;
    let answered_at = now_ms();
    let file = leave(&app, &admin, asked.folder, signed).await?;
    let shown = shown(&app, &text, answered_at, file.as_deref());
    let shown = shown.ok_or_else(ApiError::invitation_malformed)?;
    app.db.write(move |tx| keep(tx, &text, answered_at, file.as_deref())).await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Shows the answer that waits for the lead school's stick.
#[utoipa::path(get, path = "/courier/answers", tag = "courier", responses(
    (status = 200, body = CourierJoining), (status = 403, body = Problem),
))]
pub(super) async fn show(
    State(app): State<App>,
    _: Admin,
) -> Result<Json<CourierJoining>, ApiError> {
    if app.sync.membership().is_some() {
        return Ok(Json(CourierJoining { answer: None }));
    }
    let waiting = app.db.read(pending).await?;
    let answer = waiting.and_then(|(text, at, file)| shown(&app, &text, at, file.as_deref()));
    Ok(Json(CourierJoining { answer }))
}

/// Writes an answer to a stick, or gives the bytes of its file.
async fn leave(
    app: &App,
    admin: &Admin,
    folder: Option<String>,
    signed: SignedAnswer,
) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(folder) = folder else {
        return answer_file(&signed).map(Some).map_err(|_| ApiError::invitation_malformed());
    };
    let (app, user) = (app.clone(), admin.user().clone());
    let written = tokio::task::spawn_blocking(move || {
        let folder = drives::check(&app, &user, &folder)?;
        let stick = Stick::open_or_make(Path::new(&folder));
        let written = stick.and_then(|stick| stick.write_answer(&signed));
        written.map_err(|error| stick_problem(&error))
    });
    written.await.map_err(ApiError::internal)?.map(|()| None)
}

fn shown(app: &App, text: &str, answered_at: i64, file: Option<&[u8]>) -> Option<CourierAnswer> {
    let invitation = Invitation::from_text(text)?;
    let file = file.map(|bytes| AnswerFile {
        name: format!("join-{}.yxc", app.sync.hub_id().short()),
        base64: crate::web::encode_base64(bytes),
    });
    Some(CourierAnswer {
        registrar: invitation.registrar.to_string(),
        expires_at: i64::try_from(invitation.expires_wall_ms).unwrap_or(i64::MAX),
        answered_at,
        file,
    })
}

fn keep(
    tx: &Transaction<'_>,
    text: &str,
    answered_at: i64,
    file: Option<&[u8]>,
) -> rusqlite::Result<()> {
    tx.prepare_cached(KEEP)?.execute(params![text, answered_at, file]).map(drop)
}

/// An invitation that was answered: its text, when, and the answer's file if it was given as one.
type Pending = (String, i64, Option<Vec<u8>>);

fn pending(db: &Connection) -> rusqlite::Result<Option<Pending>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    db.prepare_cached(SELECT)?.query_row([], row).optional()
}

/// Says whether this hub has answered an invitation and waits for what comes back.
pub(super) async fn is_waiting(app: &App) -> Result<bool, ApiError> {
    Ok(app.db.read(pending).await?.is_some())
}

/// Gives the file of an import that is an answer by itself, if it is one.
pub(super) fn answer_of(app: &App, row: &Row) -> Result<Option<SignedAnswer>, JobError> {
    let path = match (&row.upload_id, &row.folder) {
        (Some(upload), _) => uploads::path(app, upload),
        (None, Some(folder)) if Path::new(folder).is_file() => PathBuf::from(folder),
        _ => return Ok(None),
    };
    let read = match is_answer_file(&path) {
        Ok(true) => read_answer_file(&path, app.sync.keys()).map(Some),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    };
    read.map_err(|error| job_error(&error))
}

/// Admits those whose answers lie on a stick.
pub(super) fn take_answers(
    app: &App,
    runtime: &Handle,
    stick: &Stick,
    report: &mut Report,
) -> Result<(), JobError> {
    let answers = stick.answers(app.sync.keys()).map_err(|error| job_error(&error))?;
    for (name, read) in answers {
        let file = format!("join/{name}");
        match read {
            Err(error) => report.refuse(file, error),
            Ok(signed) => {
                if admit(app, runtime, &signed, &file, report)? {
                    // On a stick that is read-only it stays, and says nothing new.
                    drop(stick.remove_answer(&signed));
                }
            }
        }
    }
    Ok(())
}

/// Admits whoever answered an invitation; says whether it is a member now.
pub(super) fn admit(
    app: &App,
    runtime: &Handle,
    signed: &SignedAnswer,
    file: &str,
    report: &mut Report,
) -> Result<bool, JobError> {
    let carried = Carried::Answer(signed.bytes.clone());
    let outcome = runtime.block_on(app.sync.carry(carried));
    match outcome.refused {
        None if outcome.accepted > 0 => report.admitted.push(signed.answer.school.clone()),
        None => {}
        Some(CarryError::Store(StoreError::NoSpace)) => {
            let words = "This hub's disk is full. Free some space and begin again.";
            return Err(JobError::new("disk_full", words));
        }
        Some(error) => {
            report.refuse(file, error);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Joins by what the registrar has put on the stick for this hub.
///
/// # Errors
/// If no invitation was answered, or the stick does not bring the membership.
pub(super) fn join(
    source: Source<'_>,
    live: &Live,
    runtime: &Handle,
    parcels: &[Found],
    report: &mut Report,
) -> Result<(), JobError> {
    let app = source.app;
    let waiting = app.db.read_blocking(pending).map_err(ApiError::from)?;
    let waiting = waiting.and_then(|(text, ..)| Some((Invitation::from_text(&text)?, text)));
    let Some((invitation, text)) = waiting else {
        let words = "This school belongs to no alliance yet; found one or join one.";
        return Err(JobError::new("no_alliance", words));
    };
    let me = app.sync.hub_id();
    let mut epochs = BTreeMap::new();
    for found in parcels {
        let manifest = found.parcel.manifest();
        if manifest.alliance == invitation.alliance && manifest.is_target(&me) {
            gather(source, live, found, &mut epochs, report)?;
        }
    }
    let is_next = |(n, (number, _)): &(u64, (u64, Vec<u8>))| n == number;
    let whole = (0..).zip(epochs).take_while(is_next).map(|(_, (_, bytes))| bytes);
    let whole: Vec<Vec<u8>> = whole.collect();
    if whole.is_empty() {
        let words = "The lead school has put nothing for this school on the stick yet. It has to \
             read the stick with this school's answer, and then write to it for this school.";
        return Err(JobError::new("not_admitted_yet", words));
    }
    let joined = runtime.block_on(app.sync.join_carried(text, whole));
    joined.map_err(|refusal| not_joined(&refusal))?;
    report.joined = app.sync.membership().map(|membership| membership.name.clone());
    let forgotten = app.db.write_blocking(|tx| tx.prepare_cached(FORGET)?.execute([]).map(drop));
    forgotten.map_err(|error: rusqlite::Error| ApiError::from(error).into())
}

fn not_joined(refusal: &Refusal) -> JobError {
    match refusal {
        Refusal::NoSpace => {
            JobError::new("disk_full", "This hub's disk is full. Free some space and begin again.")
        }
        other => {
            let words =
                format!("What is on the stick does not make this school a member: {other}.");
            JobError::new("not_admitted", words)
        }
    }
}

/// Adds the epochs with which a parcel begins.
fn gather(
    source: Source<'_>,
    live: &Live,
    found: &Found,
    epochs: &mut BTreeMap<u64, Vec<u8>>,
    report: &mut Report,
) -> Result<(), JobError> {
    let app = source.app;
    let (manifest, me) = (found.parcel.manifest(), app.sync.hub_id());
    for (number, segment) in manifest.segments.iter().enumerate() {
        if !manifest.is_for(segment, &me) {
            continue;
        }
        match gather_of(app, live, &found.parcel, number, epochs) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error @ StickError::Cancelled) => return Err(job_error(&error)),
            Err(error) if error.is_stick_failing() && source.is_gone() => {
                return Err(job_error(&error));
            }
            Err(error) => {
                report.refuse(format!("{}/{number:04}.seg", found.name), error);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Adds the epochs of a segment; says whether more may follow in the next one.
fn gather_of(
    app: &App,
    live: &Live,
    parcel: &Parcel,
    number: usize,
    epochs: &mut BTreeMap<u64, Vec<u8>>,
) -> Result<bool, StickError> {
    live.check(app, parcel, number)?;
    for frame in parcel.frames(number, app.sync.keys())? {
        let bytes: usize = epochs.values().map(Vec::len).sum();
        match frame? {
            Frame::Receipt(_) => {}
            Frame::Epochs(batch) if bytes < EPOCHS_BYTES_MAX => {
                for bytes in batch {
                    let signed = SignedEpoch::decode(&bytes);
                    let signed = signed.map_err(|error| StickError::Frames(error.to_string()))?;
                    epochs.insert(signed.epoch.n, bytes);
                }
            }
            Frame::Epochs(_) => {
                return Err(StickError::Frames("allowed are 64 MiB of epochs".to_owned()));
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}
