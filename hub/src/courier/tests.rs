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
        are_whole(&schools.village, &blobs);

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

/// Gives all that an import may change: journals, epochs, held bytes.
fn state_of(hub: &TrialHub) -> String {
    const STATE: &str = "select (select count(*) from envelopes) || ' ' || \
        (select count(*) from epochs) || ' ' || \
        (select coalesce(sum(verified_bytes), 0) || ' ' || count(*) from blobs)";
    hub.app.db.read_blocking(|db| db.query_row(STATE, [], |row| row.get(0))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_of_another_alliance_is_refused_with_words_and_nothing_has_changed() {
    let (ours, others) = (schools().await, schools().await);
    add_lesson(&others.lead, 1).await;
    let stick = ours.stick(0);
    others.export(&stick, 1).await;
    let before = state_of(&ours.village);
    let report = ours.import(&stick).await;
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.refused[0].why, "it is of another alliance");
    assert_eq!(report.refused[0].file, "outbox/00000001/manifest");
    assert_eq!(state_of(&ours.village), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hub_that_was_taken_out_nothing_is_taken() {
    let schools = schools().await;
    add_lesson(&schools.village, 1).await;
    let stick = schools.stick(0);
    let to = schools.lead.app.sync.hub_id();
    run(&schools.village, export_to(&stick, to, 1), 0).await.1.unwrap();
    schools.lead.app.sync.revoke(schools.village.app.sync.hub_id()).await.unwrap();
    let before = state_of(&schools.lead);
    let (report, outcome) = run(&schools.lead, import_from(&stick), 0).await;
    outcome.unwrap();
    let words = "the hub that wrote it does not belong to the alliance";
    assert_eq!(report.refused[0].why, words, "{report:?}");
    assert_eq!(state_of(&schools.lead), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_claims_a_later_epoch_brings_nothing() {
    use yingxue_sync_core::courier::{Frame, Keys, Manifest, VERSION};
    let schools = schools().await;
    let village = &schools.village;
    let (stick, stranger) = (schools.stick(0), Keys::of(&[99; 32]));
    let manifest = Manifest {
        version: VERSION,
        alliance: village.app.sync.membership().unwrap().alliance,
        author: stranger.hub(),
        epoch: u64::MAX,
        parcel: ParcelId(1),
        written_at_wall_ms: u64::MAX,
        is_finished: true,
        groups: vec![vec![village.app.sync.hub_id()]],
        segments: vec![],
    };
    let opened = yingxue_sync_io::courier::Stick::open_or_make(&stick).unwrap();
    let mut writer = opened.write_parcel(&stranger, manifest, 0).unwrap();
    let piece = Frame::Piece { blob: BlobId([1; 32]), piece: 0, bytes: vec![1; 1_000] };
    for frames in [vec![Frame::Epochs(vec![vec![0; 100]])], vec![piece; 300]] {
        let mut segment = writer.begin(0, &[village.app.sync.keys().x25519_public()]).unwrap();
        frames.iter().for_each(|frame| segment.write(frame).unwrap());
        writer.end(segment).unwrap();
    }
    let before = state_of(village);
    let report = schools.import(&stick).await;
    assert_eq!(report.refused.len(), 2, "{report:?}");
    assert!(report.refused[0].why.contains("epoch"), "{report:?}");
    assert!(report.refused[1].why.contains("does not belong"), "{report:?}");
    assert_eq!(state_of(village), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_schools_share_a_stick_and_a_small_one_holds_the_floor_first() {
    let schools = schools().await;
    for n in 1..=3 {
        add_lesson(&schools.lead, n).await;
    }
    let stick = schools.stick(0);
    let to = schools.village.app.sync.hub_id();
    let small = NewJob { bytes_max: Some(140_000), ..export_to(&stick, to, 1) };
    let (report, outcome) = run(&schools.lead, small, 0).await;
    outcome.unwrap();
    assert_eq!(report.left_out, 3, "sound fits, originals do not: {report:?}");
    let imported = schools.import(&stick).await;
    assert_eq!((imported.lessons.len(), imported.blobs), (3, 3), "{imported:?}");
    let rest = schools.export(&stick, 2).await;
    assert_eq!((rest.blobs, rest.left_out), (3, 0));
    assert_eq!(schools.import(&stick).await.blobs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_named_lessons_carries_these_whatever_the_receipt_says_and_no_other() {
    let schools = schools().await;
    let mut lessons = Vec::new();
    for n in 1..=3 {
        lessons.push(add_lesson(&schools.lead, n).await.0);
    }
    let stick = schools.stick(0);
    let to = schools.village.app.sync.hub_id();
    let named = |parcel| NewJob { lessons: vec![lessons[1]], ..export_to(&stick, to, parcel) };
    let (report, outcome) = run(&schools.lead, named(1), 0).await;
    outcome.unwrap();
    let carried: Vec<&str> = report.lessons.iter().map(|one| one.title.as_str()).collect();
    assert_eq!((carried, report.blobs, report.left_out), (vec!["第2课"], 2, 0));
    let imported = schools.import(&stick).await;
    assert_eq!((imported.lessons.len(), imported.blobs), (1, 2), "{imported:?}");
    let rest = schools.export(&stick, 2).await;
    assert_eq!(rest.blobs, 4, "the others are still lacking: {rest:?}");
    schools.import(&stick).await;
    // Whatever the receipt says, somebody knows better: a disk has lost it since.
    let other = schools.stick(1);
    let again = NewJob { lessons: vec![lessons[1]], ..export_to(&other, to, 3) };
    let (report, outcome) = run(&schools.lead, again, 0).await;
    outcome.unwrap();
    assert_eq!(report.blobs, 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_may_name_is_bounded() {
    let schools = schools().await;
    let lead = &schools.lead;
    let admin = lead.log_in("admin").await;
    let to = [schools.village.app.sync.hub_id().to_string()];
    for wrong in [vec!["7".to_owned()], vec!["0".repeat(32); 1_001]] {
        let body = json!({"to": to, "lessons": wrong});
        let answer = lead.post("/api/v1/courier/exports", &admin, body).await;
        assert_eq!(answer.outcome(), "422 invalid_input");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_for_a_browser_is_downloaded_in_parts_and_uploaded_elsewhere() {
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let [lead, village] = [&schools.lead, &schools.village];
    for hub in [lead, village] {
        tokio::spawn(runner::run(hub.app.clone()));
    }
    let [lead_admin, admin] = [lead.log_in("admin").await, village.log_in("admin").await];
    let to = json!({"to": [village.app.sync.hub_id().to_string()]});
    let begun = lead.post("/api/v1/courier/exports", &lead_admin, to).await;
    assert_eq!(begun.outcome(), "202");
    let path = format!("/api/v1/courier/exports/{}", begun.json()["id"]);
    let export = ended(lead, &path, &lead_admin).await;
    assert_eq!(export["state"], "done", "{export}");
    let file = &export["files"][0];
    let (url, bytes) = (file["url"].as_str().unwrap(), file["bytes"].as_u64().unwrap());
    let mut whole = Vec::new();
    for range in [format!("bytes=0-{}", bytes / 2), format!("bytes={}-", bytes / 2 + 1)] {
        let request = crate::app::trial::request(axum::http::Method::GET, url, &lead_admin);
        let part = lead.send(request.header("range", range), axum::body::Body::empty()).await;
        assert_eq!(part.status, 206);
        whole.extend(part.bytes);
    }
    assert_eq!(whole.len() as u64, bytes);

    let kind = crate::web::encode_base64(b"courier");
    let request = crate::app::trial::request(axum::http::Method::POST, "/api/v1/uploads", &admin)
        .header("tus-resumable", "1.0.0")
        .header("upload-length", bytes)
        .header("upload-metadata", format!("kind {kind}"));
    let created = village.send(request, axum::body::Body::empty()).await;
    let request =
        crate::app::trial::request(axum::http::Method::PATCH, created.header("location"), &admin)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", 0);
    let done = village.send(request, axum::body::Body::from(whole)).await;
    assert_eq!(done.status, 204);
    let path = format!("/api/v1/courier/imports/{}", done.header("yingxue-import"));
    let import = ended(village, &path, &admin).await;
    assert_eq!((&import["state"], &import["accepted"]["blobs"]), (&json!("done"), &json!(2)));
    assert_eq!(import["receipt"], "with_next_export");
    assert!(are_whole(village, &blobs));
}

async fn ended(hub: &TrialHub, path: &str, who: &str) -> serde_json::Value {
    let mut events = hub.app.events.subscribe();
    loop {
        let job = hub.get(path, who).await.json();
        if job["state"] != "queued" && job["state"] != "running" {
            return job;
        }
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), events.recv());
        next.await.expect("it ends within a minute").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teacher_names_sticks_alone_and_nobody_the_hubs_own_folder() {
    let schools = schools().await;
    let lead = &schools.lead;
    let admin = lead.log_in("admin").await;
    let teacher = lead.log_in_new(&admin, "chen", "teacher").await;
    let pupil = lead.log_in_new(&admin, "xiaoming", "pupil").await;
    let (stick, own) = (schools.stick(0), lead.dir.path().join("blobs"));
    let import = |folder: &Path| json!({"folder": folder.to_str().unwrap()});
    let url = "/api/v1/courier/imports";
    assert_eq!(lead.post(url, &pupil, import(&stick)).await.outcome(), "403 not_allowed");
    assert_eq!(lead.post(url, &teacher, import(&stick)).await.outcome(), "422 invalid_input");
    assert_eq!(lead.post(url, &admin, import(&stick)).await.outcome(), "202");
    assert_eq!(lead.post(url, &admin, import(&own)).await.outcome(), "422 invalid_input");
    let relative = lead.post(url, &admin, json!({"folder": "../usb"})).await;
    assert_eq!(relative.outcome(), "422 invalid_input");
    let nobody = json!({"to": ["00".repeat(32)], "folder": stick.to_str().unwrap()});
    let refused = lead.post("/api/v1/courier/exports", &admin, nobody).await;
    assert_eq!(refused.outcome(), "422 invalid_input");
    let targets = lead.get("/api/v1/courier/targets", &teacher).await.json();
    assert_eq!(targets["items"].as_array().unwrap().len(), 1);
}

/// Prints what export and import cost: `cargo test -p yingxue-hub --lib -- --ignored figures`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing of time"]
async fn figures_of_an_export_and_an_import() {
    let schools = schools().await;
    for hub in [&schools.lead, &schools.village] {
        hub.app.courier.segment_bytes.store(SEGMENT_BYTES, Ordering::Relaxed);
    }
    let (blob, bytes) = add_large_blob(&schools.lead, 200).await;
    let track = NewTrack {
        kind: "source".to_owned(),
        blob,
        bytes,
        codecs: "avc1".to_owned(),
        width: None,
        height: None,
    };
    let edits = vec![catalog::track_edit(&track)];
    let (doc, _) = add_lesson(&schools.lead, 1).await;
    let author = "t1".to_owned();
    schools.lead.app.sync.edit_doc(catalog::collection(), doc, author, edits).await.unwrap();
    let stick = std::env::var("YINGXUE_STICK").map_or_else(|_| schools.stick(0), PathBuf::from);
    let (began, before) = (std::time::Instant::now(), cpu_seconds());
    let exported = schools.export(&stick, 1).await;
    let (wall, used) = (began.elapsed().as_secs_f64(), cpu_seconds() - before);
    let megabytes = exported.payload_bytes as f64 / 1e6;
    println!("export: {:.0} MB/s, {:.0} MB per CPU-second", megabytes / wall, megabytes / used);
    println!("stick over payload: {:.5}", exported.stick_bytes as f64 / 1e6 / megabytes);
    let (began, before) = (std::time::Instant::now(), cpu_seconds());
    let imported = schools.import(&stick).await;
    let (wall, used) = (began.elapsed().as_secs_f64(), cpu_seconds() - before);
    println!("import: {:.0} MB/s, {:.0} MB per CPU-second", megabytes / wall, megabytes / used);
    assert_eq!(imported.payload_bytes, exported.payload_bytes);
    assert!(are_whole(&schools.village, &[blob]));
}

/// Gives what this process has used (proc(5): fields 14 and 15, in hundredths).
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields = fields.split(' ').skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

async fn add_large_blob(hub: &TrialHub, mebibytes: u64) -> (BlobId, u64) {
    let mut chance = Chance(1);
    let words = (mebibytes << 20) / 8;
    let content: Vec<u8> = (0..words).flat_map(|_| chance.below(u64::MAX).to_le_bytes()).collect();
    let lengths = vec![1 << 19; 2 * mebibytes as usize];
    let manifest = Manifest::of(&lengths, &content, vec![]).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join("made");
    fs::write(&path, &content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    let inserted = hub.app.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest));
    inserted.await.unwrap();
    hub.app.sync.blob_added(blob).await;
    (blob, content.len() as u64)
}
