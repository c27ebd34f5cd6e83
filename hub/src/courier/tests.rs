//! Couriers, tried with two whole hubs whose link is cut; this file is what the tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use serde_json::json;
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::courier::{self, Frame, Keys, ParcelId};
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::report::Report;
use super::table::{self, Kind, NewJob, Row};
use super::*;
use crate::app::trial::TrialHub;
use crate::catalog::{self, NewLesson, NewTrack};
use crate::jobs::JobError;
use crate::store::blobs;

mod browser;
mod carrying;
mod cuts;
mod figures;
mod joining;
mod refusals;
mod segments;
mod sticks;
mod worth;

/// Segments of a few frames, so that a small lesson has many.
const SMALL_SEGMENT: u64 = 30_000;

/// splitmix64: the same numbers in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end.max(1)
    }
}

struct Schools {
    lead: TrialHub,
    village: TrialHub,
    sticks: tempfile::TempDir,
}

/// A lead school and a village in one alliance, whose link was cut right after.
async fn schools() -> Schools {
    let ((lead, lead_admin), (village, admin)) =
        (TrialHub::start_set_up().await, TrialHub::start_set_up().await);
    lead.post("/api/v1/alliance", &lead_admin, json!({"name": "萤雪"})).await;
    let hours = json!({"valid_hours": 1});
    let made = lead.post("/api/v1/alliance/invitations", &lead_admin, hours).await.json();
    let line = json!({"invitation": made["text"]});
    let joined = village.post("/api/v1/alliance/join", &admin, line).await;
    assert_eq!(joined.outcome(), "200");
    for hub in [&lead, &village] {
        hub.app.sync.set_online(false).await;
        hub.app.courier.segment_bytes.store(SMALL_SEGMENT, Ordering::Relaxed);
    }
    Schools { lead, village, sticks: tempfile::tempdir().unwrap() }
}

/// Publishes a lesson of sound and an original, as an import does.
async fn add_lesson(hub: &TrialHub, n: u64) -> (DocId, [BlobId; 2]) {
    add_lesson_of(hub, n, 5).await
}

/// Publishes a lesson whose sound has so many pieces.
async fn add_lesson_of(hub: &TrialHub, n: u64, pieces: u64) -> (DocId, [BlobId; 2]) {
    let audio = add_blob(hub, n, pieces).await;
    let source = add_blob(hub, n + (1 << 32), 12).await;
    let track = |kind: &str, (blob, bytes): (BlobId, u64)| NewTrack {
        kind: kind.to_owned(),
        blob,
        bytes,
        codecs: "opus".to_owned(),
        width: None,
        height: None,
    };
    let lesson = NewLesson {
        title: format!("第{n}课"),
        subject: "math".to_owned(),
        grade: "3".to_owned(),
        teacher: "陈老师".to_owned(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: n as i64,
    };
    let tracks = [track("audio", audio), track("source", source)];
    let edits = catalog::lesson_edits(&lesson, 60_000, None, &tracks);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_le_bytes());
    let doc = DocId(id);
    let author = "t1".to_owned();
    hub.app.sync.edit_doc(catalog::collection(), doc, author, edits).await.unwrap();
    (doc, [audio.0, source.0])
}

async fn add_blob(hub: &TrialHub, seed: u64, pieces: u64) -> (BlobId, u64) {
    let mut chance = Chance(seed);
    let lengths: Vec<u32> = (0..pieces).map(|_| 4_000 + chance.below(8_000) as u32).collect();
    let total: u32 = lengths.iter().sum();
    let content: Vec<u8> = (0..total).map(|_| chance.below(256) as u8).collect();
    make_blob(hub, &lengths, &content).await
}

async fn make_blob(hub: &TrialHub, lengths: &[u32], content: &[u8]) -> (BlobId, u64) {
    let manifest = Manifest::of(lengths, content, vec![]).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join("made");
    fs::write(&path, content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    let inserted = hub.app.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest));
    inserted.await.unwrap();
    hub.app.sync.blob_added(blob).await;
    (blob, content.len() as u64)
}

async fn run(hub: &TrialHub, job: NewJob, looks: u64) -> (Report, Result<(), JobError>) {
    run_with(hub, job, Live { looks_left: AtomicU64::new(looks), ..Live::default() }).await
}

async fn run_with(hub: &TrialHub, job: NewJob, live: Live) -> (Report, Result<(), JobError>) {
    let row = hub.app.db.write(move |tx| -> Result<Row, crate::problem::ApiError> {
        let id = table::insert(tx, &job, u32::MAX)?;
        tx.execute("update courier_jobs set state = 'done' where id = ?1", [id])?;
        Ok(table::find(tx, id)?.expect("it was just made"))
    });
    let (app, row) = (hub.app.clone(), row.await.unwrap());
    tokio::task::spawn_blocking(move || runner::work(&app, &row, &live)).await.unwrap()
}

fn export_to(stick: &Path, to: HubId, parcel: u32) -> NewJob {
    NewJob {
        kind: Kind::Export,
        folder: Some(stick.to_str().unwrap().to_owned()),
        upload_id: None,
        targets: vec![to],
        bytes_max: None,
        parcel: ParcelId(parcel),
        lessons: Vec::new(),
    }
}

fn import_from(stick: &Path) -> NewJob {
    let folder = Some(stick.to_str().unwrap().to_owned());
    let (kind, targets, parcel) = (Kind::Import, Vec::new(), ParcelId(0));
    let lessons = Vec::new();
    NewJob { kind, folder, upload_id: None, targets, bytes_max: None, parcel, lessons }
}

impl Schools {
    fn stick(&self, n: u64) -> PathBuf {
        let stick = self.sticks.path().join(n.to_string());
        fs::create_dir(&stick).unwrap();
        stick
    }

    async fn export(&self, stick: &Path, parcel: u32) -> Report {
        let to = self.village.app.sync.hub_id();
        let (report, outcome) = run(&self.lead, export_to(stick, to, parcel), 0).await;
        outcome.unwrap();
        report
    }

    async fn import(&self, stick: &Path) -> Report {
        let (report, outcome) = run(&self.village, import_from(stick), 0).await;
        outcome.unwrap();
        report
    }
}

/// Gives one hub the receipt of another, as a stick does.
pub(crate) async fn give_receipt(from: &TrialHub, to: &TrialHub) {
    let view = from.app.sync.courier_view().await.unwrap();
    let (from, to) = (from.app.clone(), to.app.clone());
    let give = move || receipts::keep(&to, &receipts::make(&from, &view).unwrap());
    tokio::task::spawn_blocking(give).await.unwrap().unwrap();
}

/// Looks at every piece that a hub says to hold; gives whether the blobs are whole.
fn are_whole(hub: &TrialHub, wanted: &[BlobId]) -> bool {
    let mut whole = 0;
    for blob in wanted {
        let stored = hub.app.db.read_blocking(|db| blobs::load(db, blob)).unwrap();
        let Some(manifest) = stored.manifest else { continue };
        let manifest = Manifest::decode(&manifest).unwrap();
        let held = Bitmap::from_bytes(&stored.bitmap, manifest.pieces.len());
        for piece in (0..manifest.pieces.len() as u32).filter(|piece| held.has(*piece)) {
            let bytes = manifest.pieces[piece as usize].bytes as usize;
            let read = hub.app.sync.files().read_at(*blob, manifest.offset_of(piece), bytes);
            assert!(manifest.verifies(piece, &read.unwrap()), "a bad import: piece {piece}");
        }
        whole += usize::from(held.is_full());
    }
    whole == wanted.len()
}

/// Writes a parcel of given segments for the village, as `author` signs it.
fn write_by_hand(schools: &Schools, stick: &Path, author: &Keys, epoch: u64, parts: &[Vec<Frame>]) {
    let village = &schools.village.app.sync;
    let manifest = courier::Manifest {
        version: courier::VERSION,
        alliance: village.membership().unwrap().alliance,
        author: author.hub(),
        epoch,
        parcel: ParcelId(99),
        written_at_wall_ms: u64::MAX,
        is_finished: true,
        groups: vec![vec![village.hub_id()]],
        segments: vec![],
    };
    let opened = yingxue_sync_io::courier::Stick::open_or_make(stick).unwrap();
    let mut writer = opened.write_parcel(author, manifest, 0).unwrap();
    for frames in parts {
        let mut segment = writer.begin(0, &[village.keys().x25519_public()]).unwrap();
        frames.iter().for_each(|frame| segment.write(frame).unwrap());
        writer.end(segment).unwrap();
    }
    writer.finish(true).unwrap();
}

fn folder_of(stick: &Path, parcel: u32) -> PathBuf {
    stick.join("yingxue-courier/outbox").join(ParcelId(parcel).folder())
}

/// Gives all that an import may change: journals, epochs, held bytes.
fn state_of(hub: &TrialHub) -> String {
    const STATE: &str = "select (select count(*) from envelopes) || ' ' || \
        (select count(*) from epochs) || ' ' || \
        (select coalesce(sum(verified_bytes), 0) || ' ' || count(*) from blobs)";
    hub.app.db.read_blocking(|db| db.query_row(STATE, [], |row| row.get(0))).unwrap()
}
