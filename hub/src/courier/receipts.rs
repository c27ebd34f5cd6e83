//! Receipts: what other hubs hold and want, as they signed it, and what this one does.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::courier::{
    BlobWant, PARCELS_TAKEN_MAX, RECEIPT_WANTS_MAX, Receipt, SignedReceipt, VERSION, View,
};
use yingxue_sync_core::event::Want;
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_io::courier::{Stick, StickError};

use super::needs::SELECT_NEW_DOCS;
use super::report::{ReceiptLeft, Report};
use super::table;
use super::worth::When;
use crate::app::{App, now_ms};
use crate::catalog;
use crate::problem::ApiError;
use crate::store::blobs;

/// Hubs that a receipt on a stick is encrypted to; an alliance has 37.
const READERS_MAX: usize = 256;

pub(crate) const SELECT_RECEIPT: &str = "select bytes from courier_receipts where hub = ?1";
pub(crate) const KEEP_RECEIPT: &str = "insert into courier_receipts \
    (hub, number, written_at, bytes) values (?1, ?2, ?3, ?4) on conflict (hub) do update \
    set number = ?2, written_at = ?3, bytes = ?4 where number < ?2";
pub(crate) const NEXT_NUMBER: &str =
    "update courier_receipt_number set number = max(number + 1, ?1) returning number";
pub(crate) const SELECT_LESSONS_OF: &str = "select lesson from lesson_tracks where blob = ?1";
pub(crate) const SELECT_WANTED: &str = "select blob from lesson_tracks where is_wanted = 1 \
    order by class, created_at_ms desc limit ?1";

/// Gives the newest receipt of a hub.
///
/// # Errors
/// If the database fails.
pub(crate) fn of(db: &Connection, hub: &HubId) -> rusqlite::Result<Option<Receipt>> {
    let bytes = db
        .prepare_cached(SELECT_RECEIPT)?
        .query_row([hub.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(bytes.and_then(|bytes| SignedReceipt::decode(&bytes).ok()).map(|signed| signed.receipt))
}

/// Says whether a hub has signed, after a moment of its own clock, that it knows of a lesson as it
/// is here and lacks none of these blobs of it.
///
/// # Errors
/// If the database fails.
pub(crate) fn says_to_hold(
    db: &Connection,
    receipt: &Receipt,
    after_ms: i64,
    lesson: &DocId,
    blobs: &[BlobId],
) -> rusqlite::Result<bool> {
    const WRITTEN: &str = "select author, max(seq) from envelopes \
         where collection = ?1 and doc = ?2 group by author";
    // What it has not heard of it does not want either.
    let mut written = db.prepare_cached(WRITTEN)?;
    let collection = catalog::collection();
    let mut rows = written.query(params![collection.0, lesson.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let author = HubId(row.get(0)?);
        if row.get::<_, u64>(1)? > receipt.seq_of(&collection, &author) {
            return Ok(false);
        }
    }
    let is_newer = i64::try_from(receipt.written_at_wall_ms).is_ok_and(|at| at > after_ms);
    let lacks = |want: &BlobWant| blobs.contains(&want.blob);
    Ok(is_newer && receipt.are_wants_complete && !receipt.wants.iter().any(lacks))
}

/// Lists the lessons of which a hub lacks something, as its receipt says, with how soon it asks for
/// them, and those that it has not heard of.
///
/// # Errors
/// If the database fails.
pub(crate) fn lacking(
    db: &Connection,
    receipt: &Receipt,
) -> rusqlite::Result<BTreeMap<DocId, When>> {
    const AUTHORS: &str = "select distinct author from envelopes where collection = ?1";
    let mut lessons = BTreeMap::new();
    let mut of_blob = db.prepare_cached(SELECT_LESSONS_OF)?;
    for (place, want) in receipt.wants.iter().enumerate() {
        for lesson in of_blob.query_map([want.blob.as_bytes()], |row| row.get(0).map(DocId))? {
            lessons.entry(lesson?).or_insert(When::of_place(place));
        }
    }
    let collection = catalog::collection();
    let mut new_docs = db.prepare_cached(SELECT_NEW_DOCS)?;
    let mut authors = db.prepare_cached(AUTHORS)?;
    for author in authors.query_map([&collection.0], |row| row.get(0).map(HubId))? {
        let author = author?;
        let seq = receipt.seq_of(&collection, &author);
        let after = params![collection.0, author.as_bytes(), seq];
        for doc in new_docs.query_map(after, |row| row.get(0).map(DocId))? {
            lessons.entry(doc?).or_insert(When::Unknown);
        }
    }
    Ok(lessons)
}

/// Keeps a receipt that was read somewhere, if it is of a member and newer than what is here.
pub(super) fn keep(app: &App, signed: &SignedReceipt) -> Result<(), ApiError> {
    let receipt = &signed.receipt;
    let membership = app.sync.membership().ok_or_else(ApiError::no_alliance)?;
    let is_member = membership.hubs.iter().any(|member| member.hub == receipt.hub);
    let is_other = receipt.hub != app.sync.hub_id();
    if receipt.alliance != membership.alliance || !is_member || !is_other {
        return Ok(());
    }
    let (hub, number) = (receipt.hub, receipt.number);
    let (written_at, bytes) = (receipt.written_at_wall_ms, signed.bytes.clone());
    app.db.write_blocking(move |tx| -> Result<(), ApiError> {
        let values = params![hub.as_bytes(), as_i64(number), as_i64(written_at), bytes];
        tx.prepare_cached(KEEP_RECEIPT)?.execute(values)?;
        Ok(())
    })
}

/// Keeps the receipts that lie on a stick.
pub(super) fn collect(app: &App, stick: &Stick, report: &mut Report) -> Result<(), ApiError> {
    match stick.receipts(app.sync.keys()) {
        Ok(found) => {
            for (name, receipt) in found {
                match receipt {
                    Ok(signed) => keep(app, &signed)?,
                    Err(error) => report.refuse(format!("have/{name}"), error),
                }
            }
        }
        // What is carried does not depend on it.
        Err(error) => report.note(format!("The receipts on the stick cannot be read: {error}.")),
    }
    Ok(())
}

/// Writes this hub's receipt as it is now.
pub(super) fn make(app: &App, view: &View) -> Result<SignedReceipt, ApiError> {
    let planned = app.sync.news().policy().tonight();
    let read = app.db.read_blocking(|db| -> rusqlite::Result<_> {
        let (wants, are_all) = wanted(db, &planned.wants)?;
        Ok((wants, are_all, table::parcels(db, PARCELS_TAKEN_MAX)?))
    });
    let (wants, are_wants_complete, parcels) = read?;
    let number = app.db.write_blocking(next_number)?;
    let vector = |c: &yingxue_sync_core::courier::CollectionView| (c.id.clone(), c.vector.clone());
    let receipt = Receipt {
        version: VERSION,
        alliance: view.alliance,
        hub: app.sync.hub_id(),
        number,
        epoch: view.epoch,
        written_at_wall_ms: now_ms().unsigned_abs(),
        vectors: view.collections.iter().map(vector).collect(),
        wants,
        are_wants_complete,
        parcels,
    };
    Ok(receipt.sign(app.sync.keys()))
}

/// Leaves this hub's receipt on a stick; one that cannot be left goes with the next stick.
pub(super) fn leave(
    app: &App,
    stick: &Stick,
    view: &View,
    report: &mut Report,
) -> Result<(), ApiError> {
    let signed = make(app, view)?;
    let registrar = app.sync.membership().map(|membership| membership.registrar);
    let mut members = view.members.clone();
    members.sort_by_key(|(hub, _)| Some(*hub) != registrar);
    let keys: Vec<[u8; 32]> = members.iter().map(|(_, key)| *key).take(READERS_MAX).collect();
    report.receipt = Some(match stick.write_receipt(&signed, &keys) {
        Ok(()) => ReceiptLeft::Written,
        Err(error) => {
            let why = match error {
                StickError::ReadOnly => "The stick is read-only".to_owned(),
                StickError::Full => "The stick is full".to_owned(),
                other => format!("The receipt could not be written ({other})"),
            };
            report.note(format!("{why}; what this school holds is told with the next stick."));
            ReceiptLeft::Kept
        }
    });
    Ok(())
}

/// Lists what is wanted in the order of tonight's plan, then the rest, and says whether that is
/// all.
fn wanted(db: &Connection, planned: &[Want]) -> rusqlite::Result<(Vec<BlobWant>, bool)> {
    let mut seen = BTreeSet::new();
    let mut list: Vec<BlobId> = planned.iter().map(|want| want.blob).collect();
    let mut statement = db.prepare_cached(SELECT_WANTED)?;
    let rest = statement.query_map([2 * RECEIPT_WANTS_MAX], |row| row.get(0).map(BlobId))?;
    list.extend(rest.collect::<Result<Vec<_>, _>>()?);
    list.retain(|blob| seen.insert(*blob));
    let are_all = list.len() <= RECEIPT_WANTS_MAX;
    list.truncate(RECEIPT_WANTS_MAX);
    let mut wants = Vec::with_capacity(list.len());
    for blob in list {
        wants.extend(want(db, blob)?);
    }
    Ok((wants, are_all))
}

/// Says what is missing of a blob; none if it is whole, which a plan made before an import does
/// not know.
fn want(db: &Connection, blob: BlobId) -> rusqlite::Result<Option<BlobWant>> {
    let stored = blobs::load(db, &blob)?;
    let manifest = stored.manifest.as_deref().and_then(|bytes| Manifest::decode(bytes).ok());
    let Some(manifest) = manifest else {
        return Ok(Some(BlobWant { blob, missing: Vec::new() }));
    };
    let held = Bitmap::from_bytes(&stored.bitmap, manifest.pieces.len());
    Ok((!held.is_full()).then(|| BlobWant::of(blob, held.missing())))
}

fn next_number(tx: &Transaction<'_>) -> Result<u64, ApiError> {
    // A restored backup must not count again what was counted before; the clock helps.
    let number = tx.prepare_cached(NEXT_NUMBER)?.query_row([now_ms()], |row| row.get(0))?;
    Ok(number)
}

fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
