use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::{Db, MIGRATIONS, OpenError};

type Outcome<T> = Result<T, rusqlite::Error>;

fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
    db.write_blocking(|tx| tx.execute_batch("create table t (n integer primary key) strict"))
        .unwrap();
    (dir, db)
}

fn numbers(db: &Db) -> Vec<i64> {
    db.read_blocking(|c| -> Outcome<_> {
        c.prepare_cached("select n from t order by n")?.query_map([], |row| row.get(0))?.collect()
    })
    .unwrap()
}

fn insert(tx: &rusqlite::Transaction<'_>, n: i64) -> Outcome<usize> {
    tx.prepare_cached("insert into t values (?1)")?.execute([n])
}

#[test]
fn an_error_undoes_that_closure_alone_though_the_commit_is_shared() {
    let (_dir, db) = open();
    let undone = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..40 {
            let (db, undone) = (db.clone(), Arc::clone(&undone));
            scope.spawn(move || {
                let result = db.write_blocking(move |tx| -> Outcome<()> {
                    insert(tx, n)?;
                    if n % 2 == 1 { Err(rusqlite::Error::QueryReturnedNoRows) } else { Ok(()) }
                });
                undone.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(undone.load(Ordering::Relaxed), 20);
    assert_eq!(numbers(&db), (0..40).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_panic_in_a_closure_is_an_error_and_the_writer_goes_on() {
    let (_dir, db) = open();
    let result = db.write_blocking(|tx| -> Outcome<()> {
        insert(tx, 1)?;
        panic!("on purpose");
    });
    assert!(result.is_err());
    db.write_blocking(|tx| insert(tx, 2)).unwrap();
    assert_eq!(numbers(&db), [2]);
}

#[test]
fn a_disk_that_is_full_undoes_everything_of_the_batch_and_later_writes_work() {
    let (_dir, db) = open();
    db.write_blocking(|tx| -> Outcome<()> {
        tx.execute_batch("create table big (x blob) strict")?;
        let pages: i64 = tx.query_row("pragma page_count", [], |row| row.get(0))?;
        tx.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(()))
    })
    .unwrap();
    let error = db
        .write_blocking(|tx| -> Outcome<()> {
            insert(tx, 1)?;
            tx.execute("insert into big values (zeroblob(1000000))", [])?;
            Ok(())
        })
        .unwrap_err();
    assert!(super::is_disk_full(&error), "{error}");
    db.write_blocking(|tx| insert(tx, 2)).unwrap();
    assert_eq!(numbers(&db), [2]);
}

#[tokio::test]
async fn a_read_sees_every_write_that_has_returned() {
    let (_dir, db) = tokio::task::spawn_blocking(open).await.unwrap();
    for n in 0..20 {
        db.write(move |tx| insert(tx, n)).await.unwrap();
        let count: i64 = db
            .read(|c| -> Outcome<_> { c.query_row("select count(*) from t", [], |r| r.get(0)) })
            .await
            .unwrap();
        assert_eq!(count, n + 1);
    }
}

#[test]
fn readers_cannot_write() {
    let (_dir, db) = open();
    assert!(db.read_blocking(|c| c.execute("insert into t values (1)", [])).is_err());
}

#[test]
fn a_damaged_file_and_one_of_a_newer_version_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let damaged = dir.path().join("damaged.sqlite");
    std::fs::write(&damaged, [7_u8; 8192]).unwrap();
    let error = Db::open(&damaged).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");

    let newer = dir.path().join("newer.sqlite");
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 9_999).unwrap();
    let error = Db::open(&newer).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 9_999, .. }), "{error}");
}

#[test]
fn an_older_database_is_copied_before_it_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.sqlite");
    {
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0].sql).unwrap();
        old.execute("insert into school values (1, '山村小学', 0)", []).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
    }
    let db = Db::open(&path).unwrap();
    let name = "select name from school";
    let school: String =
        db.read_blocking(|c| -> Outcome<_> { c.query_row(name, [], |r| r.get(0)) }).unwrap();
    assert_eq!(school, "山村小学");
    let copy = Connection::open(dir.path().join("hub.before-2.sqlite")).unwrap();
    let school: String = copy.query_row(name, [], |row| row.get(0)).unwrap();
    assert_eq!(school, "山村小学");
}

#[test]
fn jobs_and_tracks_of_an_older_hub_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.sqlite");
    {
        let old = Connection::open(&path).unwrap();
        MIGRATIONS[..5].iter().for_each(|step| old.execute_batch(step.sql).unwrap());
        old.execute_batch(
            "insert into jobs (id, kind, lesson_id, title, payload, state, attempts, created_at) \
             values (7, 'import', x'01', '光', '{}', 'failed', 2, 5), \
             (8, 'import', x'02', '影', '{}', 'queued', 0, 6); \
             insert into lesson_tracks values (x'01', 'source', x'00', '', 1, 1, 1, 1, 2, 1), \
             (x'01', 'slides', x'00', '', 1, 1, 1, 1, 3, 1); \
             delete from jobs where id = 8; pragma user_version = 5;",
        )
        .unwrap();
    }
    let db = Db::open(&path).unwrap();
    db.write_blocking(|tx| {
        tx.execute_batch(
            "insert into jobs (kind, lesson_id, title, payload, state, created_at) \
             values ('import', x'03', '力', '{}', 'queued', 7); \
             update jobs set state = 'cancelled' where title = '光';",
        )
    })
    .unwrap();
    let text = |sql: &'static str| -> String {
        db.read_blocking(|c| -> Outcome<_> { c.query_row(sql, [], |row| row.get(0)) }).unwrap()
    };
    let jobs = "select group_concat(title || state || attempts, ' ') from jobs";
    assert_eq!(text(jobs), "光cancelled2 力queued0");
    // Its triggers are there again: a job makes its lesson, and one that is cancelled hides it.
    assert_eq!(text("select group_concat(title || is_deleted, ' ') from lessons"), "光1 影0 力0");
    let tracks = "select group_concat(kind || class, ' ') from lesson_tracks";
    assert_eq!(text(tracks), "slides1 source9");
}

#[test]
fn every_statement_of_the_hub_prepares() {
    let (_dir, db) = open();
    let mut statements = 0;
    for (path, source) in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let constants = constants(&source);
        for sql in literals(&source).into_iter().filter(|text| is_statement(text)) {
            let sql = constants.iter().fold(sql, |sql, (name, value)| {
                let lower = name.to_lowercase();
                sql.replace(&format!("{{{name}}}"), value).replace(&format!("{{{lower}}}"), value)
            });
            // One statement runs over several tables that share its columns.
            let sql = sql.replace("{table}", "lesson_tracks");
            for sql in sql.split(';').filter(|sql| !sql.trim().is_empty()) {
                let prepared = db.read_blocking(|c| -> Outcome<()> { c.prepare(sql).map(drop) });
                prepared.unwrap_or_else(|error| panic!("{path}: {error} in {sql}"));
                statements += 1;
            }
        }
    }
    assert!(statements > 50, "only {statements} statements were found");
}

fn is_statement(text: &str) -> bool {
    ["select ", "insert into ", "insert or ", "update ", "delete from ", "with "]
        .iter()
        .any(|verb| text.starts_with(verb))
}

/// Reads the sources without their tests.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.split_once("#[cfg(test)]\nmod tests {").map_or(&source[..], |p| p.0);
            found.push((path.display().to_string(), code.to_owned()));
        }
    }
    found
}

fn constants(source: &str) -> BTreeMap<String, String> {
    let declarations = source.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": &str =")?;
        Some((name.to_owned(), literals(rest).into_iter().next()?))
    });
    declarations.collect()
}

/// Gives the string literals of a source, with `\"` and line continuations resolved.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line_start in source.match_indices('"').map(|(at, _)| at) {
        let mut text = String::new();
        let mut chars = source[line_start + 1..].chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('"', _) => break,
                ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                ('\\', _) => text.extend(chars.next()),
                (c, _) => text.push(c),
            }
        }
        found.push(text);
    }
    found
}
