//! What a start does and does not do: who may come back, when it gives up, what it says.

use serde_json::json;

use super::*;
use crate::app::now_ms;
use crate::repair::RepairError;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_ended_and_a_user_who_was_removed_do_not_come_back() {
    let template = template(true).await;
    let dir = tempfile::tempdir().unwrap();
    copy_folder(template.dir.path(), dir.path());
    check::want(dir.path(), "a test").unwrap();
    let report = before_start(dir.path()).unwrap().unwrap();
    assert!(report.are_accounts_whole, "{report:?}");
    let db = open(dir.path());
    assert_eq!(db.read_blocking(users).unwrap(), template.users);
    assert!(template.users.iter().all(|user| user[0] != "teacher007"));
    let count = "select count(*) from sessions";
    let sessions: u64 = db.read_blocking(|db| db.query_row(count, [], |row| row.get(0))).unwrap();
    assert_eq!(sessions, 1, "the administrator's");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_after_a_repair_that_ended_all_logins_is_told_why() {
    let template = template(true).await;
    let dir = tempfile::tempdir().unwrap();
    copy_folder(template.dir.path(), dir.path());
    assert_eq!(report::logins_ended(dir.path()), None);
    zero_root(&dir.path().join("hub.sqlite"), "sessions");
    check::want(dir.path(), "a test").unwrap();
    let first = before_start(dir.path()).unwrap().unwrap();
    assert!(first.are_accounts_whole && first.tables_partly.contains(&"sessions".to_owned()));
    // Another repair that ends no login does not hide it.
    check::want(dir.path(), "a second one").unwrap();
    let second = before_start(dir.path()).unwrap().unwrap();
    assert!(!second.tables_partly.contains(&"sessions".to_owned()), "{second:?}");
    let again = tempfile::tempdir().unwrap();
    copy_folder(dir.path(), again.path());
    let hub = TrialHub::start_in(dir, Config::default()).await;
    let state = hub.get("/api/v1/state", "").await.json();
    let told = json!({"at_ms": first.at_ms, "are_accounts_whole": true});
    assert_eq!((&state["user"], &state["logins_ended"]), (&serde_json::Value::Null, &told));
    hub.app.sync.shutdown().await;
    // After the longest login it says nothing to anybody any more.
    let month_ms = i64::try_from(Config::default().accounts.session_days).unwrap() * 86_400_000;
    for mut done in report::all(again.path()) {
        done.at_ms -= month_ms;
        report::write(&again.path().join("damaged").join(&done.folder), &done).unwrap();
    }
    let hub = TrialHub::start_in(again, Config::default()).await;
    let state = hub.get("/api/v1/state", "").await.json();
    assert_eq!(state["logins_ended"], serde_json::Value::Null);
    hub.app.sync.shutdown().await;
}

/// Zeroes the first page of a table, as a failing disk would.
fn zero_root(path: &Path, table: &str) {
    let db = Connection::open(path).unwrap();
    db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    let root = "select rootpage from sqlite_schema where name = ?1";
    let root: usize = db.query_row(root, [table], |row| row.get(0)).unwrap();
    drop(db);
    let mut bytes = fs::read(path).unwrap();
    bytes[(root - 1) * PAGE..root * PAGE].fill(0);
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_goes_back_to_a_copy_and_no_entry_is_lost() {
    let template = template(true).await;
    let dir = template.dir.path();
    let copy = snapshots::list(dir, now_ms())[0].path.clone();
    let name = copy.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&copy).unwrap();
    let mut rotten = whole.clone();
    rotten[PAGE + 7] ^= 1;
    fs::write(&copy, rotten).unwrap();
    for useless in ["none.sqlite", &name] {
        assert!(crate::repair::restore(dir, "a test", Some(useless.to_owned())).is_err());
        assert_eq!(open(dir).read_blocking(entries).unwrap(), template.entries, "nothing moved");
    }
    fs::write(&copy, whole).unwrap();
    crate::repair::restore(dir, "a test", Some(name)).unwrap();
    let db = open(dir);
    assert_eq!(db.read_blocking(entries).unwrap(), template.entries);
    let back = db.read_blocking(users).unwrap();
    assert!(back.iter().any(|user| user[0] == "teacher007"), "as old as the copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_shows_while_the_hub_runs_stops_every_write_and_is_said() {
    let (hub, admin) = TrialHub::start_set_up().await;
    let mut noticed = hub.app.db.watch_damage();
    tokio::task::spawn_blocking(a_statement_notices_damage).await.unwrap();
    assert!(noticed.borrow_and_update().is_none(), "another database's damage is not this one's");
    hub.app.db.report_damage("a test".to_owned());
    let body = json!({"login": "li", "name": "li", "role": "teacher", "password": "snow-light"});
    assert_eq!(hub.post("/api/v1/users", &admin, body).await.outcome(), "500 internal");
    assert!(noticed.has_changed().unwrap());
}

fn a_statement_notices_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.sqlite");
    let db = Db::open(&path).unwrap();
    let fill = "insert into hub_readiness values (zeroblob(32), 'd', 0, 0, 0, '', 0)";
    db.write_blocking(move |tx| tx.execute(fill, [])).unwrap();
    let other = Connection::open(&path).unwrap();
    other.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    let root = "select rootpage from sqlite_schema where name = 'hub_readiness'";
    let root: usize = other.query_row(root, [], |row| row.get(0)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[(root - 1) * PAGE..root * PAGE].fill(0);
    fs::write(&path, bytes).unwrap();
    let count = "select count(*) from hub_readiness";
    let error = db.read_blocking(|db| db.query_row(count, [], |row| row.get::<_, i64>(0)));
    assert!(error.is_err(), "{error:?}");
    assert!(db.watch_damage().borrow().is_some());
    let refused = db.write_blocking(|tx| tx.execute("delete from pins", [])).unwrap_err();
    assert!(refused.to_string().contains("damaged"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_log_is_gone_says_so_once_and_doubts_what_it_has() {
    let template = template(true).await;
    let dir = tempfile::tempdir().unwrap();
    copy_folder(template.dir.path(), dir.path());
    check::note_running(dir.path()).unwrap();
    let log = dir.path().join("hub.sqlite-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0, "the newest entries are in it");
    fs::remove_file(log).unwrap();
    assert_eq!(before_start(dir.path()).unwrap(), None, "there is nothing to repair");
    let left = open(dir.path()).read_blocking(entries).unwrap();
    let lost = template.entries.len() - left.len();
    assert!(lost > 0 && left.iter().all(|(seq, bytes)| template.entries[seq] == *bytes));
    let doubt = "select is_in_doubt from store_identity";
    let is_in_doubt = |db: &Connection| db.query_row(doubt, [], |row| row.get::<_, bool>(0));
    assert!(open(dir.path()).read_blocking(is_in_doubt).unwrap());
    // A start that is cut off and begun again says it once all the same.
    let hub = TrialHub::start_in(dir, Config::default()).await;
    let cookie = hub.log_in("admin").await;
    let shown = hub.get("/api/v1/alarms", &cookie).await.json();
    let told = shown["items"].as_array().unwrap().iter().map(|alarm| &alarm["text_code"]);
    assert_eq!(told.filter(|code| **code == "log_gone").count(), 1, "{shown}");
    hub.app.sync.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_damages_the_database_five_times_in_an_hour_is_left_alone() {
    let template = template(true).await;
    let dir = template.dir.path();
    for n in 1..=5 {
        check::want(dir, &format!("damage {n}")).unwrap();
        assert_eq!(before_start(dir).unwrap().unwrap().why, format!("damage {n}"));
    }
    let before = fs::read(dir.join("hub.sqlite")).unwrap();
    check::want(dir, "damage 6").unwrap();
    let error = before_start(dir).unwrap_err();
    assert!(matches!(error, RepairError::TooOften(_)), "{error}");
    assert!(error.to_string().contains("another one"), "it says what to do: {error}");
    assert_eq!(fs::read(dir.join("hub.sqlite")).unwrap(), before, "nothing is moved");
    assert!(!dir.join("repair").exists() && report::all(dir).len() == 5);
    // An hour later it may be tried again.
    for mut done in report::all(dir) {
        done.at_ms -= super::super::HOUR_MS;
        report::write(&dir.join("damaged").join(&done.folder), &done).unwrap();
    }
    assert_eq!(before_start(dir).unwrap().unwrap().why, "damage 6");
    assert_eq!(open(dir).read_blocking(entries).unwrap(), template.entries, "nothing was lost");
}
