use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::{FOLDER, Note, Snapshot, SnapshotError, keeper, list, take};
use crate::app::trial::image::Image;
use crate::db::Db;

/// 2026-11-23 12:00 in China.
const NOW: i64 = 1_795_363_200_000 + 12 * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;
const TEN_YEARS_MS: i64 = 3_650 * 24 * HOUR_MS;

struct Folder {
    dir: tempfile::TempDir,
    db: Db,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
        let folder = Self { dir, db };
        folder.write(1);
        folder
    }

    fn write(&self, n: i64) {
        let sql = "insert or replace into link_history values (?1, 0, zeroblob(32), 'met', 0, 0, \
             null)";
        self.db.write_blocking(move |tx| tx.execute(sql, [n])).unwrap();
    }

    fn take(&self, now_ms: i64) -> Result<Snapshot, SnapshotError> {
        take(self.db.path(), self.dir.path(), 0, now_ms, &|| false)
    }

    fn list(&self) -> Vec<Snapshot> {
        list(self.dir.path(), NOW)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(FOLDER)).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Looks each minute from a moment on, for so many hours; gives the dates of the copies that
    /// are taken.
    fn keep(&self, from_ms: i64, hours: i64) -> Vec<i64> {
        let mut taken = Vec::new();
        for minute in 0..hours * 60 {
            let now = from_ms + minute * 60_000;
            let newest = list(self.dir.path(), now).into_iter().next().map(|copy| copy.note);
            if keeper::is_due(newest.as_ref(), now, 0, 480) {
                self.take(now).unwrap();
                taken.push(now);
            }
        }
        taken
    }

    /// Describes a copy as earlier versions do.
    fn make_old(&self, copy: &Snapshot) -> Snapshot {
        let note = Note { number: 0, ..copy.note.clone() };
        let mut json = serde_json::to_value(&note).unwrap();
        json.as_object_mut().unwrap().remove("number");
        fs::write(super::note_path(&copy.path), json.to_string()).unwrap();
        Snapshot { note, ..copy.clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(FOLDER).join(name)
    }
}

#[test]
fn a_copy_is_one_moment_of_the_database_verified_and_the_newest_few_are_kept() {
    let folder = Folder::new();
    for now in 1..=5 {
        folder.write(now);
        let taken = folder.take(now).unwrap();
        taken.verify().unwrap();
        let copy = Connection::open(&taken.path).unwrap();
        let count = "select count(*) from link_history";
        assert_eq!(copy.query_row(count, [], |row| row.get(0)), Ok(now));
    }
    let kept: Vec<i64> = folder.list().iter().map(|snapshot| snapshot.note.taken_at_ms).collect();
    assert_eq!(kept, [5, 4, 3]);
    let files = folder.names().into_iter().filter(|name| name.ends_with(".json")).count();
    assert_eq!(files, 3);
}

#[test]
fn a_copy_of_a_damaged_database_takes_no_good_ones_place() {
    let folder = Folder::new();
    let good = folder.take(1).unwrap();
    // An entry that is not what its hash says: SQLite would not notice.
    let sql = "insert into envelopes (collection, author, seq, hash, doc, bytes) values \
         ('lessons', zeroblob(32), 1, zeroblob(32), zeroblob(16), x'01')";
    folder.db.write_blocking(|tx| tx.execute(sql, [])).unwrap();
    let error = folder.take(2).unwrap_err();
    assert!(matches!(error, SnapshotError::NotGood(_)), "{error}");
    assert_eq!(folder.list(), [good]);
    assert_eq!(folder.names().len(), 2, "nothing is left of it");
}

#[test]
fn no_copy_is_taken_where_the_disk_would_be_fuller_than_allowed_or_a_class_begins() {
    let folder = Folder::new();
    let good = folder.take(1).unwrap();
    let full = take(folder.db.path(), folder.dir.path(), u64::MAX / 2, 2, &|| false);
    assert!(matches!(full, Err(SnapshotError::NoRoom { .. })), "{full:?}");
    folder
        .db
        .write_blocking(|tx| {
            tx.execute_batch(
                "insert into timetable_imports values (x'01', '', '', 0); \
                 update timetable_imports set content = hex(zeroblob(4000000))",
            )
        })
        .unwrap();
    let asked = Cell::new(0);
    let class = take(folder.db.path(), folder.dir.path(), 0, 3, &|| {
        asked.set(asked.get() + 1);
        asked.get() == 2
    });
    assert!(matches!(class, Err(SnapshotError::Interrupted)), "{class:?}");
    assert_eq!(folder.list(), [good]);
}

#[test]
fn what_a_power_cut_has_left_is_no_copy_and_goes() {
    let folder = Folder::new();
    let taken = folder.take(1).unwrap();
    for name in ["hub-2.part", "hub-2.part-journal", "hub-3.sqlite", "hub-4.json-part"] {
        fs::write(folder.path(name), [0; 100]).unwrap();
    }
    assert_eq!(folder.list(), std::slice::from_ref(&taken));
    // A copy that is shorter than it was is none either.
    fs::copy(&taken.path, folder.path("hub-5.sqlite")).unwrap();
    fs::copy(super::note_path(&taken.path), folder.path("hub-5.json")).unwrap();
    fs::OpenOptions::new().write(true).open(&taken.path).unwrap().set_len(4096).unwrap();
    assert_eq!(folder.list().len(), 1);
    folder.take(6).unwrap();
    assert!(!folder.path("hub-2.part").exists() && !folder.path("hub-3.sqlite").exists());
}

#[test]
fn a_clock_that_was_years_ahead_costs_one_copy_and_the_next_one_is_the_newest() {
    let next = NOW + 30 * HOUR_MS;
    for is_old in [false, true] {
        let folder = Folder::new();
        let ahead = folder.take(NOW + TEN_YEARS_MS).unwrap();
        if is_old {
            folder.make_old(&ahead);
        }
        assert_eq!(folder.keep(NOW, 48), [NOW, next], "one at once, and then as always");
        let dates: Vec<i64> = folder.list().iter().map(|copy| copy.note.taken_at_ms).collect();
        assert_eq!(dates[..2], [next, NOW]);
        assert_eq!(
            dates.contains(&(NOW + TEN_YEARS_MS)),
            !is_old,
            "what has a number has its turn"
        );
    }
}

#[test]
fn a_clock_that_falls_behind_costs_one_copy_and_no_other_one_goes_for_its_date() {
    let folder = Folder::new();
    let before = folder.take(NOW - 24 * HOUR_MS).unwrap();
    let before = folder.make_old(&before);
    let last = folder.take(NOW).unwrap();
    assert_eq!(folder.keep(1_000, 12), [1_000], "1970");
    let numbers = |now| list(folder.dir.path(), now).into_iter().map(|copy| copy.note.number);
    assert_eq!(numbers(NOW).collect::<Vec<_>>(), [2, last.note.number, 0]);
    assert_eq!(folder.list().last(), Some(&before));
    assert_eq!(folder.keep(NOW + HOUR_MS, 1), [NOW + HOUR_MS], "and one when it is right again");
}

#[test]
fn of_copies_of_earlier_versions_the_newest_that_can_be_true_comes_first() {
    let folder = Folder::new();
    let taken = [NOW + TEN_YEARS_MS, NOW - 48 * HOUR_MS, NOW - 24 * HOUR_MS];
    let copies = taken.map(|at| folder.take(at).unwrap());
    copies.iter().for_each(|copy| drop(folder.make_old(copy)));
    let dates: Vec<i64> = folder.list().iter().map(|copy| copy.note.taken_at_ms).collect();
    assert_eq!(dates, [taken[2], taken[1], taken[0]]);
}

#[test]
fn a_changed_copy_is_found_out_by_its_hash() {
    let folder = Folder::new();
    let taken = folder.take(1).unwrap();
    let mut bytes = fs::read(&taken.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&taken.path, bytes).unwrap();
    assert!(taken.verify().is_err());
}

#[test]
#[ignore = "mounts an image, which takes root"]
fn a_disk_that_fills_while_a_copy_is_made_loses_neither_older_copies_nor_a_write() {
    let image = Image::mount_as(false, 64);
    let folder = image.folder();
    let db = Db::open(&folder.join("hub.sqlite")).unwrap();
    let fill = "insert into timetable_imports values (x'01', '', '', 0); \
         update timetable_imports set content = hex(zeroblob(5000000))";
    db.write_blocking(move |tx| tx.execute_batch(fill)).unwrap();
    let good = take(db.path(), &folder, 0, 1, &|| false).unwrap();
    let asked = Cell::new(0);
    let error = take(db.path(), &folder, 0, 2, &|| {
        asked.set(asked.get() + 1);
        if asked.get() == 3 {
            image.fill(0);
        }
        false
    });
    assert!(matches!(error, Err(SnapshotError::Full)), "{error:?}");
    assert_eq!(asked.get(), 3, "it began, and ended when the disk was full");
    assert_eq!(list(&folder, NOW), std::slice::from_ref(&good));
    good.verify().unwrap();
    assert_eq!(fs::read_dir(folder.join(FOLDER)).unwrap().count(), 2, "nothing is left of it");
    // What was said to be durable is: the hub goes on, and so does the next copy.
    let count = "select count(*) from timetable_imports";
    assert_eq!(db.read_blocking(|db| db.query_row(count, [], |row| row.get::<_, i64>(0))), Ok(1));
    fs::remove_file(folder.join("FILM.AVI")).unwrap();
    db.write_blocking(|tx| tx.execute("delete from pins", [])).unwrap();
    take(db.path(), &folder, 0, 3, &|| false).unwrap();
    assert_eq!(list(&folder, NOW).len(), 2);
}
