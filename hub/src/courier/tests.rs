use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use serde_json::json;
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::courier::ParcelId;
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::report::Report;
use super::table::{self, Kind, NewJob, Row};
use super::*;
use crate::app::trial::TrialHub;
use crate::catalog::{self, NewLesson, NewTrack};
use crate::jobs::JobError;
use crate::store::blobs;

/// Segments of a few frames, so that a small lesson has many.
const SMALL_SEGMENT: u64 = 30_000;
/// Cuts of an ordinary run; `YINGXUE_CUTS` gives another number.
const CUTS: u64 = 24;

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
    let audio = add_blob(hub, n, 5).await;
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
    let manifest = Manifest::of(&lengths, &content, vec![]).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join("made");
    fs::write(&path, &content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    let inserted = hub.app.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest));
    inserted.await.unwrap();
    hub.app.sync.blob_added(blob).await;
    (blob, total.into())
}

async fn run(hub: &TrialHub, job: NewJob, looks: u64) -> (Report, Result<(), JobError>) {
    let row = hub.app.db.write(move |tx| -> Result<Row, crate::problem::ApiError> {
        let id = table::insert(tx, &job, u32::MAX)?;
        tx.execute("update courier_jobs set state = 'done' where id = ?1", [id])?;
        Ok(table::find(tx, id)?.expect("it was just made"))
    });
    let (app, row) = (hub.app.clone(), row.await.unwrap());
    let live = Live { looks_left: AtomicU64::new(looks), ..Live::default() };
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
    }
}

fn import_from(stick: &Path) -> NewJob {
    let folder = Some(stick.to_str().unwrap().to_owned());
    let (targets, parcel) = (Vec::new(), ParcelId(0));
    NewJob { kind: Kind::Import, folder, upload_id: None, targets, bytes_max: None, parcel }
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

fn folder_of(stick: &Path, parcel: u32) -> PathBuf {
    stick.join("yingxue-courier/outbox").join(ParcelId(parcel).folder())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_carries_what_is_missing_and_the_next_one_no_more() {
    let schools = schools().await;
    let (_, first) = add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    let exported = schools.export(&stick, 1).await;
    assert_eq!((exported.lessons.len(), exported.blobs, exported.left_out), (1, 2, 0));
    let imported = schools.import(&stick).await;
    assert_eq!(imported.refused, []);
    assert_eq!((imported.lessons.len(), imported.blobs), (1, 2));
    assert_eq!(imported.receipt, Some(report::ReceiptLeft::Written));
    assert!(are_whole(&schools.village, &first));

    let again = schools.import(&stick).await;
    assert_eq!((again.envelopes, again.payload_bytes, again.refused.len()), (0, 0, 0));
    let (_, second) = add_lesson(&schools.lead, 2).await;
    let exported = schools.export(&stick, 2).await;
    assert_eq!(exported.lessons.len(), 1, "{exported:?}");
    assert_eq!(exported.lessons[0].title, "第2课");
    assert_eq!(exported.envelopes, 1);
    assert!(!folder_of(&stick, 1).exists(), "what was taken goes");
    schools.import(&stick).await;
    assert!(are_whole(&schools.village, &second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_on_a_stick_already_is_not_written_twice() {
    let schools = schools().await;
    add_lesson(&schools.lead, 1).await;
    let stick = schools.stick(0);
    let first = schools.export(&stick, 1).await;
    let second = schools.export(&stick, 2).await;
    assert!(first.payload_bytes > 100_000);
    assert_eq!((second.payload_bytes, second.envelopes), (0, 0));
    let imported = schools.import(&stick).await;
    assert_eq!((imported.lessons.len(), imported.refused.len()), (1, 0));
}

/// The stick is pulled out at a random byte while it is written; a file on it ends at a random
/// byte, or has a wrong one; or it is pulled out while it is read. Nothing bad gets in, and when
/// it is plugged in again everything does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stick_may_be_pulled_out_at_any_byte() {
    let cuts = std::env::var("YINGXUE_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    let schools = schools().await;
    let mut chance = Chance(7);
    for n in 1..=cuts {
        let (_, blobs) = add_lesson(&schools.lead, n).await;
        let (stick, parcel) = (schools.stick(n), 2 * n as u32);
        schools.export(&stick, parcel).await;
        let folder = folder_of(&stick, parcel);
        let looks = if n % 4 == 3 { 1 + chance.below(30) } else { 0 };
        let must_be_refused = match n % 4 {
            0 => pull_out(&schools.lead, &folder, &mut chance),
            1 => shorten(&folder, &mut chance),
            2 => flip(&folder, &mut chance),
            _ => false,
        };
        let (report, outcome) = run(&schools.village, import_from(&stick), looks).await;
        let is_refused = outcome.is_err() || !report.refused.is_empty();
        assert!(is_refused || !must_be_refused, "cut {n}: {report:?}");
        let is_whole = are_whole(&schools.village, &blobs);
        assert!(!(is_whole && must_be_refused), "cut {n} has cost nothing");

        schools.export(&stick, parcel + 1).await;
        let imported = schools.import(&stick).await;
        assert_eq!(imported.refused, [], "cut {n}");
        assert!(are_whole(&schools.village, &blobs), "cut {n}");
        fs::remove_dir_all(&stick).unwrap();
    }
}

/// Leaves what would be there had the stick been pulled out at a random byte of its segments.
fn pull_out(lead: &TrialHub, folder: &Path, chance: &mut Chance) -> bool {
    let bytes = fs::read(folder.join("manifest")).unwrap();
    let mut manifest = yingxue_sync_core::courier::SignedManifest::decode(&bytes).unwrap().manifest;
    let mut left = chance.below(manifest.total_bytes());
    let whole = manifest.segments.iter().take_while(|segment| {
        let fits = segment.bytes <= left;
        left -= if fits { segment.bytes } else { 0 };
        fits
    });
    let whole = whole.count();
    let path = |n: usize, end: &str| folder.join(format!("{n:04}.{end}"));
    for n in whole + 1..manifest.segments.len() {
        fs::remove_file(path(n, "seg")).unwrap();
    }
    let part = fs::read(path(whole, "seg")).unwrap();
    fs::remove_file(path(whole, "seg")).unwrap();
    fs::write(path(whole, "tmp"), &part[..left as usize]).unwrap();
    manifest.segments.truncate(whole);
    manifest.is_finished = false;
    match whole {
        0 => fs::remove_file(folder.join("manifest")).unwrap(),
        _ => fs::write(folder.join("manifest"), manifest.sign(lead.app.sync.keys()).bytes).unwrap(),
    }
    false
}

fn any_file(folder: &Path, chance: &mut Chance) -> (PathBuf, Vec<u8>) {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let file = files.swap_remove(chance.below(files.len() as u64) as usize);
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

fn shorten(folder: &Path, chance: &mut Chance) -> bool {
    let (file, bytes) = any_file(folder, chance);
    let len = chance.below(bytes.len() as u64) as usize;
    fs::write(file, &bytes[..len]).unwrap();
    true
}

fn flip(folder: &Path, chance: &mut Chance) -> bool {
    let (file, mut bytes) = any_file(folder, chance);
    let at = chance.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << chance.below(8);
    fs::write(file, bytes).unwrap();
    true
}
