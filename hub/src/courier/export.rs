//! Writes what schools lack to a stick, or into files for a browser.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::params;
use yingxue_sync_core::courier::{Frame, Manifest, ParcelId, VERSION, View, batch_of};
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_core::wire::BATCH_BYTES;
use yingxue_sync_io::courier::{Parcel, Stick, StickError, YXC_BYTES_MAX, yxc_head};

use super::contents::{Contents, Stretch};
use super::needs::{self, Group, Item, Part, Target};
use super::packer::Packer;
use super::report::{ExportedFile, Report, job_error};
use super::table::Row;
use super::{Live, files, receipts, table};
use crate::app::{App, now_ms};
use crate::jobs::JobError;
use crate::store::lost;
use crate::timetable;

/// Bytes of a stick that are left free: the manifest, the receipt, and blocks begun.
const STICK_RESERVE_BYTES: u64 = 4 << 20;
/// Bytes of epochs in one frame; one of the largest alliance has 2 MiB.
const EPOCHS_BYTES: usize = 1 << 20;
/// Epochs in one frame: the node takes 256 at a time.
const EPOCHS_MAX: usize = 64;

pub(crate) const SELECT_JOURNAL: &str = "select seq, bytes from envelopes \
    where collection = ?1 and author = ?2 and seq between ?3 and ?4 order by seq limit ?5";

/// Envelopes read at a time; a batch has some hundred.
const ENVELOPES_READ: usize = 1_000;

/// Runs an export. What is on the stick when it ends, however it ends, is whole.
pub(super) fn run(
    app: &App,
    row: &Row,
    view: &View,
    live: &Live,
    report: &mut Report,
) -> Result<(), JobError> {
    let Some(folder) = &row.folder else { return for_browser(app, row, view, live, report) };
    let folder = Path::new(folder);
    let (bytes_max, reserve_bytes) = (row.bytes_max, STICK_RESERVE_BYTES);
    let only = row.lessons.as_slice();
    let export = Export { app, view, live, folder, bytes_max, reserve_bytes, only };
    export.to_stick(&row.targets, row.parcel, report).map(drop)
}

/// Makes one file for each hub.
fn for_browser(
    app: &App,
    row: &Row,
    view: &View,
    live: &Live,
    report: &mut Report,
) -> Result<(), JobError> {
    for (place, hub) in (0..).zip(&row.targets) {
        let folder = files::folder_of(app, row.id, hub);
        std::fs::create_dir_all(&folder).map_err(|error| job_error(&error.into()))?;
        let bytes_max = row.bytes_max.unwrap_or(YXC_BYTES_MAX).min(YXC_BYTES_MAX);
        // Of the file's length, its head is a part.
        let bytes_max = Some(bytes_max.saturating_sub(STICK_RESERVE_BYTES));
        let parcel = ParcelId(row.parcel.0.wrapping_add(place));
        let reserve_bytes = app.config.uploads.disk_reserve_bytes.max(STICK_RESERVE_BYTES);
        let (folder, only) = (folder.as_path(), row.lessons.as_slice());
        let export = Export { app, view, live, folder, bytes_max, reserve_bytes, only };
        let signed = export.to_stick(std::slice::from_ref(hub), parcel, report)?;
        report.receipt = None;
        let bytes = yxc_head(&signed).len() as u64 + signed.manifest.total_bytes();
        let name = files::name_for(app, hub);
        let url = files::url_of(row.id, &name);
        report.files.push(ExportedFile { name, bytes, url, hub_id: hub.to_string() });
    }
    Ok(())
}

/// One parcel that is being made.
struct Export<'a> {
    app: &'a App,
    view: &'a View,
    live: &'a Live,
    folder: &'a Path,
    bytes_max: Option<u64>,
    reserve_bytes: u64,
    only: &'a [DocId],
}

impl Export<'_> {
    fn to_stick(
        &self,
        hubs: &[HubId],
        parcel: ParcelId,
        report: &mut Report,
    ) -> Result<yingxue_sync_core::courier::SignedManifest, JobError> {
        let failed = |error: StickError| job_error(&error);
        let stick = Stick::open_or_make(self.folder).map_err(failed)?;
        receipts::collect(self.app, &stick, report)?;
        let mut targets = self.targets(hubs)?;
        let empty = self.empty_manifest(parcel, &targets);
        let kept = self.look_at_own_parcels(&stick, &mut targets, &empty, report);
        let kept = kept.map_err(failed)?;
        let today = timetable::today(self.app);
        let read = |db: &_| needs::groups(db, self.view, &targets, (self.only, today));
        let groups = self.app.db.read_blocking(read);
        let groups = groups.map_err(crate::problem::ApiError::from)?;
        let writer = stick.write_parcel(self.app.sync.keys(), empty, kept).map_err(failed)?;
        let free = stick.free_bytes().map_err(failed)?.saturating_sub(self.reserve_bytes);
        let on_stick = writer.manifest().total_bytes();
        let asked = self.bytes_max.map_or(u64::MAX, |max| max.saturating_sub(on_stick));
        let mut packing = Packing {
            export: self,
            packer: Packer::new(self.app, self.live, writer),
            room: free.min(asked),
            report,
        };
        let packed = packing.pack(&targets, &groups);
        let Packing { packer, report, .. } = packing;
        let is_whole = packed.is_ok() && report.left_out == 0;
        if let Err(error) = packed {
            if !matches!(error, StickError::Full) {
                // The stick may be gone; what was named in its manifest stays.
                drop(packer.finish(false));
                return Err(failed(error));
            }
            report.left_out = report.left_out.max(1);
        }
        report.stick_bytes += packer.finish(is_whole).map_err(failed)?;
        if report.left_out > 0 {
            report.note("There was no room for everything; what is on the stick is whole.");
        }
        receipts::leave(self.app, &stick, self.view, report)?;
        let written = stick.parcels().map_err(failed)?.into_iter().find(|(id, _)| *id == parcel);
        let written = written.ok_or_else(|| failed(StickError::Hash))?.1.map_err(failed)?;
        Ok(written.signed)
    }

    fn targets(&self, hubs: &[HubId]) -> Result<Vec<Target>, JobError> {
        let mut targets = Vec::new();
        for hub in hubs {
            let member = self.view.members.iter().find(|(member, _)| member == hub);
            let Some((hub, key)) = member.copied() else {
                let words = "One of these schools does not belong to the alliance any more.";
                return Err(JobError::new("not_a_member", words));
            };
            let receipt = self.app.db.read_blocking(|db| receipts::of(db, &hub));
            let receipt = receipt.map_err(crate::problem::ApiError::from)?;
            targets.push(Target { hub, key, receipt, there: Contents::default() });
        }
        Ok(targets)
    }

    /// Takes note of what lies on the stick already and is whole. Parcels that all have taken go,
    /// and damaged ones, whose contents are written anew. One with a place that cannot be read
    /// stays: removed, it would have the next file written there. Gives how many segments of the
    /// current parcel are whole.
    fn look_at_own_parcels(
        &self,
        stick: &Stick,
        targets: &mut [Target],
        current: &Manifest,
        report: &mut Report,
    ) -> Result<usize, StickError> {
        let mut kept = 0;
        for id in stick.begun_parcels()?.into_iter().filter(|id| *id != current.parcel) {
            if self.is_own(id) {
                stick.remove_parcel(id)?;
            }
        }
        for (id, parcel) in stick.parcels()? {
            let is_current = id == current.parcel;
            let Ok(parcel) = parcel else {
                if self.is_own(id) && !is_current {
                    stick.remove_parcel(id)?;
                }
                continue;
            };
            let manifest = parcel.manifest();
            let is_ours = manifest.author == current.author;
            if !is_ours || manifest.alliance != current.alliance {
                continue;
            }
            if is_current && !manifest.is_same_parcel(current) {
                // Membership has changed since; it begins anew.
                continue;
            }
            let (whole, why) = self.count_whole(stick, &parcel)?;
            let is_damaged = why.as_ref().is_some_and(|error| !error.is_stick_failing());
            if let Some(error) = why.filter(StickError::is_stick_failing) {
                report.refuse(format!("outbox/{}/{whole:04}.seg", id.folder()), error);
            }
            if !is_current && (is_damaged || self.is_taken_by_all(manifest)) {
                stick.remove_parcel(id)?;
                continue;
            }
            if is_current {
                kept = whole;
            } else {
                stick.remove_parts(id)?;
            }
            self.count_in(manifest, whole, targets);
        }
        Ok(kept)
    }

    fn is_own(&self, parcel: ParcelId) -> bool {
        let is_own = self.app.db.read_blocking(|db| table::is_own_parcel(db, parcel));
        is_own.unwrap_or(false)
    }

    /// Counts the segments of a parcel before the first that is damaged; says what is wrong there.
    fn count_whole(
        &self,
        stick: &Stick,
        parcel: &Parcel,
    ) -> Result<(usize, Option<StickError>), StickError> {
        for number in 0..parcel.manifest().segments.len() {
            match self.live.check(self.app, parcel, number) {
                Ok(()) => {}
                Err(StickError::Cancelled) => return Err(StickError::Cancelled),
                Err(error) if stick.is_gone(&error) => return Err(error),
                Err(error) => return Ok((number, Some(error))),
            }
        }
        Ok((parcel.manifest().segments.len(), None))
    }

    fn count_in(&self, manifest: &Manifest, whole: usize, targets: &mut [Target]) {
        for segment in &manifest.segments[..whole] {
            let read = |db: &_| table::contents_of(db, manifest.parcel, &segment.hash);
            let Some(contents) = self.app.db.read_blocking(read).unwrap_or_default() else {
                continue;
            };
            for target in targets.iter_mut().filter(|t| manifest.is_for(segment, &t.hub)) {
                target.there.extend(contents.clone());
            }
        }
    }

    fn is_taken_by_all(&self, manifest: &Manifest) -> bool {
        let has_taken = |hub: &HubId| {
            let receipt = self.app.db.read_blocking(|db| receipts::of(db, hub)).ok().flatten();
            let parcel = (manifest.author, manifest.parcel);
            receipt.is_some_and(|receipt| receipt.parcels.contains(&parcel))
        };
        manifest.is_finished && manifest.groups.iter().flatten().all(has_taken)
    }

    fn empty_manifest(&self, parcel: ParcelId, targets: &[Target]) -> Manifest {
        Manifest {
            version: VERSION,
            alliance: self.view.alliance,
            author: self.app.sync.hub_id(),
            epoch: self.view.epoch,
            parcel,
            written_at_wall_ms: now_ms().unsigned_abs(),
            is_finished: false,
            groups: listed_groups(self.view, targets),
            segments: Vec::new(),
        }
    }
}

/// Lists the hubs that segments may be for: all, and those that may read only some collections.
fn listed_groups(view: &View, targets: &[Target]) -> Vec<Vec<HubId>> {
    let mut listed: Vec<Vec<HubId>> = vec![targets.iter().map(|target| target.hub).collect()];
    for places in needs::readers(view, targets) {
        let group: Vec<HubId> = places.iter().map(|place| targets[*place].hub).collect();
        if !listed.contains(&group) {
            listed.push(group);
        }
    }
    listed
}

/// A parcel that is being filled.
struct Packing<'a, 'b> {
    export: &'a Export<'a>,
    packer: Packer<'a>,
    room: u64,
    report: &'b mut Report,
}

impl Packing<'_, '_> {
    fn pack(&mut self, targets: &[Target], groups: &[Group]) -> Result<(), StickError> {
        let expected = groups.iter().flat_map(|group| &group.items).map(Item::bytes).sum::<u64>();
        self.export.live.expect(expected.min(self.room));
        self.packer.turn_to(0, targets.iter().map(|target| target.key).collect())?;
        self.put_receipt()?;
        self.put_epochs(targets)?;
        let listed = listed_groups(self.export.view, targets);
        for group in groups {
            let members = || group.targets.iter().map(|place| &targets[*place]);
            let hubs: Vec<HubId> = members().map(|target| target.hub).collect();
            let place = listed.iter().position(|known| *known == hubs);
            let place = place.and_then(|place| u8::try_from(place).ok());
            let place = place.ok_or_else(|| StickError::Frames("too many groups".to_owned()))?;
            if place > 0 {
                self.packer.turn_to(place, members().map(|target| target.key).collect())?;
            }
            for stretch in &group.journals {
                self.put_journal(stretch)?;
            }
            self.put_items(&group.items)?;
        }
        self.packer.end_segment()
    }

    fn put_receipt(&mut self) -> Result<(), StickError> {
        let made = receipts::make(self.export.app, self.export.view);
        let signed = made.map_err(|error| StickError::Frames(error.to_string()))?;
        self.packer.put(&Frame::Receipt(signed.bytes), |_| {})
    }

    fn put_epochs(&mut self, targets: &[Target]) -> Result<(), StickError> {
        let known = |target: &Target| {
            let received = target.receipt.as_ref().map(|receipt| receipt.epoch);
            received.max(target.there.epoch)
        };
        let from = targets.iter().map(known).min().flatten().map_or(0, |epoch| epoch + 1);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let (view, mut batch, mut bytes) = (self.export.view, Vec::new(), 0);
        for (n, epoch) in view.epochs.iter().enumerate().skip(from) {
            batch.push(epoch.clone());
            bytes += epoch.len();
            let is_last = n + 1 == view.epochs.len();
            if is_last || bytes >= EPOCHS_BYTES || batch.len() >= EPOCHS_MAX {
                let upto = n as u64;
                let frame = Frame::Epochs(std::mem::take(&mut batch));
                self.packer.put(&frame, |contents| contents.epoch = Some(upto))?;
                bytes = 0;
            }
        }
        Ok(())
    }

    fn put_journal(&mut self, stretch: &Stretch) -> Result<(), StickError> {
        let mut from = stretch.from;
        while from <= stretch.to {
            let batch = self.read_journal(stretch, from)?;
            if batch.is_empty() {
                let words = "A part of what was written here cannot be read; see the hub's log.";
                self.report.note(words);
                return Ok(());
            }
            let to = from + batch.len() as u64 - 1;
            let frame = Frame::Envelopes {
                collection: stretch.collection.clone(),
                batch: batch_of(&batch),
            };
            let bytes = frame.encode().len() as u64;
            if bytes > self.room {
                return Err(StickError::Full);
            }
            self.room -= bytes;
            self.report.envelopes += batch.len() as u64;
            let written = Stretch { from, to, ..stretch.clone() };
            self.packer.put(&frame, |contents| contents.journals.push(written))?;
            from = to + 1;
        }
        Ok(())
    }

    /// Reads a batch of a journal without a gap.
    fn read_journal(&self, stretch: &Stretch, from: u64) -> Result<Vec<Vec<u8>>, StickError> {
        let read = self.export.app.db.read_blocking(|db| -> rusqlite::Result<_> {
            let mut statement = db.prepare_cached(SELECT_JOURNAL)?;
            let journal = params![
                stretch.collection.0,
                stretch.author.as_bytes(),
                from,
                stretch.to,
                ENVELOPES_READ,
            ];
            let mut rows = statement.query(journal)?;
            let (mut batch, mut bytes): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
            while bytes < BATCH_BYTES
                && let Some(row) = rows.next()?
            {
                let seq: u64 = row.get(0)?;
                if seq != from + batch.len() as u64 {
                    break;
                }
                let envelope: Vec<u8> = row.get(1)?;
                bytes += envelope.len();
                batch.push(envelope);
            }
            Ok(batch)
        });
        read.map_err(|error| StickError::Frames(error.to_string()))
    }

    fn put_items(&mut self, items: &[Item]) -> Result<(), StickError> {
        let mut lessons = BTreeSet::new();
        for item in items {
            if item.bytes() > self.room {
                self.report.left_out += 1;
                continue;
            }
            self.room -= item.bytes();
            for part in &item.parts {
                self.put_part(part)?;
            }
            if lessons.insert(item.lesson) {
                self.report.add_lesson(item.lesson.to_string(), &item.title);
            }
        }
        Ok(())
    }

    fn put_part(&mut self, part: &Part) -> Result<(), StickError> {
        let files = self.export.app.sync.files();
        for piece in &part.pieces {
            let info = &part.manifest.pieces[*piece as usize];
            let offset = part.manifest.offset_of(*piece);
            let bytes = match files.read_at(part.blob, offset, info.bytes as usize) {
                Ok(bytes) if part.manifest.verifies(*piece, &bytes) => bytes,
                read => {
                    tracing::warn!(blob = %part.blob, piece, ok = read.is_ok(), "a damaged piece");
                    self.take_back(part.blob, *piece)?;
                    let words = "A damaged part of a lesson was left out; it is fetched again.";
                    self.report.note(words);
                    continue;
                }
            };
            if !self.packer.has_manifest(part.blob) {
                let manifest = part.manifest.encode();
                self.packer.put(&Frame::Blob { blob: part.blob, manifest }, |_| {})?;
            }
            self.report.payload_bytes += bytes.len() as u64;
            let frame = Frame::Piece { blob: part.blob, piece: *piece, bytes };
            self.packer.put(&frame, |contents| contents.add_piece(part.blob, *piece))?;
        }
        self.report.blobs += 1;
        Ok(())
    }

    /// Looks at a piece once more, and takes it back if it is not right.
    fn take_back(&self, blob: BlobId, piece: u32) -> Result<(), StickError> {
        let app = &self.export.app;
        let looked = lost::read_some(&app.db, app.sync.files(), blob, piece, 1);
        let found = looked.map_err(|error| StickError::Frames(error.to_string()))?.found;
        found.notices.into_iter().for_each(|notice| app.sync.news().tell(notice));
        Ok(())
    }
}
