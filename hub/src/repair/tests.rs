//! Real databases of a real hub, damaged in every way that disks know, seed by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_core::rng::Rng;
use yingxue_sync_io::blob_files::BlobFiles;

use super::{Places, after, before_start, check, read_job, report, write_job};
use crate::app::trial::TrialHub;
use crate::catalog::{self, NewComment, NewLesson, collection, thread_of};
use crate::config::Config;
use crate::db::Db;
use crate::snapshots;
use crate::store::{Store, blobs};

mod starts;
mod stranded;

const PAGE: usize = 4096;
const LESSON: DocId = DocId([1; 16]);
/// Cases of each of the two kinds of hubs; `YINGXUE_CASES` asks for more.
const CASES: u64 = 32;
/// Every so many cases the whole hub is started.
const WHOLE_EVERY: u64 = 10;
const ENTRIES: &str = "select seq, hash, bytes from envelopes order by seq";
const USERS: &str = "select login, name, role from users order by login";

/// A hub's folder as a power cut leaves it, and what was true then.
struct Template {
    dir: tempfile::TempDir,
    entries: BTreeMap<u64, Vec<u8>>,
    of_snapshot: BTreeSet<u64>,
    users: Vec<[String; 3]>,
}

fn users(db: &Connection) -> rusqlite::Result<Vec<[String; 3]>> {
    let mut users = db.prepare(USERS)?;
    users.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?.collect()
}

fn entries(db: &Connection) -> rusqlite::Result<BTreeMap<u64, Vec<u8>>> {
    let mut entries = db.prepare(ENTRIES)?;
    entries.query_map([], |row| Ok((row.get(0)?, row.get(2)?)))?.collect()
}

async fn comment(hub: &TrialHub, op: u8) {
    let comment = NewComment {
        op: [op; 16],
        author: "t1".to_owned(),
        name: "王老师".to_owned(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        text: "光".repeat(usize::from(op)),
        at_ms: None,
        written_at_ms: i64::from(op),
    };
    let edits = catalog::comment_edits(&LESSON, &comment);
    let thread = thread_of(&LESSON);
    hub.app.sync.edit_doc(collection(), thread, "t1".to_owned(), edits).await.unwrap();
}

async fn add_users(hub: &TrialHub, from: u32, to: u32) {
    hub.app
        .db
        .write(move |tx| -> rusqlite::Result<()> {
            let sql = "insert into users values (randomblob(16), ?1, ?2, 'teacher', \
                 lower(hex(randomblob(8))), '$argon2id$' || hex(zeroblob(60)), 1)";
            for n in from..to {
                tx.execute(sql, [format!("teacher{n:03}"), format!("老师{n}")])?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

async fn add_blob(hub: &TrialHub, fill: u8) {
    let content = vec![fill; 3_000];
    let manifest = Manifest::of(&[1_000, 1_500, 500], &content, vec![]).unwrap();
    let blob = manifest.blob_id();
    let path = hub.dir.path().join("made");
    fs::write(&path, &content).unwrap();
    hub.app.sync.files().adopt(blob, &path).unwrap();
    hub.app.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest)).await.unwrap();
}

/// Makes the folder; a copy is taken when half of it is written, if one is wanted.
async fn template(has_snapshot: bool) -> Template {
    let (hub, _) = TrialHub::start_set_up().await;
    hub.app.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let lesson = NewLesson {
        title: "光合作用".to_owned(),
        subject: "biology".to_owned(),
        grade: "7".to_owned(),
        teacher: "王老师".to_owned(),
        school: "一中".to_owned(),
        school_hub: hub.app.sync.hub_id(),
        filename: "a.mp4".to_owned(),
        created_at_ms: 1_000,
    };
    let edits = catalog::lesson_edits(&lesson, 60_000, None, &[]);
    hub.app.sync.edit_doc(collection(), LESSON, "t1".to_owned(), edits).await.unwrap();
    add_users(&hub, 0, 60).await;
    for n in 1..30 {
        comment(&hub, n).await;
        add_blob(&hub, n).await;
    }
    let mut of_snapshot = BTreeSet::new();
    if has_snapshot {
        let (path, dir) = (hub.app.db.path().to_owned(), hub.dir.path().to_owned());
        let taken = tokio::task::spawn_blocking(move || {
            snapshots::take(&path, &dir, 0, 1_000, &|| false).unwrap()
        });
        let copy = Connection::open(taken.await.unwrap().path).unwrap();
        of_snapshot = entries(&copy).unwrap().into_keys().collect();
        assert!(of_snapshot.len() >= 30);
    }
    let remove = "delete from users where login = 'teacher007'";
    hub.app.db.write(move |tx| tx.execute(remove, [])).await.unwrap();
    for n in 30..60 {
        comment(&hub, n).await;
    }
    // Part of what is newer lies in the file, part in the log.
    let checkpoint = |db: &Connection| db.query_row("pragma wal_checkpoint", [], |_| Ok(()));
    Connection::open(hub.app.db.path()).map(|db| checkpoint(&db).unwrap()).unwrap();
    add_users(&hub, 60, 90).await;
    for n in 60..90 {
        comment(&hub, n).await;
    }
    add_blob(&hub, 30).await;
    let dir = tempfile::tempdir().unwrap();
    // As the power cut leaves it: nothing is closed.
    copy_folder(hub.dir.path(), dir.path());
    let db = Connection::open(hub.app.db.path()).unwrap();
    let (entries, users) = (entries(&db).unwrap(), users(&db).unwrap());
    hub.app.sync.shutdown().await;
    Template { dir, entries, of_snapshot, users }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_folder(&path, &target);
        } else if path.extension().is_none_or(|e| e != "sqlite-shm") {
            fs::copy(path, target).unwrap();
        }
    }
}

fn at(rng: &mut Rng, len: usize) -> usize {
    rng.below(len.max(1) as u64) as usize
}

/// Does one thing that disks do; says what.
fn damage(rng: &mut Rng, database: &mut Vec<u8>, wal: &mut Vec<u8>) -> String {
    let zero = |rng: &mut Rng, bytes: &mut Vec<u8>, from: usize, size: usize| {
        let count = bytes.len().saturating_sub(from) / size;
        let pages: Vec<usize> = (0..1 + at(rng, 6)).map(|_| at(rng, count)).collect();
        for page in pages.iter().filter(|_| count > 0) {
            bytes[from + page * size..][..size].fill(0);
        }
        format!("{pages:?}")
    };
    let flip = |rng: &mut Rng, bytes: &mut Vec<u8>| {
        let count = if bytes.is_empty() { 0 } else { 1 + at(rng, 12) };
        let places: Vec<usize> = (0..count).map(|_| at(rng, bytes.len())).collect();
        for place in &places {
            bytes[*place] ^= 1 << at(rng, 8);
        }
        format!("{places:?}")
    };
    match rng.below(9) {
        0 | 1 => format!("pages zeroed: {}", zero(rng, database, 0, PAGE)),
        2 => {
            database.truncate(at(rng, database.len()));
            format!("cut at {}", database.len())
        }
        3 => format!("bits flipped: {}", flip(rng, database)),
        4 => {
            wal.clear();
            "no log".to_owned()
        }
        5 => {
            wal.truncate(at(rng, wal.len()));
            format!("log cut at {}", wal.len())
        }
        6 => format!("bits of the log flipped: {}", flip(rng, wal)),
        7 => format!("frames of the log zeroed: {}", zero(rng, wal, 32, PAGE + 24)),
        _ => {
            let first = database.len().min(PAGE);
            database[..first].fill(0);
            "the first page zeroed".to_owned()
        }
    }
}

/// Gives every page of a database and every frame of its log.
fn images(database: &[u8], wal: &[u8]) -> Vec<Vec<u8>> {
    let frames = wal.get(32..).unwrap_or_default();
    let frames = frames.chunks_exact(PAGE + 24).map(|frame| frame[24..].to_vec());
    database.chunks_exact(PAGE).map(<[u8]>::to_vec).chain(frames).collect()
}

/// Gives the entries that lie whole on a page which the damage has left as it was.
fn readable(template: &Template, before: &[Vec<u8>], after: &BTreeSet<Vec<u8>>) -> BTreeSet<u64> {
    let left: Vec<&Vec<u8>> = before.iter().filter(|image| after.contains(*image)).collect();
    // A row begins some 120 bytes before: what no cell points at is free space, with old bytes.
    let is_in_cell = |page: &[u8], at: usize| {
        let count = usize::from(u16::from_be_bytes([page[3], page[4]]));
        let mut cells = page[8..].chunks_exact(2).take(count);
        cells.any(|cell| {
            let cell = usize::from(u16::from_be_bytes([cell[0], cell[1]]));
            page[0] == 0x0d && cell < at && at - cell < 150
        })
    };
    let is_on = |bytes: &[u8]| {
        let mut pages = left.iter();
        pages.any(|page| {
            let at = page.windows(bytes.len()).position(|window| window == bytes);
            at.is_some_and(|at| is_in_cell(page, at))
        })
    };
    let entries = template.entries.iter().filter(|(_, bytes)| is_on(bytes));
    entries.map(|(seq, _)| *seq).collect()
}

fn open(dir: &Path) -> Db {
    Db::open(&dir.join("hub.sqlite")).unwrap()
}

/// Checks everything that has to hold of a folder once its hub could start.
fn check_case(template: &Template, dir: &Path, readable: &BTreeSet<u64>) {
    let repaired = before_start(dir).unwrap();
    let db = open(dir);
    let read = |sql: &'static str| -> u64 {
        db.read_blocking(|db| db.query_row(sql, [], |row| row.get(0))).unwrap()
    };
    let found = db.read_blocking(entries).unwrap();
    let waiting: BTreeSet<u64> = db
        .read_blocking(|db| -> rusqlite::Result<_> {
            let mut sql = db.prepare("select seq from envelopes_waiting")?;
            sql.query_map([], |row| row.get(0))?.collect()
        })
        .unwrap();
    for (seq, bytes) in &found {
        assert_eq!(bytes, &template.entries[seq], "what is there is what was acknowledged");
    }
    let known: BTreeSet<u64> = readable.union(&template.of_snapshot).copied().collect();
    let lost: Vec<_> =
        known.iter().filter(|seq| !found.contains_key(seq) && !waiting.contains(seq)).collect();
    assert!(lost.is_empty(), "lost though readable: {lost:?}; {repaired:?}");
    let is_member = read("select count(*) from epochs") > 0;
    let whole_upto = (1..).take_while(|seq| known.contains(seq)).count();
    assert!(!is_member || found.len() >= whole_upto, "{} of {whole_upto}", found.len());
    check_users(template, &db, repaired.as_ref());
    check_blobs(dir, &db, repaired.is_some());
    if let Some(report) = repaired {
        assert_eq!(report.entries_of_snapshot + report.entries_salvaged, found.len() as u64);
        assert_eq!(report.entries_waiting, waiting.len() as u64);
        assert_eq!(read("select count(*) from alarms where text_code like 'repaired%'"), 1);
        assert!(dir.join("damaged").join(&report.folder).is_dir());
        assert!(!dir.join("repair").exists());
        assert_eq!(
            read("select count(*) from store_identity where is_in_doubt"),
            u64::from(is_member)
        );
    }
    check_node(dir, &db);
    assert!(before_start(dir).unwrap().is_none(), "once is enough");
}

fn check_users(template: &Template, db: &Db, repaired: Option<&report::Report>) {
    let now = db.read_blocking(users).unwrap();
    if repaired.is_some_and(|report| report.are_accounts_whole) {
        // A log that was cut takes the newest with it; what was removed stays removed.
        assert!(now.iter().all(|user| template.users.contains(user)), "{now:?}");
    } else if repaired.is_some() && !template.of_snapshot.is_empty() {
        assert!((0..60).all(|n| now.iter().any(|user| user[0] == format!("teacher{n:03}"))));
    }
}

/// A blob, its manifest and its bitmap.
type Noted = (BlobId, Vec<u8>, Vec<u8>);

/// Nothing is green that was not read, and then what is true is.
fn check_blobs(dir: &Path, db: &Db, is_repaired: bool) {
    let files = BlobFiles::open(dir.join("blobs"), 0).unwrap();
    let all = |db: &Connection| -> rusqlite::Result<Vec<Noted>> {
        let mut sql = db.prepare("select blob, manifest, bitmap from blobs")?;
        sql.query_map([], |r| Ok((BlobId(r.get(0)?), r.get(1)?, r.get(2)?)))?.collect()
    };
    if is_repaired {
        let before = db.read_blocking(all).unwrap();
        assert!(before.iter().all(|(_, _, bitmap)| bitmap.iter().all(|byte| *byte == 0)));
        for blob in db.read_blocking(after::unread).unwrap() {
            after::read_again(db, &files, blob).unwrap();
        }
    }
    for (blob, manifest, bitmap) in db.read_blocking(all).unwrap() {
        let manifest = Manifest::decode(&manifest).unwrap();
        let held = Bitmap::from_bytes(&bitmap, manifest.pieces.len());
        for (n, piece) in (0..).zip(&manifest.pieces) {
            let bytes = files.read_at(blob, manifest.offset_of(n), piece.bytes as usize).unwrap();
            assert_eq!(held.has(n), manifest.verifies(n, &bytes), "{blob} piece {n}");
        }
    }
}

/// The node starts with what the store holds.
fn check_node(dir: &Path, db: &Db) {
    let key = fs::read_to_string(dir.join("hub.key")).unwrap();
    let key: yingxue_sync_core::id::Hash = key.trim().parse().unwrap();
    let files = Arc::new(BlobFiles::open(dir.join("blobs"), 0).unwrap());
    let restored = Store::new(db.clone(), files).restore().unwrap();
    crate::driver::try_node(key.0, restored).unwrap();
}

async fn damage_and_start(has_snapshot: bool) {
    let template = Arc::new(template(has_snapshot).await);
    let cases = std::env::var("YINGXUE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    for seed in 0..cases {
        let known = Arc::clone(&template);
        let dir = tokio::task::spawn_blocking(move || one_case(&known, seed)).await;
        let dir = dir.unwrap_or_else(|_| panic!("seed {seed}, snapshot {has_snapshot}"));
        if seed % WHOLE_EVERY == 0 {
            let hub = TrialHub::start_in(dir, Config::default()).await;
            assert_eq!(hub.get("/healthz", "").await.outcome(), "200");
            hub.app.sync.shutdown().await;
        }
    }
}

fn one_case(template: &Template, seed: u64) -> tempfile::TempDir {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = Rng::new(bytes);
    let dir = tempfile::tempdir().unwrap();
    copy_folder(template.dir.path(), dir.path());
    let (database, wal) = (dir.path().join("hub.sqlite"), dir.path().join("hub.sqlite-wal"));
    let (mut file, mut log) = (fs::read(&database).unwrap(), fs::read(&wal).unwrap());
    let before = images(&file, &log);
    let done: Vec<String> =
        (0..1 + rng.below(2)).map(|_| damage(&mut rng, &mut file, &mut log)).collect();
    println!("seed {seed}: {done:?}");
    let left = readable(template, &before, &images(&file, &log).into_iter().collect());
    fs::write(&database, &file).unwrap();
    fs::write(&wal, &log).unwrap();
    if log.is_empty() {
        fs::remove_file(&wal).unwrap();
    }
    check_case(template, dir.path(), &left);
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_a_copy_starts_after_any_damage_and_keeps_what_can_be_read() {
    damage_and_start(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_without_a_copy_does_too() {
    damage_and_start(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_step_of_the_repair_ends_with_the_same() {
    let template = template(true).await;
    let repair = |prepare: fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(template.dir.path(), dir.path());
        let database = dir.path().join("hub.sqlite");
        let mut bytes = fs::read(&database).unwrap();
        bytes[PAGE..6 * PAGE].fill(0);
        fs::write(database, bytes).unwrap();
        prepare(dir.path());
        let report = before_start(dir.path()).unwrap().unwrap();
        let db = open(dir.path());
        let what = (db.read_blocking(entries).unwrap(), db.read_blocking(users).unwrap());
        assert!(before_start(dir.path()).unwrap().is_none());
        (what, report.entries_salvaged, report.rows_salvaged)
    };
    let at_once = repair(|_| {});
    let before_moving = repair(|dir| drop(cut(dir, false, &[])));
    let half_moved = repair(|dir| drop(cut(dir, false, &["hub.sqlite-wal"])));
    let moved = repair(|dir| drop(cut(dir, false, &["hub.sqlite-wal", "hub.sqlite"])));
    let half_built = repair(|dir| {
        let places = cut(dir, true, &["hub.sqlite-wal", "hub.sqlite"]);
        fs::write(places.work().join("hub.sqlite"), [1; 5_000]).unwrap();
        fs::write(places.work().join("hub.sqlite-journal"), [1; 50]).unwrap();
    });
    for other in [before_moving, half_moved, moved, half_built] {
        assert_eq!(other, at_once);
    }
}

/// Puts a folder in the state in which the power went.
fn cut(dir: &Path, is_moved: bool, moved: &[&str]) -> Places {
    let places = Places::of(dir);
    let (why, folder) = ("a test".to_owned(), "20260101-000000".to_owned());
    let damaged = places.damaged(&folder);
    fs::create_dir_all(places.work()).unwrap();
    fs::create_dir_all(&damaged).unwrap();
    write_job(&places, &super::Job { at_ms: 1, why, folder, from: None, is_moved }).unwrap();
    for name in moved {
        fs::rename(dir.join(name), damaged.join(name)).unwrap();
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_was_cut_after_its_last_step_is_over() {
    let template = template(true).await;
    let dir = template.dir.path();
    fs::write(dir.join("hub.sqlite"), [0; 9_000]).unwrap();
    let report = before_start(dir).unwrap().unwrap();
    let places = cut(dir, true, &[]);
    let mut job = read_job(&places).unwrap().unwrap();
    job.folder.clone_from(&report.folder);
    write_job(&places, &job).unwrap();
    let bytes = fs::read(dir.join("hub.sqlite")).unwrap();
    assert_eq!(before_start(dir).unwrap(), Some(report));
    assert_eq!(fs::read(dir.join("hub.sqlite")).unwrap(), bytes, "it is not made again");
    assert!(!places.job().exists());
}
